"""The benchmarks measure what they say they measure."""

import contextlib
import re
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from test_start import STARTS

from b2d1.media import ListMode
from bench import __main__ as command
from bench import listing, machine, start, writing
from bench.bucket import ALPHABETS, SyntheticBucket
from bench.list_server import HOST, ListServer, requests_so_far
from bench.pages import page, pages
from bench.results import Case, Measurement, Result, table

ROOT = Path(__file__).resolve().parents[1]
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


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tell where the command keeps its figures during the test."""
    monkeypatch.setattr(command, "RESULTS", tmp_path / "RESULTS.md")
    return tmp_path / "RESULTS.md"


def result(**brought: tuple[float, int, int, str]) -> Result:
    case = Case("listing", "uids", "objects", "ascii", target=16)
    return Result(case, 2000, {name: [Measurement(*each)] for name, each in brought.items()})


def whole_run(**report: Any) -> writing.Run:
    told = {"inserted": 1000, "missing_after": 0, "confirmed": True, "d1_requests": 12, "rounds": 1}
    return writing.Run("1,000 objects", told | {"rows_written": 3001} | report, 71.3, 1000, 12)


class TestCommand:
    """`python -m bench`."""

    def test_a_quick_run_proves_that_all_contenders_bring_the_same(self) -> None:
        """Every case runs, every count holds, every digest agrees, and the kept figures stay as they are.

        So do whole runs on the real engine: rows, requests and rows written are within their bounds.
        """
        before = command.RESULTS.read_bytes()
        line = [sys.executable, "-W", "error", "-m", "bench", "--quick"]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        rows = [line.split(" | ")[0].strip("| ") for line in done.stdout.splitlines() if line[:2] == "| "]
        titles = [title for title in rows if title.strip("-")]
        assert (done.returncode, done.stderr) == (0, "")
        assert titles == [
            *("CPU for 1,000 keys", *(case.title for case in listing.CASES)),
            *("whole runs", "12,000 objects, all new", "12,000 objects, nothing new"),
        ]
        assert command.RESULTS.read_bytes() == before

    @pytest.mark.parametrize(
        ("arguments", "objects", "code"),
        [
            pytest.param(["--quick"], 2000, 0, id="a quick run"),
            pytest.param(["--quick"], 1999, 1, id="a quick run with a wrong count"),
            pytest.param([], 1999, 1, id="a full run with a wrong count"),
        ],
    )
    def test_figures_are_not_kept_without_need(
        self, kept: Path, arguments: list[str], objects: int, code: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A quick run keeps no figures, and a run with a wrong count keeps none and fails."""
        measured = [result(b2d1=(0.008, objects, 2, "abc"), stock=(0.16, 2000, 2, "abc"))]
        monkeypatch.setattr(listing, "measure", lambda *_: measured)
        monkeypatch.setattr(writing, "measure", lambda *_: [whole_run()])
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        assert (command.main(), kept.exists()) == (code, False)

    def test_figures_are_kept_with_the_machine(self, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """RESULTS.md has the table and tells the machine, and no path of it."""
        measured = [result(b2d1=(0.008, 2000, 2, "abc"), stock=(0.16, 2000, 2, "abc"))]
        monkeypatch.setattr(listing, "measure", lambda *_: measured)
        monkeypatch.setattr(writing, "measure", lambda *_: [whole_run()])
        monkeypatch.setattr(start, "build", lambda folder: folder)
        monkeypatch.setattr(start, "measure", lambda *_: STARTS)
        monkeypatch.setattr(sys, "argv", ["bench"])
        assert command.main() == 0
        text = kept.read_text("utf-8")
        assert table(measured) in text
        assert writing.table([whole_run()]) in text
        assert start.table(STARTS) in text
        assert [line for line in machine.description().splitlines() if f"    {line}\n" not in text] == []
        assert not re.search(r"(?<!\w)/\w+/", text)


class TestResults:
    """What is made of the measurements."""

    @pytest.mark.parametrize(
        ("b2d1", "floor", "faulty"),
        [
            pytest.param((1, 2000, 2, "abc"), (1, 2000, 0, "abc"), [], id="all alike"),
            pytest.param((9, 2000, 2, "abc"), (9, 2000, 0, "abc"), [], id="time is no matter"),
            pytest.param((1, 1999, 2, "abc"), (1, 2000, 0, "abc"), ["b2d1"], id="an object too few"),
            pytest.param((1, 2000, 3, "abc"), (1, 2000, 0, "abc"), ["b2d1"], id="a request too many"),
            pytest.param((1, 2000, 2, "xyz"), (1, 2000, 0, "abc"), ["b2d1"], id="another uid"),
            pytest.param(
                (1, 2000, 2, "abc"), (1, 2000, 2, "xyz"), ["floor"], id="the floor asked the server"
            ),
        ],
    )
    def test_what_a_contender_brings_is_checked(
        self, b2d1: tuple[float, int, int, str], floor: tuple[float, int, int, str], faulty: list[str]
    ) -> None:
        """A wrong number of objects or requests, or another digest than stock's, is a fault; time is none."""
        faults = result(b2d1=b2d1, stock=(1, 2000, 2, "abc"), floor=floor).faults()
        assert [fault.split()[1] for fault in faults] == faulty

    def test_every_round_is_checked(self) -> None:
        """One wrong round among right ones is found."""
        right, wrong = Measurement(1, 2000, 2, "abc"), Measurement(1, 2000, 1, "abc")
        case = result().case
        taken = {"b2d1": [right, wrong, right], "stock": [right, right, right]}
        assert len(Result(case, 2000, taken).faults()) == 1

    def test_the_table_shows_medians_ratios_and_the_target(self) -> None:
        """Figures are medians for 1,000 keys; the ratio has its range, and stands beside its target."""
        b2d1 = [Measurement(seconds, 2000, 2, "") for seconds in (0.010, 0.008, 0.016)]
        stock = [Measurement(seconds, 2000, 2, "") for seconds in (0.200, 0.120, 0.160)]
        rows = table([Result(result().case, 2000, {"b2d1": b2d1, "stock": stock})]).splitlines()
        head, _, cells = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
        assert dict(zip(head, cells, strict=True)) == {
            "CPU for 1,000 keys": "listing",
            "b2d1": "5.00 ms",
            "stock boto3": "80.00 ms",
            "floor": "",
            "times less than stock": "16.0",
            "by round": "10.0 to 20.0",
            "to reach": "16",
        }


class TestWholeRuns:
    """What is made of whole runs."""

    @pytest.mark.parametrize(
        ("report", "faults"),
        [
            pytest.param({}, [], id="as it should be"),
            pytest.param({"duration_ms": 10**9}, [], id="time is no matter"),
            pytest.param({"inserted": 999}, ["inserted is 999"], id="a row too few"),
            pytest.param({"missing_after": 1}, ["missing_after is 1"], id="a row not proven"),
            pytest.param({"confirmed": False}, ["confirmed is False"], id="an answer lost"),
            pytest.param({"d1_requests": 13}, ["d1_requests is 13"], id="a request too many"),
            pytest.param({"rows_written": 3011}, ["rows_written is 3011"], id="too much written"),
        ],
    )
    def test_what_a_run_did_is_checked(self, report: dict[str, Any], faults: list[str]) -> None:
        """Rows, requests and rows written beyond their bounds are faults; time is none."""
        assert whole_run(**report).faults() == [f"1,000 objects: {fault}" for fault in faults]

    def test_the_table_shows_figures_beside_their_bounds(self) -> None:
        """Memory, requests and rows written a row stand beside what they may be."""
        head, _, cells = (
            [cell.strip() for cell in row.strip("|").split("|")]
            for row in writing.table([whole_run()]).splitlines()
        )
        assert list(zip(head, cells, strict=True)) == [
            ("whole runs", "1,000 objects"),
            ("peak memory", "71 MB"),
            ("to reach", "120 MB"),
            ("D1 requests", "12"),
            ("at most", "12"),
            ("rows written a new row", "3.0010"),
            ("at most", "3.01"),
            ("rounds", "1"),
        ]


class TestBucket:
    """A bucket that is computed, not stored."""

    @pytest.mark.parametrize("alphabet", sorted(ALPHABETS))
    @pytest.mark.parametrize("objects", [1, 999, 1088, 20_000, 100_003])
    def test_keys_ascend_in_byte_order(self, alphabet: str, objects: int) -> None:
        """Keys ascend strictly in the order of their bytes, at any size."""
        bucket = SyntheticBucket(alphabet, objects)
        keys = [bucket.key(index).encode() for index in range(objects)]
        assert keys == sorted(set(keys))

    @pytest.mark.parametrize(("alphabet", "ascii_only"), [("ascii", True), ("non-ascii", False)])
    def test_keys_are_60_bytes_long_on_average(self, alphabet: str, ascii_only: bool) -> None:
        """Keys are 60 bytes long on average, give or take one, and all or none of them are ASCII."""
        bucket = SyntheticBucket(alphabet, 20_000)
        keys = [bucket.key(index) for index in range(20_000)]
        assert 59 <= sum(len(key.encode()) for key in keys) / len(keys) <= 61
        assert {key.isascii() for key in keys} == {ascii_only}

    @pytest.mark.parametrize("mode", ["objects", "versions"])
    def test_a_seed_decides_every_byte(self, mode: ListMode) -> None:
        """The same seed gives the same pages; another gives other ETags and version ids."""
        first, again = (list(pages(SyntheticBucket("ascii", 1500, seed=7), mode)) for _ in range(2))
        other = list(pages(SyntheticBucket("ascii", 1500, seed=8), mode))
        assert first == again
        for field in ("ETag", "VersionId") if mode == "versions" else ("ETag",):
            here, there = (re.findall(f"<{field}>(.*?)</{field}>", "".join(xml)) for xml in (first, other))
            assert len(set(here)) == 1500
            assert not set(here) & set(there)

    def test_a_million_objects_take_no_memory(self) -> None:
        """A page far into a million objects is found by its key, within 3 MB."""
        tracemalloc.start()
        try:
            bucket = SyntheticBucket("non-ascii", 1_000_000)
            found = bucket.between(bucket.key(999_997), "")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (found, peak < 3_000_000) == (range(999_998, 1_000_000), True)


OBJECTS_PAGE = """\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <Contents>
        <ETag>"e3e70682c2094cac629f6fbed82c07cd"</ETag>
        <Key>Fu%C3%9Fball/1923%E5%B9%B4/Zo%C3%AB+M%C3%BCller+en+%C3%A9t%C3%A9/0000000-%E3%83%AB%E3%83%BC%E3%83%BB%E3%82%B2%E3%83%BC%E3%83%AA%E3%83%83%E3%82%B0.jpg</Key>
        <LastModified>2024-06-13T11:34:05.000Z</LastModified>
        <Size>18485645</Size>
        <StorageClass>STANDARD</StorageClass>
    </Contents>
    <EncodingType>url</EncodingType>
    <IsTruncated>true</IsTruncated>
    <MaxKeys>1</MaxKeys>
    <Name>bench</Name>
    <Prefix>Fu%C3%9F</Prefix>
    <KeyCount>1</KeyCount>
    <NextContinuationToken>RnXDn2JhbGwvMTkyM-W5tC9ab8OrIE3DvGxsZXIgZW4gw6l0w6kvMDAwMDAwMC3jg6vjg7zjg7vjgrLjg7zjg6rjg4PjgrAuanBn</NextContinuationToken>
    <StartAfter>Fu</StartAfter>
</ListBucketResult>
"""
VERSIONS_PAGE = """\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <EncodingType>url</EncodingType>
    <IsTruncated>true</IsTruncated>
    <KeyMarker>Fu</KeyMarker>
    <MaxKeys>1</MaxKeys>
    <Name>bench</Name>
    <NextKeyMarker>Fu%C3%9Fball/1923%E5%B9%B4/Zo%C3%AB+M%C3%BCller+en+%C3%A9t%C3%A9/0000000-%E3%83%AB%E3%83%BC%E3%83%BB%E3%82%B2%E3%83%BC%E3%83%AA%E3%83%83%E3%82%B0.jpg</NextKeyMarker>
    <NextVersionIdMarker>4_z5024f157b1a6db506a8e0c19_fe3e70682c2094cac_d20240613_m113405_c004_v0402000_t0021_u01718278445000</NextVersionIdMarker>
    <Prefix>Fu%C3%9F</Prefix>
    <VersionIdMarker></VersionIdMarker>
    <Version>
        <ETag>"e3e70682c2094cac629f6fbed82c07cd"</ETag>
        <IsLatest>true</IsLatest>
        <Key>Fu%C3%9Fball/1923%E5%B9%B4/Zo%C3%AB+M%C3%BCller+en+%C3%A9t%C3%A9/0000000-%E3%83%AB%E3%83%BC%E3%83%BB%E3%82%B2%E3%83%BC%E3%83%AA%E3%83%83%E3%82%B0.jpg</Key>
        <LastModified>2024-06-13T11:34:05.000Z</LastModified>
        <Owner>
            <ID>0f5f0571db50</ID>
            <DisplayName></DisplayName>
        </Owner>
        <Size>18485645</Size>
        <StorageClass>STANDARD</StorageClass>
        <VersionId>4_z5024f157b1a6db506a8e0c19_fe3e70682c2094cac_d20240613_m113405_c004_v0402000_t0021_u01718278445000</VersionId>
    </Version>
</ListVersionsResult>
"""


class TestPages:
    """List pages in B2's form."""

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            pytest.param({"list-type": "2", "start-after": "Fu"}, OBJECTS_PAGE, id="objects"),
            pytest.param({"versions": "", "key-marker": "Fu"}, VERSIONS_PAGE, id="versions"),
        ],
    )
    def test_pages_have_the_form_of_b2s_own(self, query: dict[str, str], expected: str) -> None:
        """A page is, to the last blank, what B2's documentation shows."""
        asked = {"encoding-type": "url", "max-keys": "1", "prefix": "Fuß"}
        assert page(SyntheticBucket("non-ascii", 2), query | asked).xml == expected


