"""D1's failures in our own words: a table of what it answers, and what b2d1 makes of it."""

import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from conftest import FakeTime
from pytest_httpserver import HTTPServer
from scripted_d1 import TOKEN, answer, as_response, envelope, refused, script, settings

from b2d1.d1.database import Database
from b2d1.d1.errors import interpret_d1_error
from b2d1.errors import D1Error, Retry
from b2d1.settings import NAMES


class Verdict(NamedTuple):
    """What b2d1 makes of an answer; `names` are the settings that its hint names."""

    retry: Retry
    pause: float | None
    ambiguous: bool
    names: set[str]


def never(*names: str) -> Verdict:
    return Verdict(Retry.NEVER, None, ambiguous=False, names=set(names))


def smaller(*, ambiguous: bool = False) -> Verdict:
    return Verdict(Retry.SMALLER, None, ambiguous=ambiguous, names={"MAX_NEW_PER_RUN"})


def later(pause: float, *, ambiguous: bool = True) -> Verdict:
    return Verdict(Retry.LATER, pause, ambiguous=ambiguous, names=set())


SOON = Verdict(Retry.SOON, None, ambiguous=True, names=set())
BAD_TOKEN = never("CLOUDFLARE_API_TOKEN")
TOKEN_OR_ACCOUNT = never("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID")
BAD_ACCOUNT = never("CLOUDFLARE_ACCOUNT_ID")
BAD_URL = never("CLOUDFLARE_API_BASE_URL")
TRANSACTION = (
    "To execute a transaction, please use the state.storage.transaction() or state.storage.transactionSync() "
    "APIs instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements."
)
DAILY = (
    "Your account has exceeded D1's free tier daily row {} limit. "
    "Upgrade to a paid plan or wait until tomorrow (midnight UTC) to continue."
)

# What D1 says, whatever code or status it says it under.
BY_MESSAGE: dict[str, Verdict] = {
    "D1 DB reset because its code was updated.": SOON,
    "Internal error while starting up D1 DB storage caused object to be reset.": SOON,
    "Network connection lost.": SOON,
    "D1_ERROR: storage caused object to be reset.": SOON,
    "Internal error in D1 DB storage caused object to be reset.": SOON,
    "Cannot resolve D1 DB due to transient issue on remote node.": SOON,
    "Can't read from request stream because client disconnected.": SOON,
    "internal error; reference = 1q2w3e4r5t6z7u8i9o0p": SOON,
    "D1 DB is overloaded. Requests queued for too long.": SOON,
    "D1 DB is overloaded. Too many requests queued.": SOON,
    "Currently processing a long-running export.": later(15.0),
    "Currently processing a long-running import.": later(15.0),
    "D1_ERROR: Currently processing a long-running import.": later(15.0),
    "Currently processing a long-running import. Cannot start another import until that completes or times "
    "out.": later(15.0),
    "D1 DB storage operation exceeded timeout which caused object to be reset.": smaller(ambiguous=True),
    "D1 DB's isolate exceeded its memory limit and was reset.": smaller(ambiguous=True),
    "D1 DB exceeded its CPU time limit and was reset.": smaller(ambiguous=True),
    "statement too long: SQLITE_TOOBIG": smaller(),
    "string or blob too big: SQLITE_TOOBIG": smaller(),
    "too many SQL variables at offset 207: SQLITE_ERROR": smaller(),
    "out of memory: SQLITE_NOMEM": smaller(),
    "Exceeded maximum DB size.": never(),
    "Your account has exceeded D1's maximum account storage limit.": never(),
    DAILY.format("write"): never("MAX_NEW_PER_RUN"),
    DAILY.format("read"): never(),
    "No SQL statements detected.": never(),
    "no such table: media_assets: SQLITE_ERROR": never(),
    'near "FORM": syntax error at offset 9: SQLITE_ERROR': never(),
    "NOT NULL constraint failed: media_assets.size: SQLITE_CONSTRAINT": never(),
    "not authorized to use function: sqlite_version: SQLITE_ERROR": never(),
    "not authorized: SQLITE_AUTH": never(),
    TRANSACTION: never(),
    "a sentence that nobody has seen before": never(),
}
MESSAGES = [pytest.param(message, expected, id=message[:50]) for message, expected in BY_MESSAGE.items()]


def names_in(hint: str) -> set[str]:
    """Find the settings that a hint names."""
    return {name for name in NAMES if name in hint.replace("CF_", "")}


def verdict(error: D1Error) -> Verdict:
    """Take from an error what the table tells of it."""
    return Verdict(error.retry, error.retry_after, error.ambiguous, names_in(error.hint))


def interpret(status: int, code: int, message: str, retry_after: float | None = None) -> D1Error:
    return interpret_d1_error(
        status=status, code=code, message=message, retry_after=retry_after, doing="inserting"
    )


