"""B2_EXCLUDE leaves out what rclone's --exclude leaves out, and nothing of it becomes a row or a gap."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from conftest import Stack
from hypothesis import given, settings
from hypothesis import strategies as st
from objects import execute

from b2d1.doctor.examination import examine
from b2d1.doctor.finding import Status
from b2d1.errors import GuardRefusal
from b2d1.exclude import exclude

KEYS = [
    "a.jpg",
    "a.tmp",
    "b/a.tmp",
    "b/c/a.tmp",
    "b/.DS_Store",
    ".DS_Store",
    "b/c/.bzEmpty",
    "Thumbs.db",
    "x.DS_Store",
    "cache/a",
    "b/cache/a",
    "cache",
    "b/cachet/a",
    "a b",
    "a+b.jpg",
    "(a).jpg",
    "a[1].jpg",
    "a{1}.jpg",
    "a,b.jpg",
    "é/日本.jpg",
    "\U0001f600.jpg",
    "2024/01/IMG_1.jpg",
    "2024/02/IMG_2.jpg",
    "2024/IMG_3.JPG",
    "a$b^c|d.jpg",
    "a-b",
    "~.jpg",
    "a&&b",
    "a||b",
    "a--b",
    "b/c/d/e/f.png",
    "back\\slash",
]
PATTERNS = [
    "*.tmp",
    "a.tmp",
    "/a.tmp",
    "/b/*.tmp",
    "b/**",
    "**.tmp",
    "/**/a.tmp",
    ".DS_Store",
    "cache/",
    "/cache/",
    "/cache",
    "?.jpg",
    "a?b",
    "{a,b}.jpg",
    "*.{jpg,png}",
    "IMG_[12].jpg",
    "IMG_[^1].jpg",
    "[a-c].*",
    "a+b.jpg",
    "(a).jpg",
    "a\\[1\\].jpg",
    "a\\{1\\}.jpg",
    "a\\,b.jpg",
    "2024/**",
    "2024/*",
    "日本.jpg",
    "*",
    "**",
    "{cache,2024}/**",
    "a$b^c|d.jpg",
    "{a,{b,c}}/**",
    "[&-]b",
    "a[&&]*b",
    "a[|~]*b",
    "[a\\]]*",
    "/b/c/**.png",
    "*b*",
    "back\\\\slash",
    "[]a]*",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a file for each key that a file system can have beside the others."""
    folder = tmp_path_factory.mktemp("keys")
    for key in KEYS:
        path = folder / key
        if not path.exists() and not any(parent.is_file() for parent in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return folder


def there(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def left_by_rclone(folder: Path, pattern: str) -> set[str] | None:
    """List what rclone leaves, or None where it refuses the pattern."""
    command = ["rclone", "lsf", "-R", "--files-only", "--config", "", "--exclude", pattern, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(done.stdout.splitlines()) if done.returncode == 0 else None


def left_by_us(folder: Path, pattern: str) -> set[str] | None:
    try:
        patterns = exclude(pattern)
    except ValueError:
        return None
    return {key for key in there(folder) if not patterns.excludes(key)}


@pytest.mark.slow
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_excludes_what_rclone_excludes(folder: Path, pattern: str) -> None:
    expected, found = left_by_rclone(folder, pattern), left_by_us(folder, pattern)

    assert found is None or found == expected
    assert (found is None) == (pattern in {"[]a]*", "[a\\]]*"})


PARTS = [
    "*",
    "**",
    "?",
    "/",
    "a",
    "b",
    "c",
    ".jpg",
    "[a-c]",
    "[^a]",
    "{a,b}",
    "{*.jpg,c}",
    "cache",
    "2024",
    ".",
    "\\*",
]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=6))
def test_any_pattern_that_is_understood_excludes_what_rclone_excludes(folder: Path, parts: list[str]) -> None:
    pattern = "".join(parts)

    found = left_by_us(folder, pattern)

    assert found is None or found == left_by_rclone(folder, pattern)


def test_commas_separate_patterns_and_not_alternatives() -> None:
    assert exclude(".DS_Store, *.{tmp,bak} ,a\\,b").patterns == (".DS_Store", "*.{tmp,bak}", "a\\,b")


def test_a_key_is_only_characters() -> None:
    """Nothing in a key is normalised: dots, slashes and line ends are what they are."""
    patterns = exclude("/a/../b,*.tmp,//c")

    found = {key for key in ("a/../b", "b", "x\ny.tmp", "/c", "c") if patterns.excludes(key)}

    assert found == {"a/../b", "x\ny.tmp", "/c"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a,,b", "has an empty pattern"),
        ("a,", "has an empty pattern"),
        ("[a", "has a [ without its partner"),
        ("a]", "has a ] without its partner"),
        ("{a", "has a { that is not closed"),
        ("a}", "has a } too many"),
        ("***", "has more than two stars in a row"),
        ("a\\", "ends with a backslash"),
        ("{{a.*}}", "has a regular expression"),
        ("[[:alpha:]]", "has a class of characters that is not understood"),
        ("[z-a]", "has a class of characters that is not understood"),
        ("a" * 5000, "is longer than 4,000 bytes"),
    ],
)
def test_a_pattern_that_is_not_understood_is_named(text: str, fault: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is what counts
        exclude(text)

    assert str(refused.value).startswith(fault)


@pytest.fixture
def filled(stack: Stack) -> Stack:
    """Fill the bucket with objects, and what desktop programs leave between them."""
    for key in ("a.jpg", "b/c.jpg", "b/.DS_Store", "d/.bzEmpty", "d/e.tmp"):
        stack.b2.put(key, key.encode())
    return stack


PATTERN = ".DS_Store,.bzEmpty,*.tmp"
Run = Callable[..., Result]


def test_excluded_keys_are_no_rows_and_are_counted(filled: Stack, b2d1: Run, tmp_path: Path) -> None:
    kept = tmp_path / "inventory.json"
    env = filled.env | {"B2_EXCLUDE": PATTERN, "SNAPSHOT_URI": str(kept)}

    report = json.loads(b2d1("sync", "--json", env=env).stdout)

    assert (report["discovered"], report["new"], report["excluded"]) == (2, 2, 3)
    assert [key for (key,) in filled.rows("b2_key")] == ["a.jpg", "b/c.jpg"]
    document = json.loads(kept.read_text("utf-8"))
    assert document["exclude"] == PATTERN.split(",")
    assert [each["key"] for each in document["objects"]] == ["a.jpg", "b/c.jpg"]


def test_patterns_that_change_delete_nothing(filled: Stack, b2d1: Run) -> None:
    """Rows of keys that are excluded now are outside: nothing is known of them."""
    assert b2d1("sync", env=filled.env).exit_code == 0

    again = json.loads(b2d1("sync", "--json", env=filled.env | {"B2_EXCLUDE": PATTERN}).stdout)
    verified = b2d1("verify", "--json", env=filled.env | {"B2_EXCLUDE": PATTERN})

    assert (again["discovered"], again["new"], again["excluded"], len(filled.rows())) == (2, 0, 3, 5)
    found = json.loads(verified.stdout)
    assert [found[kind] for kind in ("matching", "missing", "history", "outside", "excluded")] == [
        2,
        0,
        0,
        3,
        3,
    ]
    assert verified.exit_code == 0


def test_an_inventory_is_filtered_as_a_bucket_is(filled: Stack, b2d1: Run) -> None:
    whole = b2d1("inventory", env=filled.env).stdout
    env = filled.env | {"B2_EXCLUDE": PATTERN}

    report = json.loads(b2d1("ingest", "--json", env=env, stdin=whole).stdout)
    found = json.loads(b2d1("verify", "-", "--json", env=env, stdin=whole).stdout)

    assert (report["inserted"], report["excluded"]) == (2, 3)
    assert (found["matching"], found["missing"], found["excluded"]) == (2, 0, 3)


def test_a_listing_of_which_everything_is_excluded_is_an_empty_one(filled: Stack, b2d1: Run) -> None:
    result = b2d1("sync", env=filled.env | {"B2_EXCLUDE": "**"})

    assert result.exit_code == GuardRefusal.exit_code
    assert "not one object was listed, besides 5 that B2_EXCLUDE matches" in result.stderr


def test_inventories_of_other_patterns_are_not_compared(filled: Stack, b2d1: Run, tmp_path: Path) -> None:
    for name, pattern in (("old", ""), ("new", PATTERN)):
        document = b2d1("inventory", env=filled.env | {"B2_EXCLUDE": pattern}).stdout
        (tmp_path / name).write_text(document, "utf-8")

    result = b2d1("diff", str(tmp_path / "old"), str(tmp_path / "new"))

    assert result.exit_code == 2
    assert "OLD and NEW were made with other patterns in B2_EXCLUDE" in result.stderr


def test_an_object_without_identity_may_be_excluded(filled: Stack, b2d1: Run) -> None:
    """A row that exists is never touched by it."""
    execute(filled.d1, "INSERT INTO media_assets (media_uid, b2_key, size) VALUES ('b2_x', 'a.jpg', 1)")

    assert b2d1("sync", env=filled.env | {"B2_EXCLUDE": "*.jpg"}).exit_code in {0, 5}
    assert ("a.jpg",) in filled.rows("b2_key")


@pytest.mark.parametrize("pattern", ["", ".DS_Store,.bzEmpty"])
def test_doctor_names_what_desktop_programs_left(filled: Stack, pattern: str) -> None:
    env = filled.env | {"B2_EXCLUDE": pattern}
    (line,) = [each for each in examine(env, retrying=filled.time.retrying()) if each.check == "B2 listing"]

    remark = "; .bzEmpty, .DS_Store will be rows, unless B2_EXCLUDE is .bzEmpty,.DS_Store"
    assert line.status is Status.OK
    assert line.found.endswith(remark) == (not pattern)
