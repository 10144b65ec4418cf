"""A bucket of keys that is listed as S3 hosts list one, from any key on, and what such a host gets wrong."""

import dataclasses
import itertools
import re
import threading
import urllib.parse
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

from pages import ROOT, Answer, Asked, Row, etag_of, page

from b2d1.media import MAX_KEY_BYTES, ListMode

# So long may a held request wait for others; then the test has failed, and is not to hang.
PATIENCE = 20.0

# What S3 answers.
Honest = Callable[[Asked], Answer]
# Answers a request, by what S3 answers to that one, or to another.
Conduct = Callable[[Asked, Honest], Answer]


def honest(asked: Asked, answer: Honest) -> Answer:
    """Answer as S3 does."""
    return answer(asked)


class _Entry(NamedTuple):
    name: str
    row: Row | None  # None: a common prefix


class KeyHost:
    """Answers requests for a bucket's pages; its rows are those of a key together, the latest first.

    `asked` are the requests so far, `most` says how many were under way at once. `conduct` may do something
    else than S3 does; it is called in the request's own thread.
    """

    def __init__(
        self, rows: Iterable[Row], mode: ListMode = "objects", *, size: int = 1000, utf16: bool = False
    ) -> None:
        self.conduct: Conduct = honest
        self.asked: list[Asked] = []
        self.most = 0
        # Where the page after one that was shown begins.
        self._ends: set[str] = set()
        self._under_way = 0
        self._lock = threading.Lock()
        self._mode = mode
        self._size = size
        self._order: Callable[[str], bytes] = (lambda name: name.encode("utf-16-be")) if utf16 else str.encode
        by_key = itertools.groupby(sorted(rows, key=lambda row: self._order(row.key)), lambda row: row.key)
        self._rows = [row for _, versions in by_key for row in self._listed(list(versions))]
        self._names = [self._order(row.key) for row in self._rows]

    def __call__(self, asked: Asked) -> Answer:
        """Answer a request."""
        with self._lock:
            self.asked.append(asked)
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        try:
            return self.conduct(asked, self._answer)
        finally:
            with self._lock:
                self._under_way -= 1

    def begins_range(self, asked: Asked) -> bool:
        """Return True if a request begins at another key than the one before the last of a page."""
        query = asked.query
        by_key = "start-after" in query or ("key-marker" in query and "version-id-marker" not in query)
        return by_key and comes_after(asked) not in self._ends

    def _listed(self, versions: list[Row]) -> list[Row]:
        return versions if self._mode == "versions" else [row for row in versions[:1] if not row.hidden]

    def _answer(self, asked: Asked) -> Answer:
        query = asked.query
        if len(comes_after(asked).encode()) > MAX_KEY_BYTES:
            return refusal(400, "KeyTooLongError")
        size = min(int(query.get("max-keys", self._size)), self._size)
        some = list(itertools.islice(self._entries(query), size + 1))
        shown, more = some[:size], len(some) > size
        rows = [entry.row for entry in shown if entry.row]
        if more and query.keys().isdisjoint({"delimiter", "max-keys"}):
            self._ends.update(list(dict.fromkeys(row.key for row in rows if not row.hidden))[-2:-1])
        if self._mode == "versions":  # B2 gives a page's hide markers first
            rows = sorted(rows, key=lambda row: not row.hidden)
        return Answer(self._written(rows, shown, more=more))

    def _written(self, rows: list[Row], shown: list[_Entry], *, more: bool) -> bytes:
        then = None
        if more:
            last = shown[-1]
            versions = f"{last.name} {last.row.version_id if last.row else ''}"
            then = last.name.encode().hex() if self._mode == "objects" else versions
        count = {"KeyCount": str(len(shown))} if self._mode == "objects" else {}
        body = page(rows, self._mode, then=then, **count)
        folders = "".join(
            f"<CommonPrefixes><Prefix>{urllib.parse.quote(entry.name, safe='/')}</Prefix></CommonPrefixes>"
            for entry in shown
            if not entry.row
        )
        end = f"</{ROOT[self._mode]}>".encode()
        return body.replace(end, folders.encode() + end)

    def _entries(self, query: dict[str, str]) -> Iterator[_Entry]:
        after, version = query.get("start-after", ""), None
        if self._mode == "versions":
            after, version = query.get("key-marker", ""), query.get("version-id-marker")
        if token := query.get("continuation-token"):
            after = bytes.fromhex(token).decode()
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        start = bisect_right(self._names, self._order(after))
        ids = [row.version_id for row in self._rows[bisect_left(self._names, self._order(after)) : start]]
        if version in ids:
            start -= len(ids) - ids.index(version) - 1
        for row in map(self._rows.__getitem__, range(start, len(self._rows))):
            if not row.key.startswith(prefix):
                continue
            folder, found, _ = row.key.removeprefix(prefix).partition(delimiter or "\0")
            if not found:
                yield _Entry(row.key, row)
            elif after != (common := prefix + folder + found):
                yield _Entry(after := common, None)


def objects(keys: Collection[str]) -> list[Row]:
    """Make an object of each key, with an ETag and a version id of its own."""
    return [Row(key, etag_of(key), len(key), version_id=f"4_z{etag_of(key)[1:33]}") for key in keys]


def numbered(count: int, form: str = "k{:05}") -> list[Row]:
    """Make so many objects, in order."""
    return objects([form.format(number) for number in range(count)])


def without(asked: Asked, *names: str, **changes: str) -> Asked:
    """Leave parameters out of a request; `changes` are others, with `_` for `-`."""
    query = {name: text for name, text in asked.query.items() if name not in names}
    return dataclasses.replace(
        asked, query=query | {name.replace("_", "-"): text for name, text in changes.items()}
    )


def comes_after(asked: Asked) -> str:
    """Tell the key after which the page that is asked for begins."""
    query = asked.query
    if token := query.get("continuation-token"):
        return bytes.fromhex(token).decode()
    return query.get("start-after") or query.get("key-marker") or ""


def ended(answer: Answer) -> Answer:
    """Let a page say that nothing follows."""
    body = re.sub(rb"<Next.*?</Next[^>]*>", b"", answer.body).replace(b"Truncated>true", b"Truncated>false")
    return Answer(body)


def refusal(status: int, code: str, **headers: str) -> Answer:
    """Write an error as S3 does; in names of headers `_` stands for `-`."""
    body = f"<Error><Code>{escape(code)}</Code><Message>said so</Message></Error>".encode()
    return Answer(body, status, {name.replace("_", "-"): text for name, text in headers.items()})


class Meeting:
    """Holds those who come until so many are there; from then on it lets everybody through."""

    def __init__(self, size: int) -> None:
        self.met = threading.Event()
        self._missing = size
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Come to the meeting."""
        with self._lock:
            self._missing -= 1
            if self._missing <= 0:
                self.met.set()
        if not self.met.wait(PATIENCE):
            raise AssertionError(f"{self._missing} more requests did not come")
