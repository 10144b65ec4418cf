"""What comes for several parts of a listing at once, kept on disk until it is a part's turn."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

BUFFER_BYTES = 128_000


class Spool:
    """A file of `folder` for each part; the parts' order is that of their names."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._files: dict[str, Path] = {}
        self._buffers: dict[str, bytearray] = {}

    def put(self, part: str, data: bytes) -> None:
        """Add to a part."""
        if part not in self._files:
            self._files[part] = self._folder / f"{self._name}-{len(self._files)}"
            self._buffers[part] = bytearray()
        buffer = self._buffers[part]
        buffer += data
        if len(buffer) >= BUFFER_BYTES:
            self._flush(part)

    def parts(self) -> Iterator[BinaryIO]:
        """Yield each part's file, open at its beginning; it is gone with the next one."""
        for part in sorted(self._files):
            self._flush(part)
            path = self._files.pop(part)
            with path.open("rb") as file:
                yield file
            path.unlink()

    def _flush(self, part: str) -> None:
        # Opened each time: so nothing is left open, however a run ends.
        with self._files[part].open("ab") as file:
            file.write(self._buffers[part])
        self._buffers[part] = bytearray()
