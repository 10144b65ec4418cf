"""A D1 database: find it by its name, run a statement, and know what that cost.

https://developers.cloudflare.com/api/resources/d1/ describes the requests and their answers.
"""

import itertools
import re
import urllib.parse
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from b2d1.d1.answer import Answer, Usage, is_answer
from b2d1.d1.api import Api, not_d1
from b2d1.d1.errors import again_as_it_is
from b2d1.errors import D1Error, GuardRefusal, Retry, harmless
from b2d1.retry import Deadline, Retrying
from b2d1.setting_values import is_database_id
from b2d1.settings import D1Settings

DATABASES_PER_PAGE = 100
# An account has up to 50,000. https://developers.cloudflare.com/d1/platform/limits/
MOST_DATABASES = 50_000
MOST_OF_A_NAME = 1000
_ID = re.compile(r"[0-9a-z-]{1,64}")
# What a message names of an account's databases.
MOST_NAMES, LONGEST_NAMES = 20, 500
# The bookmark is worth a few tries, and not the time that the run itself needs.
BOOKMARK_SECONDS = 10.0
# Those that are known have 60 characters.
MOST_OF_A_BOOKMARK = 1000


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
            names = sorted(found) or self._some_names(self.name)
            raise D1Error(f"no database is named {self.name}", hint=_name_hint(self.name, names))
        if self.id not in {None, found[self.name]}:
            raise GuardRefusal(
                f"D1_DATABASE_NAME {self.name} is {found[self.name]}, and D1_DATABASE_ID is {self.id}",
                hint="They must be the same database: correct one, or set only one.",
            )
        self.id = found[self.name]

    def run(
        self,
        sql: str,
        *params: str,
        doing: str,
        columns: int | None = None,
        within: float | None = None,
        divisible: bool = False,
    ) -> Answer:
        """Run one statement, again where its answer was lost: it must be one that may be repeated.

        `columns` is how many the answer must have, where its rows matter; `within` bounds the tries (seconds)
        of what a run can do without; `divisible` tells that the caller can ask for less when D1 finds it too
        much. An error is `ambiguous` when any of the tries was.
        """
        lost = False
        retrying = self._retrying if within is None else self._retrying.within(within)

        def attempt() -> dict[str, Any]:
            nonlocal lost
            try:
                body = {"sql": sql, "params": list(params)}
                (result, *more) = self._statements(body, doing, retrying.deadline)
                if more or columns not in {None, len(result["results"]["columns"])}:
                    raise not_d1(doing)
            except D1Error as error:
                error.ambiguous = lost = lost or error.ambiguous
                if not divisible:
                    again_as_it_is(error)
                raise
            return result

        result = retrying.call(attempt)
        return Answer.of(result, confirmed=not lost)

    def figure(self, sql: str, *params: str, doing: str) -> int:
        """Run a statement whose answer is one whole number."""
        return self.figures(sql, *params, doing=doing, columns=1)[0]

    def figures(self, sql: str, *params: str, doing: str, columns: int, divisible: bool = False) -> list[int]:
        """Run a statement whose answer is one row of whole numbers."""
        rows = self.run(sql, *params, doing=doing, columns=columns, divisible=divisible).rows
        if len(rows) != 1 or not all(isinstance(figure, int) for figure in rows[0]):
            raise not_d1(doing)
        return rows[0]

    def run_script(self, sql: str, *, doing: str, done: Callable[[], bool]) -> None:
        """Run several statements, all or none; `done` tells whether they took effect, here or elsewhere."""

        def settled() -> bool:
            try:
                return done()
            except D1Error as error:
                error.retry = Retry.NEVER  # it was tried often enough by itself
                raise

        def attempt() -> None:
            if settled():
                return
            try:
                self._statements({"sql": sql}, doing, self._retrying.deadline)
            except D1Error as error:
                # A look that came too soon, or another program, may have made them a second time.
                if error.retry is not Retry.NEVER or not settled():
                    raise

        self._retrying.call(attempt)

    def bookmark(self) -> str:
        """Read the Time Travel bookmark: the point to which the database can be taken back."""
        path, doing = f"/{self.id}/time_travel/bookmark", "reading the Time Travel bookmark"
        retrying = self._retrying.within(BOOKMARK_SECONDS)

        def attempt() -> str:
            result = self._api.request("GET", path, doing, deadline=retrying.deadline)
            bookmark = result.get("bookmark") if isinstance(result, dict) else None
            if not isinstance(bookmark, str) or bookmark != harmless(bookmark, MOST_OF_A_BOOKMARK):
                raise not_d1(doing)
            return bookmark

        return retrying.call(attempt)

    def _ids_by_name(self) -> dict[str, str]:
        """Look the name up; Cloudflare's filter finds every name that contains it, page by page."""
        found: dict[str, str] = {}
        doing = f"looking for database {self.name}"
        for page in itertools.count(1):
            query = {"name": self.name, "page": page, "per_page": DATABASES_PER_PAGE}
            before = len(found)
            found |= self._retrying.call(partial(self._page_of_ids, query, doing))
            if self.name in found or not before < len(found) <= MOST_DATABASES:
                break
        return found

    def _some_names(self, name: str) -> list[str]:
        """List names of the account's databases, whatever they contain; none where they cannot be listed."""
        if is_database_id(name):
            return []
        query = {"page": 1, "per_page": DATABASES_PER_PAGE}
        try:
            page = self._retrying.call(partial(self._page_of_ids, query, "listing the account's databases"))
        except D1Error:
            return []
        return sorted(page)

    def _page_of_ids(self, query: dict[str, Any], doing: str) -> dict[str, str]:
        databases = self._api.request("GET", f"?{urllib.parse.urlencode(query)}", doing)
        try:
            found = {str(each["name"]): each["uuid"].lower() for each in databases}
        except (TypeError, KeyError, AttributeError):
            raise not_d1(doing) from None
        # An id becomes a part of addresses.
        if not all(len(name) <= MOST_OF_A_NAME and _ID.fullmatch(each) for name, each in found.items()):
            raise not_d1(doing)
        return found

    def _statements(self, body: dict[str, Any], doing: str, deadline: Deadline) -> list[dict[str, Any]]:
        """Send statements once; return what each of them answered."""
        results = self._api.request("POST", f"/{self.id}/raw", doing, body, deadline)
        if not isinstance(results, list) or not results:
            raise not_d1(doing)
        for result in results:
            if isinstance(result, dict) and result.get("success") is False:
                errors = [{"message": str(result.get("error") or "")}]
                raise self._api.refusal(HTTPStatus.OK, errors, None, doing)
            if not is_answer(result):
                raise not_d1(doing)
            self.usage.add(result["meta"])
        return results


def _name_hint(name: str, found: Sequence[str]) -> str:
    """Return the hint for a name that no database has; `found` are names there are, perhaps not all."""
    if is_database_id(name):
        return "This is an id: put it into D1_DATABASE_ID, and leave D1_DATABASE_NAME empty."
    make = f"Or make it: wrangler d1 create {name}"
    if alike := [each for each in found if each.lower() == name.lower()]:
        return f"Set D1_DATABASE_NAME to {harmless(alike[0], LONGEST_NAMES)}: capitals count. {make}"
    more = ", and more" if len(found) > MOST_NAMES else ""
    names = harmless(", ".join(found[:MOST_NAMES]), LONGEST_NAMES)
    there = f"There are: {names}{more}." if names else "`wrangler d1 list` shows them."
    return f"Compare D1_DATABASE_NAME. {there} {make}"
