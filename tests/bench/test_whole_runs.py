"""What is made of whole runs."""

from typing import Any

import pytest
from table_cells import cells

from bench.sizes import FULL, QUICK, Sizes
from bench.whole_runs import Run, made_section

FIRST = {"discovered": 1000, "inserted": 1000, "missing_after": 0, "confirmed": True, "rounds": 2}
FIRST |= {"d1_requests": 18, "rows_written": 3001, "list_requests": 1}
AGAIN = FIRST | {"inserted": 0, "rounds": 0, "d1_requests": 6, "rows_written": 0}
SIZES = FULL._replace(buckets=(1000,))


def first(**report: Any) -> Run:
    return Run(1000, 1000, 900_000, FIRST | report, 2.0, 71.3)


def again(**report: Any) -> Run:
    return Run(1000, 0, 900_000, AGAIN | report, 0.5, 68.9)


@pytest.mark.parametrize(
    ("run", "faults"),
    [
        pytest.param(first(), [], id="as it should be"),
        pytest.param(first()._replace(seconds=9e9, peak_memory=9e9), [], id="time and memory are no matter"),
        pytest.param(first(discovered=999), ["discovered is 999"], id="an object too few"),
        pytest.param(first(inserted=999), ["inserted is 999"], id="a row too few"),
        pytest.param(first(missing_after=1), ["missing_after is 1"], id="a row not proven"),
        pytest.param(first(confirmed=False), ["confirmed is False"], id="an answer lost"),
        pytest.param(first(d1_requests=19), ["d1_requests is 19"], id="a request too many"),
        pytest.param(first(rows_written=3002), ["rows_written is 3002"], id="too much written"),
        pytest.param(again(), [], id="nothing new"),
        pytest.param(again(d1_requests=7), ["d1_requests is 7"], id="nothing new, a request too many"),
        pytest.param(again(rows_written=1), ["rows_written is 1"], id="nothing new, something written"),
    ],
)
def test_what_a_run_did_is_checked(run: Run, faults: list[str]) -> None:
    """Objects, rows, requests and rows written beyond their bounds are faults; time and memory are none."""
    assert made_section([run], SIZES).faults == [f"{run.title}: {fault}" for fault in faults]


def test_the_table_shows_figures_beside_their_bounds() -> None:
    """Memory, requests and rows written of the largest bucket stand beside what they may be."""
    assert cells(made_section([first(), again()], SIZES).table) == [
        ["whole runs", "to reach", "reached"],
        ["1,000 objects, all new: peak memory", "at most 120 MB", "71 MB"],
        ["its D1 requests", "at most 18", "18"],
        ["its rows written for each new row", "at most 3.001", "3.0010"],
        ["its rounds", "", "2"],
        ["it took", "", "2 s"],
        ["1,000 objects, nothing new: peak memory", "at most 110 MB", "69 MB"],
        ["its D1 requests", "at most 6", "6"],
        ["its rows written", "at most 0", "0"],
    ]


@pytest.mark.parametrize(
    ("peak_memory", "growth"),
    [
        pytest.param(108.0, "8 %", id="flat"),
        pytest.param(90.0, "-10 %", id="less"),
        pytest.param(110.5, "10 %: not reached", id="by more than a tenth"),
    ],
)
def test_memory_is_compared_with_that_of_100_000_objects(peak_memory: float, growth: str) -> None:
    """The largest bucket's memory with nothing new stands beside that of 100,000 objects."""
    runs = [
        again()._replace(objects=size, peak_memory=memory)
        for size, memory in ((100_000, 100.0), (1_000_000, peak_memory))
    ]
    rows = cells(made_section(runs, FULL).table)
    assert rows[2] == ["more of it than 100,000 objects take", "at most 10 %", growth]


@pytest.mark.parametrize("sizes", [FULL, QUICK])
def test_every_size_is_a_point(sizes: Sizes) -> None:
    """For each size the run with nothing new is a row of its own table, and a point of the picture."""
    runs = [run._replace(objects=size) for size in sizes.buckets for run in (first(), again())]
    made = made_section(runs, sizes)
    assert made.points == tuple((size, size / 0.5, 68.9) for size in sizes.buckets)
    shown = cells(made.how.split("\n\n")[1])
    assert shown[1:] == [
        [f"{size:,} objects", "0.5 s", f"{2 * size:,}", "69 MB", "6", "1"] for size in sizes.buckets
    ]
