"""Open an issue when the sync failed, comment on it while it goes on failing, close it when it succeeds."""

import json
import os
import subprocess

from code_block import code_block

TITLE = "The sync from B2 to D1 fails"
# Anybody may open an issue of that title in a public repository, but nobody else can give it a label.
LABEL = "b2-d1-sync"
# GitHub takes 65,536 characters.
MOST_QUOTED = 20_000

RUN = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}".format_map(os.environ)


def main() -> None:
    """Do what the sync's result asks for."""
    found = gh("issue", "list", *("--state", "open"), *("--label", LABEL), "--json", "number,title")
    numbers = sorted(issue["number"] for issue in json.loads(found) if issue["title"] == TITLE)
    if os.environ["RESULT"] == "success":
        for number in numbers:
            gh("issue", "close", str(number), "--comment", f"A run succeeded: {RUN}")
    elif numbers:
        gh("issue", "comment", str(numbers[0]), *("--body-file", "-"), stdin=failure())
    else:
        gh("label", "create", LABEL, "--force", *("--description", "The daily sync"), *("--color", "B60205"))
        outlook = "Each further failure becomes a comment; the next run that succeeds closes this issue."
        body = f"{failure()}\n\n{outlook} docs/operations.md, 'A run failed', tells what to do."
        gh("issue", "create", *("--title", TITLE), *("--label", LABEL), *("--body-file", "-"), stdin=body)


def failure() -> str:
    """Tell of this run's failure."""
    trouble = os.environ["TROUBLE"][-MOST_QUOTED:]
    said = code_block(trouble.splitlines()) if trouble else "Its log tells where."
    return f"A run failed: {RUN}\n\n{said}"


def gh(*arguments: str, stdin: str = "") -> str:
    """Run GitHub's own command, which finds token and repository in the environment."""
    done = subprocess.run(["gh", *arguments], input=stdin, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    main()
