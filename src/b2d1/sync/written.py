"""What a run wrote, counted as D1 confirms it."""

import dataclasses
from collections.abc import Callable

from b2d1.d1.answer import Answer
from b2d1.errors import D1Error


@dataclasses.dataclass
class Written:
    """What a run wrote: by default nothing.

    `inserted` is what D1 confirmed, all of it only if `confirmed`. `checked` counts the rows of which D1 was
    asked afterwards whether it has them, and has, in `rounds` rounds. `bookmark` is the point to which the
    database could be taken back.
    """

    inserted: int = 0
    confirmed: bool = True
    checked: int = 0
    rounds: int = 0
    bookmark: str | None = None
    _doubted: D1Error | None = None

    def count(self, rows: int, write: Callable[[], Answer]) -> Answer:
        """Write, and count what D1 confirms: perhaps not all, where the answer to a try was lost."""
        try:
            answer = write()
        except D1Error as error:
            if error.ambiguous:
                self.confirmed, self._doubted = False, error
            raise
        # Where the table has triggers, D1 counts what these do too.
        self.inserted += min(answer.changes, rows)
        self.confirmed &= answer.confirmed
        return answer

    def told(self, error: BaseException) -> str:
        """Tell what was written before an error, in brackets; nothing if nothing was."""
        told = []
        if self.inserted or self.rounds:
            rounds = "1 round" if self.rounds == 1 else f"{self.rounds:,} rounds"
            told.append(f"D1 confirmed {self.inserted:,} rows inserted")
            told.append(f"{self.checked:,} are proven to be in, by {rounds}")
        if not self.confirmed and error is not self._doubted:  # that one says so itself
            told.append("the answer to an insert was lost, more rows may be in")
        return f" ({'; '.join(told)})" if told else ""
