"""The CPU that listing takes: each contender in a process of its own, in turns, round after round.

So neither imports nor warm-up of one are in another's figure, and what the machine does meanwhile meets all.
`python -m bench.listing` is such a process: it is told one task and prints what the task took.
"""

import contextlib
import gc
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import cast

from b2d1.media import ListMode
from bench import results
from bench.contenders import CONTENDERS, Task
from bench.databases import Databases
from bench.list_server import ROOT, ListServer, counts_so_far
from bench.pages import MAX_KEYS
from bench.results import Case, Measurement, Result
from bench.sizes import Sizes
from bench.tables import Progress, Section

CASES = (
    Case("listing + uid", "uids", "objects", "ascii", target=16),
    Case("listing + uid, non-ASCII keys", "uids", "objects", "non-ascii", target=12),
    Case("listing + uid, versions", "uids", "versions", "ascii", target=16),
    Case("inventory, JSON included", "inventory", "objects", "ascii", target=12),
)
# Far more than any task takes; a server that hangs is not to hang the benchmark.
TIMEOUT = 300


def section(sizes: Sizes, _: Databases, progress: Progress) -> Section:
    """Measure every case, and make a section of the results."""
    return results.section(measure(sizes.pages, sizes.rounds, progress), sizes.pages, sizes.rounds)


def measure(pages: int, rounds: int, progress: Progress) -> list[Result]:
    """Measure every case on a bucket of so many pages."""
    # Each page but the first shows the last key of the one before again.
    objects = pages * (MAX_KEYS - 1) + 1
    taken_by_all = [Result(case, objects, {name: [] for name in CONTENDERS[case.product]}) for case in CASES]
    with contextlib.ExitStack() as stack:
        alphabets = sorted({case.alphabet for case in CASES})
        urls = {name: stack.enter_context(ListServer(name, objects)).url for name in alphabets}
        for number in range(1, rounds + 1):
            for result in taken_by_all:
                for contender, taken in result.measurements.items():
                    progress(f"round {number} of {rounds}: {result.case.title}: {contender}")
                    taken.append(_measure_apart(result.case, contender, objects, urls[result.case.alphabet]))
    return taken_by_all


def _measure_apart(case: Case, contender: str, objects: int, url: str) -> Measurement:
    """Let a process of its own do the task."""
    task = (case.product, contender, case.mode, case.alphabet, str(objects), url)
    # Nothing that this machine has configured for AWS, and no proxy, may take part.
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "NO_PROXY": "*"}
    command = [sys.executable, "-m", "bench.listing", *task]
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, timeout=TIMEOUT, check=True)
    return Measurement(*json.loads(done.stdout))


def _measure_here(product: str, contender: str, *task: str) -> Measurement:
    mode, alphabet, objects, url = task
    with tempfile.TemporaryFile() as out:
        prepare = CONTENDERS[product][contender]
        work = prepare(Task(cast("ListMode", mode), alphabet, int(objects), url, out))
        before = counts_so_far(url).requests
        gc.collect()
        begun = time.process_time()
        listed = work()
        cpu_seconds = time.process_time() - begun
        requests = counts_so_far(url).requests - before
        out.seek(0)
        digest = listed.digest or hashlib.file_digest(out, "sha256").hexdigest()
    return Measurement(cpu_seconds, listed.objects, requests, digest)


if __name__ == "__main__":
    print(json.dumps(_measure_here(*sys.argv[1:])))
