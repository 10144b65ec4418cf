"""Write the job's summary: the report's counts, and the objects that are new since the inventory before."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from code_block import code_block

# A key has at most 1,024 bytes, written as JSON at most 6,144; a summary has at most 1 MiB.
MOST_LISTED = 100

COUNTS = (
    *("discovered", "known", "new", "inserted", "deferred", "unidentified", "rounds", "checked"),
    *("missing_after", "rows_written", "rows_read", "d1_requests", "list_requests", "duration_ms"),
)
FACTS = ("run_id", "bucket", "prefix", "database_name", "database_id", "bookmark", "listing_sha256")

FOLDER = Path(os.environ["RUNNER_TEMP"])


def main() -> None:
    """Add to the summary what this run has to tell."""
    parts = []
    if trouble := os.environ["TROUBLE"]:
        parts += ["## The sync failed", code_block(trouble.splitlines())]
    if report := (FOLDER / "report.json").read_text("utf-8"):
        parts += told(json.loads(report))
    if not parts:  # as when GitHub ended the step
        parts.append("## The sync ended without a word")
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as summary:
        summary.write("\n\n".join(parts) + "\n")


def told(report: dict[str, Any]) -> list[str]:
    """Tell what a report says, and what is new."""
    counts = [f"| {name} | {'not asked' if report[name] is None else report[name]} |" for name in COUNTS]
    facts = [f"{name:<14} {one_line(report[name])}" for name in FACTS if report[name]]
    parts = [
        "## Dry run: nothing was inserted" if report["dry_run"] else "## Sync",
        "\n".join(["| figure | value |", "|---|---:|", *counts]),
        code_block(facts),
    ]
    if (snapshot := report["snapshot"]) is None:
        return parts
    if not Path(snapshot["uri"]).is_file():
        return [*parts, "The inventory is kept elsewhere, so the new objects are not listed here."]
    return [*parts, *new_objects(report["list_mode"], snapshot["uri"])]


def new_objects(list_mode: str, inventory: str) -> list[str]:
    """List what was added or replaced since the committed inventory, up to a bound."""
    before, changes = FOLDER / "before.json.gz", FOLDER / "changes.txt"
    since = " since the inventory before"
    if run_into(before, "git", "show", f"HEAD:{os.environ['INVENTORY']}").returncode != 0:
        before.write_text(json.dumps({"list_mode": list_mode, "objects": []}), "utf-8")
        since = "; there was no inventory before"
    compared = run_into(changes, "b2d1", "diff", str(before), inventory)
    if compared.returncode != 0:
        said = code_block(compared.stderr.splitlines())
        return ["The inventory before cannot be compared with this one:", said]
    listed: list[str] = []
    count = 0
    with changes.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            if line.startswith(("added ", "replaced ")):
                count += 1
                if count <= MOST_LISTED:
                    listed.append(line.removesuffix("\n"))
    if not count:
        return [f"No object was added or replaced{since}."]
    parts = [f"### {count} added or replaced{since}", code_block(listed)]
    return parts if count <= MOST_LISTED else [*parts, f"and {count - MOST_LISTED} more"]


def run_into(path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command, its output into a file."""
    with path.open("wb") as out:
        return subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=False)


def one_line(text: str) -> str:
    """Write a text so that it stays on its line: as it is, or as JSON."""
    return text if text.isprintable() else json.dumps(text)


if __name__ == "__main__":
    main()
