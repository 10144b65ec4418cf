"""Neither B2_APP_KEY nor CLOUDFLARE_API_TOKEN ever shows: in no value, error, log line or traceback."""

import copy
import dataclasses
import io
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import Result
from conftest import FakeTime, Stack
from pytest_httpserver import HTTPServer

from b2d1.b2.bucket import Bucket
from b2d1.d1.database import Database
from b2d1.errors import B2D1Error, SettingsError
from b2d1.setting_values import Secret
from b2d1.settings import Settings

APP_KEY = "K004zqAppKey/0123456789+abcdefg"
TOKEN = "zqToken_0123456789-ABCDEFGHIJ"
ACCOUNT = "0123456789abcdef0123456789abcdef"
DATABASE = "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39"
# Kept here, not in a variable of a test: a traceback with variables shows those of the test as well.
ENV = {
    "B2_KEY_ID": "004zqKeyId",
    "B2_APP_KEY": APP_KEY,
    "B2_ENDPOINT": "http://127.0.0.1:1",
    "B2_REGION": "us-west-004",
    "B2_BUCKET": "photos",
    "CLOUDFLARE_API_TOKEN": TOKEN,
    "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
    "CLOUDFLARE_API_BASE_URL": "http://127.0.0.1:1",
    "D1_DATABASE_ID": DATABASE,
}


def shown_secrets(text: str) -> list[str]:
    """Name the secrets that a text shows, wholly or for the most part."""
    names = {"B2_APP_KEY": APP_KEY, "CLOUDFLARE_API_TOKEN": TOKEN}
    return [name for name, secret in names.items() if secret[:20] in text or secret[-20:] in text]


@dataclasses.dataclass
class Log:
    """Everything that b2d1 logged, as a handler that shows all it is given would write it."""

    stream: io.StringIO

    @property
    def text(self) -> str:
        """Return what was written."""
        return self.stream.getvalue()


@pytest.fixture
def log() -> Iterator[Log]:
    """Write down every record of b2d1, at any level, with the exception that comes with it."""
    log = Log(io.StringIO())
    logger = logging.getLogger("b2d1")
    handler, before = logging.StreamHandler(log.stream), (logger.level, logger.handlers)
    logger.setLevel(logging.DEBUG)
    logger.handlers = [handler]
    yield log
    logger.setLevel(before[0])
    logger.handlers = before[1]


SETTINGS = Settings.from_env(ENV)

WAYS_TO_SHOW: dict[str, Callable[[Any], str]] = {
    "repr": repr,
    "str": str,
    "format": format,
    "f-string": lambda value: f"{value} {value!s} {value!r} {value!a}",
    "percent": lambda value: "%s %r" % (value, value),  # noqa: UP031
    "list": lambda value: f"{[value]} {(value,)} { {'k': value} }",
    "pprint": pprint.pformat,
    "asdict": lambda value: repr(dataclasses.asdict(value)),
    "asdict as JSON": lambda value: json.dumps(dataclasses.asdict(value), default=str),
    "astuple": lambda value: repr(dataclasses.astuple(value)),
    "replace": lambda value: repr(dataclasses.replace(value)),
    "vars": lambda value: repr(vars(value)),
    "copy": lambda value: repr(copy.copy(value)),
    "deepcopy": lambda value: repr(copy.deepcopy(value)),
}


@pytest.mark.parametrize("part", [pytest.param(None, id="all"), "b2", "d1"])
@pytest.mark.parametrize("way", [pytest.param(way, id=name) for name, way in WAYS_TO_SHOW.items()])
def test_settings_show_no_secret(way: Callable[[Any], str], part: str | None) -> None:
    """However settings are shown, a secret is `Secret(***)`."""
    text = way(getattr(SETTINGS, part) if part else SETTINGS)

    assert shown_secrets(text) == []
    assert "Secret(***)" in text


def test_settings_still_hold_the_secrets() -> None:
    """Whoever asks for a secret by name gets it, also from a copy."""
    again = copy.deepcopy(SETTINGS)

    assert again.b2
    assert again.d1
    assert (again.b2.app_key.reveal(), again.d1.api_token.reveal()) == (APP_KEY, TOKEN)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_settings_are_not_pickled(protocol: int) -> None:
    """A secret refuses to be written down, for a queue or a cache to keep."""
    with pytest.raises(TypeError, match="a secret is not written down"):
        pickle.dumps(SETTINGS, protocol)


def test_a_secret_has_no_other_way_out() -> None:
    """A secret has no dictionary, no length and no text of its own."""
    secret = Secret(TOKEN)

    assert not hasattr(secret, "__dict__")
    assert not hasattr(secret, "__len__")
    assert not isinstance(secret, str)
    assert shown_secrets(" ".join(map(repr, dir(secret)))) == []


