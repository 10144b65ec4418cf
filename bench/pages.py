"""The list pages of a synthetic bucket, in the form B2 gives them, for both list modes.

The form: https://www.backblaze.com/apidocs/s3-list-objects-v2, …/s3-list-object-versions.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from b2d1.media import ListMode
from bench.bucket import SyntheticBucket
from bench.documents import Query, Writer, objects_document, versions_document

MAX_KEYS = 1000
# How a listing begins; boto3 asks for url-encoded keys by itself.
FIRST_PAGE: Mapping[ListMode, Query] = {
    "objects": {"list-type": "2", "encoding-type": "url"},
    "versions": {"versions": "", "encoding-type": "url"},
}


class InvalidArgument(ValueError):
    """A parameter of the query makes no sense."""


class Page(NamedTuple):
    """A page's XML, and the query that asks for the page after it; None after the last."""

    xml: str
    next: Query | None


class _Shown(NamedTuple):
    """What a page lists: objects by their indexes, common prefixes, and the last of both, by name.

    `more` tells whether anything follows.
    """

    objects: Sequence[int]
    prefixes: list[str]
    last: str
    more: bool


def pages(bucket: SyntheticBucket, mode: ListMode) -> Iterator[str]:
    """Write every page of a bucket, as a client that follows them meets them."""
    query: Query | None = FIRST_PAGE[mode]
    while query is not None:
        xml, query = page(bucket, query)
        yield xml


def page(bucket: SyntheticBucket, query: Query) -> Page:
    """Write the page of ListObjectsV2, or with `versions` of ListObjectVersions, that a query asks for."""
    after, size = _after(query), _max_keys(query)
    keys = bucket.between(after, query.get("prefix", ""))
    shown = (_folded if query.get("delimiter") else _straight)(bucket, keys, query, size)
    marker = {}
    if "versions" in query:
        document = versions_document
        if shown.more:
            marker = {"key-marker": shown.last}
            if shown.objects and bucket.key(shown.objects[-1]) == shown.last:
                marker["version-id-marker"] = bucket.version_id(shown.objects[-1])
    else:
        document = objects_document
        if shown.more:
            marker = {"continuation-token": _token_of(shown.last)}
    asked = {**query, "max-keys": str(size)}
    xml = document(Writer(bucket, asked), shown.objects, shown.prefixes, marker)
    return Page(xml, {**query, **marker} if marker else None)


def _straight(bucket: SyntheticBucket, keys: range, _: Query, size: int) -> _Shown:
    shown = keys[:size]
    return _Shown(shown, [], bucket.key(shown[-1]) if shown else "", 0 < size < len(keys))


def _folded(bucket: SyntheticBucket, keys: range, query: Query, size: int) -> _Shown:
    """Show all keys that go on alike up to a delimiter as one common prefix; bisection passes them over.

    A common prefix has its own place in the order: after itself, or after a key under it, it is not shown.
    """
    prefix, delimiter, after = query.get("prefix", ""), query["delimiter"], _after(query)
    objects: list[int] = []
    prefixes: list[str] = []
    last = ""
    while keys and len(objects) + len(prefixes) < size:
        key = bucket.key(keys[0])
        end = key.find(delimiter, len(prefix))
        if end < 0:
            objects.append(keys[0])
            keys, last = keys[1:], key
            continue
        common = key[: end + len(delimiter)]
        keys = keys[len(bucket.beginning_with(common, keys)) :]
        if common > after:
            prefixes.append(common)
            last = common
    return _Shown(objects, prefixes, last, size > 0 and len(keys) > 0)


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
