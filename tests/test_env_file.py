"""Settings from a file: what the parser takes, what is refused and named, and which value counts."""

from pathlib import Path

import pytest

from b2d1.cli.env_file import environment
from b2d1.errors import UsageError

SECRET = "K004s3cretS3cret"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stand in a folder of its own, without a setting."""
    monkeypatch.chdir(tmp_path)
    for name in ("B2_KEY_ID", "B2_APP_KEY", "B2_BUCKET", "B2D1_ENV_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param(b"B2_APP_KEY=K004\n", "K004", id="plain"),
        pytest.param(b"B2_APP_KEY=K004\r\nB2_BUCKET=b\r\n", "K004", id="Windows line ends"),
        pytest.param(b"\xef\xbb\xbfB2_APP_KEY=K004\n", "K004", id="a byte order mark"),
        pytest.param(b"B2_APP_KEY='K004'\n", "K004", id="single quotes"),
        pytest.param(b'B2_APP_KEY="K004"\n', "K004", id="double quotes"),
        pytest.param(b"B2_APP_KEY = K004\n", "K004", id="blanks around ="),
        pytest.param(b"export B2_APP_KEY=K004 # the key\n", "K004", id="export and a comment"),
        pytest.param(b"B2_APP_KEY='a$B2_BUCKET${HOME}'\n", "a$B2_BUCKET${HOME}", id="nothing is expanded"),
        pytest.param(b"B2_APP_KEY=K$HOME&b;c\n", "K$HOME&b;c", id="characters of a shell"),
        pytest.param(b"# a comment\n\nB2_APP_KEY=\n", "", id="empty"),
    ],
)
def test_a_file_of_settings_is_read(data: bytes, value: str) -> None:
    Path("settings").write_bytes(data)

    assert environment("settings")["B2_APP_KEY"] == value


def test_the_environment_counts_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("settings").write_text("B2_KEY_ID=file\nB2_APP_KEY=file\nB2_BUCKET=file\n")
    monkeypatch.setenv("B2_KEY_ID", "environment")
    monkeypatch.setenv("B2_APP_KEY", "")

    found = environment("settings")

    assert [found[name] for name in ("B2_KEY_ID", "B2_APP_KEY", "B2_BUCKET")] == [
        "environment",
        "file",
        "file",
    ]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        pytest.param(f"B2_APP_KEY={SECRET}\n".encode("utf-16"), "it is UTF-16", id="UTF-16"),
        pytest.param(f"B2_APP_KEY={SECRET}\xe4".encode("latin-1"), "it is not UTF-8", id="not UTF-8"),
        pytest.param(f"A=1\nB2_APP_KEY='{SECRET}\n".encode(), "line 2 cannot be read", id="an open quote"),
        pytest.param(b"A=1\nB2_APP_KEY\n", "line 2: B2_APP_KEY has no value", id="no ="),
        pytest.param(f"A=1\nA={SECRET}\n".encode(), "line 2: A is set twice", id="a name twice"),
    ],
)
def test_a_file_that_cannot_be_read_whole_is_refused(data: bytes, fault: str) -> None:
    """The line and the fault are named, and no value."""
    Path("settings").write_bytes(data)

    with pytest.raises(UsageError) as refused:
        environment("settings")

    assert str(refused.value).startswith(f"reading the settings: settings: {fault}")
    assert SECRET not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"reading the settings: {name}: "):
        environment(name)
