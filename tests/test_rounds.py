"""Writing in rounds, through `sync`, on Cloudflare's engine: each all or none, whatever breaks in between."""

import dataclasses
import itertools
import json
import logging
import math
import random
import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from conftest import FakeTime, Stack
from gate import Gate, Lost, Pass, Passage
from objects import ROWS, NoBucket, Objects, as_row, execute, fill, numbered, run
from scripted_d1 import refused
from werkzeug.wrappers import Response

from b2d1 import errors
from b2d1.d1.database import Database
from b2d1.errors import D1Error, GuardRefusal, OutOfTime
from b2d1.media import Batch, MediaObject
from b2d1.report import SyncReport
from b2d1.sync import plan, round_size
from b2d1.sync.steps import Job, sync
from b2d1.table import guards
from b2d1.table.media_assets import COUNT_MISSING
from b2d1.table.staging import CHECK, STAGE

on_the_real_engine = pytest.mark.parametrize("d1", ["engine"], indirect=True)

# Long enough for chunks to be full at 900 kB before they are at 5,000 rows, as real keys are.
WIDTH = 60


def staged(stack: Stack) -> int:
    """Count the chunks that lie in the database, behind the server's back."""
    with closing(stack.d1.connect()) as connection:
        return int(connection.execute("SELECT count(*) FROM media_ingest_chunks").fetchall()[0][0])


def plan_bytes(objects: list[MediaObject]) -> int:
    """Count the bytes of the rows as they are sent, each with a separator."""
    rows = (json.dumps(as_row(media), ensure_ascii=False, separators=(",", ":")) for media in objects)
    return sum(len(row.encode()) + 2 for row in rows)


def most_requests(report: SyncReport, objects: list[MediaObject]) -> int:
    """Tell how many requests a run may need: n counts what is listed, the bytes are those of the new rows."""
    asked, sent = math.ceil(report.discovered / 20_000), math.ceil(plan_bytes(objects) / 900_000)
    return asked + sent + 3 * report.rounds + 10


@pytest.fixture
def b2() -> NoBucket:
    """Take the place of a bucket: the objects come from elsewhere."""
    return NoBucket()


@pytest.fixture
def gate(stack: Stack) -> Iterator[Gate]:
    """Put a gate between the stack and its database."""
    with Gate(stack.d1.url) as gate:
        stack.extra["CLOUDFLARE_API_BASE_URL"] = gate.url
        yield gate


@pytest.fixture
def two_rows_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a chunk be full with two rows, so that a few objects make several chunks and rounds."""
    monkeypatch.setattr(plan, "CHUNK_ROWS", 2)


@on_the_real_engine
class TestManyRows:
    """Runs with more rows than one statement takes, at the real limits."""

    @pytest.mark.parametrize(
        ("count", "rows_per_publish", "rounds"),
        [
            pytest.param(12_000, 100_000, 1, id="one round"),
            pytest.param(12_000, 10_000, 2, id="a staged round and a direct one"),
            pytest.param(12_000, 6_000, 3, id="a chunk a round"),
            pytest.param(12_000, 5_000, 3, id="as many as a chunk"),
            pytest.param(12_000, 1_000, 12, id="less than a chunk"),
            pytest.param(7, 1, 7, id="a row a round"),
        ],
    )
    def test_all_rows_get_in_by_rounds(
        self, stack: Stack, count: int, rows_per_publish: int, rounds: int
    ) -> None:
        """Every row is there in the order of the listing, within the requests and rows written promised."""
        objects = numbered(count, width=WIDTH)
        report, _ = run(stack, Objects(objects), rows_per_publish=rows_per_publish)
        assert (report.rounds, report.new, report.inserted, report.checked) == (rounds, *[count] * 3)
        assert (report.confirmed, report.missing_after, report.changed_db) == (True, 0, True)
        assert stack.rows(ROWS) == [as_row(media) for media in objects]
        assert report.d1_requests == len(stack.d1.requests) <= most_requests(report, objects)
        chunks = sum(sql == STAGE for sql in stack.d1.statements)
        # A row and its two indexes, the counter of the ids in each round, a chunk put down and taken away.
        assert report.rows_written == 3 * count + rounds + 2 * chunks
        assert report.rows_written <= 3.01 * count or count < 1000
        assert staged(stack) == 0

    def test_a_round_goes_by_the_order_promised(self, stack: Stack, gate: Gate) -> None:
        """Stage, publish, check, clear; then the next; and a round of one chunk is an insert, guarded."""
        run(stack, Objects(numbered(22_000, width=WIDTH)), rows_per_publish=10_000)
        head = ["resolve", "look", "ask", "ask", "forms", "rows", "bookmark", "sweep"]
        staged_round = ["stage", "stage", "publish", "check", "clear"]
        assert gate.steps == head + 2 * staged_round + ["insert", "prove"]

    def test_the_rest_of_a_load_comes_with_the_next_runs(self, stack: Stack) -> None:
        """With MAX_NEW_PER_RUN each run inserts so many, in several chunks, until nothing is deferred."""
        objects = numbered(20_000, width=WIDTH)
        figures = []
        for _ in range(5):
            report, _ = run(stack, Objects(objects), max_new=6_500, rows_per_publish=100_000)
            figures.append((report.known, report.inserted, report.deferred, report.rounds))
            in_so_far = report.known + report.inserted
            assert stack.rows(ROWS) == [as_row(media) for media in objects[:in_so_far]]
        assert figures == [
            (0, 6_500, 13_500, 1),
            (6_500, 6_500, 7_000, 1),
            (13_000, 6_500, 500, 1),
            (19_500, 500, 0, 1),
            (20_000, 0, 0, 0),
        ]
        assert (report.rows_written, report.changed_db, report.bookmark) == (0, False, None)
        assert staged(stack) == 0


class Numbered(Objects):
    """A source of so many numbered objects, which are made as they are asked for."""

    def __init__(self, count: int) -> None:
        super().__init__([])
        self._count = count

    def batches(self, _known_keys: Callable[[], list[str]]) -> Generator[Batch]:
        for start in range(0, self._count, 1000):
            self.discovered += 1000
            yield Batch("", numbered(1000, start, WIDTH), [])


@on_the_real_engine
def test_a_quarter_of_a_million_rows(stack: Stack) -> None:
    """On Cloudflare's engine 250,000 rows get in, in at least three rounds, within the requests promised."""
    report, _ = run(stack, Numbered(250_000))
    assert (report.inserted, report.checked, report.missing_after) == (250_000, 250_000, 0)
    assert report.rounds >= 3  # more where the engine was slow
    weight = 0
    with closing(stack.d1.connect()) as connection:
        for start in range(0, 250_000, 10_000):
            page = f"SELECT {ROWS} FROM media_assets WHERE id > {start} ORDER BY id LIMIT 10000"
            objects = numbered(10_000, start, WIDTH)
            assert connection.execute(page).fetchall() == [as_row(media) for media in objects]
            weight += plan_bytes(objects)
        ((count,),) = connection.execute("SELECT count(*) FROM media_assets").fetchall()
    assert (count, staged(stack)) == (250_000, 0)
    assert report.d1_requests == len(stack.d1.requests)
    assert (
        report.d1_requests
        <= math.ceil(250_000 / 20_000) + math.ceil(weight / 900_000) + 3 * report.rounds + 10
    )
    assert report.rows_written <= 3.01 * 250_000


