"""Access to one database of the engine: an HTTP client of wrangler, and on it what tests use of sqlite3."""

import http.client
import json
import queue
import re
import sqlite3
import threading
import time
import urllib.parse
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from sandbox.payload import MAX_SAFE_INTEGER

TIMEOUT = 120
# An idle connection is not used again after this, so that none is met that wrangler has closed.
IDLE_SECONDS = 1.0
ROWS_PER_REQUEST = 5000

# Quotes inside a value are escaped in JSON, so no row can look like this.
_WROTE = re.compile(rb'"changed_db":true|"rows_written":[1-9]')
_VALUES = re.compile(r"VALUES\s*\(([?,\s]+)\)\s*$", re.IGNORECASE)


class EngineClient:
    """Posts to one address, over connections that are kept; counts in `writes` the requests that wrote."""

    def __init__(self, url: str) -> None:
        self.writes = 0
        self._address = urllib.parse.urlsplit(url)
        self._idle: queue.LifoQueue[tuple[float, http.client.HTTPConnection]] = queue.LifoQueue()
        self._lock = threading.Lock()

    def post(self, body: bytes) -> tuple[int, bytes]:
        """Send a body; return the status and the content of the answer."""
        connection = self._take()
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", self._address.path, body, headers)
            answer = connection.getresponse()
            status, content = answer.status, answer.read()
        except BaseException:
            connection.close()
            raise
        self._idle.put((time.monotonic(), connection))
        if _WROTE.search(content):
            with self._lock:
                self.writes += 1
        return status, content

    def close(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait()[1].close()

    def _take(self) -> http.client.HTTPConnection:
        with suppress(queue.Empty):
            while True:
                since, connection = self._idle.get_nowait()
                if time.monotonic() - since < IDLE_SECONDS:
                    return connection
                connection.close()
        return http.client.HTTPConnection(self._address.netloc, timeout=TIMEOUT)


class Rows(list[tuple[Any, ...]]):
    """The rows of an answer, to be fetched as from a cursor."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self)

    def fetchone(self) -> tuple[Any, ...] | None:
        return self[0] if self else None


class Connection:
    """What tests use of a sqlite3.Connection, by way of the engine; each request is all or none."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave things as they are."""

    def execute(self, sql: str, params: Sequence[str] = ()) -> Rows:
        """Run one statement. Integers that JavaScript would round come back exactly."""
        (result,) = self._post({"sql": sql, "params": list(params)})
        columns, rows = result["results"]["columns"], result["results"]["rows"]
        rounded = {
            place
            for row in rows
            for place, value in enumerate(row)
            if isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER
        }
        if rounded:
            names = ", ".join(f"c{place}" for place in range(len(columns)))
            exact = ", ".join(
                f"CAST(c{place} AS TEXT)" if place in rounded else f"c{place}"
                for place in range(len(columns))
            )
            whole = f"WITH answer({names}) AS ({sql}) SELECT {exact} FROM answer"
            (result,) = self._post({"sql": whole, "params": list(params)})
            rows = [
                [
                    int(value) if place in rounded and value is not None else value
                    for place, value in enumerate(row)
                ]
                for row in result["results"]["rows"]
            ]
        return Rows(map(tuple, rows))

    def executemany(self, sql: str, rows: Iterable[Sequence[str | int | None]]) -> None:
        """Run an `INSERT … VALUES (?, …)` for each of the rows."""
        found = _VALUES.search(sql)
        if found is None:
            raise NotImplementedError(sql)
        values = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(found[1].count("?")))
        insert = f"{sql[: found.start()]}SELECT {values} FROM json_each(?1)"
        everything = [list(row) for row in rows]
        for start in range(0, len(everything), ROWS_PER_REQUEST):
            chunk = json.dumps(everything[start : start + ROWS_PER_REQUEST], ensure_ascii=False)
            self._post({"sql": insert, "params": [chunk]})

    def executescript(self, sql: str) -> None:
        """Run several statements, all or none."""
        self._post({"sql": sql})

    def commit(self) -> None:
        """Do nothing: a statement is in when it was answered."""

    def close(self) -> None:
        """Do nothing: the client stays for the next one."""

    def _post(self, query: dict[str, object]) -> list[dict[str, Any]]:
        status, content = self._client.post(
            json.dumps(query, ensure_ascii=False).encode("utf-8", "surrogatepass")
        )
        answer = json.loads(content)
        if status != 200:
            message = answer["errors"][0]["message"]
            known = sqlite3.IntegrityError if "SQLITE_CONSTRAINT" in message else sqlite3.OperationalError
            raise known(message)
        results: list[dict[str, Any]] = answer["result"]
        return results
