"""The embedded B2 behaves as B2 is documented and known to, towards a real boto3."""

import datetime as dt
import email.utils
import hashlib
import re
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
import requests
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from moto import mock_aws

from sandbox.b2 import EmbeddedB2
from sandbox.native import KeyScope
from sandbox.sample import hidden_objects, sample_objects

pytestmark = pytest.mark.slow

VERSION_ID = re.compile(r"4_z[0-9a-f]{24}_f[0-9a-f]{16}_d\d{8}_m\d{6}_c\d{3}_v\d{7}_t\d{4}_u0\d{13}")
SAMPLE = dict(sample_objects())


@pytest.fixture(scope="module")
def sample() -> Iterator[EmbeddedB2]:
    with EmbeddedB2() as b2:
        yield b2


@pytest.fixture
def empty() -> Iterator[EmbeddedB2]:
    with EmbeddedB2(fill=False) as b2:
        yield b2


def client(b2: EmbeddedB2, **changes: str) -> Any:
    settings = b2.settings() | changes
    return boto3.client(
        "s3",
        endpoint_url=settings["B2_ENDPOINT"],
        region_name=settings["B2_REGION"],
        aws_access_key_id=settings["B2_KEY_ID"],
        aws_secret_access_key=settings["B2_APP_KEY"],
        config=Config(signature_version="s3v4", retries={"total_max_attempts": 1}),
    )


