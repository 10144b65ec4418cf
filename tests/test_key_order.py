"""The two orders that a listing may keep, and what divides a bucket alike in both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_strategies import keys

from b2d1.listing.key_order import KeyOrder, border
from b2d1.media import MAX_KEY_BYTES


@pytest.mark.parametrize(
    ("key", "prefix", "expected"),
    [
        pytest.param("a/b.jpg", "", "a/b.jpg", id="plain"),
        pytest.param("é日本\ud7ff", "", "é日本\ud7ff", id="up to the last that is common ground"),
        pytest.param("a\ue000b", "", "a", id="private use"),
        pytest.param("a\U0001f600b", "", "a", id="astral"),
        pytest.param("\U0001f600", "", "", id="nothing is left"),
        pytest.param("a\ud800", "", "a", id="half of a surrogate pair"),
        pytest.param("a\0b", "", "a", id="NUL"),
        pytest.param("\U0001f600/a\uffeeb", "\U0001f600/", "\U0001f600/a", id="a prefix stays whole"),
        pytest.param("\U0001f600/", "\U0001f600/", "\U0001f600/", id="the prefix itself"),
        pytest.param("a" * 2000, "", "a" * 1024, id="longer than a key may be"),
    ],
)
def test_a_border_is_what_both_orders_agree_on(key: str, prefix: str, expected: str) -> None:
    """What divides a bucket ends before the first character that the two orders place differently."""
    assert border(key, prefix) == expected


@given(st.text(st.characters()), keys(), st.sampled_from(["", "a", "\U0001f600/", "\ue000"]))
def test_a_border_divides_alike_in_either_order(text: str, key: str, prefix: str) -> None:
    """Whether a key comes after a border does not depend on the order, below any prefix."""
    key, point = prefix + key, border(prefix + text, prefix)

    assert (key > point) == (key.encode("utf-16-be") > point.encode("utf-16-be"))
    assert point.startswith(prefix)
    assert len(point.encode()) <= MAX_KEY_BYTES


@pytest.mark.parametrize(
    ("pages", "faults", "orders"),
    [
        pytest.param([["a", "b"], [], ["c"]], [None, None, None], (True, True), id="both orders"),
        pytest.param([["\ue000", "\U0001f600"]], [None], (True, False), id="bytes"),
        pytest.param([["\U0001f600", "\ue000"]], [None], (False, True), id="UTF-16"),
        pytest.param(
            [["b", "a"]], ["keys are out of order: 'b' comes before 'a'"], (False, False), id="no order"
        ),
        pytest.param([["b", "b"]], ["key 'b' is listed twice"], (False, False), id="a key twice"),
        pytest.param(
            [["\ue000", "\U0001f600"], ["\U0001f601", "\ue001"]],
            [None, "keys are out of order: '\U0001f601' comes before '\\ue001'"],
            (False, False),
            id="one order, then the other",
        ),
    ],
)
def test_keys_ascend_in_one_of_two_orders(
    pages: list[list[str]], faults: list[str | None], orders: tuple[bool, bool]
) -> None:
    order = KeyOrder()

    assert [order.fault_in(page) for page in pages] == faults
    assert (order.bytes, order.utf16) == orders


@pytest.mark.parametrize(
    ("known", "last", "keys", "count"),
    [
        pytest.param([], "b", ["b", "c"], 1, id="the last key comes first"),
        pytest.param([], "b", ["a", "b", "c"], 2, id="the last key and one before it"),
        pytest.param([], "b", ["c", "d"], 0, id="all lie behind it"),
        pytest.param([], "b", ["a", "c"], 1, id="it was deleted"),
        pytest.param([], "b", [], 0, id="no keys"),
        pytest.param([], "\ue000", ["\U0001f600"], 0, id="behind it in one of the orders"),
        pytest.param([], "\ue000", ["a", "\U0001f600"], None, id="deleted, and the orders disagree"),
        pytest.param(["\ue000", "\U0001f600"], "\ue001", ["a", "\U0001f601"], 1, id="bytes"),
        pytest.param(["\U0001f600", "\ue000"], "\ue001", ["a", "\U0001f601"], 2, id="UTF-16"),
    ],
)
def test_keys_up_to_the_last_one_are_counted(
    known: list[str], last: str, keys: list[str], count: int | None
) -> None:
    order = KeyOrder()
    assert order.fault_in(known) is None

    assert order.count_up_to(last, keys) == count
