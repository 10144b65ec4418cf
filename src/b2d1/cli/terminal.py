"""What the runner shows a person: log lines and progress on stderr, and the summary of a run."""

import codecs
import contextlib
import json
import logging
import os
import stat
import sys
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from b2d1.disk import disk_hint
from b2d1.errors import B2D1Error, harmless, printable
from b2d1.report import SyncReport, VerifyReport

stderr = Console(stderr=True, highlight=False)


def summary(report: SyncReport) -> str:
    """Tell a run's figures in a few lines, under the report's own names."""
    source = one_line(f"{report.bucket or 'inventory'}/{report.prefix}")
    lines = [
        f"{source} -> {one_line(report.database_name or 'database')} {report.database_id}",
        f"discovered {report.discovered}, known {report.known}, new {report.new}",
        f"inserted {report.inserted}, rows_written {report.rows_written}, rows_read {report.rows_read}",
        f"list_requests {report.list_requests}, d1_requests {report.d1_requests}, {report.duration_ms} ms",
        f"listing_sha256 {report.listing_sha256}",
    ]
    if report.dry_run:
        lines[2] = f"dry run: nothing written to D1, rows_read {report.rows_read}"
        if not report.new:
            lines[2] += " (nothing is new)"
    elif not report.new:
        lines[2] += " (nothing to do)"
    lines.append(_receipt(report))
    if not report.confirmed:
        lines.append(
            "confirmed no: an answer was lost on the way, so `inserted` may be too low; all rows are in"
        )
    if report.deferred:
        lines.append(f"deferred {report.deferred} to the next run")
    if report.unidentified:
        lines.append(f"unidentified {report.unidentified}")
    if report.excluded:
        lines.append(f"excluded {report.excluded}")
    if report.shrunk_by:
        lines.append(f"shrunk_by {report.shrunk_by} since the last snapshot")
    if report.key_order != "utf-8":
        lines.append(f"key_order {report.key_order}")
    if report.bookmark:
        lines.append(f"bookmark {report.bookmark} (before this run)")
    if kept := report.snapshot:
        lines.append(f"snapshot {one_line(kept.uri)} {'written' if kept.changed else 'unchanged'}")
    return "\n".join(lines)


def findings(report: VerifyReport) -> str:
    """Tell what a verification found in a few lines, under the report's own names, with some samples."""
    source = one_line(f"{report.bucket or 'inventory'}/{report.prefix}")
    names = ("matching", "different", "doubled", "corrupt", "history", "outside")
    kinds = ", ".join(f"{name} {getattr(report, name)}" for name in names)
    lines = [
        f"{source} against {one_line(report.database_name or 'database')} {report.database_id}",
        f"discovered {report.discovered}, missing {report.missing}",
        f"rows {report.rows}, of which {kinds}",
        f"list_requests {report.list_requests}, d1_requests {report.d1_requests}, {report.duration_ms} ms",
        f"rows_read {report.rows_read}, rows_written {report.rows_written}",
    ]
    if report.excluded:
        lines.append(f"excluded {report.excluded}")
    if report.unidentified:
        lines.append(f"unidentified {report.unidentified}")
    elif not report.verdict():
        lines.append("every object has its row, and every row is what its media_uid says")
    if report.key_order != "utf-8":
        lines.append(f"key_order {report.key_order}")
    for kind, samples in report.samples.items():
        for sample in samples:
            row = "" if sample.rowid is None else f" (rowid {sample.rowid})"
            note = f": {one_line(sample.note)}" if sample.note else ""
            key = "no key" if sample.b2_key is None else one_line(sample.b2_key)
            lines.append(f"{kind:<9} {key}{row}{note}")
        if more := getattr(report, kind) - len(samples):
            lines.append(f"{kind:<9} and {more} more")
    return "\n".join(lines)


