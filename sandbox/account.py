"""One Cloudflare account as D1's REST API shows it: its paths, its token, its databases, its refusals.

Answers: https://developers.cloudflare.com/api/resources/d1/. Codes of errors: as its users report them.
"""

import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

from werkzeug.wrappers import Request, Response

from sandbox.server import LoopbackServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BASE = "/client/v4"
# Of a user's token, and of one that an account owns.
VERIFY = re.compile(rf"{BASE}/(user|accounts/[^/]+)/tokens/verify")
CREATED_AT = "2024-03-09T14:00:00.000Z"
MAX_PER_PAGE = 1000
# HTTP status and code of the refusals that a database itself gives.
MALFORMED = (400, 7400)
REFUSED = (400, 7500)

_ROUTE = re.compile(
    rf"{BASE}/accounts/(?P<account>[^/]+)/d1/database(?:/(?P<database>[^/]+)(?P<action>/raw|/query|/time_travel/bookmark)?)?"
)


class Failure(Exception):
    """A request is answered with an error: its HTTP status, Cloudflare's code and message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class TokenScope:
    """What Cloudflare's page *API Tokens* sets for a token."""

    owner: Literal["user", "account"] = "user"
    status: Literal["active", "disabled", "expired"] = "active"
    expires_on: str | None = None
    permits_d1: bool = True


class Database(Protocol):
    """What runs the statements of one of the account's databases."""

    def raw(self, body: bytes) -> bytes | list[object]:
        """Answer the body of a `/raw` request by its `result`, or by the whole answer; or raise Failure."""

    def query(self, body: bytes) -> list[object]:
        """Answer the body of a `/query` request, or raise Failure."""

    def bookmark(self) -> str:
        """Name the state of the database."""


class Account:
    """Serve an account with a database of use.

    A second database, whose name contains that of the first, stands before it in every list, as one may in a
    real account. `requests` and `statements` list what was asked, in order, failures included. `scope` is
    what the token may do; it can be set while the server runs.
    """

    def __init__(
        self,
        *,
        name: str = "lgfc_lite",
        database_id: str = "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39",
        account_id: str = "5a4db0b2d10000000000000000000d1a",
        token: str = "sandbox-token-Jd93kfQ0xYtLwB7nR2mVc5Zs8Ua1Ge",
        port: int = 0,
    ) -> None:
        self.statements: list[str] = []
        self.requests: list[str] = []
        self.scope = TokenScope()
        self._account_id = account_id
        self._token = token
        self._server = LoopbackServer(self._answer, port)
        namesake = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{database_id}/staging"))
        self._names = {namesake: f"{name}_staging", database_id: name}
        self._databases: Sequence[Database] = ()

    def open(self) -> Sequence[Database]:
        """Open the namesake and the database, in this order."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what `open` opened."""

    def __enter__(self) -> Self:
        self._databases = self.open()
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)
        self.close()

    @property
    def url(self) -> str:
        return f"{self._server.address}{BASE}"

    def settings(self) -> dict[str, str]:
        """Return the settings that reach this database, as a process finds them in its environment."""
        return {
            "CLOUDFLARE_API_TOKEN": self._token,
            "CLOUDFLARE_ACCOUNT_ID": self._account_id,
            "D1_DATABASE_NAME": list(self._names.values())[-1],
            "CLOUDFLARE_API_BASE_URL": self.url,
        }

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        # One append is atomic; the entry is there before the client has its answer.
        self.requests.append(f"{request.method} {request.path}")
        try:
            answer = self._dispatch(request)
        except Failure as failure:
            errors = [{"code": failure.code, "message": failure.message}]
            answer = _envelope(failure.status, {"errors": errors})
        return answer(environ, start_response)

    def _dispatch(self, request: Request) -> Response:
        verify = VERIFY.fullmatch(request.path)
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            raise Failure(401, *((1000, "Invalid API Token") if verify else (10000, "Authentication error")))
        if verify:
            return _envelope(200, {"result": self._verified(verify[1])})
        route = _ROUTE.fullmatch(request.path)
        if route is None:
            path = request.path.removeprefix(BASE)
            message = f"Could not route to {path}, perhaps your object identifier is invalid?"
            raise Failure(404, 7003, message)
        if route["account"] != self._account_id:
            message = "The given account is not valid or is not authorized to access this service"
            raise Failure(403, 7403, message)
        if not self.scope.permits_d1 or self.scope.status != "active":
            raise Failure(401, 10000, "Authentication error")
        if request.method != ("POST" if route["action"] in ("/raw", "/query") else "GET"):
            raise Failure(405, 7001, f"Method {request.method} not available for that URI.")
        if route["database"] is None:
            return _envelope(200, self._list(request))
        found, database = self._find(route["database"])
        if route["action"] is None:
            return _envelope(200, {"result": self._description(found)})
        if route["action"] == "/time_travel/bookmark":
            return _envelope(200, {"result": {"bookmark": database.bookmark()}})
        run = database.raw if route["action"] == "/raw" else database.query
        result = run(request.get_data())
        if isinstance(result, bytes):
            return Response(result, content_type="application/json")
        return _envelope(200, {"result": result})

    def _verified(self, owner: str) -> dict[str, str]:
        # Neither of the two knows the other's tokens.
        if owner != ("user" if self.scope.owner == "user" else f"accounts/{self._account_id}"):
            raise Failure(401, 1000, "Invalid API Token")
        expires = {} if self.scope.expires_on is None else {"expires_on": self.scope.expires_on}
        return {"id": "ed17574386854bf78a67040be0a770b0", "status": self.scope.status} | expires

    def _description(self, database_id: str) -> dict[str, str]:
        name = self._names[database_id]
        return {"uuid": database_id, "name": name, "version": "production", "created_at": CREATED_AT}

    def _list(self, request: Request) -> dict[str, object]:
        # The name is a substring here, and there is no total_pages: https://github.com/emdash-cms/emdash/pull/3095
        wanted = request.args.get("name", "")
        found = [self._description(each) for each, name in self._names.items() if wanted in name]
        page = max(request.args.get("page", 1, type=int), 1)
        per_page = min(max(request.args.get("per_page", MAX_PER_PAGE, type=int), 1), MAX_PER_PAGE)
        shown = found[(page - 1) * per_page : page * per_page]
        info = {"count": len(shown), "page": page, "per_page": per_page, "total_count": len(found)}
        return {"result": shown, "result_info": info}

    def _find(self, wanted: str) -> tuple[str, Database]:
        for (database_id, name), database in zip(self._names.items(), self._databases, strict=True):
            # wrangler looks a name up by putting it here: https://github.com/cloudflare/workers-sdk/pull/14275
            if wanted in (database_id, name):
                return database_id, database
        raise Failure(404, 7404, f"The database {wanted} could not be found")


def _envelope(status: int, content: Mapping[str, object]) -> Response:
    body = {"result": None, "success": status == 200, "errors": [], "messages": [], **content}
    return Response(json.dumps(body), status, content_type="application/json")
