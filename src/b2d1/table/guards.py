"""What is refused before a write: the same content a second time, and another bucket's objects.

New rows are looked at as chunks (see `media_assets`), stored ones in the table, by SELECT alone.
"""

from collections.abc import Iterable
from typing import Any

from b2d1.d1.api import not_d1
from b2d1.errors import D1Error, GuardRefusal, harmless
from b2d1.media import ListMode
from b2d1.table.media_assets import CREATE_KEY_INDEX, MediaAssets

OR_ANOTHER_DATABASE = "or use another, empty database: set D1_DATABASE_NAME and run b2d1 migrate."
COUNT_ROWS = "SELECT count(*) FROM media_assets"
# Each takes D1 some microseconds; its free plan reads this many rows a day.
MOST_ROWS_WALKED = 5_000_000

HAS_ROWS = "SELECT EXISTS (SELECT 1 FROM media_assets)"

# Of a new row v and a stored row m with the same key: the same content under another identity. A row without
# an etag has the original's b2_file_id, which is one, or B2's own, of which nobody knows the content.
SAME_CONTENT = """\
m.media_uid <> json_extract(v.value, '$[0]')
AND (trim(coalesce(m.etag, m.b2_file_id), '"') = trim(json_extract(v.value, '$[4]'), '"')
OR m.etag IS NULL AND m.b2_file_id GLOB '4_z*')
AND ({mode} = 'objects' OR m.b2_file_id IS NULL OR m.b2_file_id NOT GLOB '4_z*'
OR m.b2_file_id = json_extract(v.value, '$[2]'))"""

# CROSS JOIN keeps SQLite from walking the whole table instead of looking each key up.
OTHER_IDENTITY = f"""\
SELECT m.b2_key, min(m.b2_file_id), json_extract(v.value, '$[2]'), count(*) OVER ()
FROM json_each(?1) v CROSS JOIN media_assets m ON m.b2_key = json_extract(v.value, '$[1]')
WHERE {SAME_CONTENT.format(mode="?2")}
GROUP BY v.key LIMIT 3"""

# Whether any stored row has another form of identity than the mode gives it. If none has, and the new rows
# have that form, then none can be the same content under another media_uid.
OTHER_FORM = """\
SELECT EXISTS (SELECT 1 FROM media_assets m WHERE m.b2_file_id IS NULL
OR CASE ?1 WHEN 'objects' THEN m.b2_file_id <> '"' || trim(coalesce(m.etag, m.b2_file_id), '"') || '"'
ELSE m.b2_file_id NOT GLOB '4_z*' END)"""

SHARES_A_KEY = """\
SELECT EXISTS (SELECT 1 FROM json_each(?1) v
CROSS JOIN media_assets m ON m.b2_key = json_extract(v.value, '$[1]'))"""


class Guards:
    """The guards of one table, which was looked at, against rows of one list mode."""

    def __init__(self, table: MediaAssets, mode: ListMode) -> None:
        self.mode: ListMode = mode
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

    def has_other_forms(self) -> bool:
        """Tell whether a stored row could be the same content as a new one, under another media_uid."""
        return bool(self._database.figure(OTHER_FORM, self.mode, doing="looking for other forms of identity"))

    def refuse_other_identity(self, chunks: Iterable[str]) -> None:
        """Identity guard: refuse rows whose content the table holds already under another media_uid."""
        count = 0
        examples: list[list[Any]] = []
        for chunk in chunks:
            doing = "comparing identities"
            rows = self._database.run(OTHER_IDENTITY, chunk, self.mode, doing=doing, columns=4).rows
            count += _whole(rows[0][3], doing) if rows else 0
            examples += rows[: 3 - len(examples)]
        if count:
            raise GuardRefusal(
                f"{count:,} new rows are objects that the table holds under another media_uid: "
                + "; ".join(
                    f"{key!r:.300} with b2_file_id {harmless(str(old), 200)}, now {harmless(str(new), 200)}"
                    for key, old, new, _ in examples
                ),
                hint=_explanation(self.mode, examples[0][1], examples[0][2]),
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


def _explanation(mode: ListMode, stored_file_id: Any, new_file_id: Any) -> str:
    """Say which setting, or which program, explains two such ids of the same content."""
    if stored_file_id == new_file_id:
        return (
            "The table's row has a media_uid that is not the hash of its own columns: somebody changed it. "
            "b2d1 verify shows such rows as corrupt, with their rowid: delete them by that, and run again."
        )
    if mode == "versions":
        return f"The table was filled with B2_LIST_MODE=objects: set that, {OR_ANOTHER_DATABASE}"
    if str(stored_file_id).startswith("4_z"):
        return f"The table was filled with B2_LIST_MODE=versions: set that, {OR_ANOTHER_DATABASE}"
    if not str(new_file_id).startswith('"'):
        return (
            "The new file_ids lack the quotes of an ETag, which b2d1 keeps. If they come from an inventory, "
            "make it anew with b2d1 inventory."
        )
    return (
        "No value of B2_LIST_MODE explains them: b2d1 keeps the quotes of an ETag, and whatever wrote those "
        "rows did not. See them with\n"
        "SELECT * FROM media_assets WHERE b2_file_id NOT GLOB '\"*';\n"
        "and decide which of the two programs keeps this table."
    )
