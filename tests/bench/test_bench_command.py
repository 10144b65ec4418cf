"""`python -m bench`."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import listing, machine, plot
from bench.tables import Point, Section, grid

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CPU = Section("CPU", grid([("what", "reached"), ("listing", "16 times")]), "In turns.", [])
RUNS = Section("Runs", grid([("what", "reached"), ("memory", "99 MB")]), "Whole.", [], (Point(9, 1.5, 99.0),))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tell where the command keeps its figures during the test; nothing there can draw."""
    monkeypatch.setattr(command, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(command, "PICTURE", tmp_path / "RESULTS.svg")
    monkeypatch.setattr(plot, "PYTHON", tmp_path / "python")
    return tmp_path / "RESULTS.md"


@pytest.fixture
def bench(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command with sections that were measured before: `bench([CPU, RUNS], "--quick")`."""

    def run(sections: list[Section], *arguments: str) -> int:
        measured = dict(zip(("cpu", "parallel", "runs"), sections, strict=False))
        monkeypatch.setattr(
            command, "SECTIONS", {name: lambda *_, each=each: each for name, each in measured.items()}
        )
        monkeypatch.setattr(command, "COUNTED", tuple(measured)[:1])
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        return command.main()

    return run


def test_a_quick_run_counts() -> None:
    """All contenders bring the same, all counts hold on the real engine too, and no figure is kept."""
    before = command.RESULTS.read_bytes()
    line = [sys.executable, "-W", "error", "-m", "bench", "--quick"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    rows = [line.split(" | ")[0].strip("| ") for line in done.stdout.splitlines() if line[:2] == "| "]
    assert (done.returncode, done.stderr) == (0, "")
    assert [title for title in rows if title.strip("-")] == [
        *("1,000 keys", *(case.title for case in listing.CASES)),
        *("60,000 objects, 20 ms a page", "b2d1 inventory", "its list requests", "its requests in flight"),
        *("b2d1 sync, nothing new", "its list requests", "its requests in flight"),
        *("whole runs", "60,000 objects, all new: peak memory", "its D1 requests"),
        *("its rows written for each new row", "its rounds", "it took"),
        *("60,000 objects, nothing new: peak memory", "its D1 requests", "its rows written"),
        *("bucket, nothing new", "60,000 objects"),
    ]
    assert command.RESULTS.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        pytest.param([], ["CPU", "Runs"], id="all"),
        pytest.param(["--quick"], ["CPU"], id="quick"),
        pytest.param(["--only", "parallel"], ["Runs"], id="one section"),
    ],
)
def test_sections_are_printed_as_chosen(
    bench: Callable[..., int],
    kept: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    shown: list[str],
) -> None:
    """Only what was asked for is measured, and only a whole measurement is kept."""
    assert bench([CPU, RUNS], *arguments) == 0
    assert re.findall("## (.*)", capsys.readouterr().out) == shown
    assert kept.exists() == (arguments == [])


def test_figures_with_a_wrong_count_are_not_kept(
    bench: Callable[..., int], kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was counted wrong is told, makes the command fail, and leaves the kept figures as they are."""
    assert bench([CPU, RUNS._replace(faults=["one object too few"])]) == 1
    assert (capsys.readouterr().err, kept.exists()) == ("one object too few\n", False)


def test_figures_are_kept_with_the_machine(bench: Callable[..., int], kept: Path) -> None:
    """RESULTS.md is the machine, no path of it, and every section; it says so where nothing could draw."""
    assert bench([CPU, RUNS]) == 0
    described = machine.description().replace("\n", "\n    ")
    assert kept.read_text("utf-8") == (
        f"# What b2d1 costs\n\nMade by `make bench`, on\n\n    {described}\n\n{CPU}\n{RUNS}\n"
        "(Not drawn: matplotlib is not installed.)\n"
    )
    assert not re.search(r"(?<!\w)/\w+/", described)


def test_points_are_drawn(bench: Callable[..., int], kept: Path) -> None:
    """The environment of its own is given the points, and RESULTS.md shows what it drew."""
    plot.PYTHON.write_text('#!/bin/sh\ncat > "$3"\n')
    plot.PYTHON.chmod(0o755)
    assert bench([CPU, RUNS]) == 0
    drawn = kept.with_name("RESULTS.svg").read_text("utf-8")
    assert drawn == '{"points": [[9, 1.5, 99.0]], "most_memory": 110}'
    assert kept.read_text("utf-8").endswith(
        f"{RUNS}\n![Throughput and peak memory over bucket size](RESULTS.svg)\n"
    )
