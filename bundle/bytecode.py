"""Bytecode for the runtime's own Python, so that a cold start compiles nothing.

It is of the kind that is never checked against its source: https://docs.python.org/3/reference/import.html#pyc-invalidation
"""

import os
import subprocess
from pathlib import Path

from bundle import runtime

# Where Lambda unpacks a function. Bytecode names its source: this place, not the one where it is built.
TASK_ROOT = "/var/task"


def compile_all(folder: Path) -> str:
    """Compile every module; return what did, or nothing where no Python of that version is at hand."""
    python = runtime.find()
    if python is None:
        return ""
    # One process and a fixed hash seed: otherwise the order of a frozenset would differ from build to build.
    command = [python, "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash"]
    paths = ["-s", str(folder), "-p", TASK_ROOT, str(folder)]
    subprocess.run([*command, *paths], check=True, env=os.environ | {"PYTHONHASHSEED": "0"})
    return f"Python {runtime.VERSION}"
