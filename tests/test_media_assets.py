"""What b2d1 says to D1 about its table: real statements, on Cloudflare's engine."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from conftest import AnyD1, FakeTime
from pytest_httpserver import HTTPServer
from scripted_d1 import answer, as_response, envelope, script, settings
from tables import COLUMNS, DOCUMENTED_TABLE, Bench, chunk, row

from b2d1.d1.database import Database
from b2d1.errors import D1Error
from b2d1.migrate import migrations
from b2d1.settings import Settings
from b2d1.table import guards, media_assets
from b2d1.table.media_assets import MediaAssets
from b2d1.table.schema import CREATE_TABLE, CREATE_UNIQUE_INDEX, FIND_DUPLICATES
from sandbox.forwarder import Forwarder


@pytest.fixture
def bench(d1: AnyD1, fake_time: FakeTime) -> Bench:
    """Provide an empty database."""
    return Bench(d1, fake_time)


@pytest.fixture
def table(bench: Bench) -> Bench:
    """Provide a database with the table as documented."""
    bench.execute(DOCUMENTED_TABLE)
    return bench


class TestLook:
    """A table is used only when it is as needed, and what mends it is said."""

    @pytest.mark.parametrize(
        "ddl",
        [
            pytest.param(DOCUMENTED_TABLE, id="as documented"),
            pytest.param(f"CREATE TABLE media_assets ({COLUMNS}, UNIQUE (media_uid))", id="constraint"),
            pytest.param(f"CREATE TABLE media_assets ({COLUMNS}); {CREATE_UNIQUE_INDEX}", id="index"),
            pytest.param(f"CREATE TABLE media_assets ({COLUMNS}, PRIMARY KEY (media_uid))", id="primary key"),
            pytest.param(
                f"CREATE TABLE media_assets ({COLUMNS}, PRIMARY KEY (media_uid)) WITHOUT ROWID",
                id="WITHOUT ROWID",
            ),
            pytest.param(
                f"CREATE TABLE media_assets ({COLUMNS});"
                "CREATE UNIQUE INDEX u ON media_assets (media_uid DESC)",
                id="descending",
            ),
            pytest.param(
                f"{DOCUMENTED_TABLE} ALTER TABLE media_assets ADD COLUMN title TEXT;"
                "CREATE UNIQUE INDEX a ON media_assets (media_uid, b2_key);"
                "CREATE UNIQUE INDEX b ON media_assets (media_uid) WHERE size > 5;"
                "CREATE INDEX c ON media_assets (media_uid);"
                "CREATE INDEX d ON media_assets (ingested_at);",
                id="more columns and indexes",
            ),
        ],
    )
    def test_a_table_that_serves_is_accepted_and_used(self, bench: Bench, ddl: str) -> None:
        """Whatever makes media_uid unique will do, and the insert then works with it, twice to one effect."""
        bench.execute(ddl)
        bench.table.look()
        inserted = [bench.table.insert(chunk(["b2_1", "k", "f", 1, None])).changes for _ in range(2)]
        assert inserted == [1, 0]

    def test_a_missing_table_is_mended_by_the_statement_shown(self, bench: Bench) -> None:
        """Without the table nothing goes on, and the hint's last lines create it."""
        error = self.refusal(bench, "there is no table media_assets")
        before, _, statement_shown = error.hint.partition("\n")
        assert before == "Create it with b2d1 migrate or wrangler d1 migrations apply, or run:"
        assert statement_shown == CREATE_TABLE
        self.mend(bench, statement_shown)

    @pytest.mark.parametrize(
        "ddl",
        [
            pytest.param("", id="none"),
            pytest.param("CREATE INDEX i ON media_assets (media_uid)", id="not unique"),
            pytest.param("CREATE UNIQUE INDEX i ON media_assets (media_uid) WHERE size > 0", id="partial"),
            pytest.param("CREATE UNIQUE INDEX i ON media_assets (media_uid, b2_key)", id="two columns"),
            pytest.param("CREATE UNIQUE INDEX i ON media_assets (b2_key, media_uid)", id="second column"),
            pytest.param("CREATE UNIQUE INDEX i ON media_assets (media_uid COLLATE NOCASE)", id="NOCASE"),
            pytest.param("CREATE UNIQUE INDEX i ON media_assets (lower(media_uid))", id="expression"),
            pytest.param(
                "CREATE UNIQUE INDEX i ON media_assets (media_uid, lower(b2_key))", id="and expression"
            ),
            pytest.param("CREATE UNIQUE INDEX i ON media_assets (b2_key)", id="another column's"),
        ],
    )
    def test_a_missing_unique_index_is_mended_by_the_statement_shown(self, bench: Bench, ddl: str) -> None:
        """An index that does not keep each media_uid single is none; the hint shows the one that does."""
        bench.execute(f"CREATE TABLE media_assets ({COLUMNS}); {ddl}")
        error = self.refusal(bench, "column media_uid of table media_assets has no unique index of its own")
        lines = error.hint.splitlines()
        assert lines == [
            "Create it:",
            CREATE_UNIQUE_INDEX,
            "Duplicates that stand in its way are found by:",
            FIND_DUPLICATES,
        ]
        self.mend(bench, lines[1])

    def test_duplicates_in_the_way_are_found_by_the_query_shown(self, bench: Bench) -> None:
        """Where the index cannot be created, the query of the hint tells which rows keep it from that."""
        bench.execute(f"CREATE TABLE media_assets ({COLUMNS})")
        bench.fill(("b2_1", "k", "f", 1, None), ("b2_2", "k", "f", 1, None), ("b2_1", "k", "f", 1, None))
        with pytest.raises(sqlite3.IntegrityError):
            bench.execute(CREATE_UNIQUE_INDEX)
        with closing(bench.d1.connect()) as connection:
            assert connection.execute(FIND_DUPLICATES).fetchall() == [("b2_1", 2)]

    @pytest.mark.parametrize(
        ("lacking", "hint"),
        [
            (["etag"], ["ALTER TABLE media_assets ADD COLUMN etag TEXT;"]),
            (
                ["b2_file_id", "etag"],
                [
                    "ALTER TABLE media_assets ADD COLUMN b2_file_id TEXT;",
                    "ALTER TABLE media_assets ADD COLUMN etag TEXT;",
                ],
            ),
            *(
                (
                    lacking,
                    [
                        "It is another table. Put it aside and create this one:",
                        "ALTER TABLE media_assets RENAME TO media_assets_aside;",
                        "DROP INDEX IF EXISTS idx_media_assets_b2_key;",
                        *CREATE_TABLE.splitlines(),
                        "CREATE INDEX idx_media_assets_b2_key ON media_assets (b2_key);",
                    ],
                )
                for lacking in (["size"], ["b2_key", "etag"], ["media_uid"])
            ),
        ],
    )
    def test_a_missing_column_is_mended_by_the_statements_shown(
        self, bench: Bench, lacking: list[str], hint: list[str]
    ) -> None:
        """A column that may be empty is added; a table without the others is another one, and put aside."""
        columns = [column for column in COLUMNS.split(", ") if column.split()[0] not in lacking]
        bench.execute(f"CREATE TABLE media_assets (id INTEGER PRIMARY KEY, {', '.join(columns)})")
        if "media_uid" not in lacking:
            bench.execute(CREATE_UNIQUE_INDEX)
        error = self.refusal(bench, f"table media_assets has no column {', '.join(lacking)}")
        assert error.hint.splitlines() == hint
        self.mend(bench, "\n".join(line for line in hint if not line.startswith("It is")))

    def test_looking_is_one_select(self, table: Bench) -> None:
        """Looking costs one statement, a SELECT."""
        table.table.look()
        assert [text.split()[0] for text in table.d1.statements] == ["SELECT"]

    @pytest.mark.parametrize(
        ("ddl", "indexes"),
        [
            pytest.param(f"CREATE TABLE media_assets ({COLUMNS}, PRIMARY KEY (media_uid))", 1, id="one"),
            pytest.param(DOCUMENTED_TABLE, 1, id="as documented"),
            pytest.param(
                f"{DOCUMENTED_TABLE} CREATE INDEX a ON media_assets (b2_key); CREATE TABLE t (c UNIQUE);"
                "CREATE UNIQUE INDEX b ON media_assets (media_uid, size) WHERE size > 5;"
                "CREATE INDEX c ON media_assets (lower(etag))",
                4,
                id="of each kind",
            ),
        ],
    )
    def test_the_indexes_that_a_row_is_written_to_are_counted(
        self, bench: Bench, ddl: str, indexes: int
    ) -> None:
        """Each index of the table counts once, unique or not, partial or not; another table's does not."""
        bench.execute(ddl)
        bench.table.look()
        before = bench.database.usage.rows_written
        bench.table.insert(chunk(["b2_1", "k", "f", 9, "e"], ["b2_2", "k", "f", 9, "e"]))
        sequence = 1 if "AUTOINCREMENT" in ddl else 0
        written = bench.database.usage.rows_written - before - sequence
        assert (bench.table.indexes, written) == (indexes, 2 * (1 + indexes))

    @pytest.mark.parametrize(
        ("ddl", "has"),
        [
            pytest.param("", False, id="none"),
            pytest.param(
                "CREATE TABLE media_ingest_chunks (run_id, seq, payload, staged_at)", True, id="a table"
            ),
            pytest.param("CREATE VIEW media_ingest_chunks AS SELECT 1 AS run_id", False, id="a view"),
            pytest.param("CREATE TABLE other_chunks (run_id)", False, id="another"),
        ],
    )
    def test_it_tells_whether_there_is_a_table_for_chunks(self, table: Bench, ddl: str, *, has: bool) -> None:
        """What the run may stage in is found by the same one SELECT."""
        if ddl:
            table.execute(ddl)
        table.table.look()
        assert table.table.has_staging is has
        assert len(table.d1.statements) == 1

    def refusal(self, bench: Bench, message: str) -> D1Error:
        with pytest.raises(D1Error) as failure:
            bench.table.look()
        assert (str(failure.value), failure.value.exit_code) == (message, 4)
        assert [text.split()[0] for text in bench.d1.statements] == ["SELECT"]
        return failure.value

    def mend(self, bench: Bench, sql: str) -> None:
        bench.database.run_script(sql, doing="mending", done=lambda: False)
        bench.table.look()
        assert bench.table.insert(chunk(["b2_new", "k", "f", 1, None])).changes == 1


