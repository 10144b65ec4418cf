"""What the documents say is what the program does."""

import ast
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


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_explains_every_setting(name: str) -> None:
    """Each setting that the program reads stands in README's table."""
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", SETTINGS)
def test_the_form_has_a_line_for_every_setting(name: str) -> None:
    """Each setting has its line in .env.example, and no other name has one."""
    lines = re.findall(r"^#?([A-Z0-9_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)

    assert name in lines
    assert set(lines) == set(SETTINGS)


@pytest.mark.parametrize("command", sorted(main.commands))
def test_the_readme_names_every_command_and_option(command: str) -> None:
    """Each command stands in README with every option it takes."""
    row = next(line for line in README.splitlines() if line.startswith(f"| `b2d1 {command}"))
    options = [option.opts[0] for option in main.commands[command].params if option.opts[0].startswith("--")]

    assert [option for option in options if option not in row and option != "--verbose"] == []


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


@pytest.mark.parametrize("document", DOCUMENTS)
def test_lines_are_of_a_width_that_can_be_read(document: str) -> None:
    """No line but a table's, or what a program printed, is wider than 120 characters."""
    text = re.sub(r"```console.*?```", "", (ROOT / document).read_text("utf-8"), flags=re.DOTALL)

    assert [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")] == []


def test_the_table_of_rooms_is_the_house() -> None:
    """Each module stands once in the table of rooms, in its room, and rooms import only from rows below."""
    table = (ROOT / "docs/design.md").read_text("utf-8").split("| room |", 1)[1].split("\n\n", 1)[0]
    rows = [[re.findall(r"`([a-z0-9_]+)`", cell) for cell in line.split("|")] for line in table.splitlines()]
    told = {room: modules for _, room_cell, modules, *_ in rows[2:] for room in room_cell}
    alone = [name for _, room_cell, modules, *_ in rows[2:] if not room_cell for name in modules]
    order = [row[1] or row[2] for row in rows[2:]]
    place = {name: number for number, names in enumerate(order) for name in names}
    imports = {
        (room_of(path), imported)
        for path in (ROOT / "src/b2d1").rglob("*.py")
        for imported in imported_rooms(path)
    }

    assert {name: sorted(modules) for name, modules in told.items()} == rooms_of_the_house()
    assert sorted(alone) == modules_in("src/b2d1")
    assert {pair for pair in imports if place[pair[0]] > place[pair[1]]} == set()
    assert ("sync", "listing") not in imports
    assert ("sync", "table") in imports


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.name)
def test_a_room_is_told_from_its_door_to_its_ground(room: Path) -> None:
    """The table names a room's modules in an order in which each imports only those named after it."""
    table = (ROOT / "docs/design.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| `{room.name}` \|(.*?)\|", table, re.MULTILINE)
    told = re.findall(r"`([a-z0-9_]+)`", row)
    package = ".".join(room.relative_to(ROOT / "src").parts)
    imports = [
        (path.stem, name)
        for path in room.glob("*.py")
        for name in re.findall(
            rf"^from {package}\.([a-z0-9_]+) import", path.read_text("utf-8"), re.MULTILINE
        )
    ]

    assert [pair for pair in imports if told.index(pair[0]) >= told.index(pair[1])] == []


def rooms_of_the_house() -> dict[str, list[str]]:
    """List every folder of modules with its modules."""
    return {folder.name: modules_in(str(folder.relative_to(ROOT))) for folder in ROOMS}


def modules_in(folder: str) -> list[str]:
    """List the modules in a folder by their names."""
    return sorted(path.stem for path in (ROOT / folder).glob("*.py") if path.stem != "__init__")


def room_of(path: Path) -> str:
    """Name the room of a module: the first part of its name below b2d1."""
    return path.relative_to(ROOT / "src/b2d1").parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """List the rooms that a module imports from."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "b2d1":
            found |= {each.name for each in node.names if each.name != "__version__"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("b2d1."):
            found.add(str(node.module).split(".")[1])
    return found


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
