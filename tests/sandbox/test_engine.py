"""Cloudflare's own engine behind the account's paths: how it is started and ended, found and read."""

import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.background import Background, NotReady
from sandbox.cloudflare import CloudflareD1
from sandbox.d1 import EmbeddedD1
from sandbox.wrangler import Wrangler, WranglerFailed, databases

DATABASE_ID = "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39"
RAW = f"/{DATABASE_ID}/raw"
ROOT = Path(__file__).parents[2]


class Api:
    """A client as plain as can be: it sends what it is told, and judges nothing."""

    def __init__(self, d1: EmbeddedD1 | CloudflareD1) -> None:
        settings = d1.settings()
        self.account = f"{d1.url}/accounts/{settings['CLOUDFLARE_ACCOUNT_ID']}/d1/database"
        self.headers = {"Authorization": f"Bearer {settings['CLOUDFLARE_API_TOKEN']}"}

    def get(self, path: str = "") -> tuple[int, Any]:
        answer = requests.get(self.account + path, headers=self.headers, timeout=60)
        return answer.status_code, answer.json()

    def post(self, path: str, sql: str, *params: str) -> tuple[int, Any]:
        body = {"sql": sql} | ({"params": params} if params else {})
        answer = requests.post(self.account + path, json=body, headers=self.headers, timeout=60)
        return answer.status_code, answer.json()

    def rows(self, sql: str, *params: str) -> Any:
        status, answer = self.post(RAW, sql, *params)
        assert status == 200, answer
        return answer["result"][-1]["results"]["rows"]

    def bookmark(self) -> str:
        bookmark: str = self.get(f"/{DATABASE_ID}/time_travel/bookmark")[1]["result"]["bookmark"]
        return bookmark


@pytest.fixture
def engine(wrangler: Callable[[], CloudflareD1]) -> Iterator[CloudflareD1]:
    """Provide an empty database on Cloudflare's own engine."""
    with wrangler() as d1:
        yield d1


@pytest.fixture
def api(engine: CloudflareD1) -> Api:
    """Provide a client of an empty database."""
    return Api(engine)


class TestAccount:
    """Production's paths, before either engine."""

    @pytest.mark.parametrize(
        "path",
        [
            *(
                "",
                "?name=lgfc_lite",
                "?name=staging",
                "?name=LGFC",
                "?per_page=1&page=2",
                "?per_page=1&page=3",
            ),
            *(
                f"/{DATABASE_ID}",
                "/lgfc_lite",
                "/lgfc_lite?fields=uuid,name",
                "/lgfc_lite_staging",
                "/nowhere",
            ),
            *(RAW, "/nowhere/raw", "/nowhere/time_travel/bookmark", f"/{DATABASE_ID}/unknown", "/a/b/c"),
        ],
    )
    def test_it_is_found_as_the_embedded_one_is(self, api: Api, tmp_path: Path, path: str) -> None:
        """Lists, descriptions and refusals are the same to the letter; wrangler's own names are not seen."""
        with EmbeddedD1(tmp_path / "d1.sqlite3") as embedded:
            assert api.get(path) == Api(embedded).get(path)

    @pytest.mark.parametrize(
        ("token", "account", "expected"),
        [
            pytest.param("wrong", None, (401, 10000), id="another token"),
            pytest.param(None, "0" * 32, (403, 7403), id="another account"),
        ],
    )
    def test_nobody_else_is_let_in(
        self, engine: CloudflareD1, token: str | None, account: str | None, expected: tuple[int, int]
    ) -> None:
        """A wrong token or account is refused with production's codes, and no statement is run."""
        api = Api(engine)
        if token:
            api.headers = {"Authorization": f"Bearer {token}"}
        if account:
            api.account = f"{engine.url}/accounts/{account}/d1/database"
        status, answer = api.post(RAW, "CREATE TABLE t (a)")
        assert ((status, answer["errors"][0]["code"]), engine.statements) == (expected, [])

    def test_the_settings_are_those_of_the_embedded_one(self, engine: CloudflareD1, tmp_path: Path) -> None:
        """Whoever has the settings of one needs nothing but another address for the other."""
        with EmbeddedD1(tmp_path / "d1.sqlite3") as embedded:
            expected = embedded.settings() | {"CLOUDFLARE_API_BASE_URL": engine.url}
        assert engine.settings() == expected

    def test_each_request_and_statement_is_recorded(self, engine: CloudflareD1, api: Api) -> None:
        """`requests` and `statements` tell in order what was asked, failures included."""
        for sql in ("SELECT 1; SELECT 2", "nonsense", "-- why\nSELECT 3;"):
            api.post(RAW, sql)
        api.get()
        path = f"/client/v4/accounts/{engine.settings()['CLOUDFLARE_ACCOUNT_ID']}/d1/database"
        assert engine.requests == [f"POST {path}{RAW}"] * 3 + [f"GET {path}"]
        assert engine.statements == ["SELECT 1;", "SELECT 2", "nonsense", "-- why\nSELECT 3;"]

    def test_query_gives_rows_as_objects(self, api: Api) -> None:
        """`/query` answers each statement with a list of objects."""
        status, answer = api.post(f"/{DATABASE_ID}/query", "SELECT 1 AS a, 'x' AS b; SELECT 1 WHERE false")
        assert (status, [item["results"] for item in answer["result"]]) == (200, [[{"a": 1, "b": "x"}], []])

    def test_the_namesake_is_another_database(self, api: Api) -> None:
        """What one database holds, the other does not."""
        api.rows("CREATE TABLE t (a)")
        namesake = api.get()[1]["result"][0]["uuid"]
        status, answer = api.post(f"/{namesake}/raw", "SELECT * FROM t")
        assert (status, answer["errors"][0]["message"]) == (400, "no such table: t: SQLITE_ERROR")

    def test_bodies_and_answers_may_be_large(self, api: Api) -> None:
        """3 MB in, and 3 MB out, arrive whole."""
        texts = [f"{number:06}".ljust(100, "é") for number in range(15_000)]
        values = api.rows("SELECT value FROM json_each(?1)", json.dumps(texts, ensure_ascii=False))
        assert values == [[text] for text in texts]

    def test_clients_at_the_same_time_do_not_disturb_each_other(self, api: Api) -> None:
        """Each client has the answer to its own question, and every row of every one is there."""
        api.rows("CREATE TABLE t (a)")
        told: list[Any] = []

        def add(number: int) -> None:
            insert = "INSERT INTO t VALUES (?) RETURNING a"
            told.extend((number, api.rows(insert, str(number))) for _ in range(5))

        threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(told) == [(number, [[str(number)]]) for number in range(8) for _ in range(5)]
        assert api.rows("SELECT count(*), count(DISTINCT a) FROM t") == [[40, 8]]


