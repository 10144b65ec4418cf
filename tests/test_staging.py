"""Staging, publishing, checking, clearing and sweeping: each statement by itself, on Cloudflare's engine."""

import json
from contextlib import closing
from typing import Any

import pytest
from conftest import Stack
from objects import ROWS, NoBucket, as_row, execute, fill, numbered

from b2d1.d1.database import Database
from b2d1.errors import D1Error
from b2d1.media import ListMode, media_uid
from b2d1.table import staging as staging_module
from b2d1.table.staging import Staged, Staging
from sandbox.forwarder import Forwarder

pytestmark = pytest.mark.parametrize("d1", ["engine"], indirect=True)

VERSION = (
    "4_zaa11bb22cc33dd44ee55ff66_f1a2b3c4d5e6f7a8b_d20240309_m140000_c004_v0402000_t0001_u01709992800000"
)

Row = tuple[Any, ...]


class Desk:
    """A database with its tables, and one run's chunks in it."""

    def __init__(self, stack: Stack, url: str | None = None) -> None:
        if url:
            stack.extra["CLOUDFLARE_API_BASE_URL"] = url
        self.stack = stack
        self.database: Database = stack.database()
        self.staging = self.of("run-1")

    def of(self, run_id: str) -> Staging:
        """Give another run's chunks."""
        return Staging(self.database, run_id)

    def stage(self, *chunks: list[Row], first: int = 0) -> range:
        """Put chunks of rows down; return their numbers."""
        for number, rows in enumerate(chunks, first):
            self.staging.stage(number, chunk(rows))
        return range(first, first + len(chunks))

    def staged(self, columns: str = "run_id, seq") -> list[Row]:
        """Read what is staged, behind the server's back."""
        with closing(self.stack.d1.connect()) as connection:
            sql = f"SELECT {columns} FROM media_ingest_chunks ORDER BY run_id, seq"
            return connection.execute(sql).fetchall()

    def price(self, *, of: Any) -> int:
        """Tell the rows_written that D1 counts for what is called."""
        before = self.database.usage.rows_written
        of()
        return self.database.usage.rows_written - before


def chunk(rows: list[Row]) -> str:
    return json.dumps(rows, ensure_ascii=False)


def rows_of(count: int, start: int = 0) -> list[Row]:
    return [as_row(media) for media in numbered(count, start)]


def row(key: str, file_id: str | None, etag: str | None, uid: str | None = None) -> Row:
    """Make the row of an object, or one whose uid was tampered with."""
    return uid or media_uid(str(file_id), key), key, file_id, 1, etag


@pytest.fixture
def b2() -> NoBucket:
    """Take the place of a bucket: the objects come from elsewhere."""
    return NoBucket()


@pytest.fixture
def desk(stack: Stack) -> Desk:
    """Provide a migrated, empty database."""
    return Desk(stack)


class TestStage:
    """Chunks wait where nobody sees them."""

    def test_staging_twice_is_staging_once(self, desk: Desk) -> None:
        """A chunk is down once, as it was sent, however often it was; and no row of it is to be seen."""
        rows = [("b2_1", "写真 🎞 \u2028'\"\\", None, 2**63 - 1, None)]
        for _ in range(3):
            desk.stage(rows)
        assert desk.staged("run_id, seq, payload") == [("run-1", 0, chunk(rows))]
        assert desk.staged("staged_at BETWEEN datetime('now', '-1 minute') AND datetime('now')") == [(1,)]
        assert desk.stack.rows() == []

    def test_a_chunk_is_one_row_written(self, desk: Desk) -> None:
        """However many rows a chunk has, to stage it is one row on the bill, and none the second time."""
        prices = [desk.price(of=lambda: desk.stage(rows_of(500))) for _ in range(2)]
        assert prices == [1, 0]


