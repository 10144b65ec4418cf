"""Any page that a host could write of any legal bucket, for hypothesis."""

from typing import Any
from xml.sax.saxutils import escape

from hypothesis import strategies as st
from pages import Form, Row

from b2d1.media import MAX_KEY_BYTES, ListMode

# What clients have stumbled over; B2 allows every character but codes below 32 and 127.
AWKWARD = (
    *("+", "%", "%2F", "%2f", "%20", "%25", "%zz", "&", "&amp;", "&quot;", "&#38;", "<", ">", "'", '"'),
    *(" ", "  ", "\N{NO-BREAK SPACE}", "/", "//", "\\", "..", "./", "?", "#", ";", "=", "]]", "null", "None"),
    *("\x80", "\x9f", "\u00e9", "e\u0301", "\u00df", "日本語", "\u2028"),
    *("\ud7ff", "\ue000", "\ufeff", "\ufffd", "\U0001f600"),
)
# XML cannot hold these two; a host that does not encode its keys cannot list them.
NONCHARACTERS = "\ufffe\uffff"

DATES = (
    *("2024-02-29T23:59:59.001Z", "2009-10-12T17:50:30.000Z"),
    *("1970-01-01T00:00:00Z", "2024-01-01T00:00:00+02:00"),
)
ETAGS = ('"d41d8cd98f00b204e9800998ecf8427e"', "d41d8cd98f00b204e9800998ecf8427e", '"5d41402abc4b2a76-12"')
NO_ETAGS = (None, "", '""')
NO_VERSION_IDS = (None, "", "null")


def keys(*, noncharacters: bool = True) -> st.SearchStrategy[str]:
    """Make legal keys, 1 to 1,024 bytes long."""
    exclude = "\x7f" if noncharacters else "\x7f" + NONCHARACTERS
    character = st.characters(codec="utf-8", min_codepoint=32, exclude_characters=exclude)
    awkward = (*AWKWARD, *NONCHARACTERS) if noncharacters else AWKWARD
    short = st.lists(st.sampled_from(awkward) | character, min_size=1, max_size=12).map("".join)
    return short | short.map(_stretched)


def _stretched(text: str) -> str:
    return (text * MAX_KEY_BYTES).encode()[:MAX_KEY_BYTES].decode(errors="ignore")


def _entities(text: str) -> str:
    return "".join(each if each.isalnum() else f"&#x{ord(each):X};" for each in text)


def _quoted(text: str) -> str:
    return escape(text, {'"': "&quot;", "'": "&apos;"})


forms = st.builds(
    Form,
    url_encoded=st.booleans(),
    space=st.sampled_from(["+", "%20"]),
    hex_digits=st.sampled_from([str.upper, str.lower]),
    quote=st.sampled_from(["&quot;", '"', "&#34;"]),
    entities=st.sampled_from([escape, _quoted, _entities]),
    order=st.just(()) | st.permutations(range(10)).map(tuple),
    pretty=st.sampled_from(["", "\n  ", "\r\n\t"]),
    namespace=st.sampled_from(["", "", "", "s3:"]),
    owner=st.booleans(),
    unknown=st.booleans(),
    rows_last=st.booleans(),
)


@st.composite
def buckets(draw: Any, mode: ListMode, *, url_encoded: bool = True, most: int = 12) -> list[Row]:
    """Make the rows of a bucket, in byte order; in list mode `versions` old versions and hide markers too."""
    found = draw(st.sets(keys(noncharacters=url_encoded), max_size=most))
    rows = []
    for key in sorted(found, key=str.encode):
        hidden = draw(st.lists(st.booleans(), min_size=1, max_size=3)) if mode == "versions" else [False]
        rows += [
            Row(
                key,
                etag=draw(st.sampled_from(ETAGS) | st.sampled_from(ETAGS + NO_ETAGS)),
                size=draw(st.integers(0, 2**63 - 1)),
                last_modified=draw(st.sampled_from(DATES)),
                version_id=draw(st.just(f"4_z{place}") | st.sampled_from(NO_VERSION_IDS)),
                latest=place == 0,
                hidden=is_hidden,
            )
            for place, is_hidden in enumerate(hidden)
        ]
    return rows


@st.composite
def written_pages(draw: Any, mode: ListMode) -> tuple[list[Row], Form]:
    """Make the rows of a bucket and a form to write them in."""
    form = draw(forms)
    return draw(buckets(mode, url_encoded=form.url_encoded)), form
