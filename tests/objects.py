"""Objects that no bucket has to hold: a source of them, the rows they make, and a run on them."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, ClassVar

from conftest import AnyD1, Stack

from b2d1.d1.database import Database
from b2d1.exclude import NOTHING
from b2d1.media import Batch, ListMode, MediaObject, media_uid
from b2d1.report import SyncReport
from b2d1.sync.steps import Job, Source, sync

ROWS = "media_uid, b2_key, b2_file_id, size, etag"


def execute(d1: AnyD1, sql: str, rows: Sequence[tuple[Any, ...]] = ()) -> None:
    """Run statements, or one for each of the rows, behind the server's back."""
    with closing(d1.connect()) as connection, connection:
        if rows:
            connection.executemany(sql, rows)
        else:
            connection.executescript(sql)


def fill(d1: AnyD1, rows: Sequence[tuple[Any, ...]]) -> None:
    execute(d1, f"INSERT INTO media_assets ({ROWS}) VALUES (?, ?, ?, ?, ?)", rows)


class NoBucket:
    """Stands where a stack wants a bucket, and is none."""

    requests: ClassVar[list[str]] = []

    def settings(self) -> dict[str, str]:
        return {
            "B2_KEY_ID": "none",
            "B2_APP_KEY": "none",
            "B2_BUCKET": "none",
            "B2_ENDPOINT": "https://s3.none",
        } | {"B2_REGION": "none"}


class Objects:
    """A source of given objects, in batches as a listing has them."""

    bucket = "bucket"
    prefix = ""
    list_mode: ListMode = "objects"
    is_bucket = True
    exclude = NOTHING
    excluded = 0
    unidentified = 0
    requests = 1
    key_order = "utf-8"

    def __init__(self, objects: Sequence[MediaObject], batch: int = 1000) -> None:
        self._objects = objects
        self._batch = batch
        self.discovered = 0

    def batches(self, _known_keys: Callable[[], list[str]]) -> Generator[Batch]:
        for start in range(0, len(self._objects), self._batch):
            batch = list(self._objects[start : start + self._batch])
            self.discovered += len(batch)
            yield Batch("", batch, [])


def numbered(count: int, start: int = 0, width: int = 0) -> list[MediaObject]:
    """Make objects whose keys are numbers, filled up to a width."""
    etags = [f'"{number:032x}"' for number in range(start, start + count)]
    return [
        MediaObject(f"k/{number:09}".ljust(width, "x"), number, "", etag, etag)
        for number, etag in enumerate(etags, start)
    ]


def as_row(media: MediaObject) -> tuple[Any, ...]:
    return media_uid(media.file_id, media.key), media.key, media.file_id, media.size, media.etag


def run(stack: Stack, source: Source, **job: Any) -> tuple[SyncReport, list[str]]:
    """Run the job on a source of its own; return the report, and the SQL of a dry run."""
    printed: list[str] = []
    database = Database(stack.settings.d1, stack.time.retrying())  # type: ignore[arg-type]
    report = sync(source, database, Job(**job), stack.time.retrying(), write_sql=printed.append)
    return report, printed
