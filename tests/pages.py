"""List pages as S3 hosts write them, a loopback server that gives them out, and stock boto3 beside it."""

import dataclasses
import hashlib
import itertools
import sys
import threading
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from xml.sax.saxutils import escape

import boto3.session
import botocore.session
from botocore.config import Config
from botocore.utils import parse_timestamp

from b2d1.b2.bucket import Bucket
from b2d1.media import ListMode, MediaObject
from b2d1.retry import Retrying
from b2d1.setting_values import Secret
from b2d1.settings import B2Settings

KEY_ID = "0045f0571db506a0000000001"
APP_KEY = "K004nobodyMayEverReadThisInAMessage"
BUCKET = "photos"
REGION = "us-west-004"

ROOT = {"objects": "ListBucketResult", "versions": "ListVersionsResult"}
FILE_ID = {"objects": "ETag", "versions": "VersionId"}


@dataclasses.dataclass(frozen=True)
class Row:
    """An object, one of its versions, or a hide marker."""

    key: str
    etag: str | None = '"0123456789abcdef0123456789abcdef"'
    size: int = 1
    last_modified: str = "2024-02-29T23:59:59.001Z"
    version_id: str | None = "4_z5f0571db506a_f1000000000001_d20240229_m235959_c004_v7_t0001_u01709251199001"
    latest: bool = True
    hidden: bool = False


@dataclasses.dataclass(frozen=True)
class Form:
    """How a host writes what it lists; as it stands, in the form of Backblaze's own samples."""

    url_encoded: bool = True
    space: str = "+"
    hex_digits: Callable[[str], str] = str.upper
    quote: str = "&quot;"
    entities: Callable[[str], str] = escape
    order: tuple[int, ...] = ()
    pretty: str = ""
    namespace: str = ""
    owner: bool = False
    unknown: bool = False
    rows_last: bool = True

    def text(self, text: str) -> str:
        """Write a key, or what may hold one."""
        if not self.url_encoded:
            return self.entities(text)
        # Nothing but the escapes has a "%" in it; hosts differ in how they spell them.
        quoted = urllib.parse.quote(text, safe="/").replace("%20", self.space)
        parts = quoted.split("%")
        return "%".join([parts[0], *(self.hex_digits(part[:2]) + part[2:] for part in parts[1:])])

    def element(self, name: str, inside: str) -> str:
        """Write an element."""
        name = self.namespace + name
        return f"{self.pretty}<{name}>{inside}</{name}>"


def page(
    rows: Sequence[Row], mode: ListMode = "objects", form: Form | None = None, **envelope: str | None
) -> bytes:
    """Write a page; the envelope's fields can be set to another text, or left out with None.

    `then` names what follows: the continuation token, or the key and the version id "key version-id".
    """
    form = form or Form()
    written = "".join(_row(row, mode, form) for row in rows)
    fields = "".join(form.element(name, text) for name, text in _envelope(rows, mode, form, envelope).items())
    inside = fields + written if form.rows_last else written + fields
    root = form.namespace + ROOT[mode]
    declared = f"xmlns{':' if form.namespace else ''}{form.namespace.rstrip(':')}"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} {declared}="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"{inside}{form.pretty}</{root}>"
    ).encode()


def _envelope(
    rows: Sequence[Row], mode: ListMode, form: Form, changes: Mapping[str, str | None]
) -> dict[str, str]:
    then = changes.get("then")
    fields: dict[str, str | None] = {
        "Name": BUCKET,
        "Prefix": "",
        "MaxKeys": "1000",
        "IsTruncated": "true" if then else "false",
    }
    if mode == "objects":
        fields |= {"KeyCount": str(len(rows)), "NextContinuationToken": then and escape(then)}
    elif then:
        key, _, version_id = then.rpartition(" ")
        fields |= {"NextKeyMarker": form.text(key), "NextVersionIdMarker": version_id}
    if form.url_encoded:
        fields["EncodingType"] = "url"
    fields |= {name: text for name, text in changes.items() if name != "then"}
    return {name: text for name, text in fields.items() if text is not None}


