"""What the original scripts got wrong and no other test names: each test is called after what b2d1 does."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from conftest import Stack
from hypothesis import given, settings
from hypothesis import strategies as st
from key_host import KeyHost
from key_host import objects as as_rows
from pages import PageServer

from b2d1.errors import D1Error, InventoryError
from b2d1.inventory.reader import InventoryFile
from b2d1.listing.listing import Listing
from b2d1.media import media_uid
from sandbox.forwarder import Forwarder

Run = Callable[..., Result]


@pytest.fixture
def forwarder(stack: Stack) -> Iterator[Forwarder]:
    """Put a forwarder between the stack and its database."""
    with Forwarder(stack.d1.url) as forwarder:
        stack.extra["CLOUDFLARE_API_BASE_URL"] = forwarder.url
        yield forwarder


def test_every_way_in_gives_an_object_the_same_uid(b2d1: Run, stack: Stack) -> None:
    """What sync wrote, an inventory of the same bucket finds known, and the other way round."""
    for number in range(100):
        stack.b2.put(f"photos/{number:03}.jpg", b"1")
    listed = b2d1("inventory", env=stack.env).stdout

    first = b2d1("sync", "--json", env=stack.env)
    second = b2d1("ingest", "--json", env=stack.env, stdin=listed)

    counts = [
        {name: json.loads(done.stdout)[name] for name in ("known", "inserted")} for done in (first, second)
    ]
    assert counts == [{"known": 0, "inserted": 100}, {"known": 100, "inserted": 0}]
    assert len(stack.rows()) == 100


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({"key": "EXAMPLE.jpg", "size_bytes": 0, "etag": '"a"'}, id="size_bytes"),
        pytest.param({"key": "EXAMPLE.jpg", "url": "https://example.org/a"}, id="url"),
        pytest.param({"key": "EXAMPLE.jpg", "size": 0, "etag": '"a"'}, id="no file_id"),
        pytest.param({"key": "EXAMPLE.jpg", "size": 0, "file_id": None}, id="file_id null"),
        pytest.param({"key": "EXAMPLE.jpg", "size": 0, "file_id": ""}, id="file_id empty"),
    ],
)
def test_an_object_without_file_id_is_never_hashed(b2d1: Run, stack: Stack, entry: dict[str, object]) -> None:
    """An inventory of another shape ends in exit 2: nothing is put in place of an id that is not there."""
    result = b2d1("ingest", env=stack.d1.settings(), stdin=json.dumps({"objects": [entry]}))

    assert (result.exit_code, stack.rows()) == (2, [])
    assert "object 1 (line 1)" in result.stderr


def test_an_etag_of_an_upload_in_parts_is_taken_as_it_is() -> None:
    """The same bytes in other parts have another ETag, and are another object: nothing is guessed."""
    assert media_uid('"5d41402abc4b2a76-2"', "a") != media_uid('"5d41402abc4b2a76-3"', "a")


@pytest.mark.parametrize("objects", [790, 810, 830, 1000, 2500])
def test_pages_of_any_size_are_listed(objects: int) -> None:
    """No page goes through a program's argument: the sizes at which the original broke are like any other."""
    keys = [f"photos/{number:06}/{'x' * 100}" for number in range(objects)]
    with PageServer() as server:
        server.answer(KeyHost(as_rows(keys)))
        found = [media.key for batch in Listing(server.bucket()).batches() for media in batch.objects]

    assert found == keys


def test_no_page_is_read_twice() -> None:
    """Each page is asked for once and given on before the next one: work grows with the pages alone."""
    keys = [f"{number:03}" for number in range(401)]
    with PageServer() as server:
        server.answer(KeyHost(as_rows(keys), size=11))
        batches = Listing(server.bucket()).batches()
        seen = [(len(server.asked), [media.key for media in batch.objects]) for batch in batches]

    first, *others = seen
    assert first == (1, keys[:11])
    assert others == [(number + 1, keys[10 * number + 1 : 10 * number + 11]) for number in range(1, 40)]


