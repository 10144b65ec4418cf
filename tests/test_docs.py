"""What the documents say is what the program does."""

import json
import re
import shlex
from pathlib import Path

import pytest

from b2d1.cli.commands import main
from b2d1.settings import NAMES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
ROOMS = sorted(path.parent for path in (ROOT / "src").rglob("*/__init__.py") if path.parent.name != "b2d1")
SETTINGS = [name for name in NAMES if name not in {"CF_API_TOKEN", "CF_ACCOUNT_ID", "B2D1_SECRET_ID"}]


def test_the_readme_explains_every_setting() -> None:
    """Each setting that the program reads stands in README's table."""
    assert [name for name in NAMES if f"`{name}`" not in README] == []


def test_the_form_has_a_line_for_every_setting() -> None:
    """Each setting has its line in .env.example, and no other name has one."""
    lines = re.findall(r"^#?([A-Z0-9_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)

    assert set(lines) == set(SETTINGS)


# What README says once for all commands.
EVERY = {"--verbose", "--env-file"}


@pytest.mark.parametrize("command", sorted(main.commands))
def test_the_readme_names_every_command_and_option(command: str) -> None:
    """Each command stands in README with every option it takes."""
    row = next(line for line in README.splitlines() if line.startswith(f"| `b2d1 {command}"))
    options = [option.opts[0] for option in main.commands[command].params if option.opts[0].startswith("--")]

    assert [option for option in options if option not in row and option not in EVERY] == []


def test_the_readme_shows_what_make_run_prints() -> None:
    """The transcript in README has the lines, in their order, that the summary has."""
    transcript = README.split("$ make run", 1)[1].split("```", 1)[0]
    starts = [line.split(" ", 1)[0] for line in transcript.strip().splitlines()]

    assert starts == [
        *("applied", "applied", "INFO:", "INFO:", "b2d1-sandbox/", "discovered", "inserted", "list_requests"),
        *("listing_sha256", "receipt:", "bookmark"),
    ]


DOCUMENTS = sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    """Each relative link of a document names a file that exists."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / document).read_text("utf-8"))

    folder = (ROOT / document).parent
    assert [target for target in targets if not (folder / target).exists()] == []


def test_the_table_of_rooms_is_the_house() -> None:
    """Each module stands once in the table of rooms, in its room."""
    table = (ROOT / "docs/design.md").read_text("utf-8").split("| room |", 1)[1].split("\n\n", 1)[0]
    rows = [[re.findall(r"`([a-z0-9_]+)`", cell) for cell in line.split("|")] for line in table.splitlines()]
    told = {room: modules for _, room_cell, modules, *_ in rows[2:] for room in room_cell}
    alone = [name for _, room_cell, modules, *_ in rows[2:] if not room_cell for name in modules]

    assert {name: sorted(modules) for name, modules in told.items()} == rooms_of_the_house()
    assert sorted(alone) == modules_in("src/b2d1")


def rooms_of_the_house() -> dict[str, list[str]]:
    """List every folder of modules with its modules."""
    return {folder.name: modules_in(str(folder.relative_to(ROOT))) for folder in ROOMS}


def modules_in(folder: str) -> list[str]:
    """List the modules in a folder by their names."""
    return sorted(path.stem for path in (ROOT / folder).glob("*.py") if path.stem != "__init__")


def test_the_line_for_sam_fits_the_project() -> None:
    """README's `sam local invoke` names a function, an event and a file of settings that fit this project.

    Each variable of the form is a setting, and stands in the template: SAM would leave out one that does not.
    """
    (line,) = re.findall(r"sam local invoke .*", README)
    _, _, _, function, *rest = shlex.split(line)
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    form = json.loads((ROOT / "env.example.json").read_text("utf-8"))
    declared = re.findall(r"^ {10}([A-Z0-9_]+): ", (ROOT / "template.yaml").read_text("utf-8"), re.MULTILINE)

    assert set(options) == {"--event", "--env-vars"}
    assert f"make invoke EVENT={options['--event']} ENV={options['--env-vars']}" in README
    assert (ROOT / options["--event"]).is_file()
    assert list(form) == [function]
    assert f"\n  {function}:\n" in (ROOT / "template.yaml").read_text("utf-8")
    assert set(form[function]) <= set(NAMES)
    assert set(declared) - {"POWERTOOLS_SERVICE_NAME"} == set(form[function])


@pytest.mark.parametrize("document", ["docs/design.md", "SECURITY.md"])
def test_every_test_that_a_document_names_is_there(document: str) -> None:
    """What a document says is proven, a test of that very name proves."""
    named = set(re.findall(r"`(test_\w+)`", (ROOT / document).read_text("utf-8")))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    }

    assert named
    assert named - there == set()


def test_every_bug_of_the_original_has_its_test() -> None:
    """Each bug of the original's identity, listing and ingest stands in docs/design.md beside a test."""
    design = (ROOT / "docs/design.md").read_text("utf-8")
    rows = re.findall(
        r"^\| ([ABC]\d+) \| .+ \| .+ \| (`test_\w+`(?:, `test_\w+`)*) \|$", design, re.MULTILINE
    )

    assert [bug for bug, _ in rows] == [
        f"{letter}{number}"
        for letter, last in (("A", 6), ("B", 8), ("C", 10))
        for number in range(1, last + 1)
    ]
