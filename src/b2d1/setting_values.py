"""One setting's text, read: each function returns the value or raises ValueError.

The error's text completes a sentence that begins with the setting's name, and never repeats the value.
"""

import os
import re
import ssl
import urllib.parse
from collections.abc import Callable
from typing import NoReturn

from b2d1.loopback import is_this_machine
from b2d1.media import MAX_KEY_BYTES


class Secret:
    """A text that shows itself only to whoever asks for it by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text; keep it out of every message."""
        return self._text

    def hide_in(self, text: str) -> str:
        """Strike the secret out of a text that came from outside."""
        return text.replace(self._text, "***")

    def __repr__(self) -> str:
        return "Secret(***)"

    def __deepcopy__(self, _memo: object) -> "Secret":
        return self  # so that dataclasses.asdict works

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written down")


def refuse_wrapping(text: str) -> None:
    """Raise ValueError for what a file or a paste left around a value, named for what it is."""
    if text.startswith("\ufeff"):
        raise ValueError("begins with a byte order mark: save the file as UTF-8 without BOM")
    if text.endswith("\r"):
        raise ValueError("ends with a Windows line end (carriage return): save the file with Unix line ends")
    if text != text.strip():
        raise ValueError("begins or ends with white space: enter it again")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`":
        raise ValueError("is in quotes: remove them (only a shell takes them away)")


def credential(text: str) -> Secret:
    if text.lower().startswith("bearer "):
        raise ValueError('must be the token alone, without "Bearer"')
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("holds a character that no key or token has: enter it again")
    return Secret(text)


# Host names that botocore and requests both take; one of other letters is written in its xn-- form.
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_URL = re.compile(
    rf"https?://({_LABEL}(\.{_LABEL})*|\[[0-9a-f:.]+\])(:[0-9]+)?(/[a-z0-9._~/-]*)?",
    re.IGNORECASE | re.ASCII,
)
# As botocore takes it: a host's label, but not of digits alone.
_REGION = rf"(?=[0-9]*[a-z-]){_LABEL}"
B2_HOST = re.compile(rf"s3\.({_REGION})\.backblazeb2\.com")


def backblaze_region(endpoint: str) -> str | None:
    """Read the region out of an endpoint of Backblaze's; another host's does not name it."""
    named = B2_HOST.fullmatch(urllib.parse.urlsplit(endpoint).hostname or "")
    return named[1] if named else None


def url(text: str) -> str:
    """Accept https anywhere, plain http on this machine only; no user, query or fragment."""
    try:
        parts = urllib.parse.urlsplit(text)
        host, _ = parts.hostname or "", parts.port
        if not _URL.fullmatch(text):
            raise ValueError
    except ValueError:
        raise ValueError("is not a URL like https://host (a port and a path may follow)") from None
    if parts.scheme == "http" and not is_this_machine(host):
        raise ValueError("must begin with https:// (plain http only to this machine)")
    return text.rstrip("/")


def host_url(text: str) -> str:
    whole = url(text)
    if urllib.parse.urlsplit(whole).path:
        raise ValueError("must be the host alone, without a path")
    return whole


def b2_endpoint(text: str) -> str:
    # B2's bucket page shows the endpoint as a bare host.
    whole = url(text if "://" in text else f"https://{text}")
    if urllib.parse.urlsplit(whole).path:
        raise ValueError("must be the host alone, without a path: https://s3.<region>.backblazeb2.com")
    host = urllib.parse.urlsplit(whole).hostname or ""
    if f".{host}".endswith(".backblazeb2.com") and not B2_HOST.fullmatch(host):
        raise ValueError(
            "must be s3.<region>.backblazeb2.com, as the bucket's page shows it, without the bucket"
        )
    return whole


def _matching(pattern: str, otherwise: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(otherwise)
        return text

    return parse


region = _matching(_REGION, "is not a region like us-west-004")
bucket = _matching(
    r"[A-Za-z0-9][A-Za-z0-9.-]{1,61}[A-Za-z0-9]", "is not a bucket's name (not its id, not a URL)"
)


def account_id(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", text.lower()):
        raise ValueError("is not 32 hexadecimal digits: it is on the account's Workers & Pages page")
    return text.lower()


list_mode = _matching(r"objects|versions", "is neither objects nor versions")
# https://developers.cloudflare.com/api/resources/d1/ gives this pattern for a database's name.
database_name = _matching(r"[a-zA-Z0-9][a-zA-Z0-9_-]*", "is not a database's name")


def is_database_id(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text))


def database_id(text: str) -> str:
    if not is_database_id(text):
        raise ValueError(
            "is not a database id like xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx (`wrangler d1 list` shows it)"
        )
    return text.lower()


def prefix(text: str) -> str:
    if len(text.encode()) > MAX_KEY_BYTES or "\0" in text:
        raise ValueError(f"is not the beginning of a key (at most {MAX_KEY_BYTES:,} bytes)")
    return text


def snapshot_uri(text: str) -> str:
    if re.match(r"\$|%\w+%", text):
        raise ValueError("begins with a variable, which nothing expands here: write the whole path")
    if os.sep == "/" and re.match(r"[A-Za-z]:[\\/]", text):
        raise ValueError("is a path of Windows, and this is another system")
    text = os.path.expanduser(text)  # noqa: PTH111 - it may be s3://
    if text.startswith("~"):
        raise ValueError("names a home folder that is not known here: write the whole path")
    scheme, separator, rest = text.partition("://")
    if separator and (scheme != "s3" or not re.fullmatch(r"[A-Za-z0-9._-]+/.*[^/]", rest)):
        raise ValueError("is neither a path nor s3://bucket/key")
    if "\0" in text or (text.startswith("s3:") and not separator):
        raise ValueError("is neither a path nor s3://bucket/key")
    if not separator and text.endswith("/"):
        raise ValueError("names a folder: add the file's name")
    return text


def ca_bundle(text: str) -> str:
    """Accept the path of a PEM file with certificates, `~` for the home folder."""
    if "BEGIN CERTIFICATE" in text:
        raise ValueError("holds a certificate: put it into a file, and give the file's path")
    if "\0" in text:
        raise ValueError("is not a file's path")
    path = os.path.expanduser(text)  # noqa: PTH111 - a Path would change other paths
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:  # an OSError, too
        raise ValueError("names a file without a certificate in PEM form") from None
    except OSError as failure:
        raise ValueError(f"names a file that cannot be read: {failure.strerror}") from None
    if not context.cert_store_stats()["x509"]:
        raise ValueError("names a file without a certificate in PEM form")
    return path


def whole_number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
            raise ValueError(f"is not a whole number from {least:,} to {most:,}")
        return int(text)

    return parse


def flag(text: str) -> bool:
    try:
        return {"1": True, "true": True, "0": False, "false": False}[text.lower()]
    except KeyError:
        raise ValueError("is none of 1, 0, true and false") from None
