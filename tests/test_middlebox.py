"""A firewall, a proxy or a network's login that answers in a service's place is named."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import FakeTime
from pages import APP_KEY, BUCKET, KEY_ID, REGION
from pytest_httpserver import HTTPServer
from scripted_d1 import settings as d1_settings
from werkzeug import Response

from b2d1.b2.bucket import Bucket
from b2d1.b2.native import Native
from b2d1.d1.database import Database
from b2d1.errors import B2D1Error, D1Error, Retry
from b2d1.inventory import snapshot
from b2d1.middlebox import foreign_answer, is_web_page
from b2d1.retry import Retrying
from b2d1.setting_values import Secret
from b2d1.settings import B2Settings
from b2d1.table.media_assets import MediaAssets

RAY = "8c1f6a2b3d4e5f60"
# As Cloudflare writes it: https://github.com/cloudflare/workers-sdk/pull/13574
BLOCKED = f"""<!DOCTYPE html><html lang="en-US"><head><title>Attention Required! | Cloudflare</title></head>
<body><h1>Sorry, you have been blocked</h1>
<span class="cf-footer-item">Cloudflare Ray ID: <strong class="font-semibold">{RAY}</strong></span>
</body></html>"""
PORTAL = "<html><body>Log in to this network</body></html>"
SERVICES = ["Cloudflare's API", "B2", "B2's API", "S3"]


def page(body: str, status: int, **headers: str) -> Response:
    return Response(
        body, status, {name.replace("_", "-"): text for name, text in headers.items()}, None, "text/html"
    )


def b2_settings(url: str) -> B2Settings:
    return B2Settings(Secret(KEY_ID), Secret(APP_KEY), url, REGION, BUCKET, native_url=url)


@pytest.fixture
def calls(
    httpserver: HTTPServer, fake_time: FakeTime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Callable[[], object]]:
    """Make a request of each service, all of them at one server, on the fake clock."""
    url, retrying = httpserver.url_for("").rstrip("/"), fake_time.retrying()
    for name, text in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, text)
    document = tmp_path / "inventory.json"
    document.write_bytes(b"{}")
    return {
        "Cloudflare's API": lambda: Database(d1_settings(url), retrying).run("SELECT 1", doing="asking"),
        "B2": lambda: Bucket(b2_settings(url), retrying).page({}),
        "B2's API": lambda: Native(b2_settings(url), retrying).authorize(),
        "S3": lambda: snapshot.keep(document, "0" * 64, 0, "s3://kept/a.json", retrying),
    }


def answer_with(server: HTTPServer, response: Response) -> None:
    server.expect_request(re.compile(".*")).respond_with_response(response)


def failure_of(call: Callable[[], object]) -> B2D1Error:
    with pytest.raises(B2D1Error) as failure:
        call()
    return failure.value


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("status", [401, 403, 406, 429, 451, 503])
def test_a_page_of_a_firewall_is_not_taken_for_the_service(
    httpserver: HTTPServer,
    fake_time: FakeTime,
    calls: dict[str, Callable[[], object]],
    service: str,
    status: int,
) -> None:
    """The message says who answered, with the Ray ID; the hint names no key or token."""
    answer_with(httpserver, page(BLOCKED, status, CF_Ray=f"{RAY}-FRA"))

    error = failure_of(calls[service])

    assert f"not from {service} but from a firewall or proxy (HTTP {status}, Ray ID {RAY}-FRA)" in str(error)
    assert f"between this machine and {service}" in error.hint
    assert "TOKEN" not in error.hint
    assert "key" not in error.hint.lower()
    assert len(fake_time.pauses) == (7 if status in {429, 503} else 0)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(("status", "asks"), [(407, "a proxy asks for a login"), (511, "this network asks")])
def test_a_login_on_the_way_is_named_at_once(
    httpserver: HTTPServer,
    fake_time: FakeTime,
    calls: dict[str, Callable[[], object]],
    *,
    service: str,
    status: int,
    asks: str,
) -> None:
    """A proxy's or a network's own login does not go away by trying again."""
    answer_with(httpserver, page(PORTAL, status))

    error = failure_of(calls[service])

    assert asks in str(error)
    assert error.hint.startswith("Log in to the network")
    assert (error.retry, fake_time.pauses) == (Retry.NEVER, [])


@pytest.mark.parametrize(
    ("service", "setting"),
    [("Cloudflare's API", "CLOUDFLARE_API_BASE_URL"), ("B2", "B2_ENDPOINT")],
)
def test_a_login_page_under_200_is_named(
    httpserver: HTTPServer, calls: dict[str, Callable[[], object]], service: str, setting: str
) -> None:
    """The login page of a hotel is a web page, and no answer."""
    answer_with(httpserver, page(PORTAL, 200))

    error = failure_of(calls[service])

    assert "a web page" in str(error)
    assert "log in to this network in a browser" in error.hint
    assert setting in error.hint


@pytest.mark.parametrize(
    ("body", "headers", "ray"),
    [
        pytest.param(BLOCKED, {}, f", Ray ID {RAY}", id="in the page"),
        pytest.param(
            BLOCKED, {"cf-ray": "0000000000000000-AMS"}, ", Ray ID 0000000000000000-AMS", id="header"
        ),
        pytest.param(PORTAL, {}, "", id="none"),
        pytest.param(PORTAL, {"cf-ray": "\x1b[31mred"}, "", id="not a Ray ID"),
        pytest.param(f"{PORTAL}Ray ID: {'<b>' * 50}{RAY}", {}, "", id="far off"),
        pytest.param("error code: 1020", {"cf-ray": f"{RAY}-FRA"}, f", Ray ID {RAY}-FRA", id="plain text"),
        pytest.param('{"message": "Forbidden"}', {}, "", id="JSON of a proxy"),
        pytest.param("", {}, "", id="nothing"),
    ],
)
def test_a_ray_id_is_shown_where_there_is_one(
    httpserver: HTTPServer, fake_time: FakeTime, body: str, headers: dict[str, str], ray: str
) -> None:
    """It is taken from the header or the page, and only in Cloudflare's own form."""
    answer_with(httpserver, Response(body, 403, None, None, "text/plain"))
    given = foreign_answer("Cloudflare's API", 403, headers, body.encode(), page=True)
    error = failure_of(
        lambda: Database(d1_settings(httpserver.url_for("")), fake_time.retrying()).run("", doing="")
    )

    assert given
    assert given.message.endswith(f"from a firewall or proxy (HTTP 403{ray})")
    assert "from a firewall or proxy (HTTP 403" in str(error)


