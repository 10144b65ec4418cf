"""How many rows a round takes: what D1 publishes in about a second, since its readers wait that long."""

# A database runs one statement at a time, and whoever reads waits meanwhile:
# https://developers.cloudflare.com/d1/platform/limits/
TARGET_SECONDS = 1.0
# What is little over the target stays as it is: a smaller round would be another request or three.
TOLERATED_SECONDS = 1.25
# Of the first of several rounds, when nobody knows yet what D1 takes: 0.13 s where we measured its engine.
FIRST_ROWS = 25_000
# From one round to the next. `rounds` relies on none being more than twice as large as the one before.
MOST_GROWTH, LEAST_SHARE = 2.0, 0.25


class RoundSize:
    """The size of the next round in `rows`, at most `most`; `due` rows that fit into one round stay one."""

    def __init__(self, most: int, due: int) -> None:
        self.rows = most if due <= most else min(most, FIRST_ROWS)
        self._most = most

    def took(self, rows: int, seconds: float | None) -> bool:
        """Go by a round of so many rows, published in so many seconds; tell whether that was too long.

        None, where nobody knows how long it took, changes nothing.
        """
        if seconds is None or TARGET_SECONDS <= seconds <= TOLERATED_SECONDS:
            return False
        share = min(MOST_GROWTH, max(LEAST_SHARE, TARGET_SECONDS / seconds))
        self.rows = min(self._most, max(1, int(rows * share)))
        return seconds > TOLERATED_SECONDS

    def refused(self, rows: int) -> None:
        """Take half of what D1 found too much, and never again more than that."""
        self.rows = self._most = rows // 2
