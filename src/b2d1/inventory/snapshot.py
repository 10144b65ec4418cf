"""The inventory kept at a path or at s3://bucket/key, and touched only when it changed.

S3 here is AWS, with the credentials of whoever runs this, never B2's.
"""

import gzip
import hashlib
import os
import re
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError  # noqa: A004

from b2d1.disk import disk_hint
from b2d1.errors import Retry, SnapshotError, harmless
from b2d1.loopback import interpret_silence
from b2d1.middlebox import foreign_answer, is_web_page, untrusted_certificate
from b2d1.report import SnapshotReport
from b2d1.retry import TRY_AGAIN_STATUS, Deadline, Retrying, retry_after_seconds
from b2d1.run_folder import PREFIX, locked_folder, remove_dead_folders

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0
MESSAGE_LENGTH = 300
READ_BYTES = 1_000_000
# In the S3 object's metadata: the digest of the inventory before compression, and how many objects it has.
DIGEST_NAME, COUNT_NAME = "b2d1-sha256", "b2d1-objects"
# What is kept in S3 is first compressed into the run's own folder.
TMPDIR_NAMES = "TMPDIR names another place."
URI_NAMES = "SNAPSHOT_URI, or --snapshot, names another place."
MUST_NAME = "SNAPSHOT_URI, or --snapshot, must name a file that this user may write."
# How an inventory begins and ends, with a line for each object in between.
HEAD, FOOT = b'{"bucket":', b"\n]}\n"


class _Kept(NamedTuple):
    """What is known of a snapshot that is there: its digest, and the number of its objects."""

    sha256: str | None = None
    objects: int | None = None


def keep(
    document: Path, sha256: str, objects: int, uri: str, retrying: Retrying, *, ca_bundle: str | None = None
) -> SnapshotReport:
    """Keep an inventory at the place that `uri` names; .gz compresses it.

    `sha256` is its digest, `objects` how many it holds. Raises SnapshotError; what was there before is then
    whole. `ca_bundle` is the setting.
    """
    try:
        if uri.startswith("s3://"):
            before = _keep_in_s3(document, _Kept(sha256, objects), uri, retrying, ca_bundle)
        else:
            before = _keep_at_path(document, sha256, uri)
    except OSError as failure:
        said = failure.strerror or str(failure)
        raise SnapshotError(
            f"{said}: {failure.filename}" if failure.filename else said,
            doing=f"keeping the snapshot at {uri}",
            hint=disk_hint(failure, TMPDIR_NAMES if uri.startswith("s3://") else URI_NAMES, MUST_NAME),
        ) from failure
    except SnapshotError as error:
        error.doing = f"keeping the snapshot at {uri}"
        raise
    return SnapshotReport(uri, sha256, before.sha256 != sha256, before.objects)


def _keep_at_path(document: Path, sha256: str, uri: str) -> _Kept:
    """Keep the inventory; return what was there before."""
    path, zipped = Path(os.path.realpath(uri)), uri.endswith(".gz")
    remove_dead_folders(path.parent, f".{PREFIX}")
    before, kept = path.stat() if path.exists() else None, _Kept()
    if before:
        # A folder cannot be replaced, a device must not be, and a pipe would have us wait.
        if not stat.S_ISREG(before.st_mode):
            raise OSError("it is no ordinary file")
        kept = _read(path, zipped=zipped)
        if kept.sha256 == sha256:
            return kept
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the snapshot, because a file can be renamed only within its file system.
    with locked_folder(path.parent, f".{PREFIX}") as folder, (folder / "snapshot").open("xb") as new:
        _copy(document, new, zipped=zipped)
        new.flush()
        os.fsync(new.fileno())
        if before:
            os.fchmod(new.fileno(), stat.S_IMODE(before.st_mode))
        Path(new.name).replace(path)
    return kept


def _read(path: Path, *, zipped: bool) -> _Kept:
    """Compute the digest of a file's content, and count the objects if it is an inventory as we write it."""
    opened = gzip.open if zipped else open
    digest, lines, head, foot = hashlib.sha256(), 0, b"", b""
    with suppress(EOFError, zlib.error, gzip.BadGzipFile), opened(path, "rb") as file:
        while data := file.read(READ_BYTES):
            digest.update(data)
            lines += data.count(b"\n")
            head, foot = head or data[: len(HEAD)], (foot + data)[-len(FOOT) :]
        # The first line has none, nor has the last; in a key a line's end is written as \\n.
        return _Kept(digest.hexdigest(), lines - 2 if (head, foot) == (HEAD, FOOT) else None)
    return _Kept()


