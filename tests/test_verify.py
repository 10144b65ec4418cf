"""The index held against a bucket or an inventory: each kind of damage found, and nothing else."""

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import AnyD1, FakeTime, Stack
from objects import NoBucket, Objects, as_row, execute, fill, numbered
from test_stored_rows import LOOSE

from b2d1.d1.database import Database
from b2d1.errors import B2Error, D1Error, GuardRefusal, IndexDiffers
from b2d1.inventory.reader import InventoryFile, InventoryListing
from b2d1.media import MediaObject, media_uid
from b2d1.report import Sample, VerifyReport
from b2d1.run_folder import LOCK
from b2d1.source import Source
from b2d1.verify.stored_rows import ROWS_PER_REQUEST
from b2d1.verify.verification import SAMPLES, verify
from sandbox.b2 import EmbeddedB2
from sandbox.forwarder import Forwarder

NOTHING = dict.fromkeys(("matching", "missing", "different", "doubled", "corrupt", "history", "outside"), 0)


@pytest.fixture
def table(d1: AnyD1, fake_time: FakeTime) -> Stack:
    """Provide the table, without a bucket."""
    stack = Stack(NoBucket(), d1, fake_time)  # type: ignore[arg-type]
    stack.migrate()
    d1.statements.clear()
    return stack


def held_against(stack: Stack, source: Source | Sequence[MediaObject], **told: Any) -> VerifyReport:
    """Verify the stack's table, and prove that it was only looked at."""
    stack.d1.statements.clear()
    database = Database(stack.settings.d1, stack.time.retrying())  # type: ignore[arg-type]
    report = verify(Objects(source) if isinstance(source, list) else source, database, **told)  # type: ignore[arg-type]
    assert {text.split()[0] for text in stack.d1.statements} == {"SELECT"}
    assert (report.rows_written, report.changed_db) == (0, False)
    return report


def counts(report: VerifyReport) -> dict[str, int]:
    """Return what is not 0 of a report's kinds."""
    assert report.rows == sum(getattr(report, kind) for kind in NOTHING if kind != "missing")
    return {kind: count for kind in NOTHING if (count := getattr(report, kind))}


LISTED = numbered(12)
UID = as_row(LISTED[5])[0]
OLD = media_uid('"old"', "k/000000005")
WRONG = "media_uid is not the hash of b2_file_id and b2_key"
DAMAGE = [
    pytest.param(
        f"DELETE FROM media_assets WHERE media_uid = '{UID}'",
        {"matching": 11, "missing": 1},
        {"missing": [Sample(None, "k/000000005", UID, "")]},
        id="a row gone",
    ),
    pytest.param(
        f"UPDATE media_assets SET size = 6 WHERE media_uid = '{UID}'",
        {"matching": 11, "different": 1},
        {"different": [Sample(6, "k/000000005", UID, "size is 6, the listing's 5")]},
        id="another size",
    ),
    pytest.param(
        f"UPDATE media_assets SET size = 6, etag = 'e' WHERE media_uid = '{UID}'",
        {"matching": 11, "different": 1},
        {
            "different": [
                Sample(
                    *(6, "k/000000005", UID),
                    f"size is 6, the listing's 5, etag is e, the listing's {LISTED[5].etag}",
                )
            ]
        },
        id="another size and etag",
    ),
    pytest.param(
        f"UPDATE media_assets SET etag = trim(etag, '\"') WHERE media_uid = '{UID}'",
        {"matching": 12},
        {},
        id="the etag without its quotes",
    ),
    pytest.param(
        f"UPDATE media_assets SET etag = NULL WHERE media_uid = '{UID}'",
        {"matching": 12},
        {},
        id="an etag that nobody knows",
    ),
    pytest.param(
        f"UPDATE media_assets SET b2_file_id = NULL WHERE media_uid = '{UID}'",
        {"matching": 12},
        {},
        id="a file id that nobody knows",
    ),
    pytest.param(
        f"UPDATE media_assets SET b2_key = 'elsewhere' WHERE media_uid = '{UID}'",
        {"matching": 11, "corrupt": 1},
        {"corrupt": [Sample(6, "elsewhere", UID, WRONG)]},
        id="another key",
    ),
    pytest.param(
        f"UPDATE media_assets SET b2_file_id = '\"e\"' WHERE media_uid = '{UID}'",
        {"matching": 11, "corrupt": 1},
        {"corrupt": [Sample(6, "k/000000005", UID, WRONG)]},
        id="another file id",
    ),
    pytest.param(
        f"UPDATE media_assets SET media_uid = 'b2_' || hex(zeroblob(20)) WHERE media_uid = '{UID}'",
        {"matching": 11, "missing": 1, "corrupt": 1},
        {
            "missing": [Sample(None, "k/000000005", UID, "")],
            "corrupt": [Sample(6, "k/000000005", f"b2_{'0' * 40}", WRONG)],
        },
        id="another uid",
    ),
    pytest.param(
        f"UPDATE media_assets SET size = 'five' WHERE media_uid = '{UID}'",
        {"matching": 11, "corrupt": 1},
        {"corrupt": [Sample(6, "k/000000005", UID, "size is of type text")]},
        id="a size that is none",
    ),
    pytest.param(
        "INSERT INTO media_assets (media_uid, b2_key, b2_file_id, size, etag) "
        f"VALUES ('{OLD}', 'k/000000005', '\"old\"', 9, '\"old\"')",
        {"matching": 12, "history": 1},
        {"history": [Sample(13, "k/000000005", OLD, "")]},
        id="what an object was before",
    ),
    pytest.param(
        "UPDATE media_assets SET rowid = rowid + 1000 * ((rowid * 7) % 11), ingested_at = 'no time'",
        {"matching": 12},
        {},
        id="other ids and times, which say nothing of the object",
    ),
]


