"""The embedded D1 answers as Cloudflare's REST API and engine were found to, towards real requests."""

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.account import TokenScope
from sandbox.d1 import EmbeddedD1

DATABASE_ID = "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39"
TABLE = """
    CREATE TABLE media_assets (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      media_uid TEXT NOT NULL UNIQUE,
      b2_key TEXT NOT NULL,
      b2_file_id TEXT,
      size INTEGER NOT NULL,
      etag TEXT,
      ingested_at TEXT NOT NULL DEFAULT (datetime('now'))
    );
    CREATE INDEX media_assets_b2_key ON media_assets (b2_key);
"""
INSERT = """
    INSERT INTO media_assets (media_uid, b2_key, size)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
    FROM json_each(?1) WHERE true ON CONFLICT (media_uid) DO NOTHING
"""


def rows(numbers: range) -> str:
    return json.dumps([[f"b2_{number}", f"k{number}", number] for number in numbers])


class Api:
    """A client as plain as can be: it sends what it is told, and judges nothing."""

    def __init__(self, d1: EmbeddedD1) -> None:
        settings = d1.settings()
        self.d1 = d1
        self.account = f"{d1.url}/accounts/{settings['CLOUDFLARE_ACCOUNT_ID']}/d1/database"
        self.headers = {"Authorization": f"Bearer {settings['CLOUDFLARE_API_TOKEN']}"}

    def get(self, path: str = "", **query: Any) -> Any:
        answer = requests.get(self.account + path, params=query, headers=self.headers, timeout=30)
        return answer.status_code, answer.json()

    def post(self, path: str, body: object) -> Any:
        answer = requests.post(f"{self.account}{path}", json=body, headers=self.headers, timeout=30)
        return answer.status_code, answer.json()

    def raw(self, sql: str, *params: str) -> list[Any]:
        status, answer = self.post(
            f"/{DATABASE_ID}/raw", {"sql": sql} | ({"params": params} if params else {})
        )
        assert (status, answer["success"], answer["errors"]) == (200, True, [])
        results: list[Any] = answer["result"]
        return results

    def rows(self, sql: str, *params: str) -> Any:
        return self.raw(sql, *params)[0]["results"]["rows"]

    def meta(self, sql: str, *params: str) -> dict[str, Any]:
        (result,) = self.raw(sql, *params)
        meta: dict[str, Any] = result["meta"]
        return meta

    def figures(self, sql: str, *params: str) -> tuple[int, int, bool]:
        meta = self.meta(sql, *params)
        return meta["changes"], meta["rows_written"], meta["changed_db"]

    def error(self, sql: object, params: object = None, **more: object) -> tuple[int, int, str]:
        body = {"sql": sql} | ({} if params is None else {"params": params}) | more
        return refusal(*self.post(f"/{DATABASE_ID}/raw", body))

    def bookmark(self) -> str:
        _, answer = self.get(f"/{DATABASE_ID}/time_travel/bookmark")
        bookmark: str = answer["result"]["bookmark"]
        return bookmark


def refusal(status: int, answer: Any) -> tuple[int, int, str]:
    assert (answer["success"], answer["result"], answer["messages"]) == (False, None, [])
    (error,) = answer["errors"]
    return status, error["code"], error["message"]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with EmbeddedD1(tmp_path / "state" / "d1.sqlite3") as d1:
        yield Api(d1)


@pytest.fixture
def table(api: Api) -> Api:
    api.raw(TABLE)
    return api


DATABASE = {
    "uuid": DATABASE_ID,
    "name": "lgfc_lite",
    "version": "production",
    "created_at": "2024-03-09T14:00:00.000Z",
}


