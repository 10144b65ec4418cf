"""The table: what it consists of, and which migrations it lacks. Sends nothing but SELECT."""

import re

from b2d1.d1.api import not_d1
from b2d1.d1.database import Database
from b2d1.doctor.d1 import DATABASE, D1Checks
from b2d1.doctor.finding import Check, Found, not_checked, ok, warn
from b2d1.doctor.indexes import READ_INDEXES, Index, indexes_from, redundant
from b2d1.errors import D1Error
from b2d1.migrate import migrations
from b2d1.table.media_assets import CREATE_KEY_INDEX, MediaAssets

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
        try:
            MediaAssets(database).look()
        except D1Error as error:
            if error.hint.startswith("ALTER"):
                error.hint = f"Run this on the database:\n{error.hint}"
            raise
        return ok("its columns are there, and media_uid has a unique index of its own")

    def _indexes(self) -> Found | list[Found]:
        if (database := self._d1.database) is None:
            return not_checked(f"it needs {DATABASE}")
        found = read_indexes(database)
        warnings = []
        if twice := redundant(found):
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
            return warn(
                f"not applied: {', '.join(migration.name for migration in due)}",
                "Run b2d1 migrate (with --dry-run first, to see the SQL).",
            )
        migrations.refuse_gone(database, shipped)
        return ok(f"all {len(shipped)} are applied, and their tables there")


def read_indexes(database: Database) -> list[Index]:
    """Read the table's indexes."""
    doing = "reading the table's indexes"
    rows = database.run(READ_INDEXES, doing=doing, columns=7).rows
    if not all(isinstance(name, str) and isinstance(column, str | None) for name, *_, column, _, _ in rows):
        raise not_d1(doing)
    return indexes_from(rows)


def _identifier(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'
