"""The table's migrations, applied and recorded as wrangler does, so that either tool can follow the other.

https://developers.cloudflare.com/d1/reference/migrations/
"""

import re
from pathlib import Path
from typing import NamedTuple

from b2d1.d1.database import Database
from b2d1.errors import D1Error, UsageError

# As wrangler creates it (packages/wrangler/src/d1/migrations/helpers.ts in cloudflare/workers-sdk).
CREATE_RECORD = """\
CREATE TABLE IF NOT EXISTS "d1_migrations"(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT UNIQUE,
  applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
);"""
HAS_RECORD = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'd1_migrations'"
APPLIED = 'SELECT name FROM "d1_migrations"'
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
CREATE = re.compile(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)[^;]*;", re.MULTILINE)


class Migration(NamedTuple):
    """A migration's file name, by which it is recorded, and its statements."""

    name: str
    sql: str


def shipped() -> list[Migration]:
    """Read the migrations that belong to this version, in their order."""
    inside = Path(__file__).parents[1] / "migrations"  # where a wheel carries them
    folder = inside if inside.is_dir() else Path(__file__).parents[3] / "migrations"
    # read_text makes CRLF one LF: the server's splitting at ";" mishandles it,
    # https://github.com/cloudflare/workers-sdk/issues/14991
    found = [Migration(path.name, path.read_text("utf-8")) for path in folder.glob("*.sql")]
    if not found:
        raise UsageError(f"no migrations in {folder}", hint="Install b2d1 anew, or run it from its checkout.")
    return sorted(found)


def pending(database: Database, migrations: list[Migration]) -> list[Migration]:
    """Tell which migrations the database does not record; sends nothing but SELECT."""
    done = _applied(database)
    return [migration for migration in migrations if migration.name not in done]


def tables(database: Database) -> set[str]:
    """Read the names of the database's tables, in small letters; sends nothing but SELECT."""
    rows = database.run(TABLES, doing="listing the tables", columns=1).rows
    return {str(row[0]).lower() for row in rows}


def is_only_unrecorded(migration: Migration, there: set[str]) -> bool:
    """Return True if the tables that a migration creates are there, as where another tool applied it."""
    return {match[1] for match in CREATE.finditer(migration.sql)} <= there


def refuse_gone(database: Database, migrations: list[Migration]) -> None:
    """Refuse a database in which a table that these migrations made is gone (D1Error); sends only SELECT."""
    there = tables(database)
    made = [match for migration in migrations for match in CREATE.finditer(migration.sql)]
    if gone := [match for match in made if match[1] not in there]:
        raise D1Error(
            f"every migration is recorded as applied, yet there is no table {gone[0][1]}",
            hint="Somebody dropped it, or recorded what was not applied. Run this on the database:\n"
            + "\n".join(match[0] for match in gone),
        )


def apply(database: Database, migration: Migration) -> None:
    """Apply one migration and record it, both or neither."""
    # A statement with parameters must stand alone, so the name, one of our own files', is written out.
    record = f"INSERT INTO \"d1_migrations\" (name) VALUES ('{migration.name}');"
    database.run_script(
        f"{CREATE_RECORD}\n{migration.sql}\n{record}",
        doing=f"applying {migration.name}",
        done=lambda: migration.name in _applied(database),
    )


def _applied(database: Database) -> set[str]:
    doing = "reading which migrations are applied"
    if not database.figure(HAS_RECORD, doing=doing):
        return set()
    try:
        return {str(row[0]) for row in database.run(APPLIED, doing=doing, columns=1).rows}
    except D1Error as error:
        if "no such column" not in error.message:
            raise
        raise D1Error(
            "table d1_migrations has no column name, so it is not wrangler's",
            doing=doing,
            hint="Another program uses that name: rename its table, then run b2d1 migrate. A sync needs only "
            "the tables: b2d1 migrate --dry-run on an empty database prints their SQL.",
        ) from None
