"""The table's rows: whose identity they have, how old the newest is, and how they stand to the bucket.

Sends nothing but SELECT, and reads some ten thousand rows at the most, however many there are.
"""

import datetime as dt
import json
from collections.abc import Callable

from b2d1.b2.bucket import Page
from b2d1.d1.api import not_d1
from b2d1.d1.database import Database
from b2d1.doctor.bucket import BUCKET, BucketChecks
from b2d1.doctor.d1 import D1Checks
from b2d1.doctor.finding import Check, Found, counted, fail, not_checked, ok, warn
from b2d1.doctor.table import TABLE
from b2d1.errors import D1Error, GuardRefusal
from b2d1.media import ListMode, media_uid
from b2d1.table.guards import HAS_ROWS, OR_ANOTHER_DATABASE, SHARES_A_KEY
from b2d1.table.media_assets import MediaAssets
from b2d1.table.schema import PUT_ASIDE

# Rows whose identity is looked at. D1's free plan reads 5,000,000 a day.
SAMPLE = 10_000
# In the order of their uids, which are hashes: as good as drawn at random, and an index has that order.
COUNT_FORMS = f"""\
SELECT form, count(*) FROM (
SELECT CASE WHEN b2_file_id IS NULL THEN 'none' WHEN b2_file_id GLOB '4_z*' THEN 'version'
WHEN b2_file_id GLOB '"?*"' THEN 'quoted' ELSE 'bare' END AS form
FROM media_assets ORDER BY media_uid LIMIT {SAMPLE}
) GROUP BY form"""
FORMS = {
    "quoted": "a quoted ETag",
    "version": "a B2 file id (4_z…)",
    "bare": "an ETag without quotes",
    "none": "no b2_file_id",
}
FORM_OF_MODE = {"objects": "quoted", "versions": "version"}
MODE_OF_FORM = {form: mode for mode, form in FORM_OF_MODE.items()}

# Not the newest ingested_at, for which every row would be read.
NEWEST = "SELECT ingested_at FROM media_assets ORDER BY rowid DESC LIMIT 1"
# Somebody else's own form of it may be of any length.
MOST_OF_A_TIME = 100
# After so long a daily run must have seen an object: a day, and the slack that its alarm has too.
SEEN_AFTER = dt.timedelta(hours=26)


MIXED = (
    "Find what else writes this table, and let b2d1 alone do it; rows of another form are left as they are, "
    "and a new object that is one of them is refused."
)
OTHER_BUCKET = (
    "Compare B2_BUCKET, B2_PREFIX, B2_LIST_MODE and the database; if the bucket was filled anew, run "
    "b2d1 sync --adopt."
)
NOT_RUN = "Run b2d1 sync and read what it says; then see why the daily run did not: docs/operations.md."


