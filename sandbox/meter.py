"""The bill of a statement, counted as Cloudflare counts: rows_written are insertions into b-trees.

https://github.com/cloudflare/workerd/blob/main/patches/sqlite/0001-row-counts-plain.patch
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.policy import Deeds


@dataclass(frozen=True)
class Reading:
    """The counters of a database between two statements."""

    changes: int
    last_row_id: int
    size: int
    schema: int
    objects: Mapping[str, str]
    sequences: Mapping[str, int]


def read(connection: sqlite3.Connection) -> Reading:
    """Take the counters."""
    objects = dict(connection.execute("SELECT name, type FROM sqlite_schema"))
    has_sequences = "sqlite_sequence" in objects
    sequences = dict(connection.execute("SELECT name, seq FROM sqlite_sequence")) if has_sequences else {}
    (last_row_id,) = connection.execute("SELECT last_insert_rowid()").fetchone()
    schema, pages, free, page_size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("schema_version", "page_count", "freelist_count", "page_size")
    )
    size = (pages - free) * page_size
    return Reading(connection.total_changes, last_row_id, size, schema, objects, sequences)


def rows_written(connection: sqlite3.Connection, deeds: Deeds, before: Reading, after: Reading) -> int:
    """Count what a statement inserted into b-trees.

    Per inserted row one for the table and one for each index, per updated row one for the table and one for
    each index on a changed column (for every index where the row's id changed), per deleted row one. An
    AUTOINCREMENT table writes its row of sqlite_sequence whenever ids were used up, also by rows that a
    conflict clause then ignored. A new table or view is two, whatever else is new one; and one for each row
    in it.

    Not exact, since it is not told from outside: where a statement writes several tables, through a trigger,
    each row is counted at the price of the dearest, and an updated one of an upsert as an inserted one; a
    partial index is counted as a whole one; what ALTER TABLE writes is not counted.
    """
    price = max(
        [
            *(1 + _indexes(connection, table) for table in deeds.inserts),
            *(1 + _indexes(connection, table, columns) for table, columns in deeds.updates.items()),
            *(1 for _ in deeds.deletes),
            0,
        ]
    )
    sequences = sum(
        1
        for table in deeds.inserts & set(after.sequences)
        if after.sequences[table] != before.sequences.get(table)
    )
    indexed = sum(_count(connection, table) for table in deeds.indexes)
    new = {name: kind for name, kind in after.objects.items() if name not in before.objects}
    created = sum(2 if kind in ("table", "view") else 1 for kind in new.values())
    filled = sum(_count(connection, name) for name, kind in new.items() if kind == "table")
    return (after.changes - before.changes) * price + sequences + indexed + created + filled


def rows_read(connection: sqlite3.Connection, deeds: Deeds, params: list[str], returned: int) -> int:
    """Estimate what a statement read: the rows it returned, and the elements of the JSON arrays it was given.

    Cloudflare counts every row it visits, which SQLite does not tell from outside: expect more there.
    """
    if not deeds.reads_json:
        return returned
    lengths = "SELECT CASE WHEN json_valid(?1) THEN json_array_length(?1) ELSE 0 END"
    return returned + sum(int(connection.execute(lengths, (param,)).fetchone()[0]) for param in params)


def _indexes(connection: sqlite3.Connection, table: str, columns: set[str] | None = None) -> int:
    # The primary key of a WITHOUT ROWID table is listed as an index, but is the table.
    listed = (
        "SELECT name FROM pragma_index_list(?1) WHERE origin <> 'pk' "
        "OR NOT EXISTS (SELECT 1 FROM pragma_table_list(?1) WHERE wr)"
    )
    names = [name for (name,) in connection.execute(listed, (table,))]
    if columns is None:
        return len(names)
    row_id = "SELECT name FROM pragma_table_info(?) WHERE pk AND upper(type) = 'INTEGER'"
    if columns & {column for (column,) in connection.execute(row_id, (table,))}:
        return len(names)
    members = "SELECT name FROM pragma_index_info(?)"
    return sum(
        1 for name in names if columns & {column for (column,) in connection.execute(members, (name,))}
    )


def _count(connection: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    return int(connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])
