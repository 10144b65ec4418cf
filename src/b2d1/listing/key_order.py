"""The order of a listing's keys: bytes, as S3 says; UTF-16 throughout, as some hosts have it; or none."""

import itertools
import operator
import re
from bisect import bisect_right

from b2d1.media import MAX_KEY_BYTES

# What both orders agree on: below the surrogates of UTF-16, and no NUL, which no key holds.
_COMMON_GROUND = re.compile("[\x01-\ud7ff]*")


class KeyOrder:
    """The order that a listing's keys keep: that of bytes or of UTF-16 units, or both as far as is known."""

    def __init__(self) -> None:
        self.bytes = True
        self.utf16 = True

    def fault_in(self, keys: list[str]) -> str | None:
        """Say what is wrong with the order of a page's keys, or return None; they must ascend strictly."""
        ascend = _ascend(keys)
        self.bytes &= ascend
        # The two orders differ only where a character takes two units of UTF-16.
        together = "".join(keys)
        alike = len(together.encode("utf-16-be")) == 2 * len(together)
        self.utf16 &= ascend if alike else _ascend([_utf16(key) for key in keys])
        if self.bytes or self.utf16:
            return None
        for before, after in itertools.pairwise(keys):
            if before == after:
                return f"key {before[:80]!r} is listed twice"
            if before > after:
                return f"keys are out of order: {before[:80]!r} comes before {after[:80]!r}"
        return f"keys keep no order: {keys[0][:80]!r} and those after it"

    def precedes(self, one: str, other: str) -> bool:
        """Return True if one key comes before another in every order that is still possible."""
        return (not self.bytes or one < other) and (not self.utf16 or _utf16(one) < _utf16(other))

    def count_up_to(self, last: str, keys: list[str]) -> int | None:
        """Count the keys, in order, up to and including `last`; None if the possible orders disagree.

        Where `last` is not among them and one order places them all behind it, that one counts.
        """
        if last in keys:  # as is usual, and then it is the first
            return keys.index(last) + 1
        counts = set()
        if self.bytes:
            counts.add(bisect_right(keys, last))
        if self.utf16:
            counts.add(bisect_right(keys, _utf16(last), key=_utf16))
        return min(counts) if len(counts) == 1 or 0 in counts else None


def border(key: str, prefix: str = "") -> str:
    """Cut a key down to what separates the keys under a prefix, its own, alike in either order.

    Like every key, it can be asked for.
    """
    found = _COMMON_GROUND.match(key, len(prefix))
    return key[: found.end() if found else 0].encode()[:MAX_KEY_BYTES].decode(errors="ignore")


def _ascend(keys: list[str] | list[bytes]) -> bool:
    return all(map(operator.lt, keys, keys[1:]))


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")
