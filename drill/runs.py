"""A run of b2d1: in this process, on a clock that nobody waits for; or in another one, to be killed."""

import contextlib
import functools
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from botocore.loaders import JSONFileLoader, Loader
from werkzeug.wrappers import Response

from b2d1.b2 import bucket as b2
from b2d1.b2.bucket import Bucket
from b2d1.d1 import api as d1_api
from b2d1.d1.database import Database
from b2d1.errors import B2D1Error
from b2d1.inventory import snapshot
from b2d1.listing.listing import Listing
from b2d1.migrate import migrations
from b2d1.report import SyncReport
from b2d1.retry import Deadline, Retrying
from b2d1.settings import Settings
from b2d1.sync.steps import Job, sync
from sandbox.forwarder import Call, Deed

# The clients wait 30 to 60 s for an answer; where the fault is that none comes, this long. No server here
# takes a tenth of it.
TIME_OUT = 0.5
TIME_OUTS = ((b2, "READ_TIMEOUT"), (d1_api, "ANSWER_TIMEOUT"), (snapshot, "READ_TIMEOUT"))

KILLED = -9
# Far more than a run takes; one that hangs is not to hang the drill.
LONGEST_RUN = 120


class Run(NamedTuple):
    """What became of a run: its exit code, its report if it has one, its pauses (seconds) and its log."""

    exit_code: int
    report: SyncReport | None = None
    pauses: tuple[float, ...] = ()
    log: tuple[str, ...] = ()


def run(env: Mapping[str, str], while_asleep: Callable[[], object] = lambda: None) -> Run:
    """Do the whole job; a pause takes no time, but `while_asleep` is called."""
    now, pauses = 0.0, list[float]()

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        pauses.append(seconds)
        while_asleep()

    retrying = Retrying(Deadline(clock=lambda: now), sleep=sleep, random=lambda: 1.0)
    settings = Settings.from_env(env)
    assert settings.b2 is not None
    assert settings.d1 is not None
    with _log() as log:
        try:
            listing, database = Listing(Bucket(settings.b2, retrying)), Database(settings.d1, retrying)
            report = sync(listing, database, Job.of(settings), retrying)
        except B2D1Error as error:
            return Run(error.exit_code, None, tuple(pauses), (*log, f"{error} (hint: {error.hint})"))
    return Run(0, report, tuple(pauses), tuple(log))


def migrate(env: Mapping[str, str]) -> None:
    """Make the tables."""
    settings = Settings.from_env(env, b2=False).d1
    assert settings is not None
    database = Database(settings)
    database.resolve()
    for migration in migrations.pending(database, migrations.shipped()):
        migrations.apply(database, migration)


@contextlib.contextmanager
def impatience() -> Iterator[None]:
    """Shorten the clients' time-outs: the one thing in b2d1 that the drill alters."""
    with contextlib.ExitStack() as stack:
        for module, name in TIME_OUTS:
            stack.enter_context(mock.patch.object(module, name, TIME_OUT))
        yield


def run_and_kill(env: Mapping[str, str], cue: Callable[[Deed], object], *, acts: bool) -> Run:
    """Run `b2d1 sync` in a process of its own, and kill it at a request.

    `cue` is given what a forwarder is to do with that request; `acts` tells whether it takes effect first.
    """
    process: Future[subprocess.Popen[bytes]] = Future()

    def kill(call: Call) -> Response:
        if acts:
            call.pass_on()
        process.result().kill()
        process.result().wait()
        return call.drop()

    cue(kill)
    command = [str(Path(sys.executable).with_name("b2d1")), "sync", "--json"]
    nothing = subprocess.DEVNULL
    with subprocess.Popen(command, env=env, stdin=nothing, stdout=nothing, stderr=nothing) as victim:
        process.set_result(victim)
        return Run(victim.wait(LONGEST_RUN))


@contextlib.contextmanager
def haste() -> Iterator[None]:
    """Let botocore look for its descriptions of services once, and not for each client."""
    read, listed = functools.cache(JSONFileLoader().load_file), Loader.list_available_services
    services: dict[tuple[str, ...], Any] = {}

    def list_once(loader: Any, kind: str) -> Any:
        key = (kind, *loader.search_paths)
        if key not in services:
            services[key] = listed(loader, kind)
        return services[key]

    with (
        mock.patch.object(JSONFileLoader, "load_file", lambda _self, path: read(path)),
        mock.patch.object(Loader, "list_available_services", list_once),
    ):
        yield


@contextlib.contextmanager
def _log() -> Iterator[list[str]]:
    """Collect what b2d1 logs, instead of letting it be printed."""
    log: list[str] = []
    logger = logging.getLogger("b2d1")
    handler = logging.Handler()
    handler.emit = lambda record: log.append(record.getMessage())  # type: ignore[method-assign]
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield log
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
