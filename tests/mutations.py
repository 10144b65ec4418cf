"""Whatever can become of a sound document on its way, for hypothesis: of its bytes, its parts, its values."""

import copy
import json
import re
from typing import Any

from hypothesis import strategies as st

ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "latin-1", "cp1252", "cp037")
XML_PARTS = re.compile(rb"<[^<>]*>|[^<>]+")
JSON_PARTS = re.compile(rb'"(?:[^"\\]|\\.)*"|[^"]', re.DOTALL)
XML_TOKENS = (
    *(b"<a>", b"</a>", b"<a/>", b"<", b">", b"&", b"&amp;", b"&#0;", b"&#xD800;", b"&e;", b"&#38;lt;"),
    *(
        b"<Contents>",
        b"</Contents>",
        b"<Version>",
        b"<DeleteMarker>",
        b"<Key>",
        b"</Key>",
        b"<Size>-1</Size>",
    ),
    *(b"<Key>zz</Key>", b"<IsTruncated>true</IsTruncated>", b"<IsTruncated>false</IsTruncated>"),
    *(
        b"<KeyCount>9</KeyCount>",
        b"<EncodingType>url</EncodingType>",
        b"<Size>1e3</Size>",
        b"<Size>NaN</Size>",
    ),
    *(
        b"<NextContinuationToken>x</NextContinuationToken>",
        b"<![CDATA[",
        b"]]>",
        b"<!--",
        b"-->",
        b"<?x",
        b"?>",
    ),
    *(
        b'<!DOCTYPE a [<!ENTITY e "x">]>',
        b'<?xml version="1.0" encoding="UTF-16"?>',
        b"\xef\xbb\xbf",
        b"\xff\xfe",
    ),
    *(b"\0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbf\xbf", b"%00", b"%ff", b"%", b"+", b"9" * 5000),
)
JSON_TOKENS = (
    *(b"null", b"true", b"NaN", b"-Infinity", b"-0", b"1e999", b"1.5", b"9" * 5000, b'"', b"\\", b"\\u0000"),
    *(
        b"\\ud800",
        b"\\udfff\\ud800",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'{"a":',
        b'"key":"zz",',
        b'"size":-1,',
    ),
    *(b'"success":true,', b'"result":[],', b'"objects":[],', b"/**/", b"'", b"\0", b"\xff", b"\xc0\x80"),
    *(b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b" ", b"\n", b"\x0c"),
)
DEEP = 100_000


@st.composite
def damaged(draw: Any, document: bytes, *, xml: bool) -> bytes:
    """Make a document of one that is sound: up to three changes of its bytes or of its parts."""
    for _ in range(draw(st.integers(1, 3))):
        document = draw(st.one_of(_of_bytes(document), _of_parts(document, xml=xml)))
    return document if draw(st.integers(0, 15)) else draw(_of_encoding(document))


@st.composite
def _of_bytes(draw: Any, document: bytes) -> bytes:
    place = draw(st.integers(0, max(0, len(document) - 1)))
    rest = document[place + 1 :]
    flipped = bytes([document[place] ^ (1 << draw(st.integers(0, 7)))]) if document else b""
    return draw(
        st.sampled_from([document[:place], document[place:], document[:place] + flipped + rest])
        | st.binary(max_size=4).map(lambda noise: document[:place] + noise + rest)
    )


@st.composite
def _of_parts(draw: Any, document: bytes, *, xml: bool) -> bytes:
    """Take out, repeat or swap some of the parts, or put something between them, perhaps very often."""
    parts = (XML_PARTS if xml else JSON_PARTS).findall(document)
    begin, middle, end = sorted(draw(st.integers(0, len(parts))) for _ in range(3))
    before, one, other, after = parts[:begin], parts[begin:middle], parts[middle:end], parts[end:]
    token = [draw(st.sampled_from(XML_TOKENS if xml else JSON_TOKENS))]
    choice = draw(st.integers(0, 19))
    if choice == 0:
        token *= DEEP // len(token[0])
    changed = [one + token + other, other, one * 2 + other, one * 3 + other, other + one]
    return b"".join(before + changed[min(choice % 6, 4)] + after)


def _of_encoding(document: bytes) -> st.SearchStrategy[bytes]:
    text = document.decode(errors="replace")
    return st.sampled_from(ENCODINGS).map(lambda name: text.encode(name, errors="replace"))


# Values that no sound document has in that place, and some that it might.
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, float("nan"), float("inf"), 2**63, 10**400, -(10**400), "", " ", "0"),
    *("\0", "\ud800", "\udfff\ud800", "\ufeff", "\x1b[2J", "a\r\n::error::b", "x" * 5000, "../..", "?#%00"),
    *([], {}, [[]], [None], {"": None}, {"name": []}),
)


def odd() -> st.SearchStrategy[Any]:
    """Make a value that a program may stumble over."""
    return st.sampled_from(ODD) | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )


@st.composite
def bent(draw: Any, value: Any) -> Any:
    """Make of a JSON value another: a value in it replaced, lost, repeated or under another name."""
    whole = [copy.deepcopy(value)]
    for _ in range(draw(st.integers(1, 2))):
        container, place = draw(st.sampled_from(list(_places(whole))))
        change = draw(st.sampled_from(["replace", "replace", "lose", "repeat", "wrap"]))
        if change == "replace" or container is whole:
            container[place] = copy.deepcopy(draw(odd()))
        elif change == "lose":
            del container[place]
        elif change == "wrap":
            container[place] = draw(st.sampled_from([[container[place]], {"a": container[place]}]))
        elif isinstance(container, list):
            container.insert(draw(st.integers(0, len(container))), copy.deepcopy(container[place]))
        else:
            container[draw(st.sampled_from([place.upper(), place + " ", "\0"]))] = container[place]
    return whole[0]


def _places(container: Any) -> Any:
    places = range(len(container)) if isinstance(container, list) else list(container)
    for place in places:
        yield container, place
        if isinstance(container[place], list | dict):
            yield from _places(container[place])


def as_json(value: Any) -> bytes:
    """Write any value as Python would, NaN, lone surrogates and all."""
    return json.dumps(value).encode()


def fault_of_words(text: str) -> str | None:
    """Say what is wrong with an error's words: nobody could print them, or a terminal would obey them."""
    if not all(each.isprintable() for each in text.replace("\n", "")):
        return f"not printable: {text!r}"
    return None if len(text) < 5000 else f"{len(text)} characters"
