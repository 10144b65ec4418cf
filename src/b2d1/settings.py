"""What a run is told: one frozen value, read from any mapping, all problems named at once.

The mapping is the process's environment on a laptop, the environment over a secret in Lambda, a
dictionary in a test. No value of a setting ever appears in a problem, and no secret in a `repr`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from b2d1 import setting_values as values
from b2d1.errors import SettingsError, harmless
from b2d1.exclude import NOTHING, Exclude, exclude
from b2d1.media import ListMode
from b2d1.setting_names import BOUNDING, lookalike, misspelt, other_tools_name
from b2d1.setting_values import Secret

DEFAULT_DATABASE_NAME = "lgfc_lite"
DEFAULT_API_BASE_URL = "https://api.cloudflare.com/client/v4"
DEFAULT_NATIVE_URL = "https://api.backblazeb2.com"
DEFAULT_ROWS_PER_PUBLISH = 100_000

# Names that were documented for the original scripts and still work.
ALIASES = {"CLOUDFLARE_API_TOKEN": "CF_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID": "CF_ACCOUNT_ID"}

NAMES = (
    *("B2_KEY_ID", "B2_APP_KEY", "B2_ENDPOINT", "B2_BUCKET", "B2_REGION", "B2_PREFIX", "B2_LIST_MODE"),
    *("B2_LIST_WORKERS", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID", "CF_API_TOKEN", "CF_ACCOUNT_ID"),
    *("D1_DATABASE_NAME", "D1_DATABASE_ID", "CLOUDFLARE_API_BASE_URL", "SNAPSHOT_URI", "MAX_NEW_PER_RUN"),
    *("ROWS_PER_PUBLISH", "DRY_RUN", "VERBOSE", "B2D1_SECRET_ID", "B2_NATIVE_URL", "CA_BUNDLE", "B2_EXCLUDE"),
)

# Of a required one the problem itself says what looks like it.
OPTIONAL = tuple(
    name
    for name in NAMES
    if name not in {"B2_KEY_ID", "B2_APP_KEY", "B2_ENDPOINT", "B2_BUCKET", *ALIASES, *ALIASES.values()}
)


@dataclasses.dataclass(frozen=True)
class B2Settings:
    """Where the bucket is, and who asks.

    `native_url` is where B2's own API is; None at another S3 host, whose key is none of Backblaze's business.
    """

    key_id: Secret
    app_key: Secret
    endpoint: str
    region: str
    bucket: str
    prefix: str = ""
    list_mode: ListMode = "objects"
    list_workers: int | None = None
    native_url: str | None = None
    ca_bundle: str | None = None
    exclude: Exclude = NOTHING


@dataclasses.dataclass(frozen=True)
class D1Settings:
    """Where the database is, and who asks; at least one of name and id is given."""

    api_token: Secret
    account_id: str
    database_name: str | None
    database_id: str | None
    api_base_url: str = DEFAULT_API_BASE_URL
    ca_bundle: str | None = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything a run is told by its surroundings; `b2` and `d1` are None where a command needs none.

    `ca_bundle` is a file of the certificate authorities that all connections trust, None for the usual ones.
    `exclude` tells which keys of a bucket or an inventory are not indexed.
    """

    b2: B2Settings | None
    d1: D1Settings | None
    snapshot_uri: str | None = None
    max_new_per_run: int | None = None
    rows_per_publish: int = DEFAULT_ROWS_PER_PUBLISH
    dry_run: bool = False
    verbose: bool = False
    ca_bundle: str | None = None
    exclude: Exclude = NOTHING

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, b2: bool = True, d1: bool = True) -> "Settings":
        """Read the settings; `b2` and `d1` tell which of the two services the command talks to.

        An empty value counts as none. Raises SettingsError with every problem there is.
        """
        read = _Reader(env)
        read.problems += [
            f"{harmless(name)} is not a setting: did you mean {meant}?"
            for name, meant in misspelt(env, OPTIONAL, NAMES)
            if meant in BOUNDING
        ]
        del env  # a traceback that shows local variables must not show this one
        ca_bundle = read.optional("CA_BUNDLE", values.ca_bundle)
        excluded = read.optional("B2_EXCLUDE", exclude) or NOTHING
        settings = cls(
            b2=_b2_settings(read, ca_bundle, excluded) if b2 else None,
            d1=_d1_settings(read, ca_bundle) if d1 else None,
            snapshot_uri=read.optional("SNAPSHOT_URI", values.snapshot_uri),
            max_new_per_run=read.optional("MAX_NEW_PER_RUN", values.whole_number(1, 10**9)),
            rows_per_publish=read.optional("ROWS_PER_PUBLISH", values.whole_number(1, 10**6))
            or DEFAULT_ROWS_PER_PUBLISH,
            dry_run=read.optional("DRY_RUN", values.flag) or False,
            verbose=read.optional("VERBOSE", values.flag) or False,
            ca_bundle=ca_bundle,
            exclude=excluded,
        )
        if read.problems:
            raise SettingsError(read.problems)
        return settings


