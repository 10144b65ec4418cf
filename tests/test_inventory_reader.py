"""Reading an inventory: what is one, what is none, and where the fault is."""

import bz2
import gc
import gzip
import io
import json
import lzma
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st

from b2d1.errors import InventoryError
from b2d1.inventory.file_form import AGAIN, PAGE, POWERSHELL
from b2d1.inventory.reader import InventoryFile, InventoryListing
from b2d1.inventory.writer import InventoryWriter
from b2d1.media import MAX_SIZE, MediaObject

LOU = MediaObject("photos/é.jpg", 7, "2024-03-09T14:00:00.000Z", '"abc"', '"abc"')
BABE = MediaObject("video/babe.mp4", 0, "2024-03-10T14:00:00.000Z", None, "4_z1")
HEADER = {"bucket": "pictures", "prefix": "p", "list_mode": "versions"}
ENTRIES = [media._asdict() for media in (LOU, BABE)]
UTF_16 = "the file is UTF-16 text"
Run = Callable[..., Result]
HINT = "An inventory is what `b2d1 inventory` prints."


def ours() -> bytes:
    """Write the two objects as b2d1 does."""
    out = io.BytesIO()
    writer = InventoryWriter(out, "pictures", "p", "versions", Path())
    writer.add([LOU, BABE])
    writer.close()
    return out.getvalue()


def read(document: bytes) -> tuple[list[MediaObject], dict[str, str]]:
    """Read a document; return its objects and its header."""
    file = InventoryFile(io.BytesIO(document), "list.json")
    return list(file), file.header


def refusal(document: bytes, hint: str = HINT) -> str:
    """Read a document that is no inventory, and return what is said about it."""
    with pytest.raises(InventoryError) as caught:
        read(document)
    assert (caught.value.exit_code, caught.value.hint) == (2, hint)
    return str(caught.value)


def entry(**fields: Any) -> bytes:
    """Write an inventory whose second object is sound but for these fields; None takes a field away."""
    second = {name: value for name, value in (ENTRIES[1] | fields).items() if value is not None}
    return ('{"objects":[\n' + json.dumps(ENTRIES[0]) + ",\n" + json.dumps(second) + "\n]}\n").encode()


ACCEPTED = {
    "ours": (ours(), HEADER),
    "ours, gzipped": (gzip.compress(ours()), HEADER),
    "gzipped in two parts": (gzip.compress(ours()[:50]) + gzip.compress(ours()[50:]), HEADER),
    "the original's": (json.dumps({"objects": ENTRIES}).encode(), {}),
    "as jq prints it": (json.dumps({"objects": ENTRIES}, indent=2, ensure_ascii=False).encode() + b"\n", {}),
    "tabs and CRLF": (json.dumps({"objects": ENTRIES}, indent="\t").replace("\n", "\r\n").encode(), {}),
    "any white space": (
        b" \n\t\r" + ours().replace(b":[", b" :\n\n[ ").replace(b"]}", b"\t]\r\n} \n\n"),
        HEADER,
    ),
    "a byte order mark": (b"\xef\xbb\xbf" + ours(), HEADER),
    "a mark and CRLF, gzipped": (gzip.compress(b"\xef\xbb\xbf" + ours().replace(b"\n", b"\r\n")), HEADER),
    "gzip with zeros behind, as on a tape": (gzip.compress(ours()) + bytes(512), HEADER),
    "header behind the objects": (json.dumps({"objects": ENTRIES} | HEADER).encode(), HEADER),
    "header around the objects": (
        json.dumps(
            {"prefix": "p", "objects": ENTRIES, "list_mode": "versions", "bucket": "pictures"}
        ).encode(),
        HEADER,
    ),
    "sorted names": (json.dumps(HEADER | {"objects": ENTRIES}, sort_keys=True).encode(), HEADER),
    "fields of other tools": (
        json.dumps(
            {
                "version": 1.5,
                "objects": [entry | {"url": "https://x/\ud800", "n": [{"a": None}]} for entry in ENTRIES],
                "": {"objects": []},
            }
        ).encode(),
        {},
    ),
    "no etag, no date": (
        json.dumps(
            {"objects": [ENTRIES[0], {"key": BABE.key, "size": 0, "file_id": "4_z1", "last_modified": None}]}
        ).encode(),
        {},
    ),
}


