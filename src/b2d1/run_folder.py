"""A folder for what a run keeps on disk, so that memory stays flat."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from b2d1.errors import B2D1Error


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """Make a folder that lasts as long as the run; a disk that is full becomes a B2D1Error."""
    try:
        with tempfile.TemporaryDirectory(prefix="b2d1-") as name:
            yield Path(name)
    except BrokenPipeError:
        raise  # whoever read our output went away: nothing to do with the disk
    except OSError as failure:
        raise B2D1Error(
            f"{failure.strerror or failure}: {failure.filename or tempfile.gettempdir()}",
            doing="keeping the run's working files",
            hint="Is the disk full? TMPDIR names another place; a million objects take about 500 MB.",
        ) from failure
