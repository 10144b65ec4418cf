"""A WSGI application on a loopback port, in a thread, for as long as a `with` block."""

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HOST = "127.0.0.1"


class QuietHandler(WSGIRequestHandler):
    """Answer requests without a line on stderr for each; the stand-ins keep their own list of them."""

    def send_response(self, code: int, message: str | None = None) -> None:
        """Begin an answer without a Date: http.server would send one beside the application's own."""
        self.send_response_only(code, message)
        self.send_header("Server", self.version_string())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing."""


class LoopbackServer:
    """Serve a WSGI application on 127.0.0.1 from `__enter__` to `__exit__`.

    Port 0 takes a free one; `port` then says which.
    """

    def __init__(self, application: "WSGIApplication", port: int = 0) -> None:
        self.port = port
        self._application = application
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        server = make_server(HOST, self.port, self._application, threaded=True, request_handler=QuietHandler)
        self.port = server.port
        self._server = server
        # The interval bounds how long a stop takes; a request never waits for it.
        self._thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server = self._thread = None

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"
