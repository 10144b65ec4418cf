"""D1 over real sockets: what is sent, what is believed, how often and how long it is tried."""

import dataclasses
import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import self_signed
from conftest import FakeTime
from pytest_httpserver import HTTPServer
from scripted_d1 import (
    ACCOUNT,
    DATABASES,
    ID,
    NAME,
    RAW,
    TOKEN,
    answer,
    as_response,
    envelope,
    raw_server,
    read_request,
    refused,
    script,
    settings,
    statement,
)
from werkzeug.wrappers import Response

from b2d1.d1.answer import Answer
from b2d1.d1.api import MAX_ANSWER_BYTES
from b2d1.d1.database import Database
from b2d1.errors import D1Error, GuardRefusal, Retry
from b2d1.retry import Deadline, Retrying
from b2d1.settings import Settings
from sandbox.d1 import EmbeddedD1
from sandbox.forwarder import Forwarder

AWKWARD = 'quote " backslash \\ line\nend é 🎞 <&>'


def refusal_of(call: Callable[[], object]) -> D1Error:
    """Make a call that must end with a D1Error, exit code 4."""
    with pytest.raises(D1Error) as failure:
        call()
    assert failure.value.exit_code == 4
    return failure.value


def usage(database: Database) -> tuple[int, int, bool]:
    return database.usage.rows_read, database.usage.rows_written, database.usage.changed_db


