"""What the bucket holds, what the table held before, and the rows that a run is to add."""

import hashlib
from typing import Any

from drill.steps import Start

# Keys this long fill a chunk (900 kB) with some 800 rows: three chunks, from two pages of a listing.
COUNT, KEY_LENGTH = 1800, 1000
# Two chunks go in as one round, the third one by itself.
ROWS_PER_PUBLISH = 1690
STORED = 100
COLUMNS = ("media_uid", "b2_key", "b2_file_id", "size", "etag")

Row = tuple[Any, ...]

OBJECTS = [(f"{number:05}/".ljust(KEY_LENGTH, "x"), b"content %d" % number) for number in range(COUNT)]


def row(key: str, content: bytes) -> Row:
    """Work out an object's row from nothing but what the table promises."""
    etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    uid = "b2_" + hashlib.sha256(f"{etag}:{key}".encode()).hexdigest()[:40]
    return uid, key, etag, len(content), etag


# The table knows some of the objects, or the same keys with other content.
STORED_ROWS: dict[Start, list[Row]] = {
    "known": [row(*each) for each in OBJECTS[:STORED]],
    "replaced": [row(key, b"before") for key, _ in OBJECTS[:STORED]],
}
NEW_ROWS: dict[Start, list[Row]] = {
    "known": [row(*each) for each in OBJECTS[STORED:]],
    "replaced": [row(*each) for each in OBJECTS],
}
