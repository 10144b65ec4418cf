"""What whole runs take on Cloudflare's own D1 engine: a first load, and a run with nothing new.

Requests and rows are those that a run reports of itself.
"""

import json
import math
from typing import Any, NamedTuple

from b2d1.media import media_uid
from bench.bucket import SyntheticBucket
from bench.databases import Databases
from bench.list_server import ListServer
from bench.runner import B2_SETTINGS, Ran, b2d1
from bench.sizes import Sizes
from bench.tables import Point, Progress, Section, at_most, grid

MEMORY = {"all new": 120, "nothing new": 110}  # MB
GROWTH = 10  # per cent more memory than REFERENCE objects take, with nothing new
REFERENCE = 100_000
ROWS_WRITTEN = 3.001  # a new row: the table, its unique index and the index of keys; and what staging takes
UIDS, CHUNK = 20_000, 900_000
HEAD = ("whole runs", "to reach", "reached")
BY_SIZE = ("bucket, nothing new", "took", "objects a second", "peak memory", "D1 requests", "list requests")
HOW = """\
`b2d1 sync --json` in a process of its own, into an empty table of Cloudflare's own D1 engine on this machine,
and once more. Memory is the peak of the process's resident set. D1 requests of a first load: one for each
20,000 objects, one for each 900 kB of new rows, three a round, and ten; of a run with nothing new, one for
each 20,000 objects and five. D1 counts as written a row for the table and one for each of its two indexes.

{by_size}

Again nothing new, the number of workers not set, and {latency:.0f} ms a page."""


class Run(NamedTuple):
    """A run: the bucket's objects, those of them it was to insert, and the bytes of their rows as sent."""

    objects: int
    new: int
    row_bytes: int
    report: dict[str, Any]
    seconds: float
    peak_memory: float

    @property
    def kind(self) -> str:
        return "all new" if self.new else "nothing new"

    @property
    def title(self) -> str:
        return f"{self.objects:,} objects, {self.kind}"

    @property
    def most_requests(self) -> int:
        asks = math.ceil(self.objects / UIDS)
        if not self.new:
            return asks + 5
        return asks + math.ceil(self.row_bytes / CHUNK) + 3 * int(self.report["rounds"]) + 10

    @property
    def rate(self) -> float:
        """Tell the objects a second."""
        return self.objects / self.seconds

    def faults(self) -> list[str]:
        """Say what the run did otherwise than it should; how long it took is no matter here."""
        report = self.report
        wrong = {
            "discovered": report["discovered"] != self.objects,
            "inserted": report["inserted"] != self.new,
            "missing_after": report["missing_after"] != 0,
            "confirmed": report["confirmed"] is not True,
            "d1_requests": report["d1_requests"] > self.most_requests,
            "rows_written": report["rows_written"] > ROWS_WRITTEN * self.new,
        }
        return [f"{self.title}: {name} is {report[name]}" for name, is_wrong in wrong.items() if is_wrong]


def section(sizes: Sizes, databases: Databases, progress: Progress) -> Section:
    """Measure runs on buckets of all sizes, and make a section of them."""
    return made_section(measure(sizes, databases, progress), sizes)


def measure(sizes: Sizes, databases: Databases, progress: Progress) -> list[Run]:
    """Fill a database from a bucket of each size, and run once more, with nothing new."""
    runs = []
    for objects in sizes.buckets:
        d1, first = databases.filled(objects)
        progress(f"{objects:,} objects, nothing new")
        with ListServer("ascii", objects, latency=sizes.latency) as b2:
            again = b2d1("sync", "--json", settings=d1.settings() | B2_SETTINGS | {"B2_ENDPOINT": b2.url})
        row_bytes = _row_bytes(objects)
        runs += [_run(objects, objects, row_bytes, first), _run(objects, 0, row_bytes, again)]
    return runs


def made_section(runs: list[Run], sizes: Sizes) -> Section:
    """Make a section: of the largest bucket all figures, of each other one what it takes with nothing new."""
    largest = [run for run in runs if run.objects == max(sizes.buckets)]
    reference = [run for run in runs if run.objects == REFERENCE and not run.new]
    by_size = grid([BY_SIZE, *(_by_size(run) for run in runs if not run.new)])
    return Section(
        "Whole runs: memory, requests, rows written",
        grid([HEAD, *(row for run in largest for row in _rows(run, reference))]),
        HOW.format(by_size=by_size, latency=1000 * sizes.latency),
        [fault for run in runs for fault in run.faults()],
        tuple(Point(run.objects, run.rate, run.peak_memory) for run in runs if not run.new),
    )


def _rows(run: Run, reference: list[Run]) -> list[tuple[str, ...]]:
    report = run.report
    rows: list[tuple[str, ...]] = [
        (f"{run.title}: peak memory", *at_most(run.peak_memory, MEMORY[run.kind], " MB"))
    ]
    if not run.new:
        rows += [
            (
                f"more of it than {each.objects:,} objects take",
                *at_most(100 * (run.peak_memory / each.peak_memory - 1), GROWTH, " %"),
            )
            for each in reference
        ]
    rows.append(("its D1 requests", *at_most(report["d1_requests"], run.most_requests, "")))
    if run.new:
        per_row = report["rows_written"] / run.new
        rows.append(("its rows written for each new row", *at_most(per_row, ROWS_WRITTEN, "", 4)))
        rows.append(("its rounds", "", f"{report['rounds']}"))
        rows.append(("it took", "", f"{run.seconds:.0f} s"))
    else:
        rows.append(("its rows written", *at_most(report["rows_written"], 0, "")))
    return rows


def _by_size(run: Run) -> tuple[str, ...]:
    return (
        f"{run.objects:,} objects",
        f"{run.seconds:.1f} s",
        f"{run.rate:,.0f}",
        f"{run.peak_memory:.0f} MB",
        f"{run.report['d1_requests']:,}",
        f"{run.report['list_requests']:,}",
    )


def _run(objects: int, new: int, row_bytes: int, ran: Ran) -> Run:
    return Run(objects, new, row_bytes, ran.report(), ran.seconds, ran.peak_memory)


def _row_bytes(objects: int) -> int:
    """Weigh a bucket's rows as they are sent."""
    bucket = SyntheticBucket("ascii", objects)

    def weight(index: int, etag: str, size: int) -> int:
        key = bucket.key(index)
        row = [media_uid(etag, key), key, etag, size, etag]
        return len(json.dumps(row, separators=(",", ":"))) + 2

    indexes = range(objects)
    return sum(weight(index, etag, size) for index, (etag, _, size) in enumerate(bucket.rows(indexes)))
