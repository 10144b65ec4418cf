"""A plan as SQL: what a person reads, and what a database makes of it."""

import re
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2d1.media import MediaObject, media_uid
from b2d1.sync import plan_sql
from b2d1.sync.plan import Plan
from b2d1.table.media_assets import INSERT
from b2d1.table.schema import CREATE_TABLE
from sandbox.engine import LIMITS
from sandbox.statements import split

WORDS = """
    ' '' " ` \\ ; -- /* */ $$ ?1 :a @a COMMIT; END NULL null % _ || SAVEPOINT Savepoint
    🎞 é e\u0301 写真 \ufeff \uffff
"""
AWKWARD = [*WORDS.split(), *"\r\n\t\x7f\u2028\u0085 ", "\r\n", "BEGIN TRANSACTION", "begin transaction;"]
characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
texts = st.lists(st.sampled_from(AWKWARD) | st.text(characters, max_size=8), min_size=1, max_size=8).map(
    "".join
)
objects = st.builds(MediaObject, texts, st.integers(0, 2**63 - 1), st.just(""), st.none() | texts, texts)


def planned(folder: str | Path, objects: Iterable[MediaObject], most: int | None = None) -> Plan:
    plan = Plan(Path(folder), most)
    for media in objects:
        plan.add(media_uid(media.file_id, media.key), media)
    plan.seal()
    return plan


def rows_after(*statements: tuple[str, tuple[str, ...]]) -> list[Any]:
    """Run statements on an empty table, under D1's limits; return its rows."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for limit, value in LIMITS.items():
            connection.setlimit(limit, value)
        connection.execute(CREATE_TABLE)
        for sql, parameters in statements:
            connection.execute(sql, parameters)
        columns = "media_uid, b2_key, b2_file_id, size, etag"
        return connection.execute(f"SELECT {columns} FROM media_assets ORDER BY id").fetchall()


@given(new=st.lists(objects, max_size=12))
def test_the_sql_makes_the_rows_that_the_insert_makes(new: list[MediaObject]) -> None:
    """Whatever stands in a key, the printed statements lead to the very rows that the bound JSON leads to."""
    with tempfile.TemporaryDirectory() as folder:
        plan = planned(folder, new)
        printed = list(plan_sql.statements(plan))
        bound = [(INSERT, (chunk,)) for chunk in plan.chunks()]
    assert rows_after(*((sql, ()) for sql in printed)) == rows_after(*bound)
    assert split("\n".join(printed)) == printed


@given(new=st.lists(objects, min_size=1, max_size=12))
@settings(max_examples=settings().max_examples // 4)
def test_the_sql_passes_through_wrangler_unchanged(new: list[MediaObject]) -> None:
    """Only what is printable, nothing that reads as a transaction, one row a line."""
    with tempfile.TemporaryDirectory() as folder:
        text = "\n".join(plan_sql.statements(planned(folder, new)))
    assert text.replace("\n", "").isprintable()
    assert not re.search("BEGIN TRANSACTION|SAVEPOINT", text, re.IGNORECASE)
    head = "INSERT INTO media_assets (media_uid, b2_key, b2_file_id, size, etag) VALUES"
    lines = text.split("\n")
    assert lines[0] == head
    assert lines[-1] == "ON CONFLICT(media_uid) DO NOTHING;"
    assert all(line.startswith("  ('b2_") for line in lines[1:-1])
    assert len(lines) == len(new) + 2


GOLDEN = """\
INSERT INTO media_assets (media_uid, b2_key, b2_file_id, size, etag) VALUES
  ('b2_1', 'photos/Lou''s 写真 🎞.jpg', '"e1"', 48213, '"e1"'),
  ('b2_2', json_extract('"写\\r\\nb SAVE\\u0050OINT BEGIN\\u0020TRANSACTION\\\\\\""', '$'), '4_z1', 7, NULL),
  ('b2_3', '', 'x', 9223372036854775807, '')
