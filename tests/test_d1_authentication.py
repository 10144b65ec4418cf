"""What Cloudflare refuses about the token or the account: each message has the hint that it proves."""

import datetime as dt
from typing import Any

import pytest
from conftest import FakeTime
from pytest_httpserver import HTTPServer
from scripted_d1 import ACCOUNT, NAME, TOKEN, as_response, envelope, refused, script, settings
from werkzeug.wrappers import Request, Response

from b2d1.d1.database import Database
from b2d1.d1.errors import interpret_d1_error
from b2d1.doctor.d1 import NOT_FOR_D1, NOT_VALID, D1Checks
from b2d1.doctor.finding import Line, Status, run
from b2d1.errors import D1Error, Refused, Retry

FORM = {"code": 6111, "message": "Invalid format for Authorization header"}
CHAINED = {"code": 6003, "message": "Invalid request headers", "error_chain": [FORM]}
LOCATION = "Cannot use the access token from location: 203.0.113.7"
FAILURES = "Max auth failures reached, please check your Authorization header."
NOT_THIS_ACCOUNT = "The given account is not valid or is not authorized to access this service"


@pytest.mark.parametrize(
    ("status", "code", "message", "refused_is", "hint"),
    [
        pytest.param(403, 9109, LOCATION, Refused.TOKEN, "Client IP Address Filtering", id="address"),
        pytest.param(403, 9109, "Invalid access token", Refused.TOKEN, "is not a valid token", id="unknown"),
        pytest.param(403, 9109, FAILURES, Refused.TOKEN, "too many requests", id="too many failures"),
        pytest.param(
            403,
            9109,
            "Unauthorized to access requested resource",
            Refused.ACCOUNT,
            "permission Account, D1, Edit",
            id="permission",
        ),
        pytest.param(403, 9109, "something new", Refused.EITHER, "tells which is wrong", id="other 9109"),
        pytest.param(401, 10000, "Authentication error", Refused.EITHER, "tells which is wrong", id="10000"),
        pytest.param(403, 7403, NOT_THIS_ACCOUNT, Refused.ACCOUNT, "Compare the id", id="7403"),
        pytest.param(400, 6111, FORM["message"], Refused.TOKEN, "form of an API token", id="6111"),
        pytest.param(400, 6003, "Invalid request headers", Refused.TOKEN, "headers", id="6003 alone"),
        pytest.param(401, 1000, "Invalid API Token", Refused.TOKEN, "is not a valid token", id="1000"),
        pytest.param(400, 1000, "another 1000", None, "", id="another 1000"),
        pytest.param(
            403, 10001, "Unable to authenticate request", Refused.EITHER, "tells which is wrong", id="10001"
        ),
        pytest.param(400, 9106, "Authentication failed", Refused.EITHER, "tells which is wrong", id="9106"),
    ],
)
def test_the_hint_fits_the_message(
    status: int, code: int, message: str, refused_is: Refused | None, hint: str
) -> None:
    """The same code has another hint for another message, and no answer is retried."""
    error = interpret_d1_error(status=status, code=code, message=message, retry_after=None, doing="asking")

    assert (error.refused, error.retry, error.ambiguous) == (refused_is, Retry.NEVER, False)
    assert hint in error.hint
    assert ("Address Filtering" in error.hint) == (message == LOCATION)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(
            CHAINED,
            "400 6003: Invalid request headers (6111: Invalid format for Authorization header)",
            id="chain",
        ),
        pytest.param(
            CHAINED | {"error_chain": [FORM] * 9},
            "400 6003: Invalid request headers" + " (6111: Invalid format for Authorization header)" * 3,
            id="a long chain",
        ),
        pytest.param(CHAINED | {"error_chain": "6111"}, "400 6003: Invalid request headers", id="a text"),
        pytest.param(CHAINED | {"error_chain": [None]}, "400 6003: Invalid request headers", id="null"),
        pytest.param(
            CHAINED | {"error_chain": [{"code": 6111, "message": f"{TOKEN}?"}]},
            "400 6003: Invalid request headers (6111: ***?)",
            id="the token is struck out",
        ),
    ],
)
def test_the_chain_of_an_error_is_reported(
    httpserver: HTTPServer, fake_time: FakeTime, error: dict[str, Any], message: str
) -> None:
    """Cloudflare's reason stands in the chain of its error, of whatever form that is."""
    content = envelope(None, success=False, errors=[error])
    script(httpserver, as_response(content, 400))

    with pytest.raises(D1Error) as failure:
        Database(settings(httpserver.url_for("")), fake_time.retrying()).run("SELECT 1", doing="asking")

    assert failure.value.message == f"D1 answered {message}"
    assert ("form of an API token" in failure.value.hint) == (FORM["message"] in message)


ACTIVE = envelope({"status": "active"})
UNKNOWN = as_response(refused(1000, "Invalid API Token"), 401)


def doctors_lines(server: HTTPServer, fake_time: FakeTime, refusal: Response, verify: Response) -> list[Line]:
    """Make the checks of Cloudflare's side, where D1 and the verification of the token answer so."""
    server.expect_request(f"/client/v4/accounts/{ACCOUNT}/d1/database").respond_with_response(refusal)

    def verified(request: Request) -> Response:
        return verify if "/user/" in request.path else UNKNOWN

    for owner in ("user", f"accounts/{ACCOUNT}"):
        server.expect_request(f"/client/v4/{owner}/tokens/verify").respond_with_handler(verified)
    checks = D1Checks(
        settings(server.url_for(""), name=NAME), fake_time.retrying(), lambda: dt.datetime.now(dt.UTC)
    )
    return list(run(checks.checks()))


@pytest.mark.parametrize(
    ("refusal", "valid", "token", "account", "fix"),
    [
        pytest.param((9109, LOCATION), True, Status.FAIL, Status.NOT_CHECKED, "Filtering", id="address"),
        pytest.param(
            (9109, "Invalid access token"),
            False,
            Status.FAIL,
            Status.NOT_CHECKED,
            "not a valid token",
            id="unknown",
        ),
        pytest.param(
            (10000, "Authentication error"), False, Status.FAIL, Status.NOT_CHECKED, NOT_VALID, id="invalid"
        ),
        pytest.param(
            (10000, "Authentication error"), True, Status.OK, Status.FAIL, NOT_FOR_D1, id="no permission"
        ),
        pytest.param((7403, NOT_THIS_ACCOUNT), True, Status.OK, Status.FAIL, NOT_FOR_D1, id="account"),
        pytest.param(
            (7403, NOT_THIS_ACCOUNT),
            False,
            Status.NOT_CHECKED,
            Status.FAIL,
            NOT_FOR_D1,
            id="account, unverified",
        ),
    ],
)
def test_doctor_tells_the_token_from_the_account(
    httpserver: HTTPServer,
    fake_time: FakeTime,
    refusal: tuple[int, str],
    *,
    valid: bool,
    token: Status,
    account: Status,
    fix: str,
) -> None:
    """A valid token can still be refused by its filter of addresses: verifying it ignores the filter."""
    answer = as_response(ACTIVE) if valid else UNKNOWN
    lines = doctors_lines(httpserver, fake_time, as_response(refused(*refusal), 403), answer)

    assert [line.status for line in lines[:2]] == [token, account]
    assert fix in next(line.fix for line in lines if line.status is Status.FAIL)
