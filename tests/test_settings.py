"""Settings: every variable, its default, its forms, and all that is wrong told at once without a value."""

import dataclasses
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from b2d1.b2.bucket import Bucket
from b2d1.d1.database import Database
from b2d1.errors import B2D1Error, SettingsError
from b2d1.exclude import NOTHING
from b2d1.retry import Retrying
from b2d1.setting_names import OTHER_TOOLS
from b2d1.setting_values import Secret
from b2d1.settings import NAMES, Settings

ACCOUNT = "0123456789abcdef0123456789abcdef"
DATABASE = "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39"
B2 = {
    "B2_KEY_ID": "004kid",
    "B2_APP_KEY": "K004+app/key",
    "B2_ENDPOINT": "https://s3.us-west-004.backblazeb2.com",
    "B2_BUCKET": "photos",
}
D1 = {"CLOUDFLARE_API_TOKEN": "cf_token-1", "CLOUDFLARE_ACCOUNT_ID": ACCOUNT}
LEAST = B2 | D1

DEFAULTS: dict[str, Any] = {
    "b2": {
        "key_id": "004kid",
        "app_key": "K004+app/key",
        "endpoint": "https://s3.us-west-004.backblazeb2.com",
        "region": "us-west-004",
        "bucket": "photos",
        "prefix": "",
        "list_mode": "objects",
        "list_workers": None,
        "native_url": "https://api.backblazeb2.com",
        "ca_bundle": None,
        "exclude": NOTHING,
    },
    "d1": {
        "api_token": "cf_token-1",
        "account_id": ACCOUNT,
        "database_name": "lgfc_lite",
        "database_id": None,
        "api_base_url": "https://api.cloudflare.com/client/v4",
        "ca_bundle": None,
    },
    "snapshot_uri": None,
    "max_new_per_run": None,
    "rows_per_publish": 100_000,
    "dry_run": False,
    "verbose": False,
    "ca_bundle": None,
    "exclude": NOTHING,
}


def read(env: Mapping[str, str], **needs: bool) -> dict[str, Any]:
    """Read settings and return them as plain values, secrets revealed."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(each) for name, each in value.items()}
        return value.reveal() if isinstance(value, Secret) else value

    return plain(dataclasses.asdict(Settings.from_env(env, **needs)))


def problems(env: Mapping[str, str], **needs: bool) -> list[str]:
    """Read settings that cannot be read, and return what is wrong with them."""
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(env, **needs)
    assert all(problem in str(raised.value) for problem in raised.value.problems)
    return raised.value.problems


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the defaults with one value changed; `path` is its name, after the part it belongs to."""
    part, _, name = path.rpartition(".")
    if not part:
        return DEFAULTS | {name: value}
    return DEFAULTS | {part: DEFAULTS[part] | {name: value}}


