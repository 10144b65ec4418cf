"""The two orders that a listing may keep, and what divides a bucket alike in both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_strategies import keys

from b2d1.listing.key_order import OrderProof, border
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
    ("after", "pages", "faults", "orders"),
    [
        pytest.param("", [["a", "b"], [], ["c"]], [None, None, None], (True, True), id="both orders"),
        pytest.param("a", [["\ue000", "\U0001f600"]], [None], (True, False), id="bytes"),
        pytest.param("a", [["\U0001f600"], ["\ue000"]], [None, None], (False, True), id="UTF-16"),
        pytest.param(
            "b", [["a"]], ["keys are out of order: 'b' stands before 'a'"], (False, False), id="before it"
        ),
        pytest.param("b", [["b", "c"]], ["key 'b' is listed twice"], (False, False), id="it again"),
        pytest.param(
            "",
            [["\ue000", "\U0001f600"], ["\U0001f601", "\ue001"]],
            [None, "keys are out of order: '\U0001f601' stands before '\\ue001'"],
            (False, False),
            id="one order, then the other",
        ),
    ],
)
def test_keys_ascend_from_where_they_begin(
    after: str, pages: list[list[str]], faults: list[str | None], orders: tuple[bool, bool]
) -> None:
    """Keys ascend strictly from the one that was asked for on, over all pages, in one of the two orders."""
    order = OrderProof(after)

    assert [order.fault_in(page) for page in pages] == faults
    assert (order.bytes, order.utf16) == orders
