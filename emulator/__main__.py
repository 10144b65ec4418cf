"""Invoke the built package once: python -m emulator [--env-vars FILE] [EVENT.json].

With the settings of this environment, or of a file as `sam local invoke` takes it. The report, or what Lambda
records of a failure, goes to stdout, the log to stderr.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from b2d1.errors import printable
from b2d1.settings import NAMES
from emulator.lambda_emulator import ROOT, LambdaEmulator, missing_tools

# The function's name in template.yaml.
FUNCTION = "SyncFunction"


def main() -> int:
    """Return the exit code: 1 when the function failed."""
    parser = argparse.ArgumentParser(prog="python -m emulator", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("event", type=Path, nargs="?", default=ROOT / "events" / "manual.json")
    parser.add_argument("--env-vars", type=Path, metavar="FILE", help="settings, as for sam local invoke")
    parser.add_argument("--package", type=Path, default=ROOT / "build" / "function", metavar="FOLDER")
    options = parser.parse_args()
    if not options.event.is_file():
        there = ", ".join(f"events/{path.name}" for path in sorted((ROOT / "events").glob("*.json")))
        parser.error(f"there is no event {options.event}; there are {there}")
    settings = {name: value for name, value in os.environ.items() if name in NAMES}
    try:
        event = _read_json(options.event)
        if options.env_vars:
            settings = _settings(options.env_vars)
        if not (options.package / "handler").is_dir():
            raise ValueError(f"{options.package} is not the function's package: make build makes it")
        if missing := missing_tools():
            raise ValueError(f"{missing} is not there: make {missing} makes it")
    except ValueError as fault:
        parser.error(str(fault))
    with LambdaEmulator(options.package, settings, show=_show) as emulator:
        answer, _ = emulator.invoke(event)
    print(printable(json.dumps(answer, indent=2, ensure_ascii=False)))
    return 1 if "errorType" in answer else 0


def _show(line: str) -> None:
    sys.stderr.write(printable(line))


def _read_json(path: Path) -> Any:
    """Read a file of JSON; ValueError with a sentence, which quotes nothing of it."""
    try:
        return json.loads(path.read_bytes())
    except OSError as failure:
        raise ValueError(f"{path} cannot be read: {failure.strerror}") from None
    except (ValueError, RecursionError) as failure:
        where = f" (line {failure.lineno})" if isinstance(failure, json.JSONDecodeError) else ""
        raise ValueError(f"{path} is not JSON{where}") from None


def _settings(path: Path) -> dict[str, str]:
    """Read the function's settings from a file in SAM's form; ValueError with a sentence."""
    file = _read_json(path)
    settings = file.get(FUNCTION) if isinstance(file, dict) else None
    if not isinstance(settings, dict):
        raise ValueError(  # noqa: TRY004 - a sentence about a file
            f'{path} has no settings: it must be {{"{FUNCTION}": {{...}}}}, as env.example.json is'
        )
    if wrong := [name for name, value in settings.items() if not isinstance(value, str)]:
        raise ValueError(f"{path} holds what is not a text, under {', '.join(map(repr, wrong[:5]))}")
    if bad := [
        name for name, value in settings.items() if not name or {"=", "\0"} & {*name} or "\0" in value
    ]:
        raise ValueError(f"{path} holds what no environment can hold, under {', '.join(map(repr, bad[:5]))}")
    return settings


if __name__ == "__main__":
    sys.exit(main())
