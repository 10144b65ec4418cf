"""A list page's rows made MediaObjects: keys decoded, sizes counted, nothing unfit let through."""

import operator
import re
from itertools import compress

from b2d1.b2_xml import Rows, no_listing
from b2d1.errors import B2Error
from b2d1.media import MAX_KEY_BYTES, MAX_SIZE, ListMode, MediaObject, fault_in

ID_FIELD = {"objects": "ETag", "versions": "VersionId"}
# What stands where an object has no identity; in a bucket without versions S3 writes the VersionId "null".
NO_ID = {"objects": {None, "", '""'}, "versions": {None, "", "null"}}

_ESCAPED_BYTES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def media_objects(
    rows: Rows, mode: ListMode, *, url_encoded: bool, continued_key: str | None = None
) -> tuple[list[MediaObject], list[str]]:
    """Make the rows MediaObjects, in their order, and name the keys of those that have no identity.

    `url_encoded` tells whether keys are percent-encoded (EncodingType `url`). In list mode `versions` only
    the latest version of a key counts; `continued_key` is the key whose versions the page before began.
    Raises B2Error for rows that are no objects.
    """
    columns = rows.objects
    if mode == "versions":
        _check_latest(rows, continued_key, url_encoded=url_encoded)
        latest = [text == "true" for text in columns["IsLatest"]]
        columns = {field: list(compress(column, latest)) for field, column in columns.items()}
    keys = _all_present(columns["Key"], "Key")
    if url_encoded:
        keys = url_decoded(keys)
    sizes = _sizes(_all_present(columns["Size"], "Size"))
    dates = [date or "" for date in columns["LastModified"]]
    made = zip(keys, sizes, dates, columns["ETag"], columns[ID_FIELD[mode]], strict=True)
    objects = list(map(MediaObject._make, made))
    unidentified = [media.key for media in objects if media.file_id in NO_ID[mode]]
    if unidentified:
        objects = [media for media in objects if media.file_id not in NO_ID[mode]]
    _check(objects)
    return objects, unidentified


def url_decoded(keys: list[str]) -> list[str]:
    """Decode keys as `unquote_plus` does, all at once, but refuse bytes that are not UTF-8."""
    together = _unescaped("\n".join(keys)).split("\n")
    if len(together) == len(keys):
        return together
    return [_unescaped(key) for key in keys]  # one of them holds a line feed


def in_byte_order(keys: list[str]) -> bool:
    """Tell whether keys ascend strictly in UTF-8 byte order, which is the order of their code points."""
    return all(map(operator.lt, keys, keys[1:]))


def _unescaped(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    try:
        return _ESCAPED_BYTES.sub(lambda run: bytes.fromhex(run[0].replace("%", "")).decode(), text)
    except UnicodeDecodeError:
        raise B2Error("the listing holds a key that is not valid UTF-8") from None


def _all_present(column: list[str | None], field: str) -> list[str]:
    if None in column:
        raise no_listing(f"an object has no {field}")
    return column  # type: ignore[return-value]  # no None is left


def _sizes(texts: list[str]) -> list[int]:
    together = "".join(texts)
    if texts and not (together.isascii() and together.isdigit() and all(texts) and max(map(len, texts)) < 20):
        raise no_listing("an object's size is no whole number")
    return list(map(int, texts))


def _check(objects: list[MediaObject]) -> None:
    """Refuse a page with an object that is unfit for the index."""
    # One look at the whole page clears nearly every one; 4 bytes is the longest character.
    keys = [media.key for media in objects]
    rest = [text for media in objects for text in (media.etag or "", media.file_id)]
    longest = max(map(len, keys), default=1) * 4
    sound = longest <= MAX_KEY_BYTES and all(keys) and max(map(len, rest), default=0) <= 256
    if sound and "\0" not in "".join(keys) and max((media.size for media in objects), default=0) <= MAX_SIZE:
        return
    for media in objects:
        if fault := fault_in(media):
            raise B2Error(f"the listing holds an object that cannot be indexed: {media.key[:80]!r}: {fault}")


def _check_latest(rows: Rows, continued_key: str | None, *, url_encoded: bool) -> None:
    """Prove that each key on the page has exactly one latest version, so that none can go missing."""
    keys = _all_present(rows.objects["Key"] + rows.markers["Key"], "Key")
    distinct = set(url_decoded(keys) if url_encoded else keys) - {continued_key}
    latest = rows.objects["IsLatest"] + rows.markers["IsLatest"]
    if not set(latest) <= {"true", "false"} or latest.count("true") != len(distinct):
        raise no_listing("a key has no latest version, or two")
