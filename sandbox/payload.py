"""The bodies of D1's REST API: from JSON to statements, from what they gave to JSON."""

import json
import math
from decimal import Decimal
from typing import Any

from sandbox.engine import Outcome, Refused, Statement, Value
from sandbox.statements import split, well_formed

# The largest integer that a JavaScript number holds exactly:
# https://developers.cloudflare.com/d1/worker-api/#type-conversion
MAX_SAFE_INTEGER = 2**53 - 1


class Malformed(Exception):
    """A body that is not of the documented form."""


def statements_of(body: bytes) -> list[Statement]:
    """Read the body of a query: `{"sql", "params"}`, or `{"batch": [...]}` with a list of these.

    Params must be strings, as Cloudflare's OpenAPI description has it and its local explorer insists on.
    """
    try:
        query = json.loads(body)
    except ValueError:
        raise Malformed("The request is malformed: the body is not JSON") from None
    batch = query.get("batch", [query]) if isinstance(query, dict) else None
    if not isinstance(batch, list):
        raise Malformed("The request is malformed: expected a query or a batch of queries")
    statements = [statement for item in batch for statement in _statements(item)]
    if not statements:
        raise Refused("No SQL statements detected.")
    return statements


def _statements(query: Any) -> list[Statement]:
    sql = query.get("sql") if isinstance(query, dict) else None
    if not isinstance(sql, str):
        raise Malformed("The request is malformed: sql must be a string")
    params = query.get("params", [])
    if not isinstance(params, list) or not all(isinstance(param, str) for param in params):
        raise Malformed("The request is malformed: params must be an array of strings")
    # To SQLite a text of SQL ends at its first NUL.
    texts = split(well_formed(sql.partition("\0")[0]))
    # https://github.com/drizzle-team/drizzle-kit-mirror/issues/499
    if params and len(texts) > 1:
        raise Malformed("The request is malformed: params with multiple statements is not supported")
    return [Statement(text, [well_formed(param) for param in params]) for text in texts]


def raw(outcome: Outcome) -> dict[str, object]:
    """Write what `/raw` answers for a statement: rows as arrays, columns even if there are no rows."""
    rows = [[_json(value) for value in row] for row in outcome.rows]
    return {"results": {"columns": outcome.columns, "rows": rows}, "success": True, "meta": outcome.meta}


def objects(outcome: Outcome) -> dict[str, object]:
    """Write what `/query` answers for a statement: rows as objects."""
    rows = [dict(zip(outcome.columns, map(_json, row), strict=True)) for row in outcome.rows]
    return {"results": rows, "success": True, "meta": outcome.meta}


def _json(value: Value) -> object:
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int | float) and MAX_SAFE_INTEGER < abs(value) < 10**21:
        # As many digits as tell the number from its neighbours, then zeros.
        return int(Decimal(repr(float(value))))
    return value
