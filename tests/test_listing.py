"""A listing is proven complete, or it is an error: never a shorter inventory, never an endless one."""

import dataclasses
import functools
import logging
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import FakeTime
from hypothesis import given, settings
from hypothesis import strategies as st
from key_host import KeyHost, numbered, objects
from page_strategies import buckets
from pages import (
    BUCKET,
    Answer,
    Asked,
    Form,
    PageServer,
    Row,
    page,
    stock_client,
    stock_objects,
    with_dates,
)

from b2d1.b2.bucket import Bucket
from b2d1.b2.page_xml import UNSOUND_HINT
from b2d1.errors import B2Error
from b2d1.listing.listing import Listing
from b2d1.listing.walk import MAX_EMPTY_PAGES
from b2d1.media import ListMode, MediaObject
from b2d1.retry import Retrying
from b2d1.settings import B2Settings, Settings
from sandbox.b2 import EmbeddedB2

MODES: list[ListMode] = ["objects", "versions"]
OPERATION = {"objects": "list_objects_v2", "versions": "list_object_versions"}
ONCE = Retrying(attempts=1)


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    with PageServer() as server:
        yield server


def listed(listing: Listing) -> list[MediaObject]:
    return [media for batch in listing.batches() for media in batch.objects]


def keys_of(server: PageServer, mode: ListMode = "objects", prefix: str = "") -> list[str]:
    return [media.key for media in listed(Listing(server.bucket(mode, prefix)))]


def rows(keys: str, **fields: Any) -> list[Row]:
    """Make a row for each word."""
    return [Row(key, **fields) for key in keys.split()]


@dataclasses.dataclass
class Pair:
    """A bucket as b2d1 lists it, and as stock boto3's paginator does, behind one server."""

    server: PageServer

    def __post_init__(self) -> None:
        client = stock_client(self.server.url)
        self.paginators = {mode: client.get_paginator(OPERATION[mode]) for mode in MODES}


@pytest.fixture(scope="module")
def pair(server: PageServer) -> Pair:
    return Pair(server)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=50, deadline=None)
@given(data=st.data(), size=st.integers(1, 9))
def test_a_listing_is_what_stock_botos_paginator_lists(
    pair: Pair, mode: ListMode, data: st.DataObject, size: int
) -> None:
    """Any legal bucket, in pages of any size, is listed as stock boto3's paginator lists it."""
    rows = [
        dataclasses.replace(row, version_id=f"4_z{number}" if mode == "versions" else None)
        for number, row in enumerate(data.draw(buckets(mode, most=20)))
    ]
    pair.server.answer(KeyHost(rows, mode, size=size))
    listing = Listing(pair.server.bucket(mode))
    found = with_dates(listed(listing))
    answers = pair.paginators[mode].paginate(Bucket=BUCKET)

    assert found == [media for answer in answers for media in stock_objects(answer, mode)]
    assert listing.discovered - listing.unidentified == len(found)


@pytest.mark.parametrize("mode", MODES)
def test_each_page_begins_one_key_early(server: PageServer, mode: ListMode) -> None:
    """A page is requested by a key, and shows the last key listed again; no token is used."""
    server.answer(KeyHost(numbered(22), mode, size=10))

    assert keys_of(server, mode) == [row.key for row in numbered(22)]
    words = {
        "objects": ["start-after", "continuation-token"],
        "versions": ["key-marker", "version-id-marker"],
    }
    assert [[asked.query.get(word) for word in words[mode]] for asked in server.asked] == [
        [None, None],
        ["k00008", None],
        ["k00017", None],
    ]


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_bucket_is_a_listing_of_nothing(server: PageServer, mode: ListMode) -> None:
    """A valid answer without rows is complete, if the same request is answered so twice."""
    server.give(page([], mode))
    listing = Listing(server.bucket(mode))

    assert (listed(listing), listing.discovered, listing.key_order) == ([], 0, "utf-8")
    assert len(server.asked) == 2


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_page_is_not_believed_at_once(server: PageServer, mode: ListMode) -> None:
    server.give(page([], mode), page(rows("a b"), mode))

    assert keys_of(server, mode) == ["a", "b"]