def test_the_required_settings_are_enough() -> None:
    """Six variables make a run; everything else has its default, and the region comes from the host."""
    assert read(LEAST) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "text", "path", "value"),
    [
        pytest.param("B2_ENDPOINT", "s3.us-west-004.backblazeb2.com", "b2", None, id="bare host"),
        pytest.param("B2_ENDPOINT", "https://s3.us-west-004.backblazeb2.com/", "b2", None, id="slash"),
        pytest.param("B2_REGION", "us-west-004", "b2", None, id="region named as well"),
        pytest.param("B2_REGION", "other-1", "b2.region", "other-1", id="region named otherwise"),
        pytest.param("B2_PREFIX", "photos/", "b2.prefix", "photos/", id="prefix"),
        pytest.param("B2_PREFIX", " photos ", "b2.prefix", " photos ", id="prefix with blanks"),
        pytest.param("B2_PREFIX", "\t", "b2.prefix", "\t", id="prefix of white space"),
        pytest.param("B2_PREFIX", "写" * 341 + "x", "b2.prefix", "写" * 341 + "x", id="longest prefix"),
        pytest.param("B2_LIST_MODE", "objects", "b2.list_mode", "objects", id="objects"),
        pytest.param("B2_LIST_MODE", "versions", "b2.list_mode", "versions", id="versions"),
        pytest.param("B2_NATIVE_URL", "https://b2.test/", "b2.native_url", "https://b2.test", id="native"),
        pytest.param("B2_NATIVE_URL", "http://[::1]:80", "b2.native_url", "http://[::1]:80", id="here"),
        pytest.param("B2_LIST_WORKERS", "1", "b2.list_workers", 1, id="one worker"),
        pytest.param("B2_LIST_WORKERS", "64", "b2.list_workers", 64, id="most workers"),
        pytest.param("B2_BUCKET", "abc", "b2.bucket", "abc", id="shortest bucket"),
        pytest.param("B2_BUCKET", "A1-b.c" + "x" * 57, "b2.bucket", "A1-b.c" + "x" * 57, id="longest bucket"),
        pytest.param("D1_DATABASE_NAME", "media-2_b", "d1.database_name", "media-2_b", id="name"),
        pytest.param("SNAPSHOT_URI", "b2.json", "snapshot_uri", "b2.json", id="relative path"),
        pytest.param("SNAPSHOT_URI", "/a b/é.json.gz", "snapshot_uri", "/a b/é.json.gz", id="absolute path"),
        pytest.param("SNAPSHOT_URI", "./s3:x", "snapshot_uri", "./s3:x", id="path with a colon"),
        pytest.param("SNAPSHOT_URI", "s3://b-1.x/k", "snapshot_uri", "s3://b-1.x/k", id="S3"),
        pytest.param("SNAPSHOT_URI", "s3://b/d e/k.gz", "snapshot_uri", "s3://b/d e/k.gz", id="S3, deeper"),
        pytest.param("MAX_NEW_PER_RUN", "1", "max_new_per_run", 1, id="one new row"),
        pytest.param("MAX_NEW_PER_RUN", "1000000000", "max_new_per_run", 10**9, id="most new rows"),
        pytest.param("ROWS_PER_PUBLISH", "1", "rows_per_publish", 1, id="one row a publish"),
        pytest.param("ROWS_PER_PUBLISH", "1000000", "rows_per_publish", 10**6, id="most rows a publish"),
        pytest.param("ROWS_PER_PUBLISH", "0500", "rows_per_publish", 500, id="leading zero"),
        *(
            pytest.param(name, text, name.lower(), value, id=f"{name} {text}")
            for name, text, value in (
                *(("DRY_RUN", text, True) for text in ("1", "true", "True")),
                *(("DRY_RUN", text, False) for text in ("0", "false")),
                ("VERBOSE", "1", True),
            )
        ),
        pytest.param(
            "CLOUDFLARE_API_BASE_URL", "https://x.example:8443/a/v4/", "d1.api_base_url",
            "https://x.example:8443/a/v4", id="another API",
        ),
    ],
)  # fmt: skip
def test_each_legal_form_is_read(name: str, text: str, path: str, value: Any) -> None:
    """Each setting's legal forms become its value, and change nothing else."""
    expected = DEFAULTS if value is None else changed(path, value)

    assert read(LEAST | {name: text}) == expected


NUMBERS = {
    "B2_LIST_WORKERS": "is not a whole number from 1 to 64",
    "MAX_NEW_PER_RUN": "is not a whole number from 1 to 1,000,000,000",
    "ROWS_PER_PUBLISH": "is not a whole number from 1 to 1,000,000",
}
NO_NUMBERS = {
    "B2_LIST_WORKERS": "65",
    "MAX_NEW_PER_RUN": "1000000001",
    "ROWS_PER_PUBLISH": "1000001",
}
HOST_ALONE = "must be the host alone, without a path: https://s3.<region>.backblazeb2.com"
B2_HOST = "must be s3.<region>.backblazeb2.com, as the bucket's page shows it, without the bucket"
HTTPS = "must begin with https:// (plain http only to this machine)"
URL = "is not a URL like https://host (a port and a path may follow)"
NO_CREDENTIAL = "holds a character that no key or token has: enter it again"
NO_BUCKET = "is not a bucket's name (not its id, not a URL)"
NO_ACCOUNT = "is not 32 hexadecimal digits: it is on the account's Workers & Pages page"
NO_DATABASE_ID = (
    "is not a database id like xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx (`wrangler d1 list` shows it)"
)
NO_PREFIX = "is not the beginning of a key (at most 1,024 bytes)"
NO_SNAPSHOT = "is neither a path nor s3://bucket/key"
NO_FLAG = "is none of 1, 0, true and false"
BLANK = "begins or ends with white space: enter it again"

