"""The identity of an object, frozen; and what makes an object unfit for the index."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from b2d1.media import MAX_FIELD_BYTES, MAX_KEY_BYTES, MAX_SIZE, MediaObject, fault_in, form_of, media_uid
from b2d1.table.identity import STORED_FORM

GOLDEN: list[dict[str, str]] = json.loads((Path(__file__).parent / "data/media_uids.json").read_bytes())

# B2's legal keys: UTF-8, no code below 32, no 127.
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\x7f", min_codepoint=32)
KEYS = st.text(CHARACTERS, min_size=1, max_size=40)
FILE_IDS = st.one_of(
    st.from_regex(r'"[0-9a-f]{32}(-[0-9]{1,5})?"', fullmatch=True),
    st.from_regex(r"4_z[0-9a-f]{24}_f[0-9a-f]{16}_d[0-9]{8}_m[0-9]{6}", fullmatch=True),
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


def media(**fields: Any) -> MediaObject:
    sound = MediaObject("photos/a.jpg", 1, "2024-03-09T14:00:00.000Z", '"abc"', '"abc"')
    return sound._replace(**fields)


@pytest.mark.parametrize("vector", [pytest.param(each, id=each["media_uid"]) for each in GOLDEN])
def test_every_golden_vector_keeps_its_uid(vector: dict[str, str]) -> None:
    """A uid computed years ago is computed again, to the letter."""
    assert media_uid(vector["file_id"], vector["key"]) == vector["media_uid"]


def test_the_golden_vectors_cover_what_is_easily_got_wrong() -> None:
    """The golden file holds quoted, bare and B2's own file ids, and keys beyond ASCII and of full length."""
    file_ids, keys = [each["file_id"] for each in GOLDEN], [each["key"] for each in GOLDEN]

    assert {file_id[0] for file_id in file_ids} == {'"', "a", "4"}
    assert [key for key in keys if key != key.strip()] == [" leading and trailing "]
    assert max(len(key.encode()) for key in keys) == MAX_KEY_BYTES
    assert {len(each) for key in keys for each in map(str.encode, key)} == {1, 2, 3, 4}


@given(file_id=FILE_IDS, key=KEYS)
def test_a_uid_is_43_characters_of_a_known_form(file_id: str, key: str) -> None:
    """A uid is `b2_` and 40 lower-case hexadecimal digits, whatever the key."""
    assert re.fullmatch(r"b2_[0-9a-f]{40}", media_uid(file_id, key))


@given(file_id=FILE_IDS, key=KEYS)
def test_equal_objects_have_equal_uids(file_id: str, key: str) -> None:
    """A uid depends on nothing but the characters: not on which string object holds them."""
    again = ("".join(list(file_id)), key.encode().decode())

    assert media_uid(file_id, key) == media_uid(*again)


@given(first=st.tuples(FILE_IDS, KEYS), second=st.tuples(FILE_IDS, KEYS))
@example(first=('"a"', "k"), second=('"a"', "K"))
@example(first=('"a"', "k"), second=('"a"', "k "))
@example(first=('"a"', "k"), second=("a", "k"))
@example(first=('"a"', "\u00e9"), second=('"a"', "e\u0301"))
@example(first=('"a"', ":k"), second=('"a"', "k"))
def test_distinct_objects_have_distinct_uids(first: tuple[str, str], second: tuple[str, str]) -> None:
    """Another file id or another key, be it by a quote, a case or a normal form, is another uid."""
    assert (media_uid(*first) == media_uid(*second)) == (first == second)


@given(first=st.tuples(TEXTS, TEXTS), second=st.tuples(TEXTS, TEXTS))
@example(first=("a", "b:c"), second=("a:b", "c"))
def test_uids_coincide_only_where_file_id_colon_key_does(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    """Two pairs share a uid only if `file_id:key` is one text; ETags and VersionIds never hold a colon."""
    assert (media_uid(*first) == media_uid(*second)) == (":".join(first) == ":".join(second))


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param(media(), id="ordinary"),
        pytest.param(media(key="k"), id="key of one character"),
        pytest.param(media(key="x" * 1024), id="key of 1,024 bytes, one a character"),
        pytest.param(media(key="\U0001f600" * 256), id="key of 1,024 bytes, four a character"),
        pytest.param(media(key=" \t\n'\"\\%2B"), id="key of awkward characters"),
        pytest.param(media(key='""'), id="key of quotes"),
        pytest.param(media(etag=None), id="no etag"),
        pytest.param(media(etag=""), id="empty etag"),
        pytest.param(media(last_modified=""), id="no date"),
        pytest.param(media(file_id="x" * MAX_FIELD_BYTES), id="longest file_id"),
        pytest.param(media(size=0), id="empty object"),
        pytest.param(media(size=2**63 - 1), id="largest size"),
    ],
)
def test_a_sound_object_has_no_fault(sound: MediaObject) -> None:
    """Whatever the table can hold is let in."""
    assert fault_in(sound) is None