class TestDatabases:
    """How a database is found."""

    @pytest.mark.parametrize(
        ("query", "names", "info"),
        [
            ({}, ["lgfc_lite_staging", "lgfc_lite"], (2, 1, 1000, 2)),
            ({"name": "lgfc_lite"}, ["lgfc_lite_staging", "lgfc_lite"], (2, 1, 1000, 2)),
            ({"name": "staging"}, ["lgfc_lite_staging"], (1, 1, 1000, 1)),
            ({"name": "LGFC"}, [], (0, 1, 1000, 0)),
            ({"per_page": "1"}, ["lgfc_lite_staging"], (1, 1, 1, 2)),
            ({"per_page": "1", "page": "2"}, ["lgfc_lite"], (1, 2, 1, 2)),
            ({"per_page": "1", "page": "3"}, [], (0, 3, 1, 2)),
        ],
    )
    def test_the_list_is_filtered_by_substring_and_paged(
        self, api: Api, query: dict[str, str], names: list[str], info: tuple[int, ...]
    ) -> None:
        """A name finds every database that contains it, the namesake first; there is no total_pages."""
        status, answer = api.get(**query)
        assert (status, [database["name"] for database in answer["result"]]) == (200, names)
        fields = ("count", "page", "per_page", "total_count")
        assert answer["result_info"] == dict(zip(fields, info, strict=True))

    def test_a_database_is_described(self, api: Api) -> None:
        """The list and the database itself tell uuid, name, version and time of creation."""
        envelope = {"success": True, "errors": [], "messages": []}
        assert api.get(f"/{DATABASE_ID}") == (200, {"result": DATABASE} | envelope)
        assert api.get()[1]["result"][1] == DATABASE

    def test_a_database_is_found_by_its_name_too(self, api: Api) -> None:
        """The name in place of the id answers with the database, as wrangler counts on."""
        assert api.get("/lgfc_lite", fields="uuid,name")[1]["result"]["uuid"] == DATABASE_ID

    def test_the_namesake_is_another_database(self, table: Api) -> None:
        """What one database holds, the other does not."""
        namesake = table.get()[1]["result"][0]["uuid"]
        answer = table.post(f"/{namesake}/raw", {"sql": "SELECT * FROM media_assets"})
        assert refusal(*answer) == (400, 7500, "no such table: media_assets: SQLITE_ERROR")


class TestResults:
    """How rows come back."""

    def test_raw_gives_rows_as_arrays(self, api: Api) -> None:
        """`/raw` answers each statement with columns and rows, columns even without rows."""
        results = [item["results"] for item in api.raw("SELECT 1 AS a, 'x' AS b; SELECT 1 AS a WHERE false")]
        assert results == [{"columns": ["a", "b"], "rows": [[1, "x"]]}, {"columns": ["a"], "rows": []}]

    def test_query_gives_rows_as_objects(self, api: Api) -> None:
        """`/query` answers each statement with a list of objects."""
        _, answer = api.post(
            f"/{DATABASE_ID}/query", {"sql": "SELECT 1 AS a, 'x' AS b; SELECT 1 WHERE false"}
        )
        assert [item["results"] for item in answer["result"]] == [[{"a": 1, "b": "x"}], []]
        assert [item["success"] for item in answer["result"]] == [True, True]

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("1.5", 1.5),
            ("NULL", None),
            ("9007199254740991", 9007199254740991),
            ("9007199254740993", 9007199254740992),
            ("1e999", None),
            ("x'00ff'", [0, 255]),
            ("CAST(x'ff' AS TEXT)", "\ufffd"),
            ("'é😀\ufffe'", "é😀\ufffe"),
            ("json_extract('[9007199254740993]', '$[0]') = 9007199254740993", 1),
        ],
    )
    def test_values_pass_through_javascript(self, api: Api, expression: str, expected: object) -> None:
        """Values come back as JavaScript would write them: blobs as arrays, large integers rounded."""
        assert api.rows(f"SELECT {expression}") == [[expected]]

    @pytest.mark.parametrize("text", ["", "'", "x\0y", "é😀\uffff", "1", "a" * 2_000_000])
    def test_a_parameter_is_a_text_as_it_was_sent(self, api: Api, text: str) -> None:
        """A parameter arrives whole, and as text, up to 2,000,000 bytes."""
        assert api.rows("SELECT ?1 = ?1, typeof(?1), length(CAST(?1 AS BLOB)), ?1", text) == [
            [1, "text", len(text.encode()), text]
        ]

    def test_a_lone_surrogate_is_replaced(self, api: Api) -> None:
        """JSON can carry half a character; the database gets three U+FFFD in its place."""
        assert api.rows("SELECT ?", "a\ud800b") == [["a\ufffd\ufffd\ufffdb"]]

    def test_returning_and_pragmas_answer_rows(self, table: Api) -> None:
        """INSERT ... RETURNING, read-only pragmas and their table functions answer like a SELECT."""
        insert = "INSERT INTO media_assets (media_uid, b2_key, size) VALUES (?, ?, 1) RETURNING id, media_uid"
        assert table.rows(insert, "u", "k") == [[1, "u"]]
        listed = [[0, "media_assets_b2_key", 0, "c", 0], [1, "sqlite_autoindex_media_assets_1", 1, "u", 0]]
        assert table.rows("PRAGMA index_list(media_assets)") == listed
        assert table.rows("SELECT * FROM pragma_index_list('media_assets')") == listed

    def test_what_wrangler_reads_can_be_read(self, table: Api) -> None:
        """The schema, sqlite_sequence and a d1_migrations table are open to a SELECT."""
        table.raw("CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE)")
        table.raw("INSERT INTO d1_migrations (name) VALUES ('0001_init.sql')")
        assert table.rows("SELECT name FROM d1_migrations ORDER BY id") == [["0001_init.sql"]]
        assert table.rows("SELECT * FROM sqlite_sequence") == [["d1_migrations", 1]]
        assert table.rows("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL") == [
            ["media_assets_b2_key"]
        ]


