"""Statements whose answers Cloudflare's own D1 engine gives, and what of an answer is compared.

`python -m tests.answers` (`make record`) writes the engine's answers to tests/data/d1_answers.json. The tests
hold both engines to that record: Cloudflare's, so that a wrangler which answers otherwise is noticed; the
embedded one, so that it answers as Cloudflare's does.

Where wrangler's answers differ from production's stands in sandbox/cloudflare.py. What is not compared:

- `rows_read`: SQLite does not tell from outside which rows it visited, so the embedded D1 estimates.
  `duration`, `size_after` and `served_by` are of the moment and the place.
- " at offset 7" in a message: Python's sqlite3 does not tell it.
- The text for a malformed body and for SQL without a statement: production's is not known, and wrangler's
  changes from version to version. That they are refused, and by which status and code, is compared.
- Values above 2,000,000 bytes (up to 4 MiB) and functions of more than 32 arguments (up to 127): this engine
  takes them, and Cloudflare documents that it does not. The embedded D1 keeps to the documentation.
- BY_VERSION: what SQLite answers from some version on; this machine's Python may have an older one than D1.
- UNCOUNTED: their `rows_written`, which SQLite does not tell from outside either (sandbox/meter.py).
"""

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from sandbox.cloudflare import CloudflareD1
from sandbox.d1 import EmbeddedD1
from sandbox.wrangler import Wrangler, databases

RECORD = Path(__file__).parent / "data" / "d1_answers.json"
DATABASE_ID = "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39"
MALFORMED, NO_STATEMENT = 7400, ("No SQL statements detected.", "SQL code did not contain a statement.")

Body = dict[str, Any] | list[Any] | bytes | str

MEDIA = """CREATE TABLE media_assets (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  media_uid TEXT NOT NULL UNIQUE, b2_key TEXT NOT NULL, size INTEGER NOT NULL
)"""
INSERT = """INSERT INTO media_assets (media_uid, b2_key, size)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
FROM json_each(?1) WHERE true ON CONFLICT(media_uid) DO NOTHING"""
CHUNKS = """CREATE TABLE chunks (
  run_id TEXT NOT NULL, seq INTEGER NOT NULL, payload TEXT NOT NULL, PRIMARY KEY (run_id, seq)
) WITHOUT ROWID"""
STAGE = "INSERT INTO chunks VALUES (?1, CAST(?2 AS INTEGER), ?3) ON CONFLICT DO NOTHING"
PUBLISH = """INSERT INTO media_assets (media_uid, b2_key, size)
SELECT json_extract(v.value, '$[0]'), json_extract(v.value, '$[1]'), json_extract(v.value, '$[2]')
FROM chunks c, json_each(c.payload) v
WHERE c.run_id = ?1 AND (SELECT count(*) FROM chunks WHERE run_id = ?1) = CAST(?2 AS INTEGER)
ORDER BY c.seq, v.key ON CONFLICT(media_uid) DO NOTHING"""
LEFT_OUT = """SELECT count(*) FROM chunks c, json_each(c.payload) v WHERE c.run_id = ?1 AND NOT EXISTS
(SELECT 1 FROM media_assets m WHERE m.media_uid = json_extract(v.value, '$[0]'))"""
OTHER_KINDS = """CREATE TABLE p (id INTEGER PRIMARY KEY);
CREATE TABLE t (a INTEGER PRIMARY KEY, b NOT NULL CHECK (b <> 3), c UNIQUE, d REFERENCES p (id), e TEXT,
  UNIQUE (b, e))"""
STRICT = "CREATE TABLE t (a INTEGER, b TEXT) STRICT"


def rows(*numbers: int) -> str:
    """Write rows of media_assets as a chunk."""
    return json.dumps([[f"b2_{number}", f"k/{number}", number] for number in numbers])


def bound(sql: str, *params: str) -> dict[str, Any]:
    """Write a body with params."""
    return {"sql": sql, "params": list(params)}


def batch(*queries: Body) -> dict[str, Any]:
    """Write a body with several queries."""
    return {"batch": [{"sql": query} if isinstance(query, str) else query for query in queries]}


