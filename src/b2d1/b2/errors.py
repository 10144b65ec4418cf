"""B2's refusals and failures in our own words: by status, code and Backblaze's documented message."""

from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from b2d1.errors import B2Error, Retry, harmless
from b2d1.loopback import interpret_silence
from b2d1.middlebox import foreign_answer, is_web_page, untrusted_certificate
from b2d1.retry import TRY_AGAIN_STATUS
from b2d1.setting_values import backblaze_region
from b2d1.settings import B2Settings

# How much of a vendor's own message is repeated.
MESSAGE_LENGTH = 300

# Asked less at once, B2 may do: https://www.backblaze.com/docs/cloud-storage-rate-limits
BUSY_CODES = {"SlowDown", "ServiceUnavailable", "Throttling"}
BUSY_STATUS = {429, 503}
TRY_AGAIN_CODES = BUSY_CODES | {"InternalError", "RequestTimeout"}


def interpret_b2_error(
    *,
    status: int,
    code: str,
    message: str,
    retry_after: float | None,
    settings: B2Settings,
    headers: Mapping[str, str] | None = None,
) -> B2Error:
    """Translate an answer that is an error; pure, so that it is tested as a table."""
    headers = headers or {}
    if foreign := foreign_answer("B2", status, headers, page=is_web_page(headers)):
        again = status in TRY_AGAIN_STATUS
        kind = (Retry.SOON if retry_after is None else Retry.LATER) if again else Retry.NEVER
        error = B2Error(foreign.message, hint=foreign.hint, retry=kind, retry_after=retry_after)
        error.busy = status in BUSY_STATUS
        return error
    code_said = code if code != str(status) else ""  # botocore's stand-in for a code that was not there
    said = f"B2 answered {status} {harmless(code_said, MESSAGE_LENGTH)}".rstrip()
    said += f": {harmless(message, MESSAGE_LENGTH)}" if message else ""
    if code in TRY_AGAIN_CODES or status in TRY_AGAIN_STATUS:
        kind = Retry.SOON if retry_after is None else Retry.LATER
        error = B2Error(said, retry=kind, retry_after=retry_after, hint="B2 is busy: run again later.")
        error.busy = code in BUSY_CODES or status in BUSY_STATUS
        return error
    return B2Error(said, hint=_hint(status, code, message, settings))


def _hint(status: int, code: str, message: str, settings: B2Settings) -> str:
    region = (
        f"B2_ENDPOINT must be the one on the bucket's page, B2_REGION its region (now {settings.region})."
    )
    # The same status and code as a missing permission; only the message tells a cap.
    # https://www.backblaze.com/docs/cloud-storage-data-caps-and-alerts
    if "cap exceeded" in message.lower():
        return "The account's daily cap is used up. It resets at 00:00 UTC; raise it under Caps & Alerts."
    if code == "InvalidAccessKeyId":
        return "B2_KEY_ID must be the keyID of an application key: not its name, and not the master key."
    if code == "SignatureDoesNotMatch":
        return f"B2_APP_KEY does not belong to B2_KEY_ID, or was entered incompletely. {region}"
    if code == "RequestTimeTooSkewed":
        return "This machine's clock is wrong: set it."
    if (
        code in {"AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"}
        or 300 <= status < 400
    ):
        return region
    if code == "NoSuchBucket" or (status == 404 and code in {"404", ""}):
        return f"No bucket {settings.bucket} here: compare B2_BUCKET (its name, not its id). {region}"
    # Region-isolated endpoints answer a stranger's key with a 403 that has no body.
    # https://github.com/s3ql/s3ql/issues/443
    if status == 403 and code in {"403", "Forbidden", ""}:
        if backblaze_region(settings.endpoint) is None:
            return (
                f"B2_REGION (now {settings.region}) is not this endpoint's, or B2_ENDPOINT is not the one on "
                "the bucket's page."
            )
        return f"Probably the endpoint of another region. {region}"
    if status in {401, 403}:
        return (
            "The application key needs the capabilities listFiles and listBuckets, for this bucket, "
            "and for B2_PREFIX if the key is restricted to a prefix."
        )
    return "b2d1 does not know this answer: compare the B2 settings with the bucket's page."


def interpret_b2_silence(failure: Exception, settings: B2Settings) -> B2Error:
    """Translate a failure to get a whole answer at all."""
    if not isinstance(failure, BotoCoreError):
        hint = "Run again. If it happens each time, compare B2_ENDPOINT."
        return B2Error("the answer is broken or cut short", hint=hint, retry=Retry.SOON)
    if untrusted := untrusted_certificate(failure, settings.endpoint, "B2_ENDPOINT"):
        return B2Error(untrusted.message, hint=untrusted.hint)
    if isinstance(failure, (HTTPClientError, NoConnectionError)):
        cause = failure.kwargs.get("error", failure)
        error = B2Error(f"no answer from {settings.endpoint} ({type(cause).__name__})", retry=Retry.SOON)
        error.hint, error.patience = interpret_silence(
            settings.endpoint, "B2_ENDPOINT", failure, "Is B2_ENDPOINT right, and is it reachable from here?"
        )
        return error
    return B2Error(f"the request could not be made: {failure}", hint="Compare the B2 settings.")
