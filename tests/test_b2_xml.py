"""Rows are read out of a page's XML: fast where the page is plain, and never otherwise than XML says."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from page_strategies import written_pages
from pages import Form, Row, page, stock_client

from b2d1.b2 import page_xml as b2_xml
from b2d1.b2.page_xml import Rows, root_name, split_page
from b2d1.errors import B2Error, Retry
from b2d1.media import ListMode
from sandbox.b2 import EmbeddedB2

MODES: list[ListMode] = ["objects", "versions"]
THREE = [Row("a"), Row("b", etag='"b"', size=2), Row("c", etag='"c"', size=3)]
WITH_MARKERS = [
    Row("a", hidden=True),
    Row("a", version_id="4_z1", latest=False),
    Row("b", version_id="4_z2"),
    Row("c", hidden=True),
    Row("d", version_id="4_z3"),
]
B2_SAMPLE = Form(pretty="\n    ", quote='"', order=(2, 6, 0, 1, 8, 3, 4, 5), rows_last=False)


def keys_of(rows: Rows) -> list[str | None]:
    return rows.objects["Key"]


def elements(rows: Rows) -> list[list[tuple[str | None, ...]]]:
    return [list(zip(*columns.values(), strict=True)) for columns in rows]


def grab(client: Any, operation: str, ask: Callable[[], Any]) -> bytes:
    """Fetch the body of an answer as it came."""
    bodies: list[bytes] = []
    client.meta.events.register(
        f"before-parse.*.{operation}", lambda response_dict, **_: bodies.append(response_dict["body"])
    )
    ask()
    return bodies[0]


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_the_fast_way_reads_what_elementtree_reads(mode: ListMode, data: st.DataObject) -> None:
    """Where the expression fits a page, its rows are the very rows that ElementTree finds in it."""
    body = page(*_arguments(data.draw(written_pages(mode)), mode))

    fast, slow = b2_xml._cut(body, mode), b2_xml._parse(body, mode)

    assert split_page(body, mode)[1] == slow[1]
    if fast:
        assert elements(fast[1]) == elements(slow[1])


def _arguments(written: tuple[list[Row], Form], mode: ListMode) -> tuple[list[Row], ListMode, Form]:
    rows, form = written
    return rows, mode, form


@pytest.mark.parametrize(
    ("mode", "rows", "form"),
    [
        pytest.param("objects", THREE, Form(), id="compact, as AWS"),
        pytest.param("objects", THREE, B2_SAMPLE, id="pretty, bare quotes, as Backblaze's sample"),
        pytest.param("objects", THREE, Form(owner=True, unknown=True), id="with owner and unknown fields"),
        pytest.param("objects", THREE, Form(url_encoded=False), id="keys not encoded"),
        pytest.param(
            "objects", [Row("日本 ]] \U0001f600"), Row("b")], Form(url_encoded=False), id="beyond ASCII"
        ),
        pytest.param("versions", WITH_MARKERS, Form(), id="versions with hide markers"),
        pytest.param("versions", WITH_MARKERS, B2_SAMPLE, id="versions, pretty"),
        pytest.param("versions", [Row("a"), Row("b")], Form(owner=True), id="versions alone"),
        pytest.param("versions", [Row("a", hidden=True)], Form(), id="hide markers alone"),
    ],
)
def test_a_plain_page_is_read_the_fast_way(mode: ListMode, rows: list[Row], form: Form) -> None:
    """The forms that B2 and AWS are known to write never need ElementTree for the whole page."""
    assert b2_xml._cut(page(rows, mode, form), mode) is not None


@pytest.fixture(scope="module")
def sample() -> Iterator[EmbeddedB2]:
    with EmbeddedB2() as b2:
        yield b2


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_every_page_of_the_embedded_b2_is_read_the_fast_way(sample: EmbeddedB2, mode: ListMode) -> None:
    """The sample bucket's pages, awkward keys and all, fit the expression."""
    told = sample.settings()
    client = stock_client(sample.url, key_id=told["B2_KEY_ID"], app_key=told["B2_APP_KEY"])
    bodies: list[bytes] = []
    client.meta.events.register(
        "before-parse.s3", lambda response_dict, **_: bodies.append(response_dict["body"])
    )
    operation = "list_objects_v2" if mode == "objects" else "list_object_versions"
    for _ in client.get_paginator(operation).paginate(Bucket=told["B2_BUCKET"]):
        pass

    assert len(bodies) > 2
    assert [b2_xml._cut(body, mode) is not None for body in bodies] == [True] * len(bodies)