@pytest.mark.parametrize(("damage", "found", "samples"), DAMAGE)
def test_each_damage_is_found_and_nothing_else(
    table: Stack, damage: str, found: dict[str, int], samples: dict[str, list[Sample]]
) -> None:
    """One thing done to one of twelve rows is counted as what it is, shown, and is exit 6 if it matters."""
    fill(table.d1, [as_row(media) for media in LISTED])
    execute(table.d1, damage)

    report = held_against(table, LISTED)

    assert counts(report) == found
    assert {kind: each for kind, each in report.samples.items() if each} == samples
    verdict, bad = report.verdict(), found.keys() & {"missing", "different", "doubled", "corrupt"}
    assert (verdict.exit_code if verdict else 0) == (6 if bad else 0)


def test_damage_of_every_kind_at_once_is_told_apart(table: Stack) -> None:
    """With a row of each kind of damage in one table, each counts once, and exit 6 says how many."""
    execute(table.d1, LOOSE)
    fill(table.d1, [as_row(media) for media in LISTED])
    uids = [as_row(media)[0] for media in LISTED]
    for change in (
        f"DELETE FROM media_assets WHERE media_uid = '{uids[0]}'",
        f"UPDATE media_assets SET size = 100 WHERE media_uid = '{uids[1]}'",
        f"UPDATE media_assets SET etag = 'e' WHERE media_uid = '{uids[2]}'",
        f"UPDATE media_assets SET b2_key = 'x' WHERE media_uid = '{uids[3]}'",
        f"UPDATE media_assets SET b2_key = NULL WHERE media_uid = '{uids[4]}'",
        f"UPDATE media_assets SET size = 5.5 WHERE media_uid = '{uids[5]}'",
        f"UPDATE media_assets SET media_uid = NULL WHERE media_uid = '{uids[6]}'",
        f"UPDATE media_assets SET media_uid = x'00' WHERE media_uid = '{uids[7]}'",
    ):
        execute(table.d1, change)
    fill(table.d1, [as_row(media) for media in numbered(2, start=50)])

    report = held_against(table, LISTED)

    assert counts(report) == {"matching": 4, "missing": 3, "different": 2, "corrupt": 5, "history": 2}
    assert {kind: [sample.rowid for sample in each] for kind, each in report.samples.items()} == {
        "missing": [None] * 3,
        "different": [2, 3],
        "doubled": [],
        "corrupt": [4, 5, 6, 7, 8],
        "history": [13, 14],
    }
    assert [sample.b2_key for sample in report.samples["missing"]] == [
        f"k/{number:09}" for number in (0, 6, 7)
    ]
    verdict = report.verdict()
    assert isinstance(verdict, IndexDiffers)
    assert (str(verdict), verdict.hint) == (
        "the index differs from the listing: 3 missing, 2 different, 5 corrupt",
        "docs/operations.md, 'Is my index right?', tells what each of them means, and what to do.",
    )


