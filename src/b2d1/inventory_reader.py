"""An inventory read back as a stream, each object checked, every fault named with its place.

Also one of the original scripts, which has `objects` and nothing else.
"""

import gzip
import io
import itertools
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from b2d1.errors import InventoryError
from b2d1.json_stream import JsonStream
from b2d1.media import ListMode, MediaObject, fault_in

BATCH = 1000
GZIP_MAGIC = b"\x1f\x8b"
REQUIRED = {"key": str, "size": int, "file_id": str}
OPTIONAL = {"etag": str, "last_modified": str}
HEADER = {"bucket": str, "prefix": str, "list_mode": str}


class InventoryFile:
    """An inventory in a buffered binary stream, gzipped or not; iterating yields its objects in its order.

    `header` holds what stands beside `objects`, and is whole when the iteration has ended. Raises
    InventoryError for whatever is not an inventory.
    """

    def __init__(self, stream: io.BufferedReader, name: str) -> None:
        self.header: dict[str, str] = {}
        self.name = name
        zipped = stream.peek(2)[:2] == GZIP_MAGIC
        self._json = JsonStream(gzip.GzipFile(fileobj=stream) if zipped else stream)

    def __iter__(self) -> Iterator[MediaObject]:
        try:
            yield from self._document()
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InventoryError(
                str(error),
                doing=f"reading inventory {self.name}",
                hint="An inventory is what `b2d1 inventory` prints. Nothing was written.",
            ) from error

    def _document(self) -> Iterator[MediaObject]:
        read, names = self._json, set[str]()
        mark = read.take("{")
        while mark != "}" and not (mark == "{" and read.peek() == "}"):
            name = read.value()
            if not isinstance(name, str) or name in names:
                raise read.fault(f"{name!r} stands", "a new name")
            names.add(name)
            read.take(":")
            if name == "objects":
                yield from self._objects()
            else:
                self._keep(name, read.value())
            mark = read.take(",}")
        if "objects" not in names:
            raise ValueError("it has no objects")
        if read.peek():
            raise read.fault("more stands", "the end")

    def _objects(self) -> Iterator[MediaObject]:
        read = self._json
        mark = read.take("[")
        if read.peek() == "]":
            mark = read.take("]")
        for number in itertools.count(1):
            if mark == "]":
                return
            read.peek()
            place = f"object {number:,} (line {read.line:,})"
            yield _media(read.value(), place)
            mark = read.take(",]")

    def _keep(self, name: str, value: Any) -> None:
        if name in HEADER:
            if not isinstance(value, str) or (name == "list_mode" and value not in {"objects", "versions"}):
                raise ValueError(f"its {name} is not one")
            self.header[name] = value


def _media(entry: Any, place: str) -> MediaObject:
    """Make an entry a MediaObject; ValueError names what is wrong with it, and where."""
    if not isinstance(entry, dict):
        raise ValueError(f"{place} is none")  # noqa: TRY004  # the document's fault, not the program's
    if lacking := [name for name in REQUIRED if entry.get(name) is None]:
        raise ValueError(f"{place} has no {' and no '.join(lacking)}")
    for name, kind in (REQUIRED | OPTIONAL).items():
        value = entry.get(name)
        # type() and not isinstance(): True is an int to Python, and no size.
        if value is not None and type(value) is not kind:
            raise ValueError(f"{place}: its {name} is no {'text' if kind is str else 'whole number'}")
    media = MediaObject(
        entry["key"], entry["size"], entry.get("last_modified") or "", entry.get("etag"), entry["file_id"]
    )
    if fault := fault_in(media):
        raise ValueError(f"{place}: {fault}")
    return media


class InventoryListing:
    """An inventory file's objects as a bucket would list them: in byte order of their keys, each once.

    They are read whole, into a file of `folder`, before the first is yielded: memory stays flat, and a
    fault at the end of the inventory comes before anything is done. Raises InventoryError.
    """

    unidentified = 0
    requests = 0
    key_order = "utf-8"

    def __init__(self, file: InventoryFile, folder: Path) -> None:
        self._name = file.name
        self._database = sqlite3.connect(folder / f"inventory-{id(self)}.sqlite3")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE object (key, size, last_modified, etag, file_id)")
        self._database.executemany("INSERT INTO object VALUES (?, ?, ?, ?, ?)", file)
        self.bucket = file.header.get("bucket", "")
        self.prefix = file.header.get("prefix", "")
        self.list_mode: ListMode = "versions" if file.header.get("list_mode") == "versions" else "objects"
        self.discovered = 0

    def objects(self) -> Iterator[MediaObject]:
        """Yield the objects; one that is there twice with different figures is a fault."""
        before = None
        # SQLite compares texts by their bytes.
        for row in self._database.execute("SELECT * FROM object ORDER BY key, file_id"):
            media = MediaObject._make(row)
            if before is None or (before.key, before.file_id) != (media.key, media.file_id):
                self.discovered += 1
                yield media
            elif (before.size, before.etag) != (media.size, media.etag):
                raise InventoryError(
                    f"object {media.key!r} is there twice, and differs from itself",
                    doing=f"reading inventory {self._name}",
                )
            before = media

    def __iter__(self) -> Iterator[list[MediaObject]]:
        objects = self.objects()
        while batch := list(itertools.islice(objects, BATCH)):
            yield batch

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
