"""The CPU that listing took: checked, and made a section."""

import statistics
from typing import NamedTuple

from b2d1.media import ListMode
from bench.pages import MAX_KEYS
from bench.tables import Section, at_least, grid


class Case(NamedTuple):
    """What is listed, what is made of it, and how many times less CPU than stock boto3 it is to take."""

    title: str
    product: str
    mode: ListMode
    alphabet: str
    target: int


class Measurement(NamedTuple):
    """What a contender took, and what it brought: the digest is that of all uids, or of the inventory."""

    cpu_seconds: float
    objects: int
    requests: int
    digest: str


class Result(NamedTuple):
    """A case's measurements by contender, one for each round, on a bucket of so many objects."""

    case: Case
    objects: int
    measurements: dict[str, list[Measurement]]

    def milliseconds(self, contender: str) -> float:
        """Tell the CPU for 1,000 keys, the median of all rounds."""
        return statistics.median(
            1e6 * each.cpu_seconds / self.objects for each in self.measurements[contender]
        )

    def ratios(self) -> list[float]:
        """Tell, for each round, how many times less CPU b2d1 took than stock boto3."""
        pairs = zip(self.measurements["b2d1"], self.measurements["stock"], strict=True)
        return [stock.cpu_seconds / b2d1.cpu_seconds for b2d1, stock in pairs]

    def faults(self) -> list[str]:
        """Say what is wrong with what the contenders brought; how long they took is no matter here."""
        pages, digest = -(-self.objects // MAX_KEYS), self.measurements["stock"][0].digest
        faults = []
        for contender, taken in self.measurements.items():
            # The floor takes its pages from nowhere.
            wanted = (self.objects, 0 if contender == "floor" else pages, digest)
            faults += [
                f"{self.case.title}: {contender} brought (objects, requests, digest) {brought}, not {wanted}"
                for brought in sorted({each[1:] for each in taken} - {wanted})
            ]
        return faults


HEAD = ("1,000 keys", "b2d1", "stock boto3", "floor", "by round", "to reach", "reached")
HOW = """\
CPU time of the client's process alone, while it lists a bucket of {pages} pages of 1,000 keys (60 bytes on
average) from a server on loopback in another process; medians of {rounds} rounds in which the contenders took
turns. *stock boto3* is its paginator under the default configuration, *floor* one regular expression and
SHA-256 over the same bytes, without a request or a check. All must bring the same uids, or the same inventory
byte for byte, with one request a page."""


def section(results: list[Result], pages: int, rounds: int) -> Section:
    """Make a section of the results."""
    return Section(
        "CPU of listing, against stock boto3",
        grid([HEAD, *map(_row, results)]),
        HOW.format(pages=pages, rounds=rounds),
        [fault for result in results for fault in result.faults()],
    )


def _row(result: Result) -> tuple[str, ...]:
    taken = {name: f"{result.milliseconds(name):.2f} ms" for name in result.measurements}
    ratio, ratios = result.milliseconds("stock") / result.milliseconds("b2d1"), result.ratios()
    return (
        result.case.title,
        *(taken.get(name, "") for name in ("b2d1", "stock", "floor")),
        f"{min(ratios):.1f} to {max(ratios):.1f}",
        *at_least(ratio, result.case.target, " times less"),
    )
