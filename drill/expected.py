"""What each cell is to lead to, stated without a look at how b2d1 judges errors."""

from typing import NamedTuple

from drill.faults import Fault
from drill.steps import EXIT_CODE, ROUNDS, Step

KILLED = -9

# An answer to HEAD has no content. Under 200 there seems to be an object, of other hands: it is replaced.
HARMLESS = {("snapshot HEAD", "HTML under 200"), ("snapshot HEAD", "failure under 200")}


class Outcome(NamedTuple):
    """How a run ends, how many rounds are in then, and whether the snapshot is the new one.

    `confirmed` is what its report, if it has one, says about the rows that it claims.
    """

    exit_code: int
    published: int
    snapshot: bool
    confirmed: bool


def applies(step: Step, fault: Fault, *, always: bool) -> bool:
    """Tell whether there is such a cell."""
    if fault.kind == "kill":
        return not always
    if fault.kind == "deed" and step.server not in fault.deeds:
        return False
    if fault.message and step.name == "resolve":  # the account answers there, not a database
        return False
    if fault.message and fault.acts and not step.writes:  # without an effect, no matter when
        return False
    return not (step.silent and fault.needs_content)


def expected(step: Step, fault: Fault, *, always: bool) -> Outcome:
    """State the outcome of a cell."""
    if fault.kind == "kill":
        exit_code = KILLED
    elif fault.kind == "refusal" and always:  # whoever is gone is not back for the next request
        exit_code = EXIT_CODE[step.server]
    elif (step.name, fault.name) in HARMLESS or (fault.too_much and step.staged_then):
        exit_code = 0
    elif always:
        exit_code = step.failure
    else:
        exit_code = 0
    if exit_code == 0:
        return Outcome(0, ROUNDS, snapshot=True, confirmed=not (step.inserts and fault.doubt))
    return Outcome(
        exit_code,
        published=step.published + (fault.acts and step.inserts),
        snapshot=fault.acts and step.name == "snapshot PUT",
        confirmed=False,
    )
