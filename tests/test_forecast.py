"""What a first load is said to cost on D1's free plan."""

import logging
import re

import pytest
from conftest import Stack
from hypothesis import given
from hypothesis import strategies as st
from objects import NoBucket, Objects, execute, numbered, run

from b2d1.sync.forecast import FREE_ROWS_A_DAY, free_plan


@pytest.mark.parametrize(
    ("new", "due", "indexes"),
    [
        pytest.param(0, 0, 2, id="nothing"),
        pytest.param(33_000, 33_000, 2, id="the last that fits"),
        pytest.param(1_000_000, 33_000, 2, id="bounded by MAX_NEW_PER_RUN"),
        pytest.param(99_000, 99_000, 0, id="without any index"),
    ],
)
def test_what_a_day_allows_needs_no_word(new: int, due: int, indexes: int) -> None:
    """A load that the free plan takes in a day is not spoken of."""
    assert free_plan(new, due, indexes) == ""


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        pytest.param(
            (33_001, 33_001, 2),
            "inserting 33,001 rows writes about 99,003: one for the table and one for each of its 2 "
            "indexes. "
            "D1's free plan allows 100,000 a day; there MAX_NEW_PER_RUN=33000 "
            "spreads the 33,001 new rows over 2 daily runs",
            id="one too many",
        ),
        pytest.param(
            (1_000_000, 40_000, 3),
            "inserting 40,000 rows writes about 160,000: one for the table and one for each of its 3 "
            "indexes. "
            "D1's free plan allows 100,000 a day; there MAX_NEW_PER_RUN=24750 "
            "spreads the 1,000,000 new rows over 41 daily runs",
            id="a bound that is too high",
        ),
    ],
)
def test_a_load_of_several_days_is_told_with_what_spreads_it(
    figures: tuple[int, int, int], said: str
) -> None:
    """Rows written, the allowance, the setting and the days are told, each as it is."""
    assert free_plan(*figures) == said


@given(new=st.integers(1, 10_000_000), indexes=st.integers(0, 20))
def test_the_advice_holds(new: int, indexes: int) -> None:
    """Whoever follows it gets no such word again, and is done in as many days, and not in one day less."""
    said = free_plan(new, new, indexes)
    if not said:
        assert new * (1 + indexes) <= FREE_ROWS_A_DAY
        return
    most = int(re.findall(r"MAX_NEW_PER_RUN=(\d+)", said)[0])
    days = int(re.findall(r"over ([\d,]+) daily", said)[0].replace(",", ""))
    assert free_plan(new, most, indexes) == ""
    assert (days - 1) * most < new <= days * most


@pytest.fixture
def b2() -> NoBucket:
    """Take the place of a bucket: the objects come from elsewhere."""
    return NoBucket()


class TestInARun:
    """When a run says it."""

    @pytest.mark.parametrize("dry_run", [False, True])
    def test_it_is_said_before_anything_is_written(
        self, stack: Stack, caplog: pytest.LogCaptureFixture, *, dry_run: bool
    ) -> None:
        """The table's own indexes are counted, and the run, or its rehearsal, goes on all the same."""
        extra = [f"CREATE INDEX more{number} ON media_assets (size, etag);" for number in range(20)]
        execute(stack.d1, "".join(extra))
        with caplog.at_level(logging.INFO, "b2d1"):
            report, _ = run(stack, Objects(numbered(4_500)), dry_run=dry_run)
        told = [record.getMessage() for record in caplog.records]
        said = free_plan(4_500, 4_500, 22)
        assert said.startswith(
            "inserting 4,500 rows writes about 103,500: one for the table and one for each"
        )
        assert told.count(said) == 1
        assert told.index(said) == 1  # after the line that names the database, before that of the round
        assert (report.inserted, report.rows_written) == ((0, 0) if dry_run else (4_500, 23 * 4_500 + 1))

    def test_an_ordinary_run_does_not_speak_of_it(
        self, stack: Stack, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A run that the free plan takes says nothing."""
        with caplog.at_level(logging.INFO, "b2d1"):
            run(stack, Objects(numbered(10)))
        assert "free plan" not in caplog.text
