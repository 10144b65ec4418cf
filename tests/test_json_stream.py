"""Reading JSON value by value from a stream that comes in parts."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2d1.inventory.json_stream import MAX_VALUE_CHARS, READ_BYTES, JsonStream


class Parts:
    """A stream that gives these parts, one a read, whatever size is asked for; `given` counts the bytes."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = [part for part in parts if part]
        self.given = 0

    def read(self, _size: int) -> bytes:
        part = self.parts.pop(0) if self.parts else b""
        self.given += len(part)
        return part


class Endless:
    """A stream that begins so and then repeats itself for ever; `given` counts the bytes."""

    def __init__(self, beginning: bytes, again: bytes) -> None:
        self.text = beginning
        self.again = again
        self.given = 0

    def read(self, size: int) -> bytes:
        while len(self.text) < size:
            self.text += self.again * size
        part, self.text = self.text[:size], self.text[size:]
        self.given += size
        return part


def cut(document: bytes, places: list[int]) -> Parts:
    """Cut a document into parts at these places."""
    edges = [0, *sorted(place % (len(document) + 1) for place in places), len(document)]
    return Parts(*(document[a:b] for a, b in itertools.pairwise(edges)))


def read_list(read: JsonStream) -> list[Any]:
    """Read a document that is a list."""
    values = []
    mark = read.take("[")
    if read.peek() == "]":
        mark = read.take("]")
    while mark != "]":
        values.append(read.value())
        mark = read.take(",]")
    assert read.peek() == ""
    return values


def fault_of(*parts: bytes) -> str:
    """Read a list that is none, and return what is said about it."""
    with pytest.raises(ValueError, match=r"stands|cut off|is not") as caught:
        read_list(JsonStream(Parts(*parts)))
    return str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    values=st.lists(JSON, max_size=6),
    indent=st.sampled_from([None, 0, 2, "\t"]),
    ascii_only=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n"]),
    places=st.lists(st.integers(0, 10**6), max_size=12),
)
def test_values_come_back_wherever_the_stream_is_cut(
    values: list[Any], indent: int | str | None, ascii_only: bool, line_end: str, places: list[int]
) -> None:
    """Any JSON values are read as they were written, in whatever parts the stream gives them."""
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only).replace("\n", line_end)

    assert read_list(JsonStream(cut(text.encode(), places))) == values


@pytest.mark.parametrize("number", ["12", "-1", "1.5", "-0.25", "1e3", "1E+3", "1.5e-3", "0"])
def test_a_number_is_read_whole_wherever_the_stream_is_cut(number: str) -> None:
    """A number cut in two by the end of a read is one number, even where its first half is one too."""
    document = f"[{number},7]".encode()

    for place in range(len(document)):
        assert read_list(JsonStream(cut(document, [place]))) == [json.loads(number), 7]


@pytest.mark.parametrize("number", ["12", "1.5", "1e3"])
def test_a_number_may_end_the_stream(number: str) -> None:
    """A number that nothing follows is whole at the end of the stream."""
    read = JsonStream(Parts(number.encode()))

    assert (read.value(), read.peek()) == (json.loads(number), "")


def test_a_character_may_be_cut_in_two() -> None:
    """A character of several bytes is one character however the stream cuts it, byte by byte too."""
    document = '["é写😀"]'.encode()

    assert read_list(JsonStream(cut(document, list(range(len(document)))))) == ["é写😀"]


