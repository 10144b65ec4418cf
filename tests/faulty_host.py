"""An S3 host whose listing has random faults: in its tokens, in where a page begins, in pages, in counts."""

import dataclasses
import functools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from random import Random

from hypothesis import strategies as st
from key_host import refusal
from pages import Answer, Asked, Row, page

from b2d1.media import ListMode

TOKEN_FAULTS = ("skips one", "skips two", "repeats one", "starts again", "ends early", "is empty and last")
START_FAULTS = ("includes its key", "ignored", "skips one", "skips one if the key does not exist")
PAGE_FAULTS = ("empty", "empty and last")
COUNT_FAULTS = ("one more", "one less")


@dataclasses.dataclass(frozen=True)
class Faults:
    """What a host gets wrong, each None for never; `share` is the share of requests that have the fault."""

    token: str | None = None
    start: str | None = None
    page: str | None = None
    count: str | None = None
    share: float = 1.0


def faults() -> st.SearchStrategy[Faults]:
    """Make any combination of faults, on every request or on some."""
    made = st.builds(
        Faults,
        st.none() | st.sampled_from(TOKEN_FAULTS),
        st.none() | st.sampled_from(START_FAULTS),
        st.none() | st.sampled_from(PAGE_FAULTS),
        st.sampled_from([None, None, None, *COUNT_FAULTS]),
        st.sampled_from([1.0, 0.5, 0.1]),
    )
    # After an empty page that leads on there is only its token: nothing could prove where a faulty one leads.
    return made.filter(lambda faults: not (faults.token and faults.page == "empty"))


@dataclasses.dataclass
class FaultyHost:
    """Answers list requests over rows in byte order, in pages of `size` rows.

    As at B2, hidden files are removed from a page after it was cut: it can be short, or empty and not the
    last. The same request has the same answer. `asked` counts the requests.
    """

    rows: list[Row]
    mode: ListMode
    size: int
    faults: Faults
    seed: int
    asked: int = 0

    @functools.cached_property
    def _keys(self) -> list[str]:
        return [row.key for row in self.rows]

    @property
    def keys(self) -> list[str]:
        """Return the keys of the objects that there are."""
        return [row.key for row in self.rows if row.latest and not row.hidden]

    def __call__(self, asked: Asked) -> Answer:
        """Answer a request."""
        self.asked += 1
        query = asked.query
        chance = Random(f"{self.seed} {sorted(query.items())}")
        if "delimiter" in query:
            return refusal(403, "AccessDenied")
        begin, fault = self._begin(query, chance)
        prefix = query.get("prefix", "")
        begin = max(begin, bisect_left(self._keys, prefix))
        stop = next((n for n in range(begin, len(self.rows)) if not self._keys[n].startswith(prefix)), None)
        stop = len(self.rows) if stop is None else stop
        end = min(begin + min(self.size, int(query.get("max-keys", self.size))), stop)
        more = end < stop
        shown = [row for row in self.rows[begin:end] if self.mode == "versions" or not row.hidden]
        page_fault = self._now(self.faults.page, chance)
        if page_fault == "empty" and more and begin:
            shown, end = [], begin
        elif page_fault == "empty and last" or fault == "is empty and last":
            shown, more = [], False
        elif fault == "ends early":
            more = False
        if self.mode == "versions":
            shown = sorted(shown, key=lambda row: not row.hidden)  # B2 gives a page's hide markers first
        then = f"{self._keys[end - 1]} {end}" if more else None
        count = (
            {"KeyCount": str(max(0, len(shown) + self._miscount(chance)))} if self.mode == "objects" else {}
        )
        return Answer(page(shown, self.mode, then=then, MaxKeys=str(self.size), **count))

    def _begin(self, query: dict[str, str], chance: Random) -> tuple[int, str | None]:
        """Return the row at which the page begins, and the token's fault if there is one."""
        token = query.get("continuation-token", "").rpartition(" ")[2] or query.get("version-id-marker")
        if token:
            fault = self._now(self.faults.token, chance)
            skipped = {"skips one": 1, "skips two": 2, "repeats one": -1}.get(fault or "", 0)
            return 0 if fault == "starts again" else max(0, int(token) + skipped), fault
        after = query.get("start-after") or query.get("key-marker")
        if not after:
            return 0, None
        fault = self._now(self.faults.start, chance)
        if fault == "ignored":
            return 0, None
        if fault == "includes its key":
            return bisect_left(self._keys, after), None
        begin = bisect_right(self._keys, after)
        if fault == "skips one" or (
            fault == "skips one if the key does not exist" and after not in self._keys
        ):
            begin += 1
        return begin, None

    def _now(self, fault: str | None, chance: Random) -> str | None:
        return fault if chance.random() < self.faults.share else None

    def _miscount(self, chance: Random) -> int:
        return {"one more": 1, "one less": -1}.get(self._now(self.faults.count, chance) or "", 0)


@st.composite
def rows(draw: st.DrawFn, mode: ListMode, wrong: Faults, most: int = 60) -> list[Row]:
    """Make any bucket: keys that begin alike, hidden files alone or in runs, keys with several versions.

    Where hidden files, or the versions of one key, fill a whole page, only a token leads on. So four objects
    come first where tokens are faulty: with fewer, nothing could show that. And pages are not filled that way
    where a fault comes now and then, or tokens and keys both lead to the wrong page.
    """
    names = draw(st.lists(st.text("abc/=+ é\ue000\U0001f600", min_size=1, max_size=5), max_size=most))
    chance = Random(draw(st.integers(0, 2**32)))
    hidden_share = draw(st.sampled_from([0.0, 0.0, 0.2, 0.9]))
    run_begin, run_end = sorted([chance.randrange(most), chance.randrange(most)])
    run = draw(st.booleans())
    steady = wrong.share == 1 and not (wrong.token and wrong.start)
    counts = [1, 1, 1, 2, 7] if steady else [1, 2]
    made = []
    for number, key in enumerate(sorted(set(names))):
        hidden = chance.random() < hidden_share or (run and run_begin <= number < run_end)
        hidden &= number > 3 if steady else not wrong.token
        versions = 1 if mode == "objects" or number < 4 else chance.choice(counts)
        made += [
            Row(key, size=1, latest=version == 0, hidden=hidden and version == 0)
            for version in range(versions)
        ]
    return [dataclasses.replace(row, version_id=str(number)) for number, row in enumerate(made, 1)]


def some_keys(host: FaultyHost) -> Iterable[str]:
    """Return what an index may know of the bucket: keys that exist, and keys that do not."""
    keys = Random(host.seed).sample(host.keys, len(host.keys) // 3)
    return [*keys, *(key + "!" for key in keys[::2])]
