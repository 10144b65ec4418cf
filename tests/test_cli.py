"""The runner as a person or a script meets it: what it prints, where, and with which exit code."""

import contextlib
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest
from click.testing import Result
from conftest import Stack
from pseudo_terminal import PROGRAM, on_terminal
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from b2d1 import __version__
from b2d1.cli.commands import main
from sandbox.b2 import EmbeddedB2
from sandbox.d1 import EmbeddedD1

Run = Callable[..., Result]

ONE_OBJECT = b'{"objects":[{"key":"a","size":1,"file_id":"\\"f\\""}]}'

COMMANDS = ["diff", "doctor", "ingest", "inventory", "migrate", "sync", "verify"]
KEYS = [
    "photos/a.jpg",
    "photos/b.jpg",
    "quotes/'); DROP TABLE media_assets;--",
    'zeilen\u0085/日本/"é"+%41.jpg',
]


def complaint(text: str) -> list[str]:
    """Return the lines of stderr without the log's."""
    return [line for line in text.splitlines() if not line.startswith(("INFO: ", "DEBUG: "))]


@pytest.fixture
def filled(stack: Stack) -> Stack:
    """Provide both servers, with some objects in the bucket and none in the table."""
    for key in KEYS:
        stack.b2.put(key, key.encode())
    return stack


def run_sql(d1: EmbeddedD1, script: str) -> None:
    """Run SQL on the database as wrangler would: as it is."""
    with contextlib.closing(d1.connect()) as connection:
        connection.executescript(script)


def empty_the_table(stack: Stack) -> None:
    """Forget what is known, behind the server's back."""
    run_sql(stack.d1, "DELETE FROM media_assets")


# What it says about itself


def test_the_runner_shows_its_commands(b2d1: Run) -> None:
    """Help names every command with a whole sentence, and the exit codes."""
    result = b2d1("--help")

    commands = result.stdout.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert sorted(main.commands) == [line.split()[0] for line in commands] == COMMANDS
    assert all(re.fullmatch(r"  [a-z]+ +[A-Z][^.]+\.", line) for line in commands)
    assert (
        "Exit codes: 0 done; 1 anything else; 2 settings, arguments or input; 3 B2; 4 D1; 5 a guard refused; "
        "6 verify found a difference."
    ) in " ".join(result.stdout.split())


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(b2d1: Run, command: str, option: str) -> None:
    """Help of a command is a sentence, and one for each of its options, without any setting being set."""
    result = b2d1(command, option)

    _, sentence, *_ = result.stdout.split("\n\n")
    options = [each for each in main.commands[command].params if each.param_type_name == "option"]
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.match(r"  [A-Z][^.]+\.", sentence)
    assert all(f"{each.opts[-1]} " in result.stdout and getattr(each, "help", "") for each in options)


def test_the_runner_tells_its_version(b2d1: Run) -> None:
    """The version is the package's, and is data."""
    assert b2d1("--version").stdout == f"b2d1 {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "complains"),
    [
        pytest.param(["nope"], "No such command 'nope'.", id="no command"),
        pytest.param(["sync", "--nope"], "No such option", id="no option"),
        pytest.param(["sync", "bucket"], "Got unexpected extra argument (bucket)", id="argument too many"),
        pytest.param(["inventory", "--dry-run"], "No such option", id="option of another command"),
        pytest.param(["ingest", "a.json"], "File 'a.json' does not exist.", id="no file"),
        pytest.param(["ingest", "/"], "File '/' is a directory.", id="folder"),
        pytest.param(["ingest", "-", "-"], "Got unexpected extra argument (-)", id="two files"),
        pytest.param(["diff", "-"], "Missing argument 'NEW'.", id="one inventory"),
        pytest.param(["sync", "--snapshot"], "Option '--snapshot' requires an argument.", id="no place"),
        pytest.param(["sync", "--snapshot", ""], "'--snapshot': it is empty", id="empty place"),
        pytest.param(
            ["sync", "--snapshot", "ftp://a/b"], "it is neither a path nor s3://bucket/key", id="ftp"
        ),
        pytest.param(
            ["sync", "--snapshot", "s3://bucket"], "it is neither a path nor s3://bucket/key", id="no key"
        ),
        pytest.param(
            ["sync", "--snapshot", "kept/"], "it names a folder: add the file's name", id="a folder"
        ),
        pytest.param(
            ["sync", "--snapshot", "\udcff"], "'--snapshot': it is not valid UTF-8", id="place in Latin-1"
        ),
        pytest.param(
            ["sync", "--prefix", "\udcff"], "'--prefix': it is not valid UTF-8", id="prefix in Latin-1"
        ),
        pytest.param(
            ["inventory", "--prefix", "a" * 1025], "it is not the beginning of a key", id="long prefix"
        ),
    ],
)
def test_wrong_usage_ends_in_exit_2(b2d1: Run, arguments: list[str], complains: str) -> None:
    """What cannot be understood is told on stderr, before any setting is looked at."""
    result = b2d1(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert complains in result.stderr
    assert "Error: " in result.stderr


# Settings

B2_NAMES = ["B2_KEY_ID", "B2_APP_KEY", "B2_ENDPOINT", "B2_BUCKET"]
D1_NAMES = ["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"]


@pytest.mark.parametrize(
    ("command", "names"),
    [("sync", B2_NAMES + D1_NAMES), ("inventory", B2_NAMES), ("ingest", D1_NAMES), ("migrate", D1_NAMES)],
)
def test_settings_that_are_missing_are_all_named(b2d1: Run, command: str, names: list[str]) -> None:
    """A command without its settings names each of those it needs, and no other."""
    result = b2d1(command, stdin=b"")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"b2d1: {len(names)} settings need attention:",
        *(f"  {name} is not set" for name in names),
        "hint: README.md lists every setting; .env.example is a form to fill in.",
    ]


