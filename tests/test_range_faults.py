"""What a host may get wrong between ranges: the proof catches it, or what is listed is right all the same."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from key_host import (
    PATIENCE,
    Conduct,
    Honest,
    KeyHost,
    Meeting,
    comes_after,
    ended,
    numbered,
    objects,
    refusal,
    without,
)
from listings import Buckets, Listed, listed, threads_left
from pages import Answer, Asked

from b2d1.b2.page_xml import UNSOUND_HINT
from b2d1.errors import B2Error
from b2d1.listing.ranges import UPLOADED
from b2d1.media import ListMode

MODES: list[ListMode] = ["objects", "versions"]
ROWS = numbered(60)
KEYS = [row.key for row in ROWS]
# The one where the second of two ranges begins.
MIDDLE = "k00030"


@pytest.fixture(scope="module")
def make() -> Iterator[Buckets]:
    with ExitStack() as servers:
        yield Buckets(servers)


@pytest.fixture(autouse=True)
def every_point_divides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a range of every point, and ask for no others."""
    monkeypatch.setattr("b2d1.listing.listing.KEYS_A_WORKER", 0)
    monkeypatch.setattr("b2d1.listing.ranges.WORTH_HALVING", 0.001)


def in_ranges(
    make: Buckets, host: KeyHost, mode: ListMode, conduct: Conduct, *points: str, prefix: str = ""
) -> Listed:
    """List in as many ranges as the points make; no page comes before each range has asked for one."""
    meeting = Meeting(len(points) + 1)

    def side_by_side(asked: Asked, answer: Honest) -> Answer:
        if len(host.asked) > 3:
            meeting()
        return conduct(asked, answer)

    host.conduct = side_by_side
    bucket = make(host, mode, workers=len(points) + 1, prefix=prefix)
    return listed(bucket, lambda: list(points))


def ignoring_where(asked: Asked, answer: Honest) -> Answer:
    return answer(without(asked, "start-after", "key-marker") if comes_after(asked) == MIDDLE else asked)


def asked_after(asked: Asked, key: str) -> Asked:
    return without(asked, "continuation-token", "version-id-marker", start_after=key, key_marker=key)


# A page of five begins with the last key of the one before: behind k00030 one is requested after k00042.
def repeating(asked: Asked, answer: Honest) -> Answer:
    return answer(asked_after(asked, "k00035") if comes_after(asked) == "k00042" else asked)


def skipping(asked: Asked, answer: Honest) -> Answer:
    return answer(asked_after(asked, "k00043") if comes_after(asked) == "k00042" else asked)


def skipping_the_first(asked: Asked, answer: Honest) -> Answer:
    return answer(asked_after(asked, "k00031") if comes_after(asked) == MIDDLE else asked)


def out_of_order(asked: Asked, answer: Honest) -> Answer:
    body = answer(asked).body
    if comes_after(asked) == "k00042":
        body = body.replace(b"<Key>k00043", b"<Key>k00045x")
    return Answer(body)


