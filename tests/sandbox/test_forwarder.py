"""The forwarder does to a request what it has a cue for, and nothing to any other."""

import socket
import threading
from collections.abc import Iterator

import pytest
import requests
from werkzeug.wrappers import Request, Response

from sandbox.forwarder import Call, Forwarder
from sandbox.server import LoopbackServer


class Echo:
    """A server that answers with what it was sent, and remembers it."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.server = LoopbackServer(self._answer)

    def _answer(self, environ, start_response):  # type: ignore[no-untyped-def]
        request = Request(environ)
        self.taken.append(f"{request.method} {environ['RAW_URI']}")
        answer = Response(request.get_data(), 201, {"X-Signed": request.headers.get("X-Signed", "")})
        return answer(environ, start_response)


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    with echo.server:
        yield echo


@pytest.fixture
def front(echo: Echo) -> Iterator[Forwarder]:
    with Forwarder(f"{echo.server.address}/base") as front:
        yield front


def post(front: Forwarder, path: str = "/a", body: bytes = b"") -> requests.Response:
    return requests.post(f"{front.url}{path}", data=body, headers={"X-Signed": "yes"}, timeout=5)


def test_what_no_cue_is_for_passes_as_it_is(front: Forwarder, echo: Echo) -> None:
    """Path, query, headers and body arrive byte for byte, and so does the answer; both are listed as text."""
    body = bytes(range(256)) * 4000
    answer = post(front, "/a%2Fb?c=%20+d", body)

    assert (answer.status_code, answer.content, answer.headers["X-Signed"]) == (201, body, "yes")
    assert echo.taken == ["POST /base/a%2Fb?c=%20+d"]
    assert front.requests == ["POST /base/a%2Fb?c=%20+d\n" + body.decode(errors="replace")]


def test_a_cue_is_for_so_many_requests_after_so_many(front: Forwarder, echo: Echo) -> None:
    """The first `skip` of the requests that fit pass, the next `times` do not, all others do again."""
    front.on("^POST .*two", lambda _: Response(status=418), skip=1, times=2)
    paths = ["/two", "/one", "/two", "/two", "/one", "/two"]

    assert [post(front, path).status_code for path in paths] == [201, 201, 418, 418, 201, 201]
    assert echo.taken == [f"POST /base{path}" for path in ("/two", "/one", "/one", "/two")]


@pytest.mark.parametrize("status", [None, 503])
@pytest.mark.parametrize(("when", "taken"), [("before", 0), ("after", 1)])
def test_a_failure_comes_before_the_effect_or_after_it(
    front: Forwarder, echo: Echo, when: str, taken: int, status: int | None
) -> None:
    """`fail` drops the connection or answers so, and the server has the request or not."""
    front.fail(when, "?", status=status, body="sorry", headers={"Retry-After": "7"})  # type: ignore[arg-type]

    if status is None:
        with pytest.raises(requests.ConnectionError):
            post(front, "/a?b")
    else:
        answer = post(front, "/a?b")
        assert (answer.status_code, answer.text, answer.headers["Retry-After"]) == (503, "sorry", "7")
    assert len(echo.taken) == taken
    assert post(front, "/a?b").status_code == 201


def test_an_answer_may_outlast_its_client(front: Forwarder, echo: Echo) -> None:
    """`outlast` says nothing until the client has gone, however long that is; and then ends."""
    ended = threading.Event()

    def deed(call: Call) -> Response:
        call.outlast()
        ended.set()
        return Response()

    front.on("", deed)

    with pytest.raises(requests.ReadTimeout):
        requests.get(front.url, timeout=0.1)
    assert ended.wait(5)
    assert echo.taken == []


def test_a_deed_may_pass_the_call_on_and_change_the_answer(front: Forwarder, echo: Echo) -> None:
    """Between the server and the client a deed does what it likes."""

    def shout(call: Call) -> Response:
        answer = call.pass_on()
        answer.data = answer.data.upper()
        return answer

    front.on("hello", shout)

    assert post(front, body=b"hello").content == b"HELLO"
    assert echo.taken == ["POST /base/a"]


def test_a_forwarder_that_is_shut_refuses_connections(front: Forwarder, echo: Echo) -> None:
    """Nobody listens then, and nobody else can take the port; at the same address it opens again."""
    port = int(front.url.split(":")[2].split("/")[0])
    front.shut()
    front.shut()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))

    front.open()
    front.open()

    assert post(front).status_code == 201
    assert echo.taken == ["POST /base/a"]


def test_a_deed_may_shut_the_door_behind_a_request(front: Forwarder) -> None:
    """The request that a deed shuts the forwarder at is still answered; the next is refused."""

    def shut(call: Call) -> Response:
        answer = call.pass_on()
        front.shut()
        return answer

    front.on("", shut)

    assert post(front).status_code == 201
    with pytest.raises(requests.ConnectionError, match="refused"):
        post(front)


def test_it_behaves_again(front: Forwarder) -> None:
    """`behave` forgets cues and requests, and opens."""
    front.on("", lambda _: Response(status=418), times=2)
    assert post(front).status_code == 418
    front.shut()

    front.behave()

    assert front.requests == []
    assert post(front).status_code == 201


def test_it_may_end_while_shut(echo: Echo) -> None:
    """A forwarder that is shut leaves its block as any other does."""
    with Forwarder(echo.server.address) as front:
        front.shut()

    with Forwarder(echo.server.address) as front:
        assert post(front).status_code == 201
