"""The table: what it consists of, and which migrations it lacks. Sends nothing but SELECT."""

import re

from b2d1.d1.api import not_d1
from b2d1.d1.database import Database
from b2d1.doctor.d1 import DATABASE, D1Checks
from b2d1.doctor.finding import Check, Found, not_checked, ok, warn
from b2d1.doctor.indexes import READ_INDEXES, Index, indexes_from, redundant
from b2d1.errors import D1Error
from b2d1.migrate import migrations
from b2d1.table.media_assets import MediaAssets
from b2d1.table.schema import COLUMNS, CREATE_KEY_INDEX, PUT_ASIDE
from b2d1.table.staging import CREATE_CHUNKS

TABLE = "table media_assets"


class TableChecks:
    """The checks that look at the schema alone, in a database that D1Checks resolved."""

    def __init__(self, d1: D1Checks) -> None:
        self._d1 = d1

    def checks(self) -> list[Check]:
        """List the checks, in their order."""
        return [
            Check(TABLE, self._look, (DATABASE,)),
            Check("indexes", self._indexes, (TABLE,)),
            Check("migrations", self._migrations, (DATABASE,)),
        ]

    def _look(self) -> Found:
        if (database := self._d1.database) is None:
            return not_checked(f"it needs {DATABASE}")
        table = MediaAssets(database)
        try:
            table.look()
        except D1Error as error:
            if error.hint.startswith("ALTER"):
                error.hint = f"Run this on the database:\n{error.hint}"
            raise
        self._d1.has_key_index = table.has_key_index
        if not table.has_staging:
            return warn(
                "it is as needed, and there is no table media_ingest_chunks, which a large load goes through",
                f"Run b2d1 migrate; if that finds nothing to do:\n{CREATE_CHUNKS}",
            )
        return ok("its columns are there, and media_uid has a unique index of its own")

    def _indexes(self) -> Found | list[Found]:
        if (database := self._d1.database) is None:
            return not_checked(f"it needs {DATABASE}")
        found = read_indexes(database)
        hindering = [index for index in found if index.hinders(COLUMNS)]
        warnings = [_hindered(index) for index in hindering]
        if twice := redundant(index for index in found if index not in hindering):
            each = ", ".join(f"{index.name} (as {other.name})" for index, other in twice.items())
            rows = f"a new row writes {1 + len(found)} rows, and {1 + len(found) - len(twice)} without"
            drops = "\n".join(f"DROP INDEX {_identifier(index.name)};" for index in twice)
            warnings.append(
                warn(
                    f"{len(twice)} redundant: {each}; {rows}",
                    f"Drop what is redundant, in the dashboard's console or by wrangler d1 execute:\n{drops}",
                )
            )
        if not any(index.key[0][0] == "b2_key" and not index.partial for index in found):
            warnings.append(
                warn(
                    "none of b2_key: the guards walk the whole table, and refuse to where it is large",
                    f"Run b2d1 migrate, or:\n{CREATE_KEY_INDEX}",
                )
            )
        return warnings or ok(f"{len(found)}, none redundant: a new row writes {1 + len(found)} rows")

    def _migrations(self) -> Found:
        if (database := self._d1.database) is None:
            return not_checked(f"it needs {DATABASE}")
        shipped = migrations.shipped()
        if due := migrations.pending(database, shipped):
            names = ", ".join(migration.name for migration in due)
            there = migrations.tables(database)
            if all(migrations.is_only_unrecorded(migration, there) for migration in due):
                return ok(f"the tables are there, and d1_migrations does not record {names}")
            return warn(
                f"not applied: {names}",
                "Run b2d1 migrate (with --dry-run first, to see the SQL).",
            )
        return ok(f"all {len(shipped)} are applied")


def _hindered(index: Index) -> Found:
    columns = ", ".join(name or "an expression" for name, _, _ in index.key)
    if index.by_statement:
        fix = f"Drop it:\nDROP INDEX {_identifier(index.name)};"
    else:
        fix = f"It is a part of the table: put that aside, and run b2d1 sync on a new one.\n{PUT_ASIDE}"
    return warn(f"{index.name} lets no two rows have the same {columns}: a run may fail at the second", fix)


def read_indexes(database: Database) -> list[Index]:
    """Read the table's indexes."""
    doing = "reading the table's indexes"
    rows = database.run(READ_INDEXES, doing=doing, columns=7).rows
    if not all(isinstance(name, str) and isinstance(column, str | None) for name, *_, column, _, _ in rows):
        raise not_d1(doing)
    return indexes_from(rows)


def _identifier(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'
