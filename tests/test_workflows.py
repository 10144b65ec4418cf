"""The workflows are sound as GitHub reads them, and their steps do here what they are to do there."""

import dataclasses
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from actions import TOKEN, Context, Job, Runner, evaluate, git, holds, load, outputs
from conftest import Stack
from gate import Gate, Passage
from markdown_it import MarkdownIt
from werkzeug.wrappers import Request, Response

from b2d1.report import SnapshotReport, SyncReport
from b2d1.settings import ALIASES, NAMES
from sandbox.server import LoopbackServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / ".github/scripts"
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
DAILY = load(ROOT / ".github/workflows/b2-d1-daily-sync.yml")
CI = load(ROOT / ".github/workflows/ci.yml")
INVENTORY = DAILY["env"]["INVENTORY"]
TITLE = "The sync from B2 to D1 fails"

each_workflow = pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in FILES])


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return list(chain.from_iterable(job["steps"] for job in workflow["jobs"].values()))


# As GitHub reads them


def faults(schema: str, path: Path) -> int:
    """Check a workflow against a schema that check-jsonschema brings along; return its exit code."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode


@each_workflow
@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
def test_a_workflow_fits_the_schema_for_workflows(path: Path, schema: str) -> None:
    """SchemaStore's schema for GitHub's workflows accepts each file, and each job has a time-out."""
    assert faults(schema, path) == 0


def test_the_schema_refuses_what_is_no_workflow(tmp_path: Path) -> None:
    """A workflow with a misspelt word is refused."""
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(FILES[0].read_text("utf-8").replace("runs-on:", "run-on:"), "utf-8")

    assert faults("vendor.github-workflows", wrong) == 1


@each_workflow
def test_every_action_is_pinned(path: Path) -> None:
    """Each action is named by a commit's whole hash, with its version behind it; one version of each."""
    lines = re.findall(r"uses: *(.*)", path.read_text("utf-8"))
    pinned = [re.fullmatch(r"([\w-]+/[\w-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", line) for line in lines]

    assert [line for line, pin in zip(lines, pinned, strict=True) if not pin] == []
    assert {pin.groups() for pin in pinned if pin} == {
        ("actions/checkout", "3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
        ("actions/setup-python", "5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0"),
    }


@each_workflow
def test_what_runs_stands_in_files(path: Path) -> None:
    """Each step runs a file of .github/scripts or a target of make, and no expression becomes shell text."""
    calls = [step["run"] for step in steps(load(path)) if "run" in step]
    files = [re.findall(r"\.github/scripts/[\w.-]+", call) for call in calls]
    call = r"make [a-z]+|(?:(?:bash|python3?) \.github/scripts/[\w-]+\.(?:sh|py) ?)+"

    assert [text for text in calls if not re.fullmatch(call, text)] == []
    assert [file for file in chain(*files) if not (ROOT / file).is_file()] == []


def test_every_script_is_used() -> None:
    """Each file of .github/scripts is named by a workflow or by another script."""
    texts = {path: path.read_text("utf-8") for path in [*FILES, *SCRIPTS.glob("*.*")]}
    unused = [
        path.name
        for path in SCRIPTS.glob("*.*")
        if not any(path.name in text or f"from {path.stem} import" in text for text in texts.values())
    ]

    assert unused == []


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in SCRIPTS.glob("*.sh")])
def test_a_shell_script_ends_at_its_first_failure(path: Path) -> None:
    """Each shell script stops at a failure, an unset variable and a broken pipeline."""
    code = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]

    assert code[0] == "set -euo pipefail"


def test_each_job_may_do_what_it_needs_and_no_more() -> None:
    """No workflow has a permission; a job has those it needs."""
    assert [DAILY["permissions"], CI["permissions"]] == [{}, {}]
    assert {
        name: job["permissions"] for workflow in (DAILY, CI) for name, job in workflow["jobs"].items()
    } == {
        "sync": {"contents": "write"},
        "issue": {"contents": "read", "issues": "write"},
        "test": {"contents": "read"},
    }


@each_workflow
def test_no_checkout_leaves_a_token_behind(path: Path) -> None:
    """No checkout keeps the token where later steps, and what they install, could read it."""
    checkouts = [step for step in steps(load(path)) if step.get("uses", "").startswith("actions/checkout@")]

    assert [step["with"]["persist-credentials"] for step in checkouts] == [False] * len(checkouts)


