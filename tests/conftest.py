"""What the tests share: the embedded bucket and database, a clock that never waits, and no other network."""

import contextlib
import dataclasses
import functools
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from botocore.loaders import JSONFileLoader, Loader
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, settings

from b2d1.b2.bucket import Bucket
from b2d1.cli.commands import main
from b2d1.d1.database import Database
from b2d1.listing.listing import Listing
from b2d1.migrate import migrations
from b2d1.report import SyncReport
from b2d1.retry import Deadline, Retrying
from b2d1.settings import Settings
from b2d1.sync.steps import Job, sync
from sandbox.b2 import EmbeddedB2
from sandbox.cloudflare import CloudflareD1
from sandbox.d1 import EmbeddedD1
from sandbox.wrangler import Wrangler, databases

ROOT = Path(__file__).parents[1]
# The same account in front of two engines.
AnyD1 = EmbeddedD1 | CloudflareD1

# A shell starts what it puts into the background with SIGINT ignored, and every child would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# `--hypothesis-profile ci` selects a profile by hand. A test whose examples are slow runs a quarter of them.
# There is no time limit, because the machine may be busy.
unlimited = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=40, **unlimited)
settings.register_profile("ci", max_examples=200, print_blob=True, **unlimited)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")

# Each boto3 client reads a folder of services and 1 MB of JSON about S3, which takes 0.15 s of CPU.
# The tests of a process read them once.
load_file = functools.cache(functools.partial(JSONFileLoader.load_file, JSONFileLoader()))
JSONFileLoader.load_file = lambda _self, path: load_file(path)  # type: ignore[method-assign]


@functools.cache
def available_services(folders: tuple[str, ...], type_name: str) -> list[str]:
    """Return the services that botocore describes in the folders."""
    return list_available_services(Loader(folders, include_default_search_paths=False), type_name)


list_available_services = Loader.list_available_services
Loader.list_available_services = lambda self, type_name: available_services(  # type: ignore[method-assign]
    tuple(self.search_paths), type_name
)


# A test that uses one of these is slow, and so is one that starts a program. `make test-fast` skips both.
SLOW_FIXTURES = {"b2", "d1", "module_d1", "package", "wrangler"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests whose fixtures are slow."""
    for item in items:
        if SLOW_FIXTURES & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def only_slow_tests_start_programs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that starts a program and is not marked slow."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a test that starts a program needs @pytest.mark.slow")

    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(subprocess.Popen, "__init__", refuse)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Escape lone surrogates in a report, which a worker of pytest-xdist could not send."""
    return without_surrogates((yield))


def without_surrogates(value: Any) -> Any:
    """Return JSON-like data with every lone surrogate escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {name: without_surrogates(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_surrogates(each) for each in value]
    return value


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1"}:
            raise AssertionError(f"a test reached out to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def quiet_logger() -> Iterator[None]:
    """Give each test the core's logger as a library has it, whatever a run of the runner made of it."""
    logger = logging.getLogger("b2d1")
    yield
    logger.handlers = []
    logger.setLevel(logging.NOTSET)


@dataclasses.dataclass
class FakeTime:
    """A clock that only `sleep` moves, and that remembers each pause."""

    now: float = 1000.0
    pauses: list[float] = dataclasses.field(default_factory=list)

    def clock(self) -> float:
        """Tell the time (seconds)."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.pauses.append(seconds)
        self.now += seconds

    def retrying(self, seconds: float = float("inf"), attempts: int = 8) -> Retrying:
        """Make a Retrying on this clock, with so many seconds left and every pause as long as it may be."""
        deadline = Deadline(self.now + seconds, self.clock)
        return Retrying(deadline, attempts, self.sleep, random=lambda: 1.0)


@pytest.fixture
def fake_time() -> FakeTime:
    """Provide a clock of the test's own."""
    return FakeTime()


@pytest.fixture
def b2() -> Iterator[EmbeddedB2]:
    """Run an embedded B2 with an empty bucket."""
    with EmbeddedB2(fill=False) as server:
        yield server


# What these modules state of D1 is tested on Cloudflare's own engine.
ON_CLOUDFLARES_ENGINE = {
    *("test_doctor_d1", "test_guards", "test_media_assets", "test_migrations", "test_stored_rows"),
    *("test_schema", "test_sync", "test_verify"),
}
# More than there are tests on the engine; each of them takes one, and none is used twice.
EMPTY_DATABASES = 1500


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of some modules that takes `d1` on Cloudflare's engine."""
    if metafunc.module.__name__ in ON_CLOUDFLARES_ENGINE:
        for fixture in {"d1", "module_d1"} & set(metafunc.fixturenames):
            scope = "module" if fixture == "module_d1" else "function"
            metafunc.parametrize(fixture, ["engine"], indirect=True, scope=scope)


@pytest.fixture(scope="session")
def wrangler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], CloudflareD1]]:
    """Run Cloudflare's own D1 engine; each call gives access to another database, which is empty."""
    with Wrangler(tmp_path_factory.mktemp("wrangler"), databases(EMPTY_DATABASES)) as wrangler:
        unused = iter(wrangler.databases)
        yield lambda: CloudflareD1(wrangler, next(unused))


