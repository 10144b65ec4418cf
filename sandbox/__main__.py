"""Start the embedded B2 and D1, and either stay, or run a command that finds them in its environment.

python -m sandbox [--state DIR] [--new N]
python -m sandbox [--state DIR] [--new N] run -- COMMAND…
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sandbox.b2 import EmbeddedB2
from sandbox.d1 import EmbeddedD1

NOT_FOUND, NOT_RUNNABLE, SIGNALLED = 127, 126, 128  # as shells have them


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return the exit code."""
    options = _parser().parse_args(arguments)
    # A polite kill ends as Ctrl-C does, with both servers stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        suppress(KeyboardInterrupt),
        EmbeddedB2(new=options.new) as b2,
        EmbeddedD1(options.state / "d1.sqlite3") as d1,
    ):
        settings = b2.settings() | d1.settings()
        if options.action == "run":
            return _run(options.command, settings)
        return _stay(settings)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--state", type=Path, default=Path(".sandbox"), metavar="DIR", help="where D1's file stays [.sandbox]"
    )
    parser.add_argument(
        "--new",
        type=int,
        default=0,
        metavar="N",
        help="have N objects more than the sample has, as uploaded since",
    )
    actions = parser.add_subparsers(dest="action")
    run = actions.add_parser("run", help="run a command, then stop and exit with its code")
    run.add_argument("command", nargs="+", metavar="COMMAND")
    return parser


def _stay(settings: dict[str, str]) -> int:
    activate = Path(sys.prefix, "bin", "activate")
    if sys.prefix != sys.base_prefix and activate.is_file():  # of a virtual environment, with b2d1 in it
        sys.stdout.write(f". {_quoted(str(activate))}\n")
    for name, value in settings.items():
        sys.stdout.write(f"export {name}={_quoted(value)}\n")
    sys.stdout.flush()
    sys.stderr.write(
        "B2 and D1 are up. Paste the lines above into another shell, then try `b2d1 doctor`; "
        "Ctrl-C stops them.\n"
    )
    threading.Event().wait()
    return 0


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _run(command: list[str], settings: dict[str, str]) -> int:
    """Run the command and end as it does: Ctrl-C reaches it by itself, a polite kill is passed on."""
    process: subprocess.Popen[bytes] | None = None
    told_to_end = False

    def pass_on(_number: int, _frame: object) -> None:
        nonlocal told_to_end
        told_to_end = True
        if process:
            process.terminate()

    # Before the command starts: it may be ready for a signal sooner than we are. A handler, since the command
    # would inherit that a signal is ignored.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    signal.signal(signal.SIGTERM, pass_on)
    try:
        process = subprocess.Popen(command, env=os.environ | settings)
    except FileNotFoundError:
        sys.stderr.write(f"{command[0]}: command not found\n")
        return NOT_FOUND
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return NOT_RUNNABLE
    if told_to_end:
        process.terminate()
    code = process.wait()
    return SIGNALLED - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