@pytest.mark.parametrize(("message", "expected"), MESSAGES)
def test_the_documented_message_decides_under_http_400_and_code_7500(message: str, expected: Verdict) -> None:
    """Code 7500 wraps nearly everything, so the message tells what may be sent again, and when."""
    error = interpret(400, 7500, message)
    assert verdict(error) == expected
    assert (error.exit_code, str(error)) == (4, f"inserting: D1 answered 400 7500: {message}")


@pytest.mark.parametrize(
    ("message", "expected"), [param for param in MESSAGES if "SQLITE_" in str(param.values[0])]
)
def test_what_sqlite_refuses_is_refused_under_http_500_too(message: str, expected: Verdict) -> None:
    """SQLite's own refusals are never sent again as they are, although a local D1 answers 500 for them."""
    assert verdict(interpret(500, 10001, message)) == expected


@pytest.mark.parametrize(("message", "expected"), MESSAGES)
@pytest.mark.parametrize(
    ("status", "content"),
    [
        pytest.param(400, lambda message: refused(7500, message), id="HTTP 400"),
        pytest.param(200, lambda message: refused(7500, message), id="success false"),
        pytest.param(
            200,
            lambda message: envelope([{"success": False, "error": message, "results": None}]),
            id="statement's success false",
        ),
    ],
)
def test_a_refusal_is_found_wherever_it_stands(
    httpserver: HTTPServer,
    fake_time: FakeTime,
    *,
    status: int,
    content: Callable[[str], Any],
    message: str,
    expected: Verdict,
) -> None:
    """The same message means the same in an HTTP error, in a failed answer and in a failed statement."""
    asked = script(httpserver, as_response(content(message), status))
    database = Database(settings(httpserver.url_for("")), fake_time.retrying(attempts=2))

    with pytest.raises(D1Error) as failure:
        database.run("SELECT 1", doing="inserting", divisible=True)

    assert verdict(failure.value) == expected
    assert failure.value.message.endswith(f": {message}")
    assert len(asked) == (2 if expected.retry in {Retry.SOON, Retry.LATER} else 1)


@pytest.mark.parametrize("message", [text for text in BY_MESSAGE if BY_MESSAGE[text].retry is Retry.SMALLER])
def test_what_cannot_ask_for_less_is_sent_again(
    httpserver: HTTPServer, fake_time: FakeTime, message: str
) -> None:
    """A statement that nobody can divide is tried again after a reset, and refused where it is too large."""
    asked = script(httpserver, as_response(refused(7500, message), 400), as_response(answer([[1]])))
    database = Database(settings(httpserver.url_for("")), fake_time.retrying(attempts=2))

    if "reset" in message:
        assert database.figure("SELECT 1", doing="asking") == 1
    else:
        with pytest.raises(D1Error):
            database.figure("SELECT 1", doing="asking")

    assert len(asked) == (2 if "reset" in message else 1)