def signed_get(b2: EmbeddedB2, path: str, **changes: str) -> requests.Response:
    settings = b2.settings() | changes
    request = AWSRequest("GET", b2.url + path, headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    credentials = Credentials(settings["B2_KEY_ID"], settings["B2_APP_KEY"])
    S3SigV4Auth(credentials, "s3", settings["B2_REGION"]).add_auth(request)
    return requests.get(b2.url + path, headers=dict(request.headers), timeout=10)


def pages(b2: EmbeddedB2, operation: str, **arguments: Any) -> list[dict[str, Any]]:
    size = {"PageSize": arguments.pop("PageSize", 1000)}
    paginator = client(b2).get_paginator(operation)
    found = paginator.paginate(Bucket=b2.settings()["B2_BUCKET"], PaginationConfig=size, **arguments)
    return [{name: value for name, value in page.items() if name != "ResponseMetadata"} for page in found]


def items(b2: EmbeddedB2, operation: str, kind: str, **arguments: Any) -> list[dict[str, Any]]:
    return [item for page in pages(b2, operation, **arguments) for item in page.get(kind, [])]


def keys(b2: EmbeddedB2, **arguments: Any) -> list[str]:
    return [item["Key"] for item in items(b2, "list_objects_v2", "Contents", **arguments)]


def error_of(call: Any, **arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    error = response["Error"]
    return (
        response["ResponseMetadata"]["HTTPStatusCode"],
        error["Code"],
        error["Message"].split(" (reached")[0],
    )


class TestSample:
    """What lies in the sample bucket."""

    def test_it_is_of_the_announced_size(self) -> None:
        """The sample is 3,000 objects under keys of about 60 bytes, the longest of 1,024."""
        lengths = [len(key.encode()) for key in SAMPLE]
        assert (len(lengths), round(sum(lengths) / len(lengths), -1), max(lengths)) == (3000, 60, 1024)

    @pytest.mark.parametrize(
        "key",
        [
            "photos/a.jpg",
            "video/opening day 1927.mp4",
            "été/Lou Gehrig – 1939.png",  # noqa: RUF001
            "日本語/写真.jpg",
            "😀.gif",
            " leading and trailing ",
            "a+b%2Fc&<d>.jpg",
            "/lead//double/",
            "colon:in:key",
            "percent/%zz.jpg",
            "quotes/'); DROP TABLE media_assets;--",
            "back\\slash\\photo.jpg",
            "astral/\ufffe no character.jpg",
            "astral/\U0010ffff.jpg",
            "dir/",
            "dir/.bzEmpty",
        ],
    )
    def test_it_has_the_names_that_trip_programs_up(self, key: str) -> None:
        """Every awkward kind of key that B2 takes is in the sample."""
        assert key in SAMPLE

    def test_it_has_one_accented_name_in_both_normal_forms(self) -> None:
        """Two keys that look alike but differ in bytes are two objects."""
        name = "accents/Zoë Müller.jpg"
        assert {unicodedata.normalize(form, name) for form in ("NFC", "NFD")} <= set(SAMPLE)

    def test_it_has_no_key_that_b2_would_refuse(self) -> None:
        """Every key is UTF-8 of 1 to 1,024 bytes without control characters below U+0020 or DEL."""
        assert [key for key in SAMPLE if not key or re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", key)] == []

    def test_its_pictures_are_pictures(self) -> None:
        """Each `.png` of the plain keys is a PNG whose chunks and pixels are whole."""
        bodies = [body for key, body in SAMPLE.items() if key.startswith("scans/")]
        assert [png_size(body) for body in bodies] == [(16, 32)] * len(bodies)
        assert len(bodies) > 20


def png_size(body: bytes) -> tuple[int, int]:
    assert body.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(body):
        (length,) = struct.unpack_from(">I", body, at)
        kind, data = body[at + 4 : at + 8], body[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", body, at + 8 + length) == (zlib.crc32(kind + data),)
        chunks[kind] = data
        at += 12 + length
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + width * 3)
    return width, height


class TestListing:
    """What the two listings show."""

    @pytest.mark.parametrize("size", [1000, 999, 301])
    def test_objects_are_the_sample(self, sample: EmbeddedB2, size: int) -> None:
        """ListObjectsV2 shows every sample object once, in byte order, with its size and quoted MD5."""
        listed = items(sample, "list_objects_v2", "Contents", PageSize=size)
        assert [(item["Key"], item["Size"], item["ETag"]) for item in listed] == [
            (key, len(body), f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')
            for key, body in sorted(SAMPLE.items(), key=lambda item: item[0].encode())
        ]

    @pytest.mark.parametrize("size", [1000, 998, 301])
    def test_latest_versions_are_the_sample(self, sample: EmbeddedB2, size: int) -> None:
        """ListObjectVersions shows the same objects as latest versions, whatever the page size."""
        listed = items(sample, "list_object_versions", "Versions", PageSize=size)
        latest = {item["Key"]: item["Size"] for item in listed if item["IsLatest"]}
        assert latest == {key: len(body) for key, body in SAMPLE.items()}

    def test_versions_mode_has_something_to_skip(self, sample: EmbeddedB2) -> None:
        """The sample has overwritten objects, and hidden ones behind markers that are the latest."""
        versions = items(sample, "list_object_versions", "Versions")
        markers = items(sample, "list_object_versions", "DeleteMarkers")
        hidden = sorted(key for key, _ in hidden_objects())
        assert sorted((marker["Key"], marker["IsLatest"]) for marker in markers) == [
            (key, True) for key in hidden
        ]
        assert sum(not item["IsLatest"] for item in versions) == 20 + len(hidden)

    def test_version_ids_are_of_b2s_form(self, sample: EmbeddedB2) -> None:
        """Each version has an id of its own, in B2's form, that tells when it was uploaded."""
        versions = items(sample, "list_object_versions", "Versions")
        ids = [item["VersionId"] for item in versions]
        assert [item for item in ids if not VERSION_ID.fullmatch(item)] == []
        assert len(set(ids)) == len(ids)
        assert [item["VersionId"].split("_")[3:5] for item in versions] == [
            item["LastModified"].strftime("d%Y%m%d m%H%M%S").split() for item in versions
        ]

    @pytest.mark.parametrize("operation", ["list_objects_v2", "list_object_versions"])
    def test_two_starts_are_the_same(self, sample: EmbeddedB2, operation: str) -> None:
        """A second start lists what the first did: the same keys, sizes, ETags, times and version ids."""
        with EmbeddedB2() as again:
            assert pages(again, operation) == pages(sample, operation)

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({}, ["a", "a/1", "a/2", "b b", "b+b", "é", "\uffff", "😀"]),
            ({"Prefix": "a/"}, ["a/1", "a/2"]),
            ({"Prefix": "b+"}, ["b+b"]),
            ({"Prefix": "none"}, []),
            ({"StartAfter": "a/1"}, ["a/2", "b b", "b+b", "é", "\uffff", "😀"]),
            ({"StartAfter": "a/1!"}, ["a/2", "b b", "b+b", "é", "\uffff", "😀"]),
            ({"StartAfter": "b b"}, ["b+b", "é", "\uffff", "😀"]),
            ({"StartAfter": "\uffff"}, ["😀"]),
            ({"StartAfter": "\U0010ffff"}, []),
            ({"Prefix": "a", "StartAfter": "a"}, ["a/1", "a/2"]),
            ({"Delimiter": "/"}, ["a", "b b", "b+b", "é", "\uffff", "😀"]),
            ({"Delimiter": "/", "Prefix": "a/"}, ["a/1", "a/2"]),
        ],
    )
    @pytest.mark.parametrize("size", [1, 2, 1000])
    def test_a_query_cuts_the_objects(
        self, small: EmbeddedB2, arguments: dict[str, str], expected: list[str], size: int
    ) -> None:
        """Prefix, StartAfter, Delimiter and MaxKeys mean what they mean at S3, on any key."""
        assert keys(small, PageSize=size, **arguments) == expected

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({}, ["a", "a/1", "a/2", "b b", "b+b", "é", "\uffff", "😀"]),
            ({"KeyMarker": "a/1"}, ["a/2", "b b", "b+b", "é", "\uffff", "😀"]),
            ({"KeyMarker": "a/1!"}, ["a/2", "b b", "b+b", "é", "\uffff", "😀"]),
            ({"KeyMarker": "b b", "Prefix": "b"}, ["b+b"]),
            ({"Prefix": "a", "Delimiter": "/"}, ["a"]),
        ],
    )
    @pytest.mark.parametrize("size", [1, 2, 1000])
    def test_a_query_cuts_the_versions(
        self, small: EmbeddedB2, arguments: dict[str, str], expected: list[str], size: int
    ) -> None:
        """KeyMarker, also one that is no key, Prefix, Delimiter and MaxKeys mean what they mean at S3."""
        found = items(small, "list_object_versions", "Versions", PageSize=size, **arguments)
        assert [item["Key"] for item in found] == expected

    @pytest.mark.parametrize("operation", ["list_objects_v2", "list_object_versions"])
    @pytest.mark.parametrize("size", [1, 2, 1000])
    def test_common_prefixes_stand_for_their_keys(self, small: EmbeddedB2, operation: str, size: int) -> None:
        """With a delimiter, keys below it are one common prefix, once, whatever the page size."""
        found = items(small, operation, "CommonPrefixes", PageSize=size, Delimiter="/")
        assert found == [{"Prefix": "a/"}]

    @pytest.mark.parametrize("size", [1, 2, 3, 1000])
    def test_all_versions_of_a_key_are_listed_newest_first(self, empty: EmbeddedB2, size: int) -> None:
        """Paging by key and version id loses and repeats no version, hide markers included."""
        for body in (b"1", b"22", b"333"):
            empty.put("k", body)
        empty.hide("k")
        empty.put("l", b"4444")
        found = pages(empty, "list_object_versions", PageSize=size)
        markers = [item["IsLatest"] for page in found for item in page.get("DeleteMarkers", [])]
        versions = [
            (item["Key"], item["Size"], item["IsLatest"])
            for page in found
            for item in page.get("Versions", [])
        ]
        assert markers == [True]
        assert versions == [("k", 3, False), ("k", 2, False), ("k", 1, False), ("l", 4, True)]

    def test_a_page_is_written_as_b2_documents_it(self, empty: EmbeddedB2) -> None:
        """The fields stand in the order of B2's own example, the key encoded and the ETag in bare quotes."""
        empty.put("a b+c/é.jpg", b"abc")
        answer = signed_get(empty, "/b2d1-sandbox?list-type=2&encoding-type=url")
        assert answer.headers["Content-Type"] == "application/xml"
        assert answer.text == (
            '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n'
            "    <Contents>\n"
            '        <ETag>"900150983cd24fb0d6963f7d28e17f72"</ETag>\n'
            "        <Key>a+b%2Bc/%C3%A9.jpg</Key>\n"
            "        <LastModified>2024-03-09T14:00:37.000Z</LastModified>\n"
            "        <Size>3</Size>\n"
            "        <StorageClass>STANDARD</StorageClass>\n"
            "    </Contents>\n"
            "    <EncodingType>url</EncodingType>\n"
            "    <IsTruncated>false</IsTruncated>\n"
            "    <MaxKeys>1000</MaxKeys>\n"
            "    <Name>b2d1-sandbox</Name>\n"
            "    <Prefix></Prefix>\n"
            "    <KeyCount>1</KeyCount>\n"
            "</ListBucketResult>\n"
        )

    def test_without_an_encoding_keys_are_escaped(self, empty: EmbeddedB2) -> None:
        """A client that asks for no encoding gets the key as XML text, and no EncodingType."""
        empty.put("<a&b>", b"")
        answer = signed_get(empty, "/b2d1-sandbox?list-type=2").text
        assert ("<Key>&lt;a&amp;b&gt;</Key>" in answer, "EncodingType" in answer) == (True, False)

    def test_many_clients_at_once_see_the_same(self, sample: EmbeddedB2) -> None:
        """Sixteen listings at the same time are sixteen times the same listing."""
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda _: keys(sample, Prefix="photos/1927/"), range(16)))
        assert found == [sorted(key for key in SAMPLE if key.startswith("photos/1927/"))] * 16