def test_an_insert_that_a_firewall_answers_is_in_doubt(httpserver: HTTPServer) -> None:
    """A firewall may have blocked the answer instead of the request: nobody knows whether the rows are in."""
    answer_with(httpserver, page(BLOCKED, 403, CF_Ray=f"{RAY}-FRA"))
    table = MediaAssets(
        Database(d1_settings(httpserver.url_for("")), Retrying(attempts=1)), Retrying(attempts=1)
    )

    error = failure_of(lambda: table.insert("[]"))

    assert isinstance(error, D1Error)
    assert error.ambiguous
    assert str(error).endswith(f"Ray ID {RAY}-FRA); whether the rows are in is unknown")
    assert error.hint.endswith("Run again: it inserts only what is missing.")


@pytest.mark.parametrize("status", [400, 404, 413, 500, 502, 504, 520, 530])
def test_other_pages_keep_what_their_status_says(status: int) -> None:
    """A service's own front answers these with a page, too: they do not show a firewall."""
    assert foreign_answer("B2", status, {"content-type": "text/html"}, page=True) is None


@pytest.mark.parametrize(
    ("headers", "body", "page"),
    [
        ({"content-type": "text/html; charset=UTF-8"}, b"", True),
        ({"Content-Type": "application/xml"}, b"<?xml version='1.0'?><Error/>", False),
        ({}, b"  \n<!doctype HTML>", True),
        ({}, b"<html>", True),
        ({}, b"<htmlish>", False),
        ({}, b'{"success": false}', False),
        ({}, b"", False),
    ],
)
def test_html_is_told_by_its_type_or_its_beginning(
    headers: dict[str, str], body: bytes, *, page: bool
) -> None:
    """Either is enough."""
    assert is_web_page(headers, body) is page
