"""Which of a source's objects the table lacks."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import NamedTuple

from b2d1.inventory.writer import InventoryWriter
from b2d1.media import MediaObject, media_uid
from b2d1.source import Source
from b2d1.table.media_assets import UIDS_PER_REQUEST, MediaAssets


class New(NamedTuple):
    """An object that the table lacks, its uid, and the part of the listing that it is from."""

    uid: str
    media: MediaObject
    part: str


def compare(
    source: Source, table: MediaAssets, inventory: InventoryWriter, progress: Callable[[int, int], object]
) -> Generator[New]:
    """Go through the source, write its inventory as it passes, and yield what the table lacks.

    `progress` is told how many objects are listed and how many of them are new. Raises B2D1Error; without one
    the source is proven complete when the generator ends.
    """
    waiting: dict[str, tuple[MediaObject, str]] = {}
    new = 0

    def ask(most: int) -> Iterator[New]:
        nonlocal new
        uids = list(islice(waiting, most))
        missing = table.missing(uids)
        new += len(missing)
        for uid in uids:
            media, part = waiting.pop(uid)
            if uid in missing:
                yield New(uid, media, part)

    # What is listed side by side goes on being listed while the table is asked.
    with contextlib.closing(source.batches(table.sample_keys)) as batches:
        for batch in batches:
            inventory.add(batch.objects, batch.part)
            waiting.update(
                (media_uid(media.file_id, media.key), (media, batch.part)) for media in batch.objects
            )
            while len(waiting) >= UIDS_PER_REQUEST:
                yield from ask(UIDS_PER_REQUEST)
            progress(source.discovered, new)
    if waiting:
        yield from ask(len(waiting))
    progress(source.discovered, new)
