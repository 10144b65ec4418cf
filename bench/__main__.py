"""Measure, print and keep the figures: python -m bench [--quick].

With --quick a few pages are listed to see that all contenders bring the same; no figure is kept.
"""

import argparse
import sys
from pathlib import Path

from bench import listing, machine
from bench.results import table

RESULTS = Path(__file__).with_name("RESULTS.md")
DOCUMENT = """# What b2d1 costs

Made by `make bench`, on

    {machine}

{table}

CPU time of the client's process alone, while it lists a bucket of {pages} pages of 1,000 keys (60 bytes on
average) from a server on loopback in another process; medians of {rounds} rounds in which the contenders took
turns. *stock boto3* is its paginator under the default configuration, *floor* one regular expression and
SHA-256 over the same bytes, without a request or a check. All must bring the same uids, or the same inventory
byte for byte, with one request a page.
"""


def main() -> int:
    """Return the exit code: 1 when a contender did not bring what it should."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure b2d1 against stock boto3.")
    parser.add_argument("--quick", action="store_true", help="look only at what is listed, not at the time")
    quick = parser.parse_args().quick
    pages, rounds = (2, 1) if quick else (20, 7)
    print(f"{machine.description()}\n{pages} pages, {rounds} rounds\n", flush=True)
    results = listing.measure(pages, rounds, _show_progress)
    print(table(results))
    if faults := [fault for result in results for fault in result.faults()]:
        print("\n".join(faults), file=sys.stderr)
        return 1
    if not quick:
        described = machine.description().replace("\n", "\n    ")
        text = DOCUMENT.format(machine=described, table=table(results), pages=pages, rounds=rounds)
        RESULTS.write_text(text, encoding="utf-8")
    return 0


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<78}\r", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
