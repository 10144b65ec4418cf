"""B2's refusals and failures: each told apart, with its hint; asked again only where that can help."""

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ParamValidationError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from conftest import FakeTime
from pages import APP_KEY, BUCKET, KEY_ID, REGION, Answer, Asked, PageServer, Row, page

from b2d1.b2.bucket import Bucket
from b2d1.b2.errors import interpret_b2_error, interpret_b2_silence
from b2d1.errors import B2Error, OutOfTime, Retry
from b2d1.listing.listing import Listing
from b2d1.media import ListMode
from b2d1.setting_values import Secret
from b2d1.settings import B2Settings
from sandbox.b2 import EmbeddedB2

SETTINGS = B2Settings(Secret(KEY_ID), Secret(APP_KEY), "https://s3.x.example", REGION, BUCKET)
MODES: list[ListMode] = ["objects", "versions"]

REGION_HINT = f"B2_ENDPOINT must be the one on the bucket's page, B2_REGION its region (now {REGION})."
KEY_ID_HINT = "B2_KEY_ID must be the keyID of an application key: not its name, and not the master key."
SECRET_HINT = f"B2_APP_KEY does not belong to B2_KEY_ID, or was entered incompletely. {REGION_HINT}"
CLOCK_HINT = "This machine's clock is wrong: set it."
BUCKET_HINT = f"No bucket {BUCKET} here: compare B2_BUCKET (its name, not its id). {REGION_HINT}"
FOREIGN_HINT = f"Probably the endpoint of another region. {REGION_HINT}"
OTHER_HOST_HINT = (
    f"B2_REGION (now {REGION}) is not this endpoint's, or B2_ENDPOINT is not the one on the bucket's page."
)
CAPABILITY_HINT = (
    "The application key needs the capabilities listFiles and listBuckets, for this bucket, "
    "and for B2_PREFIX if the key is restricted to a prefix."
)
CAP_HINT = "The account's daily cap is used up. It resets at 00:00 UTC; raise it under Caps & Alerts."
UNKNOWN_HINT = "b2d1 does not know this answer: compare the B2 settings with the bucket's page."
BUSY_HINT = "B2 is busy: run again later."

LIST_CAP = "Transaction cap exceeded, see the Caps & Alerts page to increase your cap"
DOWNLOAD_CAP = (
    "Cannot download file, download bandwidth or transaction (Class B) cap exceeded. "
    "See the Caps & Alerts page to increase your cap."
)

REFUSALS = [
    pytest.param(403, "InvalidAccessKeyId", "Malformed Access Key Id", KEY_ID_HINT, id="wrong key id"),
    pytest.param(403, "SignatureDoesNotMatch", "Signature validation failed", SECRET_HINT, id="wrong secret"),
    pytest.param(403, "AccessDenied", "Cannot access bucket", CAPABILITY_HINT, id="capability missing"),
    pytest.param(403, "AccessDenied", "not entitled", CAPABILITY_HINT, id="restricted to another bucket"),
    pytest.param(401, "Unauthorized", "", CAPABILITY_HINT, id="not authorized"),
    pytest.param(403, "AccessDenied", LIST_CAP, CAP_HINT, id="cap exceeded, list"),
    pytest.param(403, "AccessDenied", DOWNLOAD_CAP, CAP_HINT, id="cap exceeded, download"),
    pytest.param(403, "RequestTimeTooSkewed", "", CLOCK_HINT, id="skewed clock"),
    pytest.param(
        404, "NoSuchBucket", "The specified bucket does not exist", BUCKET_HINT, id="no such bucket"
    ),
    pytest.param(301, "PermanentRedirect", "use this endpoint", REGION_HINT, id="region, 301"),
    pytest.param(307, "TemporaryRedirect", "", REGION_HINT, id="region, 307"),
    pytest.param(400, "AuthorizationHeaderMalformed", "the region is wrong", REGION_HINT, id="region, 400"),
    pytest.param(400, "InvalidArgument", "Unsupported header", UNKNOWN_HINT, id="something else"),
]
BARE_REFUSALS = [
    pytest.param(403, OTHER_HOST_HINT, id="wrong region, bare 403"),
    pytest.param(404, BUCKET_HINT, id="bare 404"),
    pytest.param(302, REGION_HINT, id="bare redirect"),
]
FAILURES = [
    pytest.param(503, "SlowDown", id="503 SlowDown"),
    pytest.param(503, "ServiceUnavailable", id="503, too busy"),
    pytest.param(500, "InternalError", id="500, internal incident"),
    pytest.param(429, "TooManyRequests", id="429"),
    pytest.param(408, "RequestTimeout", id="408"),
    pytest.param(502, "502", id="502"),
    pytest.param(504, "504", id="504"),
    pytest.param(400, "RequestTimeout", id="400, but a code that is transient"),
]