CONSTRAINT = "SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT"
TRIGGER = "CREATE TRIGGER g AFTER INSERT ON t BEGIN\r\n  DELETE FROM t; SELECT 1;\r\nEND;"
CREATE, DEFERRED = "CREATE TABLE t (a)", "a REFERENCES p DEFERRABLE INITIALLY DEFERRED"


class TestStatements:
    """How statements are taken apart and kept together."""

    @pytest.mark.parametrize(
        ("sql", "expected"),
        [
            ("SELECT 1", ["SELECT 1"]),
            ("SELECT 1;", ["SELECT 1;"]),
            ("SELECT 1; SELECT 2", ["SELECT 1;", "SELECT 2"]),
            (" ;; SELECT 1 ;; -- done; really\n", ["SELECT 1 ;"]),
            ("SELECT ';'; SELECT 1 AS \";\";", ["SELECT ';';", 'SELECT 1 AS ";";']),
            ("-- a; b\nSELECT 1; /* c; d */ SELECT 2;", ["-- a; b\nSELECT 1;", "/* c; d */ SELECT 2;"]),
            (f"CREATE TABLE t (a);\r\n{TRIGGER}\r\nSELECT 2", ["CREATE TABLE t (a);", TRIGGER, "SELECT 2"]),
        ],
    )
    def test_text_is_taken_apart_where_statements_end(self, api: Api, sql: str, expected: list[str]) -> None:
        """Semicolons in literals, names, comments and triggers end no statement; each is run and recorded."""
        assert len(api.raw(sql)) == len(expected)
        assert api.d1.statements == expected

    @pytest.mark.parametrize("sql", ["", " \r\n", ";", "-- nothing", "/* nothing */ ; -- at all", "/* open"])
    def test_no_statement_is_an_error(self, api: Api, sql: str) -> None:
        """Blanks and comments alone are refused."""
        assert api.error(sql) == (400, 7500, "No SQL statements detected.")
        assert refusal(*api.post(f"/{DATABASE_ID}/raw", {"batch": []})) == (
            400,
            7500,
            "No SQL statements detected.",
        )

    def test_a_batch_answers_each_statement(self, api: Api) -> None:
        """A batch takes statements with parameters of their own, and answers one item for each."""
        batch = [{"sql": "SELECT ?", "params": ["a"]}, {"sql": "SELECT ?1 || ?2", "params": ["b", "c"]}]
        status, answer = api.post(f"/{DATABASE_ID}/raw", {"batch": batch})
        assert (status, [item["results"]["rows"] for item in answer["result"]]) == (200, [[["a"]], [["bc"]]])

    @pytest.mark.parametrize(
        "body",
        [
            {"sql": TABLE + "INSERT INTO media_assets (media_uid) VALUES ('a')"},
            {"sql": "CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)"},
            {"batch": [{"sql": CREATE}, {"sql": "INSERT INTO t VALUES (?)", "params": ["1"]}, {"sql": "?"}]},
            {"batch": [{"sql": CREATE}, {"sql": "COMMIT"}]},
            {"sql": f"CREATE TABLE p (a PRIMARY KEY); CREATE TABLE t ({DEFERRED}); INSERT INTO t VALUES (1)"},
        ],
    )
    @pytest.mark.parametrize("action", ["raw", "query"])
    def test_statements_together_are_all_or_none(self, api: Api, body: dict[str, Any], action: str) -> None:
        """Where one of several statements fails, none of them happened, the schema included."""
        before = api.bookmark()
        status, answer = api.post(f"/{DATABASE_ID}/{action}", body)
        assert (status, answer["success"]) == (400, False)
        assert api.rows("SELECT name FROM sqlite_schema") == [["_cf_METADATA"]]
        assert api.bookmark() == before

    def test_one_statement_is_all_or_none(self, table: Api) -> None:
        """A statement that fails on its last row leaves no row."""
        data = json.dumps([["a", "k", 1], ["b", None, 1]])
        message = f"NOT NULL constraint failed: media_assets.b2_key: {CONSTRAINT}_NOTNULL)"
        assert table.error(INSERT, [data]) == (400, 7500, message)
        assert table.rows("SELECT count(*) FROM media_assets") == [[0]]


