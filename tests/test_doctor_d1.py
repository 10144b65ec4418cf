"""The doctor's look at the database, on Cloudflare's engine: little is read, and nothing written."""

import datetime as dt
from contextlib import closing

from conftest import Stack

from b2d1.d1.database import Database
from b2d1.doctor.bucket import BucketChecks
from b2d1.doctor.d1 import D1Checks
from b2d1.doctor.finding import Line, Status, run
from b2d1.doctor.rows import SAMPLE, RowChecks
from b2d1.doctor.table import TableChecks

NOW = dt.datetime.now(dt.UTC)
FILL = """\
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
INSERT INTO media_assets (media_uid, b2_key, b2_file_id, size, etag)
SELECT 'b2_' || lower(hex(randomblob(20))), 'photos/' || i, '"' || i || '"', i, '"' || i || '"' FROM n"""
INDEX = "CREATE UNIQUE INDEX idx_media_assets_media_uid ON media_assets (media_uid)"


def look(stack: Stack) -> tuple[dict[str, Line], Database]:
    """Make the checks of the database; return their lines, and the client that asked."""
    settings, retrying = stack.settings, stack.time.retrying()
    bucket, d1 = BucketChecks(settings.b2, retrying), D1Checks(settings.d1, retrying, lambda: NOW)
    checks = [*bucket.checks(), *d1.checks(), *TableChecks(d1).checks()]
    checks += RowChecks(d1, bucket, "objects", lambda: NOW).checks()
    lines = {line.check: line for line in run(checks)}
    assert d1.database is not None
    return lines, d1.database


def change(stack: Stack, *statements: str) -> None:
    """Change the database past the API."""
    with closing(stack.d1.connect()) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_a_large_table_is_not_read_through(stack: Stack) -> None:
    """Of 25,000 rows a sample of 10,000 is read, and but for it a few hundred; not one is written."""
    change(stack, FILL)

    lines, database = look(stack)

    told = f"a sample of {SAMPLE:,} rows: {SAMPLE:,} with a quoted ETag, as B2_LIST_MODE=objects has it"
    assert lines["identity of the rows"][1:3] == (Status.OK, told)
    assert database.usage.rows_read <= 2 * SAMPLE + 1000
    assert (database.usage.rows_written, database.usage.changed_db) == (0, False)


def test_a_synced_table_is_well(stack: Stack) -> None:
    """After a run every line about the database is ok."""
    stack.b2.put("photos/a.jpg", b"a")
    stack.sync()

    lines, database = look(stack)

    assert {name: line.status for name, line in lines.items() if line.status is not Status.OK} == {}
    assert (database.usage.rows_written, database.usage.changed_db) == (0, False)


def test_an_index_made_twice_is_found_and_its_cost_is_right(stack: Stack) -> None:
    """The original's index is named with its DROP line, and without it D1 counts a row written less."""
    change(stack, INDEX)
    (twice,) = [line for line in look(stack)[0].values() if line.check == "indexes"]
    statement = twice.fix.splitlines()[-1]

    stack.b2.put("photos/a.jpg", b"a")
    before = stack.sync().rows_written
    change(stack, statement)
    stack.b2.put("photos/b.jpg", b"b")
    after = stack.sync().rows_written

    assert (twice.status, statement) == (Status.WARN, "DROP INDEX idx_media_assets_media_uid;")
    assert twice.found.endswith("a new row writes 4 rows, and 3 without")
    assert before - after == 1
    assert look(stack)[0]["indexes"].status is Status.OK