# Each case has a database to itself. A text is a body with this `sql` and nothing else.
CASES: dict[str, Sequence[Body]] = {
    "a table is created, and dropped": [
        "CREATE TABLE t (a)",
        "INSERT INTO t VALUES (1)",
        "DROP TABLE t",
        "SELECT * FROM t",
        "DROP TABLE IF EXISTS t",
    ],
    "a table that is there": ["CREATE TABLE t (a)", "CREATE TABLE IF NOT EXISTS t (a)", "CREATE TABLE t (a)"],
    "tables of every kind": [
        "CREATE TABLE a (x UNIQUE)",
        "CREATE TABLE b (x TEXT PRIMARY KEY)",
        "CREATE TABLE c (x TEXT PRIMARY KEY) WITHOUT ROWID",
        "CREATE TABLE d (x INTEGER PRIMARY KEY AUTOINCREMENT, y)",
        "CREATE TABLE e (x INTEGER PRIMARY KEY AUTOINCREMENT, y)",
        "CREATE TABLE f AS SELECT 1 AS x UNION SELECT 2",
        "CREATE VIEW g AS SELECT * FROM f",
        "CREATE TRIGGER h AFTER INSERT ON a BEGIN INSERT INTO f VALUES (new.x); END",
        "INSERT INTO a VALUES (1), (2), (3)",
        "SELECT * FROM g ORDER BY x",
        "DROP VIEW g",
        "DROP TRIGGER h",
    ],
    "indexes on rows that are there": [
        "CREATE TABLE t (a, b)",
        "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
        "CREATE INDEX i ON t (a)",
        "CREATE UNIQUE INDEX j ON t (b) WHERE b > 1",
        "CREATE UNIQUE INDEX k ON t (1 + a - a)",
        "DROP INDEX i",
        "INSERT INTO t VALUES (1, 4)",
    ],
    "a table is altered": [
        "CREATE TABLE t (a)",
        "INSERT INTO t VALUES (1), (2)",
        "ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'x'",
        "ALTER TABLE t ADD COLUMN c NOT NULL",
        "ALTER TABLE t RENAME COLUMN b TO d",
        "ALTER TABLE t RENAME TO u",
        "SELECT * FROM u",
        "ALTER TABLE u DROP COLUMN d",
        "SELECT * FROM u",
    ],
    "the schema is read": [
        f"{MEDIA}; {CHUNKS}; CREATE INDEX by_key ON media_assets (b2_key)",
        "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name",
        "SELECT * FROM pragma_table_info('media_assets')",
        "SELECT name, \"unique\", origin, partial FROM pragma_index_list('media_assets') ORDER BY name",
        "SELECT * FROM pragma_index_xinfo('sqlite_autoindex_media_assets_1')",
        "PRAGMA table_info(chunks)",
        "PRAGMA index_info(by_key)",
    ],
    "rows from a JSON array": [
        MEDIA,
        bound(INSERT, rows(*range(1000))),
        bound(INSERT, rows(*range(1000))),
        bound(INSERT, rows(*range(500, 1500))),
        bound(INSERT, "[]"),
        "SELECT count(*), count(DISTINCT media_uid), sum(size), max(id) FROM media_assets",
        "SELECT * FROM sqlite_sequence",
    ],
    "rows from a JSON array into indexes": [
        MEDIA,
        "CREATE INDEX by_key ON media_assets (b2_key)",
        bound(INSERT, rows(*range(100))),
        bound(INSERT, rows(*range(100))),
    ],
    "which of a JSON array are missing": [
        MEDIA,
        bound(INSERT, rows(1, 3)),
        bound(
            "SELECT value FROM json_each(?1) j "
            "WHERE NOT EXISTS (SELECT 1 FROM media_assets m WHERE m.media_uid = j.value)",
            json.dumps(["b2_1", "b2_2", "b2_3", "B2_1", None, 4]),
        ),
    ],
    "rows are staged and published": [
        f"{MEDIA}; {CHUNKS}",
        bound(STAGE, "run", "0", rows(1, 2)),
        bound(STAGE, "run", "1", rows(3, 4, 2)),
        bound(STAGE, "run", "1", rows(9)),
        bound(PUBLISH, "run", "3"),
        bound(LEFT_OUT, "run"),
        bound(PUBLISH, "run", "2"),
        bound(PUBLISH, "run", "2"),
        bound(LEFT_OUT, "run"),
        "SELECT id, media_uid FROM media_assets ORDER BY id",
        bound("DELETE FROM chunks WHERE run_id = ?1", "run"),
        bound("DELETE FROM chunks WHERE run_id = ?1", "run"),
    ],
    "a published row that is no good": [
        f"{MEDIA}; {CHUNKS}",
        bound(STAGE, "run", "0", rows(1, 2)),
        bound(STAGE, "run", "1", '[["b2_3", null, 1]]'),
        bound(PUBLISH, "run", "2"),
        "SELECT count(*) FROM media_assets",
        "SELECT seq, json_array_length(payload) FROM chunks ORDER BY seq",
    ],
    "a staged payload that is no JSON": [
        f"{MEDIA}; {CHUNKS}",
        bound(STAGE, "run", "0", '[["b2_1", "k", 1'),
        bound(PUBLISH, "run", "1"),
    ],
    "integers": [
        "CREATE TABLE t (a INTEGER, b TEXT)",
        bound(
            "INSERT INTO t SELECT value, value FROM json_each(?1)",
            str([2**53 - 1, 2**53 + 1, 2**63 - 1, -(2**63)]),
        ),
        "SELECT a, b, CAST(a AS TEXT), typeof(a), typeof(b) FROM t",
        bound("SELECT typeof(value), value FROM json_each(?1)", str([2**63, 10**30])),
        "SELECT 9007199254740993, -9007199254740993, 9223372036854775807, 9223372036854775808",
        "SELECT abs(-9223372036854775808)",
        "SELECT sum(column1) FROM (VALUES (9223372036854775807), (1))",
    ],
    "other numbers": ["SELECT 1.5, 1.0, 1e999, -1e999, 0.1 + 0.2, 1e21, 1 / 0, 7 / 2, 7 % 2, typeof(1.0)"],
    "values as JSON has them": [
        bound(
            "SELECT value, type, typeof(value) FROM json_each(?1)",
            '[1, 1.5, true, false, null, "x", "", [1, {"a": 2}], {"b": "é"}]',
        ),
        bound("SELECT json_extract(?1, '$[0]') ->> '$.a', ?1 -> '$[0]'", '[{"a": 1}]'),
    ],
    "texts": [
        bound(
            "SELECT ?1, length(?1), length(CAST(?1 AS BLOB)), typeof(?1)",
            "写真 🎞 é e\u0301 \ufeff\u2028\uffff",
        ),
        bound("SELECT ?1, length(CAST(?1 AS BLOB))", "a\0b"),
        bound(
            "SELECT value, length(CAST(value AS BLOB)) FROM json_each(?1)",
            '["a\\u0000b", "\\u0000", "\\ud83c\\udf9e"]',
        ),
        bound("SELECT ?1 = ?2, ?1 < ?2, lower(?1), upper(?2)", "É", "é"),
        bound("SELECT ?", ""),
        bound("SELECT ?", " \r\n\t\x1f\x7f "),
        bound("SELECT ?", "a\ud800b"),
        "SELECT 'it''s', \"x\" FROM (SELECT 1 AS \"x\"), (SELECT ';--/*')",
    ],
    "blobs": ["SELECT x'00ff', CAST(x'ff' AS TEXT), zeroblob(3), hex('é')", "SELECT unhex('c3a9')"],
    "nothing and NULL": [
        "CREATE TABLE t (a, b)",
        "SELECT a, b AS c FROM t",
        "SELECT NULL, NULL IS NULL, count(*), max(a) FROM t",
        "SELECT 1 AS a WHERE false",
        "INSERT INTO t SELECT 1, 2 WHERE false",
        "SELECT 1 AS x, 2 AS x",
    ],
    "parameters": [
        bound("SELECT ?, ?", "a", "b"),
        bound("SELECT ?2, ?1, ?2", "a", "b"),
        bound("SELECT ?1, ?3", "a", "b", "c"),
        bound("SELECT ?1, ?3", "a", "b"),
        bound("SELECT ?", "a", "b"),
        bound("SELECT ?"),
        "SELECT ?",
        bound("SELECT 1", "a"),
        bound("SELECT ?101", *["x"] * 101),
    ],
    "as many parameters as may be": [
        bound(f"SELECT length({' || '.join('?' * 80)}) AS n", *["x"] * 80),
        bound("SELECT " + ", ".join("?" * 100), *["x"] * 100),
        bound("SELECT " + ", ".join("?" * 101), *["x"] * 101),
    ],
    "as much SQL as may be": [
        f"SELECT length('{'x' * 99_978}') AS n",
        f"SELECT length('{'x' * 99_979}') AS n",
        f"SELECT length('{'é' * 49_990}') AS n",
        "; ".join([f"SELECT length('{'x' * 60_000}') AS n"] * 3),
    ],
    "a large value": [
        bound("SELECT length(?)", "x" * 2_000_000),
        bound("SELECT count(*), sum(length(value)) FROM json_each(?)", json.dumps(["x" * 40] * 40_000)),
    ],
    "other limits": [
        " UNION ALL ".join(["SELECT 1"] * 5),
        " UNION ALL ".join(["SELECT 1"] * 6),
        bound("SELECT 1 LIKE ?", "x" * 50),
        bound("SELECT 1 LIKE ?", "x" * 51),
        bound("SELECT 1 GLOB ?", "x" * 51),
        "CREATE TABLE t (" + ", ".join(f"c{number}" for number in range(100)) + ")",
        "CREATE TABLE u (" + ", ".join(f"c{number}" for number in range(101)) + ")",
        "SELECT " + ", ".join(["1"] * 101),
        "SELECT max(" + ", ".join(["1"] * 32) + ")",
        "SELECT max(" + ", ".join(["1"] * 128) + ")",
        "SELECT " + "+".join(["1"] * 101),
        "SELECT count(*) FROM (VALUES " + ", ".join(["(1)"] * 500) + ")",
    ],
    "constraints": [
        OTHER_KINDS,
        "INSERT INTO p VALUES (1)",
        "INSERT INTO t VALUES (1, 1, 1, 1, 'x')",
        "INSERT INTO t VALUES (1, 2, 2, 1, 'x')",
        "INSERT INTO t VALUES (2, NULL, 2, 1, 'x')",
        "INSERT INTO t VALUES (2, 3, 2, 1, 'x')",
        "INSERT INTO t VALUES (2, 2, 1, 1, 'x')",
        "INSERT INTO t VALUES (2, 1, 2, 1, 'x')",
        "INSERT INTO t VALUES (2, 2, 2, 9, 'x')",
        "INSERT INTO t VALUES ('x', 2, 2, 1, 'x')",
        "UPDATE t SET c = NULL WHERE a = 1",
        "UPDATE t SET d = 9",
        "DELETE FROM p",
        "INSERT OR IGNORE INTO t VALUES (1, 2, 2, 1, 'x'), (2, NULL, 2, 1, 'x'), (3, 2, 2, 1, 'y')",
        "INSERT OR REPLACE INTO t VALUES (1, 4, 4, 1, 'z')",
        "INSERT INTO t VALUES (1, 5, 5, 1, 'x') ON CONFLICT (a) DO UPDATE SET e = excluded.e RETURNING *",
        "INSERT INTO t VALUES (5, 5, 5, 1, 'x') ON CONFLICT (d) DO NOTHING",
        "SELECT * FROM t ORDER BY a",
    ],
    "a table of strict types": [
        STRICT,
        "INSERT INTO t VALUES ('x', 'y')",
        "INSERT INTO t VALUES ('1', 2)",
        "SELECT a, b, typeof(a), typeof(b) FROM t",
    ],
    "a primary key without rowid": [
        CHUNKS,
        "INSERT INTO chunks VALUES ('r', 1, 'x')",
        "INSERT INTO chunks VALUES ('r', 1, 'y')",
        "INSERT INTO chunks VALUES ('r', NULL, 'y')",
        "INSERT INTO chunks VALUES ('r', 1, 'y') ON CONFLICT DO NOTHING",
        "UPDATE chunks SET seq = 2",
        "UPDATE chunks SET payload = 'z'",
        "SELECT rowid FROM chunks",
        "DELETE FROM chunks",
    ],
    "a trigger that refuses": [
        "CREATE TABLE t (a)",
        "CREATE TRIGGER g BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'rows stay'); END",
        "INSERT INTO t VALUES (1)",
        "DELETE FROM t",
    ],
    "updates and deletes": [
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE, c)",
        "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)",
        "UPDATE t SET c = 9",
        "UPDATE t SET b = b + 10",
        "UPDATE t SET c = 8 WHERE a = 99",
        "UPDATE t SET a = a + 100 WHERE a = 1",
        "DELETE FROM t WHERE a > 100",
        "DELETE FROM t WHERE a = 99",
        "DELETE FROM t",
        "DELETE FROM t",
    ],
    "ids that count up": [
        "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b UNIQUE)",
        "INSERT INTO t (b) VALUES (1), (2)",
        "INSERT INTO t (b) VALUES (2), (3) ON CONFLICT DO NOTHING",
        "INSERT INTO t (b) VALUES (4) RETURNING a, b",
        "INSERT INTO t (b) SELECT 5 WHERE false",
        "DELETE FROM t",
        "INSERT INTO t (b) VALUES (1) RETURNING a",
        "SELECT * FROM sqlite_sequence",
    ],
    "rows that come back": [
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b)",
        "INSERT INTO t (b) VALUES ('x'), ('y') RETURNING a, b",
        "UPDATE t SET b = 'z' WHERE a = 1 RETURNING *",
        "DELETE FROM t RETURNING a",
        "DELETE FROM t RETURNING a",
    ],
    "several statements": [
        "CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1); SELECT * FROM t",
        "INSERT INTO t VALUES (2); INSERT INTO t VALUES (1)",
        "SELECT * FROM t",
        "SELECT ';'; SELECT 1 AS \";\" -- ; not a statement\n; /* nor ; this */ SELECT 2; -- done",
        "INSERT INTO t VALUES (3); SELEC",
        "SELECT * FROM t",
        bound("SELECT ?; SELECT 1", "x"),
    ],
    "a batch": [
        batch("CREATE TABLE t (a UNIQUE)", bound("INSERT INTO t VALUES (?)", "x"), "SELECT * FROM t"),
        batch(bound("INSERT INTO t VALUES (?)", "y"), bound("INSERT INTO t VALUES (?)", "x")),
        batch(bound("INSERT INTO t VALUES (?)", "y"), "SELEC"),
        "SELECT * FROM t",
    ],
    "transactions": [
        "BEGIN",
        "BEGIN TRANSACTION",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "END",
        "ROLLBACK",
        "SAVEPOINT a",
        "RELEASE a",
        "ROLLBACK TO a",
        "CREATE TABLE t (a); BEGIN; INSERT INTO t VALUES (1)",
        "SELECT * FROM t",
    ],
    "beyond the database": [
        "ATTACH '/tmp/other.sqlite3' AS other",
        "DETACH main",
        "CREATE TEMP TABLE t (a)",
        "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE TABLE _cf_mine (a)",
        "SELECT * FROM _cf_METADATA",
        "DROP TABLE _cf_METADATA",
        "VACUUM",
        "CREATE TABLE sqlite_mine (a)",
        "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 2, 'CREATE TABLE x (a)')",
        "CREATE VIRTUAL TABLE v USING dbstat",
    ],
    "pragmas": [
        "PRAGMA user_version",
        "PRAGMA user_version = 1",
        "PRAGMA journal_mode",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = ON",
        "PRAGMA page_count",
        "PRAGMA schema_version",
        "PRAGMA cache_size",
        "PRAGMA compile_options",
        "PRAGMA integrity_check",
        "PRAGMA no_such_pragma",
        "PRAGMA foreign_keys",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA foreign_keys",
        "PRAGMA defer_foreign_keys = ON",
        "PRAGMA quick_check",
        "PRAGMA foreign_key_check",
        "PRAGMA optimize",
        "PRAGMA case_sensitive_like = ON",
        "SELECT 'a' LIKE 'A'",
        "PRAGMA ignore_check_constraints = ON",
        "CREATE TABLE t (a CHECK (a > 0))",
        "INSERT INTO t VALUES (-1)",
        "PRAGMA ignore_check_constraints = OFF",
        "INSERT INTO t VALUES (-1)",
        "PRAGMA recursive_triggers = ON",
        "PRAGMA legacy_alter_table = ON",
        "PRAGMA reverse_unordered_selects = ON",
    ],
    "foreign keys that wait": [
        "CREATE TABLE p (a PRIMARY KEY); CREATE TABLE t (a REFERENCES p DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO t VALUES (1); INSERT INTO p VALUES (1)",
        "SELECT * FROM t",
    ],
    "functions": [
        "SELECT sqlite_version()",
        "SELECT sqlite_source_id()",
        "SELECT sqlite_compileoption_used('X')",
        "SELECT load_extension('x')",
        "SELECT no_such_function()",
        "SELECT length()",
        "SELECT typeof(datetime('now')), datetime(0, 'unixepoch'), printf('%05d', 7), coalesce(NULL, 2)",
        "SELECT group_concat(value, ',') FROM json_each('[3, 1, 2]')",
        "SELECT value, row_number() OVER (ORDER BY value) FROM json_each('[3, 1, 2]')",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100) SELECT sum(x) FROM n",
    ],
    "SQL that is wrong": [
        "SELEC",
        "SELECT * FROM x",
        "SELECT x",
        "SELECT '",
        "SELECT 'a\0b'",
        "SELECT 1 FROM",
        "SELECT * FROM json_each('[1')",
        "SELECT json_extract('{', '$')",
        "SELECT json_extract('[1]', 'x')",
        "CREATE TABLE t (a, a)",
        "CREATE TABLE t (a); INSERT INTO t (b) VALUES (1)",
        "CREATE TABLE t (a); INSERT INTO t VALUES (1, 2)",
        "CREATE INDEX i ON nowhere (a)",
        "DROP TABLE nowhere",
        "UPDATE nowhere SET a = 1",
        "CREATE TABLE t (a); INSERT INTO t SELECT value FROM json_each('[1]') ON CONFLICT DO NOTHING",
        "SELECT a FROM (SELECT 1 AS a), (SELECT 2 AS a)",
        "SELECT count(*), sum(count(*)) FROM (SELECT 1)",
    ],
    "SQL without a statement": [
        "",
        " \n",
        ";",
        "-- nothing",
        "/* nothing */",
        {"batch": []},
        "SELECT 1 -- something",
        "-- something\nSELECT 1;; -- nothing",
    ],
    "bodies that are malformed": [
        bound("SELECT 1") | {"params": [1]},
        bound("SELECT ?") | {"params": [None]},
        bound("SELECT ?") | {"params": ["a", 1.5]},
        bound("SELECT ?") | {"params": "a"},
        bound("SELECT ?") | {"params": {"a": "b"}},
        bound("SELECT 1") | {"params": None},
        {"sql": 1},
        {"sql": None},
        {},
        [],
        {"batch": {}},
        {"batch": ["SELECT 1"]},
        b"\xff",
        b"",
        b'{"sql": "SELECT 1"',
        b"null",
        b'"SELECT 1"',
    ],
    "plans": [
        f"{MEDIA}; CREATE INDEX by_key ON media_assets (b2_key)",
        "EXPLAIN QUERY PLAN SELECT 1 FROM media_assets WHERE media_uid = 'x'",
        "EXPLAIN QUERY PLAN SELECT size FROM media_assets WHERE b2_key = 'x'",
    ],
    "statistics": [
        "CREATE TABLE t (a UNIQUE)",
        "INSERT INTO t VALUES (1), (2)",
        "ANALYZE",
        "SELECT * FROM sqlite_stat1",
    ],
}


