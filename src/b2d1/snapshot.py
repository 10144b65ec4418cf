"""The inventory kept at a path or at s3://bucket/key, and touched only when it changed.

S3 here is AWS, with the credentials of whoever runs this, never B2's.
"""

import gzip
import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from b2d1.errors import Retry, SnapshotError
from b2d1.report import SnapshotReport
from b2d1.retry import Retrying

DIGEST_NAME = "b2d1-sha256"  # in the S3 object's metadata: the digest of the inventory before compression
TRY_AGAIN_STATUS = {408, 429, 500, 502, 503, 504}


def keep(document: Path, sha256: str, uri: str, retrying: Retrying) -> SnapshotReport:
    """Keep an inventory, whose digest is `sha256`, at the place that `uri` names; .gz compresses it.

    Raises SnapshotError; what was there before is whole then.
    """
    try:
        if uri.startswith("s3://"):
            changed = _keep_in_s3(document, sha256, uri, retrying)
        else:
            changed = _keep_at_path(document, sha256, Path(uri))
    except OSError as failure:
        raise SnapshotError(
            failure.strerror or str(failure),
            doing=f"keeping the snapshot at {uri}",
            hint="SNAPSHOT_URI, or --snapshot, must name a file that this user may write.",
        ) from failure
    except SnapshotError as error:
        error.doing = f"keeping the snapshot at {uri}"
        raise
    return SnapshotReport(uri, sha256, changed)


def _keep_at_path(document: Path, sha256: str, path: Path) -> bool:
    path = path.resolve()
    if _digest(path) == sha256:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        try:
            _copy(document, new, zipped=path.suffix == ".gz")
            new.flush()
            os.fsync(new.fileno())
            # A temporary file is its owner's alone; a snapshot is as readable as any file made here.
            umask = os.umask(0)
            os.umask(umask)
            os.fchmod(new.fileno(), 0o666 & ~umask)
            Path(new.name).replace(path)
        except BaseException:
            Path(new.name).unlink()
            raise
    return True


def _digest(path: Path) -> str | None:
    """Compute the digest of the inventory at a path; None when there is none that can be read."""
    opened = gzip.open if path.suffix == ".gz" else open
    with suppress(FileNotFoundError, EOFError, zlib.error, gzip.BadGzipFile), opened(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None


def _copy(document: Path, target: IO[bytes], *, zipped: bool) -> None:
    with document.open("rb") as source:
        if not zipped:
            shutil.copyfileobj(source, target)
            return
        # No name and no time in it: the same inventory gives the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0) as packed:
            shutil.copyfileobj(source, packed)


def _keep_in_s3(document: Path, sha256: str, uri: str, retrying: Retrying) -> bool:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    config = Config(retries={"total_max_attempts": 1})
    client: Any = boto3.session.Session().client("s3", config=config)
    head = _call(lambda: client.head_object(Bucket=bucket, Key=key), retrying, absent={403, 404})
    if head and head["Metadata"].get(DIGEST_NAME) == sha256:
        return False
    with tempfile.TemporaryFile(dir=document.parent) as body:
        _copy(document, body, zipped=key.endswith(".gz"))

        def put() -> Any:
            body.seek(0)
            return client.put_object(
                Bucket=bucket,
                Key=key,
                Body=body,
                Metadata={DIGEST_NAME: sha256},
                ContentType="application/gzip" if key.endswith(".gz") else "application/json",
            )

        _call(put, retrying)
    return True


def _call(request: Callable[[], Any], retrying: Retrying, absent: Iterable[int] = ()) -> Any:
    """Make a request of S3, again where that may help; None where its status says that nothing is there.

    Without s3:ListBucket, S3 answers 403 for what is absent.
    """

    def attempt() -> Any:
        try:
            return request()
        except ClientError as failure:
            answer: Any = failure.response
            status = answer["ResponseMetadata"].get("HTTPStatusCode", 0)
            if status in absent:
                return None
            raise SnapshotError(
                f"S3 answered {status} {answer['Error'].get('Code')}: {answer['Error'].get('Message')}",
                hint="The role needs s3:GetObject and s3:PutObject there, and the bucket must exist.",
                retry=Retry.SOON if status in TRY_AGAIN_STATUS else Retry.NEVER,
            ) from failure
        except BotoCoreError as failure:
            raise SnapshotError(
                str(failure),
                hint="AWS credentials and a region come from this user's or this role's own configuration.",
                retry=Retry.SOON if isinstance(failure, HTTPClientError) else Retry.NEVER,
            ) from failure

    return retrying.call(attempt)