def test_a_byte_order_mark_is_no_part_of_the_document() -> None:
    """A UTF-8 byte order mark at the beginning is passed over, cut in two or not."""
    document = b"\xef\xbb\xbf[1]"

    assert [read_list(JsonStream(cut(document, [place]))) for place in range(4)] == [[1]] * 4


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        pytest.param(b"", "line 1: the file is cut off: expected [", id="nothing"),
        pytest.param(b" \n \n", "line 3: the file is cut off: expected [", id="white space only"),
        pytest.param(b"\n{}", "line 2: '{' stands where [ should", id="another mark"),
        pytest.param(b"[1\n\n2]", "line 3: '2' stands where , or ] should", id="no comma"),
        pytest.param(b"[1", "line 1: the file is cut off: expected , or ]", id="ends behind a value"),
        pytest.param(b"[1,\n", "line 2: the file is cut off: expected one", id="ends behind a comma"),
        pytest.param(b'["a', "line 1: the file is cut off: expected one", id="half a text"),
        pytest.param(b'["\\', "line 1: the file is cut off: expected one", id="half an escape"),
        pytest.param(b'["\\u00', "line 1: the file is cut off: expected one", id="half an escape by number"),
        pytest.param(b"[-", "line 1: the file is cut off: expected one", id="half a negative number"),
        pytest.param(b"[fals", "line 1: the file is cut off: expected one", id="half a word"),
        pytest.param(b'[{"a":', "line 1: the file is cut off: expected one", id="half an object"),
        pytest.param(b"[{", "line 1: the file is cut off: expected one", id="an object begun"),
        pytest.param(b'["\\u00x"]', "line 1: no whole JSON value stands where one should", id="a bad escape"),
        pytest.param(
            b'["\\u0x"', "line 1: no whole JSON value stands where one should", id="a bad escape last"
        ),
        pytest.param(b'["\\u0041', "line 1: the file is cut off: expected one", id="an escape last"),
        pytest.param(b"[{x} end", "line 1: no whole JSON value stands where one should", id="a bad object"),
        pytest.param(
            b"[\n1,\n]", "line 3: no whole JSON value stands where one should", id="comma at the end"
        ),
        pytest.param(
            b'["a\nb"]', "line 1: no whole JSON value stands where one should", id="line end in text"
        ),
        pytest.param(b"[NaN]", "line 1: no whole JSON value stands where one should", id="NaN"),
        pytest.param(b"[-Infinity]", "line 1: no whole JSON value stands where one should", id="Infinity"),
        pytest.param(b"['a']", "line 1: no whole JSON value stands where one should", id="wrong quotes"),
        pytest.param(b"[01]", "line 1: '1' stands where , or ] should", id="leading zero"),
        pytest.param(b"[1.x]", "line 1: '.' stands where , or ] should", id="half a number"),
        pytest.param(b"[\xc2\xa01]", "line 1: no whole JSON value stands where one should", id="other space"),
        pytest.param(b"[\x0c1]", "line 1: no whole JSON value stands where one should", id="form feed"),
        pytest.param(b'[1,\n"\xff",\n1]', "line 2: the text is not UTF-8", id="no UTF-8"),
        pytest.param(b'[1,\n"\xed\xa0\x80"]', "line 2: the text is not UTF-8", id="surrogate in UTF-8"),
        pytest.param(
            b'[1,\n\n"\xc3',
            "line 3: the file is cut off: expected the rest of a character",
            id="ends within a character",
        ),
        pytest.param("[1]".encode("utf-16"), "line 1: the text is not UTF-8", id="UTF-16"),
        pytest.param(
            "[1]".encode("utf-16-le"), "line 1: no whole JSON value stands where one should", id="LE"
        ),
    ],
)
def test_a_fault_is_named_with_its_line(document: bytes, fault: str) -> None:
    """What is no JSON is a ValueError that says what stands where, wherever the stream is cut."""
    assert {fault_of(document), fault_of(*(bytes([byte]) for byte in document))} == {fault}


@pytest.mark.parametrize(
    ("beginning", "again"),
    [
        pytest.param(b'"', b"a", id="text"),
        pytest.param(b"", b"[", id="lists in lists"),
        pytest.param(b"", b'{"a":', id="objects in objects"),
        pytest.param(b"", b"1", id="integer"),
        pytest.param(b"1.", b"0", id="fraction"),
        pytest.param(b"1", b"-", id="number and signs"),
        pytest.param(b"[", b"null, ", id="list"),
        pytest.param(b"\n", b"nonsense ", id="nonsense"),
    ],
)
def test_an_endless_value_is_given_up(beginning: bytes, again: bytes) -> None:
    """A value that does not end is refused after some megabyte, not read until memory is full."""
    stream = Endless(beginning, again)

    with pytest.raises(
        ValueError, match="no JSON value of up to 1,000,000 characters stands where one should"
    ):
        JsonStream(stream).value()

    assert stream.given <= MAX_VALUE_CHARS + 2 * READ_BYTES


def test_endless_white_space_is_not_kept() -> None:
    """White space between values takes no memory: only the last part that was read is held."""
    stream = Parts(*[b" \n" * 1000] * 5000, b"1")
    read = JsonStream(stream)

    assert (read.value(), read.line) == (1, 5_000_001)
    assert len(read._text) <= 2001


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    """An integer too long for Python to read is a fault of the document, with its line."""
    assert fault_of(b"[\n" + b"9" * 5000 + b"]") == "line 2: no whole JSON value stands where one should"


def test_a_value_is_called_by_its_name_in_a_fault() -> None:
    """Who reads a value says what a fault is to call it."""
    with pytest.raises(ValueError, match="line 1: the file is cut off: expected object 3"):
        JsonStream(Parts(b"{")).value("object 3")
