"""One exchange with Cloudflare's REST API for D1: a request, and its result or a D1Error."""

import json
import logging
from http import HTTPStatus
from typing import Any

import requests
import urllib3

from b2d1.d1.errors import interpret_d1_error
from b2d1.errors import D1Error, Retry
from b2d1.http_exchange import NO_ANSWER, Session, TooLargeError
from b2d1.loopback import interpret_silence
from b2d1.middlebox import LOGIN, WEB_PAGE_HINT, foreign_answer, is_web_page, untrusted_certificate
from b2d1.retry import Deadline, retry_after_seconds
from b2d1.settings import D1Settings
from b2d1.strict_json import read_whole

logger = logging.getLogger(__name__)

# D1 gives up after 30 s ("Requests to Cloudflare API must resolve in 30 seconds"); giving up before it does
# would only make it unknown what happened. https://developers.cloudflare.com/d1/platform/limits/
ANSWER_TIMEOUT = 45.0
# The largest answer is a list of uids that was under 1 MB when it was asked about.
MAX_ANSWER_BYTES = 16_000_000
# One is usual: {"code": 6003, …, "error_chain": [{"code": 6111, …}]}
LONGEST_CHAIN = 3


class Api:
    """The D1 part of one Cloudflare account; `requests` counts every request made.

    `part` names another part of Cloudflare's API, by its path.
    """

    def __init__(self, settings: D1Settings, deadline: Deadline, part: str | None = None) -> None:
        self.requests = 0
        self._part = part or f"/accounts/{settings.account_id}/d1/database"
        self._settings = settings
        self._deadline = deadline
        self._session = Session(settings.ca_bundle)
        self._session.headers["Authorization"] = f"Bearer {settings.api_token.reveal()}"

    def request(
        self,
        method: str,
        path: str,
        doing: str,
        body: dict[str, Any] | None = None,
        deadline: Deadline | None = None,
    ) -> Any:
        """Make one request below the part; return the `result` of a success, else raise D1Error.

        `deadline` is an earlier one than the run's.
        """
        deadline = deadline or self._deadline
        settings, self.requests = self._settings, self.requests + 1
        url = f"{settings.api_base_url}{self._part}{path}"
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        json_type = {"Content-Type": "application/json"}
        bounds: Any = {"longest": ANSWER_TIMEOUT, "most": MAX_ANSWER_BYTES}
        began = deadline.clock()
        try:
            status, headers, content = self._session.exchange(
                method, url, deadline, **bounds, data=data, headers=json_type
            )
        except TooLargeError:
            error = not_d1(doing)
            error.retry = Retry.SMALLER
            raise error from None
        except NO_ANSWER as failure:
            raise _no_answer(failure, doing, settings.api_base_url) from failure
        logger.debug("%s: HTTP %d, %d bytes, %.3f s", doing, status, len(content), deadline.clock() - began)
        try:
            answer = read_whole(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            answer = {}
        if not isinstance(answer.get("success"), bool):
            self._refuse_foreign(status, headers, content, doing)
        if status != HTTPStatus.OK or not answer["success"]:
            raise self.refusal(status, answer.get("errors"), headers, doing)
        return answer.get("result")

    def _refuse_foreign(self, status: int, headers: Any, content: bytes, doing: str) -> None:
        """Raise D1Error for an answer without Cloudflare's envelope, unless its status says enough."""
        if status == HTTPStatus.OK:
            raise not_d1(doing, page=is_web_page(headers, content))
        # Cloudflare's API always explains a 401 and a 403; the others may come empty from its own front.
        page = bool(content.strip()) or status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
        if foreign := foreign_answer("Cloudflare's API", status, headers, content, page=page):
            error = self.refusal(status, None, headers, doing)
            error.message, error.hint, error.refused = foreign.message, foreign.hint, None
            if status in LOGIN:
                error.retry = Retry.NEVER
            # Most block a request before it arrives, but some block its answer.
            error.ambiguous = True
            raise error

    def refusal(self, status: int, errors: Any, headers: Any, doing: str) -> D1Error:
        """Translate the `errors` of an answer; the first one counts."""
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
        code = first.get("code")
        return interpret_d1_error(
            status=status,
            code=code if isinstance(code, int) else 0,
            message=self._settings.api_token.hide_in(_message(first)),
            retry_after=retry_after_seconds(headers.get("Retry-After") if headers else None),
            doing=doing,
        )


def _message(error: dict[str, Any]) -> str:
    """Return an error's message; the reasons that Cloudflare puts into its chain follow in brackets."""
    message, chain = str(error.get("message") or ""), error.get("error_chain")
    reasons = (
        [each for each in chain[:LONGEST_CHAIN] if isinstance(each, dict)] if isinstance(chain, list) else []
    )
    return message + "".join(f" ({each.get('code')}: {each.get('message')})" for each in reasons)


def not_d1(doing: str, *, page: bool = False) -> D1Error:
    """Describe a success that does not hold what D1 answers; the statement may have taken effect.

    `page` says that it is a web page.
    """
    error = D1Error("the answer is not D1's", doing=doing, retry=Retry.SOON)
    error.hint = "Run again. If it happens each time, compare CLOUDFLARE_API_BASE_URL."
    if page:
        error.message += " but a web page"
        error.hint = WEB_PAGE_HINT.format("CLOUDFLARE_API_BASE_URL")
    error.ambiguous = True
    return error


def _no_answer(failure: Exception, doing: str, base_url: str) -> D1Error:
    error = D1Error(f"no answer from {base_url} ({type(failure).__name__})", doing=doing)
    error.hint, error.patience = interpret_silence(
        base_url, "CLOUDFLARE_API_BASE_URL", failure, "Is the network up, and CLOUDFLARE_API_BASE_URL right?"
    )
    # A connection that breaks is an SSLError too, and may be whole the next time.
    if untrusted := untrusted_certificate(failure, base_url, "CLOUDFLARE_API_BASE_URL"):
        error.message, error.hint = untrusted
        return error
    error.retry = Retry.SOON
    # Where no connection came about, nothing was sent; requests wraps the error that tells.
    reason = getattr(failure.args[0], "reason", None) if failure.args else None
    unsent = (requests.ConnectTimeout, urllib3.exceptions.NewConnectionError)
    error.ambiguous = not isinstance(failure, unsent) and not isinstance(reason, unsent)
    return error
