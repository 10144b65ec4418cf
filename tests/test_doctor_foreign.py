"""The doctor among strangers: what they say neither stops it, nor has it wait, nor reaches a terminal."""

import json
import math
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from conftest import FakeTime
from doctor_forms import AWS, Form, Patient, examined, patient, rule, scope, sql
from pytest_httpserver import HTTPServer
from scripted_d1 import ACCOUNT, TOKEN, answer, as_response, raw_server, read_request, script, settings
from tables import DOCUMENTED_TABLE
from test_b2_native import DESCRIBED
from test_doctor import CHECKS
from test_doctor_checks import AT_BACKBLAZE, NOW

from b2d1.d1.database import Database
from b2d1.doctor import examination
from b2d1.doctor.bucket import BucketChecks
from b2d1.doctor.configuration import Sound, sound_parts
from b2d1.doctor.d1 import D1Checks
from b2d1.doctor.examination import examine, exit_code, impatient
from b2d1.doctor.finding import Check, Found, Status, ok, run
from b2d1.doctor.key import KeyChecks
from b2d1.doctor.rows import RowChecks
from b2d1.doctor.schedule import schedule_check
from b2d1.doctor.snapshot import snapshot_check
from b2d1.doctor.table import TableChecks
from b2d1.migrate.migrations import shipped
from b2d1.retry import Deadline
from b2d1.table.staging import CREATE_CHUNKS

pytestmark = pytest.mark.slow


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Patient]:
    """Run the servers, healthy."""
    with patient(tmp_path) as found:
        yield found


@pytest.fixture(autouse=True)
def nobody_in_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have no AWS credentials, whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


