"""What readers wait for, measured and shown."""

import operator

import pytest
from conftest import FakeTime
from table_cells import cells

from bench.readers import in_rhythm, made_section, percentile


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        pytest.param([7.0], (7.0, 7.0, 7.0), id="one"),
        pytest.param([float(figure) for figure in range(100, 0, -1)], (50.0, 95.0, 100.0), id="a hundred"),
        pytest.param([1.0] * 94 + [9.0] * 6, (1.0, 9.0, 9.0), id="six of a hundred wait"),
    ],
)
def test_percentiles(figures: list[float], expected: tuple[float, ...]) -> None:
    """A percentile is a figure that was measured, and that so many per cent do not exceed."""
    assert tuple(percentile(figures, part) for part in (50, 95, 100)) == expected


def test_the_tables_show_waits_and_the_longest_publish() -> None:
    """Waits during the load stand above those at rest; the longest publish beside what it may take."""
    made = made_section(250_000, [[5.0, 7.0, 600.0], [4.0, 5.0]], [900.0, 1600.0])
    assert cells(made.table)[1:] == [
        ["during a first load", "3 times", "7.0 ms", "600.0 ms", "600.0 ms"],
        ["at rest", "2 times", "4.0 ms", "5.0 ms", "5.0 ms"],
    ]
    table = next(part for part in made.how.split("\n\n") if part.startswith("|"))
    assert cells(table)[1] == ["longest of 2 publishes", "at most 1.5 s", "1.60 s: not reached"]


@pytest.mark.parametrize(
    ("took", "waits"),
    [
        pytest.param([0.01, 0.02, 0.05], [10, 20, 50], id="each in time"),
        pytest.param([0.20, 0.01, 0.01], [200, 160, 120], id="two are kept waiting by the first"),
        pytest.param([0.12, 0.01, 0.01], [120, 80, 40], id="the third catches up"),
    ],
)
def test_who_was_kept_waiting_is_late_the_next_time(
    fake_time: FakeTime, took: list[float], waits: list[float]
) -> None:
    """Waits count from when each question was due, so one slow answer is felt by those behind it."""
    answers = iter(took)

    def ended(seconds: float) -> bool:
        fake_time.sleep(seconds)
        return operator.length_hint(answers) == 0

    told = in_rhythm(lambda: fake_time.sleep(next(answers)), ended, fake_time.clock)

    assert [round(wait, 6) for wait in told] == waits