@pytest.fixture(scope="module")
def small() -> Iterator[EmbeddedB2]:
    with EmbeddedB2(fill=False) as b2:
        for key in ("😀", "\uffff", "é", "b+b", "b b", "a/2", "a/1", "a"):
            b2.put(key)
        yield b2


class TestObjects:
    """What happens to objects."""

    def test_every_awkward_object_can_be_fetched(self, sample: EmbeddedB2) -> None:
        """Under each key of the sample's awkward ones lie the bytes that were put there."""
        s3 = client(sample)
        awkward = [key for key in SAMPLE if not re.match(r"photos/\d|video/|scans/", key)]
        fetched = {key: s3.get_object(Bucket="b2d1-sandbox", Key=key)["Body"].read() for key in awkward}
        assert fetched == {key: SAMPLE[key] for key in awkward}

    def test_put_hide_and_remove_all(self, empty: EmbeddedB2) -> None:
        """`put` adds a version, `hide` takes the key out of ListObjectsV2, `remove_all` leaves nothing."""
        empty.put("k", b"1")
        empty.put("k", b"2")
        empty.put("other")
        assert keys(empty) == ["k", "other"]
        empty.hide("k")
        assert keys(empty) == ["other"]
        assert len(items(empty, "list_object_versions", "Versions")) == 3
        empty.remove_all()
        assert [
            keys(empty),
            *(items(empty, "list_object_versions", kind) for kind in ("Versions", "DeleteMarkers")),
        ] == [
            [],
            [],
            [],
        ]

    def test_uploads_by_request_are_stamped_too(self, empty: EmbeddedB2) -> None:
        """An upload or deletion by boto3 gets a version id of B2's form."""
        s3 = client(empty)
        ids = [
            s3.put_object(Bucket="b2d1-sandbox", Key="k", Body=b"1")["VersionId"],
            s3.delete_object(Bucket="b2d1-sandbox", Key="k")["VersionId"],
        ]
        assert [bool(VERSION_ID.fullmatch(item)) for item in ids] == [True, True]

    def test_buckets_of_one_name_are_apart(self, empty: EmbeddedB2) -> None:
        """Two servers do not see each other's bucket, and outlive a moto that starts and stops."""
        empty.put("mine", b"1")
        with EmbeddedB2(fill=False) as other:
            other.put("theirs", b"2")
            with mock_aws():
                pass
            found = [
                (key, client(b2).get_object(Bucket="b2d1-sandbox", Key=key)["Body"].read())
                for b2 in (empty, other)
                for key in keys(b2)
            ]
        assert found == [("mine", b"1"), ("theirs", b"2")]


