"""A part of the drill on Cloudflare's own engine; that the drill can fail; and kill -9 at every request."""

import dataclasses
import hashlib
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Response

from b2d1.d1.api import Api
from b2d1.errors import D1Error, SnapshotError
from b2d1.inventory import snapshot
from b2d1.report import SnapshotReport
from b2d1.retry import Retrying
from b2d1.sync.rounds import Rounds
from b2d1.table import staging
from b2d1.table.media_assets import MediaAssets
from bench.bucket import SyntheticBucket
from bench.list_server import ListServer
from bench.pages import MAX_KEYS
from drill.bucket import COLUMNS
from drill.cell import CELLS, ERRORS_OF_D1, QUICK, Cell
from drill.expected import KILLED
from drill.faults import FAULTS
from drill.matrix import account, matrix
from drill.rehearsal import Unrehearsed, rehearse
from drill.runs import haste, migrate, run, run_and_kill
from drill.scene import Scene
from drill.steps import STEPS
from drill.trial import Result, attempt
from sandbox.cloudflare import CloudflareD1
from sandbox.forwarder import FOR_EVER, Call, Deed, Forwarder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def scene(wrangler: Callable[[], CloudflareD1]) -> Iterator[Scene]:
    with haste(), Scene(wrangler()) as scene:
        yield scene


Tried = Callable[[Cell], list[str]]


@pytest.fixture(scope="module")
def tried(scene: Scene) -> Tried:
    """Rehearse; give a function that tries a cell and tells what is wrong."""
    rehearsal = rehearse(scene)
    return lambda cell: attempt(cell, scene, rehearsal).complaints


@pytest.mark.parametrize("cell", [pytest.param(cell, id=str(cell)) for cell in QUICK])
def test_a_fault_leaves_all_or_none_and_the_next_run_mends_it(cell: Cell, tried: Tried) -> None:
    """Whatever befalls a request, whole rounds are in, the exit code is right, and the next run completes."""
    assert tried(cell) == []


def test_the_drill_is_large_and_leaves_nothing_out() -> None:
    """There are many cells; every step and every fault has some, and the tests try some of each kind."""
    unlike_others = {fault for fault in FAULTS if fault.message in ERRORS_OF_D1}

    assert len(CELLS) > 1000
    assert {cell.step for cell in CELLS} == {cell.step for cell in QUICK} == set(STEPS)
    assert {cell.fault for cell in CELLS} == set(FAULTS)
    assert {cell.fault for cell in QUICK} == unlike_others


def named(name: str) -> Cell:
    """Find the cell of that name."""
    (cell,) = (cell for cell in CELLS if str(cell) == name)
    return cell


# What a client would be like that is broken in one way; each is told by what the drill then complains of.

REQUEST, ASKED_AGAIN, KEPT = Api.request, Retrying.call, snapshot.keep


def takes_a_504_for_success(patch: pytest.MonkeyPatch) -> None:
    def request(self: Api, *arguments: Any, **more: Any) -> Any:
        try:
            return REQUEST(self, *arguments, **more)
        except D1Error as error:
            if "504" not in str(error):
                raise
            return [{"success": True, "results": {"columns": [], "rows": []}, "meta": {}}]

    patch.setattr(Api, "request", request)


def does_not_count_the_chunks(patch: pytest.MonkeyPatch) -> None:
    takes_a_504_for_success(patch)
    patch.setattr(staging, "PUBLISH", staging.PUBLISH.replace("CAST(?4 AS INTEGER)", "count(*)"))


def never_doubts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(D1Error, "ambiguous", property(lambda _: False, lambda _, __: None))


def never_asks_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Retrying, "call", lambda _, attempt: attempt())


def hurries(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Retrying, "_pause", lambda _, __, ___: 0.1)


def forgets_its_chunks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Rounds, "_clear", lambda _, __: None)


def overlooks_a_lost_snapshot(patch: pytest.MonkeyPatch) -> None:
    def keep(
        document: Path, sha256: str, objects: int, uri: str, retrying: Retrying, **rest: str | None
    ) -> SnapshotReport:
        try:
            return KEPT(document, sha256, objects, uri, retrying, **rest)
        except SnapshotError:
            return SnapshotReport(uri, sha256, changed=True)

    patch.setattr(snapshot, "keep", keep)