class TestPublish:
    """All rows of the chunks, by one statement, or none."""

    def test_rows_get_in_by_their_order(self, desk: Desk) -> None:
        """Ids ascend as the chunks are numbered and as the rows stand in them, however they were staged."""
        chunks = [rows_of(12)[::-1], rows_of(2, start=100), rows_of(1, start=50)]
        for number in (11, 9, 10):
            desk.staging.stage(number, chunk(chunks[number - 9]))
        answer = desk.staging.publish(range(9, 12))
        assert (answer.changes, answer.confirmed) == (15, True)
        assert desk.stack.rows(f"id, {ROWS}") == [
            (number, *each) for number, each in enumerate([*chunks[0], *chunks[1], *chunks[2]], 1)
        ]

    def test_values_arrive_exactly(self, desk: Desk) -> None:
        """Texts, integers of 64 bits and NULL are in the table as they were in the chunk."""
        rows: list[Row] = [
            ("b2_1", 'it\'s "quoted" \\ and\\n', '"e"', 2**53 + 1, '"e"'),
            ("b2_2", "🎞 𝄞 é e\u0301 \u2028 \ufeff \uffff", None, 2**63 - 1, None),
            ("b2_3", "'); DROP TABLE media_assets; --\r\n\x1f", "4.0", 0, ""),
        ]
        desk.staging.publish(desk.stage(rows))
        assert desk.stack.rows(ROWS) == rows

    def test_a_range_is_all_that_is_published(self, desk: Desk) -> None:
        """Neither the run's other chunks nor another run's of the same numbers get in."""
        desk.stage(*(rows_of(2, start=10 * number) for number in range(4)))
        desk.of("run-2").stage(1, chunk(rows_of(2, start=90)))
        assert desk.staging.publish(range(1, 3)).changes == 4
        assert desk.stack.rows(ROWS) == rows_of(2, start=10) + rows_of(2, start=20)

    @pytest.mark.parametrize("lacking", [0, 1, 2])
    def test_a_missing_chunk_publishes_nothing(self, desk: Desk, lacking: int) -> None:
        """If one chunk is not there, first, middle or last, no row of the others gets in."""
        chunks = desk.stage(*(rows_of(2, start=10 * number) for number in range(3)))
        desk.of("run-2").stage(lacking, chunk(rows_of(2)))
        desk.staging.clear(range(lacking, lacking + 1))
        answer = desk.staging.publish(chunks)
        assert (answer.changes, answer.confirmed, desk.stack.rows()) == (0, True, [])

    def test_a_bad_row_takes_all_back(self, desk: Desk) -> None:
        """A violated NOT NULL in the last row of the last chunk is an error, and leaves no row behind."""
        chunks = desk.stage(rows_of(3), [*rows_of(2, start=10), ("b2_x", None, "e", 1, None)])
        with pytest.raises(D1Error, match=r"^publishing what is staged: .*NOT NULL constraint failed"):
            desk.staging.publish(chunks)
        assert desk.stack.rows() == []

    def test_publishing_twice_inserts_nothing_twice(self, desk: Desk) -> None:
        """The second time every row is there, none is counted and none has changed."""
        chunks = desk.stage(rows_of(3), rows_of(3, start=10))
        desk.staging.publish(chunks)
        before = desk.stack.rows("*")
        answer = desk.staging.publish(chunks)
        assert (answer.changes, desk.stack.rows("*")) == (0, before)

    def test_known_rows_stay_as_they_are(self, desk: Desk) -> None:
        """A row whose uid is there already changes nothing and counts for nothing, the others get in."""
        fill(desk.stack.d1, [("b2_1", "old", "old", 1, "old")])
        chunks = desk.stage([("b2_1", "new", "new", 2, "new"), ("b2_2", "k", "f", 3, None)])
        assert desk.staging.publish(chunks).changes == 1
        assert desk.stack.rows(ROWS) == [("b2_1", "old", "old", 1, "old"), ("b2_2", "k", "f", 3, None)]

    @pytest.mark.parametrize(
        ("mode", "stored", "new"),
        [
            pytest.param("objects", row("k", "e", "e"), row("k", '"e"', '"e"'), id="bare"),
            pytest.param("objects", row("k", "e", '"e"'), row("k", '"e"', '"e"'), id="bare, quoted etag"),
            pytest.param("objects", row("k", VERSION, '"e"'), row("k", '"e"', '"e"'), id="versions before"),
            pytest.param("objects", row("k", None, '"e"', "b2_x"), row("k", '"e"', '"e"'), id="no file id"),
            pytest.param("objects", row("k", '"e"', '"e"', "b2_x"), row("k", '"e"', '"e"'), id="tampered"),
            pytest.param("objects", row("k", "e", None), row("k", '"e"', '"e"'), id="bare, no etag"),
            pytest.param("objects", row("k", VERSION, None), row("k", '"e"', '"e"'), id="versions, no etag"),
            pytest.param("versions", row("k", '"e"', '"e"'), row("k", VERSION, '"e"'), id="objects before"),
            pytest.param("versions", row("k", '"e"', None), row("k", VERSION, '"e"'), id="objects, no etag"),
            pytest.param(
                "versions", row("k", VERSION, "e", "b2_x"), row("k", VERSION, "e"), id="v, tampered"
            ),
            pytest.param(
                "versions", row("k", None, '"e"', "b2_x"), row("k", VERSION, "e"), id="v, no file id"
            ),
        ],
    )
    def test_content_that_is_in_under_another_uid_keeps_all_out(
        self, desk: Desk, mode: ListMode, stored: Row, new: Row
    ) -> None:
        """One row in the last chunk that would be a second identity, and no row of any chunk gets in."""
        fill(desk.stack.d1, [stored])
        answer = desk.staging.publish(desk.stage(rows_of(3), [*rows_of(3, start=10), new]))
        assert (answer.changes, desk.stack.rows(ROWS)) == (0, [stored])

    @pytest.mark.parametrize(
        ("mode", "stored", "new"),
        [
            pytest.param("objects", row("k", '"e"', '"e"'), row("k", '"f"', '"f"'), id="new content"),
            pytest.param("objects", row("k", '"e"', '"e"'), row("K", '"e"', '"e"'), id="another key"),
            pytest.param("objects", row("k", '"e"', None), row("k", '"f"', '"f"'), id="no etag stored"),
            pytest.param("versions", row("k", VERSION, None), row("k", f"{VERSION}1", "e"), id="v, no etag"),
            pytest.param(
                "versions", row("k", VERSION, '"e"'), row("k", f"{VERSION}1", '"e"'), id="uploaded again"
            ),
        ],
    )
    def test_what_is_not_the_same_gets_in(self, desk: Desk, mode: ListMode, stored: Row, new: Row) -> None:
        """Another key, another content or, with version ids, another upload keeps nothing out."""
        fill(desk.stack.d1, [stored])
        assert desk.staging.publish(desk.stage(rows_of(1), [new])).changes == 2

    def test_a_guard_looks_at_the_range_alone(self, desk: Desk) -> None:
        """Neither another run's chunk nor one of a later round keeps this round out."""
        fill(desk.stack.d1, [row("k", "e", "e")])
        desk.stage(rows_of(2), [row("k", '"e"', '"e"')])
        desk.of("run-2").stage(0, chunk([row("k", '"e"', '"e"')]))
        assert desk.staging.publish(range(1)).changes == 2

    def test_a_row_is_three_rows_written(self, desk: Desk) -> None:
        """The table, the index of uids and the index of keys; and the counter of the ids, once."""
        chunks = desk.stage(rows_of(300), rows_of(300, start=300))
        assert desk.price(of=lambda: desk.staging.publish(chunks)) == 3 * 600 + 1

    @pytest.mark.parametrize(("when", "inside"), [("before", 0), ("after", 2)])
    def test_in_doubt_the_error_says_so(self, stack: Stack, when: Any, inside: int) -> None:
        """A publish whose answers were all lost ends with an error that does not claim to know."""
        with Forwarder(stack.d1.url) as forwarder:
            desk = Desk(stack, forwarder.url)
            chunks = desk.stage(rows_of(2))
            forwarder.fail(when, "INSERT INTO media_assets", times=99)
            with pytest.raises(D1Error, match="; whether the rows are in is unknown") as failure:
                desk.staging.publish(chunks)
        assert (failure.value.ambiguous, len(stack.rows())) == (True, inside)
        assert failure.value.hint.endswith(" Run again: it inserts only what is missing.")


