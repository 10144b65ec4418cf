"""The report of a run: its names, its order, its JSON, and the error it may end with."""

import dataclasses
import json

import pytest
from conftest import Stack

from b2d1.errors import B2Error, Retry
from b2d1.report import SnapshotReport, SyncReport, left_out

# The names that logs, metrics and whoever calls `b2d1 sync --json` rely on, in their order.
NAMES = [
    *("run_id", "started_at", "duration_ms", "bucket", "prefix", "list_mode", "key_order"),
    *("database_name", "database_id", "dry_run", "discovered", "known", "new", "inserted", "confirmed"),
    *(
        "deferred",
        "unidentified",
        "excluded",
        "rounds",
        "checked",
        "missing_after",
        "list_requests",
        "d1_requests",
    ),
    *("rows_read", "rows_written", "changed_db", "bookmark", "listing_sha256", "shrunk_by", "snapshot"),
]

REPORT = SyncReport(
    run_id="20260301T061700Z-0badcafe",
    started_at="2026-03-01T06:17:00Z",
    duration_ms=1234,
    bucket="photos",
    prefix='été/\n\u2028"',
    list_mode="objects",
    key_order="utf-8",
    database_name=None,
    database_id="b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39",
    dry_run=False,
    discovered=9,
    known=5,
    new=3,
    inserted=2,
    confirmed=True,
    deferred=1,
    unidentified=1,
    excluded=0,
    rounds=1,
    checked=2,
    missing_after=0,
    list_requests=1,
    d1_requests=7,
    rows_read=2**53 + 1,
    rows_written=6,
    changed_db=True,
    bookmark="00000001-00000002-00000003",
    listing_sha256="0" * 64,
    shrunk_by=0,
    snapshot=SnapshotReport("s3://bucket/b2.json.gz", "0" * 64, changed=True),
)


def test_the_json_has_the_promised_names_in_their_order() -> None:
    """The names and their order are a promise to every reader of the JSON."""
    assert list(json.loads(REPORT.as_json())) == NAMES
    assert list(json.loads(REPORT.as_json())["snapshot"]) == ["uri", "sha256", "changed", "objects_before"]


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(REPORT, id="with a snapshot"),
        pytest.param(dataclasses.replace(REPORT, snapshot=None), id="without a snapshot"),
        pytest.param(
            dataclasses.replace(REPORT, dry_run=True, missing_after=None, bookmark=None, snapshot=None),
            id="of a dry run",
        ),
    ],
)
def test_the_json_gives_back_the_report(report: SyncReport) -> None:
    """Nothing is lost or changed on the way through JSON."""
    found = json.loads(report.as_json())
    if found["snapshot"] is not None:
        found["snapshot"] = SnapshotReport(**found["snapshot"])

    assert SyncReport(**found) == report


def test_the_json_is_one_line() -> None:
    """A report is one line of a log, whatever the prefix holds."""
    assert REPORT.as_json().count("\n") == 0
    assert json.loads(REPORT.as_json())["prefix"] == REPORT.prefix


def test_the_dictionary_is_what_the_json_holds() -> None:
    """What the Lambda returns is what the runner prints."""
    assert REPORT.as_dict() == json.loads(REPORT.as_json())


def test_a_report_cannot_be_changed() -> None:
    """A report is one frozen value."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        REPORT.new = 0  # type: ignore[misc]


def test_a_whole_run_has_no_shortfall() -> None:
    """Where every object has an identity, there is no error to end with."""
    assert dataclasses.replace(REPORT, unidentified=0).shortfall() is None
    assert left_out(0, "photos") is None


def test_objects_left_out_end_a_run_with_an_error_of_b2() -> None:
    """Objects without an identity are counted in an error that no repetition mends: exit 3."""
    error = dataclasses.replace(REPORT, unidentified=1200).shortfall()

    assert isinstance(error, B2Error)
    assert (error.exit_code, error.retry) == (3, Retry.NEVER)
    assert str(error).startswith("listing bucket photos: 1,200 objects have no identity")
    assert error.hint


def test_a_real_run_reports_its_figures(stack: Stack) -> None:
    """A run's report holds the figures of that run, and each object is counted once."""
    stack.b2.put("photos/a.jpg", b"a")
    stack.b2.put("photos/b.jpg", b"b")
    stack.sync()
    stack.b2.put("photos/c.jpg", b"c")

    report = stack.sync()

    figures = dataclasses.asdict(report)
    assert {name: figures[name] for name in ("discovered", "known", "new", "inserted", "unidentified")} == {
        "discovered": 3,
        "known": 2,
        "new": 1,
        "inserted": 1,
        "unidentified": 0,
    }
    assert (report.list_requests, report.database_name, report.bucket) == (1, "lgfc_lite", "b2d1-sandbox")
    assert report.shortfall() is None
