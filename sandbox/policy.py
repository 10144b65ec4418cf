"""What D1 lets a statement do, as SQLite's authorizer tells it; and what a statement did, for its bill.

D1's own list: https://github.com/cloudflare/workerd/blob/main/src/workerd/util/sqlite.c++ (`isAuthorized`).
"""

import sqlite3
from dataclasses import dataclass, field

# https://github.com/cloudflare/workerd/blob/main/src/workerd/api/sql.c++
TRANSACTION_REFUSED = (
    "To execute a transaction, please use the state.storage.transaction() or "
    "state.storage.transactionSync() APIs instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements. "
    "The JavaScript API is safer because it will automatically roll back on exceptions, and because it "
    "interacts correctly with Durable Objects' automatic atomic write coalescing."
)

_REFUSED_ACTIONS = frozenset(
    {
        sqlite3.SQLITE_ATTACH,
        sqlite3.SQLITE_DETACH,
        sqlite3.SQLITE_CREATE_TEMP_INDEX,
        sqlite3.SQLITE_CREATE_TEMP_TABLE,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_VIEW,
    }
)
_REFUSED_FUNCTIONS = frozenset(
    {
        "sqlite_compileoption_get",
        "sqlite_compileoption_used",
        "sqlite_source_id",
        "sqlite_version",
    }
)
# https://developers.cloudflare.com/d1/sql-api/sql-statements/#compatible-pragma-statements
_PRAGMAS = frozenset(
    {
        "case_sensitive_like",
        "data_version",
        "defer_foreign_keys",
        "foreign_key_check",
        "foreign_key_list",
        "foreign_keys",
        "ignore_check_constraints",
        "index_info",
        "index_list",
        "index_xinfo",
        "legacy_alter_table",
        "optimize",
        "quick_check",
        "recursive_triggers",
        "reverse_unordered_selects",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)


@dataclass
class Deeds:
    """What one statement does to which table."""

    inserts: set[str] = field(default_factory=set)
    updates: dict[str, set[str]] = field(default_factory=dict)
    deletes: set[str] = field(default_factory=set)
    indexes: set[str] = field(default_factory=set)
    reads_json: bool = False
    refusal: str | None = None


class Policy:
    """Watch statements being compiled: refuse what D1 refuses, note the rest in `deeds`."""

    def __init__(self) -> None:
        self.deeds = Deeds()
        self.enforced = False

    def __call__(
        self, action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None
    ) -> int:
        if not self.enforced:
            return sqlite3.SQLITE_OK
        if action in (sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT):
            self.deeds.refusal = TRANSACTION_REFUSED
            return sqlite3.SQLITE_DENY
        if _is_refused(action, first, second):
            return sqlite3.SQLITE_DENY
        self._note(action, first or "", second or "")
        return sqlite3.SQLITE_OK

    def _note(self, action: int, first: str, second: str) -> None:
        if action == sqlite3.SQLITE_INSERT:
            self.deeds.inserts.add(first)
        elif action == sqlite3.SQLITE_UPDATE:
            self.deeds.updates.setdefault(first, set()).add(second)
        elif action == sqlite3.SQLITE_DELETE:
            self.deeds.deletes.add(first)
        elif action == sqlite3.SQLITE_CREATE_INDEX:
            self.deeds.indexes.add(second)
        elif action == sqlite3.SQLITE_READ and first in ("json_each", "json_tree"):
            self.deeds.reads_json = True


def _is_refused(action: int, first: str | None, second: str | None) -> bool:
    if action in _REFUSED_ACTIONS:
        return True
    if action in (sqlite3.SQLITE_CREATE_VTABLE, sqlite3.SQLITE_DROP_VTABLE):
        return (second or "").lower() not in ("fts5", "fts5vocab")
    if action == sqlite3.SQLITE_ANALYZE:
        return False
    if action == sqlite3.SQLITE_PRAGMA:
        return (first or "").lower() not in _PRAGMAS
    if action == sqlite3.SQLITE_FUNCTION:
        return (second or "").lower() in _REFUSED_FUNCTIONS
    # D1 keeps its own book-keeping in tables of this name.
    return (first or "").lower().startswith("_cf_")