class TestListServer:
    """The server answers stock boto3 as B2 would."""

    @pytest.mark.parametrize("operation", sorted(ROWS))
    def test_stock_boto3_reads_every_row(self, served: Served, operation: str) -> None:
        """The paginator finds every object, field by field, with one request a page."""
        before = requests_so_far(served.server.url)
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
        assert requests_so_far(served.server.url) - before == 2
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
        self, served: Served, after: Callable[[list[str]], str], prefix: str | Callable[[list[str]], str]
    ) -> None:
        """StartAfter, KeyMarker and Prefix select what they select of the sorted keys."""
        keys = [served.bucket.key(index) for index in range(OBJECTS)]
        begin, start = after(keys), prefix(keys) if callable(prefix) else prefix
        expected = [key for key in keys if key > begin and key.startswith(start)]
        for operation, marker in (("list_objects_v2", "StartAfter"), ("list_object_versions", "KeyMarker")):
            rows = served.listed(operation, Prefix=start, **({marker: begin} if begin else {}))
            assert [row["Key"] for row in rows] == expected

    @pytest.mark.parametrize("operation", sorted(ROWS))
    def test_a_page_may_be_smaller(self, served: Served, operation: str) -> None:
        """MaxKeys bounds a page; the pages still follow one another without a gap."""
        rows = served.listed(operation, Prefix=served.bucket.key(0)[:4], PaginationConfig={"PageSize": 7})
        keys = [served.bucket.key(index) for index in range(OBJECTS)]
        assert [row["Key"] for row in rows] == [key for key in keys if key.startswith(keys[0][:4])]

    def test_keys_come_plain_when_no_encoding_is_asked_for(self, served: Served) -> None:
        """Without encoding-type=url a page holds the keys themselves, and does not say EncodingType."""
        xml = page(served.bucket, {"list-type": "2", "max-keys": "2"}).xml
        assert re.findall("<Key>(.*)</Key>", xml) == [served.bucket.key(0), served.bucket.key(1)]
        assert "EncodingType" not in xml

    @pytest.mark.parametrize(
        ("parameters", "code"),
        [
            pytest.param({"Bucket": "another"}, "NoSuchBucket", id="another bucket"),
            pytest.param({"Delimiter": "/"}, "InvalidArgument", id="common prefixes"),
            pytest.param({"ContinuationToken": "b2d1!"}, "InvalidArgument", id="a token of its own making"),
        ],
    )
    def test_what_it_does_not_know_it_refuses(
        self, served: Served, parameters: dict[str, str], code: str
    ) -> None:
        """Whatever the server does not understand is an error with a code, never a wrong page."""
        with served.client() as client, pytest.raises(ClientError) as caught:
            client.list_objects_v2(**{"Bucket": "bench", **parameters})
        assert caught.value.response["Error"]["Code"] == code

    def test_many_connections_stay_open_at_once(self, served: Served) -> None:
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

    def test_each_page_takes_its_time(self) -> None:
        """With a latency no answer comes sooner."""
        with ListServer("ascii", 10, latency=0.3) as server:
            address = (HOST, server.port)
            with socket.create_connection(address, timeout=20) as connection:
                began = time.monotonic()
                connection.sendall(b"GET /bench?list-type=2 HTTP/1.1\r\n\r\n")
                assert connection.recv(12) == b"HTTP/1.1 200"
                assert time.monotonic() - began >= 0.3