def settings_of(url: str) -> dict[str, str]:
    """Return settings by which everything is asked of one server."""
    env = {"B2_KEY_ID": "id", "B2_APP_KEY": "key", "B2_BUCKET": "photos", "B2_REGION": "here"}
    env |= {"B2_ENDPOINT": url, "B2_NATIVE_URL": url, "CLOUDFLARE_API_BASE_URL": url}
    return env | {"CLOUDFLARE_API_TOKEN": TOKEN, "CLOUDFLARE_ACCOUNT_ID": ACCOUNT}


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["nothing", "a head"])
def test_nobody_is_waited_for_who_does_not_answer(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    """Each answer has some seconds in the doctor, whatever a run would give it, and then it is a failure."""
    assert impatient().deadline.timeout(120.0) == examination.LONGEST_ANSWER == 10.0
    monkeypatch.setattr(examination, "LONGEST_ANSWER", 0.05)
    for name, value in (AWS | {"AWS_ENDPOINT_URL_EVENTBRIDGE": "http://127.0.0.1:1"}).items():
        monkeypatch.setenv(name, value)

    def say_no_more(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(head)
        peer.recv(1)  # until the client hangs up

    with raw_server(say_no_more) as (port, _):
        url = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        env = settings_of(url) | {"SNAPSHOT_URI": "s3://kept/a.json"}
        lines = list(examine(env, "no stack", impatient(sleep=lambda _: None)))

    failed = [line.check for line in lines if line.status is Status.FAIL]
    assert failed == ["B2 key", "B2 bucket", "Cloudflare token", "snapshot"]


def test_nobody_is_waited_for_who_asks_for_a_long_pause(
    httpserver: HTTPServer, fake_time: FakeTime, tmp_path: Path
) -> None:
    """A service that answers 503 and asks for minutes of patience is told at once, and not waited for."""
    httpserver.expect_request(re.compile(".*")).respond_with_data("", 503, {"Retry-After": "600"})
    url = httpserver.url_for("").rstrip("/")
    env = settings_of(url) | {"SNAPSHOT_URI": str(tmp_path / "kept.json")}
    retrying = impatient(deadline=Deadline(clock=fake_time.clock), sleep=fake_time.sleep)

    lines = list(examine(env, "no stack", retrying))

    failed = [line.check for line in lines if line.status is Status.FAIL]
    assert (failed, fake_time.pauses) == (["B2 key", "B2 bucket", "Cloudflare token"], [])
    assert all("the next try is due in 600.0 s" in line.found for line in lines if line.check in failed)


# Where B2, D1 and S3 answer otherwise than they do


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(Form(by=scope(prefix="\x1b[2J\x9b\nok  all is well\ud800")), id="a key's prefix"),
        pytest.param(Form(by=scope(buckets=("\x1b[2J\nok\ud800",))), id="a key's bucket"),
        pytest.param(Form(by=scope(capabilities=("\x1b[2J\nok\ud800",))), id="a key's capability"),
        pytest.param(Form(by=scope(s3_url="https://s3.\x1b[31m\n")), id="an account's endpoint"),
        pytest.param(
            Form(by=sql('CREATE INDEX "\x1b[2J\nok" ON media_assets (b2_key);')), id="an index's name"
        ),
        pytest.param(Form(by=sql("UPDATE media_assets SET ingested_at = char(27, 10, 155)")), id="a row"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["plain", "json"])
def test_what_is_found_and_mended_does_nothing_to_a_terminal(
    b2d1: Callable[..., Result], it: Patient, form: Form, options: list[str]
) -> None:
    """Whatever a vendor puts into a name: every check has its line, without a control character of theirs."""
    form.by(it)

    result = b2d1("doctor", *options, env=it.stack.env)

    assert not re.search("[\x00-\x09\x0b-\x1f]", result.stdout)
    if options:
        checks = [check["check"] for check in json.loads(result.stdout)["checks"]]
        assert list(dict.fromkeys(checks)) == CHECKS
    else:
        assert all(text.isprintable() for text in result.stdout.split("\n"))
        assert not [text for text in result.stdout.split("\n") if text.startswith("ok  all")]


def test_a_check_that_breaks_off_is_a_line_and_stops_no_other() -> None:
    """What nobody foresaw is the check's failure, and those that do not need it are made all the same."""

    def break_off() -> Found:
        raise KeyError("b2d1")

    lines = list(run([Check("a", break_off), Check("b", break_off, ("a",)), Check("c", lambda: ok("c"))]))

    assert [line[:3] for line in lines] == [
        ("a", Status.FAIL, "the check broke off: KeyError"),
        ("b", Status.NOT_CHECKED, "it needs what failed above: a"),
        ("c", Status.OK, "c"),
    ]
    assert exit_code(lines) == 1


@pytest.mark.parametrize(
    ("check", "rows"),
    [
        pytest.param("identity", [["quoted", None]], id="no count"),
        pytest.param("identity", [["quoted", math.inf]], id="an endless count"),
        pytest.param("identity", [[["quoted"], 1]], id="a list for a form"),
        pytest.param("indexes", [[["a"], 0, "c", 0, "b2_key", 0, "BINARY"]], id="a list for an index"),
        pytest.param("indexes", [["a", 0, "c", 0, {}, 0, "BINARY"]], id="an object for a column"),
    ],
)
def test_rows_of_another_form_are_not_d1s(
    httpserver: HTTPServer, fake_time: FakeTime, check: str, rows: list[Any]
) -> None:
    """Figures and names that D1 would not answer are its line's failure, by name and with exit 4."""
    d1 = D1Checks(None, fake_time.retrying(), lambda: NOW)
    d1.database = Database(settings(httpserver.url_for("")), fake_time.retrying(attempts=1))
    script(httpserver, as_response(answer(rows)))
    bucket = BucketChecks(None, fake_time.retrying())
    asked = {
        "identity": RowChecks(d1, bucket, "objects", lambda: NOW).checks()[0],
        "indexes": TableChecks(d1).checks()[1],
    }

    (line,) = run([asked[check]._replace(needs=())])

    assert (line.status, line.exit_code) == (Status.FAIL, 4)
    assert "the answer is not D1's" in line.found


@pytest.mark.parametrize("body", ["", "<html/>", "<InitiateMultipartUploadResult/>"])
def test_an_upload_that_somebody_else_says_was_begun_is_not_s3s(
    it: Patient, httpserver: HTTPServer, body: str
) -> None:
    """A page under HTTP 200 in S3's place fails the snapshot, and the schedule is looked at all the same."""
    httpserver.expect_request("/kept/a.json", method="HEAD").respond_with_data(status=404)
    httpserver.expect_request("/kept/a.json", method="POST").respond_with_data(body)
    it.in_aws(AWS_ENDPOINT_URL_S3=httpserver.url_for(""))

    lines, _ = examined(it, Form({"SNAPSHOT_URI": "s3://kept/a.json"}))

    snapshot, schedule = lines[-2:]
    assert (snapshot.status, snapshot.exit_code) == (Status.FAIL, 1)
    assert "the answer is not S3's" in snapshot.found
    assert "on the way to S3" in snapshot.fix
    assert schedule.check == "schedule"


@pytest.mark.parametrize(
    "body", ["<html>", "{}", "[]", '{"Rules": null}', '{"Rules": ["a"]}', '{"Rules": [{"Name": "a"}]}']
)
def test_an_answer_that_is_not_eventbridges_is_told(
    monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer, body: str
) -> None:
    """Whatever comes in place of EventBridge's answer, the schedule is not checked, and nothing breaks."""
    httpserver.expect_request("/").respond_with_data(body)
    for name, value in (AWS | {"AWS_ENDPOINT_URL_EVENTBRIDGE": httpserver.url_for("")}).items():
        monkeypatch.setenv(name, value)

    (line,) = run([schedule_check("b2d1")])

    assert (line.status, line.found) == (Status.NOT_CHECKED, "the answer is not EventBridge's")


def test_credentials_from_a_program_that_is_not_there_are_told(it: Patient) -> None:
    """A credential_process that cannot be started fails the snapshot, with what to do, and no other check."""
    config = it.folder / "config"
    config.write_text("[default]\nregion = eu-central-1\ncredential_process = /nowhere/program\n")
    it.aws = {"AWS_CONFIG_FILE": str(config)}

    lines, _ = examined(it, Form({"SNAPSHOT_URI": "s3://kept/a.json"}))

    snapshot, schedule = lines[-2:]
    assert (snapshot.status, schedule.status) == (Status.FAIL, Status.NOT_CHECKED)
    assert "/nowhere/program" in snapshot.found
    assert "/nowhere/program" in schedule.found
    assert snapshot.fix.startswith("Give this user, or this role, AWS credentials")


# The endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "S3.US-WEST-004.backblazeb2.com",
        "https://s3.us-west-004.backblazeb2.com:443",
        "HTTPS://s3.us-west-004.backblazeb2.com/",
    ],
)
def test_an_endpoint_may_be_written_in_any_way(
    httpserver: HTTPServer, fake_time: FakeTime, endpoint: str
) -> None:
    """Capitals and the usual port are no other endpoint than the account's own."""
    httpserver.expect_request("/b2api/v4/b2_authorize_account").respond_with_json(DESCRIBED)
    env = {"B2_ENDPOINT": endpoint, "B2_NATIVE_URL": httpserver.url_for("").rstrip("/")}
    checks = KeyChecks(sound_parts(AT_BACKBLAZE | env), fake_time.retrying(), lambda: NOW).checks()

    (line,) = [line for line in run(checks) if line.check == "B2 endpoint"]

    assert (line.status, line.found[-30:]) == (Status.OK, ": the one of the key's account")


