"""Connections to B2 that can be cut: who waits for an answer on one of them waits no longer."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3.session
import botocore.httpsession
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from listings import new_bucket
from pages import Answer, Asked, PageServer, page

from b2d1.b2.connections import Connections
from b2d1.errors import B2Error
from b2d1.retry import Retrying

PATIENCE = 20.0


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer() as server:
        yield server


class Hanging:
    """Answers no request before the end of the `with`; `under_way` is released by each that comes."""

    def __init__(self) -> None:
        self.under_way = threading.Semaphore(0)
        self._released = threading.Event()

    def __enter__(self) -> "Hanging":  # noqa: PYI034 - nobody inherits
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()

    def __call__(self, _: Asked) -> Answer:
        self.under_way.release()
        self._released.wait(PATIENCE)
        return Answer(page([]))


def failures_of(calls: list[Callable[[], object]], then: Callable[[], object]) -> list[BaseException]:
    """Make several calls at once, do something, and tell how they failed."""
    failures: list[BaseException] = []

    def call(one: Callable[[], object]) -> None:
        try:
            one()
        except Exception as failure:  # noqa: BLE001 - whatever it is
            failures.append(failure)

    threads = [threading.Thread(target=call, args=(one,), daemon=True) for one in calls]
    for thread in threads:
        thread.start()
    then()
    for thread in threads:
        thread.join(PATIENCE / 2)
    assert [thread.is_alive() for thread in threads] == [False] * len(threads)
    return failures


def test_a_halt_ends_every_request_at_once(server: PageServer) -> None:
    """Requests that wait for an answer fail when the bucket is halted, and are not tried again."""
    with Hanging() as hanging:
        bucket = new_bucket(server, hanging, workers=3, retrying=Retrying())

        def halt() -> None:
            for _ in range(3):
                assert hanging.under_way.acquire(timeout=PATIENCE)
            bucket.halt()

        failures = failures_of([lambda: bucket.page({})] * 3, halt)

    assert [(type(failure), str(failure)) for failure in failures] == [
        (B2Error, f"listing bucket photos: no answer from {server.url} (ProtocolError)")
    ] * 3
    assert len(server.asked) == 3


def test_a_connection_that_was_used_before_is_cut_too(server: PageServer) -> None:
    """A connection that waited in the pool and is used again is one of those that are cut."""
    bucket = new_bucket(server, lambda _: Answer(page([])), workers=1)
    bucket.page({})
    with Hanging() as hanging:
        server.answer(hanging)

        def halt() -> None:
            assert hanging.under_way.acquire(timeout=PATIENCE)
            bucket.halt()

        failures = failures_of([lambda: bucket.page({})], halt)

    assert [type(failure) for failure in failures] == [B2Error]


def test_halting_where_nothing_is_under_way_does_nothing(server: PageServer) -> None:
    """A halt after a request, and twice, is no error."""
    bucket = new_bucket(server, lambda _: Answer(page([])))
    bucket.page({})
    bucket.halt()
    bucket.halt()

    assert bucket.halted


def test_connections_are_made_where_botocore_lets_us_follow_them() -> None:
    """Botocore's pools are where `Connections` replaces them, and make connections as it expects."""
    session = botocore.httpsession.URLLib3Session()

    pools = session._manager.pool_classes_by_scheme

    assert sorted(pools) == ["http", "https"]
    assert all(callable(pool._new_conn) for pool in pools.values())
    assert session._manager.connection_from_url("http://127.0.0.1:9").__class__ is pools["http"]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a certificate for this machine, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    signed = built.add_extension(host, critical=False).sign(key, hashes.SHA256())
    file = tmp_path / "certificate.pem"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(encoding, form, serialization.NoEncryption())
    file.write_bytes(private + signed.public_bytes(encoding))
    return file


def test_a_request_over_tls_is_cut_too(certificate: Path) -> None:
    """Over TLS, too, a request without an answer ends at once: without TLS's own goodbye."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    asked, done = threading.Event(), threading.Event()

    def serve() -> None:
        with suppress(OSError), context.wrap_socket(listening.accept()[0], server_side=True) as connection:
            connection.recv(1)
            asked.set()
            done.wait(PATIENCE)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve)
        serving.start()
        client: Any = boto3.session.Session().client(
            "s3",
            endpoint_url=f"https://127.0.0.1:{listening.getsockname()[1]}",
            region_name="us-west-004",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            verify=str(certificate),
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}),
        )
        connections = Connections(client._endpoint.http_session)

        def cut() -> None:
            assert asked.wait(PATIENCE)
            connections.cut()

        failures = failures_of([lambda: client.list_objects_v2(Bucket="photos")], cut)
        done.set()
        serving.join(PATIENCE)

    assert [isinstance(failure, BotoCoreError) for failure in failures] == [True]