@mock_aws
@pytest.mark.parametrize("mode", MODES)
def test_a_page_of_moto_is_read_the_fast_way(mode: ListMode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server's own pages fit the expression too."""
    client = boto3.client("s3", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    client.create_bucket(Bucket="photos")
    client.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
    for key in ("a b+c", "日本/é", "hidden", "z"):
        client.put_object(Bucket="photos", Key=key, Body=key.encode())
    client.delete_object(Bucket="photos", Key="hidden")
    asks = {
        "objects": ("ListObjectsV2", lambda: client.list_objects_v2(Bucket="photos")),
        "versions": ("ListObjectVersions", lambda: client.list_object_versions(Bucket="photos")),
    }

    cut = b2_xml._cut(grab(client, *asks[mode]), mode)

    assert cut is not None
    assert len(keys_of(cut[1])) == {"objects": 3, "versions": 4}[mode]


@pytest.mark.parametrize(
    ("form", "rows"),
    [
        pytest.param(Form(namespace="s3:"), THREE, id="namespace prefix"),
        pytest.param(Form(url_encoded=False), [Row("a"), Row("b&c")], id="named entity in a key"),
        pytest.param(Form(quote="&#34;"), THREE, id="numeric entity"),
        pytest.param(Form(), [Row("a"), Row("b", etag=None)], id="a field missing in one row"),
    ],
)
def test_a_page_that_is_not_plain_is_read_the_slow_way(form: Form, rows: list[Row]) -> None:
    """What the expression does not fit wholly, it does not read at all; ElementTree does."""
    body = page(rows, "objects", form)

    assert b2_xml._cut(body, "objects") is None
    assert len(keys_of(split_page(body, "objects")[1])) == len(rows)


def edited(mode: ListMode, pattern: str, replacement: str, *, count: int = 1, last: bool = False) -> bytes:
    """Write a page of three rows and edit it, at the pattern's first places or at its last."""
    text = page(THREE, mode).decode()
    places = list(re.finditer(pattern, text))
    for place in reversed(places[-count:] if last else places[:count]):
        text = text[: place.start()] + place.expand(replacement) + text[place.end() :]
    return text.encode()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("pattern", "replacement", "last"),
    [
        pytest.param("</(Contents|Version)>", r"</\1 >", True, id="the last closing tag has a blank"),
        pytest.param("<(Contents|Version)>", r"<\1 >", False, id="the first opening tag has a blank"),
        pytest.param("<(Contents|Version)>", r'<\1 note="x">', False, id="the first row has an attribute"),
        pytest.param("<(Contents|Version)>", r'<\1 note="x">', True, id="the last row has an attribute"),
        pytest.param(
            r"<(Contents|Version)>((?:(?!</\1>).)*)</\1>",
            r'<x:\1 xmlns:x="u">\2</x:\1>',
            False,
            id="the first is prefixed",
        ),
        pytest.param(
            "<StorageClass>STANDARD</StorageClass>", "<StorageClass/>", True, id="an empty-element tag"
        ),
        pytest.param(
            "<Size>(.)</Size>(<S.*?</S.*?>)", r"\2<Size>\1</Size>", True, id="another order of fields"
        ),
        pytest.param("<(Contents|Version)>", r"mind the gap<\1>", True, id="text between rows"),
        pytest.param("<(Contents|Version)>", r"<?xml-note <\1> ?><\1>", True, id="a processing instruction"),
        pytest.param("<(Contents|Version)>", r"<Other><Key>z</Key></Other><\1>", True, id="another element"),
    ],
)
def test_no_row_is_lost_for_its_form(mode: ListMode, pattern: str, replacement: str, last: bool) -> None:
    """However oddly one row of a page is written, all rows are read."""
    body = edited(mode, pattern, replacement, last=last)

    assert body != page(THREE, mode)
    assert keys_of(split_page(body, mode)[1]) == ["a", "b", "c"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("<Wrapped>", "</Wrapped>", id="in another element"),
        pytest.param("<?note ", " ?>", id="in a processing instruction"),
    ],
)
def test_what_only_looks_like_rows_is_none(mode: ListMode, before: str, after: str) -> None:
    """Rows are the children of the root, and nothing else is."""
    text = page(THREE, mode).decode()
    body = re.sub(r"(<(Contents|Version)>.*</\2>)", rf"{before}\1{after}", text).encode()

    assert keys_of(split_page(body, mode)[1]) == []


