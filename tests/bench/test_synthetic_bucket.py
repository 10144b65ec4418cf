"""The synthetic bucket: computed, not stored."""

import re
import tracemalloc

import pytest

from b2d1.media import ListMode
from bench.bucket import ALPHABETS, SyntheticBucket
from bench.pages import pages


@pytest.mark.parametrize("alphabet", sorted(ALPHABETS))
@pytest.mark.parametrize("objects", [1, 999, 1088, 20_000, 100_003])
def test_keys_ascend_in_byte_order(alphabet: str, objects: int) -> None:
    """Keys ascend strictly in the order of their bytes, at any size."""
    bucket = SyntheticBucket(alphabet, objects)
    keys = [bucket.key(index).encode() for index in range(objects)]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize(("alphabet", "ascii_only"), [("ascii", True), ("non-ascii", False)])
def test_keys_are_60_bytes_long_on_average(alphabet: str, ascii_only: bool) -> None:
    """Keys are 60 bytes long on average, give or take one, and all or none of them are ASCII."""
    bucket = SyntheticBucket(alphabet, 20_000)
    keys = [bucket.key(index) for index in range(20_000)]
    assert 59 <= sum(len(key.encode()) for key in keys) / len(keys) <= 61
    assert {key.isascii() for key in keys} == {ascii_only}


@pytest.mark.parametrize("mode", ["objects", "versions"])
def test_a_seed_decides_every_byte(mode: ListMode) -> None:
    """The same seed gives the same pages; another gives other ETags and version ids."""
    first, again = (list(pages(SyntheticBucket("ascii", 1500, seed=7), mode)) for _ in range(2))
    other = list(pages(SyntheticBucket("ascii", 1500, seed=8), mode))
    assert first == again
    for field in ("ETag", "VersionId") if mode == "versions" else ("ETag",):
        here, there = (re.findall(f"<{field}>(.*?)</{field}>", "".join(xml)) for xml in (first, other))
        assert len(set(here)) == 1500
        assert not set(here) & set(there)


def test_a_million_objects_take_no_memory() -> None:
    """A page far into a million objects is found by its key, within 3 MB."""
    tracemalloc.start()
    try:
        bucket = SyntheticBucket("non-ascii", 1_000_000)
        found = bucket.between(bucket.key(999_997), "")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found, peak < 3_000_000) == (range(999_998, 1_000_000), True)
