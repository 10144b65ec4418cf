"""Compare, plan, apply: bring the index in step with a bucket, or with an inventory of one."""

import contextlib
import dataclasses
import logging
import secrets
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime

from b2d1.d1.database import Database
from b2d1.errors import B2D1Error, D1Error
from b2d1.inventory import snapshot
from b2d1.inventory.writer import InventoryWriter
from b2d1.media import FORM_OF_MODE
from b2d1.report import SyncReport
from b2d1.retry import Retrying
from b2d1.run_folder import run_folder
from b2d1.settings import DEFAULT_ROWS_PER_PUBLISH, Settings
from b2d1.source import Source
from b2d1.sync import plan_sql
from b2d1.sync.compare import New, compare
from b2d1.sync.forecast import free_plan
from b2d1.sync.plan import Plan
from b2d1.sync.rounds import Rounds
from b2d1.sync.shrinkage import shrunk_by
from b2d1.sync.written import Written
from b2d1.table.guards import Guards, refuse_nothing_listed
from b2d1.table.media_assets import MediaAssets
from b2d1.table.staging import CREATE_CHUNKS, Staging

logger = logging.getLogger(__name__)


def new_run_id() -> str:
    """Name a run by its moment, and by chance."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


@dataclasses.dataclass(frozen=True)
class Job:
    """What a run is asked to do.

    `max_new` bounds the rows to insert; the rest is deferred. `rows_per_publish` bounds those that become
    visible at once. `snapshot_uri` is where the inventory is to be kept, None for nowhere;
    `ca_bundle` is the settings'.
    """

    dry_run: bool = False
    adopt: bool = False
    max_new: int | None = None
    rows_per_publish: int = DEFAULT_ROWS_PER_PUBLISH
    snapshot_uri: str | None = None
    ca_bundle: str | None = None
    run_id: str = dataclasses.field(default_factory=new_run_id)

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        dry_run: bool = False,
        adopt: bool = False,
        prefix: str | None = None,
        snapshot_uri: str | None = None,
    ) -> "Job":
        """Make a job of the settings and of what one run asks for.

        The snapshot of the settings is the whole configured bucket's: a dry run and a run with another
        prefix leave it alone. A place named for this run is written all the same.
        """
        configured = settings.b2.prefix if settings.b2 else None
        dry_run = dry_run or settings.dry_run
        whole = not dry_run and prefix in {None, configured}
        kept = snapshot_uri or (settings.snapshot_uri if whole else None)
        return cls(
            dry_run, adopt, settings.max_new_per_run, settings.rows_per_publish, kept, settings.ca_bundle
        )


def sync(
    source: Source,
    database: Database,
    job: Job,
    retrying: Retrying,
    *,
    progress: Callable[[int, int], object] = lambda _listed, _new: None,
    writing: Callable[[int, int], object] = lambda _sent, _due: None,
    write_sql: Callable[[str], object] = lambda _statement: None,
) -> SyncReport:
    """Insert what the source has and the database lacks: in rounds, each of them all or none.

    `progress` is told how many objects are listed and how many of them are new, `writing` how many rows are
    sent and are to be; `write_sql` gets the plan of a dry run. Raises B2D1Error; then nothing was written,
    unless the error says otherwise.
    """
    started, began = datetime.now(UTC), time.monotonic()
    database.resolve()
    logger.info("run %s: database %s (%s)", job.run_id, database.id, database.name or "by its id")
    table = MediaAssets(database, retrying)
    table.look()
    with run_folder() as folder:
        document = folder / "inventory.json"
        with document.open("wb") if job.snapshot_uri else contextlib.nullcontext() as out:
            named = (source.bucket, source.prefix, source.list_mode)
            inventory = InventoryWriter(out, *named, folder, exclude=source.exclude.patterns)
            new = compare(source, table, inventory, progress)
            plan = Plan(folder, job.max_new, job.rows_per_publish)
            guards = Guards(table)
            make_plan(new, table, guards, plan, source, adopt=job.adopt)
            listing_sha256 = inventory.close()
        if forecast := free_plan(plan.new, plan.due, table.indexes):
            logger.info("%s", forecast)
        if job.dry_run:
            written = rehearse(plan, write_sql)
        else:
            rounds = Rounds(
                *(plan, table, Staging(database, job.run_id)),
                guards=guards,
                most=job.rows_per_publish,
                retrying=retrying,
                progress=writing,
            )
            written = rounds.write()
        kept = None
        if job.snapshot_uri and not source.unidentified:
            try:
                kept = snapshot.keep(
                    document,
                    listing_sha256,
                    source.discovered,
                    job.snapshot_uri,
                    retrying,
                    ca_bundle=job.ca_bundle,
                )
            except B2D1Error as error:
                if not job.dry_run:
                    error.message += f" (the rows are in: {written.inserted:,} inserted, verified)"
                raise
    return SyncReport(
        run_id=job.run_id,
        started_at=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        duration_ms=round((time.monotonic() - began) * 1000),
        bucket=source.bucket,
        prefix=source.prefix,
        list_mode=source.list_mode,
        key_order=source.key_order,
        database_name=database.name,
        database_id=database.id or "",
        dry_run=job.dry_run,
        discovered=source.discovered,
        known=source.discovered - source.unidentified - plan.new,
        new=plan.new,
        inserted=written.inserted,
        confirmed=written.confirmed,
        deferred=plan.deferred,
        unidentified=source.unidentified,
        excluded=source.excluded,
        rounds=written.rounds,
        checked=written.checked,
        missing_after=None if job.dry_run else plan.due - written.checked,
        list_requests=source.requests,
        d1_requests=database.requests,
        rows_read=database.usage.rows_read,
        rows_written=database.usage.rows_written,
        # An answer that was lost may have told of a change.
        changed_db=database.usage.changed_db or not written.confirmed,
        bookmark=written.bookmark,
        listing_sha256=listing_sha256,
        shrunk_by=shrunk_by(kept.objects_before if kept else None, source.discovered),
        snapshot=kept,
    )


def make_plan(
    new: Generator[New],
    table: MediaAssets,
    guards: Guards,
    plan: Plan,
    source: Source,
    *,
    adopt: bool,
) -> None:
    """Put the new objects down as rows ready to send, and refuse a plan that would harm the index."""
    with contextlib.closing(new):  # or an error here would leave the listing's threads at work
        for uid, media, part in new:
            plan.add(uid, media, part)
    # `new` has ended without an error, so the listing behind it is proven complete.
    plan.seal()
    if plan.due_chunks > 1 and not table.has_staging:
        raise D1Error(
            f"there is no table media_ingest_chunks, and {plan.due:,} rows go through it",
            hint=f"Create it with b2d1 migrate or wrangler d1 migrations apply, or run:\n{CREATE_CHUNKS}",
        )
    if plan.new:
        guards.refuse_slow_guards(plan.new)
    if plan.due and _could_conflict(plan, guards):
        guards.refuse_other_identity(plan.chunks())
    if not (source.is_bucket or adopt):
        for odd in sorted(plan.forms - {FORM_OF_MODE[source.list_mode]}):
            guards.refuse_odd_form(odd, source.list_mode)
    refuse_nothing_listed(source, adopt=adopt)
    known = source.discovered - source.unidentified - plan.new
    # Objects without an identity are the listing's own fault, told by another error: not another bucket's.
    if not (known or adopt) and (plan.new or not source.unidentified):
        guards.refuse_other_bucket(plan.all_chunks())


def _could_conflict(plan: Plan, guards: Guards) -> bool:
    """Tell whether the identity guard must see every row now.

    To send them all once more costs as much as staging them; `rounds` asks again as it publishes.
    """
    if plan.due_chunks == 1 or not plan.plain or len(plan.forms) > 1:
        return True
    return guards.has_other_forms(*plan.forms)


def rehearse(plan: Plan, write_sql: Callable[[str], object]) -> Written:
    """Write down what would be inserted, and do nothing."""
    for statement in plan_sql.statements(plan):
        write_sql(statement)
    return Written()
