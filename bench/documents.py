"""A list page as XML, to the last blank as B2's documentation shows it.

Each row is one f-string, so that a page of 1,000 takes little over a millisecond: the server must never be
what a client waits for.
"""

from collections.abc import Callable, Mapping, Sequence
from xml.sax.saxutils import escape

from bench.bucket import SyntheticBucket, url_encoded

Query = Mapping[str, str]


class Writer:
    """Writes what a bucket holds as a query wants it written; the query says `max-keys` too."""

    def __init__(self, bucket: SyntheticBucket, query: Query) -> None:
        self.bucket = bucket
        self.query = query
        self.key: Callable[[int], str] = bucket.key
        self.text: Callable[[str], str] = escape
        if query.get("encoding-type") == "url":
            self.key, self.text = bucket.url_key, url_encoded


def objects_document(writer: Writer, objects: Sequence[int], prefixes: list[str], marker: Query) -> str:
    bucket, query, text = writer.bucket, writer.query, writer.text
    rows = [
        f"""\
    <Contents>
        <ETag>{etag}</ETag>
        <Key>{key}</Key>
        <LastModified>{last_modified}</LastModified>
        <Size>{size}</Size>
        <StorageClass>STANDARD</StorageClass>
    </Contents>
"""
        for key, (etag, last_modified, size) in zip(
            map(writer.key, objects), bucket.rows(objects), strict=True
        )
    ]
    fields = {
        "Delimiter": text(query.get("delimiter", "")) or None,
        "EncodingType": query.get("encoding-type"),
        "IsTruncated": "true" if marker else "false",
        "MaxKeys": query["max-keys"],
        "Name": bucket.name,
        "Prefix": text(query.get("prefix", "")),
        "ContinuationToken": query.get("continuation-token"),
        "KeyCount": str(len(rows) + len(prefixes)),
        "NextContinuationToken": marker.get("continuation-token"),
        "StartAfter": text(query["start-after"]) if "start-after" in query else None,
    }
    return _document("ListBucketResult", [*_common_prefixes(writer, prefixes), *rows, *_elements(fields)])


def versions_document(writer: Writer, objects: Sequence[int], prefixes: list[str], marker: Query) -> str:
    bucket, query, text = writer.bucket, writer.query, writer.text
    rows = [
        f"""\
    <Version>
        <ETag>{etag}</ETag>
        <IsLatest>true</IsLatest>
        <Key>{writer.key(index)}</Key>
        <LastModified>{last_modified}</LastModified>
        <Owner>
            <ID>0f5f0571db50</ID>
            <DisplayName></DisplayName>
        </Owner>
        <Size>{size}</Size>
        <StorageClass>STANDARD</StorageClass>
        <VersionId>{bucket.version_id(index)}</VersionId>
    </Version>
"""
        for index, (etag, last_modified, size) in zip(objects, bucket.rows(objects), strict=True)
    ]
    fields = {
        "Delimiter": text(query.get("delimiter", "")) or None,
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
    return _document("ListVersionsResult", [*_common_prefixes(writer, prefixes), *_elements(fields), *rows])


def _common_prefixes(writer: Writer, prefixes: list[str]) -> list[str]:
    return [
        f"    <CommonPrefixes>\n        <Prefix>{writer.text(prefix)}</Prefix>\n    </CommonPrefixes>\n"
        for prefix in prefixes
    ]


def _document(name: str, elements: list[str]) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f'<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n{"".join(elements)}</{name}>\n'
    )


def _elements(fields: Mapping[str, str | None]) -> list[str]:
    return [f"    <{name}>{text}</{name}>\n" for name, text in fields.items() if text is not None]
