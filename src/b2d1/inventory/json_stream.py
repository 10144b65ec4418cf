"""JSON read value by value from a stream, so that a document of any length takes little memory."""

import codecs
import json
import re
from typing import Any, Protocol

from b2d1.strict_json import TwiceError, read_value

READ_BYTES = 262_144
# One value is held whole; an inventory's objects are some 2 kB at the most.
MAX_VALUE_CHARS = 1_000_000


_SPACE = re.compile(r"[ \t\n\r]*")
# What a number may go on with: the 1 that ends what is read so far may be the beginning of 1.5 or 1e3.
_MAY_GO_ON = re.compile(r"[-+.0-9eE]*\Z")


class CutOffError(ValueError):
    """The document ends before it is complete."""


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
        self._line = 1
        self._line_is_of = 0
        self._ended = False

    @property
    def line(self) -> int:
        """Tell the line that is being read, counted from 1."""
        self._line += self._text.count("\n", self._line_is_of, self._at)
        self._line_is_of = self._at
        return self._line

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
        if not mark:
            raise self._cut_off(" or ".join(marks))
        if mark not in marks:
            raise self.fault(f"{mark!r} stands", " or ".join(marks))
        self._at += 1
        return mark

    def value(self, expected: str = "one") -> Any:
        """Read one value of any kind; `expected` names it in a fault."""
        self.peek()
        while True:
            fault: Exception | None = None
            text = self._text
            value, end = None, len(text)
            try:
                value, end = read_value(text, self._at)
            except TwiceError as error:
                raise self.fault("an object with a name that stands twice in it stands", expected) from error
            except (ValueError, RecursionError) as error:
                fault = error
            if fault or _MAY_GO_ON.match(self._text, end):
                if len(self._text) - self._at > MAX_VALUE_CHARS:
                    most = f"no JSON value of up to {MAX_VALUE_CHARS:,} characters"
                    raise self.fault(f"{most} stands", expected) from fault
                if self._read_more():
                    continue
            if fault and _is_cut_off(fault, text):
                raise self._cut_off(expected) from fault
            if fault:
                raise self.fault("no whole JSON value stands", expected) from fault
            self._at = end
            return value

    def fault(self, found: str, expected: str) -> ValueError:
        """Describe what is wrong at this place."""
        return ValueError(f"line {self.line:,}: {found} where {expected} should")

    def _cut_off(self, expected: str) -> CutOffError:
        return CutOffError(f"line {self.line:,}: the file is cut off: expected {expected}")

    def _read_more(self) -> bool:
        """Read another part; false at the end of the stream."""
        if self._ended:
            return False
        data = self._stream.read(READ_BYTES)
        self._ended = not data
        try:
            text = self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data":
                raise self._cut_off("the rest of a character") from None
            line = self.line + self._text.count("\n", self._at) + error.object.count(b"\n", 0, error.start)
            raise ValueError(f"line {line:,}: the text is not UTF-8") from None
        self._line = self.line
        self._text = self._text[self._at :] + text
        self._at = self._line_is_of = 0
        return bool(text) or self._read_more()


def _is_cut_off(fault: Exception, text: str) -> bool:
    """Return True if nothing but the end of the text is wrong with a value."""
    if not isinstance(fault, json.JSONDecodeError):
        return False
    rest = text[fault.pos :].strip()
    half_an_escape = fault.msg.startswith("Invalid \\u") and re.fullmatch("u[0-9a-fA-F]{0,4}", rest)
    half_a_word = any(word.startswith(rest) for word in ("true", "false", "null", "-"))
    return fault.msg.startswith("Unterminated string") or bool(half_an_escape) or half_a_word