def test_what_is_logged_is_never_in_the_inventory(b2d1: Run, stack: Stack) -> None:
    """Whatever is warned of, stdout stays JSON: the log is on stderr alone."""
    stack.b2.put("a", b"1")

    result = b2d1("inventory", "-v", env=stack.env)

    assert [each["key"] for each in json.loads(result.stdout)["objects"]] == ["a"]
    assert "DEBUG" in result.stderr


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(400, {"errors": [{"code": 10000, "message": "Authentication error"}]}, id="10000"),
        pytest.param(500, {}, id="failure"),
        pytest.param(200, {"success": True, "result": [{"results": []}]}, id="another form"),
    ],
)
def test_when_d1_does_not_say_what_is_new_nothing_is_inserted(
    stack: Stack, forwarder: Forwarder, status: int, body: dict[str, object]
) -> None:
    """An answer that is missing is never taken for "none exist": exit 4, and only SELECT was sent."""
    stack.b2.put("a", b"1")
    stack.d1.statements.clear()
    forwarder.fail("before", "NOT EXISTS", times=99, status=status, body=json.dumps(body))

    with pytest.raises(D1Error) as failure:
        stack.sync()

    assert (failure.value.exit_code, failure.value.doing) == (4, "asking which are new")
    assert {text.split()[0] for text in stack.d1.statements} == {"SELECT"}
    assert stack.rows() == []


@settings(max_examples=settings().max_examples // 4)
@given(size=st.text() | st.floats() | st.booleans() | st.just("1,NULL); DELETE FROM media_assets; --"))
def test_a_size_that_is_no_number_is_never_sent(size: object) -> None:
    """A size is a whole number or the inventory is refused: no text of it can become SQL."""
    document = json.dumps({"objects": [{"key": "a", "size": size, "file_id": '"a"'}]}).encode()

    with pytest.raises(InventoryError):
        list(InventoryFile(_Once(document), "list.json"))


class _Once:
    """A stream of one part."""

    def __init__(self, document: bytes) -> None:
        self._rest = document

    def read(self, _size: int) -> bytes:
        part, self._rest = self._rest, b""
        return part


def test_a_dry_run_claims_no_insert(b2d1: Run, stack: Stack) -> None:
    """What would go in is `new`; `inserted` is what D1 confirmed, and in a dry run that is nothing."""
    stack.b2.put("a", b"1")

    report = json.loads(b2d1("sync", "--dry-run", "--json", env=stack.env).stdout)

    assert [report[name] for name in ("new", "inserted", "rows_written", "changed_db")] == [1, 0, 0, False]
    assert stack.rows() == []


def test_a_run_makes_no_table_and_no_index(stack: Stack) -> None:
    """Tables and indexes are for `b2d1 migrate`: a run sends nothing that creates or drops."""
    for key in "abcdefghij":
        stack.b2.put(key, b"1")
    stack.d1.statements.clear()

    report = stack.sync()

    assert {text.split()[0] for text in stack.d1.statements} == {"SELECT", "DELETE", "INSERT"}
    # The table and its two indexes for each object, and AUTOINCREMENT's counter once.
    assert report.rows_written == 3 * 10 + 1


def test_a_failed_listing_leaves_the_snapshot_as_it_was(
    b2d1: Run, stack: Stack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The snapshot is replaced at the end and at once: a run that fails leaves every byte of it."""
    kept = tmp_path / "kept.json"
    kept.write_bytes(b'{"objects":[]}\n')
    with caplog.at_level(logging.CRITICAL):
        ended = b2d1("sync", env=stack.env | {"SNAPSHOT_URI": str(kept), "B2_BUCKET": "elsewhere"})

    assert (ended.exit_code, kept.read_bytes()) == (3, b'{"objects":[]}\n')