MALFORMED = (403, "InvalidAccessKeyId", "Malformed Access Key Id")
UNSIGNED = (403, "SignatureDoesNotMatch", "Signature validation failed")


class TestRefusals:
    """Who is not let in."""

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"B2_KEY_ID": "b2d1-key-name"}, MALFORMED),
            ({"B2_KEY_ID": "0045f0571db506a0000000002"}, MALFORMED),
            ({"B2_APP_KEY": "K004wrong"}, UNSIGNED),
            ({"B2_REGION": "us-east-005"}, (403, "403", "Forbidden")),
            (
                {"B2_BUCKET": "no-such-bucket"},
                (404, "NoSuchBucket", "The specified bucket does not exist: no-such-bucket"),
            ),
        ],
    )
    @pytest.mark.parametrize("operation", ["list_objects_v2", "list_object_versions"])
    def test_a_wrong_setting_is_refused_as_b2_does(
        self, small: EmbeddedB2, changes: dict[str, str], expected: tuple[int, str, str], operation: str
    ) -> None:
        """Each wrong setting has its own answer, in both list modes."""
        bucket = (small.settings() | changes)["B2_BUCKET"]
        assert error_of(getattr(client(small, **changes), operation), Bucket=bucket) == expected

    @pytest.mark.parametrize("changes", [{"B2_APP_KEY": "K004wrong"}, {"B2_KEY_ID": "unknown"}])
    def test_objects_are_guarded_too(self, small: EmbeddedB2, changes: dict[str, str]) -> None:
        """A request for an object is checked like one for a listing."""
        call = client(small, **changes).get_object
        assert error_of(call, Bucket="b2d1-sandbox", Key="a") == (
            MALFORMED if "B2_KEY_ID" in changes else UNSIGNED
        )

    def test_another_region_gets_a_bare_403(self, small: EmbeddedB2) -> None:
        """The answer to a signature for another region has no body that would tell."""
        answer = signed_get(small, "/b2d1-sandbox?list-type=2", B2_REGION="us-east-005")
        assert (answer.status_code, answer.content) == (403, b"")

    def test_an_error_is_written_as_s3_does(self, small: EmbeddedB2) -> None:
        """An error is an XML document of a code and a message."""
        answer = signed_get(small, "/b2d1-sandbox?list-type=2", B2_KEY_ID="unknown")
        assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/xml")
        assert answer.text == (
            '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
            "<Error>\n"
            "    <Code>InvalidAccessKeyId</Code>\n"
            "    <Message>Malformed Access Key Id</Message>\n"
            "</Error>\n"
        )

    @pytest.mark.parametrize(
        ("headers", "code"),
        [
            ({}, "AccessDenied"),
            ({"Authorization": "AWS 0045f0571db506a0000000001:c2lnbmF0dXJl"}, "SignatureDoesNotMatch"),
            ({"Authorization": "nonsense"}, "SignatureDoesNotMatch"),
        ],
    )
    def test_only_signature_version_4_is_let_in(
        self, small: EmbeddedB2, headers: dict[str, str], code: str
    ) -> None:
        """No signature, one of version 2 and nonsense are refused."""
        answer = requests.get(f"{small.url}/b2d1-sandbox?list-type=2", headers=headers, timeout=10)
        assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (403, True)

    def test_a_signature_covers_the_query(self, small: EmbeddedB2) -> None:
        """A query changed after signing no longer fits its signature."""
        request = AWSRequest("GET", f"{small.url}/b2d1-sandbox?list-type=2&prefix=a")
        request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
        settings = small.settings()
        credentials = Credentials(settings["B2_KEY_ID"], settings["B2_APP_KEY"])
        S3SigV4Auth(credentials, "s3", settings["B2_REGION"]).add_auth(request)
        headers = dict(request.headers)
        answers = [
            requests.get(f"{small.url}/b2d1-sandbox?list-type=2&prefix={prefix}", headers=headers, timeout=10)
            for prefix in ("a", "b")
        ]
        assert [answer.status_code for answer in answers] == [200, 403]

    @pytest.mark.parametrize(
        "query", ["list-type=2&max-keys=many", "list-type=2&continuation-token=%21", "versions&max-keys=-1"]
    )
    def test_a_senseless_query_is_an_invalid_argument(self, small: EmbeddedB2, query: str) -> None:
        """Parameters out of their range are refused, not guessed at."""
        answer = signed_get(small, f"/b2d1-sandbox?{query}")
        assert (answer.status_code, "<Code>InvalidArgument</Code>" in answer.text) == (400, True)


