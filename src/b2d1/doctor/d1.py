"""The token, the account and the database: what Cloudflare says before a statement is run."""

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any

from b2d1.d1.api import Api, not_d1
from b2d1.d1.database import Database
from b2d1.doctor.configuration import SETTINGS
from b2d1.doctor.finding import Check, Found, fail, failed, not_checked, ok, telling_where, warn
from b2d1.errors import D1Error, Refused, Retry
from b2d1.retry import Retrying
from b2d1.settings import DEFAULT_API_BASE_URL, D1Settings

TOKEN, ACCOUNT, DATABASE = "Cloudflare token", "Cloudflare account", "D1 database"
D1_EXIT = D1Error.exit_code
BASE_URL = "CLOUDFLARE_API_BASE_URL"
EXPIRES_SOON = dt.timedelta(days=14)
NOT_VALID = (
    "CLOUDFLARE_API_TOKEN must be a valid token with the permission Account, D1, Edit: Cloudflare's page My "
    "Profile, API Tokens makes one."
)
NOT_FOR_D1 = (
    "Compare CLOUDFLARE_ACCOUNT_ID with the account's page Workers & Pages, and give the token the "
    "permission Account, D1, Edit, with that account under Account Resources."
)


class D1Checks:
    """Cloudflare's side; after it `database` is resolved, or None. Sends nothing but GET.

    `has_key_index` is what TableChecks finds: whether a key is found without walking the table.
    """

    def __init__(
        self, settings: D1Settings | None, retrying: Retrying, now: Callable[[], dt.datetime]
    ) -> None:
        self.database: Database | None = None
        self.has_key_index = False
        self._settings = settings
        self._retrying = retrying
        self._now = now
        self._refusal: D1Error | None = None

    def checks(self) -> list[Check]:
        """List the checks, in their order."""
        given = () if self._settings else (SETTINGS,)
        return [
            Check(TOKEN, self._asking(self._token), given),
            Check(ACCOUNT, self._asking(self._account), (TOKEN,)),
            Check(DATABASE, self._asking(self._resolve), (ACCOUNT,)),
        ]

    def _asking(self, ask: Callable[[], Found]) -> Callable[[], Found]:
        url = self._settings.api_base_url if self._settings else DEFAULT_API_BASE_URL
        return ask if url == DEFAULT_API_BASE_URL else telling_where(ask, url, BASE_URL, "Cloudflare")

    def _token(self) -> Found:
        """Tell a token that is not valid from one that may not use D1 in this account."""
        if (settings := self._settings) is None:
            return not_checked(f"it needs {SETTINGS}")
        # What decides is whether D1 takes it; Cloudflare's own word on the token only explains.
        try:
            self._get("?per_page=1", "asking for the account's databases")
        except D1Error as error:
            if error.retry is not Retry.NEVER or error.__cause__:  # no answer, for which there is a cause
                raise
            self._refusal = error
        token = self._verified(settings)
        if token and token.get("status") != "active":
            return fail(
                D1_EXIT,
                f"it is {token.get('status')}",
                "Make a new token: docs/operations.md, Rotating keys.",
            )
        refused = self._refusal and self._refusal.refused
        # Also of a token that is valid: its filter of addresses does not count where it is verified.
        # https://developers.cloudflare.com/fundamentals/api/how-to/restrict-tokens/
        if self._refusal and refused is Refused.TOKEN:
            return failed(self._refusal)
        if token is None and self._refusal:
            if refused is Refused.EITHER:
                return failed(self._refusal)._replace(fix=NOT_VALID)
            return not_checked("Cloudflare does not say: see the account")
        if token is None:
            return ok("D1 takes it")
        return self._expiry(token.get("expires_on"))

    def _verified(self, settings: D1Settings) -> dict[str, Any] | None:
        # A user's token is known in one place, an account's own in the other.
        # https://developers.cloudflare.com/api/resources/user/subresources/tokens/methods/verify/
        for owner in ("/user", f"/accounts/{settings.account_id}"):
            try:
                token = self._get("/verify", "asking about the token", f"{owner}/tokens")
            except D1Error:
                continue
            if isinstance(token, dict):
                return token
        return None

    def _expiry(self, told: object) -> Found:
        try:
            expires = dt.datetime.fromisoformat(str(told))
            left = expires - self._now()
        except (ValueError, TypeError):
            return ok("it is valid" if told else "it is valid, and never expires")
        found = f"it is valid, and expires on {expires:%Y-%m-%d %H:%M} UTC, in {left.days} days"
        if left > EXPIRES_SOON:
            return ok(found)
        return warn(found, "Put a new token in its place before: docs/operations.md, Rotating keys.")

    def _account(self) -> Found:
        settings, refusal = self._settings, self._refusal
        if settings is None:
            return not_checked(f"it needs {SETTINGS}")
        if refusal:
            found = failed(refusal)
            return found._replace(fix=NOT_FOR_D1) if refusal.refused else found
        return ok(f"{settings.account_id}: the token may read its D1; that it may write, only a write shows")

    def _resolve(self) -> Found:
        if (settings := self._settings) is None:
            return not_checked(f"it needs {SETTINGS}")
        database = Database(settings, self._retrying)
        database.resolve()
        doing = f"looking at database {database.id}"
        told = self._get(f"/{database.id}", doing)
        if not isinstance(told, dict) or str(told.get("uuid")).lower() != database.id:
            raise not_d1(doing)
        self.database = database
        return ok(f"{told.get('name')}, {database.id}")

    def _get(self, path: str, doing: str, part: str | None = None) -> Any:
        if self._settings is None:
            return None
        api = Api(self._settings, self._retrying.deadline, part)
        return self._retrying.call(partial(api.request, "GET", path, doing))
