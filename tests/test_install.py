"""`pip install b2d1` gives a command that works: all that the runner imports is a dependency."""

import email
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

from b2d1 import __version__

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own, which borrows its dependencies from the tests'."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    # Not the tests' own b2d1: the wheel's comes first.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--no-index", "--force-reinstall", str(wheel)], check=True)
    return folder / "bin" / "python"


def output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_an_installed_package_is_a_command_and_a_module(python: Path) -> None:
    told = f"b2d1 {__version__}"

    assert output(python.with_name("b2d1"), "--version") == told
    assert output(python, "-m", "b2d1", "--version") == told
    where = output(python, "-c", "import b2d1.migrate.migrations as m; print(len(m.shipped()), m.__file__)")
    assert where.startswith("2 ")
    assert str(ROOT) not in where


IMPORTED = """
import sys
import b2d1.__main__
files = {name: str(getattr(module, "__file__", "")) for name, module in sys.modules.items()}
print(*sorted({name.partition(".")[0] for name, file in files.items() if "site-packages" in file}))
"""
# What a dependency brings along.
BROUGHT = {
    "boto3": {"botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3"},
    "requests": {"certifi", "charset_normalizer", "idna", "urllib3"},
    "rich": {"markdown_it", "mdurl", "pygments"},
    "dotenv": set(),
    "click": set(),
}


def test_what_the_runner_imports_is_what_the_package_requires(python: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    requires = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]
    required = {re.split(r"[<>=; ]", text)[0] for text in requires}
    imported = {name for name in output(python, "-c", IMPORTED).split() if not name.startswith("_")} - {
        "b2d1"
    }

    assert required == {"boto3", "click", "python-dotenv", "requests", "rich"}
    assert imported <= set(BROUGHT).union(*BROUGHT.values())
