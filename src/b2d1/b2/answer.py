"""The answers of B2, read within bounds: so many bytes, so many seconds, however many are sent.

botocore reads an answer whole before anybody may look at it, for as long as bytes come. At its event
`before-send` a handler may send the request in its stead, and that is where these bounds stand.
"""

from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import HTTPClientError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import HTTPError

from b2d1.b2.connections import Connections
from b2d1.b2.page_xml import no_listing
from b2d1.retry import Deadline

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0  # for the next byte
ANSWER_TIMEOUT = 120.0  # for the last
# A thousand keys of 1,024 bytes, each byte as %XX, with their fields: under 4 MB.
MAX_ANSWER_BYTES = 8_000_000
# They have some 35 tags each. A parser takes up to 300 bytes for an element of three.
MAX_TAGS = 400_000
MANY_BYTES = 1_000_000  # fewer need not be counted
PART_BYTES = 65_536


class BoundedSession:
    """Sends a request as botocore does, over as many connections, and reads no more than may come."""

    def __init__(self, deadline: Deadline, connections: int, ca_bundle: str | None = None) -> None:
        self._deadline = deadline
        timeout: Any = (CONNECT_TIMEOUT, READ_TIMEOUT)  # the stubs know of one number only
        verify: Any = ca_bundle or True  # and of no path
        self._session = URLLib3Session(
            verify=verify, proxies={}, timeout=timeout, max_pool_connections=connections
        )
        self._connections = Connections(self._session)

    def cut(self) -> None:
        """End what other threads wait for."""
        self._connections.cut()

    def send(self, request: Any, **_: object) -> AWSResponse:
        """Return the whole answer; raises B2Error for one too large, botocore's errors for one too slow."""
        request.stream_output = True  # or botocore's session would read it whole
        answer: Any = self._session.send(request)
        try:
            body = self._read(answer.raw, request.url)
        except HTTPError as failure:
            raise HTTPClientError(error=failure) from failure
        finally:
            answer.raw.close()  # the connection of a whole answer is back in the pool already
        return AWSResponse(answer.url, answer.status_code, answer.headers, _Whole(body))

    def _read(self, raw: Any, url: str) -> bytes:
        body, clock = bytearray(), self._deadline.clock
        until = clock() + self._deadline.timeout(ANSWER_TIMEOUT)
        # read1 returns what has come: a read of so many bytes would wait for all of them.
        while part := raw.read1(PART_BYTES, decode_content=False):
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise no_listing(f"it is larger than {MAX_ANSWER_BYTES:,} bytes")
            if clock() > until:
                raise ReadTimeoutError(endpoint_url=url, error=TimeoutError())
        if len(body) > MANY_BYTES and body.count(b"<") > MAX_TAGS:
            raise no_listing(f"it has more than {MAX_TAGS:,} tags")
        return bytes(body)


class _Whole:
    """A body that was read, in the form in which botocore takes one."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> list[bytes]:
        return [self._body]
