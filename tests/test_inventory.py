"""The inventory as it is written: its bytes, its digest, its memory."""

import hashlib
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2d1.inventory.reader import InventoryFile, InventoryListing
from b2d1.inventory.writer import InventoryWriter
from b2d1.media import MAX_SIZE, ListMode, MediaObject

PHOTO = MediaObject("photos/é.jpg", 7, "2024-03-09T14:00:00.000Z", '"abc"', '"abc"')
# Whatever a key may hold, and more: quotes, backslashes, line separators, control characters but NUL.
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200)
OBJECTS = st.lists(
    st.builds(
        MediaObject,
        KEYS,
        st.integers(0, MAX_SIZE),
        KEYS,
        st.none() | KEYS,
        st.from_regex(r'"[0-9a-f]{32}(-[0-9]+)?"|4_z[0-9a-f]{24}', fullmatch=True),
    ),
    max_size=12,
    unique_by=lambda media: media.key,
)

UNUSED = Path()  # where parts would wait for their turn


def write(
    *batches: list[MediaObject], bucket: str = "pictures", prefix: str = "", list_mode: ListMode = "objects"
) -> tuple[bytes, str]:
    """Write an inventory of these batches; return it, and the digest that the writer tells."""
    out = io.BytesIO()
    writer = InventoryWriter(out, bucket, prefix, list_mode, UNUSED)
    for batch in batches:
        writer.add(batch)
    digest = writer.close()
    return out.getvalue(), digest


def many(count: int) -> Iterator[list[MediaObject]]:
    """Make up objects, a thousand at a time as a bucket lists them."""
    for start in range(0, count, 1000):
        yield [PHOTO._replace(key=f"photos/{number:09}.jpg") for number in range(start, start + 1000)]


def test_an_inventory_is_these_bytes() -> None:
    """The form is fixed to the byte: header, one object a line, its fields in order."""
    objects = [PHOTO, MediaObject('a"\\\x1f/\u2028😀', 0, "", None, "4_z1")]

    document, digest = write(objects, bucket="pictures", prefix="a", list_mode="versions")

    assert document.decode() == (
        '{"bucket":"pictures","prefix":"a","list_mode":"versions","objects":[\n'
        '{"key":"photos/é.jpg","size":7,"last_modified":"2024-03-09T14:00:00.000Z",'
        '"etag":"\\"abc\\"","file_id":"\\"abc\\""},\n'
        '{"key":"a\\"\\\\\\u001f/\u2028😀","size":0,"last_modified":"","etag":null,"file_id":"4_z1"}\n'
        "]}\n"
    )
    assert digest == hashlib.sha256(document).hexdigest()


@pytest.mark.parametrize("batches", [[], [[]], [[], []]])
def test_an_empty_bucket_has_an_inventory_too(batches: list[list[MediaObject]]) -> None:
    """No objects, in no page or in empty ones, make a whole document with an empty list."""
    document, digest = write(*batches)

    assert document == b'{"bucket":"pictures","prefix":"","list_mode":"objects","objects":[\n]}\n'
    assert digest == "bfe9b95b48a342ad7109ea2723adcacc29bf1018e83370b8b719a4a70d70caa3"


@given(objects=OBJECTS, bucket=KEYS, prefix=KEYS)
def test_an_inventory_is_json_of_its_objects(objects: list[MediaObject], bucket: str, prefix: str) -> None:
    """Any JSON reader gets the objects back, and so does who reads a line at a time."""
    document, digest = write(objects, bucket=bucket, prefix=prefix)

    expected = [media._asdict() for media in objects]
    header = {"bucket": bucket, "prefix": prefix, "list_mode": "objects"}
    assert json.loads(document) == {**header, "objects": expected}
    first, *lines, last, end = document.decode().split("\n")
    assert [json.loads(line.removesuffix(",")) for line in lines] == expected
    assert (json.loads(first + "]}"), last, end) == ({**header, "objects": []}, "]}", "")
    assert digest == hashlib.sha256(document).hexdigest()


@settings(max_examples=settings().max_examples // 4)
@given(objects=OBJECTS, places=st.lists(st.integers(0, 12), max_size=4))
def test_the_same_objects_give_the_same_bytes(objects: list[MediaObject], places: list[int]) -> None:
    """Where one page ends and the next begins leaves no trace, empty pages neither."""
    edges = [0, *sorted(min(place, len(objects)) for place in places), len(objects)]
    pages = [objects[edges[i] : edges[i + 1]] for i in range(len(edges) - 1)]

    assert write(*pages) == write(objects)


@settings(max_examples=settings().max_examples // 4)
@given(objects=OBJECTS)
def test_without_a_file_the_digest_is_the_same(objects: list[MediaObject]) -> None:
    """A writer that writes nowhere tells the digest of what it would have written."""
    writer = InventoryWriter(None, "pictures", "", "objects", UNUSED)
    writer.add(iter(objects))

    assert writer.close() == write(objects)[1]


@given(objects=OBJECTS, bucket=KEYS, prefix=KEYS, list_mode=st.sampled_from(["objects", "versions"]))
def test_what_is_written_is_read_back(
    objects: list[MediaObject], bucket: str, prefix: str, list_mode: ListMode
) -> None:
    """Written and read, an inventory gives the same objects in the same order, and the same header."""
    document, _ = write(objects, bucket=bucket, prefix=prefix, list_mode=list_mode)
    file = InventoryFile(io.BytesIO(document), "it")

    assert list(file) == objects
    assert file.header == {"bucket": bucket, "prefix": prefix, "list_mode": list_mode}


def peak(work: Callable[[int], None], count: int) -> int:
    """Measure the most memory (bytes) that Python holds at once while it works on so many objects."""
    tracemalloc.start()
    try:
        work(count)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_writing_takes_no_more_memory_for_more_objects() -> None:
    """Five times as many objects are written in the same memory."""

    def work(count: int) -> None:
        writer = InventoryWriter(None, "pictures", "", "objects", UNUSED)
        for batch in many(count):
            writer.add(batch)
        writer.close()

    work(1000)

    assert peak(work, 50_000) < peak(work, 10_000) + 200_000 < 2_000_000


@pytest.mark.slow
def test_reading_takes_no_more_memory_for_more_objects(tmp_path: Path) -> None:
    """Five times as many objects are read, put in order and given on in the same memory."""

    def work(count: int) -> None:
        with (tmp_path / str(count)).open("rb") as file:
            listing = InventoryListing(InventoryFile(file, "it"), tmp_path)
        assert sum(len(batch.objects) for batch in listing.batches()) == listing.discovered == count
        listing.close()

    for count in (1000, 5_000, 25_000):
        with (tmp_path / str(count)).open("wb") as out:
            writer = InventoryWriter(out, "pictures", "", "objects", UNUSED)
            for batch in many(count):
                writer.add(batch)
            writer.close()
    work(1000)

    assert peak(work, 25_000) < peak(work, 5_000) + 100_000 < 3_000_000
