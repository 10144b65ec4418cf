"""Databases on Cloudflare's own D1 engine, on this machine: empty ones, and such as hold a whole bucket."""

import contextlib
import tempfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from bench.list_server import ListServer
from bench.runner import B2_SETTINGS, Ran, b2d1
from bench.tables import Progress
from bench.timed_d1 import TimedD1
from sandbox.wrangler import Wrangler, databases

# As many as a whole measurement uses.
DATABASES = 16


class FirstLoad(NamedTuple):
    """A database that a run filled, and what that run took."""

    d1: TimedD1
    ran: Ran


class Databases:
    """Databases, from `__enter__` to `__exit__`; wrangler is started when the first is needed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._open = contextlib.ExitStack()
        self._wrangler: Wrangler | None = None
        self._used = 0
        self._filled: dict[int, FirstLoad] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def empty(self) -> TimedD1:
        """Give access to a database that has its tables, and nothing in them."""
        if self._wrangler is None:
            folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
            self._wrangler = self._open.enter_context(Wrangler(folder, databases(DATABASES)))
        d1 = self._open.enter_context(TimedD1(self._wrangler, self._wrangler.databases[self._used]))
        self._used += 1
        b2d1("migrate", settings=d1.settings())
        return d1

    def filled(self, objects: int) -> FirstLoad:
        """Give access to a database that a first load filled, once, from a bucket of so many objects."""
        if objects not in self._filled:
            self._progress(f"{objects:,} objects, all new")
            d1 = self.empty()
            with ListServer("ascii", objects) as b2:
                ran = b2d1("sync", "--json", settings=d1.settings() | B2_SETTINGS | {"B2_ENDPOINT": b2.url})
            self._filled[objects] = FirstLoad(d1, ran)
        return self._filled[objects]