class TestBookmark:
    """How a state of the database is named."""

    def test_it_changes_with_the_database_and_only_then(self, engine: CloudflareD1, api: Api) -> None:
        """Reading and what fails leave the bookmark; each write, also past the API, gives a new one."""
        api.rows("CREATE TABLE t (a UNIQUE)")
        first = api.bookmark()
        api.rows("SELECT * FROM sqlite_master")
        api.rows("""SELECT '"changed_db":true,"rows_written":1'""")
        api.rows("DELETE FROM t")
        api.post(RAW, "INSERT INTO t VALUES (1), (1)")
        assert api.bookmark() == first
        api.rows("INSERT INTO t VALUES (1)")
        second = api.bookmark()
        with closing(engine.connect()) as connection:
            connection.executescript("INSERT INTO t VALUES (2)")
        third = api.bookmark()
        api.rows("CREATE VIEW v AS SELECT 1")  # no change, as D1 counts them, but rows written
        assert first < second < third < api.bookmark()
        assert re.fullmatch(r"([0-9a-f]{8}-){3}[0-9a-f]{32}", second)


class TestConnection:
    """What a test reads and writes past the API."""

    def test_it_is_the_same_database(self, engine: CloudflareD1, api: Api) -> None:
        """What is written there is here, the other way round, and none of it is recorded."""
        with closing(engine.connect()) as connection, connection:
            connection.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
            api.rows("INSERT INTO t VALUES (2)")
            assert connection.execute("SELECT a FROM t ORDER BY a").fetchall() == [(1,), (2,)]
            assert connection.execute("SELECT a FROM t WHERE a = CAST(? AS INTEGER)", ["2"]).fetchone() == (
                2,
            )
            assert connection.execute("SELECT a FROM t WHERE a = 3").fetchone() is None
        assert engine.statements == ["INSERT INTO t VALUES (2)"]

    def test_values_are_as_sqlite_has_them(self, engine: CloudflareD1) -> None:
        """NULL, texts and integers of 64 bits go in and come out exactly, in their order, however many."""
        rows = [(2**63 - 1, "é\0🎞", None), (-(2**63), "", "x"), (2**53 + 1, "'", "1"), (0, None, "2")] * 2000
        with closing(engine.connect()) as connection:
            connection.executescript("CREATE TABLE t (a INTEGER, b TEXT, c)")
            connection.executemany("INSERT INTO t (a, b, c) VALUES (?, ?, ?)", rows)
            assert connection.execute("SELECT a, b, c FROM t ORDER BY rowid").fetchall() == rows

    def test_it_fails_as_sqlite_does(self, engine: CloudflareD1) -> None:
        """A violated constraint and a wrong statement raise what sqlite3 raises, and write nothing."""
        with closing(engine.connect()) as connection:
            connection.executescript("CREATE TABLE t (a UNIQUE)")
            with pytest.raises(sqlite3.IntegrityError, match="UNIQUE constraint failed"):
                connection.executescript("INSERT INTO t VALUES (1), (2); INSERT INTO t VALUES (1)")
            with pytest.raises(sqlite3.OperationalError, match="no such column: b"):
                connection.execute("SELECT b FROM t")
            with pytest.raises(NotImplementedError):
                connection.executemany("UPDATE t SET a = ?", [(1,)])
            assert connection.execute("SELECT * FROM t").fetchall() == []


