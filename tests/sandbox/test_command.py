"""`python -m sandbox` starts both servers, and stops them with what it was started for."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sysconfig.get_path("scripts")) / "b2d1"
NAMES = [
    "B2_KEY_ID",
    "B2_APP_KEY",
    "B2_ENDPOINT",
    "B2_BUCKET",
    "B2_REGION",
    "B2_NATIVE_URL",
    "CLOUDFLARE_API_TOKEN",
    "CLOUDFLARE_ACCOUNT_ID",
    "D1_DATABASE_NAME",
    "CLOUDFLARE_API_BASE_URL",
]
PRINT_SETTINGS = f"import json, os; print(json.dumps({{name: os.environ.get(name) for name in {NAMES}}}))"

PRINT_LISTINGS = """
import boto3, hashlib, os
s3 = boto3.client(
    "s3",
    endpoint_url=os.environ["B2_ENDPOINT"],
    region_name=os.environ["B2_REGION"],
    aws_access_key_id=os.environ["B2_KEY_ID"],
    aws_secret_access_key=os.environ["B2_APP_KEY"],
)
for operation in ("list_objects_v2", "list_object_versions"):
    for page in s3.get_paginator(operation).paginate(Bucket=os.environ["B2_BUCKET"]):
        del page["ResponseMetadata"]
        print(hashlib.sha256(repr(page).encode()).hexdigest())
"""
PRINT_READY_AND_WAIT = """
import signal, sys
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: sys.exit(5))
print("ready", flush=True)
while True:
    signal.pause()
"""


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "sandbox", *map(str, arguments)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


@contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command(*arguments), cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


class TestStay:
    """Without a command it prints the settings and waits."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_prints_the_settings_and_stays_until_told(self, tmp_path: Path, number: int) -> None:
        """What to paste is lines a shell can read, the hint is on stderr, and Ctrl-C ends it with 0.

        The first line puts `b2d1` within reach.
        """
        with started("--state", tmp_path / "state") as process:
            assert process.stdout is not None
            activate = process.stdout.readline()
            lines = [process.stdout.readline() for _ in NAMES]
            settings = dict(shlex.split(line)[1].split("=", 1) for line in lines)
            urls = (settings["B2_ENDPOINT"], settings["CLOUDFLARE_API_BASE_URL"])
            assert [status_of(url) for url in urls] == [403, 401]
            process.send_signal(number)
            rest, errors = process.communicate(timeout=30)
        assert (process.returncode, rest, list(settings)) == (0, "", NAMES)
        assert activate == f". '{sys.prefix}/bin/activate'\n"
        find = ["sh", "-c", f"{activate}command -v b2d1"]
        found = subprocess.run(find, capture_output=True, text=True, check=True, env={}).stdout.strip()
        assert Path(found).samefile(PROGRAM)
        assert errors == (
            "B2 and D1 are up. Paste the lines above into another shell, then try `b2d1 doctor`; "
            "Ctrl-C stops them.\n"
        )
        assert all(re.fullmatch(r"export [A-Z0-9_]+='[^']+'\n", line) for line in lines)
        for url in urls:
            with pytest.raises(URLError):
                status_of(url)
        assert [path.name for path in (tmp_path / "state").iterdir()] == ["d1.sqlite3"]


