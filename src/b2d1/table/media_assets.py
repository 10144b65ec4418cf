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

COLUMNS = ("media_uid", "b2_key", "b2_file_id", "size", "etag")
# 20,000 uids are 920 kB of JSON; D1 documents 2 MB for a string.
UIDS_PER_REQUEST = 20_000
# A read just after a write was seen to miss it: https://github.com/kamp-us/phoenix (packages/d1-rest).
STALE_READ_SECONDS = 30.0

CREATE_TABLE = """\
CREATE TABLE media_assets (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  media_uid TEXT NOT NULL UNIQUE,
  b2_key TEXT NOT NULL,
  b2_file_id TEXT,
  size INTEGER NOT NULL,
  etag TEXT,
  ingested_at TEXT NOT NULL DEFAULT (datetime('now'))
);"""
CREATE_KEY_INDEX = "CREATE INDEX idx_media_assets_b2_key ON media_assets (b2_key);"
# A renamed table keeps its indexes, and their names. Migrations that are recorded make nothing anew.
PUT_ASIDE = f"""\
ALTER TABLE media_assets RENAME TO media_assets_aside;
DROP INDEX IF EXISTS idx_media_assets_b2_key;
{CREATE_TABLE}
{CREATE_KEY_INDEX}"""
CREATE_UNIQUE_INDEX = "CREATE UNIQUE INDEX media_assets_media_uid ON media_assets (media_uid);"
FIND_DUPLICATES = "SELECT media_uid, count(*) FROM media_assets GROUP BY media_uid HAVING count(*) > 1;"

LOOK = """\
SELECT 'column' AS kind, name FROM pragma_table_info('media_assets')
UNION ALL
SELECT 'unique', group_concat(key.name || ' ' || key.coll)
FROM pragma_index_list('media_assets') list CROSS JOIN pragma_index_xinfo(list.name) key
WHERE list."unique" = 1 AND list.partial = 0 AND key.key = 1 GROUP BY list.name HAVING count(*) = 1
UNION ALL
SELECT 'index', info.name
FROM pragma_index_list('media_assets') list CROSS JOIN pragma_index_info(list.name) info WHERE info.seqno = 0
UNION ALL
SELECT 'table', name FROM sqlite_master WHERE type = 'table' AND name = 'media_ingest_chunks'"""

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
        """Refuse a table that is missing, lacks a column, or whose media_uid is not unique (D1Error)."""
        found = self.database.run(LOOK, doing="looking at table media_assets", columns=2).rows
        columns = {str(name) for kind, name in found if kind == "column"}
        self.indexes = sum(kind == "index" for kind, _ in found)
        self.has_staging = ["table", "media_ingest_chunks"] in found
        self.has_key_index = ["index", "b2_key"] in found
        if not columns:
            raise D1Error(
                "there is no table media_assets",
                hint=f"Create it with b2d1 migrate or wrangler d1 migrations apply, or run:\n{CREATE_TABLE}",
            )
        if lacking := [name for name in COLUMNS if name not in columns]:
            raise D1Error(
                f"table media_assets has no column {', '.join(lacking)}",
                hint=_how_to_add(lacking),
            )
        if ["unique", "media_uid BINARY"] not in found:
            raise D1Error(
                "column media_uid of table media_assets has no unique index of its own",
                hint=f"Create it:\n{CREATE_UNIQUE_INDEX}\n"
                f"Duplicates that stand in its way are found by:\n{FIND_DUPLICATES}",
            )

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


def _how_to_add(lacking: Sequence[str]) -> str:
    """Write the statements that give the table what it lacks, or a new table where it is another one."""
    if {"b2_file_id", "etag"}.issuperset(lacking):
        return "\n".join(f"ALTER TABLE media_assets ADD COLUMN {name} TEXT;" for name in lacking)
    return f"It is another table. Put it aside and create this one:\n{PUT_ASIDE}"
