"""The commands: each reads what it is told, lets the core do it, and shows what came of it.

Data goes to stdout, everything else to stderr.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import cast

import click

from b2d1 import __version__
from b2d1.cli.doctor_view import as_json as findings_as_json
from b2d1.cli.doctor_view import show
from b2d1.cli.inputs import bucket_listing, open_inventory, read_settings
from b2d1.cli.runner import (
    Runner,
    adopt_option,
    dry_run_option,
    environment_option,
    json_option,
    prefix_option,
    snapshot_option,
    verbose_option,
    verify_adopt_option,
    verify_prefix_option,
)
from b2d1.cli.terminal import RunProgress, Stdout, findings, log_to_stderr, one_line, summary
from b2d1.d1.database import Database
from b2d1.doctor.examination import DEFAULT_STACK, examine, exit_code
from b2d1.errors import B2D1Error, InventoryError
from b2d1.inventory.diff import changes, refuse_incomparable
from b2d1.inventory.writer import InventoryWriter
from b2d1.migrate import migrations
from b2d1.report import left_out
from b2d1.retry import Retrying
from b2d1.run_folder import run_folder
from b2d1.setting_values import flag
from b2d1.settings import D1Settings, Settings
from b2d1.source import Source
from b2d1.sync.steps import Job, sync
from b2d1.table.media_assets import MediaAssets
from b2d1.verify.verification import verify

stdout = Stdout()


@click.group(
    cls=Runner,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 anything else; 2 settings, arguments or input; 3 B2; 4 D1; 5 a guard "
    "refused; 6 verify found a difference.",
)
@click.version_option(__version__, prog_name="b2d1", message="%(prog)s %(version)s")
def main() -> None:
    """Keep a Cloudflare D1 table in step with a Backblaze B2 bucket.

    Settings come from the environment; README.md lists them. Data goes to stdout, everything else to stderr.
    """


FILE = click.Path(exists=True, dir_okay=False, allow_dash=True)


@main.command("sync")
@dry_run_option
@prefix_option
@snapshot_option
@adopt_option
@json_option
@environment_option
@verbose_option
def sync_command(
    *,
    env: Mapping[str, str],
    dry_run: bool,
    prefix: str | None,
    snapshot: str | None,
    adopt: bool,
    as_json: bool,
) -> None:
    """List the bucket and insert what the table lacks.

    Rows are written only when the listing is proven whole, and all or none; where more than ROWS_PER_PUBLISH
    are new, in rounds that are each all or none.
    """
    settings = read_settings(env)
    job = Job.of(settings, dry_run=dry_run, adopt=adopt, prefix=prefix, snapshot_uri=snapshot)
    _sync(bucket_listing(settings, prefix), settings, job, as_json=as_json)


@main.command()
@prefix_option
@environment_option
@verbose_option
def inventory(*, env: Mapping[str, str], prefix: str | None) -> None:
    """List the bucket and print its inventory as JSON.

    One object a line. The closing ]} is printed only when the listing is proven whole.
    """
    listing = bucket_listing(read_settings(env, d1=False), prefix)
    with run_folder() as folder, RunProgress(printing=True) as progress:
        named = (listing.bucket, listing.prefix, listing.list_mode)
        writer = InventoryWriter(stdout, *named, folder, exclude=listing.exclude.patterns)
        with contextlib.closing(listing.batches()) as batches:
            for batch in batches:
                writer.add(batch.objects, batch.part)
                progress.show(listing.discovered)
        writer.close()
    if error := left_out(listing.unidentified, listing.bucket):
        raise error


@main.command()
@click.argument("file", type=FILE, default="-")
@dry_run_option
@adopt_option
@json_option
@environment_option
@verbose_option
def ingest(*, env: Mapping[str, str], file: str, dry_run: bool, adopt: bool, as_json: bool) -> None:
    """Insert what the table lacks of the inventory in FILE.

    FILE is what `b2d1 inventory` prints, gzipped or not; stdin if it is - or left out.
    """
    settings = read_settings(env, b2=False)
    job = dataclasses.replace(Job.of(settings, dry_run=dry_run, adopt=adopt), snapshot_uri=None)
    try:
        with run_folder() as folder, open_inventory(file, folder, settings.exclude) as source:
            _sync(source, settings, job, as_json=as_json)
    except InventoryError as error:
        error.hint += " Nothing was written."
        raise


@main.command("verify")
@click.argument("file", type=FILE, required=False)
@verify_prefix_option
@verify_adopt_option
@json_option
@environment_option
@verbose_option
def verify_command(
    *, env: Mapping[str, str], file: str | None, prefix: str | None, adopt: bool, as_json: bool
) -> None:
    """Hold the table against the bucket, or an inventory.

    Nothing is written. Exit 6 if an object has no row or two, or a row is corrupt or differs from its
    object; rows of objects that left the bucket are only counted. FILE is what `b2d1 inventory` prints,
    gzipped or not; stdin if it is -.
    """
    if file is None:
        settings = read_settings(env)
        _verify(bucket_listing(settings, prefix), settings, adopt=adopt, as_json=as_json)
    elif prefix is not None:
        raise click.UsageError("--prefix is for a bucket: an inventory has one of its own.")
    else:
        settings = read_settings(env, b2=False)
        with run_folder() as folder, open_inventory(file, folder, settings.exclude) as source:
            _verify(source, settings, adopt=adopt, as_json=as_json)


@main.command()
@dry_run_option
@environment_option
@verbose_option
def migrate(*, env: Mapping[str, str], dry_run: bool) -> None:
    """Apply the migrations that the database does not record yet."""
    settings = read_settings(env, b2=False)
    database = Database(cast("D1Settings", settings.d1), Retrying())
    database.resolve()
    shipped = migrations.shipped()
    due = migrations.pending(database, shipped)
    there = migrations.tables(database) if due else set[str]()
    if due and "media_assets" in there:
        MediaAssets(database).look()  # another table of that name must not be recorded as this one
    for migration in due:
        recorded = migrations.is_only_unrecorded(migration, there)
        note = ": its tables are there already, only its record was missing" if recorded else ""
        if dry_run or settings.dry_run:
            stdout.line(f"-- {migration.name}{note}\n{migration.sql}")
        else:
            migrations.apply(database, migration)
            stdout.line(f"{'recorded' if recorded else 'applied'} {migration.name}{note}")
    if not due:
        migrations.refuse_gone(database, shipped)
        text = "nothing to do: every migration is applied"
        # wrangler fails on a file without a statement.
        stdout.line(f"-- {text}\nSELECT 1;" if dry_run or settings.dry_run else text)


@main.command()
@click.option(
    "--stack",
    metavar="NAME",
    default=DEFAULT_STACK,
    show_default=True,
    help="Look at the schedule of this CloudFormation stack.",
)
@json_option
@environment_option
@verbose_option
@click.pass_context
def doctor(ctx: click.Context, *, env: Mapping[str, str], stack: str, as_json: bool) -> None:
    """Check everything that a run needs, and say what mends it.

    Each check is one line: ok, warn, fail or not checked. The exit code is the first failure's.
    """
    with contextlib.suppress(ValueError):  # what is wrong with it, the settings' line says
        if flag(env.get("VERBOSE", "")):
            log_to_stderr(verbose=True)
    lines = examine(env, stack)
    found = list(lines) if as_json else show(lines, stdout)
    if as_json:
        stdout.line(findings_as_json(found, exit_code(found)))
    ctx.exit(exit_code(found))


@main.command()
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
def diff(old: str, new: str) -> None:
    """Print what changed from inventory OLD to inventory NEW.

    A line for each key that was added, replaced or is gone, and the totals.
    """
    if old == new == "-":
        raise click.UsageError("Only one of OLD and NEW can be stdin.")
    counts = {"added": 0, "replaced": 0, "gone": 0}
    with run_folder() as folder, open_inventory(old, folder) as before, open_inventory(new, folder) as after:
        refuse_incomparable(before, after)
        for change in changes(before.objects(), after.objects()):
            counts[change.kind] += 1
            stdout.line(f"{change.kind:<8} {one_line(change.key)}")
    stdout.line(", ".join(f"{count:,} {kind}" for kind, count in counts.items()))


def _sync(source: Source, settings: Settings, job: Job, *, as_json: bool) -> None:
    with RunProgress() as progress:

        def write_sql(statement: str) -> None:
            progress.hide()
            if not as_json:
                stdout.line(statement)

        database = Database(cast("D1Settings", settings.d1), Retrying())
        report = sync(
            *(source, database, job, Retrying()),
            progress=progress.show,
            writing=progress.show_written,
            write_sql=write_sql,
        )
    try:
        if as_json:
            stdout.line(report.as_json())
        elif report.dry_run:
            click.echo(summary(report), err=True)
        else:
            stdout.line(summary(report))
    except B2D1Error as error:
        error.message += f" (the run is done: {report.inserted:,} rows inserted)"
        raise
    if shortfall := report.shortfall():
        raise shortfall


def _verify(source: Source, settings: Settings, *, adopt: bool, as_json: bool) -> None:
    with RunProgress() as progress:
        database = Database(cast("D1Settings", settings.d1), Retrying())
        report = verify(source, database, adopt=adopt, progress=progress.show, reading=progress.show_read)
    stdout.line(report.as_json() if as_json else findings(report))
    if verdict := report.verdict():
        raise verdict
