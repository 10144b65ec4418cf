"""Several threads at one work: each thing delivered once, the first error told, and no thread left."""

import itertools
import random
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from queue import SimpleQueue

import pytest
from listings import threads_left

from b2d1.listing.crew import Crew

Deliver = Callable[[int], None]
PATIENCE = 20.0


class Halt:
    """Counts how often work was halted, and lets those who wait for it go on."""

    def __init__(self) -> None:
        self.calls = 0
        self.halted = threading.Event()

    def __call__(self) -> None:
        self.calls += 1
        self.halted.set()

    def wait(self) -> None:
        """Wait until there is a halt."""
        assert self.halted.wait(PATIENCE)


@pytest.mark.parametrize("size", [0, 1, 2, 16])
def test_everything_delivered_comes_once_and_in_each_thread_s_order(size: int) -> None:
    """What threads deliver is yielded once, in the order of each, and nothing is halted."""
    numbers, halt = iter(range(size)), Halt()

    def work(deliver: Callable[[tuple[int, int]], None]) -> None:
        own = next(numbers)
        for count in range(200):
            deliver((own, count))

    found = list(Crew(size, work, halt))

    by_thread = [[count for own, count in found if own == number] for number in range(size)]
    assert by_thread == [list(range(200))] * size
    assert len(found) == 200 * size
    assert (threads_left(), halt.calls) == ([], 0)


def test_no_more_is_ready_than_there_are_threads() -> None:
    """Whoever delivers waits until there is room, so that memory is bounded by the number of threads."""
    delivered, enough = itertools.count(1), threading.Event()
    most, taken = 0, 0
    lock = threading.Lock()

    def work(deliver: Deliver) -> None:
        nonlocal most
        for each in range(50):
            deliver(each)
            with lock:
                most = max(most, next(delivered) - taken)
                if most >= 3:
                    enough.set()

    for _ in Crew(3, work, Halt()):
        assert enough.wait(PATIENCE)
        taken += 1

    # The one that is being taken has left its place, and has not been counted.
    assert (taken, 3 <= most <= 4, threads_left()) == (150, True, [])


def test_the_first_error_halts_the_others_and_is_raised() -> None:
    """The error that came first is raised, not one that came of the halt."""
    halt, others = Halt(), threading.Barrier(4)
    first = threading.Lock()

    def work(_: Deliver) -> None:
        others.wait(PATIENCE)
        if first.acquire(blocking=False):
            raise LookupError("the first")
        halt.wait()
        raise ValueError("came of the halt")

    with pytest.raises(LookupError, match=r"^the first$"):
        list(Crew(4, work, halt))

    assert (threads_left(), halt.halted.is_set()) == ([], True)


def test_an_error_comes_before_what_is_ready() -> None:
    """An error is raised at once, whatever was delivered before it and is not yet taken."""

    def work(deliver: Deliver) -> None:
        deliver(1)
        deliver(2)
        raise LookupError("after two")

    crew = iter(Crew(1, work, Halt()))
    taken = [next(crew)]
    for thread in threading.enumerate():
        if thread.name.startswith("b2d1-"):
            thread.join(PATIENCE)
    with pytest.raises(LookupError, match=r"^after two$"):
        taken.extend(crew)

    assert (taken, threads_left()) == ([1], [])


@pytest.mark.parametrize("reason", [GeneratorExit, KeyboardInterrupt, ValueError])
def test_leaving_early_ends_those_who_deliver_and_those_who_wait(reason: type[BaseException]) -> None:
    """Whoever leaves early ends threads that have no room to deliver, and such as wait for something else."""
    halt, numbers = Halt(), iter(range(6))

    def work(deliver: Deliver) -> None:
        if next(numbers) % 2:
            halt.wait()
        for each in itertools.count():
            deliver(each)

    def leave() -> None:
        with closing(iter(Crew(6, work, halt))) as taken:
            for _ in taken:
                raise reason

    with pytest.raises(reason):
        leave()

    assert (threads_left(), halt.halted.is_set()) == ([], True)


def test_a_halt_is_repeated_until_everybody_has_ended() -> None:
    """A wait that begins just after a halt is interrupted by the next one."""
    began = threading.Event()
    interrupted = threading.Event()
    calls = 0

    def halt() -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            interrupted.set()

    def work(deliver: Deliver) -> None:
        deliver(1)
        began.set()
        assert interrupted.wait(PATIENCE)

    taken = iter(Crew(1, work, halt))
    next(taken)
    assert began.wait(PATIENCE)
    taken.close()

    assert (calls, threads_left()) == (3, [])


def test_threads_that_cannot_be_started_end_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no more threads, those that it gave are ended."""
    start, started = threading.Thread.start, itertools.count()

    def scarce(thread: threading.Thread) -> None:
        if next(started) == 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    halt = Halt()
    monkeypatch.setattr(threading.Thread, "start", scarce)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        list(Crew(4, lambda _deliver: halt.wait(), halt))

    assert threads_left() == []


def test_ctrl_c_at_any_moment_is_an_interruption_and_nothing_else() -> None:
    """Wherever Ctrl-C finds the thread that iterates, KeyboardInterrupt leaves it, and no thread is left."""
    main, moments, begin = threading.get_ident(), random.Random(0), SimpleQueue[int]()

    def interrupt() -> None:
        while steps := begin.get():
            for _ in range(steps):
                pass
            signal.pthread_kill(main, signal.SIGINT)

    def work(deliver: Deliver) -> None:
        for each in itertools.count():
            deliver(each)

    def go_through() -> None:
        begin.put(moments.randrange(1, 60_000))
        with closing(iter(Crew(4, work, lambda: None))) as taken:
            for _ in taken:
                pass

    list(Crew(1, lambda _deliver: None, lambda: None))  # an import that is interrupted leaves a file open
    somebody = threading.Thread(target=interrupt)
    somebody.start()
    try:
        for _ in range(200):
            with pytest.raises(KeyboardInterrupt):
                go_through()
            assert threads_left() == []
    finally:
        begin.put(0)
        somebody.join()