def test_what_a_sync_made_is_right(stack: Stack) -> None:
    """After a sync every object has its row, also of keys that would be a terminal's or SQL's undoing."""
    keys = ["a", "b c", "'); DROP TABLE media_assets;--", "写真 🎞", "%41+&amp;", '"\\u0041"', "\x7f\u2028 é"]
    for number, key in enumerate(keys):
        stack.b2.put(key, bytes(number))
    stack.sync()

    report = held_against(stack, stack.listing())

    assert counts(report) == {"matching": len(keys)}
    assert (report.verdict(), report.discovered, report.list_requests) == (None, len(keys), 1)


def test_an_empty_table_lacks_every_object(table: Stack) -> None:
    report = held_against(table, numbered(3))

    assert counts(report) == {"missing": 3}
    assert report.verdict().exit_code == 6  # type: ignore[union-attr]


@pytest.mark.parametrize("rows", [0, 3])
def test_an_empty_listing_is_refused_unless_it_is_adopted(table: Stack, rows: int) -> None:
    """A typo in the prefix must not pass for an index that is right: the same rule as in sync."""
    if rows:
        fill(table.d1, [as_row(media) for media in numbered(rows)])

    with pytest.raises(GuardRefusal, match="not one object was listed"):
        held_against(table, [])

    report = held_against(table, [], adopt=True)
    assert (counts(report), report.verdict()) == ({"history": rows} if rows else {}, None)


QUOTED, BARE, VERSION = '"e1"', "e1", "4_z1"


@pytest.mark.parametrize(
    ("file_id", "etag", "size", "kind"),
    [
        pytest.param(BARE, None, 7, "doubled", id="its ETag without quotes"),
        pytest.param(BARE, '"e1"', 7, "doubled", id="its ETag without quotes, and the etag"),
        pytest.param("sha1", None, 7, "doubled", id="another hash"),
        pytest.param(VERSION, None, 7, "doubled", id="a B2 file id"),
        pytest.param(VERSION, '"e1"', 7, "doubled", id="a B2 file id of the same content"),
        pytest.param('"e2"', '"e2"', 7, "history", id="an older content of the same size"),
        pytest.param(BARE, None, 8, "history", id="another size"),
    ],
)
def test_a_second_row_of_a_listed_object_is_doubled(
    table: Stack, file_id: str, etag: str | None, size: int, kind: str
) -> None:
    listed = MediaObject("k", 7, "", QUOTED, QUOTED)
    older = MediaObject("k", size, "", etag, file_id)
    fill(table.d1, [as_row(older), as_row(listed)])

    report = held_against(table, [listed])

    assert counts(report) == {"matching": 1, kind: 1}
    verdict = report.verdict()
    assert (verdict.exit_code if verdict else 0) == (6 if kind == "doubled" else 0)
    assert [sample.rowid for sample in report.samples[kind]] == [1]


def test_rows_of_two_uploads_are_not_doubled(table: Stack) -> None:
    """In list mode versions the same content uploaded again has a file id of its own."""
    first, second = (MediaObject("k", 7, "", QUOTED, f"4_z{number}") for number in (1, 2))
    fill(table.d1, [as_row(first), as_row(second)])

    assert counts(held_against(table, [second])) == {"matching": 1, "history": 1}


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        pytest.param("DROP TABLE media_assets", "there is no table media_assets", id="no table"),
        pytest.param(
            "ALTER TABLE media_assets DROP COLUMN etag",
            "table media_assets has no column etag",
            id="no column",
        ),
        pytest.param(
            LOOSE.replace(" UNIQUE", ""), "has no unique index of its own", id="uids that may come twice"
        ),
    ],
)
def test_an_unfit_table_is_an_error_before_anything_is_listed(table: Stack, ddl: str, message: str) -> None:
    """A table that could not be verified is exit 4, with the statement that mends it."""
    execute(table.d1, ddl)
    source = Objects(LISTED)

    with pytest.raises(D1Error, match=message) as caught:
        verify(source, table.database())
    assert (caught.value.exit_code, bool(caught.value.hint), source.discovered) == (4, True, 0)


