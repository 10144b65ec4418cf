"""Write a plan in rounds, each of them all or none, and prove each before the next."""

import logging
from collections.abc import Callable

from b2d1.d1.answer import Answer
from b2d1.d1.database import Database
from b2d1.errors import B2D1Error, D1Error, OutOfTime, Retry
from b2d1.retry import Retrying
from b2d1.sync.plan import Plan
from b2d1.sync.round_size import RoundSize
from b2d1.sync.written import Written
from b2d1.table.guards import Guards
from b2d1.table.media_assets import STALE_READ_SECONDS, MediaAssets
from b2d1.table.staging import Staging, Unproven

logger = logging.getLogger(__name__)

# What a round is given at the least (seconds): D1 lets a single statement take 30.
LEAST_ROUND_SECONDS = 45.0


class Rounds:
    """The writing of one plan; a round takes at most `most` rows, fewer when D1 finds it too much or slow."""

    def __init__(
        self,
        plan: Plan,
        table: MediaAssets,
        staging: Staging,
        *,
        guards: Guards,
        most: int,
        retrying: Retrying,
        progress: Callable[[int, int], object],
    ) -> None:
        self._written = Written()
        self._plan = plan
        self._table = table
        self._staging = staging
        self._guards = guards
        self._size = RoundSize(most, plan.due)
        self._retrying = retrying
        self._progress = progress
        self._longest = 0.0  # the seconds that the longest round took so far
        self._staged = 0  # the chunks before this one are staged, or were

    def write(self) -> Written:
        """Insert every row that is due, and prove that it is there; with none, write nothing.

        An error says what is in all the same: the rounds before it.
        """
        if not self._plan.due:
            return self._written
        self._written.bookmark = read_bookmark(self._table.database)
        self._sweep()
        done = 0
        while done < self._plan.due_chunks:
            chunks = self._plan.round(done, self._size.rows)
            try:
                self._be_in_time()
                self._round(chunks)
            except B2D1Error as error:
                if error.retry is Retry.SMALLER and self._make_smaller(chunks, error):
                    continue
                # Where D1 did answer, nothing is left lying; elsewhere a later run sweeps.
                if error.retry in {Retry.NEVER, Retry.SMALLER}:
                    self._clear(range(chunks.start, self._staged))
                error.message += self._written.told(error)
                raise
            except (OSError, KeyboardInterrupt) as error:
                if told := self._written.told(error):
                    logger.warning("the run stops%s", told)
                raise
            done = chunks.stop
        return self._written

    def _be_in_time(self) -> None:
        """Stop before a round that might not end before the deadline: none is to be cut short."""
        left, needed = self._retrying.deadline.remaining(), max(LEAST_ROUND_SECONDS, 2 * self._longest)
        if 0 < left < needed:  # with none at all, the first request of the round says so
            untouched = not self._written.inserted and self._written.confirmed
            nothing = ": nothing was written" if untouched else ""
            raise OutOfTime(
                f"{left:.0f} s are left, and a round may take {needed:.0f} s{nothing}",
                doing="writing",
                hint="Run again: it goes on from here. Do a large first load on a laptop: b2d1 sync.",
            )

    def _round(self, chunks: range) -> None:
        rows, before = self._plan.rows_in(chunks), self._written.inserted
        began = self._retrying.deadline.clock()
        if len(chunks) == 1 and self._staged <= chunks.start:
            answer = self._insert(chunks.start)
        else:
            self._stage(chunks)
            answer = self._publish(chunks)
        self._longest = max(self._longest, self._retrying.deadline.clock() - began)
        self._written.rounds += 1
        self._written.checked += rows
        logger.info(
            "round %d: %d rows, %d of them inserted by this run, 0 missing",
            *(self._written.rounds, rows, self._written.inserted - before),
        )
        self._learn(chunks, answer)

    def _learn(self, chunks: range, answer: Answer) -> None:
        """Size the rounds to come by what the last one took D1."""
        rows = self._plan.rows_in(chunks)
        # One that was sent twice, or that another run was ahead of, had less to do.
        whole = answer.confirmed and answer.changes >= rows
        too_long = self._size.took(rows, answer.seconds if whole else None)
        if too_long and len(chunks) > 1 and chunks.stop < self._plan.due_chunks:
            logger.info(
                "%d rows took D1 %.1f s, in which it answered nobody else: going on with rounds of %d",
                *(rows, answer.seconds, self._size.rows),
            )

    def _insert(self, number: int) -> Answer:
        """Insert a chunk that is a round by itself: one statement is all or none by nature."""
        chunk = self._plan.chunk(number)
        rows = self._plan.rows_in(range(number, number + 1))
        answer = self._written.count(rows, lambda: self._table.insert(chunk))
        if answer.confirmed and not answer.changes:  # another run was first, or the guard held
            self._guards.refuse_other_identity([chunk])
        self._show(rows)
        self._table.prove(chunk)
        return answer

    def _stage(self, chunks: range) -> None:
        for number in range(max(self._staged, chunks.start), chunks.stop):
            self._staging.stage(number, self._plan.chunk(number))
            self._staged = number + 1
            self._show(self._plan.rows_in(range(chunks.start, self._staged)))

    def _publish(self, chunks: range) -> Answer:
        rows = self._plan.rows_in(chunks)
        answer = self._written.count(rows, lambda: self._staging.publish(chunks))
        if answer.confirmed and not answer.changes:  # another run was first, or a guard held
            self._guards.refuse_other_identity(map(self._plan.chunk, chunks))
        try:
            self._retrying.within(STALE_READ_SECONDS).call(lambda: self._staging.prove(chunks, rows))
        except Unproven as unproven:
            self._explain(chunks, unproven)
        self._clear(chunks)
        return answer

    def _show(self, rows: int) -> None:
        self._progress(self._written.checked + rows, self._plan.due)

    def _explain(self, chunks: range, unproven: Unproven) -> None:
        """Go by the plan on disk where what is staged proves nothing: the rows may be in all the same."""
        missing = sum(self._table.count_missing(self._plan.chunk(number)) for number in chunks)
        if missing:
            self._guards.refuse_other_identity(map(self._plan.chunk, chunks))
            unproven.message += f"; {missing:,} of the round's rows are not in media_assets"
            unproven.retry = Retry.NEVER  # it was asked often enough
            raise unproven
        logger.warning("%s; yet by the plan on disk all of them are in", unproven)

    def _make_smaller(self, chunks: range, error: B2D1Error) -> bool:
        """Halve the round that D1 found too large, or the chunk; False when it is a single row."""
        if len(chunks) > 1 and self._staged >= chunks.stop:
            self._size.refused(self._plan.rows_in(chunks))
        else:
            number = min(max(self._staged, chunks.start), chunks.stop - 1)
            if self._plan.rows_in(range(number, number + 1)) == 1:
                return False
            # Perhaps it was staged whole although the answer was another; and if that stays, or comes late,
            # it must not be taken for the halves.
            self._clear(range(chunks.start, max(self._staged, number + 1)))
            self._staging.begin_anew()
            self._staged = chunks.start
            self._plan.halve(number, chunks.stop)
        logger.warning("%s; going on with less at a time", error)
        return True

    def _clear(self, chunks: range) -> None:
        if chunks and self._table.has_staging:
            try:
                self._staging.clear(chunks)
            except B2D1Error as error:
                logger.warning("%s; a later run takes the chunks away", error)

    def _sweep(self) -> None:
        if self._table.has_staging:
            try:
                if swept := self._staging.sweep():
                    logger.info("swept %d chunks that a dead run left behind", swept)
            except B2D1Error as error:
                logger.warning("%s; a later run takes the chunks away", error)


def read_bookmark(database: Database) -> str | None:
    """Read the point to which the database could be taken back; a run does not fail for want of it."""
    try:
        return database.bookmark()
    except D1Error as error:
        logger.warning("%s; the run goes on without one", error)
        return None
