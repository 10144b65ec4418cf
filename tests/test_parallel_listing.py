"""A bucket listed in ranges side by side gives what it gives listed straight, wherever it is divided."""

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from key_host import Honest, KeyHost, Meeting, objects
from listings import EAGER, Buckets, listed
from page_strategies import AWKWARD, NO_ETAGS, keys
from pages import Answer, Asked, Row, etag_of

from b2d1.media import ListMode

MODES: list[ListMode] = ["objects", "versions"]
# Characters at which the orders of bytes and of UTF-16 part.
BORDERS = ["\ud7ff", "\ue000", "\uffee", "\uffff", "\U00010000", "\U0001f600", "\U0010ffff"]
LETTERS = ["a", "b", "/", *AWKWARD, "\x01", "\n", *BORDERS]
# What an index may hold that no bucket does: NUL, halves of surrogate pairs, "", keys that are too long.
STRANGE = ["", "\0", "a\0", "\ud800", "a\udfff", "a" * 1100, "\U0001f600" * 300, "b/" + "é" * 600]
any_text = st.text() | st.text(st.characters(categories=["Cs", "Cc"]), max_size=3) | st.sampled_from(STRANGE)


@dataclasses.dataclass
class Case:
    """A bucket, a prefix that most of its keys have, and what is believed to be in it."""

    rows: list[Row]
    known: list[str]
    prefix: str = ""


def rows_of(key: str, chance: Random) -> list[Row]:
    """Make an object: with older versions, hidden, or without an identity, sometimes."""
    kind = chance.randrange(10)
    if kind == 9:
        return [Row(key, etag=chance.choice(NO_ETAGS), version_id="null")]
    hidden = [kind == 8, *chance.choices([True, False], k=chance.randrange(4) if kind > 5 else 0)]
    return [
        Row(key, etag_of(f"{key}{n}"), n, version_id=f"4_z{n}", latest=n == 0, hidden=hides)
        for n, hides in enumerate(hidden)
    ]


@st.composite
def cases(draw: Any) -> Case:
    """Make any bucket, of keys that begin alike, and any points in it."""
    parts = draw(st.lists(st.sampled_from(LETTERS) | st.characters(codec="utf-8"), min_size=2, max_size=6))
    parts = [part.replace("\0", "0") for part in parts]
    chance = Random(draw(st.integers(0, 2**32)))
    prefix = draw(st.just("") | st.just(parts[0]) | st.just("".join(parts)))
    found = {
        prefix + "".join(chance.choices(parts, k=chance.randint(0, 5))) for _ in range(chance.randint(1, 70))
    }
    found |= {"".join(chance.choices(parts, k=2)) for _ in range(5)} | draw(st.sets(keys(), max_size=3))
    found.discard("")
    ordered = sorted(found)
    known = ordered[:: draw(st.integers(1, 10))] + draw(st.lists(any_text, max_size=5))
    known += [prefix + "".join(chance.choices(parts, k=3)) for _ in range(chance.randrange(9))]
    chance.shuffle(known)
    return Case([row for key in ordered for row in rows_of(key, chance)], known, prefix)


@pytest.fixture(scope="module")
def make() -> Iterator[Buckets]:
    with ExitStack() as servers:
        yield Buckets(servers)


ASTRAL = objects(["a", *BORDERS, *(f"b{border}{n}" for border in BORDERS for n in range(3)), "c"])
KEYS = [row.key for row in ASTRAL]


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=settings().max_examples // 4)
@given(case=cases(), size=st.integers(2, 5), workers=st.sampled_from([2, 3, 4, 8]), utf16=st.booleans())
@example(case=Case(ASTRAL, KEYS), size=2, workers=4, utf16=False)
@example(case=Case(ASTRAL, KEYS, "b"), size=2, workers=4, utf16=True)
@example(case=Case(ASTRAL, KEYS, "b\U0001f600"), size=2, workers=4, utf16=True)
@example(case=Case(ASTRAL, STRANGE), size=2, workers=4, utf16=False)
def test_any_division_gives_what_a_straight_listing_gives(
    make: Buckets, *, mode: ListMode, case: Case, size: int, workers: int, utf16: bool
) -> None:
    """Any keys, points, size of page and number of workers: the same objects, counts, order and digest."""
    host = KeyHost(case.rows, mode, size=size, utf16=utf16)
    straight = listed(make(host, mode, workers=1, prefix=case.prefix))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in EAGER.items():
            patch.setattr(f"b2d1.{name}", value)
        divided = listed(make(host, mode, workers=workers, prefix=case.prefix), lambda: case.known)

    assert divided == straight


@pytest.mark.slow
@pytest.mark.parametrize("utf16", [False, True], ids=["bytes", "UTF-16"])
@pytest.mark.parametrize("mode", MODES)
def test_a_large_bucket_is_divided_of_itself(make: Buckets, mode: ListMode, *, utf16: bool) -> None:
    """With nothing changed, more than three pages and a thousand known keys make several ranges."""
    chance = Random(5)
    names = [f"{folder}{border}{n:03}" for folder in "abc" for border in BORDERS for n in range(40)]
    size = {"objects": 4, "versions": 9}[mode]
    host = KeyHost([row for key in names for row in rows_of(key, chance)], mode, size=size, utf16=utf16)
    meeting = Meeting(4)

    def together(asked: Asked, answer: Honest) -> Answer:
        if len(host.asked) > 3:
            meeting()
        return answer(asked)

    straight = listed(make(host, mode, workers=1))
    host.asked.clear()
    host.conduct = together
    divided = listed(make(host, mode, workers=4), lambda: names)

    assert divided == straight
    assert straight.key_order == ("utf-16" if utf16 else "utf-8")
    assert divided.parts >= 4
    assert host.most == 4
