"""Whatever an inventory says, no content gets a second row, and nothing legitimate is refused."""

import io
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import AnyD1, FakeTime, Stack
from hypothesis import given, settings
from hypothesis import strategies as st
from objects import NoBucket, execute, fill, run

from b2d1.errors import GuardRefusal
from b2d1.inventory.reader import InventoryFile, InventoryListing
from b2d1.media import media_uid

# The long form: B2D1_EXAMPLES=2000 python -m pytest tests/test_identity.py
EMBEDDED, ENGINE = (int(os.environ.get("B2D1_EXAMPLES", count)) for count in ("150", "50"))
KEYS = ["a", "b/c", "d'\n", "é\U0001f600", "a "]
MODE_OF_FORM = {"quoted": "objects", "version": "versions"}


class Upload(NamedTuple):
    """A content that was uploaded under a key, and how somebody wrote it down."""

    key: str
    content: int
    number: int  # of the upload: B2 gives each a file id of its own
    form: str
    etag_form: str  # "quoted", "bare", "null" or "absent"

    @property
    def file_id(self) -> str | None:
        forms = {
            "quoted": f'"{self.content:032x}"',
            "bare": f"{self.content:032x}",
            "hash": f"{self.content:040x}",
            "version": f"4_z{self.content}_{self.number}",
            "none": None,
        }
        return forms[self.form]

    @property
    def etag(self) -> str | None:
        return {"quoted": f'"{self.content:032x}"', "bare": f"{self.content:032x}"}.get(self.etag_form)

    @property
    def uid(self) -> str:
        return media_uid(self.file_id or f'"{self.content:032x}"', self.key)

    def is_same_content(self, other: "Upload") -> bool:
        """Return True if the two are one content under one key; B2 file ids tell two uploads apart."""
        both_versions = self.form == other.form == "version"
        return (self.key, self.content) == (other.key, other.content) and not both_versions

    def as_entry(self) -> dict[str, object]:
        entry: dict[str, object] = {"key": self.key, "size": 1, "file_id": self.file_id}
        return entry if self.etag_form == "absent" else entry | {"etag": self.etag}


ETAGS = st.sampled_from(["quoted", "bare", "null", "absent"])


@st.composite
def uploads(draw: st.DrawFn, forms: list[str], number: int) -> Upload:
    form = draw(st.sampled_from(forms))
    # A row without a file id has an etag, and one with a quoted ETag as its file id has no other.
    etag = draw(st.sampled_from(["quoted", "bare"]) if form == "none" else ETAGS)
    return Upload(draw(st.sampled_from(KEYS)), draw(st.integers(1, 3)), number, form, etag)


class World(NamedTuple):
    """What the table has, and an inventory."""

    stored: list[Upload]
    listed: list[Upload]
    mode: str


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Make a table that was filled in one form or in several, and an inventory in one form or in several."""
    all_forms = [["quoted"], ["version"], ["bare"], ["quoted", "bare", "version", "none"], ["quoted", "hash"]]
    forms = draw(st.sampled_from(all_forms))
    stored = [draw(uploads(forms, number)) for number in range(draw(st.integers(0, 6)))]
    forms = draw(st.sampled_from([*all_forms[:3], ["quoted", "bare", "version", "hash"]]))
    listed = [draw(uploads([form for form in forms if form != "none"], 100 + n)) for n in range(5)]
    return World(
        list({upload.uid: upload for upload in stored}.values()),
        list({upload.key: upload for upload in listed}.values()),
        draw(st.sampled_from(["objects", "versions"])),
    )


def is_legitimate(world: World) -> bool:
    """Return True if a listing of the bucket could say the same, and the table agrees with it."""
    forms = {upload.form for upload in world.listed}
    if not all(MODE_OF_FORM.get(form) == world.mode for form in forms):
        return False
    shares_a_key = {upload.key for upload in world.stored} & {upload.key for upload in world.listed}
    return all(upload.form in forms for upload in world.stored) and (not world.stored or bool(shares_a_key))


@pytest.fixture(scope="module")
def stack(module_d1: AnyD1) -> Stack:
    stack = Stack(NoBucket(), module_d1, FakeTime())  # type: ignore[arg-type]
    stack.migrate()
    return stack


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("inventories")


def ingest(stack: Stack, folder: Path, world: World) -> None:
    document = {"list_mode": world.mode, "objects": [upload.as_entry() for upload in world.listed]}
    file = InventoryFile(io.BytesIO(json.dumps(document).encode()), "from a test")
    with closing(InventoryListing(file, folder)) as source:
        run(stack, source)


def check(stack: Stack, folder: Path, world: World) -> None:
    execute(stack.d1, "DELETE FROM media_assets")
    if world.stored:
        fill(stack.d1, [(each.uid, each.key, each.file_id, 1, each.etag) for each in world.stored])
    try:
        ingest(stack, folder, world)
    except GuardRefusal:
        assert not is_legitimate(world)
        assert {uid for (uid,) in stack.rows("media_uid")} == {each.uid for each in world.stored}
        return
    rows = {uid for (uid,) in stack.rows("media_uid")}
    assert rows == {each.uid for each in [*world.stored, *world.listed]}
    new = [each for each in world.listed if each.uid not in {stored.uid for stored in world.stored}]
    for one, other in itertools.product(new, world.stored):
        assert not one.is_same_content(other)


@pytest.mark.parametrize("module_d1", ["embedded"], indirect=True)
@settings(max_examples=EMBEDDED, deadline=None)
@given(world=worlds())
def test_no_content_gets_a_second_row(stack: Stack, folder: Path, world: World) -> None:
    check(stack, folder, world)


@pytest.mark.parametrize("module_d1", ["engine"], indirect=True)
@settings(max_examples=ENGINE, deadline=None)
@given(world=worlds())
def test_no_content_gets_a_second_row_on_cloudflares_engine(stack: Stack, folder: Path, world: World) -> None:
    check(stack, folder, world)