# Every case of a parser with one of its settings; its other settings show with one case that they use it.
MALFORMED = [
    *(("B2_APP_KEY", text, NO_CREDENTIAL) for text in ("two words", "new\nline", "écrit", "\x7fdel")),
    ("B2_KEY_ID", "two words", NO_CREDENTIAL),
    ("CLOUDFLARE_API_TOKEN", "two words", NO_CREDENTIAL),
    *(("B2_BUCKET", text, BLANK) for text in (" 1", "1\n", "\t")),
    ("CF_API_TOKEN", " 1", BLANK),
    *((name, "a\udc80b", "is not valid UTF-8") for name in ("B2_BUCKET", "B2_PREFIX", "CF_ACCOUNT_ID")),
    *(("B2_ENDPOINT", text, URL)
      for text in ("https://", "https://:443", "ftp://host", "//host", "https://ho st", "https://a_b.example",
                   "https://bücher.example", "https://\u017f3.example", "https://-a.example",
                   "https://a-.example", "https://a..example", f"https://{'a' * 64}.example",
                   "https://host:65536", "https://host:x", "https://[::1", "https://me:pw@host",
                   "https://host?q=1", "https://host#f", "https://host/é", "https://ho\nst",
                   "https://host\\@localhost", "https://host/\0")),
    ("CLOUDFLARE_API_BASE_URL", "https://a_b.example", URL),
    *(("B2_ENDPOINT", text, HTTPS)
      for text in ("http://s3.us-west-004.backblazeb2.com", "http://192.168.1.1:9000", "http://0.0.0.0",
                   "http://128.0.0.1", "http://[2001:db8::1]", "http://localhost.example.com",
                   "http://127.0.0.1.example.com", "http://xlocalhost", "http://docker.internal",
                   "HTTP://example.com")),
    ("CLOUDFLARE_API_BASE_URL", "http://api.cloudflare.com", HTTPS),
    ("B2_NATIVE_URL", "https://api.backblazeb2.com/b2api", "must be the host alone, without a path"),
    ("B2_ENDPOINT", "https://s3.us-west-004.backblazeb2.com/photos", HOST_ALONE),
    ("B2_ENDPOINT", "s3.us-west-004.backblazeb2.com/photos", HOST_ALONE),
    ("B2_ENDPOINT", "https://photos.s3.us-west-004.backblazeb2.com", B2_HOST),
    ("B2_ENDPOINT", "https://f004.backblazeb2.com", B2_HOST),
    ("B2_ENDPOINT", "https://backblazeb2.com", B2_HOST),
    ("B2_ENDPOINT", "https://s3.004.backblazeb2.com", B2_HOST),
    ("B2_BUCKET", "ab", NO_BUCKET),
    ("B2_BUCKET", "x" * 64, NO_BUCKET),
    ("B2_BUCKET", "https://photos", NO_BUCKET),
    ("B2_BUCKET", "photos/2024", NO_BUCKET),
    ("B2_BUCKET", "my_photos", NO_BUCKET),
    ("B2_BUCKET", "-photos", NO_BUCKET),
    ("B2_BUCKET", "phótos", NO_BUCKET),
    *(("B2_REGION", text, "is not a region like us-west-004")
      for text in ("US-WEST", "us_west", "-us", "us-", "004", "a" * 64, "us.west")),
    ("B2_PREFIX", "x" * 1025, NO_PREFIX),
    ("B2_PREFIX", "é" * 512 + "x", NO_PREFIX),
    ("B2_PREFIX", "a\0b", NO_PREFIX),
    *(("B2_LIST_MODE", text, "is neither objects nor versions") for text in ("object", "Objects", "all")),
    *((name, text, complaint) for name, complaint in NUMBERS.items()
      for text in ("0", NO_NUMBERS[name])),
    *(("B2_LIST_WORKERS", text, NUMBERS["B2_LIST_WORKERS"])
      for text in ("-1", "+1", "1.0", "1_000", "ten", "٣", "9" * 11)),
    *(("CLOUDFLARE_ACCOUNT_ID", text, NO_ACCOUNT)
      for text in (ACCOUNT[1:], f"{ACCOUNT}0", "me@example.com")),
    *(("D1_DATABASE_ID", text, NO_DATABASE_ID)
      for text in ("lgfc_lite", DATABASE[1:], f"{DATABASE}0", DATABASE.replace("-", ""), f"{{{DATABASE}}}")),
    *(("D1_DATABASE_NAME", text, "is not a database's name")
      for text in ("-lite", "_lite", "lgfc lite", "lgfc/lite", "lité")),
    *(("SNAPSHOT_URI", text, NO_SNAPSHOT)
      for text in ("s3://bucket", "s3://bucket/folder/", "s3:///key", "s3://my bucket/key", "s3:bucket",
                   "S3://bucket/key", "https://host/key", "a\0b")),
    ("SNAPSHOT_URI", "folder/", "names a folder: add the file's name"),
    *(("DRY_RUN", text, NO_FLAG) for text in ("yes", "2", "01", "t", "truth")),
    ("VERBOSE", "yes", NO_FLAG),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [pytest.param(*each, id=f"{each[0]}={each[1]!a}"[:60]) for each in MALFORMED],
)
def test_each_malformed_form_is_refused_by_name(name: str, text: str, complaint: str) -> None:
    """A malformed setting is named, with the sentence that mends it and nothing else."""
    env = {other: value for other, value in LEAST.items() if other != name.replace("CF_", "CLOUDFLARE_")}

    assert problems(env | {name: text}) == [f"{name} {complaint}"]


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in LEAST])
def test_each_required_setting_is_missed_by_name(name: str) -> None:
    """A required setting that is absent, or empty, is named."""
    rest = {other: value for other, value in LEAST.items() if other != name}

    assert problems(rest) == problems(rest | {name: ""}) == [f"{name} is not set"]


