"""The settings of the function: its environment, over the secret that it names."""

import json
import os
import socket
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from scripted_d1 import raw_server
from werkzeug import Request, Response

from b2d1.errors import SettingsError
from b2d1.settings import Settings
from handler import environment as module
from handler.environment import ACCESS, FORM, environment

SECRET_VALUE = "zq-App-Key-Value-0123456789"
SETTINGS = {
    "B2_KEY_ID": "004zqKeyId",
    "B2_APP_KEY": SECRET_VALUE,
    "B2_ENDPOINT": "https://s3.us-west-004.backblazeb2.com",
    "B2_BUCKET": "photos",
    "CLOUDFLARE_API_TOKEN": f"{SECRET_VALUE}-token",
    "CLOUDFLARE_ACCOUNT_ID": "0123456789abcdef0123456789abcdef",
}
PREFACE = "1 setting needs attention:\n  the secret that B2D1_SECRET_ID names "


@pytest.fixture(autouse=True)
def lambda_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give each test the environment of a function that nobody has configured, and no cached secret."""
    for name in os.environ:
        if name.startswith(("AWS_", "B2", "CLOUDFLARE_", "CF_", "D1_", "POWERTOOLS_")):
            monkeypatch.delenv(name)
    for name, value in {
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIAFUNCTION",
        "AWS_SECRET_ACCESS_KEY": "role-secret",
        "AWS_SESSION_TOKEN": "role-session",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    module._provider.cache_clear()


def secret(text: str | None = None, **answer: Any) -> Response:
    """Write what Secrets Manager answers to GetSecretValue."""
    if text is not None:
        answer["SecretString"] = text
    body = {"ARN": "arn:aws:secretsmanager:eu-central-1:1:secret:b2d1-AbCdEf", "Name": "b2d1", **answer}
    return Response(json.dumps(body), content_type="application/x-amz-json-1.1")


def refusal(code: str, message: str, status: int = 400) -> Response:
    """Write a refusal of Secrets Manager."""
    body = json.dumps({"__type": code, "Message": message})
    return Response(body, status, content_type="application/x-amz-json-1.1")


@pytest.fixture
def secrets_manager(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Let Secrets Manager give scripted answers, the last one for ever; return what it was asked."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", httpserver.url_for("").rstrip("/"))
    monkeypatch.setenv("B2D1_SECRET_ID", "b2d1")

    def script(*answers: Response) -> list[Any]:
        asked: list[Any] = []

        def reply(request: Request) -> Response:
            asked.append((request.headers["X-Amz-Target"], request.get_json(force=True)))
            return answers[min(len(asked), len(answers)) - 1]

        httpserver.expect_request("/", method="POST").respond_with_handler(reply)
        return asked

    return script


def fault() -> SettingsError:
    """Fail to have an environment, without a secret in what is raised or in its traceback with variables."""
    with pytest.raises(SettingsError) as raised:
        environment()
    error = raised.value
    assert error.__traceback__
    told = traceback.TracebackException(type(error), error, error.__traceback__.tb_next, capture_locals=True)
    # What is cached, by Powertools, belongs to no frame.
    assert SECRET_VALUE[:12] not in "".join(told.format()) + f"{error!r} {vars(error)}"
    return error


def test_without_a_secret_the_environment_is_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where B2D1_SECRET_ID is not set, or empty, no AWS service is asked."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    monkeypatch.setenv("B2_BUCKET", "photos")
    for value in (None, ""):
        if value is not None:
            monkeypatch.setenv("B2D1_SECRET_ID", value)

        assert environment() == {name: value for name, value in os.environ.items() if value}
        assert environment()["B2_BUCKET"] == "photos"


def test_a_secret_makes_settings(secrets_manager: Callable[..., list[Any]]) -> None:
    """What the secret holds counts as if it were set, and only that secret is asked for."""
    asked = secrets_manager(secret(json.dumps(SETTINGS)))

    settings = Settings.from_env(environment())

    assert settings.b2
    assert settings.d1
    assert (settings.b2.app_key.reveal(), settings.b2.bucket) == (SECRET_VALUE, "photos")
    assert settings.d1.api_token.reveal() == f"{SECRET_VALUE}-token"
    assert asked == [("secretsmanager.GetSecretValue", {"SecretId": "b2d1"})]


def test_a_secret_may_be_binary(secrets_manager: Callable[..., list[Any]]) -> None:
    """A secret that was stored as bytes is read as UTF-8."""
    secrets_manager(secret(SecretBinary="eyJCMl9CVUNLRVQiOiAiZsO8ciJ9"))

    assert environment()["B2_BUCKET"] == "für"


def test_the_environment_goes_before_the_secret(
    secrets_manager: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is set counts; one that is empty leaves it to the secret."""
    secrets_manager(secret(json.dumps(SETTINGS | {"MAX_NEW_PER_RUN": "5", "B2_PREFIX": "secret/"})))
    monkeypatch.setenv("B2_BUCKET", "from-the-environment")
    monkeypatch.setenv("MAX_NEW_PER_RUN", "")

    env = environment()

    assert (env["B2_BUCKET"], env["MAX_NEW_PER_RUN"], env["B2_PREFIX"]) == (
        "from-the-environment",
        "5",
        "secret/",
    )


