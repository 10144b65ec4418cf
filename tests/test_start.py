"""A cold start of the function: nothing is loaded that a run does not use, and what it takes is measured."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import start
from bundle import runtime
from emulator.lambda_emulator import functions_version

pytestmark = pytest.mark.slow

STDLIB = sys.stdlib_module_names
# What boto3 and requests bring along by themselves, and what a run is.
PACKAGES = {
    *("aws_lambda_powertools", "b2d1", "boto3", "botocore", "certifi", "charset_normalizer", "dateutil"),
    *("handler", "idna", "jmespath", "requests", "s3transfer", "six", "typing_extensions", "urllib3"),
}
# Large parts of the standard library that some version of a package brought along, at a cost.
UNUSED = {
    *(
        "asyncio",
        "ctypes",
        "curses",
        "doctest",
        "email.mime",
        "ensurepip",
        "http.server",
        "imaplib",
        "lib2to3",
    ),
    *("pdb", "pydoc", "smtplib", "sqlite3", "tkinter", "unittest", "venv", "wsgiref", "xml.dom", "xml.sax"),
    *("xmlrpc", "zoneinfo"),
}


def powertools(modules: list[str]) -> set[str]:
    """Name the parts of Powertools that are loaded, and the utilities by themselves."""
    found = {name.split(".")[1] for name in modules if name.startswith("aws_lambda_powertools.")}
    utilities = [name.split(".") for name in modules if name.startswith("aws_lambda_powertools.utilities.")]
    return (found - {"utilities"}) | {f"utilities.{parts[2]}" for parts in utilities}


STARTS = [
    start.Starts(
        "without a secret",
        built=[start.Start(0.10, cpu, seconds, []) for cpu, seconds in ((0.2, 0.3), (0.4, 0.5), (0.3, 0.9))],
        without_bytecode=[start.Start(0.5, cpu, 9.0, []) for cpu in (0.8, 0.8, 0.6)],
    )
]

WITHOUT_A_SECRET = {
    *("exceptions", "logging", "metrics", "package_logger", "shared", "tracing", "warnings"),
    "utilities.jmespath_utils",
}


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        pytest.param([], WITHOUT_A_SECRET, id="without a secret"),
        pytest.param(["secret"], WITHOUT_A_SECRET | {"utilities.parameters"}, id="with a secret"),
    ],
)
def test_nothing_is_loaded_that_a_run_does_not_use(
    package: Path, arguments: list[str], parts: set[str]
) -> None:
    """Of other packages what is needed, of Powertools its logger and metrics, and its secrets on demand."""
    modules = start.start(package, *arguments).modules
    tops = {name.partition(".")[0] for name in modules}

    assert {name for name in tops if name not in STDLIB and not name.startswith("_")} == PACKAGES
    assert powertools(modules) == parts
    assert {name for name in UNUSED if name in modules} == set()
    # The runner, and what only its commands need.
    assert {
        "b2d1.cli.commands",
        "b2d1.migrate.migrations",
        "b2d1.inventory.reader",
        "b2d1.inventory.json_stream",
        "b2d1.inventory.diff",
    } & {*modules} == set()


def test_the_start_is_measured_from_the_package_alone(package: Path) -> None:
    """Imports are a part of the CPU until all is ready, which is a part of what passes meanwhile."""
    measured = start.start(package)

    assert 0 < measured.imports <= measured.cpu
    assert measured.cpu < 60 > measured.seconds > 0
    assert {"handler.app", "b2d1.b2.bucket", "b2d1.d1.database", "botocore.client"} <= set(measured.modules)


def test_a_start_that_fails_is_no_measurement(tmp_path: Path) -> None:
    """Without the package nothing is found, here neither."""
    with pytest.raises(subprocess.CalledProcessError):
        start.start(tmp_path)


def test_both_contenders_take_turns(package: Path) -> None:
    """Each round starts the package as it is built, and without its bytecode, with a secret and without."""
    rounds: list[str] = []

    starts = start.measure(package, 1, rounds.append)

    assert rounds == ["start of the function, round 1 of 1"]
    assert [(each.title, len(each.built), len(each.without_bytecode)) for each in starts] == [
        ("without a secret", 1, 1),
        ("with a secret", 1, 1),
    ]
    loaded = [
        ["aws_lambda_powertools.utilities.parameters" in each[0].modules for each in kind[1:]]
        for kind in starts
    ]
    assert loaded == [[False, False], [True, True]]
    for kind in starts:
        assert (kind.without_bytecode[0].cpu > kind.built[0].cpu) or runtime.find() is None


def test_the_table_shows_medians_and_ratios() -> None:
    """Medians of all rounds; the ratio is of CPU, round by round."""
    head, _, cells = (
        [cell.strip() for cell in row.strip("|").split("|")] for row in start.table(STARTS).splitlines()
    )

    assert dict(zip(head, cells, strict=True)) == {
        "start of the function": "without a secret",
        "imports, CPU": "0.10 s",
        "ready, CPU": "0.30 s",
        "CPU without bytecode": "0.80 s",
        "times more": "2.0",
        "by round": "2.0 to 4.0",
        "ready: to reach": "at most 0.6 s",
        "reached": "0.50 s",
    }


@pytest.mark.parametrize(
    ("megabytes", "shown"),
    [pytest.param(16.13, "16.1 MB", id="small"), pytest.param(20.1, "20.1 MB: not reached", id="too large")],
)
def test_the_section_weighs_the_package(megabytes: float, shown: str) -> None:
    """The package's size stands beside what it may be, and the starts above it."""
    made = start.made_section(STARTS, megabytes, 7)

    assert made.table == start.table(STARTS)
    assert made.how.split("\n\n")[1].splitlines()[-1].split(" | ")[1:] == ["at most 20 MB", f"{shown} |"]


def test_the_results_name_the_python_that_was_used() -> None:
    """Whoever reads the figures knows whether it was Lambda's."""
    if runtime.find():
        assert start.python_used() == "Python 3.13, as in Lambda"
        assert functions_version().startswith("3.13.")
    else:
        assert start.python_used() == "this Python for want of 3.13; without bytecode"