SURROGATE = "holds half of a surrogate pair, which UTF-8 cannot write"


@pytest.mark.parametrize(
    ("unfit", "fault"),
    [
        pytest.param(media(key=""), "key is empty", id="empty key"),
        pytest.param(media(key="a\0b"), "key holds a NUL character", id="NUL in key"),
        pytest.param(media(file_id='"a\0"'), "file_id holds a NUL character", id="NUL in file_id"),
        pytest.param(media(etag="\0"), "etag holds a NUL character", id="NUL in etag"),
        pytest.param(media(last_modified="\0"), "last_modified holds a NUL character", id="NUL in date"),
        pytest.param(media(key="a\ud83d"), f"key {SURROGATE}", id="surrogate in key"),
        pytest.param(media(file_id="\udc00"), f"file_id {SURROGATE}", id="surrogate in file_id"),
        pytest.param(media(etag="\udfff"), f"etag {SURROGATE}", id="surrogate in etag"),
        pytest.param(media(last_modified="\ud800"), f"last_modified {SURROGATE}", id="surrogate in date"),
        pytest.param(
            media(file_id="a:b"),
            "file_id holds a colon, so that its media_uid could be another object's",
            id="colon in file_id",
        ),
        pytest.param(media(key="x" * 1025), "key is 1,025 bytes long, more than 1,024", id="key too long"),
        pytest.param(
            media(key="é" * 512 + "x"),
            "key is 1,025 bytes long, more than 1,024",
            id="key too long in bytes, not in characters",
        ),
        pytest.param(
            media(file_id="é" * 513), "file_id is 1,026 bytes long, more than 1,024", id="file_id too long"
        ),
        pytest.param(media(etag="x" * 1025), "etag is 1,025 bytes long, more than 1,024", id="etag too long"),
        pytest.param(
            media(last_modified="x" * 1025),
            "last_modified is 1,025 bytes long, more than 1,024",
            id="date too long",
        ),
        pytest.param(media(file_id=""), "file_id is empty", id="no file_id"),
        pytest.param(media(file_id='""'), "file_id is empty", id="file_id of bare quotes"),
        pytest.param(media(file_id='"'), "file_id is empty", id="file_id of one quote"),
        pytest.param(media(size=-1), "size is not an integer from 0 to 2^63-1", id="negative size"),
        pytest.param(media(size=2**63), "size is not an integer from 0 to 2^63-1", id="size beyond SQLite"),
    ],
)
def test_an_unfit_object_has_its_fault_named(unfit: MediaObject, fault: str) -> None:
    """What the table or its chunks could not hold is refused, and the field is named."""
    assert fault_in(unfit) == fault


@given(
    candidate=st.builds(
        MediaObject,
        key=st.text(st.characters()),
        size=st.integers(),
        last_modified=st.text(st.characters()),
        etag=st.none() | st.text(st.characters()),
        file_id=st.text(st.characters()),
    )
)
def test_an_object_without_fault_can_be_written(candidate: MediaObject) -> None:
    """Whatever passes is valid UTF-8 without NUL, within its bounds, and has an identity."""
    if fault_in(candidate) is None:
        texts = (candidate.key, candidate.file_id, candidate.etag or "", candidate.last_modified)
        assert b"\0" not in "".join(texts).encode()
        assert 0 < len(candidate.key.encode()) <= MAX_KEY_BYTES
        assert 0 <= candidate.size <= MAX_SIZE
        assert len(media_uid(candidate.file_id, candidate.key)) == 43


@pytest.mark.parametrize(
    ("file_id", "form"),
    [
        ('"0cc175b9c0f1b6a831c399e269772661"', "quoted"),
        ('"0cc175b9c0f1b6a831c399e269772661-3"', "quoted"),
        ("4_z1_f1_d20260101_m000000_c004_v1_t0001", "version"),
        ("0cc175b9c0f1b6a831c399e269772661", "hash of 32"),
        ("0cc175b9c0f1b6a831c399e269772661-3", "hash of 32"),
        ("86f7e437faa5a7fce15d1ddcb9eaeaea377667b8", "hash of 40"),
        ("86f7e437faa5a7fce15d1ddcb9eaeaea377667bX", "bare"),
        ("sha1:1", "bare"),
        ("null", "bare"),
    ],
)
def test_the_form_of_a_file_id_is_the_same_in_sql(file_id: str, form: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        ((found,),) = connection.execute(f"SELECT {STORED_FORM} FROM (SELECT ? AS b2_file_id) m", (file_id,))

    assert (form_of(file_id), found) == (form, form)