@pytest.mark.parametrize("document", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_an_inventory_in_any_form_is_read(document: tuple[bytes, dict[str, str]]) -> None:
    """Ours and the original scripts' are read, whatever the white space, order and extra fields."""
    text, header = document
    last_modified = BABE.last_modified if b"10T14" in text or text[:1] == b"\x1f" else ""

    assert read(text) == ([LOU, BABE._replace(last_modified=last_modified)], header)


def test_an_empty_list_of_objects_is_an_inventory() -> None:
    """A bucket may be empty: that is told by an empty list, and by nothing else."""
    assert [read(text) for text in (b'{"objects":[]}', b'{"objects":[\n]}\n')] == [([], {}), ([], {})]


BIG = "9" * 5000
NOT_ONE = "no whole JSON value stands where"
REFUSED: dict[str, tuple[bytes, str]] = {
    "text": (b"Warning: aws is old\n" + ours(), "line 1: 'W' stands where { should"),
    "a list": (b"[]", "line 1: '[' stands where { should"),
    "a text": (b'"objects"', "line 1: '\"' stands where { should"),
    "null": (b"null", "line 1: 'n' stands where { should"),
    "an empty document": (b"{}", "the document is empty: {}"),
    "another document": (b'{"bucket":"b","keys":[]}', "it has no objects"),
    "objects null": (b'{"objects":null}', "line 1: 'n' stands where [ should"),
    "objects a document": (b'{"objects":{"key":"a"}}', "line 1: '{' stands where [ should"),
    "objects a text": (b'{"objects":"[]"}', "line 1: '\"' stands where [ should"),
    "objects twice": (b'{"objects":[],\n"objects":[]}', "line 2: 'objects' stands where a new name should"),
    "bucket twice": (b'{"bucket":"a","bucket":"b"}', "line 1: 'bucket' stands where a new name should"),
    "a name that is none": (
        b'{["' + b"a" * 500 + b'"]:1}',
        f"line 1: ['{'a' * 78} stands where a new name should",
    ),
    "no colon": (b'{"objects" []}', "line 1: '[' stands where : should"),
    "text behind it": (ours() + b"done\n", "line 5: more stands where the end should"),
    "zeros behind it": (ours() + b"\0\0", "line 5: more stands where the end should"),
    "two documents": (ours() * 2, "line 5: more stands where the end should"),
    "a comma at the end": (
        b'{"objects":[\n{"key":"a","size":1,"file_id":"b"},\n]}',
        f"line 3: {NOT_ONE} object 2 should",
    ),
    "no comma": (ours().replace(b"},\n", b"}\n"), "line 3: '{' stands where , or ] should"),
    "an object a list": (b'{"objects":[\n\n[]]}', "object 1 (line 3) is no JSON object"),
    "an object a text": (b'{"objects":["a"]}', "object 1 (line 1) is no JSON object"),
    "an object null": (b'{"objects":[null]}', "object 1 (line 1) is no JSON object"),
    "no key": (entry(key=None), "object 2 (line 3) has no key"),
    "key null": (entry().replace(b'"video/babe.mp4"', b"null"), "object 2 (line 3) has no key"),
    "no size": (entry(size=None), "object 2 (line 3) has no size"),
    "no file_id": (entry(file_id=None), "object 2 (line 3) has no file_id"),
    "nothing": (
        entry(key=None, size=None, file_id=None),
        "object 2 (line 3) has no key and no size and no file_id",
    ),
    "the seed's committed file": (entry(size=None, size_bytes=5), "object 2 (line 3) has no size"),
    "size SQL": (
        entry(size="1); DELETE FROM media_assets; --"),
        "object 2 (line 3): its size is no whole number",
    ),
    "size a text": (entry(size="1"), "object 2 (line 3): its size is no whole number"),
    "size true": (entry(size=True), "object 2 (line 3): its size is no whole number"),
    "size 1.0": (entry(size=1.0), "object 2 (line 3): its size is no whole number"),
    "size 1e3": (
        entry().replace(b'"size": 0', b'"size": 1e3'),
        "object 2 (line 3): its size is no whole number",
    ),
    "size NaN": (entry(size=float("nan")), f"line 3: {NOT_ONE} object 2 should"),
    "size 5,000 digits": (
        entry().replace(b'"size": 0', f'"size": {BIG}'.encode()),
        f"line 3: {NOT_ONE} object 2 should",
    ),
    "size -1": (entry(size=-1), "object 2 (line 3): size is not an integer from 0 to 2^63-1"),
    "size 2^63": (entry(size=2**63), "object 2 (line 3): size is not an integer from 0 to 2^63-1"),
    "key a number": (entry(key=5), "object 2 (line 3): its key is no text"),
    "key a list": (entry(key=["a"]), "object 2 (line 3): its key is no text"),
    "key empty": (entry(key=""), "object 2 (line 3): key is empty"),
    "key with NUL": (entry(key="a\0b"), "object 2 (line 3): key holds a NUL character"),
    "key of 1,025 bytes": (
        entry(key="é" * 512 + "a"),
        "object 2 (line 3): key is 1,025 bytes long, more than 1,024",
    ),
    "file_id empty": (entry(file_id=""), "object 2 (line 3): file_id is empty"),
    "file_id two quotes": (entry(file_id='""'), "object 2 (line 3): file_id is empty"),
    "file_id a number": (entry(file_id=5), "object 2 (line 3): its file_id is no text"),
    "file_id with NUL": (entry(file_id="\0"), "object 2 (line 3): file_id holds a NUL character"),
    "etag a number": (entry(etag=5), "object 2 (line 3): its etag is no text"),
    "etag with NUL": (entry(etag="\0"), "object 2 (line 3): etag holds a NUL character"),
    "date a number": (entry(last_modified=5), "object 2 (line 3): its last_modified is no text"),
    "bucket a number": (b'{"bucket":5,"objects":[]}', "its bucket is no text"),
    "bucket half a pair": (b'{"bucket":"\\ud800","objects":[]}', "its bucket is no text"),
    "bucket without end": (b'{"bucket":"' + b"a" * 1025 + b'","objects":[]}', "its bucket is no text"),
    "prefix null": (b'{"objects":[],"prefix":null}', "its prefix is no text"),
    "prefix with NUL": (b'{"objects":[],"prefix":"\\u0000"}', "its prefix is no text"),
    "list_mode of its own": (
        b'{"list_mode":"all","objects":[]}',
        "its list_mode is neither objects nor versions",
    ),
    "Latin-1": (ours().decode().encode("latin-1"), "line 2: the text is not UTF-8"),
    "lists in lists": (b'{"objects":' + b"[" * 100_000, f"line 1: {NOT_ONE} object 1 should"),
    "lists in lists beside": (b'{"a":' + b"[" * 100_000, f"line 1: {NOT_ONE} one should"),
    "one gigantic text": (
        b'{"objects":[{"key":"' + b"a" * 3_000_000 + b'"}]}',
        "line 1: no JSON value of up to 1,000,000 characters stands where object 1 should",
    ),
    "one gigantic key": (
        entry(key="a" * 200_000),
        "object 2 (line 3): key is 200,000 bytes long, more than 1,024",
    ),
}


@pytest.mark.parametrize(("document", "fault"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_inventory_is_refused_and_the_place_named(document: bytes, fault: str) -> None:
    """A fault ends in exit 2 and a sentence that names the object, the line and the field."""
    said = refusal(document)

    assert said.startswith(f"reading inventory list.json: {fault}")
    assert len(said) < 250


TEXT = ours().decode()
UNPACKED = {
    "zip": (b"PK\x03\x04" + ours(), "a zip archive", "unzip"),
    "zstd": (b"\x28\xb5\x2f\xfd" + ours(), "compressed with zstd", "zstd -d"),
    "bzip2": (bz2.compress(ours()), "compressed with bzip2", "bunzip2"),
    "xz": (lzma.compress(ours()), "compressed with xz", "unxz"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c" + ours(), "a 7-Zip archive", "7z x"),
    "lz4": (b"\x04\x22\x4d\x18" + ours(), "compressed with lz4", "lz4 -d"),
    "compress": (b"\x1f\x9d" + ours(), "compressed with compress", "uncompress"),
}
CHANGED: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "the file is empty", AGAIN),
    "nothing, gzipped": (gzip.compress(b""), "the file is empty", AGAIN),
    "blanks": (b"\r\n\n", "the file holds only white space", AGAIN),
    "UTF-16, as PowerShell writes it": (b"\xff\xfe" + TEXT.encode("utf-16-le"), UTF_16, POWERSHELL),
    "UTF-16, big-endian": (b"\xfe\xff" + TEXT.encode("utf-16-be"), UTF_16, POWERSHELL),
    "UTF-16 without a mark": (TEXT.encode("utf-16-le"), UTF_16, POWERSHELL),
    "UTF-16 without a mark, big-endian": (TEXT.encode("utf-16-be"), UTF_16, POWERSHELL),
    "UTF-16, gzipped": (gzip.compress(TEXT.encode("utf-16")), UTF_16, POWERSHELL),
    "UTF-32": (TEXT.encode("utf-32"), "the file is UTF-32 text", AGAIN),
    "a page of HTML": (b"<!DOCTYPE html>\n<html></html>", "the file is an HTML or XML page", PAGE),
    "a page behind blanks and a mark": (b"\xef\xbb\xbf\r\n <html>", "the file is an HTML or XML page", PAGE),
    "XML": (b"<?xml version='1.0'?>", "the file is an HTML or XML page", PAGE),
    "half an object": (ours()[:150], "line 2: the file is cut off: expected object 1", AGAIN),
    "half of the header": (ours()[:15], "line 1: the file is cut off: expected one", AGAIN),
    "one object": (ours().partition(b"},")[0] + b"}", "line 2: the file is cut off: expected , or ]", AGAIN),
    "no end": (ours()[:-2], "line 4: the file is cut off: expected , or }", AGAIN),
    "half a character": (
        ours().partition(b"\xa9")[0],
        "line 2: the file is cut off: expected the rest of a character",
        AGAIN,
    ),
    "gzip cut short": (gzip.compress(ours())[:-9], "the gzip file is cut off", AGAIN),
    "gzip, its first bytes only": (gzip.compress(ours())[:5], "the gzip file is cut off", AGAIN),
    "gzip with a wrong checksum": (
        gzip.compress(ours())[:-8] + bytes(8),
        "the gzip data is damaged: CRC check failed 0x0 != ",
        AGAIN,
    ),
    "gzip with a wrong byte": (
        gzip.compress(ours())[:20] + b"\xff\xff" + gzip.compress(ours())[22:],
        "the gzip data is damaged: ",
        AGAIN,
    ),
    "gzip with text behind": (gzip.compress(ours()) + b"done", "other data follows the gzip data", AGAIN),
    "gzip of gzip": (
        gzip.compress(gzip.compress(ours())),
        "the file is gzipped twice",
        "Unpack it with gunzip, once. b2d1 reads plain and gzipped inventories.",
    ),
    **{
        name: (
            document,
            f"the file is {form}",
            f"Unpack it with {program}. b2d1 reads plain and gzipped inventories.",
        )
        for name, (document, form, program) in UNPACKED.items()
    },
}


@pytest.mark.parametrize(("document", "fault", "hint"), CHANGED.values(), ids=CHANGED.keys())
def test_a_file_that_changed_on_its_way_is_named_for_what_it_is(
    document: bytes, fault: str, hint: str
) -> None:
    assert refusal(document, hint).startswith(f"reading inventory list.json: {fault}")


def test_a_file_that_powershell_wrote_is_refused_with_the_command_that_works(
    b2d1: Run, tmp_path: Path
) -> None:
    (tmp_path / "inventory.json").write_bytes(b"\xff\xfe" + TEXT.replace("\n", "\r\n").encode("utf-16-le"))

    result = b2d1("diff", str(tmp_path / "inventory.json"), str(tmp_path / "inventory.json"))

    fault, hint = result.stderr.splitlines()
    assert (result.exit_code, fault.endswith("inventory.json: the file is UTF-16 text")) == (2, True)
    assert 'cmd /c "b2d1 inventory > inventory.json"' in hint


@pytest.mark.parametrize("field", ["key", "file_id", "etag", "last_modified"])
def test_half_a_surrogate_pair_is_refused(field: str) -> None:
    """What JSON can write and UTF-8 cannot is refused in every field that is kept."""
    assert refusal(entry(**{field: "a\ud800"})) == (
        f"reading inventory list.json: object 2 (line 3): {field} holds half of a surrogate pair, "
        "which UTF-8 cannot write"
    )


@pytest.mark.parametrize("document", [ours(), json.dumps({"objects": ENTRIES} | HEADER, indent=1).encode()])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
def test_an_inventory_cut_short_anywhere_is_refused(document: bytes, packed: bool) -> None:
    """A download or a pipe that broke off is never taken for a smaller bucket."""
    whole = gzip.compress(document) if packed else document.rstrip()

    for end in range(2 if packed else 0, len(whole)):
        assert refusal(whole[:end], AGAIN)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        pytest.param("a{}", "line 1: the name number 101 stands where the end of", id="many names"),
        pytest.param("b" * 1000 + "{}", "line 1: 'bbb", id="a long name"),
    ],
)
def test_what_stands_beside_the_objects_is_bounded(name: str, fault: str) -> None:
    """A header whose names never end, or are as long as a book, is given up and not held in memory."""
    document = "{" + "".join(f'"{name.format(number)}":0,' for number in range(200)) + '"objects":[]}'

    with pytest.raises(InventoryError, match=re.escape(f"reading inventory x: {fault}")):
        list(InventoryFile(io.BytesIO(document.encode()), "x"))


