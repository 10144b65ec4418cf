"""Every way in which the sandbox is broken for the doctor, and what it says then, as one text.

`PYTHONPATH=src:. python tests/doctor_forms.py` writes data/doctor.txt anew: read the difference.
"""

import contextlib
import dataclasses
import datetime as dt
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from conftest import FakeTime, Stack
from werkzeug import Request, Response

from b2d1.cli.doctor_view import as_text
from b2d1.doctor.examination import examine, exit_code
from b2d1.doctor.finding import Line, Status
from b2d1.settings import NAMES
from sandbox.account import TokenScope
from sandbox.b2 import EmbeddedB2
from sandbox.d1 import EmbeddedD1
from sandbox.native import KeyScope
from sandbox.server import LoopbackServer

GOLDEN = Path(__file__).parent / "data" / "doctor.txt"
BUCKET = "b2d1-sandbox"
NOWHERE = "http://127.0.0.1:1"
SOON = dt.datetime.now(dt.UTC) + dt.timedelta(days=3, hours=12)
NO_ID = "00000000-0000-0000-0000-000000000000"
AWS = {
    "AWS_ACCESS_KEY_ID": "AKIAOPERATOR",
    "AWS_SECRET_ACCESS_KEY": "operators-secret",
    "AWS_DEFAULT_REGION": "eu-central-1",
}
ORIGINAL_INDEX = "CREATE UNIQUE INDEX idx_media_assets_media_uid ON media_assets (media_uid);"
TABLE = "CREATE TABLE media_assets (id INTEGER PRIMARY KEY, {});"
ROW = "INSERT INTO media_assets (media_uid, b2_key, b2_file_id, size, etag) VALUES ('{}', '{}', {}, 1, {});"


@dataclasses.dataclass
class Patient:
    """The servers, filled and in step, and what else a form may break."""

    stack: Stack
    kept: EmbeddedB2  # the S3 of AWS, with a bucket `kept`
    folder: Path
    rules: list[dict[str, str]] = dataclasses.field(default_factory=list)
    aws: dict[str, str] = dataclasses.field(default_factory=dict)

    def sql(self, script: str) -> None:
        """Change the database past the API."""
        with contextlib.closing(self.stack.d1.connect()) as connection:
            connection.executescript(script)

    def in_aws(self, **changes: str) -> None:
        """Have AWS credentials."""
        self.aws = {name: value for name, value in (AWS | changes).items() if value}


Break = Callable[[Patient], Any]


@dataclasses.dataclass
class Form:
    """One way to be broken: settings that differ, and what else is done."""

    env: dict[str, str] = dataclasses.field(default_factory=dict)
    by: Break = lambda _: None


def scope(**changes: Any) -> Break:
    """Give the B2 key other capabilities or restrictions."""
    return lambda it: setattr(it.stack.b2, "scope", KeyScope(**({"buckets": (BUCKET,)} | changes)))


def token(**changes: Any) -> Break:
    """Make the Cloudflare token another one."""
    return lambda it: setattr(it.stack.d1, "scope", TokenScope(**changes))


def clock(minutes: int) -> Break:
    """Set B2's clock ahead."""
    return lambda it: setattr(it.stack.b2, "ahead", dt.timedelta(minutes=minutes))


def sql(script: str) -> Break:
    """Change the database."""
    return lambda it: it.sql(script)


def another_table(columns: str) -> Break:
    """Put another table in the place of ours."""
    return sql(f"DROP TABLE media_assets; {TABLE.format(columns)}")


def rule(state: str) -> Break:
    """Let AWS have the stack's rule."""

    def by(it: Patient) -> None:
        it.in_aws()
        name, when = "b2d1-SyncFunctionDaily-Q8x2", "cron(17 6 * * ? *)"
        it.rules = [{"Name": name, "State": state, "ScheduleExpression": when}]

    return by


def put_new(it: Patient) -> None:
    """Upload an object; the sandbox dates it years back."""
    it.stack.b2.put("photos/new.jpg", b"new")


ALL_COLUMNS = "media_uid TEXT NOT NULL UNIQUE, b2_key TEXT, b2_file_id TEXT, size INTEGER, etag TEXT"

