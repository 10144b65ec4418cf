"""The settings: every problem by name, with what to do about it; and which parts can be used all the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from b2d1.doctor.finding import Check, Found, fail, ok, warn
from b2d1.errors import SettingsError, harmless
from b2d1.setting_names import BOUNDING, misspelt
from b2d1.settings import NAMES, OPTIONAL, B2Settings, D1Settings, Settings

SETTINGS = "settings"
ENV_FILE = ".env"

# What goes after a problem's own sentence. One for each name that a problem can begin with.
FIXES = {
    "B2_KEY_ID": "Set it to the keyID of an application key: Backblaze's page Application Keys shows it.",
    "B2_APP_KEY": "Set it to the applicationKey, which Backblaze shows once, when the key is made.",
    "B2_ENDPOINT": "Set it to the endpoint that the bucket's page shows, s3.<region>.backblazeb2.com.",
    "B2_BUCKET": "Set it to the bucket's name, as Backblaze's page Buckets shows it.",
    "B2_REGION": "Leave it empty where B2_ENDPOINT is Backblaze's; at another S3 host set the host's region.",
    "B2_PREFIX": "Set it to the beginning of the keys to index, or leave it empty for all.",
    "B2_LIST_MODE": "Set it to objects or versions, or leave it empty for objects.",
    "B2_LIST_WORKERS": "Set it to a number of connections, or leave it empty: then it is chosen.",
    "B2_NATIVE_URL": "Leave it empty where B2_ENDPOINT is Backblaze's.",
    "CLOUDFLARE_API_TOKEN": "Set it to an API token with the permission Account, D1, Edit: Cloudflare's page "
    "My Profile, API Tokens makes one.",
    "CLOUDFLARE_ACCOUNT_ID": "Set it to the id on the account's page Workers & Pages.",
    "D1_DATABASE_NAME": "Set it to a name that `wrangler d1 list` shows, or leave it empty for lgfc_lite.",
    "D1_DATABASE_ID": "Set it to an id that `wrangler d1 list` shows, or leave it empty and set the name.",
    "CLOUDFLARE_API_BASE_URL": "Leave it empty: it is for tests.",
    "SNAPSHOT_URI": "Set it to a file's path or to s3://bucket/key, or leave it empty to keep no snapshot.",
    "MAX_NEW_PER_RUN": "Set it to a number of rows, or leave it empty for no bound.",
    "ROWS_PER_PUBLISH": "Leave it empty for 100,000.",
    "DRY_RUN": "Set it to 0 or 1, or leave it empty for 0.",
    "VERBOSE": "Set it to 0 or 1, or leave it empty for 0.",
    "B2_EXCLUDE": "Set it to glob patterns between commas, .DS_Store,*.tmp,cache/ for instance, or leave it "
    "empty.",
    "CA_BUNDLE": "Set it to the path of a PEM file with certificate authorities, or leave it empty.",
}
# Where other programs are told whom to trust; boto3 takes the last one for the snapshot's S3.
OTHERS_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE")
# Says nothing about what is asked of B2 here.
WITHOUT = "B2_LIST_WORKERS"
# Stands in for what the key's own check does without.
ANY_BUCKET = {"B2_ENDPOINT": "s3.us-west-004.backblazeb2.com", "B2_BUCKET": "any"}


class Sound(NamedTuple):
    """The parts of the settings that can be used, each whatever is wrong with the others; None where not.

    `key` serves for what is asked about the key alone; `snapshot_is_sound` tells a place that is not set from
    one that is malformed.
    """

    key: B2Settings | None
    b2: B2Settings | None
    d1: D1Settings | None
    snapshot_is_sound: bool
    snapshot_uri: str | None
    ca_bundle: str | None = None


def sound_parts(env: Mapping[str, str]) -> Sound:
    """Read each part of the settings by itself."""
    env = {name: text for name, text in env.items() if name != WITHOUT}
    b2 = _part(env, "B2_", b2=True).b2
    d1 = _part(env, "D1_", "CLOUDFLARE_", "CF_", d1=True).d1
    rest = _part(env, "SNAPSHOT_URI")
    uri = rest.snapshot_uri
    key, endpoint = b2, env.get("B2_ENDPOINT")
    # An endpoint that names neither Backblaze nor B2's own API may be another host's, whose key is not sent.
    if key is None and (not endpoint or "backblazeb2.com" in endpoint or env.get("B2_NATIVE_URL")):
        key = _part(env | ANY_BUCKET, "B2_KEY_ID", "B2_APP_KEY", "B2_NATIVE_URL", *ANY_BUCKET, b2=True).b2
    sound = bool(uri) or not env.get("SNAPSHOT_URI")
    return Sound(key, b2, d1, snapshot_is_sound=sound, snapshot_uri=uri, ca_bundle=rest.ca_bundle)


def _part(env: Mapping[str, str], *beginnings: str, b2: bool = False, d1: bool = False) -> Settings:
    # Every connection needs the certificate authorities.
    part = {name: env[name] for name in NAMES if name in env and name.startswith((*beginnings, "CA_BUNDLE"))}
    try:
        return Settings.from_env(part, b2=b2, d1=d1)
    except SettingsError:
        return Settings(None, None)


def settings_check(env: Mapping[str, str]) -> Check:
    """Make the check of all settings together."""
    return Check(SETTINGS, lambda: _look(env))


def _look(env: Mapping[str, str]) -> Found | list[Found]:
    warnings = [
        warn(
            f"{harmless(name)} is no setting of b2d1: did you mean {meant}?",
            f"Rename it to {meant}, or leave it: b2d1 does not read it.",
        )
        for name, meant in misspelt(env, OPTIONAL, NAMES)
        if meant not in BOUNDING
    ]
    try:
        settings = Settings.from_env(env)
    except SettingsError as error:
        failures = [fail(error.exit_code, problem, _fix(problem)) for problem in error.problems]
        if here := unloaded_env_file(env):
            warnings.append(warn(f"there is a {here} here that is not loaded", f"Load it: --env-file {here}"))
        return [*failures, *warnings, *_without_effect(env)]
    if settings.dry_run:
        warnings.append(
            warn("DRY_RUN is on: b2d1 sync writes nothing", "Leave it empty once runs are to write.")
        )
    well = [ok("all that are required are set, and none is malformed")]
    return [*(warnings or well), *_without_effect(env)]


def _without_effect(env: Mapping[str, str]) -> list[Found]:
    """Mention the variables by which other programs know whom to trust: they may be why nothing connects."""
    names = [name for name in OTHERS_CA_BUNDLES if env.get(name)]
    if not names or env.get("CA_BUNDLE"):
        return []
    return [ok(f"{', '.join(names)} has no effect at B2 and Cloudflare: CA_BUNDLE is the setting for that")]


def unloaded_env_file(env: Mapping[str, str]) -> str | None:
    """Return the name of the file of settings in this folder if there is one and none was loaded."""
    return ENV_FILE if Path(ENV_FILE).is_file() and not env.get("B2D1_ENV_FILE") else None


def _fix(problem: str) -> str:
    if "is not a setting" in problem:
        return f"Rename it to {problem.rpartition(' ')[2].rstrip('?')}."
    if "another tool's name for D1_DATABASE_ID:" in problem:
        return FIXES["D1_DATABASE_ID"]
    if "are both set" in problem:
        return "Unset the one that is out of date."
    name = problem.partition(" ")[0]
    return FIXES[name if name in FIXES else f"CLOUDFLARE_{name.removeprefix('CF_')}"]
