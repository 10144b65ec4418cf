"""What a person or a program sees of an examination: a table, plain lines, or JSON."""

import json
import shutil
import sys
from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from b2d1.cli.terminal import Stdout, one_line, stderr, still
from b2d1.doctor.finding import Line, Status

STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red", Status.NOT_CHECKED: "dim"}
# As wide as the longest of each.
STATUS_WIDTH, CHECK_WIDTH = 11, 21
INDENT = " " * (STATUS_WIDTH + 2)


def show(lines: Iterable[Line], stdout: Stdout) -> list[Line]:
    """Print a table on a terminal, otherwise each line as soon as it is there; return them, not folded."""
    if sys.stdout is not None and sys.stdout.isatty():
        return _show_table(lines)
    shown = list[Line]()
    for line in folded(_noting(lines, shown)):
        stdout.line(as_text(line))
    return shown


def _noting(lines: Iterable[Line], shown: list[Line]) -> Iterator[Line]:
    for line in lines:
        shown.append(line)
        yield line


def folded(lines: Iterable[Line]) -> Iterator[Line]:
    """Put checks in a row that were not made for the same reason on one line; pass on the others at once."""
    held = list[Line]()
    for line in lines:
        if held and line.found != held[0].found:
            yield _as_one(held)
            held = []
        if line.status is Status.NOT_CHECKED:
            held.append(line)
        else:
            yield line
    if held:
        yield _as_one(held)


def _as_one(lines: list[Line]) -> Line:
    first = lines[0]
    if len(lines) == 1:
        return first
    return first._replace(
        check=f"{len(lines)} checks", found=first.found.replace("it needs ", "they need ", 1)
    )


def as_text(line: Line) -> str:
    """Write a line, and below it, indented, what mends it."""
    text = f"{line.status:<{STATUS_WIDTH}}  {line.check:<{CHECK_WIDTH}}  {_told(line)}"
    if line.fix:
        text += "\n" + "\n".join(INDENT + each for each in f"fix: {still(line.fix)}".split("\n"))
    return text


def as_json(lines: list[Line], exit_code: int) -> str:
    """Write all lines as one of JSON."""
    return json.dumps(
        {"exit_code": exit_code, "checks": [line._asdict() for line in lines]}, ensure_ascii=False
    )


def _told(line: Line) -> str:
    # What a vendor said stands here too: it must neither leave its line nor do anything to a terminal.
    return one_line(line.found)


def _show_table(lines: Iterable[Line]) -> list[Line]:
    shown = list[Line]()
    with stderr.status("examining") as status:
        for _ in _noting(lines, shown):
            status.update(f"examining: {len(shown)} done")
    table = Table("", "check", "found, and what mends it", box=box.SIMPLE_HEAD, header_style="dim")
    for line in folded(shown):
        found = Text(_told(line))
        if line.fix:
            found.append(f"\n{still(line.fix)}", style="italic")
        table.add_row(Text(line.status, style=STYLES[line.status]), line.check, found)
    Console(file=sys.stdout, width=shutil.get_terminal_size().columns).print(table)
    return shown
