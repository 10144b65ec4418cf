"""What 16 connections bring: a bucket listed, and a whole run with nothing new, against one connection.

Whole commands, from the start of their process to its end. Where the listing is divided it finds by itself;
in a whole run the database helps, which holds the bucket already.
"""

import statistics
from typing import NamedTuple

from bench.databases import Databases
from bench.list_server import Counts, ListServer, counts_so_far
from bench.pages import MAX_KEYS
from bench.runner import B2_SETTINGS, Ran, b2d1
from bench.sizes import Sizes
from bench.tables import Progress, Section, at_least, at_most, grid

WORKERS = 16
TIMES_FASTER = {"b2d1 inventory": 11, "b2d1 sync, nothing new": 9}
MORE_REQUESTS = 3  # per cent
HEAD = ("{objects:,} objects, {latency:.0f} ms a page", "1 worker", "16 workers", "to reach", "reached")
HOW = """\
The whole command, start and end of its process included, once with `B2_LIST_WORKERS=1`, {times}
with 16. `b2d1 inventory` knows nothing of the bucket and finds by itself where to divide it; `b2d1 sync`
meets a database (Cloudflare's own D1 engine on this machine) that has every object. All must find the same
listing, byte for byte as `b2d1 inventory` prints it, and the sync may write nothing. The requests, and those
in flight at once, are as the list server counts them."""


class Timed(NamedTuple):
    """A command that was run, the digest of the listing it made, and what the list server counted."""

    ran: Ran
    digest: str
    counts: Counts


class Comparison(NamedTuple):
    """A command, with one worker and, several times, with many."""

    command: str
    objects: int
    one: Timed
    many: list[Timed]

    @property
    def seconds(self) -> float:
        return statistics.median(each.ran.seconds for each in self.many)

    @property
    def more_requests(self) -> float:
        """Tell how many more requests were made at worst, in per cent of the pages there are."""
        most = max(each.counts.requests for each in self.many)
        return 100 * (most / -(-self.objects // MAX_KEYS) - 1)

    def faults(self) -> list[str]:
        """Say what the commands did otherwise than they should; how long they took is no matter here."""
        faults = []
        # Each page but the first shows the last key of the one before again.
        if self.one.counts != (-(-(self.objects - 1) // (MAX_KEYS - 1)), 1):
            faults.append(f"one worker made (requests, at once) {tuple(self.one.counts)}")
        for each in self.many:
            if each.digest != self.one.digest:
                faults.append(f"{WORKERS} workers found {each.digest}, one found {self.one.digest}")
            # What is at most: a last page for each range, and a look for where to divide for each range.
            if each.counts.requests > self.one.counts.requests * (1 + MORE_REQUESTS / 100) + 2 * WORKERS:
                faults.append(f"{WORKERS} workers made {each.counts.requests} requests")
            if each.counts.most_in_flight > WORKERS:
                faults.append(f"{WORKERS} workers made {each.counts.most_in_flight} requests at once")
        return [f"{self.command}, {self.objects:,} objects: {fault}" for fault in faults]

    def rows(self) -> list[tuple[str, ...]]:
        times = [each.ran.seconds for each in self.many]
        requests = sorted({each.counts.requests for each in self.many})
        in_flight = max(each.counts.most_in_flight for each in self.many)
        return [
            (
                self.command,
                f"{self.one.ran.seconds:.1f} s",
                f"{self.seconds:.1f} s ({min(times):.1f} to {max(times):.1f})",
                *at_least(self.one.ran.seconds / self.seconds, TIMES_FASTER[self.command], " times faster"),
            ),
            (
                "its list requests",
                f"{self.one.counts.requests:,}",
                " to ".join(f"{count:,}" for count in (requests[0], requests[-1])[: len(requests)]),
                *at_most(self.more_requests, MORE_REQUESTS, " % more", 1),
            ),
            (
                "its requests in flight",
                f"{self.one.counts.most_in_flight}",
                f"{in_flight}",
                "",
                f"{in_flight}",
            ),
        ]


def section(sizes: Sizes, databases: Databases, progress: Progress) -> Section:
    """Compare both commands, and make a section of that."""
    objects = sizes.parallel
    settings = databases.filled(objects).d1.settings()

    def listed(workers: int) -> Timed:
        progress(f"b2d1 inventory, {workers} workers")
        timed = _run(["inventory"], {}, workers, sizes)
        return Timed(timed.ran, timed.ran.sha256, timed.counts)

    def synced(workers: int) -> Timed:
        progress(f"b2d1 sync, {workers} workers")
        timed = _run(["sync", "--json"], settings, workers, sizes)
        report = timed.ran.report()
        did = (report["discovered"], report["new"], report["rows_written"])
        if did != (objects, 0, 0):
            raise RuntimeError(f"b2d1 sync (discovered, new, rows written): {did}")
        return Timed(timed.ran, report["listing_sha256"], timed.counts)

    comparisons = [
        Comparison(command, objects, run(1), [run(WORKERS) for _ in range(sizes.parallel_rounds)])
        for command, run in zip(TIMES_FASTER, (listed, synced), strict=True)
    ]
    return made_section(comparisons, sizes)


def made_section(comparisons: list[Comparison], sizes: Sizes) -> Section:
    head = tuple(each.format(objects=sizes.parallel, latency=1000 * sizes.latency) for each in HEAD)
    faults = [fault for each in comparisons for fault in each.faults()]
    if len({each.one.digest for each in comparisons}) > 1:
        faults.append("b2d1 inventory and b2d1 sync found different listings")
    return Section(
        f"{WORKERS} connections against one",
        grid([head, *(row for each in comparisons for row in each.rows())]),
        HOW.format(
            times="once" if sizes.parallel_rounds == 1 else f"{sizes.parallel_rounds} times (the median)"
        ),
        faults,
    )


def _run(command: list[str], settings: dict[str, str], workers: int, sizes: Sizes) -> Timed:
    with ListServer("ascii", sizes.parallel, latency=sizes.latency) as b2:
        chosen = {"B2_ENDPOINT": b2.url, "B2_LIST_WORKERS": str(workers)}
        ran = b2d1(*command, settings=settings | B2_SETTINGS | chosen)
        return Timed(ran, "", counts_so_far(b2.url))