def test_settings_that_are_malformed_are_all_named_and_not_shown(b2d1: Run) -> None:
    """Every malformed setting is named at once, none of their values is."""
    env = dict.fromkeys(
        [*B2_NAMES, *D1_NAMES, "DRY_RUN", "SNAPSHOT_URI", "D1_DATABASE_ID"], "ftp://s3cret s3cret"
    )

    result = b2d1("sync", env=env)

    assert (result.exit_code, result.stdout) == (2, "")
    assert [name for name in env if f"\n  {name} " not in result.stderr] == []
    assert "s3cret" not in result.stderr


# Refusals, each by its real cause


@pytest.mark.parametrize(
    ("env", "code", "says", "hints"),
    [
        pytest.param({"B2_KEY_ID": "wrong"}, 3, "InvalidAccessKeyId", "B2_KEY_ID must be", id="key"),
        pytest.param({"B2_APP_KEY": "wrong"}, 3, "SignatureDoesNotMatch", "B2_APP_KEY does not", id="secret"),
        pytest.param({"B2_BUCKET": "wrong"}, 3, "listing bucket wrong: ", "compare B2_BUCKET", id="bucket"),
        pytest.param({"B2_REGION": "eu-central-003"}, 3, "answered 403", "is not this", id="region"),
        pytest.param(
            {"CLOUDFLARE_API_TOKEN": "wrong"}, 4, "10000", "Check CLOUDFLARE_API_TOKEN and", id="token"
        ),
        pytest.param(
            {"CLOUDFLARE_ACCOUNT_ID": "0" * 32}, 4, "7403", "The token may not use D1 in", id="account"
        ),
        pytest.param({"D1_DATABASE_NAME": "lgfc"}, 4, "is named lgfc", "There are: lgfc_lite", id="database"),
        pytest.param(
            {"D1_DATABASE_NAME": "", "D1_DATABASE_ID": "0" * 8 + "-0000" * 3 + "-" + "0" * 12},
            4,
            "7404",
            "D1_DATABASE_ID",
            id="database id",
        ),
        pytest.param(
            {"D1_DATABASE_ID": "0" * 8 + "-0000" * 3 + "-" + "0" * 12},
            5,
            "and D1_DATABASE_ID is",
            "same",
            id="target",
        ),
    ],
)
def test_a_wrong_setting_ends_in_its_exit_code_and_a_hint(
    b2d1: Run, filled: Stack, env: dict[str, str], *, code: int, says: str, hints: str
) -> None:
    """B2's refusals exit with 3, D1's with 4, a guard's with 5: with a hint, and with nothing written."""
    result = b2d1("sync", env=filled.env | env)

    said, hint = complaint(result.stderr)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said.startswith("b2d1: ")
    assert says in said
    assert hint.startswith("hint: ")
    assert hints in hint
    assert filled.rows() == []


@pytest.mark.parametrize("command", ["sync", "ingest"])
def test_a_missing_table_is_mended_by_the_statement_in_the_hint(
    b2d1: Run, b2: EmbeddedB2, d1: EmbeddedD1, command: str
) -> None:
    """Without the table the exit code is 4, and what stands in the hint makes the next run succeed."""
    env = b2.settings() | d1.settings()
    b2.put("a", b"1")
    document = ONE_OBJECT

    refused = b2d1(command, env=env, stdin=document)
    said, hint, *statement = complaint(refused.stderr)
    run_sql(d1, "\n".join(statement))

    assert (refused.exit_code, refused.stdout, said) == (4, "", "b2d1: there is no table media_assets")
    assert "b2d1 migrate" in hint
    assert b2d1(command, env=env, stdin=document).exit_code == 0


def test_a_guard_ends_in_exit_5_and_adopt_overrules_it(b2d1: Run, filled: Stack) -> None:
    """A table that holds another bucket's keys is left alone, unless the operator says --adopt."""
    b2d1("sync", env=filled.env)
    filled.b2.remove_all()
    filled.b2.put("elsewhere.jpg", b"new")

    refused = b2d1("sync", env=filled.env)
    after = filled.rows()
    adopted = b2d1("sync", "--adopt", env=filled.env)

    said, hint = complaint(refused.stderr)
    assert (refused.exit_code, refused.stdout, len(after)) == (5, "", len(KEYS))
    assert said.startswith("b2d1: ")
    assert "--adopt" in hint
    assert (adopted.exit_code, len(filled.rows())) == (0, len(KEYS) + 1)


# sync


def figures(stdout: str) -> list[str]:
    """Return a summary's lines without the figures that differ from run to run."""
    return re.sub(r"(?<=bookmark )\S+|\d+(?= ms)|(?<=rows_read )\d+", "N", stdout).splitlines()


def test_a_summary_tells_what_was_done(b2d1: Run, filled: Stack) -> None:
    """The first run tells what it inserted; the second one that nothing was new and nothing written."""
    first = b2d1("sync", env=filled.env)
    second = b2d1("sync", env=filled.env)

    where = f"b2d1-sandbox/ -> lgfc_lite {filled.database().id}"
    sha256 = re.findall("listing_sha256 ([0-9a-f]{64})", first.stdout)[0]
    assert (
        [first.exit_code, complaint(first.stderr)] == [second.exit_code, complaint(second.stderr)] == [0, []]
    )
    assert figures(first.stdout) == [
        where,
        "discovered 4, known 0, new 4",
        "inserted 4, rows_written 13, rows_read N",
        "list_requests 1, d1_requests 9, N ms",
        f"listing_sha256 {sha256}",
        "receipt: 4 rows looked up after the write, missing_after 0, rounds 1, changed_db true",
        "bookmark N (before this run)",
    ]
    assert figures(second.stdout) == [
        where,
        "discovered 4, known 4, new 0",
        "inserted 0, rows_written 0, rows_read N (nothing to do)",
        "list_requests 1, d1_requests 3, N ms",
        f"listing_sha256 {sha256}",
        "receipt: nothing written, changed_db false",
    ]


