"""A SQLite file of a run's own, for what memory is not to hold: sorted, or found again, on disk."""

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path


def open_scratch(path: Path) -> sqlite3.Connection:
    """Make a database that lasts as long as its folder and is never taken back; the caller closes it."""
    with disk_faults():
        database = sqlite3.connect(path)
        try:
            database.execute("PRAGMA journal_mode = OFF")
        except BaseException:
            database.close()
            raise
    return database


@contextlib.contextmanager
def disk_faults() -> Iterator[None]:
    """Let SQLite fail as any writing to a disk does, by OSError."""
    try:
        yield
    except sqlite3.OperationalError as failure:
        full = getattr(failure, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        raise OSError(errno.ENOSPC if full else 0, f"SQLite: {failure}") from failure