@pytest.mark.slow
class TestWrangler:
    """How the engine is started and ended."""

    def test_what_its_databases_hold_stays_in_the_folder(self, tmp_path: Path) -> None:
        """Started again in the same folder it has its rows; stopped, it answers no more."""
        first, second = databases(2)
        with Wrangler(tmp_path, [first, second]) as wrangler, CloudflareD1(wrangler, second) as d1:
            Api(d1).rows("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
            url = wrangler.url
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=10)
        with Wrangler(tmp_path, [second]) as wrangler, CloudflareD1(wrangler) as d1:
            assert Api(d1).rows("SELECT a FROM t") == [[1]]

    def test_a_start_that_fails_shows_what_wrangler_said(self, tmp_path: Path) -> None:
        """An error of wrangler's is not waited out but shown."""
        wrangler = Wrangler(tmp_path, databases(1))
        (tmp_path / "wrangler.json").write_text("{ nonsense")
        with pytest.raises(WranglerFailed, match=r"did not start; it said:\n(.|\n)*wrangler\.json"), wrangler:
            pass

    def test_a_start_that_takes_too_long_is_given_up(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A wrangler that says nothing for so long is ended, and the error says so."""
        monkeypatch.setattr(Wrangler, "start_seconds", 0.001)
        with pytest.raises(WranglerFailed, match="did not start; it said"), Wrangler(tmp_path, databases(1)):
            pass

    def test_a_command_that_fails_shows_what_wrangler_said(self, tmp_path: Path) -> None:
        """A command's own words are in the error, and so is the command."""
        wrangler = Wrangler(tmp_path, databases(1))
        with pytest.raises(
            WranglerFailed, match=r"^wrangler d1 execute x .* ended with 1:\n(.|\n)*missing\.sql"
        ):
            wrangler.execute_file("x", tmp_path / "missing.sql")

    def test_settings_of_whoever_runs_it_do_not_reach_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither a token nor a proxy nor a home folder changes what wrangler does, or gets written to."""
        home = tmp_path / "home"
        home.mkdir()
        for name in ("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ENV", "HTTPS_PROXY", "http_proxy", "WRANGLER_LOG"):
            monkeypatch.setenv(name, "http://nowhere.invalid:1")
        for name in ("HOME", "XDG_CONFIG_HOME", "TMPDIR"):
            monkeypatch.setenv(name, str(home))
        with Wrangler(tmp_path / "project", databases(1)) as wrangler, CloudflareD1(wrangler) as d1:
            assert d1.connect().execute("SELECT 1").fetchall() == [(1,)]
        assert list(home.iterdir()) == []


SERVER = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print("port", server.getsockname()[1], flush=True)
    peer = server.accept()[0]
    peer.recv(1)
"""
PARENT = """
import os, sys
from pathlib import Path
from sandbox.background import Background
program = Background([sys.executable, "-c", sys.argv[1]], Path.cwd(), os.environ)
print(program.wait_for("port ([0-9]+)", 30), flush=True)
sys.stdin.read()
"""


def is_ended(peer: socket.socket) -> bool:
    """Wait for the end of a connection: it is the end of the program that held it."""
    try:
        return peer.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.slow
class TestBackground:
    """A program that does not outlive its parent."""

    @pytest.mark.parametrize(
        "number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], ids=lambda each: each.name
    )
    def test_it_ends_with_the_one_that_started_it(self, number: signal.Signals) -> None:
        """However a process is killed, what it started in the background is gone too."""
        command = [sys.executable, "-c", PARENT, SERVER]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as parent:  # type: ignore[call-overload]
            assert parent.stdout is not None
            with socket.create_connection(("127.0.0.1", int(parent.stdout.readline())), timeout=30) as peer:
                parent.send_signal(number)
                assert is_ended(peer)

    def test_stopping_it_ends_all_that_it_started(self, tmp_path: Path) -> None:
        """`stop` returns when the program, and what that one runs, is gone."""
        command = [
            sys.executable,
            "-c",
            "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]])",
        ]
        program = Background([*command, "-c", SERVER], tmp_path, {})
        port = int(program.wait_for("port ([0-9]+)", 30))
        with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
            program.stop()
            assert is_ended(peer)

    def test_one_that_ends_is_not_waited_for(self, tmp_path: Path) -> None:
        """A program that ends without the word that is waited for is an error with what it said."""
        program = Background(["sh", "-c", "echo so much; echo for that >&2"], tmp_path, {})
        with pytest.raises(NotReady) as failure:
            program.wait_for("port ([0-9]+)", 30)
        program.stop()
        assert str(failure.value) == "so much\nfor that\n"
