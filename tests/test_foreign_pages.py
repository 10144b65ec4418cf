"""List pages from strangers: the objects that are in them, or a B2Error; nothing else, and never for long."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import damaged, fault_of_words
from pages import Answer, Form, PageServer, Row, page, stock_client, stock_objects, stock_page
from scripted_d1 import raw_server, read_request

from b2d1.b2.answer import MAX_ANSWER_BYTES, MAX_TAGS
from b2d1.b2.bucket import Bucket
from b2d1.errors import B2Error
from b2d1.media import ListMode
from b2d1.retry import Deadline, Retrying

MODES: list[ListMode] = ["objects", "versions"]
PLAIN = Form(url_encoded=False, pretty="\n")
ROWS = [Row("a+b"), Row("é x", etag='"b"', size=22), Row("日/%", etag=None)]
OLD = Row("é x", version_id="4_z0", latest=False)
PAGES: dict[ListMode, list[bytes]] = {
    "objects": [page(ROWS, then="token=="), page(ROWS, "objects", PLAIN), page([])],
    "versions": [
        page([Row("a", hidden=True), ROWS[1], OLD, ROWS[2]], "versions", then="日/% 4_z1"),
        page([Row("a", hidden=True), ROWS[1], OLD], "versions", PLAIN),
    ],
}


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    with PageServer() as server:
        yield server


@pytest.fixture(scope="module")
def stock(server: PageServer) -> Any:
    return stock_client(server.url, parse=str)


def named(error: B2Error) -> None:
    """Hold an error to what every error owes: its exit code, and words that can be shown."""
    assert (error.exit_code, fault_of_words(f"{error}\n{error.hint}")) == (3, None)


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_a_damaged_page_is_read_as_stock_boto3_reads_it_or_refused(
    server: PageServer, stock: Any, mode: ListMode, data: st.DataObject
) -> None:
    """Parts lost, repeated, swapped, nested or put in: the objects are boto3's, or it is a B2Error."""
    server.give(data.draw(damaged(data.draw(st.sampled_from(PAGES[mode])), xml=True)))
    try:
        found = server.bucket(mode).page({})
    except B2Error as error:
        named(error)
        return
    # A date that is missing is an empty one to b2d1.
    stocks = [
        (key, size, date or "", *ids)
        for key, size, date, *ids in stock_objects(stock_page(stock, mode), mode)
    ]
    assert [tuple(media) for media in found.objects] == stocks


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=settings().max_examples // 4)
@given(
    noise=st.tuples(
        st.sampled_from([b"", b"<ListBucketResult>", b"<ListVersionsResult>", b"\x1f\x8b", b"<Error>"]),
        st.binary(max_size=300) | st.text().map(str.encode),
    ).map(b"".join),
    status=st.sampled_from([200, 200, 204, 206, 301, 400, 403, 404, 500, 503]),
    told=st.sampled_from(
        ["", "Retry-After: soon", "Retry-After: 1e400", "Location: \u00ff\u00fe", "Date: never"]
    ),
)
def test_noise_is_never_a_page(
    server: PageServer, mode: ListMode, noise: bytes, status: int, told: str
) -> None:
    """Whatever comes in place of a page, under any status, is a B2Error: never an empty bucket."""
    name, _, value = told.partition(": ")
    server.give(Answer(noise, status, {name: value} if told else {}))

    with pytest.raises(B2Error) as refused:
        server.bucket(mode).page({})

    named(refused.value)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "markup",
    [
        pytest.param('<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd">', id="an outer document type"),
        pytest.param('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>', id="a file as an entity"),
        pytest.param('<!DOCTYPE a [<!ENTITY e "x"><!ENTITY f "&e;&e;">]>', id="entities in entities"),
        pytest.param('<!DOCTYPE a [<!ENTITY % p "x"> %p;]>', id="a parameter entity"),
    ],
)
@pytest.mark.parametrize("inside", ["", "&e;", "&f;"], ids=["unused", "used", "used twice"])
def test_a_page_with_a_document_type_is_refused_by_name(
    server: PageServer, mode: ListMode, markup: str, inside: str
) -> None:
    """A document type is refused before anything reads it: no entity is unfolded, no file opened."""
    text = page(ROWS, mode).decode().replace("<List", markup + "<List", 1).replace("a+b", f"a+b{inside}", 1)
    server.give(text.encode())

    with pytest.raises(B2Error) as refused:
        server.bucket(mode).page({})

    assert refused.value.message.startswith("the answer is no listing: it ")


DEEP_PAGES = {
    "around the rows": (b"<ListBucketResult>", b"</ListBucketResult>"),
    "in a row": (b"<ListBucketResult><Contents>", b"</Contents></ListBucketResult>"),
    "in a key": (b"<ListBucketResult><Contents><Key>", b"</Key></Contents></ListBucketResult>"),
    "behind the root": (b"<ListBucketResult></ListBucketResult>", b""),
}


@pytest.mark.slow
@pytest.mark.parametrize("ends", [True, False], ids=["closed", "never closed"])
@pytest.mark.parametrize("place", DEEP_PAGES)
@pytest.mark.parametrize("depth", [900, 100_000])
def test_elements_nested_deep_are_refused(server: PageServer, place: str, depth: int, ends: bool) -> None:
    """However deep elements are nested, the answer is no listing: no stack overflows."""
    before, after = DEEP_PAGES[place]
    server.give(before + b"<a>" * depth + (b"</a>" * depth if ends else b"") + after)

    with pytest.raises(B2Error) as refused:
        server.bucket().page({})

    named(refused.value)


