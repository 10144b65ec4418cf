"""B2's own API over real sockets: what is asked, what of the answer is believed, what a refusal becomes."""

import datetime as dt
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import FakeTime
from pages import APP_KEY, KEY_ID, Answer, PageServer
from pytest_httpserver import HTTPServer
from scripted_d1 import raw_server
from werkzeug import Request, Response

from b2d1.b2.native import KEY_HINT, NATIVE_HINT, Key, Native, interpret_native_error
from b2d1.errors import B2Error, Retry
from b2d1.setting_values import Secret
from b2d1.settings import B2Settings

ALLOWED = {"buckets": [{"id": "1", "name": "photos"}], "capabilities": ["listFiles"], "namePrefix": "a/"}
DESCRIBED = {
    "accountId": "0f5f0571db50",
    "apiInfo": {"storageApi": {"allowed": ALLOWED, "s3ApiUrl": "https://s3.us-west-004.backblazeb2.com"}},
    "applicationKeyExpirationTimestamp": 4102444800000,
    "authorizationToken": "4_token",
}
KEY = Key(
    is_master=False,
    capabilities=frozenset({"listFiles"}),
    buckets=("photos",),
    prefix="a/",
    expires=dt.datetime(2100, 1, 1, tzinfo=dt.UTC),
    s3_url="https://s3.us-west-004.backblazeb2.com",
)
BUSY_HINT = "B2 is busy: run again later."


def native(url: str, time: FakeTime, key_id: str = KEY_ID) -> Native:
    """Make a client that finds B2's own API there."""
    settings = B2Settings(
        *(Secret(key_id), Secret(APP_KEY), "http://127.0.0.1:1", "x", "photos"), native_url=url.rstrip("/")
    )
    return Native(settings, time.retrying(attempts=2))


def described(**changes: Any) -> dict[str, Any]:
    """Describe the key with something else under `allowed`."""
    storage = DESCRIBED["apiInfo"]["storageApi"]
    return DESCRIBED | {"apiInfo": {"storageApi": storage | {"allowed": ALLOWED | changes}}}


def refusal_of(call: Callable[[], object]) -> B2Error:
    """Make a call that must end with a B2Error."""
    with pytest.raises(B2Error) as failure:
        call()
    return failure.value