def test_a_summary_names_how_many_objects_are_gone(b2d1: Run, filled: Stack, tmp_path: Path) -> None:
    """Where much less is listed than the snapshot holds, the summary counts it and stderr has both counts."""
    env = filled.env | {"SNAPSHOT_URI": str(tmp_path / "kept.json")}
    for number in range(100):
        filled.b2.put(f"more/{number}", b"1")
    b2d1("sync", env=env)
    filled.b2.remove_all()
    filled.b2.put(KEYS[0], KEYS[0].encode())

    result = b2d1("sync", env=env)

    assert (result.exit_code, "shrunk_by 103 since the last snapshot" in result.stdout) == (0, True)
    said = (
        "the last snapshot has 104 objects, this listing 1: are the prefix and B2_EXCLUDE right? "
        "Every row stays"
    )
    assert complaint(result.stderr) == [f"WARNING: {said}"]


def test_nothing_listed_is_exit_5_with_the_usual_cause(b2d1: Run, stack: Stack) -> None:
    """A first run that lists nothing is refused: the prefix is named, and what to do where it is right."""
    result = b2d1("sync", "--prefix", "fotos/", env=stack.env)

    said, hint = complaint(result.stderr)
    assert (result.exit_code, result.stdout) == (5, "")
    assert said == "b2d1: not one object was listed whose key begins with 'fotos/'"
    assert hint.startswith("hint: The usual cause is the prefix (B2_PREFIX, --prefix, the event's)")


def test_a_summary_names_what_is_left_to_the_next_run(b2d1: Run, filled: Stack) -> None:
    """With a bound on new rows the summary counts those that are deferred."""
    result = b2d1("sync", env=filled.env | {"MAX_NEW_PER_RUN": "3"})

    assert "discovered 4, known 0, new 4" in result.stdout
    assert "deferred 1 to the next run" in result.stdout
    assert len(filled.rows()) == 3


FIELDS = """
run_id started_at duration_ms bucket prefix list_mode key_order database_name database_id dry_run
discovered known new inserted confirmed deferred unidentified excluded rounds checked missing_after
list_requests d1_requests rows_read rows_written changed_db bookmark listing_sha256 shrunk_by
snapshot
"""


@pytest.mark.parametrize(("options", "dry"), [([], False), (["--dry-run"], True)], ids=["run", "dry run"])
@pytest.mark.parametrize("command", ["sync", "ingest"])
def test_json_is_the_report_and_nothing_else(
    b2d1: Run, filled: Stack, command: str, options: list[str], *, dry: bool
) -> None:
    """With --json stdout is one line, the report, instead of the summary and of the SQL."""
    document = b2d1("inventory", env=filled.env).stdout

    result = b2d1(command, "--json", *options, env=filled.env, stdin=document)

    report = json.loads(result.stdout)
    assert (result.exit_code, complaint(result.stderr), result.stdout.count("\n")) == (0, [], 1)
    assert list(report) == FIELDS.split()
    assert (report["dry_run"], report["discovered"], report["new"]) == (dry, 4, 4)
    assert (report["inserted"], report["bucket"], report["snapshot"]) == (
        0 if dry else 4,
        "b2d1-sandbox",
        None,
    )


@pytest.mark.parametrize(
    ("command", "options", "env"),
    [
        ("sync", ["--dry-run"], {}),
        ("sync", [], {"DRY_RUN": "1"}),
        ("ingest", ["--dry-run"], {}),
        ("ingest", [], {"DRY_RUN": "true"}),
    ],
)
def test_a_dry_run_prints_the_sql_and_writes_nothing(
    b2d1: Run, filled: Stack, command: str, options: list[str], env: dict[str, str]
) -> None:
    """The SQL on stdout, run as it is, makes the rows that a run would; the summary goes to stderr."""
    document = b2d1("inventory", env=filled.env).stdout
    filled.d1.statements.clear()

    result = b2d1(command, *options, env=filled.env | env, stdin=document)

    assert (result.exit_code, filled.rows()) == (0, [])
    assert {statement.split()[0] for statement in filled.d1.statements} == {"SELECT"}
    assert "discovered 4, known 0, new 4\ndry run: nothing written to D1, rows_read" in result.stderr
    run_sql(filled.d1, result.stdout)
    by_hand = filled.rows()
    empty_the_table(filled)
    b2d1(command, env=filled.env, stdin=document)
    assert by_hand == filled.rows()
    assert [row[0] for row in by_hand] == sorted(KEYS)


def test_ingest_of_a_broken_inventory_says_that_nothing_was_written(b2d1: Run, stack: Stack) -> None:
    """Whoever ingests a file with a fault in it is told that the table is as it was."""
    result = b2d1("ingest", env=stack.env, stdin=b"[]")

    assert (result.exit_code, result.stdout, stack.rows()) == (2, "", [])
    assert result.stderr.endswith(
        "hint: An inventory is what `b2d1 inventory` prints. Nothing was written.\n"
    )


def test_a_dry_run_with_nothing_new_prints_sql_without_effect(b2d1: Run, filled: Stack) -> None:
    """A script may execute the file in any case, and wrangler fails on a file without a statement."""
    b2d1("sync", env=filled.env)

    result = b2d1("sync", "--dry-run", env=filled.env)

    assert (result.exit_code, result.stdout) == (0, "-- Nothing to insert.\nSELECT 1;\n")
    assert re.search(
        r"new 0\ndry run: nothing written to D1, rows_read \d+ \(nothing is new\)\n", result.stderr
    )


