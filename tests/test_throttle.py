"""How many requests may be under way: fewer when the server is busy, by and by more again."""

import contextlib
import threading
from collections.abc import Callable

import pytest

from b2d1.b2.throttle import ANSWERS_TO_GROW, Throttle
from b2d1.errors import B2Error

PATIENCE = 20.0


def busy() -> B2Error:
    error = B2Error("busy")
    error.busy = True
    return error


class Requests:
    """Requests of a throttle, each in a thread of its own; they end when they are told to."""

    def __init__(self, throttle: Throttle) -> None:
        self.under_way = 0
        self._throttle = throttle
        self._threads: list[threading.Thread] = []
        self._endings: list[BaseException | None] = []
        self._changed = threading.Condition()

    def begin(self, count: int) -> None:
        """Begin so many more, as far as they are let."""
        self._threads += [threading.Thread(target=self._request) for _ in range(count)]
        for thread in self._threads[-count:]:
            thread.start()

    def wait_for(self, count: int) -> None:
        """Wait until so many are under way."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.under_way == count, PATIENCE)

    def end(self, *endings: BaseException | None) -> None:
        """Let so many end: by an error, or with None by an answer."""
        with self._changed:
            self._endings += endings
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: not self._endings, PATIENCE)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _request(self) -> None:
        with contextlib.suppress(B2Error), self._throttle.request():
            with self._changed:
                self.under_way += 1
                self._changed.notify_all()
                assert self._changed.wait_for(lambda: self._endings, PATIENCE)
                ending = self._endings.pop()
                self.under_way -= 1
                self._changed.notify_all()
            if ending:
                raise ending


def answer(throttle: Throttle, count: int, error: Callable[[], B2Error] | None = None) -> None:
    for _ in range(count):
        with contextlib.suppress(B2Error), throttle.request():
            if error:
                raise error()


def test_no_more_requests_are_under_way_than_may_be() -> None:
    """The first so many begin, and the next one when one of them has ended."""
    throttle = Throttle(3)
    requests = Requests(throttle)
    requests.begin(5)
    requests.wait_for(3)
    assert throttle.requests == 3

    requests.end(None)
    requests.wait_for(3)
    assert throttle.requests == 4

    requests.end(*[None] * 4)
    requests.join()
    assert throttle.requests == 5


def test_requests_sent_together_that_all_find_it_busy_halve_once(caplog: pytest.LogCaptureFixture) -> None:
    """Sixteen refusals of what was under way together halve the number once, with one warning."""
    throttle = Throttle(16)
    requests = Requests(throttle)
    requests.begin(16)
    requests.wait_for(16)
    requests.end(*[busy()] * 16)
    requests.join()

    requests.begin(20)
    requests.wait_for(8)
    assert throttle.requests == 16 + 8
    requests.end(*[None] * 20)
    requests.join()
    assert caplog.messages == ["B2 is busy: at most 8 requests at once"]


def test_refusals_one_after_the_other_halve_down_to_one(caplog: pytest.LogCaptureFixture) -> None:
    """Refused again and again, one request at once remains, and is never taken away."""
    throttle = Throttle(16)
    answer(throttle, 10, busy)

    assert caplog.messages == [f"B2 is busy: at most {count} requests at once" for count in (8, 4, 2, 1)]
    assert throttle._allowed == 1


def test_answers_let_it_grow_up_to_where_it_began() -> None:
    """After four answers to each that may be under way there may be one more, up to the first number."""
    throttle = Throttle(4)
    answer(throttle, 1, busy)
    grown = []
    for _ in range(4):
        grown.append(throttle._allowed)
        answer(throttle, ANSWERS_TO_GROW * grown[-1] - 1)
        assert throttle._allowed == grown[-1]
        answer(throttle, 1)

    assert grown == [2, 3, 4, 4]


def test_a_refusal_makes_it_begin_to_count_anew() -> None:
    """With answers and refusals in turn it does not grow."""
    throttle = Throttle(2)
    answer(throttle, 2, busy)
    for _ in range(10):
        answer(throttle, ANSWERS_TO_GROW - 1)
        answer(throttle, 1, busy)

    assert throttle._allowed == 1


def test_failures_that_are_not_for_being_busy_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that breaks says nothing about how much the server can bear: neither less nor more."""
    throttle = Throttle(4)
    answer(throttle, 1, busy)
    answer(throttle, 100, lambda: B2Error("cut"))

    assert throttle._allowed == 2
    assert caplog.messages == ["B2 is busy: at most 2 requests at once"]
