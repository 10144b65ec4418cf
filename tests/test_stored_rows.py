"""The rows of the table, read whole and as they are, and what is wrong with one by itself."""

from typing import Any

import pytest
from conftest import AnyD1, FakeTime, Stack
from objects import NoBucket, as_row, execute, fill, numbered
from pytest_httpserver import HTTPServer
from scripted_d1 import answer, as_response, refused, script, settings

from b2d1.d1.api import MAX_ANSWER_BYTES
from b2d1.d1.database import Database
from b2d1.errors import D1Error
from b2d1.media import MediaObject, media_uid
from b2d1.verify.stored_rows import ROWS_PER_REQUEST, StoredRow, stored_rows
from sandbox.forwarder import Forwarder

# As somebody else might have made it: nothing is NOT NULL, and a value stays of the type it came with.
LOOSE = """
DROP TABLE media_assets;
CREATE TABLE media_assets (media_uid UNIQUE, b2_key, b2_file_id, size, etag);"""
ETAG = '"0cc175b9c0f1b6a831c399e269772661"'
BARE = ETAG.strip('"')
KINDS = "text text text integer text"


@pytest.fixture
def loose(d1: AnyD1, fake_time: FakeTime) -> Stack:
    """Provide a table that takes whatever it is given."""
    stack = Stack(NoBucket(), d1, fake_time)  # type: ignore[arg-type]
    stack.migrate()
    execute(d1, LOOSE)
    return stack


def insert(d1: AnyD1, *values: str) -> None:
    """Insert rows, each written as the literals of SQL."""
    execute(d1, "".join(f"INSERT INTO media_assets VALUES ({each});" for each in values))


def read(stack: Stack) -> list[StoredRow]:
    return list(stored_rows(stack.database()))


UID = media_uid(ETAG, "a")
SOUND = f"'{UID}', 'a', '{ETAG}', 1, '{ETAG}'"


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        pytest.param(SOUND, None, id="sound"),
        pytest.param(f"'{media_uid(BARE, 'a')}', 'a', '{BARE}', 1, '{BARE}'", None, id="a bare ETag"),
        pytest.param(f"'{UID}', 'a', '{ETAG}', 1, NULL", None, id="no etag"),
        pytest.param(f"'{UID}', 'a', NULL, 1, '{ETAG}'", None, id="no file id, the etag as it is"),
        pytest.param(f"'{UID}', 'a', NULL, 1, '{BARE}'", None, id="no file id, the etag without quotes"),
        pytest.param(
            f"'{media_uid(BARE, 'a')}', 'a', NULL, 1, '{ETAG}'", None, id="no file id, hashed without quotes"
        ),
        pytest.param(
            f"'{media_uid('4_z1', 'a')}', 'a', NULL, 1, '{ETAG}'",
            "b2_file_id is NULL, and media_uid is not the hash of etag and b2_key",
            id="no file id, another's uid",
        ),
        pytest.param(
            f"'{UID}', 'a', NULL, 1, NULL",
            "media_uid cannot be recomputed: b2_file_id and etag are NULL",
            id="neither",
        ),
        pytest.param(
            f"'{UID}', 'a', '{BARE}', 1, '{ETAG}'",
            "media_uid is not the hash of b2_file_id and b2_key",
            id="another file id, whatever the etag",
        ),
        pytest.param(
            f"'{UID}', 'b', '{ETAG}', 1, '{ETAG}'",
            "media_uid is not the hash of b2_file_id and b2_key",
            id="another key",
        ),
        pytest.param(
            f"'{UID.upper()}', 'a', '{ETAG}', 1, '{ETAG}'",
            "media_uid is not the hash of b2_file_id and b2_key",
            id="another uid",
        ),
        pytest.param(
            f"'', 'a', '{ETAG}', 1, '{ETAG}'",
            "media_uid is not the hash of b2_file_id and b2_key",
            id="an empty uid",
        ),
        pytest.param(f"NULL, 'a', '{ETAG}', 1, '{ETAG}'", "media_uid is NULL", id="no uid"),
        pytest.param(f"7, 'a', '{ETAG}', 1, '{ETAG}'", "media_uid is of type integer", id="a number as uid"),
        pytest.param(f"x'00ff', 'a', '{ETAG}', 1, NULL", "media_uid is of type blob", id="a blob as uid"),
        pytest.param(f"'{UID}', NULL, '{ETAG}', 1, '{ETAG}'", "b2_key is NULL", id="no key"),
        pytest.param(f"'{UID}', x'61', '{ETAG}', 1, NULL", "b2_key is of type blob", id="a blob as key"),
        pytest.param(f"'{media_uid(ETAG, '')}', '', '{ETAG}', 1, NULL", "b2_key is empty", id="an empty key"),
        pytest.param(f"'{UID}', 'a', '{ETAG}', '1', '{ETAG}'", "size is of type text", id="a text as size"),
        pytest.param(f"'{UID}', 'a', '{ETAG}', 1.5, NULL", "size is of type real", id="half a byte"),
        pytest.param(f"'{UID}', 'a', '{ETAG}', NULL, NULL", "size is NULL", id="no size"),
        pytest.param(f"'{UID}', 'a', '{ETAG}', -1, NULL", "size is -1", id="less than nothing"),
        pytest.param(f"'{UID}', 'a', '{ETAG}', 1, 2", "etag is of type integer", id="a number as etag"),
        pytest.param(
            "NULL, NULL, 1, NULL, x'00'",
            "media_uid is NULL, b2_key is NULL, b2_file_id is of type integer, size is NULL, "
            "etag is of type blob",
            id="everything",
        ),
        pytest.param(
            f"'{UID}', printf('%.*c', 2000000, 'k'), '{ETAG}', 1, '{ETAG}'",
            "b2_key is longer than 1,024 bytes",
            id="two megabytes of key",
        ),
        pytest.param(
            f"zeroblob(2000000), 'a', '{ETAG}', printf('%.*c', 1025, '1'), '{ETAG}'",
            "media_uid is longer than 1,024 bytes, size is longer than 1,024 bytes",
            id="two megabytes of zeros",
        ),
    ],
)
def test_a_row_is_judged_by_its_own_values(loose: Stack, values: str, fault: str | None) -> None:
    """What a row's types and hash say of it is said in words; a value that is not there is only unknown."""
    insert(loose.d1, values)

    assert [row.fault() for row in read(loose)] == [fault]


