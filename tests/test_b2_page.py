"""A page's rows become objects: keys decoded, sizes counted, latest versions proven, nothing unfit kept."""

import re
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from page_strategies import keys

from b2d1.b2.page import media_objects, url_decoded
from b2d1.b2.page_xml import MARKER_FIELDS, ROW_FIELDS, Rows
from b2d1.errors import B2Error, Retry
from b2d1.media import MAX_SIZE, ListMode, MediaObject

MODES: list[ListMode] = ["objects", "versions"]
DATE = "2024-02-29T23:59:59.001Z"


def rows(*objects: dict[str, str | None], markers: tuple[dict[str, str | None], ...] = ()) -> Rows:
    """Make a page's rows; what is not said is sound."""
    sound = {"Size": "1", "LastModified": DATE, "ETag": '"e"', "VersionId": "4_z1", "IsLatest": "true"}
    found = [sound | each for each in objects]
    return Rows(
        {field: [each[field] for each in found] for field in ROW_FIELDS},
        {field: [({"IsLatest": "true"} | each)[field] for each in markers] for field in MARKER_FIELDS},
    )


def keys_of(found: tuple[list[MediaObject], list[str]]) -> list[str]:
    return [media.key for media in found[0]]


@pytest.mark.parametrize(
    ("mode", "file_id"),
    [pytest.param("objects", '"e"', id="objects"), pytest.param("versions", "4_z1", id="versions")],
)
def test_a_row_becomes_an_object(mode: ListMode, file_id: str) -> None:
    """An object has its key decoded, its size counted, the rest as given, and the list mode's file id."""
    found = media_objects(rows({"Key": "a+b%2Fc", "Size": "42"}), mode, url_encoded=True)

    assert found == ([MediaObject("a b/c", 42, DATE, '"e"', file_id)], [], ["a b/c"])


def lower_case_escapes(text: str) -> str:
    """Encode as a host that writes %c3 for %C3, and a slash as %2f."""
    return re.sub("%..", lambda escape: escape[0].lower(), urllib.parse.quote(text, safe=""))


ENCODERS = [urllib.parse.quote, urllib.parse.quote_plus, lower_case_escapes]


@given(texts=st.lists(keys(), max_size=8), encode=st.sampled_from(ENCODERS))
def test_decoding_is_the_inverse_of_encoding(texts: list[str], encode: Callable[[str], str]) -> None:
    """Any keys, encoded as any host may, come back to the letter."""
    assert url_decoded([encode(text) for text in texts]) == texts


@example(["%%C3%A9%", "=3D%", "%", ""])
@example(["a=41", "=C3=A9"])
@example(["a%\n", "b"])
@example(["a=\r\n", "b"])
@given(st.lists(st.text(st.sampled_from("%+=aF2c3é\n\r %0A%C3%A9%ED%A0%80%FF日"), max_size=12), max_size=5))
def test_decoding_any_text_is_what_stock_boto3_makes_of_it_or_refused(texts: list[str]) -> None:
    """Any text decodes as `unquote_plus` decodes it; where that would invent U+FFFD, it is an error."""
    try:
        decoded: list[str] | None = url_decoded(texts)
    except B2Error:
        decoded = None

    expected = [urllib.parse.unquote_plus(text) for text in texts]
    assert decoded == (None if any("\ufffd" in text for text in expected) else expected)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("a%FFb", id="a byte that is never UTF-8"),
        pytest.param("%C3", id="half a character"),
        pytest.param("%C3x%A9", id="a character torn apart"),
        pytest.param("%ED%A0%80", id="half of a surrogate pair"),
        pytest.param("%C0%AF", id="an overlong slash"),
        pytest.param("%F4%90%80%80", id="beyond Unicode"),
    ],
)
def test_a_key_that_is_not_utf8_is_refused(key: str) -> None:
    """Bytes that are no UTF-8 are an error, never U+FFFD in a key."""
    with pytest.raises(B2Error, match="not valid UTF-8") as caught:
        media_objects(rows({"Key": "sound"}, {"Key": key}), "objects", url_encoded=True)

    assert caught.value.retry is Retry.NEVER


def test_a_key_is_decoded_only_when_the_page_says_that_it_is_encoded() -> None:
    """Without EncodingType a key stands as it is, percent signs and all."""
    found = media_objects(rows({"Key": "100%25+1"}), "objects", url_encoded=False)

    assert keys_of(found) == ["100%25+1"]


