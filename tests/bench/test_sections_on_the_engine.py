"""Sections that are measured on Cloudflare's own D1 engine, as far as a quick run leaves them out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from table_cells import cells

from bench import pipe, readers
from bench.databases import Databases
from bench.pipe import missing_programs, section
from bench.sizes import QUICK

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    with Databases(print) as databases:
        yield databases


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tell where the programs of the pipe are sought during the test."""
    monkeypatch.setattr(pipe, "PROGRAMS", tmp_path)
    return tmp_path


def test_a_database_is_filled_once(databases: Databases) -> None:
    """Sections that need the same bucket's rows share the database, and what filling it took."""
    first = databases.filled(1500)
    assert databases.filled(1500) is first
    assert first.ran.report()["inserted"] == 1500
    assert databases.filled(1600).d1 is not first.d1


def test_without_the_programs_b2d1_is_measured_alone(databases: Databases, programs: Path) -> None:
    """Where rclone is not installed the load itself is still made and counted, on the real engine."""
    (programs / "sqlite-utils").touch()
    assert missing_programs() == ["rclone"]
    made = section(QUICK, databases, print)
    assert cells(made.table)[1][-1] == "not measured: rclone not installed"


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        pytest.param(QUICK.piped, None, id="all"),
        pytest.param(QUICK.piped - 1, r"\(2999,\) rows, not 3,000", id="one too few"),
    ],
)
def test_a_pipe_must_bring_every_row(
    databases: Databases, programs: Path, rows: int, error: str | None
) -> None:
    """A pipe that loses a row is an error, not a fast contender."""
    table = (
        "import sqlite3; base = sqlite3.connect('index.db'); base.execute('CREATE TABLE media_assets (key)')"
    )
    insert = f"base.executemany('INSERT INTO media_assets VALUES (?)', [(n,) for n in range({rows})])"
    for name, program in (
        ("rclone", ""),
        ("sqlite-utils", f"{table}; {insert}; base.commit(); base.close()"),
    ):
        (programs / name).write_text(f'#!/bin/sh\nexec python -c "{program}"\n')
        (programs / name).chmod(0o755)
    if error is None:
        assert "times" in cells(section(QUICK, databases, print).table)[1][-1]
    else:
        with pytest.raises(RuntimeError, match=error):
            section(QUICK, databases, print)


def test_a_reader_asks_during_a_load_and_after_it(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the real engine a reader is answered in both, and each insert into the table is timed by D1."""
    monkeypatch.setattr(readers, "AT_REST", 0.2)
    made = readers.section(QUICK, databases, print)
    assert [row[0] for row in cells(made.table)] == [readers.HEAD[0], "during a first load", "at rest"]
    assert made.how.count("longest of 1 publishes") == 1
