"""A bucket's pages made one listing, proven complete: never a shorter inventory, always an error instead.

A small bucket is listed straight, a larger one in ranges side by side. Where it can be divided is told by
keys that are known already, or found by a few requests.
"""

import logging
from collections.abc import Callable, Generator
from contextlib import closing

from b2d1.b2.bucket import Bucket
from b2d1.b2.page import ID_FIELD
from b2d1.listing.crew import Crew
from b2d1.listing.key_order import border
from b2d1.listing.landmarks import landmarks
from b2d1.listing.ranges import KeyRange, Ranges
from b2d1.listing.walk import Walk
from b2d1.media import Batch

logger = logging.getLogger(__name__)

# What needs no more pages than that is not worth a request for the keys that are known.
STRAIGHT_PAGES = 3
# Nor what needs no more than that the requests that find keys where none are known.
UNKNOWN_PAGES = 5
# With fewer keys ahead than that for each worker, the bucket itself is asked for some.
KEYS_A_WORKER = 4


def no_keys() -> list[str]:
    """Know no keys."""
    return []


class Listing:
    """The objects under the bucket's prefix; can be iterated once.

    When the iteration ends without a B2Error the listing is proven complete: every page but the last led
    on, keys ascended strictly and lay under the prefix, counts agreed, and ranges left nothing out.
    `discovered` counts all objects, `unidentified` those among them without an identity, which are left out
    and logged. Keys that match B2_EXCLUDE are part of the proof, and then only counted, as `excluded`.
    """

    is_bucket = True

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.bucket = bucket.settings.bucket
        self.prefix = bucket.settings.prefix
        self.list_mode = bucket.settings.list_mode
        self.exclude = bucket.settings.exclude
        self.discovered = 0
        self.unidentified = 0
        self.excluded = 0
        self._known: list[str] = []
        self._first = KeyRange(Walk(bucket))
        self._ranges = Ranges(bucket, self._first)

    def batches(self, known_keys: Callable[[], list[str]] = no_keys) -> Generator[Batch]:
        """Yield the objects as they come; `known_keys` is asked once, if at all, for keys that may be there.

        Close the iterator where it may be left before its end: then no thread is left behind.
        """
        for number, page in enumerate(self._first.pages, 1):
            yield self._counted(self._ranges.take(self._first, page))
            if self._first.done:
                return
            if self._bucket.workers > 1 and self._divided(number, known_keys):
                break
        with closing(iter(Crew(self._bucket.workers, self._work, self._halt))) as batches:
            for batch in batches:
                yield self._counted(batch)
        self._ranges.prove()

    @property
    def requests(self) -> int:
        """Count every request made of B2 so far."""
        return self._bucket.requests

    @property
    def key_order(self) -> str:
        """Name the order the bucket keeps: `utf-8` (bytes), or `utf-16` as some S3 hosts have it."""
        return "utf-8" if self._ranges.in_order("bytes") else "utf-16"

    def _divided(self, pages: int, known_keys: Callable[[], list[str]]) -> bool:
        """Say, after so many pages, where the rest may be divided; False while it does not seem worth it."""
        if pages < STRAIGHT_PAGES:
            return False
        if pages == STRAIGHT_PAGES:
            self._known = self._borders(known_keys())
            self._ranges.divide_at(self._known)
        ahead = self._ranges.points_ahead()
        # As long as known keys are ahead, they tell how far the end is.
        if not self._ranges.worth_halving() if ahead else pages < UNKNOWN_PAGES:
            return False
        if ahead < KEYS_A_WORKER * self._bucket.workers:
            self._ranges.divide_at(self._borders([*self._known, *landmarks(self._bucket)]))
        return True

    def _borders(self, keys: list[str]) -> list[str]:
        return sorted({border(key, self.prefix) for key in keys if key.startswith(self.prefix)})

    def _work(self, deliver: Callable[[Batch], None]) -> None:
        while part := self._ranges.claim():
            for page in part.pages:
                deliver(self._ranges.take(part, page))
                if part.done:
                    break

    def _halt(self) -> None:
        self._bucket.halt()
        self._ranges.stop()

    def _counted(self, batch: Batch) -> Batch:
        if self.exclude.patterns:
            batch = self._without_excluded(batch)
        self.discovered += len(batch.objects) + len(batch.unidentified)
        self.unidentified += len(batch.unidentified)
        for key in batch.unidentified:
            logger.warning("%r has no %s, so no identity: it is left out", key, ID_FIELD[self.list_mode])
        logger.debug("page of %d objects, %d so far", len(batch.objects), self.discovered)
        return batch

    def _without_excluded(self, batch: Batch) -> Batch:
        excludes = self.exclude.excludes
        objects = [media for media in batch.objects if not excludes(media.key)]
        unidentified = [key for key in batch.unidentified if not excludes(key)]
        self.excluded += len(batch.objects) - len(objects) + len(batch.unidentified) - len(unidentified)
        return Batch(batch.part, objects, unidentified)
