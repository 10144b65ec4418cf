"""A plan as SQL that a person can read and wrangler runs to the same rows."""

import json
import re
from collections.abc import Iterator

from b2d1.errors import printable
from b2d1.sync.plan import Plan
from b2d1.table.schema import COLUMNS

# D1 takes statements of up to 100,000 bytes; more rows than this in one VALUES cost it memory.
STATEMENT_BYTES = 50_000
STATEMENT_ROWS = 100

# A script executes the file of every dry run, and wrangler fails on a file without a statement.
NOTHING = "-- Nothing to insert.\nSELECT 1;"

# The words that make wrangler take a file for a transaction (packages/wrangler/src/d1/trimmer.ts in
# cloudflare/workers-sdk).
_TRANSACTION = re.compile(r"(?<=BEGIN) (?=TRANSACTION)|(?<=SAVE)P(?=OINT)", re.IGNORECASE)


def statements(plan: Plan) -> Iterator[str]:
    """Yield the INSERT statements, each ended by a semicolon; if there are none, a SELECT without effect."""
    if not plan.due:
        yield NOTHING
    for chunk in plan.chunks():
        values: list[str] = []
        weight = 0
        for row in json.loads(chunk):
            text = f"  ({', '.join(map(literal, row))})"
            if values and (len(values) >= STATEMENT_ROWS or weight + len(text.encode()) > STATEMENT_BYTES):
                yield _insert(values)
                values, weight = [], 0
            values.append(text)
            weight += len(text.encode()) + 2
        yield _insert(values)


def literal(value: str | int | None) -> str:
    """Write a value as an SQL literal of printable characters, on one line.

    Characters that are not printable could command a terminal or hide text; wrangler turns CRLF into LF.
    """
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    if _clearly_plain(value) or (value.isprintable() and not _TRANSACTION.search(value)):
        return _quoted(value)
    # As JSON, which has an escape for every character. (A chain of || is soon too deep for D1.)
    escaped = printable(json.dumps(value, ensure_ascii=False))
    escaped = _TRANSACTION.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped)
    return f"json_extract({_quoted(escaped)}, '$')"


def _clearly_plain(text: str) -> bool:
    """Clear nearly every value at a fifth of what the search for what is awkward takes."""
    return (
        text.isascii()
        and text.isprintable()
        and "SAVE" not in (upper := text.upper())
        and "BEGIN" not in upper
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _insert(values: list[str]) -> str:
    rows = ",\n".join(values)
    return (
        f"INSERT INTO media_assets ({', '.join(COLUMNS)}) VALUES\n{rows}\nON CONFLICT(media_uid) DO NOTHING;"
    )
