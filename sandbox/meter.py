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
    schema: int
    objects: int
    sequences: Mapping[str, int]


def read(connection: sqlite3.Connection) -> Reading:
    """Take the counters."""
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (schema,) = connection.execute("PRAGMA schema_version").fetchone()
    has_sequences = connection.execute(
        "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'"
    ).fetchone()
    sequences = dict(connection.execute("SELECT name, seq FROM sqlite_sequence")) if has_sequences else {}
    return Reading(connection.total_changes, schema, objects, sequences)


def rows_written(connection: sqlite3.Connection, deeds: Deeds, before: Reading, after: Reading) -> int:
    """Count what a statement inserted into b-trees.

    Per inserted row one for the table and one for each index, per updated row one for the table and one for
    each index on a changed column, per deleted row one. An AUTOINCREMENT table writes its row of
    sqlite_sequence whenever ids were used up, also by rows that a conflict clause then ignored. Where a
    statement writes several tables, through a trigger, each row is counted at the price of the dearest.
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
    created = max(after.objects - before.objects, 0)
    return (after.changes - before.changes) * price + sequences + indexed + created


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
    members = "SELECT name FROM pragma_index_info(?)"
    return sum(
        1 for name in names if columns & {column for (column,) in connection.execute(members, (name,))}
    )


def _count(connection: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    return int(connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])
