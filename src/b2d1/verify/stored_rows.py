"""The rows of the table, all of them and as they are, and what is wrong with one by itself.

They are read by rowid, which every row has and no value in it can change: a media_uid that is NULL, a blob or
not even UTF-8 neither hides its row nor ends the reading. D1 counts one row read for each.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from b2d1.d1.api import not_d1
from b2d1.d1.database import Database
from b2d1.errors import D1Error, Retry
from b2d1.media import MAX_FIELD_BYTES, media_uid

# Of usual rows this is 1 MB; of keys as long as B2 takes them 7 MB.
ROWS_PER_REQUEST = 5_000
DOING = "reading the table's rows"
FIRST_ROWID, LAST_ROWID = -(2**63), 2**63 - 1

COLUMNS = {
    "media_uid": {"text"},
    "b2_key": {"text"},
    "b2_file_id": {"text", "null"},
    "size": {"integer"},
    "etag": {"text", "null"},
}
# A value may be of any kind, and of 2 MB: only what could be right is fetched, and of the rest its kind.
_KIND = f"CASE WHEN length(CAST({{0}} AS BLOB)) > {MAX_FIELD_BYTES} THEN 'long' ELSE typeof({{0}}) END"
_VALUE = f"CASE WHEN {_KIND} IN ('text', 'integer') THEN CAST({{0}} AS TEXT) END"

# Integers travel as text: in JSON, Cloudflare's are exact only up to 2^53.
PAGE = f"""\
SELECT CAST(rowid AS TEXT) AS number, {", ".join(f"{_VALUE.format(name)} AS {name}_" for name in COLUMNS)},
{" || ' ' || ".join(_KIND.format(name) for name in COLUMNS)} AS kinds
FROM media_assets WHERE rowid >= CAST(?1 AS INTEGER) ORDER BY rowid LIMIT CAST(?2 AS INTEGER)"""


class StoredRow(NamedTuple):
    """A row; a value is None where it is NULL, or of a kind that cannot be right, as `kinds` tells.

    `kinds` names those of the five values, in their order: as SQLite's typeof does, or `long`.
    """

    rowid: int
    media_uid: str | None
    b2_key: str | None
    b2_file_id: str | None
    size: str | None
    etag: str | None
    kinds: str

    def fault(self) -> str | None:
        """Say what is wrong with the row whatever the bucket holds, or None."""
        if self.kinds not in _USUAL_KINDS:
            return ", ".join(_wrong_kinds(self.kinds))
        if not self.b2_key:
            return "b2_key is empty"
        if str(self.size).startswith("-"):
            return f"size is {self.size}"
        if self.b2_file_id is not None:
            if self.media_uid != media_uid(self.b2_file_id, self.b2_key):
                return "media_uid is not the hash of b2_file_id and b2_key"
        elif self.etag is None:
            return "media_uid cannot be recomputed: b2_file_id and etag are NULL"
        elif self.media_uid not in {media_uid(each, self.b2_key) for each in _forms(self.etag)}:
            return "b2_file_id is NULL, and media_uid is not the hash of etag and b2_key"
        return None


_USUAL_KINDS = {
    f"text text {file_id} integer {etag}" for file_id in ("text", "null") for etag in ("text", "null")
}


def _wrong_kinds(kinds: str) -> Iterator[str]:
    for (name, right), kind in zip(COLUMNS.items(), kinds.split(" "), strict=True):
        if kind == "long":
            yield f"{name} is longer than {MAX_FIELD_BYTES:,} bytes"
        elif kind not in right:
            yield f"{name} is {'NULL' if kind == 'null' else f'of type {kind}'}"


def _forms(etag: str) -> tuple[str, str, str]:
    """Give the forms in which the original's programs took an ETag for a file id: quoted, or bare."""
    bare = etag.strip('"')
    return etag, bare, f'"{bare}"'


def stored_rows(database: Database) -> Iterator[StoredRow]:
    """Read all rows, each once; fewer in one request where D1 finds them too many.

    A row that is inserted meanwhile is read too: its rowid is the highest.
    """
    first, most = FIRST_ROWID, ROWS_PER_REQUEST
    while first <= LAST_ROWID:
        count = 0
        try:
            # Held by nothing but the loop: the next page comes when this one is gone.
            for row in _page(database, first, most):
                count, first = count + 1, row.rowid + 1
                yield row
        except D1Error as error:
            if error.retry is not Retry.SMALLER or most == 1:
                raise
            most //= 2
            continue
        if count < most:
            return


def _page(database: Database, first: int, most: int) -> list[StoredRow]:
    """Read up to `most` rows from a rowid on; D1Error unless the answer is as it was asked for."""
    found = database.run(PAGE, str(first), str(most), doing=DOING, columns=7, divisible=True).rows
    try:
        # Text and nothing else, and such as UTF-8 can write.
        "".join(cell for row in found for cell in row if cell is not None).encode()
        rows = [StoredRow(int(number), *cells) for number, *cells in found]
        kinds_told = all(row.kinds in _USUAL_KINDS or row.kinds.count(" ") == 4 for row in rows)
    except (TypeError, ValueError, AttributeError):
        raise not_d1(DOING) from None
    numbers = [first - 1, *(row.rowid for row in rows)]
    ascending = all(before < after for before, after in itertools.pairwise(numbers))
    if len(rows) > most or not ascending or not kinds_told:
        raise not_d1(DOING)
    return rows
