"""D1's answers from strangers: what stands in them, or a D1Error; never anything else, and never for long."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from conftest import FakeTime
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import as_json, bent, damaged, fault_of_words, odd
from pytest_httpserver import HTTPServer
from scripted_d1 import ID, NAME, answer, as_response, envelope, raw_server, read_request, refused, script
from scripted_d1 import settings as d1_settings

from b2d1.d1.api import MAX_ANSWER_BYTES
from b2d1.d1.database import MOST_DATABASES, Database
from b2d1.errors import B2D1Error, D1Error
from b2d1.migrate import migrations
from b2d1.retry import Retrying
from b2d1.table.guards import Guards
from b2d1.table.media_assets import MediaAssets
from b2d1.table.schema import COLUMNS

UIDS = [f"b2_{number:040}" for number in range(3)]
ROWS = [["column", json.dumps([name, "", 0, 0, 0])] for name in COLUMNS]
TABLES = [["table", json.dumps([name, name, ""])] for name in ("media_assets", "media_ingest_chunks")]
SHAPE = [*ROWS, ["unique", "media_uid BINARY"], ["index", "b2_key"], *TABLES]


def resolved(database: Database) -> Any:
    database.resolve()
    return database.id


def looked(database: Database) -> Any:
    table = MediaAssets(database, Retrying(attempts=1))
    table.look()
    return table.indexes, table.has_staging


def table_of(database: Database) -> MediaAssets:
    return MediaAssets(database, Retrying(attempts=1))


def guards_of(database: Database) -> Guards:
    return Guards(table_of(database))


# What a run asks of D1, with a sound answer to it and what it makes of that.
ASKED: dict[str, tuple[Callable[[Database], Any], Any, Any]] = {
    "the database's id": (resolved, envelope([{"name": NAME, "uuid": ID}, {"name": "a", "uuid": "b"}]), ID),
    "the table's form": (looked, answer(SHAPE), (1, True)),
    "which are new": (lambda d1: table_of(d1).missing(UIDS), answer([[UIDS[1]]]), {UIDS[1]}),
    "other identities": (
        lambda d1: guards_of(d1).refuse_other_identity(["[]"]),
        answer([["a", "b", "c", 1]]),
        (
            "1 new rows are objects that the table has already under another media_uid: "
            "'a' with b2_file_id b, now c"
        ),
    ),
    "a figure": (lambda d1: table_of(d1).count_missing("[]"), answer([[7]]), 7),
    "an insert": (lambda d1: tuple(table_of(d1).insert("[]")), answer([], changes=3), ([], 3, True, None)),
    "migrations": (
        lambda d1: [each.name for each in migrations.pending(d1, migrations.shipped())],
        answer([[1]]),
        ["0010_media_assets.sql", "0011_media_ingest.sql"],
    ),
    "the bookmark": (Database.bookmark, envelope({"bookmark": "00000001-x"}), "00000001-x"),
}


@pytest.fixture(scope="module")
def database(make_httpserver: HTTPServer) -> Iterator[Callable[[Any], Database]]:
    """Make a database that answers so, and asks once only."""
    url = make_httpserver.url_for("")

    def giving(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Database:
        make_httpserver.clear()
        script(make_httpserver, as_response(content, status, headers))
        return Database(d1_settings(url, name=NAME, database_id=ID), FakeTime().retrying(attempts=1))

    yield giving
    make_httpserver.clear()


def named(error: B2D1Error) -> None:
    """Hold an error to what every error owes: its exit code, and words that can be shown."""
    assert (error.exit_code in {4, 5}, fault_of_words(f"{error}\n{error.hint}")) == (True, None)


def outcome(call: Callable[[Database], Any], database: Database) -> Any:
    """Make a call; return what came of it, or the words of its error, which must be fit to be shown."""
    try:
        return call(database)
    except B2D1Error as error:
        named(error)
        return str(error)


@pytest.mark.parametrize("name", ASKED)
def test_a_sound_answer_is_understood(database: Callable[..., Database], name: str) -> None:
    """Each answer that is mutated below is, as it stands, one that is believed."""
    call, content, expected = ASKED[name]

    assert outcome(call, database(content)) == expected


@pytest.mark.parametrize("name", ASKED)
@settings(max_examples=settings().max_examples // 4)
@given(data=st.data())
def test_a_bent_answer_is_understood_or_refused(
    database: Callable[..., Database], name: str, data: st.DataObject
) -> None:
    """Values in an answer replaced, lost, repeated or renamed: it is a result or an error with a name."""
    call, content, _ = ASKED[name]

    outcome(call, database(as_json(data.draw(bent(content)))))


@given(data=st.data())
def test_a_damaged_answer_is_what_any_reader_of_json_finds_or_refused(
    database: Callable[..., Database], data: st.DataObject
) -> None:
    """Bytes flipped, cut, repeated, swapped, nested or put in: the rows are JSON's, or it is a D1Error."""
    document = json.dumps(answer([["é", 1], ["b", None]], changes=2), ensure_ascii=False).encode()
    document = data.draw(damaged(document, xml=False))
    try:
        found = database(document).run("SELECT 1", doing="asking", columns=2)
    except D1Error as error:
        named(error)
        return
    (statement,) = json.loads(document)["result"]
    assert found.rows == statement["results"]["rows"]
    assert found.changes == (statement["meta"].get("changes") or 0)