def script(*pages: tuple[str, str | None], **settings: Any) -> list[bytes]:
    return [page(rows(keys), then=then, **settings) for keys, then in pages]


@pytest.mark.parametrize(
    ("pages", "fault"),
    [
        pytest.param(script(("a b b", None)), "key 'b' is listed twice", id="a key twice on a page"),
        pytest.param(script(("a c b", None)), "'c' comes before 'b'", id="out of order"),
        pytest.param(script(("a Z", None)), "'a' comes before 'Z'", id="a dictionary's order"),
        pytest.param(
            script(("b c", "1"), ("a b c", None)),
            "asked for keys after 'b', the host lists 'a'",
            id="where to begin is ignored",
        ),
        pytest.param(
            script(("a b c", "1"), ("d e", None), ("c d e", None)),
            "asked for keys after 'b', the host left out 'c'",
            id="a key is skipped where a page begins",
        ),
        pytest.param(
            script(("a b c", "1"), ("", None), ("b c d", None)),
            "asked for keys after 'b', the host left out 'c'",
            id="a page is empty and said to be the last",
        ),
        pytest.param(
            script(("a b", "1"), ("b", "2"), ("c", "3"), ("d", None)),
            "after 'b' the host lists 'c', and another time 'd'",
            id="a token leads elsewhere than the key",
        ),
        pytest.param(
            script(
                ("a b c d", "1"), ("d", "2"), ("e", None), ("", "3"), ("e", None), ("b", "4"), ("e", None)
            ),
            "the host's continuation tokens do not lead to 'c'",
            id="tokens that skip a key",
        ),
        pytest.param(script(("a b", "1"), ("b", "1")), "the listing does not move on", id="token repeated"),
        pytest.param(
            script(("a b", "1"), ("b", "2"), ("", "3"), ("", "4"), ("", "4")),
            "the listing does not move on",
            id="token repeated later",
        ),
    ],
)
def test_a_listing_that_may_have_a_gap_is_refused(server: PageServer, pages: list[bytes], fault: str) -> None:
    """Whatever is missing, out of order or in a circle shows that the listing is not the whole bucket."""
    server.give(*pages)

    with pytest.raises(B2Error, match=fault) as caught:
        keys_of(server)

    assert (caught.value.exit_code, caught.value.doing) == (3, f"listing bucket {BUCKET}")
    assert caught.value.hint == UNSOUND_HINT


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deleted", [["k00009"], ["k00008", "k00009"], ["k00000", "k00009", "k00010"]])
def test_a_key_deleted_where_a_page_ends_is_no_gap(
    server: PageServer, mode: ListMode, deleted: list[str]
) -> None:
    """The last key listed cannot be listed again once it is deleted; a key before it can."""
    before = KeyHost(numbered(25), mode, size=10)
    after = KeyHost([row for row in numbered(25) if row.key not in deleted], mode, size=10)

    def answer(asked: Asked) -> Answer:
        return after(asked) if len(server.asked) > 1 else before(asked)

    server.answer(answer)

    listed_before = [row.key for row in numbered(10)]
    assert keys_of(server, mode) == [
        row.key for row in numbered(25) if row.key in listed_before or row.key not in deleted
    ]


def paged(pages: list[list[str]]) -> list[bytes]:
    thens = [*map(str, range(1, len(pages))), None]
    return [page([Row(key) for key in keys], then=then) for keys, then in zip(pages, thens, strict=True)]