class TestCheck:
    """What is staged, and what of it the table lacks."""

    def test_it_counts_what_is_staged_and_what_is_missing(self, desk: Desk) -> None:
        """Before, in the middle and after, both figures are those of the range, and of this run."""
        chunks = desk.stage(rows_of(3), rows_of(4, start=10))
        desk.stage(rows_of(5, start=20), first=2)
        desk.of("run-2").stage(0, chunk(rows_of(6, start=30)))
        figures = [desk.staging.check(chunks)]
        fill(desk.stack.d1, rows_of(2))
        figures.append(desk.staging.check(chunks))
        desk.staging.publish(chunks)
        figures.append(desk.staging.check(chunks))
        execute(desk.stack.d1, "DELETE FROM media_assets WHERE b2_key = 'k/000000011'")
        figures.append(desk.staging.check(chunks))
        desk.staging.clear(range(1))
        figures.append(desk.staging.check(chunks))
        assert figures == [Staged(7, 7), Staged(7, 5), Staged(7, 0), Staged(7, 1), Staged(4, 1)]

    def test_nothing_staged_is_nothing(self, desk: Desk) -> None:
        """A range without any chunk has no rows, and none of them is missing."""
        assert desk.staging.check(range(3)) == Staged(0, 0)

    def test_a_check_writes_nothing(self, desk: Desk) -> None:
        """It is one statement, a SELECT."""
        desk.staging.check(desk.stage(rows_of(3)))
        assert desk.stack.d1.statements[-1].split()[0] == "SELECT"


