"""An inventory read back as a stream, each object checked, every fault named with its place.

Also one of the original scripts, which has `objects` and nothing else.
"""

import itertools
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from b2d1.errors import InventoryError
from b2d1.exclude import NOTHING, Exclude
from b2d1.inventory.file_form import AGAIN, PAGE, FormError, unpacked
from b2d1.inventory.json_stream import Bytes, CutOffError, JsonStream
from b2d1.media import MAX_KEY_BYTES, Batch, ListMode, MediaObject, fault_in
from b2d1.scratch import disk_faults, open_scratch

BATCH = 1000
REQUIRED = {"key": str, "size": int, "file_id": str}
HINT = "An inventory is what `b2d1 inventory` prints."
KINDS = REQUIRED | {"etag": str, "last_modified": str}
HEADER = {"bucket", "prefix", "list_mode"}
# They are kept, so that none stands twice. Three of ours stand beside the objects.
MOST_NAMES, MOST_OF_A_NAME = 100, 1000


class InventoryFile:
    """An inventory in a binary stream, gzipped or not; iterating yields its objects in its order, once.

    `header` holds what stands beside `objects`, and `patterns` what was excluded; both are whole when the
    iteration has ended. Raises InventoryError for whatever is not an inventory.
    """

    def __init__(self, stream: Bytes, name: str) -> None:
        self.header: dict[str, str] = {}
        self.patterns: tuple[str, ...] = ()
        self.name = name
        self._stream = stream

    def __iter__(self) -> Iterator[MediaObject]:
        try:
            yield from self._document(JsonStream(unpacked(self._stream)))
        except (ValueError, OSError) as error:
            hint = error.fix if isinstance(error, FormError) else HINT
            if isinstance(error, CutOffError):
                hint = AGAIN
            raise InventoryError(str(error), doing=f"reading inventory {self.name}", hint=hint) from error

    def _document(self, read: JsonStream) -> Iterator[MediaObject]:
        names = set[str]()
        if (first := read.peek()) == "<":
            raise FormError("the file is an HTML or XML page", PAGE)
        if not first:
            raise FormError("the file holds only white space", AGAIN)
        mark = read.take("{")
        while mark != "}" and not (mark == "{" and read.peek() == "}"):
            name = read.value()
            if not isinstance(name, str) or name in names or len(name) > MOST_OF_A_NAME:
                raise read.fault(f"{name!r:.80} stands", "a new name")
            names.add(name)
            if len(names) > MOST_NAMES:
                raise read.fault(f"the name number {len(names)} stands", "the end of an inventory")
            read.take(":")
            if name == "objects":
                yield from self._objects(read)
            else:
                self._keep(name, read.value())
            mark = read.take(",}")
        if "objects" not in names:
            raise ValueError("it has no objects" if names else "the document is empty: {}")
        if read.peek():
            raise read.fault("more stands", "the end")

    def _objects(self, read: JsonStream) -> Iterator[MediaObject]:
        mark = read.take("[")
        if read.peek() == "]":
            mark = read.take("]")
        for number in itertools.count(1):
            if mark == "]":
                return
            read.peek()
            place = f"object {number:,} (line {read.line:,})"
            yield _media(read.value(f"object {number:,}"), place)
            mark = read.take(",]")

    def _keep(self, name: str, value: Any) -> None:
        if name == "exclude":
            if not isinstance(value, list) or not all(map(_is_text, value)):
                raise ValueError("its exclude is no list of texts")
            self.patterns = tuple(value)
        if name in HEADER:
            if not _is_text(value):
                raise ValueError(f"its {name} is no text")
            if name == "list_mode" and value not in {"objects", "versions"}:
                raise ValueError("its list_mode is neither objects nor versions")
            self.header[name] = value


def _is_text(value: Any) -> bool:
    """Tell whether a header's value is one that a bucket's name or the beginning of a key could be."""
    try:
        return isinstance(value, str) and len(value.encode()) <= MAX_KEY_BYTES and "\0" not in value
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write and UTF-8 cannot
        return False


def _media(entry: Any, place: str) -> MediaObject:
    """Make an entry a MediaObject; ValueError names what is wrong with it, and where."""
    if not isinstance(entry, dict):
        raise ValueError(f"{place} is no JSON object")  # noqa: TRY004  # the document's fault, not ours
    if lacking := [name for name in REQUIRED if entry.get(name) is None]:
        raise ValueError(f"{place} has no {' and no '.join(lacking)}")
    for name, kind in KINDS.items():
        # type() and not isinstance(): True is an int to Python, and no size.
        if type(value := entry.get(name)) is not kind and value is not None:
            raise ValueError(f"{place}: its {name} is no {'text' if kind is str else 'whole number'}")
    media = MediaObject(
        entry["key"], entry["size"], entry.get("last_modified") or "", entry.get("etag"), entry["file_id"]
    )
    if fault := fault_in(media):
        raise ValueError(f"{place}: {fault}")
    return media


_numbers = itertools.count(1)


class InventoryListing:
    """An inventory file's objects as a bucket would list them: in byte order of their keys, each once.

    They are read whole, into a file of `folder`, before the first is yielded: memory stays flat, and a
    fault at the end of the inventory comes before anything is done. Raises InventoryError.
    """

    is_bucket = False
    unidentified = 0
    requests = 0
    key_order = "utf-8"

    def __init__(self, file: InventoryFile, folder: Path, exclude: Exclude = NOTHING) -> None:
        self._name = file.name
        self.exclude = exclude
        self.excluded = 0
        self._database = open_scratch(folder / f"inventory-{next(_numbers)}.sqlite3")
        try:
            with disk_faults():
                self._database.execute("CREATE TABLE object (key, size, last_modified, etag, file_id)")
                self._database.executemany("INSERT INTO object VALUES (?, ?, ?, ?, ?)", file)
                self._refuse_contradictions()
        except BaseException:
            self.close()
            raise
        self.bucket = file.header.get("bucket", "")
        self.prefix = file.header.get("prefix", "")
        self.patterns = file.patterns
        self.list_mode: ListMode = "versions" if file.header.get("list_mode") == "versions" else "objects"
        self.discovered = 0

    def objects(self) -> Iterator[MediaObject]:
        """Yield the objects."""
        before = None
        for media in map(MediaObject._make, self._sorted()):
            if before is None or (before.key, before.file_id) != (media.key, media.file_id):
                if self.exclude.excludes(media.key):
                    self.excluded += 1
                else:
                    self.discovered += 1
                    yield media
            before = media

    def _refuse_contradictions(self) -> None:
        found = self._database.execute(
            "SELECT key, min(rowid), max(rowid) FROM object GROUP BY key, file_id "
            "HAVING min(size) < max(size) OR count(DISTINCT ifnull(etag, '')) > 1 LIMIT 1"
        ).fetchone()
        if found:
            key, first, last = found
            raise InventoryError(
                f"objects {first:,} and {last:,} are both {key!r}, and differ",
                doing=f"reading inventory {self._name}",
                hint=HINT,
            )

    def _sorted(self) -> Iterator[tuple[Any, ...]]:
        with disk_faults():
            # SQLite compares texts by their bytes.
            yield from self._database.execute("SELECT * FROM object ORDER BY key, file_id, last_modified")

    def batches(self, _known_keys: Callable[[], list[str]] | None = None) -> Generator[Batch]:
        """Yield the objects, some at a time."""
        objects = self.objects()
        while batch := list(itertools.islice(objects, BATCH)):
            yield Batch("", batch, [])

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
