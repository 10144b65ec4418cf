"""Whole commands are run, timed and weighed."""

import hashlib
import os
import resource
import sys
from pathlib import Path

import pytest

from bench.runner import run

pytestmark = pytest.mark.slow

PYTHON = [sys.executable, "-S", "-c"]


def test_what_is_printed_is_digested(tmp_path: Path) -> None:
    """The digest is that of every byte printed, and a report can be read from it."""
    ran = run([*PYTHON, "print('{\"inserted\": 3}')"], {})
    assert (ran.report(), ran.sha256) == (
        {"inserted": 3},
        hashlib.sha256(b'{"inserted": 3}\n').hexdigest(),
    )
    assert 0 < ran.seconds < 60


def test_memory_is_that_of_the_command_alone() -> None:
    """What this process holds, or held, is not in the figure; what the command holds is."""
    held = bytearray(os.urandom(1)) * 200_000_000
    little, much = (
        run([*PYTHON, program], {}).peak_memory for program in ("", "bytearray(b'x') * 100_000_000")
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > len(held) / 1024
    assert (1 < little < 50, 95 < much < 150) == (True, True)


def test_nothing_of_this_process_s_settings_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command meets the variables it is given, and of this process's only those that find programs."""
    monkeypatch.setenv("B2_PREFIX", "photos/")
    monkeypatch.setenv("TMPDIR", "/tmp")
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    names = run([*PYTHON, program], {"B2_BUCKET": "x"}).report()
    assert set(names) - {"LC_CTYPE", "PYTHONPATH"} == {"B2_BUCKET", "PATH", "TMPDIR"}


def test_a_command_that_fails_is_no_measurement() -> None:
    """An exit code other than 0 is an error that shows what the command said."""
    with pytest.raises(RuntimeError, match=r"ended with 3:\nno such bucket\n"):
        run([*PYTHON, "import sys; print('no such bucket', file=sys.stderr); sys.exit(3)"], {})
