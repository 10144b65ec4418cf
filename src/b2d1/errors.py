"""What can go wrong, told so that an operator knows what to do next.

::

    B2D1Error                exit 1   anything without a code of its own
    ├── UsageError           exit 2   what the operator gave cannot be used
    │   ├── SettingsError             settings that are missing or malformed, all of them
    │   └── InventoryError            a file that is no inventory
    ├── B2Error              exit 3   the bucket could not be listed, wholly and for certain
    ├── D1Error              exit 4   the database refused, failed or is not as needed
    ├── GuardRefusal         exit 5   writing would harm the index
    ├── IndexDiffers         exit 6   the index is not what the bucket is
    ├── SnapshotError        exit 1   the snapshot could not be kept
    └── OutOfTime            exit 1   the deadline came first

An error is raised where it is understood and logged once, at the edge (`cli`, `handler`).
"""

import enum
import json
import math


def harmless(text: str, most: int = 10**9) -> str:
    """Write what a stranger said on one line, cut, and with nothing in it that a terminal or a log obeys."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:most])


def printable(text: str) -> str:
    """Write each character that is not printable, except a line feed, as its JSON escape.

    In a JSON document, such characters stand only inside strings, so its values stay the same.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)


class Retry(enum.Enum):
    """What a repetition of the same request promises."""

    NEVER = "never"
    SOON = "soon"  # after a short, growing pause
    LATER = "later"  # not before `retry_after` seconds
    SMALLER = "smaller"  # only with less in it


class Refused(enum.Enum):
    """What Cloudflare refused, as far as its answer tells."""

    TOKEN = "token"  # noqa: S105 - the token itself: unknown, malformed, or used from an address that it excludes
    ACCOUNT = "account"  # the token's use of D1 in this account
    EITHER = "either"  # one of the two: the answer does not tell which


class B2D1Error(Exception):
    """A failure that has a name.

    `message` says what happened, `doing` what was being done, `hint` what the operator can do about
    it; `retry` and `retry_after` (seconds) tell `retry.py` whether the same request may be sent again, and
    `patience` for how many seconds that is worthwhile.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        doing: str = "",
        hint: str = "",
        retry: Retry = Retry.NEVER,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.doing = doing
        self.hint = hint
        self.retry = retry
        self.retry_after = retry_after
        self.patience = math.inf
        self.gave_up = ""

    def __str__(self) -> str:
        text = f"{self.doing}: {self.message}" if self.doing else self.message
        return f"{text} ({self.gave_up})" if self.gave_up else text


class UsageError(B2D1Error):
    """What the operator gave cannot be used."""

    exit_code = 2


class SettingsError(UsageError):
    """Settings are missing or malformed; `problems` holds a sentence for each, none with a value in it."""

    def __init__(self, problems: list[str]) -> None:
        count = "1 setting needs" if len(problems) == 1 else f"{len(problems)} settings need"
        super().__init__(
            "\n  ".join([f"{count} attention:", *problems]),
            hint="README.md lists every setting; .env.example is a form to fill in.",
        )
        self.problems = problems


class InventoryError(UsageError):
    """A file is no inventory, or not a sound one."""


class B2Error(B2D1Error):
    """The bucket could not be listed, wholly and for certain.

    `busy` is true when B2 was asked for too much at once.
    """

    exit_code = 3
    busy = False


class D1Error(B2D1Error):
    """The database refused, failed, or is not as needed.

    `ambiguous` is true when the statement may have taken effect although no answer says so; `refused` is set
    when the token or its access was refused.
    """

    exit_code = 4
    ambiguous = False
    refused: Refused | None = None


class GuardRefusal(B2D1Error):
    """Writing would harm the index, so nothing was written."""

    exit_code = 5


class IndexDiffers(B2D1Error):
    """The index was held against the bucket, and is not what it should be."""

    exit_code = 6


class SnapshotError(B2D1Error):
    """The snapshot could not be kept."""


class OutOfTime(B2D1Error):
    """The deadline came first."""
