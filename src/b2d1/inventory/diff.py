"""What changed between two inventories."""

import itertools
import operator
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from b2d1.errors import UsageError, harmless
from b2d1.inventory.reader import InventoryListing
from b2d1.media import MediaObject


class Change(NamedTuple):
    """A key that one inventory has and the other has not, or with other content."""

    kind: Literal["added", "replaced", "gone"]
    key: str


def refuse_incomparable(old: InventoryListing, new: InventoryListing) -> None:
    """Refuse inventories of two list modes, patterns, or places if both name theirs (UsageError)."""
    if old.list_mode != new.list_mode:
        raise UsageError(
            f"OLD is an inventory in list mode {old.list_mode}, NEW one in {new.list_mode}",
            doing="comparing inventories",
            hint="Their file_ids have nothing in common. List the bucket anew in the other B2_LIST_MODE.",
        )
    if old.patterns != new.patterns:
        raise UsageError(
            "OLD and NEW were made with other patterns in B2_EXCLUDE",
            doing="comparing inventories",
            hint="Keys that only one of them excludes would be called gone, or added. List the bucket again "
            "with the same B2_EXCLUDE.",
        )
    # The original's inventories do not say what they are of.
    if not (old.bucket and new.bucket) or (old.bucket, old.prefix) == (new.bucket, new.prefix):
        return
    of_old, of_new = (harmless(f"{each.bucket}/{each.prefix}") for each in (old, new))
    raise UsageError(
        f"OLD is of {of_old}, NEW of {of_new}",
        doing="comparing inventories",
        hint="Keys that only one of them lists would be called gone, or added. List the same bucket with the "
        "same prefix anew.",
    )


def changes(old: Iterable[MediaObject], new: Iterable[MediaObject]) -> Iterator[Change]:
    """Compare two inventories, both in byte order of their keys; yield the changes in that order."""
    olds, news = _by_key(old), _by_key(new)
    before, after = next(olds, None), next(news, None)
    while before or after:
        if not after or (before and before[0] < after[0]):
            yield Change("gone", before[0])  # type: ignore[index]  # one of the two is there
            before = next(olds, None)
        elif not before or after[0] < before[0]:
            yield Change("added", after[0])
            after = next(news, None)
        else:
            if before[1] != after[1]:
                yield Change("replaced", after[0])
            before, after = next(olds, None), next(news, None)


def _by_key(objects: Iterable[MediaObject]) -> Iterator[tuple[str, set[tuple[str, int]]]]:
    for key, same in itertools.groupby(objects, operator.attrgetter("key")):
        yield key, {(media.file_id, media.size) for media in same}
