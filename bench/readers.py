"""What the site's readers feel: how long a SELECT by key takes while a first load goes on.

`python -m bench.readers URL OBJECTS` is such a reader. It asks in a steady rhythm until its stdin ends, and
counts from when it meant to ask: who must wait for an answer asks late the next time, and that counts too.
"""

import json
import math
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable

from bench.bucket import SyntheticBucket
from bench.databases import Databases
from bench.list_server import ROOT, ListServer
from bench.runner import B2_SETTINGS, b2d1
from bench.sizes import Sizes
from bench.tables import Progress, Section, at_most, grid
from sandbox.engine_client import EngineClient

EVERY = 0.05
AT_REST = 10.0
# To reach, in seconds: D1 works off one request at a time, so a publish is what any reader waits for at most.
LONGEST_PUBLISH = 1.5
SELECT = "SELECT media_uid, size, etag FROM media_assets WHERE b2_key = ?1"
HEAD = ("a reader's SELECT by key", "asked", "median", "95th percentile", "worst")
PUBLISHES = ("the load meanwhile", "to reach", "reached")
HOW = """\
The reader sends

    {select}

{rate:.0f} times a second from a process of its own to Cloudflare's own D1 engine on this machine, during a
first load of {objects:,} objects and for {rest:.0f} seconds after it. What counts is the time from when it
was due to its answer. Reader, load, list server and engine share this machine's processors.

{publishes}

What D1 itself tells of each statement that inserts into the table: for so long nobody else is answered."""


def section(sizes: Sizes, databases: Databases, progress: Progress) -> Section:
    """Let a reader ask during a first load and after it, and make a section of that."""
    objects = sizes.read_during
    d1 = databases.empty()

    def load() -> None:
        progress(f"a reader, during a first load of {objects:,} objects")
        with ListServer("ascii", objects) as b2:
            b2d1("sync", "--json", settings=d1.settings() | B2_SETTINGS | {"B2_ENDPOINT": b2.url})

    def rest() -> None:
        progress("a reader, at rest")
        time.sleep(AT_REST)

    waits = [_waits_while(d1.engine_url, objects, what) for what in (load, rest)]
    return made_section(objects, waits, d1.publishes)


def made_section(objects: int, waits: list[list[float]], publishes: list[float]) -> Section:
    """Make a section of a reader's waits, during a load and at rest, and of the load's publishes (ms)."""
    longest = at_most(max(publishes) / 1000, LONGEST_PUBLISH, " s", 2)
    how = HOW.format(
        select=SELECT,
        rate=1 / EVERY,
        objects=objects,
        rest=AT_REST,
        publishes=grid([PUBLISHES, (f"longest of {len(publishes)} publishes", *longest)]),
    )
    rows = [
        (title, f"{len(each):,} times", *(f"{percentile(each, part):.1f} ms" for part in (50, 95, 100)))
        for title, each in zip(("during a first load", "at rest"), waits, strict=True)
    ]
    return Section("Readers during a first load", grid([HEAD, *rows]), how, [])


def percentile(figures: list[float], part: int) -> float:
    """Tell the smallest figure that so many per cent of them do not exceed."""
    return sorted(figures)[math.ceil(len(figures) * part / 100) - 1]


def _waits_while(url: str, objects: int, what: Callable[[], None]) -> list[float]:
    """Let a reader ask while something is done; return its waits (ms)."""
    command = [sys.executable, "-m", "bench.readers", url, str(objects)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as reader:
        assert reader.stdout is not None
        try:
            reader.stdout.readline()
            what()
        finally:
            told, _ = reader.communicate()
    if reader.returncode:
        raise RuntimeError(f"the reader ended with {reader.returncode}")
    waits: list[float] = json.loads(told)
    return waits


def in_rhythm(
    ask: Callable[[], None], ended: Callable[[float], bool], clock: Callable[[], float] = time.monotonic
) -> list[float]:
    """Ask until it `ended` in the seconds left; return what each answer took from when it was due (ms)."""
    waits: list[float] = []
    due = clock()
    while not ended(max(0.0, due - clock())):
        ask()
        waits.append(1000 * (clock() - due))
        due += EVERY
    return waits


def _read(url: str, objects: int) -> None:
    """Ask for keys of a bucket, from a first line on stdout until stdin ends; then print the waits."""
    bucket, chance, client = SyntheticBucket("ascii", objects), random.Random(0), EngineClient(url)

    def ask() -> None:
        body = json.dumps({"sql": SELECT, "params": [bucket.key(chance.randrange(objects))]})
        status, answer = client.post(body.encode())
        if status != 200:
            raise RuntimeError(answer.decode())

    ask()
    print("asking", flush=True)
    print(json.dumps(in_rhythm(ask, lambda seconds: bool(select.select([sys.stdin], [], [], seconds)[0]))))
    client.close()


if __name__ == "__main__":
    _read(sys.argv[1], int(sys.argv[2]))