@pytest.mark.parametrize("mode", MODES)
def test_fields_between_the_rows_stay_in_the_envelope(mode: ListMode) -> None:
    """Backblaze's sample has hide markers, then the page's own fields, then versions: still the fast way."""
    fields = "<IsTruncated>true</IsTruncated><NextKeyMarker>&quot;c</NextKeyMarker>"
    body = page(THREE, mode, IsTruncated=None)
    last = max(body.rfind(b"<Contents>"), body.rfind(b"<Version>"))
    envelope, rows = b2_xml._cut(body[:last] + fields.encode() + body[last:], mode) or (b"", Rows({}, {}))

    assert fields.replace("&quot;", '"').encode() in envelope
    assert keys_of(rows) == ["a", "b", "c"]


@pytest.mark.parametrize("mode", MODES)
def test_a_row_in_another_element_is_none_among_rows(mode: ListMode) -> None:
    """A row that is not the root's own child is left out, as stock boto3 leaves it out, and only that one."""
    body = edited(mode, r"<(Contents|Version)>(<Key>b.*?)</\1>", r"<Wrapped><\1>\2</\1></Wrapped>")

    assert keys_of(split_page(body, mode)[1]) == ["a", "c"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("row", [r"<\2></\2>", r"<\2>?</\2>", r"<\2/>"], ids=["empty", "text", "one tag"])
def test_a_row_without_fields_is_still_a_row(mode: ListMode, row: str, last: bool) -> None:
    """A row with nothing in it does not hide in the envelope: it is an object without a key, an error."""
    place, replacement = (
        (r"(</(Contents|Version)>)", rf"\1{row}") if last else (r"(<(Contents|Version)>)", rf"{row}\1")
    )
    keys = keys_of(split_page(edited(mode, place, replacement, last=last), mode)[1])

    assert keys == (["a", "b", "c", None] if last else [None, "a", "b", "c"])


@pytest.mark.parametrize("mode", MODES)
def test_the_envelope_is_the_page_without_its_rows(mode: ListMode) -> None:
    """What is left for botocore is the page as it was, with the rows cut out."""
    form = Form(pretty="\n  ")
    envelope, rows = split_page(page(THREE, mode, form, then="token x"), mode)

    count = {"KeyCount": "3"} if mode == "objects" else {}
    assert envelope.split() == page([], mode, form, then="token x", **count).split()
    assert keys_of(rows) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("\x01", id="a control character"),
        pytest.param("\x1f", id="another"),
        pytest.param("\ufffe", id="U+FFFE"),
        pytest.param("\uffff", id="U+FFFF"),
        pytest.param("]]>", id="the end of a CDATA section"),
        pytest.param("&unknown;", id="an undefined entity"),
        pytest.param("&#1;", id="a control character as an entity"),
        pytest.param("&", id="a bare ampersand"),
        pytest.param("<", id="a bare less-than"),
    ],
)
@pytest.mark.parametrize("place", ["a", "c"])
def test_text_that_no_xml_may_hold_is_refused(bad: str, place: str) -> None:
    """A key with what XML forbids in it comes from a broken page, in the first row or a later one."""
    body = page(THREE, "objects").replace(f"<Key>{place}".encode(), f"<Key>{place}{bad}".encode())

    with pytest.raises(B2Error, match="broken or cut short"):
        split_page(body, "objects")


def test_white_space_is_what_xml_says_it_is() -> None:
    """A character that Python takes for white space and XML forbids makes a page broken."""
    with pytest.raises(B2Error, match="broken or cut short"):
        split_page(page(THREE).replace(b"<Size>3", b"\x1c<Size>3"), "objects")


