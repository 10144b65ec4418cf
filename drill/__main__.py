"""Drill the pipeline on Cloudflare's own engine and print the matrix: python -m drill [--quick] [WORD…].

With --quick only the cells that the tests try, with words only those whose names contain all of them.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from drill.cell import CELLS, QUICK, Cell
from drill.matrix import account, matrix
from drill.trial import Result
from drill.worker import results

# A run waits now and then, for its servers or in vain: there is work for a process more than there are cores.
MOST_PROCESSES = (os.cpu_count() or 1) + 1
CELLS_WORTH_A_PROCESS = 20


def main() -> int:
    """Return the exit code: 1 when a cell is not as it was to be."""
    parser = argparse.ArgumentParser(prog="python -m drill", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="try only the cells that the tests try")
    parser.add_argument("words", nargs="*", metavar="WORD", help="try only cells whose name contains it")
    options = parser.parse_args()
    chosen = QUICK if options.quick else CELLS
    cells = [cell for cell in chosen if all(word in str(cell) for word in options.words)]
    if not cells:
        parser.error("no cell has such a name")
    began = time.monotonic()
    try:
        tried = try_all(cells)
    except subprocess.CalledProcessError as failure:  # it said why
        print(f"a process of the drill ended with {failure.returncode}", file=sys.stderr)
        return 1
    print(matrix(tried))
    print(account(tried), f"\n{time.monotonic() - began:.0f} s", sep="")
    return int(any(result.complaints for result in tried.values()))


def try_all(cells: Sequence[Cell]) -> dict[Cell, Result]:
    """Try the cells in several processes, each a share of them."""
    tried: dict[Cell, Result] = {}
    processes = min(MOST_PROCESSES, -(-len(cells) // CELLS_WORTH_A_PROCESS))

    def try_share(number: int) -> None:
        for cell, result in results(cells[number::processes]):
            tried[cell] = result
            _show_progress(f"{len(tried)} of {len(cells)} cells")

    with ThreadPoolExecutor(MOST_PROCESSES) as pool:
        list(pool.map(try_share, range(processes)))
    return tried


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<78}\r", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
