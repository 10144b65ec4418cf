"""What is made of 16 connections against one."""

import pytest
from table_cells import cells

from bench.list_server import Counts
from bench.parallel import Comparison, Timed, made_section
from bench.runner import Ran
from bench.sizes import FULL

SIZES = FULL._replace(parallel=100_000)


def timed(seconds: float, requests: int, in_flight: int, digest: str = "abc") -> Timed:
    return Timed(Ran(seconds, 90.0, "", ""), digest, Counts(requests, in_flight))


ONE = timed(11.0, 101, 1)


def compared(one: Timed, *many: Timed, command: str = "b2d1 inventory") -> Comparison:
    return Comparison(command, 100_000, one, list(many))


@pytest.mark.parametrize(
    ("one", "many", "faults"),
    [
        pytest.param(ONE, timed(1, 102, 16), [], id="as it should be"),
        pytest.param(ONE, timed(99, 102, 16), [], id="time is no matter"),
        pytest.param(ONE, timed(1, 100, 1), [], id="one connection was enough"),
        pytest.param(
            ONE, timed(1, 102, 16, "xyz"), ["16 workers found xyz, one found abc"], id="another listing"
        ),
        pytest.param(ONE, timed(1, 137, 16), ["16 workers made 137 requests"], id="requests too many"),
        pytest.param(ONE, timed(1, 100, 17), ["16 workers made 17 requests at once"], id="too many at once"),
        pytest.param(
            timed(11, 102, 2),
            timed(1, 100, 16),
            ["one worker made (requests, at once) (102, 2)"],
            id="one worker made too many",
        ),
    ],
)
def test_what_the_commands_did_is_checked(one: Timed, many: Timed, faults: list[str]) -> None:
    """Another listing, or too many requests altogether or at once, are faults; time is none."""
    comparison = compared(one, timed(1, 100, 16), many)
    expected = [f"b2d1 inventory, 100,000 objects: {fault}" for fault in faults]
    assert made_section([comparison], SIZES).faults == expected


def test_both_commands_must_find_the_same() -> None:
    """What `b2d1 inventory` prints has the digest that `b2d1 sync` reports."""
    other = compared(timed(11, 101, 1, "xyz"), timed(1, 100, 16, "xyz"), command="b2d1 sync, nothing new")
    made = made_section([compared(ONE, timed(1, 100, 16)), other], SIZES)
    assert made.faults == ["b2d1 inventory and b2d1 sync found different listings"]


def test_the_table_shows_medians_and_the_worst_counts() -> None:
    """Times are medians with their range; requests count at their worst; what is not reached says so."""
    slower = [timed(seconds, requests, 16) for seconds, requests in ((1.0, 103), (1.1, 102), (3.0, 104))]
    made = made_section([compared(ONE, *slower)], SIZES)
    assert cells(made.table) == [
        ["100,000 objects, 100 ms a page", "1 worker", "16 workers", "to reach", "reached"],
        [
            *("b2d1 inventory", "11.0 s", "1.1 s (1.0 to 3.0)"),
            *("at least 11 times faster", "10.0 times faster: not reached"),
        ],
        ["its list requests", "101", "102 to 104", "at most 3 % more", "4.0 % more: not reached"],
        ["its requests in flight", "1", "16", "", "16"],
    ]
