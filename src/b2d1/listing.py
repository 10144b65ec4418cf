"""A bucket's pages made one listing, proven complete: never a shorter inventory, always an error instead."""

import itertools
import logging
import operator
from collections.abc import Iterator

from b2d1.b2 import Bucket, Cursor, Page
from b2d1.b2_page import ID_FIELD
from b2d1.errors import B2Error
from b2d1.media import MediaObject

logger = logging.getLogger(__name__)

# B2 leaves hidden files out of a page after it has cut it, so that a page may be empty. Endlessly many in a
# row are no listing any more.
MAX_EMPTY_PAGES = 1000


class Listing:
    """The objects under the bucket's prefix, page by page, in key order; can be iterated once.

    When the iteration ends without a B2Error the listing is proven complete: every page but the last led
    on, keys ascended strictly and lay under the prefix, and counts agreed. `discovered` counts all objects,
    `unidentified` those among them without an identity, which are left out and logged.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.bucket = bucket.settings.bucket
        self.prefix = bucket.settings.prefix
        self.list_mode = bucket.settings.list_mode
        self.discovered = 0
        self.unidentified = 0
        self._order = _OrderProof()

    def __iter__(self) -> Iterator[list[MediaObject]]:
        cursor: dict[str, str] = {}
        milestone: Cursor | None = None
        empty = 0
        for number in itertools.count(1):
            page = self._bucket.page(cursor)
            self._prove(page)
            logger.debug("page of %d rows, %d objects so far", page.rows, self.discovered)
            yield page.objects
            if page.next is None:
                break
            empty = 0 if page.rows else empty + 1
            # Pages that lead back are noticed although they may hold nothing but hide markers: each cursor
            # is compared with the one before, and with one that is kept ever longer.
            if page.next in (cursor, milestone) or empty > MAX_EMPTY_PAGES:
                raise self._broken("the listing does not move on")
            if number.bit_count() == 1:
                milestone = page.next
            cursor = dict(page.next)

    @property
    def requests(self) -> int:
        """Count every request made of B2 so far."""
        return self._bucket.requests

    @property
    def key_order(self) -> str:
        """Name the order the bucket keeps: `utf-8` (bytes), or `utf-16` as some S3 hosts have it."""
        return "utf-8" if self._order.bytes else "utf-16"

    def _prove(self, page: Page) -> None:
        keys = [media.key for media in page.objects]
        if fault := self._order.fault_in(keys):
            raise self._broken(fault)
        # Ascending keys that begin alike stand together, so the first and the last speak for all.
        if keys and not (keys[0].startswith(self.prefix) and keys[-1].startswith(self.prefix)):
            raise self._broken("the listing leaves the prefix")
        self.discovered += len(keys) + len(page.unidentified)
        self.unidentified += len(page.unidentified)
        for key in page.unidentified:
            logger.warning("%r has no %s, so no identity: it is left out", key, ID_FIELD[self.list_mode])

    def _broken(self, fault: str) -> B2Error:
        return B2Error(
            fault,
            doing=f"listing bucket {self.bucket}",
            hint="Run again. If it happens each time, the host does not list as S3 does.",
        )


class _OrderProof:
    """Watches that keys ascend strictly: in byte order as S3 says, or in UTF-16 order throughout."""

    def __init__(self) -> None:
        self.bytes = True
        self.utf16 = True
        self._last: list[str] = []

    def fault_in(self, keys: list[str]) -> str | None:
        chain = [*self._last, *keys]
        self._last = chain[-1:]
        ascend = _ascend(chain)
        self.bytes &= ascend
        # The two orders differ only where a character takes two units of UTF-16.
        together = "".join(chain)
        alike = len(together.encode("utf-16-be")) == 2 * len(together)
        self.utf16 &= ascend if alike else _ascend([key.encode("utf-16-be") for key in chain])
        if self.bytes or self.utf16:
            return None
        for before, after in itertools.pairwise(chain):
            if before == after:
                return f"key {before[:80]!r} is listed twice"
            if before > after:
                return f"keys are out of order: {before[:80]!r} stands before {after[:80]!r}"
        return f"keys keep no order: {chain[0][:80]!r} and those after it fit none"


def _ascend(keys: list[str] | list[bytes]) -> bool:
    return all(map(operator.lt, keys, keys[1:]))