def test_rows_outside_the_prefix_are_only_counted(b2: EmbeddedB2, d1: AnyD1, fake_time: FakeTime) -> None:
    """Under a prefix, rows of other keys are outside and not history; corrupt ones are found anywhere."""
    stack = Stack(b2, d1, fake_time)
    stack.migrate()
    for key in ("photos/a", "photos/b", "photo", "docs/a"):
        b2.put(key, key.encode())
    stack.sync()
    b2.hide("photos/b")
    fill(d1, [("b2_1", "docs/b", '"e"', 1, '"e"'), ("b2_2", "photos/c", '"e"', 1, '"e"')])
    stack.extra["B2_PREFIX"] = "photos/"

    report = held_against(stack, stack.listing())

    assert counts(report) == {"matching": 1, "corrupt": 2, "history": 1, "outside": 2}
    assert [sample.b2_key for sample in report.samples["history"]] == ["photos/b"]


def test_objects_without_an_identity_are_exit_3_unless_something_is_worse(table: Stack) -> None:
    """They are counted and end in exit 3, as in a sync; a difference goes before them."""
    source = Objects(LISTED)
    source.unidentified = 2  # type: ignore[misc]
    fill(table.d1, [as_row(media) for media in LISTED])

    report = held_against(table, source)
    verdict = report.verdict()

    assert (counts(report), report.unidentified) == ({"matching": 12}, 2)
    assert isinstance(verdict, B2Error)
    assert (verdict.exit_code, str(verdict).split(":")[1]) == (3, " 2 objects have no identity")
    execute(table.d1, "DELETE FROM media_assets WHERE b2_key = 'k/000000001'")
    assert isinstance(held_against(table, source).verdict(), IndexDiffers)


@pytest.mark.parametrize(
    ("start", "hint"),
    [
        pytest.param(12, "Not one row is of this listing: compare bucket", id="another bucket"),
        pytest.param(1, "b2d1 sync inserts what is missing.", id="a sync that is due"),
        pytest.param(None, "b2d1 sync inserts what is missing.", id="a first sync that is due"),
    ],
)
def test_the_hint_says_what_is_likely(table: Stack, start: int | None, hint: str) -> None:
    """Where nothing matches, the settings are compared; where only rows are missing, a sync inserts them."""
    if start is not None:
        fill(table.d1, [as_row(media) for media in LISTED])

    verdict = held_against(table, numbered(12, start=start or 0)).verdict()

    assert isinstance(verdict, IndexDiffers)
    assert verdict.hint.startswith(hint)


def test_an_inventory_is_as_good_as_the_bucket(table: Stack, tmp_path: Path) -> None:
    """An inventory has a prefix and a list mode of its own, any order, and etags only perhaps."""
    entries = [
        {"key": f"p/{number}", "size": number, "file_id": f"4_z{number}", "etag": None} for number in range(5)
    ]
    document = {"objects": entries[::-1], "bucket": "b", "prefix": "p/", "list_mode": "versions"}
    rows = [
        (media_uid(f"4_z{number}", f"p/{number}"), f"p/{number}", f"4_z{number}", number, "any")
        for number in range(1, 6)
    ]
    fill(table.d1, [*rows, as_row(LISTED[0])])
    file = InventoryFile(io.BytesIO(json.dumps(document).encode()), "now.json")

    report = held_against(table, InventoryListing(file, tmp_path))

    assert counts(report) == {"matching": 4, "missing": 1, "history": 1, "outside": 1}
    assert (report.bucket, report.prefix, report.list_mode) == ("b", "p/", "versions")
    assert (report.discovered, report.list_requests) == (5, 0)