class TestCleanUp:
    """What is published, or was left behind by the dead, goes away; nothing else does."""

    def test_clear_takes_this_runs_range(self, desk: Desk) -> None:
        """Chunks beside the range stay, and so do another run's of the same numbers."""
        desk.stage(*([] for _ in range(12)))
        for number in (8, 9, 10):
            desk.of("run-10").stage(number, "[]")
        assert desk.price(of=lambda: desk.staging.clear(range(2, 11))) == 9
        assert desk.staged() == [
            *(("run-1", number) for number in (0, 1, 11)),
            *(("run-10", number) for number in (8, 9, 10)),
        ]

    def test_a_sweep_takes_what_is_older_than_an_hour(self, desk: Desk) -> None:
        """Chunks of any run go when they are older, and are counted; what is fresher stays."""
        ages = {"dead": 61, "long dead": 60 * 24 * 400, "slow": 59, "fresh": 0}
        execute(
            desk.stack.d1,
            ";".join(
                "INSERT INTO media_ingest_chunks (run_id, seq, payload, staged_at) VALUES "
                f"('{run_id}', {number}, '[]', datetime('now', '-{minutes} minutes'))"
                for run_id, minutes in ages.items()
                for number in range(2)
            ),
        )
        desk.stage([])
        found: list[int] = []
        price = desk.price(of=lambda: found.append(desk.staging.sweep()))
        assert (found, price) == ([4], 4)
        assert desk.staged() == [("fresh", 0), ("fresh", 1), ("run-1", 0), ("slow", 0), ("slow", 1)]

    def test_nothing_to_sweep_is_nothing_written(self, desk: Desk) -> None:
        """Where no chunk is old, a sweep writes nothing."""
        desk.stage([])
        assert desk.price(of=desk.staging.sweep) == 0
        assert desk.staged() == [("run-1", 0)]

    @pytest.mark.parametrize("doing", ["clearing what is published", "sweeping old chunks"])
    def test_cleaning_up_costs_a_run_ten_seconds_at_the_most(self, stack: Stack, doing: str) -> None:
        """A database that is busy all the time is not waited for longer than that."""
        with Forwarder(stack.d1.url) as forwarder:
            desk = Desk(stack, forwarder.url)
            forwarder.fail("before", "DELETE", times=10_000, status=503)
            with pytest.raises(D1Error, match=rf"^{doing}: .*gave up"):
                desk.staging.sweep() if "sweep" in doing else desk.staging.clear(range(1))
        assert 1005 <= stack.time.now <= 1010


@pytest.mark.parametrize("statistics", ["none", "of a small table"])
def test_the_tables_are_searched_by_their_indexes(desk: Desk, statistics: str) -> None:
    """No statement walks a table that may have a million rows, even where statistics call it small."""
    if statistics != "none":
        fill(desk.stack.d1, rows_of(5))
        desk.stage([], [])
        execute(desk.stack.d1, "ANALYZE")
    found = {}
    with closing(desk.stack.d1.connect()) as connection:
        for name, params in {"PUBLISH": 4, "CHECK": 3, "CLEAR": 3}.items():
            sql = f"EXPLAIN QUERY PLAN {getattr(staging_module, name)}"
            steps = [step[3] for step in connection.execute(sql, ["0"] * params).fetchall()]
            found[name] = {step for step in steps if "SEARCH" in step or "media" in step}
    by_key = "SEARCH m USING INDEX idx_media_assets_b2_key (b2_key=?)"
    by_uid = "SEARCH m USING COVERING INDEX sqlite_autoindex_media_assets_1 (media_uid=?)"
    by_run = "USING PRIMARY KEY (run_id=? AND seq>? AND seq<?)"
    of_a_run = {f"SEARCH {name} {by_run}" for name in ("c", "media_ingest_chunks")}
    assert found == {
        "PUBLISH": {by_key, *of_a_run},
        "CHECK": {by_uid, *of_a_run},
        "CLEAR": {f"SEARCH media_ingest_chunks {by_run}"},
    }