@pytest.mark.parametrize(
    ("status", "code", "message", "retry_after", "expected"),
    [
        pytest.param(401, 10000, "Authentication error", None, TOKEN_OR_ACCOUNT, id="401 10000"),
        pytest.param(400, 10000, "Authentication error", None, TOKEN_OR_ACCOUNT, id="400 10000"),
        pytest.param(400, 6003, "Invalid request headers", None, BAD_TOKEN, id="400 6003"),
        pytest.param(400, 6111, "Invalid format for Authorization header", None, BAD_TOKEN, id="400 6111"),
        pytest.param(
            403, 9109, "Unauthorized to access requested resource", None, BAD_ACCOUNT, id="403 9109"
        ),
        pytest.param(400, 9106, "Missing X-Auth-Key", None, TOKEN_OR_ACCOUNT, id="400 9106"),
        pytest.param(401, 0, "", None, TOKEN_OR_ACCOUNT, id="401 alone"),
        pytest.param(403, 0, "", None, TOKEN_OR_ACCOUNT, id="403 alone"),
        pytest.param(
            403, 7403, "The given account is not valid", None, never("CLOUDFLARE_ACCOUNT_ID"), id="403 7403"
        ),
        pytest.param(
            404, 7404, "The database could not be found", None, never("D1_DATABASE_ID"), id="404 7404"
        ),
        pytest.param(
            404,
            7003,
            "Could not route to /x",
            None,
            never("CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_BASE_URL"),
            id="404 7003",
        ),
        pytest.param(404, 0, "", None, BAD_URL, id="404 page"),
        pytest.param(400, 7400, "The request is malformed", None, never(), id="400 7400"),
        pytest.param(413, 0, "", None, smaller(), id="413"),
        pytest.param(429, 971, "TooManyRequests", None, later(60.0, ambiguous=False), id="429 971"),
        pytest.param(
            429, 971, "TooManyRequests", 0.0, later(60.0, ambiguous=False), id="429 971, Retry-After 0"
        ),
        pytest.param(
            429, 971, "TooManyRequests", 290.0, later(290.0, ambiguous=False), id="429 971, Retry-After"
        ),
        pytest.param(400, 971, "TooManyRequests", None, later(60.0, ambiguous=False), id="400 971"),
        pytest.param(
            429,
            7500,
            "D1 DB is overloaded. Too many requests queued.",
            None,
            SOON._replace(ambiguous=False),
            id="429 overloaded",
        ),
        pytest.param(429, 0, "", 7.0, later(7.0, ambiguous=False), id="429, Retry-After"),
        pytest.param(
            400,
            7500,
            "Currently processing a long-running export.",
            40.0,
            later(40.0),
            id="export, Retry-After",
        ),
        pytest.param(400, 7500, "Network connection lost.", 3.0, later(3.0), id="lost, Retry-After"),
        pytest.param(504, 7009, "Gateway timeout", None, SOON, id="504 7009"),
        pytest.param(500, 7500, "internal error; reference = abc", None, SOON, id="500 7500"),
        pytest.param(503, 0, "", 2.0, later(2.0), id="503, Retry-After"),
        pytest.param(200, 0, "", None, SOON, id="200, no JSON"),
        *(
            pytest.param(status, 0, "", None, SOON, id=f"{status}")
            for status in (408, 500, 502, 503, 504, 520, 521, 522, 524, 530)
        ),
        *(pytest.param(status, 0, "", None, BAD_URL, id=f"{status}") for status in (301, 302, 303, 307, 308)),
    ],
)
def test_status_and_code_decide_where_no_message_does(
    status: int,
    code: int,
    message: str,
    retry_after: float | None,
    expected: Verdict,
) -> None:
    """Each answer has its kind of repetition, its pause, its certainty, and a hint with the right setting."""
    error = interpret(status, code, message, retry_after)
    assert verdict(error) == expected
    assert error.exit_code == 4


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("no such table: media_assets: SQLITE_ERROR", "b2d1 migrate, or wrangler d1 migrations apply"),
        (DAILY.format("write"), "it resets at 00:00 UTC"),
        ("Exceeded maximum DB size.", "The database is full"),
        ("Your account has exceeded D1's maximum account storage limit.", "The account's D1 storage is full"),
        ("Network connection lost.", "run again later"),
        ("Currently processing a long-running import.", "An export or an import blocks the database"),
        ("Currently processing a long-running export.", "An export or an import blocks the database"),
    ],
)
def test_the_hint_says_what_to_do(message: str, sentence: str) -> None:
    """Where no setting is at fault, the hint says what is."""
    assert sentence in interpret(400, 7500, message).hint


def test_a_token_that_cloudflare_repeats_is_struck_out(httpserver: HTTPServer, fake_time: FakeTime) -> None:
    """No error shows the token, not even when the other side sends it back."""
    script(httpserver, as_response(refused(9109, f"Bearer {TOKEN} is {TOKEN}?"), 403))
    database = Database(settings(httpserver.url_for("")), fake_time.retrying())

    with pytest.raises(D1Error) as failure:
        database.run("SELECT 1", doing="asking")

    assert str(failure.value) == "asking: D1 answered 403 9109: Bearer *** is ***?"
    assert TOKEN not in "".join(traceback.format_exception(failure.value)) + repr(vars(failure.value))


def test_a_message_of_any_length_is_cut(httpserver: HTTPServer, fake_time: FakeTime) -> None:
    """A message that is a whole page does not flood the log."""
    script(httpserver, as_response(refused(7500, "x" * 100_000), 400))
    database = Database(settings(httpserver.url_for("")), fake_time.retrying())

    with pytest.raises(D1Error) as failure:
        database.run("SELECT 1", doing="asking")

    assert failure.value.message == f"D1 answered 400 7500: {'x' * 500}"


@pytest.mark.parametrize(
    "errors",
    [
        None,
        [],
        {},
        "wrong",
        [None],
        ["wrong"],
        [[]],
        [{}],
        [{"code": None, "message": None}],
        [{"code": "7500"}],
    ],
    ids=repr,
)
def test_errors_of_any_form_make_an_error(httpserver: HTTPServer, fake_time: FakeTime, errors: Any) -> None:
    """A refusal whose errors are not Cloudflare's is still a refusal, by its status."""
    script(httpserver, as_response(envelope(None, success=False, errors=errors), 401))
    database = Database(settings(httpserver.url_for("")), fake_time.retrying())

    with pytest.raises(D1Error) as failure:
        database.run("SELECT 1", doing="asking")

    assert (str(failure.value), names_in(failure.value.hint)) == (
        "asking: D1 answered 401",
        {"CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"},
    )
