"""Tables in Markdown, and the sections of the document that are made of them."""

from collections.abc import Callable
from typing import NamedTuple

Progress = Callable[[str], object]


class Point(NamedTuple):
    """What a run on a bucket of so many objects reached; memory in MB."""

    objects: int
    objects_a_second: float
    peak_memory: float


class Section(NamedTuple):
    """A theme: its table, how that was measured, and what came out otherwise than it must (times apart).

    With `points`, a picture is drawn below it.
    """

    title: str
    table: str
    how: str
    faults: list[str]
    points: tuple[Point, ...] = ()

    def __str__(self) -> str:
        return f"## {self.title}\n\n{self.table}\n\n{self.how}\n"


def grid(rows: list[tuple[str, ...]]) -> str:
    """Align cells as a table in Markdown that a terminal can show as it is; the first row is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(map(str.ljust, row, widths)) for row in rows]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def at_least(figure: float, bound: float, unit: str, digits: int = 1) -> tuple[str, str]:
    """Write what is to be reached, and what was."""
    return f"at least {bound:,g}{unit}", _judged(f"{figure:,.{digits}f}{unit}", figure >= bound)


def at_most(figure: float, bound: float, unit: str, digits: int = 0) -> tuple[str, str]:
    """Write what is to be reached, and what was."""
    return f"at most {bound:,g}{unit}", _judged(f"{figure:,.{digits}f}{unit}", figure <= bound)


def _judged(figure: str, is_reached: bool) -> str:
    return figure if is_reached else f"{figure}: not reached"
