"""What b2d1 says to D1 about its table `media_assets`.

New rows travel as a chunk: a JSON array of arrays `[media_uid, b2_key, b2_file_id, size, etag]`, bound as one
string. So nothing is ever quoted into SQL, integers and NULLs stay exact, and the limit of 100 parameters
does not matter.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence

from b2d1.d1.answer import Answer
from b2d1.d1.api import not_d1
from b2d1.d1.database import Database
from b2d1.errors import D1Error, Retry
from b2d1.retry import Retrying
from b2d1.table.identity import SAME_CONTENT
from b2d1.table.schema import LOOK, read_schema

# 20,000 uids are 920 kB of JSON; D1 documents 2 MB for a string.
UIDS_PER_REQUEST = 20_000
# A read just after a write was seen to miss it: https://github.com/kamp-us/phoenix (packages/d1-rest).
STALE_READ_SECONDS = 30.0

# Not NOT IN: that would answer nothing at all if one stored media_uid were NULL.
MISSING = """\
SELECT value FROM json_each(?1) j
WHERE NOT EXISTS (SELECT 1 FROM media_assets m WHERE m.media_uid = j.value)"""

SAMPLE_KEYS = "SELECT b2_key FROM media_assets ORDER BY media_uid LIMIT 1000"

# json_extract, since SQLite before 3.38 has no ->>.
INSERT_COLUMNS = """\
(media_uid, b2_key, b2_file_id, size, etag)
SELECT json_extract(v.value, '$[0]'), json_extract(v.value, '$[1]'), json_extract(v.value, '$[2]'),
json_extract(v.value, '$[3]'), json_extract(v.value, '$[4]')"""

# Nothing at all is inserted if a row's content is in the table under another media_uid: another writer may
# have come after the guard. Not INSERT OR IGNORE: that would also swallow a violated NOT NULL.
INSERT = f"""\
INSERT INTO media_assets {INSERT_COLUMNS}
FROM json_each(?1) v WHERE NOT EXISTS (SELECT 1 FROM json_each(?1) v
CROSS JOIN media_assets m ON m.b2_key = json_extract(v.value, '$[1]') WHERE {SAME_CONTENT})
ON CONFLICT(media_uid) DO NOTHING"""

COUNT_MISSING = """\
SELECT count(*) FROM json_each(?1) v
WHERE NOT EXISTS (SELECT 1 FROM media_assets m WHERE m.media_uid = json_extract(v.value, '$[0]'))"""


class MediaAssets:
    """The table, in one database. Every method but `insert` sends nothing but SELECT.

    After `look`, `indexes` counts what a new row is written to besides the table, `has_key_index` tells
    whether a key is found without walking the table, and `has_staging` whether there is a table for chunks.
    """

    def __init__(self, database: Database, retrying: Retrying | None = None) -> None:
        self.database = database
        self.indexes = 0
        self.has_staging = False
        self.has_key_index = False
        self._retrying = retrying or Retrying()

    def look(self) -> None:
        """Refuse a table that is missing, or that a run cannot use as it is (D1Error)."""
        doing = "looking at table media_assets"
        rows = self.database.run(LOOK, doing=doing, columns=2).rows
        try:
            found = read_schema(rows)
        except (ValueError, TypeError, AttributeError):
            raise not_d1(doing) from None
        self.indexes, self.has_key_index, self.has_staging = found

    def missing(self, uids: Sequence[str]) -> set[str]:
        """Ask which of up to UIDS_PER_REQUEST uids the table lacks."""
        question = json.dumps(uids, separators=(",", ":"))
        doing = "asking which are new"
        missing = {str(row[0]) for row in self.database.run(MISSING, question, doing=doing, columns=1).rows}
        if not missing.issubset(uids):
            raise not_d1(doing)
        return missing

    def sample_keys(self) -> list[str]:
        """Read up to 1,000 keys, in no order that is theirs: where a parallel listing may be cut.

        Uids are hashes, so the first of them have keys from everywhere in the bucket. Keys that another
        program stored as something else than text are left out.
        """
        keys = [row[0] for row in self.database.run(SAMPLE_KEYS, doing="sampling keys", columns=1).rows]
        return [key for key in keys if isinstance(key, str)]

    def insert(self, chunk: str) -> Answer:
        """Insert a chunk's rows that the table lacks: all of them, or none."""
        with doubt_told():
            return self.database.run(INSERT, chunk, doing="inserting", divisible=True)

    def count_missing(self, chunk: str) -> int:
        """Count the rows of a chunk that the table lacks."""
        return self.database.figure(COUNT_MISSING, chunk, doing="checking what was inserted")

    def prove(self, chunk: str) -> None:
        """Prove that the table holds every row of a chunk; asks for a while, since a read may be stale."""

        def ask() -> None:
            if missing := self.count_missing(chunk):
                raise D1Error(
                    f"{missing:,} of the rows inserted cannot be read back",
                    hint="Run again: it inserts what is missing. Does another program delete rows?",
                    retry=Retry.SOON,
                )

        self._retrying.within(STALE_READ_SECONDS).call(ask)


@contextlib.contextmanager
def doubt_told() -> Iterator[None]:
    """Let the error of a statement that inserts say when nobody knows whether it did."""
    try:
        yield
    except D1Error as error:
        if error.ambiguous:
            error.message += "; whether the rows are in is unknown"
            error.hint = f"{error.hint} Run again: it inserts only what is missing.".strip()
        raise