def ending_within(*keys: str) -> Conduct:
    """Lose what follows the pages that begin after these."""
    return lambda asked, answer: ended(answer(asked)) if comes_after(asked) in keys else answer(asked)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("conduct", "points", "fault", "hint"),
    [
        pytest.param(
            ignoring_where,
            [MIDDLE],
            "asked for keys after 'k00030', the host lists 'k00000'",
            UNSOUND_HINT,
            id="where to begin is ignored",
        ),
        pytest.param(
            repeating,
            [MIDDLE],
            "asked for keys after 'k00042', the host lists 'k00036'",
            UNSOUND_HINT,
            id="a page comes twice",
        ),
        pytest.param(
            skipping,
            [MIDDLE],
            "asked for keys after 'k00042', the host left out 'k00043'",
            UNSOUND_HINT,
            id="a key is skipped where a page begins",
        ),
        pytest.param(
            skipping_the_first,
            [MIDDLE],
            "asked for keys after 'k00030', the host left out 'k00031'",
            UPLOADED,
            id="a key is skipped where a range begins",
        ),
        pytest.param(
            out_of_order,
            [MIDDLE],
            "keys are out of order: 'k00045x' comes before 'k00044'",
            UNSOUND_HINT,
            id="out of order",
        ),
        pytest.param(
            ending_within("k00019"),
            [MIDDLE],
            "the keys after '' are said to end at 'k00024', yet there are keys after 'k00030'",
            UPLOADED,
            id="the first range ends early",
        ),
        pytest.param(
            ending_within("k00026"),
            ["k00022", "k00042"],
            "the keys after 'k00022' are said to end at 'k00031', yet there are keys after 'k00042'",
            UPLOADED,
            id="one in the middle ends early",
        ),
        pytest.param(
            ending_within("k00019"),
            [MIDDLE, "k00030x"],
            "the keys after '' are said to end at 'k00024', yet there are keys after 'k00030x'",
            UPLOADED,
            id="with an empty range behind it",
        ),
        pytest.param(
            ending_within("k00027"),
            ["k00032"],
            "the keys after '' are said to end at 'k00032', yet there are keys after 'k00032'",
            UPLOADED,
            id="a range ends early, at its very bound",
        ),
    ],
)
def test_a_host_at_fault_is_found_out(
    make: Buckets, *, mode: ListMode, conduct: Conduct, points: list[str], fault: str, hint: str
) -> None:
    """Whatever comes twice, in no order, from elsewhere or not at all ends the listing with its reason."""
    with pytest.raises(B2Error) as caught:
        in_ranges(make, KeyHost(ROWS, mode, size=5), mode, conduct, *points)

    assert (caught.value.message, caught.value.hint) == (fault, hint)
    assert caught.value.doing == "listing bucket photos"
    assert threads_left() == []


def test_an_order_that_changes_between_ranges_is_refused(make: Buckets) -> None:
    """Ranges of which one is in the order of bytes and another in that of UTF-16 are no listing."""
    rows = objects(
        [f"{letter}{border}{n}" for letter in "ab" for border in ("\ue000", "\U0001f600") for n in range(9)]
    )
    bytewise, utf16 = KeyHost(rows, size=3), KeyHost(rows, size=3, utf16=True)

    def either(asked: Asked, _: Honest) -> Answer:
        return (bytewise if comes_after(asked) < "b" else utf16)(asked)

    with pytest.raises(B2Error) as caught:
        in_ranges(make, KeyHost(rows), "objects", either, "b")

    assert (
        str(caught.value) == "listing bucket photos: keys keep no order: some ranges have another than others"
    )


def test_a_range_that_leaves_the_prefix_is_refused(make: Buckets) -> None:
    """A host that forgets the prefix when it is asked to begin elsewhere is found out in any range."""
    host = KeyHost([*numbered(40, "p/{:03}"), *objects(["q"])], size=5)

    def forgetting(asked: Asked, answer: Honest) -> Answer:
        return answer(without(asked, "prefix") if host.begins_range(asked) else asked)

    with pytest.raises(B2Error) as caught:
        in_ranges(make, host, "objects", forgetting, "p/037", prefix="p/")

    assert str(caught.value) == "listing bucket photos: the listing leaves the prefix"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("gone", "come", "expected"),
    [
        pytest.param("k00003", None, KEYS, id="vanishes after it was listed"),
        pytest.param("k00045", None, sorted({*KEYS} - {"k00045"}), id="vanishes before it is listed"),
        pytest.param("k00012", None, KEYS, id="vanishes where a page is to go on"),
        pytest.param(MIDDLE, None, sorted({*KEYS} - {MIDDLE}), id="vanishes where a range begins"),
        pytest.param(None, "k00003x", KEYS, id="appears where all is listed"),
        pytest.param(None, "k00020x", sorted([*KEYS, "k00020x"]), id="appears in the first range"),
        pytest.param(None, f"{MIDDLE}\x01", sorted([*KEYS, f"{MIDDLE}\x01"]), id="appears where one begins"),
        pytest.param(None, "k00059x", [*KEYS, "k00059x"], id="appears at the end"),
    ],
)
def test_what_appears_or_vanishes_amid_a_listing_disturbs_nothing(
    make: Buckets, *, mode: ListMode, gone: str | None, come: str | None, expected: list[str]
) -> None:
    """An object is listed if it is there when its page is, and everything else is listed once."""
    now = [row for row in ROWS if row.key != gone] + objects([come] if come else [])
    before, after = KeyHost(ROWS, mode, size=5), KeyHost(now, mode, size=5)

    def changing(asked: Asked, answer: Honest) -> Answer:
        return after._answer(asked) if len(before.asked) > 3 else answer(asked)

    assert in_ranges(make, before, mode, changing, MIDDLE).keys == expected


