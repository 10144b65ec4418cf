"""The folder of a run's own: gone afterwards, and a full disk is an error with a name."""

import tempfile
from pathlib import Path

import pytest

from b2d1.errors import B2D1Error, D1Error
from b2d1.run_folder import remove_left_overs, run_folder


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
    assert (raised.value.exit_code, "TMPDIR" in raised.value.hint) == (1, True)
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


def test_what_killed_runs_left_is_removed(elsewhere: Path) -> None:
    """Their folders go with all that is in them; what others left there stays."""
    for name in ("b2d1-abc", "b2d1-def", "another"):
        (elsewhere / name / "deeper").mkdir(parents=True)
        (elsewhere / name / "deeper" / "chunk").write_bytes(b"x")

    remove_left_overs(elsewhere)

    assert [path.name for path in elsewhere.iterdir()] == ["another"]


def test_where_nothing_was_left_nothing_is_removed(elsewhere: Path) -> None:
    """An empty place, or none at all, is no error."""
    remove_left_overs(elsewhere)
    remove_left_overs(elsewhere / "gone")

    assert list(elsewhere.iterdir()) == []
