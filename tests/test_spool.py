"""What comes for several parts at once, kept on disk until it is a part's turn."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2d1.spool import BUFFER_BYTES, Spool

puts = st.lists(
    st.tuples(st.sampled_from(["b", "a", "é", "\ud7ff", "a/", "../x", "\n"]), st.binary(max_size=20)),
    max_size=40,
)


@given(puts=puts, repeated=st.sampled_from([1, 2000, 20_000]))
def test_each_part_comes_in_turn_with_all_that_was_put(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[str, bytes]], repeated: int
) -> None:
    """Parts come in the order of their names, each whole and as it was put; then no file is left."""
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder, "some")
    for part, data in puts:
        spool.put(part, data * repeated)

    found = [file.read() for file in spool.parts()]

    parts = sorted({part for part, _ in puts})
    assert found == [b"".join(data * repeated for name, data in puts if name == part) for part in parts]
    assert list(folder.iterdir()) == []


def test_a_part_s_file_is_gone_when_the_next_one_comes(tmp_path: Path) -> None:
    """The disk holds each part once: what was read is removed before the next is opened."""
    spool = Spool(tmp_path, "some")
    for part in "cab":
        spool.put(part, b"x" * BUFFER_BYTES)

    assert [len(list(tmp_path.iterdir())) for _ in spool.parts()] == [3, 2, 1]
    assert list(tmp_path.iterdir()) == []


def free_descriptor() -> int:
    """Tell the lowest number that a file could be opened with."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def test_no_file_is_open_however_many_parts_there_are(tmp_path: Path) -> None:
    """Parts beyond a process's limit of open files can be kept."""
    spool = Spool(tmp_path, "some")
    before = free_descriptor()
    for number in range(300):
        spool.put(f"{number:03}", b"x" * BUFFER_BYTES)

    assert free_descriptor() == before
    assert b"".join(file.read(1) for file in spool.parts()) == b"x" * 300
