"""What the commands read: settings from the environment, a bucket, an inventory from a file or a pipe."""

import contextlib
import dataclasses
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import click

from b2d1.b2.bucket import Bucket
from b2d1.cli.terminal import log_to_stderr
from b2d1.doctor.configuration import unloaded_env_file
from b2d1.errors import SettingsError, UsageError, harmless
from b2d1.exclude import NOTHING, Exclude
from b2d1.inventory.reader import InventoryFile, InventoryListing
from b2d1.listing.listing import Listing
from b2d1.retry import Retrying
from b2d1.setting_names import BOUNDING, misspelt
from b2d1.settings import NAMES, OPTIONAL, B2Settings, Settings

logger = logging.getLogger(__name__)


def read_settings(env: Mapping[str, str], *, b2: bool = True, d1: bool = True) -> Settings:
    """Read the settings; `b2` and `d1` say which of the two services are needed."""
    for name, meant in misspelt(env, OPTIONAL, NAMES):
        if meant in BOUNDING:
            continue  # refused below
        logger.warning("%s is no setting of b2d1: did you mean %s?", harmless(name), meant)
    try:
        settings = Settings.from_env(env, b2=b2, d1=d1)
    except SettingsError as error:
        if here := unloaded_env_file(env):
            error.hint = f"There is a {here} here that is not loaded: --env-file {here}. {error.hint}"
        raise
    if settings.verbose:
        log_to_stderr(verbose=True)
    return settings


def bucket_listing(settings: Settings, prefix: str | None) -> Listing:
    """List the bucket, under another prefix than the settings' if one is given."""
    b2 = cast("B2Settings", settings.b2)
    return Listing(Bucket(b2 if prefix is None else dataclasses.replace(b2, prefix=prefix), Retrying()))


@contextlib.contextmanager
def open_inventory(file: str, folder: Path, exclude: Exclude = NOTHING) -> Iterator[InventoryListing]:
    """Read the inventory in a file, or from stdin if it is -, into a file of `folder`."""
    if file == "-" and sys.stdin is None:
        raise UsageError("stdin is closed", hint="Name a file.")
    with click.open_file(file, "rb") as stream:
        listing = InventoryListing(
            InventoryFile(stream, "from stdin" if file == "-" else file), folder, exclude
        )
    with contextlib.closing(listing):
        yield listing