def test_an_object_may_be_as_large_as_the_table_takes() -> None:
    """The bounds are taken in: a key of 1,024 bytes, a size of 2^63-1 and a size of 0."""
    document = entry(key="é" * 512, size=MAX_SIZE)

    assert read(document)[0] == [LOU, BABE._replace(key="é" * 512, size=MAX_SIZE)]


class Failing(io.RawIOBase):
    """A file on a disk that fails after its first bytes."""

    def __init__(self, begins: bytes) -> None:
        self.rest = begins

    def read(self, size: int = -1) -> bytes:
        part, self.rest = self.rest[:size], self.rest[size:]
        if not part:
            raise OSError(5, "Input/output error")
        return part


@pytest.mark.parametrize(
    "begins",
    [b"", b"\x1f", ours()[:100], gzip.compress(ours())[:60]],
    ids=["empty", "half a gzip header", "JSON", "gzip"],
)
def test_a_file_that_cannot_be_read_is_named(begins: bytes) -> None:
    """A disk that fails in the middle of the file is told as such, and of which file."""
    with pytest.raises(InventoryError) as caught:
        list(InventoryFile(Failing(begins), "list.json"))

    assert str(caught.value) == "reading inventory list.json: [Errno 5] Input/output error"


class Dribble:
    """A pipe that gives a byte at a time."""

    def __init__(self, document: bytes) -> None:
        self.rest = io.BytesIO(document)

    def read(self, _size: int) -> bytes:
        return self.rest.read(1)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_inventory_may_come_a_byte_at_a_time(pack: Callable[[bytes], bytes]) -> None:
    """A slow pipe changes nothing, neither in finding out that it is gzipped."""
    assert list(InventoryFile(Dribble(pack(ours())), "stdin")) == [LOU, BABE]


