"""What b2d1 says to D1 about its table: real statements, on the embedded engine and Cloudflare's."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from conftest import AnyD1, FakeTime
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from scripted_d1 import answer, as_response, envelope, script, settings

from b2d1 import media_assets, migrations
from b2d1.d1 import Database
from b2d1.errors import D1Error, GuardRefusal
from b2d1.media import media_uid
from b2d1.media_assets import CREATE_TABLE, CREATE_UNIQUE_INDEX, FIND_DUPLICATES, MediaAssets
from b2d1.settings import Settings
from sandbox.forwarder import Forwarder

# The table as it has been documented from the beginning: databases hold exactly this.
DOCUMENTED_TABLE = """\
CREATE TABLE media_assets (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  media_uid TEXT NOT NULL UNIQUE,
  b2_key TEXT NOT NULL,
  b2_file_id TEXT,
  size INTEGER NOT NULL,
  etag TEXT,
  ingested_at TEXT NOT NULL DEFAULT (datetime('now'))
);"""
COLUMNS = "media_uid TEXT NOT NULL, b2_key TEXT NOT NULL, b2_file_id TEXT, size INTEGER NOT NULL, etag TEXT"
VERSION = (
    "4_zaa11bb22cc33dd44ee55ff66_f1a2b3c4d5e6f7a8b_d20240309_m140000_c004_v0402000_t0001_u01709992800000"
)

Row = tuple[str | None, str | None, str | None, int | None, str | None]


class Bench:
    """D1, and the code under test in front of it."""

    def __init__(self, d1: AnyD1, time: FakeTime, url: str | None = None) -> None:
        env = d1.settings() | ({"CLOUDFLARE_API_BASE_URL": url} if url else {})
        self.d1 = d1
        self.database = Database(Settings.from_env(env, b2=False).d1, time.retrying())  # type: ignore[arg-type]
        self.database.resolve()
        self.table = MediaAssets(self.database, time.retrying())

    def execute(self, sql: str) -> None:
        """Run statements behind the server's back."""
        with closing(self.d1.connect()) as connection:
            connection.executescript(sql)

    def fill(self, *rows: Row) -> None:
        """Insert rows behind the server's back."""
        with closing(self.d1.connect()) as connection, connection:
            insert = (
                "INSERT INTO media_assets (media_uid, b2_key, b2_file_id, size, etag) VALUES (?, ?, ?, ?, ?)"
            )
            connection.executemany(insert, rows)

    def rows(self) -> list[Any]:
        """Read the table behind the server's back."""
        with closing(self.d1.connect()) as connection:
            columns = "media_uid, b2_key, b2_file_id, size, etag"
            return connection.execute(f"SELECT {columns} FROM media_assets ORDER BY id").fetchall()


@pytest.fixture
def bench(d1: AnyD1, fake_time: FakeTime) -> Bench:
    """Provide an empty database."""
    return Bench(d1, fake_time)


@pytest.fixture
def table(bench: Bench) -> Bench:
    """Provide a database with the table as documented."""
    bench.execute(DOCUMENTED_TABLE)
    return bench


def chunk(*rows: Any) -> str:
    """Write rows as a chunk."""
    return json.dumps(rows, ensure_ascii=False)


