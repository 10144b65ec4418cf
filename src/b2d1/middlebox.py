"""Answers that a firewall, a proxy or a network's login gives in a service's place."""

import re
from collections.abc import Mapping
from typing import NamedTuple

# With these a firewall or a proxy answers in a service's place. Pages of 500, 502, 504 and above are those of
# a service's own front.
BLOCKING = {401, 403, 405, 406, 429, 451, 503}
# Of a proxy, and of a network (RFC 6585, 6).
LOGIN = {407: "a proxy", 511: "this network"}
# Cloudflare's id of a request: https://developers.cloudflare.com/fundamentals/reference/cloudflare-ray-id/
_RAY = re.compile(r"[0-9a-f]{16}(?:-[A-Z]{3})?")
_RAY_IN_PAGE = re.compile(rb"Ray ID:?(?:\s|&nbsp;|</?\w{1,9}[^<>]{0,100}>){0,9}([0-9a-f]{16})\b")
_PAGE = re.compile(rb"\s*<(!doctype html|html)\b", re.IGNORECASE)
FAR_ENOUGH = 100_000
# OpenSSL's reason, as Python quotes it: "certificate verify failed: self-signed certificate (_ssl.c:1006)".
_UNTRUSTED = re.compile(r"certificate verify failed:? ?([^()\[\]\"']{0,100})")
# urllib3's own, where OpenSSL does not compare the name.
_OTHER_HOST = re.compile(r"hostname \S{1,255} doesn't match")
PROXY_HINT = (
    "If a proxy inspects TLS on the way, CA_BUNDLE must name a PEM file with its certificate authority. "
    "REQUESTS_CA_BUNDLE, SSL_CERT_FILE and AWS_CA_BUNDLE do not count at B2 and Cloudflare. Without such a "
    "proxy, compare {where}."
)
CERTIFICATE_HINTS = (
    (
        "expired",
        "Check this machine's clock. If it is right, the certificate is out of date: compare {where}.",
    ),
    ("not yet valid", "Check this machine's clock."),
    ("ismatch", "The certificate is another host's: compare {where}."),
)
# What to do about one under HTTP 200, as the login pages of hotels and offices come; takes a setting.
WEB_PAGE_HINT = "Run again. If it happens each time, log in to this network in a browser, or compare {}."


class Foreign(NamedTuple):
    """An answer that is not the service's own: what happened, and what to do about it."""

    message: str
    hint: str


def is_web_page(headers: Mapping[str, str], body: bytes = b"") -> bool:
    """Return True if an answer is HTML, by its content type or its first bytes."""
    return "text/html" in _header(headers, "content-type").lower() or bool(_PAGE.match(body))


def foreign_answer(
    service: str, status: int, headers: Mapping[str, str], body: bytes = b"", *, page: bool
) -> Foreign | None:
    """Describe an answer that something in between gave; None if it may be the service's own.

    `page` says that the answer does not have the form of the service's answers.
    """
    if asks := LOGIN.get(status):
        return Foreign(
            f"{asks} asks for a login before it lets a request through to {service} (HTTP {status})",
            "Log in to the network, or let this machine connect without that proxy: b2d1 sends it no login.",
        )
    if not page or status not in BLOCKING:
        return None
    ray = _ray_id(headers, body)
    hint = f"Something between this machine and {service} answered instead. Allow the request there, or run "
    hint += "from another network."
    return Foreign(
        f"the answer is not from {service} but from a firewall or proxy "
        f"(HTTP {status}{f', Ray ID {ray}' if ray else ''})",
        hint + (" The owner of the firewall finds the reason by the Ray ID." if ray else ""),
    )


def untrusted_certificate(failure: BaseException, url: str, where: str) -> Foreign | None:
    """Describe a failure to connect over a certificate that is not trusted; None for any other failure.

    `where` names what holds the address.
    """
    text = str(failure)
    if found := _UNTRUSTED.search(text):
        reason = found[1].strip()
    elif _OTHER_HOST.search(text):
        reason = "hostname mismatch"
    else:
        return None
    hint = next((hint for part, hint in CERTIFICATE_HINTS if part in reason), PROXY_HINT)
    return Foreign(
        f"{url} shows a certificate that this machine does not trust ({reason})", hint.format(where=where)
    )


def _ray_id(headers: Mapping[str, str], body: bytes) -> str:
    if header := _RAY.fullmatch(_header(headers, "cf-ray")):
        return header[0]
    shown = _RAY_IN_PAGE.search(body[:FAR_ENOUGH])
    return shown[1].decode() if shown else ""


def _header(headers: Mapping[str, str], name: str) -> str:
    # botocore gives names in lower case, requests takes any.
    return str(headers.get(name) or "")