class TestMigratedTable:
    """The table that the migrations make."""

    def test_it_is_the_table_that_was_documented_to_the_letter(self, bench: Bench) -> None:
        """Migration 0010 is the documented table, and so is the statement shown where it is missing."""
        migrations.apply(bench.database, migrations.shipped()[0])
        with closing(bench.d1.connect()) as connection:
            objects = connection.execute(
                "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 'media_assets'"
            ).fetchall()
        assert objects == [
            ("table", "media_assets", DOCUMENTED_TABLE.removesuffix(";")),
            ("index", "sqlite_autoindex_media_assets_1", None),
        ]
        assert CREATE_TABLE == DOCUMENTED_TABLE

    @pytest.mark.parametrize("statistics", ["none", "of a small table"])
    def test_the_table_is_searched_by_its_indexes(self, bench: Bench, statistics: str) -> None:
        """No statement walks a table that may have a million rows, even where statistics call it small."""
        for migration in migrations.shipped():
            migrations.apply(bench.database, migration)
        if statistics != "none":
            bench.fill(*(row(f"k{number}", "f", "e") for number in range(5)))
            bench.execute("ANALYZE")
        plans = {}
        with closing(bench.d1.connect()) as connection:
            for name, sql in {
                "OTHER_IDENTITY": guards.OTHER_IDENTITY,
                "SHARES_A_KEY": guards.SHARES_A_KEY,
                "MISSING": media_assets.MISSING,
                "COUNT_MISSING": media_assets.COUNT_MISSING,
            }.items():
                params = ["[]", "objects"][: 2 if "?2" in sql else 1]
                steps = connection.execute(f"EXPLAIN QUERY PLAN {sql}", params).fetchall()
                plans[name] = [step[3] for step in steps if step[3].split()[1] == "m"]
        by_key = "SEARCH m USING INDEX idx_media_assets_b2_key (b2_key=?)"
        by_uid = "SEARCH m USING COVERING INDEX sqlite_autoindex_media_assets_1 (media_uid=?)"
        assert plans == {
            "OTHER_IDENTITY": [by_key, by_key],
            "SHARES_A_KEY": [by_key.replace("USING", "USING COVERING")],
            "MISSING": [by_uid],
            "COUNT_MISSING": [by_uid],
        }


