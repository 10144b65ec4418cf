"""What was measured, checked and made a table."""

import statistics
from typing import NamedTuple

from b2d1.media import ListMode
from bench.pages import MAX_KEYS


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


HEAD = ("CPU for 1,000 keys", "b2d1", "stock boto3", "floor", "times less than stock", "by round", "to reach")


def table(results: list[Result]) -> str:
    """Make a table of the results, in Markdown that a terminal can show as it is."""
    return grid([HEAD, *map(_row, results)])


def grid(rows: list[tuple[str, ...]]) -> str:
    """Align cells as a table in Markdown; the first row is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(map(str.ljust, row, widths)) for row in rows]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def _row(result: Result) -> tuple[str, ...]:
    taken = {name: f"{result.milliseconds(name):.2f} ms" for name in result.measurements}
    ratio, ratios = result.milliseconds("stock") / result.milliseconds("b2d1"), result.ratios()
    return (
        result.case.title,
        *(taken.get(name, "") for name in ("b2d1", "stock", "floor")),
        f"{ratio:.1f}",
        f"{min(ratios):.1f} to {max(ratios):.1f}",
        f"{result.case.target}",
    )