def test_a_bucket_whose_objects_were_all_replaced_is_no_other_bucket(it: Patient) -> None:
    """Where the first page has new content under known keys, a run is due, and there is nothing to adopt."""
    for key in ("photos/a.jpg", "photos/b.jpg", "scans/c.png"):
        it.stack.b2.put(key, b"another")

    lines, _ = examined(it, Form())

    (line,) = [line for line in lines if line.check == "bucket and table"]
    lacks = "the table lacks 3 of the 3 objects of the bucket's first page"
    assert (line.status, line.found) == (Status.WARN, f"{lacks}, 3 of them for over 26 h")
    assert line.fix.startswith("Run b2d1 sync and read what it says")


# What mends it, followed to the letter


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        pytest.param(
            "UPDATE media_assets SET b2_file_id = trim(etag, '\"');", "identity of the rows", id="rows"
        ),
        pytest.param("ALTER TABLE media_assets DROP COLUMN size;", "table media_assets", id="another table"),
    ],
)
def test_a_table_that_was_put_aside_as_told_leaves_nothing_to_mend(
    it: Patient, damage: str, check: str
) -> None:
    """In a database whose migrations are recorded the statements shown make a table of which all is ok."""
    lines, _ = examined(it, Form(by=sql(damage)))
    (fix,) = [line.fix for line in lines if line.check == check]

    it.sql(fix.partition("\n")[2])
    it.stack.sync()
    lines, _ = examined(it, Form(by=rule("ENABLED")))

    assert {line.status for line in lines} == {Status.OK}