@pytest.mark.parametrize("name", ASKED)
@settings(max_examples=settings().max_examples // 4)
@given(
    noise=st.binary(max_size=300) | odd().map(as_json),
    status=st.sampled_from([200, 200, 204, 206, 304, 307, 400, 403, 404, 429, 500, 503]),
    header=st.sampled_from(["Retry-After", "Location", "Content-Type", "Set-Cookie", "Link"]),
    value=st.sampled_from(
        ["1e400", "\u00ff\u00fe", "Sun, 99 Foo 2026", "-1", "http://[", "//\u00e9", "a=b; expires=\u00ff"]
    ),
)
def test_noise_is_an_error_with_a_name(  # noqa: PLR0917
    database: Callable[..., Database], name: str, noise: bytes, status: int, header: str, value: str
) -> None:
    """Whatever comes in place of an answer, under any status and header, is a D1Error and no result."""
    with pytest.raises(D1Error) as refusal:
        ASKED[name][0](database(noise, status, {header: value}))

    assert fault_of_words(f"{refusal.value}\n{refusal.value.hint}") is None


@settings(max_examples=settings().max_examples // 4)
@given(code=odd(), message=odd())
def test_a_refusal_can_be_shown_whatever_it_says(
    database: Callable[..., Database], code: Any, message: Any
) -> None:
    """A refusal's own words come without what a terminal or a log would obey, and cut."""
    with pytest.raises(D1Error) as refusal:
        database(as_json(refused(code, message)), 400).figure("SELECT 1", doing="asking")

    assert fault_of_words(f"{refusal.value}\n{refusal.value.hint}") is None


@pytest.mark.parametrize(
    "head",
    [
        pytest.param("200 OK\r\n", id="no length"),
        pytest.param("200 OK\r\nContent-Length: 99999999999999\r\n", id="a length that none has"),
        pytest.param("403 Forbidden\r\n", id="a refusal"),
        pytest.param("302 Found\r\nLocation: http://127.0.0.1:1/\r\n", id="a redirect"),
        pytest.param("302 Found\r\nLocation: \u00ff\u00fe\r\n", id="a redirect to no address"),
        pytest.param("302 Found\r\nLocation: /\r\nContent-Encoding: gzip\r\n", id="a redirect, packed"),
    ],
)
def test_an_answer_without_end_is_given_up(head: str) -> None:
    """An answer that never ends is refused after 16 MB, a redirect's too, and its connection closed."""
    sent: list[int] = []

    def talk(peer: socket.socket) -> None:
        read_request(peer)
        peer.settimeout(5)
        with suppress(OSError):
            peer.sendall(f"HTTP/1.1 {head}\r\n".encode("latin-1"))
            sent.extend(peer.send(b" " * 65536) for _ in range(1000))

    with raw_server(talk) as (port, connections):
        database = Database(d1_settings(f"http://127.0.0.1:{port}"), Retrying(attempts=1))
        with pytest.raises(D1Error):
            database.figure("SELECT 1", doing="asking")

    # What lies in the sockets' buffers was sent, and never read.
    assert (len(connections), sum(sent) < MAX_ANSWER_BYTES + 2**24) == (1, True)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param('"success": false, "success": true, "result": [%s]', id="in the envelope"),
        pytest.param('"success": true, "result": [], "result": [%s]', id="two results"),
    ],
)
def test_an_answer_that_says_two_things_is_not_believed(database: Callable[..., Database], said: str) -> None:
    """Where a name stands twice, one reader takes the first value and another the last: it is no answer."""
    statement = json.dumps(answer([[7]])["result"][0])

    with pytest.raises(D1Error, match="the answer is not D1's"):
        database(("{" + said % statement + "}").encode()).figure("SELECT 7", doing="asking")