class TestRun:
    """With a command it lives as long as the command."""

    @pytest.mark.parametrize("code", [0, 1, 6])
    def test_the_commands_exit_code_is_its_own(self, tmp_path: Path, code: int) -> None:
        """The exit code is that of the command, and its output all there is."""
        done = run("--state", tmp_path, "run", "--", sys.executable, "-c", f"print('out'); exit({code})")
        assert (done.returncode, done.stdout, done.stderr) == (code, "out\n", "")

    def test_the_command_finds_the_settings_in_its_environment(self, tmp_path: Path) -> None:
        """The command's environment has every setting, and what was there before."""
        done = run("--state", tmp_path, "run", "--", sys.executable, "-c", PRINT_SETTINGS)
        settings = json.loads(done.stdout)
        assert [name for name, value in settings.items() if not value] == []
        assert (settings["B2_BUCKET"], settings["D1_DATABASE_NAME"]) == ("b2d1-sandbox", "lgfc_lite")

    def test_new_objects_are_new_to_a_table_filled_before(self, tmp_path: Path) -> None:
        """Started again with --new 2, a dry run finds those two objects and no other."""
        fill = ["run", "--", "sh", "-c", '"$0" migrate && "$0" sync', PROGRAM]
        assert run("--state", tmp_path, *fill).returncode == 0
        done = run("--state", tmp_path, "--new", "2", "run", "--", PROGRAM, "sync", "--dry-run")
        assert (done.returncode, "known 3000, new 2\n" in done.stderr) == (0, True)
        assert re.findall(r"'(photos/new/[^']+)'", done.stdout) == [
            "photos/new/IMG_0001.jpg",
            "photos/new/IMG_0002.jpg",
        ]

    def test_arguments_reach_the_command_as_they_are(self, tmp_path: Path) -> None:
        """Options, a second `--` and blanks belong to the command."""
        show = "import sys; print(sys.argv[1:])"
        done = run("--state", tmp_path, "run", "--", sys.executable, "-c", show, "--state", "x", "--", "a b")
        assert done.stdout == "['--state', 'x', '--', 'a b']\n"

    def test_a_command_ended_by_a_signal_is_told_as_shells_do(self, tmp_path: Path) -> None:
        """A killed command gives 128 and the signal's number."""
        kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
        assert run("--state", tmp_path, "run", "--", sys.executable, "-c", kill).returncode == 137

    def test_a_command_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        """A command that cannot be found gives 127 and a sentence, no traceback."""
        done = run("--state", tmp_path, "run", "--", "no-such-command")
        assert (done.returncode, done.stdout, done.stderr) == (
            127,
            "",
            "no-such-command: command not found\n",
        )

    def test_a_file_that_is_no_command_is_named(self, tmp_path: Path) -> None:
        """A file that cannot be run gives 126 and a sentence."""
        done = run("--state", tmp_path, "run", "--", str(tmp_path))
        assert (done.returncode, done.stdout, done.stderr) == (126, "", f"{tmp_path}: Permission denied\n")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_command_decides_how_to_end(self, tmp_path: Path, number: int) -> None:
        """After Ctrl-C or a polite kill, the command's own exit code counts."""
        arguments = command("--state", tmp_path, "run", "--", sys.executable, "-c", PRINT_READY_AND_WAIT)
        process = subprocess.Popen(
            arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            if number == signal.SIGINT:
                os.killpg(process.pid, number)  # as a terminal does
            else:
                process.send_signal(number)
            process.wait(timeout=30)
        assert process.returncode == 5

    def test_the_state_is_where_it_is_said_to_be(self, tmp_path: Path) -> None:
        """D1's file stays in the folder given, or in `.sandbox` of the current one."""
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        for arguments in (["run", "--", "true"], ["--state", "elsewhere/deep", "run", "--", "true"]):
            subprocess.run(command(*arguments), cwd=tmp_path, env=environment, timeout=60, check=True)
        files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
        assert files == [".sandbox/d1.sqlite3", "elsewhere/deep/d1.sqlite3"]

    def test_two_runs_see_one_bucket(self, tmp_path: Path) -> None:
        """Two processes, with other hash seeds, are served the same pages, times and version ids."""
        arguments = command("--state", tmp_path, "run", "--", sys.executable, "-c", PRINT_LISTINGS)
        outputs = [
            subprocess.run(
                arguments,
                cwd=ROOT,
                env=os.environ | {"PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            ).stdout
            for seed in ("1", "2")
        ]
        assert len(outputs[0].split()) == 7
        assert outputs[0] == outputs[1]

    @pytest.mark.parametrize("arguments", [["run"], ["unknown"], ["--unknown"]])
    def test_a_wrong_command_line_is_a_usage_error(self, arguments: list[str]) -> None:
        """A command line that makes no sense gives 2 and the usage."""
        done = run(*arguments)
        assert (done.returncode, done.stderr.startswith("usage: python -m sandbox")) == (2, True)