def oracle(document: bytes) -> list[tuple[Any, ...]]:
    """Read a document's objects with Python's own JSON."""
    text = document.decode("utf-8-sig")
    objects = json.loads(text)["objects"]
    return [
        (each["key"], each["size"], each.get("last_modified") or "", each.get("etag"), each["file_id"])
        for each in objects
    ]


JSON_TOKENS = rb'" \ { } [ ] , : null true NaN - 0 1e9 1.5 \u0000 \ud800 \u00e9 "key": "size": "objects":'
TOKENS = st.sampled_from([*JSON_TOKENS.split(), b" ", b"\n", b"\0", b"\xff", b"\xc3"])
EDITS = st.lists(
    st.tuples(
        st.integers(0, 10**6), st.integers(0, 30), st.lists(TOKENS | st.binary(max_size=3), max_size=3)
    ),
    min_size=1,
    max_size=3,
)


def edited(document: bytes, edits: list[tuple[int, int, list[bytes]]]) -> bytes:
    """Replace some parts of a document by others."""
    for place, length, tokens in edits:
        start = place % (len(document) + 1)
        document = document[:start] + b"".join(tokens) + document[start + length :]
    return document


@given(document=st.sampled_from([ours(), json.dumps({"objects": ENTRIES}, indent=1).encode()]), edits=EDITS)
def test_a_damaged_inventory_is_read_right_or_refused(
    document: bytes, edits: list[tuple[int, int, list[bytes]]]
) -> None:
    """Whatever is done to an inventory, its objects are those any JSON reader finds, or it is refused."""
    damaged = edited(document, edits)
    try:
        objects, _ = read(damaged)
    except InventoryError:
        return
    assert objects == oracle(damaged)


