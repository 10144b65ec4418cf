"""The table's indexes, and those that cost a row written for each new row and serve nothing.

The original's scripts made a unique index of media_uid on every run, beside the one that UNIQUE makes.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

READ_INDEXES = """\
SELECT list.name, list."unique", list.origin, list.partial, key.name, key.desc, key.coll
FROM pragma_index_list('media_assets') list CROSS JOIN pragma_index_xinfo(list.name) key
WHERE key.key = 1 ORDER BY list.name, key.seqno"""
# The one that a migration makes: of two alike, the other one goes.
OURS = "idx_media_assets_b2_key"


class Index(NamedTuple):
    """An index and its key: for each column its name (None for an expression), direction and collation."""

    name: str
    unique: bool
    by_statement: bool  # by CREATE INDEX, not by a constraint, which alone DROP INDEX takes away
    partial: bool
    key: tuple[tuple[str | None, int, str], ...]

    def hinders(self, written: Iterable[str]) -> bool:
        """Tell whether two rows may clash in it that differ in media_uid; `written` are a row's columns.

        A column that is not written is NULL, of which there may be any number. Rows with the same file id and
        the same key have one media_uid.
        """
        columns = {name for name, _, _ in self.key}
        same = "media_uid" in columns or {"b2_file_id", "b2_key"} <= columns
        return self.unique and columns <= set(written) and not same

    def serves_as(self, other: "Index") -> bool:
        """Tell whether whatever the other one does, this one does too."""
        if self.partial or other.partial or any(name is None for name, _, _ in other.key):
            return False
        if other.unique and not (self.unique and len(self.key) == len(other.key)):
            return False
        return self.key[: len(other.key)] == other.key


def indexes_from(rows: Iterable[Sequence[Any]]) -> list[Index]:
    """Read what READ_INDEXES answered."""
    found: dict[str, Index] = {}
    for name, unique, origin, partial, *column in rows:
        index = found.get(name) or Index(name, bool(unique), origin == "c", bool(partial), ())
        found[name] = index._replace(key=(*index.key, tuple(column)))
    return list(found.values())


def redundant(indexes: Iterable[Index]) -> dict[Index, Index]:
    """Find the indexes that can be dropped, each with one that stays and serves in its place."""
    kept = sorted(indexes, key=lambda index: (index.name == OURS, index.name))
    found: dict[Index, Index] = {}
    for index in [each for each in kept if each.by_statement]:
        others = [other for other in kept if other is not index and other.serves_as(index)]
        if others:
            kept.remove(index)
            found[index] = others[-1]
    # What served in another's place may have gone itself; what serves in its place serves there too.
    return {index: next(other for other in kept if other.serves_as(index)) for index in found}
