"""The cells of the matrix: a fault at a step, once or always."""

from typing import NamedTuple

from drill.expected import applies
from drill.faults import DO_LESS, FAULTS, RETRY, Fault
from drill.steps import STEPS, Step


class Cell(NamedTuple):
    """A fault at a step: the first time that a run comes to it, or each time."""

    step: Step
    fault: Fault
    always: bool

    def __str__(self) -> str:
        return f"{self.step.name}, {self.fault.name}, {'always' if self.always else 'once'}"


CELLS = tuple(
    Cell(step, fault, always)
    for fault in FAULTS
    for step in STEPS
    for always in (False, True)
    if applies(step, fault, always=always)
)

# For the tests: each fault where it can do most harm, with two of the errors that D1 documents; an answer
# lost at each step; and none to be had, where something is written or another server than D1 is asked.
ERRORS_OF_D1 = {"", RETRY[0], DO_LESS[0]}
QUICK = tuple(
    cell
    for cell in CELLS
    if (cell.step.name == "publish" and not cell.always and cell.fault.message in ERRORS_OF_D1)
    or (cell.fault.name == "dropped after" and not cell.always)
    or (cell.fault.name == "503" and cell.always and (cell.step.writes or cell.step.server != "D1"))
)
