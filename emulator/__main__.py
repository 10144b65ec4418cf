"""Invoke the built package once: python -m emulator [--env-vars FILE] [EVENT.json].

With the settings of this environment, or of a file as `sam local invoke` takes it. The report, or what Lambda
records of a failure, goes to stdout, the log to stderr.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from b2d1.errors import printable
from b2d1.settings import NAMES
from emulator.lambda_emulator import ROOT, LambdaEmulator

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
    event = json.loads(options.event.read_text("utf-8"))
    settings = {name: value for name, value in os.environ.items() if name in NAMES}
    if options.env_vars:
        settings = json.loads(options.env_vars.read_text("utf-8"))[FUNCTION]
    with LambdaEmulator(options.package, settings, show=_show) as emulator:
        answer, _ = emulator.invoke(event)
    print(printable(json.dumps(answer, indent=2, ensure_ascii=False)))
    return 1 if "errorType" in answer else 0


def _show(line: str) -> None:
    sys.stderr.write(printable(line))


if __name__ == "__main__":
    sys.exit(main())
