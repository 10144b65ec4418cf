"""`make invoke`: a mistake in what it is given is a sentence, and costs no run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

SECRET = "K004zqAppKey0123456789"


def refusal(*arguments: str | Path) -> str:
    """Invoke the function with arguments that cannot be used; return what is said about them."""
    command = [sys.executable, "-m", "emulator", *arguments]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1].removeprefix("python -m emulator: error: ")


@pytest.mark.parametrize("event", ["events/nothing.json", "events"])
def test_an_event_that_is_not_there_is_named(event: str) -> None:
    """A slip in an event's name, or a folder in its place: it is told, with the events that there are."""
    assert refusal(event) == (
        f"there is no event {event}; there are events/dry-run.json, events/manual.json, events/prefix.json, "
        "events/scheduled.json"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "cannot be read: No such file or directory", id="nothing"),
        pytest.param("", "is not JSON (line 1)", id="empty"),
        pytest.param("B2_APP_KEY=" + SECRET, "is not JSON (line 1)", id="an env file"),
        pytest.param(b"\xff\xfe{", "is not JSON", id="not UTF-8"),
        pytest.param("[" * 100_000, "is not JSON", id="nested deeply"),
        pytest.param(
            "[]", 'has no settings: it must be {"SyncFunction": {...}}, as env.example.json is', id="list"
        ),
        pytest.param(
            json.dumps({"B2_APP_KEY": SECRET}),
            'has no settings: it must be {"SyncFunction": {...}}, as env.example.json is',
            id="without the function",
        ),
        pytest.param(
            json.dumps({"SyncFunction": {"MAX_NEW_PER_RUN": 5, "B2_APP_KEY": SECRET}}),
            "holds what is not a text, under 'MAX_NEW_PER_RUN'",
            id="a number",
        ),
        pytest.param(
            json.dumps({"SyncFunction": {"B2_APP_KEY": f"{SECRET}\0"}}),
            "holds what no environment can hold, under 'B2_APP_KEY'",
            id="NUL",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_a_sentence(
    tmp_path: Path, content: str | bytes | None, said: str
) -> None:
    """The file is named, and what is wrong with it, and none of its values."""
    path = tmp_path / "env.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    assert refusal("--env-vars", path, "events/dry-run.json") == f"{path} {said}"


def test_a_folder_in_place_of_the_settings_is_a_sentence(tmp_path: Path) -> None:
    """So is a folder."""
    assert refusal("--env-vars", tmp_path) == f"{tmp_path} cannot be read: Is a directory"


def test_an_event_that_is_not_json_is_a_sentence(tmp_path: Path) -> None:
    """An event that is cut off is named with the line."""
    event = tmp_path / "event.json"
    event.write_text('{"dry_run":\n', "utf-8")

    assert refusal(event) == f"{event} is not JSON (line 2)"


def test_a_folder_that_is_no_package_is_a_sentence(tmp_path: Path) -> None:
    """A package that was not built is told, with the command that builds it."""
    assert refusal("--package", tmp_path) == (
        f"{tmp_path} is not the function's package: make build makes it"
    )
