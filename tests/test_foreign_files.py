"""Inventories, secrets, settings and events from strangers: taken as they are meant, or a named error."""

import base64
import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mutations import as_json, bent, damaged, fault_of_words, odd

from b2d1.errors import B2D1Error, InventoryError, SettingsError, UsageError
from b2d1.inventory.json_stream import MAX_VALUE_CHARS
from b2d1.inventory.reader import InventoryFile, InventoryListing
from b2d1.inventory.writer import InventoryWriter
from b2d1.media import MediaObject, fault_in
from b2d1.settings import NAMES, Settings
from handler.environment import _understood
from handler.event import Asked, read_event

OBJECTS = [
    MediaObject("a", 0, "", None, '"a"'),
    MediaObject("photos/é.jpg", 7, "2024-03-09T14:00:00.000Z", '"abc"', '"abc"'),
    MediaObject("日", 2**63 - 1, "2024-03-10T14:00:00.000Z", None, "4_z1"),
]


def written(objects: list[MediaObject]) -> bytes:
    """Write an inventory as b2d1 does."""
    out = io.BytesIO()
    writer = InventoryWriter(out, "pictures", "", "versions", Path())
    writer.add(objects)
    writer.close()
    return out.getvalue()


SOUND = written(OBJECTS)
PACKED = gzip.compress(SOUND, mtime=0)


def listed(document: bytes, folder: Path) -> list[MediaObject] | None:
    """Read an inventory as `ingest` does; None when it is refused, in words that can be shown."""
    try:
        listing = InventoryListing(InventoryFile(io.BytesIO(document), "list.json"), folder)
    except InventoryError as error:
        assert (error.exit_code, fault_of_words(f"{error}\n{error.hint}")) == (2, None)  # noqa: PT017
        return None
    try:
        return list(listing.objects())
    finally:
        listing.close()


def as_any_reader_finds(document: bytes) -> list[MediaObject]:
    """Read a document's objects with Python's own JSON, in the order of a listing."""
    entries = json.loads(document.decode("utf-8-sig"))["objects"]
    found = {
        MediaObject(
            each["key"], each["size"], each.get("last_modified") or "", each.get("etag"), each["file_id"]
        )
        for each in entries
    }
    return sorted(found, key=lambda media: (media.key.encode(), media.file_id.encode(), media.last_modified))


@given(data=st.data())
def test_a_damaged_inventory_is_what_any_reader_of_json_finds_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bytes flipped, cut, repeated, swapped, nested or put in: the objects are JSON's, or it is refused."""
    document = data.draw(damaged(SOUND, xml=False))

    found = listed(document, tmp_path_factory.getbasetemp())

    assert found is None or found == once(as_any_reader_finds(document))
    assert [media for media in found or [] if fault_in(media)] == []


def once(objects: list[MediaObject]) -> list[MediaObject]:
    """Leave out what differs from the one before in its date alone."""
    return list({(media.key, media.file_id): media for media in reversed(objects)}.values())[::-1]