def _copy(document: Path, target: IO[bytes], *, zipped: bool) -> None:
    with document.open("rb") as source:
        if not zipped:
            shutil.copyfileobj(source, target)
            return
        # No name and no time in it: the same inventory gives the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0) as packed:
            shutil.copyfileobj(source, packed)


def _keep_in_s3(document: Path, new: _Kept, uri: str, retrying: Retrying, ca_bundle: str | None) -> _Kept:
    """Keep the inventory; return what was there before."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    client = s3_call(lambda: s3_client(retrying.deadline, ca_bundle), retrying)
    head = s3_call(lambda: client.head_object(Bucket=bucket, Key=key), retrying, absent={403, 404})
    told = head["Metadata"] if head else {}
    count = told.get(COUNT_NAME, "")
    kept = _Kept(told.get(DIGEST_NAME), int(count) if re.fullmatch("[0-9]{1,18}", count) else None)
    if kept.sha256 == new.sha256:
        return kept
    with tempfile.TemporaryFile(dir=document.parent) as body:
        _copy(document, body, zipped=key.endswith(".gz"))

        def put() -> None:
            body.seek(0)
            answer = client.put_object(
                Bucket=bucket,
                Key=key,
                Body=body,
                Metadata={DIGEST_NAME: str(new.sha256), COUNT_NAME: str(new.objects)},
                ContentType="application/gzip" if key.endswith(".gz") else "application/json",
            )
            if "ETag" not in answer:  # botocore believes any page that comes under HTTP 200
                raise not_s3()

        s3_call(put, retrying)
    return kept


def s3_client(deadline: Deadline, ca_bundle: str | None) -> Any:
    """Make a client of AWS's S3, with the credentials and the region of whoever runs this."""
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=deadline.timeout(CONNECT_TIMEOUT),
        read_timeout=deadline.timeout(READ_TIMEOUT),
    )
    return boto3.session.Session().client("s3", config=config, verify=ca_bundle)


def not_s3() -> SnapshotError:
    """Describe a success that does not hold what S3 answers."""
    hint = "Does something on the way to S3 answer in its place?"
    return SnapshotError("the answer is not S3's", hint=hint, retry=Retry.SOON)


def s3_call(request: Callable[[], Any], retrying: Retrying, absent: Iterable[int] = ()) -> Any:
    """Make a request of S3, again where that may help; None where its status says that nothing is there.

    Without s3:ListBucket, S3 answers 403 for what is absent.
    """

    def attempt() -> Any:
        try:
            return request()
        except ClientError as failure:
            answer: Any = failure.response
            about, told = answer["ResponseMetadata"], answer["Error"]
            status = about.get("HTTPStatusCode", 0)
            headers = about.get("HTTPHeaders", {})
            foreign = foreign_answer("S3", status, headers, page=is_web_page(headers))
            if status in absent and not foreign:
                return None
            said = harmless(f"{told.get('Code')}: {told.get('Message')}", MESSAGE_LENGTH)
            error = SnapshotError(
                f"S3 answered {status} {said}",
                hint="The role needs s3:GetObject and s3:PutObject there, and the bucket must exist.",
                retry=Retry.SOON if status in TRY_AGAIN_STATUS else Retry.NEVER,
                retry_after=retry_after_seconds(headers.get("retry-after")),
            )
            if foreign:
                error.message, error.hint = foreign
            raise error from failure
        except (HTTPClientError, ConnectionError) as failure:
            url = str(failure.kwargs.get("endpoint_url") or "")
            if untrusted := untrusted_certificate(failure, url or "S3", "the region, and AWS_ENDPOINT_URL"):
                raise SnapshotError(untrusted.message, hint=untrusted.hint) from failure
            error = SnapshotError(str(failure), retry=Retry.SOON)
            error.hint, error.patience = interpret_silence(
                url, "AWS_ENDPOINT_URL", failure, "Is S3, of that region, reachable from here?"
            )
            raise error from failure
        # ValueError: an endpoint that is none. OSError: a program that is to give the credentials, and is
        # not there.
        except (BotoCoreError, ValueError, OSError) as failure:
            raise SnapshotError(
                str(failure),
                hint="Give this user, or this role, AWS credentials and a region: AWS_* variables or ~/.aws.",
            ) from failure

    return retrying.call(attempt)