def told(error: B2Error) -> tuple[Any, ...]:
    return error.message, error.hint, error.retry, error.retry_after, error.exit_code


def interpret(status: int, code: str, message: str, retry_after: float | None = None) -> tuple[Any, ...]:
    return told(
        interpret_b2_error(
            status=status, code=code, message=message, retry_after=retry_after, settings=SETTINGS
        )
    )


@pytest.mark.parametrize(("status", "code", "message", "hint"), REFUSALS)
def test_a_refusal_says_what_to_mend(status: int, code: str, message: str, hint: str) -> None:
    """Each refusal has its own hint, repeats B2's words and is never asked again."""
    said = f"B2 answered {status} {code}" + (f": {message}" if message else "")

    assert interpret(status, code, message) == (said, hint, Retry.NEVER, None, 3)


@pytest.mark.parametrize(("status", "hint"), BARE_REFUSALS)
def test_a_refusal_without_a_body_says_what_to_mend(status: int, hint: str) -> None:
    """An answer with nothing but a status is told by it, with botocore's code for it and with none."""
    assert interpret(status, "", "") == (f"B2 answered {status}", hint, Retry.NEVER, None, 3)
    assert interpret(status, str(status), "") == (
        f"B2 answered {status}",
        hint,
        Retry.NEVER,
        None,
        3,
    )


def test_a_bare_403_of_backblaze_is_another_regions() -> None:
    """Where the endpoint is Backblaze's, a 403 without a body tells of another region."""
    at_backblaze = dataclasses.replace(SETTINGS, endpoint="https://s3.us-west-004.backblazeb2.com")

    error = interpret_b2_error(status=403, code="", message="", retry_after=None, settings=at_backblaze)

    assert (error.message, error.hint) == ("B2 answered 403", FOREIGN_HINT)


@pytest.mark.parametrize(("status", "code"), FAILURES)
@pytest.mark.parametrize(
    ("retry_after", "retry"),
    [
        pytest.param(None, Retry.SOON, id="no Retry-After"),
        pytest.param(0.0, Retry.LATER, id="Retry-After 0"),
        pytest.param(7.0, Retry.LATER, id="Retry-After 7"),
    ],
)
def test_a_failure_may_be_asked_again(
    status: int, code: str, retry_after: float | None, retry: Retry
) -> None:
    """A failure of the moment may be asked again, and not before the server's own Retry-After."""
    assert interpret(status, code, "wait", retry_after) == (
        f"B2 answered {status}: wait" if code == str(status) else f"B2 answered {status} {code}: wait",
        BUSY_HINT,
        retry,
        retry_after,
        3,
    )


def test_a_long_message_is_not_repeated_in_full() -> None:
    """However much B2 says, an error stays a sentence."""
    assert interpret(400, "Odd", "x" * 5000)[0] == "B2 answered 400 Odd: " + "x" * 300


URL = "https://s3.x.example/photos"


