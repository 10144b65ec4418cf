"""A program in the background that is gone when the one that started it is, whichever way that ended."""

import os
import queue
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# The shell ends its whole group as soon as the pipe closes: by `stop`, or because this process was killed.
GUARD = '"$@" </dev/null & exec >/dev/null 2>&1; read -r _; kill -KILL 0'


class NotReady(Exception):
    """The program did not say what it was waited for; the text is what it said."""


class Background:
    """A running program, and all that it starts."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._said: list[str] = []
        self._process = subprocess.Popen(
            ["sh", "-c", GUARD, "sh", *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        # It goes on reading, so that the program never waits for room in the pipe.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str, seconds: float) -> str:
        """Return the first group of what the program says by that time; NotReady if it does not, or ends."""
        with suppress(queue.Empty):
            # Each line may take as long as all of them: a program that keeps talking is not stuck.
            while (line := self._lines.get(timeout=seconds)) is not None:
                if found := re.search(pattern, line):
                    return found[1]
        raise NotReady("".join(self._said) or "(nothing)")

    def stop(self) -> None:
        """End the program and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._said.append(line)
            self._lines.put(line)
        self._lines.put(None)
