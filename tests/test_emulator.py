"""The built package under AWS's own emulator of Lambda, against the sandbox: what is deployed runs here."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, FakeTime, Stack
from function_log import FunctionLog
from gate import Gate, Passage
from objects import execute
from pytest_httpserver import HTTPServer
from werkzeug.wrappers import Response

from b2d1.media import media_uid
from b2d1.sync.rounds import LEAST_ROUND_SECONDS
from emulator.lambda_emulator import (
    RUNTIME_CLIENT,
    SPARE_SECONDS,
    Invocation,
    LambdaEmulator,
    functions_version,
)
from handler.event import HINT
from sandbox.b2 import EmbeddedB2
from sandbox.d1 import EmbeddedD1
from sandbox.sample import sample_objects

# Which Python runs the function stands in the name of each test here.
PYTHON = f"python{functions_version()}" if RUNTIME_CLIENT.exists() else "no python: make fetches the emulator"
pytestmark = pytest.mark.parametrize("python", [PYTHON])

# What the handler keeps of the function's time for itself.
SECONDS_TO_REPORT = 10

DAILY, OTHER, FAILED = {"RunSucceeded", "DailyRunSucceeded"}, {"RunSucceeded"}, {"RunFailed"}
OBJECTS = dict(sample_objects())


def expected_rows(prefix: str = "") -> set[tuple[Any, ...]]:
    """Work out the rows of the sample's objects below a prefix."""
    rows = set()
    for key, body in OBJECTS.items():
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if key.startswith(prefix):
            rows.add((key, etag, len(body), etag, media_uid(etag, key)))
    return rows


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run both servers, with the sample in the bucket and the table migrated."""
    with EmbeddedB2() as b2, EmbeddedD1(tmp_path_factory.mktemp("d1") / "d1.sqlite3") as d1:
        stack = Stack(b2, d1, FakeTime())
        stack.migrate()
        yield stack


@pytest.fixture(scope="module")
def warm(sandbox: Stack, package: Path) -> Iterator[LambdaEmulator]:
    """Run the package, for all tests of this module that do not mind a warm function."""
    with LambdaEmulator(package, sandbox.env) as emulator:
        yield emulator


@pytest.fixture
def empty(sandbox: Stack) -> Stack:
    """Provide the servers, the table empty."""
    execute(sandbox.d1, "DELETE FROM media_assets")
    return sandbox


def read(invocation: Invocation) -> FunctionLog:
    """Read every line the function wrote; they belong to one invocation, and to one run at most."""
    log = FunctionLog.read(invocation.lines)
    assert len({record["function_request_id"] for record in log.records}) == 1
    assert len({record["run_id"] for record in log.records if "run_id" in record}) <= 1
    return log


@pytest.mark.parametrize(
    ("file", "prefix", "inserted", "outcome"),
    [
        pytest.param("scheduled", "", True, DAILY, id="scheduled"),
        pytest.param("manual", "", True, DAILY, id="manual"),
        pytest.param("dry-run", "", False, OTHER, id="dry-run"),
        pytest.param("prefix", "photos/", True, OTHER, id="prefix"),
    ],
)
def test_each_event_does_what_it_says(
    python: str,
    empty: Stack,
    warm: LambdaEmulator,
    *,
    file: str,
    prefix: str,
    inserted: bool,
    outcome: set[str],
) -> None:
    """Right report, right rows, lines that parse, metrics that validate; a second time nothing is written."""
    event = json.loads((ROOT / "events" / f"{file}.json").read_text("utf-8"))
    rows = expected_rows(prefix)

    first, second = warm.invoke(event), warm.invoke(event)

    assert set(empty.rows("b2_key, b2_file_id, size, etag, media_uid")) == (rows if inserted else set())
    for invocation, new in ((first, len(rows)), (second, 0 if inserted else len(rows))):
        report, log = invocation.answer, read(invocation)
        figures = [report[name] for name in ("prefix", "dry_run", "discovered", "known", "new", "inserted")]
        assert figures == [prefix, not inserted, len(rows), len(rows) - new, new, new if inserted else 0]
        assert (log.outcome, log.errors, log.recorded) == (outcome, [], [])
        assert (log.records[-1]["report"], log.records[-1]["run_id"]) == (report, report["run_id"])
        assert log.emf[0].dimensions == {"service": "b2d1"}
        assert {name: log.metrics[name] for name in ("discovered", "new", "rows_written", "d1_requests")} == {
            name: report[name] for name in ("discovered", "new", "rows_written", "d1_requests")
        }
    assert second.answer["rows_written"] == 0
    assert second.answer["changed_db"] is False


def test_a_refused_event_is_what_lambda_records(python: str, empty: Stack, warm: LambdaEmulator) -> None:
    """What Lambda keeps of a failure, and mails, says what to do; nothing was done."""
    refused = warm.invoke({"key1": "value1"})

    log = read(refused)
    said = f'the event has what is not known here: "key1"\nhint: {HINT}'
    assert (refused.answer["errorType"], refused.answer["errorMessage"]) == ("UsageError", said)
    assert [(each["errorType"], each["errorMessage"]) for each in log.recorded] == [("UsageError", said)]
    assert (log.outcome, empty.rows()) == (FAILED, [])
    assert read(warm.invoke({})).outcome == DAILY


def test_a_whole_run_by_a_secret_tells_nothing_of_it(
    python: str, empty: Stack, package: Path, httpserver: HTTPServer
) -> None:
    """Settings come from Secrets Manager, everything is logged that can be, and no secret is in it.

    The log level is the template's; with it Lambda's runtime lets every library log all it knows.
    """
    secret = {"ARN": "arn", "Name": "b2d1", "SecretString": json.dumps(empty.env)}
    httpserver.expect_request("/", method="POST").respond_with_json(secret)
    role = {
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "role-secret",
        "AWS_SESSION_TOKEN": "session",
    }
    reach = {"AWS_ENDPOINT_URL_SECRETS_MANAGER": httpserver.url_for("").rstrip("/"), "B2D1_SECRET_ID": "b2d1"}
    everything: list[str] = []

    with LambdaEmulator(package, role | reach, show=everything.append) as emulator:
        done = emulator.invoke({"verbose": True})
        refused = emulator.invoke({"verbose": 1})

    assert (read(done).outcome, read(refused).outcome, len(empty.rows())) == (DAILY, FAILED, len(OBJECTS))
    assert "DEBUG" in read(done).levels
    told = "".join(everything) + json.dumps([done.answer, refused.answer])
    names = ("B2_APP_KEY", "B2_KEY_ID", "CLOUDFLARE_API_TOKEN")
    secrets = {name: empty.env[name] for name in names} | role
    assert [name for name, value in secrets.items() if value in told] == []


def test_too_little_time_leaves_whole_rounds(python: str, empty: Stack, package: Path) -> None:
    """D1 takes its time: two of six rounds are in, a clear error says so, the next invocation completes."""
    enough, rows = 4, 500
    slow = threading.Event()
    began = inserts = 0.0

    def let(passage: Passage) -> Response:
        nonlocal inserts
        if passage.step == "insert":
            inserts += 1
            if inserts == 2:
                slow.wait(max(0, began + enough - time.monotonic()))
        return passage.take_effect()

    with Gate(empty.d1.url, let) as gate:
        env = empty.env | {"ROWS_PER_PUBLISH": str(rows), "CLOUDFLARE_API_BASE_URL": gate.url}
        timeout = SECONDS_TO_REPORT + int(LEAST_ROUND_SECONDS) + enough
        with LambdaEmulator(package, env, timeout=timeout) as emulator:
            emulator.invoke({"dry_run": True})  # so that no time goes into the cold start
            began = time.monotonic()
            stopped = emulator.invoke({})
            left = len(empty.rows())
            slow.set()
            completed = emulator.invoke({})

    log = read(stopped)
    ((kind, message),) = log.errors
    assert (left, inserts) == (2 * rows, 6)
    assert (kind, log.outcome, stopped.answer["errorType"]) == ("OutOfTime", FAILED, "OutOfTime")
    assert "s are left, and a round may take 45 s" in message
    assert f"{2 * rows:,} rows inserted" in message
    assert "hint: Run again: it goes on from here." in stopped.answer["errorMessage"]
    assert [record["message"][:8] for record in log.records if "round " in record["message"][:6]] == [
        "round 1:",
        "round 2:",
    ]
    assert read(completed).outcome == DAILY
    assert (completed.answer["known"], completed.answer["inserted"]) == (2 * rows, len(OBJECTS) - 2 * rows)
    assert set(empty.rows("b2_key, b2_file_id, size, etag, media_uid")) == expected_rows()


def test_the_command_line_prints_the_report(python: str, package: Path, tmp_path: Path) -> None:
    """What `make invoke` runs has the report alone on stdout, the log on stderr, and 1 for a failure."""
    (tmp_path / "wrong.json").write_text('{"key1": 1}')
    sandbox = [sys.executable, "-m", "sandbox", "--state", tmp_path, "run", "--"]
    invoke = f"{sys.executable} -m emulator --package {package}"
    script = f"b2d1 migrate >&2 && {invoke} events/dry-run.json && {invoke} {tmp_path}/wrong.json"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    done = subprocess.run(
        [*sandbox, "sh", "-c", script],
        cwd=ROOT,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * SPARE_SECONDS,
    )

    report, end = json.JSONDecoder().raw_decode(done.stdout)
    failure = json.loads(done.stdout[end:])
    assert (report["discovered"], report["inserted"], failure["errorType"]) == (len(OBJECTS), 0, "UsageError")
    assert done.returncode == 1
    assert done.stderr.count("REPORT RequestId: ") == 2
    assert '"message":"run finished"' in done.stderr
