"""What a cold start of the function takes, from the start of its process until a run could begin.

From the built package, under the runtime's own version of Python where one is at hand, nothing else in sight.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.databases import Databases
from bench.runner import B2_SETTINGS
from bench.sizes import Sizes
from bench.tables import Progress, Section, at_most, grid
from bundle import runtime

ROOT = Path(__file__).resolve().parents[1]
TARGET = 0.6  # seconds, to reach: of wall-clock time, where nothing slows the processor down
PACKAGE = 20  # MB, to reach: the sum of all files' sizes
HEAD = (
    *("start of the function", "imports, CPU", "ready, CPU", "CPU without bytecode", "times more"),
    *("by round", "ready: to reach", "reached"),
)
HOW = """\
From the start of the function's process until a run could begin: modules imported, logger, metrics and
clients made (with a secret, that of Secrets Manager too). The built package alone,
under {python};
medians of {rounds} rounds. Lambda's 1,024 MB have little over half a processor. That nothing is imported
which a run does not use is proven by `make test`.

{package}

The sum of the sizes of all files, `.pyc` included; pure Python."""
SETTINGS = B2_SETTINGS | {
    "B2_ENDPOINT": "http://127.0.0.1:9",
    "CLOUDFLARE_API_TOKEN": "made-up",
    "CLOUDFLARE_ACCOUNT_ID": "0" * 32,
    "POWERTOOLS_SERVICE_NAME": "bench",
    "AWS_DEFAULT_REGION": "eu-central-1",
}

# Logger and metrics are made by the imports. The clock runs for all processes alike; the CPU time is that of
# the process from its start on.
READY = """
import json, os, sys, time
from handler.app import handler
from b2d1.b2.bucket import Bucket
from b2d1.d1.database import Database
from b2d1.settings import Settings
imported = time.process_time()
if "secret" in sys.argv:
    from handler.environment import _provider
    _provider()
settings = Settings.from_env(os.environ)
Bucket(settings.b2), Database(settings.d1)
ready = time.process_time(), time.monotonic()
print(json.dumps([imported, *ready, sorted(sys.modules)]))
"""


class Start(NamedTuple):
    """One start: the CPU that imports took, and until all was ready; the time until then (seconds)."""

    imports: float
    cpu: float
    seconds: float
    modules: list[str]


class Starts(NamedTuple):
    """Starts of the same thing, one for each round: with the package's bytecode, and without any."""

    title: str
    built: list[Start]
    without_bytecode: list[Start]


def section(sizes: Sizes, _: Databases, progress: Progress) -> Section:
    """Build the package, start it and weigh it, and make a section of that."""
    with tempfile.TemporaryDirectory() as folder:
        progress("building the package")
        package = build(Path(folder))
        size = sum(path.stat().st_size for path in package.rglob("*") if path.is_file())
        return made_section(measure(package, sizes.rounds, progress), size / 1e6, sizes.rounds)


def made_section(starts: list[Starts], megabytes: float, rounds: int) -> Section:
    """Make a section of starts, and of the package's size."""
    package = grid(
        [
            ("built package", "to reach", "reached"),
            ("sum of file sizes", *at_most(megabytes, PACKAGE, " MB", 1)),
        ]
    )
    how = HOW.format(python=python_used(), rounds=rounds, package=package)
    return Section("Start of the function", table(starts), how, [])


def build(folder: Path) -> Path:
    """Build the package below a folder."""
    package = folder / "function"
    subprocess.run([sys.executable, "-m", "bundle", package], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return package


def measure(package: Path, rounds: int, progress: Progress) -> list[Starts]:
    """Start the package so many times; the contenders take turns."""
    starts = [Starts("without a secret", [], []), Starts("with a secret", [], [])]
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare")
        shutil.copytree(package, bare, ignore=shutil.ignore_patterns("__pycache__"))
        for number in range(rounds):
            progress(f"start of the function, round {number + 1} of {rounds}")
            for kind, arguments in zip(starts, ([], ["secret"]), strict=True):
                kind.built.append(start(package, *arguments))
                kind.without_bytecode.append(start(bare, *arguments))
    return starts


def start(package: Path, *arguments: str) -> Start:
    """Start a process from a package, until a run could begin."""
    python = runtime.find() or sys.executable
    env = {"PATH": os.defpath, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", **SETTINGS}
    began = time.monotonic()
    command = [python, "-S", "-s", "-c", READY, *arguments]
    done = subprocess.run(command, cwd=package, env=env, capture_output=True, text=True, check=True)
    imports, cpu, ready, modules = json.loads(done.stdout)
    return Start(imports, cpu, ready - began, modules)


def table(starts: list[Starts]) -> str:
    """Make a table of the medians, in Markdown that a terminal can show as it is."""
    return grid([HEAD, *map(_row, starts)])


def python_used() -> str:
    """Tell the version of Python that the function was started with, and whether it is Lambda's."""
    return (
        f"Python {runtime.VERSION}, as in Lambda"
        if runtime.find()
        else f"this Python for want of {runtime.VERSION}; without bytecode"
    )


def _row(starts: Starts) -> tuple[str, ...]:
    built, bare = ([each.cpu for each in which] for which in (starts.built, starts.without_bytecode))
    ratios = [slow / fast for slow, fast in zip(bare, built, strict=True)]
    return (
        starts.title,
        f"{statistics.median(each.imports for each in starts.built):.2f} s",
        f"{statistics.median(built):.2f} s",
        f"{statistics.median(bare):.2f} s",
        f"{statistics.median(ratios):.1f}",
        f"{min(ratios):.1f} to {max(ratios):.1f}",
        *at_most(statistics.median(each.seconds for each in starts.built), TARGET, " s", 2),
    )