class TestRequests:
    """What a test can ask the server itself."""

    def test_each_request_is_counted(self, empty: EmbeddedB2) -> None:
        """`requests` has one entry an answer, refusals included, the two listings by their names."""
        s3 = client(empty)
        empty.put("k", b"1")
        s3.list_objects_v2(Bucket="b2d1-sandbox")
        s3.list_object_versions(Bucket="b2d1-sandbox")
        s3.head_object(Bucket="b2d1-sandbox", Key="k")
        s3.get_bucket_location(Bucket="b2d1-sandbox")
        error_of(client(empty, B2_APP_KEY="wrong").list_objects_v2, Bucket="b2d1-sandbox")
        assert empty.requests == [
            "GET ListObjectsV2",
            "GET ListObjectVersions",
            "HEAD /b2d1-sandbox/k",
            "GET /b2d1-sandbox?location",
            "GET ListObjectsV2",
        ]

    def test_the_settings_are_b2d1s(self) -> None:
        """`settings` names what was given, and the address it got."""
        with EmbeddedB2(
            bucket="other", region="eu-central-003", key_id="id", app_key="key", fill=False
        ) as b2:
            assert b2.settings() == {
                "B2_KEY_ID": "id",
                "B2_APP_KEY": "key",
                "B2_ENDPOINT": b2.url,
                "B2_BUCKET": "other",
                "B2_REGION": "eu-central-003",
                "B2_NATIVE_URL": b2.url,
            }
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", b2.url)
            assert keys(b2) == []