TRANSACTION = (
    "To execute a transaction, please use the state.storage.transaction() or "
    "state.storage.transactionSync() APIs instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements. "
    "The JavaScript API is safer because it will automatically roll back on exceptions, and because it "
    "interacts correctly with Durable Objects' automatic atomic write coalescing."
)
NOT_STRINGS = "The request is malformed: params must be an array of strings"
SEVERAL = "The request is malformed: params with multiple statements is not supported"


class TestRefusals:
    """What is refused whatever its size."""

    @pytest.mark.parametrize(
        "sql",
        [
            "BEGIN",
            "BEGIN TRANSACTION",
            "begin immediate",
            "COMMIT",
            "END",
            "ROLLBACK",
            "SAVEPOINT a",
            "RELEASE a",
            "ROLLBACK TO a",
        ],
    )
    def test_transactions_are_refused(self, api: Api, sql: str) -> None:
        """No statement may open or end a transaction."""
        assert api.error(sql) == (400, 7500, TRANSACTION)

    @pytest.mark.parametrize(
        "sql",
        [
            "ATTACH '/tmp/other.sqlite3' AS other",
            "DETACH main",
            "CREATE TEMP TABLE t (a)",
            "CREATE TEMP VIEW v AS SELECT 1",
            "CREATE TABLE _cf_mine (a)",
            "PRAGMA user_version = 1",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA writable_schema = ON",
        ],
    )
    def test_what_would_reach_beyond_the_database_is_refused(self, api: Api, sql: str) -> None:
        """Other files, temporary objects, Cloudflare's tables and pragmas that write are not authorized."""
        assert api.error(sql) == (400, 7500, "not authorized: SQLITE_AUTH")

    @pytest.mark.parametrize(
        ("sql", "message"),
        [
            ("SELECT * FROM x", "no such table: x: SQLITE_ERROR"),
            ("SELECT x", "no such column: x: SQLITE_ERROR"),
            ("SELEC", 'near "SELEC": syntax error: SQLITE_ERROR'),
            ("SELECT '", 'unrecognized token: "\'": SQLITE_ERROR'),
            ("SELECT 'a\0'", 'unrecognized token: "\'a": SQLITE_ERROR'),
            ("SELECT sqlite_version()", "not authorized to use function: sqlite_version: SQLITE_ERROR"),
            ("SELECT * FROM json_each('[1')", "malformed JSON: SQLITE_ERROR"),
            ("SELECT ?", "Wrong number of parameter bindings for SQL query."),
            (
                "INSERT INTO media_assets (media_uid, b2_key, size) VALUES ('a', 'k', 1), ('a', 'k', 1)",
                f"UNIQUE constraint failed: media_assets.media_uid: {CONSTRAINT}_UNIQUE)",
            ),
            (
                "INSERT INTO media_assets (media_uid, b2_key) VALUES ('a', 'k')",
                f"NOT NULL constraint failed: media_assets.size: {CONSTRAINT}_NOTNULL)",
            ),
        ],
    )
    def test_an_error_of_sql_ends_with_its_name(self, table: Api, sql: str, message: str) -> None:
        """What SQLite says is passed on under code 7500, with the name of the kind of error behind it."""
        assert table.error(sql) == (400, 7500, message)

    @pytest.mark.parametrize(
        ("sql", "params", "message"),
        [
            ("SELECT 1", [1], NOT_STRINGS),
            ("SELECT 1", [None], NOT_STRINGS),
            ("SELECT 1", ["a", 1.5], NOT_STRINGS),
            ("SELECT 1", "a", NOT_STRINGS),
            ("SELECT 1", {"a": "b"}, NOT_STRINGS),
            ("SELECT ?; SELECT 2", ["a"], SEVERAL),
            (1, None, "The request is malformed: sql must be a string"),
            (None, None, "The request is malformed: sql must be a string"),
        ],
    )
    def test_a_body_of_another_form_is_malformed(
        self, api: Api, sql: object, params: object, message: str
    ) -> None:
        """Parameters that are no strings, or that meet several statements, are refused under code 7400."""
        assert api.error(sql, params) == (400, 7400, message)
        assert api.d1.statements == []

    @pytest.mark.parametrize("body", [[], "SELECT 1", 1, None, {"batch": {}}, {"batch": ["SELECT 1"]}, {}])
    def test_a_body_that_is_no_query_is_malformed(self, api: Api, body: object) -> None:
        """Anything but a query or a batch of queries is refused under code 7400."""
        assert refusal(*api.post(f"/{DATABASE_ID}/raw", body))[:2] == (400, 7400)

    def test_a_body_that_is_no_json_is_malformed(self, api: Api) -> None:
        """A body that cannot be read at all is refused under code 7400."""
        answer = requests.post(
            f"{api.account}/{DATABASE_ID}/raw", data=b"\xff", headers=api.headers, timeout=10
        )
        assert refusal(answer.status_code, answer.json()) == (
            400,
            7400,
            "The request is malformed: the body is not JSON",
        )


