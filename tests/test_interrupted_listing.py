"""A listing that ends before its time ends at once: nothing is waited for, no thread and no file is left."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import pytest
from conftest import FakeTime, Stack
from key_host import PATIENCE, Honest, KeyHost, Meeting, comes_after, numbered, refusal
from listings import new_bucket, threads_left
from pages import Answer, Asked, PageServer

from b2d1.b2.bucket import Bucket
from b2d1.errors import B2D1Error, B2Error, OutOfTime
from b2d1.listing.listing import UNKNOWN_PAGES, Listing
from b2d1.media import ListMode
from b2d1.retry import Retrying

MODES: list[ListMode] = ["objects", "versions"]
ROWS = numbered(200)
# Where the second to the fourth of four ranges begin.
POINTS = ["k00050", "k00100", "k00150"]


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer() as server:
        yield server


@pytest.fixture(autouse=True)
def every_point_divides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a range of every point, and ask for no others."""
    monkeypatch.setattr("b2d1.listing.listing.KEYS_A_WORKER", 0)
    monkeypatch.setattr("b2d1.listing.ranges.WORTH_HALVING", 0.001)


class HangingHost(KeyHost):
    """Answers no request of the four ranges but the one that begins at `but`, and that one by `deed`.

    It does that when all four are under way. Those who wait are let go at the end of the `with`.
    """

    def __init__(
        self, deed: Callable[[], Answer | None], mode: ListMode = "objects", but: str = POINTS[1]
    ) -> None:
        super().__init__(ROWS, mode, size=5)
        self.released = threading.Event()
        self.waited_too_long = False
        self.conduct = self._hang
        self._deed = deed
        self._but = but
        self._all_there = Meeting(len(POINTS) + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()

    def _hang(self, asked: Asked, answer: Honest) -> Answer:
        if len(self.asked) <= 3:
            return answer(asked)
        self._all_there()
        done = self._deed() if comes_after(asked) == self._but else None
        if done is None:
            self.waited_too_long |= not self.released.wait(PATIENCE)
        return done or answer(asked)


def go_through(bucket: Bucket) -> None:
    with closing(Listing(bucket).batches(lambda: POINTS)) as batches:
        for _ in batches:
            pass


@contextmanager
def log_told(part: str) -> Iterator[threading.Event]:
    """Provide an event that comes when the core logs a line with this in it."""
    told = threading.Event()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if part in record.getMessage():
                told.set()

    watch = Watch()
    logging.getLogger("b2d1").addHandler(watch)
    yield told
    logging.getLogger("b2d1").removeHandler(watch)


def one_page() -> Answer:
    """Answer honestly to the range that begins at the second point."""
    return KeyHost(ROWS, size=5)(Asked("GET", "/", {"start-after": POINTS[1]}, {}))


@pytest.mark.parametrize("mode", MODES)
def test_the_error_of_one_range_stops_the_others_at_once(
    server: PageServer, caplog: pytest.LogCaptureFixture, mode: ListMode
) -> None:
    """A refusal in one range is the error reported, though the others wait for answers that never come."""
    with HangingHost(lambda: refusal(403, "AccessDenied"), mode) as host:
        bucket = new_bucket(server, host, mode, retrying=Retrying())
        with pytest.raises(B2Error) as caught:
            go_through(bucket)

        assert str(caught.value) == "listing bucket photos: B2 answered 403 AccessDenied: said so"
        assert (threads_left(), host.waited_too_long, len(host.asked)) == ([], False, 7)
        assert caplog.messages == []


def test_a_pause_between_two_tries_is_cut_short(server: PageServer) -> None:
    """A range that waits out a Retry-After is woken when another fails, and tries no more."""
    with log_told("trying again") as pausing:

        def fail() -> Answer:
            assert pausing.wait(PATIENCE)
            return refusal(403, "AccessDenied")

        def busy(asked: Asked, answer: Honest) -> Answer:
            if comes_after(asked) == POINTS[2]:
                return refusal(503, "SlowDown", Retry_After="25")
            return hang(asked, answer)

        with HangingHost(fail) as host:
            hang, host.conduct = host.conduct, busy
            host._all_there = Meeting(len(POINTS))
            with pytest.raises(B2Error, match="403 AccessDenied"):
                go_through(new_bucket(server, host, retrying=Retrying()))

            assert (threads_left(), host.waited_too_long) == ([], False)
            assert [comes_after(asked) for asked in host.asked].count(POINTS[2]) == 1


@pytest.mark.parametrize(
    ("told", "error", "message"),
    [
        pytest.param(None, OutOfTime, "no time is left before the deadline", id="between two pages"),
        pytest.param(
            refusal(503, "SlowDown", Retry_After="30"),
            B2Error,
            r"B2 answered 503 SlowDown: said so \(gave up: the next try is due in 30.0 s, 20.0 s are left\)",
            id="before a pause",
        ),
    ],
)
def test_the_deadline_ends_every_range(
    server: PageServer, fake_time: FakeTime, told: Answer | None, error: type[B2D1Error], message: str
) -> None:
    """When time is up for one range it is up for all, whatever they wait for."""

    def deed() -> Answer:
        if told:
            return told
        fake_time.now += 1000
        return one_page()

    with HangingHost(deed) as host:
        bucket = new_bucket(server, host, retrying=fake_time.retrying(seconds=20))
        with pytest.raises(error, match=f"{message}$"):
            go_through(bucket)

        assert (threads_left(), host.waited_too_long, fake_time.pauses) == ([], False, [])


@pytest.mark.parametrize(
    "reason", [GeneratorExit, KeyboardInterrupt, ValueError], ids=lambda reason: str(reason.__name__)
)
def test_leaving_a_listing_early_ends_its_threads(server: PageServer, reason: type[BaseException]) -> None:
    """Whoever leaves amid a page of one range, closing the listing, leaves no thread of the others."""

    def leave() -> None:
        with closing(Listing(new_bucket(server, host)).batches(lambda: POINTS)) as batches:
            for batch in batches:
                if batch.part:
                    raise reason

    with HangingHost(one_page) as host:
        with pytest.raises(reason):
            leave()

        assert (threads_left(), host.waited_too_long) == ([], False)


def test_an_interruption_reaches_who_waits_for_the_ranges(server: PageServer) -> None:
    """Ctrl-C while nothing comes from any range ends them all."""

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with HangingHost(interrupt) as host:
        bucket = new_bucket(server, host)
        with pytest.raises(KeyboardInterrupt):
            go_through(bucket)

        assert (threads_left(), host.waited_too_long) == ([], False)


def test_a_bucket_that_was_halted_asks_nothing_any_more(server: PageServer) -> None:
    """After a halt no request is begun."""
    host = KeyHost(ROWS)
    bucket = new_bucket(server, host)
    bucket.halt()

    with pytest.raises(B2Error, match=r"^listing bucket photos: it was stopped$"):
        bucket.page({})

    assert host.asked == []


PROGRAM = [sys.executable, "-c", "from b2d1.cli.commands import main; main()"]


@pytest.mark.parametrize("held", ["folders", "ranges"])
@pytest.mark.parametrize("command", ["inventory", "sync"])
def test_ctrl_c_ends_a_listing_in_ranges(
    server: PageServer, stack: Stack, tmp_path: Path, *, command: str, held: str
) -> None:
    """Ctrl-C amid requests of many threads: two lines, exit 1, and no file of the run is left."""
    host, released = KeyHost(numbered(400, "IMG_{:03}")[1:], size=10), threading.Event()
    under_way = Meeting(1 if held == "folders" else 2)

    def hang(asked: Asked, answer: Honest) -> Answer:
        if len(host.asked) > UNKNOWN_PAGES and (
            held == "folders" or not asked.query.keys() & {"delimiter", "max-keys"}
        ):
            under_way()
            released.wait(PATIENCE)
        return answer(asked)

    host.conduct = hang
    server.answer(host)
    env = stack.env | {"B2_ENDPOINT": server.url, "B2_BUCKET": "photos", "TMPDIR": str(tmp_path)}
    env |= {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    pipe = subprocess.PIPE
    with subprocess.Popen([*PROGRAM, command], env=env, stdout=pipe, stderr=pipe) as process:
        try:
            assert under_way.met.wait(PATIENCE)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=PATIENCE)
        finally:
            released.set()
            process.kill()

    assert process.returncode == 1
    assert [line for line in stderr.decode().splitlines() if not line.startswith("INFO: run ")] == [
        "b2d1: interrupted",
        "hint: Run again: nothing is half done.",
    ]
    assert [path.name for path in tmp_path.glob("b2d1-*")] == []


def test_the_next_run_removes_the_files_of_a_killed_one(
    server: PageServer, stack: Stack, tmp_path: Path
) -> None:
    """A run that SIGKILL ends leaves a folder; the next one removes it, but no folder of another program."""
    host, under_way, released = KeyHost(numbered(400), size=10), Meeting(1), threading.Event()

    def hang(asked: Asked, answer: Honest) -> Answer:
        if len(host.asked) > UNKNOWN_PAGES:
            under_way()
            released.wait(PATIENCE)
        return answer(asked)

    host.conduct = hang
    server.answer(host)
    (tmp_path / "b2d1-lab").mkdir()
    env = stack.env | {"B2_ENDPOINT": server.url, "B2_BUCKET": "photos", "TMPDIR": str(tmp_path)}
    env |= {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = [*PROGRAM, "inventory"]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as process:
        try:
            assert under_way.met.wait(PATIENCE)
        finally:
            process.kill()
            released.set()
    assert len(list(tmp_path.glob("b2d1-*"))) == 2

    ended = subprocess.run(command, env=env, stdout=subprocess.DEVNULL, timeout=PATIENCE, check=False)

    assert (ended.returncode, [path.name for path in tmp_path.glob("b2d1-*")]) == (0, ["b2d1-lab"])
