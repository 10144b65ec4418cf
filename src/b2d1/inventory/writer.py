"""The inventory: a listing as a JSON document, one object a line, in the order of the listing.

The same objects give the same bytes, so that its SHA-256 names a listing: `b2d1 inventory | sha256sum`.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from b2d1.media import ListMode, MediaObject
from b2d1.spool import Spool

COPY_BYTES = 1_000_000

_quote = json.encoder.encode_basestring  # the C function behind json.dumps(…, ensure_ascii=False)


class Sink(Protocol):
    """What takes all the bytes it is given, or raises."""

    def write(self, data: bytes, /) -> object: ...


class InventoryWriter:
    """Writes an inventory as its objects come, to a sink or, with None, only to its digest.

    What comes before its turn is kept in `folder`. The header names the patterns of B2_EXCLUDE, if any.
    """

    def __init__(
        self,
        out: Sink | None,
        bucket: str,
        prefix: str,
        list_mode: ListMode,
        folder: Path,
        *,
        exclude: Iterable[str] = (),
    ) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self._spool = Spool(folder, "inventory")
        self._empty = True
        named = f'"bucket":{_quote(bucket)},"prefix":{_quote(prefix)},"list_mode":{_quote(list_mode)}'
        if patterns := ",".join(map(_quote, exclude)):
            named += f',"exclude":[{patterns}]'
        self._write(f'{{{named},"objects":['.encode())

    def add(self, objects: Iterable[MediaObject], part: str = "") -> None:
        """Write some more objects of a part; the parts' order is that of their names, "" is the first."""
        lines = "".join(map(_line, objects)).encode()
        if not part:
            self._put(lines)
        elif lines:
            self._spool.put(part, lines)

    def close(self) -> str:
        """Write the end, which says that the inventory is whole; return the SHA-256 of all (hex)."""
        for file in self._spool.parts():
            while data := file.read(COPY_BYTES):
                self._put(data)
        self._write(b"\n]}\n")
        return self._hash.hexdigest()

    def _put(self, lines: bytes) -> None:
        """Write lines; each brings the comma between it and the one before, which the first has not."""
        self._write(lines[1:] if self._empty else lines)
        self._empty &= not lines

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        if self._out:
            self._out.write(data)


def _line(media: MediaObject) -> str:
    key, size, last_modified, etag, file_id = media
    return (
        f',\n{{"key":{_quote(key)},"size":{size},"last_modified":{_quote(last_modified)},'
        f'"etag":{"null" if etag is None else _quote(etag)},"file_id":{_quote(file_id)}}}'
    )