class TestLimits:
    """What is refused for its size."""

    @pytest.mark.parametrize(
        ("sql", "params"),
        [
            ("SELECT " + ", ".join("?" * 100), ["x"] * 100),
            ("SELECT '" + "x" * 99_991 + "'", []),
            ("SELECT length(?)", ["x" * 2_000_000]),
            ("SELECT length(?1 || ?2)", ["x" * 1_000_000, "y" * 1_000_000]),
            (" UNION ALL ".join(["SELECT 1"] * 5), []),
            ("SELECT 1 LIKE ?", ["x" * 50]),
            ("CREATE TABLE t (" + ", ".join(f"c{number}" for number in range(100)) + ")", []),
        ],
    )
    def test_up_to_a_limit_all_is_well(self, api: Api, sql: str, params: list[str]) -> None:
        """D1 takes 100 parameters, 100,000 bytes of SQL, values of 2,000,000 bytes, 5 terms of a UNION."""
        assert len(api.raw(sql, *params)) == 1

    @pytest.mark.parametrize(
        ("sql", "params", "message"),
        [
            ("SELECT " + ", ".join("?" * 101), ["x"] * 101, "too many SQL variables: SQLITE_ERROR"),
            ("SELECT '" + "x" * 99_992 + "'", [], "statement too long: SQLITE_TOOBIG"),
            ("SELECT length(?)", ["x" * 2_000_001], "string or blob too big: SQLITE_TOOBIG"),
            ("SELECT length(?)", ["é" * 1_000_001], "string or blob too big: SQLITE_TOOBIG"),
            ("SELECT ?1 || ?2", ["x" * 1_000_000, "y" * 1_000_001], "string or blob too big: SQLITE_TOOBIG"),
            (" UNION ALL ".join(["SELECT 1"] * 6), [], "too many terms in compound SELECT: SQLITE_ERROR"),
            ("SELECT 1 LIKE ?", ["x" * 51], "LIKE or GLOB pattern too complex: SQLITE_ERROR"),
            (
                "CREATE TABLE t (" + ", ".join(f"c{number}" for number in range(101)) + ")",
                [],
                "too many columns on t: SQLITE_ERROR",
            ),
        ],
    )
    def test_beyond_a_limit_a_statement_is_refused(
        self, api: Api, sql: str, params: list[str], message: str
    ) -> None:
        """One more than the limit is refused, in D1's words."""
        assert api.error(sql, params) == (400, 7500, message)

    def test_a_row_has_the_limit_of_a_value(self, api: Api) -> None:
        """Values below the limit that make a row above it are refused."""
        api.raw("CREATE TABLE t (a, b)")
        values = ["x" * 1_100_000, "y" * 1_100_000]
        assert api.error("INSERT INTO t VALUES (?, ?)", values) == (
            400,
            7500,
            "string or blob too big: SQLITE_TOOBIG",
        )

    def test_the_limit_of_sql_is_that_of_one_statement(self, api: Api) -> None:
        """Statements sent together may be longer than one of them may be."""
        assert len(api.raw("; ".join(["SELECT '" + "x" * 60_000 + "'"] * 3))) == 3


TWO, PAIR = "INSERT INTO t VALUES (1), (2)", "INSERT INTO t VALUES (1, 1), (2, 2)"
AUTOINCREMENT = "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b)"
FILLED = f"CREATE TABLE t (a UNIQUE, b); {PAIR}"
LOGGED = (
    "CREATE TABLE t (a); CREATE TABLE log (a UNIQUE); "
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a); END"
)


