"""What goes into the package: our code, the pinned wheels it needs, and nothing else."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements" / "lambda.txt"
# `make` fetches them, so that building asks nobody.
WHEELS = ROOT / ".venv" / "wheels"
# The commands, which need click and rich, and what only they do.
LEFT_OUT = {"b2d1/__main__.py", "b2d1/cli", "b2d1/doctor", "b2d1/verify", "b2d1/migrate", "b2d1/b2/native.py"}
# Of the descriptions of all AWS services, those that a run speaks to.
SERVICES = {"s3", "secretsmanager"}
# Lambda's own unzipping sets no times, and neither may ours show: 1980 is the first year a zip knows.
MOMENT = 315_532_800


def gather(folder: Path) -> None:
    """Fill a folder with our modules and what they import; what is emptied is only an earlier package."""
    if not WHEELS.is_dir():
        raise FileNotFoundError(f"{WHEELS} is not there: `make build` fetches what the package is made of")
    if folder.exists():
        if any(folder.iterdir()) and not (folder / "botocore").is_dir():
            raise FileExistsError(f"{folder} holds something else: name a new folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    _install_wheels(folder)
    for package in ("b2d1", "handler"):
        for source in sorted((ROOT / "src" / package).rglob("*.py")):
            place = source.relative_to(ROOT / "src")
            if LEFT_OUT.isdisjoint({place.as_posix(), place.parent.as_posix()}):
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, folder / place)
    _trim(folder)


def settle(folder: Path) -> None:
    """Give every file the same time and permissions, whatever this machine's are."""
    for path in _files(folder):
        path.chmod(0o644)
        os.utime(path, (MOMENT, MOMENT))


def size(folder: Path) -> int:
    """Add up the sizes of all files, in bytes."""
    return sum(path.stat().st_size for path in _files(folder))


def digest(folder: Path) -> str:
    """Digest names and bytes of all files."""
    whole = hashlib.sha256()
    for path in _files(folder):
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        whole.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return whole.hexdigest()


def faults(folder: Path) -> list[str]:
    """Name what must not be in a package for any machine."""
    return [f"machine code: {path}" for path in _files(folder) if path.suffix in {".so", ".pyd", ".dylib"}]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _install_wheels(folder: Path) -> None:
    # `any` and `none` keep out every wheel with machine code in it.
    pure = ["--platform", "any", "--implementation", "py", "--abi", "none", "--only-binary", ":all:"]
    checked = ["--require-hashes", "--no-deps", "--requirement", str(REQUIREMENTS)]
    here = ["--no-index", "--find-links", str(WHEELS)]
    quiet = ["--quiet", "--no-compile", "--disable-pip-version-check"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--target",
        str(folder),
        *pure,
        *checked,
        *here,
        *quiet,
    ]
    subprocess.run(command, check=True)


def _trim(folder: Path) -> None:
    """Take out what a run never reads: other services' descriptions, examples, and pip's own notes."""
    for described in (folder / "botocore" / "data").iterdir():
        if described.is_dir() and described.name not in SERVICES:
            shutil.rmtree(described)
    for name in ("boto3/data", "boto3/examples", "bin"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for note in [*folder.glob("*.dist-info/*")]:
        if note.name in {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}:
            note.unlink()
