"""An address of this machine at which nothing listens has a hint of its own."""

import math
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import FakeTime
from scripted_d1 import settings as d1_settings

from b2d1.b2.bucket import Bucket
from b2d1.b2.native import Native
from b2d1.d1.database import Database
from b2d1.errors import B2D1Error, Retry
from b2d1.inventory import snapshot
from b2d1.loopback import NOTHING_LISTENS, PATIENCE, Silence, interpret_silence
from b2d1.setting_values import Secret
from b2d1.settings import B2Settings

REFUSED = NOTHING_LISTENS.format("B2_ENDPOINT")


def refusal(wrapped_in: type[Exception] = OSError) -> Exception:
    """Be refused by a port that nothing listens at; return the error, wrapped as clients do."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    try:
        try:
            socket.create_connection(address)
        except OSError as refused:
            raise wrapped_in from refused
    except wrapped_in as failure:
        return failure
    raise AssertionError


@pytest.mark.parametrize(
    ("url", "failure", "hint"),
    [
        pytest.param("http://127.0.0.1:8080", refusal(), REFUSED, id="loopback"),
        pytest.param("http://[::1]:8080/client/v4", refusal(), REFUSED, id="loopback, IPv6"),
        pytest.param("http://localhost", refusal(ValueError), REFUSED, id="localhost, wrapped"),
        pytest.param("https://api.cloudflare.com", refusal(), "otherwise", id="elsewhere"),
        pytest.param("http://127.0.0.1:8080", TimeoutError(), "otherwise", id="silent"),
    ],
)
def test_nothing_listens_where_this_machine_refuses(url: str, failure: Exception, hint: str) -> None:
    """A refused connection to this machine names setting and sandbox; other silence keeps its own hint."""
    patience = PATIENCE if hint == REFUSED else math.inf
    assert interpret_silence(url, "B2_ENDPOINT", failure, "otherwise") == Silence(hint, patience)


def closed_port() -> str:
    """Find a port of this machine that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def calls(fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Callable[[], object]]:
    """Make a request of each service, where nothing listens."""
    url, retrying = closed_port(), fake_time.retrying()
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "eu-central-1"}
    for name, text in (keys | {"AWS_ENDPOINT_URL_S3": url, "AWS_CONFIG_FILE": os.devnull}).items():
        monkeypatch.setenv(name, text)
    document = tmp_path / "inventory.json"
    document.write_bytes(b"{}")
    b2 = B2Settings(Secret("a"), Secret("b"), url, "us-west-004", "photos", native_url=url)
    return [
        lambda: Database(d1_settings(url), retrying).run("SELECT 1", doing="asking"),
        lambda: Bucket(b2, retrying).page({}),
        lambda: Native(b2, retrying).authorize(),
        lambda: snapshot.keep(document, "0" * 64, 0, "s3://kept/a.json", retrying),
    ]


@pytest.mark.parametrize("service", range(4), ids=["D1", "B2", "B2's own API", "S3"])
def test_where_nothing_listens_it_is_said_after_three_seconds(
    fake_time: FakeTime, calls: list[Callable[[], object]], service: int
) -> None:
    """The settings of yesterday's sandbox cost a few attempts, and not those of a service that is away."""
    with pytest.raises(B2D1Error) as failure:
        calls[service]()

    assert failure.value.hint.startswith("Nothing listens there")
    assert str(failure.value).endswith("(gave up after 3 attempts)")
    assert (fake_time.pauses, sum(fake_time.pauses)) == ([1.0, 2.0], PATIENCE)


def refused(patience: float = PATIENCE) -> B2D1Error:
    error = B2D1Error("no answer", retry=Retry.SOON)
    error.patience = patience
    return error


def test_a_server_that_restarts_costs_no_run(fake_time: FakeTime) -> None:
    """A connection that is refused once or twice is tried again."""
    outcomes = iter([refused(), refused()])

    def attempt() -> str:
        if error := next(outcomes, None):
            raise error
        return "done"

    assert (fake_time.retrying().call(attempt), fake_time.pauses) == ("done", [1.0, 2.0])


def test_only_refusals_in_a_row_use_the_patience_up(fake_time: FakeTime) -> None:
    """A server that answered meanwhile is there: what it answers is tried again as long as ever."""
    outcomes = iter([refused(), refused(math.inf), refused(), refused(math.inf), refused()])

    def attempt() -> str:
        if error := next(outcomes, None):
            raise error
        return "done"

    assert fake_time.retrying().call(attempt) == "done"
    assert fake_time.pauses == [1.0, 2.0, 3.0, 8.0, 3.0]