def test_an_empty_setting_counts_as_none() -> None:
    """Optional settings that are empty leave the defaults."""
    assert read(dict.fromkeys(NAMES, "") | LEAST) == DEFAULTS


def test_with_nothing_set_all_that_is_required_is_named() -> None:
    """An empty environment is answered with every required variable, at once."""
    assert problems({}) == [f"{name} is not set" for name in (*B2, *D1)]


def test_all_problems_are_told_at_once() -> None:
    """Missing, malformed and contradictory settings of both services and of the run stand in one error."""
    env = {
        "B2_KEY_ID": "a b",
        "B2_ENDPOINT": "ftp://x",
        "B2_BUCKET": "photos",
        "B2_REGION": "-",
        "B2_LIST_MODE": "all",
        "CLOUDFLARE_API_TOKEN": "one",
        "CF_API_TOKEN": "two",
        "CF_ACCOUNT_ID": "3",
        "D1_DATABASE_ID": "4",
        "SNAPSHOT_URI": "s3:x",
        "MAX_NEW_PER_RUN": "0",
        "ROWS_PER_PUBLISH": "0",
        "DRY_RUN": "maybe",
        "VERBOSE": "very",
    }

    assert sorted(problems(env)) == [
        "B2_APP_KEY is not set",
        f"B2_ENDPOINT {URL}",
        f"B2_KEY_ID {NO_CREDENTIAL}",
        "B2_LIST_MODE is neither objects nor versions",
        "B2_REGION is not a region like us-west-004",
        f"CF_ACCOUNT_ID {NO_ACCOUNT}",
        "CLOUDFLARE_API_TOKEN and CF_API_TOKEN are both set and differ: keep one",
        f"D1_DATABASE_ID {NO_DATABASE_ID}",
        f"DRY_RUN {NO_FLAG}",
        "MAX_NEW_PER_RUN is not a whole number from 1 to 1,000,000,000",
        "ROWS_PER_PUBLISH is not a whole number from 1 to 1,000,000",
        f"SNAPSHOT_URI {NO_SNAPSHOT}",
        f"VERBOSE {NO_FLAG}",
    ]


