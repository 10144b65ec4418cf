"""What D1 answers to a statement, and what that cost."""

from typing import Any, NamedTuple

# D1 lets a statement take 30 s: https://developers.cloudflare.com/d1/platform/limits/
LONGEST_MILLISECONDS = 45_000


class Answer(NamedTuple):
    """What a statement returned, and what it cost.

    `confirmed` is false when an earlier try may have taken effect without an answer, so that `changes`
    (rows) may not tell all that this statement did. `seconds` is how long D1 worked on the try that was
    answered, None where it does not say.
    """

    rows: list[list[Any]]
    changes: int
    confirmed: bool
    seconds: float | None

    @classmethod
    def of(cls, result: dict[str, Any], *, confirmed: bool) -> "Answer":
        """Make an answer of a statement's result, one that `is_answer`."""
        meta = result["meta"]
        changes = int(meta.get("changes") or 0)
        return cls(result["results"]["rows"], changes, confirmed, _seconds(meta.get("duration")))


class Usage:
    """What the requests of a run added up to, from D1's own `meta`."""

    def __init__(self) -> None:
        self.rows_read = 0
        self.rows_written = 0
        self.changed_db = False

    def add(self, meta: dict[str, Any]) -> None:
        self.rows_read += int(meta.get("rows_read") or 0)
        self.rows_written += int(meta.get("rows_written") or 0)
        self.changed_db |= bool(meta.get("changed_db"))


def is_answer(result: Any) -> bool:
    """Tell whether a statement's result has D1's form: a success, rows as lists, and figures in its meta."""
    try:
        columns, rows, meta = result["results"]["columns"], result["results"]["rows"], result["meta"]
        figures = [meta.get(name) or 0 for name in ("changes", "rows_read", "rows_written")]
        sound = all(isinstance(row, list) and len(row) == len(columns) for row in rows)
        sound &= all(0 <= figure < 2**63 for figure in figures)  # not NaN, nor infinity, nor a text
        return sound and result["success"] is True and isinstance(rows, list) and isinstance(columns, list)
    except (TypeError, KeyError, AttributeError):
        return False


def _seconds(duration: Any) -> float | None:
    """Read a duration (milliseconds, on D1's own engine whole ones); None for one that cannot be.

    0 says nothing, and neither does one that is longer than a statement may take.
    """
    sound = type(duration) in {int, float} and 0 < duration <= LONGEST_MILLISECONDS  # and so not NaN
    return duration / 1000 if sound else None
