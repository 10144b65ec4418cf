"""What the database says of b2d1's tables, and what of it would make a run fail, change rows or lose them.

One SELECT is asked before anything is written. SQLite compares names without case, so this does too.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from b2d1.errors import D1Error, harmless

COLUMNS = ("media_uid", "b2_key", "b2_file_id", "size", "etag")

CREATE_TABLE = """\
CREATE TABLE media_assets (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  media_uid TEXT NOT NULL UNIQUE,
  b2_key TEXT NOT NULL,
  b2_file_id TEXT,
  size INTEGER NOT NULL,
  etag TEXT,
  ingested_at TEXT NOT NULL DEFAULT (datetime('now'))
);"""
CREATE_KEY_INDEX = "CREATE INDEX idx_media_assets_b2_key ON media_assets (b2_key);"
# A renamed table keeps its indexes, and their names. Migrations that are recorded make nothing anew.
PUT_ASIDE = f"""\
ALTER TABLE media_assets RENAME TO media_assets_aside;
DROP INDEX IF EXISTS idx_media_assets_b2_key;
{CREATE_TABLE}
{CREATE_KEY_INDEX}"""
# BINARY: an index has its column's collation otherwise.
CREATE_UNIQUE_INDEX = "CREATE UNIQUE INDEX media_assets_media_uid ON media_assets (media_uid COLLATE BINARY);"
FIND_DUPLICATES = "SELECT media_uid, count(*) FROM media_assets GROUP BY media_uid HAVING count(*) > 1;"

# D1 takes five terms of a compound SELECT: https://developers.cloudflare.com/d1/platform/limits/
LOOK = """\
SELECT 'column' AS kind, json_array(name, type, "notnull" AND dflt_value IS NULL, pk, hidden) AS what
FROM pragma_table_xinfo('media_assets')
UNION ALL
SELECT 'unique', group_concat(lower(key.name) || ' ' || key.coll)
FROM pragma_index_list('media_assets') list CROSS JOIN pragma_index_xinfo(list.name) key
WHERE list."unique" = 1 AND list.partial = 0 AND key.key = 1 GROUP BY list.name HAVING count(*) = 1
UNION ALL
SELECT 'index', lower(info.name)
FROM pragma_index_list('media_assets') list CROSS JOIN pragma_index_info(list.name) info WHERE info.seqno = 0
UNION ALL
SELECT type, json_array(name, lower(tbl_name), sql) FROM sqlite_master
WHERE lower(tbl_name) IN ('media_assets', 'media_ingest_chunks') AND type <> 'index'"""

_EVENT = re.compile(r"\b(insert|update|delete)\b(?:\s+of\b[^;]*?)?\s+on\b", re.IGNORECASE)
# What a trigger can do to the rows that a run inserts.
_MEDDLES = re.compile(
    r"\braise\s*\(|\b(?:into|update(?:\s+or\s+\w+)?|delete\s+from)\s+[\"'`\[]?media_assets\b", re.IGNORECASE
)
_FROM = re.compile(r"\b(?:from|join)\s+[\"'`\[]?([A-Za-z_]\w*)", re.IGNORECASE)
_TEXT_COLUMNS = {"media_uid", "b2_key", "b2_file_id", "etag"}


class Schema(NamedTuple):
    """The table as a run can use it.

    `indexes` counts what a new row is written to besides the table; `has_key_index` is true if a key is found
    without walking the table, `has_staging` if there is a table for chunks.
    """

    indexes: int
    has_key_index: bool
    has_staging: bool


class _Column(NamedTuple):
    name: str
    type: str
    needs_value: bool
    primary_key: int
    hidden: int  # 2 and 3: generated


def read_schema(rows: Sequence[Sequence[Any]]) -> Schema:
    """Return what the answer to LOOK says; raise D1Error for a table that a run cannot use."""
    columns = [_Column(*json.loads(what)) for kind, what in rows if kind == "column"]
    things = [(kind, *json.loads(what)) for kind, what in rows if kind in {"table", "view", "trigger"}]
    tables = {of: (kind, str(sql)) for kind, _, of, sql in things if kind != "trigger"}
    if "media_assets" not in tables:
        raise D1Error(
            "there is no table media_assets",
            hint=f"Create it with b2d1 migrate or wrangler d1 migrations apply, or run:\n{CREATE_TABLE}",
        )
    _refuse_other_kinds(*tables["media_assets"], columns)
    _refuse_columns(columns)
    if ["unique", "media_uid BINARY"] not in [list(row) for row in rows]:
        raise D1Error(
            "column media_uid of table media_assets has no unique index of its own",
            hint=f"Create it:\n{CREATE_UNIQUE_INDEX}\n"
            f"Duplicates that stand in its way are found by:\n{FIND_DUPLICATES}",
        )
    for kind, name, of, sql in things:
        if kind == "trigger" and of == "media_assets":
            _refuse_trigger(name, str(sql))
    found = [what for kind, what in rows if kind == "index"]
    return Schema(len(found), "b2_key" in found, tables.get("media_ingest_chunks", ("", ""))[0] == "table")


def _refuse_other_kinds(kind: str, sql: str, columns: Sequence[_Column]) -> None:
    if kind == "view":
        behind = list(dict.fromkeys(_FROM.findall(sql)))
        hint = "b2d1 inserts into a table. Give the view another name, then run b2d1 migrate."
        if len(behind) == 1 and {column.name.lower() for column in columns} >= set(COLUMNS):
            hint = (
                "b2d1 inserts into a table. If this is the one, give it the name:\n"
                f"DROP VIEW media_assets;\nALTER TABLE {behind[0]} RENAME TO media_assets;"
            )
        raise D1Error(f"media_assets is a view, of {', '.join(behind) or 'no table'}", hint=hint)
    if re.match(r"\s*create\s+virtual", sql, re.IGNORECASE):
        raise D1Error(
            "media_assets is a virtual table",
            hint="b2d1 needs an ordinary one. Give this one another name, then run b2d1 migrate.",
        )


def _refuse_columns(columns: Sequence[_Column]) -> None:
    named = {column.name.lower(): column for column in columns}
    if missing := [name for name in COLUMNS if name not in named]:
        raise D1Error(f"table media_assets has no column {', '.join(missing)}", hint=_how_to_add(missing))
    unfit = [fault for column in columns if (fault := _unfit(column))]
    if unfit:
        raise D1Error(
            f"table media_assets: {'; '.join(unfit)}",
            hint="Give such a column another type or a default value, or put the table aside and create a "
            f"new one:\n{PUT_ASIDE}",
        )


def _unfit(column: _Column) -> str | None:
    """Say why a run cannot fill a column, or would find another value in it than it wrote."""
    name = column.name.lower()
    if name in COLUMNS:
        if column.hidden in {2, 3}:
            return f"column {column.name} is generated"
        return f"column {column.name} of type {column.type} does not keep a value as it is" * _changes(column)
    is_rowid = column.primary_key and column.type.upper() == "INTEGER"
    if column.needs_value and not is_rowid:
        return f"column {column.name} must have a value, and b2d1 knows none"
    return None


def _changes(column: _Column) -> bool:
    """Return True if the column's affinity changes what b2d1 writes, as STRING makes a number of a key.

    https://www.sqlite.org/datatype3.html#determination_of_column_affinity
    """
    declared = column.type.upper()
    is_integer = "INT" in declared
    is_text = any(part in declared for part in ("CHAR", "CLOB", "TEXT"))
    if column.name.lower() in _TEXT_COLUMNS:
        return is_integer or not (is_text or "BLOB" in declared or not declared)
    return not is_integer and (is_text or any(part in declared for part in ("REAL", "FLOA", "DOUB")))


def _refuse_trigger(name: str, sql: str) -> None:
    event, begins = _EVENT.search(sql), re.search(r"\bbegin\b", sql, re.IGNORECASE)
    if event and event[1].lower() != "insert":
        return  # a run neither updates nor deletes
    if _MEDDLES.search(sql, begins.start() if begins else 0):
        quoted = (
            name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else '"' + name.replace('"', '""') + '"'
        )
        raise D1Error(
            f"trigger {harmless(name, 100)} of table media_assets can drop, change or refuse new rows",
            hint="All rows must go in as they are; a trigger may write to other tables. Drop this one:\n"
            f"DROP TRIGGER {quoted};",
        )


def _how_to_add(missing: Sequence[str]) -> str:
    """Write the statements that add the columns, or a new table where it is another one."""
    if {"b2_file_id", "etag"}.issuperset(missing):
        return "\n".join(f"ALTER TABLE media_assets ADD COLUMN {name} TEXT;" for name in missing)
    return f"It is another table. Put it aside and create this one:\n{PUT_ASIDE}"