SOUND = page(ROWS)
ENDLESS: dict[str, tuple[bytes, Callable[[int], bytes]]] = {
    "no length": (b"Content-Type: application/xml\r\n\r\n" + SOUND, lambda _: b" " * 65536),
    "a length that none has": (b"Content-Length: 99999999999999\r\n\r\n" + SOUND, lambda _: b" " * 65536),
    "chunks": (b"Transfer-Encoding: chunked\r\n\r\n", lambda _: b"10000\r\n" + b"<" * 65536 + b"\r\n"),
    "packed": (b"Content-Encoding: gzip\r\n\r\n\x1f\x8b", lambda _: b"\0" * 65536),
    "rows": (b"\r\n<ListBucketResult>", lambda number: page([Row(f"{number:09}")] * 300)[150:]),
}


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "500 Oops", "307 Elsewhere\r\nLocation: /"])
@pytest.mark.parametrize("kind", ENDLESS)
def test_a_page_without_end_is_given_up(server: PageServer, kind: str, status: str) -> None:
    """An answer that never ends is refused after 8 MB, under whatever status, and its connection closed."""
    head, more = ENDLESS[kind]
    sent: list[int] = []

    def talk(peer: socket.socket) -> None:
        read_request(peer)
        peer.settimeout(5)
        with suppress(OSError):
            peer.sendall(f"HTTP/1.1 {status}\r\n".encode() + head)
            sent.extend(peer.send(more(number)) for number in range(1000))

    with raw_server(talk) as (port, connections):
        bucket = Bucket(server.settings(endpoint=f"http://127.0.0.1:{port}"), Retrying(attempts=1))
        with pytest.raises(B2Error) as refused:
            bucket.page({})

    assert refused.value.message == "the answer is no listing: it is larger than 8,000,000 bytes"
    # What lies in the sockets' buffers was sent, and never read.
    assert (len(connections), sum(sent) < MAX_ANSWER_BYTES + 2**24) == (1, True)


def test_a_page_that_drips_is_given_up(server: PageServer) -> None:
    """A body that comes byte by byte does not hold the run beyond its deadline."""
    stop = threading.Event()
    dripped: list[int] = []

    def talk(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
        while not stop.wait(0.01) and len(dripped) < 900:
            dripped.append(peer.send(b" "))

    with raw_server(talk) as (port, _):
        began = list[float]()  # to make a client takes time, which is not the page's
        clock = lambda: time.monotonic() - began[0] if began else 0.0  # noqa: E731
        retrying = Retrying(Deadline(1.0, clock), attempts=1)
        bucket = Bucket(server.settings(endpoint=f"http://127.0.0.1:{port}"), retrying)
        began.append(time.monotonic())
        with pytest.raises(B2Error, match=r"no answer from .* \(TimeoutError\)"):
            bucket.page({})
        stop.set()

    assert 0 < len(dripped) < 900


def test_the_largest_page_is_within_the_bound(server: PageServer) -> None:
    """A thousand keys of 1,024 bytes, each of them three characters on the way, are well below the bound."""
    rows = [Row(f"{number:04}" + "é" * 510, etag='"' + "0" * 32 + '-10000"') for number in range(1000)]
    body = page(rows, "versions", Form(owner=True, unknown=True, pretty="\n        "))
    server.give(body)

    assert len(server.bucket("versions").page({}).objects) == 1000
    assert (len(body) < MAX_ANSWER_BYTES * 0.6, body.count(b"<") < MAX_TAGS * 0.1) == (True, True)


CROWDS = {
    "empty rows": b"<Contents/>",
    "rows with a key": b"<Contents><Key>a</Key></Contents>",
    "empty fields": b"<a/>",
    "fields": b"<a>b</a>",
    "empty rows among fields": b"<Contents/><a/>",
    "elements in elements": b"<a>",
    "elements in a row": b"<Contents><a>",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CROWDS)
def test_a_page_of_hundreds_of_thousands_of_elements_is_refused(server: PageServer, kind: str) -> None:
    """As many elements as the bound lets through are read in time that grows with their number alone."""
    count = (MAX_TAGS - 100) // CROWDS[kind].count(b"<")
    server.give(page([], IsTruncated=None).replace(b"</List", CROWDS[kind] * count + b"</List"))

    with pytest.raises(B2Error) as refused:
        server.bucket().page({})

    named(refused.value)


@pytest.mark.parametrize("status", [200, 403, 500])
def test_a_page_of_too_many_elements_is_not_even_parsed(server: PageServer, status: int) -> None:
    """A parser would need much more memory than an answer's own bytes: more tags than any page has end it."""
    server.give(Answer(b"<Error>" + b"<a>" * (MAX_TAGS + 1), status))

    with pytest.raises(B2Error, match=r"^listing bucket photos: .* it has more than 400,000 tags") as refused:
        server.bucket().page({})

    named(refused.value)


def test_one_connection_serves_every_page(server: PageServer) -> None:
    """The connection is kept from page to page: a run does not shake hands with B2 for each."""
    ports = []

    def talk(peer: socket.socket) -> None:
        for _ in range(3):
            read_request(peer)
            ports.append(peer.getpeername()[1])
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(SOUND), SOUND))

    with raw_server(talk) as (port, connections):
        bucket = Bucket(server.settings(endpoint=f"http://127.0.0.1:{port}"), Retrying(attempts=1))
        for _ in range(3):
            assert len(bucket.page({}).objects) == 2

    assert (len(ports), len(connections)) == (3, 1)
