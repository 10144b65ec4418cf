"""Whatever a host gets wrong, a listing has every key of the bucket, or it ends with exit 3."""

import functools
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from faulty_host import Faults, FaultyHost, faults, rows, some_keys
from hypothesis import given, settings
from hypothesis import strategies as st
from listings import EAGER, Buckets, Listed, listed

from b2d1.errors import B2Error
from b2d1.media import ListMode

MODES: list[ListMode] = ["objects", "versions"]
# The long form: B2D1_EXAMPLES=2000 python -m pytest tests/test_faulty_hosts.py
EXAMPLES = int(os.environ.get("B2D1_EXAMPLES", "150"))


@pytest.fixture(scope="module")
def make() -> Iterator[Buckets]:
    with ExitStack() as servers:
        yield Buckets(servers)


def listed_eagerly(make: Buckets, host: FaultyHost, workers: int, prefix: str = "") -> Listed:
    """List a host, in ranges as soon as there are several workers."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in EAGER.items():
            patch.setattr(f"b2d1.{name}", value)
        bucket = make(host, host.mode, workers=workers, prefix=prefix)  # type: ignore[arg-type]
        return listed(bucket, functools.partial(list, some_keys(host)))


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    data=st.data(),
    wrong=faults(),
    size=st.integers(4, 9),
    workers=st.sampled_from([1, 1, 2, 4]),
    seed=st.integers(0, 2**32),
)
def test_a_listing_has_every_key_or_ends_with_exit_3(
    make: Buckets, *, mode: ListMode, data: st.DataObject, wrong: Faults, size: int, workers: int, seed: int
) -> None:
    host = FaultyHost(data.draw(rows(mode, wrong)), mode, size, wrong, seed)
    prefix = "" if wrong.token else data.draw(st.sampled_from(["", "a", "b/"]))
    try:
        found = listed_eagerly(make, host, workers, prefix)
    except B2Error:  # exit 3
        return
    # A listing of nothing is refused by the run itself: an empty bucket looks the same.
    if found.discovered:
        assert found.keys == [key for key in host.keys if key.startswith(prefix)]


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), size=st.integers(1, 7), workers=st.sampled_from([1, 2, 4]), seed=st.integers(0, 2**32))
def test_a_host_without_a_fault_is_never_refused(
    make: Buckets, *, mode: ListMode, data: st.DataObject, size: int, workers: int, seed: int
) -> None:
    """Hidden files that leave pages short or empty, keys with many versions, pages of one row."""
    host = FaultyHost(data.draw(rows(mode, Faults())), mode, size, Faults(), seed)
    prefix = data.draw(st.sampled_from(["", "", "a", "b/"]))

    found = listed_eagerly(make, host, workers, prefix)

    assert found.keys == [key for key in host.keys if key.startswith(prefix)]