def test_a_secret_is_struck_out_wherever_it_stands() -> None:
    """A text from outside loses every occurrence of the secret, and nothing else."""
    assert Secret("s3cret").hide_in("s3cret: is s3crets3cret, not S3CRET") == "***: is ******, not S3CRET"


def test_logged_settings_show_no_secret(log: Log) -> None:
    """Settings given to a logger, as an argument or in the text, show no secret."""
    logger = logging.getLogger("b2d1.test")
    logger.debug("%s %r", SETTINGS, SETTINGS.b2)
    logger.error(f"{SETTINGS.d1}")  # noqa: G004

    assert log.text.count("Secret(***)") == 6
    assert shown_secrets(log.text) == []


def traceback_of(error: BaseException) -> str:
    """Write an error's traceback, its causes' and all variables but the test's own."""
    assert error.__traceback__
    below = error.__traceback__.tb_next
    told = traceback.TracebackException(type(error), error, below, capture_locals=True, compact=False)
    return "".join(told.format()) + "".join(traceback.format_exception(error))


def test_a_traceback_with_variables_shows_no_secret_of_settings() -> None:
    """Where settings are a variable of a frame that failed, their secrets stay hidden."""

    def fail(settings: Settings) -> None:
        b2, d1 = settings.b2, settings.d1
        raise RuntimeError(f"{b2} {d1}")

    with pytest.raises(RuntimeError) as raised:
        fail(SETTINGS)

    text = traceback_of(raised.value)
    assert "settings = Settings(" in text
    assert shown_secrets(text) == []


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in ENV if name != "D1_DATABASE_ID"])
@pytest.mark.parametrize("text", ["", "\tx", f" {APP_KEY}{TOKEN}"], ids=["empty", "malformed", "mixed up"])
def test_an_error_about_settings_shows_no_secret(name: str, text: str) -> None:
    """Whichever setting is missing or malformed, its error and the way it came show no secret."""
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(ENV | {name: text, "VERBOSE": "x"})

    error = raised.value
    assert shown_secrets(f"{error} {error!r} {error.hint} {error.problems}") == []
    assert shown_secrets(traceback_of(error)) == []


XML = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>'
# A server knows at most the secret of its own service.
B2_ECHO = f"the key {APP_KEY} ({APP_KEY}) may not"
D1_ECHO = f"the token {TOKEN} ({TOKEN}) may not"


def d1_errors(code: int, message: str) -> str:
    return json.dumps({"success": False, "errors": [{"code": code, "message": message}], "result": None})


B2_ANSWERS = [
    pytest.param(403, XML.format("AccessDenied", B2_ECHO), id="refusal"),
    pytest.param(403, XML.format("SignatureDoesNotMatch", B2_ECHO), id="wrong key"),
    pytest.param(403, XML.format("AccessDenied", f"Transaction cap exceeded {B2_ECHO}"), id="cap"),
    pytest.param(404, XML.format("NoSuchBucket", B2_ECHO), id="no bucket"),
    pytest.param(403, XML.format(APP_KEY, "no"), id="in the code"),
    pytest.param(418, XML.format("Teapot", "x" * 285 + B2_ECHO), id="cut off"),
    pytest.param(503, XML.format("SlowDown", B2_ECHO), id="busy"),
    pytest.param(200, XML.format("InternalError", B2_ECHO), id="an error under 200"),
    pytest.param(200, f"<html>{B2_ECHO}</html>", id="a page under 200"),
    pytest.param(500, f"<html>{B2_ECHO}</html>", id="a page under 500"),
    pytest.param(403, B2_ECHO, id="no XML"),
    pytest.param(200, f"<ListBucketResult>{B2_ECHO}", id="broken XML"),
]


@pytest.mark.parametrize(("status", "body"), B2_ANSWERS)
def test_an_error_of_b2_that_echoes_the_key_does_not_show_it(
    httpserver: HTTPServer, fake_time: FakeTime, log: Log, status: int, body: str
) -> None:
    """Whatever form B2's answer has, the key in it reaches no error, no log and no traceback."""
    httpserver.expect_request("/photos").respond_with_data(body, status, content_type="application/xml")
    settings = Settings.from_env(ENV | {"B2_ENDPOINT": httpserver.url_for("")}).b2
    assert settings

    with pytest.raises(B2D1Error) as raised:
        Bucket(settings, fake_time.retrying()).page({})

    assert_hidden(raised.value, log)