@pytest.mark.parametrize(
    ("command", "options", "env", "shown"),
    [
        ("sync", [], {}, []),
        ("sync", ["-v"], {}, ["looking for database", "page of 4 objects", "inserting"]),
        ("sync", [], {"VERBOSE": "1"}, ["looking for database", "page of 4 objects", "inserting"]),
        ("inventory", [], {}, []),
        ("inventory", ["--verbose"], {}, ["page of 4 objects"]),
        ("migrate", ["-v"], {}, ["looking for database", "reading which migrations"]),
    ],
)
def test_verbose_logs_each_page_and_request(
    b2d1: Run, filled: Stack, command: str, options: list[str], *, env: dict[str, str], shown: list[str]
) -> None:
    """-v and VERBOSE=1 log every page and every request, on stderr; without them there is none of it."""
    result = b2d1(command, *options, env=filled.env | env)

    logged = [line for line in result.stderr.splitlines() if line.startswith("DEBUG: ")]
    assert (result.exit_code, "DEBUG" in result.stdout, bool(logged)) == (0, False, bool(shown))
    assert [part for part in shown if not any(line.startswith(f"DEBUG: {part}") for line in logged)] == []


def test_the_database_is_named_first(b2d1: Run, filled: Stack) -> None:
    """The first line of the log says which database is meant, by its id."""
    result = b2d1("sync", "-v", env=filled.env)

    first = next(line for line in result.stderr.splitlines() if not line.startswith("DEBUG"))
    assert first.startswith("INFO: ")
    assert str(filled.database().id) in first


@pytest.mark.parametrize(
    ("prefix", "options", "keys"),
    [
        pytest.param("", [], KEYS, id="none"),
        pytest.param("photos/", [], KEYS[:2], id="setting"),
        pytest.param("", ["--prefix", "photos/b"], KEYS[1:2], id="option"),
        pytest.param("photos/", ["--prefix", "q"], KEYS[2:3], id="option before setting"),
        pytest.param("photos/", ["--prefix", ""], KEYS, id="empty option"),
        pytest.param("", ["--prefix", "zeilen\u0085/日"], KEYS[3:], id="awkward"),
    ],
)
def test_a_prefix_narrows_the_listing(
    b2d1: Run, filled: Stack, prefix: str, options: list[str], keys: list[str]
) -> None:
    """Only keys under the prefix are listed: that of the option, otherwise that of B2_PREFIX."""
    env = filled.env | {"B2_PREFIX": prefix}

    listed = b2d1("inventory", *options, env=env)
    synced = b2d1("sync", *options, env=env)

    assert (listed.exit_code, [each["key"] for each in json.loads(listed.stdout)["objects"]]) == (0, keys)
    assert (synced.exit_code, [row[0] for row in filled.rows()]) == (0, keys)


# The snapshot


@pytest.mark.parametrize(
    ("options", "env", "written"),
    [
        pytest.param([], {}, ["configured"], id="whole bucket"),
        pytest.param([], {"B2_PREFIX": "photos/"}, ["configured"], id="configured prefix"),
        pytest.param(["--prefix", "photos/"], {"B2_PREFIX": "photos/"}, ["configured"], id="the same prefix"),
        pytest.param(["--prefix", "photos/"], {}, [], id="another prefix"),
        pytest.param(["--prefix", ""], {"B2_PREFIX": "photos/"}, [], id="no prefix"),
        pytest.param(["--dry-run"], {}, [], id="dry run"),
        pytest.param([], {"DRY_RUN": "1"}, [], id="dry run by setting"),
        pytest.param(["--snapshot", "named"], {}, ["named"], id="named"),
        pytest.param(["--snapshot", "named", "--prefix", "photos/"], {}, ["named"], id="named, prefix"),
        pytest.param(["--snapshot", "named", "--dry-run"], {}, ["named"], id="named, dry run"),
    ],
)
def test_the_snapshot_is_the_configured_buckets(
    b2d1: Run,
    filled: Stack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    options: list[str],
    env: dict[str, str],
    written: list[str],
) -> None:
    """SNAPSHOT_URI is written at the configured scope only; a place named for this run always."""
    monkeypatch.chdir(tmp_path)

    result = b2d1("sync", *options, env=filled.env | {"SNAPSHOT_URI": "configured"} | env)

    assert result.exit_code == 0
    assert [path.name for path in tmp_path.iterdir() if path.name in {"configured", "named"}] == written
    told = re.findall("^snapshot (.*)$", result.stdout + result.stderr, re.MULTILINE)
    assert told == [f"{name} written" for name in written]


def test_a_snapshot_is_what_inventory_prints(b2d1: Run, filled: Stack, tmp_path: Path) -> None:
    """The snapshot has inventory's bytes and the report's digest, and stays as it is without a change."""
    place = tmp_path / "kept.json.gz"

    first = json.loads(b2d1("sync", "--json", "--snapshot", str(place), env=filled.env).stdout)
    again = b2d1("sync", env=filled.env | {"SNAPSHOT_URI": str(place)})

    assert first["snapshot"] == {
        "uri": str(place),
        "sha256": first["listing_sha256"],
        "changed": True,
        "objects_before": None,
    }
    assert gzip.decompress(place.read_bytes()) == b2d1("inventory", env=filled.env).stdout_bytes
    assert f"snapshot {place} unchanged" in again.stdout


def test_a_snapshot_that_cannot_be_kept_ends_in_exit_1(b2d1: Run, filled: Stack, tmp_path: Path) -> None:
    """The rows are in, and the error says so beside what is wrong with the place."""
    (tmp_path / "file").touch()

    result = b2d1("sync", "--snapshot", str(tmp_path / "file" / "kept.json"), env=filled.env)

    said, hint = complaint(result.stderr)
    assert (result.exit_code, result.stdout, len(filled.rows())) == (1, "", 4)
    assert said.startswith(
        f"b2d1: keeping the snapshot at {tmp_path}/file/kept.json: File exists: {tmp_path}/file"
    )
    assert "4 inserted" in said
    assert hint == (
        "hint: A part of the path is a file, and not a folder. "
        "SNAPSHOT_URI, or --snapshot, names another place."
    )


