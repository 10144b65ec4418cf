"""Those who list: b2d1, the stock boto3 paginator, and the floor under both.

Each is prepared first, with a page for warm-up; what it returns then does the whole work and is measured. It
counts the objects and digests what it made of them, so that none is fast by doing less.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import boto3

from b2d1.b2.bucket import Bucket
from b2d1.inventory.writer import InventoryWriter
from b2d1.listing.listing import Listing
from b2d1.media import ListMode, media_uid
from b2d1.settings import B2Settings, Settings
from bench.bucket import SyntheticBucket
from bench.pages import pages

BUCKET, REGION, MADE_UP = "bench", "us-west-004", "made-up"
ROWS = {"objects": "Contents", "versions": "Versions"}
FILE_ID = {"objects": "ETag", "versions": "VersionId"}
# A row as B2 writes it, to the last blank.
FLOOR_ROW: dict[ListMode, str] = {
    "objects": r"<ETag>(?P<id>[^<]*)</ETag>\s*<Key>(?P<key>[^<]*)</Key>",
    "versions": (
        r"<Key>(?P<key>[^<]*)</Key>\s*<LastModified>[^<]*</LastModified>\s*"
        r"<Owner>\s*<ID>[^<]*</ID>\s*<DisplayName></DisplayName>\s*</Owner>\s*"
        r"<Size>[^<]*</Size>\s*<StorageClass>[^<]*</StorageClass>\s*<VersionId>(?P<id>[^<]*)</VersionId>"
    ),
}


class Task(NamedTuple):
    """What to list, and where from; an inventory is written to `out`."""

    mode: ListMode
    alphabet: str
    objects: int
    url: str
    out: BinaryIO


class Listed(NamedTuple):
    """How many objects were listed, and the digest of all their uids; none of an inventory."""

    objects: int
    digest: str = ""


Work = Callable[[], Listed]


def b2d1_uids(task: Task) -> Work:
    bucket = _b2d1_bucket(task)
    return lambda: _digested(
        [media_uid(media.file_id, media.key) for media in batch.objects]
        for batch in Listing(bucket).batches()
    )


def stock_uids(task: Task) -> Work:
    client, field = _stock_client(task), FILE_ID[task.mode]
    return lambda: _digested(
        [media_uid(row[field], row["Key"]) for row in page] for page in _stock_pages(client, task.mode)
    )


def floor_uids(task: Task) -> Work:
    """Compute the uids of the same bytes with nothing around it: no requests, no checks, no objects."""
    texts = list(pages(SyntheticBucket(task.alphabet, task.objects), task.mode))
    row = re.compile(FLOOR_ROW[task.mode])
    key_column, id_column = row.groupindex["key"], row.groupindex["id"]

    def uids(text: str) -> list[str]:
        columns = row.split(text)
        keys = _unescaped("\n".join(columns[key_column::3])).split("\n")
        named = zip(columns[id_column::3], keys, strict=True)
        return [
            f"b2_{hashlib.sha256(f'{file_id}:{key}'.encode()).hexdigest()[:40]}" for file_id, key in named
        ]

    return lambda: _digested(map(uids, texts))


def b2d1_inventory(task: Task) -> Work:
    bucket = _b2d1_bucket(task)

    def work() -> Listed:
        listing = Listing(bucket)
        with tempfile.TemporaryDirectory() as folder:
            named = (listing.bucket, listing.prefix, listing.list_mode)
            writer = InventoryWriter(task.out, *named, Path(folder))
            for batch in listing.batches():
                writer.add(batch.objects, batch.part)
            writer.close()
        return Listed(listing.discovered)

    return work


def stock_inventory(task: Task) -> Work:
    """Write the same bytes as b2d1: what json.dumps makes of an object, with its encoder made only once."""
    client, encode = _stock_client(task), json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

    def entry(row: dict[str, Any]) -> dict[str, Any]:
        uploaded = row["LastModified"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
        etag = row["ETag"]
        return {
            "key": row["Key"],
            "size": row["Size"],
            "last_modified": uploaded,
            "etag": etag,
            "file_id": etag,
        }

    def work() -> Listed:
        count, between = 0, "\n"
        head = encode({"bucket": BUCKET, "prefix": "", "list_mode": task.mode, "objects": []})
        task.out.write(head[:-2].encode())
        for page in _stock_pages(client, task.mode):
            for row in page:
                task.out.write(f"{between}{encode(entry(row))}".encode())
                between = ",\n"
            count += len(page)
        task.out.write(b"\n]}\n")
        return Listed(count)

    return work


CONTENDERS: dict[str, dict[str, Callable[[Task], Work]]] = {
    "uids": {"b2d1": b2d1_uids, "stock": stock_uids, "floor": floor_uids},
    "inventory": {"b2d1": b2d1_inventory, "stock": stock_inventory},
}


def _b2d1_bucket(task: Task) -> Bucket:
    env = {"B2_ENDPOINT": task.url, "B2_REGION": REGION, "B2_BUCKET": BUCKET, "B2_LIST_MODE": task.mode}
    env["B2_LIST_WORKERS"] = "1"  # or it would share the processor with itself
    keys = {"B2_KEY_ID": MADE_UP, "B2_APP_KEY": MADE_UP}
    bucket = Bucket(cast("B2Settings", Settings.from_env(env | keys, d1=False).b2))
    bucket.page({})
    return bucket


def _stock_client(task: Task) -> Any:
    client = boto3.client(
        "s3",
        endpoint_url=task.url,
        region_name=REGION,
        aws_access_key_id=MADE_UP,
        aws_secret_access_key=MADE_UP,
    )
    next(_stock_pages(client, task.mode))
    return client


def _stock_pages(client: Any, mode: ListMode) -> Iterator[list[dict[str, Any]]]:
    operation = {"objects": "list_objects_v2", "versions": "list_object_versions"}[mode]
    for page in client.get_paginator(operation).paginate(Bucket=BUCKET):
        yield page[ROWS[mode]]


def _digested(pages_of_uids: Iterable[list[str]]) -> Listed:
    count, digest = 0, hashlib.sha256()
    for uids in pages_of_uids:
        count += len(uids)
        digest.update("".join(uids).encode())
    return Listed(count, digest.hexdigest())


def _unescaped(text: str) -> str:
    # A page of url-encoded keys has no backslash of its own.
    escaped = text.replace("+", " ").replace("%", r"\x").encode("ascii")
    return escaped.decode("unicode_escape").encode("latin-1").decode()
