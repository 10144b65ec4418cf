"""An embedded Cloudflare D1: its REST API on a loopback port, for one account with one database of use."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from sandbox import payload
from sandbox.account import MALFORMED, REFUSED, Account, Database, Failure
from sandbox.engine import Engine, Outcome, Refused


class EmbeddedD1(Account):
    """Serve a SQLite file as D1 serves a database; the namesake before it in the list is an empty database.

    The file is made if need be, and stays. Keyword arguments are those of Account.
    """

    def __init__(self, path: Path | str, **account: str | int) -> None:
        super().__init__(**account)  # type: ignore[arg-type]
        self._path = Path(path)
        self._engines: list[Engine] = []

    def open(self) -> Sequence[Database]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._engines = [Engine(":memory:", self.statements), Engine(self._path, self.statements)]
        return [_Database(engine) for engine in self._engines]

    def close(self) -> None:
        for engine in self._engines:
            engine.close()

    def connect(self) -> sqlite3.Connection:
        """Open the file itself, past the API and its limits; the caller closes it."""
        return sqlite3.connect(self._path, timeout=30)


class _Database:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.bookmark = engine.bookmark

    def raw(self, body: bytes) -> list[object]:
        return self._run(body, payload.raw)

    def query(self, body: bytes) -> list[object]:
        return self._run(body, payload.objects)

    def _run(self, body: bytes, write: Callable[[Outcome], object]) -> list[object]:
        try:
            return [write(outcome) for outcome in self._engine.run(payload.statements_of(body))]
        except payload.Malformed as problem:
            raise Failure(*MALFORMED, str(problem)) from problem
        except Refused as problem:
            raise Failure(*REFUSED, str(problem)) from problem
