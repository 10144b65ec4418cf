"""The function's package: what is in it, what is not, and that it stands alone."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

from bundle import runtime
from bundle.contents import SERVICES, WHEELS
from emulator.lambda_emulator import functions_python

pytestmark = pytest.mark.slow

# What only the runner's commands need: four rooms, and what doctor asks B2.
LEFT_OUT = (
    "b2d1/__main__.py",
    "b2d1/cli/",
    "b2d1/doctor/",
    "b2d1/verify/",
    "b2d1/migrate/",
    "b2d1/b2/native.py",
)


def build(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bundle", folder],
        cwd=ROOT,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )


def run(package: Path, program: str) -> str:
    """Run a program with nothing but the package, under the function's Python; return what it printed."""
    command = [functions_python(), "-B", "-S", "-s", "-W", "error", "-c", program]
    env = {"PYTHONPATH": str(package), "HOME": str(package / "none"), "AWS_DEFAULT_REGION": "eu-central-1"}
    done = subprocess.run(command, cwd=package, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def files(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Describe every file: digest, permissions and time."""
    return {
        path.relative_to(folder).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mode & 0o777,
            int(path.stat().st_mtime),
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def sources(folder: Path) -> set[str]:
    """List our own files below a folder, bytecode aside."""
    ours = [path for name in ("b2d1", "handler") for path in (folder / name).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix() for path in ours if path.parent.name != "__pycache__"}


def test_our_own_modules_are_in_it(package: Path) -> None:
    """All of the core but what only the runner needs, the handler, and of ours nothing else."""
    code = {name for name in sources(ROOT / "src") if name.endswith(".py")}
    expected = {name for name in code if not name.startswith(LEFT_OUT)}

    assert sources(package) == expected
    assert {"b2d1/sync/steps.py", "b2d1/b2/bucket.py", "handler/app.py"} <= expected


def test_nothing_else_is_in_it_than_the_pinned_wheels(package: Path) -> None:
    """Every other file comes from a wheel of requirements/lambda.txt; no click, rich, tests or sandbox."""
    shipped = {name for name in files(package) if "__pycache__" not in name}
    shipped -= {name for name in shipped if name.startswith(("b2d1/", "handler/"))}
    wheels = {name for path in WHEELS.glob("*.whl") for name in zipfile.ZipFile(path).namelist()}

    assert shipped - wheels == set()
    tops = {name.partition("/")[0] for name in shipped if ".dist-info/" not in name}
    assert tops == {
        *("aws_lambda_powertools", "boto3", "botocore", "certifi", "charset_normalizer", "dateutil", "idna"),
        *("jmespath", "requests", "s3transfer", "six.py", "typing_extensions.py", "urllib3"),
    }


def test_of_botocores_data_only_what_is_used_is_in_it(package: Path) -> None:
    """The descriptions of two services, and what every client reads; boto3's resources are left out."""
    data = {path.name for path in (package / "botocore" / "data").iterdir() if path.is_dir()}

    assert (data, {"s3", "secretsmanager"}) == (SERVICES, SERVICES)
    assert not (package / "boto3" / "data").exists()
    assert not (package / "bin").exists()


def test_it_is_pure_python(package: Path) -> None:
    """No machine code, so one package serves both architectures and any version of the runtime."""
    suffixes = {Path(name).suffix for name in files(package)}

    assert suffixes & {".so", ".pyd", ".dylib", ".dll", ".exe"} == set()
    assert not any(path.read_bytes().startswith(b"\x7fELF") for path in package.rglob("*") if path.is_file())


def test_it_is_at_most_20_megabytes(package: Path) -> None:
    """The sum of file sizes, bytecode included."""
    assert sum(path.stat().st_size for path in package.rglob("*") if path.is_file()) <= 20_000_000


def test_the_pins_are_the_same_for_every_python(package: Path) -> None:
    """No pin depends on the machine that builds, each has hashes, and each is in the package."""
    lines = (ROOT / "requirements" / "lambda.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("    --hash=")]

    assert [pin for pin in pins if ";" in pin or "==" not in pin or not pin.endswith(" \\")] == []
    names = {pin.partition("==")[0].replace("-", "_") for pin in pins}
    assert names == {path.name.partition("-")[0] for path in package.glob("*.dist-info")}


def test_it_is_built_the_same_twice(package: Path, tmp_path: Path) -> None:
    """Another folder with an earlier package in it, other permissions, another hash seed: the same files."""
    again = tmp_path / "again"
    shutil.copytree(package, again)
    (again / "handler" / "old.py").write_text("1\n")
    before = os.umask(0o077)
    try:
        done = build(again, PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    finally:
        os.umask(before)

    assert (done.returncode, done.stderr) == (0, "")
    assert files(again) == files(package)
    assert {mode for _, mode, _ in files(package).values()} == {0o644}
    assert {moment for _, _, moment in files(package).values()} == {315_532_800}
    names = "".join(
        f"{name}\0{digest}\n" for name, (digest, _, _) in sorted(files(package).items(), key=_parts)
    )
    assert f"sha256 {hashlib.sha256(names.encode()).hexdigest()}" in done.stdout


def _parts(item: tuple[str, object]) -> tuple[str, ...]:
    return Path(item[0]).parts


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    """What is not an earlier package is never emptied."""
    (tmp_path / "precious").write_text("kept")

    done = build(tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path} holds something else: name a new folder\n"
    assert (tmp_path / "precious").read_text() == "kept"


def test_every_module_is_compiled_for_the_runtime(package: Path) -> None:
    """Each source has its bytecode, which is never checked against it; where no such Python is, none has."""
    compiled = {path.parent.parent / f"{path.name.partition('.')[0]}.py" for path in package.rglob("*.pyc")}
    assert compiled == (set(package.rglob("*.py")) if runtime.find() else set())
    for path in package.rglob("*.pyc"):
        # PEP 552: 1 is hash-based, unchecked.
        assert (path.name.split(".")[1:], path.read_bytes()[4:8]) == (["cpython-313", "pyc"], b"\1\0\0\0")


FIND = (
    "from pathlib import Path; from bundle import bytecode; print(repr(bytecode.compile_all(Path('none'))))"
)


def test_the_runtimes_python_is_found_where_it_works(tmp_path: Path) -> None:
    """The Python that builds is the first choice; a python3.13 that does not run is passed over."""
    shims, versions = tmp_path / "bin", tmp_path / "versions" / "3.13.7" / "bin"
    for folder, script in ((shims, "exit 127"), (versions, "echo 3.13")):
        folder.mkdir(parents=True)
        (folder / "python3.13").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "python3.13").chmod(0o755)
    (versions / "python3.13").rename(versions / "python")

    def ask(root: Path, *arguments: str) -> str:
        env = {"PATH": str(shims), "PYENV_ROOT": str(root), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()

    its_own = sys.version_info[:2] == (3, 13)
    found = ask(tmp_path, "-m", "bundle.runtime")
    assert found == (sys.executable if its_own else str(versions / "python"))
    assert ask(tmp_path / "none", "-m", "bundle.runtime") == sys.executable
    assert its_own or ask(tmp_path / "none", "-c", FIND) == "''"


MAKE_CLIENTS = """
import json, sys
import boto3
from botocore.exceptions import UnknownServiceError
made = {}
for service in ("s3", "secretsmanager", "dynamodb"):
    try:
        made[service] = boto3.session.Session().client(service).meta.endpoint_url
    except UnknownServiceError:
        made[service] = None
print(json.dumps([made, sorted({getattr(m, "__file__", None) or "" for m in sys.modules.values()})]))
"""


def test_each_client_can_be_made_from_it_alone(package: Path) -> None:
    """S3's and Secrets Manager's clients find all they need in the package; nothing comes from elsewhere."""
    made, loaded = json.loads(run(package, MAKE_CLIENTS))

    assert made == {
        "s3": "https://s3.eu-central-1.amazonaws.com",
        "secretsmanager": "https://secretsmanager.eu-central-1.amazonaws.com",
        "dynamodb": None,
    }
    assert [path for path in loaded if "site-packages" in path or "dist-packages" in path] == []


def test_its_handler_can_be_imported_from_it_alone(package: Path) -> None:
    """What template.yaml names is there, and can be called."""
    (line,) = [line for line in (ROOT / "template.yaml").read_text().splitlines() if " Handler: " in line]
    module, _, name = line.split()[-1].rpartition(".")

    printed = run(package, f"import {module}; print(callable({module}.{name}), {module}.__file__)")

    assert printed.split() == ["True", str(package / "handler" / "app.py")]
