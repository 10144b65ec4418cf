"""Where a command's settings come from: the environment, over the file that --env-file names."""

import io
import os
from collections.abc import Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from b2d1.errors import UsageError

VARIABLE = "B2D1_ENV_FILE"
HINT = "It must hold lines like B2_BUCKET=photos, as .env.example does."
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def environment(file: str | None) -> Mapping[str, str]:
    """Return the environment, over the settings in a file if one is named.

    What is set in the environment, and not empty, counts before the file. Nothing is expanded in the file.
    Raises UsageError for a file that cannot be read whole.
    """
    if not file:
        return dict(os.environ)
    given = {name: text for name, text in os.environ.items() if text}
    return _settings(file) | given | {VARIABLE: file}


def _settings(file: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, binding in enumerate(parse_stream(io.StringIO(_text(file))), 1):
        line = binding.original.line or number
        if binding.error:
            raise _error(file, f"line {line} cannot be read: a quote may not be closed, or = is missing")
        if binding.key is None:  # a comment or an empty line
            continue
        if binding.value is None:
            raise _error(file, f"line {line}: {binding.key} has no value: write {binding.key}=")
        if binding.key in found:
            raise _error(file, f"line {line}: {binding.key} is set twice")
        found[binding.key] = binding.value
    return found


def _text(file: str) -> str:
    try:
        data = Path(file).expanduser().read_bytes()
    except OSError as failure:
        raise _error(
            file, failure.strerror or str(failure), "Name the file that holds the settings."
        ) from None
    if data.startswith(UTF16):
        raise _error(file, "it is UTF-16", "Save it as UTF-8: Windows PowerShell's > writes UTF-16.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _error(file, "it is not UTF-8", "Save it as UTF-8.") from None


def _error(file: str, fault: str, hint: str = HINT) -> UsageError:
    return UsageError(f"{file}: {fault}", doing="reading the settings", hint=hint)