class TestMeta:
    """What a statement is said to have done."""

    def test_the_fields_are_d1s(self, table: Api) -> None:
        """Every statement comes with D1's figures, none of them negative."""
        meta = table.meta(INSERT, rows(range(3)))
        assert {name: value for name, value in meta.items() if name not in ("duration", "timings")} == {
            "served_by": "sandbox",
            "changes": 3,
            "last_row_id": 3,
            "changed_db": True,
            "size_after": 24576,
            "rows_read": 3,
            "rows_written": 10,
        }
        assert meta["timings"] == {"sql_duration_ms": meta["duration"]}
        assert meta["duration"] >= 0

    def test_inserted_rows_cost_what_was_measured(self, table: Api) -> None:
        """8,000 new rows under UNIQUE and one index are 24,001 rows written; known ones are one."""
        figures = [table.figures(INSERT, rows(range(8000))), table.figures(INSERT, rows(range(8000)))]
        assert figures == [(8000, 24001, True), (0, 1, False)]

    def test_ignored_rows_use_up_ids(self, table: Api) -> None:
        """After rows that a conflict clause ignored, the next row's id leaves a gap."""
        table.raw(INSERT, rows(range(8)))
        table.raw(INSERT, rows(range(8)))
        assert table.rows(
            "INSERT INTO media_assets (media_uid, b2_key, size) VALUES ('u', 'k', 1) RETURNING id"
        ) == [[17]]

    def test_some_known_rows_are_not_counted(self, table: Api) -> None:
        """Of 20 rows with 10 known, 10 are changes."""
        table.raw(INSERT, rows(range(10)))
        assert table.figures(INSERT, rows(range(20))) == (10, 31, True)

    @pytest.mark.parametrize(
        ("schema", "sql", "expected"),
        [
            ("CREATE TABLE t (a)", TWO, (2, 2, True)),
            ("CREATE TABLE T (a)", TWO, (2, 2, True)),
            ("CREATE TABLE t (a INTEGER PRIMARY KEY)", TWO, (2, 2, True)),
            ("CREATE TABLE t (a TEXT PRIMARY KEY)", TWO, (2, 4, True)),
            ("CREATE TABLE t (a TEXT PRIMARY KEY) WITHOUT ROWID", TWO, (2, 2, True)),
            (
                "CREATE TABLE t (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID; CREATE INDEX i ON t (b)",
                PAIR,
                (2, 4, True),
            ),
            (AUTOINCREMENT, "INSERT INTO t (b) VALUES (1), (2)", (2, 3, True)),
            (AUTOINCREMENT, "INSERT INTO t (b) SELECT 1 WHERE false", (0, 1, False)),
            (f"{AUTOINCREMENT}; {PAIR}", "INSERT INTO t (b) SELECT 1 WHERE false", (0, 0, False)),
            (FILLED, "UPDATE t SET b = 3", (2, 2, True)),
            (FILLED, "UPDATE t SET a = a + 9", (2, 4, True)),
            (FILLED, "DELETE FROM t", (2, 2, True)),
            (FILLED, "DELETE FROM t WHERE a = 3", (0, 0, False)),
            (FILLED, "SELECT * FROM t", (0, 0, False)),
            (FILLED, "CREATE INDEX i ON t (b)", (0, 3, True)),
            (FILLED, "CREATE TABLE IF NOT EXISTS t (a)", (0, 0, False)),
            (FILLED, "DROP TABLE t", (0, 0, True)),
            (LOGGED, "INSERT INTO t VALUES (1)", (2, 4, True)),
        ],
    )
    def test_rows_written_are_insertions_into_btrees(
        self, api: Api, schema: str, sql: str, expected: tuple[int, int, bool]
    ) -> None:
        """Changes, rows written and changed_db follow from the table's own indexes."""
        api.raw(schema)
        assert api.figures(sql) == expected

    def test_reading_counts_the_array_and_the_answer(self, table: Api) -> None:
        """A question by json_each reads its array and what it returns."""
        table.raw(INSERT, rows(range(3)))
        ask = "SELECT value FROM json_each(?1) WHERE value NOT IN (SELECT media_uid FROM media_assets)"
        meta = table.meta(ask, json.dumps(["b2_0", "b2_1", "new"]))
        assert (meta["rows_read"], meta["rows_written"]) == (4, 0)


