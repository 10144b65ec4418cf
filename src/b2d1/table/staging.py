"""New rows beyond one chunk: staged in the database, published by one statement, checked, cleared.

The table `media_ingest_chunks` (migration 0011) holds a run's chunks under its id, numbered from 0. While
they wait there nobody sees them.
"""

from typing import NamedTuple

from b2d1.d1.answer import Answer
from b2d1.d1.database import Database
from b2d1.errors import D1Error, Retry
from b2d1.table.identity import SAME_CONTENT
from b2d1.table.media_assets import INSERT_COLUMNS, doubt_told

CREATE_CHUNKS = """\
CREATE TABLE media_ingest_chunks (run_id TEXT NOT NULL, seq INTEGER NOT NULL, payload TEXT NOT NULL,
staged_at TEXT NOT NULL DEFAULT (datetime('now')), PRIMARY KEY (run_id, seq)) WITHOUT ROWID;"""

# A clearing or a sweep that fails is made up for by a later one.
CLEAN_UP_SECONDS = 10.0

# Parameters are strings; SQLite compares them with seq as numbers, since the column is INTEGER.
_RANGE = "run_id = ?1 AND seq BETWEEN ?2 AND ?3"

STAGE = """\
INSERT INTO media_ingest_chunks (run_id, seq, payload) VALUES (?1, CAST(?2 AS INTEGER), ?3)
ON CONFLICT DO NOTHING"""

# Nothing at all is published when a chunk is missing, or when a row's content is in the table under another
# media_uid. An aggregate has no affinity, hence the CAST.
PUBLISH = f"""\
INSERT INTO media_assets {INSERT_COLUMNS}
FROM media_ingest_chunks c, json_each(c.payload) v
WHERE c.{_RANGE}
AND (SELECT count(*) FROM media_ingest_chunks WHERE {_RANGE}) = CAST(?4 AS INTEGER)
AND NOT EXISTS (SELECT 1 FROM media_ingest_chunks c, json_each(c.payload) v
CROSS JOIN media_assets m ON m.b2_key = json_extract(v.value, '$[1]')
WHERE c.{_RANGE} AND {SAME_CONTENT})
ORDER BY c.seq, v.key ON CONFLICT(media_uid) DO NOTHING"""

CHECK = f"""\
SELECT (SELECT coalesce(sum(json_array_length(payload)), 0) FROM media_ingest_chunks WHERE {_RANGE}),
(SELECT count(*) FROM media_ingest_chunks c, json_each(c.payload) v WHERE c.{_RANGE}
AND NOT EXISTS (SELECT 1 FROM media_assets m WHERE m.media_uid = json_extract(v.value, '$[0]')))"""

CLEAR = f"DELETE FROM media_ingest_chunks WHERE {_RANGE}"

# A run that is only slow may lose its chunks to this; then it publishes nothing, and says so.
SWEEP = "DELETE FROM media_ingest_chunks WHERE staged_at < datetime('now', '-1 hour')"


class Staged(NamedTuple):
    """What the database holds of some chunks: how many rows, and how many of these the table lacks."""

    rows: int
    missing: int


class Unproven(D1Error):
    """What is staged does not show that all of it was published."""

    def __init__(self, rows: int, found: Staged) -> None:
        if found.rows == rows:
            message = f"{found.missing:,} of the {rows:,} rows published cannot be read back"
            hint = "Run again: it inserts what is missing. Does another program delete rows?"
        else:
            message = f"{found.rows:,} of the {rows:,} rows staged are left in media_ingest_chunks"
            hint = (
                "Run again: it inserts what is missing. Another program deletes from that table, or this run "
                "took over an hour and another one swept its chunks."
            )
        super().__init__(message, doing="checking what was published", hint=hint, retry=Retry.SOON)


class Staging:
    """The chunks of one run, in the database. A range of chunks is one of their numbers, without gaps."""

    def __init__(self, database: Database, run_id: str) -> None:
        self._database = database
        self._run_id = run_id

    def begin_anew(self) -> None:
        """Let the numbers stand for other chunks; what is staged, or comes to be so late, is left alone."""
        self._run_id += "+"

    def stage(self, number: int, chunk: str) -> None:
        """Put a chunk down; doing so twice is doing so once."""
        doing = f"staging chunk {number + 1}"
        self._database.run(STAGE, self._run_id, str(number), chunk, doing=doing, divisible=True)

    def publish(self, chunks: range) -> Answer:
        """Insert the rows of these chunks: all that the table lacks or, if a guard holds, none."""
        with doubt_told():
            parameters = (*self._bounds(chunks), str(len(chunks)))
            return self._database.run(PUBLISH, *parameters, doing="publishing what is staged", divisible=True)

    def check(self, chunks: range) -> Staged:
        """Count the rows that are staged, and those of them that the table lacks."""
        doing = "checking what was published"
        bounds = self._bounds(chunks)
        return Staged(*self._database.figures(CHECK, *bounds, doing=doing, columns=2, divisible=True))

    def prove(self, chunks: range, rows: int) -> None:
        """Ask whether so many rows are staged, and the table lacks none of them; raise Unproven if not."""
        found = self.check(chunks)
        if found != (rows, 0):
            raise Unproven(rows, found)

    def clear(self, chunks: range) -> None:
        """Take chunks away."""
        doing = "clearing what is published"
        self._database.run(CLEAR, *self._bounds(chunks), doing=doing, within=CLEAN_UP_SECONDS)

    def sweep(self) -> int:
        """Take away what runs that died long ago left behind; return how many chunks that were."""
        return self._database.run(SWEEP, doing="sweeping old chunks", within=CLEAN_UP_SECONDS).changes

    def _bounds(self, chunks: range) -> tuple[str, str, str]:
        return self._run_id, str(chunks.start), str(chunks.stop - 1)
