"""The benchmarks measure what they say they measure."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_start import STARTS

from bench import __main__ as command
from bench import listing, machine, start, writing
from bench.results import Case, Measurement, Result, table

ROOT = Path(__file__).resolve().parents[1]
OBJECTS = 1250
VERSION_ID = re.compile(r"4_z[0-9a-f]{24}_f[0-9a-f]{16}_d\d{8}_m\d{6}_c\d{3}_v\d{7}_t\d{4}_u0\d{13}")
ROWS = {"list_objects_v2": "Contents", "list_object_versions": "Versions"}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tell where the command keeps its figures during the test."""
    monkeypatch.setattr(command, "RESULTS", tmp_path / "RESULTS.md")
    return tmp_path / "RESULTS.md"


def result(**brought: tuple[float, int, int, str]) -> Result:
    case = Case("listing", "uids", "objects", "ascii", target=16)
    return Result(case, 2000, {name: [Measurement(*each)] for name, each in brought.items()})


def whole_run(**report: Any) -> writing.Run:
    told = {"inserted": 1000, "missing_after": 0, "confirmed": True, "d1_requests": 12, "rounds": 1}
    return writing.Run("1,000 objects", told | {"rows_written": 3001} | report, 71.3, 1000, 12)


class TestCommand:
    """`python -m bench`."""

    def test_a_quick_run_proves_that_all_contenders_bring_the_same(self) -> None:
        """Every case runs, every count holds, every digest agrees, and the kept figures stay as they are.

        So do whole runs on the real engine: rows, requests and rows written are within their bounds.
        """
        before = command.RESULTS.read_bytes()
        line = [sys.executable, "-W", "error", "-m", "bench", "--quick"]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        rows = [line.split(" | ")[0].strip("| ") for line in done.stdout.splitlines() if line[:2] == "| "]
        titles = [title for title in rows if title.strip("-")]
        assert (done.returncode, done.stderr) == (0, "")
        assert titles == [
            *("CPU for 1,000 keys", *(case.title for case in listing.CASES)),
            *("whole runs", "12,000 objects, all new", "12,000 objects, nothing new"),
        ]
        assert command.RESULTS.read_bytes() == before

    @pytest.mark.parametrize(
        ("arguments", "objects", "code"),
        [
            pytest.param(["--quick"], 2000, 0, id="a quick run"),
            pytest.param(["--quick"], 1999, 1, id="a quick run with a wrong count"),
            pytest.param([], 1999, 1, id="a full run with a wrong count"),
        ],
    )
    def test_figures_are_not_kept_without_need(
        self, kept: Path, arguments: list[str], objects: int, code: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A quick run keeps no figures, and a run with a wrong count keeps none and fails."""
        measured = [result(b2d1=(0.008, objects, 2, "abc"), stock=(0.16, 2000, 2, "abc"))]
        monkeypatch.setattr(listing, "measure", lambda *_: measured)
        monkeypatch.setattr(writing, "measure", lambda *_: [whole_run()])
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        assert (command.main(), kept.exists()) == (code, False)

    def test_figures_are_kept_with_the_machine(self, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """RESULTS.md has the table and tells the machine, and no path of it."""
        measured = [result(b2d1=(0.008, 2000, 2, "abc"), stock=(0.16, 2000, 2, "abc"))]
        monkeypatch.setattr(listing, "measure", lambda *_: measured)
        monkeypatch.setattr(writing, "measure", lambda *_: [whole_run()])
        monkeypatch.setattr(start, "build", lambda folder: folder)
        monkeypatch.setattr(start, "measure", lambda *_: STARTS)
        monkeypatch.setattr(sys, "argv", ["bench"])
        assert command.main() == 0
        text = kept.read_text("utf-8")
        assert table(measured) in text
        assert writing.table([whole_run()]) in text
        assert start.table(STARTS) in text
        assert [line for line in machine.description().splitlines() if f"    {line}\n" not in text] == []
        assert not re.search(r"(?<!\w)/\w+/", text)


class TestResults:
    """What is made of the measurements."""

    @pytest.mark.parametrize(
        ("b2d1", "floor", "faulty"),
        [
            pytest.param((1, 2000, 2, "abc"), (1, 2000, 0, "abc"), [], id="all alike"),
            pytest.param((9, 2000, 2, "abc"), (9, 2000, 0, "abc"), [], id="time is no matter"),
            pytest.param((1, 1999, 2, "abc"), (1, 2000, 0, "abc"), ["b2d1"], id="an object too few"),
            pytest.param((1, 2000, 3, "abc"), (1, 2000, 0, "abc"), ["b2d1"], id="a request too many"),
            pytest.param((1, 2000, 2, "xyz"), (1, 2000, 0, "abc"), ["b2d1"], id="another uid"),
            pytest.param(
                (1, 2000, 2, "abc"), (1, 2000, 2, "xyz"), ["floor"], id="the floor asked the server"
            ),
        ],
    )
    def test_what_a_contender_brings_is_checked(
        self, b2d1: tuple[float, int, int, str], floor: tuple[float, int, int, str], faulty: list[str]
    ) -> None:
        """A wrong number of objects or requests, or another digest than stock's, is a fault; time is none."""
        faults = result(b2d1=b2d1, stock=(1, 2000, 2, "abc"), floor=floor).faults()
        assert [fault.split()[1] for fault in faults] == faulty

    def test_every_round_is_checked(self) -> None:
        """One wrong round among right ones is found."""
        right, wrong = Measurement(1, 2000, 2, "abc"), Measurement(1, 2000, 1, "abc")
        case = result().case
        taken = {"b2d1": [right, wrong, right], "stock": [right, right, right]}
        assert len(Result(case, 2000, taken).faults()) == 1

    def test_the_table_shows_medians_ratios_and_the_target(self) -> None:
        """Figures are medians for 1,000 keys; the ratio has its range, and stands beside its target."""
        b2d1 = [Measurement(seconds, 2000, 2, "") for seconds in (0.010, 0.008, 0.016)]
        stock = [Measurement(seconds, 2000, 2, "") for seconds in (0.200, 0.120, 0.160)]
        rows = table([Result(result().case, 2000, {"b2d1": b2d1, "stock": stock})]).splitlines()
        head, _, cells = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
        assert dict(zip(head, cells, strict=True)) == {
            "CPU for 1,000 keys": "listing",
            "b2d1": "5.00 ms",
            "stock boto3": "80.00 ms",
            "floor": "",
            "times less than stock": "16.0",
            "by round": "10.0 to 20.0",
            "to reach": "16",
        }


class TestWholeRuns:
    """What is made of whole runs."""

    @pytest.mark.parametrize(
        ("report", "faults"),
        [
            pytest.param({}, [], id="as it should be"),
            pytest.param({"duration_ms": 10**9}, [], id="time is no matter"),
            pytest.param({"inserted": 999}, ["inserted is 999"], id="a row too few"),
            pytest.param({"missing_after": 1}, ["missing_after is 1"], id="a row not proven"),
            pytest.param({"confirmed": False}, ["confirmed is False"], id="an answer lost"),
            pytest.param({"d1_requests": 13}, ["d1_requests is 13"], id="a request too many"),
            pytest.param({"rows_written": 3011}, ["rows_written is 3011"], id="too much written"),
        ],
    )
    def test_what_a_run_did_is_checked(self, report: dict[str, Any], faults: list[str]) -> None:
        """Rows, requests and rows written beyond their bounds are faults; time is none."""
        assert whole_run(**report).faults() == [f"1,000 objects: {fault}" for fault in faults]

    def test_the_table_shows_figures_beside_their_bounds(self) -> None:
        """Memory, requests and rows written a row stand beside what they may be."""
        head, _, cells = (
            [cell.strip() for cell in row.strip("|").split("|")]
            for row in writing.table([whole_run()]).splitlines()
        )
        assert list(zip(head, cells, strict=True)) == [
            ("whole runs", "1,000 objects"),
            ("peak memory", "71 MB"),
            ("to reach", "120 MB"),
            ("D1 requests", "12"),
            ("at most", "12"),
            ("rows written a new row", "3.0010"),
            ("at most", "3.01"),
            ("rounds", "1"),
        ]