class TestBookmark:
    """How a state of the database is named."""

    def test_it_changes_with_the_database_and_only_then(self, table: Api) -> None:
        """Reading, and writing nothing, leave the bookmark; each write gives a new one."""
        table.raw(INSERT, rows(range(2)))
        first = table.bookmark()
        table.rows("SELECT * FROM media_assets")
        table.raw("DELETE FROM media_assets WHERE media_uid = 'unknown'")
        table.error("INSERT INTO media_assets (media_uid) VALUES ('a')")
        assert table.bookmark() == first
        seen = [first]
        for sql in ("DELETE FROM media_assets", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)"):
            table.raw(sql)
            seen.append(table.bookmark())
        assert sorted(set(seen)) == seen

    def test_it_is_of_d1s_form(self, api: Api) -> None:
        """A bookmark is three groups of 8 hexadecimal digits and one of 32."""
        assert re.fullmatch(r"([0-9a-f]{8}-){3}[0-9a-f]{32}", api.bookmark())

    def test_it_outlives_the_server(self, tmp_path: Path) -> None:
        """Over the same file, the next server names the same state by the same bookmark."""
        seen = []
        for _ in range(3):
            with EmbeddedD1(tmp_path / "d1.sqlite3") as d1:
                api = Api(d1)
                api.raw("CREATE TABLE IF NOT EXISTS t (a)")
                seen.append(api.bookmark())
        assert len(set(seen)) == 1


class TestAccess:
    """Who is not let in, and where there is nothing."""

    @pytest.mark.parametrize("header", [None, "", "Bearer wrong", "sandbox-token", "Basic eDp5"])
    def test_a_wrong_token_is_refused(self, api: Api, header: str | None) -> None:
        """Without the right token there is nothing but 10000, whatever the route."""
        headers = {} if header is None else {"Authorization": header}
        for path in ("", f"/{DATABASE_ID}", "/unknown/route/altogether"):
            answer = requests.get(api.account + path, headers=headers, timeout=10)
            assert refusal(answer.status_code, answer.json()) == (401, 10000, "Authentication error")

    def test_a_wrong_account_is_refused(self, api: Api) -> None:
        """Another account's id is 7403."""
        api.account = f"{api.d1.url}/accounts/{'0' * 32}/d1/database"
        message = "The given account is not valid or is not authorized to access this service"
        assert refusal(*api.get()) == (403, 7403, message)

    @pytest.mark.parametrize(
        ("scope", "user", "account"),
        [
            pytest.param(TokenScope(), "active", 1000, id="a user's"),
            pytest.param(TokenScope(owner="account"), 1000, "active", id="an account's"),
            pytest.param(TokenScope(status="disabled"), "disabled", 1000, id="disabled"),
        ],
    )
    def test_a_token_is_known_where_it_was_made(
        self, api: Api, scope: TokenScope, user: str | int, account: str | int
    ) -> None:
        """A user's token is verified at the user, an account's at the account; elsewhere it is 1000."""
        api.d1.scope = scope
        found: list[object] = []
        for owner in ("user", api.account.removesuffix("/d1/database").partition("/client/v4/")[2]):
            url = f"{api.d1.url}/{owner}/tokens/verify"
            answer = requests.get(url, headers=api.headers, timeout=10).json()
            found.append(answer["result"]["status"] if answer["success"] else answer["errors"][0]["code"])

        assert found == [user, account]

    def test_a_token_tells_when_it_expires(self, api: Api) -> None:
        """The moment stands in the answer where there is one."""
        api.d1.scope = TokenScope(expires_on="2100-01-01T00:00:00Z")

        answer = requests.get(f"{api.d1.url}/user/tokens/verify", headers=api.headers, timeout=10).json()

        assert answer["result"]["expires_on"] == "2100-01-01T00:00:00Z"

    def test_an_unknown_token_is_not_verified(self, api: Api) -> None:
        """Another token is 1000 there, not 10000."""
        headers = {"Authorization": "Bearer wrong"}
        answer = requests.get(f"{api.d1.url}/user/tokens/verify", headers=headers, timeout=10)

        assert refusal(answer.status_code, answer.json()) == (401, 1000, "Invalid API Token")

    @pytest.mark.parametrize("scope", [TokenScope(permits_d1=False), TokenScope(status="expired")])
    def test_a_token_without_d1_is_refused(self, api: Api, scope: TokenScope) -> None:
        """A token that may not use D1, or no more, is 10000."""
        api.d1.scope = scope

        assert refusal(*api.get()) == (401, 10000, "Authentication error")

    @pytest.mark.parametrize("action", ["", "/time_travel/bookmark"])
    def test_an_unknown_database_is_not_found(self, api: Api, action: str) -> None:
        """A database that is not there is 7404."""
        assert refusal(*api.get(f"/nowhere{action}")) == (
            404,
            7404,
            "The database nowhere could not be found",
        )

    @pytest.mark.parametrize("action", ["raw", "query"])
    def test_an_unknown_database_is_not_queried(self, api: Api, action: str) -> None:
        """A query to a database that is not there is 7404, and runs nowhere."""
        answer = api.post(f"/nowhere/{action}", {"sql": "SELECT 1"})
        assert refusal(*answer) == (404, 7404, "The database nowhere could not be found")
        assert api.d1.statements == []

    @pytest.mark.parametrize("path", [f"/{DATABASE_ID}/unknown", f"/{DATABASE_ID}/raw/more", "/"])
    def test_an_unknown_route_is_not_found(self, api: Api, path: str) -> None:
        """A path that is not D1's is 7003."""
        assert refusal(*api.get(path))[:2] == (404, 7003)

    def test_a_route_has_its_method(self, api: Api) -> None:
        """A route asked by another method is refused."""
        assert refusal(*api.get(f"/{DATABASE_ID}/raw")) == (
            405,
            7001,
            "Method GET not available for that URI.",
        )