ON CONFLICT(media_uid) DO NOTHING;"""


def test_it_reads_well(tmp_path: Path) -> None:
    """A row a line, every column, nothing escaped that needs no escape."""
    plan = Plan(tmp_path)
    plan.add("b2_1", MediaObject("photos/Lou's 写真 🎞.jpg", 48213, "", '"e1"', '"e1"'))
    plan.add("b2_2", MediaObject('写\r\nb SAVEPOINT BEGIN TRANSACTION\\"', 7, "", None, "4_z1"))
    plan.add("b2_3", MediaObject("", 2**63 - 1, "", "", "x"))
    plan.seal()
    assert list(plan_sql.statements(plan)) == [GOLDEN]


@pytest.mark.parametrize("part", ["SAVEPOINT", "\n", "'", '\\"', "🎞\r", "x"], ids=ascii)
def test_every_statement_is_within_d1s_limits(tmp_path: Path, part: str) -> None:
    """However awkward the keys, a statement has 100,000 bytes at most, and nothing too deep for D1."""
    key = part * (1024 // len(part.encode()))
    new = [MediaObject(f"{key[:1020]}{number}", number, "", key, key) for number in range(250)]
    statements = list(plan_sql.statements(planned(tmp_path, new)))
    assert max(len(sql.encode()) for sql in statements) <= 100_000
    assert max(sql.count("\n  (") for sql in statements) <= 100
    assert [row[1] for row in rows_after(*((sql, ()) for sql in statements))] == [media.key for media in new]


def test_a_statement_has_a_hundred_rows_at_most(tmp_path: Path) -> None:
    """Short rows are cut at a hundred, which D1 takes without running out of memory."""
    new = [MediaObject(f"k{number}", 1, "", None, "f") for number in range(250)]
    statements = plan_sql.statements(planned(tmp_path, new))
    assert [sql.count("\n  (") for sql in statements] == [100, 100, 50]


@pytest.mark.parametrize(
    "code",
    [
        *(*range(1, 32), *range(127, 161), 0xAD, 0x061C, 0x200B, 0x200D, 0x200E, 0x2028, 0x2029, 0x202E),
        *(0x2066, 0x2069, 0x3000, 0xE000, 0xFEFF, 0xFFFF, 0x1FFFE, 0xE0001, 0xF0000, 0x10FFFF),
    ],
    ids=hex,
)
def test_only_printable_characters_are_printed(tmp_path: Path, code: int) -> None:
    """Each character that a terminal or wrangler could change is escaped, and comes out as it was."""
    (sql,) = plan_sql.statements(planned(tmp_path, [MediaObject(f"a{chr(code)}b", 1, "", None, "f")]))
    assert sql.replace("\n", "").isprintable()
    assert rows_after((sql, ()))[0][1] == f"a{chr(code)}b"


def test_only_what_is_due_is_printed(tmp_path: Path) -> None:
    """Rows beyond MAX_NEW_PER_RUN are not in the SQL, as they are not in the run."""
    new = [MediaObject(f"k{number}", 1, "", None, "f") for number in range(5)]
    (sql,) = plan_sql.statements(planned(tmp_path, new, most=2))
    assert [row[1] for row in rows_after((sql, ()))] == ["k0", "k1"]


@pytest.mark.parametrize("new", [pytest.param(0, id="nothing new"), pytest.param(2, id="all deferred")])
def test_a_plan_without_a_row_prints_a_statement_without_effect(tmp_path: Path, new: int) -> None:
    """Wrangler fails on a file without a statement."""
    objects = [MediaObject(f"k{number}", 1, "", None, "f") for number in range(new)]
    (sql,) = plan_sql.statements(planned(tmp_path, objects, most=0))
    assert sql.splitlines() == ["-- Nothing to insert.", "SELECT 1;"]
    assert rows_after((sql, ())) == []


def test_an_unsealed_plan_is_not_printed(tmp_path: Path) -> None:
    """A plan whose listing is not proven whole cannot be printed either."""
    with pytest.raises(AssertionError):
        list(plan_sql.statements(Plan(tmp_path)))
