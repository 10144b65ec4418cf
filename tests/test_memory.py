"""Memory stays flat: a command takes as much for 15,000 objects as for 4,000, and as for a million.

Each command runs in a process of its own, with the bounds that are numbers of objects made smaller, so that
few objects are many. Python's allocations are traced; SQLite's, which are not, have a bound.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Stack
from objects import NoBucket, numbered

from b2d1.inventory.writer import InventoryWriter
from sandbox.b2 import EmbeddedB2

pytestmark = pytest.mark.slow

FEW, MANY = 4_000, 15_000
# So that the inventory of many is larger than all that SQLite gets.
WIDTH = 800

MEASURED = """
import sqlite3, sys, tracemalloc
from pathlib import Path

# Beyond it SQLite fails to get memory, for whichever database: https://www.sqlite.org/pragma.html
bound = sqlite3.connect(":memory:")
bound.execute("PRAGMA hard_heap_limit = 12000000")
try:
    bound.execute("SELECT length(randomblob(13000000))")
    raise SystemExit("this SQLite does not keep to its hard_heap_limit")
except MemoryError:
    pass

from b2d1.sync import compare
from b2d1.sync import plan
from b2d1.inventory import snapshot
from b2d1.cli.commands import main
from b2d1.retry import Retrying

plan.CHUNK_BYTES, plan.CHUNK_ROWS, compare.UIDS_PER_REQUEST = 90_000, 500, 2_000
out, what, *arguments = sys.argv[1:]
tracemalloc.start()
if what == "keep":
    document, digest, count, uri = arguments
    print(snapshot.keep(Path(document), digest, int(count), uri, Retrying()).changed)
else:
    main([what, *arguments], standalone_mode=False)
Path(out).write_text(str(tracemalloc.get_traced_memory()[1]))
"""

Peaks = Callable[..., list[int]]


@pytest.fixture
def b2() -> NoBucket:
    """Take the place of a bucket: the objects come from files."""
    return NoBucket()


@pytest.fixture
def peaks(tmp_path: Path) -> Peaks:
    """Run what `command` makes of a number of objects, for few and for many; return the peaks (bytes)."""

    def peak(arguments: list[str], env: dict[str, str]) -> int:
        out = tmp_path / "peak"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", MEASURED, out, *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)} | env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return int(out.read_text())

    return lambda command, env: [peak(command(count), env) for count in (FEW, MANY)]


def inventory(folder: Path, count: int, *, every: int = 0) -> Path:
    """Write an inventory of so many objects; each `every`-th has other content."""
    path = folder / f"{count}-{every}.json"
    with path.open("wb") as out:
        writer = InventoryWriter(out, "bucket", "", "objects", path.parent)
        for media in numbered(count, width=WIDTH):
            other = every and media.size % every == 0
            writer.add([media._replace(etag='"other"', file_id='"other"') if other else media])
        writer.close()
    return path


def flat(few: int, many: int) -> bool:
    return many <= 1.1 * few


def test_a_comparison(tmp_path: Path, peaks: Peaks) -> None:
    """`b2d1 diff` takes no more for many objects, of which many differ, than for few."""

    def diff(count: int) -> list[str]:
        return ["diff", str(inventory(tmp_path, count)), str(inventory(tmp_path, count, every=3))]

    assert flat(*peaks(diff, {}))


@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["dry run", "write"])
def test_an_ingest(stack: Stack, tmp_path: Path, peaks: Peaks, options: list[str]) -> None:
    """`b2d1 ingest` takes no more for many new objects than for few, whether it prints or writes them."""

    def ingest(count: int) -> list[str]:
        return ["ingest", *options, str(inventory(tmp_path, count))]

    assert flat(*peaks(ingest, stack.d1.settings()))
    assert len(stack.rows("id")) == (0 if options else MANY)


@pytest.mark.parametrize("name", ["inventory.json", "inventory.json.gz"])
def test_a_snapshot_at_a_path(tmp_path: Path, peaks: Peaks, name: str) -> None:
    """To keep a large inventory, and to see that it is kept already, takes no more than a small one."""

    def keep(count: int) -> list[str]:
        document = inventory(tmp_path, count)
        digest = hashlib.sha256(document.read_bytes()).hexdigest()
        return ["keep", str(document), digest, str(count), str(tmp_path / f"{count}" / name)]

    assert flat(*peaks(keep, {}))
    assert flat(*peaks(keep, {}))


@pytest.mark.parametrize("name", ["inventory.json", "inventory.json.gz"])
def test_a_snapshot_in_s3(tmp_path: Path, peaks: Peaks, name: str) -> None:
    """To send a large inventory to S3 takes no more than to send a small one."""
    aws: dict[str, Any] = {"region": "eu-west-1", "key_id": "AKIASNAPSHOTS", "app_key": "snapshots-secret"}

    def keep(count: int) -> list[str]:
        document = inventory(tmp_path, count)
        digest = hashlib.sha256(document.read_bytes()).hexdigest()
        return ["keep", str(document), digest, str(count), f"s3://snapshots/{count}/{name}"]

    with EmbeddedB2(bucket="snapshots", fill=False, **aws) as s3:
        env = {
            "AWS_ACCESS_KEY_ID": aws["key_id"],
            "AWS_SECRET_ACCESS_KEY": aws["app_key"],
            "AWS_DEFAULT_REGION": aws["region"],
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_S3": s3.url,
        }
        assert flat(*peaks(keep, env))
        assert [request.split()[0] for request in s3.requests] == ["HEAD", "PUT"] * 2
