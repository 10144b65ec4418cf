"""With little time left a run stops before a round, never inside one, and the next run goes on from there."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from conftest import Stack
from gate import Gate, Pass, Passage
from objects import Objects, numbered
from scripted_d1 import as_response, refused
from werkzeug.wrappers import Response

from b2d1.d1.database import Database
from b2d1.errors import OutOfTime
from b2d1.report import SyncReport
from b2d1.sync.rounds import LEAST_ROUND_SECONDS
from b2d1.sync.steps import Job, sync

ROUND = 10
OBJECTS = numbered(6 * ROUND)


@pytest.fixture
def gate(stack: Stack) -> Iterator[Gate]:
    """Put a gate before D1."""
    with Gate(stack.d1.url) as gate:
        stack.extra["CLOUDFLARE_API_BASE_URL"] = gate.url
        yield gate


def slow(stack: Stack, seconds: Callable[[int], float]) -> Pass:
    """Let time pass with each statement that inserts rows: the seconds of its round."""
    rounds = 0

    def let(passage: Passage) -> Response:
        nonlocal rounds
        if passage.step in {"insert", "publish"}:
            stack.time.now += seconds(rounds)
            rounds += 1
        return passage.take_effect()

    return let


def run(stack: Stack, seconds_left: float = float("inf"), *, most: int = ROUND) -> SyncReport:
    """Run the job, in rounds of `most` rows, with so many seconds left."""
    retrying = stack.time.retrying(seconds_left)
    database = Database(stack.settings.d1, retrying)  # type: ignore[arg-type]
    return sync(Objects(OBJECTS), database, Job(rows_per_publish=most), retrying)


@pytest.mark.parametrize(
    ("seconds_left", "seconds", "rounds", "said"),
    [
        pytest.param(
            LEAST_ROUND_SECONDS - 1,
            lambda _: 0.0,
            0,
            "writing: 44 s are left, and a round may take 45 s: nothing was written",
            id="less than any round is given",
        ),
        pytest.param(
            100,
            lambda _: 20.0,
            3,
            "writing: 40 s are left, and a round may take 45 s (",
            id="less than any round is given, after some",
        ),
        pytest.param(
            200,
            lambda _: 30.0,
            5,
            "writing: 50 s are left, and a round may take 60 s (",
            id="less than twice the longest so far",
        ),
        pytest.param(
            120,
            lambda number: [35.0, 10.0, 10.0][number],
            3,
            "writing: 65 s are left, and a round may take 70 s (",
            id="less than twice the longest, not the last",
        ),
    ],
)
def test_a_run_stops_before_a_round(
    stack: Stack,
    gate: Gate,
    *,
    seconds_left: float,
    seconds: Callable[[int], float],
    rounds: int,
    said: str,
) -> None:
    """Whole rounds are in and none in part; the error says how many, and what the next one was to have."""
    gate.let = slow(stack, seconds)

    with pytest.raises(OutOfTime) as stopped:
        run(stack, seconds_left)

    assert str(stopped.value)[: len(said)] == said
    assert stopped.value.hint.startswith("Run again: it goes on from here.")
    assert ("rows inserted" in str(stopped.value)) == (rounds > 0)
    assert [row[0] for row in stack.rows("b2_key")] == [media.key for media in OBJECTS[: rounds * ROUND]]

    gate.let = Passage.take_effect
    report = run(stack)

    assert (report.known, report.inserted) == (rounds * ROUND, (6 - rounds) * ROUND)
    assert len(stack.rows()) == len(OBJECTS)


@pytest.mark.parametrize(
    ("seconds_left", "seconds"),
    [
        pytest.param(float("inf"), 40.0, id="without a deadline"),
        pytest.param(5 * 30.0 + 61, 30.0, id="with just enough time"),
        pytest.param(LEAST_ROUND_SECONDS, 0.0, id="with no second more than a round is given"),
    ],
)
def test_a_run_that_can_end_ends(stack: Stack, gate: Gate, seconds_left: float, seconds: float) -> None:
    """Where the time is enough, or nothing hurries, every round is written."""
    gate.let = slow(stack, lambda _: seconds)

    assert run(stack, seconds_left).rounds == 6


def test_nothing_new_needs_no_time(stack: Stack) -> None:
    """A run that has nothing to write does not ask for the time of a round."""
    run(stack)

    assert run(stack, 5).known == len(OBJECTS)


def test_a_round_through_the_staging_table_is_no_exception(
    stack: Stack, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round of several chunks that was begun is staged, published, proven and cleared."""
    monkeypatch.setattr("b2d1.sync.plan.CHUNK_ROWS", 5)
    gate.let = slow(stack, lambda _: 30.0)

    with pytest.raises(OutOfTime, match="writing: 40 s are left, and a round may take 60 s"):
        run(stack, 100, most=2 * ROUND)

    assert gate.steps.count("publish") == 2
    assert len(stack.rows()) == 4 * ROUND
    with closing(stack.d1.connect()) as connection:
        assert connection.execute("SELECT count(*) FROM media_ingest_chunks").fetchone() == (0,)


def test_rows_in_doubt_are_not_denied(stack: Stack, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """D1 was reset as it published, and no time is left to try again: the error tells the doubt."""
    monkeypatch.setattr("b2d1.sync.plan.CHUNK_ROWS", 5)

    def let(passage: Passage) -> Response:
        if passage.step != "publish":
            return passage.take_effect()
        passage.take_effect()
        stack.time.now += 30.0
        return as_response(refused(7500, "D1 DB exceeded its CPU time limit and was reset."), 400)

    gate.let = let

    with pytest.raises(OutOfTime, match=r"may take 45 s \(the answer to an insert was lost") as stopped:
        run(stack, 60)

    assert "nothing was written" not in str(stopped.value)
    assert len(stack.rows()) == ROUND
