"""What others chose commands no terminal: a key, a row, a vendor's message, a file's or a setting's name."""

import json
import os
import pty
import re
import sys
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from conftest import Stack
from objects import execute
from pseudo_terminal import on_terminal
from pytest_httpserver import HTTPServer
from scripted_d1 import ID, envelope, refused

from b2d1.cli.terminal import Stdout
from b2d1.errors import printable

# XML can hold C1 controls, other line ends, text turned around, what has no width, what is not assigned.
IN_XML = (
    "\x7f\x85\x9b31m\xad\u200b\u2028\u2029\u202egpj\u2066\u2069\ue000\ufeff\U000e0001\U000f0000 ]]> '\"\\ é日"
)
# A file name and an argument hold all but \0.
HOSTILE = f"\x1b[2J\x1b]0;title\x07\r\n\t{IN_XML}\uffff\U0001fffe"


@pytest.fixture
def env(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Provide hostile keys, rows and new objects, and the environment of a process on a terminal."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        stack.b2.put(f"{number}{HOSTILE}", b"content")
    stack.sync()
    stack.b2.put(f"new{HOSTILE}", b"content")
    return stack.env | {
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "TERM": "dumb",  # the progress bar then moves nothing
        "COLUMNS": "200",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def files(tmp_path: Path) -> None:
    """Write inventories with hostile content."""
    one = {"key": HOSTILE, "size": 1, "file_id": "f", "etag": HOSTILE}
    documents = {
        "empty": {"objects": []},
        "one": {"objects": [one]},
        "replaced": {"objects": [one | {"file_id": "g"}]},
        "elsewhere": {"bucket": HOSTILE, "prefix": HOSTILE, "objects": []},
        "here": {"bucket": "b", "objects": []},
        "contradicts": {"objects": [one, one | {"size": 2}]},
        "twice": {"objects": [], HOSTILE: 1, f"{HOSTILE} ": {HOSTILE: 1}},
        "list_mode": {"list_mode": HOSTILE},
        "sizes": {"objects": [{**one, "size": HOSTILE}]},
    }
    for name, document in documents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False))
    (tmp_path / "mark.json").write_text(HOSTILE[-3:])
    (tmp_path / f"{HOSTILE.replace('/', '')}.json").write_text(HOSTILE)


def assert_harmless(shown: str) -> None:
    """Fail if a character reaches the terminal that is not printable, other than a line feed."""
    assert [each for each in shown if not each.isprintable() and each != "\n"] == []
    assert "Traceback" not in shown
    assert shown != ""


COMMANDS = [
    *(["inventory"], ["inventory", "-v"]),
    *(["sync"], ["sync", "-v"], ["sync", "--json"], ["sync", "--dry-run"], ["sync", "--dry-run", "--json"]),
    *(["sync", "--prefix", HOSTILE], ["sync", "--prefix", HOSTILE, "--adopt"]),
    *(["sync", "--snapshot", HOSTILE], ["sync", "--snapshot", f"/dev/null/{HOSTILE}"]),
    *(["sync", "--dry-run", "--snapshot", HOSTILE, "--json"], ["migrate"], ["migrate", "--dry-run"]),
    *(["verify"], ["verify", "--json"], ["verify", "--prefix", HOSTILE], ["verify", "one.json"]),
    *(["doctor", "-v"], ["doctor", "--json"], ["doctor", "--stack", HOSTILE]),
    *(["diff", "empty.json", "one.json"], ["diff", "one.json", "replaced.json"]),
    *(["diff", "elsewhere.json", "here.json"], ["diff", "twice.json", "one.json"]),
    *(["ingest", "one.json", "--adopt"], ["ingest", "one.json", "--dry-run", "--json", "--adopt"]),
    *(["ingest", "one.json"], ["ingest", "elsewhere.json"], ["ingest", "elsewhere.json", "--adopt"]),
    *(["ingest", f"{name}.json"] for name in ("contradicts", "list_mode", "sizes", "mark", HOSTILE)),
    *(["ingest", f"gone{HOSTILE}"], ["verify", HOSTILE, HOSTILE], ["diff", HOSTILE], ["sync", HOSTILE]),
    *(
        [HOSTILE],
        [f"-{HOSTILE}"],
        [f"--{HOSTILE}"],
        ["sync", f"--{HOSTILE}"],
        ["doctor", f"--json={HOSTILE}"],
    ),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: printable(" ".join(command)))
