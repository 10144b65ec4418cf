"""The new rows on disk: how they are cut into chunks, and when they may be read."""

import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2d1.media import MediaObject
from b2d1.sync.plan import CHUNK_BYTES, CHUNK_ROWS, Plan

READ_BACK = """
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]') FROM json_each(?1)
"""
# What a listing or an inventory lets through: any text without NUL or halves of surrogate pairs.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
rows = st.tuples(texts, texts, texts, st.integers(0, 2**63 - 1), st.none() | texts)


def media(key: str, file_id: str = '"e"', size: int = 1, etag: str | None = '"e"') -> MediaObject:
    return MediaObject(key, size, "2024-03-09T14:00:00.000Z", etag, file_id)


def plan_of(folder: Path, keys: list[str], most: int | None = None) -> Plan:
    """Make a sealed plan of objects with these keys; their uids are their numbers."""
    plan = Plan(folder, most)
    for number, key in enumerate(keys):
        plan.add(f"b2_{number:040}", media(key))
    plan.seal()
    return plan


def uids(chunk: str) -> list[int]:
    return [int(row[0].removeprefix("b2_")) for row in json.loads(chunk)]


def test_a_chunk_is_a_row_a_line(tmp_path: Path) -> None:
    """A chunk is a JSON array of arrays, as short as JSON can be, and beyond ASCII nothing is escaped."""
    plan = Plan(tmp_path)
    plan.add("b2_1", media("photos/写真 🎞.jpg"))
    plan.add("b2_2", media('a"\\\n', "4_z", 2**63 - 1, None))
    plan.seal()
    (chunk,) = plan.chunks()
    assert chunk == (
        r"""[["b2_1","photos/写真 🎞.jpg","\"e\"",1,"\"e\""],"""
        "\n"
        r"""["b2_2","a\"\\\n","4_z",9223372036854775807,null]]"""
    )


def test_a_chunk_has_five_thousand_rows_at_most(tmp_path: Path) -> None:
    """The row that would be one too many begins the next chunk."""
    plan = plan_of(tmp_path, ["k"] * (2 * CHUNK_ROWS + 1))
    assert [len(json.loads(chunk)) for chunk in plan.chunks()] == [CHUNK_ROWS, CHUNK_ROWS, 1]
    assert [number for chunk in plan.chunks() for number in uids(chunk)] == list(range(2 * CHUNK_ROWS + 1))
    assert CHUNK_ROWS == 5_000


