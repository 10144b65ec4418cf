"""The list pages of a synthetic bucket, in the form B2 gives them, for both list modes.

The form: https://www.backblaze.com/apidocs/s3-list-objects-v2, …/s3-list-object-versions.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from xml.sax.saxutils import escape

from b2d1.media import ListMode
from bench.bucket import SyntheticBucket, url_encoded

Query = Mapping[str, str]

MAX_KEYS = 1000
# How a listing begins; boto3 asks for url-encoded keys by itself.
FIRST_PAGE: Mapping[ListMode, Query] = {
    "objects": {"list-type": "2", "encoding-type": "url"},
    "versions": {"versions": "", "encoding-type": "url"},
}


class InvalidArgument(ValueError):
    """A parameter of the query makes no sense, or is one that these pages do not know."""


class Page(NamedTuple):
    """A page's XML, and the query that asks for the page after it; None after the last."""

    xml: str
    next: Query | None


def pages(bucket: SyntheticBucket, mode: ListMode) -> Iterator[str]:
    """Write every page of a bucket, as a client that follows them meets them."""
    query: Query | None = FIRST_PAGE[mode]
    while query is not None:
        xml, query = page(bucket, query)
        yield xml


def page(bucket: SyntheticBucket, query: Query) -> Page:
    """Write the page of ListObjectsV2, or with `versions` of ListObjectVersions, that a query asks for."""
    if query.get("delimiter"):
        raise InvalidArgument("delimiter: there are no common prefixes here")
    size = _max_keys(query)
    rows = bucket.between(_after(query), query.get("prefix", ""))
    shown = rows[:size]
    last = shown[-1] if 0 < size < len(rows) else None
    marker: dict[str, str] = {}
    if "versions" in query:
        write = _versions_document
        if last is not None:
            marker = {"key-marker": bucket.key(last), "version-id-marker": bucket.version_id(last)}
    else:
        write = _objects_document
        if last is not None:
            marker = {"continuation-token": _token_of(bucket.key(last))}
    xml = write(bucket, {**query, "max-keys": str(size)}, shown, marker)
    return Page(xml, {**query, **marker} if marker else None)


def _objects_document(bucket: SyntheticBucket, query: Query, shown: range, marker: Query) -> str:
    key, text = _writers(bucket, query)
    rows = [
        f"""\
    <Contents>
        <ETag>{bucket.etag(index)}</ETag>
        <Key>{key(index)}</Key>
        <LastModified>{bucket.last_modified(index)}</LastModified>
        <Size>{bucket.size(index)}</Size>
        <StorageClass>STANDARD</StorageClass>
    </Contents>
"""
        for index in shown
    ]
    fields = {
        "EncodingType": query.get("encoding-type"),
        "IsTruncated": "true" if marker else "false",
        "MaxKeys": query["max-keys"],
        "Name": bucket.name,
        "Prefix": text(query.get("prefix", "")),
        "ContinuationToken": query.get("continuation-token"),
        "KeyCount": str(len(shown)),
        "NextContinuationToken": marker.get("continuation-token"),
        "StartAfter": text(query["start-after"]) if "start-after" in query else None,
    }
    return _document("ListBucketResult", [*rows, *_elements(fields)])


def _versions_document(bucket: SyntheticBucket, query: Query, shown: range, marker: Query) -> str:
    key, text = _writers(bucket, query)
    rows = [
        f"""\
    <Version>
        <ETag>{bucket.etag(index)}</ETag>
        <IsLatest>true</IsLatest>
        <Key>{key(index)}</Key>
        <LastModified>{bucket.last_modified(index)}</LastModified>
        <Owner>
            <ID>0f5f0571db50</ID>
            <DisplayName></DisplayName>
        </Owner>
        <Size>{bucket.size(index)}</Size>
        <StorageClass>STANDARD</StorageClass>
        <VersionId>{bucket.version_id(index)}</VersionId>
    </Version>
"""
        for index in shown
    ]
    fields = {
        "EncodingType": query.get("encoding-type"),
        "IsTruncated": "true" if marker else "false",
        "KeyMarker": text(query.get("key-marker", "")),
        "MaxKeys": query["max-keys"],
        "Name": bucket.name,
        "NextKeyMarker": text(marker["key-marker"]) if marker else None,
        "NextVersionIdMarker": marker.get("version-id-marker"),
        "Prefix": text(query.get("prefix", "")),
        "VersionIdMarker": query.get("version-id-marker", ""),
    }
    return _document("ListVersionsResult", [*_elements(fields), *rows])


def _document(name: str, elements: list[str]) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f'<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n{"".join(elements)}</{name}>\n'
    )


def _elements(fields: Mapping[str, str | None]) -> list[str]:
    return [f"    <{name}>{text}</{name}>\n" for name, text in fields.items() if text is not None]


def _writers(bucket: SyntheticBucket, query: Query) -> tuple[Callable[[int], str], Callable[[str], str]]:
    """Choose how the page writes a key by its index, and any other text that may hold one."""
    if query.get("encoding-type") == "url":
        return bucket.url_key, url_encoded
    return bucket.key, escape


def _after(query: Query) -> str:
    """Tell after which key a page begins."""
    if "versions" in query:
        return query.get("key-marker", "")
    token = query.get("continuation-token")
    return query.get("start-after", "") if token is None else _key_of(token)


def _max_keys(query: Query) -> int:
    wanted = query.get("max-keys", str(MAX_KEYS))
    if not wanted.isdecimal():
        raise InvalidArgument(f"max-keys: {wanted} is no number")
    return min(int(wanted), MAX_KEYS)


def _token_of(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _key_of(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidArgument("continuation-token: none of these pages gave it") from None
