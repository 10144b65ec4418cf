"""The engine of the embedded D1: SQLite, held to D1's limits and its way with transactions."""

import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from sandbox import meter
from sandbox.policy import Deeds, Policy

Value = str | int | float | bytes | None

# https://developers.cloudflare.com/d1/platform/limits/ and, for those it leaves out,
# https://github.com/cloudflare/workerd/blob/main/src/workerd/util/sqlite.c++
LIMITS = {
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 100,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_LENGTH: 2_000_000,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 5,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 32,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}

# D1's engine keeps a table of its own in every database; what stands in it is nobody's concern.
OWN_TABLE = """\
CREATE TABLE IF NOT EXISTS _cf_METADATA (
        key INTEGER PRIMARY KEY,
        value BLOB
      )"""
DATATYPE = 3091  # the code that Python has no name for


class Refused(Exception):
    """A statement failed; the text is D1's."""


@dataclass(frozen=True)
class Statement:
    """One statement and the values of its parameters."""

    sql: str
    params: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """What one statement gave: its rows, and its figures under D1's names."""

    columns: list[str]
    rows: list[tuple[Value, ...]]
    meta: dict[str, object]
    wrote: bool


class Engine:
    """Run statements on one SQLite file, one list of them at a time, each list all or none.

    The text of each is added to `statements` as its turn comes.
    """

    def __init__(self, path: Path | str, statements: list[str]) -> None:
        self._statements = statements
        self._lock = threading.Lock()
        self._policy = Policy()
        # A cached statement would not be compiled again, and so pass the policy by.
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=0, timeout=30
        )
        self._connection.text_factory = lambda text: text.decode("utf-8", "replace")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute(OWN_TABLE)
        self._connection.execute("INSERT OR IGNORE INTO _cf_METADATA VALUES (2, NULL)")
        self._connection.set_authorizer(self._policy)
        for limit, value in LIMITS.items():
            self._connection.setlimit(limit, value)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def run(self, statements: Sequence[Statement]) -> list[Outcome]:
        """Run the statements as one transaction, or raise Refused and leave everything as it was."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                outcomes = [self._run(statement) for statement in statements]
                if any(outcome.wrote for outcome in outcomes):
                    self._count_a_write()
                self._connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error | MemoryError):
                    raise Refused(_message(error, self._policy.deeds)) from error
                raise
        return outcomes

    def bookmark(self) -> str:
        """Name the state of the database, in D1's form: another name when it changed, and only then."""
        with self._lock:
            writes, foreign = (self._number(name) for name in ("user_version", "data_version"))
            counts = f"{writes:08x}-{foreign:08x}-{self._number('page_count'):08x}"
            return f"{counts}-{sha256(counts.encode()).hexdigest()[:32]}"

    def _run(self, statement: Statement) -> Outcome:
        deeds = self._policy.deeds = Deeds()
        self._statements.append(statement.sql)
        before = meter.read(self._connection)
        started = time.perf_counter()
        self._policy.enforced = True
        try:
            cursor = self._connection.execute(statement.sql, statement.params)
            rows = cursor.fetchall()
        finally:
            self._policy.enforced = False
        duration = (time.perf_counter() - started) * 1000
        after = meter.read(self._connection)
        changes = after.changes - before.changes
        written = meter.rows_written(self._connection, deeds, before, after)
        # As D1 has it, a statement that changes the schema and no size did not change the database:
        # https://github.com/cloudflare/workers-sdk/blob/main/packages/miniflare/src/workers/d1/database.worker.ts
        changed = bool(changes) or after.last_row_id != before.last_row_id or after.size != before.size
        return Outcome(
            columns=[column[0] for column in cursor.description or ()],
            rows=rows,
            meta={
                "served_by": "sandbox",
                "duration": duration,
                "changes": changes,
                "last_row_id": after.last_row_id,
                "changed_db": changed,
                "size_after": after.size,
                "rows_read": meter.rows_read(self._connection, deeds, list(statement.params), len(rows)),
                "rows_written": written,
                "timings": {"sql_duration_ms": duration},
            },
            wrote=changed or bool(written) or after.schema != before.schema,
        )

    def _number(self, pragma: str) -> int:
        return int(self._connection.execute(f"PRAGMA {pragma}").fetchone()[0])

    def _count_a_write(self) -> None:
        # D1 lets nobody set user_version, so it is free for this; it commits or rolls back with the rest.
        self._connection.execute(f"PRAGMA user_version = {(self._number('user_version') + 1) % 2**31}")


def _message(error: BaseException, deeds: Deeds) -> str:
    if deeds.refusal:
        return deeds.refusal
    if isinstance(error, MemoryError):
        return "out of memory: SQLITE_NOMEM"
    text = str(error)
    # Refusals of Python's own, ahead of SQLite's.
    if text == "query string is too large":
        return "statement too long: SQLITE_TOOBIG"
    if text.startswith("Incorrect number of bindings"):
        return "Wrong number of parameter bindings for SQL query."
    name: str = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    if getattr(error, "sqlite_errorcode", 0) == DATATYPE:
        name = "SQLITE_CONSTRAINT_DATATYPE"
    kind = "_".join(name.split("_")[:2])
    return f"{text}: {kind}" if kind == name else f"{text}: {kind} (extended: {name})"
