"""What the documents say is what the program does."""

import json
import re
import shlex
from pathlib import Path

import pytest

from b2d1.cli import main
from b2d1.settings import NAMES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
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


@pytest.mark.parametrize(
    "document", sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    """Each relative link of a document names a file that exists."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / document).read_text("utf-8"))

    folder = (ROOT / document).parent
    assert [target for target in targets if not (folder / target).exists()] == []


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
