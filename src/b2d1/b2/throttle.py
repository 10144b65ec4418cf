"""How many requests may be under way at once: fewer when the server is busy, by and by more again."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from b2d1.errors import B2Error

logger = logging.getLogger(__name__)

# One more at once after so many answers to each that may be under way.
ANSWERS_TO_GROW = 4


class Throttle:
    """At most `most` requests at once; half as many after a B2Error that is `busy`.

    `requests` counts all that were begun.
    """

    def __init__(self, most: int) -> None:
        self.requests = 0
        self._most = most
        self._allowed = most
        self._under_way = 0
        self._answered = 0
        self._shrunk = 0
        self._changed = threading.Condition()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Wait for a place, and hold it for as long as a request takes."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way < self._allowed)
            self._under_way += 1
            self.requests += 1
            shrunk = self._shrunk
        answered = busy = False
        try:
            yield
            answered = True
        except B2Error as error:
            busy = error.busy
            raise
        finally:
            with self._changed:
                self._under_way -= 1
                # One that was sent when more were allowed tells nothing new; one without an answer, nothing.
                if (answered or busy) and shrunk == self._shrunk:
                    self._learn(busy=busy)
                self._changed.notify_all()

    def _learn(self, *, busy: bool) -> None:
        self._answered = 0 if busy else self._answered + 1
        if busy and self._allowed > 1:
            self._allowed //= 2
            self._shrunk += 1
            logger.warning("B2 is busy: at most %d requests at once", self._allowed)
        elif self._allowed < self._most and self._answered >= ANSWERS_TO_GROW * self._allowed:
            self._allowed += 1
            self._answered = 0
