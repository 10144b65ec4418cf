"""A bucket listed to its end, and what came of it."""

import copy
import dataclasses
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from key_host import KeyHost
from pages import PageServer

from b2d1.b2.bucket import Bucket
from b2d1.inventory.writer import InventoryWriter
from b2d1.listing.listing import Listing, no_keys
from b2d1.media import ListMode, MediaObject
from b2d1.retry import Retrying

# What makes ranges out of very few pages and points.
EAGER = {
    "listing.listing.STRAIGHT_PAGES": 1,
    "listing.listing.UNKNOWN_PAGES": 1,
    "listing.listing.KEYS_A_WORKER": 0,
    "listing.ranges.WORTH_HALVING": 0.001,
}


@dataclasses.dataclass(frozen=True)
class Listed:
    """A listing's outcome, its parts put in order; `parts` tells how many there were."""

    objects: list[MediaObject]
    unidentified: list[str]
    discovered: int
    key_order: str
    digest: str
    parts: int = dataclasses.field(compare=False)

    @property
    def keys(self) -> list[str]:
        """Return the objects' keys."""
        return [media.key for media in self.objects]


def listed(bucket: Bucket, known_keys: Callable[[], list[str]] = no_keys) -> Listed:
    """List a bucket of which some keys may be known."""
    listing = Listing(bucket)
    objects: dict[str, list[MediaObject]] = {}
    unidentified: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder, closing(listing.batches(known_keys)) as batches:
        writer = InventoryWriter(None, listing.bucket, listing.prefix, listing.list_mode, Path(folder))
        for batch in batches:
            writer.add(batch.objects, batch.part)
            objects.setdefault(batch.part, []).extend(batch.objects)
            unidentified.setdefault(batch.part, []).extend(batch.unidentified)
        digest = writer.close()
    assert listing.unidentified == sum(map(len, unidentified.values()))
    return Listed(
        [media for part in sorted(objects) for media in objects[part]],
        [key for part in sorted(unidentified) for key in unidentified[part]],
        listing.discovered,
        listing.key_order,
        digest,
        len(objects),
    )


class Buckets:
    """Makes Buckets; those of a mode share a server and a client, since to make one takes time.

    After a listing that was stopped there is another server: requests may still be on their way to that one.
    """

    def __init__(self, servers: ExitStack) -> None:
        self._servers = servers
        self._made: dict[ListMode, tuple[PageServer, Bucket]] = {}

    def __call__(
        self, host: KeyHost, mode: ListMode = "objects", *, workers: int, prefix: str = ""
    ) -> Bucket:
        """Make the Bucket that lists `host`, which answers from now on."""
        if mode not in self._made or self._made[mode][1].halted:
            server = self._servers.enter_context(PageServer())
            self._made[mode] = server, new_bucket(server, host, mode, workers=16)
        server, made = self._made[mode]
        server.answer(host)
        bucket = copy.copy(made)
        bucket.workers = workers
        bucket.settings = dataclasses.replace(bucket.settings, prefix=prefix)
        return bucket


def new_bucket(
    server: PageServer, answer: Callable[..., Any], mode: ListMode = "objects", **more: Any
) -> Bucket:
    """Make a Bucket of its own, which may be halted; `more` are `workers`, `prefix` and `retrying`."""
    server.answer(answer)
    settings = server.settings(mode, list_workers=more.get("workers", 4), prefix=more.get("prefix", ""))
    return Bucket(settings, more.get("retrying", Retrying(attempts=1)))


def threads_left() -> list[str]:
    """Name the threads of listings that have not ended."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("b2d1-")]
