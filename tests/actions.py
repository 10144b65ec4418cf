"""A GitHub runner on this machine, as far as this repository's workflows need one.

It evaluates expressions, checks repositories out, and runs the steps of jobs one after the other, each in
bash with the variables and files that GitHub's runner gives it, and with no other variable. Two kinds of
steps are replaced by nothing, since the interpreter that runs the tests stands for what they set up:
actions/setup-python, and the installation of b2d1.

https://docs.github.com/en/actions/reference/workflows-and-actions
"""

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

TOKEN = "ghs_TokenOfThisJob0123456789"
SETS_UP = re.compile(r"actions/setup-python@.*|.*/install\.sh")
TOKENS = re.compile(r"\s*('(?:[^']|'')*'|\|\||&&|==|!=|[!()]|[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*|\S)")
Context = dict[str, Any]


def load(workflow: Path) -> dict[str, Any]:
    """Read a workflow, as YAML 1.2: `on` is a text there."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(workflow)
    return document


def evaluate(expression: str, context: Context) -> Any:
    """Evaluate what stands within `${{ }}`; the context's callables are its functions."""
    tokens = [*TOKENS.findall(expression), ""]
    value = _either(tokens, context)
    if tokens != [""]:
        raise ValueError(f"cannot read {tokens[0]!r} in {expression!r}")
    return value


def _either(tokens: list[str], context: Context) -> Any:
    value = _both(tokens, context)
    while tokens[0] == "||":
        other = _both(_rest(tokens), context)
        value = value or other
    return value


def _both(tokens: list[str], context: Context) -> Any:
    value = _compared(tokens, context)
    while tokens[0] == "&&":
        other = _compared(_rest(tokens), context)
        value = value and other
    return value


def _compared(tokens: list[str], context: Context) -> Any:
    value = _single(tokens, context)
    while tokens[0] in {"==", "!="}:
        wanted = tokens[0] == "=="
        other = _single(_rest(tokens), context)
        value = (_folded(value) == _folded(other)) is wanted
    return value


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _single(tokens: list[str], context: Context) -> Any:
    token = tokens.pop(0)
    if token == "!":
        return not _single(tokens, context)
    if token == "(":
        inner = _either(tokens, context)
        _expect(")", tokens)
        return inner
    if token.startswith("'"):
        return token[1:-1].replace("''", "'")
    if not re.match("[A-Za-z_]", token):
        raise ValueError(f"cannot read {token!r}")
    value: Any = context
    for name in token.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if tokens[0] == "(":
        _expect(")", _rest(tokens))
        return value()
    return value


def _rest(tokens: list[str]) -> list[str]:
    del tokens[0]
    return tokens


def _expect(mark: str, tokens: list[str]) -> None:
    if tokens.pop(0) != mark:
        raise ValueError(f"{mark} is missing")