# inventory and ingest


def test_inventory_needs_no_d1_and_ingest_no_b2(b2d1: Run, filled: Stack) -> None:
    """`inventory | ingest -`, each with the settings of its own side, does what sync does."""
    listed = b2d1("inventory", env=filled.b2.settings())
    ingested = b2d1("ingest", "-", "--json", env=filled.d1.settings(), stdin=listed.stdout_bytes)
    rows = filled.rows()
    empty_the_table(filled)
    synced = b2d1("sync", "--json", env=filled.env)

    assert (listed.exit_code, listed.stderr, filled.rows()) == (0, "", rows)
    ours, its = json.loads(ingested.stdout), json.loads(synced.stdout)
    varying = {"run_id", "started_at", "duration_ms", "bookmark", "list_requests", "rows_read"}
    assert {name: ours[name] for name in ours.keys() - varying} == {
        name: its[name] for name in its.keys() - varying
    }
    assert ours["list_requests"] == 0


def test_an_inventory_is_one_object_a_line(b2d1: Run, filled: Stack) -> None:
    """The inventory and nothing else is on stdout: header, an object a line, the end."""
    result = b2d1("inventory", env=filled.b2.settings())

    first, *lines, last, rest = result.stdout_bytes.decode().split("\n")
    assert (first, last, rest) == (
        '{"bucket":"b2d1-sandbox","prefix":"","list_mode":"objects","objects":[',
        "]}",
        "",
    )
    assert [json.loads(line.removesuffix(","))["key"] for line in lines] == KEYS


@pytest.mark.parametrize(
    "arguments", [["ingest"], ["ingest", "-"], ["ingest", "list.json"], ["ingest", "list.gz"]]
)
def test_ingest_reads_a_file_or_stdin(
    b2d1: Run, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """An inventory of the original scripts is taken from a file, gzipped or not, or from stdin."""
    monkeypatch.chdir(tmp_path)
    entry = {"key": "photos/a.jpg", "size": 7, "last_modified": "2024", "etag": '"abc"', "file_id": '"abc"'}
    document = json.dumps({"objects": [entry, entry]}, indent=2).encode()
    Path("list.json").write_bytes(document)
    Path("list.gz").write_bytes(gzip.compress(document))

    result = b2d1(
        *arguments,
        env=stack.d1.settings(),
        stdin=document if len(arguments) == 1 or "-" in arguments else b"",
    )

    assert result.exit_code == 0
    assert figures(result.stdout)[:2] == [
        f"inventory/ -> lgfc_lite {stack.database().id}",
        "discovered 1, known 0, new 1",
    ]
    assert stack.rows() == [
        ("photos/a.jpg", '"abc"', 7, '"abc"', "b2_8c52f4719f43e3321975d1c2f2698ad2ee283870")
    ]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"{}", "from stdin: the document is empty: {}"),
        (b"", "from stdin: the file is empty"),
        (
            b'{"objects":[{"key":"a","size":"1); DELETE FROM media_assets; --","file_id":"b"}]}',
            "from stdin: object 1 (line 1): its size is no whole number",
        ),
        (
            b'{"objects":[{"key":"a","size":1,"file_id":"b"},{"key":"a","size":2,"file_id":"b"}]}',
            "from stdin: objects 1 and 2 are both 'a', and differ",
        ),
    ],
    ids=["no objects", "nothing", "SQL", "contradiction"],
)
def test_ingest_refuses_what_is_no_inventory(b2d1: Run, stack: Stack, document: bytes, said: str) -> None:
    """A fault in the inventory ends in exit 2, names the place, and nothing is written."""
    result = b2d1("ingest", env=stack.d1.settings(), stdin=document)

    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint(result.stderr)[0] == f"b2d1: reading inventory {said}"
    assert {statement.split()[0] for statement in stack.d1.statements} <= {"SELECT"}
    assert stack.rows() == []


def test_ingest_leaves_the_snapshot_alone(b2d1: Run, stack: Stack, tmp_path: Path) -> None:
    """The snapshot is the bucket's: an inventory from elsewhere does not replace it."""
    env = stack.d1.settings() | {"SNAPSHOT_URI": str(tmp_path / "kept.json")}

    assert b2d1("ingest", env=env, stdin=ONE_OBJECT).exit_code == 0
    assert not (tmp_path / "kept.json").exists()


def test_a_summary_stays_on_its_lines(b2d1: Run, stack: Stack) -> None:
    """A bucket's name out of an inventory drives no terminal and forges no line."""
    document = json.dumps({"bucket": "a\x1b[2J\nnew 0", "objects": []})

    result = b2d1("ingest", "--adopt", env=stack.d1.settings(), stdin=document)

    assert result.stdout.startswith('"a\\u001b[2J\\nnew 0/" -> lgfc_lite ')


# Listings that do not go well

PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>pictures</Name><Prefix></Prefix>
<EncodingType>url</EncodingType><KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys>
<IsTruncated>{truncated}</IsTruncated>{objects}{token}</ListBucketResult>"""
OBJECT = (
    "<Contents><Key>{key}</Key><LastModified>2024-03-09T14:00:00.000Z</LastModified>{etag}"
    "<Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


def page(*keys: str, token: str = "", etag: str = "<ETag>&quot;abc&quot;</ETag>") -> Response:
    """Write a page of a listing."""
    text = PAGE.format(
        count=len(keys),
        truncated=str(bool(token)).lower(),
        objects="".join(OBJECT.format(key=key, etag=etag if key != "bare" else "") for key in keys),
        token=token and f"<NextContinuationToken>{token}</NextContinuationToken>",
    )
    return Response(text, content_type="application/xml")


@pytest.fixture
def scripted(stack: Stack, httpserver: HTTPServer) -> Stack:
    """Provide the servers, with B2's place taken by one that answers as it is told."""
    stack.extra = {"B2_ENDPOINT": httpserver.url_for("").rstrip("/"), "B2_BUCKET": "pictures"}
    return stack


