"""Examine everything that a run needs, one line for each check, whatever the others say.

Nothing is written to B2 or to D1; `snapshot` tells how the snapshot's place is tried.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from b2d1.doctor.bucket import BucketChecks
from b2d1.doctor.configuration import settings_check, sound_parts
from b2d1.doctor.d1 import D1Checks
from b2d1.doctor.finding import Check, Line, Status, run
from b2d1.doctor.key import KeyChecks
from b2d1.doctor.rows import RowChecks
from b2d1.doctor.schedule import schedule_check
from b2d1.doctor.snapshot import snapshot_check
from b2d1.doctor.table import TableChecks
from b2d1.retry import Deadline, Retrying

# Whoever waits for the answer sits before it: a service that does not answer soon is what is to be told.
ATTEMPTS = 2
LONGEST_WAIT = 5.0
LONGEST_ANSWER = 10.0
DEFAULT_STACK = "b2d1"


def _utc() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def impatient(**means: Any) -> Retrying:
    """Try twice, wait for no answer for long, nor in between; `means` are Retrying's own."""
    deadline = means.pop("deadline", Deadline(each=LONGEST_ANSWER))
    return Retrying(deadline, ATTEMPTS, longest_wait=LONGEST_WAIT, **means)


def examine(
    env: Mapping[str, str],
    stack: str = DEFAULT_STACK,
    retrying: Retrying | None = None,
    now: Callable[[], dt.datetime] = _utc,
) -> Iterator[Line]:
    """Make every check, in an order in which causes come before their consequences.

    `stack` names the CloudFormation stack whose schedule is looked at.
    """
    return run(_checks(env, stack, retrying or impatient(), now))


def _checks(
    env: Mapping[str, str], stack: str, retrying: Retrying, now: Callable[[], dt.datetime]
) -> list[Check]:
    sound = sound_parts(env)
    bucket = BucketChecks(sound.b2, retrying)
    d1 = D1Checks(sound.d1, retrying, now)
    return [
        settings_check(env),
        *KeyChecks(sound, retrying, now).checks(),
        *bucket.checks(),
        *d1.checks(),
        *TableChecks(d1).checks(),
        *RowChecks(d1, bucket, sound.b2.list_mode if sound.b2 else None, now).checks(),
        snapshot_check(sound, retrying),
        schedule_check(stack, sound.ca_bundle),
    ]


def exit_code(lines: Iterable[Line]) -> int:
    """Return the first failure's exit code, 0 where nothing failed."""
    return next((line.exit_code for line in lines if line.status is Status.FAIL), 0)