@given(edits=EDITS)
def test_a_damaged_gzip_is_read_right_or_refused(edits: list[tuple[int, int, list[bytes]]]) -> None:
    """A damaged gzip gives the inventory that was packed, or an InventoryError, and nothing else."""
    try:
        objects, header = read(edited(gzip.compress(ours(), mtime=0), edits))
    except InventoryError:
        return
    assert (objects, header) == ([LOU, BABE], HEADER)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["key", "size", "file_id", "etag", "objects", "bucket", "prefix"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(value=ANY_JSON, inside=st.booleans())
def test_any_json_is_an_inventory_or_refused(value: Any, inside: bool) -> None:
    """A document of whatever JSON ends in its objects or in an InventoryError, never in another error."""
    document = json.dumps({"objects": [value]} if inside else value).encode()
    try:
        objects, _ = read(document)
    except InventoryError:
        return
    assert objects == oracle(document)


def listed(document: bytes, folder: Path) -> tuple[list[MediaObject], InventoryListing]:
    """Read a document as a listing, to its end."""
    listing = InventoryListing(InventoryFile(io.BytesIO(document), "list.json"), folder)
    try:
        return [media for batch in listing.batches() for media in batch.objects], listing
    finally:
        listing.close()


def inventory_of(objects: list[MediaObject]) -> bytes:
    """Write an inventory of these objects, in this order."""
    return json.dumps({"objects": [media._asdict() for media in objects]}).encode()


def test_a_listing_knows_the_header_wherever_it_stands(tmp_path: Path) -> None:
    """Bucket, prefix and list mode are the inventory's, also when they stand behind its objects."""
    objects, listing = listed(json.dumps({"objects": ENTRIES} | HEADER).encode(), tmp_path)

    assert objects == [LOU, BABE]
    assert (listing.bucket, listing.prefix, listing.list_mode) == ("pictures", "p", "versions")
    assert (listing.discovered, listing.unidentified, listing.requests, listing.key_order) == (
        2,
        0,
        0,
        "utf-8",
    )


def test_the_originals_inventory_names_no_bucket_and_lists_objects(tmp_path: Path) -> None:
    """An inventory with objects alone counts as one of a whole bucket in list mode `objects`."""
    _, listing = listed(inventory_of([LOU]), tmp_path)

    assert (listing.bucket, listing.prefix, listing.list_mode) == ("", "", "objects")


@settings(max_examples=settings().max_examples // 4)
@given(
    keys=st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), max_size=20
    ),
    data=st.data(),
)
def test_objects_come_in_byte_order_and_each_once(
    keys: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However an inventory is ordered, and however often an object is in it, a listing has it once."""
    objects = [LOU._replace(key=key) for key in keys]
    again = data.draw(st.permutations(objects + objects[:7]))

    found, listing = listed(inventory_of(again), tmp_path_factory.getbasetemp())

    assert found == sorted(set(objects), key=lambda media: media.key.encode())
    assert listing.discovered == len(found)


def test_byte_order_is_not_utf_16_order(tmp_path: Path) -> None:
    """A character beyond 65,535 comes behind U+FFFD, as in UTF-8."""
    objects = [LOU._replace(key=key) for key in ("😀", "\ufffd", "Z", "a", "é")]

    found, _ = listed(inventory_of(objects), tmp_path)

    assert [media.key for media in found] == ["Z", "a", "é", "\ufffd", "😀"]


def test_a_key_with_two_contents_is_two_objects(tmp_path: Path) -> None:
    """The same key under another file_id is another object, and both are listed."""
    other = LOU._replace(file_id='"def"', etag='"def"', size=8)

    found, listing = listed(inventory_of([other, LOU, other]), tmp_path)

    assert (found, listing.discovered) == ([LOU, other], 2)


@pytest.mark.parametrize("dates", [("2024", "2025"), ("2025", "2024")])
def test_an_object_with_two_dates_is_one(dates: tuple[str, str], tmp_path: Path) -> None:
    """Two entries that differ in their date only are one object, the same one in either order."""
    found, _ = listed(inventory_of([LOU._replace(last_modified=date) for date in dates]), tmp_path)

    assert found == [LOU._replace(last_modified="2024")]


@pytest.mark.parametrize("other", [{"size": 8}, {"etag": '"def"'}, {"etag": None}], ids=str)
def test_an_object_that_differs_from_itself_is_refused(other: dict[str, Any], tmp_path: Path) -> None:
    """The same key and file_id with another size or etag cannot both be true: refused, both named."""
    document = inventory_of([LOU, BABE, LOU, LOU._replace(**other)])

    with pytest.raises(InventoryError) as caught:
        InventoryListing(InventoryFile(io.BytesIO(document), "list.json"), tmp_path)

    assert str(caught.value) == (
        "reading inventory list.json: objects 1 and 4 are both 'photos/é.jpg', and differ"
    )


def test_inventories_fit_into_one_folder(tmp_path: Path) -> None:
    """Listings in one folder do not get in each other's way, neither one after the other nor two at once."""
    assert [listed(inventory_of([media]), tmp_path)[0] for media in (LOU, BABE, LOU)] == [
        [LOU],
        [BABE],
        [LOU],
    ]
    first = InventoryListing(InventoryFile(io.BytesIO(inventory_of([LOU])), "first"), tmp_path)
    second = InventoryListing(InventoryFile(io.BytesIO(inventory_of([BABE])), "second"), tmp_path)

    assert (list(first.objects()), list(second.objects())) == ([LOU], [BABE])
    first.close()
    second.close()


def open_databases() -> set[int]:
    """Find the SQLite connections of this process that are open."""
    found = set()
    for each in gc.get_objects():
        if (
            type(each) is sqlite3.Connection
        ):  # isinstance would ask a weakref's proxy for what it no longer has
            try:
                each.total_changes  # noqa: B018
                found.add(id(each))
            except sqlite3.ProgrammingError:
                pass
    return found


def test_a_fault_leaves_no_file_open(tmp_path: Path) -> None:
    """When an inventory is refused, the file that was to hold its objects is closed."""
    before = open_databases()
    with pytest.raises(InventoryError):
        InventoryListing(InventoryFile(io.BytesIO(b'{"objects":[]'), "list.json"), tmp_path)

    assert open_databases() <= before