D1_ANSWERS = [
    pytest.param(401, d1_errors(10000, D1_ECHO), id="wrong token"),
    pytest.param(403, d1_errors(7403, D1_ECHO), id="wrong account"),
    pytest.param(404, d1_errors(7404, D1_ECHO), id="no database"),
    pytest.param(400, d1_errors(7500, D1_ECHO), id="refused statement"),
    pytest.param(400, d1_errors(7500, "x" * 485 + D1_ECHO), id="cut off"),
    pytest.param(503, d1_errors(0, D1_ECHO), id="busy"),
    pytest.param(429, d1_errors(971, D1_ECHO), id="rate limited"),
    pytest.param(200, d1_errors(7500, D1_ECHO), id="an error under 200"),
    pytest.param(
        200,
        json.dumps({"success": True, "errors": [], "result": [{"success": False, "error": D1_ECHO}]}),
        id="a statement that failed",
    ),
    pytest.param(200, json.dumps({"success": True, "result": D1_ECHO}), id="no result"),
    pytest.param(200, D1_ECHO, id="no JSON"),
    pytest.param(500, f"<html>{D1_ECHO}</html>", id="a page under 500"),
    pytest.param(302, D1_ECHO, id="redirect"),
]


@pytest.mark.parametrize(("status", "body"), D1_ANSWERS)
def test_an_error_of_d1_that_echoes_the_token_does_not_show_it(
    httpserver: HTTPServer, fake_time: FakeTime, log: Log, status: int, body: str
) -> None:
    """Whatever form D1's answer has, the token in it reaches no error, no log and no traceback."""
    httpserver.expect_request(f"/accounts/{ACCOUNT}/d1/database/{DATABASE}/raw").respond_with_data(
        body, status, content_type="application/json"
    )
    settings = Settings.from_env(ENV | {"CLOUDFLARE_API_BASE_URL": httpserver.url_for("")}).d1
    assert settings

    with pytest.raises(B2D1Error) as raised:
        Database(settings, fake_time.retrying()).run("SELECT 1", doing="testing")

    assert_hidden(raised.value, log)


def assert_hidden(error: B2D1Error, log: Log) -> None:
    """Look for the secrets in all that an error, logged at the edge, lets a person see."""
    logging.getLogger("b2d1").error("%s", error, exc_info=error)

    assert shown_secrets(f"{error} {error!r} {error.hint} {error.args} {vars(error)}") == []
    assert shown_secrets(log.text) == []
    assert shown_secrets(traceback_of(error)) == []


def test_an_error_of_a_dead_connection_shows_no_secret(fake_time: FakeTime, log: Log) -> None:
    """Where nobody answers, the request itself, whose headers hold the token, stays out of the traceback."""
    assert SETTINGS.b2
    assert SETTINGS.d1
    database, bucket = Database(SETTINGS.d1, fake_time.retrying()), Bucket(SETTINGS.b2, fake_time.retrying())

    with pytest.raises(B2D1Error, match="no answer") as of_d1:
        database.run("SELECT 1", doing="testing")
    with pytest.raises(B2D1Error, match="no answer") as of_b2:
        bucket.page({})

    assert_hidden(of_d1.value, log)
    assert_hidden(of_b2.value, log)
    assert "Traceback" in log.text


def test_clients_show_no_secret() -> None:
    """The clients themselves, as they stand in a variable or a log line, show no secret."""
    assert SETTINGS.b2
    assert SETTINGS.d1
    clients = [Bucket(SETTINGS.b2), Database(SETTINGS.d1)]

    assert shown_secrets(f"{clients} {[vars(client) for client in clients]}") == []


@pytest.mark.parametrize(
    ("env", "exit_code"),
    [
        pytest.param({"B2_APP_KEY": APP_KEY}, 3, id="wrong app key"),
        pytest.param({"B2_KEY_ID": "004zqKeyId", "B2_APP_KEY": APP_KEY}, 3, id="wrong key"),
        pytest.param({"B2_BUCKET": "elsewhere"}, 3, id="wrong bucket"),
        pytest.param({"B2_REGION": "eu-central-003"}, 3, id="wrong region"),
        pytest.param({"CLOUDFLARE_API_TOKEN": TOKEN}, 4, id="wrong token"),
        pytest.param({"CLOUDFLARE_ACCOUNT_ID": ACCOUNT}, 4, id="wrong account"),
        pytest.param({"D1_DATABASE_NAME": "elsewhere"}, 4, id="wrong database"),
        pytest.param(
            {"B2_APP_KEY": f"{APP_KEY} {TOKEN}", "CLOUDFLARE_API_TOKEN": f"{TOKEN}\n"}, 2, id="malformed"
        ),
        pytest.param({}, 0, id="all right"),
    ],
)
def test_the_runner_shows_no_secret(
    stack: Stack, b2d1: Callable[..., Result], env: dict[str, str], exit_code: int
) -> None:
    """With everything logged, neither stdout nor stderr holds the key or the token, right or wrong."""
    stack.b2.put("photos/a.jpg", b"a")

    result = b2d1("sync", "-v", env=stack.env | {"VERBOSE": "1"} | env)

    used = stack.env | env
    shown = result.stdout + result.stderr
    assert (result.exit_code, "Traceback" in shown) == (exit_code, False)
    assert shown_secrets(shown) == []
    assert [name for name in ("B2_APP_KEY", "CLOUDFLARE_API_TOKEN") if used[name] in shown] == []
    assert result.stderr
