"""D1's refusals and failures in our own words.

Cloudflare's code is weak: 7500 wraps nearly everything, transient failures under HTTP 400 among them. So the
documented message decides first, then the code, then the status.
"""

from b2d1.errors import D1Error, Refused, Retry, harmless

MESSAGE_LENGTH = 500

# https://developers.cloudflare.com/d1/observability/debug-d1/ lists these messages and what to do about each.
TRANSIENT = (
    "reset because its code was updated",
    "caused object to be reset",
    "network connection lost",
    "due to transient issue on remote node",
    "because client disconnected",
    "d1 db is overloaded",
    "internal error",
)
TOO_MUCH = (
    "operation exceeded timeout",
    "exceeded its memory limit",
    "exceeded its cpu time limit",
    "statement too long",
    "sqlite_toobig",
    "string or blob too big",
    "too many sql variables",
    "sqlite_nomem",
)
# SQLite's own refusals stay what they are, also where they come under HTTP 500 (wrangler's local D1).
REFUSED_BY_SQLITE = ("sqlite_constraint", "sqlite_error", "sqlite_auth")
# Both block the database: an export for 15 s and more (https://github.com/cloudflare/workers-sdk/issues/9519),
# an import until it has ended (wrangler d1 execute --file warns that the database will be unavailable).
BLOCKED = ("currently processing a long-running export", "currently processing a long-running import")
BLOCKED_PAUSE = 15.0
BLOCKED_HINT = "An export or an import blocks the database: run again when it has ended."
# The account's rate limit blocks "for the next five minutes" and was seen without a Retry-After.
# https://developers.cloudflare.com/fundamentals/api/reference/limits/
RATE_LIMITED, RATE_LIMIT_PAUSE = 971, 60.0

HINTS_BY_MESSAGE = (
    ("free tier daily row read", "D1's free plan is used up for today; it resets at 00:00 UTC."),
    (
        "free tier daily",
        "D1's free plan is used up for today; it resets at 00:00 UTC. MAX_NEW_PER_RUN spreads a first load.",
    ),
    ("unique constraint failed", "A unique index of the table allows less than b2d1 needs: drop it."),
    ("exceeded maximum db size", "The database is full."),
    ("storage limit", "The account's D1 storage is full."),
    ("no such table", "Create it: b2d1 migrate, or wrangler d1 migrations apply."),
)
HINTS_BY_CODE = {
    7404: "Compare D1_DATABASE_ID: `wrangler d1 list` shows those of this account.",
    7003: "The address is unknown to Cloudflare: compare CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_BASE_URL.",
}
# Cloudflare documents neither these codes nor their messages; each was observed where its address says.
EITHER_HINT = (
    "Check CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID: the token must be valid, and have the permission "
    "Account, D1, Edit for that account. `b2d1 doctor` tells which is wrong."
)
ACCOUNT_HINT = (
    "The token may not use D1 in the account CLOUDFLARE_ACCOUNT_ID. Compare the id, and give the token the "
    "permission Account, D1, Edit for that account."
)
INVALID_HINT = (
    "CLOUDFLARE_API_TOKEN is not a valid token. Copy it again, or make a new one on Cloudflare's page My "
    "Profile, API Tokens."
)
# https://developers.cloudflare.com/fundamentals/api/how-to/restrict-tokens/
LOCATION_HINT = (
    "The Client IP Address Filtering of CLOUDFLARE_API_TOKEN does not allow this machine's address. Add the "
    "address, or remove the filter: the addresses of AWS Lambda and GitHub Actions change."
)
FORM_HINT = (
    "CLOUDFLARE_API_TOKEN does not have the form of an API token. Copy the whole token again. The Global API "
    "Key is not a token."
)
HEADERS_HINT = "Enter CLOUDFLARE_API_TOKEN again: it is part of the headers that Cloudflare did not accept."
FAILURES_HINT = (
    "Cloudflare received too many requests with an invalid token. Correct CLOUDFLARE_API_TOKEN, and wait "
    "some hours before the next run."
)
# Code (None is any), a part of the message, what was refused, and the hint. The first row that fits counts.
REFUSALS: tuple[tuple[int | None, str, Refused, str], ...] = (
    # https://github.com/jeessy2/ddns-go/issues/1341
    (9109, "from location", Refused.TOKEN, LOCATION_HINT),
    # https://github.com/cert-manager/cert-manager/pull/4465
    (9109, "invalid access token", Refused.TOKEN, INVALID_HINT),
    # What follows after too many of these; a few hours of waiting were reported to end it.
    (9109, "max auth failures", Refused.TOKEN, FAILURES_HINT),
    # https://github.com/octodns/octodns-cloudflare/issues/60: a valid token without the permission
    (9109, "unauthorized to access", Refused.ACCOUNT, ACCOUNT_HINT),
    (9109, "", Refused.EITHER, EITHER_HINT),
    # 6003 with 6111 in its chain: https://github.com/jeessy2/ddns-go/issues/916, and for a Global API Key
    # https://github.com/kissgyorgy/cloudflare-dyndns/issues/40
    (None, "invalid format for authorization header", Refused.TOKEN, FORM_HINT),
    (6111, "", Refused.TOKEN, FORM_HINT),
    (6003, "", Refused.TOKEN, HEADERS_HINT),
    # Observed where a token is verified.
    (1000, "invalid api token", Refused.TOKEN, INVALID_HINT),
    # A missing permission: https://github.com/cloudflare/workers-sdk/issues/4078; another account:
    # https://github.com/cloudflare/workers-sdk/issues/9358; an invalid token, too.
    (10000, "", Refused.EITHER, EITHER_HINT),
    # https://github.com/cloudflare/workers-sdk/issues/13656: also of a token that is valid elsewhere
    (9106, "", Refused.EITHER, EITHER_HINT),
    (None, "unable to authenticate request", Refused.EITHER, EITHER_HINT),
    # https://github.com/cloudflare/workers-sdk/issues/14270
    (7403, "", Refused.ACCOUNT, ACCOUNT_HINT),
)
SMALLER_HINT = "Less at a time may pass: set MAX_NEW_PER_RUN, or lower it."
BUSY_HINT = "D1 is busy or unwell: run again later."
NOT_CLOUDFLARE_HINT = "The answer is not Cloudflare's: compare CLOUDFLARE_API_BASE_URL."


