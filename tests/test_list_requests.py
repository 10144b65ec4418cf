"""What a listing costs: small buckets nothing extra, large ones few requests more than listed straight."""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

import pytest
from key_host import Honest, KeyHost, Meeting, numbered, objects, refusal
from listings import Buckets, listed, new_bucket
from pages import Answer, Asked, PageServer

from b2d1.b2.throttle import ANSWERS_TO_GROW
from b2d1.listing.landmarks import LEVELS, LOOKS, landmarks
from b2d1.listing.listing import STRAIGHT_PAGES, UNKNOWN_PAGES
from b2d1.media import ListMode
from b2d1.retry import Retrying

MODES: list[ListMode] = ["objects", "versions"]


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer() as server:
        yield server


@pytest.fixture(scope="module")
def make() -> Iterator[Buckets]:
    with ExitStack() as servers:
        yield Buckets(servers)


# A page shows the last key of the one before again: one of 11 rows brings 10 new objects.


def never() -> list[str]:
    raise AssertionError("nobody was to ask which keys are known")


def kinds(host: KeyHost) -> dict[str, int]:
    """Count the requests for folders, for single keys, for a range's first page, and for other pages."""
    return dict(Counter(kind_of(host, asked) for asked in host.asked))


def kind_of(host: KeyHost, asked: Asked) -> str:
    if "delimiter" in asked.query:
        return "folders"
    if asked.query.get("max-keys") == "1":
        return "feeler"
    return "range" if host.begins_range(asked) else "page"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("pages", "workers"),
    [
        pytest.param(1, 16, id="one page"),
        pytest.param(3, 16, id="three pages"),
        pytest.param(80, 1, id="one worker"),
    ],
)
def test_a_straight_listing_asks_for_its_pages_alone(
    make: Buckets, mode: ListMode, pages: int, workers: int
) -> None:
    """Up to three pages, or with one worker, nobody asks for keys, for folders, or for two pages at once."""
    rows = numbered(10 * pages + 1)
    host = KeyHost(rows, mode, size=11)

    assert listed(make(host, mode, workers=workers), never).keys == [row.key for row in rows]
    assert (kinds(host), host.most) == ({"page": pages}, 1)


@pytest.mark.parametrize("pages", [4, 5, 7])
def test_known_keys_that_are_nearly_passed_cost_nothing_more(make: Buckets, pages: int) -> None:
    """A bucket little over three pages long, as its index knows, is asked for its pages alone."""
    rows = numbered(20 * pages + 1)
    host = KeyHost(rows, size=21)

    found = listed(make(host, workers=16), lambda: [row.key for row in rows])

    assert (found.keys, found.parts, kinds(host)) == ([row.key for row in rows], 1, {"page": pages})


@pytest.mark.parametrize("known", [0, 45, 65])
def test_where_known_keys_end_and_the_bucket_does_not_it_tells_more_itself(make: Buckets, known: int) -> None:
    """Behind the last key that is known, when five pages are listed, folders and keys are looked for."""
    keys = sorted(f"{folder}/{number:02}" for folder in range(8) for number in range(50))
    host = KeyHost(objects(keys), size=11)
    straight, meeting = max(UNKNOWN_PAGES, known // 10 + 1), Meeting(2)

    def side_by_side(asked: Asked, answer: Honest) -> Answer:
        if kind_of(host, asked) == "range" or kinds(host)["page"] > straight + 3:
            meeting()
        return answer(asked)

    host.conduct = side_by_side
    found = listed(make(host, workers=4), lambda: keys[:known])

    first_kinds = [kind_of(host, asked) for asked in host.asked]
    assert (found.keys, found.parts > 1) == (keys, True)
    assert first_kinds.index("folders") == straight


@pytest.mark.slow
def test_known_keys_divide_a_large_bucket_at_few_more_requests(make: Buckets) -> None:
    """With a thousand of its keys known, a large bucket costs at most 3 % more and a page more a worker."""
    keys = [row.key for row in numbered(3000)]
    host = KeyHost(numbered(3000), size=3)
    known = Random(1).sample(keys, 1000)
    samples = []

    def sample() -> list[str]:
        samples.append(known)
        return known

    found = listed(make(host, workers=16), sample)

    assert (found.keys, samples) == (keys, [known])
    assert kinds(host).keys() == {"page", "range"}
    assert found.parts > 8
    assert len(host.asked) <= 1500 * 1.03 + 16


def test_keys_that_are_gone_do_not_keep_a_bucket_undivided(make: Buckets) -> None:
    """An index most of whose keys are gone, from where the bucket begins, still divides the rest."""
    keys = [row.key for row in numbered(2000)]
    host = KeyHost(numbered(2000), size=6)
    known = [f"a{number}" for number in range(900)] + Random(1).sample(keys, 100)

    found = listed(make(host, workers=8), lambda: known)

    assert (found.keys, kinds(host).keys()) == (keys, {"page", "range"})
    assert found.parts >= 4
    assert len(host.asked) <= 400 * 1.03 + 8


YEARS = [f"{year}/{month:02}/" for year in (2022, 2023) for month in range(1, 13)]
TREE = [f"{folder}IMG_{number:04}.jpg" for folder in YEARS for number in range(12)]
FLAT = [f"IMG_{number:03}.jpg" for number in range(1, 400)]
MANY = [f"{folder:02}/{number}" for folder in range(40) for number in range(5)]
HUGE = ["about.txt", *(f"export/{number * 2654435761 % 2**32:08x}" for number in range(400)), "z/last"]


@pytest.mark.parametrize(
    ("status", "code", "most"),
    [
        pytest.param(403, "AccessDenied", 1 + LOOKS, id="refused"),
        pytest.param(503, "SlowDown", 1 + 4, id="busy: each worker asks once, and nobody again"),
    ],
)
def test_who_does_not_tell_where_to_divide_is_listed_all_the_same(
    make: Buckets, caplog: pytest.LogCaptureFixture, status: int, code: str, most: int
) -> None:
    """Where requests for inner folders fail the listing goes on without them, is whole, and says so once."""
    caplog.set_level(logging.INFO, "b2d1")

    def folders_refused(asked: Asked, answer: Honest) -> Answer:
        inner = kind_of(host, asked) == "folders" and asked.query.get("prefix")
        return refusal(status, code) if inner else answer(asked)

    host = KeyHost(objects(MANY), size=6)
    host.conduct = folders_refused
    found = listed(make(host, workers=4))

    told = [message for message in caplog.messages if "where to divide" in message]
    assert (found.keys, len(told)) == (sorted(MANY), 1)
    assert kinds(host)["folders"] <= most


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("keys", "size", "prefix", "most"),
    [
        pytest.param(TREE, 5, "", 35, id="folders of folders"),
        pytest.param(TREE, 12, "2022/", 29, id="below a prefix"),
        pytest.param(FLAT, 10, "", 17, id="one flat folder"),
        pytest.param(HUGE, 5, "", 19, id="one huge folder"),
    ],
)
def test_a_first_load_finds_out_where_to_divide(
    make: Buckets, *, mode: ListMode, keys: list[str], size: int, prefix: str, most: int
) -> None:
    """Of a bucket that nobody knows, a few requests tell enough for its ranges to be listed side by side."""
    host = KeyHost(objects(keys), mode, size=size)
    meeting = Meeting(2)

    def side_by_side(asked: Asked, answer: Honest) -> Answer:
        if kind_of(host, asked) == "range" or kinds(host)["page"] > UNKNOWN_PAGES:
            meeting()
        return answer(asked)

    host.conduct = side_by_side
    found = listed(make(host, mode, workers=4, prefix=prefix))

    asked = kinds(host)
    assert found.keys == sorted(key for key in keys if key.startswith(prefix))
    assert asked["folders"] + asked.get("feeler", 0) <= most
    assert found.parts > 1


