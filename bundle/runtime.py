"""The Python that Lambda runs the function with: python -m bundle.runtime prints the one at hand."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VERSION = "3.13"


def find() -> str | None:
    """Return the path of an interpreter of the runtime's version, or None where there is none."""
    return next(filter(_is_the_runtimes, _candidates()), None)


def _candidates() -> Iterator[str]:
    yield sys.executable
    yield from filter(None, [shutil.which(f"python{VERSION}")])
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from (str(each) for each in sorted(versions.glob(f"{VERSION}.*/bin/python")))


def _is_the_runtimes(python: str) -> bool:
    ask = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, check=False)
    except OSError:
        return False
    return said.stdout.strip() == VERSION


if __name__ == "__main__":
    print(find() or sys.executable)
