"""Several threads at one work; what they deliver is taken up in the thread that started them."""

import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

# How long an interrupted wait may take to be noticed, and interrupted again.
HALT_AGAIN_SECONDS = 0.05
# https://man7.org/linux/man-pages/man3/mallopt.3.html
M_ARENA_MAX = -8


class _Stopped(BaseException):
    """Ends a worker whose delivery is not wanted any more."""


class Crew(Generic[T]):
    """So many threads that each call `work(deliver)` once; iterating yields what they deliver, as it comes.

    The first error of any of them stops the others, and is raised. When the iteration ends, however it ends,
    every thread has ended; if it ends early, `halt` is called, again and again, to interrupt what they wait
    for. Close the iterator where it may be left before its end.
    """

    def __init__(
        self, size: int, work: Callable[[Callable[[T], None]], None], halt: Callable[[], None]
    ) -> None:
        self._work = work
        self._halt = halt
        # Ctrl-C may come at any moment to the thread that iterates. So it holds no lock that others wait for:
        # a get or a put of these is one step, where a Condition's steps can be left half done.
        # https://docs.python.org/3/library/queue.html#simplequeue-objects
        self._delivered = SimpleQueue[tuple[T] | None]()  # None: a thread has ended
        self._room = SimpleQueue[None]()
        self._stopped = False
        self._errors: list[BaseException] = []
        self._ended: list[None] = []
        self._threads = [
            threading.Thread(target=self._run, name=f"b2d1-{n}", daemon=True) for n in range(size)
        ]

    def __iter__(self) -> Generator[T]:
        _share_one_heap()
        working = len(self._threads)
        self._give_room(working)
        try:
            with _signals_held_back():
                for thread in self._threads:
                    thread.start()
            while working:
                delivered = self._delivered.get()
                if self._errors:
                    break
                if delivered is None:
                    working -= 1
                else:
                    self._give_room(1)
                    yield delivered[0]
        finally:
            self._stop()
        if self._errors:
            raise self._errors[0]

    def _run(self) -> None:
        try:
            self._work(self._deliver)
        except _Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised where the crew was started
            # What fails after the others were stopped may fail because of that.
            if not self._stopped:
                self._errors.append(error)
                self._stop_deliveries()
        self._ended.append(None)
        self._delivered.put(None)

    def _deliver(self, item: T) -> None:
        self._room.get()
        if self._stopped:
            raise _Stopped
        self._delivered.put((item,))

    def _give_room(self, places: int) -> None:
        for _ in range(places):
            self._room.put(None)

    def _stop_deliveries(self) -> None:
        self._stopped = True
        self._give_room(len(self._threads))  # to those who wait for it, and find that all is over

    def _stop(self) -> None:
        self._stop_deliveries()
        for thread in self._threads:
            while thread.is_alive():
                if len(self._ended) < len(self._threads):
                    self._halt()
                thread.join(HALT_AGAIN_SECONDS)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let Ctrl-C wait: amid Thread.start it breaks a lock. The threads started here hear none, ever."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _share_one_heap() -> None:
    """Have glibc give no thread a heap of its own.

    Each would keep what its pages once took, 20 MB together; and threads under one interpreter lock do not
    hinder each other at one heap.
    """
    from ctypes import CDLL  # noqa: PLC0415 - only who lists a large bucket pays for the import

    with suppress(AttributeError, OSError):  # another C library
        CDLL(None).mallopt(M_ARENA_MAX, 1)
