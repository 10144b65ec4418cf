"""The inventory: a listing as a JSON document, one object a line, in the order of the listing.

The same objects give the same bytes, so that its SHA-256 names a listing: `b2d1 inventory | sha256sum`.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Protocol

from b2d1.media import ListMode, MediaObject

_quote = json.encoder.encode_basestring  # the C function behind json.dumps(…, ensure_ascii=False)


class Sink(Protocol):
    """What takes all the bytes it is given, or raises."""

    def write(self, data: bytes, /) -> object: ...


class InventoryWriter:
    """Writes an inventory as its objects come, to a sink or, with None, only to its digest."""

    def __init__(self, out: Sink | None, bucket: str, prefix: str, list_mode: ListMode) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self._between = "\n"
        self._write(
            f'{{"bucket":{_quote(bucket)},"prefix":{_quote(prefix)},"list_mode":{_quote(list_mode)},"objects":['
        )

    def add(self, objects: Iterable[MediaObject]) -> None:
        """Write some more objects."""
        lines = ",\n".join(map(_line, objects))
        if lines:
            self._write(self._between + lines)
            self._between = ",\n"

    def close(self) -> str:
        """Write the end, which says that the inventory is whole; return the SHA-256 of all (hex)."""
        self._write("\n]}\n")
        return self._hash.hexdigest()

    def _write(self, text: str) -> None:
        data = text.encode()
        self._hash.update(data)
        if self._out:
            self._out.write(data)


def _line(media: MediaObject) -> str:
    key, size, last_modified, etag, file_id = media
    return (
        f'{{"key":{_quote(key)},"size":{size},"last_modified":{_quote(last_modified)},'
        f'"etag":{"null" if etag is None else _quote(etag)},"file_id":{_quote(file_id)}}}'
    )
