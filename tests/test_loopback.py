"""An address of this machine at which nothing listens has a hint of its own."""

import socket

import pytest

from b2d1.loopback import NOTHING_LISTENS, hint_of_silence

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
    assert hint_of_silence(url, "B2_ENDPOINT", failure, "otherwise") == hint