def beside(stack: Stack) -> Stack:
    """Make another client of the same database, past any gate."""
    return dataclasses.replace(stack, extra={})


# Ten objects, with two rows a chunk and four rows a round: two staged rounds, then a direct one.
TEN = numbered(10)
ROWS_OF_TEN = [as_row(media) for media in TEN]
HEAD = ["resolve", "look", "ask", "forms", "rows", "bookmark", "sweep"]
STAGED_ROUND = ["stage", "stage", "publish", "check", "clear"]
DIRECT_ROUND = ["insert", "prove"]


def ten(stack: Stack, **job: Any) -> SyncReport:
    """Run with the ten objects."""
    return run(stack, Objects(TEN), **{"rows_per_publish": 4} | job)[0]


def told(inserted: int, proven: int, rounds: int) -> str:
    """Write what an error says of the rounds before it."""
    if not rounds:
        return ""
    by = "1 round" if rounds == 1 else f"{rounds:,} rounds"
    return f" (D1 confirmed {inserted:,} rows inserted; {proven:,} are proven to be in, by {by})"


def at(step: str, act: Pass, *, number: int = 1, times: int = 1) -> Pass:
    """Let `act` see to this step's requests, from the given one on, so many times; the others pass."""
    seen = itertools.count(1)

    def let(passage: Passage) -> Response:
        mine = passage.step == step and number <= next(seen) < number + times
        return act(passage) if mine else passage.take_effect()

    return let


def first(action: Callable[[], object]) -> Pass:
    """Do something, then let the request take effect."""

    def act(passage: Passage) -> Response:
        action()
        return passage.take_effect()

    return act


def no_answer(passage: Passage) -> Response:
    """Lose the request."""
    raise Lost


def no_answer_after_the_effect(passage: Passage) -> Response:
    """Lose the answer."""
    passage.take_effect()
    raise Lost


def refusal(message: str, *, after_the_effect: bool = False) -> Pass:
    """Refuse as D1 does, with a message under HTTP 400."""

    def act(passage: Passage) -> Response:
        if after_the_effect:
            assert passage.take_effect().status_code == 200
        return Response(json.dumps(refused(7500, message)), 400, content_type="application/json")

    return act


