"""AWS's emulator of Lambda with the built package in it, for as long as a `with` block.

Both are AWS's own: `aws-lambda-rie`, which `sam local invoke` runs in its container, and `awslambdaric`,
which Lambda's Python runtime is made of. They are Linux programs.
"""

import contextlib
import http.client
import json
import os
import platform
import queue
import re
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
HANDLER = "handler.app.handler"
# Made by `make`: the runtime client, and beside it the path of the Python that it is for.
RUNTIME_CLIENT = ROOT / ".venv" / "emulator"
START_SECONDS = 30
# Beyond the function's own time-out, after which the emulator itself answers.
SPARE_SECONDS = 30.0

# What the emulator itself says, among the function's lines.
_NOT_THE_FUNCTIONS = re.compile(
    r"(START|END|REPORT) RequestId: |\d\d \w{3} \d{4} \d\d:\d\d:\d\d,\d{3} \[\w+\] \("
)


class Invocation(NamedTuple):
    """What an invocation answered, and the lines that the function wrote meanwhile."""

    answer: Any
    lines: list[str]


class LambdaEmulator:
    """Runs a package from `__enter__` to `__exit__`; its environment holds `settings` and what Lambda sets.

    `timeout` is the function's own (seconds). `show` gets each line of the log, the emulator's too.
    """

    def __init__(
        self,
        package: Path,
        settings: Mapping[str, str],
        *,
        timeout: int = 900,
        show: Callable[[str], object] = lambda _line: None,
    ) -> None:
        self._package = package
        self._settings = settings
        self._timeout = timeout
        self._show = show
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as started:
            # A function's /tmp and home belong to it alone.
            folder = started.enter_context(tempfile.TemporaryDirectory(prefix="lambda-"))
            self._address, runtime_api = _free_addresses(2)
            process = started.enter_context(self._started(folder, runtime_api))
            threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()
            _wait_for(self._address, process)
            self._open = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def invoke(self, event: object) -> Invocation:
        """Hand an event to the function, and wait until it and its log have ended."""
        host, port = self._address
        connection = http.client.HTTPConnection(host, port, timeout=self._timeout + SPARE_SECONDS)
        with contextlib.closing(connection):
            path = "/2015-03-31/functions/function/invocations"
            connection.request("POST", path, json.dumps(event))
            answer = json.loads(connection.getresponse().read())
        lines = []
        while not (line := self._next_line()).startswith("REPORT RequestId: "):
            if not _NOT_THE_FUNCTIONS.match(line):
                lines.append(line)
        return Invocation(answer, lines)

    @contextlib.contextmanager
    def _started(self, folder: str, runtime_api: tuple[str, int]) -> Iterator[subprocess.Popen[str]]:
        addresses = ["--runtime-interface-emulator-address", "{}:{}".format(*self._address)]
        addresses += ["--runtime-api-address", "{}:{}".format(*runtime_api)]
        # -S and -s: nothing that is installed for this Python is seen.
        command = [_emulator(), *addresses, functions_python(), "-S", "-s", "-m", "awslambdaric", HANDLER]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
        process = subprocess.Popen(  # type: ignore[call-overload]
            command, cwd=self._package, env=self._environment(folder), **pipes
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait()

    def _environment(self, folder: str) -> dict[str, str]:
        client = str(RUNTIME_CLIENT)
        return {
            "PATH": os.defpath,
            "HOME": folder,
            "TMPDIR": folder,
            # The package goes first (the current folder), then the client, as in Lambda.
            "PYTHONPATH": client,
            # In Lambda nobody can write to the package.
            "PYTHONDONTWRITEBYTECODE": "1",
            "LAMBDA_TASK_ROOT": str(self._package),
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_LAMBDA_FUNCTION_NAME": "b2d1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self._timeout),
            # As template.yaml has them.
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
            "POWERTOOLS_SERVICE_NAME": "b2d1",
            **self._settings,
        }

    def _read(self, log: IO[str]) -> None:
        with log:
            for line in log:
                self._show(line)
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _next_line(self) -> str:
        line = self._lines.get(timeout=SPARE_SECONDS)
        if line is None:
            raise RuntimeError("the emulator has ended")
        return line


def missing_tools() -> str:
    """Name the target of make that makes a missing part of the emulator; "" if all is there."""
    targets = (".venv/emulator/ready", ".venv/sam/ready")
    return next((target for target in targets if not (ROOT / target).is_file()), "")


def functions_python() -> str:
    """Return the path of the Python that the function runs under."""
    return (RUNTIME_CLIENT / "ready").read_text("utf-8").strip()


def functions_version() -> str:
    """Tell the version of that Python, for instance 3.13.0."""
    ask = [functions_python(), "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()


def _emulator() -> Path:
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "")
    pattern = f"lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"
    return next((ROOT / ".venv" / "sam").glob(pattern))


def _free_addresses(count: int) -> list[tuple[str, int]]:
    with contextlib.ExitStack() as taken:
        listeners = [taken.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [(HOST, listener.getsockname()[1]) for listener in listeners]


def _wait_for(address: tuple[str, int], process: subprocess.Popen[str]) -> None:
    for _ in range(START_SECONDS * 100):
        try:
            with socket.create_connection(address):
                return
        except ConnectionRefusedError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
        if process.poll() is not None:
            raise RuntimeError(f"the emulator ended with {process.returncode}")
    raise RuntimeError("the emulator does not start")