ASTRAL, PRIVATE = "\U0001f600", "\ue000"


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize(
    ("keys", "utf16", "order"),
    [
        pytest.param(["a", "b", "c", "é"], True, "utf-8", id="nothing to tell them apart"),
        pytest.param(["a", PRIVATE, ASTRAL], False, "utf-8", id="bytes"),
        pytest.param(["a", ASTRAL, PRIVATE], True, "utf-16", id="UTF-16"),
        pytest.param(["x" + ASTRAL, "x\uffee", "y"], True, "utf-16", id="UTF-16, below a common beginning"),
    ],
)
def test_either_order_throughout_is_accepted_and_named(
    server: PageServer, *, keys: list[str], utf16: bool, order: str, size: int
) -> None:
    """Keys may ascend by bytes, as S3 says, or by UTF-16 units, as some hosts have it."""
    server.answer(KeyHost(objects(keys), size=size, utf16=utf16))
    listing = Listing(server.bucket())

    assert [media.key for media in listed(listing)] == keys
    assert listing.key_order == order


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([[PRIVATE, ASTRAL, "\uffee"]], id="bytes, then UTF-16, on one page"),
        pytest.param([["a" + PRIVATE, "a" + ASTRAL], ["b" + ASTRAL, "b" + PRIVATE]], id="bytes, then UTF-16"),
        pytest.param([["a" + ASTRAL, "a" + PRIVATE], ["b" + PRIVATE, "b" + ASTRAL]], id="UTF-16, then bytes"),
    ],
)
def test_a_mixed_order_is_refused(server: PageServer, pages: list[list[str]]) -> None:
    """An order that is neither cannot prove anything."""
    server.give(*paged(pages))

    with pytest.raises(B2Error, match=r"out of order|keep no order"):
        keys_of(server)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "keys", ["other", "o p/a", "p p/a", "p/a p0", "P/a", "p"], ids=lambda keys: keys.replace("/", "-")
)
def test_a_listing_that_leaves_the_prefix_is_refused(server: PageServer, mode: ListMode, keys: str) -> None:
    """A host that ignores the prefix, or goes beyond it, would fill the index with strangers."""
    server.give(page(rows(keys), mode))

    with pytest.raises(B2Error, match="the listing leaves the prefix"):
        keys_of(server, mode, prefix="p/")


def test_a_listing_under_its_prefix_is_accepted(server: PageServer) -> None:
    """A key may be the prefix itself, or go on in any way."""
    server.give(page([Row("p/"), Row("p/ "), Row("p/a"), Row("p/\U0001f600")]))

    assert keys_of(server, prefix="p/") == ["p/", "p/ ", "p/a", "p/\U0001f600"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [0, 1], ids=["first page", "last page"])
def test_a_page_cut_short_is_never_a_shorter_inventory(
    server: PageServer, mode: ListMode, number: int
) -> None:
    """Wherever the body of a page breaks off, the listing is exit 3."""
    form = Form(pretty="\n    ")
    pages = [page(rows("a b", version_id="4_z1"), mode, form, then="b 4_z1"), page(rows("c d"), mode, form)]
    bucket = server.bucket(mode)
    ends = []
    for end in range(0, len(pages[number]), 50):
        answers = [Answer(body) for body in pages]
        answers[number] = dataclasses.replace(answers[number], cut=end)
        server.give(*answers)
        with pytest.raises(B2Error) as caught:
            listed(Listing(bucket))
        ends.append(caught.value.exit_code)

    assert ends == [3] * len(ends)
    assert len(ends) > 15


def test_empty_pages_are_passed_over(server: PageServer) -> None:
    """B2 may cut a page before it leaves hidden files out: an empty page that leads on is sound."""
    server.give(page([], then="1"), page(rows("a"), then="2"), page([], then="3"), page([]))

    assert keys_of(server) == ["a"]


