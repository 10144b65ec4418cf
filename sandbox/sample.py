"""What the sample bucket holds: 3,000 photos, films and names that trip programs up, always the same."""

# ruff: noqa: RUF001 -- letters that look like others are what some of these names are for

import hashlib
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from itertools import cycle, islice

SIZE = 3000

_ALBUMS = (
    "opening day at yankee stadium",
    "world series game four",
    "barnstorming with the bustin babes",
    "spring training in st petersburg",
    "farewell speech, july 4th",
    "team portraits",
    "letters and contracts",
    "Columbia University years",
)
_CAMERAS = ("IMG", "DSC", "scan", "glass-plate", "negative")
_FILMS = (
    "newsreel {year} {album}.mp4",
    "home movie reel {number:02} ({year}).mov",
    "interview {year}-{number:02}.webm",
)

# Every one of them is a key that B2 takes: valid UTF-8, 1 to 1,024 bytes, nothing below U+0020.
AWKWARD_KEYS = (
    "photos/a.jpg",
    "video/opening day 1927.mp4",
    "été/Lou Gehrig – 1939.png",
    "日本語/写真.jpg",
    "😀.gif",
    " leading and trailing ",
    "a+b%2Fc&<d>.jpg",
    "/lead//double/",
    "colon:in:key",
    "plus+and space+.jpg",
    "percent/%2F.jpg",
    "percent/%zz.jpg",
    "percent/100%.jpg",
    "percent/%25252F.jpg",
    "query?list-type=2#fragment.jpg",
    'quotes/it\'s "quoted".jpg',
    "quotes/'); DROP TABLE media_assets;--",
    "markup/<Key>&amp;&lt;</Key>.jpg",
    "markup/]]>.jpg",
    "back\\slash\\photo.jpg",
    "//",
    "/",
    "trailing/slash/",
    "double//slash.jpg",
    "dots/../and/./more.jpg",
    "dir/",
    "dir/.bzEmpty",
    "spaces/  two  and  more .jpg",
    "spaces/no\u00a0break\u2003em\u3000wide.jpg",
    "spaces/trailing.jpg ",
    "astral/𝕷𝖔𝖚 𝕲𝖊𝖍𝖗𝖎𝖌.jpg",
    "astral/\U0001f468\u200d\U0001f469\u200d\U0001f467 family.jpg",
    "astral/\U0010ffff.jpg",
    # UTF-16 would sort these behind the astral ones above, UTF-8 sorts them before.
    "astral/\ue000 private use.jpg",
    "astral/\ufffd replacement.jpg",
    "astral/\ufffe no character.jpg",
    "astral/\uffff no character.jpg",
    "controls/\u0080\u0085\u009f.jpg",
    unicodedata.normalize("NFC", "accents/Zoë Müller.jpg"),
    unicodedata.normalize("NFD", "accents/Zoë Müller.jpg"),
    "accents/n\u0303\u0323.jpg",
    "case/Photo.JPG",
    "case/photo.jpg",
    "rtl/שלום עולם.jpg",
    "rtl/مرحبا بالعالم.jpg",
    "rtl/\u202egpj.exe",
    'json/{"key": null}.jpg',
    "null",
    "None",
    "-",
    "longs/" + "ü" * 507 + ".jpg",
)


def sample_objects() -> Iterator[tuple[str, bytes]]:
    """Give every upload that the sample bucket shows, oldest first.

    A few keys come twice: `dict(sample_objects())` is what a listing must find.
    """
    uploads = dict.fromkeys(AWKWARD_KEYS)
    for key in islice(_plain_keys(), SIZE - len(uploads)):
        uploads[key] = None
    for key in uploads:
        yield key, _body(key, edition=1)
    for key in list(uploads)[:: SIZE // 20]:
        yield key, _body(key, edition=2)


def hidden_objects() -> Iterator[tuple[str, bytes]]:
    """Give the uploads that the sample bucket hides again behind a marker."""
    for key in ("0 hidden, sorts first.jpg", "photos/1930/hidden/IMG_0001.jpg", "zz/hidden, sorts last.jpg"):
        yield key, _body(key, edition=1)


def new_objects(count: int) -> Iterator[tuple[str, bytes]]:
    """Give uploads that come after the sample's, for a run that is to find something."""
    for number in range(1, count + 1):
        key = f"photos/new/IMG_{number:04}.jpg"
        yield key, _body(key, edition=1)


def _plain_keys() -> Iterator[str]:
    mixed = zip(cycle(range(1903, 1942)), cycle(_ALBUMS), cycle(_CAMERAS), strict=False)
    for number, (year, album, camera) in enumerate(mixed, start=1):
        if number % 25 == 0:
            yield "video/" + _FILMS[number % 3].format(year=year, album=album, number=number)
        elif number % 60 == 1:
            yield f"scans/{year}/{album}/contact sheet {number:04}.png"
        else:
            yield f"photos/{year}/{album}/{camera}_{year}_{number:04}{' (restored)' * (number % 7 == 0)}.jpg"


def _body(key: str, edition: int) -> bytes:
    if key.endswith(("/", ".bzEmpty")):
        return b""
    digest = hashlib.sha256(f"{edition}:{key}".encode()).digest()
    if key.endswith(".png"):
        return png(digest)
    return digest * (1 + digest[0] // 2)


def png(seed: bytes) -> bytes:
    """Draw a small picture, another one for another seed."""
    width, height = 16, len(seed)
    colours = (seed[:3], seed[3:6])
    rows = (b"\0" + b"".join(colours[seed[y] >> x % 8 & 1] for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
