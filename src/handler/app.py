"""The Lambda function: an event in, one sync, its report out.

A failure is logged with its hint, counted, and raised, so that Lambda records it and tries again.
"""

import dataclasses
from typing import Any, cast

from b2d1.b2.bucket import Bucket
from b2d1.d1.database import Database
from b2d1.listing.listing import Listing
from b2d1.report import SyncReport
from b2d1.retry import Deadline, Retrying
from b2d1.settings import B2Settings, D1Settings, Settings
from b2d1.sync.steps import Job, sync
from handler.environment import environment
from handler.event import Asked, read_event
from handler.telemetry import count_success, logger, metrics, set_level, tell_failure, tell_report

# What is left to tell how it ended, before Lambda kills the function without a word.
SECONDS_TO_REPORT = 10.0


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: Any, context: Any) -> dict[str, Any]:
    """Bring the index in step with the bucket, as `event` asks; return the SyncReport."""
    set_level(verbose=False)
    try:
        asked = read_event(event)
        settings = Settings.from_env(environment())
        set_level(verbose=asked.verbose or settings.verbose)
        report = _run(asked, settings, Deadline.after(_seconds_left(context)))
    except BaseException as error:
        tell_failure(error)
        raise
    return report.as_dict()


def _run(asked: Asked, settings: Settings, deadline: Deadline) -> SyncReport:
    b2 = cast("B2Settings", settings.b2)
    configured = b2.prefix
    if asked.prefix is not None:
        b2 = dataclasses.replace(b2, prefix=asked.prefix)
    job = Job.of(settings, dry_run=asked.dry_run, adopt=asked.adopt, prefix=asked.prefix)
    logger.append_keys(run_id=job.run_id)
    retrying = Retrying(deadline)
    listing = Listing(Bucket(b2, retrying))
    report = sync(listing, Database(cast("D1Settings", settings.d1), retrying), job, retrying)
    tell_report(report)
    if shortfall := report.shortfall():
        raise shortfall
    count_success(daily=not job.dry_run and b2.prefix == configured)
    return report


def _seconds_left(context: Any) -> float:
    milliseconds: int = context.get_remaining_time_in_millis()
    return milliseconds / 1000 - SECONDS_TO_REPORT
