"""A sync whose listing comes in ranges writes what it would write of a straight one, in the same order."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from conftest import Stack
from key_host import PATIENCE, Honest, KeyHost, Meeting, comes_after, numbered
from listings import new_bucket, threads_left
from objects import as_row, fill, run
from pages import Answer, Asked, PageServer

from b2d1.errors import B2D1Error
from b2d1.listing.listing import Listing
from b2d1.media import MediaObject
from b2d1.report import SyncReport
from b2d1.table.media_assets import MISSING, SAMPLE_KEYS

ROWS = numbered(240)
KEYS = [row.key for row in ROWS]
OBJECTS = [MediaObject(row.key, row.size, row.last_modified, row.etag, row.etag or "") for row in ROWS]
POINTS = ["k00060", "k00120", "k00180"]


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer() as server:
        yield server


def listing(server: PageServer, host: KeyHost, workers: int) -> Listing:
    return Listing(new_bucket(server, host, workers=workers))


def last_comes_first(host: KeyHost) -> None:
    """Hold back the pages of each range until those of the ones behind it were answered."""
    begun, done = Meeting(len(POINTS) + 1), [threading.Event() for _ in range(len(POINTS) + 2)]
    done[-1].set()

    def hold(asked: Asked, answer: Honest) -> Answer:
        if len(host.asked) <= 3:
            return answer(asked)
        begun()
        after = comes_after(asked)
        part = sum(point <= after for point in POINTS)
        assert done[part + 1].wait(PATIENCE)
        page = answer(asked)
        if part == len(POINTS):
            ends = b"Truncated>false" in page.body
        else:
            ends = POINTS[part] <= KEYS[KEYS.index(after) + 5]
        if ends:
            done[part].set()
        return page

    host.conduct = hold


def statements(stack: Stack, sql: str) -> int:
    return [text.split("/*")[0].strip() for text in stack.d1.statements].count(sql)


@pytest.fixture
def divided_at_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the known keys be the points, and make a range of each."""
    monkeypatch.setattr("b2d1.listing.listing.KEYS_A_WORKER", 0)
    monkeypatch.setattr("b2d1.listing.ranges.WORTH_HALVING", 0.001)


def told(report: SyncReport) -> dict[str, Any]:
    """Tell what a report says that does not depend on the moment, or on how the bucket was listed."""
    names = ("discovered", "known", "new", "inserted", "deferred", "key_order", "listing_sha256")
    return {name: getattr(report, name) for name in names}


@pytest.mark.usefixtures("divided_at_points")
@pytest.mark.parametrize("most", [None, 50, 150], ids=lambda most: f"at most {most}")
def test_rows_go_in_by_key_whatever_comes_first(server: PageServer, stack: Stack, most: int | None) -> None:
    """The plan is in the order of keys, so what is deferred is what comes last by key."""
    fill(stack.d1, [as_row(media) for media in OBJECTS if media.key in POINTS])
    new = [key for key in KEYS if key not in POINTS]
    host = KeyHost(ROWS, size=5)
    straight, _ = run(stack, listing(server, host, 1), dry_run=True, max_new=most)
    last_comes_first(host)
    host.asked.clear()

    report, _ = run(stack, listing(server, host, 4), max_new=most)

    assert told(report) == told(straight) | {"inserted": len(new[:most])}
    assert [key for (key,) in stack.rows("b2_key")] == POINTS + new[:most]
    assert (report.known, report.deferred, host.most) == (3, len(new[most:]) if most else 0, 4)


@pytest.mark.usefixtures("divided_at_points")
def test_a_rehearsal_prints_the_same_sql_in_ranges(server: PageServer, stack: Stack) -> None:
    """A dry run prints the rows in the order of keys, listed in whichever way."""
    fill(stack.d1, [as_row(media) for media in OBJECTS if media.key in POINTS])
    host = KeyHost(ROWS, size=5)
    _, straight = run(stack, listing(server, host, 1), dry_run=True, adopt=True)
    last_comes_first(host)
    host.asked.clear()

    _, printed = run(stack, listing(server, host, 4), dry_run=True, adopt=True)

    assert printed == straight
    assert len(printed) > 0


def test_the_index_itself_tells_where_to_divide(server: PageServer, stack: Stack) -> None:
    """Of a large bucket that is indexed, one sample of keys is read, and no folders are asked for."""
    chance = Random(3)
    fill(stack.d1, [as_row(media) for media in OBJECTS if chance.random() < 0.9])
    host = KeyHost(ROWS, size=6)
    meeting = Meeting(3)

    def together(asked: Asked, answer: Honest) -> Answer:
        if len(host.asked) > 3:
            meeting()
        return answer(asked)

    host.conduct = together
    report, _ = run(stack, listing(server, host, 3))

    assert sorted(key for (key,) in stack.rows("b2_key")) == KEYS
    assert (statements(stack, SAMPLE_KEYS), statements(stack, MISSING)) == (1, 1)
    assert sum(map(host.begins_range, host.asked)) >= 2
    assert [asked for asked in host.asked if asked.query.keys() & {"delimiter", "max-keys"}] == []
    assert report.list_requests == len(host.asked) <= 48 * 1.03 + 3 * 4


@pytest.mark.parametrize(("size", "pages"), [(81, 3), (240, 1)])
def test_no_sample_is_read_for_a_small_bucket(
    server: PageServer, stack: Stack, *, size: int, pages: int
) -> None:
    """Up to three pages, the table is asked about uids alone."""
    host = KeyHost(ROWS, size=size)

    report, _ = run(stack, listing(server, host, 16))

    assert (report.inserted, statements(stack, SAMPLE_KEYS)) == (240, 0)
    assert len(host.asked) == pages


def drop_the_table(stack: Stack, _: Path) -> None:
    with closing(stack.d1.connect()) as connection, connection:
        connection.execute("DROP TABLE media_assets")


def remove_the_files(_: Stack, folder: Path) -> None:
    for run_folder in folder.glob("b2d1-*"):
        shutil.rmtree(run_folder)


@pytest.mark.usefixtures("divided_at_points")
@pytest.mark.parametrize(
    ("deed", "error"),
    [
        pytest.param(drop_the_table, "no such table: media_assets", id="the database"),
        pytest.param(remove_the_files, "No such file or directory", id="the disk"),
    ],
)
def test_what_fails_beside_the_listing_ends_it(
    server: PageServer,
    stack: Stack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    deed: Callable[[Stack, Path], None],
    error: str,
) -> None:
    """An error amid a listing ends the requests to B2 that are under way, and is the error reported."""
    fill(stack.d1, [as_row(media) for media in OBJECTS if media.key in POINTS])
    monkeypatch.setattr("b2d1.sync.compare.UIDS_PER_REQUEST", 20)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    host, released, overdue = KeyHost(ROWS, size=5), threading.Event(), threading.Event()
    begun = Meeting(4)

    def hold(asked: Asked, answer: Honest) -> Answer:
        if len(host.asked) <= 3:
            return answer(asked)
        begun()
        if host.begins_range(asked) and not released.wait(PATIENCE):
            overdue.set()
        if comes_after(asked) == "k00011":
            deed(stack, tmp_path)
        return answer(asked)

    host.conduct = hold
    with pytest.raises(B2D1Error) as caught:
        run(stack, listing(server, host, 4), rows_per_publish=1)
    left = threads_left()
    released.set()

    assert error in str(caught.value)
    assert (left, overdue.is_set()) == ([], False)