BY_VERSION = {
    "SELECT unhex('c3a9')",
    "SELECT json_extract('[1]', 'x')",
    "SELECT value, length(CAST(value AS BLOB)) FROM json_each(?1)",
    *(sql for sql in CASES["plans"] if isinstance(sql, str)),
}
UNCOUNTED = {
    "INSERT INTO a VALUES (1), (2), (3)",
    "CREATE UNIQUE INDEX j ON t (b) WHERE b > 1",
    *(sql for sql in CASES["a table is altered"] if isinstance(sql, str) and sql.startswith("ALTER")),
    "INSERT INTO t VALUES (1, 5, 5, 1, 'x') ON CONFLICT (a) DO UPDATE SET e = excluded.e RETURNING *",
}


class Api:
    """A client as plain as can be: it sends what it is told, and judges nothing."""

    def __init__(self, d1: EmbeddedD1 | CloudflareD1, session: requests.Session) -> None:
        settings = d1.settings()
        self._account = f"{d1.url}/accounts/{settings['CLOUDFLARE_ACCOUNT_ID']}/d1/database"
        self._session = session
        session.headers["Authorization"] = f"Bearer {settings['CLOUDFLARE_API_TOKEN']}"

    def raw(self, body: Body, database: str = DATABASE_ID) -> tuple[int, Any]:
        """Send a body to `/raw`; return status and answer."""
        if isinstance(body, str):
            body = {"sql": body}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self._session.post(f"{self._account}/{database}/raw", data=data, timeout=60)
        return answer.status_code, answer.json()