XML = '<?xml version="1.0" encoding="UTF-8"?>'
SOUND = page(THREE).decode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b" \n", id="white space"),
        pytest.param(b"<html><body>Sign in</body></html>", id="HTML"),
        pytest.param(b"<!DOCTYPE html><html></html>", id="HTML with a document type"),
        pytest.param(b'{"objects": []}', id="JSON"),
        pytest.param(page(THREE, "versions"), id="the other list mode's page"),
        pytest.param(SOUND.replace(XML, XML + '<!DOCTYPE a [<!ENTITY e "x">]>').encode(), id="document type"),
        pytest.param(SOUND.replace("<Contents>", "<!-- --><Contents>", 1).encode(), id="comment"),
        pytest.param(SOUND.replace("<Key>a<", "<Key><![CDATA[a]]><").encode(), id="CDATA"),
        pytest.param(SOUND.replace("UTF-8", "UTF-16").encode("utf-16"), id="UTF-16, declared"),
        pytest.param(SOUND.replace(XML, "").encode("utf-16-le"), id="UTF-16, not declared"),
        pytest.param(SOUND.replace("UTF-8", "ISO-8859-1").encode("latin-1"), id="Latin-1"),
        pytest.param(SOUND.replace("UTF-8", "utf-7").encode(), id="UTF-7"),
        pytest.param(SOUND.replace("<Key>a<", "<Key>\0<").encode(), id="NUL"),
        pytest.param(SOUND.replace("<Key>a<", "<Key>é<").encode("latin-1"), id="not UTF-8"),
        pytest.param(SOUND.replace("</Size>", "</Size><Size>1</Size>", 1).encode(), id="a size twice"),
        pytest.param(SOUND.replace("<Key>b<", "<Key>a</Key><Key>b<").encode(), id="a key twice"),
    ],
)
def test_what_is_no_listing_is_refused(body: bytes) -> None:
    """An answer that is no plain XML listing is an error that another try may mend, never an empty page."""
    with pytest.raises(B2Error, match=r"^the answer is no listing: ") as caught:
        split_page(body, "objects")

    assert caught.value.retry is Retry.SOON


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "told",
    [
        pytest.param("", id="missing"),
        pytest.param("<IsTruncated></IsTruncated>", id="empty"),
        pytest.param("<IsTruncated/>", id="an empty-element tag"),
        pytest.param("<IsTruncated>maybe</IsTruncated>", id="garbage"),
        pytest.param("<IsTruncated>True</IsTruncated>", id="capital"),
        pytest.param("<IsTruncated> true </IsTruncated>", id="blanks, which botocore takes for false"),
        pytest.param("<IsTruncated>true</IsTruncated>" * 2, id="twice, which botocore takes for false"),
        pytest.param("<IsTruncated>false</IsTruncated><IsTruncated>true</IsTruncated>", id="both"),
    ],
)
@pytest.mark.parametrize("namespace", ["", "s3:"])
def test_a_page_that_does_not_say_whether_it_is_truncated_is_refused(
    mode: ListMode, told: str, namespace: str
) -> None:
    """Only an exact `true` or `false`, once, says whether more follows; else rows could go missing."""
    told = re.sub("(</?)", rf"\1{namespace}", told)
    body = page(THREE, mode, Form(namespace=namespace))
    body = re.sub(rb"<(\w+:)?IsTruncated>false</(\w+:)?IsTruncated>", told.encode(), body)

    with pytest.raises(B2Error, match=r"truncated$|cut short$"):
        split_page(body, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "form", [Form(), B2_SAMPLE, Form(namespace="s3:")], ids=["compact", "pretty", "prefixed"]
)
def test_a_page_cut_short_anywhere_is_refused(mode: ListMode, form: Form) -> None:
    """Wherever a page ends too early, it is an error and never fewer rows."""
    body = page(WITH_MARKERS if mode == "versions" else THREE, mode, form).rstrip()
    kept = []
    for end in range(len(body)):
        try:
            kept.append(_judged(body[:end], mode))
        except B2Error:
            continue

    assert kept == []


def _judged(body: bytes, mode: ListMode) -> Rows:
    """Read a page as the client does: what is left over after the cut must be whole, too."""
    envelope, rows = split_page(body, mode)
    b2_xml._parse(envelope, mode)
    return rows


@pytest.mark.parametrize(
    ("body", "name"),
    [
        pytest.param(b"<ListBucketResult>", "ListBucketResult", id="bare"),
        pytest.param(b'<?xml version="1.0"?>\n<Error><Code>x', "Error", id="declared"),
        pytest.param(b'<s3:ListBucketResult xmlns:s3="x">', "ListBucketResult", id="prefixed"),
        pytest.param(b"\n <html>", "html", id="white space first"),
        pytest.param(b"", "", id="nothing"),
        pytest.param(b"Error", "", id="text"),
        pytest.param(b"<!DOCTYPE html><html>", "", id="a document type"),
    ],
)
def test_the_root_of_an_answer_is_told_without_parsing_it(body: bytes, name: str) -> None:
    """An answer's kind is known from its beginning."""
    assert root_name(body) == name
