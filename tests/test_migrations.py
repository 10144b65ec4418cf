"""Migrations, applied by b2d1 and by wrangler in turn, on one database."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import Result
from conftest import AnyD1, FakeTime
from scripted_d1 import answer

from b2d1.d1.database import Database
from b2d1.errors import D1Error, UsageError
from b2d1.migrate import migrations
from b2d1.migrate.migrations import Migration
from b2d1.settings import Settings
from b2d1.table.media_assets import MediaAssets
from b2d1.table.schema import CREATE_TABLE
from sandbox.d1 import EmbeddedD1
from sandbox.forwarder import Forwarder

FOLDER = Path(__file__).parents[1] / "migrations"
NAMES = ["0010_media_assets.sql", "0011_media_ingest.sql"]


def database_of(d1: AnyD1, time: FakeTime, url: str | None = None) -> Database:
    env = d1.settings() | ({"CLOUDFLARE_API_BASE_URL": url} if url else {})
    database = Database(Settings.from_env(env, b2=False).d1, time.retrying())  # type: ignore[arg-type]
    database.resolve()
    return database


def migrate(database: Database) -> list[str]:
    """Apply what is pending, as the command does."""
    due = migrations.pending(database, migrations.shipped())
    for migration in due:
        migrations.apply(database, migration)
    return [migration.name for migration in due]


class Wrangler:
    """Applies migrations as `wrangler d1 migrations apply` does, with its own table and its own requests."""

    def __init__(self, d1: AnyD1) -> None:
        settings = d1.settings()
        account = f"{d1.url}/accounts/{settings['CLOUDFLARE_ACCOUNT_ID']}/d1/database"
        self._address = f"{account}/{settings['D1_DATABASE_NAME']}/query"
        self._headers = {"Authorization": f"Bearer {settings['CLOUDFLARE_API_TOKEN']}"}

    def query(self, sql: str) -> list[dict[str, Any]]:
        answer = requests.post(self._address, json={"sql": sql}, headers=self._headers, timeout=30).json()
        assert answer["errors"] == []
        rows: list[dict[str, Any]] = answer["result"][-1]["results"]
        return rows

    def unapplied(self) -> list[Path]:
        self.query(
            'CREATE TABLE IF NOT EXISTS "d1_migrations"(\n'
            "\t\tid         INTEGER PRIMARY KEY AUTOINCREMENT,\n"
            "\t\tname       TEXT UNIQUE,\n"
            "\t\tapplied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL\n"
            ");"
        )
        applied = {row["name"] for row in self.query('SELECT * FROM "d1_migrations" ORDER BY id')}
        return [path for path in sorted(FOLDER.glob("*.sql")) if path.name not in applied]

    def apply(self, most: int = 99) -> list[str]:
        due = self.unapplied()[:most]
        for path in due:
            self.query(f"{path.read_text()}\nINSERT INTO \"d1_migrations\" (name)\nvalues ('{path.name}');")
        return [path.name for path in due]


def schema(d1: AnyD1) -> list[Any]:
    """Read every table and index that a migration makes, and what is recorded."""
    with closing(d1.connect()) as connection:
        made = connection.execute(
            "SELECT type, name, sql FROM sqlite_master "
            "WHERE name <> 'd1_migrations' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_cf_*' "
            "ORDER BY name"
        ).fetchall()
        recorded = connection.execute("SELECT id, name FROM d1_migrations ORDER BY id").fetchall()
    return [made, recorded]


def execute(d1: AnyD1, sql: str) -> None:
    with closing(d1.connect()) as connection:
        connection.executescript(sql)


@pytest.fixture
def expected(tmp_path: Path, fake_time: FakeTime) -> list[Any]:
    """Provide the schema that b2d1 alone makes."""
    with EmbeddedD1(tmp_path / "alone.sqlite3") as alone:
        assert migrate(database_of(alone, fake_time)) == NAMES
        return schema(alone)


def test_they_make_the_tables_and_the_index(expected: list[Any]) -> None:
    """A fresh database gets the table, the index that the guard needs and the chunk table, each recorded."""
    made, recorded = expected
    assert [(kind, name) for kind, name, _ in made] == [
        ("index", "idx_media_assets_b2_key"),
        ("table", "media_assets"),
        ("table", "media_ingest_chunks"),
    ]
    assert recorded == list(enumerate(NAMES, start=1))


def test_wrangler_finds_nothing_left_after_b2d1(d1: AnyD1, fake_time: FakeTime, expected: list[Any]) -> None:
    """What b2d1 applied, wrangler sees applied, and its own statement for the table changes nothing."""
    migrate(database_of(d1, fake_time))
    assert Wrangler(d1).apply() == []
    assert schema(d1) == expected


def test_b2d1_finds_nothing_left_after_wrangler(d1: AnyD1, fake_time: FakeTime, expected: list[Any]) -> None:
    """What wrangler applied, b2d1 sees applied."""
    Wrangler(d1).apply()
    assert migrate(database_of(d1, fake_time)) == []
    assert schema(d1) == expected


def test_either_goes_on_where_the_other_stopped(d1: AnyD1, fake_time: FakeTime, expected: list[Any]) -> None:
    """After wrangler applied the first one, b2d1 applies the rest, and wrangler again finds nothing left."""
    assert Wrangler(d1).apply(most=1) == NAMES[:1]
    assert migrate(database_of(d1, fake_time)) == NAMES[1:]
    assert Wrangler(d1).apply() == []
    assert schema(d1) == expected


def test_the_record_is_wranglers(d1: AnyD1, fake_time: FakeTime) -> None:
    """The record has wrangler's columns and fills them as it does: an id, the file's name, a time."""
    migrate(database_of(d1, fake_time))
    with closing(d1.connect()) as connection:
        columns = connection.execute("SELECT name, type FROM pragma_table_info('d1_migrations')").fetchall()
        rows = connection.execute(
            "SELECT id, name, applied_at GLOB '20??-??-?? ??:??:??' FROM d1_migrations"
        ).fetchall()
    assert columns == [("id", "INTEGER"), ("name", "TEXT"), ("applied_at", "TIMESTAMP")]
    assert rows == [(1, NAMES[0], 1), (2, NAMES[1], 1)]


@pytest.mark.parametrize(
    ("before", "applied"),
    [
        pytest.param(
            f"{CREATE_TABLE} {migrations.CREATE_RECORD}"
            f"INSERT INTO d1_migrations (name) VALUES ('{NAMES[0]}');",
            NAMES[1:],
            id="0010 recorded",
        ),
        pytest.param(CREATE_TABLE, NAMES, id="the table, nothing recorded"),
        pytest.param(f"{CREATE_TABLE} {migrations.CREATE_RECORD}", NAMES, id="the table, an empty record"),
    ],
)
def test_a_table_that_is_there_keeps_its_rows(
    d1: AnyD1, fake_time: FakeTime, expected: list[Any], before: str, applied: list[str]
) -> None:
    """A database that has the table already gets the rest, and its rows stay as they are."""
    execute(d1, before + "INSERT INTO media_assets (media_uid, b2_key, size) VALUES ('b2_1', 'k', 1);")
    database = database_of(d1, fake_time)
    assert migrate(database) == applied
    assert schema(d1) == expected
    MediaAssets(database).look()
    assert database.figure("SELECT count(*) FROM media_assets WHERE b2_key = 'k'", doing="counting") == 1


def test_nothing_pending_is_found_out_by_reading(d1: AnyD1, fake_time: FakeTime) -> None:
    """With nothing to apply no statement but SELECT is sent, and looking itself never writes."""
    database = database_of(d1, fake_time)
    assert migrations.pending(database, migrations.shipped()) == migrations.shipped()
    assert {text.split()[0] for text in d1.statements} == {"SELECT"}
    migrate(database)
    d1.statements.clear()
    written = database.usage.rows_written
    assert migrate(database) == []
    assert [text.split()[0] for text in d1.statements] == ["SELECT", "SELECT"]
    assert database.usage.rows_written == written


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("status", [None, 503])
@pytest.mark.parametrize("migration", [0, 1])
def test_a_lost_answer_does_not_apply_twice_nor_fail(
    d1: AnyD1, fake_time: FakeTime, expected: list[Any], *, when: Any, status: int | None, migration: int
) -> None:
    """Whether the request or only its answer was lost, each migration is applied and recorded once."""
    with Forwarder(d1.url) as forwarder:
        forwarder.fail(when, f"VALUES ('{NAMES[migration]}')", status=status)
        assert migrate(database_of(d1, fake_time, forwarder.url)) == NAMES
        sent = [text for text in forwarder.requests if f"VALUES ('{NAMES[migration]}')" in text]
    assert schema(d1) == expected
    assert len(sent) == (2 if when == "before" else 1)


def test_a_look_that_comes_too_soon_does_not_make_it_fail(
    d1: AnyD1, fake_time: FakeTime, expected: list[Any]
) -> None:
    """After a lost answer a stale look may miss the effect: the second try is refused, and all is well."""
    with Forwarder(d1.url) as forwarder:
        forwarder.fail("after", f"VALUES ('{NAMES[0]}')")
        stale = json.dumps(answer([[0]]))
        forwarder.fail("before", "sqlite_master", skip=2, status=200, body=stale)
        assert migrate(database_of(d1, fake_time, forwarder.url)) == NAMES
        sent = [text for text in forwarder.requests if f"VALUES ('{NAMES[0]}')" in text]
    assert schema(d1) == expected
    assert len(sent) == 2


@pytest.mark.parametrize(
    ("second", "message"),
    [
        pytest.param("CREATE TABLE bad (;", "syntax error", id="syntax"),
        pytest.param("INSERT INTO good VALUES (NULL);", "NOT NULL constraint failed", id="constraint"),
        pytest.param(
            "INSERT INTO d1_migrations (name) VALUES ('0012_faulty.sql');",
            "UNIQUE constraint failed: d1_migrations.name",
            id="its record",
        ),
    ],
)
def test_a_migration_that_fails_leaves_nothing_behind(
    d1: AnyD1, fake_time: FakeTime, second: str, message: str
) -> None:
    """All of a migration and its record, or nothing: what stood before the fault is taken back."""
    database = database_of(d1, fake_time)
    faulty = Migration("0012_faulty.sql", f"CREATE TABLE good (a NOT NULL);\n{second}\n")
    with pytest.raises(D1Error, match=f"applying 0012_faulty.sql: .* {message}"):
        migrations.apply(database, faulty)
    assert schema_names(d1) == []
    assert migrations.pending(database, [faulty]) == [faulty]


def schema_names(d1: AnyD1) -> list[str]:
    with closing(d1.connect()) as connection:
        # D1 itself keeps a table in every database.
        names = connection.execute("SELECT name FROM sqlite_master WHERE name NOT GLOB '_cf_*'")
        return [name for (name,) in names]


def test_files_are_read_in_order_and_without_carriage_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package carries its migrations beside it; CRLF, which D1 splits wrongly, becomes LF."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0011_b.sql").write_bytes("CREATE TABLE b (é);\r\nSELECT 1;\r\n".encode())
    (folder / "0010_a.sql").write_bytes(b"CREATE TABLE a (b);\n")
    (folder / "README.md").write_text("not one")
    monkeypatch.setattr(migrations, "__file__", str(tmp_path / "table" / "migrations.py"))
    assert migrations.shipped() == [
        Migration("0010_a.sql", "CREATE TABLE a (b);\n"),
        Migration("0011_b.sql", "CREATE TABLE b (é);\nSELECT 1;\n"),
    ]


@pytest.mark.parametrize("table", ["media_assets", "media_ingest_chunks"])
def test_a_table_that_somebody_dropped_comes_with_what_makes_it(
    d1: AnyD1, fake_time: FakeTime, table: str
) -> None:
    """Where a migration is recorded and its table gone, the error has the statement, and that mends it."""
    database = database_of(d1, fake_time)
    migrate(database)
    execute(d1, f"DROP TABLE {table}")

    with pytest.raises(D1Error, match=f"yet there is no table {table}$") as gone:
        migrations.refuse_gone(database, migrations.shipped())
    execute(d1, gone.value.hint.partition("\n")[2])

    migrations.refuse_gone(database, migrations.shipped())


def test_no_files_are_a_fault_of_the_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package without its migrations says so: it does not call an empty database up to date."""
    (tmp_path / "a" / "b2d1" / "table").mkdir(parents=True)
    monkeypatch.setattr(migrations, "__file__", str(tmp_path / "a" / "b2d1" / "table" / "migrations.py"))
    with pytest.raises(UsageError, match="no migrations in") as error:
        migrations.shipped()
    assert error.value.exit_code == 2


def test_what_is_shipped_is_what_lies_in_the_folder() -> None:
    """The migrations of this version are the files of the folder that wrangler applies too."""
    assert migrations.shipped() == [Migration(name, (FOLDER / name).read_text()) for name in NAMES]


def test_the_command_applies_and_then_has_nothing_to_do(d1: AnyD1, b2d1: Callable[..., Result]) -> None:
    """`b2d1 migrate` names what it applied; a dry run prints the statements and applies nothing."""
    env = d1.settings()
    dry = b2d1("migrate", "--dry-run", env=env)
    assert (dry.exit_code, {text.split()[0] for text in d1.statements}) == (0, {"SELECT"})
    assert dry.stdout == "".join(f"-- {name}\n{(FOLDER / name).read_text()}\n" for name in NAMES)
    assert b2d1("migrate", env=env).stdout == "".join(f"applied {name}\n" for name in NAMES)
    assert b2d1("migrate", env=env).stdout == "nothing to do: every migration is applied\n"
