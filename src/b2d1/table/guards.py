"""What is refused before a write: the same content a second time, and another bucket's objects.

New rows are looked at as chunks (see `media_assets`), stored ones in the table, by SELECT alone.
"""

import logging
from collections.abc import Iterable
from typing import Any

from b2d1.d1.api import not_d1
from b2d1.errors import D1Error, GuardRefusal, harmless
from b2d1.media import FORM_OF_MODE, ListMode, form_of
from b2d1.source import Source
from b2d1.table.identity import SAME_CONTENT, STORED_FORM
from b2d1.table.media_assets import MediaAssets
from b2d1.table.schema import CREATE_KEY_INDEX

logger = logging.getLogger(__name__)

FORM_NAMES = {"quoted": "a quoted ETag", "version": "a B2 file id (4_z…)"}
OR_ANOTHER_DATABASE = "or use another, empty database: set D1_DATABASE_NAME and run b2d1 migrate."
COUNT_ROWS = "SELECT count(*) FROM media_assets"
# Each takes D1 some microseconds; its free plan reads this many rows a day.
MOST_ROWS_WALKED = 5_000_000

HAS_ROWS = "SELECT EXISTS (SELECT 1 FROM media_assets)"

# CROSS JOIN keeps SQLite from walking the whole table instead of looking each key up.
OTHER_IDENTITY = f"""\
SELECT m.b2_key, min(m.b2_file_id), json_extract(v.value, '$[2]'), count(*) OVER ()
FROM json_each(?1) v CROSS JOIN media_assets m ON m.b2_key = json_extract(v.value, '$[1]')
WHERE {SAME_CONTENT}
GROUP BY v.key LIMIT 3"""

# Whether any stored row has another form of identity than this one. If none has, and all new rows have it,
# then none can be the same content under another media_uid.
OTHER_FORM = """\
SELECT EXISTS (SELECT 1 FROM media_assets m WHERE m.b2_file_id IS NULL
OR CASE ?1 WHEN 'quoted' THEN m.b2_file_id <> '"' || trim(coalesce(m.etag, m.b2_file_id), '"') || '"'
ELSE m.b2_file_id NOT GLOB '4_z*' END)"""

HAS_FORM = f"""\
SELECT EXISTS (SELECT 1 FROM media_assets m WHERE {STORED_FORM} = ?1)"""

SHARES_A_KEY = """\
SELECT EXISTS (SELECT 1 FROM json_each(?1) v
CROSS JOIN media_assets m ON m.b2_key = json_extract(v.value, '$[1]'))"""


def refuse_nothing_listed(source: Source, *, adopt: bool) -> None:
    """Refuse a listing without an object: an emptied bucket and a wrong prefix look alike."""
    if source.discovered:
        return
    message = "not one object was listed"
    message += f" whose key begins with {source.prefix!r}" if source.prefix else ""
    message += f", besides {source.excluded:,} that B2_EXCLUDE matches" if source.excluded else ""
    hint = "The usual cause is the prefix (B2_PREFIX, --prefix, the event's), or another bucket."
    if not adopt:
        raise GuardRefusal(message, hint=f"{hint} If it is to be empty: run with --adopt.")
    logger.warning("%s. %s", message, hint)