def test_samples_are_few_and_the_counts_whole(table: Stack) -> None:
    """Of many the first are shown: missing ones in the order of their keys, rows in that of their rowids."""
    fill(table.d1, [as_row(media) for media in numbered(40, start=100)])

    report = held_against(table, numbered(30)[::-1])

    assert counts(report) == {"missing": 30, "history": 40}
    assert [sample.b2_key for sample in report.samples["missing"]] == [
        media.key for media in numbered(SAMPLES)
    ]
    assert [sample.rowid for sample in report.samples["history"]] == [*range(1, SAMPLES + 1)]


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_connection_that_drops_on_the_way_changes_no_figure(
    table: Stack, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    """Whatever answer is lost, it is asked again, and each row counts once."""
    monkeypatch.setattr("b2d1.verify.stored_rows.ROWS_PER_REQUEST", 4)
    fill(table.d1, [as_row(media) for media in LISTED[1:]])
    with Forwarder(table.d1.url) as forwarder:
        table.extra["CLOUDFLARE_API_BASE_URL"] = forwarder.url
        forwarder.fail(fault, times=3, skip=3)
        report = held_against(table, LISTED)

    assert counts(report) == {"matching": 11, "missing": 1}
    assert len(table.time.pauses) == 3


def test_rows_that_come_and_go_meanwhile_are_counted_as_they_were(
    table: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync at the same time is no false alarm: what it inserts is found by its object, or history."""
    monkeypatch.setattr("b2d1.verify.stored_rows.ROWS_PER_REQUEST", 4)
    monkeypatch.setattr("b2d1.verify.verification.SHOWN_EVERY", 1)
    fill(table.d1, [as_row(media) for media in LISTED[:9]])

    def meanwhile(rows: int) -> None:
        if rows == 1:
            fill(table.d1, [as_row(media) for media in [*LISTED[9:], *numbered(1, start=50)]])
            execute(table.d1, "DELETE FROM media_assets WHERE b2_key IN ('k/000000000', 'k/000000008')")

    report = verify(Objects(LISTED), table.database(), reading=meanwhile)

    assert counts(report) == {"matching": 11, "missing": 1, "history": 1}
    assert [sample.b2_key for sample in report.samples["missing"]] == ["k/000000008"]


def test_the_figures_are_what_the_servers_counted(table: Stack) -> None:
    """One request for each 5,000 rows, one to look, one for the name; one row read for each row."""
    fill(table.d1, [as_row(media) for media in numbered(2 * ROWS_PER_REQUEST + 1)])
    table.d1.requests.clear()
    told: list[int] = []
    seen: list[int] = []

    report = held_against(
        table, numbered(2 * ROWS_PER_REQUEST + 1), progress=told.append, reading=seen.append
    )

    assert counts(report) == {"matching": 2 * ROWS_PER_REQUEST + 1}
    assert report.d1_requests == len(table.d1.requests) == 5
    assert report.rows <= report.rows_read <= report.rows + 50
    assert (told[-1], seen) == (10_001, [*range(1_000, 10_001, 1_000)])


def test_nothing_stays_on_the_disk(table: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's files are gone when it is done, and when it is not."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    seen: list[list[str]] = []

    def look(_count: int) -> None:
        seen.append(sorted(path.name for path in (tmp_path / "temporary").glob("b2d1-*/*")))

    held_against(table, LISTED, progress=look)
    with pytest.raises(D1Error, match="no such table"):
        verify(
            Objects(LISTED), table.database(), progress=lambda _: execute(table.d1, "DROP TABLE media_assets")
        )

    assert seen == [[LOCK, "listed.sqlite3"]]
    assert list((tmp_path / "temporary").iterdir()) == []


IN_A_PROCESS_OF_ITS_OWN = """
import os, sys, tracemalloc
from objects import Objects, numbered
from b2d1.d1.database import Database
from b2d1.settings import Settings
from b2d1.verify.verification import verify

source = Objects(numbered(int(sys.argv[1])))
database = Database(Settings.from_env(os.environ, b2=False).d1)
tracemalloc.start()
report = verify(source, database)
print(tracemalloc.get_traced_memory()[1], report.matching, report.missing, report.history)
"""


def test_memory_does_not_grow_with_the_bucket(table: Stack) -> None:
    """Three times the objects and rows, matching, missing and of history, take the same memory."""
    peaks = []
    for count in (20_000, 60_000):
        execute(table.d1, "DELETE FROM media_assets")
        fill(table.d1, [as_row(media) for media in numbered(count, start=10_000)])
        done = subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN, str(count)],
            env={"PYTHONPATH": os.pathsep.join(sys.path)} | table.d1.settings(),
            capture_output=True,
            text=True,
            check=True,
        )
        peak, *found = map(int, done.stdout.split())
        assert found == [count - 10_000, 10_000, 10_000]
        peaks.append(peak)

    assert peaks[1] < 1.1 * peaks[0]
