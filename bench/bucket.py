"""A bucket that is computed, not stored: everything about an object is made from its index.

So a bucket of a million objects takes no memory, and a key is found again by bisection. The same alphabet,
size and seed give the same objects.
"""

import datetime as dt
import itertools
import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote_plus


class Alphabet(NamedTuple):
    """The names that keys are put together from; none of them holds what XML would escape."""

    folders: tuple[str, ...]
    year: str
    albums: tuple[str, ...]
    subjects: tuple[str, ...]


# Keys of 60 bytes on average.
ALPHABETS = {
    "ascii": Alphabet(
        ("archive", "film-stills", "letters", "negatives", "photographs", "press", "scans", "video"),
        "{}",
        (
            *("opening day", "world-series-game-four", "barnstorming-tour-west", "spring-training"),
            *("farewell speech, july 4th", "team_portraits", "columbia-university", "all-star-game"),
        ),
        ("lou-gehrig-at-bat", "babe-ruth-swings", "dugout", "yankee-stadium-grandstand", "the-whole-team"),
    ),
    "non-ascii": Alphabet(
        ("写真", "手紙", "新聞", "映像", "記録", "été", "Fußball", "Müller"),
        "{}年",
        (
            *("開幕日", "ワールドシリーズ", "巡業の旅", "春季キャンプ", "引退の挨拶"),
            *("集合写真", "大学時代", "Zoë Müller en été"),
        ),
        ("ルー・ゲーリッグ", "ベーブ・ルース", "ベンチにて", "球場 (2)", "équipe"),
    ),
}
YEARS = range(1923, 1940)

BUCKET_ID = "5024f157b1a6db506a8e0c19"
FIRST_UPLOAD = dt.datetime(2024, 3, 9, 14, 0, 0, tzinfo=dt.UTC)
EPOCH = int(FIRST_UPLOAD.timestamp())
UPLOAD_DAYS = 500
UPLOAD_SECONDS = UPLOAD_DAYS * 86_400
# Days and minutes are written only once: all dates of a page one by one would take longer than all the rest.
DAYS = [f"{FIRST_UPLOAD + dt.timedelta(days=day):%Y-%m-%d}" for day in range(UPLOAD_DAYS + 1)]
MINUTES = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(24 * 60)]
LARGEST = 25_000_000
# Times an odd number, indexes become as many different numbers of 128 bits, which look like digests.
SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835
DIGESTS = 2**128


class SyntheticBucket:
    """So many objects with keys of one alphabet, in byte order, each in one version."""

    def __init__(self, alphabet: str, objects: int, *, name: str = "bench", seed: int = 0) -> None:
        self.name = name
        self.objects = objects
        self._seed = random.Random(seed).getrandbits(128)
        names = ALPHABETS[alphabet]
        # A name and the slash after it begin no other such name: so the names' order is the keys' order.
        folders, albums = (sorted(f"{name}/" for name in part) for part in (names.folders, names.albums))
        years = (f"{names.year.format(year)}/" for year in YEARS)
        self._paths = list(map("".join, itertools.product(folders, years, albums)))
        self._endings = [f"-{subject}.jpg" for subject in names.subjects]
        self._in_each = max(1, -(-objects // len(self._paths)))
        # Encoded part by part, once: a page of keys one by one would take longer than all the rest.
        self._url_paths, self._url_endings = (
            list(map(url_encoded, part)) for part in (self._paths, self._endings)
        )

    def key(self, index: int) -> str:
        path, number = divmod(index, self._in_each)
        return f"{self._paths[path]}{number:07}{self._endings[index % len(self._endings)]}"

    def url_key(self, index: int) -> str:
        """Return the key as a list page has it under encoding-type=url."""
        path, number = divmod(index, self._in_each)
        return f"{self._url_paths[path]}{number:07}{self._url_endings[index % len(self._endings)]}"

    def between(self, after: str, prefix: str) -> range:
        """Find the indexes of the keys that come after a text and begin with a prefix."""
        all_keys = range(self.objects)
        begin = max(bisect_right(all_keys, after, key=self.key), bisect_left(all_keys, prefix, key=self.key))
        return all_keys[begin : begin + len(self.beginning_with(prefix, all_keys[begin:]))]

    def beginning_with(self, prefix: str, keys: range) -> range:
        """Find those of the keys that begin with a prefix; none of them may come before it."""
        return keys[: bisect_right(keys, prefix, key=lambda index: self.key(index)[: len(prefix)])]

    def rows(self, indexes: Iterable[int]) -> Iterator[tuple[str, str, int]]:
        """Yield each object's ETag, its quotes included, its date, and its size."""
        seed, since_midnight = self._seed, FIRST_UPLOAD.hour * 3600
        for index in indexes:
            number = index * SPREAD % DIGESTS ^ seed
            day, second = divmod(number % UPLOAD_SECONDS + since_midnight, 86_400)
            minute, second = divmod(second, 60)
            yield f'"{number:032x}"', f"{DAYS[day]}T{MINUTES[minute]}:{second:02}.000Z", number % LARGEST

    def etag(self, index: int) -> str:
        """Return an object's ETag, its quotes included."""
        return next(self.rows([index]))[0]

    def last_modified(self, index: int) -> str:
        return next(self.rows([index]))[1]

    def size(self, index: int) -> int:
        return next(self.rows([index]))[2]

    def version_id(self, index: int) -> str:
        """Return a version id of B2's form: https://www.backblaze.com/docs/cloud-storage-files."""
        _, uploaded, _ = next(self.rows([index]))
        day, time = uploaded[:19].replace("-", "").replace(":", "").split("T")
        number = index * SPREAD % DIGESTS ^ self._seed
        # Newer files have the milliseconds at the end: https://github.com/iterate-ch/cyberduck/issues/14768
        return (
            f"4_z{BUCKET_ID}_f{number >> 64:016x}_d{day}_m{time}_c004_v0402{index % 1000:03}_t0021"
            f"_u0{EPOCH + number % UPLOAD_SECONDS}000"
        )


def url_encoded(text: str) -> str:
    """Encode as S3 does under encoding-type=url: slashes stay, a blank becomes a plus sign."""
    return quote_plus(text, safe="/")