class TestRequests:
    """What goes out."""

    def test_a_statement_is_sent_as_d1_documents_it(
        self, httpserver: HTTPServer, fake_time: FakeTime
    ) -> None:
        """One POST to /raw: the statement, its parameters as strings, the token in the header."""
        asked = script(httpserver, as_response(answer([["x", 1]], changes=3)))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())

        result = database.run("SELECT ?1, ?2", AWKWARD, "5", doing="asking", columns=2)

        (request,) = asked
        assert (request.method, request.full_path) == ("POST", f"{RAW}?")
        assert json.loads(request.data) == {"sql": "SELECT ?1, ?2", "params": [AWKWARD, "5"]}
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["User-Agent"].startswith("b2d1/")
        assert result == Answer([["x", 1]], 3, confirmed=True, seconds=None)
        assert database.requests == 1

    def test_a_text_beyond_ascii_travels_as_utf_8(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """A chunk of Japanese keys is as long on the way as it is on disk, not three times as long."""
        asked = script(httpserver, as_response(answer()))
        Database(settings(httpserver.url_for("")), fake_time.retrying()).run(
            "SELECT ?1", "写真" * 9, doing=""
        )
        assert ("写真" * 9).encode() in asked[0].data

    def test_a_script_is_sent_without_parameters(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """Several statements in one text go without `params`, with which D1 would refuse them."""
        asked = script(httpserver, as_response(envelope([statement(), statement()])))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        database.run_script("CREATE TABLE a (b); CREATE TABLE c (d);", doing="", done=lambda: False)
        assert json.loads(asked[0].data) == {"sql": "CREATE TABLE a (b); CREATE TABLE c (d);"}

    def test_the_bookmark_is_read_from_time_travel(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """The bookmark is one GET of the database's Time Travel."""
        asked = script(httpserver, as_response(envelope({"bookmark": "00000001-x"})))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        assert database.bookmark() == "00000001-x"
        (request,) = asked
        assert (request.method, request.full_path) == ("GET", f"{DATABASES}/{ID}/time_travel/bookmark?")
        assert request.data == b""

    def test_one_connection_serves_every_request(self, fake_time: FakeTime) -> None:
        """The connection is kept: a run does not shake hands with Cloudflare for each request."""
        ports = []

        def listen(peer: socket.socket) -> None:
            for _ in range(3):
                read_request(peer)
                ports.append(peer.getpeername()[1])
                body = json.dumps(answer([[1]])).encode()
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        with raw_server(listen) as (port, connections):
            database = Database(settings(f"http://127.0.0.1:{port}"), fake_time.retrying())
            for _ in range(3):
                database.figure("SELECT 1", doing="asking")
        assert (len(ports), len(connections)) == (3, 1)

    @pytest.mark.parametrize(
        ("meta", "seconds"),
        [
            pytest.param({"duration": 531}, 0.531, id="whole milliseconds"),
            pytest.param({"duration": 0.25}, 0.00025, id="parts of one"),
            pytest.param({"duration": 45_000}, 45.0, id="as long as a statement may take"),
            pytest.param({}, None, id="absent"),
            pytest.param({"duration": None}, None, id="null"),
            pytest.param({"duration": 0}, None, id="zero"),
            pytest.param({"duration": 0.0}, None, id="0.0"),
            pytest.param({"duration": -3}, None, id="negative"),
            pytest.param({"duration": 45_001}, None, id="longer than a statement may take"),
            pytest.param({"duration": 10**400}, None, id="beyond any float"),
            pytest.param({"duration": "531"}, None, id="a text"),
            pytest.param({"duration": [531]}, None, id="a list"),
            pytest.param({"duration": True}, None, id="true"),
        ],
    )
    def test_how_long_d1_worked_is_known_or_unknown(
        self, httpserver: HTTPServer, fake_time: FakeTime, meta: dict[str, Any], seconds: float | None
    ) -> None:
        """A duration that may be is told in seconds; any other is none, and no reason to fail."""
        script(httpserver, as_response(answer([[1]], **meta)))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        assert database.run("SELECT 1", doing="") == Answer([[1]], 0, confirmed=True, seconds=seconds)

    def test_what_the_requests_cost_is_summed_up(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """D1's own meta of every statement adds up; a figure that it leaves out counts nothing."""
        costs = [
            answer(rows_read=10, rows_written=2, changed_db=False, changes=1),
            envelope([statement(rows_read=1), statement(rows_written=5.0, changed_db=True, duration=0.2)]),
            answer(rows_read=None),
        ]
        script(httpserver, *map(as_response, costs))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())

        assert database.run("SELECT 1", doing="").changes == 1
        assert usage(database) == (10, 2, False)
        database.run_script("SELECT 1; SELECT 2;", doing="", done=lambda: False)
        database.run("SELECT 1", doing="")
        assert usage(database) == (11, 7, True)
        assert database.requests == 3


class TestSurroundings:
    """What lies around in the process's surroundings and must not be read."""

    @pytest.fixture
    def hostile(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put a login for every host and dead proxies in the way."""
        netrc = tmp_path / ".netrc"
        netrc.write_text("machine localhost login evil password evil\ndefault login evil password evil\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
            monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")

    @pytest.mark.usefixtures("hostile")
    def test_netrc_and_proxies_are_not_read(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """Neither ~/.netrc replaces the token, nor does a proxy of the environment see the request."""
        asked = script(httpserver, as_response(answer([[1]])))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying(attempts=1))
        assert database.figure("SELECT 1", doing="") == 1
        assert [request.headers["Authorization"] for request in asked] == [f"Bearer {TOKEN}"]

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_a_certificate_of_the_environment_is_not_trusted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_time: FakeTime, variable: str
    ) -> None:
        """A certificate that only the environment vouches for is refused, once, and the hint says so."""
        certificate = self_signed(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        monkeypatch.setenv(variable, str(certificate))
        with HTTPServer(host="localhost", ssl_context=context) as server:
            asked = script(server, as_response(answer([[1]])))
            database = Database(settings(server.url_for("")), fake_time.retrying())
            error = refusal_of(lambda: database.figure("SELECT 1", doing="asking"))
        assert (error.retry, error.ambiguous, database.requests, asked) == (Retry.NEVER, False, 1, [])
        assert "does not trust (self-signed certificate)" in str(error)
        assert "CA_BUNDLE must name a PEM file" in error.hint


class TestPatience:
    """How often it is tried, and how long."""

    def test_the_servers_own_pause_is_kept(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """Retry-After is honoured to the second, and the answer that comes then counts."""
        busy = as_response("", 503, {"Retry-After": "7"})
        script(httpserver, busy, busy, as_response(answer([[1]])))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        assert database.figure("SELECT 1", doing="") == 1
        assert (fake_time.pauses, database.requests) == ([7.0, 7.0], 3)

    def test_it_ends_inside_the_deadline(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """With 20 seconds left and a server that is always busy, it ends before they are over."""
        asked = script(httpserver, as_response("", 503, {"Retry-After": "9"}))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying(20))
        error = refusal_of(lambda: database.run("SELECT 1", doing="asking"))
        assert (fake_time.pauses, fake_time.now, len(asked)) == ([9.0, 9.0], 1018.0, 3)
        assert str(error) == "asking: D1 answered 503 (gave up: the next try is due in 9.0 s, 2.0 s are left)"

    @pytest.mark.parametrize(
        ("left", "within", "ends"),
        [
            pytest.param(60, 10.0, 1009, id="what a run can do without"),
            pytest.param(5, 10.0, 1003, id="a deadline that comes sooner"),
            pytest.param(60, None, 1057, id="what it cannot"),
        ],
    )
    def test_a_statement_may_be_bounded_in_time(
        self, httpserver: HTTPServer, fake_time: FakeTime, left: float, within: float | None, ends: float
    ) -> None:
        """With `within` it is tried as often as that time allows, and never past the deadline."""
        script(httpserver, as_response("", 503, {"Retry-After": "3"}))
        retrying = dataclasses.replace(fake_time.retrying(left, attempts=100), random=lambda: 0.0)
        database = Database(settings(httpserver.url_for("")), retrying)
        error = refusal_of(lambda: database.run("DELETE", doing="clearing", within=within))
        assert (fake_time.now, error.ambiguous) == (ends, True)

    def test_a_bound_in_time_is_no_bound_on_tries(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """Where time is the bound, short pauses make more tries than a run's own number of them."""
        asked = script(httpserver, as_response("", 503, {"Retry-After": "0.5"}))
        retrying = dataclasses.replace(fake_time.retrying(attempts=2), random=lambda: 0.0)
        database = Database(settings(httpserver.url_for("")), retrying)
        refusal_of(lambda: database.run("DELETE", doing="clearing", within=10.0))
        assert (len(asked), fake_time.now) == (20, 1009.5)

    @pytest.mark.parametrize(
        ("headers", "pauses"), [({}, [60.0, 60.0]), ({"Retry-After": "290"}, [290.0, 290.0])]
    )
    def test_the_accounts_rate_limit_is_waited_out(
        self, httpserver: HTTPServer, fake_time: FakeTime, headers: dict[str, str], pauses: list[float]
    ) -> None:
        """After a 971, which blocks for minutes, a minute passes before the next try, or what it asks for."""
        limited = as_response(refused(971, "TooManyRequests"), 429, headers)
        script(httpserver, limited, limited, as_response(answer()))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        assert database.run("SELECT 1", doing="").confirmed
        assert fake_time.pauses == pauses

    @pytest.mark.parametrize(
        "response",
        [
            pytest.param(as_response(refused(10000, "Authentication error"), 401), id="token"),
            pytest.param(as_response(refused(7403, "not valid"), 403), id="account"),
            pytest.param(as_response(refused(7404, "not found"), 404), id="database"),
            pytest.param(as_response(refused(7500, "syntax error: SQLITE_ERROR"), 400), id="syntax"),
            pytest.param(as_response("<html>", 404), id="page"),
            pytest.param(as_response(refused(7500, "statement too long: SQLITE_TOOBIG"), 400), id="too long"),
        ],
    )
    def test_what_will_not_change_is_asked_once(
        self, httpserver: HTTPServer, fake_time: FakeTime, response: Response
    ) -> None:
        """A refusal that the same request would meet again is not provoked again, even when told to wait."""
        response.headers["Retry-After"] = "1"
        asked = script(httpserver, response, as_response(answer([[1]])))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        refusal_of(lambda: database.run("SELECT 1", doing="asking"))
        assert (len(asked), fake_time.pauses) == (1, [])

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(
        self, httpserver: HTTPServer, fake_time: FakeTime, status: int
    ) -> None:
        """The token goes where the settings say and nowhere else, whatever the answer asks for."""
        elsewhere = {"Location": httpserver.url_for("/elsewhere")}
        asked = script(httpserver, as_response("", status, elsewhere), as_response(answer([[1]])))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        error = refusal_of(lambda: database.run("SELECT 1", doing="asking"))
        assert [request.path for request in asked] == [RAW]
        assert error.hint == "Redirects are not followed: compare CLOUDFLARE_API_BASE_URL."

    def test_nobody_there_is_tried_again(self, fake_time: FakeTime) -> None:
        """A connection that is refused is tried again, and the error names the setting with the address."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        database = Database(settings(f"http://127.0.0.1:{port}"), fake_time.retrying(attempts=3))
        error = refusal_of(lambda: database.run("SELECT 1", doing="asking"))
        assert database.requests == 3
        base = f"http://127.0.0.1:{port}/client/v4"
        assert str(error) == f"asking: no answer from {base} (ConnectionError) (gave up after 3 attempts)"
        assert "CLOUDFLARE_API_BASE_URL" in error.hint


class TestCertainty:
    """Whether a statement took effect."""

    @pytest.mark.parametrize(
        ("first", "confirmed"),
        [
            pytest.param(as_response("", 503), False, id="503"),
            pytest.param(as_response(refused(7500, "Network connection lost."), 400), False, id="lost"),
            pytest.param(as_response("<html>"), False, id="page under 200"),
            pytest.param(as_response(refused(971, "TooManyRequests"), 429), True, id="429 971"),
            pytest.param(as_response("", 429, {"Retry-After": "1"}), True, id="429"),
        ],
    )
    def test_an_answer_that_was_lost_leaves_it_unconfirmed(
        self, httpserver: HTTPServer, fake_time: FakeTime, first: Response, confirmed: bool
    ) -> None:
        """`confirmed` is false after a failure that may hide an effect, and true after a mere refusal."""
        script(httpserver, first, as_response(answer(changes=2)))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        assert database.run("INSERT", doing="inserting") == Answer([], 2, confirmed, seconds=None)

    def test_a_refused_connection_leaves_no_doubt(self, d1: EmbeddedD1, fake_time: FakeTime) -> None:
        """A statement that could not even be sent has not taken effect; in the end the error says so too."""
        with Forwarder(d1.url) as forwarder:
            env = d1.settings() | {"CLOUDFLARE_API_BASE_URL": forwarder.url}
            database = Database(d1_settings(env), fake_time.retrying(attempts=2))
            database.resolve()
            forwarder.shut()
            error = refusal_of(lambda: database.run("SELECT 1", doing="asking"))
        assert (error.retry, error.ambiguous, fake_time.pauses) == (Retry.SOON, False, [1.0])

    def test_doubt_outlasts_a_clear_refusal(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """An answer lost before a refusal came leaves the error in doubt: it may have been done."""
        script(httpserver, as_response("", 503), as_response(refused(10000, "Authentication error"), 401))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        error = refusal_of(lambda: database.run("INSERT", doing="inserting"))
        assert (error.retry, error.ambiguous) == (Retry.NEVER, True)

    def test_a_statement_that_lost_its_answer_is_sent_again(
        self, d1: EmbeddedD1, fake_time: FakeTime
    ) -> None:
        """A connection that drops after the effect leads to a second try, and to no second effect."""
        create = "CREATE TABLE IF NOT EXISTS t (a UNIQUE)"
        insert = "INSERT INTO t VALUES (?1) ON CONFLICT DO NOTHING"
        with Forwarder(d1.url) as forwarder:
            forwarder.fail("after", insert)
            env = d1.settings() | {"CLOUDFLARE_API_BASE_URL": forwarder.url}
            database = Database(d1_settings(env), fake_time.retrying())
            database.resolve()
            database.run(create, doing="creating")
            answers = [database.run(insert, "x", doing="inserting") for _ in range(2)]
        assert answers == [
            Answer([], 0, confirmed=False, seconds=answers[0].seconds),
            Answer([], 0, confirmed=True, seconds=answers[1].seconds),
        ]
        assert len(d1.statements) == 4

    def test_a_script_that_lost_its_answer_is_not_sent_again(
        self, d1: EmbeddedD1, fake_time: FakeTime
    ) -> None:
        """A script that took effect although its answer was lost is found done, and not repeated."""
        done = "SELECT count(*) FROM sqlite_master WHERE name = 't'"
        with Forwarder(d1.url) as forwarder:
            forwarder.fail("after", "CREATE TABLE")
            env = d1.settings() | {"CLOUDFLARE_API_BASE_URL": forwarder.url}
            database = Database(d1_settings(env), fake_time.retrying())
            database.resolve()
            database.run_script(
                "CREATE TABLE t (a);",
                doing="creating",
                done=lambda: bool(database.figure(done, doing="looking")),
            )
        assert [text for text in d1.statements if "CREATE" in text] == ["CREATE TABLE t (a);"]


def d1_settings(env: dict[str, str]) -> Any:
    return Settings.from_env(env, b2=False).d1


NOT_JSON: list[Any] = [
    pytest.param("", id="nothing"),
    pytest.param("<html><body>Bad gateway</body></html>", id="page"),
    pytest.param(b'{"success": true, "result": "\xff"}', id="not UTF-8"),
    pytest.param(json.dumps(answer([[1]]))[:-9], id="half"),
    pytest.param("[" * 100_000, id="endlessly deep"),
    pytest.param('{"success": true, "result": ' + "9" * 5000 + "}", id="endless number"),
]
WHOLE = statement([[1]], changes=1)
ENVELOPES: list[Any] = [
    [],
    None,
    5,
    "text",
    [answer([[1]])],
    {},
    {"success": True},
    {"result": [WHOLE]},
    envelope([WHOLE], success=None),
    envelope([WHOLE], success="true"),
    envelope([WHOLE], success=1),
    *(envelope(result) for result in (None, {}, [], "text", 7, [None], [[]], ["text"], [{}])),
]
STATEMENTS: list[dict[str, Any]] = [
    {name: value for name, value in WHOLE.items() if name != "success"},
    {name: value for name, value in WHOLE.items() if name != "meta"},
    {name: value for name, value in WHOLE.items() if name != "results"},
    *(WHOLE | {"success": success} for success in (None, "true", 1)),
    *(WHOLE | {"meta": meta} for meta in (None, [], "text", 5)),
    *(WHOLE | {"results": results} for results in (None, [], "text", {})),
    *(WHOLE | {"results": {"rows": [[1]], "columns": columns}} for columns in (None, 1, "a", {"a": 1}, [])),
    *(
        WHOLE | {"results": {"columns": ["a"], "rows": rows}}
        for rows in (None, {}, "text", 5, [None], [1], ["a"], [{"a": 1}], [[]], [[1, 2]])
    ),
    *(
        WHOLE | {"meta": {name: figure}}
        for name in ("changes", "rows_read", "rows_written")
        for figure in ("1", [1], {"a": 1}, -1, 2**63, 10**400, float("nan"), float("inf"))
    ),
]
ANSWERS = [
    *NOT_JSON,
    *(pytest.param(content, id=f"envelope {json.dumps(content)[:60]}") for content in ENVELOPES),
    *(pytest.param(envelope([each]), id=f"statement {json.dumps(each)[-70:]}") for each in STATEMENTS),
    pytest.param(envelope([WHOLE, WHOLE]), id="two answers to one statement"),
    pytest.param(envelope([]), id="no answer to one statement"),
    pytest.param(answer([[1, 2]]), id="a column too many"),
    pytest.param(answer(columns=0), id="a column too few"),
    pytest.param(answer([[1]], duration=float("nan")), id="NaN, which is no JSON"),
]


class TestForm:
    """What is believed."""

    @pytest.mark.parametrize("content", ANSWERS)
    def test_an_answer_of_another_form_is_never_taken_for_success(
        self, httpserver: HTTPServer, fake_time: FakeTime, content: Any
    ) -> None:
        """What is not D1's answer under HTTP 200 is an error with a name, in doubt, and asked for again."""
        asked = script(httpserver, as_response(content))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying(attempts=2))
        error = refusal_of(lambda: database.run("INSERT", doing="inserting", columns=1))
        assert (error.retry, error.ambiguous, len(asked)) == (Retry.SOON, True, 2)
        assert str(error).startswith("inserting: ")
        assert error.hint

    @pytest.mark.parametrize("status", [201, 202, 204, 302, 400, 404, 500, 503])
    def test_a_success_under_another_status_is_none(
        self, httpserver: HTTPServer, fake_time: FakeTime, status: int
    ) -> None:
        """D1 answers 200: the same words under any other status are not believed."""
        script(httpserver, as_response(answer([[1]]), status))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying(attempts=1))
        error = refusal_of(lambda: database.figure("SELECT 1", doing="asking"))
        assert error.message == f"D1 answered {status}"

    @pytest.mark.parametrize("rows", [[], [[1], [1]], [[None]], [["1"]], [[1.5]], [[[1]]]], ids=repr)
    def test_a_figure_is_one_whole_number(
        self, httpserver: HTTPServer, fake_time: FakeTime, rows: list[Any]
    ) -> None:
        """Where one number is asked for, anything else is an error."""
        script(httpserver, as_response(answer(rows, columns=1)))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        error = refusal_of(lambda: database.figure("SELECT count(*)", doing="counting"))
        assert str(error) == "counting: the answer is not D1's"

    @pytest.mark.parametrize(
        "rows",
        [[], [[1, 2], [1, 2]], [[1, None]], [["1", 2]], [[1, 2.0]], [[1]], [[1, 2, 3]], [[]]],
        ids=repr,
    )
    def test_figures_are_one_row_of_whole_numbers(
        self, httpserver: HTTPServer, fake_time: FakeTime, rows: list[Any]
    ) -> None:
        """Where several numbers are asked for, anything but a row of so many is an error."""
        script(httpserver, as_response(answer(rows)))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        error = refusal_of(lambda: database.figures("SELECT 1, 2", doing="counting", columns=2))
        assert error.message == "the answer is not D1's"

    def test_figures_come_in_their_order(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """A row of whole numbers is given as it came."""
        script(httpserver, as_response(answer([[2**53, 0, 7]])))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        assert database.figures("SELECT 1, 2, 3", doing="counting", columns=3) == [2**53, 0, 7]

    @pytest.mark.parametrize("result", [None, [], {}, "text", {"bookmark": None}, {"bookmark": 5}], ids=repr)
    def test_a_bookmark_is_a_text(self, httpserver: HTTPServer, fake_time: FakeTime, result: Any) -> None:
        """An answer without a bookmark is asked for again, and is an error if it stays so."""
        asked = script(httpserver, as_response(envelope(result)))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        error = refusal_of(database.bookmark)
        assert (error.doing, error.message) == ("reading the Time Travel bookmark", "the answer is not D1's")
        assert len(asked) > 1

    @pytest.mark.parametrize(
        "headers", [b"Content-Length: 900\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n384\r\n"]
    )
    def test_a_body_cut_short_is_never_taken_for_success(self, fake_time: FakeTime, headers: bytes) -> None:
        """A connection that ends before the body does is an error, even where what came is whole JSON."""
        body = json.dumps(answer([[1]])).encode()

        def cut(peer: socket.socket) -> None:
            read_request(peer)
            peer.sendall(b"HTTP/1.1 200 OK\r\n" + headers + body)

        error, requests = self.failure(cut, fake_time)
        assert (error.retry, error.ambiguous, requests) == (Retry.SOON, True, 2)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"HTTP/1.1 200", id="half a line"),
            pytest.param(b"SSH-2.0-OpenSSH_9.2p1\r\n", id="another protocol"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\nConten", id="half a head"),
            pytest.param(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n", id="a thousand headers"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\ngzip", id="no gzip"
            ),
        ],
    )
    def test_no_http_is_never_taken_for_success(self, fake_time: FakeTime, data: bytes) -> None:
        """A peer that does not speak HTTP, or stops speaking, is an error with a name."""

        def talk(peer: socket.socket) -> None:
            read_request(peer)
            peer.sendall(data)

        error, requests = self.failure(talk, fake_time)
        assert (error.retry, error.ambiguous, requests) == (Retry.SOON, True, 2)

    def test_a_broken_handshake_is_tried_again(self, fake_time: FakeTime) -> None:
        """A TLS connection that breaks is no bad certificate: it is tried again."""
        error, requests = self.failure(lambda peer: peer.recv(65536), fake_time, scheme="https")
        assert (error.retry, requests) == (Retry.SOON, 2)
        assert "certificate" not in error.hint

    def failure(
        self, talk: Callable[[socket.socket], object], fake_time: FakeTime, scheme: str = "http"
    ) -> tuple[D1Error, int]:
        with raw_server(talk) as (port, _):
            database = Database(settings(f"{scheme}://127.0.0.1:{port}"), fake_time.retrying(attempts=2))
            error = refusal_of(lambda: database.figure("SELECT 1", doing="asking"))
            return error, database.requests

    def test_a_compressed_answer_is_read(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """Cloudflare may compress an answer: it is read as if it had not."""
        packed = gzip.compress(json.dumps(answer([[7]])).encode())
        script(httpserver, as_response(packed, headers={"Content-Encoding": "gzip"}))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying())
        assert database.figure("SELECT 7", doing="") == 7

    @pytest.mark.parametrize("packed", [False, True])
    def test_an_answer_without_end_is_refused(
        self, httpserver: HTTPServer, fake_time: FakeTime, packed: bool
    ) -> None:
        """An answer larger than any of D1's is given up, and never held whole: not even unpacked."""
        body = json.dumps(answer([["x" * MAX_ANSWER_BYTES]])).encode()
        headers = {"Content-Encoding": "gzip"} if packed else {}
        asked = script(httpserver, as_response(gzip.compress(body, 1) if packed else body, headers=headers))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying(attempts=2))
        error = refusal_of(lambda: database.run("SELECT 1", doing="asking", columns=1))
        assert str(error) == "asking: the answer is not D1's (gave up after 2 attempts)"
        assert (error.ambiguous, len(asked)) == (True, 2)

    def test_an_answer_that_drips_is_given_up(self) -> None:
        """A body that comes byte by byte does not hold the run beyond its deadline."""
        stop = threading.Event()

        def drip(peer: socket.socket) -> None:
            read_request(peer)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
            for _ in range(900):
                if stop.wait(0.01):
                    return
                peer.sendall(b" ")

        began = time.monotonic()
        with raw_server(drip) as (port, _):
            retrying = Retrying(Deadline.after(0.2), attempts=1)
            database = Database(settings(f"http://127.0.0.1:{port}"), retrying)
            error = refusal_of(lambda: database.run("SELECT 1", doing="asking"))
            took = time.monotonic() - began
            stop.set()
        assert (took < 4, error.ambiguous) == (True, True)