@pytest.mark.parametrize(
    ("mode", "row"),
    [
        pytest.param("objects", {"ETag": None}, id="objects, no ETag"),
        pytest.param("objects", {"ETag": ""}, id="objects, empty ETag"),
        pytest.param("objects", {"ETag": '""'}, id="objects, quotes with nothing in them"),
        pytest.param("versions", {"VersionId": None}, id="versions, no VersionId"),
        pytest.param("versions", {"VersionId": ""}, id="versions, empty VersionId"),
        pytest.param("versions", {"VersionId": "null"}, id="versions, null"),
    ],
)
def test_an_object_without_identity_is_left_out_and_named(mode: ListMode, row: dict[str, str | None]) -> None:
    """What cannot be identified is named by its key, and the others are kept."""
    objects, unidentified, keys = media_objects(
        rows({"Key": "a"}, {"Key": "who%3F", **row}, {"Key": "z"}), mode, url_encoded=True
    )

    assert ([media.key for media in objects], unidentified) == (["a", "z"], ["who?"])
    assert keys == ["a", "who?", "z"]


def test_the_word_null_is_an_identity_where_it_is_no_version_id() -> None:
    """Only a VersionId is `null` in S3's terms; nothing else that looks odd is dropped."""
    found = media_objects(rows({"Key": "null", "ETag": "null"}), "objects", url_encoded=True)

    assert found == ([MediaObject("null", 1, DATE, "null", "null")], [], ["null"])


@pytest.mark.parametrize(
    "size", ["", " ", "-1", "+1", "1.0", "1e3", "0x1", "1_0", "1 ", "٣", "²", None, "9" * 20]
)
def test_a_size_that_is_no_whole_number_is_refused(size: str | None) -> None:
    """Sizes are decimal digits alone."""
    with pytest.raises(B2Error, match=r"Size|size is no whole number"):
        media_objects(rows({"Key": "a"}, {"Key": "b", "Size": size}), "objects", url_encoded=True)


def test_the_size_of_an_old_version_is_looked_at_too() -> None:
    """A page with a size that is none is broken, whichever row it stands in."""
    with pytest.raises(B2Error, match="size is no whole number"):
        media_objects(
            rows({"Key": "a"}, {"Key": "a", "IsLatest": "false", "Size": "x"}), "versions", url_encoded=True
        )


@pytest.mark.parametrize("size", [0, 1, 2**53 + 1, MAX_SIZE])
def test_a_size_is_exact(size: int) -> None:
    """Every size that SQLite can hold is kept to the byte."""
    assert (
        media_objects(rows({"Key": "a", "Size": str(size)}), "objects", url_encoded=True)[0][0].size == size
    )


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        pytest.param({"Key": ""}, "'': key is empty", id="an empty key"),
        pytest.param({"Key": "%00"}, "'\\x00': key holds a NUL character", id="NUL in a key"),
        pytest.param({"Key": "é" * 513}, "é': key is 1,026 bytes long", id="a key of 1,026 bytes"),
        pytest.param({"Key": "a" * 1025}, "a': key is 1,025 bytes long", id="a key of 1,025 bytes"),
        pytest.param({"Key": "a", "Size": str(MAX_SIZE + 1)}, "'a': size", id="a size beyond 64 bits"),
        pytest.param({"Key": "a", "ETag": "e:1"}, "'a': file_id holds a colon", id="a colon in an ETag"),
        pytest.param({"Key": "a", "ETag": "e" * 1025}, "'a': file_id is 1,025 bytes long", id="a long ETag"),
    ],
)
def test_an_object_that_the_index_cannot_hold_is_refused(row: dict[str, str | None], fault: str) -> None:
    """An unfit object is an error that names it; it is never cut to fit or left out."""
    with pytest.raises(B2Error, match=f"an object that cannot be indexed: .*{re.escape(fault)}") as caught:
        media_objects(rows({"Key": "sound"}, row), "objects", url_encoded=True)

    assert caught.value.retry is Retry.NEVER


@pytest.mark.parametrize("key", ["a" * 1024, "é" * 512, "\U0001f600" * 256, "日" * 341], ids=len)
def test_a_key_of_full_length_is_kept(key: str) -> None:
    """A key may have 1,024 bytes, whatever its characters."""
    assert keys_of(media_objects(rows({"Key": key}), "objects", url_encoded=False)) == [key]


