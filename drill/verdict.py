"""What is wrong with what a run left, as sentences; none where nothing is."""

import hashlib

from drill.bucket import COUNT, NEW_ROWS, STORED_ROWS
from drill.runs import Run
from drill.scene import Scene
from drill.steps import Start


def of_rows(scene: Scene, start: Start, due: int) -> list[str]:
    """Judge the table: it is to hold what it held, and behind that so many of the new rows, in order."""
    rows, wanted = scene.rows(), STORED_ROWS[start] + NEW_ROWS[start][:due]
    if rows == wanted:
        return []
    missing, strange = len(set(wanted) - set(rows)), len(set(rows) - set(wanted))
    found = f"the table holds {len(rows):,} rows, not {len(wanted):,}: {missing:,} are missing"
    return [f"{found}, {strange:,} are not to be there, {len(rows) - len(set(rows)):,} are there twice"]


def of_a_clean_run(scene: Scene, start: Start, done: Run, due: int) -> list[str]:
    """Judge a run without a fault, to which so many rows were left: all is to be done then, and proven."""
    report = done.report
    if report is None:
        return [f"the exit code is {done.exit_code}: {done.log[-1]}"]
    complaints = of_rows(scene, start, len(NEW_ROWS[start]))
    told = (report.discovered, report.new, report.inserted, report.confirmed, report.missing_after)
    if told != (COUNT, due, due, True, 0):
        complaints.append(f"(discovered, new, inserted, confirmed, missing_after) are {told}")
    digests = {report.listing_sha256, hashlib.sha256(scene.snapshot()).hexdigest()}
    if report.snapshot is None or digests != {report.snapshot.sha256}:
        complaints.append(f"the snapshot is not what was listed: {digests}, {report.snapshot}")
    return complaints + of_chunks(scene, done)


def of_chunks(scene: Scene, done: Run) -> list[str]:
    """Judge what a run left staged: nothing, if it came to its end."""
    left = scene.staged(done.report.run_id) if done.report else 0
    return [f"{left} chunks of it are left in media_ingest_chunks"] if left else []
