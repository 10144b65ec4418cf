"""A walk through a bucket from some key on, page by page, each page proven to follow from the one before."""

import itertools
from collections.abc import Iterator

from b2d1.b2.bucket import Bucket, Cursor, Page
from b2d1.b2.page_xml import UNSOUND_HINT
from b2d1.errors import B2Error
from b2d1.listing.key_order import OrderProof

# B2 leaves hidden files out of a page after it has cut it, so that a page may be empty. Endlessly many in a
# row are no listing any more.
MAX_EMPTY_PAGES = 1000


class Walk:
    """The pages of what comes after a key, up to the bucket's end; can be iterated once, by one thread.

    A page is yielded only when its keys ascend, come after all before them and lie under the prefix; when the
    iteration ends without a B2Error, every page but the last led on.
    """

    def __init__(self, bucket: Bucket, after: str = "") -> None:
        self.order = OrderProof(after)
        self._bucket = bucket
        self._after = after

    def __iter__(self) -> Iterator[Page]:
        cursor = self._bucket.after(self._after)
        milestone: Cursor | None = None
        empty = 0
        for number in itertools.count(1):
            page = self._bucket.page(cursor)
            self._prove(page)
            yield page
            if page.next is None:
                return
            empty = 0 if page.rows else empty + 1
            # Pages that lead back are noticed although they may hold nothing but hide markers: each cursor
            # is compared with the one before, and with one that is kept ever longer.
            if page.next in (cursor, milestone) or empty > MAX_EMPTY_PAGES:
                raise broken("the listing does not move on", self._bucket)
            if number.bit_count() == 1:
                milestone = page.next
            cursor = page.next

    def _prove(self, page: Page) -> None:
        keys = [media.key for media in page.objects]
        if keys and keys[0] <= self._after:
            raise broken(
                f"asked for keys after {self._after[:80]!r}, the host lists {keys[0][:80]!r}",
                self._bucket,
                hint="The host cannot list from a key on: set B2_LIST_WORKERS to 1.",
            )
        if fault := self.order.fault_in(keys):
            raise broken(fault, self._bucket)
        # Ascending keys that begin alike stand together, so the first and the last speak for all.
        prefix = self._bucket.settings.prefix
        if keys and not (keys[0].startswith(prefix) and keys[-1].startswith(prefix)):
            raise broken("the listing leaves the prefix", self._bucket)


def broken(fault: str, bucket: Bucket, hint: str = "") -> B2Error:
    """Describe a listing that cannot be a whole one."""
    return B2Error(
        fault,
        doing=f"listing bucket {bucket.settings.bucket}",
        hint=hint or UNSOUND_HINT,
    )
