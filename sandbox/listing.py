"""The two listings of a bucket as B2 answers them: from the keys and the query to a page of XML.

moto has both too, but its ListObjectVersions ignores `encoding-type`, and after a `key-marker` that is no key
it loses a key: a client that cuts a bucket into ranges needs better.
"""

import base64
import binascii
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from moto.s3.models import FakeKey

from sandbox.bucket import Version, Versions

MAX_KEYS = 1000
OWNER = (
    "        <Owner>\n            <ID>0f5f0571db50</ID>\n"
    "            <DisplayName></DisplayName>\n        </Owner>\n"
)


class InvalidArgument(ValueError):
    """A parameter of the query makes no sense."""


class _Entry(NamedTuple):
    name: str
    version: Version | None = None  # None: a common prefix
    latest: bool = True


def list_objects_v2(bucket: str, versions: Versions, query: Mapping[str, str]) -> str:
    """Write a page of ListObjectsV2: https://www.backblaze.com/apidocs/s3-list-objects-v2."""
    token, start_after = query.get("continuation-token"), query.get("start-after", "")
    after = start_after if token is None else _key_of(token)
    shown = ((key, found[-1:]) for key, found in _from(versions, after) if isinstance(found[-1], FakeKey))
    page, more = _page((entry for entry in _entries(shown, query) if entry.name > after), query)
    text = _encoder(query)
    owner = OWNER if query.get("fetch-owner") == "true" else ""
    contents = "".join(
        f"    <Contents>\n{_object(entry, text, owner)}    </Contents>\n" for entry in page if entry.version
    )
    return _document(
        "ListBucketResult",
        _common_prefixes(page, text) + contents,
        {
            "Delimiter": text(query.get("delimiter", "")) or None,
            "EncodingType": query.get("encoding-type"),
            "IsTruncated": str(more).lower(),
            "MaxKeys": str(_max_keys(query)),
            "Name": bucket,
            "Prefix": text(query.get("prefix", "")),
            "ContinuationToken": token,
            "KeyCount": str(len(page)),
            "NextContinuationToken": _token_of(page[-1].name) if more else None,
            "StartAfter": text(start_after) or None,
        },
    )


def list_object_versions(bucket: str, versions: Versions, query: Mapping[str, str]) -> str:
    """Write a page of ListObjectVersions: https://www.backblaze.com/apidocs/s3-list-object-versions.

    As there, hide markers stand together before the versions of the page.
    """
    key_marker, id_marker = query.get("key-marker", ""), query.get("version-id-marker", "")
    entries = _entries(_from(versions, key_marker), query)
    page, more = _page(_after(entries, key_marker, id_marker) if key_marker else entries, query)
    text = _encoder(query)
    markers, kept = [], []
    for entry in page:
        if isinstance(entry.version, FakeKey):
            kept.append(f"    <Version>\n{_object(entry, text, OWNER, with_id=True)}    </Version>\n")
        elif entry.version:
            markers.append(
                f"    <DeleteMarker>\n{_object(entry, text, OWNER, with_id=True)}    </DeleteMarker>\n"
            )
    last = page[-1] if more else _Entry("")
    return _document(
        "ListVersionsResult",
        _common_prefixes(page, text) + "".join(markers),
        {
            "Delimiter": text(query.get("delimiter", "")) or None,
            "EncodingType": query.get("encoding-type"),
            "IsTruncated": str(more).lower(),
            "KeyMarker": text(key_marker),
            "MaxKeys": str(_max_keys(query)),
            "Name": bucket,
            "NextKeyMarker": text(last.name) or None,
            "NextVersionIdMarker": last.version.version_id if last.version else None,
            "Prefix": text(query.get("prefix", "")),
            "VersionIdMarker": id_marker,
        },
        "".join(kept),
    )


def _from(versions: Versions, key: str) -> Versions:
    return versions[bisect_left(versions, key, key=itemgetter(0)) :]


def _entries(versions: Iterable[tuple[str, list[Version]]], query: Mapping[str, str]) -> Iterator[_Entry]:
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    common = ""
    for key, found in versions:
        if not key.startswith(prefix):
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if end < 0:
            for version in reversed(found):
                yield _Entry(key, version, latest=version is found[-1])
        elif common != key[: end + len(delimiter)]:
            common = key[: end + len(delimiter)]
            yield _Entry(common)


def _after(entries: Iterator[_Entry], key: str, version_id: str) -> Iterator[_Entry]:
    passed = not version_id
    for entry in entries:
        if entry.name > key:
            yield entry
        elif entry.name == key and entry.version:
            if passed and version_id:
                yield entry
            passed = passed or entry.version.version_id == version_id


def _page(entries: Iterator[_Entry], query: Mapping[str, str]) -> tuple[list[_Entry], bool]:
    size = _max_keys(query)
    page = list(islice(entries, size))
    return page, size > 0 and next(entries, None) is not None


def _max_keys(query: Mapping[str, str]) -> int:
    wanted = query.get("max-keys", str(MAX_KEYS))
    if not wanted.isdecimal():
        raise InvalidArgument(f"max-keys is not a number: {wanted}")
    return min(int(wanted), MAX_KEYS)


def _token_of(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _key_of(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidArgument("The continuation token provided is incorrect") from None


def _encoder(query: Mapping[str, str]) -> Callable[[str], str]:
    if query.get("encoding-type") == "url":
        # A space as "+", as AWS has it (https://github.com/brekkylab/backlot/issues/178). What B2 writes is
        # not known; boto3 reads both.
        return lambda text: quote_plus(text, safe="/")
    return escape


def _common_prefixes(page: list[_Entry], text: Callable[[str], str]) -> str:
    return "".join(
        f"    <CommonPrefixes>\n        <Prefix>{text(entry.name)}</Prefix>\n    </CommonPrefixes>\n"
        for entry in page
        if entry.version is None
    )


def _object(entry: _Entry, text: Callable[[str], str], owner: str, *, with_id: bool = False) -> str:
    version = entry.version
    assert version is not None
    stored = version if isinstance(version, FakeKey) else None
    return "".join(
        (
            f"        <ETag>{stored.etag}</ETag>\n" if stored else "",
            f"        <IsLatest>{str(entry.latest).lower()}</IsLatest>\n" if with_id else "",
            f"        <Key>{text(entry.name)}</Key>\n",
            f"        <LastModified>{version.last_modified_ISO8601}</LastModified>\n",
            owner,
            f"        <Size>{stored.size}</Size>\n" if stored else "",
            "        <StorageClass>STANDARD</StorageClass>\n" if stored else "",
            f"        <VersionId>{version.version_id}</VersionId>\n" if with_id else "",
        )
    )


def _document(name: str, before: str, fields: Mapping[str, str | None], after: str = "") -> str:
    known = "".join(
        f"    <{field}>{value}</{field}>\n" for field, value in fields.items() if value is not None
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f'<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n{before}{known}{after}</{name}>\n'
    )
