"""`b2d1 verify` as a person or a script meets it."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from conftest import Stack
from objects import execute

Run = Callable[..., Result]

NAMES = [
    *("started_at", "duration_ms", "bucket", "prefix", "list_mode", "key_order"),
    *(
        "database_name",
        "database_id",
        "discovered",
        "unidentified",
        "excluded",
        "rows",
        "matching",
        "missing",
    ),
    *("different", "doubled", "corrupt", "history", "outside", "list_requests", "d1_requests", "rows_read"),
    *("rows_written", "changed_db", "samples"),
]
DATABASE = "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39"
SAID = "b2d1: the index differs from the listing: 12 missing, 1 different, 1 corrupt"
HINT = "hint: docs/operations.md, 'Is my index right?', tells what each of them means, and what to do."


@pytest.fixture
def damaged(stack: Stack) -> Stack:
    """Provide a bucket, and a table with rows of every kind."""
    for key in ("a", "b\u2028 \x85", "c", "d"):
        stack.b2.put(key, key.encode())
    stack.sync()
    stack.b2.hide("a")
    for number in range(12):
        stack.b2.put(f"new/{number:02}", b"n")
    execute(stack.d1, "UPDATE media_assets SET size = 9, etag = 'x' || char(27) || '[2J' WHERE b2_key = 'c'")
    execute(stack.d1, "UPDATE media_assets SET b2_key = 'd' || char(10, 27) || '[31m' WHERE b2_key = 'd'")
    return stack


def lines(text: str) -> list[str]:
    """Return the lines that are not the log's, without the time taken."""
    told = [line for line in text.split("\n") if line and not line.startswith("INFO: ")]
    return [re.sub(r"\d+ ms|(?<=rows_read )\d+", "N", line) for line in told]


def test_the_findings_are_told_in_a_few_lines(b2d1: Run, damaged: Stack) -> None:
    """Counts under the report's own names, some of each kind, a line each whatever is in it, and exit 6."""
    result = b2d1("verify", env=damaged.env)

    etag = damaged.rows("etag")[1][0]
    assert (result.exit_code, lines(result.stderr)) == (6, [SAID, HINT])
    assert lines(result.stdout) == [
        f"b2d1-sandbox/ against lgfc_lite {DATABASE}",
        "discovered 15, missing 12",
        "rows 4, of which matching 1, different 1, doubled 0, corrupt 1, history 1, outside 0",
        "list_requests 1, d1_requests 3, N",
        "rows_read N, rows_written 0",
        *(f"missing   new/{number:02}" for number in range(10)),
        "missing   and 2 more",
        "different c (rowid 3): \"size is 9, the listing's 1, etag is x\\u001b[2J, the listing's "
        + json.dumps('"4a8a08f09d37b73795649038408b5f33"')[1:],
        'corrupt   "d\\n\\u001b[31m" (rowid 4): media_uid is not the hash of b2_file_id and b2_key',
        "history   a (rowid 1)",
    ]
    assert etag


def test_a_sound_index_is_told_in_six_lines(b2d1: Run, stack: Stack) -> None:
    """Where all is well the figures say so, stderr has nothing but the log, and the exit code is 0."""
    stack.b2.put("a", b"1")
    stack.sync()

    result = b2d1("verify", env=stack.env)

    assert (result.exit_code, result.stderr) == (0, f"INFO: database {DATABASE} (lgfc_lite)\n")
    assert lines(result.stdout) == [
        f"b2d1-sandbox/ against lgfc_lite {DATABASE}",
        "discovered 1, missing 0",
        "rows 1, of which matching 1, different 0, doubled 0, corrupt 0, history 0, outside 0",
        "list_requests 1, d1_requests 3, N",
        "rows_read N, rows_written 0",
        "every object has its row, and every row is what its media_uid says",
    ]


def test_json_is_the_report(b2d1: Run, damaged: Stack) -> None:
    """With --json stdout is one line, every figure and the samples, keys as they are; exit 6 too."""
    result = b2d1("verify", "--json", env=damaged.env)

    told = json.loads(result.stdout)
    assert (result.exit_code, result.stdout.count("\n"), lines(result.stderr)) == (6, 1, [SAID, HINT])
    assert list(told) == NAMES
    kinds = ("rows", "matching", "missing", "different", "doubled", "corrupt", "history", "outside")
    assert [told[kind] for kind in kinds] == [4, 1, 12, 1, 0, 1, 1, 0]
    assert {kind: len(samples) for kind, samples in told["samples"].items()} == {
        "missing": 10,
        "different": 1,
        "doubled": 0,
        "corrupt": 1,
        "history": 1,
    }
    assert told["samples"]["corrupt"] == [
        {
            "rowid": 4,
            "b2_key": "d\n\x1b[31m",
            "media_uid": damaged.rows("media_uid")[3][0],
            "note": "media_uid is not the hash of b2_file_id and b2_key",
        }
    ]


def test_a_prefix_leaves_the_others_out(b2d1: Run, damaged: Stack) -> None:
    """--prefix holds the rows below it against the bucket, whatever B2_PREFIX says."""
    env = damaged.env | {"B2_PREFIX": "nothing/"}

    told = json.loads(b2d1("verify", "--prefix", "new/0", "--json", env=env).stdout)

    assert (told["prefix"], told["discovered"], told["missing"]) == ("new/0", 10, 10)
    assert (told["corrupt"], told["outside"]) == (1, 3)


@pytest.mark.parametrize("way", ["file", "gzip", "stdin"])
def test_an_inventory_needs_no_bucket(b2d1: Run, damaged: Stack, tmp_path: Path, way: str) -> None:
    """A file or stdin, gzipped or not, takes the bucket's place; no setting of B2 is needed."""
    rows = damaged.rows("b2_key, b2_file_id, size, etag")
    names = ("key", "file_id", "size", "etag")
    objects = [dict(zip(names, row, strict=True)) for row in rows[:3]]
    content = json.dumps({"objects": objects}).encode()
    (tmp_path / "old.json").write_bytes(gzip.compress(content) if way == "gzip" else content)
    file = "-" if way == "stdin" else str(tmp_path / "old.json")

    result = b2d1("verify", file, env=damaged.d1.settings(), stdin=content)

    assert (result.exit_code, lines(result.stdout)[:3]) == (
        6,
        [
            f"inventory/ against lgfc_lite {DATABASE}",
            "discovered 3, missing 0",
            "rows 4, of which matching 3, different 0, doubled 0, corrupt 1, history 0, outside 0",
        ],
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["none.json"], "does not exist", id="no such file"),
        pytest.param(["-", "--prefix", "p"], "--prefix is for a bucket", id="a prefix for an inventory"),
        pytest.param(["-"], "reading inventory from stdin", id="no inventory"),
        pytest.param([], "B2_KEY_ID", id="no settings of B2"),
    ],
)
def test_what_cannot_be_verified_is_exit_2(b2d1: Run, stack: Stack, arguments: list[str], said: str) -> None:
    """Arguments, settings and files that cannot be used are named, before the database is asked anything."""
    result = b2d1("verify", *arguments, env=stack.d1.settings(), stdin=b"{}")

    assert (result.exit_code, result.stdout, stack.d1.requests) == (2, "", [])
    assert said in result.stderr