DENIED = Response("<Error><Code>AccessDenied</Code><Message>Not so</Message></Error>", 403)


@pytest.mark.parametrize(
    "command", [["inventory"], ["sync", "--snapshot", "kept"], ["sync", "--dry-run"]], ids=str
)
def test_a_listing_that_breaks_off_is_never_a_shorter_one(
    b2d1: Run,
    scripted: Stack,
    httpserver: HTTPServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    command: list[str],
) -> None:
    """Exit 3; the inventory lacks its end, so that nobody takes it for whole; no row, SQL or snapshot."""
    monkeypatch.chdir(tmp_path)
    httpserver.expect_ordered_request("/pictures").respond_with_response(page("a", "b", token="t"))
    httpserver.expect_ordered_request("/pictures").respond_with_response(DENIED)

    result = b2d1(*command, env=scripted.env)

    said, hint = complaint(result.stderr)
    assert (result.exit_code, scripted.rows(), Path("kept").exists()) == (3, [], False)
    assert said == "b2d1: listing bucket pictures: B2 answered 403 AccessDenied: Not so"
    assert hint.startswith("hint: ")
    lines = result.stdout.splitlines()
    assert [line[:10] for line in lines] == (
        ['{"bucket":', '{"key":"a"', '{"key":"b"'] if len(command) == 1 else []
    )
    assert "]}" not in result.stdout


@pytest.mark.parametrize("command", ["inventory", "sync", "verify"])
def test_an_object_without_identity_is_left_out_and_told(
    b2d1: Run, scripted: Stack, httpserver: HTTPServer, command: str
) -> None:
    """The others go in and the output is whole, and the run ends with exit 3 and the object's name."""
    httpserver.expect_request("/pictures").respond_with_response(page("a", "bare", "c"))
    if command == "verify":
        b2d1("sync", env=scripted.env)

    result = b2d1(command, env=scripted.env)

    warning, said, hint = complaint(result.stderr)
    assert result.exit_code == 3
    assert warning == "WARNING: 'bare' has no ETag, so no identity: it is left out"
    assert said.startswith("b2d1: listing bucket pictures: 1 ")
    assert hint.startswith("hint: ")
    if command == "inventory":
        assert [each["key"] for each in json.loads(result.stdout)["objects"]] == ["a", "c"]
    else:
        assert [row[0] for row in scripted.rows()] == ["a", "c"]
        assert "unidentified 1" in result.stdout


# migrate


def test_migrate_applies_what_is_due_once(b2d1: Run, d1: EmbeddedD1) -> None:
    """Each migration is named as it is applied; a second run reads only, and says there is nothing to do."""
    first = b2d1("migrate", env=d1.settings())
    d1.statements.clear()
    second = b2d1("migrate", env=d1.settings())

    assert (first.exit_code, first.stdout, first.stderr) == (
        0,
        "applied 0010_media_assets.sql\napplied 0011_media_ingest.sql\n",
        "",
    )
    assert (second.exit_code, second.stdout) == (0, "nothing to do: every migration is applied\n")
    assert {statement.split()[0] for statement in d1.statements} == {"SELECT"}


@pytest.mark.parametrize(("options", "env"), [(["--dry-run"], {}), ([], {"DRY_RUN": "1"})], ids=str)
def test_a_dry_migrate_prints_the_sql_and_writes_nothing(
    b2d1: Run, d1: EmbeddedD1, options: list[str], env: dict[str, str]
) -> None:
    """The SQL on stdout, run as it is, makes the tables; the database itself is only read."""
    result = b2d1("migrate", *options, env=d1.settings() | env)

    assert (result.exit_code, result.stderr) == (0, "")
    assert re.findall("^-- (0.*)$", result.stdout, re.MULTILINE) == [
        "0010_media_assets.sql",
        "0011_media_ingest.sql",
    ]
    assert {statement.split()[0] for statement in d1.statements} == {"SELECT"}
    with contextlib.closing(d1.connect()) as connection:
        # D1 itself keeps a table in every database.
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("_cf_METADATA",)]
    run_sql(d1, result.stdout)
    assert b2d1("ingest", env=d1.settings(), stdin=ONE_OBJECT).exit_code == 0


def test_a_dry_migrate_with_nothing_due_prints_sql_without_effect(b2d1: Run, stack: Stack) -> None:
    """What a dry run prints is SQL that wrangler executes in any case."""
    result = b2d1("migrate", "--dry-run", env=stack.d1.settings())

    text = "-- nothing to do: every migration is applied\nSELECT 1;\n"
    assert (result.exit_code, result.stdout) == (0, text)


# The program itself: real streams, signals and terminals


@pytest.fixture
def outside(filled: Stack, tmp_path: Path) -> dict[str, str]:
    """Provide the environment of a process of its own, with a home and a place for its files."""
    (tmp_path / "tmp").mkdir()
    return filled.env | {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path / "tmp"),
        "TERM": "xterm",
        "COLUMNS": "150",
    }