def test_the_key_is_asked_about_as_b2_documents_it(httpserver: HTTPServer, fake_time: FakeTime) -> None:
    """One GET of version 4, the key as HTTP's basic authentication; the answer is read as it is meant."""
    httpserver.expect_request("/b2api/v4/b2_authorize_account").respond_with_json(DESCRIBED)

    assert native(httpserver.url_for(""), fake_time).authorize() == KEY
    ((request, _),) = httpserver.log
    assert (request.method, request.authorization.username) == ("GET", KEY_ID)
    assert request.authorization.password == APP_KEY
    assert request.headers["User-Agent"].startswith("b2d1/")


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        pytest.param(described(buckets=None), KEY._replace(buckets=None), id="every bucket"),
        pytest.param(
            described(buckets=[{"id": "1", "name": None}]), KEY._replace(buckets=(None,)), id="bucket gone"
        ),
        pytest.param(described(namePrefix=None), KEY._replace(prefix=None), id="no prefix"),
        pytest.param(described(namePrefix=""), KEY._replace(prefix=None), id="empty prefix"),
        pytest.param(
            DESCRIBED | {"applicationKeyExpirationTimestamp": None},
            KEY._replace(expires=None),
            id="never expires",
        ),
        pytest.param(DESCRIBED | {"accountId": KEY_ID}, KEY._replace(is_master=True), id="master key"),
    ],
)
def test_each_form_of_a_key_is_read(
    httpserver: HTTPServer, fake_time: FakeTime, answer: dict[str, Any], key: Key
) -> None:
    """What restricts nothing is null in the answer and None here."""
    httpserver.expect_request("/b2api/v4/b2_authorize_account").respond_with_json(answer)

    assert native(httpserver.url_for(""), fake_time).authorize() == key


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>", id="a page"),
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="nothing"),
        pytest.param(json.dumps(described(buckets=[None])).encode(), id="no bucket"),
        pytest.param(json.dumps(described(buckets=[{"name": 7}])).encode(), id="a number for a name"),
        pytest.param(json.dumps(described(namePrefix=7)).encode(), id="a number for a prefix"),
        pytest.param(json.dumps(described(capabilities=None)).encode(), id="no capabilities"),
        pytest.param(
            json.dumps(DESCRIBED | {"applicationKeyExpirationTimestamp": 1e300}).encode(), id="end of time"
        ),
        pytest.param(
            json.dumps(DESCRIBED | {"applicationKeyExpirationTimestamp": float("nan")}).encode(), id="NaN"
        ),
        pytest.param(json.dumps(DESCRIBED).encode()[:-1] + b', "accountId": "x"}', id="a name twice"),
    ],
)
def test_an_answer_that_is_not_b2s_is_an_error_with_a_name(
    httpserver: HTTPServer, fake_time: FakeTime, body: bytes
) -> None:
    """Whatever comes under HTTP 200, it is a key's description or a B2Error."""
    httpserver.expect_request("/b2api/v4/b2_authorize_account").respond_with_data(body)

    error = refusal_of(native(httpserver.url_for(""), fake_time).authorize)

    assert (str(error), error.hint) == ("asking B2 about the key: the answer is not B2's", NATIVE_HINT)


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"HTTP/1.1 200 OK", id="a success"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/", id="a redirect"),
    ],
)
def test_an_answer_without_end_is_given_up(fake_time: FakeTime, begin: bytes) -> None:
    """More than a megabyte is no description of a key: it is not read on, and the connection is closed."""
    closed: list[bool] = []

    def talk(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(begin + b"\r\n\r\n")
        try:
            while True:
                peer.sendall(b" " * 65536)
        except OSError:
            closed.append(True)

    with raw_server(talk) as (port, connections):
        error = refusal_of(native(f"http://127.0.0.1:{port}", fake_time).authorize)

    assert (str(error), error.hint) == ("asking B2 about the key: the answer is not B2's", NATIVE_HINT)
    assert (len(connections), closed) == (1, [True])


@pytest.mark.parametrize("cut", [-1, 3])
def test_an_answer_that_breaks_off_is_asked_for_again(fake_time: FakeTime, cut: int) -> None:
    """A connection that ends early is tried once more, and then named."""
    with PageServer() as server:
        server.give(Answer(b'{"a": "b"}', cut=cut))

        error = refusal_of(native(server.url, fake_time).authorize)

        assert len(server.asked) == 2
    assert f"no answer from {server.url}" in str(error)
    assert error.hint == NATIVE_HINT


@pytest.mark.parametrize(
    ("status", "code", "message", "said", "hint", "retry"),
    [
        pytest.param(401, "bad_auth_token", "", "401 bad_auth_token", KEY_HINT, Retry.NEVER, id="wrong key"),
        pytest.param(401, "unauthorized", "no", "401 unauthorized: no", KEY_HINT, Retry.NEVER, id="no key"),
        pytest.param(401, "", "", "401", NATIVE_HINT, Retry.NEVER, id="somebody else's 401"),
        pytest.param(404, "", "", "404", NATIVE_HINT, Retry.NEVER, id="somebody else's 404"),
        pytest.param(302, "", "", "302", NATIVE_HINT, Retry.NEVER, id="redirect"),
        pytest.param(
            403,
            "transaction_cap_exceeded",
            "",
            "403 transaction_cap_exceeded",
            "The account's daily cap is used up. It resets at 00:00 UTC; raise it under Caps & Alerts.",
            Retry.NEVER,
            id="cap",
        ),
        pytest.param(503, "busy", "wait", "503 busy: wait", BUSY_HINT, Retry.SOON, id="busy"),
        pytest.param(429, "", "", "429", BUSY_HINT, Retry.SOON, id="too many"),
        pytest.param(400, "x" * 999, "", f"400 {'x' * 300}", NATIVE_HINT, Retry.NEVER, id="long"),
        pytest.param(400, "a", "\x1b[2J\n", r"400 a: \x1b[2J\n", NATIVE_HINT, Retry.NEVER, id="controls"),
    ],
)
def test_a_refusal_says_what_to_do(
    status: int, code: str, message: str, *, said: str, hint: str, retry: Retry
) -> None:
    """Status and code decide; B2's own words are repeated, up to a length."""
    error = interpret_native_error(status=status, code=code, message=message, retry_after=None)

    assert (error.message, error.hint, error.retry) == (f"B2 answered {said}", hint, retry)
    assert error.exit_code == 3


def test_a_server_that_says_when_is_waited_for(httpserver: HTTPServer, fake_time: FakeTime) -> None:
    """Retry-After is honoured, and the second answer counts."""
    busy = Response('{"code": "busy"}', 503, {"Retry-After": "7"})
    answers = iter([busy, Response(json.dumps(DESCRIBED))])
    httpserver.expect_request("/b2api/v4/b2_authorize_account").respond_with_handler(lambda _: next(answers))

    assert native(httpserver.url_for(""), fake_time).authorize() == KEY
    assert fake_time.pauses == [7.0]


def test_no_redirect_is_followed_with_the_key(httpserver: HTTPServer, fake_time: FakeTime) -> None:
    """Where the answer leads elsewhere, nobody there sees the key."""
    elsewhere = {"Location": httpserver.url_for("/elsewhere")}
    httpserver.expect_request("/b2api/v4/b2_authorize_account").respond_with_response(
        Response(status=302, headers=elsewhere)
    )

    error = refusal_of(native(httpserver.url_for(""), fake_time).authorize)

    assert str(error) == "asking B2 about the key: B2 answered 302"
    assert [request.path for request, _ in httpserver.log] == ["/b2api/v4/b2_authorize_account"]


def test_nothing_of_the_surroundings_counts(
    httpserver: HTTPServer, fake_time: FakeTime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither ~/.netrc nor a proxy variable changes who is asked, and with which key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    httpserver.expect_request("/b2api/v4/b2_authorize_account").respond_with_json(DESCRIBED)

    native(httpserver.url_for(""), fake_time).authorize()

    ((request, _),) = httpserver.log
    assert request.authorization.username == KEY_ID


def test_a_refusal_that_repeats_the_key_does_not_show_it(httpserver: HTTPServer, fake_time: FakeTime) -> None:
    """Key id and key are struck out of what B2 said."""

    def repeat(request: Request) -> Response:
        key = request.authorization
        return Response(json.dumps({"code": key.username, "message": f"{key.password} is wrong"}), 401)

    httpserver.expect_request("/b2api/v4/b2_authorize_account").respond_with_handler(repeat)

    error = refusal_of(native(httpserver.url_for(""), fake_time).authorize)

    assert str(error) == "asking B2 about the key: B2 answered 401 ***: *** is wrong"


@pytest.mark.parametrize(
    ("header", "date"),
    [
        pytest.param(
            "Sun, 22 Nov 2026 06:17:00 GMT", dt.datetime(2026, 11, 22, 6, 17, tzinfo=dt.UTC), id="a date"
        ),
        pytest.param("yesterday", None, id="no date"),
    ],
)
@pytest.mark.parametrize("status", [200, 401])
def test_the_servers_time_is_kept(
    fake_time: FakeTime, header: str, date: dt.datetime | None, status: int
) -> None:
    """Each answer tells the server's clock, a refusal too; a header that is no date tells nothing."""
    body = json.dumps(DESCRIBED)
    answer = f"HTTP/1.1 {status} -\r\nDate: {header}\r\nContent-Length: {len(body)}\r\n\r\n{body}"

    def talk(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(answer.encode())

    with raw_server(talk) as (port, _):
        client = native(f"http://127.0.0.1:{port}", fake_time)
        if status == 200:
            client.authorize()
        else:
            refusal_of(client.authorize)

    assert client.date == date
