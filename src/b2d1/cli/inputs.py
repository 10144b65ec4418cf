"""What the commands read: settings from the environment, a bucket, an inventory from a file or a pipe."""

import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click

from b2d1.b2.bucket import Bucket
from b2d1.cli.terminal import log_to_stderr
from b2d1.doctor.configuration import misspelt
from b2d1.errors import UsageError
from b2d1.inventory.reader import InventoryFile, InventoryListing
from b2d1.listing.listing import Listing
from b2d1.retry import Retrying
from b2d1.settings import B2Settings, Settings

logger = logging.getLogger(__name__)


def read_settings(*, b2: bool = True, d1: bool = True) -> Settings:
    """Read the settings from the environment; `b2` and `d1` tell which of the two services are needed."""
    for problem, _ in misspelt(os.environ):
        logger.warning("%s", problem)
    settings = Settings.from_env(os.environ, b2=b2, d1=d1)
    if settings.verbose:
        log_to_stderr(verbose=True)
    return settings


def bucket_listing(settings: Settings, prefix: str | None) -> Listing:
    """List the bucket, under another prefix than the settings' if one is given."""
    b2 = cast("B2Settings", settings.b2)
    return Listing(Bucket(b2 if prefix is None else dataclasses.replace(b2, prefix=prefix), Retrying()))


@contextlib.contextmanager
def open_inventory(file: str, folder: Path) -> Iterator[InventoryListing]:
    """Read the inventory in a file, or from stdin if it is -, into a file of `folder`."""
    if file == "-" and sys.stdin is None:
        raise UsageError("stdin is closed", hint="Name a file.")
    with click.open_file(file, "rb") as stream:
        listing = InventoryListing(InventoryFile(stream, "from stdin" if file == "-" else file), folder)
    with contextlib.closing(listing):
        yield listing