def interpret_d1_error(
    *, status: int, code: int, message: str, retry_after: float | None, doing: str
) -> D1Error:
    """Translate an answer that is an error; pure, so that it is tested as a table.

    `code` is 0 and `message` empty where the answer was not Cloudflare's JSON.
    """
    text = message.lower()
    said = (
        f"D1 answered {status}"
        + (f" {code}" if code else "")
        + (f": {harmless(message, MESSAGE_LENGTH)}" if message else "")
    )
    hint = next((hint for part, hint in HINTS_BY_MESSAGE if part in text), HINTS_BY_CODE.get(code, ""))
    kind, pause, refused = Retry.NEVER, retry_after, None
    if any(part in text for part in TOO_MUCH) or status == 413:
        kind, hint = Retry.SMALLER, SMALLER_HINT
    elif hint or any(part in text for part in REFUSED_BY_SQLITE):
        pass
    elif any(part in text for part in BLOCKED):
        kind, pause, hint = Retry.LATER, retry_after or BLOCKED_PAUSE, BLOCKED_HINT
    elif code == RATE_LIMITED:
        kind, pause = Retry.LATER, retry_after or RATE_LIMIT_PAUSE
    elif any(part in text for part in TRANSIENT) or status in {408, 429} or status >= 500:
        kind = Retry.SOON if retry_after is None else Retry.LATER
    elif refusal := _refusal(status, code, text):
        refused, hint = refusal
    elif 300 <= status < 400:
        hint = "Redirects are not followed: compare CLOUDFLARE_API_BASE_URL."
    elif 200 <= status < 300 and not message:
        kind = Retry.SOON
    elif not message:
        hint = NOT_CLOUDFLARE_HINT
    if kind in {Retry.SOON, Retry.LATER} and not hint:
        hint = BUSY_HINT
    error = D1Error(said, doing=doing, hint=hint, retry=kind, retry_after=pause)
    error.refused = refused
    # A request that was refused for its rate was not carried out; of the others nobody knows.
    unknown = kind in {Retry.SOON, Retry.LATER} or (kind is Retry.SMALLER and "reset" in text)
    error.ambiguous = unknown and status != 429 and code != RATE_LIMITED
    return error


def _refusal(status: int, code: int, text: str) -> tuple[Refused, str] | None:
    """Return what was refused, and the hint; None if the answer is not about the token."""
    for its_code, part, refused, hint in REFUSALS:
        if its_code in {None, code} and part in text:
            return refused, hint
    return (Refused.EITHER, EITHER_HINT) if status in {401, 403} else None


def again_as_it_is(error: D1Error) -> None:
    """Let a statement that cannot ask for less be sent again, where what stopped it may pass."""
    if error.retry is Retry.SMALLER and error.ambiguous:
        error.retry, error.hint = Retry.SOON, BUSY_HINT
