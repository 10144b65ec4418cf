"""Where objects come from: a bucket's listing, or an inventory of one."""

from collections.abc import Callable, Generator
from typing import Protocol

from b2d1.exclude import Exclude
from b2d1.media import Batch, ListMode


class Source(Protocol):
    """Where the objects come from: a bucket's `Listing`, or an `InventoryListing`.

    `batches` yields them as they come, and ends without an error only when they are proven to be all;
    `known_keys` may be asked for keys that are likely to be among them. `is_bucket` is true if they come from
    the host itself, so that their identities are what any later listing gives. Keys that `exclude` matches
    are only counted, as `excluded`.
    """

    is_bucket: bool
    exclude: Exclude
    excluded: int
    bucket: str
    prefix: str
    list_mode: ListMode
    discovered: int
    unidentified: int

    @property
    def requests(self) -> int: ...
    @property
    def key_order(self) -> str: ...
    def batches(self, known_keys: Callable[[], list[str]]) -> Generator[Batch]: ...