class TestMissing:
    """Which uids are new."""

    def test_the_answer_is_what_the_table_lacks(self, table: Bench) -> None:
        """Of the uids asked about, those without a row come back, by exact comparison."""
        table.fill(("b2_a", "k", None, 1, None), ("b2_b", "k", None, 1, None))
        assert table.table.missing(["b2_a", "b2_A", "b2_b", "b2_c", "b2_"]) == {"b2_A", "b2_c", "b2_"}

    def test_a_stored_uid_that_is_null_hides_nothing(self, bench: Bench) -> None:
        """A row without a media_uid, in a table that allows it, does not make everything look known."""
        bench.execute(
            f"CREATE TABLE media_assets ({COLUMNS.replace('media_uid TEXT NOT NULL', 'media_uid TEXT')})"
        )
        bench.fill((None, "k", None, 1, None), ("b2_a", "k", None, 1, None))
        assert bench.table.missing(["b2_a", "b2_b"]) == {"b2_b"}
        with pytest.raises(D1Error):
            bench.table.prove(chunk(["b2_b", "k", None, 1, None]))

    @pytest.mark.parametrize("rows", [[["b2_z"]], [["b2_a"], [None]], [[["b2_a"]]], [[7]]], ids=repr)
    def test_an_answer_about_others_is_refused(
        self, httpserver: HTTPServer, fake_time: FakeTime, rows: list[Any]
    ) -> None:
        """An answer that holds what was not asked about is no answer."""
        script(httpserver, as_response(answer(rows)))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        with pytest.raises(D1Error, match="asking which are new: the answer is not D1's"):
            MediaAssets(database).missing(["b2_a", "b2_b"])


