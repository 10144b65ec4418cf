"""A synthetic bucket on a loopback port, served by a process of its own: its CPU is not the client's.

It keeps connections open, answers many at once, and can take its time over each page.
"""

import asyncio
import http.client
import json
import subprocess
import sys
import urllib.parse
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from xml.sax.saxutils import escape

from bench.bucket import SyntheticBucket
from bench.pages import InvalidArgument, page

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[1]
# Tells the counts of list requests so far; no bucket has such a name.
COUNTS = "/_counts"


class Counts(NamedTuple):
    """How many list requests came so far, and the most that waited for their answers at once."""

    requests: int
    most_in_flight: int


class ListServer:
    """Serve a synthetic bucket, from `__enter__` to `__exit__`, `latency` seconds after each request."""

    def __init__(self, alphabet: str, objects: int, *, latency: float = 0.0) -> None:
        self.port = 0
        self._arguments = (alphabet, str(objects), str(latency))
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.list_server", *self._arguments]
        # It stops when its stdin ends: so it never outlives us, however we end.
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def counts_so_far(url: str) -> Counts:
    """Ask a server for its counts."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
    try:
        connection.request("GET", COUNTS)
        return Counts(*json.loads(connection.getresponse().read()))
    finally:
        connection.close()


class _Answers:
    """What the server says, how often, and to how many at once."""

    def __init__(self, bucket: SyntheticBucket) -> None:
        self._bucket = bucket
        self._in_flight = 0
        self.counts = Counts(0, 0)

    def to(self, head: str) -> tuple[bytes, bool]:
        """Answer a request, given its head; tell whether it was a list request, which takes its time."""
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        path, _, query = target.partition("?")
        if (method, path) == ("GET", COUNTS):
            return _response(HTTPStatus.OK, json.dumps(self.counts)), False
        if (method, path.strip("/")) != ("GET", self._bucket.name):
            return _refusal(HTTPStatus.NOT_FOUND, "NoSuchBucket", f"{method} {path}"), False
        self._in_flight += 1
        self.counts = Counts(self.counts.requests + 1, max(self.counts.most_in_flight, self._in_flight))
        try:
            xml = page(self._bucket, dict(urllib.parse.parse_qsl(query, keep_blank_values=True))).xml
        except InvalidArgument as problem:
            return _refusal(HTTPStatus.BAD_REQUEST, "InvalidArgument", str(problem)), True
        return _response(HTTPStatus.OK, xml), True

    def sent(self) -> None:
        """Take note that a list request has its answer."""
        self._in_flight -= 1


class _Connection(asyncio.Protocol):
    """Reads requests without a body, one after the other, and answers each when its time has come."""

    def __init__(self, answers: _Answers, latency: float) -> None:
        self._answers = answers
        self._latency = latency
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._latency
        *heads, self._received = (self._received + data).split(b"\r\n\r\n")
        for head in heads:
            answer, takes_time = self._answers.to(head.decode("latin-1"))
            if takes_time:
                loop.call_at(due, self._send_page, answer)
            else:
                self._write(answer)

    def _send_page(self, answer: bytes) -> None:
        self._answers.sent()
        self._write(answer)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


def _response(status: HTTPStatus, body: str) -> bytes:
    data = body.encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "x-amz-request-id: 699c79d678ac85eb\r\n"
        "x-amz-id-2: aMYhvvmIEZMs41GZWZXAxzjaGNNVlzWNF\r\n"
        "Cache-Control: max-age=0, no-cache, no-store\r\n"
        "Content-Type: application/xml\r\n"
        f"Content-Length: {len(data)}\r\n"
        "Date: Sat, 09 Mar 2024 14:00:00 GMT\r\n\r\n"
    )
    return head.encode() + data


def _refusal(status: HTTPStatus, code: str, message: str) -> bytes:
    return _response(status, f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>")


async def serve(bucket: SyntheticBucket, latency: float) -> None:
    """Serve a bucket until stdin ends; the port is printed first."""
    loop = asyncio.get_running_loop()
    answers, stdin_ended = _Answers(bucket), asyncio.Event()
    server = await loop.create_server(lambda: _Connection(answers, latency), HOST, 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(sys.stdin, stdin_ended.set)
    await stdin_ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(SyntheticBucket(sys.argv[1], int(sys.argv[2])), float(sys.argv[3])))
