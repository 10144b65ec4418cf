"""Ranges tile the keys, whenever a worker comes for its next range or with its next page."""

import dataclasses
import threading
from bisect import bisect_right
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2d1.b2.bucket import Page
from b2d1.listing.ranges import WORTH_HALVING, KeyRange, Ranges
from b2d1.listing.walk import Walk
from b2d1.media import MediaObject

# Nothing is asked of a bucket here: pages are what the tests make of them.
NO_BUCKET: Any = None


def page(keys: list[str], *, more: bool) -> Page:
    objects = [MediaObject(key, 1, "", '"e"', '"e"') for key in keys if not key.endswith("u")]
    unidentified = [key for key in keys if key.endswith("u")]
    return Page(objects, unidentified, keys, len(keys), {"at": 1} if more else None)


class WouldWait(Exception):
    """Raised where a worker would wait for others, who are all in this one thread."""


def never_waiting(ranges: Ranges) -> Ranges:
    def wait() -> None:
        raise WouldWait

    ranges._changed.wait = wait  # type: ignore[assignment,method-assign]
    return ranges


@dataclasses.dataclass
class Worker:
    """A worker on its way: its range, how far that is listed, and the page that it waits for."""

    part: KeyRange | None = None
    place: int = 0
    coming: Page | None = None


class Simulation:
    """Workers that list keys in pages, one step of one of them at a time."""

    def __init__(self, keys: list[str], size: int, points: list[str], workers: int) -> None:
        self.found: dict[str, list[str]] = {}
        self._keys = keys
        self._size = size
        first = KeyRange(Walk(NO_BUCKET))
        self.ranges = never_waiting(Ranges(NO_BUCKET, first))
        self.ranges.divide_at(points)
        self.workers = [Worker() for _ in range(workers)]

    def step(self, worker: Worker) -> None:
        """Let a worker claim a range, ask for a page, or come with one; or leave when there is no range."""
        if worker.part is None:
            with suppress(WouldWait):
                worker.part = self.ranges.claim()
                if worker.part is None:
                    self.workers.remove(worker)
                else:
                    worker.place = bisect_right(self._keys, worker.part.after)
        elif worker.coming is None:
            end = worker.place + self._size
            worker.coming = page(self._keys[worker.place : end], more=end < len(self._keys))
            worker.place = end
        else:
            batch = self.ranges.take(worker.part, worker.coming)
            keys = [*(media.key for media in batch.objects), *batch.unidentified]
            self.found.setdefault(batch.part, []).extend(sorted(keys))
            worker.coming = None
            if worker.part.done:
                worker.part = None

    @property
    def listed(self) -> list[str]:
        """Return the keys found, the parts in order."""
        return [key for part in sorted(self.found) for key in self.found[part]]


names = st.text("abcu", min_size=1, max_size=4)


@given(
    keys=st.sets(names, max_size=60),
    size=st.integers(1, 4),
    points=st.sets(names, max_size=40),
    workers=st.integers(1, 5),
    steps=st.lists(st.integers(0, 4), max_size=200),
)
def test_ranges_tile_in_whatever_order_workers_come(
    keys: set[str], size: int, points: set[str], workers: int, steps: list[int]
) -> None:
    """Each key is listed once and in its place, whenever a range is halved, and the whole is proven."""
    simulation = Simulation(sorted(keys), size, sorted(points), workers)
    for choice in steps:
        if simulation.workers:
            simulation.step(simulation.workers[choice % len(simulation.workers)])
    while simulation.workers:
        # Whoever waits, waits for one who lists: else there would be no end.
        simulation.step(next((one for one in simulation.workers if one.part), simulation.workers[0]))

    simulation.ranges.prove()
    assert simulation.listed == sorted(keys)


def test_a_page_that_is_on_its_way_is_cut_where_its_range_now_ends() -> None:
    """What a page brings from beyond a bound that was set after it was asked for is another range's."""
    keys = [f"{number:03}" for number in range(40)]
    simulation = Simulation(keys, 30, keys, workers=2)
    first, second = simulation.workers
    simulation.step(first)
    simulation.step(first)
    simulation.ranges._pages = len(keys)  # as if each point had cost a page
    simulation.step(second)
    simulation.step(first)

    assert simulation.found == {"": keys[:21]}
    assert (first.part, second.part and second.part.after) == (None, "020")


@pytest.mark.parametrize(
    ("points", "claimed"),
    [
        pytest.param(0, None, id="nowhere to divide"),
        pytest.param(WORTH_HALVING - 1, WouldWait, id="too little left"),
        pytest.param(WORTH_HALVING, ("b3", None, "b3"), id="enough left"),
    ],
)
def test_a_range_is_halved_where_enough_is_left(points: int, claimed: object) -> None:
    """A range is divided in its middle when what is left is worth a request more; until then one waits."""
    first = KeyRange(Walk(NO_BUCKET))
    ranges = never_waiting(Ranges(NO_BUCKET, first))
    ranges.divide_at([f"b{number}" for number in range(points)])
    assert ranges.claim() is first
    ranges.take(first, page(["a"], more=True))

    found: object = WouldWait
    with suppress(WouldWait):
        half = ranges.claim()
        found = half and (half.after, half.until, first.until)

    assert found == claimed


def test_points_that_were_passed_at_once_say_nothing_of_the_rest() -> None:
    """Many points where the bucket begins do not make what comes after look small for long."""
    first = KeyRange(Walk(NO_BUCKET))
    ranges = never_waiting(Ranges(NO_BUCKET, first))
    ranges.take(first, page(["b"], more=True))
    ranges.divide_at([*(f"a{number}" for number in range(900)), *(f"c{number}" for number in range(5))])
    ranges.claim()
    with pytest.raises(WouldWait):
        ranges.claim()
    for key in ("b1", "b2"):
        ranges.take(first, page([key], more=True))

    half = ranges.claim()

    assert half is not None
    assert half.after == "c2"


def test_who_waits_for_a_range_is_let_go() -> None:
    """A worker that waits for something to halve goes when all is stopped."""
    first = KeyRange(Walk(NO_BUCKET))
    ranges = Ranges(NO_BUCKET, first)
    ranges.divide_at(["a"])
    ranges.claim()
    found: list[KeyRange | None] = []
    waiting = threading.Thread(target=lambda: found.append(ranges.claim()))
    waiting.start()

    ranges.stop()
    waiting.join(20)

    assert (waiting.is_alive(), found) == (False, [None])
