"""What a first load and the run after it take: the whole command, on Cloudflare's own D1 engine.

The memory is that of `b2d1 sync` in a process of its own, as the system counts it; requests and rows are
those that the run reports of itself.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from b2d1.media import media_uid
from bench.bucket import SyntheticBucket
from bench.list_server import ROOT, ListServer
from bench.results import grid
from sandbox.cloudflare import CloudflareD1
from sandbox.wrangler import LocalDatabase, Wrangler

MEMORY = 120  # MB, to reach
ROWS_WRITTEN = 3.01  # a row, to reach: the table, its unique index and the index of keys
MADE_UP = {"B2_KEY_ID": "made-up", "B2_APP_KEY": "made-up", "B2_BUCKET": "bench", "B2_REGION": "us-west-004"}
HEAD = (
    *("whole runs", "peak memory", "to reach", "D1 requests", "at most", "rows written a new row", "at most"),
    "rounds",
)


class Run(NamedTuple):
    """A run's own report, its peak of resident memory (MB), and what it was to insert and to ask at most."""

    title: str
    report: dict[str, Any]
    peak_memory: float
    new: int
    most_requests: int

    def faults(self) -> list[str]:
        """Say what the run did otherwise than it should; how long it took is no matter here."""
        report = self.report
        wrong = {
            "inserted": report["inserted"] != self.new,
            "missing_after": report["missing_after"] != 0,
            "confirmed": report["confirmed"] is not True,
            "d1_requests": report["d1_requests"] > self.most_requests,
            "rows_written": report["rows_written"] > ROWS_WRITTEN * self.new,
        }
        return [f"{self.title}: {name} is {report[name]}" for name, is_wrong in wrong.items() if is_wrong]


def measure(objects: int, progress: Callable[[str], object]) -> list[Run]:
    """Fill an empty database from a bucket of so many objects; then run again, with nothing new."""
    bucket = SyntheticBucket("ascii", objects)
    database = LocalDatabase("lgfc_lite", "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39")
    asks = math.ceil(objects / 20_000)
    with (
        tempfile.TemporaryDirectory() as folder,
        Wrangler(Path(folder), [database]) as wrangler,
        CloudflareD1(wrangler, database) as d1,
        ListServer("ascii", objects) as b2,
    ):
        settings = d1.settings() | MADE_UP | {"B2_ENDPOINT": b2.url}
        _b2d1(["migrate"], settings)
        runs = []
        for title, new, chunks in (
            (f"{objects:,} objects, all new", objects, math.ceil(_row_bytes(bucket) / 900_000)),
            (f"{objects:,} objects, nothing new", 0, 0),
        ):
            progress(title)
            printed, peak_memory = _b2d1(["sync", "--json"], settings)
            report = json.loads(printed)
            most = asks + chunks + 3 * report["rounds"] + 10
            runs.append(Run(title, report, peak_memory, new, most))
    return runs


def table(runs: list[Run]) -> str:
    """Make a table of the runs, in Markdown that a terminal can show as it is."""
    return grid([HEAD, *map(_row, runs)])


def _row(run: Run) -> tuple[str, ...]:
    report = run.report
    return (
        *(run.title, f"{run.peak_memory:.0f} MB", f"{MEMORY} MB"),
        *(f"{report['d1_requests']}", f"{run.most_requests}"),
        *(f"{report['rows_written'] / max(1, run.new):.4f}", f"{ROWS_WRITTEN}" if run.new else "0"),
        f"{report['rounds']}",
    )


def _row_bytes(bucket: SyntheticBucket) -> int:
    """Weigh the rows as they are sent."""

    def weight(index: int) -> int:
        key, etag = bucket.key(index), bucket.etag(index)
        row = [media_uid(etag, key), key, etag, bucket.size(index), etag]
        return len(json.dumps(row, separators=(",", ":"))) + 2

    return sum(map(weight, range(bucket.objects)))


def _b2d1(arguments: list[str], settings: dict[str, str]) -> tuple[str, float]:
    """Run a command of the runner; return what it printed, and its peak of resident memory in MB."""
    env = {"PATH": os.environ["PATH"], **settings}
    command = [str(Path(sys.executable).with_name("b2d1")), *arguments]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        with process.stderr:
            said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"b2d1 {' '.join(arguments)} ended with {process.returncode}:\n{said}")
        out.seek(0)
        # Linux counts in kilobytes, macOS in bytes.
        return out.read(), usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1024)