def row(key: str, file_id: str, etag: str | None = None, size: int = 1) -> Row:
    """Make the row of an object."""
    return media_uid(file_id, key), key, file_id, size, etag


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
                        *CREATE_TABLE.splitlines(),
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
            for name in ("OTHER_IDENTITY", "SHARES_A_KEY", "MISSING", "COUNT_MISSING"):
                sql = "EXPLAIN QUERY PLAN " + getattr(media_assets, name)
                steps = connection.execute(sql, ["[]", "objects"][: 2 if "?2" in sql else 1]).fetchall()
                plans[name] = [step[3] for step in steps if step[3].split()[1] == "m"]
        by_key = "SEARCH m USING INDEX idx_media_assets_b2_key (b2_key=?)"
        by_uid = "SEARCH m USING COVERING INDEX sqlite_autoindex_media_assets_1 (media_uid=?)"
        assert plans == {
            "OTHER_IDENTITY": [by_key],
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
        with pytest.raises(D1Error, match="asking which are new: the answer holds what was not asked about"):
            MediaAssets(database).missing(["b2_a", "b2_b"])


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
        table.table.refuse_other_identity([rows], "objects")
        table.table.refuse_other_bucket([rows])
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


OBJECTS_HINT = "The table was filled with B2_LIST_MODE=objects: set that, or begin a new table."
VERSIONS_HINT = "The table was filled with B2_LIST_MODE=versions: set that, or begin a new table."
MAKE_ANEW_HINT = "The new file_ids lack the quotes of an ETag"
NO_MODE_HINT = "No value of B2_LIST_MODE explains them"


class TestIdentityGuard:
    """The same content never gets a second identity."""

    @pytest.mark.parametrize(
        ("mode", "stored", "new", "hint"),
        [
            pytest.param(
                "objects", row("k", "e", "e"), row("k", '"e"', '"e"'), NO_MODE_HINT, id="bare uid, bare etag"
            ),
            pytest.param(
                "objects",
                row("k", "e", '"e"'),
                row("k", '"e"', '"e"'),
                NO_MODE_HINT,
                id="bare uid, quoted etag",
            ),
            pytest.param(
                "objects", row("k", '"e"', '"e"'), row("k", "e", "e"), MAKE_ANEW_HINT, id="quoted, now bare"
            ),
            pytest.param(
                "objects",
                ("b2_other", "k", None, 1, "e"),
                row("k", '"e"', '"e"'),
                NO_MODE_HINT,
                id="no file id stored",
            ),
            pytest.param(
                "objects",
                row("k", VERSION, '"e"'),
                row("k", '"e"', '"e"'),
                VERSIONS_HINT,
                id="versions, now objects",
            ),
            pytest.param(
                "versions",
                row("k", '"e"', '"e"'),
                row("k", VERSION, '"e"'),
                OBJECTS_HINT,
                id="objects, now versions",
            ),
            pytest.param(
                "versions",
                row("k", "e", "e"),
                row("k", VERSION, '"e"'),
                OBJECTS_HINT,
                id="bare, now versions",
            ),
            pytest.param(
                "versions",
                ("b2_other", "k", None, 1, '"e"'),
                row("k", VERSION, '"e"'),
                OBJECTS_HINT,
                id="no file id stored, now versions",
            ),
        ],
    )
    def test_the_same_content_under_another_uid_is_refused(
        self, table: Bench, mode: Any, stored: Row, new: Row, hint: str
    ) -> None:
        """The same key and etag, quotes aside, under another uid is refused, and the setting named."""
        table.fill(stored)
        with pytest.raises(GuardRefusal) as refusal:
            table.table.refuse_other_identity([chunk(new)], mode)
        assert (refusal.value.exit_code, refusal.value.hint.startswith(hint)) == (5, True)
        assert str(refusal.value) == (
            "1 new rows are objects that the table holds under another media_uid: "
            f"'k' with b2_file_id {stored[2]}, now {new[2]}"
        )
        assert [text.split()[0] for text in table.d1.statements] == ["SELECT"]

    @pytest.mark.parametrize(
        ("mode", "stored", "new"),
        [
            pytest.param("objects", row("k", '"e"', '"e"'), row("k", '"f"', '"f"'), id="new content"),
            pytest.param("objects", row("k", '"e"', '"e"'), row("K", '"e"', '"e"'), id="another key"),
            pytest.param("objects", row("k", '"e"', '"e"'), row("k ", '"e"', '"e"'), id="a longer key"),
            pytest.param("objects", row("k", '"e"', '"e"'), row("k", '"e"', '"e"'), id="the same uid"),
            pytest.param("objects", row("k", '"e"', None), row("k", "e", None), id="no etags"),
            pytest.param("objects", row("k", '"e"', '"E"'), row("k", "e", '"e"'), id="another letter"),
            pytest.param(
                "versions", row("k", VERSION, '"e"'), row("k", f"{VERSION}1", '"e"'), id="uploaded again"
            ),
            pytest.param("versions", row("k", '"e"', '"e"'), row("k", VERSION, '"f"'), id="another etag"),
        ],
    )
    def test_what_is_not_the_same_is_let_through(
        self, table: Bench, mode: Any, stored: Row, new: Row
    ) -> None:
        """Another key, another content or, with version ids, another upload is no second identity."""
        table.fill(stored)
        table.table.refuse_other_identity([chunk(new)], mode)

    def test_it_counts_exactly_over_all_chunks(self, table: Bench) -> None:
        """Each new row counts once, however many stored rows stand against it; three examples are given."""
        table.fill(*(row(f"k{number}", "e", "e") for number in range(7)), row("k0", VERSION, "e"))
        new = [row(f"k{number}", '"e"', '"e"') for number in range(5)]
        unrelated = row("other", '"e"', '"e"')
        with pytest.raises(GuardRefusal) as refusal:
            table.table.refuse_other_identity(
                [chunk(new[0], unrelated), chunk(unrelated), chunk(*new[1:])], "objects"
            )
        count, _, examples = str(refusal.value).partition(" new rows are objects ")
        assert (count, [part.split("'")[1] for part in examples.split("; ")]) == ("5", ["k0", "k1", "k2"])

    def test_stored_values_that_are_no_text_are_no_obstacle(self, table: Bench) -> None:
        """A file id that somebody stored as a blob does not keep the refusal from being told."""
        table.execute("INSERT INTO media_assets VALUES (1, 'b2_x', 'k', X'345F7A', 1, 'e', '2024-01-01')")
        with pytest.raises(GuardRefusal, match="1 new rows"):
            table.table.refuse_other_identity([chunk(row("k", '"e"', '"e"'))], "objects")

    def test_a_key_is_shown_without_its_control_characters(self, table: Bench) -> None:
        """A key with a line end or an escape sequence cannot dress up the error."""
        table.fill(row("a\nb\x1b[2J", "e", "e"))
        with pytest.raises(GuardRefusal, match=r"'a\\nb\\x1b\[2J' with") as refusal:
            table.table.refuse_other_identity([chunk(row("a\nb\x1b[2J", '"e"', '"e"'))], "objects")
        assert str(refusal.value).isprintable()


class TestOtherForms:
    """Whether a stored row could be a new one's content under another uid, found without the new ones."""

    @pytest.mark.parametrize(
        ("mode", "stored", "other"),
        [
            pytest.param("objects", row("k", '"e"', '"e"'), False, id="an ETag"),
            pytest.param("objects", row("k", '"e"', "e"), False, id="an ETag stored bare beside it"),
            pytest.param("objects", row("k", "e", "e"), True, id="bare"),
            pytest.param("objects", row("k", "e", '"e"'), True, id="bare beside quotes"),
            pytest.param("objects", row("k", VERSION, '"e"'), True, id="a version id"),
            pytest.param("objects", ("b2_x", "k", None, 1, '"e"'), True, id="no file id"),
            pytest.param("objects", row("k", '"f"', '"e"'), True, id="another ETag"),
            pytest.param("objects", row("k", '"e"', None), False, id="no etag, so nothing to be the same"),
            pytest.param("versions", row("k", VERSION, '"e"'), False, id="versions: a version id"),
            pytest.param("versions", row("k", '"e"', '"e"'), True, id="versions: an ETag"),
            pytest.param("versions", ("b2_x", "k", None, 1, '"e"'), True, id="versions: no file id"),
        ],
    )
    def test_a_row_of_another_form_is_found_among_others(
        self, table: Bench, mode: Any, stored: Row, *, other: bool
    ) -> None:
        """One such row among usual ones is found by one SELECT; usual ones alone are none."""
        usual = [VERSION if mode == "versions" else f'"{number}"' for number in range(9)]
        table.fill(*(row(f"usual{number}", file_id, file_id) for number, file_id in enumerate(usual)))
        assert table.table.has_other_forms(mode) is False
        table.fill(stored)
        table.d1.statements.clear()
        assert table.table.has_other_forms(mode) is other
        assert [text.split()[0] for text in table.d1.statements] == ["SELECT"]

    @given(
        stored=st.tuples(*[st.sampled_from([None, "e", '"e"', '""e""', "f", '"f"', VERSION])] * 2),
        etag=st.sampled_from(["e", '"e"', '""e"']),
        mode=st.sampled_from(["objects", "versions"]),
    )
    @examples(max_examples=150, deadline=None)
    def test_where_it_finds_none_the_guard_has_nothing_to_refuse(
        self, stored: tuple[str | None, str | None], etag: str, mode: Any
    ) -> None:
        """What the short look lets pass, the look at every row lets pass too, if the new rows are usual."""
        file_id = f'"{etag.strip(chr(34))}"' if mode == "objects" else VERSION + "0"
        uid = media_uid(str(stored[0]), "k")
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute(DOCUMENTED_TABLE)
            insert = "INSERT INTO media_assets (media_uid, b2_key, b2_file_id, size, etag)"
            connection.execute(f"{insert} VALUES (?, 'k', ?, 1, ?)", (uid, *stored))
            ((other,),) = connection.execute(media_assets.OTHER_FORM, (mode,)).fetchall()
            new = chunk(row("k", file_id, etag))
            refused = connection.execute(media_assets.OTHER_IDENTITY, (new, mode)).fetchall()
        assert other or not refused


class TestBucketGuard:
    """A table is one bucket's."""

    def test_a_table_that_shares_no_key_is_refused(self, table: Bench) -> None:
        """Rows of other keys only are another bucket's: exit 5, and the way past is named."""
        table.fill(row("other", "f"))
        with pytest.raises(GuardRefusal) as refusal:
            table.table.refuse_other_bucket([chunk(row("a", "f")), chunk(row("OTHER", "f"))])
        assert (refusal.value.exit_code, "--adopt" in refusal.value.hint) == (5, True)
        assert "Compare the bucket" in refusal.value.hint

    def test_one_shared_key_is_enough(self, table: Bench) -> None:
        """One key in common, in any chunk, makes it the same bucket, and the rest is not asked about."""
        table.fill(row("other", "f"), row("b", "old"))
        chunks = [chunk(row("a", "f")), chunk(row("b", "new")), chunk(row("c", "f"))]
        table.table.refuse_other_bucket(chunks)
        assert len(table.d1.statements) == 3

    def test_an_empty_table_is_anybodys(self, table: Bench) -> None:
        """A table without rows takes any bucket."""
        table.table.refuse_other_bucket([chunk(row("a", "f"))])


READS: dict[str, Callable[[MediaAssets], object]] = {
    "pragma_table_info": lambda table: table.look(),
    "SELECT value": lambda table: table.missing(["b2_1"]),
    "SELECT m.b2_key": lambda table: table.refuse_other_identity([chunk(["b2_1"])], "objects"),
    "SELECT EXISTS": lambda table: table.refuse_other_bucket([chunk(["b2_1"])]),
    "SELECT count(*)": lambda table: table.prove("[]"),
}
WRITES: dict[str, Callable[[MediaAssets], object]] = {
    "INSERT": lambda table: table.insert(chunk(["b2_1", "k", "f", 1, None])),
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
            (READS | WRITES)[sql_part](bench.table)
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
            bench.table.prove("[]") if "count" in sql_part else bench.table.refuse_other_bucket(["[]"])
