"""Several threads at one work; what they deliver is taken up in the thread that started them."""

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
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
        self._most_ready = size
        self._ready: deque[T] = deque()
        self._changed = threading.Condition()
        self._working = size
        self._stopped = False
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, name=f"b2d1-{n}", daemon=True) for n in range(size)
        ]

    def __iter__(self) -> Generator[T]:
        _share_one_heap()
        try:
            for thread in self._threads:
                thread.start()
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._error or self._ready or not self._working)
                    if self._error or not self._ready:
                        break
                    item = self._ready.popleft()
                    self._changed.notify_all()
                yield item
        finally:
            self._stop()
        if self._error:
            raise self._error

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._work(self._deliver)
        except _Stopped:
            pass
        except BaseException as failure:  # noqa: BLE001 - it is raised where the crew was started
            error = failure
        with self._changed:
            self._working -= 1
            # What fails after the others were stopped may fail because of that.
            if error and not self._stopped:
                self._error, self._stopped = error, True
            self._changed.notify_all()

    def _deliver(self, item: T) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._ready) < self._most_ready)
            if self._stopped:
                raise _Stopped
            self._ready.append(item)
            self._changed.notify_all()

    def _stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._ready.clear()
            self._changed.notify_all()
        for thread in self._threads:
            while thread.is_alive():
                if self._working:
                    self._halt()
                thread.join(HALT_AGAIN_SECONDS)


def _share_one_heap() -> None:
    """Have glibc give no thread a heap of its own.

    Each would keep what its pages once took, 20 MB together; and threads under one interpreter lock do not
    hinder each other at one heap.
    """
    from ctypes import CDLL  # noqa: PLC0415 - only who lists a large bucket pays for the import

    with suppress(AttributeError, OSError):  # another C library
        CDLL(None).mallopt(M_ARENA_MAX, 1)