@pytest.mark.parametrize(
    ("failure", "message", "retry"),
    [
        pytest.param(
            ResponseParserError("x"), "the answer is broken or cut short", Retry.SOON, id="broken XML"
        ),
        pytest.param(
            ValueError("x"), "the answer is broken or cut short", Retry.SOON, id="a count that is none"
        ),
        pytest.param(
            ReadTimeoutError(endpoint_url=URL, error=TimeoutError()),
            "no answer from https://s3.x.example (TimeoutError)",
            Retry.SOON,
            id="no answer in time",
        ),
        pytest.param(
            ConnectTimeoutError(endpoint_url=URL, error=TimeoutError()),
            "no answer from https://s3.x.example (TimeoutError)",
            Retry.SOON,
            id="no connection in time",
        ),
        pytest.param(
            EndpointConnectionError(endpoint_url=URL, error=OSError()),
            "no answer from https://s3.x.example (OSError)",
            Retry.SOON,
            id="connection refused, or no such host",
        ),
        pytest.param(
            ConnectionClosedError(endpoint_url=URL, error=ConnectionResetError(), request=None),
            "no answer from https://s3.x.example (ConnectionResetError)",
            Retry.SOON,
            id="connection closed",
        ),
        pytest.param(
            HTTPClientError(error=OSError()),
            "no answer from https://s3.x.example (OSError)",
            Retry.SOON,
            id="anything else about HTTP",
        ),
        pytest.param(
            SSLError(endpoint_url=URL, error="[SSL] unexpected eof while reading"),
            "no answer from https://s3.x.example (str)",
            Retry.SOON,
            id="TLS broken off",
        ),
        pytest.param(
            SSLError(endpoint_url=URL, error="certificate verify failed: self-signed (_ssl.c:1)"),
            "https://s3.x.example shows a certificate that this machine does not trust (self-signed)",
            Retry.NEVER,
            id="a stranger's certificate",
        ),
        pytest.param(
            ParamValidationError(report="no"),
            "the request could not be made: Parameter validation failed:\nno",
            Retry.NEVER,
            id="a request that botocore refuses",
        ),
    ],
)
def test_silence_is_told_apart_too(failure: Exception, message: str, retry: Retry) -> None:
    """Where no whole answer came, the error says so, and asks again where that can help."""
    error = interpret_b2_silence(failure, SETTINGS)

    assert (error.message, error.retry, error.exit_code) == (message, retry, 3)


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    with PageServer() as server:
        yield server


@pytest.fixture(scope="module")
def patient(server: PageServer) -> tuple[Bucket, FakeTime]:
    time = FakeTime()
    return Bucket(server.settings(), time.retrying()), time


@pytest.fixture
def bucket(patient: tuple[Bucket, FakeTime]) -> Bucket:
    """Provide a bucket without a deadline, on the clock `time`; making one for each test would be slow."""
    patient[1].pauses.clear()
    return patient[0]


@pytest.fixture
def time(patient: tuple[Bucket, FakeTime]) -> FakeTime:
    return patient[1]


def xml_error(code: str, message: str, **more: str) -> bytes:
    inside = "".join(f"<{name}>{text}</{name}>" for name, text in more.items())
    message = message.replace("&", "&amp;")
    told = f"<Code>{code}</Code><Message>{message}</Message>{inside}"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{told}</Error>'.encode()


def failure(bucket: Bucket) -> B2Error:
    """List until it fails."""
    with pytest.raises(B2Error) as caught:
        list(Listing(bucket).batches())
    return caught.value


def keys_of(bucket: Bucket) -> list[str]:
    return [media.key for batch in Listing(bucket).batches() for media in batch.objects]


@pytest.mark.parametrize(("status", "code", "message", "hint"), REFUSALS)
def test_a_refusal_is_met_once(
    *, server: PageServer, bucket: Bucket, time: FakeTime, status: int, code: str, message: str, hint: str
) -> None:
    """After a refusal no second request is made, to this address, another region or another host."""
    region = {"x-amz-bucket-region": "us-east-005", "Location": f"{server.url}/elsewhere"}
    server.give(Answer(xml_error(code, message, Region="us-east-005"), status, region))

    error = failure(bucket)

    assert [asked.method for asked in server.asked] == ["GET"]
    assert time.pauses == []
    assert (error.hint, error.doing) == (hint, "listing bucket photos")
    assert error.message.startswith(f"B2 answered {status} {code}")


@pytest.mark.parametrize("headers", [{}, {"Location": "/elsewhere"}], ids=["plain", "with a Location"])
@pytest.mark.parametrize(("status", "hint"), BARE_REFUSALS)
def test_a_refusal_without_a_body_is_met_once(
    server: PageServer, bucket: Bucket, status: int, hint: str, headers: dict[str, str]
) -> None:
    """A bare status is enough to stop; the bucket's region is not asked for."""
    server.give(Answer(b"", status, headers))

    assert (failure(bucket).hint, len(server.asked)) == (hint, 1)


@pytest.mark.parametrize(("status", "code"), FAILURES)
def test_a_failure_is_asked_again_with_growing_pauses(
    server: PageServer, bucket: Bucket, time: FakeTime, status: int, code: str
) -> None:
    """A failure is asked again by b2d1 alone, on its own clock, and the listing goes on when it is over."""
    busy = Answer(xml_error(code, "busy"), status)
    server.give(busy, busy, busy, page([Row("a")]))

    assert keys_of(bucket) == ["a"]
    assert (len(server.asked), time.pauses) == (4, [1.0, 2.0, 4.0])


