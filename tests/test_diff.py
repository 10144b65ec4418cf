"""What changed between two inventories."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from b2d1.inventory.diff import Change, changes
from b2d1.media import MediaObject


def media(key: str, content: str = "a", size: int = 1, last_modified: str = "") -> MediaObject:
    """Make an object whose content is told by a letter."""
    return MediaObject(key, size, last_modified, f'"{content}"', f'"{content}"')


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param([], [], [], id="both empty"),
        pytest.param([media("a"), media("b")], [media("a"), media("b")], [], id="equal"),
        pytest.param(
            [], [media("a"), media("b")], [Change("added", "a"), Change("added", "b")], id="from empty"
        ),
        pytest.param([media("a"), media("b")], [], [Change("gone", "a"), Change("gone", "b")], id="to empty"),
        pytest.param(
            [media("b"), media("d"), media("e")],
            [media("a"), media("b", "z"), media("c"), media("e")],
            [Change("added", "a"), Change("replaced", "b"), Change("added", "c"), Change("gone", "d")],
            id="all kinds, in key order",
        ),
        pytest.param([media("a")], [media("b")], [Change("gone", "a"), Change("added", "b")], id="renamed"),
        pytest.param([media("a")], [media("a", size=2)], [Change("replaced", "a")], id="another size"),
        pytest.param([media("a")], [media("a", last_modified="2025")], [], id="another date only"),
        pytest.param(
            [media("a", "x"), media("a", "y")],
            [media("a", "y")],
            [Change("replaced", "a")],
            id="one of two contents",
        ),
        pytest.param(
            [media("\ufffd"), media("😀")],
            [media("😀")],
            [Change("gone", "\ufffd")],
            id="byte order, not UTF-16",
        ),
    ],
)
def test_what_changed_is_told_by_key(
    old: list[MediaObject], new: list[MediaObject], expected: list[Change]
) -> None:
    """A key is added, gone, or replaced by other content; what stayed is not told."""
    assert list(changes(old, new)) == expected


BUCKETS = st.dictionaries(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=3),
    st.sampled_from("ab"),
    max_size=12,
)


@given(old=BUCKETS, new=BUCKETS, kept=st.booleans())
def test_the_changes_are_those_of_two_dictionaries(
    old: dict[str, str], new: dict[str, str], kept: bool
) -> None:
    """For any two buckets the changes are the differences of their keys and contents, in byte order."""
    if kept:
        new = old | new
    model = dict.fromkeys(new.keys() - old.keys(), "added")
    model |= dict.fromkeys(old.keys() - new.keys(), "gone")
    model |= {key: "replaced" for key in old.keys() & new.keys() if old[key] != new[key]}

    found = changes(*([media(key, bucket[key]) for key in sorted(bucket)] for bucket in (old, new)))

    assert [(key, kind) for kind, key in found] == sorted(
        model.items(), key=lambda change: change[0].encode()
    )


def inventory(folder: Path, name: str, objects: list[MediaObject], **header: str) -> str:
    """Write an inventory of these objects, in this order; return its path."""
    document = json.dumps({**header, "objects": [each._asdict() for each in objects]}).encode()
    path = folder / name
    path.write_bytes(gzip.compress(document) if name.endswith(".gz") else document)
    return str(path)


def test_the_runner_prints_a_line_for_each_change_and_the_totals(
    b2d1: Callable[..., Result], tmp_path: Path
) -> None:
    """Inventories in any order, gzipped or not, are compared in key order; totals come last."""
    old = inventory(tmp_path, "old.json", [media("c"), media("a"), media("b")])
    new = inventory(tmp_path, "new.json.gz", [media("d"), media("b", "z"), media("c")])

    result = b2d1("diff", old, new)

    assert result.stdout == "gone     a\nreplaced b\nadded    d\n1 added, 1 replaced, 1 gone\n"
    assert (result.exit_code, result.stderr) == (0, "")


def test_equal_inventories_have_totals_only(b2d1: Callable[..., Result], tmp_path: Path) -> None:
    """Nothing changed is told too, and is no error."""
    old = inventory(tmp_path, "old.json", [media("a"), media("b")], bucket="x", list_mode="objects")
    new = inventory(tmp_path, "new.json", [media("b"), media("a"), media("b")])

    result = b2d1("diff", old, new)

    assert (result.exit_code, result.stdout) == (0, "0 added, 0 replaced, 0 gone\n")


@pytest.mark.parametrize("place", [0, 1], ids=["old", "new"])
@pytest.mark.parametrize("name", ["it.json", "it.json.gz"])
def test_one_of_the_two_may_be_stdin(
    b2d1: Callable[..., Result], tmp_path: Path, place: int, name: str
) -> None:
    """`-` is the inventory on stdin, gzipped or not, whether as the old one or as the new one."""
    piped = Path(inventory(tmp_path, name, [media("a")])).read_bytes()
    files = [inventory(tmp_path, "empty.json", [])] * 2
    files[place] = "-"

    result = b2d1("diff", *files, stdin=piped)

    assert (
        result.stdout
        == ["gone     a\n0 added, 0 replaced, 1 gone\n", "added    a\n1 added, 0 replaced, 0 gone\n"][place]
    )


def test_stdin_cannot_be_both(b2d1: Callable[..., Result]) -> None:
    """There is one stdin: asked to read both inventories from it, the runner says so."""
    result = b2d1("diff", "-", "-", stdin=b'{"objects":[]}')

    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: Only one of OLD and NEW can be stdin." in result.stderr


def test_a_key_stays_on_its_line(b2d1: Callable[..., Result], tmp_path: Path) -> None:
    """A key that would break its line, drive a terminal or pass for another is written as JSON."""
    keys = ["\x1b[2J", '"a\\nb"', "a\nb", "a\u2028b", "a b", "ünï", "日本", "\u202egpj"]

    result = b2d1(
        "diff", inventory(tmp_path, "a.json", []), inventory(tmp_path, "b.json", [media(key) for key in keys])
    )

    *lines, totals = result.stdout.removesuffix("\n").split("\n")
    printed = [line.removeprefix("added    ") for line in lines]
    assert totals == "8 added, 0 replaced, 0 gone"
    assert [json.loads(line) if line.startswith('"') else line for line in printed] == sorted(keys)
    assert all(line.isprintable() for line in lines)
    assert [line for line in printed if not line.startswith('"')] == ["a b", "ünï", "日本"]


def test_inventories_of_two_list_modes_are_not_compared(b2d1: Callable[..., Result], tmp_path: Path) -> None:
    """Where one has ETags for file_ids and the other B2's ids, all would look replaced: refused."""
    old = inventory(tmp_path, "old.json", [media("a")])
    new = inventory(tmp_path, "new.json", [media("a")], list_mode="versions")

    result = b2d1("diff", old, new)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "b2d1: comparing inventories: OLD is an inventory in list mode objects, NEW one in versions\n"
        "hint: Their file_ids have nothing in common. List the bucket anew in the other B2_LIST_MODE.\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param(
            {"prefix": ""}, {"prefix": "photos/"}, "OLD is of here/, NEW of here/photos/", id="prefix"
        ),
        pytest.param(
            {"bucket": "there\n"}, {"prefix": ""}, r"OLD is of there\n/, NEW of here/", id="bucket, escaped"
        ),
    ],
)
def test_inventories_of_two_places_are_not_compared(
    b2d1: Callable[..., Result], tmp_path: Path, old: dict[str, str], new: dict[str, str], told: str
) -> None:
    """Where bucket or prefix differ, what only one of them lists would look gone or added: refused."""
    files = [
        inventory(tmp_path, f"{name}.json", [media("a")], **({"bucket": "here"} | header))
        for name, header in (("old", old), ("new", new))
    ]

    result = b2d1("diff", *files)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"b2d1: comparing inventories: {told}\n"
        "hint: Keys that only one of them lists would be called gone, or added. List the same bucket with "
        "the same prefix anew.\n"
    )


@pytest.mark.parametrize("place", [0, 1], ids=["old", "new"])
def test_the_originals_inventories_are_compared_with_any(
    b2d1: Callable[..., Result], tmp_path: Path, place: int
) -> None:
    """An inventory that does not say what it is of is compared with one that does."""
    files = [inventory(tmp_path, "ours.json", [media("a")], bucket="here", prefix="photos/")] * 2
    files[place] = inventory(tmp_path, "theirs.json", [media("a")])

    result = b2d1("diff", *files)

    assert (result.exit_code, result.stdout) == (0, "0 added, 0 replaced, 0 gone\n")


@pytest.mark.parametrize("place", [0, 1], ids=["old", "new"])
def test_what_is_no_inventory_is_named(b2d1: Callable[..., Result], tmp_path: Path, place: int) -> None:
    """A fault in either file ends in exit 2 and names that file; nothing is printed."""
    files = [inventory(tmp_path, "sound.json", [media("a")])] * 2
    files[place] = str(tmp_path / "broken.json")
    Path(files[place]).write_text("[]")

    result = b2d1("diff", *files)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"b2d1: reading inventory {files[place]}: line 1: '[' stands where")
    assert result.stderr.endswith("hint: An inventory is what `b2d1 inventory` prints.\n")