FORMS: dict[str, Form] = {
    "healthy": Form(by=rule("ENABLED")),
    # settings
    "nothing is set": Form(dict.fromkeys(NAMES, "")),
    "everything is malformed": Form(dict.fromkeys(NAMES, "ftp://s3cret s3cret")),
    "a token under two names": Form({"CF_API_TOKEN": "another"}),
    "settings of the run alone": Form({"MAX_NEW_PER_RUN": "0", "B2_LIST_WORKERS": "many"}),
    "list mode misspelt": Form({"B2_LIST_MODE": "version"}),
    "dry run left on": Form({"DRY_RUN": "1"}),
    "optional settings misspelt": Form(
        {"B2_PREFFIX": "s3cret", "D1_DATABASE_UUID": "s3cret", "B2_LISTMODE": "versions", "DRY_RUN": "1"}
    ),
    # the key
    "key id wrong": Form({"B2_KEY_ID": "wrong"}),
    "key wrong": Form({"B2_APP_KEY": "wrong"}),
    "key expired": Form(by=scope(expires=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))),
    "key expires soon": Form(by=scope(expires=SOON)),
    "key is the master key": Form(by=scope(is_master=True)),
    "key cannot list": Form(by=scope(capabilities=("listBuckets", "readFiles"))),
    "key cannot do anything": Form(by=scope(capabilities=())),
    "key without listBuckets": Form(by=scope(capabilities=("listFiles",))),
    "key can do more": Form(by=scope(capabilities=("listFiles", "listBuckets", "writeFiles", "deleteFiles"))),
    "key of another bucket": Form(by=scope(buckets=("other", "third"))),
    "key of a bucket that is gone": Form(by=scope(buckets=(None,))),
    "key of every bucket": Form(by=scope(buckets=None)),
    "key of another prefix": Form(by=scope(prefix="scans/")),
    "native API unreachable": Form({"B2_NATIVE_URL": NOWHERE}),
    "native API is something else": Form({"B2_NATIVE_URL": "{d1}"}),
    "another S3 host": Form({"B2_NATIVE_URL": ""}),
    # endpoint and clock
    "endpoint missing": Form({"B2_ENDPOINT": ""}),
    "endpoint unreachable": Form({"B2_ENDPOINT": NOWHERE}),
    "endpoint of another account": Form(by=scope(s3_url="https://s3.eu-central-003.backblazeb2.com")),
    "region wrong": Form({"B2_REGION": "eu-central-003"}),
    "clock 6 minutes behind": Form(by=clock(6)),
    "clock 20 minutes ahead": Form(by=clock(-20)),
    # the bucket
    "bucket wrong": Form({"B2_BUCKET": "other"}),
    "prefix wrong": Form({"B2_PREFIX": "/photos"}),
    "bucket empty": Form(by=lambda it: it.stack.b2.remove_all()),
    # Cloudflare
    "token wrong": Form({"CLOUDFLARE_API_TOKEN": "wrong"}),
    "token disabled": Form(by=token(status="disabled")),
    "token expires soon": Form(by=token(expires_on=SOON.isoformat())),
    "token without D1": Form(by=token(permits_d1=False)),
    "account wrong": Form({"CLOUDFLARE_ACCOUNT_ID": "0" * 32}),
    "account wrong, token of another one": Form(
        {"CLOUDFLARE_ACCOUNT_ID": "0" * 32}, by=token(owner="account")
    ),
    "Cloudflare unreachable": Form({"CLOUDFLARE_API_BASE_URL": NOWHERE}),
    "database name wrong": Form({"D1_DATABASE_NAME": "lgfc"}),
    "database id under the name": Form({"D1_DATABASE_NAME": NO_ID}),
    "database id wrong": Form({"D1_DATABASE_NAME": "", "D1_DATABASE_ID": NO_ID}),
    "database name and id differ": Form({"D1_DATABASE_ID": NO_ID}),
    # the table
    "table missing": Form(by=sql("DROP TABLE media_assets;")),
    "table is another one": Form(by=another_table("uid TEXT")),
    "column missing": Form(by=another_table("media_uid TEXT UNIQUE, b2_key TEXT, b2_file_id TEXT, size INT")),
    "no unique index": Form(by=another_table(ALL_COLUMNS.replace(" UNIQUE", ""))),
    "index made twice": Form(by=sql(ORIGINAL_INDEX + 'CREATE INDEX "by key" ON media_assets (b2_key);')),
    "no index of the keys": Form(by=sql("DROP INDEX idx_media_assets_b2_key;")),
    "migration pending": Form(
        by=sql("DELETE FROM d1_migrations WHERE name LIKE '0011%'; DROP TABLE media_ingest_chunks;")
    ),
    "migration unrecorded": Form(by=sql("DELETE FROM d1_migrations WHERE name LIKE '0011%';")),
    # the rows
    "rows of the other list mode": Form({"B2_LIST_MODE": "versions"}),
    "rows without quotes": Form(by=sql("UPDATE media_assets SET b2_file_id = trim(etag, '\"');")),
    "rows of four forms": Form(
        by=sql(
            ROW.format("a", "a", "'4_za'", "NULL")
            + ROW.format("b", "b", "'b'", "'b'")
            + ROW.format("c", "c", "NULL", "NULL")
        )
    ),
    "rows without a date": Form(by=another_table(ALL_COLUMNS)),
    "rows of another bucket": Form(
        by=sql("DELETE FROM media_assets;" + ROW.format("x", "x", "'\"x\"'", "'\"x\"'"))
    ),
    "objects not taken in": Form(by=put_new),
    # the snapshot
    "snapshot is a folder": Form({"SNAPSHOT_URI": "{folder}"}),
    "snapshot below a file": Form(
        {"SNAPSHOT_URI": "{folder}/file/inventory.json"},
        by=lambda it: (it.folder / "file").write_bytes(b"old"),
    ),
    "snapshot malformed": Form({"SNAPSHOT_URI": "ftp://kept/inventory.json"}),
    "snapshot without AWS": Form({"SNAPSHOT_URI": "s3://kept/inventory.json"}),
    "snapshot's bucket missing": Form({"SNAPSHOT_URI": "s3://lost/inventory.json"}, by=Patient.in_aws),
    "snapshot not allowed": Form(
        {"SNAPSHOT_URI": "s3://kept/inventory.json"},
        by=lambda it: it.in_aws(AWS_SECRET_ACCESS_KEY="wrong"),
    ),
    # the schedule
    "schedule off": Form(by=rule("DISABLED")),
    "schedule of no stack": Form(by=Patient.in_aws),
    "schedule without a region": Form(by=lambda it: it.in_aws(AWS_DEFAULT_REGION="")),
    "schedule not allowed": Form(by=lambda it: it.in_aws(AWS_ACCESS_KEY_ID="stranger")),
}


