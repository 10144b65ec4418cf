"""Whether a listing holds much less than the one before it."""

import pytest

from b2d1.sync.shrinkage import shrunk_by


@pytest.mark.parametrize(
    ("before", "now", "lost"),
    [
        pytest.param(None, 0, 0, id="nothing is known"),
        pytest.param(0, 0, 0, id="empty as before"),
        pytest.param(0, 5, 0, id="the first objects"),
        pytest.param(1, 0, 1, id="the last object gone"),
        pytest.param(12_345, 17, 12_328, id="nearly all gone"),
        pytest.param(200, 100, 0, id="half of them"),
        pytest.param(201, 100, 101, id="more than half"),
        pytest.param(150, 51, 0, id="99 of few"),
        pytest.param(150, 50, 100, id="100 of few"),
        pytest.param(1_000_000, 500_001, 0, id="many, of more"),
        pytest.param(100, 1_000, 0, id="grown"),
    ],
)
def test_much_is_more_than_half_and_100_at_least_or_all(
    caplog: pytest.LogCaptureFixture, *, before: int | None, now: int, lost: int
) -> None:
    """What is gone is counted, and told in one warning with both counts, if it is much; else nothing is."""
    assert shrunk_by(before, now) == lost
    said = (
        f"the last snapshot has {before or 0:,} objects, this listing {now:,}: is the prefix right, or were "
    )
    said = (
        f"the last snapshot has {before or 0:,} objects, this listing {now:,}: "
        "are the prefix and B2_EXCLUDE right? "
    )
    assert caplog.messages == ([f"{said}Every row stays"] if lost else [])