def listed(*databases: tuple[str, str]) -> Response:
    return as_response(envelope([{"uuid": uuid, "name": name} for name, uuid in databases]))


class TestResolve:
    """Which database it is."""

    def test_the_exact_name_is_found_among_those_that_contain_it(
        self, httpserver: HTTPServer, fake_time: FakeTime
    ) -> None:
        """Cloudflare's filter finds every name that contains it: only the very name counts."""
        asked = script(
            httpserver,
            listed((f"{NAME}_staging", "a" * 36), (NAME, ID.upper()), (f"old_{NAME}", "b" * 36)),
        )
        database = Database(
            settings(httpserver.url_for(""), name=NAME, database_id=None), fake_time.retrying()
        )
        database.resolve()
        assert (database.id, database.name) == (ID, NAME)
        (request,) = asked
        assert (request.method, request.path) == ("GET", DATABASES)
        assert request.args.to_dict() == {"name": NAME, "page": "1", "per_page": "100"}
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"

    def test_the_name_is_found_on_a_later_page(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """An account with hundreds of similar names is read page by page, no further than needed."""
        near = [(f"{NAME}_{number}", "a" * 36) for number in range(200)]
        pages = [listed(*near[:100]), listed(*near[100:]), listed((NAME, ID)), listed()]
        asked = script(httpserver, *pages)
        database = Database(
            settings(httpserver.url_for(""), name=NAME, database_id=None), fake_time.retrying()
        )
        database.resolve()
        assert (database.id, [request.args["page"] for request in asked]) == (ID, ["1", "2", "3"])

    def test_a_server_that_ignores_the_page_is_asked_twice(
        self, httpserver: HTTPServer, fake_time: FakeTime
    ) -> None:
        """The same page over and over again ends the search, with the near names in the hint."""
        asked = script(httpserver, listed(("lgfc_lite_b", "b" * 36), ("a_lgfc_lite", "a" * 36)))
        database = Database(
            settings(httpserver.url_for(""), name=NAME, database_id=None), fake_time.retrying()
        )
        error = refusal_of(database.resolve)
        assert len(asked) == 2
        assert str(error) == "no database is named lgfc_lite"
        there = "There are: a_lgfc_lite, lgfc_lite_b. Or make it: wrangler d1 create lgfc_lite"
        assert error.hint == f"Compare D1_DATABASE_NAME. {there}"

    def test_no_such_name_is_an_error(self, d1: EmbeddedD1, fake_time: FakeTime) -> None:
        """A name that no database has is refused, and the hint names the setting."""
        env = d1.settings() | {"D1_DATABASE_NAME": "no_such"}
        error = refusal_of(Database(d1_settings(env), fake_time.retrying()).resolve)
        there = "There are: lgfc_lite, lgfc_lite_staging. Or make it: wrangler d1 create no_such"
        assert error.hint == f"Compare D1_DATABASE_NAME. {there}"

    def test_a_name_in_other_capitals_is_named(self, d1: EmbeddedD1, fake_time: FakeTime) -> None:
        """A name that differs by its capitals alone is named, whatever others there are."""
        env = d1.settings() | {"D1_DATABASE_NAME": "LGFC_lite"}
        error = refusal_of(Database(d1_settings(env), fake_time.retrying()).resolve)
        assert error.hint == (
            "Set D1_DATABASE_NAME to lgfc_lite: capitals count. Or make it: wrangler d1 create LGFC_lite"
        )

    @pytest.mark.parametrize(
        ("others", "there"),
        [
            pytest.param(listed(), "`wrangler d1 list` shows them.", id="an account without a database"),
            pytest.param(as_response("", 403), "`wrangler d1 list` shows them.", id="no answer"),
            pytest.param(listed(("b", "b" * 36), ("a", "a" * 36)), "There are: a, b.", id="two"),
            pytest.param(listed(("a\x1b[31m\n", "b" * 36)), r"There are: a\x1b[31m\n.", id="a hostile name"),
            pytest.param(
                listed(*((f"db{number:02}", "b" * 36) for number in range(30))),
                f"There are: {', '.join(f'db{number:02}' for number in range(20))}, and more.",
                id="thirty",
            ),
            pytest.param(listed(("x" * 900, "b" * 36)), f"There are: {'x' * 500}.", id="a long name"),
        ],
    )
    def test_the_databases_there_are_are_listed(
        self, httpserver: HTTPServer, fake_time: FakeTime, others: Response, there: str
    ) -> None:
        """Where no name contains the one that is sought, one request more lists some of the account's."""
        asked = script(httpserver, listed(), others)
        database = Database(
            settings(httpserver.url_for(""), name=NAME, database_id=None), fake_time.retrying()
        )
        error = refusal_of(database.resolve)
        assert error.hint == f"Compare D1_DATABASE_NAME. {there} Or make it: wrangler d1 create {NAME}"
        assert [request.args.to_dict() for request in asked] == [
            {"name": NAME, "page": "1", "per_page": "100"},
            {"page": "1", "per_page": "100"},
        ]

    def test_the_id_alone_needs_no_request(self, d1: EmbeddedD1, fake_time: FakeTime) -> None:
        """With the id and no name there is nothing to look up."""
        env = without_name(d1) | {"D1_DATABASE_ID": d1_id(d1).upper()}
        database = Database(d1_settings(env), fake_time.retrying())
        database.resolve()
        assert (database.id, database.name, database.requests, d1.requests) == (d1_id(d1), None, 0, [])
        assert database.figure("SELECT 5", doing="") == 5

    def test_an_unknown_id_is_told_at_the_first_statement(self, d1: EmbeddedD1, fake_time: FakeTime) -> None:
        """An id that no database of the account has is exit 4 with the setting's name."""
        database = Database(d1_settings(without_name(d1) | {"D1_DATABASE_ID": ID}), fake_time.retrying())
        database.resolve()
        error = refusal_of(lambda: database.run("SELECT 1", doing="asking"))
        assert str(error) == f"asking: D1 answered 404 7404: The database {ID} could not be found"
        assert "D1_DATABASE_ID" in error.hint

    def test_a_name_and_its_own_id_agree(self, d1: EmbeddedD1, fake_time: FakeTime) -> None:
        """The name and the id of one database may both be given."""
        env = d1.settings() | {"D1_DATABASE_ID": d1_id(d1)}
        database = Database(d1_settings(env), fake_time.retrying())
        database.resolve()
        assert (database.id, database.requests) == (d1_id(d1), 1)

    def test_a_name_and_an_id_that_differ_are_refused(self, d1: EmbeddedD1, fake_time: FakeTime) -> None:
        """A name and an id of two databases are exit 5, and no statement is sent to either."""
        env = d1.settings() | {"D1_DATABASE_ID": ID}
        with pytest.raises(GuardRefusal) as refusal:
            Database(d1_settings(env), fake_time.retrying()).resolve()
        assert refusal.value.exit_code == 5
        assert str(refusal.value) == (
            f"D1_DATABASE_NAME lgfc_lite is {d1_id(d1)}, and D1_DATABASE_ID is {ID}"
        )
        assert d1.statements == []

    @pytest.mark.parametrize(
        "result",
        [
            None,
            {},
            "text",
            5,
            [1],
            [None],
            [{}],
            [{"name": NAME}],
            [{"name": NAME, "uuid": None}],
            [{"uuid": ID}],
        ],
        ids=repr,
    )
    def test_a_list_of_another_form_is_an_error(
        self, httpserver: HTTPServer, fake_time: FakeTime, result: Any
    ) -> None:
        """A list of databases that is none is an error with a name."""
        script(httpserver, as_response(envelope(result)))
        database = Database(
            settings(httpserver.url_for(""), name=NAME, database_id=None), fake_time.retrying()
        )
        assert "lgfc_lite" in str(refusal_of(database.resolve))

    def test_a_list_of_another_form_is_asked_for_again(
        self, httpserver: HTTPServer, fake_time: FakeTime
    ) -> None:
        """What is no list of databases once may be one the next time."""
        asked = script(httpserver, as_response(envelope([{"name": NAME}])), listed((NAME, ID)))
        database = Database(
            settings(httpserver.url_for(""), name=NAME, database_id=None), fake_time.retrying()
        )
        database.resolve()
        assert (database.id, len(asked)) == (ID, 2)

    @pytest.mark.parametrize(
        ("wrong", "name"),
        [
            ({"CLOUDFLARE_API_TOKEN": "wrong"}, "CLOUDFLARE_API_TOKEN"),
            ({"CLOUDFLARE_ACCOUNT_ID": ACCOUNT}, "CLOUDFLARE_ACCOUNT_ID"),
        ],
    )
    def test_a_wrong_token_or_account_is_named(
        self, d1: EmbeddedD1, fake_time: FakeTime, wrong: dict[str, str], name: str
    ) -> None:
        """A wrong token and a wrong account are told apart, each by its setting, asked once."""
        database = Database(d1_settings(d1.settings() | wrong), fake_time.retrying())
        error = refusal_of(database.resolve)
        assert (name in error.hint, database.requests, fake_time.pauses) == (True, 1, [])


def without_name(d1: EmbeddedD1) -> dict[str, str]:
    return {name: value for name, value in d1.settings().items() if name != "D1_DATABASE_NAME"}


def d1_id(d1: EmbeddedD1) -> str:
    database = Database(d1_settings(d1.settings()))
    database.resolve()
    d1.requests.clear()
    return str(database.id)


class TestBookmark:
    """The bookmark is worth a few tries and not more."""

    def test_it_does_not_use_up_the_time_of_the_run(
        self, httpserver: HTTPServer, fake_time: FakeTime
    ) -> None:
        """A bookmark that cannot be read costs ten seconds at most, so that the run has the rest."""
        script(httpserver, as_response("", 503))
        database = Database(settings(httpserver.url_for("")), fake_time.retrying(60))
        refusal_of(database.bookmark)
        assert fake_time.now <= 1010

    def test_it_is_tried_again(self, httpserver: HTTPServer, fake_time: FakeTime) -> None:
        """A passing failure does not lose the bookmark."""
        script(httpserver, as_response("", 503), as_response(envelope({"bookmark": "b"})))
        assert Database(settings(httpserver.url_for("")), fake_time.retrying()).bookmark() == "b"
