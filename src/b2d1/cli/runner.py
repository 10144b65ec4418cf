"""What the commands share: errors made sentences and exit codes, options checked as settings are."""

import contextlib
import functools
import signal
from collections.abc import Callable, Iterator
from typing import Any

import click

from b2d1 import setting_values
from b2d1.cli.env_file import VARIABLE, environment
from b2d1.cli.terminal import log_to_stderr, still
from b2d1.errors import B2D1Error


class Runner(click.Group):
    """Runs a command; an error that has a name becomes a sentence, a hint and an exit code."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments that come before the command's name."""
        with _harmless_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            with _ended_as_by_ctrl_c(signal.SIGTERM), _harmless_usage_errors():
                return super().invoke(ctx)
        except B2D1Error as error:
            _complain(str(error), error.hint)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            _complain("interrupted", "Run again: nothing is half done.")
            ctx.exit(1)


def _complain(sentence: str, hint: str) -> None:
    click.echo(f"b2d1: {still(sentence)}", err=True)
    if hint:
        click.echo(f"hint: {still(hint)}", err=True)


@contextlib.contextmanager
def _ended_as_by_ctrl_c(number: signal.Signals) -> Iterator[None]:
    """Let a signal end the command as Ctrl-C does: the run's files are taken away."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextlib.contextmanager
def _harmless_usage_errors() -> Iterator[None]:
    """Make click's own errors printable: they quote arguments, such as the names of files."""
    try:
        yield
    except click.ClickException as error:
        error.message = still(error.message)  # type: ignore[misc]
        raise


def environment_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--env-file`, and as `env` the settings' texts: the environment's over the file's."""
    return click.option(
        "--env-file",
        "env",
        metavar="FILE",
        envvar=VARIABLE,
        callback=lambda _context, _option, file: environment(file),
        help="Read settings from FILE too; the environment counts before it.",
    )(command)


def verbose_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--verbose`, and the log that goes with it."""

    @click.option("-v", "--verbose", is_flag=True, help="Log every page and every request.")
    @functools.wraps(command)
    def wrapped(*args: Any, verbose: bool, **kwargs: Any) -> None:
        log_to_stderr(verbose=verbose)
        command(*args, **kwargs)

    return wrapped


def _checked(parse: Callable[[str], str]) -> Callable[..., str | None]:
    """Check an option as the setting of the same meaning is checked."""

    def callback(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
        try:
            return None if value is None else parse(value.encode().decode())
        except UnicodeEncodeError:
            raise click.BadParameter("it is not valid UTF-8") from None
        except ValueError as error:
            raise click.BadParameter(f"it {error}") from None

    return callback


def _snapshot_uri(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return setting_values.snapshot_uri(text)


dry_run_option = click.option("--dry-run", is_flag=True, help="Print the SQL, write nothing.")
adopt_option = click.option(
    "--adopt",
    is_flag=True,
    help="Accept a listing that is empty, shares no key with the table, or has unusual identities.",
)
verify_adopt_option = click.option("--adopt", is_flag=True, help="Accept a listing that is empty.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead.")
LIST_ONLY = "List only keys that begin with P, whatever B2_PREFIX says"
prefix_option, verify_prefix_option = (
    click.option("--prefix", metavar="P", callback=_checked(setting_values.prefix), help=told)
    for told in (f"{LIST_ONLY}.", f"{LIST_ONLY}; rows of other keys are only counted.")
)
snapshot_option = click.option(
    "--snapshot",
    metavar="URI",
    callback=_checked(_snapshot_uri),
    help="Keep the inventory at this path or s3://bucket/key, whatever SNAPSHOT_URI says.",
)
