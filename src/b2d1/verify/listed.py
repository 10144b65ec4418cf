"""What a listing brought, on disk: found again by its media_uid, and ticked off when it was."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from b2d1.media import MediaObject, media_uid
from b2d1.scratch import disk_faults, open_scratch


class Found(NamedTuple):
    """What is compared of a listed object."""

    size: int
    etag: str | None


class Listed:
    """The objects of one listing, in a file of `folder`: `add` all, then `seal`, then `find`."""

    def __init__(self, folder: Path) -> None:
        self._database = open_scratch(folder / "listed.sqlite3")
        self._database.execute("CREATE TABLE object (found, uid, key, size, etag, file_id)")
        self._has_key_index = False

    def add(self, objects: Iterable[MediaObject]) -> None:
        """Put some more objects down."""
        rows = (
            (0, media_uid(media.file_id, media.key), media.key, media.size, media.etag, media.file_id)
            for media in objects
        )
        with disk_faults():
            self._database.executemany("INSERT INTO object VALUES (?, ?, ?, ?, ?, ?)", rows)

    def seal(self) -> None:
        """Make the objects ready to be found; at once, and not one by one, since uids come in no order."""
        with disk_faults():
            self._database.execute("CREATE INDEX object_uid ON object (uid)")

    def find(self, uid: str) -> Found | None:
        """Find the object of that media_uid, and tick it off."""
        with disk_faults():
            query = "SELECT rowid, size, etag FROM object WHERE uid = ?"
            found = self._database.execute(query, (uid,)).fetchone()
            if not found:
                return None
            rowid, *values = found
            self._database.execute("UPDATE object SET found = 1 WHERE rowid = ?", (rowid,))
        return Found(*values)

    def under(self, key: str) -> list[MediaObject]:
        """Return the objects that are listed under a key."""
        with disk_faults():
            if not self._has_key_index:  # most verifications do without
                self._database.execute("CREATE INDEX object_key ON object (key)")
                self._has_key_index = True
            query = "SELECT key, size, '', etag, file_id FROM object WHERE key = ?"
            return list(map(MediaObject._make, self._database.execute(query, (key,))))

    def left(self) -> int:
        """Count the objects that were not found."""
        with disk_faults():
            return int(self._database.execute("SELECT count(*) FROM object WHERE found = 0").fetchone()[0])

    def some_left(self, most: int) -> list[tuple[str, str]]:
        """Return the keys and uids of the first of them, in the order of their keys."""
        with disk_faults():
            query = "SELECT key, uid FROM object WHERE found = 0 ORDER BY key, uid LIMIT ?"
            return self._database.execute(query, (most,)).fetchall()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
