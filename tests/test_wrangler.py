"""What an operator may do with wrangler in place of b2d1: migrate, and execute the SQL of a dry run."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from conftest import AnyD1, Stack

from b2d1.table.schema import COLUMNS
from sandbox.cloudflare import CloudflareD1
from sandbox.wrangler import LocalDatabase, Wrangler

pytestmark = pytest.mark.slow

Run = Callable[..., Result]

DATABASES = [LocalDatabase("lgfc_lite", "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39")]
NAMES = ["0010_media_assets.sql", "0011_media_ingest.sql"]
HOSTILE = [
    *(
        "a\r\nb",
        "a\rb",
        "a\nb",
        "\r\n",
        "\t",
        "\x1b[2J",
        "\x7f",
        " k",
        "k ",
        "  ",
        "\u00a0",
        "\u2028",
    ),
    *("\x85", "\x9b31m", "\xad", "\u200b", "\u2029", "\u202egpj", "\u2066a\u2069", "\u3000", "\ue000"),
    *("\U000e0001", "\U000f0000", "\U0001fffe", "👨\u200d👩", "\\\u202e\\"),
    *("'", "''", '"', "it's", '"quoted"', "`", "\\", "\\n", "\\u0041", "%", "%0D%0A", "?1", ":a", "@a", "$a"),
    *(";", "a;b", ";\n--", "-- x", "/* x */", "*/", "'); DROP TABLE media_assets; --", "$$", "{{x}}"),
    *(
        "BEGIN TRANSACTION;",
        "begin transaction",
        "COMMIT;",
        "SAVEPOINT a;",
        "BEGIN;\nEND;",
        "END",
        "NULL",
        "123",
    ),
    *(
        "写真",
        "é",
        "e\u0301",
        "🎞",
        "𝄞",
        "\ufeff",
        "\uffff",
        "\U0010ffff",
        '["[1,2]", {"a": null}]',
        "x" * 1000,
    ),
]


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Provide an inventory of objects with keys of every kind, more than two statements of SQL take."""
    keys = sorted({f"{'k' * number}{key}" for key in HOSTILE for number in range(6)}, key=str.encode)
    objects = [
        {"key": key, "size": 2**53 + number, "etag": f'"{number:032x}"', "file_id": f'"{number:032x}"'}
        for number, key in enumerate(keys)
    ]
    path = tmp_path / "inventory.json"
    path.write_text(json.dumps({"objects": objects}))
    assert len(objects) >= 300
    return path


@pytest.fixture
def project(tmp_path: Path) -> Wrangler:
    """Provide a wrangler project with an engine of its own, not running."""
    return Wrangler(tmp_path / "project", DATABASES)


def table(d1: AnyD1) -> list[tuple[Any, ...]]:
    with closing(d1.connect()) as connection:
        return connection.execute(f"SELECT id, {', '.join(COLUMNS)} FROM media_assets ORDER BY id").fetchall()


def test_the_sql_of_a_dry_run_makes_with_wrangler_the_rows_of_the_run(
    wrangler: Callable[[], CloudflareD1], b2d1: Run, project: Wrangler, inventory: Path, tmp_path: Path
) -> None:
    """Fed by wrangler, a database has row for row what b2d1 writes, and nothing left to migrate."""
    with wrangler() as d1:
        assert b2d1("migrate", env=d1.settings()).exit_code == 0
        dry = b2d1("ingest", str(inventory), "--dry-run", env=d1.settings())
        assert (dry.exit_code, table(d1)) == (0, [])
        assert b2d1("ingest", str(inventory), env=d1.settings()).exit_code == 0
        written = table(d1)
    (tmp_path / "dry-run.sql").write_bytes(dry.stdout_bytes)

    project.apply_migrations("lgfc_lite")
    project.execute_file("lgfc_lite", tmp_path / "dry-run.sql")

    assert dry.stdout.replace("\n", "").isprintable()
    assert [row[2] for row in written] == [
        each["key"] for each in json.loads(inventory.read_text())["objects"]
    ]
    with project, CloudflareD1(project) as d1:
        assert table(d1) == written
        assert b2d1("migrate", env=d1.settings()).stdout == "nothing to do: every migration is applied\n"


def test_wrangler_has_nothing_to_migrate_after_b2d1(project: Wrangler, b2d1: Run) -> None:
    """What b2d1 migrated, wrangler lists as applied and does not apply again."""
    before = project.run("d1", "migrations", "list", "lgfc_lite", "--local")
    with project, CloudflareD1(project) as d1:
        applied = b2d1("migrate", env=d1.settings()).stdout

    after = [
        project.run("d1", "migrations", "list", "lgfc_lite", "--local"),
        project.apply_migrations("lgfc_lite"),
    ]

    assert applied == "".join(f"applied {name}\n" for name in NAMES)
    assert [name in before for name in NAMES] == [True, True]
    assert ["No migrations to apply!" in said for said in after] == [True, True]
    assert [name in said for said in after for name in NAMES] == [False] * 4


@pytest.mark.parametrize("command", ["sync", "migrate"])
def test_wrangler_executes_what_a_dry_run_with_nothing_to_do_prints(
    stack: Stack, project: Wrangler, b2d1: Run, tmp_path: Path, command: str
) -> None:
    """A script that executes the file of every dry run does not fail, and changes nothing."""
    stack.b2.put("a", b"1")
    stack.sync()
    project.apply_migrations("lgfc_lite")

    dry = b2d1(command, "--dry-run", env=stack.env)
    (tmp_path / "plan.sql").write_bytes(dry.stdout_bytes)
    project.execute_file("lgfc_lite", tmp_path / "plan.sql")

    assert dry.exit_code == 0
    with project, CloudflareD1(project) as d1:
        assert table(d1) == []


def test_wrangler_executes_what_a_dry_migrate_prints(
    project: Wrangler, b2d1: Run, d1: AnyD1, tmp_path: Path
) -> None:
    """The SQL of all migrations makes the tables, and executing it again fails on none of them."""
    dry = b2d1("migrate", "--dry-run", env=d1.settings())
    (tmp_path / "plan.sql").write_bytes(dry.stdout_bytes)
    project.execute_file("lgfc_lite", tmp_path / "plan.sql")
    project.execute_file("lgfc_lite", tmp_path / "plan.sql")

    with project, CloudflareD1(project) as engine:
        assert table(engine) == []