@pytest.mark.parametrize("mode", MODES)
def test_endlessly_many_empty_pages_end(
    server: PageServer, mode: ListMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that always has one more empty page, each with a token of its own, is left."""
    monkeypatch.setattr("b2d1.listing.walk.MAX_EMPTY_PAGES", 50)

    def answer(_: Asked) -> Answer:
        if len(server.asked) > 1000:
            return Answer(page([], mode))
        return Answer(page([], mode, then=f"k{len(server.asked):05} v"))

    server.answer(answer)
    with pytest.raises(B2Error, match="the listing does not move on"):
        keys_of(server, mode)

    assert len(server.asked) == 51
    assert MAX_EMPTY_PAGES == 1000


@pytest.mark.parametrize("length", [1, 2, 3, 7, 50])
def test_pages_of_hide_markers_in_a_circle_end(server: PageServer, length: int) -> None:
    """Pages without an object have no order to watch; a host that leads in a circle is left all the same."""

    def answer(asked: Asked) -> Answer:
        if len(server.asked) > 1000:
            return Answer(page([], "versions"))
        number = int(asked.query.get("key-marker", "k-1")[1:]) + 1
        number = number if number < 20 + length else 20
        return Answer(page([Row(f"m{number}", hidden=True)], "versions", then=f"k{number:04} v"))

    server.answer(answer)
    with pytest.raises(B2Error, match="the listing does not move on"):
        keys_of(server, "versions")

    assert len(server.asked) < 20 + 4 * max(length, 32)


def test_pages_of_hide_markers_that_move_on_are_passed_over(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many hide markers stand before an object, it is found."""
    monkeypatch.setattr("b2d1.listing.walk.MAX_EMPTY_PAGES", 50)
    count = 120

    def answer(asked: Asked) -> Answer:
        number = int(asked.query.get("key-marker", "k-1")[1:]) + 1
        if number == count:
            return Answer(page([Row("z")], "versions"))
        return Answer(page([Row(f"k{number:05}", hidden=True)], "versions", then=f"k{number:05} v"))

    server.answer(answer)

    assert keys_of(server, "versions") == ["z"]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_key_whose_versions_span_pages_is_listed_once(server: PageServer, size: int) -> None:
    """The versions that a page could not hold come on the next ones, and none of them is an object."""
    old = {"latest": False}
    rows = [
        *(Row("a"), Row("b", version_id="4_z9", size=9), Row("b", version_id="4_z8", **old)),
        *(Row("b", version_id="4_z7", **old), Row("b", version_id="4_z6", hidden=True, **old)),
        *(Row("c", hidden=True), Row("d", version_id="4_z1"), Row("d", version_id="4_z0", **old)),
    ]
    server.answer(KeyHost(rows, "versions", size=size))
    listing = Listing(server.bucket("versions"))

    assert [(media.key, media.size) for media in listed(listing)] == [("a", 1), ("b", 9), ("d", 1)]
    assert listing.discovered == 3


def test_a_key_that_lost_its_latest_version_between_pages_is_refused(server: PageServer) -> None:
    """Old versions of a key whose latest no page has shown prove that an object is missing."""
    server.give(
        page([Row("a")], "versions", then="a 4_z1"), page([Row("b", latest=False), Row("c")], "versions")
    )

    with pytest.raises(B2Error, match="no latest version"):
        keys_of(server, "versions")


@pytest.mark.parametrize(
    ("mode", "field"),
    [pytest.param("objects", "ETag", id="objects"), pytest.param("versions", "VersionId", id="versions")],
)
def test_objects_without_identity_are_left_out_named_and_counted(
    server: PageServer, caplog: pytest.LogCaptureFixture, mode: ListMode, field: str
) -> None:
    """What cannot be identified is in no inventory, in the log by its key, and in the counts."""
    without = {"etag": None, "version_id": None}
    server.answer(KeyHost([Row("a"), Row("b\tc?", **without), Row("d", **without), Row("e")], mode, size=2))
    listing = Listing(server.bucket(mode))

    with caplog.at_level(logging.WARNING):
        found = listed(listing)

    assert [media.key for media in found] == ["a", "e"]
    assert (listing.discovered, listing.unidentified) == (4, 2)
    assert [record.getMessage() for record in caplog.records] == [
        f"{key!r} has no {field}, so no identity: it is left out" for key in ("b\tc?", "d")
    ]


def settings_of(b2: EmbeddedB2, mode: ListMode, prefix: str = "") -> B2Settings:
    read = Settings.from_env(b2.settings() | {"B2_LIST_MODE": mode, "B2_PREFIX": prefix}, d1=False).b2
    assert read is not None
    return read


def stock_pages(b2: EmbeddedB2, mode: ListMode) -> Any:
    """Return stock boto3's paginator."""
    told = b2.settings()
    client = stock_client(b2.url, key_id=told["B2_KEY_ID"], app_key=told["B2_APP_KEY"])
    return functools.partial(client.get_paginator(OPERATION[mode]).paginate, Bucket=told["B2_BUCKET"])


@pytest.fixture(scope="module")
def sample() -> Iterator[EmbeddedB2]:
    with EmbeddedB2() as b2:
        yield b2


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_sample_bucket_is_listed_as_stock_boto3_lists_it(sample: EmbeddedB2, mode: ListMode) -> None:
    """Some thousand objects, awkward names and hidden files among them, come out field by field the same."""
    listing = Listing(Bucket(settings_of(sample, mode), ONCE))
    found = with_dates(listed(listing))

    expected = [media for answer in stock_pages(sample, mode)() for media in stock_objects(answer, mode)]
    assert found == expected
    assert len(found) > 2000
    assert (listing.discovered, listing.unidentified, listing.key_order) == (len(found), 0, "utf-8")


@pytest.mark.parametrize("mode", MODES)
def test_a_bucket_with_old_versions_is_listed_alike_in_small_pages(
    b2: EmbeddedB2, mode: ListMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of two rows, which no key's versions fit on, list the same objects, with a prefix and without."""
    monkeypatch.setattr("sandbox.listing.MAX_KEYS", 2)
    for key in ("p/a+b", "p/a b", "p/é", "p/\U0001f600", "p/\uff5e", "p", "p0", "q&<>"):
        for version in range(3):
            b2.put(key, f"{key} {version}".encode())
    for key in ("p/a b", "q&<>"):
        b2.hide(key)
    b2.put("q&<>", b"back again")

    paginate = stock_pages(b2, mode)
    for prefix, count in {"": 7, "p/": 4, "p/a b": 0}.items():
        found = listed(Listing(Bucket(settings_of(b2, mode, prefix), ONCE)))
        expected = [media for answer in paginate(Prefix=prefix) for media in stock_objects(answer, mode)]
        assert (with_dates(found), len(found)) == (expected, count)


def peak_of_listing(server: PageServer, mode: ListMode, pages: int) -> int:
    """Measure the most memory that is in use while so many pages go by."""

    def answer(asked: Asked) -> Answer:
        server.asked.clear()
        after = asked.query.get("start-after") or asked.query.get("key-marker")
        begin = int(after) + 1 if after else 0
        numbers = range(begin, min(begin + 200, 200 * pages))
        some = [Row(f"{number:08}", etag=f'"{number:032x}"') for number in numbers]
        return Answer(page(some, mode, then="token v" if numbers.stop < 200 * pages else None))

    server.answer(answer)
    listing = Listing(server.bucket(mode))
    tracemalloc.start()
    try:
        for _ in listing.batches():
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        assert listing.discovered == 200 * pages


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_memory_is_flat(server: PageServer, mode: ListMode) -> None:
    """Ten times as many pages take no more memory, since pages flow through."""
    peak_of_listing(server, mode, 2)

    assert peak_of_listing(server, mode, 60) < 2 * peak_of_listing(server, mode, 6)


def test_a_listing_ends_at_its_deadline_between_pages(server: PageServer, fake_time: FakeTime) -> None:
    """Time that runs out on the way is an error, and the pages until then are no listing."""
    server.give(page(rows("a"), then="t"), Answer(status=503, headers={"Retry-After": "30"}))
    listing = Listing(Bucket(server.settings(), fake_time.retrying(seconds=20))).batches()

    assert [media.key for media in next(listing).objects] == ["a"]
    with pytest.raises(B2Error, match="gave up"):
        next(listing)
