"""The versioned bucket behind the embedded B2: moto's own, with B2's version ids and a clock of its own."""

import datetime as dt
import hashlib
import threading
from itertools import chain, count
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.exceptions import MissingBucket
from moto.s3.models import (
    FakeAcl,
    FakeBucket,
    FakeDeleteMarker,
    FakeGrant,
    FakeGrantee,
    FakeKey,
    S3Backend,
    s3_backends,
)

Version = FakeKey | FakeDeleteMarker
Versions = list[tuple[str, list[Version]]]

FIRST_UPLOAD = dt.datetime(2024, 3, 9, 14, 0, 0, tzinfo=dt.UTC)
BETWEEN_UPLOADS = dt.timedelta(seconds=37, milliseconds=129)


def version_id(bucket: str, key: str, number: int, uploaded: dt.datetime) -> str:
    """Make a version id of B2's form, always the same one for the same bucket, key, number and time.

    The form: https://www.backblaze.com/docs/cloud-storage-files, and, for the milliseconds at its end,
    https://github.com/iterate-ch/cyberduck/issues/14768
    """
    file = hashlib.sha256(f"{number}:{key}".encode()).hexdigest()
    vault, thread = int(file[16:22], 16) % 10_000_000, int(file[22:26], 16) % 10_000
    return (
        f"4_z{hashlib.sha256(bucket.encode()).hexdigest()[:24]}_f{file[:16]}"
        f"_d{uploaded:%Y%m%d}_m{uploaded:%H%M%S}_c004_v{vault:07}_t{thread:04}"
        f"_u0{int(uploaded.timestamp() * 1000):013}"
    )


class Bucket(S3Backend):
    """Keep one versioned bucket in a moto backend that no other user of moto can see or reset."""

    def __init__(self, name: str, region: str) -> None:
        super().__init__("aws", DEFAULT_ACCOUNT_ID)
        self.name = name
        self._uploads = count(1)
        self._lock = threading.Lock()
        bucket = FakeBucket(name, self.account_id, region)  # type: ignore[abstract]
        bucket.versioning_status = "Enabled"
        # moto refuses a second bucket of a name it has on this list, wherever it is.
        s3_backends.bucket_accounts.pop(name, None)
        self.buckets[name] = bucket

    def get_bucket(self, bucket_name: str) -> FakeBucket:
        """Find a bucket here, never one of the same name elsewhere in moto."""
        if bucket_name not in self.buckets:
            raise MissingBucket(bucket=bucket_name)
        return self.buckets[bucket_name]

    def versions(self, bucket_name: str) -> Versions:
        """Return every key in UTF-8 byte order, each with its versions, newest last."""
        # dict's own items(): the key store's would give the newest version only. And Python orders strings by
        # code point, which is the order of their UTF-8 bytes.
        return sorted(dict.items(self.get_bucket(bucket_name).keys))

    def put_object(self, bucket_name: str, key_name: str, value: bytes, *args: Any, **kwargs: Any) -> FakeKey:
        """Store an object as moto does, with a version id and a time of our own."""
        # Otherwise moto computes an ETag at first sight, from a buffer that it does not lock.
        kwargs["etag"] = kwargs.get("etag") or hashlib.md5(value, usedforsecurity=False).hexdigest()
        with self._lock:
            key = super().put_object(bucket_name, key_name, value, *args, **kwargs)
            self._stamp(bucket_name, key)
        return key

    def _set_delete_marker(self, bucket_name: str, key_name: str) -> FakeDeleteMarker:
        with self._lock:
            marker = super()._set_delete_marker(bucket_name, key_name)
            self._stamp(bucket_name, marker)
        return marker

    def _stamp(self, bucket_name: str, version: Version) -> None:
        # A reset of moto by anyone would close every object on this list.
        vars(type(version))["instances_tracked"].remove(version)
        number = next(self._uploads)
        version.last_modified = FIRST_UPLOAD + number * BETWEEN_UPLOADS
        version._version_id = version_id(bucket_name, version.name, number, version.last_modified)  # noqa: SLF001

    def remove_all(self) -> None:
        """Drop every version of every key."""
        for bucket in self.buckets.values():
            for version in chain.from_iterable(found for _, found in bucket.keys.lists()):
                if isinstance(version, FakeKey):
                    version.dispose()
            bucket.keys.clear()

    def close(self) -> None:
        """Drop everything, also what moto would keep of it for as long as the process lives."""
        self.remove_all()
        for kind in (FakeAcl, FakeBucket, FakeGrant, FakeGrantee):
            vars(kind)["instances_tracked"].clear()
