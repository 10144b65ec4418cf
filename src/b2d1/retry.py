"""Trying again: the one place that waits, and never past the deadline.

The clock, the sleep and the randomness are arguments, so that tests never wait.
"""

import dataclasses
import email.utils
import logging
import math
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from b2d1.errors import B2D1Error, OutOfTime, Retry

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE = 0.5  # on average: full jitter spreads it from nothing to twice that
LONGEST_PAUSE = 20.0
# A server that asks for more is not waited for: neither a Lambda's time nor a person's patience is longer.
LONGEST_WAIT = 900.0
ATTEMPTS = 8
# Of tries that time alone bounds.
UNCOUNTED = 1_000_000
# What a server answers that may answer better the next time.
TRY_AGAIN_STATUS = {408, 429, 500, 502, 503, 504}


@dataclasses.dataclass(frozen=True)
class Deadline:
    """The moment, on `clock`, by which everything must have ended; infinity when nothing hurries.

    No single wait is longer than `each` (seconds).
    """

    at: float = math.inf
    clock: Callable[[], float] = time.monotonic
    each: float = math.inf

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> "Deadline":
        """Set the deadline so many seconds from now."""
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        """Tell the seconds left, negative when it has passed."""
        return self.at - self.clock()

    def timeout(self, longest: float) -> float:
        """Bound a single wait (seconds) by what is left."""
        return max(0.001, min(longest, self.each, self.remaining()))


@dataclasses.dataclass(frozen=True)
class Retrying:
    """How often to try, and the means to wait in between.

    `sleep` takes seconds; None really waits, at most until `halted` is set. Then no further try is made. A
    pause of `longest_wait` seconds or more is not waited for.
    """

    deadline: Deadline = Deadline()
    attempts: int = ATTEMPTS
    sleep: Callable[[float], object] | None = None
    random: Callable[[], float] = random.random
    halted: threading.Event = dataclasses.field(default_factory=threading.Event, compare=False)
    longest_wait: float = LONGEST_WAIT

    def within(self, seconds: float) -> "Retrying":
        """Narrow the deadline; then time alone, not a number of attempts, is the bound."""
        clock = self.deadline.clock
        at = min(self.deadline.at, clock() + seconds)
        return dataclasses.replace(self, deadline=Deadline(at, clock), attempts=UNCOUNTED)

    def call(self, attempt: Callable[[], T]) -> T:
        """Call `attempt` until it succeeds or its error says that another try is pointless.

        The last error is raised as it came, with a note of why no further try was made.
        """
        if self.deadline.remaining() <= 0:
            hint = "Give the run more time: docs/operations.md, 'A run is slow'."
            raise OutOfTime("no time is left before the deadline", hint=hint)
        tried, patience_began = 0, math.inf
        while True:
            try:
                return attempt()
            except B2D1Error as error:
                _forget_frames(error)
                tried += 1
                # What was halted fails because of that, and is no news.
                if error.retry not in {Retry.SOON, Retry.LATER} or self.halted.is_set():
                    raise
                if tried >= self.attempts:
                    error.gave_up = error.gave_up or f"gave up after {tried} attempts"
                    raise
                pause = self._pause(error, tried)
                # Only failures of this kind, in a row, use it up; all others have patience for ever.
                now = self.deadline.clock()
                patience_began = min(patience_began, now) if error.patience < math.inf else math.inf
                patience = patience_began + error.patience - now
                if patience <= 0:
                    error.gave_up = error.gave_up or f"gave up after {tried} attempts"
                    raise
                pause = min(pause, patience)
                left = self.deadline.remaining()
                if pause >= min(left, self.longest_wait):
                    reason = f"gave up: the next try is due in {pause:.1f} s"
                    if left < math.inf:
                        reason += f", {max(left, 0):.1f} s are left"
                    error.gave_up = error.gave_up or reason
                    raise
                bound = (
                    f"{tried} of {self.attempts}" if self.attempts < UNCOUNTED else f"{left:.0f} s are left"
                )
                logger.warning("%s; trying again in %.1f s (%s)", error, pause, bound)
                (self.sleep or self.halted.wait)(pause)
                if self.halted.is_set():
                    raise
                if self.deadline.remaining() <= 0:  # sleep may take longer than it was told
                    error.gave_up = error.gave_up or "gave up: no time is left"
                    raise

    def _pause(self, error: B2D1Error, tried: int) -> float:
        """Back off exponentially with full jitter, but never before the server's own Retry-After."""
        jittered = self.random() * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tried, 16))
        return max(error.retry_after or 0.0, jittered)


def _forget_frames(error: BaseException | None) -> None:
    """Drop the frames that an error and its causes came through.

    Their variables hold the request and the answer: the token, which a traceback with variables would show,
    and megabytes, which would lie about during the pause.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def retry_after_seconds(header: str | None, now: datetime | None = None) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date (RFC 9110, 10.2.3); None when it says nothing."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(header)
        except (ValueError, OverflowError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
