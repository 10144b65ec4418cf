"""Whole commands in processes of their own: what they printed, how long they took, how much memory."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.list_server import ROOT

# What a process needs of ours: where programs, this project's modules and temporary files are.
KEPT = ("PATH", "PYTHONPATH", "TMPDIR")
B2_SETTINGS = {
    "B2_KEY_ID": "made-up",
    "B2_APP_KEY": "made-up",
    "B2_BUCKET": "bench",
    "B2_REGION": "us-west-004",
}


class Ran(NamedTuple):
    """What a command took (seconds; MB at the peak of its resident memory), and what it printed.

    `printed` is kept only where it is a report; `sha256` is that of all that was printed.
    """

    seconds: float
    peak_memory: float
    sha256: str
    printed: str

    def report(self) -> dict[str, Any]:
        """Read what was printed as JSON."""
        report: dict[str, Any] = json.loads(self.printed)
        return report


def b2d1(*arguments: str, settings: Mapping[str, str]) -> Ran:
    """Run a command of the runner, as a shell would that sends what it prints into a file."""
    command = [str(Path(sys.executable).with_name("b2d1")), *arguments]
    return run(command, settings)


def run(command: list[str], env: Mapping[str, str]) -> Ran:
    """Run a command under nothing but these variables; an exit code is an error that shows what it said."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    with tempfile.TemporaryDirectory() as folder:
        out, note = Path(folder, "out"), Path(folder, "note")
        with out.open("wb") as stdout:
            done = subprocess.run(
                [sys.executable, "-S", "-m", "bench.spawn", str(note), *command],
                cwd=ROOT,
                env=kept | dict(env),
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
        with out.open("rb") as printed:
            sha256 = hashlib.file_digest(printed, "sha256").hexdigest()
        shown = out.read_text("utf-8") if out.stat().st_size < 100_000 else ""
        seconds, peak_memory = json.loads(note.read_text("utf-8"))
        return Ran(seconds, peak_memory, sha256, shown)
