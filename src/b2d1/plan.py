"""The new rows, as chunks ready to send, in a folder of the run's own.

A chunk is a JSON array of arrays `[media_uid, b2_key, b2_file_id, size, etag]`, bound to a statement as one
string. It is written to disk as it will be sent, so that memory stays flat however many rows are new.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from b2d1.media import MediaObject

# D1 documents 2 MB for a string; a statement of this size takes milliseconds (docs/design.md).
CHUNK_BYTES = 900_000
CHUNK_ROWS = 5_000

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Plan:
    """The rows to insert, in listing order.

    `new` counts all of them; those beyond `most` rows are `deferred` to a later run. `rows_that_fit` counts
    the rows of that full chunk which holds the fewest.
    """

    def __init__(self, folder: Path, most: int | None = None) -> None:
        self.new = 0
        self.rows_that_fit = CHUNK_ROWS
        self._folder = folder
        self._most = most
        self._chunks = 0
        self._due_chunks = 0
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

    def add(self, uid: str, media: MediaObject) -> None:
        """Add a row."""
        row = _encode([uid, media.key, media.file_id, media.size, media.etag])
        weight = len(row.encode()) + 2  # a comma and a line's end, or a chunk's brackets
        if self._bytes + weight > CHUNK_BYTES or len(self._rows) >= CHUNK_ROWS:
            self.rows_that_fit = min(self.rows_that_fit, len(self._rows))
            self._flush()
        elif self.new == self._most:
            self._flush()
        self._rows.append(row)
        self._bytes += weight
        self.new += 1

    def seal(self) -> None:
        """Declare the plan whole: the listing it was made from is proven complete."""
        self._flush()
        self._sealed = True

    def chunks(self) -> Iterator[str]:
        """Yield the chunks that this run is to insert."""
        return itertools.islice(self.all_chunks(), self._due_chunks)

    def all_chunks(self) -> Iterator[str]:
        """Yield every chunk, deferred ones too."""
        if not self._sealed:
            raise AssertionError("a plan is read only when its listing is proven complete")
        return (self._file(number).read_text("utf-8") for number in range(self._chunks))

    def _flush(self) -> None:
        if not self._rows:
            return
        self._file(self._chunks).write_text("[" + ",\n".join(self._rows) + "]", "utf-8")
        self._chunks += 1
        if self._most is None or self.new <= self._most:
            self._due_chunks = self._chunks
        self._rows, self._bytes = [], 0

    def _file(self, number: int) -> Path:
        return self._folder / f"chunk-{number:06}.json"