def test_a_secret_is_cached(
    secrets_manager: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For five minutes a warm function asks no more; then a secret that was rotated takes effect."""
    asked = secrets_manager(
        secret(json.dumps({"B2_APP_KEY": "old"})), secret(json.dumps({"B2_APP_KEY": "new"}))
    )
    # Powertools asks this clock whether its copy is too old.
    from aws_lambda_powertools.utilities.parameters import base

    passed = timedelta()

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + passed

    monkeypatch.setattr(base, "datetime", Clock)
    seen = []
    for seconds in (0, 299, 301):
        passed = timedelta(seconds=seconds)
        seen.append((environment()["B2_APP_KEY"], len(asked)))

    assert seen == [("old", 1), ("old", 1), ("new", 2)]


def test_a_secret_that_could_not_be_read_is_not_cached(secrets_manager: Callable[..., list[Any]]) -> None:
    """The next invocation asks again, and has it once it is there."""
    secrets_manager(
        refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
        secret(json.dumps(SETTINGS)),
    )
    fault()

    assert environment()["B2_APP_KEY"] == SECRET_VALUE


CALL = "when calling the GetSecretValue operation"


@pytest.mark.parametrize(
    ("answer", "why", "hint"),
    [
        pytest.param(
            refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
            f"cannot be read: An error occurred (ResourceNotFoundException) {CALL}: "
            "Secrets Manager can't find the specified secret.",
            ACCESS,
            id="missing",
        ),
        pytest.param(
            refusal("AccessDeniedException", "User: role is not authorized to perform: GetSecretValue"),
            f"cannot be read: An error occurred (AccessDeniedException) {CALL}: "
            "User: role is not authorized to perform: GetSecretValue",
            ACCESS,
            id="denied",
        ),
        pytest.param(
            refusal("DecryptionFailure", "no KMS key"),
            f"cannot be read: An error occurred (DecryptionFailure) {CALL}: no KMS key",
            ACCESS,
            id="KMS",
        ),
        pytest.param(secret(""), "is not a JSON object", FORM, id="empty"),
        pytest.param(
            secret(f'{{"B2_APP_KEY": "{SECRET_VALUE}"'), "is not a JSON object", FORM, id="cut short"
        ),
        pytest.param(secret(f"B2_APP_KEY={SECRET_VALUE}"), "is not a JSON object", FORM, id="no JSON"),
        pytest.param(secret(json.dumps([SECRET_VALUE])), "is not a JSON object", FORM, id="a list"),
        pytest.param(secret(json.dumps(SECRET_VALUE)), "is not a JSON object", FORM, id="a text"),
        pytest.param(secret("null"), "is not a JSON object", FORM, id="null"),
        pytest.param(secret("[" * 100_000), "is not a JSON object", FORM, id="too deep"),
        pytest.param(secret(SecretBinary="/w=="), "is not a JSON object", FORM, id="not UTF-8"),
        pytest.param(
            secret(json.dumps({"B2_APP_KEY": [SECRET_VALUE], "MAX_NEW_PER_RUN": 5, "B2_BUCKET": "b"})),
            "holds what is not a text, under B2_APP_KEY, MAX_NEW_PER_RUN",
            FORM,
            id="values that are no texts",
        ),
    ],
)
def test_a_secret_that_cannot_be_used_is_an_error(
    secrets_manager: Callable[..., list[Any]], answer: Response, why: str, hint: str
) -> None:
    """The error says what is wrong with the secret, and what to do, and repeats nothing of it."""
    secrets_manager(answer)

    error = fault()

    assert (str(error), error.hint, error.exit_code) == (PREFACE + why, hint, 2)


def test_an_incomplete_secret_names_what_is_missing(secrets_manager: Callable[..., list[Any]]) -> None:
    """Settings that neither the secret nor the environment has are named, all at once."""
    secrets_manager(secret(json.dumps({name: SETTINGS[name] for name in ("B2_APP_KEY", "B2_BUCKET")})))

    with pytest.raises(SettingsError) as raised:
        Settings.from_env(environment())

    assert raised.value.problems == [
        "B2_KEY_ID is not set",
        "B2_ENDPOINT is not set",
        "CLOUDFLARE_API_TOKEN is not set",
        "CLOUDFLARE_ACCOUNT_ID is not set",
    ]


def test_without_credentials_the_error_says_so(
    secrets_manager: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function without a role cannot ask at all."""
    asked = secrets_manager(secret(json.dumps(SETTINGS)))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)

    assert str(fault()) == f"{PREFACE}cannot be read: Unable to locate credentials"
    assert asked == []


