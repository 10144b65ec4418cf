"""A process that tries cells: it reads their numbers from stdin and prints a line of JSON for each."""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from drill.cell import CELLS, Cell
from drill.rehearsal import rehearse
from drill.runs import haste
from drill.scene import Scene
from drill.trial import Result, attempt
from sandbox.cloudflare import CloudflareD1
from sandbox.wrangler import Wrangler, databases

ROOT = Path(__file__).resolve().parents[1]
# As wrangler starts it gives ports up and takes them again. Two that start together may take each other's.
starting = threading.Lock()


def results(cells: Sequence[Cell]) -> Iterator[tuple[Cell, Result]]:
    """Let a process of its own try the cells; raise CalledProcessError when it does not get through them."""
    command = [sys.executable, "-m", "drill.worker"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with starting:
            json.dump([CELLS.index(cell) for cell in cells], process.stdin)
            process.stdin.close()
            process.stdout.readline()
        for line in process.stdout:
            number, exit_code, complaints = json.loads(line)
            yield CELLS[number], Result(exit_code, complaints)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def main() -> None:
    """Try the cells whose numbers come from stdin; an empty line tells that the servers are up."""
    numbers = json.load(sys.stdin)
    with (
        tempfile.TemporaryDirectory(prefix="drill-", ignore_cleanup_errors=True) as folder,
        Wrangler(Path(folder), databases(1)) as wrangler,
        haste(),
        Scene(CloudflareD1(wrangler)) as scene,
    ):
        print(flush=True)
        rehearsal = rehearse(scene)
        for number in numbers:
            print(json.dumps([number, *attempt(CELLS[number], scene, rehearsal)]), flush=True)


if __name__ == "__main__":
    main()
