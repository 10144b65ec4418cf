"""Names that are nearly a setting's: refused where a run would do more than it should."""

import pytest

from b2d1.errors import SettingsError
from b2d1.setting_names import misspelt
from b2d1.settings import NAMES, OPTIONAL, Settings

SOUND = {
    "B2_KEY_ID": "004key",
    "B2_APP_KEY": "K004",
    "B2_ENDPOINT": "s3.us-west-004.backblazeb2.com",
    "B2_BUCKET": "photos",
    "CLOUDFLARE_API_TOKEN": "token",
    "CLOUDFLARE_ACCOUNT_ID": "0" * 32,
}


def problems(env: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(env)
    return refused.value.problems


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("B2_PREFX", "B2_PREFIX"),
        ("B2PREFIX", "B2_PREFIX"),
        ("B2_LISTMODE", "B2_LIST_MODE"),
        ("D1_DATABASE_NAM", "D1_DATABASE_NAME"),
        ("MAX_NEW_PER_RUNS", "MAX_NEW_PER_RUN"),
        ("ROWS_PER_PUBLISHED", "ROWS_PER_PUBLISH"),
        ("DRYRUN", "DRY_RUN"),
        ("SNAPSHOT_URL", "SNAPSHOT_URI"),
    ],
)
def test_a_misspelt_name_that_would_bound_a_run_is_refused(name: str, meant: str) -> None:
    assert problems({**SOUND, name: "photos/"}) == [f"{name} is not a setting: did you mean {meant}?"]


def test_a_misspelt_name_beside_the_right_one_is_let_be() -> None:
    Settings.from_env({**SOUND, "B2_PREFX": "a/", "B2_PREFIX": "b/"})


# What is in the environment of Lambda and of GitHub's runners, and what other tools of this trade read.
COMMON = [
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_EXECUTION_ENV",
    "AWS_PROFILE",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
    "_HANDLER",
    "TZ",
    "GITHUB_ACTIONS",
    "GITHUB_BASE_REF",
    "GITHUB_ENV",
    "GITHUB_REF",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ID",
    "GITHUB_SHA",
    "GITHUB_WORKSPACE",
    "RUNNER_OS",
    "RUNNER_TEMP",
    "CI",
    "HOME",
    "PATH",
    "LANG",
    "SHELL",
    "USER",
    "PWD",
    "TERM",
    "DEBUG",
    "VERBOSITY",
    "DATABASE_URL",
    "DATABASE_NAME",
    "PREFIX",
    "RCLONE_CONFIG",
    "RCLONE_DRY_RUN",
    "RCLONE_EXCLUDE",
    "RCLONE_B2_ACCOUNT",
    "RCLONE_B2_KEY",
    "RESTIC_REPOSITORY",
    "RESTIC_PASSWORD",
    "B2_APPLICATION_KEY_ID",
    "B2_APPLICATION_KEY",
    "B2_ACCOUNT_ID",
    "B2_ACCOUNT_KEY",
    "B2_ACCOUNT_INFO",
    "B2_USER_AGENT_APPEND",
    "B2_DESTRUCTIVE_BUCKET",
    "B2_ENVIRONMENT",
    "B2_ESCAPE_CONTROL_CHARACTERS",
    "CLOUDFLARE_API_KEY",
    "CLOUDFLARE_EMAIL",
    "CLOUDFLARE_BASE_URL",
    "CLOUDFLARE_ENV",
    "CLOUDFLARE_API_USER_SERVICE_KEY",
    "CLOUDFLARE_COMPLIANCE_REGION",
    "CLOUDFLARE_DATABASE_ID",
    "CF_PAGES",
    "CF_PAGES_BRANCH",
    "WRANGLER_LOG",
    "WRANGLER_SEND_METRICS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CURL_CA_BUNDLE",
]


def test_names_that_other_programs_use_are_no_misspellings() -> None:
    assert misspelt(dict.fromkeys(COMMON, "x"), OPTIONAL, NAMES) == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("B2_KEY_ID", "B2_APPLICATION_KEY_ID"),
        ("B2_KEY_ID", "B2_ACCOUNT_ID"),
        ("B2_APP_KEY", "B2_APPLICATION_KEY"),
        ("B2_APP_KEY", "B2_ACCOUNT_KEY"),
        ("B2_BUCKET", "B2_BUCKET_NAME"),
        ("B2_ENDPOINT", "B2_ENDPOINT_URL"),
    ],
)
def test_another_tools_name_is_named(ours: str, theirs: str) -> None:
    env = {**SOUND, theirs: SOUND[ours]}
    Settings.from_env(env)  # where ours is set too, nothing is said

    del env[ours]

    assert problems(env) == [f"{ours} is not set ({theirs} is another tool's name for it)"]


def test_another_tools_database_is_not_passed_over_for_the_default_one() -> None:
    database = "00000000-0000-4000-8000-000000000000"
    env = {**SOUND, "CLOUDFLARE_DATABASE_ID": database}

    assert problems(env) == [
        "CLOUDFLARE_DATABASE_ID is another tool's name for D1_DATABASE_ID: set that, or D1_DATABASE_NAME"
    ]
    Settings.from_env({**env, "D1_DATABASE_NAME": "photos"})


def test_a_global_key_is_no_token() -> None:
    env = {**SOUND, "CLOUDFLARE_API_KEY": "0" * 37}
    del env["CLOUDFLARE_API_TOKEN"]

    assert problems(env)[0].startswith(
        "CLOUDFLARE_API_TOKEN is not set (CLOUDFLARE_API_KEY is the global key"
    )


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("B2_APP_KEY", "K004\r", "ends with a Windows line end"),
        ("B2_APP_KEY", "\ufeffK004", "begins with a byte order mark"),
        ("B2_APP_KEY", '"K004"', "is in quotes"),
        ("B2_BUCKET", "'photos'", "is in quotes"),
        ("CLOUDFLARE_API_TOKEN", "Bearer token", 'must be the token alone, without "Bearer"'),
        ("B2_BUCKET", " photos", "begins or ends with white space"),
        ("SNAPSHOT_URI", "$HOME/inventory.json", "begins with a variable"),
        ("SNAPSHOT_URI", "file:///inventory.json", "is neither a path nor s3://"),
        ("SNAPSHOT_URI", "C:\\inventory.json", "is a path of Windows"),
        ("SNAPSHOT_URI", "~nobody-of-that-name/inventory.json", "names a home folder that is not known"),
    ],
)
def test_what_stands_around_a_value_is_named_for_what_it_is(name: str, text: str, fault: str) -> None:
    (problem,) = problems({**SOUND, name: text})

    assert problem.startswith(f"{name} {fault}")
    assert "K004" not in problem


def test_a_name_behind_a_byte_order_mark_is_named() -> None:
    env = {**SOUND, "\ufeffB2_KEY_ID": "004key"}
    del env["B2_KEY_ID"]

    assert problems(env)[0].startswith("B2_KEY_ID is not set (a byte order mark stands before its name")


def test_an_account_id_may_be_in_capitals() -> None:
    settings = Settings.from_env(SOUND | {"CLOUDFLARE_ACCOUNT_ID": "ABCDEF" * 5 + "01"})

    assert settings.d1
    assert settings.d1.account_id == "abcdef" * 5 + "01"


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/team")

    assert (
        Settings.from_env(SOUND | {"SNAPSHOT_URI": "~/inventory.json"}).snapshot_uri
        == "/home/team/inventory.json"
    )