class TestServer:
    """What a test can ask the server itself."""

    def test_each_request_and_statement_is_recorded(self, table: Api) -> None:
        """`requests` and `statements` tell in order what was asked, failures included."""
        table.raw("SELECT 1; SELECT 2")
        table.error("nonsense")
        table.get(name="lgfc")
        base = f"/client/v4/accounts/{table.d1.settings()['CLOUDFLARE_ACCOUNT_ID']}/d1/database"
        assert table.d1.requests[1:] == [f"POST {base}/{DATABASE_ID}/raw"] * 2 + [f"GET {base}"]
        assert table.d1.statements[2:] == ["SELECT 1;", "SELECT 2", "nonsense"]

    def test_the_file_can_be_read_beside_the_server(self, table: Api) -> None:
        """`connect` opens the very database: what was written there is here, and the other way round."""
        table.raw(INSERT, rows(range(2)))
        before = table.bookmark()
        with closing(table.d1.connect()) as connection:
            assert connection.execute("SELECT media_uid FROM media_assets").fetchall() == [
                ("b2_0",),
                ("b2_1",),
            ]
            connection.execute("DELETE FROM media_assets WHERE media_uid = 'b2_0'")
            connection.commit()
        assert table.rows("SELECT media_uid FROM media_assets") == [["b2_1"]]
        assert table.bookmark() != before

    def test_the_file_stays(self, tmp_path: Path) -> None:
        """The next server over the same file finds what the last one left."""
        for count in range(3):
            with EmbeddedD1(tmp_path / "d1.sqlite3") as d1:
                api = Api(d1)
                api.raw("CREATE TABLE IF NOT EXISTS t (a)")
                assert api.rows("SELECT count(*) FROM t") == [[count]]
                api.raw("INSERT INTO t VALUES (1)")

    def test_the_file_is_left_whole(self, tmp_path: Path) -> None:
        """A stopped server leaves one file, which SQLite finds in order."""
        with EmbeddedD1(tmp_path / "d1.sqlite3") as d1:
            Api(d1).raw(TABLE)
        assert [path.name for path in tmp_path.iterdir()] == ["d1.sqlite3"]
        with closing(sqlite3.connect(tmp_path / "d1.sqlite3")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def test_requests_wait_for_each_other(self, table: Api) -> None:
        """Clients at the same time never meet in the database: every row of every one is there."""

        def insert(start: int) -> None:
            for number in range(start, start + 50, 10):
                table.raw(INSERT, rows(range(number, number + 10)))

        threads = [threading.Thread(target=insert, args=(start,)) for start in range(0, 400, 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert table.rows("SELECT count(*), count(DISTINCT media_uid) FROM media_assets") == [[400, 400]]

    def test_the_settings_are_b2d1s(self, tmp_path: Path) -> None:
        """`settings` names what was given, and the address it got."""
        path = tmp_path / "d1.sqlite3"
        with EmbeddedD1(path, name="other", account_id="f" * 32, token="secret", database_id="some-id") as d1:
            assert d1.settings() == {
                "CLOUDFLARE_API_TOKEN": "secret",
                "CLOUDFLARE_ACCOUNT_ID": "f" * 32,
                "D1_DATABASE_NAME": "other",
                "CLOUDFLARE_API_BASE_URL": d1.url,
            }
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/client/v4", d1.url)
            names = {database["uuid"]: database["name"] for database in Api(d1).get()[1]["result"]}
            assert (names["some-id"], len(names)) == ("other", 2)