CHUNKS = "DROP TABLE media_ingest_chunks;"
KEY_TWICE = "CREATE UNIQUE INDEX {} ON media_assets (b2_key);"


@pytest.mark.parametrize(
    ("damage", "check", "found"),
    [
        pytest.param(CHUNKS, "table media_assets", "there is no table media_ingest_chunks", id="chunks"),
        pytest.param(
            KEY_TWICE.format("by_key"),
            "indexes",
            "by_key lets no two rows have the same b2_key",
            id="a key once",
        ),
        pytest.param(
            "CREATE UNIQUE INDEX e ON media_assets (etag, size) WHERE size > 0;",
            "indexes",
            "e lets no two rows have the same etag, size",
            id="some content once",
        ),
        pytest.param(
            f"DROP TABLE media_assets; {DOCUMENTED_TABLE.replace('b2_key TEXT', 'b2_key TEXT UNIQUE')}"
            "CREATE INDEX idx_media_assets_b2_key ON media_assets (b2_key);",
            "indexes",
            "sqlite_autoindex_media_assets_2 lets no two rows have the same b2_key",
            id="a key once, by the table",
        ),
    ],
)
def test_what_a_run_would_fail_at_is_told_and_mended(
    it: Patient, damage: str, check: str, found: str
) -> None:
    """What lets a small run pass and another one fail is a warning; its statements make all of it ok."""
    it.sql(damage)
    lines, _ = examined(it, Form())
    (line,) = [line for line in lines if line.status in {Status.WARN, Status.FAIL} and line.check == check]

    it.sql(line.fix.partition("\n")[2])
    it.stack.sync()
    lines, _ = examined(it, Form(by=rule("ENABLED")))

    assert (line.status, found in line.found) == (Status.WARN, True)
    assert {line.status for line in lines} == {Status.OK}


@pytest.mark.parametrize(
    ("column", "declared", "found"),
    [
        pytest.param("owner", "TEXT NOT NULL", "must have a value, and b2d1 knows none", id="demanded"),
        pytest.param("owner", "TEXT", None, id="not demanded"),
        pytest.param("id", "INTEGER PRIMARY KEY NOT NULL", None, id="a rowid"),
        pytest.param(
            "id", "TEXT PRIMARY KEY NOT NULL", "must have a value, and b2d1 knows none", id="a key of its own"
        ),
        pytest.param("owner", "TEXT NOT NULL DEFAULT 'me'", None, id="demanded, with a default"),
        pytest.param(
            "b2_key", "STRING", "of type STRING does not keep a value as it is", id="keys as numbers"
        ),
        pytest.param("etag", "INT", "of type INT does not keep a value as it is", id="etags as numbers"),
        pytest.param("b2_key", "varchar(1024)", None, id="keys as characters"),
        pytest.param("b2_key", "", None, id="keys as they come"),
        pytest.param("size", "VARCHAR", "of type VARCHAR does not keep a value as it is", id="sizes as text"),
        pytest.param("size", "DOUBLE", "of type DOUBLE does not keep a value as it is", id="sizes as floats"),
        pytest.param("size", "BIGINT", None, id="sizes as integers"),
        pytest.param("size", "NUMERIC", None, id="sizes as numbers"),
    ],
)
def test_a_column_that_no_run_can_fill_is_a_failure(
    it: Patient, column: str, declared: str, found: str | None
) -> None:
    """A value that is demanded, or changed as it is written, is told before a run meets it."""
    ours = ["id INTEGER PRIMARY KEY", "media_uid TEXT NOT NULL UNIQUE", "b2_key TEXT", "b2_file_id TEXT"]
    ours += ["size INTEGER", "etag TEXT"]
    columns = [each for each in ours if not each.startswith(column)] + [f"{column} {declared}"]
    it.sql(f"DROP TABLE media_assets; CREATE TABLE media_assets ({', '.join(columns)});")
    it.stack.b2.put("0123", b"its key is no number")

    lines, _ = examined(it, Form())

    (line,) = [line for line in lines if line.check == "table media_assets"]
    if found is None:
        assert line.status is Status.OK
        assert it.stack.sync().inserted == 4
        assert ("0123", 20) in it.stack.rows("b2_key, size")
        return
    assert (line.status, line.exit_code, line.found) == (
        Status.FAIL,
        4,
        f"table media_assets: column {column} {found}",
    )
    it.sql(line.fix.partition("\n")[2])
    it.stack.sync()
    assert {line.status for line in examined(it, Form(by=rule("ENABLED")))[0]} == {Status.OK}


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        pytest.param("b2_key, b2_file_id", False, id="what makes the uid"),
        pytest.param("media_uid, b2_key", False, id="with the uid"),
        pytest.param("owner, b2_key", False, id="with what is not written"),
        pytest.param("b2_key, size", True, id="with the size"),
        pytest.param("b2_file_id", True, id="the file id"),
    ],
)
def test_a_unique_index_that_no_row_can_violate_is_no_fault(
    it: Patient, columns: str, *, fault: bool
) -> None:
    """Only an index that two objects' rows may clash in is warned of."""
    it.sql(f"ALTER TABLE media_assets ADD owner TEXT; CREATE UNIQUE INDEX u ON media_assets ({columns});")

    lines, _ = examined(it, Form())

    assert any("lets no two rows" in line.found for line in lines) == fault


