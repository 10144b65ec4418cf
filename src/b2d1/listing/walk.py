"""The pages of a bucket from some key on, each proven to follow the one before without a gap.

Continuation tokens are not trusted: some hosts' tokens skip a key, or end too early. Each page is requested
by a key instead, with StartAfter (or KeyMarker), and begins one key early: it must show the last key listed
again. So every seam between two pages is checked, at the cost of one row per page.
"""

import itertools
from collections.abc import Iterator

from b2d1.b2.bucket import Bucket, Cursor, Page
from b2d1.b2.page_xml import UNSOUND_HINT
from b2d1.errors import B2Error
from b2d1.listing.key_order import KeyOrder

# B2 removes hidden files from a page after it has cut it, so a page can be empty and not be the last one.
# Endlessly many in a row are not a listing.
MAX_EMPTY_PAGES = 1000
# How many keys before the last one a page begins. More than one only if the last keys were deleted meanwhile.
STEPS_BACK = (1, 2, 8, 64, 512)
TAIL_LENGTH = max(STEPS_BACK) + 1


class Walk:
    """The pages of what comes after a key, up to the bucket's end; can be iterated once, by one thread.

    A page is yielded without the keys that were listed before, and only if its keys ascend, lie under the
    prefix and leave no gap. If the iteration ends without a B2Error, the last page was proven to be the last.
    """

    def __init__(self, bucket: Bucket, after: str = "") -> None:
        self.order = KeyOrder()
        self._bucket = bucket
        self._after = after
        self._tail: list[str] = []  # the last keys that were listed
        self._four: list[str] = []  # four keys that one page listed in a row
        self._rests_on_tokens = False
        self._tokens_are_proven = False

    def __iter__(self) -> Iterator[Page]:
        page = self._page_after(self._after)
        if not page.keys and page.next is None:  # an empty page is not believed at once
            page = self._page_after(self._after)
        while True:
            fresh = self._without_listed(page)
            if self._rests_on_tokens and self._four:
                self._prove_tokens()
            yield fresh
            if page.next is None:
                return
            page = self._following(page)

    def _following(self, page: Page) -> Page:
        """Request the page that follows; raise B2Error if something may be missing between the two."""
        if self._tail:
            page = self._overlapping()
            if page.next is None or self._shows_more(page):
                return page
        return self._behind(page)

    def _overlapping(self) -> Page:
        """Request a page that begins at or before the last key listed: it leaves no gap.

        Returns an empty page if hidden files fill it.
        """
        starts = [self._tail[-1 - back] for back in STEPS_BACK if back < len(self._tail)]
        if len(self._tail) < TAIL_LENGTH:
            starts.append(self._after)
        hidden: Page | None = None
        left_out_by: str | None = None
        for start in starts:
            page = self._page_after(start)
            if left_out_by is None and self._listed_on(page):
                return page
            if self._last in page.keys:
                break  # it was not deleted: an answer left it out
            if self._listed_on(page) and (page.next is None or self._shows_more(page)):
                return page
            if page.next and not page.keys:
                hidden = page
            else:
                left_out_by = left_out_by or start
        if hidden and left_out_by is None:
            return hidden
        fault = f"asked for keys after {left_out_by or start!r:.80}, the host left out {self._last!r:.80}"
        raise broken(fault, self._bucket)

    def _behind(self, page: Page) -> Page:
        """Request what follows a page that shows nothing new although more follows: only a token leads on.

        Hidden files do that, and keys with very many versions. Tokens are not trusted alone: another way, by
        the last key listed, must lead to the same key.
        """
        if not self._tail:
            # The range before this one proves its first key (`Ranges.prove`), unless this is the first range.
            self._rests_on_tokens |= not self._after
            return self._pass(page)
        by_token = self._pass(page)
        by_key = self._page_after(self._last)
        if not self._shows_more(by_key):
            self._rests_on_tokens = True
            by_key = self._pass(by_key)
        first, other = (way.keys[self._listed_on(way) :][:1] for way in (by_token, by_key))
        if first != other:
            fault = (
                f"after {self._last[:80]!r} the host lists {_name(first)}, and another time {_name(other)}"
            )
            raise broken(fault, self._bucket)
        return by_key

    def _pass(self, page: Page) -> Page:
        """Follow the tokens to the first page that shows something new, or to the last page."""
        cursor: Cursor | None = None
        milestone: Cursor | None = None
        empty = 0
        for number in itertools.count(1):
            if page.next is None or self._shows_more(page):
                return page
            empty = 0 if page.rows else empty + 1
            # Tokens in a circle: each is compared with the one before, and with one that is kept ever longer.
            if page.next in (cursor, milestone) or empty > MAX_EMPTY_PAGES:
                raise broken("the listing does not move on", self._bucket)
            if number.bit_count() == 1:
                milestone = page.next
            cursor, before = page.next, page
            page = self._page(cursor)
            if before.keys and page.keys and self.order.precedes(page.keys[0], before.keys[-1]):
                fault = f"keys are out of order: {before.keys[-1]!r:.80} comes before {page.keys[0]!r:.80}"
                raise broken(fault, self._bucket)
        raise AssertionError

    def _prove_tokens(self) -> None:
        """Raise B2Error unless a token leads from one known key to the next, and says that more follows."""
        self._rests_on_tokens = False
        if self._tokens_are_proven:
            return
        first, _, third, _ = self._four
        page = self._page({**self._bucket.after(first), "MaxKeys": 1})
        if third not in page.keys:  # or the host ignores MaxKeys
            for _ in range(MAX_EMPTY_PAGES):
                if page.next is None or third in page.keys:
                    break
                page = self._page({**page.next, "MaxKeys": 1})
            if page.next is None or page.keys != [third]:
                fault = f"the host's continuation tokens do not lead to {third[:80]!r} and beyond it"
                raise broken(fault, self._bucket)
        self._tokens_are_proven = True

    @property
    def _last(self) -> str:
        return self._tail[-1] if self._tail else self._after

    def _listed_on(self, page: Page) -> int:
        """Count the keys at the beginning of a page that were listed before, or lie before those."""
        count = self.order.count_up_to(self._last, page.keys)
        if count is None:
            raise broken(
                f"{self._last[:80]!r} was deleted meanwhile, and keys keep no clear order", self._bucket
            )
        return count

    def _shows_more(self, page: Page) -> bool:
        return self._listed_on(page) < len(page.keys)

    def _without_listed(self, page: Page) -> Page:
        count = self._listed_on(page)
        listed, keys = set(page.keys[:count]), page.keys[count:]
        if fault := self.order.fault_in([*self._tail[-1:], *keys[:1]]):
            raise broken(fault, self._bucket)
        self._tail = [*self._tail, *keys][-TAIL_LENGTH:]
        self._four = page.keys[-4:] if len(page.keys) > 3 else self._four
        if not listed:
            return page
        old = sum(1 for _ in itertools.takewhile(lambda media: media.key in listed, page.objects))
        return page._replace(
            objects=page.objects[old:],
            unidentified=[key for key in page.unidentified if key not in listed],
            keys=keys,
        )

    def _page_after(self, start: str) -> Page:
        page = self._page(self._bucket.after(start))
        if start and page.keys and self.order.precedes(page.keys[0], start):
            raise broken(
                f"asked for keys after {start[:80]!r}, the host lists {page.keys[0][:80]!r}", self._bucket
            )
        return page

    def _page(self, cursor: Cursor) -> Page:
        """Request a page; raise B2Error unless its keys ascend and lie under the prefix."""
        page = self._bucket.page(cursor)
        if fault := self.order.fault_in(page.keys):
            raise broken(fault, self._bucket)
        # Ascending keys that begin alike stand together, so the first and the last speak for all.
        prefix = self._bucket.settings.prefix
        if page.keys and not (page.keys[0].startswith(prefix) and page.keys[-1].startswith(prefix)):
            raise broken("the listing leaves the prefix", self._bucket)
        return page


def broken(fault: str, bucket: Bucket, hint: str = "") -> B2Error:
    """Return the error of a listing that may not be complete."""
    return B2Error(
        fault,
        doing=f"listing bucket {bucket.settings.bucket}",
        hint=hint or UNSOUND_HINT,
    )


def _name(keys: list[str]) -> str:
    return repr(keys[0][:80]) if keys else "the end"