@given(document=damaged(PACKED, xml=False))
def test_a_damaged_gzip_is_the_inventory_that_was_packed_or_refused(
    document: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a gzip holds is proven by its checksum: the very objects that were packed, or it is refused."""
    assert listed(document, tmp_path_factory.getbasetemp()) in (None, OBJECTS)


@given(data=st.data(), packed=st.booleans())
def test_a_bent_inventory_is_what_any_reader_of_json_finds_or_refused(
    data: st.DataObject, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Values of any kind in any place: the objects are JSON's, each fit for the index, or it is refused."""
    document = as_json(data.draw(bent(json.loads(SOUND))))

    found = listed(gzip.compress(document, 1) if packed else document, tmp_path_factory.getbasetemp())

    assert found is None or found == once(as_any_reader_finds(document))
    assert [media for media in found or [] if fault_in(media)] == []


@given(
    noise=st.binary(max_size=300),
    beginning=st.sampled_from([b"", b"\x1f\x8b\x08", b'{"objects":[', b"\xff\xfe"]),
)
def test_noise_is_no_inventory(
    noise: bytes, beginning: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever comes in place of an inventory is refused: never an inventory of nothing."""
    assume(not noise.lstrip().startswith(b"]"))  # an empty list of objects is an inventory

    assert listed(beginning + noise, tmp_path_factory.getbasetemp()) is None


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param('{"key":"a","size":1,"file_id":"b","key":"c"}', id="a key"),
        pytest.param('{"key":"a","size":1,"size":1,"file_id":"b"}', id="a size, the same"),
        pytest.param('{"key":"a","size":1,"file_id":"b","more":[{"x":1,"x":2}]}', id="deep inside"),
    ],
)
def test_an_object_with_a_name_twice_is_refused(entry: str, tmp_path: Path) -> None:
    """Where a name stands twice, one reader takes the first value and another the last: it is refused."""
    document = f'{{"objects":[\n{entry}\n]}}'.encode()

    with pytest.raises(InventoryError) as refused:
        InventoryListing(InventoryFile(io.BytesIO(document), "list.json"), tmp_path)

    assert refused.value.message == (
        "line 2: an object with a name that stands twice in it stands where object 1 should"
    )


BOMBS = {
    "white space": b" " * 20_000_000,
    "one text": b'{"objects":[{"key":"' + b"a" * 20_000_000,
    "one number": b'{"objects":[{"size":' + b"9" * 20_000_000,
    "lists in lists": b'{"objects":[' + b"[" * 20_000_000,
    "a field that is passed over": b'{"more":[' + b"0," * 10_000_000,
    "nonsense": b'{"objects":[' + b"x" * 20_000_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOMBS)
def test_a_gzip_bomb_takes_no_memory(kind: str, tmp_path: Path) -> None:
    """What unpacks to a thousand times its size is refused within some megabytes of memory."""
    bomb = gzip.compress(BOMBS[kind], 9)
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        assert listed(bomb, tmp_path) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 16 * MAX_VALUE_CHARS


SECRET = "zqK004AppKey-0123456789"
HELD = {
    "B2_KEY_ID": "004zqKeyId",
    "B2_APP_KEY": SECRET,
    "B2_ENDPOINT": "https://s3.us-west-004.backblazeb2.com",
    "B2_BUCKET": "photos",
    "CLOUDFLARE_API_TOKEN": f"{SECRET}-token",
    "CLOUDFLARE_ACCOUNT_ID": "0123456789abcdef0123456789abcdef",
    "D1_DATABASE_ID": "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39",
    "SNAPSHOT_URI": "s3://kept/list.json.gz",
    "MAX_NEW_PER_RUN": "5",
    "B2_PREFIX": "photos/",
}


def complaint(error: B2D1Error) -> str:
    """Return an error's words, which must be fit to be shown, and show no secret."""
    said = f"{error}\n{error.hint}"
    assert (error.exit_code, fault_of_words(said), SECRET[:12] in said) == (2, None, False)
    return said


def as_secret(text: str | bytes) -> dict[str, str] | None:
    """Read what Secrets Manager would give; None when it is refused, in words that can be shown."""
    held, fault = _understood(text)
    if fault:
        complaint(SettingsError([fault]))
        return None
    return held


def settings_of(env: dict[str, str]) -> Settings | None:
    """Read settings; None when they are refused, in words that can be shown."""
    try:
        return Settings.from_env(env)
    except SettingsError as error:
        complaint(error)
        return None


@given(document=damaged(json.dumps(HELD).encode(), xml=False), binary=st.booleans())
def test_a_damaged_secret_is_what_any_reader_of_json_finds_or_refused(document: bytes, binary: bool) -> None:
    """A secret that was stored wrongly gives the settings that are in it, or an error that repeats none."""
    given_as = document if binary else document.decode(errors="replace")
    held = as_secret(given_as)

    assert held is None or held == json.loads(given_as)
    if held is not None:
        settings_of(held)


@given(secret=bent(HELD))
def test_a_bent_secret_is_understood_or_refused(secret: Any) -> None:
    """Values of any kind under any name: settings, or an error that repeats none of them."""
    held = as_secret(json.dumps(secret))

    assert held is None or held == secret
    if held is not None:
        settings_of(held)


ODD_TEXTS = st.sampled_from(
    [
        "\0",
        " ",
        "x" * 70_000,
        "\ud800",
        "9" * 5000,
        "٣",
        "http://[",
        "https://a:99999",
        "s3://",
        "s3:///a",
        "../",
    ]
)


@given(env=st.dictionaries(st.sampled_from(NAMES), ODD_TEXTS | st.text(), min_size=1))
def test_any_settings_are_accepted_or_refused_by_name(env: dict[str, str]) -> None:
    """Whatever a setting holds, it is taken, or its name stands in the error and its value does not."""
    found = settings_of(HELD | env)

    assert found is None or repr(found).count("Secret(***)") == 3


EVENT = {"dry_run": True, "prefix": "photos/", "verbose": False, "adopt": True}
SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


@given(event=bent(EVENT) | bent(SCHEDULED) | odd())
def test_a_bent_event_asks_for_what_it_says_or_is_refused(event: Any) -> None:
    """An event with values of any kind under any name: exactly what it says, or a UsageError."""
    try:
        asked = read_event(event)
    except UsageError as error:
        complaint(error)
        return
    meant = {} if "source" in event else event
    assert asked == Asked(**meant)
    assert [type(value) for value in (asked.dry_run, asked.verbose, asked.adopt)] == [bool] * 3


def test_a_secret_under_a_setting_that_is_none_is_not_repeated() -> None:
    """Where somebody put a key in the place of a name, the error does not tell it."""
    _, fault = _understood(
        json.dumps({SECRET: 1, "B2_BUCKET": 2, base64.b64encode(b"x" * 30).decode(): None})
    )

    assert fault == "holds what is not a text, under B2_BUCKET, a name that is no setting's"


def test_a_secret_with_a_name_twice_is_refused() -> None:
    """Of two values under one name nobody knows which one was meant."""
    assert _understood('{"B2_BUCKET":"a","B2_BUCKET":"b"}') == ({}, "has a name twice")
