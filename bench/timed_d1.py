"""Cloudflare's own D1 engine, as `sandbox.cloudflare` serves it, which also tells how long it was held."""

import re
from collections.abc import Sequence

from sandbox.account import Database
from sandbox.cloudflare import CloudflareD1
from sandbox.wrangler import LocalDatabase, Wrangler

_PUBLISHES = b"INSERT INTO media_assets"
_DURATION = re.compile(rb'"duration":([0-9.e+-]+)')


class TimedD1(CloudflareD1):
    """Serve a database; `publishes` lists the engine's own durations of inserts into the table (ms).

    `engine_url` leads to the database past all that stands in front of the engine.
    """

    def __init__(self, wrangler: Wrangler, database: LocalDatabase) -> None:
        super().__init__(wrangler, database)
        self.publishes: list[float] = []
        self.engine_url = f"{wrangler.url}/{database.id}/raw"

    def open(self) -> Sequence[Database]:
        namesake, database = super().open()
        return [namesake, _Timed(database, self.publishes)]


class _Timed:
    def __init__(self, database: Database, publishes: list[float]) -> None:
        self._database = database
        self._publishes = publishes
        self.query = database.query
        self.bookmark = database.bookmark

    def raw(self, body: bytes) -> bytes | list[object]:
        answer = self._database.raw(body)
        if _PUBLISHES in body and isinstance(answer, bytes):
            self._publishes += map(float, _DURATION.findall(answer))
        return answer