class RowChecks:
    """The checks that read rows; `now` tells the time, `mode` is None where B2's settings are not sound."""

    def __init__(
        self, d1: D1Checks, bucket: BucketChecks, mode: ListMode | None, now: Callable[[], dt.datetime]
    ) -> None:
        self._d1 = d1
        self._bucket = bucket
        self._mode = mode
        self._now = now
        self._fits = False  # the identity of some rows is that of the list mode

    def checks(self) -> list[Check]:
        """List the checks, in their order."""
        return [
            Check("identity of the rows", self._identity, (TABLE,)),
            Check("newest row", self._newest, (TABLE,)),
            Check("bucket and table", self._behind, (TABLE, BUCKET)),
        ]

    def _identity(self) -> Found:
        if (database := self._d1.database) is None:
            return not_checked(f"it needs {TABLE}")
        doing = "counting forms of identity"
        rows = database.run(COUNT_FORMS, doing=doing, columns=2).rows
        if not all(isinstance(form, str) and isinstance(count, int) for form, count in rows):
            raise not_d1(doing)
        counts: dict[str, int] = dict(map(tuple, rows))
        total = sum(counts.values())
        if not total:
            return ok("the table is empty")
        told = ", ".join(f"{counts[form]:,} with {FORMS[form]}" for form in FORMS if form in counts)
        found = f"{'all' if total < SAMPLE else 'a sample of'} {counted(total, 'row')}: {told}"
        if self._mode is None:
            return not_checked(f"{found}; whether they fit B2_LIST_MODE needs sound settings of B2")
        fitting = FORM_OF_MODE[self._mode]
        self._fits = fitting in counts
        if set(counts) == {fitting}:
            return ok(f"{found}, as B2_LIST_MODE={self._mode} has it")
        if fitting not in counts:
            form = max(counts, key=lambda form: counts[form])
            return fail(GuardRefusal.exit_code, f"{found}; B2_LIST_MODE is {self._mode}", _way_out(form))
        return warn(f"{found}: a mixture; B2_LIST_MODE is {self._mode}", MIXED)

    def _newest(self) -> Found:
        if (database := self._d1.database) is None:
            return not_checked(f"it needs {TABLE}")
        try:
            rows = database.run(NEWEST, doing="reading the newest row", columns=1).rows
        except D1Error as error:
            if "no such column: rowid" in error.message:
                return not_checked("the table has no rowid, which tells the newest row")
            if "no such column" in error.message:
                return not_checked("the table has no column ingested_at, which b2d1 can do without")
            raise
        if not rows:
            return ok("the table is empty: the first run is the first load")
        told = str(rows[0][0])[:MOST_OF_A_TIME]
        try:
            moment = dt.datetime.fromisoformat(told)
        except ValueError:
            return ok(f"it came in at {told}")
        age = self._now() - (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))
        return ok(f"it came in {_spell(age)} ago, at {told} UTC")

    def _behind(self) -> Found:
        database, page = self._d1.database, self._bucket.page
        if database is None or page is None:
            return not_checked(f"it needs {TABLE} and {BUCKET}")
        uids = {media_uid(media.file_id, media.key): media for media in page.objects}
        count = f"the {counted(len(uids), 'object')} of the bucket's first page"
        missing = MediaAssets(database).missing(list(uids))
        if not missing:
            return ok(f"the table has all of {count}" if uids else "the bucket's first page has no object")
        if not database.figure(HAS_ROWS, doing="looking for a row"):
            return ok(f"the table is empty, and would get {count}")
        late = [uid for uid in missing if self._is_late(uids[uid].last_modified)]
        if len(missing) == len(uids) and not self._shares_a_key(database, page):
            return warn(f"the table has rows, and none of {count}", OTHER_BUCKET)
        found = f"the table lacks {len(missing):,} of {count}"
        if late:
            return warn(f"{found}, {len(late):,} of them for over {_spell(SEEN_AFTER)}", NOT_RUN)
        return ok(f"{found}, none of them for over {_spell(SEEN_AFTER)}")

    def _shares_a_key(self, database: Database, page: Page) -> bool:
        """Ask as the bucket guard does, where no key makes D1 walk the table."""
        if not (self._fits and self._d1.has_key_index):
            return False
        chunk = json.dumps([["", media.key] for media in page.objects])
        return bool(database.figure(SHARES_A_KEY, chunk, doing="comparing the first page's keys"))

    def _is_late(self, last_modified: str) -> bool:
        try:
            return self._now() - dt.datetime.fromisoformat(last_modified) > SEEN_AFTER
        except (ValueError, TypeError):
            return False


def _way_out(form: str) -> str:
    if mode := MODE_OF_FORM.get(form):
        return f"Set B2_LIST_MODE to {mode}, with which this table was filled, {OR_ANOTHER_DATABASE}"
    return (
        "Another program filled this table: let it go on, or put it aside and create a new one for b2d1:\n"
        f"{PUT_ASIDE}"
    )


def _spell(age: dt.timedelta) -> str:
    if age >= dt.timedelta(days=2):
        return f"{age.days:,} days"
    hours, minutes = divmod(max(0, int(age.total_seconds())) // 60, 60)
    return f"{hours} h" if hours else f"{minutes} min" if minutes else "less than a minute"
