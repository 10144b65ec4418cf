"""A list page's rows made MediaObjects: keys decoded, sizes counted, nothing unfit let through."""

import binascii
import itertools
import re
from itertools import compress

from b2d1.b2.page_xml import UNSOUND_HINT, Column, Columns, Rows, no_listing
from b2d1.errors import B2Error
from b2d1.media import MAX_FIELD_BYTES, MAX_KEY_BYTES, MAX_SIZE, ListMode, MediaObject, fault_in

ID_FIELD = {"objects": "ETag", "versions": "VersionId"}
# What stands where an object has no identity; in a bucket without versions S3 writes the VersionId "null".
NO_ID = {"objects": {None, "", '""'}, "versions": {None, "", "null"}}

_ESCAPED_BYTES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def media_objects(
    rows: Rows, mode: ListMode, *, url_encoded: bool, continued_key: str | None = None
) -> tuple[list[MediaObject], list[str], list[str]]:
    """Return the rows as MediaObjects, the keys of those without an identity, and all keys, each in order.

    `url_encoded` is true if keys are percent-encoded (EncodingType `url`). In list mode `versions` only the
    latest version of a key is an object; `continued_key` is the key whose versions the page before began.
    Raises B2Error for rows that are not objects.
    """
    columns = rows.objects
    keys, sizes = _keys(columns, url_encoded=url_encoded), _sizes(_all_present(columns["Size"], "Size"))
    all_keys = keys
    if mode == "versions":
        hidden = _keys(rows.markers, url_encoded=url_encoded)
        _check_latest(keys + hidden, columns["IsLatest"] + rows.markers["IsLatest"], continued_key)
        all_keys = [key for key, _ in itertools.groupby(keys)]
        latest = [text == "true" for text in columns["IsLatest"]]
        keys, sizes = list(compress(keys, latest)), list(compress(sizes, latest))
        columns = {field: list(compress(column, latest)) for field, column in columns.items()}
    dates, etags, ids = columns["LastModified"], columns["ETag"], columns[ID_FIELD[mode]]
    if None in dates:
        dates = [date or "" for date in dates]
    objects = list(map(MediaObject._make, zip(keys, sizes, dates, etags, ids, strict=True)))
    unidentified = []
    if not NO_ID[mode].isdisjoint(ids):
        unidentified = [media.key for media in objects if media.file_id in NO_ID[mode]]
        objects = [media for media in objects if media.file_id not in NO_ID[mode]]
    if not _clearly_sound(keys, sizes, ids, [dates, etags]):
        _check(objects)
    return objects, unidentified, all_keys


def _keys(columns: Columns, *, url_encoded: bool) -> list[str]:
    keys = _all_present(columns["Key"], "Key")
    return url_decoded(keys) if url_encoded else keys


def url_decoded(keys: list[str]) -> list[str]:
    """Decode keys as `unquote_plus` does, but refuse bytes that are not UTF-8."""
    together = "\n".join(keys)
    # Quoted-printable is the same code with another sign, and Python decodes it in C: a page of non-ASCII
    # keys in a seventh of the time. A sign for a byte makes three characters one; where the sum is
    # off, one stood for itself. Where the number of lines is off, a key holds a line feed; and a sign before
    # a line's end would hide that end.
    quoted = together.replace("+", " ").replace("=", "=3D").replace("%", "=").encode()
    plain = binascii.a2b_qp(quoted)
    whole = len(plain) == len(quoted) - 2 * quoted.count(b"=")
    try:
        if whole and plain.count(b"\n") == len(keys) - 1 and "%\n" not in together and "\r" not in together:
            return plain.decode().split("\n")
        return [_ESCAPED_BYTES.sub(_unescaped, key.replace("+", " ")) for key in keys]
    except UnicodeDecodeError:
        raise B2Error("the listing holds a key that is not valid UTF-8", hint=UNSOUND_HINT) from None


def _unescaped(run: re.Match[str]) -> str:
    return bytes.fromhex(run[0].replace("%", "")).decode()


def _all_present(column: list[str | None], field: str) -> list[str]:
    if None in column:
        raise no_listing(f"an object has no {field}")
    return column  # type: ignore[return-value]  # no None is left


def _sizes(texts: list[str]) -> list[int]:
    together = "".join(texts)
    if texts and not (together.isascii() and together.isdigit() and all(texts) and max(map(len, texts)) < 20):
        raise no_listing("an object's size is no whole number")
    return list(map(int, texts))


def _clearly_sound(keys: list[str], sizes: list[int], ids: Column, others: list[Column]) -> bool:
    """Clear nearly every page with one look at its columns; a character is 4 bytes at the most."""
    return (
        all(keys)
        and "\0" not in "".join(keys)  # XML holds no NUL: only a decoded key can
        and max(map(len, keys), default=0) * 4 <= MAX_KEY_BYTES
        and max(sizes, default=0) <= MAX_SIZE
        and ":" not in "".join(filter(None, ids))
        and all(
            max(map(len, filter(None, texts)), default=0) * 4 <= MAX_FIELD_BYTES for texts in (ids, *others)
        )
    )


def _check(objects: list[MediaObject]) -> None:
    for media in objects:
        if fault := fault_in(media):
            said = f"the listing holds an object that cannot be indexed: {media.key[:80]!r}: {fault}"
            raise B2Error(said, hint=UNSOUND_HINT)


def _check_latest(keys: list[str], told: list[str | None], continued_key: str | None) -> None:
    """Prove that each key on the page has exactly one latest version, so that none can go missing."""
    latest = list(compress(keys, [text == "true" for text in told]))
    if len(set(latest)) < len(latest) or set(latest) != set(keys) - {continued_key}:
        raise no_listing("a key has no latest version, or two")