def test_a_row_is_read_as_it_is(loose: Stack) -> None:
    """Any character, sizes and rowids of 63 bits come exactly; what cannot be right stays where it is."""
    key = '\'); DROP TABLE media_assets;-- "写真" 🎞\n\x01\\ '
    with_quotes = key.replace("'", "''")
    insert(loose.d1, f"'u', '{with_quotes}', 'f', 9223372036854775807, NULL", "x'01', 'b', 2.5, 'text', 'e'")
    execute(loose.d1, "UPDATE media_assets SET rowid = 9223372036854775807 WHERE media_uid = 'u'")

    assert read(loose) == [
        StoredRow(2, None, "b", None, "text", "e", "blob text real text text"),
        StoredRow(2**63 - 1, "u", key, "f", str(2**63 - 1), None, "text text text integer null"),
    ]


def test_every_row_is_read_once_whatever_its_uid(loose: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NULLs for uids, blobs, numbers, rowids below nothing: no row is lost or doubled."""
    monkeypatch.setattr("b2d1.verify.stored_rows.ROWS_PER_REQUEST", 2)
    uids = ["NULL", "NULL", "''", "x''", "x'ff'", "'zzz'", "7", "-1", "NULL", "'b2_'", "1.5"]
    insert(loose.d1, *(f"{uid}, '{number}', NULL, 1, NULL" for number, uid in enumerate(uids)))
    execute(loose.d1, "UPDATE media_assets SET rowid = -9223372036854775808 WHERE b2_key = '8'")
    loose.d1.statements.clear()

    assert [row.b2_key for row in read(loose)] == ["8", "0", "1", "2", "3", "4", "5", "6", "7", "9", "10"]
    assert len(loose.d1.statements) == 6


@pytest.mark.parametrize(
    ("rows", "requests"),
    [
        pytest.param(0, 1, id="none"),
        pytest.param(1, 1, id="one"),
        pytest.param(ROWS_PER_REQUEST - 1, 1, id="nearly a page"),
        pytest.param(ROWS_PER_REQUEST, 2, id="a page"),
        pytest.param(ROWS_PER_REQUEST + 1, 2, id="more than a page"),
    ],
)
def test_a_row_costs_one_row_read(loose: Stack, rows: int, requests: int) -> None:
    """D1 counts one row read for each row, none written; 5,000 rows are one request."""
    if rows:
        fill(loose.d1, [as_row(media) for media in numbered(rows)])
    loose.d1.statements.clear()
    database = loose.database()

    found = list(stored_rows(database))

    assert [row.media_uid for row in found] == [as_row(media)[0] for media in numbered(rows)]
    # The engine counts an attempt that finds nothing more as one or two.
    assert rows <= database.usage.rows_read <= rows + 2
    assert (database.usage.rows_written, len(loose.d1.statements)) == (0, requests)


def test_rows_that_come_and_go_meanwhile_do_no_harm(loose: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows are inserted and deleted between two pages, what stays is read once, the new one too."""
    monkeypatch.setattr("b2d1.verify.stored_rows.ROWS_PER_REQUEST", 3)
    fill(loose.d1, [as_row(media) for media in numbered(9)])
    rows = stored_rows(loose.database())

    first = next(rows)
    execute(loose.d1, "DELETE FROM media_assets WHERE b2_key IN ('k/000000001', 'k/000000003')")
    fill(loose.d1, [as_row(media) for media in numbered(1, start=9)])

    assert [row.b2_key for row in (first, *rows)] == [
        f"k/{number:09}" for number in (0, 1, 2, 4, 5, 6, 7, 8, 9)
    ]


def test_keys_as_long_as_they_may_be_are_read_in_one_piece(loose: Stack) -> None:
    """A page of 5,000 rows with keys of 1,024 bytes is under what an answer may weigh."""
    fill(loose.d1, [as_row(media) for media in numbered(ROWS_PER_REQUEST - 1, width=1024)])
    loose.d1.statements.clear()

    assert len(read(loose)) == ROWS_PER_REQUEST - 1
    assert len(loose.d1.statements) == 1


def test_fewer_rows_are_asked_for_where_they_are_too_heavy(loose: Stack) -> None:
    """An answer that weighs more than it may, as one of control characters, is asked for in parts."""
    rows = [as_row(MediaObject("\x01" * 1000 + str(number), 1, "", "e", "f")) for number in range(3000)]
    for start in range(0, 3000, 250):
        fill(loose.d1, rows[start : start + 250])
    loose.d1.statements.clear()

    assert [row.media_uid for row in read(loose)] == [uid for uid, *_ in rows]
    assert len(loose.d1.statements) == 3  # 5,000 were too many, 2,500, and the rest
    assert 2500 * 6000 < MAX_ANSWER_BYTES < 3000 * 6000


def test_a_connection_that_drops_in_the_middle_is_no_matter(
    loose: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page whose answer was lost is asked for again, and every row comes once."""
    monkeypatch.setattr("b2d1.verify.stored_rows.ROWS_PER_REQUEST", 2)
    fill(loose.d1, [as_row(media) for media in numbered(5)])
    with Forwarder(loose.d1.url) as forwarder:
        loose.extra["CLOUDFLARE_API_BASE_URL"] = forwarder.url
        database = loose.database()
        rows = stored_rows(database)
        first = next(rows)
        forwarder.on("SELECT", lambda call: call.drop(), times=2)
        found = [first, *rows]

    assert [row.b2_key for row in found] == [media.key for media in numbered(5)]
    assert len(loose.time.pauses) == 2


ROW = ["1", UID, "a", ETAG, "1", ETAG, KINDS]


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([["1", *ROW[1:]], ["1", *ROW[1:]]], id="a row twice"),
        pytest.param([["2", *ROW[1:]], ["1", *ROW[1:]]], id="a row before the one before it"),
        pytest.param([[None, *ROW[1:]]], id="no rowid"),
        pytest.param([["one", *ROW[1:]]], id="a rowid that is no number"),
        pytest.param([["-9223372036854775809", *ROW[1:]]], id="a rowid below all"),
        pytest.param([[1, *ROW[1:]]], id="a number where text was asked for"),
        pytest.param([[*ROW[:2], ["a"], *ROW[3:]]], id="a list as key"),
        pytest.param([[*ROW[:2], "\ud800", *ROW[3:]]], id="half of a surrogate pair"),
        pytest.param([[*ROW[:6], None]], id="no kinds"),
        pytest.param([[*ROW[:6], "text text text"]], id="too few kinds"),
        pytest.param(
            [[str(number), *ROW[1:]] for number in range(ROWS_PER_REQUEST + 1)], id="more than asked"
        ),
    ],
)
def test_an_answer_that_is_not_d1s_is_an_error(httpserver: HTTPServer, rows: list[Any]) -> None:
    """What was not asked for is refused by name: it is neither skipped nor asked for without end."""
    asked = script(httpserver, as_response(answer(rows)))
    database = Database(settings(httpserver.url_for("")), FakeTime().retrying())

    with pytest.raises(D1Error, match=r"reading the table's rows: the answer is not D1's"):
        list(stored_rows(database))
    assert len(asked) == 1


def test_a_single_row_that_d1_cannot_read_is_an_error(httpserver: HTTPServer) -> None:
    """Where D1 finds even one row too much, that is the error, after so many halvings."""
    message = "D1 DB's isolate exceeded its memory limit and was reset."
    asked = script(httpserver, as_response(refused(7500, message), 500))
    database = Database(settings(httpserver.url_for("")), FakeTime().retrying())

    with pytest.raises(D1Error, match="memory limit"):
        list(stored_rows(database))
    assert len(asked) == len(f"{ROWS_PER_REQUEST:b}")