@pytest.mark.parametrize("count", [None, "1", 1.5, [1], {}], ids=repr)
def test_a_count_of_other_identities_is_a_whole_number(database: Callable[..., Database], count: Any) -> None:
    """Rows that would be refused are counted by D1: where it does not count, it is an error with a name."""
    guards = guards_of(database(answer([["a", "b", "c", count]])))

    with pytest.raises(D1Error, match="comparing identities: the answer is not D1's"):
        guards.refuse_other_identity(["[]"])


@pytest.mark.parametrize("name", [["a"], {"a": 1}, None, 5], ids=repr)
def test_a_column_whose_name_is_no_text_is_not_d1s(database: Callable[..., Database], name: Any) -> None:
    content = answer([["column", json.dumps([name, "", 0, 0, 0])], *SHAPE[1:]])

    with pytest.raises(D1Error, match="the answer is not D1's"):
        table_of(database(content)).look()


@pytest.mark.parametrize("location", [b"\xff\xfe", b"http://[", b"//\xc3\xa9", b"\t"], ids=repr)
def test_a_redirect_to_no_address_is_a_refusal(location: bytes) -> None:
    """Where a redirect leads does not matter, not even whether it leads anywhere."""

    def talk(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")

    with raw_server(talk) as (port, _):
        database = Database(d1_settings(f"http://127.0.0.1:{port}"), Retrying(attempts=1))
        with pytest.raises(D1Error, match="D1 answered 302") as refusal:
            database.figure("SELECT 1", doing="asking")

    assert refusal.value.hint == "Redirects are not followed: compare CLOUDFLARE_API_BASE_URL."


@pytest.mark.parametrize("uuid", ["../../accounts", "a?b", "a/b", "\ud800", "", "x" * 65, "a\r\nb"], ids=repr)
def test_an_id_that_could_be_more_than_an_id_is_refused(database: Callable[..., Database], uuid: str) -> None:
    """What D1 calls a database's id becomes a part of addresses: nothing but an id may stand there."""
    with pytest.raises(D1Error, match="the answer is not D1's"):
        database(as_json(envelope([{"name": NAME, "uuid": uuid}]))).resolve()


def test_a_list_of_databases_without_end_is_given_up(make_httpserver: HTTPServer) -> None:
    """A server that always knows more names is asked no more when there are more than an account can have."""
    make_httpserver.clear()
    names = [[{"name": f"{page} {number}", "uuid": "a"} for number in range(9000)] for page in range(9)]
    asked = script(make_httpserver, *(as_response(envelope(each)) for each in names))
    database = Database(
        d1_settings(make_httpserver.url_for(""), name=NAME, database_id=None), Retrying(attempts=1)
    )

    with pytest.raises(D1Error, match=f"no database is named {NAME}") as refusal:
        database.resolve()

    assert (len(asked), len(refusal.value.hint) < 600) == (MOST_DATABASES // 9000 + 1, True)
