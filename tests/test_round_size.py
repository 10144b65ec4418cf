"""How many rows a round takes: what D1 publishes in about a second."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2d1.sync.round_size import (
    FIRST_ROWS,
    LEAST_SHARE,
    MOST_GROWTH,
    TARGET_SECONDS,
    TOLERATED_SECONDS,
    RoundSize,
)

ROWS = st.integers(1, 1_000_000)
SECONDS = st.none() | st.floats(0, 45, exclude_min=True)


@pytest.mark.parametrize(
    ("most", "due", "rows"),
    [
        pytest.param(100_000, 1, 100_000, id="a row"),
        pytest.param(100_000, 100_000, 100_000, id="what fits into one round stays one"),
        pytest.param(100_000, 100_001, 25_000, id="a row more, and the first is smaller"),
        pytest.param(30_000, 1_000_000, 25_000, id="little more than a first round"),
        pytest.param(25_000, 1_000_000, 25_000, id="as many as a first round"),
        pytest.param(1_000, 1_000_000, 1_000, id="fewer than a first round"),
        pytest.param(1, 2, 1, id="a row a round"),
    ],
)
def test_the_first_round_is_small_only_where_there_are_several(most: int, due: int, rows: int) -> None:
    """A run that fits into one round is never divided; one that does not begins where readers wait little."""
    assert RoundSize(most, due).rows == rows


@pytest.mark.parametrize(
    ("rounds", "sizes"),
    [
        pytest.param([0.13, 0.27, 0.53], [50_000, 100_000, 100_000], id="fast: doubled up to the most"),
        pytest.param([1.0, 1.25, 1.1], [25_000] * 3, id="about a second is kept"),
        pytest.param([0.5, 2.0, 1.0], [50_000, 25_000, 25_000], id="twice too long: half"),
        pytest.param([1.26], [19_841], id="a little too long: a little less"),
        pytest.param([0.8, 0.9], [31_250, 34_722], id="a little time left: a little more"),
        pytest.param([44.0, 44.0], [6_250, 1_562], id="far too long: a quarter, not less"),
        pytest.param([0.001], [50_000], id="no time at all: twice as much, not more"),
        pytest.param([8.0, 0.2, 0.3, 0.5], [6_250, 12_500, 25_000, 50_000], id="a fluke is grown out of"),
        pytest.param([None, 0.5, None], [25_000, 50_000, 50_000], id="unknown: as it was"),
    ],
)
def test_the_next_round_goes_by_what_the_last_took(rounds: list[float | None], sizes: list[int]) -> None:
    """Each round takes what D1 would publish in a second, as far as one round tells."""
    size = RoundSize(100_000, 1_000_000)
    assert [_after(size, seconds) for seconds in rounds] == sizes


@pytest.mark.parametrize(
    ("seconds", "too_long"), [(None, False), (0.1, False), (1.25, False), (1.26, True), (44.0, True)]
)
def test_it_tells_what_took_too_long(seconds: float | None, *, too_long: bool) -> None:
    """Whoever waits much longer than a second is to be told of."""
    assert RoundSize(100, 1000).took(50, seconds) is too_long


def test_what_d1_refused_is_never_tried_again() -> None:
    """Half of what was too much stays the most there is, however fast it goes, and is halved again."""
    size = RoundSize(100_000, 1_000_000)
    size.refused(80_001)
    sizes = [size.rows, *(_after(size, 0.01) for _ in range(3)), _after(size, 4.0), _after(size, 0.5)]
    assert sizes == [40_000, 40_000, 40_000, 40_000, 10_000, 20_000]
    size.refused(20_000)
    assert [size.rows, _after(size, 0.01)] == [10_000, 10_000]


def _after(size: RoundSize, seconds: float | None) -> int:
    size.took(size.rows, seconds)
    return size.rows


@given(most=ROWS, due=ROWS, rounds=st.lists(st.tuples(SECONDS, st.booleans()), max_size=30))
def test_rounds_neither_leap_nor_leave_their_bounds(
    most: int, due: int, rounds: list[tuple[float | None, bool]]
) -> None:
    """Whatever D1 says it took: a row at least, never above the bound, never leaping."""
    size = RoundSize(most, due)
    for seconds, refused in rounds:
        rows = size.rows
        if refused and rows > 1:
            size.refused(rows)
        else:
            size.took(rows, seconds)
        assert 1 <= size.rows <= min(most, rows * MOST_GROWTH)
        assert size.rows >= int(rows * LEAST_SHARE)
        assert refused or seconds is not None or size.rows == rows


@given(rows_a_second=st.integers(FIRST_ROWS // 100, 10_000_000), most=st.integers(FIRST_ROWS, 1_000_000))
def test_readers_wait_about_a_second_before_long(rows_a_second: int, most: int) -> None:
    """Wherever D1's speed lies, after a few rounds each takes the target, or all that it may."""
    size = RoundSize(most, 10**9)
    sizes = list(
        itertools.accumulate(range(9), lambda rows, _: _after(size, rows / rows_a_second), initial=size.rows)
    )
    assert TARGET_SECONDS * 0.99 <= sizes[-1] / rows_a_second <= TOLERATED_SECONDS or sizes[-1] == most
    assert max(sizes) <= max(FIRST_ROWS, TOLERATED_SECONDS * rows_a_second)
