"""Trying again: what is repeated, when, and that nothing ever waits past the deadline."""

import dataclasses
import logging
import math
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from conftest import FakeTime
from hypothesis import given
from hypothesis import strategies as st

from b2d1.errors import B2D1Error, B2Error, D1Error, OutOfTime, Retry
from b2d1.retry import ATTEMPTS, LONGEST_PAUSE, LONGEST_WAIT, Deadline, Retrying, retry_after_seconds

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Service:
    """Answers each call with the next of its answers, the last one for ever; an error is raised."""

    def __init__(self, *answers: B2D1Error | str, takes: Callable[[], None] = lambda: None) -> None:
        self.answers = list(answers)
        self.takes = takes
        self.calls = 0

    def __call__(self) -> str:
        self.takes()
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if isinstance(answer, B2D1Error):
            raise answer
        return answer


def soon() -> B2Error:
    return B2Error("busy", retry=Retry.SOON)


def later(seconds: float) -> B2Error:
    return B2Error("busy", retry=Retry.LATER, retry_after=seconds)


def test_a_success_is_returned_at_once(fake_time: FakeTime) -> None:
    """What works at the first try is called once, without a pause."""
    service = Service("answer")

    assert fake_time.retrying().call(service) == "answer"
    assert (service.calls, fake_time.pauses) == (1, [])


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.value) for kind in (Retry.NEVER, Retry.SMALLER)])
def test_what_another_try_cannot_mend_is_raised_at_once(fake_time: FakeTime, kind: Retry) -> None:
    """The kinds never and smaller are not repeated, not even when they name a pause."""
    error = D1Error("no", retry=kind, retry_after=1.0)
    service = Service(error, "answer")

    with pytest.raises(D1Error) as raised:
        fake_time.retrying().call(service)

    assert (raised.value, str(error), service.calls, fake_time.pauses) == (error, "no", 1, [])


def test_a_refusal_after_a_retry_ends_the_trying(fake_time: FakeTime) -> None:
    """The error of the latest try decides, not that of the first."""
    refusal = B2Error("no")
    service = Service(soon(), refusal, "answer")

    with pytest.raises(B2Error) as raised:
        fake_time.retrying().call(service)

    assert (raised.value, str(refusal), service.calls) == (refusal, "no", 2)


def test_an_error_without_a_name_is_not_retried(fake_time: FakeTime) -> None:
    """A bug is not repeated: only a B2D1Error says that another try may help."""
    calls = []

    def attempt() -> None:
        calls.append(1)
        raise KeyError("bug")

    with pytest.raises(KeyError):
        fake_time.retrying().call(attempt)

    assert (len(calls), fake_time.pauses) == (1, [])


def test_pauses_double_up_to_the_cap(fake_time: FakeTime) -> None:
    """At its longest each pause is twice the one before, up to 20 seconds, for eight tries in all."""
    service = Service(soon())

    with pytest.raises(B2Error, match=r"^busy \(gave up after 8 attempts\)$"):
        fake_time.retrying().call(service)

    assert fake_time.pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
    assert service.calls == ATTEMPTS == 8


def test_the_cap_holds_however_long_it_takes(fake_time: FakeTime) -> None:
    """The thousandth try is made as the tenth was, though two to that power is beyond a float."""
    service = Service(soon())

    with pytest.raises(B2Error, match="gave up after 1200 attempts"):
        fake_time.retrying(attempts=1200).call(service)

    assert fake_time.pauses[-1] == 20.0


def test_jitter_is_full(fake_time: FakeTime) -> None:
    """Chance takes a pause from anywhere between nothing and its longest."""
    chances = iter([0.0, 0.5, 0.25, 1.0])
    retrying = dataclasses.replace(fake_time.retrying(attempts=5), random=lambda: next(chances))

    with pytest.raises(B2Error):
        retrying.call(Service(soon()))

    assert fake_time.pauses == [0.0, 1.0, 1.0, 8.0]


