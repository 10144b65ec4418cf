"""JSON read value by value from a stream, so that a document of any length takes little memory."""

import codecs
import json
import re
from typing import Any, Protocol

READ_BYTES = 262_144
# One value is held whole; an inventory's objects are some 2 kB at the most.
MAX_VALUE_CHARS = 1_000_000

_decode = json.JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")


class Bytes(Protocol):
    """Anything that can be read in parts."""

    def read(self, size: int, /) -> bytes: ...


class JsonStream:
    """Reads the marks and values of a JSON document in UTF-8; a fault is a ValueError with its line."""

    def __init__(self, stream: Bytes) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._lines_before = 0
        self._ended = False

    @property
    def line(self) -> int:
        """Tell the line that is being read, counted from 1."""
        return self._lines_before + self._text.count("\n", 0, self._at) + 1

    def peek(self) -> str:
        """Return the next character that is no white space, or "" at the end; it stays unread."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or not self._read_more():
                return self._text[self._at : self._at + 1]

    def take(self, marks: str) -> str:
        """Read one of these marks."""
        mark = self.peek()
        if not mark or mark not in marks:
            raise self.fault(f"{mark!r} stands" if mark else "the file ends", " or ".join(marks))
        self._at += 1
        return mark

    def value(self) -> Any:
        """Read one value of any kind."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if len(self._text) - self._at > MAX_VALUE_CHARS or not self._read_more():
                    raise self.fault("no JSON value stands", "one") from error
                continue
            # A number may go on in what is not read yet.
            if end < len(self._text) or not self._read_more():
                self._at = end
                return value

    def fault(self, found: str, expected: str) -> ValueError:
        """Describe what is wrong at this place."""
        return ValueError(f"line {self.line:,}: {found} where {expected} should")

    def _read_more(self) -> bool:
        """Read another part; false at the end of the stream."""
        if self._ended:
            return False
        data = self._stream.read(READ_BYTES)
        self._ended = not data
        try:
            text = self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError:
            raise ValueError(f"after line {self.line:,}: the text is not UTF-8") from None
        self._lines_before += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + text
        self._at = 0
        return bool(text) or self._read_more()
