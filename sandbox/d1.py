"""An embedded Cloudflare D1: its REST API on a loopback port, for one account with one database of use.

Answers: https://developers.cloudflare.com/api/resources/d1/. Codes of errors: as its users report them.
"""

import json
import re
import sqlite3
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from werkzeug.wrappers import Request, Response

from sandbox import payload
from sandbox.engine import Engine, Refused
from sandbox.server import LoopbackServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BASE = "/client/v4"
CREATED_AT = "2024-03-09T14:00:00.000Z"
MAX_PER_PAGE = 1000

_ROUTE = re.compile(
    rf"{BASE}/accounts/(?P<account>[^/]+)/d1/database(?:/(?P<database>[^/]+)(?P<action>/raw|/query|/time_travel/bookmark)?)?"
)


class _Failure(Exception):
    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class _Database(NamedTuple):
    uuid: str
    name: str
    engine: Engine

    def description(self) -> dict[str, str]:
        return {"uuid": self.uuid, "name": self.name, "version": "production", "created_at": CREATED_AT}


class EmbeddedD1:
    """Serve a SQLite file as D1 serves a database.

    The file is made if need be, and stays. A second, empty database, whose name contains that of the first,
    stands before it in every list, as one may in a real account.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        name: str = "lgfc_lite",
        database_id: str = "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39",
        account_id: str = "5a4db0b2d10000000000000000000d1a",
        token: str = "sandbox-token-Jd93kfQ0xYtLwB7nR2mVc5Zs8Ua1Ge",
        port: int = 0,
    ) -> None:
        self.statements: list[str] = []
        self.requests: list[str] = []
        self._path = Path(path)
        self._name = name
        self._database_id = database_id
        self._account_id = account_id
        self._token = token
        self._server = LoopbackServer(self._answer, port)
        self._databases: list[_Database] = []

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        namesake = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._database_id}/staging"))
        self._databases = [
            _Database(namesake, f"{self._name}_staging", Engine(":memory:", self.statements)),
            _Database(self._database_id, self._name, Engine(self._path, self.statements)),
        ]
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)
        for database in self._databases:
            database.engine.close()

    @property
    def url(self) -> str:
        return f"{self._server.address}{BASE}"

    def connect(self) -> sqlite3.Connection:
        """Open the file itself, past the API and its limits; the caller closes it."""
        return sqlite3.connect(self._path, timeout=30)

    def settings(self) -> dict[str, str]:
        """Return the settings that reach this database, as a process finds them in its environment."""
        return {
            "CLOUDFLARE_API_TOKEN": self._token,
            "CLOUDFLARE_ACCOUNT_ID": self._account_id,
            "D1_DATABASE_NAME": self._name,
            "CLOUDFLARE_API_BASE_URL": self.url,
        }

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        # One append is atomic; the entry is there before the client has its answer.
        self.requests.append(f"{request.method} {request.path}")
        try:
            answer = _envelope(200, self._dispatch(request))
        except _Failure as failure:
            answer = _refusal(failure.status, failure.code, failure.message)
        except payload.Malformed as problem:
            answer = _refusal(400, 7400, str(problem))
        except Refused as problem:
            answer = _refusal(400, 7500, str(problem))
        return answer(environ, start_response)

    def _dispatch(self, request: Request) -> dict[str, object]:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            raise _Failure(401, 10000, "Authentication error")
        route = _ROUTE.fullmatch(request.path)
        if route is None:
            path = request.path.removeprefix(BASE)
            message = f"Could not route to {path}, perhaps your object identifier is invalid?"
            raise _Failure(404, 7003, message)
        if route["account"] != self._account_id:
            message = "The given account is not valid or is not authorized to access this service"
            raise _Failure(403, 7403, message)
        if request.method != ("POST" if route["action"] in ("/raw", "/query") else "GET"):
            raise _Failure(405, 7001, f"Method {request.method} not available for that URI.")
        if route["database"] is None:
            return self._list(request)
        database = self._find(route["database"])
        if route["action"] is None:
            return {"result": database.description()}
        if route["action"] == "/time_travel/bookmark":
            return {"result": {"bookmark": database.engine.bookmark()}}
        outcomes = database.engine.run(payload.statements_of(request.get_data()))
        write = payload.raw if route["action"] == "/raw" else payload.objects
        return {"result": [write(outcome) for outcome in outcomes]}

    def _list(self, request: Request) -> dict[str, object]:
        # The name is a substring here, and there is no total_pages: https://github.com/emdash-cms/emdash/pull/3095
        wanted = request.args.get("name", "")
        found = [database.description() for database in self._databases if wanted in database.name]
        page = max(request.args.get("page", 1, type=int), 1)
        per_page = min(max(request.args.get("per_page", MAX_PER_PAGE, type=int), 1), MAX_PER_PAGE)
        shown = found[(page - 1) * per_page : page * per_page]
        info = {"count": len(shown), "page": page, "per_page": per_page, "total_count": len(found)}
        return {"result": shown, "result_info": info}

    def _find(self, wanted: str) -> _Database:
        for database in self._databases:
            # wrangler looks a name up by putting it here: https://github.com/cloudflare/workers-sdk/pull/14275
            if wanted in (database.uuid, database.name):
                return database
        raise _Failure(404, 7404, f"The database {wanted} could not be found")


def _envelope(status: int, content: Mapping[str, object]) -> Response:
    body = {"result": None, "success": status == 200, "errors": [], "messages": [], **content}
    return Response(json.dumps(body), status, content_type="application/json")


def _refusal(status: int, code: int, message: str) -> Response:
    return _envelope(status, {"errors": [{"code": code, "message": message}]})