def shell(command: str, env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `b2d1` is the program; return the exit code of its first command."""
    script = f'b2d1() {{ {PROGRAM} "$@"; }}; {command}; exit "${{PIPESTATUS[0]}}"'
    return subprocess.run(
        ["bash", "-c", script], env=env, cwd=folder, capture_output=True, timeout=60, check=False
    )


def left_behind(env: dict[str, str]) -> list[Path]:
    """List the working files that a process has not taken away."""
    return list(Path(env["TMPDIR"]).iterdir())


def test_a_pipeline_does_what_sync_does(outside: dict[str, str], filled: Stack, tmp_path: Path) -> None:
    """In a real shell, too: inventory's stdout is ingest's stdin, and the log is on neither."""
    done = shell("b2d1 inventory | gzip | b2d1 ingest - --json", outside, tmp_path)

    assert (done.returncode, json.loads(done.stdout)["inserted"]) == (0, 4)
    assert complaint(done.stderr.decode()) == []
    assert left_behind(outside) == []


@pytest.mark.parametrize("command", ["b2d1 inventory", "b2d1 sync --dry-run", "b2d1 diff a.json b.json"])
def test_a_reader_that_goes_away_is_no_drama(
    outside: dict[str, str], filled: Stack, tmp_path: Path, command: str
) -> None:
    """`| head -1` gets its line, and there is no traceback."""
    for number in range(2000):
        filled.b2.put(f"{number:04}/{'long' * 50}.jpg")
    entry = '{"key":"%06d","size":1,"file_id":"\\"a\\""}'
    (tmp_path / "a.json").write_text('{"objects":[]}')
    (tmp_path / "b.json").write_text(
        '{"objects":[' + ",".join(entry % number for number in range(9000)) + "]}"
    )

    done = shell(f"{command} | head -1", outside, tmp_path)

    assert (done.returncode, done.stdout.count(b"\n")) == (1, 1)
    assert complaint(done.stderr.decode()) == []
    assert left_behind(outside) == []


@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        ("inventory", "1"),
        ("sync --json", ""),
        ("sync --dry-run", ""),
        ("migrate", ""),
    ],
)
def test_a_full_disk_behind_stdout_has_a_name(
    outside: dict[str, str], tmp_path: Path, command: str, unbuffered: str
) -> None:
    """Output that cannot be written is an error with a sentence, never a silent loss."""
    done = shell(f"b2d1 {command} > /dev/full", outside | {"PYTHONUNBUFFERED": unbuffered}, tmp_path)

    assert done.returncode == 1
    said = complaint(done.stderr.decode())
    claim = " (the run is done: 4 rows inserted)" if command.startswith("sync --json") else ""
    assert said == [
        f"b2d1: writing to stdout: No space left on device{claim}",
        "hint: The disk is full: free some space. Send the output to another place.",
    ]


def test_streams_that_are_closed_have_a_name(outside: dict[str, str], tmp_path: Path) -> None:
    """Without a stdin to read or a stdout to write to, the runner says so."""
    unread = shell("b2d1 ingest <&-", outside, tmp_path)
    unwritten = shell("b2d1 inventory >&-", outside, tmp_path)

    assert (unread.returncode, unread.stderr) == (2, b"b2d1: stdin is closed\nhint: Name a file.\n")
    said = b"b2d1: stdout is closed\nhint: Send it to a file, or to another program.\n"
    assert (unwritten.returncode, unwritten.stderr) == (1, said)


def test_a_full_disk_for_working_files_has_a_name(outside: dict[str, str], tmp_path: Path) -> None:
    """An inventory too large for the disk that it is put in order on is told as that."""
    entry = '{"key":"%s%06d","size":1,"file_id":"\\"a\\""}'
    objects = ",".join(entry % ("long" * 100, number) for number in range(12_000))
    (tmp_path / "a.json").write_text(f'{{"objects":[{objects}]}}')

    done = shell("ulimit -f 1000; b2d1 diff a.json a.json", outside, tmp_path)

    said, hint = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (1, b"")
    assert said.startswith("b2d1: keeping the run's working files: SQLite: ")
    assert "TMPDIR" in hint
    assert left_behind(outside) == []


def test_data_is_utf_8_whatever_the_locale(outside: dict[str, str], tmp_path: Path) -> None:
    """Neither the SQL, nor the report, nor a diff depends on the encoding of the terminal."""
    (tmp_path / "a.json").write_text('{"objects":[]}')
    entry = {"key": "日本", "size": 1, "file_id": '"a"'}
    (tmp_path / "b.json").write_text(json.dumps({"objects": [entry]}))
    env = outside | {"PYTHONIOENCODING": "latin-1"}

    done = shell(
        "b2d1 sync --dry-run; b2d1 diff a.json b.json; b2d1 sync --json --adopt --prefix 日本", env, tmp_path
    )

    text = done.stdout.decode()
    assert done.returncode == 0
    assert r"""json_extract('"zeilen\u0085/日本/\"é\"+%41.jpg"', '$')""" in text
    assert "added    日本\n" in text
    assert '"prefix": "日本"' in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_at_once_and_leaves_nothing(
    outside: dict[str, str], httpserver: HTTPServer, number: signal.Signals
) -> None:
    """Ctrl-C or a polite kill amid a listing ends the program without a traceback and without its files."""
    asked, done = threading.Event(), threading.Event()

    def wait(_request: Request) -> Response:
        asked.set()
        done.wait(30)
        return Response()

    httpserver.expect_request("/b2d1-sandbox").respond_with_handler(wait)
    env = outside | {"B2_ENDPOINT": httpserver.url_for("").rstrip("/")}
    with subprocess.Popen(
        [PROGRAM, "sync"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert asked.wait(30)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=30)
        finally:
            done.set()
            process.kill()

    assert (process.returncode, stdout) == (1, b"")
    assert [line for line in complaint(stderr.decode()) if line] == [
        "b2d1: interrupted",
        "hint: Run again: nothing is half done.",
    ]
    assert left_behind(outside) == []


LISTED, SENT = "objects listed", "new rows sent"


@pytest.mark.parametrize(
    ("command", "bar"),
    [
        pytest.param(["inventory"], f"4 {LISTED}", id="inventory"),
        pytest.param(["sync", "--dry-run"], f"4 {LISTED}, 4 new", id="sync --dry-run"),
        pytest.param(["sync", "--json"], f"4 of 4 {SENT}", id="sync --json"),
    ],
)
def test_a_progress_bar_is_on_stderr_only(
    b2d1: Run, outside: dict[str, str], filled: Stack, tmp_path: Path, *, command: list[str], bar: str
) -> None:
    """With a terminal the bar is shown there, and stdout, a file, gets exactly what it gets without one."""
    with (tmp_path / "out").open("wb") as out:
        code, shown = on_terminal(*command, env=outside, stdout=out)
    empty_the_table(filled)
    without = b2d1(*command, env=filled.env)

    assert (code, without.exit_code) == (0, 0)
    assert bar in shown
    assert [text for text in (LISTED, SENT) if text in without.stderr] == []
    assert "\x1b" not in without.stderr
    varying = rb'"(run_id|started_at|bookmark)": "[^"]*"|"duration_ms": \d+'
    found = [re.sub(varying, b"", text) for text in ((tmp_path / "out").read_bytes(), without.stdout_bytes)]
    assert found[0] == found[1] != b""


@contextlib.contextmanager
def to_a_socket() -> Iterator[tuple[BinaryIO, int]]:
    reader, writer = socket.socketpair()
    with reader, writer.makefile("wb") as out:
        writer.close()
        yield out, reader.fileno()


@contextlib.contextmanager
def to_a_pipe() -> Iterator[tuple[BinaryIO, int]]:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb") as out:
        yield out, reader


@pytest.mark.parametrize("to", [to_a_pipe, to_a_socket], ids=lambda to: str(to.__name__))
@pytest.mark.parametrize(
    "command",
    [
        *(["inventory"], ["sync", "--dry-run"], ["sync", "--json"], ["sync"], ["verify", "--json"]),
        *(
            ["ingest", "inventory.json"],
            ["verify", "inventory.json"],
            ["diff", "inventory.json", "empty.json"],
        ),
    ],
    ids=" ".join,
)
def test_no_bar_is_shown_while_data_goes_to_a_program(
    b2d1: Run,
    outside: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    command: list[str],
    to: Callable[[], AbstractContextManager[tuple[BinaryIO, int]]],
) -> None:
    """Such a program, like less, jq and tee, may write to the terminal that stderr is."""
    monkeypatch.chdir(tmp_path)
    Path("inventory.json").write_bytes(b2d1("inventory", env=outside).stdout_bytes)
    Path("empty.json").write_text('{"bucket":"b2d1-sandbox","objects":[]}')

    with to() as (out, reader):
        _, shown = on_terminal(*command, env=outside, stdout=out)
        data = os.read(reader, 100_000)

    assert [text for text in ("\x1b", LISTED, SENT, "rows read") if text in shown] == []
    assert data != b""


def test_a_bar_is_shown_while_data_goes_nowhere(outside: dict[str, str]) -> None:
    """Nothing reads what goes to /dev/null."""
    with Path(os.devnull).open("wb") as out:
        _, shown = on_terminal("inventory", env=outside, stdout=out)

    assert f"4 {LISTED}" in shown


def test_a_summary_follows_the_bar_on_the_same_terminal(outside: dict[str, str]) -> None:
    """When stdout is the terminal too, the bar goes away before the summary comes."""
    code, shown = on_terminal("sync", env=outside)

    assert code == 0
    assert f"4 of 4 {SENT}" in shown
    assert shown.rindex(SENT) < shown.index("discovered 4, known 0, new 4")
    assert shown.splitlines()[-1].startswith("bookmark ")


def test_sql_follows_the_bar_on_the_same_terminal(outside: dict[str, str]) -> None:
    """When stdout is the terminal too, the bar is gone before the first statement, which stays whole."""
    code, shown = on_terminal("sync", "--dry-run", env=outside)

    assert code == 0
    assert shown.rindex(LISTED) < shown.index("INSERT INTO media_assets")
    assert "\x1b" not in shown[shown.index("INSERT INTO media_assets") :]
    assert "  ('b2_" in shown


def test_an_inventory_on_a_terminal_is_not_disturbed(b2d1: Run, outside: dict[str, str]) -> None:
    """When the inventory itself goes to the terminal, there is no bar in it, and all is printable."""
    plain = b2d1("inventory", env=outside).stdout
    assert "\u0085" in plain

    assert on_terminal("inventory", env=outside) == (0, plain.replace("\u0085", r"\u0085"))


def test_colour_forced_on_brings_no_bar(outside: dict[str, str], tmp_path: Path) -> None:
    """FORCE_COLOR, as CI services set it, does not put a progress bar into a log."""
    done = shell("b2d1 sync", outside | {"FORCE_COLOR": "1", "CI": "true"}, tmp_path)

    assert done.returncode == 0
    assert [text for text in (LISTED, SENT) if text in done.stderr.decode()] == []


def test_secrets_are_in_no_output(b2d1: Run, filled: Stack) -> None:
    """Neither a run with everything logged nor a refused one shows a key or a token."""
    secrets = [filled.env["B2_APP_KEY"], filled.env["CLOUDFLARE_API_TOKEN"]]

    runs = [b2d1(command, "-v", env=filled.env) for command in ("sync", "inventory", "migrate")]
    runs += [
        b2d1("sync", "-v", env=filled.env | {name: "wrong"}) for name in ("B2_BUCKET", "D1_DATABASE_NAME")
    ]

    assert [run.exit_code for run in runs] == [0, 0, 0, 3, 4]
    assert [secret for run in runs for secret in secrets if secret in run.output] == []
