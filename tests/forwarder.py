"""A forwarder before a server: it fails the requests it is told to, before or after they take effect."""

import dataclasses
import http.client
import socket
import urllib.parse
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from werkzeug.wrappers import Request, Response

from sandbox.server import LoopbackServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOP_BY_HOP = {"connection", "content-length", "date", "server", "transfer-encoding"}


@dataclasses.dataclass
class _Cue:
    when: Literal["before", "after"]
    containing: str
    skip: int
    times: int
    answer: Response | None


class Forwarder:
    """Pass requests on to a server, but fail those that a cue is for; the first cue that fits counts.

    `requests` lists each request as "METHOD path" and its body, failed ones too.
    """

    def __init__(self, target: str) -> None:
        self.requests: list[str] = []
        self._target = urllib.parse.urlsplit(target)
        self._cues: list[_Cue] = []
        self._server = LoopbackServer(self._answer)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        """Return the target's address as it is reached through here."""
        return f"{self._server.address}{self._target.path}"

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
        """Fail the next `times` requests that contain a text, but for the first `skip` of them.

        Before the request takes effect, or after it. Without a status the connection drops; with one, this
        answer stands in the place of the server's.
        """
        answer = None if status is None else Response(body, status, headers)
        self._cues.append(_Cue(when, containing, skip, times, answer))

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        body = request.get_data()
        text = f"{request.method} {environ['RAW_URI']}\n{body.decode()}"
        self.requests.append(text)
        cue = self._cue(text)
        response = None
        if cue is None or cue.when == "after":
            response = self._forward(request, environ["RAW_URI"], body)
        if cue is not None:
            response = cue.answer
        if response is None:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            response = Response()
        return response(environ, start_response)

    def _cue(self, text: str) -> _Cue | None:
        for cue in self._cues:
            if cue.containing in text and cue.times:
                if cue.skip:
                    cue.skip -= 1
                    continue
                cue.times -= 1
                return cue
        return None

    def _forward(self, request: Request, path: str, body: bytes) -> Response:
        connection = http.client.HTTPConnection(self._target.netloc, timeout=30)
        try:
            connection.request(request.method, path, body, dict(request.headers))
            answer = connection.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            return Response(answer.read(), answer.status, headers)
        finally:
            connection.close()