def test_without_a_region_the_error_says_so(
    secrets_manager: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no client can be made at all, that is the secret's error too."""
    secrets_manager(secret(json.dumps(SETTINGS)))
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    assert str(fault()) == f"{PREFACE}cannot be read: You must specify a region."


def test_a_busy_secrets_manager_is_asked_again(secrets_manager: Callable[..., list[Any]]) -> None:
    """An answer that may be better the next time is not the last word."""
    asked = secrets_manager(
        refusal("InternalServiceError", "busy", 500), secret(json.dumps({"B2_BUCKET": "photos"}))
    )

    assert (environment()["B2_BUCKET"], len(asked)) == ("photos", 2)


def test_a_silent_secrets_manager_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody answers, the function has time left to say so: a few tries, each with a bound."""
    monkeypatch.setenv("B2D1_SECRET_ID", "b2d1")
    config = module._provider().client.meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (3, 5, 3)
    module._provider.cache_clear()

    # A connection that is closed at once is tried again as a silent one is, and costs no time.
    def hang_up(peer: socket.socket) -> None:
        peer.recv(1)

    with raw_server(hang_up) as (port, connections):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{port}")
        began = time.monotonic()
        error = fault()

    assert len(connections) == 3
    assert time.monotonic() - began < 10
    assert str(error).startswith(f"{PREFACE}cannot be read: ")


@pytest.mark.parametrize(
    ("variables", "workers"),
    [
        pytest.param({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}, "8", id="less than half a processor"),
        pytest.param({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "883"}, "8", id="just less"),
        pytest.param({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "884"}, None, id="half a processor"),
        pytest.param({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024"}, None, id="as the template has it"),
        pytest.param({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "much"}, None, id="no number"),
        pytest.param({}, None, id="not in Lambda"),
        pytest.param(
            {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "B2_LIST_WORKERS": "3"}, "3", id="told otherwise"
        ),
        pytest.param(
            {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "B2_LIST_WORKERS": ""}, "8", id="an empty value"
        ),
    ],
)
def test_a_small_function_lists_with_fewer_workers(
    variables: dict[str, str], workers: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below half a processor eight workers list, unless B2_LIST_WORKERS says otherwise."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert environment().get("B2_LIST_WORKERS") == workers


def test_the_secret_too_may_say_how_many_workers_list(
    secrets_manager: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the secret says of the workers counts before what a small function has by itself."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
    secrets_manager(secret(json.dumps({"B2_LIST_WORKERS": "5"})))

    assert environment()["B2_LIST_WORKERS"] == "5"