# What a person may paste into the wrong line: long enough not to stand in a sentence by chance.
PASTED = st.text(st.characters(exclude_categories=()), min_size=1, max_size=20).map(lambda x: f"Zq7{x}xW9#")


@given(env=st.fixed_dictionaries(dict.fromkeys(sorted({*NAMES} - {"B2D1_SECRET_ID"}), PASTED)))
@example(env=dict.fromkeys(NAMES, "Zq7 secret xW9#"))
@example(env=dict.fromkeys(NAMES, "https://Zq7:secret@xW9#"))
@example(env=dict.fromkeys(NAMES, "\udc80Zq7xW9#"))
def test_no_problem_ever_repeats_a_value(env: dict[str, str]) -> None:
    """Whatever is in the settings, the error about them names variables and holds no value of any."""
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(env)

    told = [str(raised.value), repr(raised.value), raised.value.hint, *raised.value.problems]
    assert [text for text in told for value in env.values() if value in text] == []
    assert [text for text in told if "Zq7" in text or "xW9" in text] == []
    assert all(problem.split(" ")[0] in NAMES for problem in raised.value.problems)


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        pytest.param("CLOUDFLARE_API_TOKEN", "CF_API_TOKEN", id="token"),
        pytest.param("CLOUDFLARE_ACCOUNT_ID", "CF_ACCOUNT_ID", id="account"),
    ],
)
class TestAlias:
    """The two names that were documented for the original scripts."""

    def test_an_alias_stands_for_its_setting(self, name: str, alias: str) -> None:
        """A value under the old name alone is read as under the new one."""
        env = dict(LEAST)
        env[alias] = env.pop(name)

        assert read(env) == DEFAULTS
        assert read(env | {name: ""}) == DEFAULTS

    def test_both_names_may_agree(self, name: str, alias: str) -> None:
        """The same value under both names, or an empty alias, is no problem."""
        assert read(LEAST | {alias: LEAST[name]}) == DEFAULTS
        assert read(LEAST | {alias: ""}) == DEFAULTS

    def test_both_names_must_not_differ(self, name: str, alias: str) -> None:
        """Two values for one setting are refused, and both names are named."""
        assert problems(LEAST | {alias: "f" * 32}) == [
            f"{name} and {alias} are both set and differ: keep one"
        ]


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(url, id=url)
        for url in (
            "http://localhost", "http://LOCALHOST:9000", "http://127.0.0.1:9000", "http://127.8.9.1",
            "http://[::1]:9000", "http://host.docker.internal:9000",
        )
    ],
)  # fmt: skip
def test_plain_http_is_for_this_machine(url: str) -> None:
    """Loopback, by name or number, and Docker's name for this machine are spoken to without TLS."""
    env = LEAST | {"B2_ENDPOINT": url, "B2_REGION": "us-west-004", "CLOUDFLARE_API_BASE_URL": url}

    found = read(env)

    assert (found["b2"]["endpoint"], found["d1"]["api_base_url"]) == (url, url)


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        pytest.param("https://s3.eu-central-003.backblazeb2.com", "eu-central-003", id="with scheme"),
        pytest.param("s3.us-east-005.backblazeb2.com", "us-east-005", id="as the bucket's page shows it"),
        pytest.param("https://s3.us-west-000.backblazeb2.com:443", "us-west-000", id="with port"),
        pytest.param("S3.US-WEST-001.BACKBLAZEB2.COM", "us-west-001", id="in capitals"),
    ],
)
def test_the_region_is_read_off_the_host(endpoint: str, region: str) -> None:
    """B2's own hosts name their region."""
    assert read(LEAST | {"B2_ENDPOINT": endpoint})["b2"]["region"] == region


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param("https://s3.example.com", id="another S3 host"),
        pytest.param("http://127.0.0.1:9000", id="this machine"),
        pytest.param("https://s3.us-west-004.backblazeb2.com.example.com", id="a host that begins alike"),
        pytest.param("https://s3.us-west-004.evilbackblazeb2.com", id="a host that ends alike"),
    ],
)
def test_another_host_needs_its_region_named(endpoint: str) -> None:
    """Any other S3 host is fine, with B2_REGION; without, that is what is missing."""
    missing = ["B2_REGION is not set, and B2_ENDPOINT is not s3.<region>.backblazeb2.com"]

    assert problems(LEAST | {"B2_ENDPOINT": endpoint}) == missing
    assert problems(LEAST | {"B2_ENDPOINT": endpoint, "B2_REGION": ""}) == missing
    assert problems(LEAST | {"B2_ENDPOINT": endpoint, "B2_REGION": "-"}) == [
        "B2_REGION is not a region like us-west-004"
    ]
    assert read(LEAST | {"B2_ENDPOINT": endpoint, "B2_REGION": "us-east-1"})["b2"]["region"] == "us-east-1"


