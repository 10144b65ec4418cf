"""What can befall a request: a false answer, or none; and what a run is to make of each."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Literal

from werkzeug.wrappers import Response

from drill.steps import Server
from sandbox.forwarder import Call, Deed

# How it is done: by a forwarder to a request, by one that takes no connection, or with kill -9.
Kind = Literal["deed", "refusal", "kill"]
Deeds = dict[Server, Deed]


@dataclasses.dataclass(frozen=True, eq=False)
class Fault:
    """One thing that can go wrong: what is done at each server, and what follows.

    `acts` tells whether the request takes effect all the same, `doubt` whether the client cannot know.
    `hangs` is true where no answer comes, `pause` the time to let pass (seconds); `needs_content` is true
    where it befalls the content of a success. `message` is one that D1 documents, `too_much` is true if that
    asks for smaller requests.
    """

    name: str
    deeds: Mapping[Server, Deed]
    kind: Kind = "deed"
    acts: bool = False
    doubt: bool = True
    hangs: bool = False
    pause: float = 0.0
    needs_content: bool = False
    message: str = ""
    too_much: bool = False


def _everywhere(deed: Deed) -> Deeds:
    return {"B2": deed, "D1": deed, "S3": deed}


def _answers(status: int, d1: str, s3: str, headers: Mapping[str, str] | None = None) -> Deeds:
    """Answer in the server's place; B2 speaks as S3 does."""
    in_xml = _answer(status, s3, headers)
    return {"B2": in_xml, "D1": _answer(status, d1, headers), "S3": in_xml}


def _answer(status: int, body: str, headers: Mapping[str, str] | None = None) -> Deed:
    return lambda _call: Response(body, status, headers)


def _after(deeds: Deeds) -> Deeds:
    """Let the server do what it is asked to first, and keep its answer back."""

    def late(deed: Deed) -> Deed:
        def act(call: Call) -> Response:
            call.pass_on()
            return deed(call)

        return act

    return {server: late(deed) for server, deed in deeds.items()}


def _cut(call: Call) -> Response:
    """Pass on the first half of the answer, and end the connection."""
    answer = call.pass_on()
    answer.headers["Content-Length"] = str(len(answer.data))
    answer.response = [answer.data[: len(answer.data) // 2]]
    return answer


def _d1(*results: object, code: int = 0, message: str = "") -> str:
    """Write what Cloudflare's API answers: results, or an error."""
    errors = [{"code": code, "message": message}] if message else []
    answer = {"result": list(results) or None, "success": not message, "errors": errors, "messages": []}
    return json.dumps(answer)


def _s3(code: str) -> str:
    """Write an error as S3 does."""
    return f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>{code}</Message></Error>"


RETRY_AFTER = 7
HTML = "<!DOCTYPE html>\n<html><head><title>Error</title></head><body><h1>Sorry!</h1></body></html>\n"
# The account's limit of requests, as users met it: https://github.com/kamp-us/phoenix (tests/integration).
TOO_MANY = (_d1(code=971, message="TooManyRequests"), _s3("TooManyRequests"))
GATEWAY = (_d1(code=7009, message="gateway timeout"), HTML)
LOST = "Network connection lost."
FAILED_STATEMENT = {"success": False, "error": f"D1_ERROR: {LOST}", "results": [], "meta": {}}
# Sound, and not what was asked for: what D1 answers at /query, and S3 when asked for all buckets.
OF_QUERY = {"success": True, "results": [{"1": 1}], "meta": {"changes": 1}}
BUCKETS = "<?xml version='1.0'?>\n<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"

# https://developers.cloudflare.com/d1/observability/debug-d1/ lists these, and what to do about each.
RETRY = (
    "D1 DB reset because its code was updated.",
    "Internal error while starting up D1 DB storage caused object to be reset.",
    LOST,
    "Internal error in D1 DB storage caused object to be reset.",
    "Cannot resolve D1 DB due to transient issue on remote node.",
    "Can't read from request stream because client disconnected.",
    "D1 DB is overloaded. Requests queued for too long.",
    "D1 DB is overloaded. Too many requests queued.",
    "Currently processing a long-running export.",
)
DO_LESS = (
    "D1 DB storage operation exceeded timeout which caused object to be reset.",
    "D1 DB's isolate exceeded its memory limit and was reset.",
    "D1 DB exceeded its CPU time limit and was reset.",
)
# What they tell of may have happened when the statement was through already.
INTERRUPTING = tuple(message for message in RETRY + DO_LESS if "reset" in message or message == LOST)


def _by_message(message: str, *, acts: bool = False) -> Fault:
    deeds: Deeds = {"D1": _answer(400, _d1(code=7500, message=message))}
    return Fault(
        f"{message} (after)" if acts else message,
        _after(deeds) if acts else deeds,
        acts=acts,
        message=message,
        too_much=message in DO_LESS,
    )


FAULTS = (
    Fault("connection refused", {}, kind="refusal", doubt=False),
    Fault("dropped before", _everywhere(Call.drop)),
    Fault("dropped after", _after(_everywhere(Call.drop)), acts=True),
    Fault("time-out before", _everywhere(Call.outlast), hangs=True),
    Fault("time-out after", _after(_everywhere(Call.outlast)), acts=True, hangs=True),
    Fault("cut short", _everywhere(_cut), acts=True, needs_content=True),
    Fault("wrong content", _after(_answers(200, _d1(OF_QUERY), BUCKETS)), acts=True, needs_content=True),
    Fault("429", _answers(429, *TOO_MANY), doubt=False),
    Fault(
        "429 Retry-After",
        _answers(429, *TOO_MANY, {"Retry-After": str(RETRY_AFTER)}),
        doubt=False,
        pause=RETRY_AFTER,
    ),
    Fault(
        "500", _answers(500, _d1(code=7500, message="internal error; reference = 4k2"), _s3("InternalError"))
    ),
    Fault("503", _answers(503, "upstream connect error", _s3("SlowDown"))),
    Fault("504", _answers(504, *GATEWAY)),
    Fault("504 after", _after(_answers(504, *GATEWAY)), acts=True),
    Fault("HTML under 502", _answers(502, HTML, HTML)),
    Fault("HTML under 200", _answers(200, HTML, HTML)),
    Fault("failure under 200", _answers(200, _d1(code=7500, message=LOST), _s3("InternalError"))),
    Fault("failed statement", {"D1": _answer(200, _d1(FAILED_STATEMENT))}),
    *(_by_message(message) for message in RETRY + DO_LESS),
    *(_by_message(message, acts=True) for message in INTERRUPTING),
    Fault("killed before", {}, kind="kill"),
    Fault("killed after", {}, kind="kill", acts=True),
)