@on_the_real_engine
@pytest.mark.usefixtures("two_rows_a_chunk")
class TestProgress:
    """What is told on the way."""

    def test_each_chunk_sent_is_told(self, stack: Stack) -> None:
        """Whoever shows progress gets the rows sent so far, of all that are to be sent."""
        told: list[tuple[int, int]] = []
        database = Database(stack.settings.d1, stack.time.retrying())  # type: ignore[arg-type]
        job = Job(rows_per_publish=4, max_new=9)
        sync(
            Objects(TEN), database, job, stack.time.retrying(), writing=lambda *figures: told.append(figures)
        )
        assert told == [(2, 9), (4, 9), (6, 9), (8, 9), (9, 9)]

    def test_each_round_is_logged(self, stack: Stack, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        """A line for each round tells its rows, and how many of them this run, not another, inserted."""
        between = first(lambda: fill(stack.d1, ROWS_OF_TEN[4:7]))
        gate.let = at("publish", between, number=2)
        with caplog.at_level(logging.INFO, "b2d1"):
            ten(stack)
        assert [record.getMessage() for record in caplog.records][1:] == [
            "round 1: 4 rows, 4 of them inserted by this run, 0 missing",
            "round 2: 4 rows, 1 of them inserted by this run, 0 missing",
            "round 3: 2 rows, 2 of them inserted by this run, 0 missing",
        ]

    def test_what_is_swept_is_logged(self, stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
        """A run that finds chunks of a dead one says how many they were."""
        dead = "INSERT INTO media_ingest_chunks VALUES ('dead', {}, '[]', '2026-01-01 00:00:00')"
        execute(stack.d1, ";".join(map(dead.format, range(3))))
        with caplog.at_level(logging.INFO, "b2d1"):
            ten(stack)
        assert "swept 3 chunks that a dead run left behind" in caplog.messages


@on_the_real_engine
@pytest.mark.usefixtures("two_rows_a_chunk")
class TestGuards:
    """The same content never gets a second identity, at any size, and the guard is not paid for twice."""

    def test_a_table_of_the_usual_form_is_not_sent_everything_twice(self, stack: Stack, gate: Gate) -> None:
        """Where no stored row has another form, no chunk is sent for the guard: publishing guards itself."""
        fill(stack.d1, ROWS_OF_TEN[:1])
        assert ten(stack, rows_per_publish=100).inserted == 9
        assert gate.steps == [*HEAD[:4], *HEAD[5:], *["stage"] * 5, "publish", "check", "clear"]

    def test_a_row_of_another_form_elsewhere_is_no_obstacle(self, stack: Stack, gate: Gate) -> None:
        """Where a stored row has another form, every chunk is compared first, and then goes in."""
        fill(stack.d1, [("b2_x", "another key", "bare", 1, "bare")])
        assert ten(stack, adopt=True).inserted == 10
        assert gate.steps == [
            *(*HEAD[:4], *["identity"] * 5, *HEAD[5:]),
            *(*STAGED_ROUND, *STAGED_ROUND, *DIRECT_ROUND),
        ]

    def test_another_form_of_the_same_content_is_refused_before_anything_is_staged(
        self, stack: Stack, gate: Gate
    ) -> None:
        """A row of the last chunk that is in under the uid of a bare ETag: exit 5, and not one write."""
        bare = TEN[9]._replace(file_id=TEN[9].etag.strip('"'))  # type: ignore[union-attr]
        fill(stack.d1, [as_row(bare)])
        with pytest.raises(GuardRefusal, match=r"^1 new rows are objects") as refusal:
            ten(stack)
        assert (refusal.value.exit_code, "(D1 confirmed" in str(refusal.value)) == (5, False)
        assert gate.steps == [*HEAD[:4], *["identity"] * 5]
        assert (stack.rows(ROWS), staged(stack)) == ([as_row(bare)], 0)

    def test_new_rows_of_another_form_are_refused_before_anything_is_staged(
        self, stack: Stack, gate: Gate
    ) -> None:
        """A new row with a bare ETag, whose content is in under the usual uid: exit 5, and not one write."""
        bare = TEN[9]._replace(file_id=TEN[9].file_id.strip('"'))
        fill(stack.d1, [ROWS_OF_TEN[9]])
        with pytest.raises(GuardRefusal, match=r"^1 new rows are objects") as refusal:
            run(stack, Objects([*TEN[:9], bare]), rows_per_publish=4)
        assert (refusal.value.exit_code, "make it again" in refusal.value.hint) == (5, True)
        assert gate.steps == ["resolve", "look", "ask", *["identity"] * 5]
        assert (stack.rows(ROWS), staged(stack)) == ([ROWS_OF_TEN[9]], 0)

    @pytest.mark.parametrize(
        ("tampered", "inside"),
        [
            pytest.param(3, 0, id="in the first round"),
            pytest.param(7, 4, id="in the second round"),
            pytest.param(9, 8, id="in the round of one chunk"),
        ],
    )
    def test_a_stored_uid_that_was_tampered_with_keeps_the_round_out(
        self, stack: Stack, tampered: int, inside: int
    ) -> None:
        """A row of the usual form under another uid: exit 5, nothing of its round in, nothing left staged."""
        stored = ("b2_tampered", *ROWS_OF_TEN[tampered][1:])
        fill(stack.d1, [stored])
        with pytest.raises(GuardRefusal, match=r"^1 new rows are objects") as refusal:
            ten(stack)
        assert (refusal.value.exit_code, told(inside, inside, inside // 4) in str(refusal.value)) == (5, True)
        assert ("(D1 confirmed" in str(refusal.value)) == (inside > 0)
        assert (stack.rows(ROWS), staged(stack)) == ([stored, *ROWS_OF_TEN[:inside]], 0)
        assert stack.time.pauses == []  # what is refused is not waited for

    def test_a_guard_is_told_also_when_an_answer_was_lost(self, stack: Stack, gate: Gate) -> None:
        """A publish that was sent twice, and that the guard kept out both times, is exit 5 too."""
        fill(stack.d1, [("b2_tampered", *ROWS_OF_TEN[0][1:])])
        gate.let = at("publish", no_answer_after_the_effect)
        with pytest.raises(GuardRefusal, match=r"^1 new rows are objects"):
            ten(stack)
        assert (len(stack.rows()), staged(stack)) == (1, 0)


@on_the_real_engine
@pytest.mark.usefixtures("two_rows_a_chunk")
class TestFailures:
    """What fails beside the write is a warning; what fails in it tells what is in."""

    @pytest.mark.parametrize(
        ("step", "fault", "left"),
        [
            pytest.param("clear", no_answer, 4, id="no answer to clear"),
            pytest.param("clear", refusal("no"), 4, id="clear refused"),
            pytest.param("sweep", no_answer, 0, id="no answer to sweep"),
            pytest.param("sweep", refusal("no"), 0, id="sweep refused"),
        ],
    )
    def test_what_cannot_be_tidied_up_is_a_warning(
        self, stack: Stack, gate: Gate, caplog: pytest.LogCaptureFixture, *, step: str, fault: Pass, left: int
    ) -> None:
        """A clearing or a sweep that fails leaves chunks behind and says so; the rows are in and proven."""
        gate.let = at(step, fault, times=1000)
        report = ten(stack)
        assert (report.inserted, report.confirmed, report.missing_after, report.rounds) == (10, True, 0, 3)
        assert (stack.rows(ROWS), staged(stack)) == (ROWS_OF_TEN, left)
        assert "; a later run takes the chunks away" in caplog.text

    def test_a_later_run_takes_away_what_was_left(self, stack: Stack, gate: Gate) -> None:
        """Chunks that a run could not clear are gone after the next run that writes an hour later."""
        gate.let = at("clear", no_answer, times=1000)
        ten(stack)
        left = staged(stack)
        execute(stack.d1, "UPDATE media_ingest_chunks SET staged_at = datetime('now', '-61 minutes')")
        gate.let = Passage.take_effect
        run(stack, Objects(numbered(11)))
        assert (left, staged(stack)) == (4, 0)

    @pytest.mark.parametrize("step", ["stage", "publish", "check"])
    def test_an_error_in_the_second_round_tells_of_the_first(
        self, stack: Stack, gate: Gate, step: str
    ) -> None:
        """The message has what the rounds before inserted; a refusal leaves nothing staged; all goes on."""
        gate.let = at(step, refusal("no"), number=3 if step == "stage" else 2)
        with pytest.raises(D1Error) as failure:
            ten(stack)
        inside = 8 if step == "check" else 4
        assert failure.value.message == "D1 answered 400 7500: no" + told(inside, 4, 1)
        assert (stack.rows(ROWS), staged(stack)) == (ROWS_OF_TEN[:inside], 0)
        gate.let = Passage.take_effect
        assert (ten(stack).inserted, stack.rows(ROWS)) == (10 - inside, ROWS_OF_TEN)

    def test_a_database_that_goes_away_leaves_whole_rounds(self, stack: Stack, gate: Gate) -> None:
        """When no request of the second round is answered, the first is in, and is told of."""
        gate.let = at("stage", no_answer, number=3, times=1000)
        with pytest.raises(D1Error, match="no answer from") as failure:
            ten(stack)
        assert failure.value.message.endswith(told(4, 4, 1))
        assert (failure.value.ambiguous, stack.rows(ROWS)) == (True, ROWS_OF_TEN[:4])

    @pytest.mark.parametrize(
        ("sent", "inside", "proven"),
        [
            pytest.param(4, 0, 0, id="before the first publish"),
            pytest.param(6, 4, 4, id="amid the second staging"),
            pytest.param(8, 4, 4, id="before the second publish"),
            pytest.param(10, 10, 8, id="before the last proof"),
        ],
    )
    def test_a_run_out_of_time_leaves_whole_rounds(
        self, stack: Stack, sent: int, inside: int, proven: int
    ) -> None:
        """When the deadline comes, it ends at once, with whole rounds in, and tells of them."""

        def take_long(so_far: int, _due: int) -> None:
            stack.time.now += 1000 if so_far == sent else 0

        in_time = stack.time.retrying(900)
        database = Database(stack.settings.d1, in_time)  # type: ignore[arg-type]
        with pytest.raises(OutOfTime) as failure:
            sync(Objects(TEN), database, Job(rows_per_publish=4), in_time, writing=take_long)
        message = "no time is left before the deadline" + told(inside, proven, proven // 4)
        assert (failure.value.exit_code, failure.value.message) == (1, message)
        assert (stack.rows(ROWS), stack.time.pauses) == (ROWS_OF_TEN[:inside], [])

    def test_a_run_out_of_time_between_rounds(self, stack: Stack, gate: Gate) -> None:
        """When a clearing takes all the time there is, the round is in, and the next does not begin."""

        def take_long() -> None:
            stack.time.now += 1000

        gate.let = at("clear", first(take_long))
        in_time = stack.time.retrying(900)
        database = Database(stack.settings.d1, in_time)  # type: ignore[arg-type]
        with pytest.raises(OutOfTime) as failure:
            sync(Objects(TEN), database, Job(rows_per_publish=4), in_time)
        assert failure.value.message == "no time is left before the deadline" + told(4, 4, 1)
        assert (stack.rows(ROWS), gate.steps) == (ROWS_OF_TEN[:4], [*HEAD, *STAGED_ROUND])


@pytest.mark.usefixtures("two_rows_a_chunk")
@pytest.mark.parametrize("loss", [no_answer, no_answer_after_the_effect])
def test_any_one_answer_may_be_lost(stack: Stack, gate: Gate, loss: Pass) -> None:
    """Whichever request of a run is lost, or its answer, every row is in once, and doubt is told as such."""
    steps = [*HEAD, *STAGED_ROUND, *STAGED_ROUND, *DIRECT_ROUND]
    rows_of = {"publish": 4, "insert": 2}
    for number, step in enumerate(steps, 1):
        gate.steps.clear()

        def let(passage: Passage) -> Response:
            return loss(passage) if len(gate.steps) == number else passage.take_effect()  # noqa: B023

        gate.let = let
        report = ten(stack)
        in_doubt = rows_of.get(step, 0) if loss is no_answer_after_the_effect else 0
        assert gate.steps == [*steps[:number], *steps[number - 1 :]]
        assert (report.inserted, report.confirmed, report.missing_after, report.d1_requests) == (
            *(10 - in_doubt, step not in rows_of, 0, len(gate.steps)),
        )
        assert (stack.rows(ROWS), staged(stack)) == (ROWS_OF_TEN, 0)
        execute(stack.d1, "DELETE FROM media_assets")


@pytest.mark.usefixtures("two_rows_a_chunk")
class TestHonestErrors:
    """An error never lets rows that are in, or may be, go unmentioned."""

    def test_rows_of_a_lost_answer_are_mentioned_later(self, stack: Stack, gate: Gate) -> None:
        """The publish's answer is lost, then D1 goes away before the check: the error says what may be in."""

        def let(passage: Passage) -> Response:
            if passage.step == "publish" and gate.steps.count("publish") == 1:
                return no_answer_after_the_effect(passage)
            return passage.take_effect() if "check" not in gate.steps else no_answer(passage)

        gate.let = let
        with pytest.raises(D1Error, match="checking what was published") as failure:
            run(stack, Objects(TEN[:4]))
        assert failure.value.message.endswith(" (the answer to an insert was lost, more rows may be in)")
        assert len(stack.rows()) == 4

    def test_rows_of_a_reset_are_mentioned_later(self, stack: Stack, gate: Gate) -> None:
        """The publish took effect though D1 was reset, and then the day's limit is reached: it is told."""

        def let(passage: Passage) -> Response:
            if passage.step != "publish":
                return passage.take_effect()
            if gate.steps.count("publish") == 1:
                return refusal(TOO_MUCH["memory"], after_the_effect=True)(passage)
            return refusal("Your account has exceeded D1's free tier daily row write limit.")(passage)

        gate.let = let
        with pytest.raises(D1Error, match="daily row write limit") as failure:
            run(stack, Objects(TEN[:4]))
        assert failure.value.message.endswith(" (the answer to an insert was lost, more rows may be in)")
        assert (len(stack.rows()), staged(stack)) == (4, 0)

    @pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(28, "No space left on device")])
    def test_a_run_that_is_stopped_logs_what_is_in(
        self,
        stack: Stack,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        stop: BaseException,
    ) -> None:
        """Ctrl-C or a broken disk in the second round: the log tells of the first."""
        read = plan.Plan.chunk

        def chunk(self: plan.Plan, number: int) -> str:
            if number == 3 and stack.rows():
                raise stop
            return read(self, number)

        monkeypatch.setattr(plan.Plan, "chunk", chunk)
        with pytest.raises((KeyboardInterrupt, errors.B2D1Error)):
            ten(stack)
        assert f"the run stops{told(4, 4, 1)}" in caplog.messages
        assert stack.rows(ROWS) == ROWS_OF_TEN[:4]

    def test_a_lost_answer_is_a_change(self, stack: Stack, gate: Gate) -> None:
        """Where the answer that told of the change was lost, the receipt does not deny that there was one."""
        gate.let = at("insert", no_answer_after_the_effect)
        report, _ = run(stack, Objects(TEN[:2]))
        assert (report.confirmed, report.inserted, report.changed_db) == (False, 0, True)

    def test_what_triggers_insert_is_not_counted(self, stack: Stack) -> None:
        """A trigger that writes for each new row makes no more of them."""
        execute(stack.d1, "CREATE TABLE log (uid TEXT)")
        execute(
            stack.d1,
            "CREATE TRIGGER t AFTER INSERT ON media_assets BEGIN INSERT INTO log VALUES (new.media_uid); END",
        )
        assert run(stack, Objects(TEN[:2]))[0].inserted == 2


@on_the_real_engine
@pytest.mark.usefixtures("two_rows_a_chunk")
class TestWithoutStaging:
    """A database that the original made, and that was not migrated."""

    @pytest.fixture(autouse=True)
    def original(self, stack: Stack) -> None:
        """Take the later migration back."""
        execute(stack.d1, "DROP TABLE media_ingest_chunks; DROP INDEX idx_media_assets_b2_key")

    def test_a_chunk_of_rows_gets_in_without_it(self, stack: Stack, gate: Gate) -> None:
        """A run of one chunk needs no other table, and sends nothing about it."""
        assert run(stack, Objects(TEN[:2]))[0].inserted == 2
        assert gate.steps == [
            *("resolve", "look", "ask", "count", "identity", "rows", "bookmark", "insert", "prove"),
        ]

    def test_a_chunk_that_is_too_much_is_refused(self, stack: Stack, gate: Gate) -> None:
        """Where D1 wants less at a time than one chunk, the hint says how to make the table for halves."""
        gate.let = at("insert", refusal(TOO_MUCH["size"]))
        with pytest.raises(D1Error, match="no such table: media_ingest_chunks") as failure:
            run(stack, Objects(TEN[:2]))
        assert (failure.value.exit_code, stack.rows()) == (4, [])
        assert failure.value.hint == "Create it: b2d1 migrate, or wrangler d1 migrations apply."
        assert gate.steps[-3:] == ["bookmark", "insert", "stage"]

    @pytest.mark.parametrize("rows_per_publish", [1, 2, 3, 4, 100])
    def test_more_is_refused_before_the_first_write(
        self, stack: Stack, gate: Gate, rows_per_publish: int
    ) -> None:
        """More rows are exit 4, the hint says how to make the table, and not one row is written."""
        with pytest.raises(D1Error, match="there is no table media_ingest_chunks") as failure:
            ten(stack, rows_per_publish=rows_per_publish)
        assert (failure.value.exit_code, stack.rows()) == (4, [])
        hint, _, statement = failure.value.hint.partition("\n")
        assert hint == "Create it with b2d1 migrate or wrangler d1 migrations apply, or run:"
        execute(stack.d1, statement)
        assert gate.steps == ["resolve", "look", "ask"]

    def test_a_dry_run_is_refused_as_the_run_would_be(self, stack: Stack) -> None:
        """What more rows need is missing, and so nothing is printed as if it could be done."""
        with pytest.raises(D1Error, match="there is no table media_ingest_chunks"):
            run(stack, Objects(TEN), dry_run=True)

    @pytest.mark.parametrize(("walked", "refused"), [(5, True), (6, False)])
    def test_a_large_table_without_its_index_is_refused(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch, *, walked: int, refused: bool
    ) -> None:
        """Where each new key would walk a large table: exit 4, the statement that mends it, and no write."""
        monkeypatch.setattr(guards, "MOST_ROWS_WALKED", walked)
        fill(stack.d1, ROWS_OF_TEN[:3])
        if not refused:
            assert run(stack, Objects(TEN[:5]))[0].inserted == 2
            return
        with pytest.raises(
            D1Error, match=r"has 3 rows and no index of b2_key: to look 2 new keys up"
        ) as failure:
            run(stack, Objects(TEN[:5]))
        execute(stack.d1, failure.value.hint.split("\n")[1])
        assert (failure.value.exit_code, stack.rows(ROWS)) == (4, ROWS_OF_TEN[:3])
        assert run(stack, Objects(TEN[:5]))[0].inserted == 2


@on_the_real_engine
class TestAnotherClient:
    """Another program deletes chunks."""

    def test_a_chunk_deleted_before_the_publish(self, stack: Stack, gate: Gate) -> None:
        """Nothing of its round is published, the error says so and what is in, and the next run completes."""
        objects = numbered(22_000, width=WIDTH)
        rows = [as_row(media) for media in objects]
        delete = "DELETE FROM media_ingest_chunks WHERE seq = 3"
        gate.let = at("publish", first(lambda: execute(stack.d1, delete)), number=2)
        with pytest.raises(D1Error) as failure:
            run(stack, Objects(objects), rows_per_publish=10_000)
        inside = len(stack.rows())
        assert 9_000 < inside < 10_000
        assert stack.rows(ROWS) == rows[:inside]
        assert re.fullmatch(
            r"[\d,]+ of the ([\d,]+) rows staged are left in media_ingest_chunks; "
            r"\1 of the round's rows are not in media_assets" + re.escape(told(inside, inside, 1)),
            failure.value.message,
        )
        assert "Another program deletes from that table" in failure.value.hint
        assert (failure.value.exit_code, staged(stack)) == (4, 0)
        gate.let = Passage.take_effect
        report, _ = run(stack, Objects(objects), rows_per_publish=10_000)
        assert (report.inserted, report.missing_after, stack.rows(ROWS)) == (22_000 - inside, 0, rows)

    def test_a_chunk_deleted_before_the_only_publish(self, stack: Stack, gate: Gate) -> None:
        """One chunk of 12,000 rows gone: not one row gets in, the error says so, the next run completes."""
        objects = numbered(12_000, width=WIDTH)
        delete = "DELETE FROM media_ingest_chunks WHERE seq = 1"
        gate.let = at("publish", first(lambda: execute(stack.d1, delete)))
        with pytest.raises(
            D1Error, match=r"; 12,000 of the round's rows are not in media_assets \(gave"
        ) as failure:
            run(stack, Objects(objects))
        assert (failure.value.exit_code, stack.rows(), staged(stack)) == (4, [], 0)
        gate.let = Passage.take_effect
        report, _ = run(stack, Objects(objects))
        assert (report.inserted, stack.rows(ROWS)) == (12_000, [as_row(media) for media in objects])

    def test_a_chunk_deleted_after_the_publish(
        self, stack: Stack, gate: Gate, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The rows are in, which the plan on disk shows: the run goes on, and says what it met."""
        objects = numbered(12_000, width=WIDTH)
        delete = "DELETE FROM media_ingest_chunks WHERE seq = 1"
        gate.let = at("check", first(lambda: execute(stack.d1, delete)))
        report, _ = run(stack, Objects(objects))
        assert (report.inserted, report.checked, report.missing_after) == (12_000, 12_000, 0)
        assert (stack.rows(ROWS), staged(stack)) == ([as_row(media) for media in objects], 0)
        assert "yet by the plan on disk all of them are in" in caplog.text

    def test_a_run_of_more_than_an_hour_is_told_why_it_fails(self, stack: Stack, gate: Gate) -> None:
        """Chunks that waited too long are swept by another run; then nothing is published, which is said."""

        def be_slow() -> None:
            execute(stack.d1, "UPDATE media_ingest_chunks SET staged_at = datetime('now', '-2 hours')")
            run(beside(stack), Objects(numbered(3)), adopt=True)

        gate.let = at("publish", first(be_slow))
        with pytest.raises(D1Error, match=r"^checking what was published: 0 of the 9,000 rows") as failure:
            run(stack, Objects(numbered(9_000)))
        assert "took over an hour and another one swept its chunks" in failure.value.hint
        assert len(stack.rows()) == 3


@on_the_real_engine
class TestStaleReads:
    """A read just after a write may miss it: that is no failure, and no success either."""

    @pytest.mark.parametrize(
        ("count", "write", "read"), [(12_000, "publish", "check"), (4_000, "insert", "prove")]
    )
    def test_an_answer_from_before_the_write_does_not_fail_the_run(
        self, stack: Stack, gate: Gate, *, count: int, write: str, read: str
    ) -> None:
        """A check that is answered as it was before the write is asked again until it sees what is in."""
        gate.let = stale(write, read, times=3)
        objects = numbered(count, width=WIDTH)
        report, _ = run(stack, Objects(objects))
        assert (report.inserted, report.checked, report.missing_after) == (count, count, 0)
        assert (gate.steps.count(read), len(stack.time.pauses)) == (4, 3)
        assert stack.rows(ROWS) == [as_row(media) for media in objects]

    def test_a_check_that_stays_stale_is_overruled_by_the_plan(
        self, stack: Stack, gate: Gate, caplog: pytest.LogCaptureFixture
    ) -> None:
        """When staged rows cannot be proven for 30 seconds, the plan on disk is compared, and decides."""
        gate.let = stale("publish", "check", times=1000)
        objects = numbered(12_000, width=WIDTH)
        report, _ = run(stack, Objects(objects))
        assert (report.inserted, report.checked, report.missing_after) == (12_000, 12_000, 0)
        assert gate.steps[-4:] == ["prove", "prove", "prove", "clear"]
        assert "12,000 of the 12,000 rows published cannot be read back" in caplog.text
        assert 1015 <= stack.time.now <= 1030

    @pytest.mark.parametrize(
        ("count", "read", "message"),
        [
            pytest.param(
                *(12_000, ["check", "prove"]),
                "12,000 of the 12,000 rows published cannot be read back; "
                "12,000 of the round's rows are not in media_assets (D1 confirmed 12,000 rows inserted; "
                "0 are proven to be in, by 0 rounds)",
                id="staged",
            ),
            pytest.param(
                *(4_000, ["prove"]),
                "4,000 of the rows inserted cannot be read back (D1 confirmed 4,000 rows inserted; "
                "0 are proven to be in, by 0 rounds)",
                id="one chunk",
            ),
        ],
    )
    def test_rows_that_are_never_seen_are_an_error(
        self, stack: Stack, gate: Gate, count: int, read: list[str], message: str
    ) -> None:
        """After 30 seconds without a sight of them, the run ends with exit 4, and says what D1 confirmed."""
        gate.let = blind(*read)
        with pytest.raises(D1Error) as failure:
            run(stack, Objects(numbered(count, width=WIDTH)))
        assert (failure.value.exit_code, failure.value.message) == (4, message)
        assert (
            failure.value.hint == "Run again: it inserts what is missing. Does another program delete rows?"
        )
        assert 1015 <= stack.time.now <= 1030
        assert (len(stack.rows()), staged(stack)) == (count, 0)


def stale(write: str, read: str, *, times: int) -> Pass:
    """Answer reads after a write, so many times, as they would have been answered before it."""
    recorded: list[Response] = []

    def let(passage: Passage) -> Response:
        if passage.step == write:
            question = (CHECK, *passage.params[:3]) if read == "check" else (COUNT_MISSING, passage.params[0])
            recorded.extend([passage.ask(*question)] * times)
        return recorded.pop() if passage.step == read and recorded else passage.take_effect()

    return let


def blind(*reads: str) -> Pass:
    """Answer reads as if the table held none of the rows that they ask about."""

    def let(passage: Passage) -> Response:
        answer = passage.take_effect()
        if passage.step not in reads:
            return answer
        content = json.loads(answer.data)
        (figures,) = content["result"][0]["results"]["rows"]
        figures[-1] = figures[0] if passage.step == "check" else len(json.loads(passage.params[0]))
        return Response(json.dumps(content), content_type="application/json")

    return let


# https://developers.cloudflare.com/d1/observability/debug-d1/ has the first three; the others are SQLite's.
TOO_MUCH = {
    "time": "D1 DB storage operation exceeded timeout which caused object to be reset.",
    "memory": "D1 DB's isolate exceeded its memory limit and was reset.",
    "CPU": "D1 DB exceeded its CPU time limit and was reset.",
    "size": "string or blob too big: SQLITE_TOOBIG",
}


class TestHalving:
    """D1 finds something too much: then less of it is tried, and nothing is lost or doubled."""

    @pytest.fixture(autouse=True)
    def four_rows_a_chunk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a chunk be full with four rows, so that a few objects make several, and each can be halved."""
        monkeypatch.setattr(plan, "CHUNK_ROWS", 4)

    @pytest.mark.parametrize("after_the_effect", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(
        ("step", "times"),
        [
            *(("stage", 1), ("stage", 2), ("publish", 1), ("publish", 2), ("publish", 5), ("check", 1)),
            *(("check", 2), ("check", 5), ("insert", 1), ("prove", 1)),
        ],
    )
    def test_all_rows_get_in_all_the_same(
        self, stack: Stack, gate: Gate, *, step: str, after_the_effect: bool, times: int
    ) -> None:
        """Whichever statement is too much, and whether it took effect: every row is in once, in order."""
        gate.let = at(step, refusal(TOO_MUCH["memory"], after_the_effect=after_the_effect), times=times)
        objects = numbered(18)
        report, _ = run(stack, Objects(objects), rows_per_publish=9)
        assert stack.rows(ROWS) == [as_row(media) for media in objects]
        writes = step in {"publish", "insert"}
        assert (report.checked, report.missing_after, report.confirmed) == (18, 0, not writes)
        assert (report.inserted < 18) == (writes and after_the_effect)
        # What cannot ask for less is sent again as it is.
        assert (staged(stack), stack.time.pauses) == (0, [1.0] if step == "prove" else [])

    @pytest.mark.parametrize("message", TOO_MUCH.values(), ids=TOO_MUCH)
    def test_each_of_the_messages_is_understood(self, stack: Stack, gate: Gate, message: str) -> None:
        """Time, memory, CPU and size make a round smaller; only what reset the database leaves a doubt."""
        gate.let = at("publish", refusal(message))
        report, _ = run(stack, Objects(numbered(16)), rows_per_publish=100)
        assert (report.inserted, report.rounds, report.confirmed) == (16, 2, "reset" not in message)
        two_rounds = 2 * ["publish", "check", "clear"]
        assert gate.steps == [*HEAD, *["stage"] * 4, "publish", *two_rounds]

    def test_what_is_staged_is_not_staged_again(self, stack: Stack, gate: Gate) -> None:
        """A round that is halved twice is published from the chunks that are there already."""
        gate.let = at("publish", refusal(TOO_MUCH["CPU"]), times=2)
        report, _ = run(stack, Objects(numbered(16)), rows_per_publish=100)
        assert (report.inserted, report.rounds) == (16, 4)
        assert gate.steps == [*HEAD, *["stage"] * 4, *["publish"] * 2, *4 * ["publish", "check", "clear"]]

    @pytest.mark.parametrize("most", range(1, 12))
    def test_rounds_become_as_small_as_they_must(self, stack: Stack, gate: Gate, most: int) -> None:
        """Where D1 takes so many rows at once and no more, all get in, and no round takes more."""
        taken: list[int] = []

        def let(passage: Passage) -> Response:
            if passage.step not in {"publish", "insert"}:
                return passage.take_effect()
            if passage.step == "insert":
                rows = len(json.loads(passage.params[0]))
            else:
                content = json.loads(passage.ask(CHECK, *passage.params[:3]).data)
                ((rows, _),) = content["result"][0]["results"]["rows"]
            if rows > most:
                return refusal(TOO_MUCH["CPU"])(passage)
            taken.append(rows)
            return passage.take_effect()

        gate.let = let
        objects = numbered(22)
        report, _ = run(stack, Objects(objects), rows_per_publish=12)
        assert stack.rows(ROWS) == [as_row(media) for media in objects]
        assert (report.inserted, report.rounds, sum(taken)) == (22, len(taken), 22)
        assert staged(stack) == 0

    @pytest.mark.parametrize("most", range(1, 5))
    def test_chunks_become_as_small_as_they_must(self, stack: Stack, gate: Gate, most: int) -> None:
        """Where D1 takes so many rows in one text and no more, all get in, and the round stays one."""

        def let(passage: Passage) -> Response:
            if passage.step == "stage" and len(json.loads(passage.params[2])) > most:
                return refusal(TOO_MUCH["size"])(passage)
            return passage.take_effect()

        gate.let = let
        objects = numbered(10)
        report, _ = run(stack, Objects(objects), rows_per_publish=100)
        assert stack.rows(ROWS) == [as_row(media) for media in objects]
        assert (report.inserted, report.rounds, report.confirmed, staged(stack)) == (10, 1, True, 0)

    def test_a_run_of_one_chunk_is_staged_by_halves(self, stack: Stack, gate: Gate) -> None:
        """What does not go in by one statement of its own stays all or none: as two chunks of one round."""
        gate.let = at("insert", refusal(TOO_MUCH["size"]))
        objects = numbered(3)
        report, _ = run(stack, Objects(objects))
        assert gate.steps[-7:] == ["insert", "clear", *STAGED_ROUND]
        assert (report.inserted, report.rounds, report.confirmed) == (3, 1, True)
        assert stack.rows(ROWS) == [as_row(media) for media in objects]

    @pytest.mark.parametrize("count", [3, 12])
    @pytest.mark.parametrize("kind", ["memory", "size"])
    @pytest.mark.parametrize("step", ["stage", "publish"])
    def test_a_single_row_that_is_too_much_is_an_error(
        self, stack: Stack, gate: Gate, *, step: str, kind: str, count: int
    ) -> None:
        """When not even one row is taken, the run ends with exit 4 and the setting that may help."""

        def let(passage: Passage) -> Response:
            if passage.step in {step, "insert"}:
                return refusal(TOO_MUCH[kind])(passage)
            return passage.take_effect()

        gate.let = let
        with pytest.raises(D1Error, match=re.escape(TOO_MUCH[kind])) as failure:
            run(stack, Objects(numbered(count)), rows_per_publish=100)
        assert (failure.value.exit_code, stack.rows(), staged(stack)) == (4, [], 0)
        assert failure.value.hint.startswith("Less at a time may pass: set MAX_NEW_PER_RUN, or lower it.")

    def test_halves_are_not_mistaken_for_what_could_not_be_cleared(
        self, stack: Stack, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where chunks lie about under the numbers that others have now, it is these that get in."""
        monkeypatch.setattr(plan, "CHUNK_BYTES", 1_200)
        long = numbered(1, start=4, width=1000)
        objects = [*numbered(4), *long, *numbered(2, start=5)]  # chunks of 4, 1 and 2 rows
        too_much = at("publish", refusal(TOO_MUCH["CPU"]), times=2)
        gate.let = lambda passage: (no_answer if passage.step == "clear" else too_much)(passage)
        report, _ = run(stack, Objects(objects), rows_per_publish=100)
        assert stack.rows(ROWS) == [as_row(media) for media in objects]
        assert (report.inserted, report.checked, report.missing_after) == (7, 7, 0)


@on_the_real_engine
class TestReadersFirst:
    """While D1 publishes it answers nobody else: rounds become as large as it publishes in a second."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a chunk be full with two rows, and the first of several rounds with eight."""
        monkeypatch.setattr(plan, "CHUNK_ROWS", 2)
        monkeypatch.setattr(round_size, "FIRST_ROWS", 8)

    @pytest.mark.parametrize(
        ("count", "seconds", "rounds"),
        [
            pytest.param(16, [40.0], [16], id="what fits into one round stays one, however long"),
            pytest.param(17, [0.1, 0.1], [8, 9], id="a row more: a smaller one first"),
            pytest.param(80, [0.1, 0.2], [8, *[16] * 4, 8], id="fast"),
            pytest.param(80, [0.5, 1.0, 1.2], [8, *[16] * 4, 8], id="about a second"),
            pytest.param(40, [0.5, 2.0, 1.0], [8, 16, 8, 8], id="slow at last"),
            pytest.param(24, [2.0, 1.0], [8, *[4] * 4], id="slow at once"),
            pytest.param(16 + 8, [44.0, 5.0], [8, *[2] * 8], id="so slow that a chunk is the least"),
            pytest.param(48, [5.0, 0.1], [8, 2, 4, 8, 16, 10], id="slow once"),
            *(
                pytest.param(24, [unknown], [8, 8, 8], id=f"{unknown!r} tells nothing")
                for unknown in (None, 0, -1.0, 46.0, 1e300, "2.0")
            ),
        ],
    )
    def test_a_round_is_as_large_as_a_second(
        self, stack: Stack, gate: Gate, *, count: int, seconds: list[Any], rounds: list[int]
    ) -> None:
        """By what the last one took (the last figure for all that follow), within the requests promised."""
        published: list[int] = []
        gate.let = lasting(lambda rows: seconds[min(len(published), len(seconds)) - 1], published)
        objects = numbered(count)
        report, _ = run(stack, Objects(objects), rows_per_publish=16)
        assert published == rounds
        assert (report.rounds, report.inserted, report.missing_after) == (len(rounds), count, 0)
        assert (stack.rows(ROWS), staged(stack)) == ([as_row(media) for media in objects], 0)
        chunks = math.ceil(count / 2)  # each of them sent as one of 900 kB would be
        assert report.d1_requests <= 1 + chunks + 3 * report.rounds + 10

    @pytest.mark.parametrize("rows_a_second", [2, 3, 7, 20, 1000])
    def test_every_pace_is_found(self, stack: Stack, gate: Gate, rows_a_second: int) -> None:
        """Whatever D1's pace, no round but the first takes much longer than a second, save a single chunk."""
        published: list[int] = []
        gate.let = lasting(lambda rows: rows / rows_a_second, published)
        report, _ = run(stack, Objects(numbered(100)), rows_per_publish=16)
        assert sum(published) == report.inserted == 100
        assert all(rows <= max(2, 1.25 * rows_a_second) for rows in published[2:])

    def test_a_smaller_round_is_logged(
        self, stack: Stack, gate: Gate, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where rounds become smaller because one took long, the log says how long, and how small."""
        published: list[int] = []
        times = [2.0, 3.0, 5.0, 5.0]
        gate.let = lasting(lambda _: times[len(published) - 1], published)
        with caplog.at_level(logging.INFO, "b2d1"):
            run(stack, Objects(numbered(16)), rows_per_publish=15)
        assert published == [8, 4, 2, 2]
        assert [message for message in caplog.messages if "nobody else" in message] == [
            "8 rows took D1 2.0 s, in which it answered nobody else: going on with rounds of 4",
            "4 rows took D1 3.0 s, in which it answered nobody else: going on with rounds of 1",
        ]

    def test_after_the_last_round_nothing_is_logged(
        self, stack: Stack, gate: Gate, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where no round follows, nobody is told that the next would be smaller."""
        gate.let = lasting(lambda _: 9.0, [])
        with caplog.at_level(logging.INFO, "b2d1"):
            run(stack, Objects(numbered(16)), rows_per_publish=16)
        assert "nobody else" not in caplog.text

    @pytest.mark.parametrize("loss", [no_answer, no_answer_after_the_effect])
    def test_a_publish_that_was_sent_twice_tells_nothing(
        self, stack: Stack, gate: Gate, *, loss: Pass
    ) -> None:
        """The second time there may be nothing to do, so that its time is no measure."""
        published: list[int] = []
        first_time, fast = at("publish", loss), lasting(lambda _: 0.1, published)

        def let(passage: Passage) -> Response:
            lost = passage.step == "publish" and gate.steps.count("publish") == 1
            return (first_time if lost else fast)(passage)

        gate.let = let
        run(stack, Objects(numbered(40)), rows_per_publish=16)
        assert published == [8, 8, 16, 8]

    def test_rows_that_another_run_inserted_tell_nothing(self, stack: Stack, gate: Gate) -> None:
        """A publish that found rows there already had less to do, so that its time is no measure."""
        published: list[int] = []
        fast = lasting(lambda _: 0.1, published)

        def let(passage: Passage) -> Response:
            if passage.step == "publish" and not published:
                fill(stack.d1, [as_row(numbered(1)[0])])
            return fast(passage)

        gate.let = let
        report, _ = run(stack, Objects(numbered(40)), rows_per_publish=16)
        assert (published, report.inserted) == ([8, 8, 16, 8], 39)

    def test_what_was_too_much_is_not_tried_again(self, stack: Stack, gate: Gate) -> None:
        """After D1 refused a round, none grows beyond its half, however fast they go."""
        published: list[int] = []
        fast, too_much = lasting(lambda _: 0.1, published), refusal(TOO_MUCH["CPU"])

        def let(passage: Passage) -> Response:
            return (too_much if gate.steps.count("publish") == 2 != len(published) else fast)(passage)

        gate.let = let
        objects = numbered(48)
        report, _ = run(stack, Objects(objects), rows_per_publish=16)
        assert gate.steps.count("publish") == len(published) + 1
        assert (published, report.inserted) == ([8, *[8] * 5], 48)
        assert (stack.rows(ROWS), staged(stack)) == ([as_row(media) for media in objects], 0)


def lasting(seconds: Callable[[int], Any], published: list[int]) -> Pass:
    """Let D1 say that it worked so many seconds to insert rows; note the rows of each round."""

    def let(passage: Passage) -> Response:
        if passage.step not in {"publish", "insert"}:
            return passage.take_effect()
        if passage.step == "insert":
            rows = len(json.loads(passage.params[0]))
        else:
            staged = json.loads(passage.ask(CHECK, *passage.params[:3]).data)
            ((rows, _),) = staged["result"][0]["results"]["rows"]
        published.append(rows)
        content = json.loads(passage.take_effect().data)
        took = seconds(rows)
        content["result"][0]["meta"]["duration"] = took * 1000 if isinstance(took, int | float) else took
        return Response(json.dumps(content), content_type="application/json")

    return let


class Turnstile:
    """Lets the requests of several clients through one at a time, in an order drawn at random.

    It waits until each client either stands before it or has left, so that the seed alone decides.
    """

    def __init__(self, clients: Iterable[str], seed: int) -> None:
        self._inside = set(clients)
        self._waiting: set[str] = set()
        self._next: str | None = None
        self._draw = random.Random(seed).choice
        self._changed = threading.Condition()

    def let(self, client: str) -> Pass:
        """Return what a gate of this client's passes its requests through."""

        def let(passage: Passage) -> Response:
            with self._changed:
                self._waiting.add(client)
                self._choose()
                assert self._changed.wait_for(lambda: self._next == client, timeout=60)
                self._next = None
                self._waiting.remove(client)
            return passage.take_effect()

        return let

    def leave(self, client: str) -> None:
        """Count on this client no more."""
        with self._changed:
            self._inside.remove(client)
            self._choose()

    def _choose(self) -> None:
        if self._waiting and self._waiting == self._inside:
            self._next = self._draw(sorted(self._waiting))
            self._changed.notify_all()


@on_the_real_engine
class TestTwoRuns:
    """A laptop and a Lambda at work on one database."""

    @pytest.mark.usefixtures("two_rows_a_chunk")
    def test_a_run_inside_another_at_any_request(self, stack: Stack, gate: Gate) -> None:
        """Whichever request of a run another run's whole work comes before: no row twice, none lost."""
        # After a request, when nothing but its answer is on its way, is the same as before the next one.
        steps = [*HEAD, *STAGED_ROUND, *STAGED_ROUND, *DIRECT_ROUND]
        for number in range(len(steps)):
            gate.steps.clear()
            others: list[SyncReport] = []

            def let(passage: Passage) -> Response:
                if len(gate.steps) == number + 1 and not others:  # noqa: B023
                    others.append(ten(beside(stack)))  # noqa: B023
                return passage.take_effect()

            gate.let = let
            check_two_runs(stack, [ten(stack), *others], ROWS_OF_TEN)
            assert gate.steps[: number + 1] == steps[: number + 1]
            execute(stack.d1, "DELETE FROM media_assets")

    @pytest.mark.usefixtures("two_rows_a_chunk")
    @pytest.mark.parametrize("seed", range(8))
    def test_two_runs_that_take_turns_at_random(self, stack: Stack, seed: int) -> None:
        """In whatever order the requests of two runs come: no row twice, none lost, none claimed twice."""
        reports = take_turns(stack, seed, ten)
        check_two_runs(stack, reports, ROWS_OF_TEN)

    @pytest.mark.parametrize("seed", range(2))
    def test_two_runs_at_the_real_limits(self, stack: Stack, seed: int) -> None:
        """So do two runs of several chunks of 900 kB and of two rounds."""
        objects = numbered(3_000, width=1000)
        reports = take_turns(
            stack, seed, lambda client: run(client, Objects(objects), rows_per_publish=1_700)[0]
        )
        check_two_runs(stack, reports, [as_row(media) for media in objects])
        assert [report.rounds for report in reports] == [2, 2]


def take_turns(stack: Stack, seed: int, job: Callable[[Stack], SyncReport]) -> list[SyncReport]:
    """Let two clients do the same job at the same time, in an order that the seed decides."""
    clients = "laptop", "lambda"
    turnstile = Turnstile(clients, seed)

    def work(client: str) -> SyncReport:
        try:
            with Gate(stack.d1.url, turnstile.let(client)) as gate:
                extra = {"CLOUDFLARE_API_BASE_URL": gate.url}
                return job(dataclasses.replace(stack, time=FakeTime(), extra=extra))
        finally:
            turnstile.leave(client)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(work, clients))


def check_two_runs(stack: Stack, reports: list[SyncReport], rows: list[tuple[Any, ...]]) -> None:
    """See that all rows are there, once, and that each was claimed by one run."""
    assert sorted(stack.rows(ROWS)) == sorted(rows)
    assert [(report.missing_after, report.confirmed) for report in reports] == [(0, True)] * 2
    assert sum(report.inserted for report in reports) == len(rows)
    assert staged(stack) == 0