@pytest.mark.parametrize(
    ("env", "name", "database_id"),
    [
        pytest.param({}, "lgfc_lite", None, id="neither: the default name"),
        pytest.param({"D1_DATABASE_NAME": "media"}, "media", None, id="a name alone"),
        pytest.param({"D1_DATABASE_ID": DATABASE}, None, DATABASE, id="an id alone is enough"),
        pytest.param({"D1_DATABASE_ID": DATABASE.upper()}, None, DATABASE, id="an id in capitals"),
        pytest.param({"D1_DATABASE_ID": DATABASE, "D1_DATABASE_NAME": "m"}, "m", DATABASE, id="both"),
        pytest.param({"D1_DATABASE_ID": "", "D1_DATABASE_NAME": ""}, "lgfc_lite", None, id="both empty"),
    ],
)
def test_the_database_is_named_or_identified(
    env: dict[str, str], name: str | None, database_id: str | None
) -> None:
    """The default name holds only where neither a name nor an id is given."""
    found = read(LEAST | env)["d1"]

    assert (found["database_name"], found["database_id"]) == (name, database_id)


def test_a_command_without_b2_needs_nothing_of_b2() -> None:
    """Where only D1 is spoken to, B2's settings may be absent or nonsense, but for B2_EXCLUDE."""
    names = [name for name in NAMES if name.startswith("B2_") and name != "B2_EXCLUDE"]
    nonsense = dict.fromkeys(names, "\nnonsense ")

    assert read(D1, b2=False) == DEFAULTS | {"b2": None}
    assert read(D1 | nonsense, b2=False) == DEFAULTS | {"b2": None}


def test_a_command_without_d1_needs_nothing_of_d1() -> None:
    """Where only B2 is spoken to, D1's settings may be absent or nonsense."""
    names = [name for name in NAMES if name.startswith(("CLOUDFLARE_", "CF_", "D1_"))]

    assert read(B2, d1=False) == DEFAULTS | {"d1": None}
    assert read(B2 | dict.fromkeys(names, "\nnonsense "), d1=False) == DEFAULTS | {"d1": None}


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        pytest.param("B2_KEYID", "B2_KEY_ID", id="B2_KEYID"),
        pytest.param("B2_APPKEY", "B2_APP_KEY", id="B2_APPKEY"),
        pytest.param("B2_BUCKT", "B2_BUCKET", id="B2_BUCKT"),
        pytest.param("CLOUDFLARE_API_TOKEM", "CLOUDFLARE_API_TOKEN", id="CLOUDFLARE_API_TOKEM"),
    ],
)
def test_a_misspelt_name_is_pointed_out(wrong: str, name: str) -> None:
    """A variable that nearly has the missing one's name is named beside it; its value is not."""
    env = LEAST | {wrong: LEAST[name]}
    del env[name]

    assert problems(env) == [f"{name} is not set ({wrong} is: a misspelling?)"]