def test_the_statement_that_makes_the_table_of_chunks_is_the_migrations() -> None:
    """What a hint has somebody run is what `b2d1 migrate` runs."""
    migration, statement = (
        re.sub(r"\s+|IF NOT EXISTS", "", text) for text in (shipped()[-1].sql, CREATE_CHUNKS)
    )

    assert statement in migration


def test_a_snapshot_that_may_not_be_read_is_a_failure() -> None:
    """A run reads the snapshot that is there: where it is somebody else's alone, that is told before."""
    with tempfile.TemporaryDirectory() as name:
        folder, kept = Path(name), Path(name) / "kept.json"
        folder.chmod(0o777)
        kept.write_bytes(b"old")
        kept.chmod(0)
        sound = Sound(None, None, None, snapshot_is_sound=True, snapshot_uri=str(kept))
        as_nobody = os.geteuid() == 0  # to root no file is forbidden
        try:
            if as_nobody:
                os.seteuid(65534)
            (line,) = run([snapshot_check(sound, impatient())])
        finally:
            if as_nobody:
                os.seteuid(0)

    assert (line.status, line.exit_code) == (Status.FAIL, 1)
    assert line.found == f"{kept}: Permission denied"
    forbidden = "This user may not read or write there: change the permissions."
    assert line.fix == f"{forbidden} Name in SNAPSHOT_URI a file that this user may write."


def test_a_table_without_rowids_has_no_newest_row(it: Patient) -> None:
    """What cannot be told of such a table is not checked for that reason, and not for want of a column."""
    columns = "media_uid TEXT PRIMARY KEY, b2_key, b2_file_id, size, etag, ingested_at"
    it.sql(f"DROP TABLE media_assets; CREATE TABLE media_assets ({columns}) WITHOUT ROWID;")

    lines, _ = examined(it, Form())

    (newest,) = [line for line in lines if line.check == "newest row"]
    assert newest[1:3] == (Status.NOT_CHECKED, "the table has no rowid, which tells the newest row")


@pytest.mark.parametrize(("options", "setting"), [(["-v"], ""), ([], "1")], ids=["option", "setting"])
def test_each_request_is_logged_where_that_is_wanted(
    b2d1: Callable[..., Result], it: Patient, options: list[str], setting: str
) -> None:
    """What -v and VERBOSE promise holds for all that is asked: B2's own API, a page, and D1."""
    it.stack.b2.requests.clear()
    it.stack.d1.requests.clear()

    result = b2d1("doctor", *options, env=it.stack.env | {"VERBOSE": setting})

    told = re.sub(r"\n(?!DEBUG: )", " ", result.stderr.strip()).split("\n")
    assert len(told) == len(it.stack.b2.requests) + len(it.stack.d1.requests)
    assert told[0].startswith("DEBUG: asking B2 about the key: HTTP 200, ")
    assert told[1] == "DEBUG: listing bucket b2d1-sandbox: page of 3 objects"
