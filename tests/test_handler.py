"""The function itself, in this process: what it does, returns, logs and counts, and what it never tells."""

import dataclasses
import importlib
import json
import logging
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from conftest import Stack
from function_log import FunctionLog
from objects import execute
from pytest_httpserver import HTTPServer
from scripted_d1 import raw_server
from test_sync import content, page, scripted_bucket
from werkzeug import Response

from b2d1.errors import B2D1Error
from b2d1.run_folder import LOCK
from sandbox.b2 import EmbeddedB2

REQUEST_ID = "8f5cbf0e-2a3b-4c4d-9e5f-0123456789ab"
AWS_SECRET = "role-secret-0123456789-abcdefghij"
SERVICE = "the-stack"
RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
# What counts as one run in three ways.
DAILY, OTHER, FAILED = {"RunSucceeded", "DailyRunSucceeded"}, {"RunSucceeded"}, {"RunFailed"}
ENOUGH = 900.0


@dataclasses.dataclass
class Context:
    """What Lambda tells of an invocation; `seconds` is the time that is left."""

    seconds: float = ENOUGH
    aws_request_id: str = REQUEST_ID
    function_name: str = "b2d1"
    memory_limit_in_mb: str = "1024"
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:b2d1"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


class Invocation(NamedTuple):
    """How an invocation ended; `told` is all it emitted, as anyone could see it."""

    report: Any
    error: BaseException | None
    log: FunctionLog
    told: str
    lines: list[str]


class Function:
    """The handler, as after a cold start; its environment is the stack's."""

    def __init__(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.stack = stack
        self.temp = Path(os.environ["TMPDIR"])
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, event: Any = None, context: Any = None, **env: str) -> Invocation:
        """Invoke it, with more or other variables in its environment."""
        for name, value in (self.stack.env | env).items():
            self._monkeypatch.setenv(name, value)
        report, error = None, None
        try:
            # The first call is the cold start: its logger keeps to the stdout of that moment.
            report = importlib.import_module("handler.app").handler(
                {} if event is None else event, context or Context()
            )
        except Exception as raised:  # noqa: BLE001 - Lambda's runtime takes any
            error = raised
        out, err = self._capsys.readouterr()
        lines = out.split("\n")
        return Invocation(
            report, error, FunctionLog.read(out.splitlines()), out + err + _shown(report, error), lines
        )


def _shown(report: Any, error: BaseException | None) -> str:
    """Write what a report and an error show, the variables of every frame below the test's own too."""
    if error is None:
        return json.dumps(report)
    assert error.__traceback__
    below = error.__traceback__.tb_next
    told = traceback.TracebackException(type(error), error, below, capture_locals=True, compact=False)
    return "".join(traceback.format_exception(error)) + "".join(told.format()) + repr(error)


