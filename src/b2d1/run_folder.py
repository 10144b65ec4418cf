"""A folder for what a run keeps on disk, so that memory stays flat."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from b2d1.errors import B2D1Error

PREFIX = "b2d1-"


def remove_left_overs(place: Path) -> None:
    """Remove the folders of runs that were killed from a place where no other run can be, as in Lambda."""
    for folder in place.glob(f"{PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """Make a folder that lasts as long as the run; a disk that is full becomes a B2D1Error."""
    try:
        with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
            yield Path(name)
    except BrokenPipeError:
        raise  # whoever read our output went away: nothing to do with the disk
    except OSError as failure:
        # Not gettempdir(): it fails itself where nothing can be written.
        where = failure.filename or tempfile.tempdir
        raise B2D1Error(
            f"{failure.strerror or failure}" + (f": {where}" if where else ""),
            doing="keeping the run's working files",
            hint="Is the disk full? TMPDIR names another place (in Lambda: raise EphemeralStorage); "
            "a million objects take about 500 MB.",
        ) from failure
