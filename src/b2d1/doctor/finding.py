"""What an examination finds: a check's name, how it stands, what was found, and what mends it."""

import enum
import logging
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from b2d1.errors import B2D1Error
from b2d1.loopback import is_this_machine

logger = logging.getLogger(__name__)

NO_HINT = "Run it again with -v, which shows each request."
BROKEN_OFF = "This is a fault of b2d1's: run it again with -v, and report what that shows."


class Status(enum.StrEnum):
    """How a check stands; NOT_CHECKED is no fault, and `found` says why."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NOT_CHECKED = "not checked"


class Found(NamedTuple):
    """What a check found; `fix` is the sentence that mends a warning or a failure, which has an exit code."""

    status: Status
    found: str
    fix: str = ""
    exit_code: int = 0


class Line(NamedTuple):
    """A check by name, and what it found."""

    check: str
    status: Status
    found: str
    fix: str
    exit_code: int


def ok(found: str) -> Found:
    return Found(Status.OK, found)


def warn(found: str, fix: str) -> Found:
    return Found(Status.WARN, found, fix)


def fail(exit_code: int, found: str, fix: str) -> Found:
    return Found(Status.FAIL, found, fix, exit_code)


def not_checked(reason: str) -> Found:
    return Found(Status.NOT_CHECKED, reason)


def failed(error: B2D1Error) -> Found:
    """Make an error a finding, with its hint and its exit code."""
    return fail(error.exit_code, str(error), error.hint or NO_HINT)


def telling_where(ask: Callable[[], Found], url: str, setting: str, usual: str) -> Callable[[], Found]:
    """Let a failure tell which address was asked: one that a setting puts in the place of the usual one's."""

    def told() -> Found:
        try:
            found = ask()
        except B2D1Error as error:
            found = failed(error)
        if found.status is not Status.FAIL:
            return found
        where = f"{setting} names it" if url in found.found else f"asked at {url}, which {setting} names"
        fix = found.fix
        if not is_this_machine(urllib.parse.urlsplit(url).hostname or ""):  # whoever set that meant it
            fix += f" If you mean {usual} itself, unset {setting}."
        return found._replace(found=f"{found.found}; {where}", fix=fix)

    return told


def counted(count: int, noun: str) -> str:
    """Write a number of things: 1 object, 2,000 objects."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


class Check(NamedTuple):
    """A check by name; it is not made when one of those that it `needs` has failed."""

    name: str
    ask: Callable[[], Found | list[Found]]
    needs: tuple[str, ...] = ()


def run(checks: Iterable[Check]) -> Iterator[Line]:
    """Make the checks in their order; one that fails stops only those that need it."""
    causes: dict[str, str] = {}  # of a check that failed or was not made: the one that failed first
    for check in checks:
        for each in _ask(check, causes):
            if each.status is Status.FAIL:
                causes[check.name] = check.name
            yield Line(check.name, *each)


def _ask(check: Check, causes: dict[str, str]) -> list[Found]:
    if lacking := [causes[name] for name in check.needs if name in causes]:
        causes[check.name] = lacking[0]
        return [not_checked(f"it needs what failed above: {lacking[0]}")]
    try:
        found = check.ask()
    except B2D1Error as error:
        return [failed(error)]
    except Exception as fault:  # a mistake of ours keeps nobody from the other checks
        logger.debug("%s broke off", check.name, exc_info=fault)
        return [fail(B2D1Error.exit_code, f"the check broke off: {type(fault).__name__}", BROKEN_OFF)]
    return found if isinstance(found, list) else [found]
