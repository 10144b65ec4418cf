"""A bucket that is computed, not stored: everything about an object is made from its index.

So a bucket of a million objects takes no memory, and a key is found again by bisection. The same alphabet,
size and seed give the same objects.
"""

import datetime as dt
import itertools
import random
from bisect import bisect_left, bisect_right
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
UPLOAD_SECONDS = 500 * 86_400
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
        end = bisect_right(all_keys, prefix, key=lambda index: self.key(index)[: len(prefix)])
        return all_keys[begin:end]

    def etag(self, index: int) -> str:
        """Return an object's ETag, its quotes included."""
        return f'"{self._number(index):032x}"'

    def size(self, index: int) -> int:
        return self._number(index) % LARGEST

    def last_modified(self, index: int) -> str:
        return f"{self._uploaded(index).isoformat()[:19]}.000Z"

    def version_id(self, index: int) -> str:
        """Return a version id of B2's form: https://www.backblaze.com/docs/cloud-storage-files."""
        uploaded = self._uploaded(index)
        # Newer files have the milliseconds at the end: https://github.com/iterate-ch/cyberduck/issues/14768
        return (
            f"4_z{BUCKET_ID}_f{self._number(index) >> 64:016x}_d{uploaded:%Y%m%d_m%H%M%S}"
            f"_c004_v0402{index % 1000:03}_t0021_u0{uploaded.timestamp():.0f}000"
        )

    def _number(self, index: int) -> int:
        return index * SPREAD % DIGESTS ^ self._seed

    def _uploaded(self, index: int) -> dt.datetime:
        return FIRST_UPLOAD + dt.timedelta(seconds=self._number(index) % UPLOAD_SECONDS)


def url_encoded(text: str) -> str:
    """Encode as S3 does under encoding-type=url: slashes stay, a blank becomes a plus sign."""
    return quote_plus(text, safe="/")
