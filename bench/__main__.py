"""Measure, print and keep the figures: python -m bench [--quick].

With --quick little is listed and written, to see that all contenders bring the same and that whole runs ask
and write no more than they may; no start is measured and no figure kept.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from bench import listing, machine, start, writing
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

{whole_runs}

`b2d1 sync` from an empty table, and once more, on Cloudflare's own D1 engine on this machine. Memory is the
peak of the process's resident set. There may be one request for each 20,000 objects, one for each 900 kB of
new rows, three a round and ten. D1 counts as written a row for the table and one for each of its two
indexes.

{starts}

From the start of the function's process until a run could begin: modules imported, logger, metrics and
clients made (with a secret, that of Secrets Manager too). The built package alone, under {python};
medians of {rounds} rounds. Lambda's 1,024 MB have little over half a processor.
"""


def main() -> int:
    """Return the exit code: 1 when a contender did not bring what it should."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure b2d1 against stock boto3.")
    parser.add_argument("--quick", action="store_true", help="look only at what is listed, not at the time")
    quick = parser.parse_args().quick
    pages, rounds, written = (2, 1, 12_000) if quick else (20, 7, 100_000)
    print(f"{machine.description()}\n{pages} pages, {rounds} rounds\n", flush=True)
    results = listing.measure(pages, rounds, _show_progress)
    print(table(results), flush=True)
    runs = writing.measure(written, _show_progress)
    print(f"\n{writing.table(runs)}")
    faults = [fault for result in results for fault in result.faults()]
    if faults := faults + [fault for run in runs for fault in run.faults()]:
        print("\n".join(faults), file=sys.stderr)
        return 1
    if not quick:
        with tempfile.TemporaryDirectory() as folder:
            starts = start.table(start.measure(start.build(Path(folder)), rounds, _show_progress))
        print(f"\n{starts}")
        described = machine.description().replace("\n", "\n    ")
        text = DOCUMENT.format(
            machine=described,
            table=table(results),
            pages=pages,
            rounds=rounds,
            whole_runs=writing.table(runs),
            starts=starts,
            python=start.python_used(),
        )
        RESULTS.write_text(text, encoding="utf-8")
    return 0


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<78}\r", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