def test_retry_after_is_honoured_in_seconds(server: PageServer, bucket: Bucket, time: FakeTime) -> None:
    """B2's Retry-After, which botocore ignores, is waited for to the second, and never undercut."""
    later = [Answer(b"", 503, {"Retry-After": seconds}) for seconds in ("7", "0", "11")]
    server.give(*later, page([]))

    assert keys_of(bucket) == []
    assert time.pauses == [7.0, 2.0, 11.0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("retry_after", "requests"),
    [
        pytest.param("7", 3, id="7 s"),
        pytest.param("60", 1, id="60 s, too long to wait"),
        pytest.param(None, 5, id="none"),
    ],
)
def test_a_listing_that_is_always_refused_ends_inside_its_deadline(
    server: PageServer, fake_time: FakeTime, mode: ListMode, retry_after: str | None, requests: int
) -> None:
    """With 20 seconds left and a server that always answers 503, the listing gives up in time."""
    server.give(
        Answer(xml_error("SlowDown", "slow"), 503, {"Retry-After": retry_after} if retry_after else {})
    )
    bucket, began = Bucket(server.settings(mode), fake_time.retrying(seconds=20)), fake_time.now

    error = failure(bucket)

    assert fake_time.now - began < 20
    assert (len(server.asked), error.exit_code) == (requests, 3)
    assert "gave up: the next try is due in" in str(error)


def test_a_listing_without_a_deadline_gives_up_too(server: PageServer, bucket: Bucket) -> None:
    """Eight attempts are enough to know."""
    server.give(Answer(xml_error("InternalError", "incident"), 500))

    assert "gave up after 8 attempts" in str(failure(bucket))
    assert len(server.asked) == 8


def test_no_request_is_made_when_no_time_is_left(server: PageServer, fake_time: FakeTime) -> None:
    """Past the deadline nothing is sent any more."""
    server.give(page([]))
    bucket = Bucket(server.settings(), fake_time.retrying(seconds=0))

    with pytest.raises(OutOfTime):
        bucket.page({})
    assert server.asked == []


WHOLE = page([Row("a"), Row("b")])


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(Answer(WHOLE, cut=-1), id="closed without an answer"),
        pytest.param(Answer(WHOLE, cut=0), id="closed before the body"),
        pytest.param(Answer(WHOLE, cut=len(WHOLE) // 2), id="closed in the middle of the body"),
        pytest.param(Answer(WHOLE, cut=len(WHOLE) - 1), id="closed before the last byte"),
        pytest.param(
            Answer(b"5\r\n<List", headers={"Transfer-Encoding": "chunked"}, cut=8), id="a chunk cut"
        ),
        pytest.param(Answer(b"zz", headers={"Transfer-Encoding": "chunked"}, cut=2), id="no chunk at all"),
        pytest.param(Answer(b"<html><body>Sign in</body></html>"), id="HTML under 200"),
        pytest.param(Answer(xml_error("InternalError", "oh")), id="an error under 200"),
        pytest.param(Answer(b""), id="nothing under 200"),
        pytest.param(Answer(b"", 204), id="nothing under 204"),
        pytest.param(Answer(WHOLE, 206), id="a part under 206"),
        pytest.param(Answer(page([Row("a")], MaxKeys="many")), id="a count that is no number"),
        pytest.param(Answer(page([Row("a")], KeyCount="1</KeyCount><KeyCount>1")), id="a count twice"),
        pytest.param(Answer(page([Row("a")], Prefix="</Prefix><Prefix>")), id="a prefix twice"),
        pytest.param(Answer(page([], CommonPrefixes="")), id="a common prefix without its prefix"),
        pytest.param(
            Answer(b"<Error>" + b"<a>" * 5000 + b"</a>" * 5000 + b"</Error>", 500), id="nested deeply"
        ),
        pytest.param(Answer(b"<html><Error>no</Error></html>", 503), id="HTML with an Error in it"),
    ],
)
def test_a_broken_answer_is_asked_again_and_then_an_error(
    server: PageServer, bucket: Bucket, broken: Answer
) -> None:
    """An answer that is not whole is mended by the next one, and without a next one it is exit 3."""
    server.give(broken, broken, WHOLE)
    assert (keys_of(bucket), len(server.asked)) == (["a", "b"], 3)

    server.give(broken)
    error = failure(bucket)
    assert (error.exit_code, len(server.asked)) == (3, 8)