@contextlib.contextmanager
def open_d1(request: pytest.FixtureRequest, folder: Path) -> Iterator[AnyD1]:
    """Open an empty database on the engine that the test's parameter names, by default the embedded one."""
    if getattr(request, "param", "embedded") == "embedded":
        with EmbeddedD1(folder / "d1.sqlite3") as embedded:
            yield embedded
    else:
        # Only here, so that wrangler is not started where nothing needs it.
        with request.getfixturevalue("wrangler")() as engine:
            yield engine


@pytest.fixture
def d1(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyD1]:
    """Run D1 with an empty database."""
    with open_d1(request, tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def module_d1(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyD1]:
    """Run D1 with one database for all tests of a module."""
    with open_d1(request, tmp_path_factory.mktemp("d1")) as server:
        yield server


@dataclasses.dataclass
class Stack:
    """Both servers, and what it takes to run b2d1 against them."""

    b2: EmbeddedB2
    d1: AnyD1
    time: FakeTime
    extra: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """Return the settings, as an environment."""
        return self.b2.settings() | self.d1.settings() | self.extra

    @property
    def settings(self) -> Settings:
        """Return the settings, read."""
        return Settings.from_env(self.env)

    def database(self) -> Database:
        """Make a client of the database, resolved."""
        database = Database(self.settings.d1, self.time.retrying())  # type: ignore[arg-type]
        database.resolve()
        return database

    def listing(self) -> Listing:
        """Make a listing of the bucket."""
        return Listing(Bucket(self.settings.b2, self.time.retrying()))  # type: ignore[arg-type]

    def migrate(self) -> None:
        """Bring the database's tables up to date."""
        database = self.database()
        for migration in migrations.pending(database, migrations.shipped()):
            migrations.apply(database, migration)

    def sync(self, **job: Any) -> SyncReport:
        """Run the whole job; keyword arguments are those of Job.of."""
        settings = self.settings
        database = Database(settings.d1, self.time.retrying())  # type: ignore[arg-type]
        return sync(self.listing(), database, Job.of(settings, **job), self.time.retrying())

    def rows(self, columns: str = "b2_key, b2_file_id, size, etag, media_uid") -> list[tuple[Any, ...]]:
        """Read the table behind the server's back."""
        with contextlib.closing(self.d1.connect()) as connection:
            return connection.execute(f"SELECT {columns} FROM media_assets ORDER BY id").fetchall()


@pytest.fixture
def stack(b2: EmbeddedB2, d1: AnyD1, fake_time: FakeTime) -> Stack:
    """Provide both servers, the table migrated, and nothing in bucket or table."""
    stack = Stack(b2, d1, fake_time)
    stack.migrate()
    d1.statements.clear()
    d1.requests.clear()
    b2.requests.clear()
    return stack


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the function's package, once."""
    folder = tmp_path_factory.mktemp("package") / "function"
    subprocess.run([sys.executable, "-m", "bundle", folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture
def b2d1(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command of the runner as a terminal would: `b2d1("sync", "--json", env={...})`."""

    def run(*arguments: str, env: dict[str, str] | None = None, stdin: bytes | str | None = None) -> Result:
        from b2d1.settings import NAMES

        for name in (*NAMES, "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        return CliRunner().invoke(main, arguments, env=env or {}, input=stdin, catch_exceptions=False)

    return run