class TestSampleKeys:
    """Where a parallel listing may be cut."""

    def test_up_to_a_thousand_keys_from_everywhere(self, table: Bench) -> None:
        """Of a large table 1,000 keys come, one statement, and every tenth of the bucket has its share."""
        table.fill(*(row(f"k{number:05}", "f") for number in range(5_000)))
        keys = table.table.sample_keys()
        tenths = Counter(int(key.removeprefix("k")) // 500 for key in keys)
        assert (len(keys), len(set(keys)), sorted(tenths)) == (1_000, 1_000, list(range(10)))
        # Of 500 each, 100 are expected; the uids, and so the sample, are the same each time.
        assert 80 <= min(tenths.values()) <= max(tenths.values()) <= 120
        assert [text.split()[0] for text in table.d1.statements] == ["SELECT"]

    def test_it_costs_no_walk_through_the_table(self, table: Bench) -> None:
        """The rows come by the index of the uids: what is asked does not grow with the table."""
        with closing(table.d1.connect()) as connection:
            steps = connection.execute(f"EXPLAIN QUERY PLAN {media_assets.SAMPLE_KEYS}").fetchall()
        index = "sqlite_autoindex_media_assets_1"
        assert [step[3] for step in steps] == [f"SCAN media_assets USING INDEX {index}"]

    @pytest.mark.parametrize(
        ("stored", "keys"),
        [
            pytest.param([], [], id="an empty table"),
            pytest.param(["'k'", "'🎞 写真'", "''"], ["", "k", "🎞 写真"], id="texts"),
            pytest.param(["7", "2.5", "'k'"], ["k"], id="numbers"),
            pytest.param(["X'6B'", "X''", "'k'"], ["k"], id="blobs"),
            pytest.param(["NULL", "'k'"], ["k"], id="NULL"),
            pytest.param(["7", "NULL", "X'6B'"], [], id="no text at all"),
        ],
    )
    def test_what_is_no_text_is_left_out(self, bench: Bench, stored: list[str], keys: list[str]) -> None:
        """Keys that another program stored as something else spoil nothing: the texts are the sample."""
        bench.execute("CREATE TABLE media_assets (media_uid PRIMARY KEY, b2_key)")
        for number, key in enumerate(stored):
            bench.execute(f"INSERT INTO media_assets VALUES ('b2_{number}', {key})")
        assert sorted(bench.table.sample_keys()) == keys


class TestInsert:
    """How rows get in."""

    @pytest.mark.parametrize(
        "values",
        [
            pytest.param(("k", "f", 2**53 + 1, None), id="2^53+1"),
            pytest.param(("k", "f", 2**63 - 1, None), id="2^63-1"),
            pytest.param(("k", "f", 0, ""), id="empty etag"),
            pytest.param(("k", None, 1, "e"), id="no file id"),
            pytest.param(('it\'s "quoted" \\ and\\n', '"e"', 1, '"e"'), id="quotes and backslashes"),
            pytest.param(("🎞 𝄞 é é \u2028 \ufeff \uffff", "写真", 1, "é"), id="astral and odd"),
            pytest.param(("'); DROP TABLE media_assets; --", "/*", 1, ";"), id="injection"),
            pytest.param(('["[1,2]",{"a":null}]', "null", 1, "null"), id="JSON in a key"),
            pytest.param(("a\rb\nc\td\x1f\x7f", "f", 1, None), id="control characters"),
            pytest.param(("  k  ", " f ", 1, " e "), id="blanks"),
            pytest.param(("123", "4.0", 1, "1e5"), id="numbers in texts"),
        ],
    )
    def test_values_arrive_exactly(self, table: Bench, values: tuple[Any, ...]) -> None:
        """Texts, integers of 64 bits and NULL are in the table as they were in the chunk."""
        rows = [("b2_1", *values), ("b2_2", "k", "f", 1, None)]
        table.table.insert(chunk(*rows))
        assert table.rows() == rows
        table.table.prove(chunk(*rows))

    def test_known_rows_stay_as_they_are(self, table: Bench) -> None:
        """A row whose uid is there already changes nothing, and counts for nothing."""
        table.fill(("b2_1", "old", "old", 1, "old"))
        result = table.table.insert(chunk(["b2_1", "new", "new", 2, "new"], ["b2_2", "k", "f", 3, None]))
        assert (result.changes, result.confirmed) == (1, True)
        assert table.rows() == [("b2_1", "old", "old", 1, "old"), ("b2_2", "k", "f", 3, None)]

    @pytest.mark.parametrize("null", [0, 1, 3])
    def test_a_missing_value_is_an_error_and_nothing_is_written(self, table: Bench, null: int) -> None:
        """A violated NOT NULL is an error, not a row less, and takes the whole chunk back."""
        wrong: list[Any] = ["b2_2", "k", "f", 1]
        wrong[null] = None
        with pytest.raises(D1Error, match="NOT NULL constraint failed"):
            table.table.insert(chunk(["b2_1", "k", "f", 1, None], [*wrong, None]))
        assert table.rows() == []

    def test_only_the_insert_is_no_select(self, table: Bench) -> None:
        """Every statement but the one that inserts begins with SELECT."""
        rows = chunk(row("k", "f", "e"))
        table.fill(row("k", "other", "else"))
        table.table.look()
        table.table.missing(["b2_1"])
        table.guards().refuse_other_identity([rows])
        table.guards().refuse_other_bucket([rows])
        table.table.insert(rows)
        table.table.prove(rows)
        words = [text.split()[0] for text in table.d1.statements]
        assert words == ["SELECT"] * 5 + ["INSERT", "SELECT"]

    @pytest.mark.parametrize(
        ("status", "when", "known"), [(None, "after", 1), (503, "after", 1), (503, "before", 0)]
    )
    def test_in_doubt_the_error_says_so(
        self, d1: AnyD1, fake_time: FakeTime, status: int | None, when: Any, known: int
    ) -> None:
        """An insert whose answers were all lost ends with an error that does not claim to know."""
        with Forwarder(d1.url) as forwarder:
            bench = Bench(d1, fake_time, forwarder.url)
            bench.execute(DOCUMENTED_TABLE)
            forwarder.fail(when, "INSERT", times=99, status=status)
            with pytest.raises(D1Error) as failure:
                bench.table.insert(chunk(["b2_1", "k", "f", 1, None]))
        assert "; whether the rows are in is unknown (gave up after" in str(failure.value)
        assert failure.value.hint.endswith(" Run again: it inserts only what is missing.")
        assert len(bench.rows()) == known

    def test_a_clear_refusal_leaves_no_doubt(self, bench: Bench) -> None:
        """An insert that was refused says nothing of doubt."""
        with pytest.raises(D1Error) as failure:
            bench.table.insert(chunk(["b2_1", "k", "f", 1, None]))
        assert str(failure.value) == (
            "inserting: D1 answered 400 7500: no such table: media_assets: SQLITE_ERROR"
        )
        assert failure.value.hint == "Create it: b2d1 migrate, or wrangler d1 migrations apply."


class TestProof:
    """What was inserted is there."""

    def test_a_row_that_is_missing_is_an_error(self, table: Bench, fake_time: FakeTime) -> None:
        """Rows that cannot be read back are asked for during 30 seconds, then named as missing."""
        table.fill(("b2_1", "k", "f", 1, None))
        with pytest.raises(D1Error) as failure:
            table.table.prove(chunk(*([f"b2_{number}", "k", "f", 1, None] for number in range(4))))
        assert failure.value.message == "3 of the rows inserted cannot be read back"
        assert failure.value.exit_code == 4
        assert (len(fake_time.pauses) >= 3, 1015 <= fake_time.now <= 1030) == (True, True)

    def test_a_read_that_comes_too_soon_is_repeated(self, d1: AnyD1, fake_time: FakeTime) -> None:
        """A stale read, which misses what was just written, is asked again until it sees it."""
        with Forwarder(d1.url) as forwarder:
            bench = Bench(d1, fake_time, forwarder.url)
            bench.execute(DOCUMENTED_TABLE)
            bench.table.insert(chunk(["b2_1", "k", "f", 1, None]))
            stale = json.dumps(answer([[1]]))
            forwarder.fail("before", "SELECT count(*)", times=3, status=200, body=stale)
            bench.table.prove(chunk(["b2_1", "k", "f", 1, None]))
        assert len(fake_time.pauses) == 3

    def test_it_ends_inside_the_deadline(self, d1: AnyD1, fake_time: FakeTime) -> None:
        """With five seconds left, missing rows are not waited for beyond them."""
        env = d1.settings()
        database = Database(Settings.from_env(env, b2=False).d1, fake_time.retrying(5))  # type: ignore[arg-type]
        database.resolve()
        with closing(d1.connect()) as connection:
            connection.executescript(DOCUMENTED_TABLE)
        with pytest.raises(D1Error, match="1 of the rows inserted"):
            MediaAssets(database, fake_time.retrying(5)).prove(chunk(["b2_1", "k", "f", 1, None]))
        assert fake_time.now <= 1005


READS: dict[str, Callable[[Bench], object]] = {
    "pragma_table_xinfo": lambda bench: bench.table.look(),
    "SELECT value": lambda bench: bench.table.missing(["b2_1"]),
    "SELECT b2_key": lambda bench: bench.table.sample_keys(),
    "SELECT m.b2_key": lambda bench: bench.guards().refuse_other_identity([chunk(["b2_1"])]),
    "SELECT EXISTS": lambda bench: bench.guards().refuse_other_bucket([chunk(["b2_1"])]),
    "SELECT count(*)": lambda bench: bench.table.prove("[]"),
}
WRITES: dict[str, Callable[[Bench], object]] = {
    "INSERT": lambda bench: bench.table.insert(chunk(["b2_1", "k", "f", 1, None])),
}


@pytest.mark.parametrize(
    ("sql_part", "body"),
    [
        *((part, envelope([])) for part in READS | WRITES),
        *((part, "a page") for part in READS | WRITES),
        *((part, answer([], columns=9)) for part in READS),
        *((part, answer([[None] * 9])) for part in READS),
    ],
)
def test_an_answer_of_another_form_is_an_error_everywhere(
    d1: AnyD1, fake_time: FakeTime, sql_part: str, body: Any
) -> None:
    """Whatever is asked of the table, an answer that is not D1's is an error with a name, exit code 4."""
    with Forwarder(d1.url) as forwarder:
        bench = Bench(d1, fake_time, forwarder.url)
        bench.execute(DOCUMENTED_TABLE)
        forwarder.fail("before", sql_part, times=10_000, status=200, body=json.dumps(body))
        with pytest.raises(D1Error) as failure:
            (READS | WRITES)[sql_part](bench)
    assert (failure.value.message.split(";")[0], failure.value.exit_code) == ("the answer is not D1's", 4)


@pytest.mark.parametrize("rows", [[], [[0], [0]], [["0"]], [[None]]], ids=repr)
@pytest.mark.parametrize("sql_part", ["SELECT EXISTS", "SELECT count(*)"])
def test_a_count_that_is_none_proves_nothing(
    d1: AnyD1, fake_time: FakeTime, sql_part: str, rows: list[Any]
) -> None:
    """Where a number decides whether all is well, anything else is an error."""
    with Forwarder(d1.url) as forwarder:
        bench = Bench(d1, fake_time, forwarder.url)
        bench.execute(DOCUMENTED_TABLE)
        forwarder.fail("before", sql_part, times=10_000, status=200, body=json.dumps(answer(rows, columns=1)))
        with pytest.raises(D1Error, match="the answer is not D1's"):
            bench.table.prove("[]") if "count" in sql_part else bench.guards().refuse_other_bucket(["[]"])
