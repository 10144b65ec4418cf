"""The local runner: the same code as the Lambda's, from a terminal, a cron job or a workflow.

Data goes to stdout, everything else to stderr.
"""

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

import click

from b2d1 import __version__, migrations, setting_values
from b2d1.b2 import Bucket
from b2d1.d1 import Database
from b2d1.diff import changes
from b2d1.errors import B2D1Error
from b2d1.inventory import InventoryWriter
from b2d1.inventory_reader import InventoryFile, InventoryListing
from b2d1.listing import Listing
from b2d1.report import left_out
from b2d1.retry import Retrying
from b2d1.run_folder import run_folder
from b2d1.settings import B2Settings, D1Settings, Settings
from b2d1.sync import Job, Source, sync
from b2d1.terminal import log_to_stderr, progress, summary


class Runner(click.Group):
    """Runs a command; an error that has a name becomes a sentence, a hint and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except B2D1Error as error:
            click.echo(f"b2d1: {error}", err=True)
            if error.hint:
                click.echo(f"hint: {error.hint}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=Runner, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="b2d1", message="%(prog)s %(version)s")
def main() -> None:
    """Keep a Cloudflare D1 table in step with a Backblaze B2 bucket.

    Settings come from the environment; README.md lists them.
    """


def _verbose_option(command: Callable[..., None]) -> Callable[..., None]:
    @click.option("-v", "--verbose", is_flag=True, help="Log every page and every request.")
    @functools.wraps(command)
    def wrapped(*args: Any, verbose: bool, **kwargs: Any) -> None:
        log_to_stderr(verbose=verbose)
        command(*args, **kwargs)

    return wrapped


def _snapshot_option(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    try:
        return value and setting_values.snapshot_uri(value)
    except ValueError as error:
        raise click.BadParameter(f"it {error}") from None


dry_run_option = click.option("--dry-run", is_flag=True, help="Print the SQL, write nothing.")
adopt_option = click.option("--adopt", is_flag=True, help="Write although the table shares no key with this.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead.")
prefix_option = click.option("--prefix", metavar="P", help="List only keys that begin so.")
FILE = click.Path(exists=True, dir_okay=False, allow_dash=True)


@main.command("sync")
@dry_run_option
@prefix_option
@click.option("--snapshot", metavar="URI", callback=_snapshot_option, help="Keep the inventory here.")
@adopt_option
@json_option
@_verbose_option
def sync_command(
    *, dry_run: bool, prefix: str | None, snapshot: str | None, adopt: bool, as_json: bool
) -> None:
    """List the bucket and insert what the table lacks: all of it, or nothing."""
    settings = _settings()
    job = Job.of(settings, dry_run=dry_run, adopt=adopt, prefix=prefix, snapshot_uri=snapshot)
    _sync(_listing(settings, prefix), settings, job, as_json=as_json)


@main.command()
@prefix_option
@_verbose_option
def inventory(prefix: str | None) -> None:
    """List the bucket and print its inventory as JSON, one object a line."""
    listing = _listing(_settings(d1=False), prefix)
    out = click.get_binary_stream("stdout")
    writer = InventoryWriter(out, listing.bucket, listing.prefix, listing.list_mode)
    with progress() as show:
        for objects in listing:
            writer.add(objects)
            show(listing.discovered, None)
    writer.close()
    out.flush()
    if error := left_out(listing.unidentified, listing.bucket):
        raise error


@main.command()
@click.argument("file", type=FILE, default="-")
@dry_run_option
@adopt_option
@json_option
@_verbose_option
def ingest(*, file: str, dry_run: bool, adopt: bool, as_json: bool) -> None:
    """Insert what the table lacks of an inventory FILE (default: stdin)."""
    settings = _settings(b2=False)
    job = dataclasses.replace(Job.of(settings, dry_run=dry_run, adopt=adopt), snapshot_uri=None)
    with run_folder() as folder, _inventory(file, folder) as source:
        _sync(source, settings, job, as_json=as_json)


@main.command()
@dry_run_option
@_verbose_option
def migrate(*, dry_run: bool) -> None:
    """Apply the migrations that the database does not record yet."""
    settings = _settings(b2=False)
    database = _database(settings)
    database.resolve()
    due = migrations.pending(database, migrations.shipped())
    for migration in due:
        if dry_run or settings.dry_run:
            click.echo(f"-- {migration.name}\n{migration.sql}")
        else:
            migrations.apply(database, migration)
            click.echo(f"applied {migration.name}")
    if not due:
        click.echo("nothing to do: every migration is applied")


@main.command()
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
def diff(old: str, new: str) -> None:
    """Print what changed from inventory OLD to inventory NEW, a line for each key, and the totals."""
    counts = {"added": 0, "replaced": 0, "gone": 0}
    with run_folder() as folder, _inventory(old, folder) as before, _inventory(new, folder) as after:
        for change in changes(before.objects(), after.objects()):
            counts[change.kind] += 1
            key = change.key if change.key.isprintable() else json.dumps(change.key)
            click.echo(f"{change.kind:<8} {key}")
    click.echo(", ".join(f"{count:,} {kind}" for kind, count in counts.items()))


def _settings(*, b2: bool = True, d1: bool = True) -> Settings:
    settings = Settings.from_env(os.environ, b2=b2, d1=d1)
    if settings.verbose:
        log_to_stderr(verbose=True)
    return settings


def _listing(settings: Settings, prefix: str | None) -> Listing:
    b2 = cast("B2Settings", settings.b2)
    return Listing(Bucket(b2 if prefix is None else dataclasses.replace(b2, prefix=prefix), Retrying()))


def _database(settings: Settings) -> Database:
    return Database(cast("D1Settings", settings.d1), Retrying())


@contextlib.contextmanager
def _inventory(file: str, folder: Path) -> Iterator[InventoryListing]:
    with click.open_file(file, "rb") as stream:
        listing = InventoryListing(
            InventoryFile(cast("BufferedReader", stream), "from stdin" if file == "-" else file), folder
        )
    with contextlib.closing(listing):
        yield listing


def _sync(source: Source, settings: Settings, job: Job, *, as_json: bool) -> None:
    def write_sql(statement: str) -> None:
        if not as_json:
            click.echo(statement)

    with progress() as show:
        report = sync(source, _database(settings), job, Retrying(), progress=show, write_sql=write_sql)
    if as_json:
        click.echo(report.as_json())
    else:
        click.echo(summary(report), err=report.dry_run)
    if error := report.shortfall():
        raise error