class Guards:
    """The guards of one table, which was looked at."""

    def __init__(self, table: MediaAssets) -> None:
        self._table = table
        self._database = table.database

    def refuse_slow_guards(self, due: int) -> None:
        """Refuse to look so many keys up in a large table without an index of its keys (D1Error)."""
        if self._table.has_key_index:
            return
        rows = self._database.figure(COUNT_ROWS, doing="counting the table's rows")
        if rows * due > MOST_ROWS_WALKED:
            raise D1Error(
                f"table media_assets has {rows:,} rows and no index of b2_key: to look {due:,} new keys up "
                "in it would take too long",
                hint=f"Run b2d1 migrate, or:\n{CREATE_KEY_INDEX}",
            )

    def has_other_forms(self, form: str) -> bool:
        """Return True if a stored row could be the same content as a new one of this form."""
        return bool(self._database.figure(OTHER_FORM, form, doing="looking for other forms of identity"))

    def refuse_odd_form(self, odd: str, mode: ListMode) -> None:
        """Form guard: refuse rows whose identity has a form that a listing of the bucket does not give.

        The next sync would find their objects under another identity, and refuse those. Where the table has
        rows of that form already, somebody decided so.
        """
        if self._database.figure(HAS_FORM, odd, doing="looking for rows of that form"):
            return
        form = FORM_NAMES.get(odd, "a value without quotes")
        usual = FORM_NAMES[FORM_OF_MODE[mode]]
        raise GuardRefusal(
            f"the inventory identifies objects by {form}, where a listing in mode {mode} gives {usual}: "
            "b2d1 sync would refuse them from then on",
            hint="Make the inventory with b2d1 inventory: it keeps the quotes of an ETag. B2's file ids need "
            '"list_mode": "versions" in the header. If sync is never to run against this table: ingest once '
            "with --adopt.",
        )

    def refuse_other_identity(self, chunks: Iterable[str]) -> None:
        """Identity guard: refuse rows whose content the table holds already under another media_uid."""
        count = 0
        examples: list[list[Any]] = []
        for chunk in chunks:
            doing = "comparing identities"
            rows = self._database.run(OTHER_IDENTITY, chunk, doing=doing, columns=4).rows
            count += _whole(rows[0][3], doing) if rows else 0
            examples += rows[: 3 - len(examples)]
        if count:
            raise GuardRefusal(
                f"{count:,} new rows are objects that the table has already under another media_uid: "
                + "; ".join(
                    f"{key!r:.300} with b2_file_id {harmless(str(old), 200)}, now {harmless(str(new), 200)}"
                    for key, old, new, _ in examples
                ),
                hint=_explanation(examples[0][1], str(examples[0][2])),
            )

    def refuse_other_bucket(self, chunks: Iterable[str]) -> None:
        """Bucket guard: refuse rows of which not one has a key in common with a table that has rows."""
        doing = "comparing keys"
        if not self._database.figure(HAS_ROWS, doing=doing):
            return
        if not any(self._database.figure(SHARES_A_KEY, chunk, doing=doing) for chunk in chunks):
            raise GuardRefusal(
                "the table has rows, and none of them has a key of this listing: they are another bucket's",
                hint="Compare the bucket (or the inventory), the prefix and the database. If the bucket was "
                "emptied or filled anew, or nothing below this prefix is known yet: run once with --adopt.",
            )


def _whole(figure: Any, doing: str) -> int:
    if not isinstance(figure, int):
        raise not_d1(doing)
    return figure


def _explanation(stored_file_id: Any, new_file_id: str) -> str:
    """Say which setting, or which program, explains two such ids of the same content."""
    if stored_file_id == new_file_id:
        return (
            "The table's row has a media_uid that is not the hash of its own columns: somebody changed it. "
            "b2d1 verify shows such rows as corrupt, with their rowid: delete them by that, and run again."
        )
    stored, new = form_of(str(stored_file_id)), form_of(new_file_id)
    if new == "version":
        return f"The table was filled with B2_LIST_MODE=objects: set that, {OR_ANOTHER_DATABASE}"
    if stored == "version":
        return f"The table was filled with B2_LIST_MODE=versions: set that, {OR_ANOTHER_DATABASE}"
    if new != "quoted":
        return (
            "The new file_ids lack the quotes of an ETag, which b2d1 keeps. If they come from an inventory, "
            "make it again with b2d1 inventory."
        )
    return (
        "No value of B2_LIST_MODE explains them: b2d1 keeps the quotes of an ETag, and whatever wrote those "
        "rows did not. See them with\n"
        "SELECT * FROM media_assets WHERE b2_file_id NOT GLOB '\"*';\n"
        "and decide which of the two programs keeps this table."
    )
