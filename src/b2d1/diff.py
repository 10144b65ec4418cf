"""What changed between two inventories."""

import itertools
import operator
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from b2d1.media import MediaObject


class Change(NamedTuple):
    """A key that one inventory has and the other has not, or with other content."""

    kind: Literal["added", "replaced", "gone"]
    key: str


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