def authorized(b2: EmbeddedB2, **changes: str) -> tuple[int, dict[str, Any]]:
    settings = b2.settings() | changes
    credentials = (settings["B2_KEY_ID"], settings["B2_APP_KEY"])
    answer = requests.get(f"{b2.url}/b2api/v4/b2_authorize_account", auth=credentials, timeout=10)
    return answer.status_code, answer.json()


class TestKey:
    """What B2's own API says of the key, and what S3 makes of it."""

    def test_a_key_is_described_as_in_version_4(self, empty: EmbeddedB2) -> None:
        """Capabilities and restrictions stand together under `allowed`, the S3 endpoint beside them."""
        status, answer = authorized(empty)

        storage = answer["apiInfo"]["storageApi"]
        assert (status, answer["applicationKeyExpirationTimestamp"]) == (200, None)
        assert storage["s3ApiUrl"] == empty.url
        assert storage["allowed"] == {
            "buckets": [{"id": f"{1:024x}", "name": "b2d1-sandbox"}],
            "capabilities": ["listBuckets", "listFiles"],
            "namePrefix": None,
        }

    def test_a_key_without_restrictions_says_null(self, empty: EmbeddedB2) -> None:
        """No bucket, no prefix: null, as B2 has it; a moment of expiry is in milliseconds."""
        expires = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
        empty.scope = KeyScope(expires=expires, s3_url="https://s3.us-west-004.backblazeb2.com")

        _, answer = authorized(empty)

        storage = answer["apiInfo"]["storageApi"]
        assert (storage["allowed"]["buckets"], storage["allowed"]["namePrefix"]) == (None, None)
        assert storage["s3ApiUrl"] == "https://s3.us-west-004.backblazeb2.com"
        assert answer["applicationKeyExpirationTimestamp"] == expires.timestamp() * 1000

    @pytest.mark.parametrize("name", ["B2_KEY_ID", "B2_APP_KEY"])
    def test_another_key_is_not_let_in(self, empty: EmbeddedB2, name: str) -> None:
        """A wrong key id or secret is 401 with B2's own code."""
        refused = {"code": "bad_auth_token", "message": "", "status": 401}

        assert authorized(empty, **{name: "wrong"}) == (401, refused)

    def test_a_request_without_a_key_is_refused(self, empty: EmbeddedB2) -> None:
        """The key must be there, as HTTP's basic authentication."""
        answer = requests.get(f"{empty.url}/b2api/v4/b2_authorize_account", timeout=10)

        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")

    @pytest.mark.parametrize(
        ("scope", "refused"),
        [
            pytest.param(KeyScope(), None, id="every bucket"),
            pytest.param(KeyScope(buckets=("b2d1-sandbox", "other")), None, id="this one and another"),
            pytest.param(KeyScope(prefix="photos/"), None, id="its prefix"),
            pytest.param(KeyScope(prefix="photos/1930/"), "AccessDenied", id="another prefix"),
            pytest.param(KeyScope(buckets=("other",)), "AccessDenied", id="another bucket"),
            pytest.param(KeyScope(capabilities=("listBuckets",)), "AccessDenied", id="no listFiles"),
            pytest.param(KeyScope(is_master=True), "InvalidAccessKeyId", id="master key"),
            pytest.param(
                KeyScope(expires=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)), "InvalidAccessKeyId", id="expired"
            ),
        ],
    )
    @pytest.mark.parametrize("operation", ["list_objects_v2", "list_object_versions"])
    def test_s3_lists_what_the_key_may(
        self, empty: EmbeddedB2, operation: str, scope: KeyScope, refused: str | None
    ) -> None:
        """A listing beyond the key's capabilities, bucket, prefix or time is refused."""
        empty.scope = scope
        call = getattr(client(empty), operation)

        if refused is None:
            call(Bucket="b2d1-sandbox", Prefix="photos/1")
        else:
            status, code, _ = error_of(call, Bucket="b2d1-sandbox", Prefix="photos/1")
            assert (status, code) == (403, refused)

    @pytest.mark.parametrize("ahead", [dt.timedelta(minutes=16), dt.timedelta(minutes=-16)])
    def test_a_clock_too_far_off_is_refused(self, empty: EmbeddedB2, ahead: dt.timedelta) -> None:
        """S3 takes no signature more than 15 minutes away, and each answer tells the server's time."""
        empty.ahead = ahead
        told = requests.get(f"{empty.url}/b2api/v4/b2_authorize_account", timeout=10).headers["Date"]

        status, code, _ = error_of(client(empty).list_objects_v2, Bucket="b2d1-sandbox")

        assert (status, code) == (403, "RequestTimeTooSkewed")
        off = email.utils.parsedate_to_datetime(told).replace(tzinfo=dt.UTC) - dt.datetime.now(dt.UTC)
        assert abs(off - ahead) < dt.timedelta(minutes=1)