SECRETS = {
    "Sync": {
        *("B2_KEY_ID", "B2_APP_KEY", "B2_ENDPOINT", "B2_BUCKET"),
        *("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    },
    "Commit the inventory": {"GH_TOKEN"},
    "Open, comment on or close the issue": {"GH_TOKEN"},
}


def test_only_the_steps_that_need_a_secret_have_it() -> None:
    """Secrets and the job's token stand in the environment of three steps, and nowhere else."""
    secret = r"secrets\.|github\.token"
    found = {
        step["name"]: {name for name, value in step["env"].items() if re.search(secret, str(value))}
        for step in steps(DAILY)
        if "env" in step
    }
    text = json.dumps(DAILY)

    assert {name: names for name, names in found.items() if names} == SECRETS
    assert text.count("github.token") + len(set(re.findall(r"secrets\.\w+", text))) == sum(
        map(len, SECRETS.values())
    )
    assert not re.search(secret, json.dumps(CI))


def test_the_sync_has_every_setting() -> None:
    """Each setting that b2d1 reads reaches it: from a secret or variable of its own name, or an input."""
    env = next(step["env"] for step in steps(DAILY) if step.get("name") == "Sync")
    expected = {*NAMES, "PREFIX", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
    own_name = {name for name, value in env.items() if f".{name} " in value}

    # The function's own, and the doctor's.
    assert set(env) == expected - {*ALIASES.values(), "B2D1_SECRET_ID", "B2_NATIVE_URL"}
    assert set(env) - own_name == {"DRY_RUN", "PREFIX", "VERBOSE"}
    assert (env["DRY_RUN"], env["PREFIX"]) == ("${{ inputs.dry_run }}", "${{ inputs.prefix }}")


def test_it_runs_every_day_and_by_hand_and_one_at_a_time() -> None:
    """06:17 UTC, a button with two fields, and a run that is under way is never cut short."""
    fields = DAILY["on"]["workflow_dispatch"]["inputs"]

    assert DAILY["on"]["schedule"] == [{"cron": "17 6 * * *"}]
    assert {name: (field["type"], field["default"]) for name, field in fields.items()} == {
        "dry_run": ("boolean", False),
        "prefix": ("string", ""),
    }
    assert DAILY["concurrency"] == {"group": "b2-d1-daily-sync", "cancel-in-progress": False}


def test_a_step_that_hangs_fails_before_its_job_is_cancelled() -> None:
    """The time-outs of the steps fit into that of their job: a job's own would count as a cancellation."""
    job = DAILY["jobs"]["sync"]

    assert sum(step["timeout-minutes"] for step in job["steps"]) < job["timeout-minutes"]


def test_the_pythons_are_those_that_the_project_names() -> None:
    """Changes are tested on the oldest Python and on the Lambda function's, which the daily run has, too."""
    oldest = re.findall(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    runtime = re.findall(r"Runtime: python([\d.]+)", (ROOT / "template.yaml").read_text("utf-8"))
    versions = [
        step["with"]["python-version"] for step in steps(DAILY) if "python-version" in step.get("with", {})
    ]

    assert [CI["jobs"]["test"]["strategy"]["matrix"]["python"][0]] == oldest
    assert versions == runtime
    assert runtime[0] in CI["jobs"]["test"]["strategy"]["matrix"]["python"]


def test_changes_are_tested_as_here() -> None:
    """Pull requests and pushes to main run the two targets that hold here."""
    assert list(CI["on"]) == ["pull_request", "push"]
    assert CI["on"]["push"] == {"branches": ["main"]}
    assert [step["run"] for step in steps(CI) if "run" in step] == ["make test", "make check"]


def test_what_the_runner_is_installed_from_is_locked() -> None:
    """The runner's installation names files that exist, and each package in them has a hash."""
    script = (SCRIPTS / "install.sh").read_text("utf-8")
    names = re.findall(r"-r (\S+)", script)
    texts = [(ROOT / name).read_text("utf-8") for name in names]

    assert names == ["requirements/cli.txt", "requirements/build.txt"]
    assert "--require-hashes" in script
    assert [len(re.findall(r"==.* \\\n +--hash=", text)) for text in texts] == [
        text.count("==") for text in texts
    ]


# The runner of these tests

EXAMPLES: Context = {
    "github": {"event_name": "schedule"},
    "inputs": {},
    "vars": {"B2D1_SCHEDULE": "Actions"},
    "needs": {"sync": {"result": "failure"}},
    "success": lambda: False,
    "cancelled": lambda: False,
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("github.event_name", "schedule"),
        ("vars.B2_PREFIX", None),
        ("inputs.nothing.at.all", None),
        ("vars.B2_PREFIX || 'it''s'", "it's"),
        ("vars.B2D1_SCHEDULE == 'actions'", True),
        ("github.event_name != 'schedule'", False),
        ("!inputs.dry_run && !inputs.prefix", True),
        ("!cancelled() && (needs.sync.result == 'failure' || inputs.prefix)", True),
        ("'a' == 'a' || 'b' == 'c' && 'd' == 'e'", True),
        ("(success())", False),
    ],
)
def test_expressions_mean_what_they_mean_to_github(expression: str, value: object) -> None:
    """Operators, precedence and functions are those of GitHub's reference, as is `==`, blind to case."""
    assert evaluate(expression, EXAMPLES) == value


@pytest.mark.parametrize("expression", ["a > b", "(a", "a b", "format('{0}', a)", ""])
def test_other_expressions_are_refused(expression: str) -> None:
    """What this runner does not know, it does not take for something else."""
    with pytest.raises((ValueError, TypeError)):
        evaluate(expression, {})


def test_after_a_failure_only_those_steps_run_that_ask_for_it() -> None:
    """A condition without a status function holds only after success."""
    assert [holds(text, EXAMPLES) for text in (None, "github.event_name", "${{ !cancelled() }}")] == [
        False,
        False,
        True,
    ]


def test_outputs_have_one_line_or_several() -> None:
    """Both forms of an output are read."""
    assert outputs("a=b=c\ntrouble<<end-1\none\n\nend-2\nend-1\nd=\n") == {
        "a": "b=c",
        "trouble": "one\n\nend-2",
        "d": "",
    }


# As their steps run


class Repository:
    """A repository as GitHub has it: a bare one, with the workflows and scripts of this one on main."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self.stack = stack
        self.home = folder / "home"
        self.bare = folder / "origin.git"
        self.elsewhere = folder / "elsewhere"
        self.gh = folder / "gh.json"
        for path in (self.home, self.elsewhere):
            path.mkdir()
        git("init", "--quiet", "--bare", "--initial-branch=main", self.bare, cwd=folder)
        git("clone", "--quiet", self.bare.as_uri(), self.elsewhere, cwd=folder)
        shutil.copytree(
            ROOT / ".github", self.elsewhere / ".github", ignore=shutil.ignore_patterns("__pycache__")
        )
        self.push("Begin")
        named = {"B2_KEY_ID", "B2_APP_KEY", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"}
        secret = {name: value for name, value in stack.env.items() if name in named}
        variables = {name: value for name, value in stack.env.items() if name not in secret}
        self.runner = Runner(DAILY, self.bare.as_uri(), self.home, self._bin(folder), variables, secret)

    def _bin(self, folder: Path) -> Path:
        stub = Path(__file__).with_name("gh.py")
        command = folder / "bin/gh"
        command.parent.mkdir()
        command.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{stub}' '{self.gh}' \"$@\"\n")
        command.chmod(0o755)
        return command.parent

    def push(self, message: str, **files: bytes) -> None:
        """Let somebody else push a commit."""
        for name, content in files.items():
            path = self.elsewhere / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        git("add", "--all", cwd=self.elsewhere)
        git("commit", "--quiet", "--allow-empty", "--message", message, cwd=self.elsewhere)
        git("push", "--quiet", "origin", "HEAD:main", cwd=self.elsewhere)

    def hook(self, name: str, script: str) -> None:
        """Run a script wherever git would run a hook of that name in a runner's clone."""
        hooks = self.home / "hooks"
        hooks.mkdir(exist_ok=True)
        (self.home / ".gitconfig").write_text(f"[core]\nhooksPath = {hooks}\n")
        (hooks / name).write_text(f"#!/bin/sh\n{script}\n")
        (hooks / name).chmod(0o755)

    def commits(self) -> list[str]:
        """Return the subjects on main, oldest first."""
        return git("log", "--reverse", "--format=%s", "main", cwd=self.bare).splitlines()

    def keys(self) -> list[str]:
        """Return the keys of the inventory on main."""
        packed = subprocess.run(
            ["git", "show", f"main:{INVENTORY}"], cwd=self.bare, capture_output=True, check=True
        ).stdout
        return [entry["key"] for entry in json.loads(gzip.decompress(packed))["objects"]]

    def issues(self) -> list[dict[str, Any]]:
        """Return the issues that the stub keeps."""
        return json.loads(self.gh.read_text("utf-8"))["issues"] if self.gh.exists() else []

    def run(self, event: str = "workflow_dispatch", **inputs: Any) -> dict[str, Job]:
        return self.runner.run(event, **inputs)


def results(done: dict[str, Job]) -> tuple[str, str]:
    return done["sync"].result, done["issue"].result


@pytest.fixture
def repository(stack: Stack, tmp_path: Path) -> Repository:
    """Provide a repository whose secrets and variables lead to the embedded B2 and D1."""
    stack.b2.put("a.jpg", b"1")
    stack.b2.put("b.jpg", b"2")
    return Repository(tmp_path, stack)


def test_the_inventory_is_committed_when_it_changed_and_only_then(repository: Repository) -> None:
    """The first run commits once, the second nothing; after a change there is one more, and it is named."""
    repository.runner.variables["B2D1_SCHEDULE"] = "actions"

    first = repository.run("schedule")
    after_first = repository.commits()
    second = repository.run("schedule")
    after_second = repository.commits()
    repository.stack.b2.put("a.jpg", b"1, replaced")
    repository.stack.b2.hide("b.jpg")
    repository.stack.b2.put("c.jpg", b"3")
    third = repository.run("schedule")

    assert [results(done) for done in (first, second, third)] == [("success", "success")] * 3
    assert after_first == after_second == ["Begin", "Keep the B2 inventory: 2 objects, 2 new in D1"]
    assert repository.commits() == [*after_first, "Keep the B2 inventory: 2 objects, 2 new in D1"]
    assert repository.keys() == ["a.jpg", "c.jpg"]
    assert [row[0] for row in repository.stack.rows("b2_key")] == ["a.jpg", "b.jpg", "a.jpg", "c.jpg"]
    assert second["sync"].said["Commit the inventory"] == f"{INVENTORY} did not change\n"
    assert "### 2 added or replaced; there was no inventory before" in first["sync"].summary
    assert "No object was added or replaced since the inventory before." in second["sync"].summary
    assert third["sync"].summary.endswith(
        "### 2 added or replaced since the inventory before\n\n```text\nreplaced a.jpg\nadded    c.jpg\n```\n"
    )
    assert git("log", "-1", "--format=%an %cn", "main", cwd=repository.bare) == (
        "github-actions[bot] github-actions[bot]\n"
    )


def test_the_schedule_acts_only_where_it_was_chosen(repository: Repository) -> None:
    """Without the variable the scheduled run is skipped, and nothing is asked of anybody."""
    done = repository.run("schedule")

    assert (results(done), repository.commits(), repository.issues()) == (
        ("skipped", "skipped"),
        ["Begin"],
        [],
    )
    assert (repository.stack.b2.requests, repository.stack.d1.requests) == ([], [])


def test_a_push_that_was_overtaken_is_made_again(repository: Repository) -> None:
    """Commits that arrive after the checkout, even during the push, stay; our inventory replaces theirs."""
    clone, origin = repository.elsewhere, repository.bare.as_uri()
    theirs = f"cd {clone} && unset GIT_DIR GIT_INDEX_FILE && git pull --quiet --rebase {origin} main"
    push = f"git -c core.hooksPath=/dev/null push --quiet {origin} HEAD:main"
    write = f"mkdir -p {Path(INVENTORY).parent} && echo other >{INVENTORY} && git add --all"
    repository.hook("pre-commit", f"{theirs} && {write} && git commit -n --quiet -m Early && {push}")
    once = f"test -e {clone}/late || {{ {theirs} && touch late && git add late"
    repository.hook("pre-push", f"{once} && git commit -n --quiet -m Late && {push}; }}")

    done = repository.run()

    assert results(done) == ("success", "success"), done["sync"].said
    assert repository.commits() == ["Begin", "Early", "Late", "Keep the B2 inventory: 2 objects, 2 new in D1"]
    assert repository.keys() == ["a.jpg", "b.jpg"]
    assert "attempt 1 of 5 failed" in done["sync"].said["Commit the inventory"]


def test_a_push_that_is_refused_is_a_failure(repository: Repository) -> None:
    """A branch that takes no push fails the run after the rows are in, and the issue says so."""
    hook = repository.bare / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    hook.chmod(0o755)

    done = repository.run()

    assert (results(done), repository.commits()) == (("failure", "success"), ["Begin"])
    assert len(repository.stack.rows()) == 2
    assert "attempt 5 of 5 failed" in repository.issues()[0]["texts"][0]
    assert (
        "could not be pushed to main. The rows are in. Is the branch protected?"
        in (repository.issues()[0]["texts"][0])
    )


# Of that title without the label, and with the label under another title: nobody's business.
FOREIGN = [
    {"number": 1, "title": TITLE, "labels": [], "state": "open", "texts": ["?"]},
    {"number": 2, "title": "Other", "labels": ["b2-d1-sync"], "state": "open", "texts": ["?"]},
]


def unavailable(_: Passage) -> Response:
    # More than b2d1 waits for: it gives up at once.
    return Response("", 503, {"Retry-After": "3600"})


def test_failures_share_one_issue_that_a_success_closes(repository: Repository) -> None:
    """A failure opens an issue, the next one comments on it, a success closes it; failures commit nothing."""
    repository.gh.write_text(json.dumps({"calls": [], "labels": [], "issues": FOREIGN}))
    runner, token = repository.runner, repository.runner.secrets["CLOUDFLARE_API_TOKEN"]

    runner.secrets["CLOUDFLARE_API_TOKEN"] = "WrongTokenWrongTokenWrongTokenWrong"
    wrong_token = repository.run()
    *_, opened = repository.issues()
    runner.secrets["CLOUDFLARE_API_TOKEN"] = token
    with Gate(runner.variables["CLOUDFLARE_API_BASE_URL"], unavailable) as gate:
        real = runner.variables["CLOUDFLARE_API_BASE_URL"]
        runner.variables["CLOUDFLARE_API_BASE_URL"] = gate.url
        down = repository.run()
        runner.variables["CLOUDFLARE_API_BASE_URL"] = real
    [*_, commented], commits = repository.issues(), repository.commits()
    well = repository.run()
    *foreign, closed = repository.issues()

    assert [results(done) for done in (wrong_token, down, well)] == [
        ("failure", "success"),
        ("failure", "success"),
        ("success", "success"),
    ]
    assert commits == ["Begin"]
    assert [(issue["title"], issue["labels"], len(issue["texts"])) for issue in (opened, commented)] == [
        (TITLE, ["b2-d1-sync"], 1),
        (TITLE, ["b2-d1-sync"], 2),
    ]
    assert (foreign, closed["state"]) == (FOREIGN, "closed")
    first, second, third = closed["texts"]
    assert first.startswith(
        "A run failed: https://github.com/owner/photos/actions/runs/1001\n\n```text\nb2d1: looking for"
    )
    assert "\nhint: Check CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID: the token must be valid" in first
    assert "actions/runs/1002\n" in second
    assert "D1 answered 503" in second
    assert third == "A run succeeded: https://github.com/owner/photos/actions/runs/1003"
    assert len(repository.commits()) == 2


def test_no_secret_is_told_to_anybody(repository: Repository) -> None:
    """Whatever a verbose run that failed says, sums up or writes into an issue, it holds no secret."""
    runner = repository.runner
    wrong = runner.secrets["B2_APP_KEY"] = "WrongKeyWrongKeyWrongKeyWrongKey"
    runner.debug = True

    done = repository.run()

    told = "\n".join([str(done), done["sync"].summary, repository.gh.read_text("utf-8")])
    secrets = [wrong, TOKEN, runner.secrets["B2_KEY_ID"], runner.secrets["CLOUDFLARE_API_TOKEN"]]
    assert results(done) == ("failure", "success")
    assert [secret for secret in secrets if secret in told] == []
    assert "DEBUG: " in done["sync"].said["Sync"]
    assert "hint: B2_APP_KEY does not" in done["sync"].summary


@pytest.mark.parametrize(
    "inputs",
    [pytest.param({"dry_run": True}, id="dry run"), pytest.param({"prefix": "a"}, id="prefix")],
)
def test_a_run_that_is_not_the_daily_one_settles_nothing(
    repository: Repository, inputs: dict[str, Any]
) -> None:
    """A dry run and a run with a prefix commit nothing and close no issue, and list what is new to them."""
    issue = {"number": 1, "title": TITLE, "labels": ["b2-d1-sync"], "state": "open", "texts": ["Before"]}
    repository.gh.write_text(json.dumps({"calls": [], "labels": ["b2-d1-sync"], "issues": [issue]}))

    done = repository.run(**inputs)

    assert (results(done), repository.commits(), repository.issues()) == (
        ("success", "skipped"),
        ["Begin"],
        [issue],
    )
    assert "Commit the inventory" not in done["sync"].said
    listed = re.findall("^added +(.*)$", done["sync"].summary, re.MULTILINE)
    rows = [row[0] for row in repository.stack.rows("b2_key")]
    assert (listed, rows) == ((["a.jpg", "b.jpg"], []) if "dry_run" in inputs else (["a.jpg"], ["a.jpg"]))


def test_an_installation_that_fails_is_told(repository: Repository) -> None:
    """Also what fails before the sync opens the issue, with its own words; the sync is not tried."""
    repository.runner.installs = True  # this repository has no requirements: pip ends at once

    done = repository.run()

    assert results(done) == ("failure", "success")
    assert list(done["sync"].said) == ["Install b2d1"]
    assert "requirements/cli.txt" in repository.issues()[0]["texts"][0]


NASTY = [
    "``` <script>alert(1)</script>",
    "````\n<b>two lines</b>",
    "</pre></code><img src=x onerror=alert(1)>",
    "| a | **b** | @octocat #1 https://example.org",
    "\u202ereversed",
    "~~~",
]


def test_the_summary_shows_counts_and_keys_and_nothing_else(repository: Repository) -> None:
    """Counts are a table under the report's names; of the keys 100 are shown, which do nothing else."""
    for key in (*NASTY, *(f"photos/{number:03}.jpg" for number in range(99))):
        repository.stack.b2.put(key, b"1")

    summary = repository.run()["sync"].summary

    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(summary)
    text = [token.content for token in tokens if token.type in {"inline", "fence"} and token.content]
    report, listed = (token.content for token in tokens if token.type == "fence")
    cells = iter(text[1:])
    counts = dict(zip(cells, cells, strict=False))
    keys = sorted(
        [*NASTY, "a.jpg", "b.jpg", *(f"photos/{number:03}.jpg" for number in range(99))], key=str.encode
    )
    assert {token.type for token in tokens if token.type.startswith("html")} == set()
    assert (counts["discovered"], counts["new"], counts["inserted"], counts["missing_after"]) == (
        "107",
        "107",
        "107",
        "0",
    )
    assert "bucket         b2d1-sandbox\n" in report
    assert listed.splitlines() == [
        f"added    {key if key.isprintable() else json.dumps(key)}" for key in keys[:100]
    ]
    assert text[-3:] == ["107 added or replaced; there was no inventory before", listed, "and 7 more"]


def test_an_inventory_that_is_none_is_replaced(repository: Repository) -> None:
    """A committed file that is no inventory is said to be none, and the run commits a sound one."""
    repository.push("Break", **{INVENTORY: b"<<<<<<< HEAD"})

    done = repository.run()

    assert results(done) == ("success", "success")
    assert "The inventory before cannot be compared with this one:\n\n```text\nb2d1: reading inventory" in (
        done["sync"].summary
    )
    assert repository.keys() == ["a.jpg", "b.jpg"]


def test_an_inventory_that_is_kept_elsewhere_is_not_committed(repository: Repository, tmp_path: Path) -> None:
    """With SNAPSHOT_URI the inventory goes there, and the repository gets none."""
    kept = tmp_path / "kept.json.gz"
    repository.runner.variables["SNAPSHOT_URI"] = str(kept)

    done = repository.run()

    assert (results(done), repository.commits(), kept.is_file()) == (("success", "success"), ["Begin"], True)


# The commit, by itself


@contextmanager
def pushed_over_http(bare: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a repository as GitHub does, to the job's token alone; give its URL, and a list of who pushed."""
    users: list[str] = []

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        if not request.authorization or request.authorization.password != TOKEN:
            denied = Response("", 401, {"WWW-Authenticate": 'Basic realm="GitHub"'})
            return denied(environ, start_response)
        users.append(f"{request.authorization.username} {request.method} {request.path}")
        cgi = {
            "GIT_PROJECT_ROOT": str(bare.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": request.path,
            "REMOTE_USER": "actions",
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.query_string.decode(),
            "CONTENT_TYPE": request.content_type or "",
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"],
            input=request.get_data(),
            env=os.environ | cgi,
            capture_output=True,
            check=True,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        response = Response(body, int(headers.pop("Status", "200").split()[0]), headers)
        return response(environ, start_response)

    with LoopbackServer(answer) as server:
        yield f"{server.address}/{bare.name}", users


def commit(repository: Repository, mebibytes: int, origin: str) -> Job:
    """Run the step that commits, alone, on an inventory of so many zeros."""
    report = dict.fromkeys(["discovered", "new", "run_id", "inserted", "deferred", "listing_sha256"], 1)
    prepare = f"""
        git remote set-url origin {origin}
        mkdir -p {Path(INVENTORY).parent}
        dd if=/dev/zero of={INVENTORY} bs=1048576 count=0 seek={mebibytes}
        echo '{json.dumps(report)}' >$RUNNER_TEMP/report.json
    """
    checkout = DAILY["jobs"]["sync"]["steps"][0]
    [step] = [step for step in steps(DAILY) if step.get("name") == "Commit the inventory"]
    return repository.runner.alone(checkout, {"run": prepare}, step)


@pytest.mark.parametrize(
    ("mebibytes", "result", "says", "commits"),
    [
        pytest.param(50, "success", "::warning::{} has 50 MiB; from 95 on it is not committed", 2, id="50"),
        pytest.param(95, "failure", "::error::{} has 95 MiB, and GitHub refuses a file of 100", 1, id="95"),
    ],
)
def test_a_large_inventory_is_warned_of_and_then_refused(
    repository: Repository, mebibytes: int, result: str, says: str, commits: int
) -> None:
    """From 50 MiB on it warns, from 95 on it is refused, before GitHub does that; both tell a way out."""
    done = commit(repository, mebibytes, repository.runner.origin)

    first = done.said["Commit the inventory"].splitlines()[0]
    assert (done.result, len(repository.commits())) == (result, commits)
    assert first.startswith(says.format(INVENTORY))
    assert "set the repository variable SNAPSHOT_URI to s3://bucket/key" in first


def test_the_push_is_made_with_the_jobs_token(repository: Repository) -> None:
    """Over HTTP the commit is pulled and pushed with the job's token, which stays in no file."""
    with pushed_over_http(repository.bare) as (url, users):
        done = commit(repository, 49, url)

    said = done.said["Commit the inventory"]
    assert (done.result, said.startswith("committed ")) == ("success", True), said
    assert [user for user in users if not user.startswith("x-access-token ")] == []
    assert f"x-access-token POST /{repository.bare.name}/git-receive-pack" in users
    assert len(repository.commits()) == 2
    assert TOKEN not in git("config", "--list", cwd=done.workspace)


# What hands on words, the summary and the issue, by themselves


@pytest.mark.parametrize(
    ("program", "code", "trouble"),
    [
        pytest.param("echo well", 0, None, id="success"),
        pytest.param("echo out; echo err >&2; exit 3", 3, "out\nerr\n", id="both streams"),
        pytest.param("printf 'no end'; exit 1", 1, "no end", id="no line end"),
        pytest.param("exit 4", 4, "", id="nothing said"),
        pytest.param(
            "seq 100; exit 1", 1, "".join(f"{number}\n" for number in range(71, 101)), id="the last 30"
        ),
        pytest.param("echo 'trouble<<x'; echo a=b; exit 1", 1, "trouble<<x\na=b\n", id="like an output"),
    ],
)
def test_the_last_words_of_a_failure_are_an_output(
    tmp_path: Path, program: str, code: int, trouble: str | None
) -> None:
    """A command's exit code and words stay what they are; after a failure its last 30 lines are `trouble`."""
    out = tmp_path / "output"
    out.touch()
    told = {"GITHUB_OUTPUT": str(out), "RUNNER_TEMP": str(tmp_path)}

    done = subprocess.run(
        ["bash", SCRIPTS / "last-words.sh", "bash", "-c", program],
        env=os.environ | told,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    found = outputs(out.read_text("utf-8")).get("trouble")
    assert (done.returncode, done.stderr, found) == (code, "", trouble)
    assert done.stdout.endswith("well\n" if trouble is None else trouble)


@pytest.mark.parametrize(
    ("program", "code"),
    [
        pytest.param("echo '##[set-output name=trouble]x'", 0, id="success"),
        pytest.param("echo '::add-mask::a' >&2; echo ' ::error::b'; exit 3", 3, id="failure"),
        pytest.param("printf '::stop-commands::end-0\\n::end-0::\\nno end'; exit 1", 1, id="no line end"),
    ],
)
def test_what_a_run_says_commands_nothing(program: str, code: int) -> None:
    """GitHub is told to obey nothing until a line comes that nobody can know before."""
    command = ["bash", SCRIPTS / "no-commands.sh", "bash", "-c", f"exec 2>&1; {program}"]
    ended = [
        subprocess.run(command, capture_output=True, text=True, timeout=60, check=False) for _ in range(2)
    ]

    marks = []
    for done in ended:
        first, *_, last = done.stdout.splitlines()
        stop = re.fullmatch(r"::stop-commands::(end-[0-9a-f]{32})", first)
        assert stop
        assert (done.returncode, last, done.stdout.count(last)) == (code, f"::{stop[1]}::", 1)
        marks.append(stop[1])
    assert marks[0] != marks[1]


@pytest.mark.parametrize("nasty", ["##[set-output name=trouble]x", "a\n::add-mask::b", "\x1b[2J"], ids=repr)
def test_a_key_in_the_log_of_a_run_commands_nothing(repository: Repository, nasty: str) -> None:
    """A key that was made to look like a command stands between the lines that make GitHub obey nothing."""
    repository.stack.b2.put(nasty, b"1")

    said = repository.run()["sync"].said["Sync"]

    first, *between, last = said.strip().splitlines()
    assert (first[:17], last) == ("::stop-commands::", f"::{first[17:]}::")
    assert between
    assert [line for line in between if line.lstrip().startswith("::") or "\x1b" in line] == []


FIGURES: dict[str, Any] = {
    **dict.fromkeys((field.name for field in dataclasses.fields(SyncReport)), 1),
    "run_id": "r",
    "bucket": "b",
    "prefix": "```\n</pre>\u2028",
    "database_id": "d",
    "listing_sha256": "e",
    "dry_run": False,
    "database_name": None,
    "bookmark": None,
    "missing_after": None,
    "snapshot": SnapshotReport("s3://bucket/key", "e", changed=True),
}
REPORT = SyncReport(**FIGURES)


def test_an_inventory_in_a_bucket_is_not_compared(repository: Repository) -> None:
    """What the report says stays on its line, and without a file to compare the summary says so."""
    checkout, *_, summarize, _ = DAILY["jobs"]["sync"]["steps"]

    done = repository.runner.alone(
        checkout, {"run": f"cat >$RUNNER_TEMP/report.json <<'END'\n{REPORT.as_json()}\nEND"}, summarize
    )

    assert done.result == "success", done.said
    assert "| missing_after | not asked |\n" in done.summary
    assert done.summary.endswith(
        '\n````text\nrun_id         r\nbucket         b\nprefix         "```\\n</pre>\\u2028"\n'
        "database_id    d\nlisting_sha256 e\n````\n\n"
        "The inventory is kept elsewhere, so the new objects are not listed here.\n"
    )


def test_a_sync_that_was_ended_from_outside_is_summed_up(repository: Repository) -> None:
    """Without a report and without last words the summary says so."""
    checkout, *_, summarize, _ = DAILY["jobs"]["sync"]["steps"]

    done = repository.runner.alone(checkout, {"run": ": >$RUNNER_TEMP/report.json"}, summarize)

    assert (done.result, done.summary) == ("success", "## The sync ended without a word\n")


@pytest.mark.parametrize(
    ("trouble", "shown"),
    [
        pytest.param("", None, id="nothing said"),
        pytest.param("b2d1: no\n```\n<b>@octocat</b>\n````", None, id="Markdown"),
        pytest.param("x" * 70_000, "x" * 20_000, id="too long"),
    ],
)
def test_an_issue_quotes_what_failed(repository: Repository, trouble: str, shown: str | None) -> None:
    """The end of what was said stands in the issue as it is, and does nothing there."""
    checkout, tell = DAILY["jobs"]["issue"]["steps"]

    done = repository.runner.alone(checkout, tell, sync=Job("failure", {"trouble": trouble}))

    tokens = MarkdownIt("commonmark", {"html": True}).parse(repository.issues()[0]["texts"][0])
    quoted = [token.content for token in tokens if token.type == "fence"]
    assert done.result == "success"
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close", "fence"}
    assert quoted == ([f"{shown or trouble}\n"] if trouble else [])


DAILY_RUN: Context = {
    "cancelled": lambda: False,
    "success": lambda: True,
    "github": {"ref_type": "branch"},
    "inputs": {"dry_run": False, "prefix": ""},
}


@pytest.mark.parametrize(
    ("context", "told"),
    [
        pytest.param({"needs": {"sync": {"result": "success"}}}, True, id="success"),
        pytest.param({"needs": {"sync": {"result": "failure"}}}, True, id="failure"),
        pytest.param({"needs": {"sync": {"result": "cancelled"}}}, False, id="cancelled"),
        pytest.param({"needs": {"sync": {"result": "skipped"}}}, False, id="skipped"),
        pytest.param(
            {"needs": {"sync": {"result": "failure"}}, "inputs": {"dry_run": True}}, True, id="dry failure"
        ),
        pytest.param(
            {"needs": {"sync": {"result": "success"}}, "inputs": {"prefix": "a"}}, False, id="prefix success"
        ),
    ],
)
def test_what_is_told_in_an_issue(context: Context, told: bool) -> None:
    """Every failure is told, and the success of a whole run; a cancellation is not."""
    assert holds(DAILY["jobs"]["issue"]["if"], DAILY_RUN | context) is told


@pytest.mark.parametrize(
    ("context", "committed"),
    [
        pytest.param({}, True, id="branch"),
        pytest.param({"inputs": {}}, True, id="schedule"),
        pytest.param({"github": {"ref_type": "tag"}}, False, id="tag"),
        pytest.param({"success": lambda: False}, False, id="after a failure"),
    ],
)
def test_what_is_committed(context: Context, committed: bool) -> None:
    """Only a whole run on a branch commits, and only after all before it succeeded."""
    [step] = [step for step in steps(DAILY) if step.get("name") == "Commit the inventory"]
    assert holds(step["if"], DAILY_RUN | context) is committed