@pytest.mark.usefixtures("files")
def test_no_command_shows_what_is_not_printable(env: dict[str, str], command: list[str]) -> None:
    _, shown = on_terminal(*command, env=env)

    assert_harmless(shown)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_no_row_reaches_a_terminal_as_it_is(stack: Stack, env: dict[str, str], options: list[str]) -> None:
    """Rows that are missing, different and corrupt: verify names each."""
    for number, change in enumerate(("size = 5, etag = ?", "media_uid = ?", "b2_file_id = ?")):
        sql = f"UPDATE media_assets SET {change} WHERE b2_key = ?"
        execute(stack.d1, sql, [(HOSTILE, f"{number}{HOSTILE}")])

    code, shown = on_terminal("verify", *options, env=env)

    assert_harmless(shown)
    assert [kind in shown for kind in ("missing", "different", "corrupt")] == [True] * 3
    assert code == 6


@pytest.mark.parametrize("command", [["sync"], ["doctor", "--json"]])
@pytest.mark.parametrize(
    "name", ["B2_BUCKET", "B2_PREFIX", "D1_DATABASE_NAME", "SNAPSHOT_URI", f"B2_{HOSTILE}"]
)
def test_no_setting_reaches_a_terminal_as_it_is(env: dict[str, str], name: str, command: list[str]) -> None:
    _, shown = on_terminal(*command, env=env | {name: HOSTILE})

    assert_harmless(shown)


def b2_refuses(server: HTTPServer) -> dict[str, str]:
    body = f"<Error><Code>{escape(IN_XML)}</Code><Message>{escape(IN_XML)}</Message></Error>"
    server.expect_request("/photos").respond_with_data(body, 403, content_type="application/xml")
    return {"B2_ENDPOINT": server.url_for(""), "B2_BUCKET": "photos"}


def b2_answers_a_page_of_html(server: HTTPServer) -> dict[str, str]:
    server.expect_request("/photos").respond_with_data(f"<html>{HOSTILE}", 403, content_type="text/html")
    return {"B2_ENDPOINT": server.url_for(""), "B2_BUCKET": "photos"}


def d1_refuses(server: HTTPServer) -> dict[str, str]:
    server.expect_request(re.compile(".*")).respond_with_json(refused(7500, HOSTILE), 400)
    return {"CLOUDFLARE_API_BASE_URL": server.url_for("/client/v4")}


def d1_answers_another_name(server: HTTPServer) -> dict[str, str]:
    found = [{"name": f"{HOSTILE}{number}", "uuid": ID} for number in range(2)]
    server.expect_request(re.compile(".*")).respond_with_json(envelope(found))
    return {"CLOUDFLARE_API_BASE_URL": server.url_for("/client/v4"), "D1_DATABASE_ID": ""}


def s3_refuses(server: HTTPServer) -> dict[str, str]:
    body = f"<Error><Code>AccessDenied</Code><Message>{escape(IN_XML)}</Message></Error>"
    server.expect_request("/snapshots/a.json").respond_with_data(body, 400, content_type="application/xml")
    aws = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "eu-west-1"}
    return aws | {"AWS_ENDPOINT_URL_S3": server.url_for(""), "SNAPSHOT_URI": "s3://snapshots/a.json"}


@pytest.mark.parametrize("command", [["sync", "-v"], ["doctor"]])
@pytest.mark.parametrize(
    "vendor",
    [b2_refuses, b2_answers_a_page_of_html, d1_refuses, d1_answers_another_name, s3_refuses],
    ids=lambda vendor: str(vendor.__name__),
)
def test_no_vendor_reaches_a_terminal_as_it_is(
    httpserver: HTTPServer,
    env: dict[str, str],
    vendor: Callable[[HTTPServer], dict[str, str]],
    command: list[str],
) -> None:
    _, shown = on_terminal(*command, env=env | vendor(httpserver))

    assert_harmless(shown)


def test_what_is_redirected_is_unchanged(env: dict[str, str], tmp_path: Path) -> None:
    """An inventory is data: in a file it holds each key as it is, on a terminal the same JSON, escaped."""
    with (tmp_path / "out").open("wb") as out:
        on_terminal("inventory", env=env, stdout=out)
    _, shown = on_terminal("inventory", env=env)

    raw = (tmp_path / "out").read_text("utf-8")
    assert (json.loads(shown), printable(raw)) == (json.loads(raw), shown)
    assert f"{IN_XML[:8]}" in raw


@pytest.mark.slow
def test_a_terminal_gets_characters_whole_wherever_the_data_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """An inventory in ranges comes in parts of a fixed size, which may end inside a character."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        stdout = Stdout()
        for byte in "é日😀\u009b\U000f0000".encode():
            stdout.write(bytes([byte]))
        shown = os.read(master, 1000)
    os.close(master)

    assert shown.decode() == r"é日😀\u009b\udb80\udc00"