def test_the_search_for_landmarks_is_bounded(make: Buckets) -> None:
    """However many folders within folders there are, and however large each is, few requests are made."""
    keys = [f"{a}/{b}/{c}/{n}" for a in "abcdefg" for b in "abc" for c in "abc" for n in range(4)]
    host = KeyHost(objects(keys), size=2)

    landmarks(make(host, workers=4))

    assert len(host.asked) <= LEVELS * 2 * LOOKS


@pytest.mark.parametrize("status", [400, 403, 501])
def test_a_host_that_refuses_folders_is_listed_all_the_same(make: Buckets, status: int) -> None:
    """Where nobody may ask for folders, nothing is found, and the bucket is listed straight."""
    host = KeyHost(objects(TREE), size=51)

    def refusing(asked: Asked, answer: Honest) -> Answer:
        if "delimiter" in asked.query:
            return refusal(status, "NotImplemented")
        return answer(asked)

    host.conduct = refusing
    found = listed(make(host, workers=4))

    assert (found.keys, found.parts, kinds(host)) == (TREE, 1, {"page": 6, "folders": 1})


def test_a_folder_without_a_name_divides_nothing(make: Buckets) -> None:
    """A host that lists a folder and not its name is listed all the same."""
    host = KeyHost(objects(TREE), size=51)

    def nameless(asked: Asked, answer: Honest) -> Answer:
        # Encoded, it would be botocore that stumbles.
        plain = answer(asked).body.replace(b"<EncodingType>url</EncodingType>", b"")
        return Answer(re.sub(rb"<Prefix>[^<]*</Prefix></Common", b"</Common", plain))

    host.conduct = nameless

    assert listed(make(host, workers=4)).keys == TREE


def test_a_prefix_that_the_orders_place_differently_is_no_hindrance(make: Buckets) -> None:
    """Known keys divide a bucket also below a prefix with characters beyond U+D7FF: nothing else is asked."""
    keys = [row.key for row in numbered(400, "\U0001f600/{:03}")]
    host = KeyHost(objects(keys), size=6)

    found = listed(make(host, workers=4, prefix="\U0001f600/"), lambda: keys)

    assert found.keys == keys
    assert (found.parts > 1, kinds(host).keys()) == (True, {"page", "range"})


@pytest.mark.slow
def test_a_busy_host_is_asked_half_as_much_until_it_answers_again(
    server: PageServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused, half as many requests are under way, and later as many as before; no page is lost."""
    rows = numbered(2400)
    host = KeyHost(rows, size=3)
    all_busy, half, all_again = Meeting(16), Meeting(8), Meeting(16)
    at_once: list[int] = []

    def busy(asked: Asked, answer: Honest) -> Answer:
        number = len(host.asked)
        if number <= STRAIGHT_PAGES:
            return answer(asked)
        if not all_busy.met.is_set():
            all_busy()
            return refusal(503, "SlowDown")
        at_once.append(host._under_way)
        if len(at_once) <= 8:
            half()
        elif number > 700:
            all_again()
        return answer(asked)

    host.conduct = busy
    bucket = new_bucket(server, host, workers=16, retrying=Retrying(sleep=lambda _: None))
    found = listed(bucket, lambda: [row.key for row in rows])

    assert found.keys == [row.key for row in rows]
    assert max(at_once[: 8 * ANSWERS_TO_GROW]) == 8
    assert max(at_once) == 16
    assert [line for line in caplog.messages if "busy" in line] == ["B2 is busy: at most 8 requests at once"]
    assert len(host.asked) <= 1200 * 1.03 + 16 + 16
