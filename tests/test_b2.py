"""A page through the real client: read as stock boto3 would read it, asked for as b2d1 is set up to."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.handlers
import botocore.parsers
import pytest
from conftest import FakeTime
from hypothesis import given
from hypothesis import strategies as st
from page_strategies import ETAGS, NO_ETAGS, NO_VERSION_IDS, written_pages
from pages import (
    APP_KEY,
    BUCKET,
    FILE_ID,
    KEY_ID,
    REGION,
    Answer,
    Form,
    PageServer,
    Row,
    page,
    stock_client,
    stock_objects,
    stock_page,
    with_dates,
)

from b2d1.b2 import page_xml as b2_xml
from b2d1.b2.bucket import Bucket, Page
from b2d1.errors import B2Error
from b2d1.media import ListMode
from b2d1.retry import Retrying

MODES: list[ListMode] = ["objects", "versions"]
ONCE = Retrying(attempts=1)


class Pair:
    """A bucket as b2d1 reads it, and as stock boto3 does, behind one server."""

    def __init__(self, server: PageServer) -> None:
        self.server = server
        self.stock = stock_client(server.url)
        # Dates as text, for answers whose dates stock boto3 cannot read and b2d1 does not.
        self.stock_as_text = stock_client(server.url, parse=str)

    def page(self, body: bytes, mode: ListMode, **cursor: str) -> Page:
        self.server.give(body)
        return self.server.bucket(mode).page(cursor)

    def stock_page(self, body: bytes, mode: ListMode, **cursor: str) -> dict[str, Any]:
        self.server.give(body)
        return stock_page(self.stock, mode, **cursor)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with PageServer() as server:
        yield Pair(server)


@pytest.fixture(scope="module")
def server(pair: Pair) -> PageServer:
    return pair.server


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_every_field_is_what_stock_boto3_reads(pair: Pair, mode: ListMode, data: st.DataObject) -> None:
    """Whatever legal keys a page holds, and however a host writes it, b2d1 reads what stock boto3 reads."""
    rows, form = data.draw(written_pages(mode))
    body = page(rows, mode, form)

    found, expected = pair.page(body, mode), pair.stock_page(body, mode)

    assert with_dates(found.objects) == stock_objects(expected, mode)
    assert found.unidentified == unidentified(expected, mode)
    assert (found.rows, found.next) == (len(rows), None)


def unidentified(answer: dict[str, Any], mode: ListMode) -> list[str]:
    without = {"objects": NO_ETAGS, "versions": NO_VERSION_IDS}[mode]
    rows = answer.get("Contents" if mode == "objects" else "Versions", [])
    return [row["Key"] for row in rows if row.get("IsLatest", True) and row.get(FILE_ID[mode]) in without]


MUTATED = {
    "objects": page([Row("a+b"), Row("é", etag=ETAGS[1], size=22), Row("日/x y")], then="token=="),
    "versions": page(
        [
            Row("a+b", hidden=True),
            Row("a+b", version_id="4_z1", latest=False),
            Row("é", version_id="4_z2"),
            Row("日", hidden=True),
        ],
        "versions",
        Form(pretty="\n", owner=True),
        then="日 4_z3",
    ),
}


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_a_page_with_a_wrong_byte_is_read_as_stock_boto3_reads_it_or_refused(
    pair: Pair, mode: ListMode, data: st.DataObject
) -> None:
    """A byte of a sound page changed, lost or too much never makes another inventory: it is a B2Error."""
    body = MUTATED[mode]
    place = data.draw(st.integers(0, len(body) - 1))
    byte = data.draw(st.sampled_from(b"<>/&;\"' \n\r\t\0\1\x1c]!?-:=%+09aTt\x80\xff") | st.integers(0, 255))
    changed, replaced = data.draw(st.sampled_from([(bytes([byte]), 1), (bytes([byte]), 0), (b"", 1)]))
    body = body[:place] + changed + body[place + replaced :]

    try:
        found: Any = pair.page(body, mode)
    except B2Error:
        return
    answer = stock_page(pair.stock_as_text, mode)
    assert [tuple(media) for media in found.objects] == stock_objects(answer, mode)
    assert found.unidentified == unidentified(answer, mode)
    assert found.next == following(answer, mode)


def following(answer: dict[str, Any], mode: ListMode) -> dict[str, str] | None:
    """Tell where stock boto3's own paginator would go on."""
    if not answer["IsTruncated"]:
        return None
    if mode == "objects":
        return {"ContinuationToken": answer["NextContinuationToken"]}
    markers = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
    return {name: answer[its_next] for name, its_next in markers.items() if answer.get(its_next)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("namespace", ["", "s3:"], ids=["fast", "slow"])
def test_the_rows_are_taken_out_before_botocore_looks_at_them(
    pair: Pair, mode: ListMode, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The envelope alone reaches botocore, once its search for errors and once its parser."""
    judged, parsed = [], []
    judge = botocore.handlers._looks_like_special_case_error
    parse = botocore.parsers.RestXMLParser._initial_body_parse
    monkeypatch.setattr(
        "botocore.handlers._looks_like_special_case_error",
        lambda status, body: judged.append(body) or judge(status, body),
    )
    monkeypatch.setattr(
        "botocore.parsers.RestXMLParser._initial_body_parse",
        lambda self, body: parsed.append(body) or parse(self, body),
    )
    body = page([Row("a"), Row("b")], mode, Form(namespace=namespace), then="key marker")

    found = pair.page(body, mode)

    assert [media.key for media in found.objects] == ["a", "b"]
    assert len(judged) == 1
    assert judged == parsed
    assert not re.search(rb"Contents|Version>|Size|Owner", judged[0])
    assert [each for each in (b"IsTruncated", b"MaxKeys", b"EncodingType") if each not in judged[0]] == []


def test_the_page_is_not_parsed_as_a_whole(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a plain page ElementTree reads one row, whose fields make the expression, and no more."""
    read: list[Any] = []
    fromstring = b2_xml.ET.fromstring
    monkeypatch.setattr(b2_xml.ET, "fromstring", lambda text: read.append(text) or fromstring(text))

    found = pair.page(page([Row(f"{number:04}") for number in range(1000)]), "objects")

    assert (len(found.objects), len(read), len(read[0]) < 300) == (1000, 1, True)


@pytest.mark.parametrize("mode", MODES)
def test_a_page_is_asked_for_in_botos_words(pair: Pair, mode: ListMode) -> None:
    """The first request names the prefix and url encoding, the next one the cursor besides; nothing else."""
    row, then = Row("p/é x"), "p/é+x 4_z9"
    first = pair.page(page([row], mode, then=then), mode)
    begun = pair.server.asked[0]
    assert first.next is not None
    pair.page(page([]) if mode == "objects" else page([], mode), mode, **first.next)
    continued = pair.server.asked[0]

    words = {"list-type": "2"} if mode == "objects" else {"versions": ""}
    asked = {**words, "prefix": "", "encoding-type": "url"}
    cursor = (
        {"continuation-token": then}
        if mode == "objects"
        else {"key-marker": "p/é+x", "version-id-marker": "4_z9"}
    )
    assert (begun.method, begun.path, begun.query) == ("GET", f"/{BUCKET}", asked)
    assert (continued.method, continued.path, continued.query) == ("GET", f"/{BUCKET}", {**asked, **cursor})


@pytest.mark.parametrize("mode", MODES)
def test_a_request_is_signed_with_the_b2_key_and_carries_nothing_that_b2_refuses(
    pair: Pair, mode: ListMode
) -> None:
    """A request is signed by SigV4 for the region that is set, without checksum headers."""
    pair.page(page([], mode), mode)
    headers = {name.lower(): value for name, value in pair.server.asked[0].headers.items()}

    assert re.match(
        rf"AWS4-HMAC-SHA256 Credential={KEY_ID}/\d{{8}}/{REGION}/s3/aws4_request, ", headers["authorization"]
    )
    assert [name for name in headers if name.startswith("x-amz-")] == ["x-amz-date", "x-amz-content-sha256"]
    assert "b2d1/" in headers["user-agent"]
    assert APP_KEY not in str(headers)


@pytest.mark.parametrize("prefix", ["a+b/", " ", "é%2F", "\U0001f600", "a&b=c", "//"])
def test_a_prefix_is_taken_literally(server: PageServer, prefix: str) -> None:
    """A prefix reaches B2 as it was set, character for character."""
    server.give(page([]))

    server.bucket(prefix=prefix).page({})

    assert server.asked[0].query["prefix"] == prefix


DEAD = "http://127.0.0.1:9"
SURROUNDINGS = {
    "a profile": {"AWS_PROFILE": "there-is-no-such-profile", "AWS_DEFAULT_PROFILE": "nor-this"},
    "credentials": {
        "AWS_ACCESS_KEY_ID": "AKIASOMEBODYELSE",
        "AWS_SECRET_ACCESS_KEY": "somebody else's",
        "AWS_SESSION_TOKEN": "somebody else's",
    },
    "a region": {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"},
    "an endpoint": {
        "AWS_ENDPOINT_URL": DEAD,
        "AWS_ENDPOINT_URL_S3": DEAD,
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
    },
    "an S3 endpoint that is none": {"AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "no-such-endpoint"},
    "certificates": {"AWS_CA_BUNDLE": "/nowhere/ca.pem"},
    "no certificates": {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "/nowhere/ca.pem"},
    "attempts": {"AWS_MAX_ATTEMPTS": "none"},
    "retries": {"AWS_RETRY_MODE": "forever", "AWS_DEFAULTS_MODE": "no-such-mode"},
    "signatures": {"AWS_SIGV4A_SIGNING_REGION_SET": "*", "AWS_AUTH_SCHEME_PREFERENCE": "sigv4a"},
    "checksums": {
        "AWS_REQUEST_CHECKSUM_CALCULATION": "never-heard-of",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "never-heard-of",
    },
    "an application": {"AWS_SDK_UA_APP_ID": "somebody-else"},
    "files": {
        "AWS_DATA_PATH": "/nowhere",
        "AWS_CONFIG_FILE": "/proc/self/mem",
        "AWS_SHARED_CREDENTIALS_FILE": "/proc/self/mem",
    },
    "proxies": {
        **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"), DEAD),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
    },
}


def signed_as(server: PageServer) -> str:
    return server.asked[0].headers["Authorization"].split("/aws4_request")[0]


@pytest.mark.parametrize("about", [*SURROUNDINGS, "everything"])
def test_no_variable_of_the_process_changes_how_b2_is_spoken_to(
    server: PageServer, about: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that botocore would read in the environment makes a difference, alone or together."""
    for each, variables in SURROUNDINGS.items():
        for name, value in variables.items():
            if about in {each, "everything"}:
                monkeypatch.setenv(name, value)
    server.give(page([Row("a")]))

    found = Bucket(server.settings(), ONCE).page({})

    assert [media.key for media in found.objects] == ["a"]
    assert re.fullmatch(rf"AWS4-HMAC-SHA256 Credential={KEY_ID}/\d{{8}}/{REGION}/s3", signed_as(server))
    assert [each for each in server.asked[0].headers if re.search("token|checksum", each.lower())] == []
    assert (server.asked[0].method, server.asked[0].path) == ("GET", f"/{BUCKET}")
    assert "somebody" not in server.asked[0].headers["User-Agent"]


HOSTILE_CONFIG = f"""\
[default]
region = eu-central-1
endpoint_url = {DEAD}
max_attempts = none
retry_mode = forever
ca_bundle = /nowhere
use_fips_endpoint = true
s3 =
    addressing_style = virtual
    payload_signing_enabled = true
    use_accelerate_endpoint = true
    signature_version = s3
"""
HOSTILE_CREDENTIALS = "[default]\naws_access_key_id = AKIASOMEBODYELSE\naws_secret_access_key = other\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "credentials"),
    [
        pytest.param(HOSTILE_CONFIG, HOSTILE_CREDENTIALS, id="somebody else's"),
        pytest.param("[default\nregion", "no credentials at all", id="malformed"),
    ],
)
def test_nothing_in_a_home_folder_is_read(
    server: PageServer, tmp_path: Path, config: str, credentials: str
) -> None:
    """A hostile ~/.aws (configuration, credentials, models of its own) and a ~/.netrc are left alone."""
    models = tmp_path / ".aws/models/s3/2006-03-01"
    models.mkdir(parents=True)
    (models / "service-2.json").write_text("{}")
    (models / "endpoint-rule-set-1.json").write_text("{}")
    (tmp_path / ".aws/config").write_text(config)
    (tmp_path / ".aws/credentials").write_text(credentials)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    server.give(page([Row("a", etag='"e"')]))
    told = {"B2_KEY_ID": KEY_ID, "B2_APP_KEY": APP_KEY, "B2_ENDPOINT": server.url, "B2_REGION": REGION}

    run = subprocess.run(
        [sys.executable, "-c", "from b2d1.cli.commands import main; main()", "inventory"],
        env={"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path), "B2_BUCKET": BUCKET, **told},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, b"")
    assert b'"key":"a"' in run.stdout
    assert re.fullmatch(rf"AWS4-HMAC-SHA256 Credential={KEY_ID}/\d{{8}}/{REGION}/s3", signed_as(server))


@pytest.mark.parametrize("mode", MODES)
def test_a_page_says_where_the_next_one_begins(pair: Pair, mode: ListMode) -> None:
    """The cursor is the token as given, or the markers, decoded as boto3 decodes them."""
    then = "tök&en+%2F 4_z1"
    found = pair.page(page([Row("a")], mode, then=then), mode)

    key, version_id = then.rsplit(" ", 1)
    expected = {
        "objects": {"ContinuationToken": then},
        "versions": {"KeyMarker": key, "VersionIdMarker": version_id},
    }
    assert found.next == expected[mode]


@pytest.mark.parametrize(
    ("mode", "envelope"),
    [
        pytest.param("objects", {"IsTruncated": "true"}, id="no token"),
        pytest.param("objects", {"IsTruncated": "true", "NextContinuationToken": ""}, id="an empty token"),
        pytest.param("versions", {"IsTruncated": "true"}, id="no markers"),
        pytest.param("versions", {"IsTruncated": "true", "NextKeyMarker": ""}, id="an empty marker"),
        pytest.param(
            "versions", {"IsTruncated": "true", "NextVersionIdMarker": "4_z1"}, id="a version id alone"
        ),
    ],
)
def test_a_truncated_page_that_leads_nowhere_is_refused(
    pair: Pair, mode: ListMode, envelope: dict[str, str]
) -> None:
    """Where more follows and the page does not say where, the listing is no listing."""
    with pytest.raises(B2Error, match="it says that more follows, and not where"):
        pair.page(page([Row("a")], mode, **envelope), mode)


@pytest.mark.parametrize("count", ["0", "1", "3", "-2", "1000"])
def test_a_page_that_counts_otherwise_is_refused(pair: Pair, count: str) -> None:
    """KeyCount is the number of rows, or a row got lost."""
    with pytest.raises(B2Error, match=f"it holds 2 objects and counts {int(count):,} "):
        pair.page(page([Row("a"), Row("b")], KeyCount=count), "objects")


def test_a_page_need_not_count(pair: Pair) -> None:
    """A host that gives no KeyCount can be listed."""
    assert pair.page(page([Row("a"), Row("b")], KeyCount=None), "objects").rows == 2


def test_a_page_whose_envelope_only_seems_to_say_whether_it_is_truncated_is_refused(pair: Pair) -> None:
    """IsTruncated counts only where botocore finds it."""
    body = page([Row("a")], IsTruncated=None, Wrapped="<IsTruncated>false</IsTruncated>")

    with pytest.raises(B2Error, match="no listing"):
        pair.page(body, "objects")


def test_the_requests_are_counted(server: PageServer, fake_time: FakeTime) -> None:
    """Every request is counted, those that failed too."""
    server.give(Answer(status=503), Answer(status=503), page([]))
    bucket = Bucket(server.settings(), fake_time.retrying())

    bucket.page({})
    bucket.page({})

    assert (bucket.requests, len(server.asked)) == (4, 4)


def test_requests_are_made_as_b2_takes_them(server: PageServer) -> None:
    """The client signs with SigV4, addresses by path, adds no checksum of its own and never retries."""
    config = Bucket(server.settings())._client.meta.config

    assert (config.signature_version, config.s3["addressing_style"]) == ("s3v4", "path")
    assert config.request_checksum_calculation == config.response_checksum_validation == "when_required"
    assert (config.retries["total_max_attempts"], config.connect_timeout, config.proxies) == (1, 5.0, {})
