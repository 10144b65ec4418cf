"""D1's refusals and failures in our own words.

Cloudflare's code is weak: 7500 wraps nearly everything, transient failures under HTTP 400 among them. So the
documented message decides first, then the code, then the status.
"""

from b2d1.errors import D1Error, Retry, harmless

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
# An export blocks the database; https://github.com/cloudflare/workers-sdk/issues/9519 saw 15 s and more.
EXPORTING, EXPORT_PAUSE = "currently processing a long-running export", 15.0
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
    7403: "CLOUDFLARE_ACCOUNT_ID is not an account that this token may use.",
    7404: "Compare D1_DATABASE_ID: `wrangler d1 list` shows those of this account.",
    7003: "The address is unknown to Cloudflare: compare CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_BASE_URL.",
}
TOKEN_HINT = (
    "CLOUDFLARE_API_TOKEN must be a valid token with the permission Account, D1, Edit: "  # noqa: S105
    "Cloudflare's page My Profile, API Tokens makes one."
)
TOKEN_CODES = {10000, 9109, 9106, 6003, 6111}
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
    kind, pause = Retry.NEVER, retry_after
    if any(part in text for part in TOO_MUCH) or status == 413:
        kind, hint = Retry.SMALLER, SMALLER_HINT
    elif hint or any(part in text for part in REFUSED_BY_SQLITE):
        pass
    elif EXPORTING in text:
        kind, pause = Retry.LATER, retry_after or EXPORT_PAUSE
    elif code == RATE_LIMITED:
        kind, pause = Retry.LATER, retry_after or RATE_LIMIT_PAUSE
    elif any(part in text for part in TRANSIENT) or status in {408, 429} or status >= 500:
        kind = Retry.SOON if retry_after is None else Retry.LATER
    elif code in TOKEN_CODES or status in {401, 403}:
        hint = TOKEN_HINT
    elif 300 <= status < 400:
        hint = "Redirects are not followed: compare CLOUDFLARE_API_BASE_URL."
    elif 200 <= status < 300 and not message:
        kind = Retry.SOON
    elif not message:
        hint = NOT_CLOUDFLARE_HINT
    if kind in {Retry.SOON, Retry.LATER} and not hint:
        hint = BUSY_HINT
    error = D1Error(said, doing=doing, hint=hint, retry=kind, retry_after=pause)
    # A request that was refused for its rate was not carried out; of the others nobody knows.
    unknown = kind in {Retry.SOON, Retry.LATER} or (kind is Retry.SMALLER and "reset" in text)
    error.ambiguous = unknown and status != 429 and code != RATE_LIMITED
    return error


def again_as_it_is(error: D1Error) -> None:
    """Let a statement that cannot ask for less be sent again, where what stopped it may pass."""
    if error.retry is Retry.SMALLER and error.ambiguous:
        error.retry, error.hint = Retry.SOON, BUSY_HINT
