"""An object of the bucket and its identity.

A key is opaque: it is never stripped, normalised, unquoted twice or re-encoded.
"""

import hashlib
import re
from typing import Literal, NamedTuple

ListMode = Literal["objects", "versions"]
# The form of identity that a listing of a bucket gives in each mode (see `form_of`).
FORM_OF_MODE: dict[ListMode, str] = {"objects": "quoted", "versions": "version"}
# MD5, SHA-1 or SHA-256, or an MD5 with the number of parts behind it.
_HASH = re.compile(r"([0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})(-.*)?", re.DOTALL)

# Backblaze: "up to 1,024 bytes of UTF-8", codes below 32 and 127 are refused; S3 has the same length.
# https://www.backblaze.com/docs/cloud-storage-files
MAX_KEY_BYTES = 1024
# "fileId: … max 200 characters" (same page); an ETag is shorter. Wide enough for any S3 host.
MAX_FIELD_BYTES = 1024
# SQLite's integers have 64 bits.
MAX_SIZE = 2**63 - 1


class MediaObject(NamedTuple):
    """One object as B2 lists it: `size` in bytes, `last_modified` and `etag` exactly as given.

    `file_id` is the ETag, quotes included, in list mode `objects`, and the VersionId in `versions`.
    """

    key: str
    size: int
    last_modified: str
    etag: str | None
    file_id: str


class Batch(NamedTuple):
    """Some objects of one part of a listing, in order; the parts' order is that of their names.

    The first part, and a listing that is not divided, is named "". `unidentified` are the keys of objects
    that have no identity, and so are not among them.
    """

    part: str
    objects: list[MediaObject]
    unidentified: list[str]


def media_uid(file_id: str, key: str) -> str:
    """Compute the identity of an object: the same for the same content under the same key, forever."""
    return "b2_" + hashlib.sha256(f"{file_id}:{key}".encode()).hexdigest()[:40]


def form_of(file_id: str) -> str:
    """Return the form of a file id: `quoted` (an ETag), `version` (4_z…), `hash of 32` digits, or `bare`."""
    if file_id.startswith("4_z"):
        return "version"
    if file_id.startswith('"'):
        return "quoted"
    found = _HASH.fullmatch(file_id)
    return f"hash of {len(found[1])}" if found else "bare"


# A file id of these forms is an ETag, so that it can be compared with one.
_ETAG_FORMS = {"quoted", "hash of 32"}


def is_doubled(stored: tuple[str | None, str | None], listed: tuple[str, str | None]) -> bool:
    """Return True if a stored row cannot be known to be an older content of the object listed under its key.

    Both are (file_id, etag), of different media_uids. `table.identity` has the same rule in SQL.
    """
    (stored_id, stored_etag), (listed_id, listed_etag) = stored, listed
    forms = stored_id and form_of(stored_id), form_of(listed_id)
    if forms == ("version", "version"):
        return stored_id == listed_id
    if forms[0] != forms[1] and (
        (stored_etag is None and forms[0] not in _ETAG_FORMS)
        or (listed_etag is None and forms[1] not in _ETAG_FORMS)
    ):
        return True  # nothing to compare
    same = _content(stored_id, stored_etag) == _content(listed_id, listed_etag)
    return same or (stored_id is not None and forms[0] != forms[1])


def _content(file_id: str | None, etag: str | None) -> str:
    return (file_id or "" if etag is None else etag).strip('"')


def fault_in(media: MediaObject) -> str | None:
    """Say what makes an object unfit for the index, or None.

    Only the bounds that the table and its chunks rely on; what B2 itself would refuse is B2's business.
    """
    for name, text, most in (
        ("key", media.key, MAX_KEY_BYTES),
        ("file_id", media.file_id, MAX_FIELD_BYTES),
        ("etag", media.etag or "", MAX_FIELD_BYTES),
        ("last_modified", media.last_modified, MAX_FIELD_BYTES),
    ):
        if "\0" in text:
            return f"{name} holds a NUL character"
        try:
            weight = len(text.encode())
        except UnicodeEncodeError:
            return f"{name} holds half of a surrogate pair, which UTF-8 cannot write"
        if weight > most:
            return f"{name} is {weight:,} bytes long, more than {most:,}"
    if not media.key:
        return "key is empty"
    if not media.file_id.strip('"'):
        return "file_id is empty"
    if ":" in media.file_id:  # neither an ETag nor a B2 file id has one
        return "file_id holds a colon, so that its media_uid could be another object's"
    if not 0 <= media.size <= MAX_SIZE:
        return "size is not an integer from 0 to 2^63-1"
    return None