@given(
    seed=st.integers(),
    seconds=st.floats(0.001, 10_000),
    errors=st.lists(st.none() | st.floats(0, 5_000), min_size=1, max_size=20),
    attempts=st.integers(1, 20),
    delays=st.tuples(st.floats(0, 40), st.floats(0, 1)),
)
def test_nothing_waits_past_the_deadline(
    seed: int, seconds: float, errors: list[float | None], attempts: int, delays: tuple[float, float]
) -> None:
    """Whatever a server answers, no pause leads past the deadline, and no try begins after it."""
    fake_time = FakeTime()
    end = fake_time.now + seconds
    duration, lag = delays
    begun: list[float] = []

    def take() -> None:
        begun.append(fake_time.now)
        fake_time.now += duration

    def sleep(pause: float) -> None:
        assert fake_time.now + pause <= end
        fake_time.sleep(pause)
        fake_time.now += lag  # the machine may wake up late

    retrying = Retrying(Deadline(end, fake_time.clock), attempts, sleep, random.Random(seed).random)
    service = Service(*[soon() if pause is None else later(pause) for pause in errors], takes=take)

    with pytest.raises(B2Error, match="gave up"):
        retrying.call(service)

    assert all(moment < end for moment in begun)
    assert 1 <= service.calls <= attempts


@given(seed=st.integers(), tries=st.integers(2, 30))
def test_a_pause_is_never_longer_than_its_cap(seed: int, tries: int) -> None:
    """Without a word from the server, the nth pause lies between 0 and 2^(n-1) seconds, and under 20."""
    fake_time = FakeTime()
    retrying = dataclasses.replace(fake_time.retrying(attempts=tries), random=random.Random(seed).random)

    with pytest.raises(B2Error):
        retrying.call(Service(soon()))

    assert len(fake_time.pauses) == tries - 1
    assert all(0 <= pause <= min(2**n, LONGEST_PAUSE) for n, pause in enumerate(fake_time.pauses))


def test_retry_after_is_waited_out(fake_time: FakeTime) -> None:
    """A server that names a time is not asked before it, however short the own pause would be."""
    service = Service(later(7.5), later(0.25), later(30.0), "answer")
    retrying = dataclasses.replace(fake_time.retrying(), random=lambda: 0.0)

    assert retrying.call(service) == "answer"
    assert fake_time.pauses == [7.5, 0.25, 30.0]


def test_backing_off_goes_on_where_the_server_names_a_shorter_time(fake_time: FakeTime) -> None:
    """A Retry-After of nothing at all does not make us hammer: the own pause is kept."""
    service = Service(later(0.0), later(1.0), later(1.0), "answer")

    assert fake_time.retrying().call(service) == "answer"
    assert fake_time.pauses == [1.0, 2.0, 4.0]


def test_a_time_after_the_deadline_is_not_waited_for(fake_time: FakeTime) -> None:
    """With less time left than the server asks for, the error comes at once, and says so."""
    service = Service(later(30.0), "answer")

    with pytest.raises(
        B2Error, match=r"^busy \(gave up: the next try is due in 30\.0 s, 20\.0 s are left\)$"
    ):
        fake_time.retrying(20).call(service)

    assert (service.calls, fake_time.pauses) == (1, [])


def test_a_pause_that_would_end_at_the_deadline_is_not_begun(fake_time: FakeTime) -> None:
    """A try at the very deadline would have no time, so it is not waited for."""
    service = Service(later(20.0), "answer")

    with pytest.raises(B2Error, match=r"due in 20\.0 s, 20\.0 s are left"):
        fake_time.retrying(20).call(service)

    assert fake_time.pauses == []


def test_twenty_seconds_of_503_end_inside_the_deadline(fake_time: FakeTime) -> None:
    """A server that never recovers costs no more than the time there is."""
    end = fake_time.now + 20
    service = Service(later(6.0))

    with pytest.raises(B2Error, match=r"gave up: the next try is due in 8\.0 s, 2\.0 s are left"):
        fake_time.retrying(20).call(service)

    assert (fake_time.pauses, service.calls, fake_time.now <= end) == ([6.0, 6.0, 6.0], 4, True)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(LONGEST_WAIT, id="a quarter of an hour"),
        pytest.param(86_400.0, id="a day"),
        pytest.param(1e12, id="longer than a clock can count"),
        pytest.param(math.inf, id="for ever"),
    ],
)
def test_nobody_waits_for_hours_even_without_a_deadline(fake_time: FakeTime, seconds: float) -> None:
    """Without a deadline too, a server that asks for more than a quarter of an hour ends the run."""
    service = Service(later(seconds), "answer")

    with pytest.raises(B2Error, match=rf"^busy \(gave up: the next try is due in {seconds:.1f} s\)$"):
        fake_time.retrying().call(service)

    assert (service.calls, fake_time.pauses) == (1, [])