def _row(row: Row, mode: ListMode, form: Form) -> str:
    fields = {
        "Key": form.text(row.key),
        "LastModified": row.last_modified,
        "ETag": None if row.etag is None else escape(row.etag).replace('"', form.quote),
        "Size": str(row.size),
        "StorageClass": "STANDARD",
    }
    if mode == "versions":
        fields |= {"VersionId": row.version_id, "IsLatest": str(row.latest).lower()}
    if row.hidden:
        fields = {name: text for name, text in fields.items() if name not in {"ETag", "Size", "StorageClass"}}
    if form.unknown:
        fields["RestoreStatus"] = form.element("IsRestoreInProgress", "false")
    if form.owner:
        fields["Owner"] = form.element("ID", "5f0571db506a") + form.element("DisplayName", "")
    names = [name for name in fields if fields[name] is not None]
    ordered = [names[place % len(names)] for place in form.order] + names
    inside = "".join(form.element(name, fields[name] or "") for name in dict.fromkeys(ordered))
    tag = "Contents" if mode == "objects" else "DeleteMarker" if row.hidden else "Version"
    return form.element(tag, inside + form.pretty)


@dataclasses.dataclass(frozen=True)
class Asked:
    """A request, as the server got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer; `cut` ends the connection after so many bytes of the body, -1 before the status line."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cut: int | None = None


class _Server(ThreadingHTTPServer):
    """Takes many connections at once, and does not mind those that are cut."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class PageServer:
    """Gives out scripted answers on a free loopback port, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._answer: Callable[[Asked], Answer] = lambda _: Answer(status=500)
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def give(self, *answers: bytes | Answer) -> None:
        """Give these answers in turn from now on, and the last one forever."""
        script = [answer if isinstance(answer, Answer) else Answer(answer) for answer in answers]
        following = itertools.chain(script, itertools.repeat(script[-1]))
        self.answer(lambda _: next(following))

    def answer(self, answer: Callable[[Asked], Answer]) -> None:
        """Let this function answer from now on."""
        self.asked.clear()
        self._answer = answer

    def settings(self, mode: ListMode = "objects", **changes: Any) -> B2Settings:
        """Return the settings of a bucket that is listed from here, by one worker unless `changes` say so."""
        settings = B2Settings(Secret(KEY_ID), Secret(APP_KEY), self.url, REGION, BUCKET, "", mode, 1)
        return dataclasses.replace(settings, **changes)

    def bucket(self, mode: ListMode = "objects", prefix: str = "") -> Bucket:
        """Return the one Bucket of this kind that asks once and never again: making them takes time."""
        if (mode, prefix) not in self._buckets:
            settings = self.settings(mode, prefix=prefix)
            self._buckets[mode, prefix] = Bucket(settings, Retrying(attempts=1))
        return self._buckets[mode, prefix]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_GET(self) -> None:
                parts = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
                asked = Asked(self.command, urllib.parse.unquote(parts.path), query, dict(self.headers))
                server.asked.append(asked)
                self.give(server._answer(asked))

            do_HEAD = do_GET  # noqa: N815  # the names that http.server calls

            def give(self, answer: Answer) -> None:
                self.close_connection = answer.cut is not None
                if answer.cut == -1:
                    return
                self.send_response(answer.status)
                headers = {"Content-Type": "application/xml", "Content-Length": str(len(answer.body))}
                for name, value in {**headers, **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body[: answer.cut])

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def stock_client(
    url: str, parse: Callable[[str], Any] | None = None, key_id: str = KEY_ID, app_key: str = APP_KEY
) -> Any:
    """Make a plain boto3 client; `parse` reads dates in botocore's stead."""
    session = botocore.session.Session()
    if parse:
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse)
    return boto3.session.Session(botocore_session=session).client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=key_id,
        aws_secret_access_key=app_key,
        config=Config(
            signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}
        ),
    )


def stock_page(client: Any, mode: ListMode, **cursor: str) -> dict[str, Any]:
    """Ask stock boto3 for a page."""
    ask = client.list_objects_v2 if mode == "objects" else client.list_object_versions
    return ask(Bucket=BUCKET, Prefix="", **cursor)


def stock_objects(answer: Mapping[str, Any], mode: ListMode) -> list[tuple[Any, ...]]:
    """Take from stock boto3's reading what b2d1 is to list: latest versions that have an identity."""
    rows = answer.get("Contents" if mode == "objects" else "Versions", [])
    return [
        (row["Key"], row["Size"], row.get("LastModified"), row.get("ETag"), row.get(FILE_ID[mode]))
        for row in rows
        if row.get("IsLatest", True) and row.get(FILE_ID[mode]) not in {None, "", '""', "null"}
    ]


def with_dates(objects: Sequence[MediaObject]) -> list[tuple[Any, ...]]:
    """Read the dates as botocore does, for a comparison with what it makes of them."""
    return [tuple(media._replace(last_modified=parse_timestamp(media.last_modified))) for media in objects]


def etag_of(text: str) -> str:
    """Make an ETag that belongs to a text."""
    return f'"{hashlib.md5(text.encode()).hexdigest()}"'