def answers(d1: EmbeddedD1 | CloudflareD1, bodies: Sequence[Body]) -> list[Any]:
    """Send bodies to an empty database, one after the other; return what is comparable of the answers."""
    with requests.Session() as session:
        api = Api(d1, session)
        # The engine makes a table of its own after the first request that a new database answers.
        api.raw("SELECT 1")
        return [_comparable(body, *api.raw(body)) for body in bodies]


def held(body: Body, answer: Any) -> Any:
    """Return of an answer what the embedded D1 is held to."""
    sql = body.get("sql") if isinstance(body, dict) else body
    if isinstance(sql, str) and sql in BY_VERSION:
        return "as SQLite's version has it"
    if isinstance(sql, str) and sql in UNCOUNTED and isinstance(answer, list):
        return [{name: value for name, value in each.items() if name != "rows_written"} for each in answer]
    return answer


def _comparable(body: Body, status: int, answer: Any) -> Any:
    if status != 200:
        assert (answer["success"], answer["result"], answer["messages"]) == (False, None, [])
        (error,) = answer["errors"]
        code, message = error["code"], error["message"]
        if code == MALFORMED or message in NO_STATEMENT:
            return {"status": status, "code": code}
        return {"status": status, "code": code, "message": re.sub(r" at offset \d+", "", message)}
    assert (answer["success"], answer["errors"], answer["messages"]) == (True, [], [])
    return [_result(result) for result in answer["result"]]


def _result(result: Any) -> dict[str, Any]:
    assert result["success"] is True
    results, meta = result["results"], result["meta"]
    figures = ("changes", "changed_db", "rows_written", "last_row_id")
    return results | {name: meta[name] for name in figures}


def record() -> None:
    """Ask the engine all cases, and write its answers down."""
    with tempfile.TemporaryDirectory() as folder, Wrangler(Path(folder), databases(len(CASES))) as wrangler:
        recorded = {}
        for (name, bodies), database in zip(CASES.items(), wrangler.databases, strict=True):
            with CloudflareD1(wrangler, database) as d1:
                recorded[name] = answers(d1, bodies)
    # An answer a line.
    cases = (
        f"{json.dumps(name)}: [\n  "
        + ",\n  ".join(json.dumps(answer, ensure_ascii=False) for answer in recorded[name])
        + "\n]"
        for name in recorded
    )
    RECORD.write_text("{\n" + ",\n".join(cases) + "\n}\n", "utf-8")


if __name__ == "__main__":
    record()
