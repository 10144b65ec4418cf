"""A first load against a pipe of other programs."""

import pytest
from table_cells import cells

from bench import pipe
from bench.pipe import made_section
from bench.sizes import FULL

LOAD, PIPE = [4.0, 5.0, 4.5], [13.0, 12.0, 14.0]
HEAD = ["100,000 objects from nothing, 100 ms a page", "b2d1", "the pipe", "to reach", "reached"]


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
