"""What a scripted Cloudflare answers, and the settings that reach it."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug.wrappers import Request, Response

from b2d1.setting_values import Secret
from b2d1.settings import D1Settings

TOKEN = "scripted-token-9fQ2xYtLwB7nR2mVc5Zs8Ua1"
ACCOUNT = "0123456789abcdef0123456789abcdef"
NAME = "lgfc_lite"
ID = "11111111-2222-3333-4444-555555555555"
DATABASES = f"/client/v4/accounts/{ACCOUNT}/d1/database"
RAW = f"{DATABASES}/{ID}/raw"


def settings(url: str, *, name: str | None = None, database_id: str | None = ID) -> D1Settings:
    """Return settings that reach a server; by default with the database's id alone."""
    return D1Settings(Secret(TOKEN), ACCOUNT, name, database_id, f"{url.rstrip('/')}/client/v4")


def envelope(result: Any, **more: Any) -> dict[str, Any]:
    """Wrap a result as Cloudflare does."""
    return {"success": True, "errors": [], "messages": [], "result": result} | more


def refused(code: int, message: str) -> dict[str, Any]:
    """Write Cloudflare's refusal."""
    return envelope(None, success=False, errors=[{"code": code, "message": message}])


def statement(rows: list[Any] | None = None, columns: int | None = None, **meta: Any) -> dict[str, Any]:
    """Write what `/raw` answers for a statement; as many columns as the first row has."""
    rows = [] if rows is None else rows
    width = columns if columns is not None else len(rows[0]) if rows else 0
    names = [f"column{number}" for number in range(width)]
    return {"results": {"columns": names, "rows": rows}, "success": True, "meta": meta}


def answer(rows: list[Any] | None = None, columns: int | None = None, **meta: Any) -> dict[str, Any]:
    """Write a whole answer to one statement."""
    return envelope([statement(rows, columns, **meta)])


def as_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Make a response of JSON, or of a text or bytes as they are."""
    body = content if isinstance(content, str | bytes) else json.dumps(content)
    return Response(body, status, headers, content_type="application/json")


def script(server: HTTPServer, *responses: Response) -> list[Request]:
    """Answer with these, one after the other, the last one for ever; return the list of what was asked."""
    asked: list[Request] = []

    def reply(request: Request) -> Response:
        request.get_data()
        asked.append(request)
        return responses[min(len(asked), len(responses)) - 1]

    server.expect_request(re.compile(".*")).respond_with_handler(reply)
    return asked


@contextmanager
def raw_server(talk: Callable[[socket.socket], object]) -> Iterator[tuple[int, list[int]]]:
    """Let `talk` answer each connection by hand; give the port, and a list that grows by one for each."""
    connections: list[int] = []
    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            while True:
                peer, _ = listener.accept()
                with peer:
                    if stopping.is_set():
                        return
                    connections.append(1)
                    with suppress(OSError):  # the client may have gone
                        talk(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield port, connections
        finally:
            stopping.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


def read_request(peer: socket.socket) -> None:
    """Read one HTTP request to its end."""
    data = b""
    while b"\r\n\r\n" not in data and (part := peer.recv(65536)):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    ]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0 and (part := peer.recv(65536)):
        missing -= len(part)