@pytest.mark.parametrize("field", ["Key", "Size"])
@pytest.mark.parametrize("mode", MODES)
def test_an_object_without_key_or_size_is_refused(mode: ListMode, field: str) -> None:
    """A row that lacks what every object has comes from no listing."""
    with pytest.raises(B2Error, match=f"an object has no {field}"):
        media_objects(rows({"Key": "a"}, {"Key": "b", field: None}), mode, url_encoded=True)


def test_a_missing_date_is_an_empty_one() -> None:
    """The date is told, not needed."""
    assert (
        media_objects(rows({"Key": "a", "LastModified": None}), "objects", url_encoded=True)[0][
            0
        ].last_modified
        == ""
    )


OLD = {"IsLatest": "false"}


@pytest.mark.parametrize(
    ("objects", "markers", "continued_key", "expected"),
    [
        pytest.param([{"Key": "a"}, {"Key": "b"}], (), None, ["a", "b"], id="latest versions"),
        pytest.param([{"Key": "a"}, {"Key": "a", **OLD}], (), None, ["a"], id="an old version is left out"),
        pytest.param([{"Key": "a", **OLD}], ({"Key": "a"},), None, [], id="a hidden file is left out"),
        pytest.param([{"Key": "a"}], ({"Key": "a", **OLD},), None, ["a"], id="shown again over its marker"),
        pytest.param([], ({"Key": "a"},), None, [], id="nothing but hide markers"),
        pytest.param(
            [{"Key": "a", **OLD}, {"Key": "b"}], (), "a", ["b"], id="old versions of the page before's key"
        ),
        pytest.param([{"Key": "b"}], (), "a", ["b"], id="the page before ended with its key's last version"),
        pytest.param(
            [{"Key": "%61", **OLD}, {"Key": "b"}], (), "a", ["b"], id="the continued key, encoded otherwise"
        ),
    ],
)
def test_only_latest_versions_are_objects(
    objects: list[dict[str, str | None]],
    markers: tuple[dict[str, str | None], ...],
    continued_key: str | None,
    expected: list[str],
) -> None:
    """Old versions and hide markers are left out; a key may go on from the page before."""
    found = media_objects(
        rows(*objects, markers=markers), "versions", url_encoded=True, continued_key=continued_key
    )

    assert keys_of(found) == expected


@pytest.mark.parametrize(
    ("objects", "markers", "continued_key"),
    [
        pytest.param([{"Key": "a", **OLD}], (), None, id="a key without a latest version"),
        pytest.param(
            [{"Key": "a", **OLD}], ({"Key": "a", **OLD},), None, id="neither version nor marker is it"
        ),
        pytest.param([{"Key": "a"}, {"Key": "a"}], (), None, id="two latest versions"),
        pytest.param([{"Key": "a"}], ({"Key": "a"},), None, id="latest and hidden"),
        pytest.param(
            [{"Key": "a", **OLD}, {"Key": "b"}], ({"Key": "b"},), None, id="one key has two, and another none"
        ),
        pytest.param([{"Key": "a"}], (), "a", id="a latest version of the page before's key"),
        pytest.param([{"Key": "a"}, {"Key": "b", **OLD}], (), "a", id="and none of the key after it"),
        pytest.param([{"Key": "a", "IsLatest": None}], (), None, id="not told"),
        pytest.param([{"Key": "a", "IsLatest": "TRUE"}], (), None, id="neither true nor false"),
        pytest.param([{"Key": "a"}], ({"Key": "b", "IsLatest": "yes"},), None, id="not of a marker either"),
        pytest.param([{"Key": "a"}], ({"Key": None},), None, id="a marker without a key"),
    ],
)
def test_a_key_without_exactly_one_latest_version_is_refused(
    objects: list[dict[str, str | None]],
    markers: tuple[dict[str, str | None], ...],
    continued_key: str | None,
) -> None:
    """No object can go missing, or count twice, because a page is unsure which version is the latest."""
    with pytest.raises(B2Error, match=r"no latest version, or two|has no Key"):
        media_objects(
            rows(*objects, markers=markers), "versions", url_encoded=True, continued_key=continued_key
        )