def test_a_try_that_outlasts_the_deadline_is_the_last(fake_time: FakeTime) -> None:
    """An error that comes after the deadline is raised as it is, with the note that no time is left."""
    service = Service(soon(), takes=lambda: fake_time.sleep(25))

    with pytest.raises(B2Error, match=r"gave up: the next try is due in 1\.0 s, 0\.0 s are left"):
        fake_time.retrying(20).call(service)

    assert service.calls == 1


def test_a_sleep_that_outlasts_the_deadline_does_not_hide_the_error(fake_time: FakeTime) -> None:
    """When the machine wakes up too late, the server's error is what is raised, not a bare lack of time."""
    service = Service(soon(), "answer")
    retrying = dataclasses.replace(
        fake_time.retrying(20), sleep=lambda seconds: fake_time.sleep(seconds + 60)
    )

    with pytest.raises(B2Error, match=r"^busy \(gave up: no time is left\)$"):
        retrying.call(service)

    assert service.calls == 1


@pytest.mark.parametrize("seconds", [pytest.param(0, id="at"), pytest.param(-5, id="after")])
def test_no_first_try_without_time(fake_time: FakeTime, seconds: float) -> None:
    """At or after the deadline nothing is begun: OutOfTime."""
    service = Service("answer")

    with pytest.raises(OutOfTime, match="no time is left before the deadline"):
        fake_time.retrying(seconds).call(service)

    assert service.calls == 0


def test_the_last_error_is_raised_with_what_it_knew(fake_time: FakeTime) -> None:
    """Giving up keeps the error itself: its hint, its kind, its cause."""
    last = B2Error("busy", doing="listing", hint="Later.", retry=Retry.SOON)
    cause = TimeoutError("slow")
    last.__cause__ = cause
    service = Service(soon(), last)

    with pytest.raises(B2Error) as raised:
        fake_time.retrying(attempts=2).call(service)

    assert (raised.value, raised.value.hint, raised.value.__cause__) == (last, "Later.", cause)
    assert str(last) == "listing: busy (gave up after 2 attempts)"


def test_within_lets_time_alone_be_the_bound(fake_time: FakeTime) -> None:
    """Within 90 seconds there are as many tries as fit, past the usual eight."""
    service = Service(soon())
    retrying = dataclasses.replace(fake_time.retrying(), random=lambda: 0.1).within(90)
    end = fake_time.now + 90

    with pytest.raises(B2Error, match="gave up: the next try is due in"):
        retrying.call(service)

    assert service.calls > 8
    assert end - 2.0 <= fake_time.now < end


def test_within_never_widens_the_deadline(fake_time: FakeTime) -> None:
    """Of the deadline there is and the one asked for, the nearer holds; the rest stays as it was."""
    retrying = fake_time.retrying(10)

    assert retrying.within(30).deadline == retrying.deadline
    assert retrying.within(4).deadline == Deadline(fake_time.now + 4, fake_time.clock)
    assert (retrying.within(4).sleep, retrying.within(4).random) == (retrying.sleep, retrying.random)
    assert retrying.deadline.remaining() == 10


