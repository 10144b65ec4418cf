"""Hold the index against a bucket, or an inventory of one: every row against every object, by SELECT only."""

import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from b2d1.d1.database import Database
from b2d1.media import MediaObject, is_doubled
from b2d1.report import Sample, VerifyReport
from b2d1.run_folder import run_folder
from b2d1.source import Source
from b2d1.table.guards import refuse_nothing_listed
from b2d1.table.media_assets import MediaAssets
from b2d1.verify.listed import Found, Listed
from b2d1.verify.stored_rows import StoredRow, stored_rows

logger = logging.getLogger(__name__)

# Of each kind of finding so many are named.
SAMPLES = 10
SHOWN_EVERY = 1_000  # rows


def verify(
    source: Source,
    database: Database,
    *,
    adopt: bool = False,
    progress: Callable[[int], object] = lambda _listed: None,
    reading: Callable[[int], object] = lambda _rows: None,
) -> VerifyReport:
    """List the source whole, then read the table whole, and tell how they differ.

    In this order, so that an object which comes meanwhile is at the most history. `adopt` accepts a listing
    without an object. `progress` is told how many objects are listed, `reading` how many rows are read.
    Raises B2D1Error where one of them cannot be read.
    """
    started, began = datetime.now(UTC), time.monotonic()
    database.resolve()
    logger.info("database %s (%s)", database.id, database.name or "by its id")
    table = MediaAssets(database)
    table.look()
    with run_folder() as folder, contextlib.closing(Listed(folder)) as listed:
        with contextlib.closing(source.batches(table.sample_keys)) as batches:
            for batch in batches:
                listed.add(batch.objects)
                progress(source.discovered)
        refuse_nothing_listed(source, adopt=adopt)
        listed.seal()
        findings = _Findings(listed, source)
        for row in stored_rows(database):
            findings.judge(row)
            if not findings.rows % SHOWN_EVERY:
                reading(findings.rows)
        findings.counts["missing"] = listed.left()
        findings.samples["missing"] = [Sample(None, key, uid, "") for key, uid in listed.some_left(SAMPLES)]
    return VerifyReport(
        started_at=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        duration_ms=round((time.monotonic() - began) * 1000),
        bucket=source.bucket,
        prefix=source.prefix,
        list_mode=source.list_mode,
        key_order=source.key_order,
        database_name=database.name,
        database_id=database.id or "",
        discovered=source.discovered,
        unidentified=source.unidentified,
        excluded=source.excluded,
        rows=findings.rows,
        **findings.counts,
        list_requests=source.requests,
        d1_requests=database.requests,
        rows_read=database.usage.rows_read,
        rows_written=database.usage.rows_written,
        changed_db=database.usage.changed_db,
        samples=findings.samples,
    )


class _Findings:
    """What became of each row: each counts once, and the first of a kind are kept as its samples."""

    def __init__(self, listed: Listed, source: Source) -> None:
        self.rows = 0
        kinds = ("matching", "missing", "different", "doubled", "corrupt", "history", "outside")
        self.counts = dict.fromkeys(kinds, 0)
        self.samples: dict[str, list[Sample]] = {
            kind: [] for kind in ("missing", "different", "doubled", "corrupt", "history")
        }
        self._listed = listed
        self._prefix = source.prefix
        self._exclude = source.exclude

    def judge(self, row: StoredRow) -> None:
        """Hold one row against itself, and against the object that has its media_uid."""
        self.rows += 1
        # A row that is not sound is found too: a sync would take its object for known, so it is not missing.
        found = self._listed.find(row.media_uid) if row.media_uid is not None else None
        if fault := row.fault():
            self._count("corrupt", row, fault)
        elif found:
            difference = _difference(row, found)
            self._count("different" if difference else "matching", row, difference)
        elif not str(row.b2_key).startswith(self._prefix) or self._exclude.excludes(str(row.b2_key)):
            self._count("outside", row, "")
        elif double := self._double_of(row):
            self._count("doubled", row, f"b2_file_id is {row.b2_file_id}, the listing's {double.file_id}")
        else:
            self._count("history", row, "")

    def _double_of(self, row: StoredRow) -> MediaObject | None:
        """Find the object of which a row may be a second one, under another media_uid."""
        for media in self._listed.under(row.b2_key or ""):
            same_size = row.size == str(media.size)
            if same_size and is_doubled((row.b2_file_id, row.etag), (media.file_id, media.etag)):
                return media
        return None

    def _count(self, kind: str, row: StoredRow, note: str) -> None:
        self.counts[kind] += 1
        samples = self.samples.get(kind)
        if samples is not None and len(samples) < SAMPLES:
            samples.append(Sample(row.rowid, row.b2_key, row.media_uid, note))


def _difference(row: StoredRow, found: Found) -> str:
    """Say in what a row and its object differ, "" for nothing.

    An etag that one of the two does not know is no difference; neither are its quotes, of which the
    original's programs took no care.
    """
    told = []
    if row.size != str(found.size):
        told.append(f"size is {row.size}, the listing's {found.size}")
    if None not in {row.etag, found.etag} and str(row.etag).strip('"') != str(found.etag).strip('"'):
        told.append(f"etag is {row.etag}, the listing's {found.etag}")
    return ", ".join(told)
