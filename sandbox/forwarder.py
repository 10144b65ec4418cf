"""A forwarder before a server: it does to the requests it has a cue for whatever can happen on the way."""

import contextlib
import dataclasses
import http.client
import re
import socket
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from werkzeug.wrappers import Request, Response

from sandbox.server import HOST, LoopbackServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOP_BY_HOP = {"connection", "content-length", "date", "server", "transfer-encoding"}
FOR_EVER = 10**9
# How long a client may take to give up, or a server to answer.
PATIENCE = 120.0


class Call:
    """A request on its way to the server, as `text`: "METHOD path" and its body. And what can befall it."""

    def __init__(self, target: urllib.parse.SplitResult, environ: "WSGIEnvironment") -> None:
        request = Request(environ)
        self._target = target
        self._method, self._path = request.method, environ["RAW_URI"]
        self._headers, self._body = dict(request.headers), request.get_data()
        self._socket: socket.socket = environ["werkzeug.socket"]
        self.text = f"{self._method} {self._path}\n{self._body.decode(errors='replace')}"

    def pass_on(self) -> Response:
        """Let the server do what it is asked to; return its answer."""
        connection = http.client.HTTPConnection(self._target.netloc, timeout=PATIENCE)
        try:
            connection.request(self._method, self._path, self._body, self._headers)
            answer = connection.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            return Response(answer.read(), answer.status, headers)
        finally:
            connection.close()

    def drop(self) -> Response:
        """End the connection without an answer; what is returned reaches nobody."""
        with contextlib.suppress(OSError):  # the client may have gone already
            self._socket.shutdown(socket.SHUT_RDWR)
        return Response()

    def outlast(self) -> Response:
        """Say nothing until the client has had enough; what is returned reaches nobody."""
        self._socket.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            self._socket.recv(1)
        return self.drop()


Deed = Callable[[Call], Response]


@dataclasses.dataclass
class _Cue:
    pattern: re.Pattern[str]
    deed: Deed
    skip: int
    times: int


class Forwarder:
    """Pass requests on to a server, but do with some what a cue for them says; the first that fits counts.

    `requests` lists each request as "METHOD path" and its body, whatever became of it.
    """

    def __init__(self, target: str) -> None:
        self.requests: list[str] = []
        self._target = urllib.parse.urlsplit(target)
        self._cues: list[_Cue] = []
        self._server = LoopbackServer(self._answer)
        self._reserved: socket.socket | None = None

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reserved is None:
            self._server.__exit__(kind, error, trace)
        else:
            self._reserved.close()

    @property
    def url(self) -> str:
        """Return the target's address as it is reached through here."""
        return f"{self._server.address}{self._target.path}"

    @property
    def is_shut(self) -> bool:
        return self._reserved is not None

    def on(self, pattern: str, deed: Deed, *, skip: int = 0, times: int = 1) -> None:
        """Do this with the next `times` requests that the pattern is found in, after the first `skip`."""
        self._cues.append(_Cue(re.compile(pattern), deed, skip, times))

    def fail(
        self,
        when: Literal["before", "after"],
        containing: str = "",
        *,
        skip: int = 0,
        times: int = 1,
        status: int | None = None,
        body: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Fail the next `times` requests that contain a text, after the first `skip` of them.

        Before the request takes effect, or after it. Without a status the connection drops; with one, this
        answer stands in the place of the server's.
        """

        def deed(call: Call) -> Response:
            if when == "after":
                call.pass_on()
            return call.drop() if status is None else Response(body, status, headers)

        self.on(re.escape(containing), deed, skip=skip, times=times)

    def behave(self) -> None:
        """Forget every cue and every request, and take connections again."""
        self._cues.clear()
        self.requests.clear()
        self.open()

    def shut(self) -> None:
        """Refuse connections from now on; the port stays ours, so that nobody else answers there."""
        if self._reserved is None:
            self._server.__exit__(None, None, None)
            self._reserved = socket.socket()
            self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._reserved.bind((HOST, self._server.port))

    def open(self) -> None:
        """Take connections again."""
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
            self._server.__enter__()

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        call = Call(self._target, environ)
        self.requests.append(call.text)
        deed = self._deed(call.text)
        return (call.pass_on() if deed is None else deed(call))(environ, start_response)

    def _deed(self, text: str) -> Deed | None:
        for cue in self._cues:
            if cue.times and cue.pattern.search(text):
                if cue.skip:
                    cue.skip -= 1
                    continue
                cue.times -= 1
                return cue.deed
        return None