class _Reader:
    """Reads one value at a time and remembers what was wrong with it."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.problems: list[str] = []

    def optional(self, name: str, parse: Callable[[str], Any] = str) -> Any:
        name, text = self._given(name)
        if not text:
            return None
        try:
            # Values pasted with a line end or a blank are the commonest of all mistakes here; only the
            # prefix may begin or end with white space, since keys may.
            if name != "B2_PREFIX":
                values.refuse_wrapping(text)
            text.encode()
            return parse(text)
        except UnicodeEncodeError:
            self.problems.append(f"{name} is not valid UTF-8")
        except ValueError as error:
            self.problems.append(f"{name} {error}")
        return None

    def required(self, name: str, parse: Callable[[str], Any] = str) -> Any:
        before = len(self.problems)
        value = self.optional(name, parse)
        if value is None and len(self.problems) == before:
            self.problems.append(f"{name} is not set{lookalike(name, self.env, NAMES)}")
        return value

    def _given(self, name: str) -> tuple[str, str]:
        """Return a setting's text, and the name it was given under: its own or the alias."""
        alias = ALIASES.get(name, name)
        text, other = self.env.get(name, ""), self.env.get(alias, "")
        if text and other and text != other:
            self.problems.append(f"{name} and {alias} are both set and differ: keep one")
        return (name, text) if text or not other else (alias, other)


def _b2_settings(read: _Reader, ca_bundle: str | None, excluded: Exclude) -> B2Settings:
    key_id = read.required("B2_KEY_ID", values.credential)
    app_key = read.required("B2_APP_KEY", values.credential)
    endpoint = read.required("B2_ENDPOINT", values.b2_endpoint)
    region = read.optional("B2_REGION", values.region)
    at_backblaze = values.backblaze_region(endpoint or "")
    if endpoint and not region and not read.env.get("B2_REGION"):
        if at_backblaze is None:
            read.problems.append("B2_REGION is not set, and B2_ENDPOINT is not s3.<region>.backblazeb2.com")
        else:
            region = at_backblaze
    return B2Settings(
        key_id,
        app_key,
        endpoint,
        region,
        bucket=read.required("B2_BUCKET", values.bucket),
        prefix=read.optional("B2_PREFIX", values.prefix) or "",
        list_mode=read.optional("B2_LIST_MODE", values.list_mode) or "objects",
        list_workers=read.optional("B2_LIST_WORKERS", values.whole_number(1, 64)),
        native_url=read.optional("B2_NATIVE_URL", values.host_url)
        or (DEFAULT_NATIVE_URL if at_backblaze else None),
        ca_bundle=ca_bundle,
        exclude=excluded,
    )


def _d1_settings(read: _Reader, ca_bundle: str | None) -> D1Settings:
    database_id = read.optional("D1_DATABASE_ID", values.database_id)
    name = read.optional("D1_DATABASE_NAME", values.database_name)
    other = other_tools_name("D1_DATABASE_ID", read.env)
    if other and not (read.env.get("D1_DATABASE_ID") or read.env.get("D1_DATABASE_NAME")):
        # Without a word the default database would be used.
        read.problems.append(
            f"{other} is another tool's name for D1_DATABASE_ID: set that, or D1_DATABASE_NAME"
        )
    return D1Settings(
        api_token=read.required("CLOUDFLARE_API_TOKEN", values.credential),
        account_id=read.required("CLOUDFLARE_ACCOUNT_ID", values.account_id),
        database_name=name if name or database_id else DEFAULT_DATABASE_NAME,
        database_id=database_id,
        api_base_url=read.optional("CLOUDFLARE_API_BASE_URL", values.url) or DEFAULT_API_BASE_URL,
        ca_bundle=ca_bundle,
    )
