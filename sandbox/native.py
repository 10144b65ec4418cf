"""B2's own API, of which only the first call is here: what an application key is, and what it may do.

https://www.backblaze.com/apidocs/b2-authorize-account
"""

import datetime as dt
import json
from dataclasses import dataclass

from werkzeug.wrappers import Request, Response

PATH = "/b2api/v4/b2_authorize_account"
ACCOUNT = "0f5f0571db50"


@dataclass
class KeyScope:
    """What Backblaze's page *Application Keys* sets for a key.

    `buckets` are names and `prefix` is the beginning of keys; None restricts nothing. `s3_url` is where the
    account's buckets are, None for this server. A master key has the account's id, and is none for S3.
    """

    capabilities: tuple[str, ...] = ("listBuckets", "listFiles")
    buckets: tuple[str, ...] | None = None
    prefix: str | None = None
    expires: dt.datetime | None = None
    s3_url: str | None = None
    is_master: bool = False

    def has_expired(self, now: dt.datetime) -> bool:
        return self.expires is not None and self.expires <= now

    def permits_listing(self, bucket: str, prefix: str) -> bool:
        """Tell whether the key may list these keys of this bucket."""
        return (
            "listFiles" in self.capabilities
            and (self.buckets is None or bucket in self.buckets)
            and prefix.startswith(self.prefix or "")
        )


def authorize(request: Request, key_id: str, app_key: str, scope: KeyScope, now: dt.datetime) -> Response:
    """Answer b2_authorize_account for the one key there is."""
    given = request.authorization
    if given is None or given.type != "basic":
        return _refusal(401, "unauthorized", "Authorization header missing or malformed")
    if (given.username, given.password) != (key_id, app_key) or scope.has_expired(now):
        # As users met it: https://github.com/Backblaze/B2_Command_Line_Tool/issues/645
        return _refusal(401, "bad_auth_token", "")
    buckets = None
    if scope.buckets is not None:
        buckets = [{"id": f"{number:024x}", "name": name} for number, name in enumerate(scope.buckets, 1)]
    host = request.host_url.rstrip("/")
    storage = {
        "absoluteMinimumPartSize": 5_000_000,
        "allowed": {"buckets": buckets, "capabilities": list(scope.capabilities), "namePrefix": scope.prefix},
        "apiUrl": host,
        "downloadUrl": host,
        "recommendedPartSize": 100_000_000,
        "s3ApiUrl": scope.s3_url or host,
    }
    expires = None if scope.expires is None else int(scope.expires.timestamp() * 1000)
    return _json(
        200,
        {
            "accountId": key_id if scope.is_master else ACCOUNT,
            "apiInfo": {"storageApi": storage},
            "applicationKeyExpirationTimestamp": expires,
            "authorizationToken": "4_sandboxTokenThatNobodyAsksFor",
        },
    )


def _refusal(status: int, code: str, message: str) -> Response:
    return _json(status, {"code": code, "message": message, "status": status})


def _json(status: int, content: object) -> Response:
    return Response(json.dumps(content), status, content_type="application/json;charset=UTF-8")
