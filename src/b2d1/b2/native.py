"""What B2's own API says of an application key: what it may do, for how long, and where its buckets are.

One request, which a listing does without: `doctor` alone makes it.
https://www.backblaze.com/apidocs/b2-authorize-account
"""

import datetime as dt
import email.utils
import logging
from http import HTTPStatus
from typing import Any, NamedTuple

from b2d1.errors import B2Error, Retry, harmless
from b2d1.http_exchange import NO_ANSWER, Session, TooLargeError
from b2d1.loopback import interpret_silence
from b2d1.middlebox import foreign_answer, is_web_page, untrusted_certificate
from b2d1.retry import TRY_AGAIN_STATUS, Retrying, retry_after_seconds
from b2d1.setting_values import host_url
from b2d1.settings import B2Settings
from b2d1.strict_json import read_whole

logger = logging.getLogger(__name__)

# The version that knows keys for several buckets.
PATH = "/b2api/v4/b2_authorize_account"
ANSWER_TIMEOUT = 15.0
# The answer is a kilobyte.
MAX_ANSWER_BYTES = 1_000_000
MESSAGE_LENGTH = 300

KEY_HINT = (
    "B2_KEY_ID must be the keyID of an application key that exists and has not expired, and B2_APP_KEY the "
    "applicationKey that was shown when it was made; a lost one is made anew on the page Application Keys."
)
NOT_B2S = "the answer is not B2's"
NATIVE_HINT = "Is the network up, and is B2_NATIVE_URL, if it is set, B2's own API?"


class Key(NamedTuple):
    """An application key as B2 describes it.

    `buckets` holds names (None for a bucket that is gone) and `prefix` the beginning of keys; None restricts
    nothing, and so does None as the time at which it `expires`. `s3_url` is where the account's buckets are.
    """

    is_master: bool
    capabilities: frozenset[str]
    buckets: tuple[str | None, ...] | None
    prefix: str | None
    expires: dt.datetime | None
    s3_url: str


class Native:
    """B2's own API, asked by the key in the settings; `date` is the server's clock at its last answer."""

    def __init__(self, settings: B2Settings, retrying: Retrying) -> None:
        self.date: dt.datetime | None = None
        self._settings = settings
        self._retrying = retrying
        self._session = Session(settings.ca_bundle)

    def authorize(self) -> Key:
        """Ask what the key is; raises B2Error."""
        return self._retrying.call(self._authorize)

    def _authorize(self) -> Key:
        settings = self._settings
        try:
            status, headers, content = self._session.exchange(
                *("GET", f"{settings.native_url}{PATH}", self._retrying.deadline),
                longest=ANSWER_TIMEOUT,
                most=MAX_ANSWER_BYTES,
                auth=(settings.key_id.reveal(), settings.app_key.reveal()),
            )
        except TooLargeError:
            raise _error(NOT_B2S, NATIVE_HINT) from None
        except NO_ANSWER as failure:
            url = settings.native_url or ""
            if untrusted := untrusted_certificate(failure, url, "B2_NATIVE_URL"):
                raise _error(*untrusted) from failure
            said = f"no answer from {settings.native_url} ({type(failure).__name__})"
            silence = interpret_silence(url, "B2_NATIVE_URL", failure, NATIVE_HINT)
            error = _error(said, silence.hint, Retry.SOON)
            error.patience = silence.patience
            raise error from failure
        logger.debug("asking B2 about the key: HTTP %d, %d bytes", status, len(content))
        self.date = _date(headers.get("Date"))
        answer = _json(content)
        if status == HTTPStatus.OK:
            return _key(answer, settings)
        if foreign := foreign_answer(
            "B2's API", status, headers, content, page=is_web_page(headers, content)
        ):
            kind = Retry.SOON if status in TRY_AGAIN_STATUS else Retry.NEVER
            raise _error(*foreign, kind, retry_after_seconds(headers.get("Retry-After")))
        raise interpret_native_error(
            status=status,
            code=self._hide_secrets(answer.get("code")),
            message=self._hide_secrets(answer.get("message")),
            retry_after=retry_after_seconds(headers.get("Retry-After")),
        )

    def _hide_secrets(self, told: object) -> str:
        return self._settings.key_id.hide_in(self._settings.app_key.hide_in(str(told or "")))


def interpret_native_error(*, status: int, code: str, message: str, retry_after: float | None) -> B2Error:
    """Translate an answer that is an error; `code` and `message` are empty where it was not B2's."""
    said = f"B2 answered {status} {harmless(code, MESSAGE_LENGTH)}".rstrip()
    said += f": {harmless(message, MESSAGE_LENGTH)}" if message else ""
    if status in TRY_AGAIN_STATUS:
        kind = Retry.SOON if retry_after is None else Retry.LATER
        return _error(said, "B2 is busy: run again later.", kind, retry_after)
    if "cap_exceeded" in code:
        return _error(
            said, "The account's daily cap is used up. It resets at 00:00 UTC; raise it under Caps & Alerts."
        )
    # bad_auth_token and unauthorized both stand for a key that B2 does not take:
    # https://github.com/Backblaze/B2_Command_Line_Tool/issues/645
    return _error(said, KEY_HINT if status == HTTPStatus.UNAUTHORIZED and code else NATIVE_HINT)


def _key(answer: dict[str, Any], settings: B2Settings) -> Key:
    try:
        storage = answer["apiInfo"]["storageApi"]
        allowed, expires = storage["allowed"], answer["applicationKeyExpirationTimestamp"]
        buckets = allowed["buckets"]
        key = Key(
            # The account's id stands for its master key: the only key whose id it is.
            is_master=answer["accountId"] == settings.key_id.reveal(),
            capabilities=frozenset(map(str, allowed["capabilities"])),
            buckets=None if buckets is None else tuple(bucket["name"] for bucket in buckets),
            prefix=allowed["namePrefix"] or None,
            expires=None if expires is None else dt.datetime.fromtimestamp(expires / 1000, dt.UTC),
            s3_url=host_url(storage["s3ApiUrl"]),
        )
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError, OSError):
        raise _error(NOT_B2S, NATIVE_HINT) from None
    names = [key.prefix or "", *(name or "" for name in key.buckets or ())]
    if not all(isinstance(name, str) for name in names):
        raise _error(NOT_B2S, NATIVE_HINT)
    return key


def _json(content: bytes) -> dict[str, Any]:
    try:
        answer = read_whole(content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _date(header: str | None) -> dt.datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _error(said: str, hint: str, retry: Retry = Retry.NEVER, retry_after: float | None = None) -> B2Error:
    return B2Error(said, doing="asking B2 about the key", hint=hint, retry=retry, retry_after=retry_after)