def test_an_error_under_200_is_told_as_the_error_it_is(
    server: PageServer, bucket: Bucket, time: FakeTime
) -> None:
    """B2's own words, and its Retry-After, count even where the status says that all is well."""
    server.give(Answer(xml_error("SlowDown", "not so fast"), headers={"Retry-After": "9"}))

    assert failure(bucket).message == "B2 answered 500 SlowDown: not so fast"
    assert time.pauses[0] == 9.0


@pytest.mark.parametrize("code", ["<a>deep</a>", "x</Code><Code>y"], ids=["nested", "twice"])
@pytest.mark.parametrize("message", ["<a>deep</a>", "x</Message><Message>y"], ids=["nested", "twice"])
@pytest.mark.parametrize("status", [403, 503])
def test_an_error_of_an_odd_form_is_still_a_b2_error(
    server: PageServer, bucket: Bucket, code: str, message: str, status: int
) -> None:
    """Whatever stands where B2's words belong, no other exception escapes."""
    server.give(Answer(xml_error(code, message), status))

    assert failure(bucket).doing == "listing bucket photos"


def test_a_listing_waits_no_longer_than_its_deadline_for_an_answer(
    server: PageServer, fake_time: FakeTime
) -> None:
    """A server that holds its answer back is left at the deadline."""
    ended = threading.Event()

    def hold(_: Asked) -> Answer:
        ended.wait(10)
        return Answer(WHOLE)

    server.answer(hold)
    bucket = Bucket(server.settings(), fake_time.retrying(seconds=0.05, attempts=1))
    with pytest.raises(B2Error, match=r"no answer from .*ReadTimeoutError"):
        bucket.page({})
    ended.set()


def test_a_port_that_does_not_speak_tls_is_silence(server: PageServer, fake_time: FakeTime) -> None:
    """A connection that cannot be secured is no answer; nothing is sent in the clear instead."""
    server.give(WHOLE)
    settings = server.settings(endpoint=server.url.replace("http:", "https:"))

    with pytest.raises(B2Error, match=r"no answer from https://127.0.0.1:\d+ \(") as caught:
        Bucket(settings, fake_time.retrying(attempts=2)).page({})

    assert (caught.value.exit_code, len(fake_time.pauses), server.asked) == (3, 1, [])


@pytest.mark.parametrize("secret", [KEY_ID, APP_KEY], ids=["key id", "secret"])
@pytest.mark.parametrize("status", [403, 503])
def test_a_secret_in_the_answer_is_not_repeated(
    *,
    server: PageServer,
    bucket: Bucket,
    time: FakeTime,
    caplog: pytest.LogCaptureFixture,
    secret: str,
    status: int,
) -> None:
    """Whatever B2 says back, neither part of the key shows in an error or a log line."""
    server.give(Answer(xml_error(f"No{secret}", f"the key {secret} is unknown"), status))

    error = failure(bucket)

    assert "the key *** is unknown" in str(error)
    assert secret not in f"{error} {error.hint} {caplog.text}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("change", "hint"),
    [
        pytest.param({"key_id": Secret("0045f0571db506a0000000002")}, KEY_ID_HINT, id="wrong key id"),
        pytest.param({"app_key": Secret("K004wrong")}, SECRET_HINT, id="wrong secret"),
        pytest.param({"bucket": "another"}, "No bucket another here", id="wrong bucket"),
        pytest.param({"region": "us-east-005"}, "us-east-005", id="wrong region"),
    ],
)
def test_the_embedded_b2_refuses_wrong_settings_as_b2_does(
    b2: EmbeddedB2, fake_time: FakeTime, mode: ListMode, change: dict[str, Any], hint: str
) -> None:
    """Against a server that checks signatures, each wrong setting is met once and told apart."""
    given = b2.settings()
    sound = B2Settings(
        *(Secret(given["B2_KEY_ID"]), Secret(given["B2_APP_KEY"]), given["B2_ENDPOINT"]),
        *(given["B2_REGION"], given["B2_BUCKET"], "", mode),
    )
    bucket = Bucket(dataclasses.replace(sound, **change), fake_time.retrying())

    with pytest.raises(B2Error) as caught:
        bucket.page({})

    assert hint in caught.value.hint
    assert (bucket.requests, len(b2.requests), fake_time.pauses) == (1, 1, [])