def _receipt(report: SyncReport) -> str:
    """Tell what D1 itself said after the last write."""
    changed = f"changed_db {str(report.changed_db).lower()}"
    if not report.checked:
        return f"receipt: nothing written, {changed}"
    return (
        f"receipt: {report.checked} rows looked up after the write, missing_after {report.missing_after}, "
        f"rounds {report.rounds}, {changed}"
    )


class Stdout:
    """Where data goes: in UTF-8 whatever the locale, and at once.

    On a terminal, what is not printable is written as JSON's escape; elsewhere the bytes are unchanged.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: bytes) -> None:
        """Write all of it; raises B2D1Error, or BrokenPipeError when whoever read it went away."""
        if sys.stdout is None:
            raise B2D1Error("stdout is closed", hint="Send it to a file, or to another program.")
        if sys.stdout.isatty():
            data = printable(self._decoder.decode(data)).encode()
        try:
            rest = memoryview(data)
            while rest:  # unbuffered, as under PYTHONUNBUFFERED, it may take only a part
                rest = rest[sys.stdout.buffer.write(rest) :]
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as failure:
            with contextlib.suppress(OSError):
                sys.stdout.close()  # or Python would try again at its end, and exit with 120
            raise B2D1Error(
                failure.strerror or str(failure),
                doing="writing to stdout",
                hint=disk_hint(failure, "Send the output to another place."),
            ) from failure

    def line(self, text: str) -> None:
        """Write a line; half of a surrogate pair, which a vendor may send in JSON, as JSON's escape."""
        self.write(f"{text}\n".encode(errors="backslashreplace"))


class RunProgress:
    """Shows on stderr how far a run is, for as long as a `with` block, if that is a terminal.

    Not while `printing` data to a terminal, and never while stdout is a pipe: its reader (less, jq, tee) may
    write to the same terminal.
    """

    def __init__(self, *, printing: bool = False) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        # isatty too: FORCE_COLOR makes rich take any file for a terminal.
        shown = stderr.is_terminal and stderr.file.isatty()
        shown = shown and not _is_read_by_a_program()
        shown = shown and not (printing and sys.stdout and sys.stdout.isatty())
        # rich would redirect what is printed to stdout to the terminal, even if stdout is a file.
        self._bar = Progress(
            *columns, console=stderr, transient=True, disable=not shown, redirect_stdout=False
        )
        self._task = self._bar.add_task("listing")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hide()

    def show(self, listed: int, new: int | None = None) -> None:
        """Show so many objects listed, and so many of them new."""
        found = "" if new is None else f", {new:,} new"
        self._bar.update(self._task, description=f"{listed:,} objects listed{found}")

    def show_written(self, sent: int, due: int) -> None:
        """Show so many rows sent to D1 of those that are due."""
        self._bar.update(self._task, description=f"{sent:,} of {due:,} new rows sent")

    def show_read(self, rows: int) -> None:
        """Show so many rows of the table read."""
        self._bar.update(self._task, description=f"{rows:,} rows read")

    def hide(self) -> None:
        """Take the bar away, for good: data follows, perhaps on the same terminal."""
        self._bar.stop()


def _is_read_by_a_program() -> bool:
    """Return True if stdout is a pipe or a socket."""
    if sys.stdout is None:
        return False
    try:
        mode = os.fstat(sys.stdout.fileno()).st_mode
    except (OSError, ValueError):  # closed, or not a file of this system
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def one_line(text: str) -> str:
    """Write a text so that it stays on its line, and does nothing to a terminal: as it is, or as JSON."""
    return text if text.isprintable() and text[:1] != '"' else json.dumps(text)


def still(text: str) -> str:
    """Write a text of several lines so that it does nothing to a terminal."""
    return "\n".join(map(harmless, text.split("\n")))


class _TerminalHandler(logging.Handler):
    """Prints records on stderr, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        stderr.print(Text(still(self.format(record))), soft_wrap=True)


def log_to_stderr(*, verbose: bool) -> None:
    """Show what the core logs; `verbose` shows each page and each request."""
    handler = _TerminalHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger = logging.getLogger("b2d1")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
