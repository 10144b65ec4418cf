"""The folder of a run's own: gone afterwards, and a full disk is an error with a name."""

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from b2d1.errors import B2D1Error, D1Error
from b2d1.run_folder import LOCK, PREFIX, remove_dead_folders, run_folder

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep temporary files in a folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_lasts_as_long_as_the_run(elsewhere: Path) -> None:
    """What a run keeps on disk is there during the run, for this user alone, and gone after it."""
    with run_folder() as folder:
        (folder / "chunk").write_bytes(b"x")
        assert folder.parent == elsewhere
        assert folder.stat().st_mode & 0o077 == 0

    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(D1Error("refused"), id="an error with a name"),
        pytest.param(KeyError("bug"), id="a bug"),
        pytest.param(KeyboardInterrupt(), id="Ctrl-C"),
        pytest.param(BrokenPipeError(32, "Broken pipe"), id="a reader that went away"),
    ],
)
def test_a_failure_leaves_no_folder_behind(elsewhere: Path, failure: BaseException) -> None:
    """However a run ends, its folder goes, and the failure stays what it was."""

    def run() -> None:
        with run_folder() as folder:
            (folder / "chunk").write_bytes(b"x")
            raise failure

    with pytest.raises(type(failure)) as raised:
        run()

    assert raised.value is failure
    assert list(elsewhere.iterdir()) == []


def test_a_full_disk_is_an_error_with_a_name(elsewhere: Path) -> None:
    """When the disk is full the run ends with what happened, where, and what to do."""
    with pytest.raises(B2D1Error) as raised, run_folder(), Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")

    assert str(raised.value).startswith("keeping the run's working files: No space left on device: ")
    assert raised.value.exit_code == 1
    assert raised.value.hint.startswith("The disk is full: free some space. TMPDIR names another place")
    assert isinstance(raised.value.__cause__, OSError)
    assert list(elsewhere.iterdir()) == []