def test_each_pause_is_told(fake_time: FakeTime, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what went wrong, how long the pause is and which try comes to its end."""
    with caplog.at_level(logging.WARNING, "b2d1"):
        fake_time.retrying().call(Service(soon(), later(3.0), "answer"))

    assert caplog.record_tuples == [
        ("b2d1.retry", logging.WARNING, "busy; trying again in 1.0 s (1 of 8)"),
        ("b2d1.retry", logging.WARNING, "busy; trying again in 3.0 s (2 of 8)"),
    ]


def test_giving_up_is_not_logged(fake_time: FakeTime, caplog: pytest.LogCaptureFixture) -> None:
    """An error that is raised is logged at the edge, not here."""
    with caplog.at_level(logging.DEBUG, "b2d1"), pytest.raises(B2Error):
        fake_time.retrying(attempts=1).call(Service(soon()))

    assert caplog.record_tuples == []


def test_a_deadline_tells_what_is_left(fake_time: FakeTime) -> None:
    """The seconds left shrink as time passes, and go below zero."""
    deadline = Deadline.after(20, fake_time.clock)
    told = [deadline.remaining()]
    for seconds in (15, 10):
        fake_time.sleep(seconds)
        told.append(deadline.remaining())

    assert told == [20, 5, -5]


@pytest.mark.parametrize(
    ("left", "longest", "timeout"),
    [
        pytest.param(20, 45, 20, id="bounded by the deadline"),
        pytest.param(60, 45, 45, id="bounded by the wait"),
        pytest.param(math.inf, 45, 45, id="no deadline"),
        pytest.param(-3, 45, 0.001, id="passed: as short as a time-out can be"),
    ],
)
def test_a_single_wait_is_bounded_by_what_is_left(
    fake_time: FakeTime, left: float, longest: float, timeout: float
) -> None:
    """A time-out is never longer than the deadline allows, and never zero, which would mean for ever."""
    assert Deadline(fake_time.now + left, fake_time.clock).timeout(longest) == timeout


def test_by_default_nothing_hurries_and_waiting_is_real() -> None:
    """Without arguments there is no deadline, and clock, waiting and chance are the machine's."""
    retrying = Retrying()

    assert retrying == Retrying(Deadline(math.inf, time.monotonic), 8, None, random.random)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("120", 120.0, id="seconds"),
        pytest.param("0", 0.0, id="now"),
        pytest.param(" 7 ", 7.0, id="blanks around"),
        pytest.param("1.5", 1.5, id="a fraction"),
        pytest.param("-30", 0.0, id="negative"),
        pytest.param("Sun, 01 Mar 2026 12:00:30 GMT", 30.0, id="date"),
        pytest.param("Sun, 01 Mar 2026 11:00:00 GMT", 0.0, id="past date"),
        pytest.param("Sun, 01 Mar 2026 13:00:30 +0100", 30.0, id="date of another zone"),
        pytest.param("Sun, 01 Mar 2026 12:00:30 -0000", 30.0, id="date without a zone"),
        pytest.param("Sunday, 01-Mar-26 12:00:30 GMT", 30.0, id="date as RFC 850 had it"),
        pytest.param("Sun Mar  1 12:00:30 2026", 30.0, id="date as asctime writes it"),
        pytest.param(None, None, id="no header"),
        pytest.param("", None, id="empty"),
        pytest.param("soon", None, id="garbage"),
        pytest.param("12 parsecs", None, id="seconds and garbage"),
        pytest.param("inf", None, id="infinite"),
        pytest.param("-inf", None, id="minus infinite"),
        pytest.param("nan", None, id="not a number"),
        pytest.param("9" * 400, None, id="more digits than a float has"),
        pytest.param("Sun, 41 Mar 2026 12:00:30 GMT", None, id="no such day"),
        pytest.param("Sun, 99999999999999999999 Mar 2026 12:00:30 GMT", None, id="a day beyond counting"),
        pytest.param("Sun, 01 Mar 2026 12:00:30 +99999999999999", None, id="a zone beyond counting"),
        pytest.param("Sun, 01 Mar 99999 12:00:30 GMT", None, id="a year beyond the calendar"),
    ],
)
def test_a_retry_after_header_is_read_in_each_of_its_forms(header: str | None, seconds: float | None) -> None:
    """Seconds and HTTP dates become seconds from now, never fewer than none; nonsense says nothing."""
    assert retry_after_seconds(header, NOW) == seconds


def test_a_date_is_counted_from_now_unless_told_otherwise() -> None:
    """Without a time given, a date long past means at once."""
    assert retry_after_seconds("Sun, 06 Nov 1994 08:49:37 GMT") == 0.0


@given(
    header=st.one_of(
        st.text(st.characters(codec="latin-1")),
        st.text(st.sampled_from("0123456789:-+., eE_infanGMTJanSun")),
        st.from_regex(
            r"Sun, [0-9]{1,20} Mar [0-9]{1,20} [0-9]{1,12}:[0-9]{2}:[0-9]{2} [+-][0-9]{1,14}", fullmatch=True
        ),
    )
)
def test_no_retry_after_header_can_do_harm(header: str) -> None:
    """Whatever a server writes there, it is nothing or a number of seconds that one could wait."""
    seconds = retry_after_seconds(header, NOW)

    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))
