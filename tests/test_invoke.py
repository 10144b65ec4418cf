"""`make invoke`: what is said of a slip in what it is given."""

import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow


def test_an_event_that_is_not_there_is_named() -> None:
    """A slip in an event's name costs no run: it is told, with the events that there are."""
    command = [sys.executable, "-m", "emulator", "events/nothing.json"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        "python -m emulator: error: there is no event events/nothing.json; there are events/dry-run.json, "
        "events/manual.json, events/prefix.json, events/scheduled.json"
    )