def test_a_missing_place_for_the_folder_is_an_error_with_a_name(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no folder can be made, the place is named."""
    gone = elsewhere / "gone"
    monkeypatch.setattr(tempfile, "tempdir", str(gone))

    with pytest.raises(B2D1Error) as raised, run_folder():
        pass

    assert str(raised.value).startswith(f"keeping the run's working files: No such file or directory: {gone}")


def test_where_nothing_can_be_written_the_error_has_a_name_too(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python finds no place at all on a disk that is full: that is told, and what to do."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(elsewhere / "gone")])

    with pytest.raises(B2D1Error) as raised, run_folder():
        pass

    said = "keeping the run's working files: No usable temporary directory found in "
    assert str(raised.value) == f"{said}['{elsewhere / 'gone'}']"


# Holds a folder until it is killed; with an argument, it kills itself while it removes the folder.
HOLD = """
import os, shutil, signal, sys
from b2d1.run_folder import run_folder
with run_folder() as folder:
    (folder / "chunk").write_bytes(b"x")
    print(folder, flush=True)
    if sys.argv[1:]:
        shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
    else:
        sys.stdin.read()
"""


@contextlib.contextmanager
def another_run(place: Path, *arguments: str) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """Start a process that has a run's folder; yield the folder and the process."""
    env = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLD, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        yield Path(process.stdout.readline().strip()), process
        process.kill()


def killed_run(place: Path, name: str = "") -> Path:
    """Return the folder of a run that was killed, under another name if one is given."""
    with another_run(place) as (folder, process):
        process.kill()
    return folder.rename(place / name) if name else folder


def run_once() -> None:
    with run_folder():
        pass


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def test_the_next_run_removes_what_a_killed_run_left(elsewhere: Path) -> None:
    with another_run(elsewhere) as (one, _), another_run(elsewhere) as (two, _):
        pass
    assert [names(folder) for folder in (one, two)] == [[LOCK, "chunk"]] * 2

    with run_folder() as folder:
        assert list(elsewhere.iterdir()) == [folder]


def test_the_folder_of_a_live_run_stays(elsewhere: Path) -> None:
    with another_run(elsewhere) as (folder, _):
        run_once()

        assert names(folder) == [LOCK, "chunk"]


def test_a_run_inside_another_keeps_both_folders(elsewhere: Path) -> None:
    with run_folder() as outer:
        run_once()

        assert list(elsewhere.iterdir()) == [outer]


def test_a_run_killed_while_it_removes_its_folder_leaves_nothing_for_ever(elsewhere: Path) -> None:
    with another_run(elsewhere, "dies at its end") as (folder, process):
        assert process.wait(60) == -signal.SIGKILL
    assert names(folder) == [LOCK]

    run_once()

    assert names(elsewhere) == []


def test_two_runs_that_remove_the_same_folder_do_not_fail(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run opens the lock, and the first one removes the folder before the second has the lock."""
    left, flock = killed_run(elsewhere), fcntl.flock

    def late(file: IO[bytes], how: int) -> None:
        shutil.rmtree(left)
        monkeypatch.setattr(fcntl, "flock", flock)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)

    run_once()

    assert names(elsewhere) == []


def foreign_folder(place: Path) -> None:
    (place / "b2d1-lab" / "deeper").mkdir(parents=True)
    (place / "b2d1-lab" / "deeper" / "data").write_bytes(b"x")


def file_of_that_name(place: Path) -> None:
    (place / "b2d1-lab").write_bytes(b"x")


def symlink_to_a_dead_folder(place: Path) -> None:
    (place / "b2d1-lab").symlink_to(killed_run(place, "kept"), target_is_directory=True)


def lock_that_is_a_symlink(place: Path) -> None:
    folder = killed_run(place, "b2d1-lab")
    (folder / LOCK).rename(place / "kept")
    (folder / LOCK).symlink_to(place / "kept")


def lock_that_is_a_pipe(place: Path) -> None:
    (place / "b2d1-lab").mkdir()
    os.mkfifo(place / "b2d1-lab" / LOCK)


def lock_that_cannot_be_opened(place: Path) -> None:
    (place / "b2d1-lab" / LOCK).mkdir(parents=True)


def dead_folder_of_another_name(place: Path) -> None:
    killed_run(place, "lab")


@pytest.mark.parametrize(
    "make",
    [
        *(foreign_folder, file_of_that_name, symlink_to_a_dead_folder, dead_folder_of_another_name),
        *(lock_that_is_a_symlink, lock_that_is_a_pipe, lock_that_cannot_be_opened),
    ],
    ids=lambda make: str(make.__name__),
)
def test_what_is_not_a_dead_run_stays(elsewhere: Path, make: Callable[[Path], None]) -> None:
    """And it does not keep the folders of dead runs from being removed."""
    make(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    for name in ("b2d1-aaa", "b2d1-zzz"):
        killed_run(elsewhere).rename(elsewhere / name)

    run_once()

    assert sorted(elsewhere.rglob("*")) == before


def test_a_folder_of_another_user_stays(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, user = killed_run(elsewhere), os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)

    run_once()

    assert list(elsewhere.iterdir()) == [left]


def test_without_locks_a_run_works_and_its_folder_is_no_dead_run(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems refuse flock."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    left = killed_run(elsewhere)
    monkeypatch.setattr(fcntl, "flock", refuse)

    with run_folder() as folder:
        assert not (folder / LOCK).exists()

    assert list(elsewhere.iterdir()) == [left]


def test_on_windows_nothing_is_removed(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = killed_run(elsewhere)
    monkeypatch.setattr(sys, "platform", "win32")

    run_once()

    assert list(elsewhere.iterdir()) == [left]


def test_a_place_that_is_missing_or_unreadable_is_no_error(elsewhere: Path) -> None:
    (elsewhere / "file").write_bytes(b"")

    remove_dead_folders(elsewhere / "gone", PREFIX)
    remove_dead_folders(elsewhere / "file", PREFIX)

    assert names(elsewhere) == ["file"]
