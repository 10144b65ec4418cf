"""A first load against what one would type otherwise: rclone's listing, piped into a SQLite file."""

import contextlib
import os
import sqlite3
import statistics
import tempfile
from pathlib import Path

from bench.databases import Databases
from bench.list_server import ROOT, ListServer
from bench.runner import B2_SETTINGS, Ran, b2d1, run
from bench.sizes import Sizes
from bench.tables import Progress, Section, at_least, grid

TIMES_FASTER = 2.5
PROGRAMS = ROOT / ".venv" / "bench" / "bin"
# Without its two last flags rclone would ask for each object by itself, for the date that it keeps there.
COMMAND = (
    "rclone lsjson -R --fast-list --files-only --hash --no-mimetype --use-server-modtime bench:bench"
    " | sqlite-utils insert index.db media_assets - --pk Path"
)
# https://rclone.org/s3/; an S3 host of no special kind.
RCLONE = {
    "RCLONE_CONFIG": os.devnull,
    "RCLONE_CONFIG_BENCH_TYPE": "s3",
    "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
    "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": "made-up",
    "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": "made-up",
    "RCLONE_CONFIG_BENCH_FORCE_PATH_STYLE": "true",
    "RCLONE_CONFIG_BENCH_LIST_VERSION": "2",
}
HEAD = (
    "{objects:,} objects from nothing, {latency:.0f} ms a page",
    "b2d1",
    "the pipe",
    "to reach",
    "reached",
)
HOW = """\
Wall time, medians of {rounds} rounds each. *b2d1* is `b2d1 sync` into an empty table of Cloudflare's own D1
engine, the rows verified; the number of workers is not set, and nothing tells it where to divide the bucket.
*The pipe* writes a SQLite file, and asks nobody whether it is all there:

    {command}

(rclone and sqlite-utils from PyPI, in an environment of their own; `bench` is an S3 remote of provider Other,
path style, list version 2.) Both must bring {objects:,} rows."""


def section(sizes: Sizes, databases: Databases, progress: Progress) -> Section:
    """Measure both, the pipe where it is installed, and make a section of that."""
    loads, pipes = [], []
    missing = missing_programs()
    for number in range(1, sizes.parallel_rounds + 1):
        progress(f"{sizes.piped:,} objects from nothing, round {number} of {sizes.parallel_rounds}")
        loads.append(_b2d1(databases, sizes))
        if not missing:
            pipes.append(_pipe(sizes))
    return made_section(loads, pipes, missing, sizes)


def made_section(loads: list[float], pipes: list[float], missing: list[str], sizes: Sizes) -> Section:
    """Make a section of the seconds that both took; without the pipe it says what is not installed."""
    head = tuple(each.format(objects=sizes.piped, latency=1000 * sizes.latency) for each in HEAD)
    theirs = (
        "",
        f"at least {TIMES_FASTER} times faster",
        f"not measured: {', '.join(missing)} not installed",
    )
    if pipes:
        ratio = statistics.median(pipes) / statistics.median(loads)
        theirs = (_seconds(pipes), *at_least(ratio, TIMES_FASTER, " times faster"))
    how = HOW.format(rounds=len(loads), command=COMMAND, objects=sizes.piped)
    return Section(
        "A first load, against a pipe", grid([head, ("first load", _seconds(loads), *theirs)]), how, []
    )


def missing_programs() -> list[str]:
    """Name the programs of the pipe that `make bench` has not installed."""
    return [name for name in ("rclone", "sqlite-utils") if not (PROGRAMS / name).exists()]


def _seconds(taken: list[float]) -> str:
    return f"{statistics.median(taken):.1f} s ({min(taken):.1f} to {max(taken):.1f})"


def _b2d1(databases: Databases, sizes: Sizes) -> float:
    d1 = databases.empty()
    with ListServer("ascii", sizes.piped, latency=sizes.latency) as b2:
        ran = b2d1("sync", "--json", settings=d1.settings() | B2_SETTINGS | {"B2_ENDPOINT": b2.url})
    with d1.connect() as connection:
        _expect(connection.execute("SELECT count(*) FROM media_assets").fetchone(), sizes.piped, ran)
    return ran.seconds


def _pipe(sizes: Sizes) -> float:
    with (
        tempfile.TemporaryDirectory() as folder,
        ListServer("ascii", sizes.piped, latency=sizes.latency) as b2,
    ):
        path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
        env = RCLONE | {"PATH": path, "HOME": folder, "RCLONE_CONFIG_BENCH_ENDPOINT": b2.url}
        ran = run(["sh", "-c", f"cd {folder} && {COMMAND}"], env)
        with contextlib.closing(sqlite3.connect(Path(folder, "index.db"))) as connection:
            _expect(connection.execute("SELECT count(*) FROM media_assets").fetchone(), sizes.piped, ran)
    return ran.seconds


def _expect(counted: tuple[int] | None, objects: int, ran: Ran) -> None:
    if counted != (objects,):
        raise RuntimeError(f"{counted} rows, not {objects:,}; it printed: {ran.printed}")
