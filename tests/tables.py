"""The table as the tests of what is said about it use it: in one database, with the code in front of it."""

import json
from contextlib import closing
from typing import Any

from conftest import AnyD1, FakeTime

from b2d1.d1.database import Database
from b2d1.media import media_uid
from b2d1.settings import Settings
from b2d1.table.guards import Guards
from b2d1.table.media_assets import MediaAssets

# The table as it has been documented from the beginning: databases hold exactly this.
DOCUMENTED_TABLE = """\
CREATE TABLE media_assets (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  media_uid TEXT NOT NULL UNIQUE,
  b2_key TEXT NOT NULL,
  b2_file_id TEXT,
  size INTEGER NOT NULL,
  etag TEXT,
  ingested_at TEXT NOT NULL DEFAULT (datetime('now'))
);"""
COLUMNS = "media_uid TEXT NOT NULL, b2_key TEXT NOT NULL, b2_file_id TEXT, size INTEGER NOT NULL, etag TEXT"

Row = tuple[str | None, str | None, str | None, int | None, str | None]


class Bench:
    """D1, and the code under test in front of it."""

    def __init__(self, d1: AnyD1, time: FakeTime, url: str | None = None) -> None:
        env = d1.settings() | ({"CLOUDFLARE_API_BASE_URL": url} if url else {})
        self.d1 = d1
        self.database = Database(Settings.from_env(env, b2=False).d1, time.retrying())  # type: ignore[arg-type]
        self.database.resolve()
        self.table = MediaAssets(self.database, time.retrying())

    def guards(self) -> Guards:
        """Make the guards of the table."""
        return Guards(self.table)

    def execute(self, sql: str) -> None:
        """Run statements behind the server's back."""
        with closing(self.d1.connect()) as connection:
            connection.executescript(sql)

    def fill(self, *rows: Row) -> None:
        """Insert rows behind the server's back."""
        with closing(self.d1.connect()) as connection, connection:
            insert = (
                "INSERT INTO media_assets (media_uid, b2_key, b2_file_id, size, etag) VALUES (?, ?, ?, ?, ?)"
            )
            connection.executemany(insert, rows)

    def rows(self) -> list[Any]:
        """Read the table behind the server's back."""
        with closing(self.d1.connect()) as connection:
            columns = "media_uid, b2_key, b2_file_id, size, etag"
            return connection.execute(f"SELECT {columns} FROM media_assets ORDER BY id").fetchall()


def chunk(*rows: Any) -> str:
    """Write rows as a chunk."""
    return json.dumps(rows, ensure_ascii=False)


def row(key: str, file_id: str, etag: str | None = None, size: int = 1) -> Row:
    """Make the row of an object."""
    return media_uid(file_id, key), key, file_id, size, etag
