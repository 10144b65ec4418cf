"""The new rows, as chunks ready to send, in a folder of the run's own.

A chunk is a JSON array of arrays `[media_uid, b2_key, b2_file_id, size, etag]`, bound to a statement as one
string. It is written to disk as it will be sent, so that memory stays flat however many rows are new.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from b2d1.media import MediaObject, form_of
from b2d1.spool import Spool

# D1 documents 2 MB for a string; a statement of this size takes milliseconds (docs/design.md).
CHUNK_BYTES = 900_000
CHUNK_ROWS = 5_000

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Chunk(NamedTuple):
    file: Path
    rows: int


class Plan:
    """The rows to insert, in listing order, at most `chunk_rows` of them in a chunk.

    `new` counts all of them; those beyond `most` rows are `deferred` to a later run. `forms` are the forms
    of their identities; `plain` is false if one, no B2 file id, is not its row's etag in quotes. A range of
    chunks is one of their numbers, from 0, without gaps.
    """

    def __init__(self, folder: Path, most: int | None = None, chunk_rows: int = CHUNK_ROWS) -> None:
        self.new = 0
        self.forms: set[str] = set()
        self.plain = True
        self._folder = folder
        self._spool = Spool(folder, "new")
        self._placed = 0
        self._most = most
        self._chunk_rows = min(chunk_rows, CHUNK_ROWS)
        self._chunks: list[_Chunk] = []
        self._due_chunks = 0
        self._names = itertools.count()
        self._rows: list[str] = []
        self._bytes = 0
        self._sealed = False

    @property
    def deferred(self) -> int:
        """Count the rows left to a later run."""
        return 0 if self._most is None else max(0, self.new - self._most)

    @property
    def due(self) -> int:
        """Count the rows that this run is to insert."""
        return self.new - self.deferred

    @property
    def due_chunks(self) -> int:
        """Count the chunks that hold them."""
        return self._due_chunks

    def add(self, uid: str, media: MediaObject, part: str = "") -> None:
        """Add a row to a part of the listing; the parts' order is that of their names, "" is the first."""
        row = _encode([uid, media.key, media.file_id, media.size, media.etag])
        self.new += 1
        self.forms.add(form := form_of(media.file_id))
        self.plain &= form == "version" or (
            media.etag is not None and media.file_id == f'"{media.etag.strip(chr(34))}"'
        )
        if part:
            self._spool.put(part, row.encode() + b"\n")
        else:
            self._place(row)

    def seal(self) -> None:
        """Declare the plan whole: the listing it was made from is proven complete."""
        for file in self._spool.parts():
            for line in file:
                self._place(line.decode().rstrip("\n"))
        self._flush()
        self._sealed = True

    def chunk(self, number: int) -> str:
        """Read a chunk, as it is sent."""
        self._be_sealed()
        return self._chunks[number].file.read_text("utf-8")

    def chunks(self) -> Iterator[str]:
        """Yield the chunks that this run is to insert."""
        self._be_sealed()
        return map(self.chunk, range(self._due_chunks))

    def all_chunks(self) -> Iterator[str]:
        """Yield every chunk, deferred ones too."""
        self._be_sealed()
        return map(self.chunk, range(len(self._chunks)))

    def rows_in(self, chunks: range) -> int:
        """Count the rows of some chunks."""
        return sum(self._chunks[number].rows for number in chunks)

    def round(self, first: int, most: int) -> range:
        """Take from chunk `first` on as many due chunks as hold `most` rows together; one at the least."""
        stop = first + 1
        rows = self.rows_in(range(first, stop))
        while stop < self._due_chunks and rows + self._chunks[stop].rows <= most:
            rows += self._chunks[stop].rows
            stop += 1
        return range(first, stop)

    def halve(self, number: int, stop: int | None = None) -> None:
        """Make two chunks of one, and of those before `stop` that are about as large; numbers move up."""
        half = self._chunks[number].rows // 2
        for each in reversed(range(number, number + 1 if stop is None else stop)):
            if self._chunks[each].rows > half:
                self._halve(each)

    def _be_sealed(self) -> None:
        if not self._sealed:
            raise AssertionError("a plan is read only when its listing is proven complete")

    def _halve(self, number: int) -> None:
        rows = [_encode(row) for row in json.loads(self.chunk(number))]
        middle = len(rows) // 2
        self._chunks[number].file.unlink()
        self._chunks[number : number + 1] = [self._write(rows[:middle]), self._write(rows[middle:])]
        self._due_chunks += number < self._due_chunks

    def _place(self, row: str) -> None:
        weight = len(row.encode()) + 2  # a comma and a line's end, or a chunk's brackets
        full = self._bytes + weight > CHUNK_BYTES or len(self._rows) >= self._chunk_rows
        if full or self._placed == self._most:
            self._flush()
        self._rows.append(row)
        self._bytes += weight
        self._placed += 1

    def _flush(self) -> None:
        if not self._rows:
            return
        self._chunks.append(self._write(self._rows))
        if self._most is None or self._placed <= self._most:
            self._due_chunks = len(self._chunks)
        self._rows, self._bytes = [], 0

    def _write(self, rows: list[str]) -> _Chunk:
        file = self._folder / f"chunk-{next(self._names):06}.json"
        file.write_text("[" + ",\n".join(rows) + "]", "utf-8")
        return _Chunk(file, len(rows))
