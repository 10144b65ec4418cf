"""A first load against a pipe of other programs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tables import cells

from bench import pipe, readers
from bench.databases import Databases
from bench.pipe import made_section, missing_programs, section
from bench.sizes import FULL, QUICK

LOAD, PIPE = [4.0, 5.0, 4.5], [13.0, 12.0, 14.0]
HEAD = ["100,000 objects from nothing, 100 ms a page", "b2d1", "the pipe", "to reach", "reached"]


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    with Databases(print) as databases:
        yield databases


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tell where the programs of the pipe are sought during the test."""
    monkeypatch.setattr(pipe, "PROGRAMS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("pipes", "missing", "row"),
    [
        pytest.param(
            PIPE,
            [],
            ["13.0 s (12.0 to 14.0)", "at least 2.5 times faster", "2.9 times faster"],
            id="reached",
        ),
        pytest.param(
            [9.0],
            [],
            ["9.0 s (9.0 to 9.0)", "at least 2.5 times faster", "2.0 times faster: not reached"],
            id="not reached",
        ),
        pytest.param(
            [],
            ["rclone", "sqlite-utils"],
            ["", "at least 2.5 times faster", "not measured: rclone, sqlite-utils not installed"],
            id="not installed",
        ),
    ],
)
def test_the_table_shows_medians_or_what_is_missing(
    pipes: list[float], missing: list[str], row: list[str]
) -> None:
    """Medians stand beside one another; a pipe that is not installed is named, not left out."""
    made = made_section(LOAD, pipes, missing, FULL)
    assert cells(made.table) == [HEAD, ["first load", "4.5 s (4.0 to 5.0)", *row]]
    assert f"\n\n    {pipe.COMMAND}\n\n" in made.how


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
