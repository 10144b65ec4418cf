"""What the runner shows a person: log lines and progress on stderr, and the summary of a run."""

import contextlib
import logging
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from b2d1.report import SyncReport

stderr = Console(stderr=True, highlight=False)


def summary(report: SyncReport) -> str:
    """Tell a run's figures in a few lines, under the report's own names."""
    source = f"{report.bucket or 'inventory'}/{report.prefix}"
    lines = [
        f"{source} -> {report.database_name or 'database'} {report.database_id}",
        f"discovered {report.discovered}, known {report.known}, new {report.new}",
        f"inserted {report.inserted}, rows_written {report.rows_written}, rows_read {report.rows_read}",
        f"list_requests {report.list_requests}, d1_requests {report.d1_requests}, {report.duration_ms} ms",
        f"listing_sha256 {report.listing_sha256}",
    ]
    if report.dry_run:
        lines[2] = f"dry run: nothing written, rows_read {report.rows_read}"
    elif not report.new:
        lines[2] += ": nothing to do"
    else:
        lines[2] += f", missing_after {report.missing_after}"
    if not report.confirmed:
        lines.append(
            "confirmed no: an answer was lost on the way, so `inserted` may be too low; all rows are in"
        )
    if report.deferred:
        lines.append(f"deferred {report.deferred} to the next run")
    if report.unidentified:
        lines.append(f"unidentified {report.unidentified}")
    if report.key_order != "utf-8":
        lines.append(f"key_order {report.key_order}")
    if report.bookmark:
        lines.append(f"bookmark {report.bookmark} (before this run)")
    if report.snapshot:
        lines.append(
            f"snapshot {report.snapshot.uri} {'written' if report.snapshot.changed else 'unchanged'}"
        )
    return "\n".join(lines)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[int, int | None], None]]:
    """Show how far the listing is, on a terminal only."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("listing")

        def show(listed: int, new: int | None) -> None:
            found = "" if new is None else f", {new:,} new"
            bar.update(task, description=f"{listed:,} objects listed{found}")

        yield show


class _TerminalHandler(logging.Handler):
    """Prints records on stderr, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        stderr.print(Text(self.format(record)), soft_wrap=True)


def log_to_stderr(*, verbose: bool) -> None:
    """Show what the core logs; `verbose` shows each page and each request."""
    handler = _TerminalHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger = logging.getLogger("b2d1")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
