"""The list server answers stock boto3 as B2 would."""

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from bench.bucket import ALPHABETS, SyntheticBucket
from bench.list_server import HOST, ListServer, counts_so_far
from bench.pages import page

pytestmark = pytest.mark.slow

OBJECTS = 1250
VERSION_ID = re.compile(r"4_z[0-9a-f]{24}_f[0-9a-f]{16}_d\d{8}_m\d{6}_c\d{3}_v\d{7}_t\d{4}_u0\d{13}")
ROWS = {"list_objects_v2": "Contents", "list_object_versions": "Versions"}


class Served(NamedTuple):
    """A bucket of a page and a quarter, and the server that serves it."""

    bucket: SyntheticBucket
    server: ListServer

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """Make a stock boto3 client."""
        keys = {"aws_access_key_id": "made-up", "aws_secret_access_key": "made-up"}
        config = Config(retries={"total_max_attempts": 1})
        client: Any = boto3.client("s3", endpoint_url=self.server.url, region_name="x", config=config, **keys)
        with contextlib.closing(client):
            yield client

    def listed(self, operation: str, **parameters: Any) -> list[dict[str, Any]]:
        """List rows with the stock paginator."""
        with self.client() as client:
            answers = list(client.get_paginator(operation).paginate(Bucket="bench", **parameters))
        return [row for answer in answers for row in answer.get(ROWS[operation], [])]


@pytest.fixture(scope="module", params=sorted(ALPHABETS))
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    with ListServer(request.param, OBJECTS) as server:
        yield Served(SyntheticBucket(request.param, OBJECTS), server)


@pytest.mark.parametrize("operation", sorted(ROWS))
def test_stock_boto3_reads_every_row(served: Served, operation: str) -> None:
    """The paginator finds every object, field by field, with one request a page."""
    before = counts_so_far(served.server.url).requests
    rows = served.listed(operation)
    bucket = served.bucket
    found = [
        (
            *(row["Key"], row["ETag"], row["Size"], row["StorageClass"]),
            row["LastModified"].strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        )
        for row in rows
    ]
    assert found == [
        (
            *(bucket.key(index), bucket.etag(index), bucket.size(index), "STANDARD"),
            bucket.last_modified(index),
        )
        for index in range(OBJECTS)
    ]
    assert counts_so_far(served.server.url).requests - before == 2
    if operation == "list_object_versions":
        expected = [(bucket.version_id(index), True) for index in range(OBJECTS)]
        assert [(row["VersionId"], row["IsLatest"]) for row in rows] == expected
        assert all(VERSION_ID.fullmatch(row["VersionId"]) for row in rows)
        assert {row["Owner"]["ID"] for row in rows} == {"0f5f0571db50"}


@pytest.mark.parametrize(
    ("after", "prefix"),
    [
        pytest.param(lambda keys: keys[0], "", id="after the first key"),
        pytest.param(lambda keys: keys[700], "", id="after a key on the first page"),
        pytest.param(lambda keys: keys[700][:-3], "", id="after what is no key"),
        pytest.param(lambda keys: keys[-1], "", id="after the last key"),
        pytest.param(lambda _: "\U0010ffff", "", id="after all keys"),
        pytest.param(lambda _: "", lambda keys: keys[400][:9], id="under a prefix"),
        pytest.param(lambda keys: keys[410], lambda keys: keys[400][:4], id="both"),
        pytest.param(lambda keys: keys[-1], lambda keys: keys[0][:4], id="a prefix that is passed"),
        pytest.param(lambda _: "", lambda _: "none & <such>+", id="a prefix of nothing"),
        pytest.param(lambda _: "", lambda keys: keys[5], id="a whole key as prefix"),
    ],
)
def test_a_listing_can_begin_anywhere(
    served: Served, after: Callable[[list[str]], str], prefix: str | Callable[[list[str]], str]
) -> None:
    """StartAfter, KeyMarker and Prefix select what they select of the sorted keys."""
    keys = [served.bucket.key(index) for index in range(OBJECTS)]
    begin, start = after(keys), prefix(keys) if callable(prefix) else prefix
    expected = [key for key in keys if key > begin and key.startswith(start)]
    for operation, marker in (("list_objects_v2", "StartAfter"), ("list_object_versions", "KeyMarker")):
        rows = served.listed(operation, Prefix=start, **({marker: begin} if begin else {}))
        assert [row["Key"] for row in rows] == expected


@pytest.mark.parametrize("operation", sorted(ROWS))
def test_a_page_may_be_smaller(served: Served, operation: str) -> None:
    """MaxKeys bounds a page; the pages still follow one another without a gap."""
    rows = served.listed(operation, Prefix=served.bucket.key(0)[:4], PaginationConfig={"PageSize": 7})
    keys = [served.bucket.key(index) for index in range(OBJECTS)]
    assert [row["Key"] for row in rows] == [key for key in keys if key.startswith(keys[0][:4])]


def test_keys_come_plain_when_no_encoding_is_asked_for(served: Served) -> None:
    """Without encoding-type=url a page holds the keys themselves, and does not say EncodingType."""
    xml = page(served.bucket, {"list-type": "2", "max-keys": "2"}).xml
    assert re.findall("<Key>(.*)</Key>", xml) == [served.bucket.key(0), served.bucket.key(1)]
    assert "EncodingType" not in xml


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        pytest.param({"Bucket": "another"}, "NoSuchBucket", id="another bucket"),
        pytest.param({"ContinuationToken": "b2d1!"}, "InvalidArgument", id="a token of its own making"),
    ],
)
def test_what_it_does_not_know_it_refuses(served: Served, parameters: dict[str, str], code: str) -> None:
    """Whatever the server does not understand is an error with a code, never a wrong page."""
    with served.client() as client, pytest.raises(ClientError) as caught:
        client.list_objects_v2(**{"Bucket": "bench", **parameters})
    assert caught.value.response["Error"]["Code"] == code


def test_many_connections_stay_open_at_once(served: Served) -> None:
    """Each connection is answered as often as it asks, whatever half-asked question another has open."""
    question = b"GET /bench?list-type=2&max-keys=1 HTTP/1.1\r\nHost: bench\r\n\r\n"
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection((HOST, served.server.port), timeout=20))
            for _ in range(20)
        ]
        for connection in connections:
            connection.sendall(question[:30])
        for connection in reversed(connections):
            connection.sendall(question[30:] + question)
            received = b""
            while received.count(b"</ListBucketResult>") < 2 and (more := connection.recv(65_536)):
                received += more
            assert received.count(b"HTTP/1.1 200 OK\r\n") == 2


def test_each_page_takes_its_time() -> None:
    """With a latency no answer comes sooner."""
    with ListServer("ascii", 10, latency=0.3) as server:
        address = (HOST, server.port)
        with socket.create_connection(address, timeout=20) as connection:
            began = time.monotonic()
            connection.sendall(b"GET /bench?list-type=2 HTTP/1.1\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"
            assert time.monotonic() - began >= 0.3


def test_the_most_requests_in_flight_are_counted() -> None:
    """The server tells how many list requests came, and the most that waited at once."""
    question = b"GET /bench?list-type=2&max-keys=1 HTTP/1.1\r\n\r\n"
    with ListServer("ascii", 10) as server, socket.create_connection((HOST, server.port), timeout=20) as link:
        counts = [counts_so_far(server.url)]
        for at_once in (3, 1):
            link.sendall(question * at_once)
            received = b""
            while received.count(b"</ListBucketResult>") < at_once and (more := link.recv(65_536)):
                received += more
            counts.append(counts_so_far(server.url))
    assert counts == [(0, 0), (3, 3), (4, 3)]
