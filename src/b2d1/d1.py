"""A D1 database: find it by its name, run a statement, and know what that cost.

https://developers.cloudflare.com/api/resources/d1/ describes the requests and their answers.
"""

import itertools
import urllib.parse
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

from b2d1.d1_api import Api
from b2d1.errors import D1Error, GuardRefusal, Retry
from b2d1.retry import Retrying
from b2d1.settings import D1Settings

DATABASES_PER_PAGE = 100


class Answer(NamedTuple):
    """What a statement returned, and what it cost.

    `confirmed` is false when an earlier try may have taken effect without an answer, so that `changes`
    (rows) may not tell all that this statement did.
    """

    rows: list[list[Any]]
    changes: int
    confirmed: bool


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


class Database:
    """One D1 database; `resolve` it first. Requests go one at a time, as D1 works them off."""

    def __init__(self, settings: D1Settings, retrying: Retrying | None = None) -> None:
        self.settings = settings
        self.usage = Usage()
        self.id = settings.database_id
        self.name = settings.database_name
        self._retrying = retrying or Retrying()
        self._api = Api(settings, self._retrying.deadline)

    @property
    def requests(self) -> int:
        """Count every request made so far."""
        return self._api.requests

    def resolve(self) -> None:
        """Find the database's id by its name, and refuse a name and an id that are not the same database."""
        if self.name is None:
            return
        found = self._ids_by_name()
        if self.name not in found:
            hint = f"There are: {', '.join(sorted(found))}." if found else "`wrangler d1 list` shows them."
            raise D1Error(f"no database is named {self.name}", hint=f"Compare D1_DATABASE_NAME. {hint}")
        if self.id not in {None, found[self.name]}:
            raise GuardRefusal(
                f"D1_DATABASE_NAME {self.name} is {found[self.name]}, and D1_DATABASE_ID is {self.id}",
                hint="They must be the same database: correct one, or set only one.",
            )
        self.id = found[self.name]

    def run(self, sql: str, *params: str, doing: str) -> Answer:
        """Run one statement, again where its answer was lost: it must be one that may be repeated."""
        lost = False

        def attempt() -> list[dict[str, Any]]:
            nonlocal lost
            try:
                return self._statements({"sql": sql, "params": list(params)}, doing)
            except D1Error as error:
                lost |= error.ambiguous
                raise

        result = self._retrying.call(attempt)[0]
        return Answer(result["results"]["rows"], int(result["meta"].get("changes") or 0), confirmed=not lost)

    def run_script(self, sql: str, *, doing: str, done: Callable[[], bool]) -> None:
        """Run several statements, all or none; `done` tells, before each try, whether they took effect."""

        def attempt() -> None:
            if not done():
                self._statements({"sql": sql}, doing)

        self._retrying.call(attempt)

    def bookmark(self) -> str:
        """Read the Time Travel bookmark: the point to which the database can be taken back."""
        path, doing = f"/{self.id}/time_travel/bookmark", "reading the Time Travel bookmark"
        result = self._retrying.call(lambda: self._api.request("GET", path, doing))
        if not isinstance(result, dict) or not isinstance(result.get("bookmark"), str):
            raise _not_d1(doing)
        return str(result["bookmark"])

    def _ids_by_name(self) -> dict[str, str]:
        """Look the name up; Cloudflare's filter finds every name that contains it, page by page."""
        found: dict[str, str] = {}
        doing = f"looking for database {self.name}"
        for page in itertools.count(1):
            query = {"name": self.name, "page": page, "per_page": DATABASES_PER_PAGE}
            path = f"?{urllib.parse.urlencode(query)}"
            databases = self._retrying.call(partial(self._api.request, "GET", path, doing))
            before = len(found)
            try:
                found |= {str(each["name"]): str(each["uuid"]).lower() for each in databases}
            except (TypeError, KeyError):
                raise _not_d1(doing) from None
            if self.name in found or len(found) == before:
                break
        return found

    def _statements(self, body: dict[str, Any], doing: str) -> list[dict[str, Any]]:
        """Send statements once; return what each of them answered."""
        results = self._api.request("POST", f"/{self.id}/raw", doing, body)
        if not isinstance(results, list) or not results:
            raise _not_d1(doing)
        for result in results:
            if isinstance(result, dict) and result.get("success") is False:
                errors = [{"message": str(result.get("error") or "")}]
                raise self._api.refusal(HTTPStatus.OK, errors, None, doing)
            if not _is_answer(result):
                raise _not_d1(doing)
            self.usage.add(result["meta"])
        return results


def _is_answer(result: Any) -> bool:
    """Tell whether a statement's result has D1's form: rows as lists, and figures in its meta."""
    try:
        columns, rows, meta = result["results"]["columns"], result["results"]["rows"], result["meta"]
        figures = [meta.get(name) or 0 for name in ("changes", "rows_read", "rows_written")]
        whole = all(isinstance(row, list) and len(row) == len(columns) for row in rows)
    except (TypeError, KeyError, AttributeError):
        return False
    return whole and isinstance(rows, list) and all(isinstance(figure, int | float) for figure in figures)


def _not_d1(doing: str) -> D1Error:
    """Describe a success that does not hold what D1 answers; the statement may have taken effect."""
    error = D1Error("the answer is not D1's", doing=doing, retry=Retry.SOON)
    error.hint = "Run again. If it happens each time, compare CLOUDFLARE_API_BASE_URL."
    error.ambiguous = True
    return error
