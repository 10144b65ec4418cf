"""An embedded Backblaze B2: moto's S3 on a loopback port, with B2's listings, version ids and refusals."""

import datetime as dt
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from moto.core.request import Request
from moto.s3.exceptions import MissingBucket
from moto.s3.responses import S3Response
from werkzeug.http import http_date
from werkzeug.wrappers import Response

from sandbox import native
from sandbox.bucket import Bucket
from sandbox.listing import InvalidArgument, list_object_versions, list_objects_v2
from sandbox.native import KeyScope
from sandbox.sample import hidden_objects, new_objects, sample_objects
from sandbox.server import LoopbackServer
from sandbox.signature import Credentials, error, refusal

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class EmbeddedB2:
    """Serve one bucket as B2 serves it, filled with the sample unless told otherwise, and `new` objects more.

    The bucket is made anew at each start, deterministically: keys, bytes, ETags, times and version ids are
    those of the last time. Only the given key is let in, and only with signatures for the given region.

    `scope` is what the key may do, by default list this bucket and nothing else; `ahead` is how far the
    server's clock is ahead of this machine's. Both can be set while it runs.
    """

    def __init__(
        self,
        *,
        bucket: str = "b2d1-sandbox",
        region: str = "us-west-004",
        key_id: str = "0045f0571db506a0000000001",
        app_key: str = "K004sandboxSandboxSandboxSandbox",
        fill: bool = True,
        new: int = 0,
        port: int = 0,
    ) -> None:
        self.requests: list[str] = []
        self.scope = KeyScope(buckets=(bucket,))
        self.ahead = dt.timedelta()
        self._credentials = Credentials(key_id, app_key, region)
        self._bucket = Bucket(bucket, region)
        self._responses = _responses_over(self._bucket)
        self._server = LoopbackServer(self._answer, port)
        self._fill = fill
        self._new = new

    def __enter__(self) -> Self:
        if self._fill:
            for key, body in sample_objects():
                self.put(key, body)
            for key, body in hidden_objects():
                self.put(key, body)
                self.hide(key)
        for key, body in new_objects(self._new):
            self.put(key, body)
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, exception, trace)
        self._bucket.close()

    @property
    def url(self) -> str:
        return self._server.address

    def settings(self) -> dict[str, str]:
        """Return the settings that reach this bucket, as a process finds them in its environment."""
        return {
            "B2_KEY_ID": self._credentials.key_id,
            "B2_APP_KEY": self._credentials.app_key,
            "B2_ENDPOINT": self.url,
            "B2_BUCKET": self._bucket.name,
            "B2_REGION": self._credentials.region,
            "B2_NATIVE_URL": self.url,
        }

    def put(self, key: str, body: bytes = b"") -> None:
        """Upload a new version of an object, without a request."""
        self._bucket.put_object(self._bucket.name, key, body, disable_notification=True)

    def hide(self, key: str) -> None:
        """Delete an object as a plain S3 DELETE does: its versions stay, behind a hide marker."""
        self._bucket.delete_object(self._bucket.name, key)

    def remove_all(self) -> None:
        """Empty the bucket, old versions and hide markers too."""
        self._bucket.remove_all()

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        operation = _listing(request)
        # One append is atomic; the entry is there before the client has its answer.
        self.requests.append(f"GET {operation}" if operation else f"{request.method} {environ['RAW_URI']}")
        now = dt.datetime.now(dt.UTC) + self.ahead
        if request.path == native.PATH:
            key = self._credentials
            response = native.authorize(request, key.key_id, key.app_key, self.scope, now)
        else:
            response = self._refusal(operation, request, now) or self._s3(operation, request)
        response.headers["Date"] = http_date(now)
        return response(environ, start_response)

    def _refusal(self, operation: str, request: Request, now: dt.datetime) -> Response | None:
        if self.scope.is_master or self.scope.has_expired(now):
            return error(403, "InvalidAccessKeyId", "Malformed Access Key Id")
        if refused := refusal(request, self._credentials, now):
            return refused
        bucket, prefix = request.path.strip("/"), request.args.get("prefix", "")
        if operation and bucket == self._bucket.name and not self.scope.permits_listing(bucket, prefix):
            return error(403, "AccessDenied", "not entitled")
        return None

    def _s3(self, operation: str, request: Request) -> Response:
        return self._list(operation, request) if operation else self._moto(request)

    def _list(self, operation: str, request: Request) -> Response:
        name = request.path.strip("/")
        write = list_objects_v2 if operation == "ListObjectsV2" else list_object_versions
        try:
            page = write(name, self._bucket.versions(name), request.args)
        except MissingBucket:
            return error(404, "NoSuchBucket", f"The specified bucket does not exist: {name}")
        except InvalidArgument as problem:
            return error(400, "InvalidArgument", str(problem))
        return Response(page, content_type="application/xml")

    def _moto(self, request: Request) -> Response:
        responder = self._responses()
        has_key = any(request.raw_path.split("/", 2)[2:])
        answer = responder.key_response if has_key else responder.bucket_response
        status, headers, body = answer(request, request.raw_url, dict(request.headers))
        response = Response(body, status, headers)
        if request.method == "HEAD" and "content-length" in headers:
            response.headers["Content-Length"] = headers["content-length"]
        return response


def _responses_over(bucket: Bucket) -> type[S3Response]:
    class Responses(S3Response):
        @property
        def backend(self) -> Bucket:
            return bucket

    return Responses


def _listing(request: Request) -> str:
    if request.method != "GET" or "/" in request.path.strip("/") or not request.path.strip("/"):
        return ""
    if "versions" in request.args:
        return "ListObjectVersions"
    return "ListObjectsV2" if request.args.get("list-type") == "2" else ""
