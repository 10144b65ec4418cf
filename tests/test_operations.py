"""What docs/operations.md tells an operator to type does what it says."""

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Stack

DOCUMENT = (Path(__file__).parents[1] / "docs" / "operations.md").read_text("utf-8")
COMMANDS = re.findall(r"^ *\$ (.*?) *(?:#(.*))?$", DOCUMENT, re.MULTILINE)
SQL = re.findall(r"^```sql\n(.*?)```$", DOCUMENT, re.MULTILINE | re.DOTALL)
# What needs an account with somebody, and programs of theirs.
FOREIGN = ("aws ", "b2 ", "wrangler ", "make deploy", ".venv/sam/bin/sam deploy")
BY_HAND = ("make ", ". ", "cp ", "export ", "cat ", "rm ")


def test_a_command_that_needs_an_account_is_marked() -> None:
    """Each command of Backblaze's, Cloudflare's or Amazon's own program says `account`, and no other."""
    continued = [(f"{command} {comment}", command.endswith("\\")) for command, comment in COMMANDS]
    marked = [text for text, goes_on in continued if "account" in text or goes_on]

    assert [text for text in marked if not text.startswith(FOREIGN)] == []
    assert [text for text, _ in continued if text.startswith(FOREIGN) and text not in marked] == []


def test_the_runners_commands_run_as_they_stand(stack: Stack, tmp_path: Path) -> None:
    """Every `b2d1 …` of a block runs, in the document's order, and the last sync leaves nothing to do."""
    stack.b2.put("a", b"1")
    env = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **stack.env}
    env["HOME"] = str(tmp_path)  # no AWS credentials of whoever runs the tests
    commands = [command for command, _ in COMMANDS if command.startswith("b2d1 ")]
    inline = ["b2d1 inventory > old.json", *re.findall(r"`(b2d1 (?:inventory|diff|verify) [^`]*)`", DOCUMENT)]

    for command in [*commands, *inline]:
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert (command, done.returncode, done.stderr) == (command, 0, done.stderr)

    assert len(commands) == 6
    assert (tmp_path / "plan.sql").read_text().startswith("INSERT INTO media_assets")
    assert stack.sync().new == 0


def test_every_other_command_is_known() -> None:
    """Every command is the runner's, or foreign, or one of the shell or of make."""
    others = [command for command, _ in COMMANDS if not command.startswith(("b2d1 ", *FOREIGN, *BY_HAND))]

    assert others == []


@pytest.mark.parametrize(
    ("inserted", "left"), [pytest.param(2, 1, id="as many"), pytest.param(3, 3, id="not")]
)
def test_a_run_is_taken_back_wholly_or_not_at_all(stack: Stack, inserted: int, left: int) -> None:
    """The guarded DELETE removes the rows of the run's seconds if they are as many as it inserted."""
    for key in "ab":
        stack.b2.put(key, key.encode())
    assert stack.sync().inserted == 2
    look, undo = SQL
    with closing(stack.d1.connect()) as connection:
        connection.execute("UPDATE media_assets SET ingested_at = '2026-11-22 06:17:20'")
        connection.execute(
            "INSERT INTO media_assets (media_uid, b2_key, size, ingested_at) "
            "VALUES ('b2_x', 'x', 1, '2026-11-22')"
        )
        connection.commit()
        assert connection.execute(look).fetchone()[0] == 2
        connection.execute(undo.replace("= 3000;", f"= {inserted};"))
        connection.commit()

    assert len(stack.rows()) == left
