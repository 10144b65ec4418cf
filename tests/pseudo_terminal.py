"""The program with a terminal for its streams."""

import os
import pty
import subprocess
import sysconfig
from pathlib import Path
from typing import BinaryIO

PROGRAM = str(Path(sysconfig.get_path("scripts")) / "b2d1")


def on_terminal(
    *arguments: str | Path, env: dict[str, str], stdout: BinaryIO | int | None = None
) -> tuple[int, str]:
    """Run the program with a terminal for stderr, and for stdout unless it is given; return what it shows."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=slave if stdout is None else stdout,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 65536):
            shown += part
    except OSError:  # on Linux, a terminal that nobody has open any more
        pass
    os.close(master)
    return process.wait(60), shown.decode().replace("\r\n", "\n")
