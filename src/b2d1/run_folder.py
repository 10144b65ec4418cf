"""A folder for a run's files: removed when the run ends, or by the next run if this one is killed.

A run holds a lock on a file in its folder. The kernel releases the lock when the process dies, so a folder
whose lock is free belongs to a dead run. A folder without our lock file is never touched.
"""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from b2d1.disk import disk_hint
from b2d1.errors import B2D1Error

if sys.platform != "win32":
    import fcntl

PREFIX = "b2d1-"
LOCK = "b2d1.lock"
NEEDS = "The folder must exist, have free space, and allow this user to write."
ELSEWHERE = (
    "TMPDIR names another place (in Lambda: raise EphemeralStorage); a million objects take about 500 MB."
)


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """Create a folder for as long as the run lasts; raise B2D1Error if the disk fails or is full."""
    try:
        for place in _temporary_places():
            remove_dead_folders(place, PREFIX)
        with locked_folder(None, PREFIX) as folder:
            yield folder
    except BrokenPipeError:
        raise  # whoever read our output went away: nothing to do with the disk
    except OSError as failure:
        # Not gettempdir(): it fails itself where nothing can be written.
        where = failure.filename or tempfile.tempdir
        raise B2D1Error(
            f"{failure.strerror or failure}" + (f": {where}" if where else ""),
            doing="keeping the run's working files",
            hint=disk_hint(failure, ELSEWHERE, f"{NEEDS} {ELSEWHERE}"),
        ) from failure


@contextlib.contextmanager
def locked_folder(place: Path | None, prefix: str) -> Iterator[Path]:
    """Create a folder in `place`, or in the temporary folder, and hold its lock; remove it afterwards.

    Raises OSError.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        # Locked before it gets its name: no other run ever sees the lock of a live run free.
        with (folder / f"{LOCK}.new").open("xb") as lock:
            if _lock(lock):
                (folder / f"{LOCK}.new").rename(folder / LOCK)
            try:
                yield folder
            finally:
                _empty(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_dead_folders(place: Path, prefix: str) -> None:
    """Remove this user's folders of dead runs from `place`; skip what cannot be read or removed."""
    with contextlib.suppress(OSError):
        for folder in list(place.iterdir()):
            if folder.name.startswith(prefix):
                with contextlib.suppress(OSError):
                    _remove_if_dead(folder)


def _remove_if_dead(folder: Path) -> None:
    if sys.platform == "win32":  # without flock, nothing shows whether a run is alive
        return
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return
    # Without O_NONBLOCK, a pipe of that name could block.
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(folder / LOCK, flags), "r+b", buffering=0) as lock:
        if stat.S_ISREG(os.fstat(lock.fileno()).st_mode) and _lock(lock):
            _empty(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _lock(file: IO[bytes]) -> bool:
    """Lock a file; return False if another process holds the lock, or if this system has no locks."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _empty(folder: Path) -> None:
    """Remove all but the lock: if the process dies here, the next run can still remove the rest."""
    for path in folder.iterdir():
        if path.name.startswith(LOCK):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _temporary_places() -> set[Path]:
    """Return where Python puts temporary files, or would if the disk were not full."""
    if tempfile.tempdir:
        return {Path(tempfile.tempdir)}
    names = [*map(os.environ.get, ("TMPDIR", "TEMP", "TMP")), "/tmp", "/var/tmp"]  # noqa: S108
    return {Path(name) for name in names if name}