@pytest.mark.parametrize(
    ("broken", "cell", "complaint"),
    [
        pytest.param(broken, cell, complaint, id=broken.__name__)
        for broken, cell, complaint in (
            (takes_a_504_for_success, "stage 2, 504, once", "the exit code is 4, not 0"),
            (does_not_count_the_chunks, "stage 2, 504, once", "the table holds "),
            (never_doubts, "publish, dropped after, once", "the report says confirmed True"),
            (never_asks_again, "ask, 503, once", "the exit code is 4, not 0"),
            (hurries, "check, 429 Retry-After, once", "the pauses were (0.1,), none of them 7 s"),
            (forgets_its_chunks, "look, 503, once", "2 chunks of it are left in media_ingest_chunks"),
            (overlooks_a_lost_snapshot, "snapshot PUT, 503, always", "the exit code is 0, not 1"),
        )
    ],
)
def test_a_broken_client_makes_the_cell_red(
    broken: Callable[[pytest.MonkeyPatch], None],
    cell: str,
    complaint: str,
    tried: Tried,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The drill is red for a client that is broken, and says what is wrong."""
    broken(monkeypatch)

    assert [each for each in tried(named(cell)) if each.startswith(complaint)]


def test_a_fault_that_is_not_met_makes_the_cell_red(tried: Tried) -> None:
    """A cell is not passed because nothing went wrong in it."""
    cell = named("ask, 503, once")
    never = cell._replace(step=dataclasses.replace(cell.step, pattern="SELECT what nobody asks"))

    assert tried(never)[0] == "0 of 0 requests met the fault"


def test_a_request_that_no_step_names_is_noticed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drill does not begin when a run makes other requests than those that it is to break."""
    look = MediaAssets.look

    def look_twice(self: MediaAssets) -> None:
        look(self)
        look(self)

    monkeypatch.setattr(MediaAssets, "look", look_twice)

    with pytest.raises(Unrehearsed, match=r"known:\nthe requests to D1 are .*'pragma_table_xinfo', 'pragma"):
        rehearse(scene)


def test_the_matrix_shows_what_is_red() -> None:
    """A cell shows the exit codes; a red one an exclamation mark, and is accounted for below."""
    once, always = named("resolve, 503, once"), named("resolve, 503, always")
    results = {once: Result(0, []), always: Result(None, ["one\ntwo", "three"])}

    lines = matrix(results).splitlines()

    assert lines[0].split() == [chr(ord("A") + place) for place in range(len(STEPS))]
    assert [line for line in lines if line.endswith(" 503")] == [
        " ".join(["0!", *[".."] * (len(STEPS) - 1), "503"])
    ]
    assert account(results).splitlines() == [
        "2 cells, 1 as they were to be, 1 red",
        "",
        "resolve, 503, always",
        "  one",
        "  two",
        "  three",
    ]


def test_the_command_prints_the_matrix_and_the_count() -> None:
    """`python -m drill` tries the cells that its words name, in processes of their own."""
    command = [sys.executable, "-m", "drill", "look, HTML"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line for line in lines if " 04 " in line] == [
        ".. 04 " + ".. " * (len(STEPS) - 2) + f"HTML under {status}" for status in (502, 200)
    ]
    assert "4 cells, 4 as they were to be, 0 red" in lines


# Two chunks, which make a round of staging and publishing.
OBJECTS = 5_500


def rows_of(bucket: SyntheticBucket) -> set[tuple[Any, ...]]:
    """Work out the rows of a bucket from nothing but what the table promises."""
    rows = set()
    for index in range(bucket.objects):
        key, etag = bucket.key(index), bucket.etag(index)
        uid = "b2_" + hashlib.sha256(f"{etag}:{key}".encode()).hexdigest()[:40]
        rows.add((uid, key, etag, bucket.size(index), etag))
    return rows


def at(number: int, fronts: Sequence[Forwarder]) -> Callable[[Deed], None]:
    """Give the cue for the request of that number, whichever server it is for."""
    numbers = itertools.count(1)

    def cue(kill: Deed) -> None:
        def deed(call: Call) -> Response:
            return kill(call) if next(numbers) == number else call.pass_on()

        for front in fronts:
            front.on("", deed, times=FOR_EVER)

    return cue


def test_killed_at_any_request_a_run_leaves_all_or_none(
    wrangler: Callable[[], CloudflareD1], tmp_path: Path
) -> None:
    """Killed before its first request or after any, all rows are in or none; then a run completes."""
    bucket = SyntheticBucket("ascii", OBJECTS)
    wanted, found = rows_of(bucket), []
    with ExitStack() as stack:
        stack.enter_context(haste())
        b2 = stack.enter_context(ListServer("ascii", OBJECTS))
        d1 = stack.enter_context(wrangler())
        fronts = [stack.enter_context(Forwarder(url)) for url in (b2.url, d1.url)]
        env = d1.settings() | {
            "B2_KEY_ID": "made-up",
            "B2_APP_KEY": "made-up",
            "B2_ENDPOINT": fronts[0].url,
            "B2_BUCKET": bucket.name,
            "B2_REGION": "x",
            "CLOUDFLARE_API_BASE_URL": fronts[1].url,
            "TMPDIR": str(tmp_path),
        }
        migrate(env)
        connection = d1.connect()
        for number in itertools.count():
            connection.execute("DELETE FROM media_assets")
            killed = run_and_kill(env, at(max(number, 1), fronts), acts=number > 0)
            if killed.exit_code != KILLED:
                break
            found.append(connection.execute("SELECT count(*) FROM media_assets")[0][0])
            for front in fronts:
                front.behave()
            report = run(env).report
            assert report is not None
            assert (number, report.inserted, report.missing_after) == (number, OBJECTS - found[-1], 0)
            rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM media_assets")
            assert (number, len(rows), set(rows) == wanted) == (number, OBJECTS, True)

    assert killed.exit_code == 0
    # Before the first; then list pages and the requests up to the publishing; then that and those after it.
    assert found == [0] * found.count(0) + [OBJECTS] * found.count(OBJECTS)
    assert found.count(0) > OBJECTS / MAX_KEYS
    assert found.count(OBJECTS) > 1