@pytest.fixture
def function(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Function:
    """Provide the function, cold, with an environment and a place for its files of its own."""
    for name in os.environ:
        if name.startswith(("AWS_", "B2", "CLOUDFLARE_", "CF_", "D1_", "POWERTOOLS_", "SNAPSHOT", "MAX_")):
            monkeypatch.delenv(name)
    for name, value in {
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIAFUNCTION",
        "AWS_SECRET_ACCESS_KEY": AWS_SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "POWERTOOLS_SERVICE_NAME": SERVICE,
        "TMPDIR": str(tmp_path / "tmp"),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "handler"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [
        name for name in vars(logging.getLogger("b2d1")) if name.startswith(("init", "powertools_"))
    ]:
        monkeypatch.delattr(logging.getLogger("b2d1"), name)
    return Function(stack, monkeypatch, capsys)


def put(stack: Stack, *keys: str) -> None:
    for key in keys:
        stack.b2.put(key, key.encode())


def keys(stack: Stack) -> list[str]:
    return [row[0] for row in stack.rows("b2_key")]


def test_a_run_returns_its_report(function: Function, stack: Stack) -> None:
    """The whole SyncReport is returned, as JSON's values, and logged; every figure in it is a metric."""
    put(stack, "a", "b/c")

    done = function()

    assert done.error is None
    run_id = done.report["run_id"]
    assert RUN_ID.fullmatch(run_id)
    varying = {
        name: done.report[name] for name in ("started_at", "duration_ms", "bookmark", "listing_sha256")
    }
    settings = stack.settings
    assert settings.b2
    assert done.report == varying | {
        "run_id": run_id,
        "bucket": settings.b2.bucket,
        "prefix": "",
        "list_mode": "objects",
        "key_order": "utf-8",
        "database_name": "lgfc_lite",
        "database_id": stack.database().id,
        "dry_run": False,
        "discovered": 2,
        "known": 0,
        "new": 2,
        "inserted": 2,
        "confirmed": True,
        "deferred": 0,
        "unidentified": 0,
        "excluded": 0,
        "rounds": 1,
        "checked": 2,
        "missing_after": 0,
        "list_requests": 1,
        "d1_requests": done.report["d1_requests"],
        "rows_read": done.report["rows_read"],
        "rows_written": done.report["rows_written"],
        "changed_db": True,
        "shrunk_by": 0,
        "snapshot": None,
    }
    assert json.loads(json.dumps(done.report)) == done.report
    (logged,) = [record for record in done.log.records if record["message"] == "run finished"]
    assert logged["report"] == done.report
    assert keys(stack) == ["a", "b/c"]
    (emf,) = done.log.emf
    numbers = {name: value for name, value in done.report.items() if type(value) is int}
    units = {name: "Milliseconds" if name.endswith("_ms") else "Count" for name in numbers}
    assert emf == (
        "b2d1",
        {"service": SERVICE},
        {name: (float(value), units[name]) for name, value in numbers.items()}
        | {"RunSucceeded": (1.0, "Count"), "DailyRunSucceeded": (1.0, "Count")},
    )


def test_a_second_run_finds_nothing_new(function: Function, stack: Stack) -> None:
    """A warm function does the same again, under another run id, and writes nothing."""
    put(stack, "a")
    first, second = function(), function()

    assert (first.report["inserted"], first.report["changed_db"]) == (1, True)
    assert (second.report["known"], second.report["rows_written"], second.report["changed_db"]) == (
        1,
        0,
        False,
    )
    assert first.report["run_id"] != second.report["run_id"]
    assert (second.log.outcome, second.log.metrics["rows_written"]) == (DAILY, 0)


SCHEDULED = json.loads((Path(__file__).parents[1] / "events" / "scheduled.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("event", "env", "listed", "inserted", "outcome"),
    [
        pytest.param(SCHEDULED, {}, 3, 3, DAILY, id="scheduled"),
        pytest.param({}, {}, 3, 3, DAILY, id="manual"),
        pytest.param({"verbose": True}, {}, 3, 3, DAILY, id="verbose"),
        pytest.param({}, {"MAX_NEW_PER_RUN": "2"}, 3, 2, DAILY, id="bounded"),
        pytest.param({"dry_run": True}, {}, 3, 0, OTHER, id="dry run"),
        pytest.param({}, {"DRY_RUN": "1"}, 3, 0, OTHER, id="dry run by a setting"),
        pytest.param({"dry_run": False}, {"DRY_RUN": "1"}, 3, 0, OTHER, id="no way round that setting"),
        pytest.param({"prefix": "photos/"}, {}, 2, 2, OTHER, id="prefix"),
        pytest.param(
            {"prefix": "photos/"}, {"B2_PREFIX": "photos/"}, 2, 2, DAILY, id="the configured prefix"
        ),
        pytest.param({}, {"B2_PREFIX": "photos/"}, 2, 2, DAILY, id="a prefix is configured"),
        pytest.param({"prefix": ""}, {}, 3, 3, DAILY, id="the whole bucket, by name"),
        pytest.param({"prefix": ""}, {"B2_PREFIX": "photos/"}, 3, 3, OTHER, id="wider than configured"),
        pytest.param({"prefix": "none/", "adopt": True}, {}, 0, 0, OTHER, id="a prefix without objects"),
        pytest.param({"prefix": "photos/", "dry_run": True}, {}, 2, 0, OTHER, id="prefix and dry run"),
    ],
)
def test_each_event_does_what_it_says(
    function: Function,
    stack: Stack,
    tmp_path: Path,
    *,
    event: Any,
    env: dict[str, str],
    listed: int,
    inserted: int,
    outcome: set[str],
) -> None:
    """Rows, report, metrics and snapshot: only a run at the configured scope that writes is the daily one."""
    put(stack, "a", "photos/b", "photos/c")
    kept = tmp_path / "kept" / "inventory.json"

    done = function(event, **env, SNAPSHOT_URI=str(kept))

    assert done.error is None
    assert (done.report["discovered"], done.report["inserted"], len(stack.rows())) == (
        listed,
        inserted,
        inserted,
    )
    assert (done.log.outcome, kept.exists()) == (outcome, outcome == DAILY)
    assert (done.log.metrics["discovered"], done.log.metrics["inserted"]) == (listed, inserted)
    assert done.log.metrics["deferred"] == done.report["deferred"]
    assert ("missing_after" in done.log.metrics) == (not done.report["dry_run"])


def test_a_bucket_that_has_shrunk_is_a_metric(function: Function, stack: Stack, tmp_path: Path) -> None:
    """The alarm has a figure, the log both counts and the report the same, and the run is a success."""
    kept = str(tmp_path / "inventory.json")
    put(stack, *map(str, range(120)))
    first = function(SNAPSHOT_URI=kept)
    stack.b2.remove_all()
    put(stack, "1", "2")

    second = function(SNAPSHOT_URI=kept)

    assert [each.log.metrics["shrunk_by"] for each in (first, second)] == [0, 118]
    assert (second.report["shrunk_by"], second.log.outcome, len(stack.rows())) == (118, DAILY, 120)
    said = [record["message"] for record in second.log.records if record["level"] == "WARNING"]
    assert [message.partition(":")[0] for message in said] == [
        "the last snapshot has 120 objects, this listing 2"
    ]


class Failure(NamedTuple):
    """A way to fail: the event, the settings, the time, and what is then said; `rows` says what is in."""

    kind: str
    said: str
    hint: str
    event: Any = None
    env: Mapping[str, str] = MappingProxyType({})
    seconds: float = ENOUGH
    rows: tuple[str, ...] = ()


FOREIGN = "INSERT INTO media_assets (media_uid, b2_key, size) VALUES ('b2_x', 'elsewhere', 1)"

FAILURES = {
    "event": Failure(
        "UsageError", 'the event has what is not known here: "key1"', "Send {}, or ", {"key1": "x"}
    ),
    "no event": Failure("UsageError", "the event is not a JSON object but a list", "Send {}, or ", []),
    "settings": Failure(
        "SettingsError",
        "2 settings need attention:\n  B2_BUCKET is not set\n  VERBOSE is none of 1, 0, true and false",
        "README.md lists every setting",
        env={"B2_BUCKET": "", "VERBOSE": "yes"},
    ),
    "secret": Failure(
        "SettingsError",
        "1 setting needs attention:\n  the secret that B2D1_SECRET_ID names cannot be read: An error "
        "occurred (AccessDeniedException) when calling the GetSecretValue operation: no",
        "It must exist in the function's region",
        env={"B2D1_SECRET_ID": "b2d1"},
    ),
    "wrong key": Failure(
        "B2Error",
        "listing bucket b2d1-sandbox: B2 answered 403 SignatureDoesNotMatch",
        "B2_APP_KEY does not belong to B2_KEY_ID",
        env={"B2_APP_KEY": "K004zqAppKey0123456789+abcdefg"},
    ),
    "wrong token": Failure(
        "D1Error",
        "looking for database lgfc_lite: D1 answered 401 10000: Authentication error",
        "Check CLOUDFLARE_API_TOKEN",
        env={"CLOUDFLARE_API_TOKEN": "zqToken_0123456789-ABCDEFGHIJ"},
    ),
    "no answer": Failure(
        "D1Error",
        "looking for database lgfc_lite: no answer from http://127.0.0.1:9",
        "Nothing listens there (CLOUDFLARE_API_BASE_URL).",
        env={"CLOUDFLARE_API_BASE_URL": "http://127.0.0.1:9"},
        seconds=11.5,
    ),
    "guard": Failure(
        "GuardRefusal",
        "the table has rows, and none of them has a key of this listing",
        "Compare the bucket",
        rows=("elsewhere",),
    ),
    "no identity": Failure(
        "B2Error",
        "listing bucket b2d1-sandbox: 1 object has no identity: left out; the others were not",
        "The log names them",
        rows=("a",),
    ),
    "snapshot": Failure(
        "SnapshotError",
        "keeping the snapshot at s3://snapshots/inventory.json.gz: S3 answered 403 AccessDenied: no"
        " (the rows are in: 1 inserted, verified)",
        "The role needs s3:GetObject and s3:PutObject there",
        env={"SNAPSHOT_URI": "s3://snapshots/inventory.json.gz"},
        rows=("a",),
    ),
    "no time": Failure(
        "OutOfTime", "no time is left before the deadline", "Give the run more time", seconds=9
    ),
    "no time for a round": Failure(
        "OutOfTime",
        "writing: 2",  # and so many seconds
        "Run again: it goes on from here.",
        seconds=35,
    ),
}


@pytest.fixture(params=FAILURES)
def failure(
    request: pytest.FixtureRequest,
    function: Function,
    stack: Stack,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Failure:
    """Bring each of the failures about, with an object in the bucket."""
    put(stack, "a")
    if request.param == "guard":
        execute(stack.d1, FOREIGN)
    if request.param == "no identity":
        scripted_bucket(stack, httpserver, page(content("a"), content("b", etag=None)))
    if request.param == "secret":
        denied = {"__type": "AccessDeniedException", "Message": "no"}
        httpserver.expect_request("/", method="POST").respond_with_json(denied, 400)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", httpserver.url_for("").rstrip("/"))
    if request.param == "snapshot":
        refusal = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        httpserver.expect_request(re.compile(".*")).respond_with_response(Response(refusal, 403))
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", httpserver.url_for("").rstrip("/"))
    return FAILURES[request.param]


def test_a_failure_is_told_counted_and_raised(function: Function, stack: Stack, failure: Failure) -> None:
    """One logged error with its hint and exit code, one RunFailed, and an error that ends with the hint."""
    done = function(failure.event, Context(failure.seconds), **failure.env)

    assert isinstance(done.error, B2D1Error)
    ((kind, message),) = done.log.errors
    (record,) = [record for record in done.log.records if record["level"] == "ERROR"]
    assert (kind, message[: len(failure.said)]) == (failure.kind, failure.said)
    assert (type(done.error).__name__, str(done.error)) == (kind, f"{message}\nhint: {record['hint']}")
    assert record["hint"].startswith(failure.hint)
    assert record["hint"] == done.error.hint
    assert (record["exit_code"], done.log.outcome) == (done.error.exit_code, FAILED)
    assert tuple(keys(stack)) == failure.rows


def test_a_failed_run_leaves_the_snapshot_alone(
    function: Function, stack: Stack, tmp_path: Path, failure: Failure
) -> None:
    """Whatever the snapshot holds, a run that fails does not touch it."""
    kept = tmp_path / "inventory.json"
    kept.write_text("as it was")
    if failure.kind == "SnapshotError":
        kept = tmp_path / "inventory.json" / "below-a-file"

    done = function(
        failure.event, Context(failure.seconds), **({**failure.env} | {"SNAPSHOT_URI": str(kept)})
    )

    assert type(done.error).__name__ == failure.kind
    assert (tmp_path / "inventory.json").read_text() == "as it was"


def secrets_in(text: str, env: dict[str, str]) -> list[str]:
    """Name the secrets of an environment that a text shows, wholly or for the most part."""
    names = ("B2_APP_KEY", "CLOUDFLARE_API_TOKEN", "B2_KEY_ID")
    values = {name: env[name] for name in names} | {"AWS_SECRET_ACCESS_KEY": AWS_SECRET}
    return [name for name, value in values.items() if value[:20] in text or value[-20:] in text]


def test_a_failure_shows_no_secret(function: Function, stack: Stack, failure: Failure) -> None:
    """With everything logged, no secret is in a line, a metric, the error or its traceback with variables."""
    env = {"VERBOSE": "1", **failure.env}
    done = function(failure.event, Context(failure.seconds), **env)

    assert done.error
    assert secrets_in(done.told, stack.env | env) == []


def test_a_run_shows_no_secret(function: Function, stack: Stack) -> None:
    """Nor does a run that succeeds, with everything logged."""
    put(stack, "a")
    done = function({"verbose": True})

    assert done.error is None
    assert "DEBUG" in done.log.levels
    assert secrets_in(done.told, stack.env) == []


def test_a_bug_is_told_counted_and_raised(function: Function, stack: Stack) -> None:
    """An error without a name is logged with its traceback, on one line, counted, and raised as it came."""

    class Broken(Context):
        def get_remaining_time_in_millis(self) -> int:
            raise ZeroDivisionError("of the test's own")

    done = function({}, Broken())

    assert isinstance(done.error, ZeroDivisionError)
    (record,) = done.log.records
    assert (record["message"], record["exception_name"]) == ("unexpected failure", "ZeroDivisionError")
    assert "of the test's own" in record["exception"]
    assert (done.log.outcome, stack.rows()) == (FAILED, [])
    assert secrets_in(done.told, stack.env) == []


def test_every_line_names_its_invocation_and_its_run(function: Function, stack: Stack) -> None:
    """The core's lines are JSON too, with the request's id, and from a run's beginning on with its id."""
    put(stack, "a")
    first = function({"verbose": True})
    second = function({}, Context(aws_request_id="another"))

    for done, request in ((first, REQUEST_ID), (second, "another")):
        run_id = done.report["run_id"]
        assert {record["function_request_id"] for record in done.log.records} == {request}
        assert {record["run_id"] for record in done.log.records} == {run_id}
        assert done.log.records[0]["message"].startswith("run ") or done is first
        assert f"run {run_id}: database" in done.told
    assert any(record["message"].startswith("page of 1 objects") for record in first.log.records)


def test_a_failure_before_a_run_names_no_run(function: Function, stack: Stack) -> None:
    """A warm function has forgotten the run before: a refused event belongs to none."""
    put(stack, "a")
    assert "run_id" in function().log.records[-1]

    (refused,) = function({"key1": 1}).log.records

    assert ("run_id" in refused, refused["function_request_id"]) == (False, REQUEST_ID)


@pytest.mark.parametrize("level", [None, "INFO", "DEBUG"])
def test_verbose_is_for_this_invocation_only(
    function: Function, stack: Stack, monkeypatch: pytest.MonkeyPatch, level: str | None
) -> None:
    """Pages and requests are logged when an event or a setting asks for it, whatever the function's level."""
    if level:
        monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", level)
    put(stack, "a")

    ways = [function(), function({"verbose": True}), function(), function(VERBOSE="1"), function(VERBOSE="0")]

    assert ["DEBUG" in done.log.levels for done in ways] == [False, True, False, True, False]
    said = [record["message"] for record in ways[1].log.records if record["level"] == "DEBUG"]
    assert [line for line in said if line.startswith("page of")] == ["page of 1 objects, 1 so far"]
    assert len([line for line in said if "HTTP 200" in line]) == ways[1].report["d1_requests"]


def test_the_root_logger_never_tells_more_than_warnings(function: Function) -> None:
    """Where Lambda's runtime has set the root to DEBUG, botocore and urllib3 stay silent all the same."""
    root, before = logging.getLogger(), logging.getLogger().level
    try:
        root.setLevel(logging.DEBUG)
        function({"verbose": True})

        levels = {name: logging.getLogger(name).getEffectiveLevel() for name in ("botocore", "urllib3")}
        assert levels == {"botocore": logging.WARNING, "urllib3": logging.WARNING}
    finally:
        root.setLevel(before)


def test_objects_without_identity_are_counted(
    function: Function, stack: Stack, httpserver: HTTPServer
) -> None:
    """The run fails, and yet its figures are there: the alarm on them has something to see."""
    scripted_bucket(stack, httpserver, page(content("a"), content("b", etag=None)))

    done = function()

    assert (done.log.metrics["unidentified"], done.log.metrics["inserted"], done.log.outcome) == (
        1,
        1,
        FAILED,
    )
    assert "'b' has no ETag, so no identity: it is left out" in [each["message"] for each in done.log.records]


def test_adopt_is_for_a_bucket_filled_anew(function: Function, stack: Stack) -> None:
    """What the bucket guard refuses goes in when the event says so."""
    put(stack, "a")
    execute(stack.d1, FOREIGN)

    assert type(function().error).__name__ == "GuardRefusal"
    assert (function({"adopt": True}).log.outcome, keys(stack)) == (DAILY, ["elsewhere", "a"])


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedB2]:
    """Run an S3 with a bucket for snapshots, to which the role's credentials give access."""
    with EmbeddedB2(
        bucket="snapshots", region="eu-west-1", key_id="AKIAFUNCTION", app_key=AWS_SECRET, fill=False
    ) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


def test_the_snapshot_is_kept_in_s3(function: Function, stack: Stack, s3: EmbeddedB2) -> None:
    """Only a daily run touches it, and only when the bucket changed."""
    uri = "s3://snapshots/inventory.json.gz"
    put(stack, "a")
    function({"dry_run": True}, SNAPSHOT_URI=uri)
    function({"prefix": "a"}, SNAPSHOT_URI=uri)
    assert s3.requests == []

    first, second = function(SNAPSHOT_URI=uri), function(SNAPSHOT_URI=uri)
    put(stack, "b")
    for event in ({"dry_run": True}, {"prefix": "b"}, {"key1": 1}):
        function(event, SNAPSHOT_URI=uri)
    third = function(SNAPSHOT_URI=uri)

    snapshots = [done.report["snapshot"] for done in (first, second, third)]
    assert [(each["uri"], each["changed"]) for each in snapshots] == [(uri, True), (uri, False), (uri, True)]
    assert [each["sha256"] for each in snapshots] == [
        done.report["listing_sha256"] for done in (first, second, third)
    ]
    head, write = "HEAD /snapshots/inventory.json.gz", "PUT /snapshots/inventory.json.gz"
    assert s3.requests == [head, write, head, head, write]


def test_the_deadline_bounds_a_silent_bucket(function: Function, stack: Stack) -> None:
    """Where B2 does not answer, the function ends in time to say so itself."""
    ended = threading.Event()
    put(stack, "a")

    def say_nothing(peer: socket.socket) -> None:
        peer.recv(1)
        ended.wait(30)

    with raw_server(say_nothing) as (port, _):
        began = time.monotonic()
        done = function({}, Context(12), B2_ENDPOINT=f"http://127.0.0.1:{port}")
        took = time.monotonic() - began
        ended.set()

    assert 0.1 < took < 10
    ((kind, message),) = done.log.errors
    assert (kind, message.startswith("listing bucket b2d1-sandbox: no answer from")) == ("B2Error", True)
    assert (done.log.outcome, stack.rows()) == (FAILED, [])


def test_a_log_shows_only_what_is_printable(function: Function, stack: Stack) -> None:
    """`aws logs tail` prints each line as it is. The values in it stay the same."""
    key = "\x9b31m \u202egpj \u2028 \ue000 \U000f0000 é日"
    put(stack, f"{key}new")

    refused = function({"prefix": f"{key}none", "verbose": True})
    done = function({"prefix": key, "verbose": True})

    assert refused.error is not None
    assert str(refused.error).replace("\n", "").isprintable()
    assert done.log.records[-1]["report"]["prefix"] == key
    assert "".join(refused.lines + done.lines).isprintable()


def test_what_a_killed_invocation_left_is_cleaned(function: Function, stack: Stack) -> None:
    """The next invocation removes the folders of dead runs, and nothing else, and leaves none itself."""
    put(stack, "a")
    left = function.temp / "b2d1-abcdefgh"
    left.mkdir()
    (left / "inventory.json").write_bytes(b"x" * 100)
    (left / LOCK).touch()
    (function.temp / "b2d1-lab").mkdir()

    done = function()

    assert (done.log.outcome, [path.name for path in function.temp.iterdir()]) == (DAILY, ["b2d1-lab"])


INVOKE_WITH_SMALL_FILES = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from handler.app import handler

class Context:
    aws_request_id = function_name = memory_limit_in_mb = invoked_function_arn = "x"
    def get_remaining_time_in_millis(self):
        return 900_000

try:
    handler({}, Context())
except Exception as error:
    print(json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)}))
