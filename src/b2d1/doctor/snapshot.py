"""The place of the snapshot, tried without a trace: what is kept there stays as it is.

A path: a file without a name is made in its folder. s3://: the object's metadata are read, and an upload in
parts, of which S3 keeps nothing before it is completed, is begun and taken back.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from b2d1.disk import disk_hint
from b2d1.doctor.configuration import SETTINGS, Sound
from b2d1.doctor.finding import Check, Found, fail, ok, warn
from b2d1.errors import SnapshotError
from b2d1.inventory.snapshot import not_s3, s3_call, s3_client
from b2d1.retry import Retrying

SNAPSHOT = "snapshot"
FILE_FIX = "Name in SNAPSHOT_URI a file that this user may write."


def snapshot_check(sound: Sound, retrying: Retrying) -> Check:
    """Make the check of the place."""
    return Check(
        SNAPSHOT,
        lambda: _look(sound.snapshot_uri, retrying, sound.ca_bundle),
        () if sound.snapshot_is_sound else (SETTINGS,),
    )


def _look(uri: str | None, retrying: Retrying, ca_bundle: str | None) -> Found:
    if uri is None:
        return ok("none is kept: SNAPSHOT_URI is not set")
    if uri.startswith("s3://"):
        return _look_in_s3(uri, retrying, ca_bundle)
    try:
        return _look_at_path(Path(os.path.realpath(uri)))
    except OSError as failure:
        return fail(
            SnapshotError.exit_code, f"{uri}: {failure.strerror or failure}", disk_hint(failure, FILE_FIX)
        )


def _look_at_path(path: Path) -> Found:
    if path.exists() and not path.is_file():
        return fail(SnapshotError.exit_code, f"{path}: it is no ordinary file", FILE_FIX)
    # A run makes the folders that are not there.
    folder = next(parent for parent in path.parents if parent.exists())
    with tempfile.TemporaryFile(dir=folder):
        pass
    if path.exists():
        with path.open("rb"):  # a run reads what is there, to see whether it changed
            pass
        return ok(f"{path}: it is there, and its folder can be written to")
    made = "" if folder == path.parent else f", in {folder}, with the folders between"
    return ok(f"{path}: it can be made{made}")


def _look_in_s3(uri: str, retrying: Retrying, ca_bundle: str | None) -> Found:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    place = {"Bucket": bucket, "Key": key}
    try:
        client = s3_call(lambda: s3_client(retrying.deadline, ca_bundle), retrying)
        head = s3_call(lambda: client.head_object(**place), retrying, absent={403, 404})
        upload = s3_call(lambda: _begun(client.create_multipart_upload(**place)), retrying)
    except SnapshotError as error:
        return fail(error.exit_code, f"{uri}: {error}", error.hint)
    try:
        s3_call(lambda: client.abort_multipart_upload(**place, UploadId=upload), retrying)
    except SnapshotError as error:
        return warn(
            f"{uri}: it can be written, but the upload begun to try it could not be taken back: {error}",
            "Let these credentials abort uploads (s3:AbortMultipartUpload), or let the bucket drop what is "
            "unfinished, as template.yaml's does after a day.",
        )
    there = "it is there, and can be read and replaced" if head else "it can be written"
    return ok(f"{uri}: {there} with the AWS credentials at hand (the function has its own)")


def _begun(answer: Any) -> str:
    upload = answer.get("UploadId")
    if not isinstance(upload, str) or not upload:
        raise not_s3()
    return upload
