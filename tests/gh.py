"""Stands for GitHub's own command `gh`, which the runners have: keeps issues and labels in a JSON file.

It takes the commands and options that the steps use and no other, and refuses what `gh` refuses: no token, no
repository, a label that does not exist. Every call is kept, with what stood on stdin.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

EMPTY: dict[str, Any] = {"calls": [], "labels": [], "issues": []}


def main(state: Path, arguments: list[str]) -> int:
    """Do what a command line asks for; return the exit code."""
    if not os.environ.get("GH_TOKEN") or not os.environ.get("GH_REPO"):
        sys.stderr.write("gh: to use GitHub CLI in a workflow, set GH_TOKEN and GH_REPO\n")
        return 4
    kept = json.loads(state.read_text("utf-8")) if state.exists() else EMPTY
    kept["calls"].append(arguments)
    options = _parser().parse_args(arguments)
    error = options.do(kept, options)
    state.write_text(json.dumps(kept, indent=1), "utf-8")
    if error:
        sys.stderr.write(f"{error}\n")
    return 1 if error else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gh", allow_abbrev=False)
    topics = parser.add_subparsers(required=True)
    label = topics.add_parser("label").add_subparsers(required=True)
    create = label.add_parser("create")
    create.add_argument("name")
    create.add_argument("--force", action="store_true")
    for option in ("--description", "--color"):
        create.add_argument(option)
    create.set_defaults(do=_create_label)
    issue = topics.add_parser("issue").add_subparsers(required=True)
    listing = issue.add_parser("list")
    for option in ("--state", "--label", "--json"):
        listing.add_argument(option, required=True)
    listing.set_defaults(do=_list)
    opening = issue.add_parser("create")
    for option in ("--title", "--label", "--body-file"):
        opening.add_argument(option, required=True)
    opening.set_defaults(do=_create)
    comment = issue.add_parser("comment")
    comment.add_argument("number", type=int)
    comment.add_argument("--body-file", required=True)
    comment.set_defaults(do=_comment)
    close = issue.add_parser("close")
    close.add_argument("number", type=int)
    close.add_argument("--comment", required=True)
    close.set_defaults(do=_close)
    return parser


def _create_label(kept: dict[str, Any], options: argparse.Namespace) -> str | None:
    if options.name in kept["labels"] and not options.force:
        return f"label with name {options.name!r} already exists; use `--force` to update"
    kept["labels"] = sorted({*kept["labels"], options.name})
    return None


def _list(kept: dict[str, Any], options: argparse.Namespace) -> None:
    found = [
        {field: issue[field] for field in options.json.split(",")}
        for issue in reversed(kept["issues"])
        if issue["state"] == options.state and options.label in issue["labels"]
    ]
    sys.stdout.write(json.dumps(found))


def _create(kept: dict[str, Any], options: argparse.Namespace) -> str | None:
    if options.label not in kept["labels"]:
        return f"could not add label: '{options.label}' not found"
    issue = {
        "number": 1 + len(kept["issues"]),
        "title": options.title,
        "labels": [options.label],
        "state": "open",
        "texts": [_body(options)],
    }
    kept["issues"].append(issue)
    return None


def _comment(kept: dict[str, Any], options: argparse.Namespace) -> None:
    kept["issues"][options.number - 1]["texts"].append(_body(options))


def _close(kept: dict[str, Any], options: argparse.Namespace) -> None:
    issue = kept["issues"][options.number - 1]
    issue["texts"].append(options.comment)
    issue["state"] = "closed"


def _body(options: argparse.Namespace) -> str:
    if options.body_file != "-":
        raise ValueError("only stdin is a body here")
    return sys.stdin.read()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
