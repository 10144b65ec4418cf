"""Keys spread over a bucket of which nothing is known yet, found by a few requests.

First by its folders, as people keep them: those of a level at once, down to where there are enough. A folder
with more in it than one page lists is felt for what else begins as that does.
"""

import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from b2d1.b2.bucket import Bucket, Cursor, Page
from b2d1.errors import B2Error, Retry
from b2d1.listing.crew import Crew

logger = logging.getLogger(__name__)

T = TypeVar("T")

# With fewer folders, those of the next level are looked at; at most so many of each of so many levels, and
# then so many single keys.
ENOUGH = 64
LEVELS = 3
LOOKS = 16
# Objects of one folder begin alike, and go on with a digit or a letter.
FEELERS = "2468FRfr"
FEELER_LENGTHS = 4


def landmarks(bucket: Bucket) -> list[str]:
    """Find keys, and beginnings of keys, in order; none where the host does not tell."""
    prefix = bucket.settings.prefix
    found: set[str] = set()
    looks: list[Page] = []
    folders = [prefix]
    for _ in range(LEVELS):
        level = _pages(bucket, [{"Prefix": folder, "Delimiter": "/"} for folder in folders])
        inner = [folder for look in level for folder in look.folders]
        found.update(inner)
        looks += level
        folders = _spread(inner)
        if len(found) >= ENOUGH or not folders:
            break
    felt = _pages(bucket, _spread([cursor for look in looks for cursor in _feelers(look, bucket)]))
    found.update(key for page in felt for key in page.keys[-1:])
    return sorted(key for key in found if key.startswith(prefix) and key != prefix)


def _feelers(look: Page, bucket: Bucket) -> list[Cursor]:
    """Ask for single keys beyond those of a folder that holds more than one page lists."""
    names = sorted([*(media.key for media in look.objects), *look.folders])
    if look.next is None or not names:
        return []
    keys = [names[0], names[-1]]
    alike = os.path.commonprefix(keys)  # noqa: RUF071 - character by character is what is wanted
    starts = {
        alike[: len(alike) - shorter] + character
        for shorter in range(min(FEELER_LENGTHS, len(alike) + 1))
        for character in FEELERS
    }
    return [{**bucket.after(start), "MaxKeys": 1} for start in sorted(starts) if start > keys[1]]


def _pages(bucket: Bucket, cursors: list[Cursor]) -> list[Page]:
    """List several pages at once, in any order; without those that the host refuses."""
    waiting, refusals = deque(cursors), list[B2Error]()

    def work(deliver: Callable[[Page], None]) -> None:
        with suppress(IndexError):  # another thread took the last one
            while True:
                cursor = waiting.popleft()
                try:
                    deliver(bucket.page(cursor))
                except B2Error as error:
                    if bucket.halted:
                        raise
                    refusals.append(error)
                    if error.retry is not Retry.NEVER:  # it was asked often enough
                        waiting.clear()

    pages = list(Crew(min(len(cursors), bucket.workers), work, bucket.halt))
    if refusals:
        logger.info("%s; that was only to find where to divide it: going on without", refusals[0])
    return pages


def _spread(several: list[T]) -> list[T]:
    """Choose LOOKS of them, evenly."""
    few = min(LOOKS, len(several))
    return [several[number * len(several) // few] for number in range(few)]