def test_what_appears_behind_the_end_is_not_passed_over(make: Buckets) -> None:
    """Where one range saw the bucket's end and a later one finds an object behind it, neither is believed."""
    end_was_seen = threading.Event()
    now = KeyHost([*ROWS, *objects(["z1"])], size=5)

    def appearing(asked: Asked, answer: Honest) -> Answer:
        if comes_after(asked) != "z":
            page = answer(asked)
            if b"k00059" in page.body:
                end_was_seen.set()
            return page
        assert end_was_seen.wait(PATIENCE)
        return now._answer(asked)

    with pytest.raises(B2Error) as caught:
        in_ranges(make, KeyHost(ROWS, size=5), "objects", appearing, MIDDLE, "z")

    fault = "the keys after 'k00030' are said to end at 'k00059', yet there are keys after 'z'"
    assert str(caught.value) == f"listing bucket photos: {fault}"
    assert caught.value.hint == UPLOADED


@pytest.mark.parametrize("mode", MODES)
def test_the_failure_of_the_last_range_is_the_failure_of_all(make: Buckets, mode: ListMode) -> None:
    """A range that fails when the others are done is the error reported, not a shorter listing."""
    first_is_done = threading.Event()

    def failing(asked: Asked, answer: Honest) -> Answer:
        if comes_after(asked) == "k00054":
            assert first_is_done.wait(PATIENCE)
            return refusal(403, "AccessDenied")
        page = answer(asked)
        if comes_after(asked) == "k00027":
            first_is_done.set()
        return page

    with pytest.raises(B2Error) as caught:
        in_ranges(make, KeyHost(ROWS, mode, size=5), mode, failing, MIDDLE)

    assert str(caught.value) == "listing bucket photos: B2 answered 403 AccessDenied: said so"
    assert threads_left() == []


STRANGERS = [f"{letter}{number:03}" for letter in "AKkkxz" for number in range(150)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "known",
    [
        pytest.param(STRANGERS, id="another bucket's"),
        pytest.param([key for key in STRANGERS if key < "k"], id="another bucket's, all before this one's"),
        pytest.param([key for key in STRANGERS if key > "l"], id="another bucket's, all after this one's"),
        pytest.param(["k01500"], id="thousands of times fewer"),
        pytest.param(["\0", "\ud800", "", "k00100\udfff", "k" * 5000], id="no keys at all"),
    ],
)
def test_keys_that_are_believed_in_vain_cost_few_requests(
    make: Buckets, mode: ListMode, known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index of another bucket, or of a far smaller one, leads to the whole listing all the same."""
    monkeypatch.undo()
    rows = numbered(1000)
    host = KeyHost(rows, mode, size=5)

    found = listed(make(host, mode, workers=4), lambda: known)

    assert found.keys == [row.key for row in rows]
    assert len(host.asked) <= 250 + 60