"""


@pytest.mark.parametrize(
    ("size", "said", "hint"),
    [
        pytest.param(
            *(0, "No usable temporary directory found in ", "The folder must exist, have free space, and"),
            id="full to the last byte",
        ),
        pytest.param(4096, "File too large", "The file grew larger than", id="full during the run"),
    ],
)
def test_a_full_disk_is_an_error_with_a_name(
    stack: Stack, tmp_path: Path, size: int, said: str, hint: str
) -> None:
    """Nothing is written to D1, the error says what to do, and what a killed run left there is gone."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    put(stack, *(f"{number:03}" + "x" * 200 for number in range(50)))
    left = tmp_path / "b2d1-abcdefgh"
    left.mkdir()
    (left / LOCK).touch()
    env = stack.env | {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        "TMPDIR": str(tmp_path),
        "SNAPSHOT_URI": str(tmp_path / "kept.json"),
        "POWERTOOLS_SERVICE_NAME": SERVICE,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-c", INVOKE_WITH_SMALL_FILES, str(size)]

    ended = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    log = FunctionLog.read(ended.stdout.splitlines())
    ((kind, message),) = log.errors
    assert (kind, ended.stderr, stack.rows(), log.outcome) == ("B2D1Error", "", [], FAILED)
    assert message.startswith(f"keeping the run's working files: {said}")
    assert log.recorded[0]["errorMessage"].startswith(f"{message}\nhint: {hint}")
    assert (
        "TMPDIR names another place (in Lambda: raise EphemeralStorage); " in log.recorded[0]["errorMessage"]
    )
    assert list(tmp_path.glob("b2d1-*")) == []
    assert not (tmp_path / "kept.json").exists()
