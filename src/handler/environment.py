"""Where the settings come from in Lambda: a secret laid under the environment."""

import functools
import os
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError

from b2d1.errors import SettingsError
from b2d1.settings import NAMES
from b2d1.strict_json import TwiceError, read_whole

WORKERS = "B2_LIST_WORKERS"
# Lambda gives a whole processor at 1,769 MB: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
HALF_A_PROCESSOR = 1769 // 2
FEW_WORKERS = "8"
SECRET_ID = "B2D1_SECRET_ID"  # noqa: S105 - a variable's name
# A key that was rotated takes effect in a warm function after this.
SECRET_SECONDS = 300

FORM = 'Store it as JSON, {"B2_KEY_ID": "...", ...}: .env.example lists the names.'
ACCESS = "It must exist in the function's region, and the function's role must be allowed to read it."


def environment() -> dict[str, str]:
    """Return the environment, over the JSON of the secret that B2D1_SECRET_ID names, if it names one.

    What is set in the environment, and not empty, counts before the secret; B2_LIST_WORKERS is 8 in a small
    function, if neither has it. Raises SettingsError.
    """
    # In one go: a traceback that shows local variables must not show these.
    secret_id = os.environ.get(SECRET_ID)
    return (
        _defaults()
        | (_secret(secret_id) if secret_id else {})
        | {name: value for name, value in os.environ.items() if value}
    )


def _defaults() -> dict[str, str]:
    memory = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    return {WORKERS: FEW_WORKERS} if memory.isdecimal() and int(memory) < HALF_A_PROCESSOR else {}


def _secret(secret_id: str) -> dict[str, str]:
    # Neither the text nor an error that quotes it goes into a message, or stays in a variable here.
    values, fault = _understood(_text(secret_id))
    if fault:
        raise _unusable(fault, FORM)
    return values


def _text(secret_id: str) -> str | bytes:
    # Only a function that has a secret pays for the import.
    from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError  # noqa: PLC0415

    try:
        return _provider().get(secret_id, max_age=SECRET_SECONDS) or ""
    except (GetParameterError, BotoCoreError) as failure:
        raise _unusable(f"cannot be read: {failure}", ACCESS) from None


def _understood(text: str | bytes) -> tuple[dict[str, str], str]:
    """Return what the secret holds, or else what is wrong with it."""
    try:
        secret = read_whole(text)
    except TwiceError:
        return {}, "has a name twice"
    except ValueError:
        secret = None
    if not isinstance(secret, dict):
        return {}, "is not a JSON object"
    if wrong := [name for name, value in secret.items() if not isinstance(value, str)]:
        # A name that is none of ours may be a value that was put in its place.
        known = sorted(name if name in NAMES else "a name that is no setting's" for name in wrong)
        return {}, f"holds what is not a text, under {', '.join(dict.fromkeys(known))}"
    return secret, ""


@functools.cache
def _provider() -> Any:
    from aws_lambda_powertools.utilities.parameters import SecretsProvider  # noqa: PLC0415 - as above

    # botocore's own time-outs are a minute, several times over.
    retries: Any = {"total_max_attempts": 3, "mode": "standard"}
    return SecretsProvider(boto_config=Config(connect_timeout=3, read_timeout=5, retries=retries))


def _unusable(why: str, hint: str) -> SettingsError:
    error = SettingsError([f"the secret that {SECRET_ID} names {why}"])
    error.hint = hint
    return error
