"""Errors: what each knows, how it reads, and that the drawn tree is the real one."""

import re

import pytest

from b2d1 import errors
from b2d1.errors import B2D1Error, B2Error, D1Error, GuardRefusal, Retry, SettingsError

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
}


def drawn_tree() -> dict[str, tuple[str | None, int | None, str]]:
    """Read the tree of the module's docstring: for each name its parent, exit code and sentence."""
    tree: dict[str, tuple[str | None, int | None, str]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        entry = re.fullmatch(r"    ([│├└─ ]*)(\w+) +(?:exit (\d) +)?(.+)", line)
        if not entry:
            continue
        depth = len(entry[1])
        above = [(outer, name) for outer, name in above if outer < depth]
        parent = above[-1][1] if above else None
        tree[entry[2]] = (parent, int(entry[3]) if entry[3] else None, entry[4])
        above.append((depth, entry[2]))
    return tree


def test_the_docstring_draws_every_error_under_its_real_parent() -> None:
    """The tree in the docstring is the tree of the classes: none is missing, none stands elsewhere."""
    parents = {
        name: None if kind is B2D1Error else kind.__bases__[0].__name__ for name, kind in CLASSES.items()
    }

    assert {name: parent for name, (parent, _, _) in drawn_tree().items()} == parents


def test_the_docstring_draws_the_real_exit_codes() -> None:
    """An exit code drawn is the class's own; one left out is the parent's."""
    tree = drawn_tree()
    drawn: dict[str, int | None] = {}
    for name, (parent, code, _) in tree.items():
        drawn[name] = code if code is not None else drawn[parent or ""]

    assert drawn == {name: kind.exit_code for name, kind in CLASSES.items()}


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES.keys())
def test_every_error_says_what_it_stands_for(kind: type) -> None:
    """Each class has a docstring of its own."""
    assert "__doc__" in vars(kind)
    assert kind.__doc__


@pytest.mark.parametrize(
    ("name", "code"),
    [
        pytest.param("B2D1Error", 1, id="unexpected"),
        pytest.param("UsageError", 2, id="usage"),
        pytest.param("SettingsError", 2, id="settings"),
        pytest.param("InventoryError", 2, id="input"),
        pytest.param("B2Error", 3, id="B2"),
        pytest.param("D1Error", 4, id="D1"),
        pytest.param("GuardRefusal", 5, id="guard"),
        pytest.param("SnapshotError", 1, id="snapshot"),
        pytest.param("OutOfTime", 1, id="time"),
    ],
)
def test_exit_codes_are_those_that_callers_rely_on(name: str, code: int) -> None:
    """The exit codes are 1 anything else, 2 settings, arguments or input, 3 B2, 4 D1, 5 a guard."""
    assert CLASSES[name].exit_code == code


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(B2D1Error("it broke"), "it broke", id="message alone"),
        pytest.param(B2D1Error("it broke", doing="testing"), "testing: it broke", id="what was being done"),
        pytest.param(B2D1Error("it broke", hint="Mend it."), "it broke", id="the hint is told apart"),
    ],
)
def test_an_error_reads_as_a_sentence(error: B2D1Error, text: str) -> None:
    """The text of an error is what was being done, and what happened."""
    assert str(error) == text


def test_an_error_tells_why_no_further_try_was_made() -> None:
    """The note of retry.py stands after the message."""
    error = B2Error("busy", doing="listing bucket b")
    error.gave_up = "gave up after 8 attempts"

    assert str(error) == "listing bucket b: busy (gave up after 8 attempts)"


def test_an_error_is_not_retried_unless_it_says_so() -> None:
    """Left alone, an error means: never again, nothing is known of a time, nothing may have happened."""
    error = D1Error("refused")

    assert (error.retry, error.retry_after, error.ambiguous, error.hint) == (Retry.NEVER, None, False, "")


def test_an_error_keeps_all_it_was_told() -> None:
    """Message, doing, hint, kind and pause come out as they went in."""
    error = GuardRefusal("m", doing="d", hint="h", retry=Retry.LATER, retry_after=3.5)

    told = (error.message, error.doing, error.hint, error.retry, error.retry_after)
    assert told == ("m", "d", "h", Retry.LATER, 3.5)


@pytest.mark.parametrize(
    ("problems", "text"),
    [
        pytest.param(["A is not set"], "1 setting needs attention:\n  A is not set", id="one"),
        pytest.param(
            ["A is not set", "B is none"],
            "2 settings need attention:\n  A is not set\n  B is none",
            id="two",
        ),
    ],
)
def test_problems_of_settings_stand_one_a_line(problems: list[str], text: str) -> None:
    """A SettingsError counts its problems and gives each a line."""
    error = SettingsError(problems)

    assert (str(error), error.problems) == (text, problems)
    assert ".env.example" in error.hint
