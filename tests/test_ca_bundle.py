"""CA_BUNDLE: the certificate authorities of a company's network, trusted at every service."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import self_signed, server_context
from conftest import FakeTime
from pages import APP_KEY, BUCKET, KEY_ID, REGION, page
from pytest_httpserver import HTTPServer
from scripted_d1 import ACCOUNT, TOKEN, answer, as_response
from test_b2_native import DESCRIBED
from werkzeug import Request, Response

from b2d1.b2.bucket import Bucket
from b2d1.b2.native import Native
from b2d1.d1.database import Database
from b2d1.doctor.configuration import settings_check, sound_parts
from b2d1.doctor.finding import Status
from b2d1.doctor.finding import run as run_checks
from b2d1.doctor.schedule import schedule_check
from b2d1.errors import B2D1Error, Retry, SettingsError
from b2d1.inventory import snapshot
from b2d1.middlebox import untrusted_certificate
from b2d1.settings import Settings
from b2d1.sync.steps import Job

SERVICES = ["D1", "B2", "B2's own API", "S3"]
AWS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "eu-central-1"}


def reply(request: Request) -> Response:
    """Answer as the service that was asked does, as far as this test needs it."""
    if request.path.endswith("/raw"):
        return as_response(answer([[1]]))
    if request.path.endswith("/b2_authorize_account"):
        return as_response(DESCRIBED)
    if request.path.startswith("/kept/"):
        return Response(status=404 if request.method == "HEAD" else 200, headers={"ETag": '"a"'})
    if request.headers.get("X-Amz-Target", "").endswith("ListRules"):
        return as_response({"Rules": []})
    return Response(page([]), content_type="application/xml")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make the certificate of the proxy, which is its authority, too."""
    return self_signed(tmp_path)


@pytest.fixture
def proxy(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve all services over TLS, as a proxy that inspects it; give the address."""
    with HTTPServer(host="localhost", ssl_context=server_context(certificate)) as server:
        server.expect_request(re.compile(".*")).respond_with_handler(reply)
        url = server.url_for("").rstrip("/")
        for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.delenv(name, raising=False)
        for name, text in (AWS | {"AWS_ENDPOINT_URL": url, "AWS_CONFIG_FILE": "/dev/null"}).items():
            monkeypatch.setenv(name, text)
        yield url


def settings_of(url: str, **more: str) -> Settings:
    """Read settings by which everything is asked at one address."""
    env = {"B2_KEY_ID": KEY_ID, "B2_APP_KEY": APP_KEY, "B2_BUCKET": BUCKET, "B2_REGION": REGION}
    env |= {"B2_ENDPOINT": url, "B2_NATIVE_URL": url, "CLOUDFLARE_API_BASE_URL": f"{url}/client/v4"}
    env |= {
        "CLOUDFLARE_API_TOKEN": TOKEN,
        "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
        "SNAPSHOT_URI": "s3://kept/a.json",
    }
    return Settings.from_env(env | {"D1_DATABASE_ID": "11111111-2222-3333-4444-555555555555"} | more)


def calls(settings: Settings, time: FakeTime, folder: Path) -> dict[str, Callable[[], object]]:
    """Make a request of each service, with what the settings say."""
    assert settings.b2
    assert settings.d1
    b2, d1, job, retrying = settings.b2, settings.d1, Job.of(settings), time.retrying()
    document = folder / "inventory.json"
    document.write_bytes(b"{}")
    return {
        "D1": lambda: Database(d1, retrying).run("SELECT 1", doing="asking"),
        "B2": lambda: Bucket(b2, retrying).page({}),
        "B2's own API": lambda: Native(b2, retrying).authorize(),
        "S3": lambda: snapshot.keep(
            document, "0" * 64, 0, str(job.snapshot_uri), retrying, ca_bundle=job.ca_bundle
        ),
    }


@pytest.mark.parametrize("service", SERVICES)
def test_the_bundle_is_trusted(
    proxy: str, certificate: Path, fake_time: FakeTime, tmp_path: Path, service: str
) -> None:
    """With CA_BUNDLE each service is reached through the proxy, whose certificate it vouches for."""
    settings = settings_of(proxy, CA_BUNDLE=str(certificate))

    assert calls(settings, fake_time, tmp_path)[service]()
    assert fake_time.pauses == []


@pytest.mark.parametrize("service", SERVICES)
def test_without_the_bundle_the_message_names_it(
    proxy: str, fake_time: FakeTime, tmp_path: Path, service: str
) -> None:
    """A certificate that is not trusted is refused at once, in the same words at every service."""
    with pytest.raises(B2D1Error) as failure:
        calls(settings_of(proxy), fake_time, tmp_path)[service]()

    error = failure.value
    assert "shows a certificate that this machine does not trust (self-signed certificate)" in str(error)
    assert error.hint.startswith(
        "If a proxy inspects TLS on the way, CA_BUNDLE must name a PEM file with its certificate authority."
    )
    assert (error.retry, fake_time.pauses) == (Retry.NEVER, [])


def test_the_schedule_is_asked_with_the_bundle(proxy: str, certificate: Path) -> None:
    """EventBridge, too: with the bundle it answers, without it the line names CA_BUNDLE."""
    (trusted,) = run_checks([schedule_check("b2d1", str(certificate))])
    (not_trusted,) = run_checks([schedule_check("b2d1")])

    assert trusted.found.startswith("no stack b2d1 with a rule")
    assert "CA_BUNDLE must name a PEM file" in not_trusted.found
    assert not_trusted.status is Status.NOT_CHECKED


def test_another_bundle_is_trusted_alone(
    proxy: str, fake_time: FakeTime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    """CA_BUNDLE counts instead of what other programs read, for S3 as well."""
    (tmp_path / "other").mkdir()
    other = self_signed(tmp_path / "other", host="other.example")
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(certificate))

    for call in calls(settings_of(proxy, CA_BUNDLE=str(other)), fake_time, tmp_path).values():
        with pytest.raises(B2D1Error, match="does not trust"):
            call()


@pytest.mark.parametrize(
    ("make", "reason", "hint"),
    [
        pytest.param({"since": -3, "until": -2}, "certificate has expired", "machine's clock", id="expired"),
        pytest.param(
            {"since": 2, "until": 3}, "certificate is not yet valid", "machine's clock", id="too new"
        ),
        pytest.param(
            {"host": "other.example"}, "hostname mismatch", "another host's: compare B2_ENDPOINT", id="host"
        ),
    ],
)
def test_another_fault_of_a_certificate_is_not_a_proxys(
    fake_time: FakeTime, tmp_path: Path, make: dict[str, int | str], reason: str, hint: str
) -> None:
    """A certificate that CA_BUNDLE vouches for can be out of date, or another host's."""
    certificate = self_signed(tmp_path, **make)  # type: ignore[arg-type]
    with HTTPServer(host="localhost", ssl_context=server_context(certificate)) as server:
        settings = settings_of(server.url_for("").rstrip("/"), CA_BUNDLE=str(certificate))
        with pytest.raises(B2D1Error, match=reason) as failure:
            calls(settings, fake_time, tmp_path)["B2"]()

    assert hint in failure.value.hint
    assert "CA_BUNDLE" not in failure.value.hint


def test_a_connection_that_breaks_is_no_certificate() -> None:
    """What else goes wrong with TLS is not blamed on a certificate."""
    assert (
        untrusted_certificate(OSError("[SSL] unexpected eof while reading"), "https://x", "B2_ENDPOINT")
        is None
    )


# The setting


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(None, "names a file that cannot be read: No such file or directory", id="missing"),
        pytest.param(b"", "names a file without a certificate in PEM form", id="empty"),
        pytest.param(b"s3cret", "names a file without a certificate in PEM form", id="text"),
        pytest.param(b"\x30\x82\x01", "names a file without a certificate in PEM form", id="DER"),
        pytest.param(
            b"-----BEGIN CERTIFICATE-----\ns3cret\n-----END CERTIFICATE-----\n",
            "names a file without a certificate in PEM form",
            id="broken",
        ),
    ],
)
def test_a_bundle_that_cannot_be_used_is_a_problem(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    """The problem says what is wrong with the file, and shows neither its path nor its content."""
    path = tmp_path / "s3cret.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SettingsError) as failure:
        Settings.from_env({"CA_BUNDLE": str(path)}, b2=False, d1=False)

    assert failure.value.problems == [f"CA_BUNDLE {problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "-----BEGIN CERTIFICATE-----\ns3cret\n-----END CERTIFICATE-----",
            "holds a certificate: put it into a file, and give the file's path",
            id="its content",
        ),
        pytest.param("a\0b", "is not a file's path", id="NUL"),
        pytest.param(" /a.pem", "begins or ends with white space: enter it again", id="blank"),
        pytest.param("x" * 300, "names a file that cannot be read: File name too long", id="long"),
        pytest.param("/dev", "names a file that cannot be read: Is a directory", id="folder"),
    ],
)
def test_a_text_that_is_no_path_is_a_problem(text: str, problem: str) -> None:
    """What was set instead of a path is named for what it is."""
    with pytest.raises(SettingsError) as failure:
        Settings.from_env({"CA_BUNDLE": text}, b2=False, d1=False)

    assert failure.value.problems == [f"CA_BUNDLE {problem}"]