@contextlib.contextmanager
def patient(folder: Path) -> Iterator[Patient]:
    """Run the servers: three objects in the bucket, and the table in step with it."""
    with (
        EmbeddedB2(fill=False) as b2,
        EmbeddedD1(folder / "d1.sqlite3") as d1,
        EmbeddedB2(
            fill=False,
            bucket="kept",
            region=AWS["AWS_DEFAULT_REGION"],
            key_id=AWS["AWS_ACCESS_KEY_ID"],
            app_key=AWS["AWS_SECRET_ACCESS_KEY"],
        ) as kept,
    ):
        stack = Stack(b2, d1, FakeTime())
        stack.migrate()
        for key in ("photos/a.jpg", "photos/b.jpg", "scans/c.png"):
            b2.put(key, key.encode())
        stack.sync()
        d1.statements.clear()
        (folder / "place").mkdir()
        yield Patient(stack, kept, folder / "place")


def examined(it: Patient, form: Form) -> tuple[list[Line], str]:
    """Break it and examine it; return the lines, and the text of those that are not ok, or of all."""
    form.by(it)
    places = {"{d1}": it.stack.d1.url.removesuffix("/client/v4"), "{folder}": str(it.folder)}
    env = it.stack.env | form.env
    for sign, place in places.items():
        env = {name: value.replace(sign, place) for name, value in env.items()}
    with LoopbackServer(lambda environ, start: _events(it, Request(environ))(environ, start)) as events:
        process = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            **dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), str(it.folder / "none")),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_S3": it.kept.url,
            "AWS_ENDPOINT_URL_EVENTBRIDGE": events.address,
            **it.aws,
        }
        with mock.patch.dict(os.environ, process, clear=True):
            lines = list(examine(env, retrying=it.stack.time.retrying(attempts=2)))
    shown = [line for line in lines if line.status is not Status.OK] or lines
    told = [as_text(line) for line in shown]
    return lines, _steady("\n".join([*told, f"exit {exit_code(lines)}"]), it)


def _events(it: Patient, request: Request) -> Response:
    body: Any = {"Rules": it.rules}
    wanted = json.loads(request.get_data())["NamePrefix"]
    if f"Credential={AWS['AWS_ACCESS_KEY_ID']}/" not in request.headers["Authorization"]:
        body = {"__type": "AccessDeniedException", "Message": "not authorized: events:ListRules"}
    elif wanted != "b2d1-SyncFunctionDaily":
        body = {"Rules": []}
    status = 200 if "Rules" in body else 400
    return Response(json.dumps(body), status, content_type="application/x-amz-json-1.1")


def _steady(text: str, it: Patient) -> str:
    """Take out what differs from run to run."""
    text = text.replace(it.stack.b2.url, "http://b2").replace(it.stack.d1.url, "http://d1/client/v4")
    text = text.replace(it.stack.d1.url.removesuffix("/client/v4"), "http://d1")
    text = text.replace(it.kept.url, "http://s3").replace(str(it.folder), "FOLDER")
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "THEN", text)


def recorded() -> dict[str, str]:
    """Read the golden file."""
    parts = re.split(r"^== (.*) ==\n", GOLDEN.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (text.rstrip("\n") for text in parts[2::2]), strict=True))


def record() -> None:
    """Write the golden file."""
    texts = []
    for name, form in FORMS.items():
        with tempfile.TemporaryDirectory() as folder, patient(Path(folder)) as it:
            texts.append(f"== {name} ==\n{examined(it, form)[1]}\n")
    GOLDEN.write_text("\n".join(texts), "utf-8")


if __name__ == "__main__":
    record()
