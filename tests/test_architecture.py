"""What the house promises beyond its import contract: nothing is read, or loaded, that a run does not use."""

import ast
import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from typing import Any

import pytest

import b2d1
from b2d1.settings import NAMES

MODULES = sorted(module.name for module in pkgutil.walk_packages(b2d1.__path__, "b2d1."))
# The runner's; all others are the core.
CORE = [name for name in MODULES if name.split(".")[1] not in {"__main__", "cli"}]


def python(program: str, *arguments: str) -> Any:
    """Run a program in a fresh interpreter; return the JSON that it prints."""
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=os.sep, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


WITHOUT_THE_RUNNERS_PACKAGES = """
import importlib, json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"click", "rich", "aws_lambda_powertools"}:
            raise ImportError(f"{name} must not be imported")

sys.meta_path.insert(0, Blocked())
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(name for name in sys.modules if name.partition(".")[0] == "b2d1")))
"""


@pytest.mark.slow
def test_the_core_does_without_the_runners_packages() -> None:
    """Every module of the core is imported where click, rich and Powertools are not to be had."""
    assert python(WITHOUT_THE_RUNNERS_PACKAGES, *CORE) == ["b2d1", *CORE]


# Other packages may look at the environment when they are imported. So everything is imported once, and then
# b2d1 alone a second time, with an environment that notes what it is asked for and does not tell its names.
READING_THE_ENVIRONMENT = """
import importlib, json, os, sys
from collections.abc import MutableMapping

def modules():
    return sorted(name for name in sys.modules if name.partition(".")[0] == "b2d1")

class Watched(MutableMapping):
    asked = []
    def __getitem__(self, name):
        self.asked.append(str(name))
        raise KeyError(name)
    def refuse(self, *_):
        raise AssertionError("the whole environment is read at import")
    __setitem__ = __delitem__ = __iter__ = __len__ = refuse

for name in sys.argv[1:]:
    importlib.import_module(name)
for name in modules():
    del sys.modules[name]
os.environ = os.environb = Watched()
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps([modules(), Watched.asked]))
"""


@pytest.mark.slow
def test_the_core_reads_no_environment_at_import() -> None:
    """Importing the core looks at no variable: settings are read by a call, from a mapping."""
    assert python(READING_THE_ENVIRONMENT, *CORE) == [["b2d1", *CORE], []]


@pytest.mark.slow
def test_the_runner_reads_no_setting_at_import() -> None:
    """Importing the runner looks at no setting either; click and rich look at the terminal's variables."""
    imported, asked = python(READING_THE_ENVIRONMENT, *MODULES)

    assert imported == ["b2d1", *MODULES]
    assert set(asked) & set(NAMES) == set()


LOADED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "unused"),
    [
        pytest.param(
            "b2d1.sync.steps",
            {"sqlite3", "click", "rich", "hypothesis", "moto", "pytest", "sandbox", "aws_lambda_powertools"},
            id="a run",
        ),
        pytest.param("b2d1.listing.listing", {"sqlite3", "requests", "click", "rich"}, id="a listing"),
        pytest.param(
            "b2d1.table.media_assets", {"sqlite3", "boto3", "botocore", "click", "rich"}, id="the table"
        ),
        pytest.param("b2d1.settings", {"sqlite3", "requests", "boto3", "botocore"}, id="settings"),
    ],
)
def test_nothing_is_loaded_that_is_not_used(module: str, unused: set[str]) -> None:
    """A module brings along no package that it has no use for: the start stays short."""
    loaded = set(python(LOADED, module))

    assert "b2d1" in loaded
    assert loaded & unused == set()


@pytest.mark.slow
def test_importing_the_core_touches_no_log() -> None:
    """The core logs under its own name and leaves it to whoever runs it what becomes of that."""
    program = """
import importlib, json, logging, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
loggers = [logging.getLogger(), *map(logging.getLogger, sorted(logging.root.manager.loggerDict))]
ours = [each for each in loggers if each.name == "root" or each.name.partition(".")[0] == "b2d1"]
print(json.dumps([[each.name, each.level, len(each.handlers), each.propagate] for each in ours]))
"""
    found = python(program, *CORE)

    assert found[0] == ["root", 30, 0, True]
    assert {tuple(each[1:]) for each in found[1:]} == {(0, 0, True)}


def test_no_core_module_prints() -> None:
    """Data and messages leave through the runner: the core has no print and no sys.stdout."""
    found = []
    for name in CORE:
        source = inspect.getsource(importlib.import_module(name))
        for node in ast.walk(ast.parse(source)):
            called = isinstance(node, ast.Name) and node.id in {"print", "input"}
            standard = isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr", "stdin"}
            if called or standard:
                found.append(f"{name}:{node.lineno}")

    assert found == []