@pytest.mark.parametrize("character", ["x", "写", '"', "🎞", "\x01"], ids=ascii)
def test_a_chunk_has_nine_hundred_kilobytes_at_most(tmp_path: Path, character: str) -> None:
    """Its length is counted in bytes of UTF-8, as it is sent, and used to the last row that fits."""
    key = character * (1024 // len(character.encode()))
    plan = plan_of(tmp_path, [key] * 2000)
    sizes = [len(chunk.encode()) for chunk in plan.chunks()]
    one = len(next(iter(plan_of(tmp_path, [key]).chunks())).encode())
    assert CHUNK_BYTES == 900_000
    assert max(sizes) <= CHUNK_BYTES
    assert min(sizes[:-1]) > CHUNK_BYTES - one
    assert sum(len(json.loads(chunk)) for chunk in plan_of(tmp_path, [key] * 2000).chunks()) == 2000


def test_a_chunk_that_fits_exactly_is_one(tmp_path: Path) -> None:
    """A chunk of exactly 900,000 bytes is still one, and a byte more makes two."""
    keys = ["x" * 1000] * 700
    short = CHUNK_BYTES - len(next(iter(plan_of(tmp_path, keys).chunks())).encode())
    keys = [key + "y" * (short // 700) for key in keys]
    short = CHUNK_BYTES - len(next(iter(plan_of(tmp_path, keys).chunks())).encode())
    exact = [keys[0] + "y" * short, *keys[1:]]
    (chunk,) = plan_of(tmp_path, exact).chunks()
    assert len(chunk.encode()) == CHUNK_BYTES
    assert len(list(plan_of(tmp_path, [*exact[:-1], exact[-1] + "y"]).chunks())) == 2


@given(planned=st.lists(rows, max_size=20))
@settings(max_examples=settings().max_examples // 4)
def test_sqlite_reads_the_rows_that_were_planned(planned: list[tuple[Any, ...]]) -> None:
    """A chunk's text is JSON from which SQLite takes exactly the rows that were added, in their order."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(":memory:")) as connection:
        plan = Plan(Path(folder))
        for uid, key, file_id, size, etag in planned:
            plan.add(uid, media(key, file_id, size, etag))
        plan.seal()
        read = [row for chunk in plan.chunks() for row in connection.execute(READ_BACK, (chunk,))]
    assert read == planned


@pytest.mark.parametrize(
    ("rows", "most", "expected"),
    [
        pytest.param(0, None, (0, 0, 0, 0, []), id="empty"),
        pytest.param(0, 5, (0, 0, 0, 0, []), id="empty, bound"),
        pytest.param(3, None, (3, 3, 0, 1, [[0, 1, 2]]), id="no bound"),
        pytest.param(3, 4, (3, 3, 0, 1, [[0, 1, 2]]), id="below the bound"),
        pytest.param(3, 3, (3, 3, 0, 1, [[0, 1, 2]]), id="at the bound"),
        pytest.param(4, 3, (4, 3, 1, 1, [[0, 1, 2]]), id="one beyond"),
        pytest.param(3, 1, (3, 1, 2, 1, [[0]]), id="all but one beyond"),
    ],
)
def test_what_is_beyond_the_bound_is_deferred(
    tmp_path: Path, rows: int, most: int | None, expected: tuple[Any, ...]
) -> None:
    """Exactly the first rows up to the bound are due, and the others counted."""
    plan = plan_of(tmp_path, ["k"] * rows, most)
    due = [uids(chunk) for chunk in plan.chunks()]
    assert (plan.new, plan.due, plan.deferred, plan.due_chunks, due) == expected
    assert [number for chunk in plan.all_chunks() for number in uids(chunk)] == list(range(rows))


@pytest.mark.parametrize("most", [CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS])
def test_the_bound_is_exact_beside_a_chunks_own(tmp_path: Path, most: int) -> None:
    """Where the bound falls next to the end of a chunk, not one row more or less is due."""
    plan = plan_of(tmp_path, ["k"] * (2 * CHUNK_ROWS + 7), most)
    assert [number for chunk in plan.chunks() for number in uids(chunk)] == list(range(most))
    assert sum(len(uids(chunk)) for chunk in plan.all_chunks()) == 2 * CHUNK_ROWS + 7
    assert (plan.due, plan.deferred) == (most, 2 * CHUNK_ROWS + 7 - most)
    assert plan.due_chunks == len(list(plan.chunks()))


def test_a_plan_is_not_read_before_it_is_sealed(tmp_path: Path) -> None:
    """Rows of a listing that is not proven whole cannot be had, neither the due ones nor all."""
    plan = Plan(tmp_path)
    plan.add("b2_1", media("k"))
    for read in (plan.chunks, plan.all_chunks):
        with pytest.raises(AssertionError, match="only when its listing is proven complete"):
            read()
    plan.seal()
    assert (len(list(plan.chunks())), len(list(plan.all_chunks()))) == (1, 1)


def test_chunks_can_be_read_more_than_once(tmp_path: Path) -> None:
    """The guards read the chunks before the insert does, and each reads them all."""
    plan = plan_of(tmp_path, ["k"] * 3)
    assert list(plan.chunks()) == list(plan.chunks()) == list(plan.all_chunks())


def test_a_chunk_may_be_made_to_hold_fewer_rows(tmp_path: Path) -> None:
    """A chunk never holds more than a round is to take, nor more than a chunk may."""
    for number, (chunk_rows, sizes) in enumerate([(3, [3, 3, 1]), (7, [7]), (1, [1] * 7)]):
        (tmp_path / str(number)).mkdir()
        plan = Plan(tmp_path / str(number), None, chunk_rows)
        for uid in range(7):
            plan.add(f"b2_{uid:040}", media("k"))
        plan.seal()
        assert [len(uids(chunk)) for chunk in plan.chunks()] == sizes
    plan = Plan(tmp_path, None, 100_000)
    for uid in range(CHUNK_ROWS + 1):
        plan.add(f"b2_{uid:040}", media("k"))
    plan.seal()
    assert [plan.rows_in(range(number, number + 1)) for number in range(2)] == [CHUNK_ROWS, 1]


@pytest.mark.parametrize(
    ("file_ids_and_etags", "forms", "plain"),
    [
        pytest.param([], set(), True, id="none"),
        pytest.param([('"e"', '"e"'), ('"f"', "f")], {"quoted"}, True, id="quoted ETags"),
        pytest.param([("e", '"e"')], {"bare"}, False, id="a file id without quotes"),
        pytest.param([('"e"', None)], {"quoted"}, False, id="no etag"),
        pytest.param([('"e"', '"f"')], {"quoted"}, False, id="another etag"),
        pytest.param([("4_z1", '"e"'), ("4_z2", None)], {"version"}, True, id="B2 file ids"),
        pytest.param([("4_z1", '"e"'), ('"e"', '"e"')], {"version", "quoted"}, True, id="a mixture"),
    ],
)
def test_it_knows_the_forms_of_its_identities(
    tmp_path: Path, file_ids_and_etags: list[tuple[str, str | None]], *, forms: set[str], plain: bool
) -> None:
    """One row of another form makes the identity guard look at all of them."""
    plan = Plan(tmp_path)
    for number, (file_id, etag) in enumerate(file_ids_and_etags):
        plan.add(f"b2_{number}", media("k", file_id, etag=etag))
    assert (plan.forms, plan.plain) == (forms, plain)


def test_a_deferred_row_of_another_form_counts_too(tmp_path: Path) -> None:
    """Rows beyond the bound are looked at as well: to look at too many rows is safe, at too few is not."""
    plan = Plan(tmp_path, 1)
    plan.add("b2_1", media("k"))
    plan.add("b2_2", media("k", "bare"))
    assert plan.forms == {"quoted", "bare"}


@given(
    rows=st.integers(1, 60),
    chunk_rows=st.integers(1, 12),
    bound=st.none() | st.integers(1, 60),
    most=st.integers(1, 40),
)
def test_rounds_take_every_due_chunk_once(rows: int, chunk_rows: int, bound: int | None, most: int) -> None:
    """From the first chunk to the last due one, rounds follow each other, each as large as it may be."""
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(Path(folder), bound, chunk_rows)
        for number in range(rows):
            plan.add(f"b2_{number:040}", media("k"))
        plan.seal()
        rounds = []
        done = 0
        while done < plan.due_chunks:
            rounds.append(plan.round(done, most))
            done = rounds[-1].stop
        assert [chunk for chunks in rounds for chunk in chunks] == list(range(plan.due_chunks))
        assert sum(map(plan.rows_in, rounds)) == plan.due == min(rows, bound or rows)
        for chunks in rounds:
            assert len(chunks) == 1 or plan.rows_in(chunks) <= most
            following = range(chunks.start, min(chunks.stop + 1, plan.due_chunks))
            assert following == chunks or plan.rows_in(following) > most


@given(
    rows=st.integers(2, 40),
    chunk_rows=st.integers(2, 12),
    bound=st.none() | st.integers(1, 40),
    data=st.data(),
)
@settings(max_examples=settings().max_examples // 4)
def test_rows_survive_any_halving(rows: int, chunk_rows: int, bound: int | None, data: st.DataObject) -> None:
    """However chunks are halved, due ones or deferred ones, the rows, their order and their counts stay."""
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(Path(folder), bound, chunk_rows)
        for number in range(rows):
            plan.add(f"b2_{number:040}", media('写真\r\n 🎞 \u2028"' + "k" * (number % 7), size=2**63 - 1))
        plan.seal()
        before = [row for chunk in plan.all_chunks() for row in json.loads(chunk)]
        for _ in range(6):
            count = len(list(plan.all_chunks()))
            large = [number for number in range(count) if plan.rows_in(range(number, number + 1)) > 1]
            if not large:
                break
            number = data.draw(st.sampled_from(large))
            size = plan.rows_in(range(number, number + 1))
            plan.halve(number)
            halves = [plan.rows_in(range(each, each + 1)) for each in (number, number + 1)]
            assert halves == [size // 2, size - size // 2]
        assert [row for chunk in plan.all_chunks() for row in json.loads(chunk)] == before
        assert [row for chunk in plan.chunks() for row in json.loads(chunk)] == before[: plan.due]
        counts = [plan.rows_in(range(number, number + 1)) for number in range(plan.due_chunks)]
        assert counts == [len(json.loads(chunk)) for chunk in plan.chunks()]
        assert len(list(Path(folder).iterdir())) == len(list(plan.all_chunks()))


def test_halves_are_written_as_chunks_are(tmp_path: Path) -> None:
    """A half is the text that a chunk of its rows would be, byte for byte."""
    keys = ['写真\r\n 🎞 \u2028 " \\', "b", "c", "d", "e"]
    plan = plan_of(tmp_path, keys)
    (whole,) = plan.chunks()
    plan.halve(0)
    first, second = plan.chunks()
    assert (first[:-1] + ",\n" + second[1:], uids(first), uids(second)) == (whole, [0, 1], [2, 3, 4])
