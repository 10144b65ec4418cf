"""What a run leaves in CloudWatch: lines of JSON, and metrics in the embedded metric format."""

import json
import logging
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from b2d1.errors import B2D1Error, printable
from b2d1.report import SyncReport


def _as_json(line: dict[str, Any]) -> str:
    """Write a log line as JSON that does nothing to a terminal which shows it (aws logs tail, sam logs)."""
    return printable(json.dumps(line, default=str, separators=(",", ":"), ensure_ascii=False))


# Under the core's own name, so that its standard loggers are dressed in JSON too. Lambda believes the level
# of a line only where the time has this form:
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
logger = Logger(service="b2d1", name="%(name)s", utc=True, use_rfc3339=True, json_serializer=_as_json)
metrics = Metrics(namespace="b2d1")

FIGURES = (
    *("discovered", "known", "new", "inserted", "checked", "deferred", "unidentified", "excluded", "rounds"),
    *("missing_after", "list_requests", "d1_requests", "rows_read", "rows_written", "shrunk_by"),
)


def set_level(*, verbose: bool) -> None:
    """Log each page and each request, or not."""
    # Not by Powertools' setLevel: in Lambda it does nothing, since the function's own log level goes first.
    logging.getLogger("b2d1").setLevel(logging.DEBUG if verbose else logging.INFO)
    # That level is DEBUG (template.yaml), or Lambda would drop such lines; and the runtime gives it to the
    # root logger, where botocore would log each answer: the secret itself.
    logging.getLogger().setLevel(logging.WARNING)


def count_success(*, daily: bool) -> None:
    """Count a run that did all it should; `daily` when it was the one that the schedule is for."""
    metrics.add_metric("RunSucceeded", MetricUnit.Count, 1)
    if daily:
        metrics.add_metric("DailyRunSucceeded", MetricUnit.Count, 1)


def tell_report(report: SyncReport) -> None:
    """Log a report whole, and count its figures."""
    figures = report.as_dict()
    logger.info("run finished", extra={"report": figures})
    for name in FIGURES:
        if figures[name] is not None:
            metrics.add_metric(name, MetricUnit.Count, figures[name])
    metrics.add_metric("duration_ms", MetricUnit.Milliseconds, figures["duration_ms"])


def tell_failure(error: BaseException) -> None:
    """Log a failure, with its hint where it has a name, and count it; its text then ends with the hint."""
    metrics.add_metric("RunFailed", MetricUnit.Count, 1)
    if isinstance(error, B2D1Error):
        kind = type(error).__name__
        logger.error(str(error), extra={"error": kind, "hint": error.hint, "exit_code": error.exit_code})
        # The text is all of an error that Lambda records, and mails.
        text = printable(f"{error}\nhint: {error.hint}" if error.hint else str(error))
        error.message, error.doing, error.gave_up = text, "", ""
    else:
        logger.error("unexpected failure", exc_info=error)
