"""The doctor on a sandbox broken in each of its ways: the right line and sentence, the others still made."""

import json
import os
import pty
import re
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from doctor_forms import AWS, FORMS, Form, Patient, examined, patient, recorded, rule
from pytest_httpserver import HTTPServer
from werkzeug import Response

from b2d1.cli.doctor_view import as_text
from b2d1.doctor.configuration import FIXES
from b2d1.doctor.finding import Line, Status
from b2d1.settings import NAMES

pytestmark = pytest.mark.slow

CHECKS = [
    *(
        "settings",
        "B2 key",
        "B2 key's expiry",
        "B2 key's capabilities",
        "B2 key's restriction",
        "B2 endpoint",
    ),
    *(
        "clock",
        "B2 bucket",
        "B2 listing",
        "B2 pages",
        "Cloudflare token",
        "Cloudflare account",
        "D1 database",
    ),
    *(
        "table media_assets",
        "indexes",
        "migrations",
        "identity of the rows",
        "newest row",
        "bucket and table",
    ),
    *("snapshot", "schedule"),
]


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


def line(lines: list[Line], check: str) -> Line:
    """Pick the one line of a check."""
    (found,) = [each for each in lines if each.check == check]
    return found


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in FORMS])
def test_each_way_to_be_broken_has_its_line(it: Patient, name: str) -> None:
    """What is told, and the exit code, are as recorded; each check has its line; nothing is written anywhere.

    Whatever is wrong comes with a sentence that mends it, and no secret shows.
    """
    lines, text = examined(it, FORMS[name])

    assert text == recorded()[name]
    assert list(dict.fromkeys(each.check for each in lines)) == CHECKS
    faulty = {Status.WARN, Status.FAIL}
    assert [each for each in lines if bool(each.fix) != (each.status in faulty)] == []
    assert [each for each in lines if bool(each.exit_code) != (each.status is Status.FAIL)] == []
    assert [sql for sql in it.stack.d1.statements if not sql.startswith("SELECT ")] == []
    env = it.stack.env
    secrets = [env["B2_KEY_ID"], env["B2_APP_KEY"], env["CLOUDFLARE_API_TOKEN"], *AWS.values(), "s3cret"]
    told = "\n".join(map(as_text, lines))
    assert [secret for secret in secrets if secret in told and secret != AWS["AWS_DEFAULT_REGION"]] == []


def test_the_golden_file_has_no_other_forms() -> None:
    """What is recorded is what is tested."""
    assert list(recorded()) == list(FORMS)


def test_a_healthy_one_is_asked_little_and_never_waited_for(it: Patient) -> None:
    """All is ok after three requests of B2, four of Cloudflare and seven SELECTs, and without a pause."""
    it.stack.b2.requests.clear()
    it.stack.d1.requests.clear()

    lines, _ = examined(it, Form(by=rule("ENABLED")))

    assert {each.status for each in lines} == {Status.OK}
    assert it.stack.b2.requests == [
        "GET /b2api/v4/b2_authorize_account",
        *["GET ListObjectsV2"] * 2,
    ]
    assert [request.partition(" ")[0] for request in it.stack.d1.requests] == [*["GET"] * 4, *["POST"] * 7]
    assert it.stack.time.pauses == []


def test_every_setting_has_its_fix() -> None:
    """Whatever setting a problem is about, there is a sentence that says what to set it to."""
    assert set(FIXES) == set(NAMES) - {"CF_API_TOKEN", "CF_ACCOUNT_ID", "B2D1_SECRET_ID"}


def test_the_key_of_another_host_is_sent_to_nobody_else(it: Patient) -> None:
    """Where B2_ENDPOINT is another S3 host and B2_NATIVE_URL is not set, B2's own API is not asked."""
    it.stack.b2.requests.clear()

    lines, _ = examined(it, Form({"B2_NATIVE_URL": ""}))

    assert it.stack.b2.requests == ["GET ListObjectsV2"] * 2
    assert line(lines, "B2 key").status is Status.NOT_CHECKED


# The snapshot


@pytest.mark.parametrize(
    ("place", "found"),
    [
        pytest.param("kept.json", "it is there, and its folder can be written to", id="there"),
        pytest.param("new.json.gz", "it can be made", id="not there"),
        pytest.param("a/b/new.json", "it can be made, in {folder}, with the folders between", id="folder"),
    ],
)
def test_a_path_is_tried_without_a_trace(it: Patient, place: str, found: str) -> None:
    """The snapshot that is there stays the same file of the same time, and nothing is left in its folder."""
    kept = it.folder / "kept.json"
    kept.write_bytes(b"old")
    os.utime(kept, ns=(1, 1))

    lines, _ = examined(it, Form({"SNAPSHOT_URI": str(it.folder / place)}))

    told = f"{it.folder / place}: {found.format(folder=it.folder)}"
    assert line(lines, "snapshot")[1:] == (Status.OK, told, "", 0)
    assert [path.name for path in it.folder.iterdir()] == ["kept.json"]
    assert (kept.read_bytes(), kept.stat().st_mtime_ns) == (b"old", 1)


