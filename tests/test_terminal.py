"""What a person sees commands nothing: neither a terminal nor whatever reads the log line by line."""

import io
import logging

import pytest
from click.testing import CliRunner
from rich.console import Console

from b2d1.cli import terminal
from b2d1.cli.runner import Runner
from b2d1.errors import B2D1Error, harmless

NASTY = [
    pytest.param("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07", id="escape sequences"),
    pytest.param("a\r\tb\x9bc", r"a\r\tb\x9bc", id="control characters"),
    pytest.param("photo\u202egpj.exe", r"photo\u202egpj.exe", id="text turned around"),
    pytest.param("half \ud800", r"half \ud800", id="half a surrogate pair"),
    pytest.param("a\x85b\u2028c", r"a\x85b\u2028c", id="other line ends"),
    pytest.param("é 日本 😀 \\n", "é 日本 😀 \\n", id="nothing to hide"),
]


@pytest.mark.parametrize(("text", "shown"), NASTY)
def test_a_text_of_a_stranger_is_shown_and_does_nothing(text: str, shown: str) -> None:
    """What cannot be printed is written out, on one line or on several, and all else stays as it is."""
    assert (harmless(text), terminal.still(f"a\n{text}")) == (shown, f"a\n{shown}")


def test_a_text_of_a_stranger_is_cut() -> None:
    """No more of a text is shown than there is room for."""
    assert harmless("a\n" * 9, 5) == r"a\na\na"


@pytest.mark.parametrize(("text", "shown"), NASTY)
def test_an_error_does_nothing_to_a_terminal(text: str, shown: str) -> None:
    """Whatever got into an error, its sentence and its hint are shown and do nothing."""
    runner = Runner("b2d1")

    @runner.command()
    def fail() -> None:
        raise B2D1Error(f"it said {text}", hint=f"look:\n{text}")

    ended = CliRunner().invoke(runner, ["fail"])

    assert (ended.exit_code, ended.stderr) == (1, f"b2d1: it said {shown}\nhint: look:\n{shown}\n")


@pytest.mark.parametrize(("text", "shown"), NASTY)
def test_a_log_line_does_nothing_to_a_terminal(
    text: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever got into a log line is shown and does nothing, on a terminal too."""
    out = io.StringIO()
    monkeypatch.setattr(terminal, "stderr", Console(file=out, force_terminal=True, no_color=True, width=500))
    terminal.log_to_stderr(verbose=False)

    logging.getLogger("b2d1.test").warning("it said %s", text)

    assert out.getvalue() == f"WARNING: it said {shown}\n"
