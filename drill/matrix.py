"""The matrix as a person reads it: a line for each fault, a column for each step, and what is red."""

from collections.abc import Mapping
from string import ascii_uppercase

from drill.cell import Cell
from drill.expected import KILLED
from drill.faults import FAULTS, Fault
from drill.steps import STEPS
from drill.trial import Result

LEGEND = """
Two signs for each step, {steps}:
the exit code of the run when the fault happens once, and when it happens each time; K is killed,
! is not as it was to be. After it one run without a fault, in every cell.
"""


def matrix(results: Mapping[Cell, Result]) -> str:
    """Draw the matrix of these results."""
    columns = list(zip(ascii_uppercase, STEPS, strict=False))
    lines = [" ".join(f"{letter} " for letter, _ in columns)]
    lines += [f"{_line(fault, results)} {fault.name}" for fault in FAULTS]
    steps = ", ".join(f"{letter} {step.name}" for letter, step in columns)
    return "\n".join(lines) + "\n" + LEGEND.format(steps=steps)


def account(results: Mapping[Cell, Result]) -> str:
    """Tell how many cells there are, and of each red one what is wrong."""
    red = {cell: result for cell, result in results.items() if result.complaints}
    lines = [f"{len(results):,} cells, {len(results) - len(red):,} as they were to be, {len(red):,} red"]
    for cell, result in red.items():
        lines += ["", str(cell), *(f"  {line}" for each in result.complaints for line in each.splitlines())]
    return "\n".join(lines)


def _line(fault: Fault, results: Mapping[Cell, Result]) -> str:
    return " ".join(
        "".join(_sign(results.get(Cell(step, fault, always))) for always in (False, True)) for step in STEPS
    )


def _sign(result: Result | None) -> str:
    if result is None:
        return "."
    if result.complaints:
        return "!"
    return "K" if result.exit_code == KILLED else str(result.exit_code)
