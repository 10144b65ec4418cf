"""The order of a listing's keys: bytes, as S3 says; UTF-16 throughout, as some hosts have it; or none."""

import itertools
import operator
import re

from b2d1.media import MAX_KEY_BYTES

# What both orders agree on: below the surrogates of UTF-16, and no NUL, which no key holds.
_COMMON_GROUND = re.compile("[\x01-\ud7ff]*")


class OrderProof:
    """Watches that keys ascend strictly from `after` on: in byte order or, all of them, in UTF-16 order."""

    def __init__(self, after: str = "") -> None:
        self.bytes = True
        self.utf16 = True
        self._last = [after] if after else []

    def fault_in(self, keys: list[str]) -> str | None:
        """Look at the keys that follow; return what is wrong with their order, or None."""
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


def border(key: str, prefix: str = "") -> str:
    """Cut a key down to what separates the keys under a prefix, its own, alike in either order.

    Like every key, it can be asked for.
    """
    found = _COMMON_GROUND.match(key, len(prefix))
    return key[: found.end() if found else 0].encode()[:MAX_KEY_BYTES].decode(errors="ignore")


def _ascend(keys: list[str] | list[bytes]) -> bool:
    return all(map(operator.lt, keys, keys[1:]))