@pytest.mark.parametrize(
    ("key", "found"),
    [("old.json", "it is there, and can be read and replaced"), ("new", "it can be written")],
)
def test_s3_is_tried_without_a_trace(it: Patient, key: str, found: str) -> None:
    """An upload is begun and taken back: the object that is there stays, and no other comes to be."""
    it.kept.put("old.json", b"old")
    it.in_aws()

    lines, _ = examined(it, Form({"SNAPSHOT_URI": f"s3://kept/{key}"}))

    told = f"s3://kept/{key}: {found} with the AWS credentials at hand (the function has its own)"
    assert line(lines, "snapshot")[1:] == (Status.OK, told, "", 0)
    methods = [request.partition("?")[0].partition(" ")[0] for request in it.kept.requests]
    assert methods == ["HEAD", "POST", "DELETE"]


def test_an_upload_that_stays_begun_is_told(it: Patient, httpserver: HTTPServer) -> None:
    """Where S3 begins an upload and does not let it be taken back, that is a warning with the way out."""
    begun = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
    denied = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    httpserver.expect_request("/kept/a.json", method="HEAD").respond_with_data(status=404)
    httpserver.expect_request("/kept/a.json", method="POST").respond_with_data(begun)
    httpserver.expect_request("/kept/a.json", method="DELETE").respond_with_data(denied, 403)
    it.in_aws(AWS_ENDPOINT_URL_S3=httpserver.url_for(""))

    lines, _ = examined(it, Form({"SNAPSHOT_URI": "s3://kept/a.json"}))

    found = line(lines, "snapshot")
    assert (found.status, found.exit_code) == (Status.WARN, 0)
    assert "could not be taken back: S3 answered 403 AccessDenied: no" in found.found
    assert "s3:AbortMultipartUpload" in found.fix


# The command

NO_LGFC = "no database is named lgfc; asked at {}, which CLOUDFLARE_API_BASE_URL names"
LGFC_FIX = (
    "Compare D1_DATABASE_NAME. There are: lgfc_lite, lgfc_lite_staging. Or make it: wrangler d1 create lgfc"
)


def test_the_command_prints_plain_lines_where_it_is_no_terminal(
    b2d1: Callable[..., Result], it: Patient
) -> None:
    """A line for each check on stdout, what mends it below; the exit code is the first failure's."""
    result = b2d1("doctor", env=it.stack.env | {"D1_DATABASE_NAME": "lgfc", "SNAPSHOT_URI": "kept/"})

    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert lines[0].startswith("fail         settings               SNAPSHOT_URI names a folder")
    assert lines[1].startswith("             fix: Set it to a file's path")
    base = it.stack.d1.url
    assert f"fail         D1 database            {NO_LGFC.format(base)}" in lines
    assert result.stderr == ""


def test_the_command_speaks_json(b2d1: Callable[..., Result], it: Patient) -> None:
    """One line of JSON with every check and the exit code."""
    result = b2d1("doctor", "--json", env=it.stack.env | {"D1_DATABASE_NAME": "lgfc"})

    (text,) = result.stdout.splitlines()
    report = json.loads(text)
    assert (result.exit_code, report["exit_code"]) == (4, 4)
    assert [check["check"] for check in report["checks"]] == CHECKS
    assert report["checks"][CHECKS.index("D1 database")] == {
        "check": "D1 database",
        "status": "fail",
        "found": NO_LGFC.format(it.stack.d1.url),
        "fix": LGFC_FIX,
        "exit_code": 4,
    }


def test_the_command_draws_a_table_on_a_terminal(it: Patient) -> None:
    """On a terminal every check stands in a table with its status, and what mends it below what was found.

    Those that were not made for one reason share a line.
    """
    program = Path(sysconfig.get_path("scripts")) / "b2d1"
    env = {"PATH": os.environ["PATH"], "HOME": str(it.folder), "TERM": "xterm", "COLUMNS": "300"}
    env |= {"PYTHONPATH": os.environ.get("PYTHONPATH", "")} | it.stack.env | {"D1_DATABASE_NAME": "lgfc"}
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [program, "doctor"], env=env, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # Linux's word for the end of a terminal
            pass
        finally:
            os.close(ours)
        code = process.wait()

    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    rows = [re.split(r"  +", row.strip(), maxsplit=2) for row in text.splitlines()]
    assert code == 4
    assert [row[1] for row in rows if row[0] in set(Status)] == [*CHECKS[:13], "6 checks", *CHECKS[19:]]
    assert ["fail", "D1 database", NO_LGFC.format(it.stack.d1.url)] in rows
    assert [LGFC_FIX] in rows


def test_what_a_vendor_says_stays_on_its_line(it: Patient, httpserver: HTTPServer) -> None:
    """A message with line ends and escapes in it is written out: it does nothing to a terminal."""
    body = {"code": "odd", "message": "\x1b[2J\nok  all is well", "status": 400}
    httpserver.expect_request("/b2api/v4/b2_authorize_account").respond_with_response(
        Response(json.dumps(body), 400)
    )

    lines, _ = examined(it, Form({"B2_NATIVE_URL": httpserver.url_for("").rstrip("/")}))

    first, fix = as_text(line(lines, "B2 key")).splitlines()
    assert r"B2 answered 400 odd: \x1b[2J\nok  all is well" in first
    assert fix.startswith("             fix: ")