def filled(text: Any, context: Context) -> str:
    """Put in the values of a text's expressions, written as GitHub writes them."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: _written(evaluate(found[1], context)), _written(text))


def _written(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def holds(condition: str | None, context: Context) -> bool:
    """Tell whether a step or a job is to run: unless it asks otherwise, only after nothing failed."""
    condition = (condition or "success()").strip()
    if whole := re.fullmatch(r"\$\{\{(.*)\}\}", condition, re.DOTALL):
        condition = whole[1]
    if not re.search(r"\b(success|failure|cancelled|always)\(", condition):
        condition = f"success() && ({condition})"
    return bool(evaluate(condition, context))


def outputs(text: str) -> dict[str, str]:
    """Read what a step wrote into GITHUB_OUTPUT."""
    found: dict[str, str] = {}
    lines: Iterator[str] = iter(text.split("\n"))
    for line in lines:
        if several := re.fullmatch(r"([\w-]+)<<(.+)", line):
            found[several[1]] = "\n".join(iter(lines.__next__, several[2]))
        elif line:
            name, value = line.split("=", 1)
            found[name] = value
    return found


@dataclasses.dataclass
class Job:
    """What became of a job: what each step said, by its name; its summary; the folder it worked in."""

    result: str
    outputs: dict[str, str] = dataclasses.field(default_factory=dict)
    said: dict[str, str] = dataclasses.field(default_factory=dict)
    summary: str = ""
    workspace: Path = Path()


@dataclasses.dataclass
class Runner:
    """Runs a workflow for a repository on this machine, whose `origin` is a bare one."""

    workflow: dict[str, Any]
    origin: str
    folder: Path
    bin: Path
    variables: dict[str, str]
    secrets: dict[str, str]
    runs: int = 0
    installs: bool = False
    debug: bool = False

    def run(
        self, event: str = "workflow_dispatch", *, ref_type: str = "branch", **inputs: Any
    ) -> dict[str, Job]:
        """Run the jobs, in the order in which they stand."""
        self.runs += 1
        done: dict[str, Job] = {}
        given = {"dry_run": False, "prefix": ""} | inputs if event == "workflow_dispatch" else {}
        for name, job in self.workflow["jobs"].items():
            needed = {job["needs"]: done[job["needs"]]} if "needs" in job else {}
            context = self._context(event, ref_type, given, needed)
            runs = holds(job.get("if"), context)
            done[name] = self._job(job, context, name) if runs else Job("skipped")
        return done

    def alone(self, *steps: dict[str, Any], **needed: Job) -> Job:
        """Run some steps as a job of their own, as if it came after the jobs named."""
        self.runs += 1
        context = self._context("workflow_dispatch", "branch", {}, needed) | self._functions([])
        return self._job({"steps": steps}, context, "alone")

    def _context(self, event: str, ref_type: str, inputs: Context, needed: dict[str, Job]) -> Context:
        context: Context = {
            "github": self._github(event) | {"ref_type": ref_type},
            "runner": {"debug": "1"} if self.debug else {},
            "inputs": inputs,
            "vars": self.variables,
            "secrets": self.secrets,
            "needs": {name: dataclasses.asdict(job) for name, job in needed.items()},
        } | self._functions([job.result for job in needed.values()])
        env = self.workflow.get("env", {})
        return context | {"env": {name: filled(value, context) for name, value in env.items()}}

    def _github(self, event: str) -> Context:
        return {
            "event_name": event,
            "ref_name": "main",
            "repository": "owner/photos",
            "run_id": str(1000 + self.runs),
            "server_url": "https://github.com",
            "token": TOKEN,
        }

    def _functions(self, results: list[str]) -> dict[str, Callable[[], bool]]:
        return {
            "always": lambda: True,
            "cancelled": lambda: False,
            "failure": lambda: "failure" in results,
            "success": lambda: set(results) <= {"success"},
        }

    def _job(self, job: dict[str, Any], context: Context, name: str) -> Job:
        folder = self.folder / f"run-{self.runs}" / name
        temporary, workspace = folder / "temp", folder / "work"
        for path in (temporary, workspace):
            path.mkdir(parents=True)
        summary = folder / "summary.md"
        done = Job("success", workspace=workspace)
        results: list[str] = []
        context |= {"steps": {}} | self._functions(results)
        for number, step in enumerate(job["steps"]):
            outcome, told = "skipped", {}
            if holds(step.get("if"), context):
                code = self._step(step, context, folder, done)
                outcome = "failure" if code else "success"
                results.append(outcome)
                told = outputs(self._file(folder, "output").read_text("utf-8"))
            context["steps"][step.get("id", str(number))] = {"outcome": outcome, "outputs": told}
        done.result = "failure" if "failure" in results else "success"
        done.outputs = {name: filled(text, context) for name, text in job.get("outputs", {}).items()}
        done.summary = summary.read_text("utf-8") if summary.exists() else ""
        return done

    def _step(self, step: dict[str, Any], context: Context, folder: Path, done: Job) -> int:
        self._file(folder, "output").write_text("")
        name = step.get("name", step.get("uses", ""))
        if SETS_UP.fullmatch(step.get("uses", step.get("run", ""))) and not (self.installs and "run" in step):
            return 0
        if "uses" in step:
            self._check_out(step, done.workspace)
            return 0
        script = self._file(folder, "sh")
        script.write_text(filled(step["run"], context), "utf-8")
        own = {key: filled(value, context) for key, value in step.get("env", {}).items()}
        ended = subprocess.run(
            ["bash", "-e", script],
            env=self.environment(context["github"], folder) | context["env"] | own,
            cwd=done.workspace,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        done.said[name] = ended.stdout
        return ended.returncode

    def environment(self, github: Context, folder: Path) -> dict[str, str]:
        """Make the environment that every step finds."""
        named = {f"GITHUB_{key.upper()}": value for key, value in github.items() if key != "token"}
        files = {
            "RUNNER_TEMP": folder / "temp",
            "GITHUB_WORKSPACE": folder / "work",
            "GITHUB_OUTPUT": self._file(folder, "output"),
            "GITHUB_STEP_SUMMARY": folder / "summary.md",
            "HOME": self.folder,
        }
        path = os.pathsep.join([str(self.bin), str(Path(sys.executable).parent), os.environ["PATH"]])
        return named | {name: str(file) for name, file in files.items()} | {"CI": "true", "PATH": path}

    def _check_out(self, step: dict[str, Any], workspace: Path) -> None:
        if not step["uses"].startswith("actions/checkout@"):
            raise ValueError(f"this runner has no {step['uses']}")
        # As the action does it: one commit, and with a sparse-checkout only the folders named.
        given = step.get("with", {})
        sparse = ["--sparse"] if "sparse-checkout" in given else []
        git("clone", "--quiet", "--depth=1", *sparse, self.origin, ".", cwd=workspace)
        if sparse:
            git("sparse-checkout", "set", *given["sparse-checkout"].split(), cwd=workspace)

    def _file(self, folder: Path, kind: str) -> Path:
        return folder / f"step.{kind}"


def git(*arguments: str | Path, cwd: Path) -> str:
    """Run git, with no configuration but the repository's own; return what it prints."""
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
    person = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "Somebody"), ("EMAIL", "somebody@example.org"))
    }
    done = subprocess.run(
        ["git", *arguments],
        cwd=cwd,
        env=os.environ | own | person,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"git {arguments}: {done.stderr}")
    return done.stdout
