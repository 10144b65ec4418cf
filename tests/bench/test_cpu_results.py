"""The CPU that listing took, checked and shown."""

import pytest
from table_cells import cells

from bench.results import Case, Measurement, Result, section


def result(**brought: tuple[float, int, int, str]) -> Result:
    case = Case("listing", "uids", "objects", "ascii", target=16)
    return Result(case, 2000, {name: [Measurement(*each)] for name, each in brought.items()})


@pytest.mark.parametrize(
    ("b2d1", "floor", "faulty"),
    [
        pytest.param((1, 2000, 2, "abc"), (1, 2000, 0, "abc"), [], id="all alike"),
        pytest.param((9, 2000, 2, "abc"), (9, 2000, 0, "abc"), [], id="time is no matter"),
        pytest.param((1, 1999, 2, "abc"), (1, 2000, 0, "abc"), ["b2d1"], id="an object too few"),
        pytest.param((1, 2000, 3, "abc"), (1, 2000, 0, "abc"), ["b2d1"], id="a request too many"),
        pytest.param((1, 2000, 2, "xyz"), (1, 2000, 0, "abc"), ["b2d1"], id="another uid"),
        pytest.param((1, 2000, 2, "abc"), (1, 2000, 2, "xyz"), ["floor"], id="the floor asked the server"),
    ],
)
def test_what_a_contender_brings_is_checked(
    b2d1: tuple[float, int, int, str], floor: tuple[float, int, int, str], faulty: list[str]
) -> None:
    """A wrong number of objects or requests, or another digest than stock's, is a fault; time is none."""
    faults = result(b2d1=b2d1, stock=(1, 2000, 2, "abc"), floor=floor).faults()
    assert [fault.split()[1] for fault in faults] == faulty


def test_every_round_is_checked() -> None:
    """One wrong round among right ones is found."""
    right, wrong = Measurement(1, 2000, 2, "abc"), Measurement(1, 2000, 1, "abc")
    case = result().case
    taken = {"b2d1": [right, wrong, right], "stock": [right, right, right]}
    assert len(Result(case, 2000, taken).faults()) == 1


def test_the_table_shows_medians_ratios_and_the_target() -> None:
    """Figures are medians for 1,000 keys; the ratio has its range, and stands beside its target."""
    b2d1 = [Measurement(seconds, 2000, 2, "") for seconds in (0.010, 0.008, 0.016)]
    stock = [Measurement(seconds, 2000, 2, "") for seconds in (0.200, 0.120, 0.160)]
    made = section([Result(result().case, 2000, {"b2d1": b2d1, "stock": stock})], 2, 3)
    assert cells(made.table) == [
        ["1,000 keys", "b2d1", "stock boto3", "floor", "by round", "to reach", "reached"],
        *[
            [
                "listing",
                "5.00 ms",
                "80.00 ms",
                "",
                "10.0 to 20.0",
                "at least 16 times less",
                "16.0 times less",
            ]
        ],
    ]
