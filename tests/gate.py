"""A gate before a server: all that passes goes through one function of the test's own."""

import http.client
import json
import socket
import urllib.parse
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from werkzeug.wrappers import Request, Response

from b2d1.table import guards, media_assets, schema, staging
from sandbox.server import LoopbackServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


# What a run asks of D1, by its statement.
STEPS = {
    schema.LOOK: "look",
    media_assets.MISSING: "ask",
    media_assets.SAMPLE_KEYS: "sample",
    guards.OTHER_FORM: "forms",
    guards.OTHER_IDENTITY: "identity",
    guards.HAS_FORM: "odd form",
    guards.HAS_ROWS: "rows",
    guards.COUNT_ROWS: "count",
    guards.SHARES_A_KEY: "keys",
    media_assets.INSERT: "insert",
    media_assets.COUNT_MISSING: "prove",
    staging.SWEEP: "sweep",
    staging.STAGE: "stage",
    staging.PUBLISH: "publish",
    staging.CHECK: "check",
    staging.CLEAR: "clear",
}


class Lost(Exception):
    """Raised by the test's function: the client gets no answer."""


class Passage:
    """One request on its way: which step of a run it is, and the means to let it take effect."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes, server: str) -> None:
        query: dict[str, Any] = json.loads(body) if body else {}
        self.params: list[str] = query.get("params", [])
        if method == "GET":
            self.step = "bookmark" if path.endswith("/bookmark") else "resolve"
        else:
            self.step = STEPS[query["sql"]]
        self._request = method, path, body, headers
        self._server = server

    def take_effect(self) -> Response:
        """Hand the request to the server; return its answer."""
        return self._exchange(*self._request)

    def ask(self, sql: str, *params: str) -> Response:
        """Run another statement in the same database; return the answer to it."""
        method, path, _, headers = self._request
        return self._exchange(method, path, json.dumps({"sql": sql, "params": params}).encode(), headers)

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Response:
        connection = http.client.HTTPConnection(self._server, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            kind = answer.getheader("Content-Type")
            return Response(answer.read(), answer.status, content_type=kind)
        finally:
            connection.close()


Pass = Callable[[Passage], Response]


class Gate:
    """Pass requests on to a server, each through `let`; `steps` lists them."""

    def __init__(self, target: str, let: Pass = Passage.take_effect) -> None:
        self.let = let
        self.steps: list[str] = []
        self._target = urllib.parse.urlsplit(target)
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

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        headers = {
            name: value for name, value in request.headers if name in {"Authorization", "Content-Type"}
        }
        body = request.get_data()
        passage = Passage(request.method, environ["RAW_URI"], headers, body, self._target.netloc)
        self.steps.append(passage.step)
        try:
            response = self.let(passage)
        except Lost:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            response = Response()
        return response(environ, start_response)