def test_a_setting_of_ours_is_no_misspelling_of_another() -> None:
    """Names that are settings themselves, and names far off, are not held up as misspellings."""
    env = LEAST | {"PATH": "/bin", "CF_API_TOKEN": "", "B2_BUCKETEER_HOME": "x"}
    del env["B2_KEY_ID"], env["B2_BUCKET"]

    assert problems(env) == ["B2_KEY_ID is not set", "B2_BUCKET is not set"]


class Watched(Mapping[str, str]):
    """A mapping that remembers which names it was asked for."""

    def __init__(self, content: dict[str, str]) -> None:
        self.content = content
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self.content[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.content)

    def __len__(self) -> int:
        return len(self.content)


def test_the_list_of_names_is_the_list_of_what_is_read() -> None:
    """NAMES holds each variable that is read, each once, and the Lambda's secret."""
    env = Watched(LEAST)

    Settings.from_env(env)

    assert sorted(NAMES) == sorted((env.asked - set(OTHER_TOOLS)) | {"B2D1_SECRET_ID"})


def test_settings_cannot_be_changed() -> None:
    """Settings are one frozen value."""
    found = Settings.from_env(LEAST)

    for part, name in ((found, "dry_run"), (found.b2, "bucket"), (found.d1, "account_id")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, name, "other")


HOSTS = st.one_of(
    st.from_regex(r"[a-z][a-z0-9]{0,4}(\.[a-z0-9-]{1,4}[a-z]){0,2}", fullmatch=True),
    st.from_regex(r"[a-zA-Z0-9.-]{1,70}", fullmatch=True),
    st.text(min_size=1, max_size=8),
    st.sampled_from(["[::1]", "s3.us-west-004.backblazeb2.com"]),
)
PORTS = st.sampled_from(["", ":0", ":1", ":65535", ":65536", ":"])
REGIONS = st.from_regex(r"[a-z][a-z0-9-]{0,4}|[a-z0-9-]{1,66}", fullmatch=True)
BUCKETS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{2,8}(x|--x-s3|-s3alias|--ol-s3)", fullmatch=True)
TOKENS = st.one_of(st.from_regex(r"[!-~]{1,8}", fullmatch=True), st.text(min_size=1, max_size=4))


@settings(max_examples=settings().max_examples // 4)
@given(host=HOSTS, port=PORTS, region=REGIONS, bucket=BUCKETS, token=TOKENS)
@example(host="a_b", port=":1", region="us-east-1", bucket="bucket", token="t")
@example(host="a..b", port="", region="us-east-1", bucket="bucket", token="t")
@example(host="host", port=":1", region="004", bucket="bucket", token="t")
@example(host="host", port=":1", region="-us", bucket="bucket", token="t")
@example(host="s3.004.backblazeb2.com", port="", region="", bucket="bucket", token="t")
@example(host="host", port=":1", region="a", bucket="a..b--x-s3", token="\r\nX: y")
def test_settings_that_are_read_make_clients(
    host: str, port: str, region: str, bucket: str, token: str
) -> None:
    """What passes as a setting is fit for boto3 and requests: they never fail on its form, only on names."""
    url = f"https://{host}{port}"
    b2 = {"B2_ENDPOINT": url, "B2_REGION": region, "B2_BUCKET": bucket, "B2_APP_KEY": token}
    try:
        found = Settings.from_env(
            LEAST | b2 | {"CLOUDFLARE_API_TOKEN": token, "CLOUDFLARE_API_BASE_URL": url}
        )
    except SettingsError:
        return
    assert found.b2
    assert found.d1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", no_such_host)
        for ask in (
            lambda: Bucket(found.b2, Retrying(attempts=1)).page({}),
            lambda: Database(found.d1, Retrying(attempts=1)).resolve(),
        ):
            with pytest.raises(B2D1Error):
                ask()


def no_such_host(*_: Any, **__: Any) -> None:
    """Answer as a resolver that knows nobody, without asking one."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
