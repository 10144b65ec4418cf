"""A file that cannot be written has the hint of its own reason: space, permissions, or the path."""

import errno
import os
from contextlib import closing
from pathlib import Path

import pytest
from conftest import FakeTime

from b2d1.disk import disk_hint
from b2d1.doctor.configuration import Sound
from b2d1.doctor.finding import Status
from b2d1.doctor.finding import run as run_checks
from b2d1.doctor.snapshot import snapshot_check
from b2d1.errors import B2D1Error, SnapshotError
from b2d1.inventory import snapshot
from b2d1.run_folder import run_folder
from b2d1.scratch import disk_faults, open_scratch


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EDQUOT, "disk quota"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EACCES, "permissions"),
        (errno.EPERM, "permissions"),
        (errno.EROFS, "read-only"),
        (errno.ENOTDIR, "is a file, and not a folder"),
        (errno.EEXIST, "is a file, and not a folder"),
        (errno.EISDIR, "add the name of a file"),
        (errno.ENAMETOOLONG, "too long"),
        (errno.EIO, "failed"),
        (errno.ESTALE, "failed"),
    ],
)
def test_each_reason_has_its_own_hint(code: int, hint: str) -> None:
    """Only a failure of permissions speaks of permissions, and only a full disk of space."""
    found = disk_hint(OSError(code, os.strerror(code)), "Elsewhere.")

    assert hint in found
    assert found.endswith(" Elsewhere.")
    assert ("permissions" in found) == (code in {errno.EACCES, errno.EPERM})
    assert ("disk is full" in found) == (code == errno.ENOSPC)


def test_an_unknown_reason_claims_nothing() -> None:
    """Where the reason is not known, the hint says what the place must be like."""
    assert disk_hint(OSError("it is no ordinary file"), "Elsewhere.", "Must be a file.") == "Must be a file."
    assert disk_hint(OSError(errno.ENOENT, "none"), "Elsewhere.") == "Elsewhere."


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        pytest.param("x" * 300, "A name in the path is too long.", id="a long name"),
        pytest.param("file/kept.json", "A part of the path is a file, and not a folder.", id="below a file"),
        pytest.param("file/folder/kept.json", "A part of the path is a file, and not a folder.", id="deeper"),
    ],
)
def test_a_snapshots_path_that_cannot_be_is_explained(tmp_path: Path, place: str, hint: str) -> None:
    """The run's error and doctor's line name the same reason, and not the permissions."""
    (tmp_path / "file").touch()
    document = tmp_path / "inventory.json"
    document.write_bytes(b"{}")
    uri = str(tmp_path / place)
    sound = Sound(None, None, None, snapshot_is_sound=True, snapshot_uri=uri)

    with pytest.raises(SnapshotError) as failure:
        snapshot.keep(document, "0" * 64, 0, uri, FakeTime().retrying())
    (line,) = run_checks([snapshot_check(sound, FakeTime().retrying())])

    assert failure.value.hint == f"{hint} SNAPSHOT_URI, or --snapshot, names another place."
    assert line.status is Status.FAIL
    assert line.fix.startswith(hint)


def test_a_full_disk_under_sqlite_is_a_full_disk(tmp_path: Path) -> None:
    """SQLite's own code says that the disk, or its limit, is full."""
    with closing(open_scratch(tmp_path / "a")) as database:
        database.execute("PRAGMA max_page_count = 2")
        database.execute("CREATE TABLE a (b)")
        with pytest.raises(B2D1Error) as failure, run_folder(), disk_faults():
            database.execute("INSERT INTO a VALUES (zeroblob(100000))")

    assert "SQLite: database or disk is full" in str(failure.value)
    assert failure.value.hint.startswith("The disk is full: free some space. TMPDIR names another place")