def test_the_home_folder_is_meant(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` in a file of settings reaches b2d1 as it is."""
    monkeypatch.setenv("HOME", str(certificate.parent))

    settings = Settings.from_env({"CA_BUNDLE": f"~/{certificate.name}"}, b2=False, d1=False)

    assert settings.ca_bundle == str(certificate)


def test_doctor_says_which_variables_do_not_count(certificate: Path) -> None:
    """The variables of other programs are named, with the setting to use, unless it is set."""
    others = {"REQUESTS_CA_BUNDLE": "a", "SSL_CERT_FILE": "b", "AWS_CA_BUNDLE": "c"}

    lines = list(run_checks([settings_check(others)]))
    with_ours = list(run_checks([settings_check(others | {"CA_BUNDLE": str(certificate)})]))

    told = "REQUESTS_CA_BUNDLE, SSL_CERT_FILE, AWS_CA_BUNDLE has no effect at B2 and Cloudflare"
    assert [line.found for line in lines if line.status is Status.OK] == [
        f"{told}: CA_BUNDLE is the setting for that"
    ]
    assert [line for line in with_ours if line.status is Status.OK] == []


def test_doctor_gives_the_bundle_to_every_check(certificate: Path) -> None:
    """Each part of the settings that the doctor reads by itself has it."""
    env = {"CA_BUNDLE": str(certificate), "B2_KEY_ID": "a", "B2_APP_KEY": "b", "B2_BUCKET": "photos"}
    env |= {"B2_ENDPOINT": "s3.us-west-004.backblazeb2.com"}
    env |= {"CLOUDFLARE_API_TOKEN": TOKEN, "CLOUDFLARE_ACCOUNT_ID": ACCOUNT}

    sound = sound_parts(env)

    parts = (sound.key, sound.b2, sound.d1, sound)
    assert [part and part.ca_bundle for part in parts] == [str(certificate)] * 4
