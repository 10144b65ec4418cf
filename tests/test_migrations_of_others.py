"""Databases whose tables somebody else made: by other files, under another record, or for another program."""

from collections.abc import Callable
from contextlib import closing

import pytest
from click.testing import Result
from conftest import Stack
from objects import execute
from tables import DOCUMENTED_TABLE

from b2d1.doctor.examination import examine
from b2d1.doctor.finding import Line, Status
from b2d1.migrate import migrations

SHIPPED = migrations.shipped()
BY_OTHER_MEANS = "".join(migration.sql for migration in SHIPPED)
NAMES = [migration.name for migration in SHIPPED]


def records(stack: Stack) -> list[str]:
    with closing(stack.d1.connect()) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM d1_migrations ORDER BY id")]


@pytest.fixture
def bare(stack: Stack) -> Stack:
    """Provide a database without a table."""
    execute(stack.d1, "DROP TABLE media_assets; DROP TABLE media_ingest_chunks; DROP TABLE d1_migrations")
    return stack


@pytest.mark.parametrize(
    "ddl",
    [
        pytest.param(BY_OTHER_MEANS, id="no record"),
        pytest.param(
            BY_OTHER_MEANS
            + "CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY, name TEXT UNIQUE, applied_at TEXT);"
            "INSERT INTO d1_migrations (name) VALUES ('0001_media_assets.sql'), ('0002_media_ingest.sql');",
            id="renumbered files",
        ),
        pytest.param(
            BY_OTHER_MEANS + "CREATE TABLE our_migrations (id INTEGER PRIMARY KEY, name TEXT);",
            id="a record of another name",
        ),
    ],
)
def test_tables_of_other_means_are_recorded_and_that_is_said(
    bare: Stack, b2d1: Callable[..., Result], ddl: str
) -> None:
    execute(bare.d1, ddl)
    (line,) = [each for each in doctor(bare) if each.check == "migrations"]
    assert (line.status, line.found) == (
        Status.OK,
        f"the tables are there, and d1_migrations does not record {', '.join(NAMES)}",
    )

    result = b2d1("migrate", env=bare.d1.settings())

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"recorded {name}: its tables are there already, only its record was missing" for name in NAMES
    ]
    assert set(NAMES) <= set(records(bare))


def test_another_table_of_the_name_is_not_recorded(bare: Stack, b2d1: Callable[..., Result]) -> None:
    execute(bare.d1, "CREATE TABLE media_assets (id INTEGER PRIMARY KEY, url TEXT)")

    result = b2d1("migrate", env=bare.d1.settings())

    assert result.exit_code == 4
    assert "has no column media_uid" in result.stderr
    with closing(bare.d1.connect()) as connection:
        assert "d1_migrations" not in str(connection.execute("SELECT name FROM sqlite_master").fetchall())


def test_a_record_of_another_program_is_named(bare: Stack, b2d1: Callable[..., Result]) -> None:
    execute(bare.d1, f"{DOCUMENTED_TABLE} CREATE TABLE d1_migrations (version INTEGER)")

    result = b2d1("migrate", env=bare.d1.settings())

    assert result.exit_code == 4
    assert "table d1_migrations has no column name, so it is not wrangler's" in result.stderr


def doctor(stack: Stack) -> list[Line]:
    return list(examine(stack.env, retrying=stack.time.retrying()))
