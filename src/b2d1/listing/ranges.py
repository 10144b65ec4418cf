"""A bucket's keys divided into ranges that are listed side by side, and proven to be the whole.

A range is halved whenever a worker has nothing to do: so they end together, however unevenly the keys are
spread between the points at which they may be divided.
"""

import operator
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from b2d1.b2.bucket import Bucket, Page
from b2d1.errors import B2Error
from b2d1.listing.walk import Walk, broken
from b2d1.media import Batch

# A range of fewer pages is not worth halving: the half that begins anew costs half a page more.
WORTH_HALVING = 6

UPLOADED = (
    "Run again: an upload at that moment looks the same. If it happens each time, set B2_LIST_WORKERS to 1."
)

_key = operator.attrgetter("key")


class KeyRange:
    """The keys after `after` up to `until`, None for no bound, and how far they are listed.

    `first` is the first key that its pages showed, `beyond` the first one after `until`, which its last page
    showed: both None until they are known.
    """

    def __init__(self, walk: Walk, after: str = "", until: str | None = None) -> None:
        self.after = after
        self.until = until
        self.order = walk.order
        self.pages = iter(walk)
        self.reached = after
        self.first: str | None = None
        self.beyond: str | None = None
        self.listed = 0
        self.done = False
        # The listing came to its end before the range did: nothing can be listed after it.
        self.exhausted = False


class Ranges:
    """The ranges of one listing; several threads may take their next range and their pages' part of it.

    They tile by construction: each begins at the key with which the one before it ends, and a page is cut at
    the bound its range has when it comes.
    """

    def __init__(self, bucket: Bucket, first: KeyRange) -> None:
        self._bucket = bucket
        self._points: list[str] = []
        self._pages = 0
        # How many pages and points were passed before the ranges were divided.
        self._before = 0, 0
        self._unclaimed = [first]
        self._ranges = [first]
        self._stopped = False
        self._changed = threading.Condition()

    def divide_at(self, points: list[str]) -> None:
        """Let the ranges be divided at these points, in order; some may lie in what is listed already."""
        self._points = points
        self._before = self._pages, self._passed()

    def claim(self) -> KeyRange | None:
        """Take a range to list: half of the one with most left to do; None when none can be halved any more.

        Waits while none is worth it: there may be more to list than the points let expect.
        """
        with self._changed:
            while not self._stopped:
                if self._unclaimed:
                    return self._unclaimed.pop()
                largest, ahead = self._largest()
                if not ahead:
                    break
                if self._is_worth_halving(ahead):
                    return self._half(largest, self._points[ahead[len(ahead) // 2]])
                self._changed.wait()
        return None

    def points_ahead(self) -> int:
        """Count the points in what the range with most of them has left to do."""
        with self._changed:
            return len(self._largest()[1])

    def worth_halving(self) -> bool:
        """Tell whether a range can be expected to be long enough to halve it."""
        with self._changed:
            return self._is_worth_halving(self._largest()[1])

    def stop(self) -> None:
        """Let nobody wait for a range any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def take(self, part: KeyRange, page: Page) -> Batch:
        """Take of a page what belongs to its range; the range is `done` when nothing of it can follow."""
        objects, unidentified, keys = page.objects, page.unidentified, page.keys
        with self._changed:
            self._pages += 1
            until = part.until
            if keys:
                part.first = part.first or keys[0]
                part.reached = keys[-1]
            if until is None or part.reached <= until:
                part.exhausted = part.done = page.next is None
            else:
                objects = objects[: bisect_right(objects, until, key=_key)]
                unidentified = [key for key in unidentified if key <= until]
                part.beyond = keys[bisect_right(keys, until)]
                part.reached, part.done = until, True
            part.listed += len(objects) + len(unidentified)
            self._changed.notify_all()
        return Batch(part.after, objects, unidentified)

    def prove(self) -> None:
        """Raise B2Error unless the ranges make one listing: in one order, without a gap, none ended early."""
        if not (self.in_order("bytes") or self.in_order("utf16")):
            raise broken("keys keep no order: some ranges have another than others", self._bucket)
        in_order = sorted(self._ranges, key=operator.attrgetter("after"))
        for number, part in enumerate(in_order):
            following = in_order[number + 1 :]
            if part.exhausted and (later := _first_listed(following)):
                raise _ended_early(part, later, self._bucket)
            if part.beyond is not None and not _begins_at_or_before(part.beyond, following[0]):
                raise _left_out(part.beyond, following[0], self._bucket)

    def in_order(self, order: str) -> bool:
        """Tell whether every range keeps an order: `bytes` or `utf16`."""
        return all(getattr(each.order, order) for each in self._ranges)

    def _ahead(self, part: KeyRange) -> range:
        """Tell which points lie in what is not listed yet."""
        if part.done:
            return range(0)
        begin = bisect_right(self._points, part.reached)
        end = len(self._points) if part.until is None else bisect_left(self._points, part.until)
        return range(begin, max(begin, end))

    def _largest(self) -> tuple[KeyRange, range]:
        return max(((each, self._ahead(each)) for each in self._ranges), key=lambda pair: len(pair[1]))

    def _is_worth_halving(self, ahead: range) -> bool:
        return len(ahead) * self._pages_to_a_point() >= WORTH_HALVING

    def _half(self, part: KeyRange, middle: str) -> KeyRange:
        half = KeyRange(Walk(self._bucket, middle), middle, part.until)
        part.until = middle
        self._ranges.append(half)
        return half

    def _passed(self) -> int:
        """Count the points in what is listed; where ranges were divided says nothing."""
        return sum(
            bisect_right(self._points, each.reached) - bisect_right(self._points, each.after)
            for each in self._ranges
        )

    def _pages_to_a_point(self) -> float:
        # Keys that are gone from the bucket may lie thick where it begins, and say nothing of the rest.
        pages, points = self._pages, self._passed()
        pages_before, points_before = self._before
        return max(pages / max(1, points), (pages - pages_before) / max(1, points - points_before))


def _first_listed(ranges: Iterable[KeyRange]) -> KeyRange | None:
    return next((each for each in ranges if each.listed), None)


def _begins_at_or_before(key: str, part: KeyRange) -> bool:
    """Return True if a range showed this key, the first beyond the range before it, or an earlier one."""
    return part.first is not None and (part.first == key or part.order.precedes(part.first, key))


def _left_out(key: str, part: KeyRange, bucket: Bucket) -> B2Error:
    return broken(
        f"asked for keys after {part.after[:80]!r}, the host left out {key[:80]!r}", bucket, hint=UPLOADED
    )


def _ended_early(early: KeyRange, later: KeyRange, bucket: Bucket) -> B2Error:
    return broken(
        f"the keys after {early.after[:80]!r} are said to end at {early.reached[:80]!r}, yet there are keys "
        f"after {later.after[:80]!r}",
        bucket,
        hint=UPLOADED,
    )
