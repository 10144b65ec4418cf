"""How much is measured: all that the document needs, or so little that it fits into a test run."""

from typing import NamedTuple


class Sizes(NamedTuple):
    """Pages and rounds of listing for CPU; objects of whole runs; the latency of a page (seconds)."""

    pages: int
    rounds: int
    buckets: tuple[int, ...]
    parallel: int
    latency: float
    parallel_rounds: int
    piped: int
    read_during: int


FULL = Sizes(
    pages=20,
    rounds=7,
    buckets=(10_000, 100_000, 300_000, 1_000_000),
    parallel=1_000_000,
    latency=0.1,
    parallel_rounds=3,
    piped=100_000,
    read_during=250_000,
)
QUICK = Sizes(
    pages=2,
    rounds=1,
    buckets=(60_000,),
    parallel=60_000,
    latency=0.02,
    parallel_rounds=1,
    piped=3_000,
    read_during=12_000,
)
