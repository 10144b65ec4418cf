"""Signature Version 4 as the embedded B2 checks it: who signed, with which secret, for which region."""

import datetime as dt
import hashlib
import hmac
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request, Response

# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key_id>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/s3/aws4_request,\s*"
    r"SignedHeaders=(?P<headers>[^,]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Credentials:
    """The one application key that is accepted, and the region whose endpoint this is."""

    key_id: str
    app_key: str
    region: str


# Of the time in a signature: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
MOST_SKEW = dt.timedelta(minutes=15)


def refusal(request: Request, credentials: Credentials, now: dt.datetime) -> Response | None:
    """Return B2's refusal of a request that is not signed with these credentials, or nothing.

    As its users met them: https://github.com/muxinc/next-video/issues/216 (key id),
    https://github.com/s3fs-fuse/s3fs-fuse/issues/1411 (secret),
    https://github.com/s3ql/s3ql/issues/443 (region).
    """
    header = request.headers.get("Authorization")
    if header is None:
        return error(403, "AccessDenied", "Access Denied")
    signed = _AUTHORIZATION.fullmatch(header)
    if signed is None:
        return error(403, "SignatureDoesNotMatch", "Signature validation failed")
    if _is_skewed(request.headers.get("X-Amz-Date", ""), now):
        message = "The difference between the request time and the current time is too large."
        return error(403, "RequestTimeTooSkewed", message)
    if signed["region"] != credentials.region:
        return Response(status=403)
    if signed["key_id"] != credentials.key_id:
        return error(403, "InvalidAccessKeyId", "Malformed Access Key Id")
    expected = _signature(request, credentials, signed["date"], signed["headers"].split(";"))
    if not hmac.compare_digest(expected, signed["signature"]):
        return error(403, "SignatureDoesNotMatch", "Signature validation failed")
    return None


def _is_skewed(told: str, now: dt.datetime) -> bool:
    try:
        signed = dt.datetime.strptime(told, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    except ValueError:
        return False
    return abs(now - signed) > MOST_SKEW


def error(status: int, code: str, message: str) -> Response:
    """Return an error in the XML that S3 clients read."""
    body = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f"<Error>\n    <Code>{code}</Code>\n    <Message>{escape(message)}</Message>\n</Error>\n"
    )
    return Response(body, status, content_type="application/xml")


def _signature(request: Request, credentials: Credentials, date: str, headers: list[str]) -> str:
    scope = f"{date}/{credentials.region}/s3/aws4_request"
    canonical = hashlib.sha256(_canonical_request(request, headers).encode()).hexdigest()
    to_sign = "\n".join(("AWS4-HMAC-SHA256", request.headers.get("X-Amz-Date", ""), scope, canonical))
    key = f"AWS4{credentials.app_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, to_sign.encode(), "sha256").hexdigest()


def _canonical_request(request: Request, headers: list[str]) -> str:
    # S3 signs the path as it is sent: not decoded, and not normalised.
    path = str(request.environ["RAW_URI"]).split("?", 1)[0]
    parameters = parse_qsl(request.query_string.decode(), keep_blank_values=True)
    query = sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in parameters)
    values = (f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in headers)
    payload = request.headers.get("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
    return "\n".join((request.method, path, "&".join(query), "".join(values), ";".join(headers), payload))
