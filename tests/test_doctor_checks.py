"""What the doctor's checks say of what the sandbox cannot be: other hosts, odd listings, a moment in time."""

import datetime as dt
from collections.abc import Iterator

import pytest
from conftest import FakeTime, Stack
from pages import Answer, PageServer, Row, page
from pytest_httpserver import HTTPServer
from scripted_d1 import DATABASES, ID, NAME, envelope, settings

from b2d1.cli.doctor_view import folded
from b2d1.doctor.bucket import BucketChecks
from b2d1.doctor.configuration import settings_check, sound_parts
from b2d1.doctor.d1 import D1Checks
from b2d1.doctor.finding import Check, Found, Line, Status, fail, ok, run, telling_where, warn
from b2d1.doctor.key import KeyChecks
from b2d1.doctor.rows import RowChecks
from b2d1.errors import B2Error, D1Error
from b2d1.media import ListMode
from b2d1.setting_names import BOUNDING

NOW = dt.datetime(2026, 11, 22, 6, 17, tzinfo=dt.UTC)
AT_BACKBLAZE = {
    "B2_KEY_ID": "id",
    "B2_APP_KEY": "key",
    "B2_BUCKET": "photos",
    "B2_ENDPOINT": "s3.us-west-004.backblazeb2.com",
}
UID = "b2_" + "0" * 40


@pytest.fixture
def server() -> Iterator[PageServer]:
    """Run a server that gives out scripted pages."""
    with PageServer() as server:
        yield server


# The order of the checks


def test_a_failure_stops_only_what_needs_it() -> None:
    """What needs a failed check says which one it was, however far away; everything else is made."""

    def refuse() -> None:
        raise D1Error("no", hint="Do it.")

    checks = [
        Check("a", refuse),  # type: ignore[arg-type]
        Check("b", lambda: ok("b"), ("a",)),
        Check("c", lambda: ok("c"), ("b",)),
        Check("d", lambda: [warn("d1", "do"), fail(3, "d2", "do")]),
        Check("e", lambda: ok("e"), ("f",)),
        Check("f", lambda: ok("f")),
    ]

    assert list(run(checks)) == [
        Line("a", Status.FAIL, "no", "Do it.", 4),
        Line("b", Status.NOT_CHECKED, "it needs what failed above: a", "", 0),
        Line("c", Status.NOT_CHECKED, "it needs what failed above: a", "", 0),
        Line("d", Status.WARN, "d1", "do", 0),
        Line("d", Status.FAIL, "d2", "do", 3),
        Line("e", Status.OK, "e", "", 0),
        Line("f", Status.OK, "f", "", 0),
    ]


def test_what_one_cause_left_out_is_one_line() -> None:
    """Checks in a row that were not made for one reason are counted; others are passed on at once."""

    def line(check: str, status: Status, found: str) -> Line:
        return Line(check, status, found, "", 0)

    passed = list[str]()

    def lines() -> Iterator[Line]:
        for check, status, found in (
            ("a", Status.FAIL, "no"),
            ("b", Status.NOT_CHECKED, "it needs what failed above: a"),
            ("c", Status.NOT_CHECKED, "it needs what failed above: a"),
            ("d", Status.NOT_CHECKED, "it needs what failed above: z"),
            ("e", Status.OK, "well"),
            ("f", Status.OK, "well"),
            ("g", Status.NOT_CHECKED, "it needs what failed above: z"),
        ):
            passed.append(check)
            yield line(check, status, found)

    found = [(line, "".join(passed)) for line in folded(lines())]

    assert found == [
        (line("a", Status.FAIL, "no"), "a"),
        (line("2 checks", Status.NOT_CHECKED, "they need what failed above: a"), "abcd"),
        (line("d", Status.NOT_CHECKED, "it needs what failed above: z"), "abcde"),
        (line("e", Status.OK, "well"), "abcde"),
        (line("f", Status.OK, "well"), "abcdef"),
        (line("g", Status.NOT_CHECKED, "it needs what failed above: z"), "abcdefg"),
    ]


def test_an_error_without_a_hint_leads_on() -> None:
    """There is always something to do next."""

    def refuse() -> None:
        raise B2Error("odd")

    (line,) = run([Check("a", refuse)])  # type: ignore[arg-type]

    assert line.fix == "Run it again with -v, which shows each request."


# Settings

CLOUDFLARE = {"CLOUDFLARE_API_TOKEN": "token", "CLOUDFLARE_ACCOUNT_ID": "0" * 32}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        pytest.param({"B2_PREFFIX": "x"}, "B2_PREFIX", id="misspelt"),
        pytest.param({"B2_LIST_WORKER": "9"}, "B2_LIST_WORKERS", id="one that bounds nothing"),
        pytest.param({"B2_PREFFIX": "x", "B2_PREFIX": "y"}, None, id="the right one is set too"),
        pytest.param({"B2_APPLICATION_KEY": "x", "B2_APPLICATION_KEY_ID": "x"}, None, id="the b2 tool's"),
        pytest.param({"B2_ACCOUNT_ID": "x", "B2_ACCOUNT_KEY": "x"}, None, id="restic's"),
        pytest.param({"CLOUDFLARE_API_KEY": "x", "CLOUDFLARE_EMAIL": "x"}, None, id="wrangler's"),
        pytest.param({"CLOUDFLARE_DNS_API_TOKEN": "x", "CF_DNS_API_TOKEN": "x"}, None, id="lego's"),
        pytest.param({"CF_ACCESS_CLIENT_ID": "x", "CF_ZONE_ID": "x"}, None, id="Cloudflare's others"),
        pytest.param({"CLOUDFLARE_BASE_URL": "x"}, None, id="Cloudflare's library's"),
        pytest.param({"CLOUDFLARE_API_BASE_PATH": "x"}, None, id="Terraform's"),
        pytest.param({"MY_B2_PREFIX": "x", "RUN": "x"}, None, id="begins otherwise"),
        pytest.param({"DRYRUN": "1"}, "DRY_RUN", id="without its underline"),
        pytest.param({"SNAPSHOT_URL": "x"}, "SNAPSHOT_URI", id="a letter"),
        pytest.param({"MAX_NEW_PER_RUNS": "x"}, "MAX_NEW_PER_RUN", id="a letter more"),
        pytest.param({"CF_API_TOKEN": "token"}, None, id="an alias"),
    ],
)
def test_a_misspelt_optional_setting_is_told(given: dict[str, str], meant: str | None) -> None:
    """What is close to an optional setting that is not set is named, and nothing else is."""
    (line,) = run([settings_check(AT_BACKBLAZE | CLOUDFLARE | given)])

    status, said = Status.WARN, "is no setting of b2d1"
    if meant in BOUNDING:  # a run refuses it too
        status, said = Status.FAIL, "is not a setting"
    told = f"{next(iter(given))} {said}: did you mean {meant}?"
    sound = "all that are required are set, and none is malformed"
    assert (line.status, line.found) == ((status, told) if meant else (Status.OK, sound))


# The address asked


@pytest.mark.parametrize(
    ("found", "told", "fix"),
    [
        pytest.param(ok("well"), "well", "", id="ok"),
        pytest.param(
            fail(4, "refused", "Mend it."),
            "refused; asked at https://elsewhere, which URL names",
            "Mend it. If you mean Cloudflare itself, unset URL.",
            id="failed",
        ),
        pytest.param(
            fail(4, "no answer from https://elsewhere", "Mend it."),
            "no answer from https://elsewhere; URL names it",
            "Mend it. If you mean Cloudflare itself, unset URL.",
            id="failed, and said where",
        ),
    ],
)
def test_a_failure_tells_whom_a_setting_had_it_ask(found: Found, told: str, fix: str) -> None:
    """Only a failure names the address, once, and last of all how to ask the vendor itself."""
    check = Check("a", telling_where(lambda: found, "https://elsewhere", "URL", "Cloudflare"))

    (line,) = run([check])

    assert (line.found, line.fix) == (told, fix)


def test_who_asks_this_machine_is_not_sent_elsewhere() -> None:
    """A stand-in on this machine is meant: then only what failed there is mended."""
    check = Check(
        "a", telling_where(lambda: fail(4, "no", "Mend it."), "http://localhost", "URL", "Cloudflare")
    )

    (line,) = run([check])

    assert (line.found, line.fix) == ("no; asked at http://localhost, which URL names", "Mend it.")


# Endpoint and region


@pytest.mark.parametrize(
    ("env", "status", "found"),
    [
        pytest.param(
            {},
            Status.OK,
            "https://s3.us-west-004.backblazeb2.com, region us-west-004: not compared with the key's account",
            id="agree",
        ),
        pytest.param(
            {"B2_REGION": "us-east-005"},
            Status.FAIL,
            "it is in us-west-004, and B2_REGION is us-east-005",
            id="disagree",
        ),
        pytest.param(
            {"B2_ENDPOINT": "https://minio.test", "B2_REGION": "here"},
            Status.OK,
            "https://minio.test: not compared with the key's account; region here is B2_REGION's, which only "
            "a request can prove",
            id="another host",
        ),
    ],
)
def test_endpoint_and_region_are_compared_without_a_request(
    fake_time: FakeTime, env: dict[str, str], status: Status, found: str
) -> None:
    """Where the endpoint names its region, B2_REGION must not name another."""
    checks = KeyChecks(sound_parts(AT_BACKBLAZE | env), fake_time.retrying(), lambda: NOW).checks()

    (line,) = run([check for check in checks if check.name == "B2 endpoint"])

    assert (line.status, line.found, line.exit_code) == (status, found, 3 * (status is Status.FAIL))


@pytest.mark.parametrize(
    ("env", "asked"),
    [
        pytest.param({}, "https://api.backblazeb2.com", id="Backblaze"),
        pytest.param({"B2_ENDPOINT": ""}, "https://api.backblazeb2.com", id="no endpoint"),
        pytest.param(
            {"B2_ENDPOINT": "photos.s3.us-west-004.backblazeb2.com"},
            "https://api.backblazeb2.com",
            id="malformed, of Backblaze",
        ),
        pytest.param({"B2_BUCKET": "", "B2_LIST_MODE": "x"}, "https://api.backblazeb2.com", id="no bucket"),
        pytest.param({"B2_LIST_WORKERS": "x"}, "https://api.backblazeb2.com", id="no number"),
        pytest.param({"B2_ENDPOINT": "", "B2_NATIVE_URL": "https://b2.test"}, "https://b2.test", id="named"),
        pytest.param({"B2_ENDPOINT": "minio.test"}, None, id="another host, no region"),
        pytest.param({"B2_ENDPOINT": "minio.test/x", "B2_REGION": "x"}, None, id="another host, malformed"),
        pytest.param({"B2_ENDPOINT": "minio.test", "B2_REGION": "x"}, None, id="another host"),
        pytest.param({"B2_NATIVE_URL": "http://b2.test"}, None, id="malformed address"),
        pytest.param({"B2_KEY_ID": ""}, None, id="no key"),
    ],
)
def test_whom_a_key_is_sent_to(env: dict[str, str], asked: str | None) -> None:
    """The key goes to Backblaze, or where B2_NATIVE_URL says; never anywhere by a guess."""
    key = sound_parts(AT_BACKBLAZE | env).key

    assert (key.native_url if key else None) == asked


# The listing

ROWS = [Row("a"), Row("b")]
ORDER = "keys stand in the order of their bytes, each with a "
NO_ORDER = "keys stand in no order, or twice"
ASTRAL = [Row("a\U0001f600"), Row("a\ue000")]


@pytest.mark.parametrize(
    ("rows", "mode", "status", "found"),
    [
        pytest.param(ROWS, "objects", Status.OK, f"{ORDER}quoted ETag", id="objects"),
        pytest.param(ROWS, "versions", Status.OK, f"{ORDER}VersionId of B2's form, 4_z…", id="versions"),
        pytest.param(
            ASTRAL, "objects", Status.OK, "keys stand in UTF-16 order, each with a quoted ETag", id="UTF-16"
        ),
        pytest.param(ROWS[::-1], "objects", Status.FAIL, NO_ORDER, id="no order"),
        pytest.param([*ROWS, ROWS[1]], "objects", Status.FAIL, NO_ORDER, id="twice"),
        pytest.param(
            [Row("a"), Row("b", etag="0123")],
            "objects",
            Status.WARN,
            "1 of 2 objects without a quoted ETag: 'b' has 0123",
            id="bare ETag",
        ),
        pytest.param(
            [Row("a", version_id="v1")],
            "versions",
            Status.WARN,
            "1 of 1 object without a VersionId of B2's form, 4_z…: 'a' has v1",
            id="another host's versions",
        ),
        pytest.param(
            [Row("a"), Row("b", etag=None)],
            "objects",
            Status.FAIL,
            "listing bucket photos: 1 object has no identity: left out; the others were not: 'b'",
            id="no ETag",
        ),
    ],
)
def test_a_listing_is_looked_at(
    server: PageServer, fake_time: FakeTime, rows: list[Row], mode: ListMode, *, status: Status, found: str
) -> None:
    """Order and identities are as a run takes them for granted, or the line says which are not."""
    server.give(page(rows, mode))

    _, line, _ = run(BucketChecks(server.settings(mode), fake_time.retrying()).checks())

    assert (line.check, line.status, line.found) == ("B2 listing", status, found)


def test_a_listing_outside_the_prefix_is_no_listing(server: PageServer, fake_time: FakeTime) -> None:
    """A host that ignores the prefix is told."""
    server.give(page(ROWS))

    _, line, _ = run(BucketChecks(server.settings(prefix="b"), fake_time.retrying()).checks())

    assert (line.status, line.found) == (Status.FAIL, "keys do not begin with B2_PREFIX")


@pytest.mark.parametrize(
    ("following", "status", "found"),
    [
        pytest.param("b c", Status.OK, "a page requested by a key begins behind that key", id="right"),
        pytest.param(
            "c d", Status.FAIL, "asked for keys after 'a', the host lists 'c', not 'b'", id="skipped"
        ),
        pytest.param(
            "a b", Status.FAIL, "asked for keys after 'a', the host lists 'a', not 'b'", id="ignored"
        ),
        pytest.param("", Status.FAIL, "asked for keys after 'a', the host lists no key, not 'b'", id="empty"),
    ],
)
def test_a_page_that_is_requested_by_a_key_is_looked_at(
    server: PageServer, fake_time: FakeTime, following: str, *, status: Status, found: str
) -> None:
    server.give(page([Row("a"), Row("b")]), page([Row(key) for key in following.split()]))

    *_, line = run(BucketChecks(server.settings(), fake_time.retrying()).checks())

    assert (line.check, line.status, line.found) == ("B2 pages", status, found)


def test_an_empty_page_that_others_follow_is_no_fault(server: PageServer, fake_time: FakeTime) -> None:
    """B2 may answer with a page of nothing and go on: only a listing without an object is refused."""
    server.give(page([], then="more"))

    bucket, listing, _ = run(BucketChecks(server.settings(), fake_time.retrying()).checks())

    assert (bucket.status, listing.status) == (Status.OK, Status.OK)


def test_an_answer_that_is_no_listing_fails_the_bucket(server: PageServer, fake_time: FakeTime) -> None:
    """What the page reader refuses is the bucket's line, and the listing was not looked at."""
    server.give(Answer(b"<html></html>"))

    bucket, listing, _ = run(BucketChecks(server.settings(), fake_time.retrying(attempts=1)).checks())

    assert (bucket.status, bucket.exit_code, listing.status) == (Status.FAIL, 3, Status.NOT_CHECKED)


# The database


@pytest.mark.parametrize(
    ("told", "status"),
    [
        pytest.param({"uuid": ID.upper(), "name": NAME}, Status.OK, id="in capitals"),
        pytest.param({"uuid": "another", "name": NAME}, Status.FAIL, id="another one"),
        pytest.param([], Status.FAIL, id="a list"),
        pytest.param(None, Status.FAIL, id="nothing"),
    ],
)
def test_a_database_is_what_its_id_names(
    httpserver: HTTPServer, fake_time: FakeTime, told: object, status: Status
) -> None:
    """An id alone is looked up, and only an answer about that database is believed."""
    httpserver.expect_request(DATABASES).respond_with_json(envelope([]))
    httpserver.expect_request("/client/v4/user/tokens/verify").respond_with_json(
        envelope({"status": "active"})
    )
    httpserver.expect_request(f"{DATABASES}/{ID}").respond_with_json(envelope(told))
    checks = D1Checks(settings(httpserver.url_for("")), fake_time.retrying(attempts=1), lambda: NOW).checks()

    *_, line = run(checks)

    assert (line.check, line.status, line.exit_code) == ("D1 database", status, 4 * (status is Status.FAIL))


# The rows


def rows_of(stack: Stack, mode: ListMode | None = "objects", now: dt.datetime = NOW) -> dict[str, Line]:
    """Make the checks of rows; return their lines by name."""
    settings, retrying = stack.settings, stack.time.retrying()
    bucket, d1 = BucketChecks(settings.b2, retrying), D1Checks(settings.d1, retrying, lambda: now)
    checks = [*bucket.checks(), *d1.checks(), *RowChecks(d1, bucket, mode, lambda: now).checks()]
    return {line.check: line for line in run(checks)}


@pytest.mark.parametrize(
    ("ingested_at", "found"),
    [
        pytest.param("2026-11-22 06:16:40", "it came in less than a minute ago, at {} UTC", id="now"),
        pytest.param("2026-11-22 06:11:00", "it came in 6 min ago, at {} UTC", id="minutes"),
        pytest.param("2026-11-20 06:18:00", "it came in 47 h ago, at {} UTC", id="hours"),
        pytest.param("2026-11-15 06:17:00", "it came in 7 days ago, at {} UTC", id="days"),
        pytest.param("2026-11-22 06:20:00", "it came in less than a minute ago, at {} UTC", id="D1 is ahead"),
        pytest.param("last week", "it came in at {}", id="somebody's own form"),
    ],
)
def test_the_newest_rows_age_is_told(stack: Stack, ingested_at: str, found: str) -> None:
    """The row with the highest id tells when something last came in."""
    columns = "(media_uid, b2_key, b2_file_id, size, ingested_at)"
    stack.database().run(
        f"INSERT INTO media_assets {columns} VALUES ('x', 'x', '\"x\"', 1, '2020-01-01 00:00:00'), "
        f"('y', 'y', '\"y\"', 1, '{ingested_at}')",
        doing="filling",
    )

    line = rows_of(stack)["newest row"]

    assert (line.status, line.found) == (Status.OK, found.format(ingested_at))


def test_an_empty_table_is_no_fault(stack: Stack) -> None:
    """Before the first load all three lines are ok, and say so."""
    stack.b2.put("photos/a.jpg", b"a")

    lines = rows_of(stack)

    assert {name: (line.status, line.found) for name, line in lines.items() if name in ROW_CHECKS} == {
        "identity of the rows": (Status.OK, "the table is empty"),
        "newest row": (Status.OK, "the table is empty: the first run is the first load"),
        "bucket and table": (
            Status.OK,
            "the table is empty, and would get the 1 object of the bucket's first page",
        ),
    }


ROW_CHECKS = ("identity of the rows", "newest row", "bucket and table")


@pytest.mark.parametrize(
    ("hours", "status"), [pytest.param(26, Status.OK, id="in time"), pytest.param(27, Status.WARN, id="late")]
)
def test_an_object_is_late_after_26_hours(stack: Stack, hours: int, status: Status) -> None:
    """What a daily run could not have seen yet is no sign that none ran."""
    stack.b2.put("photos/a.jpg", b"a")
    stack.sync()
    stack.b2.put("photos/b.jpg", b"b")
    objects = [media for batch in stack.listing().batches() for media in batch.objects]
    (uploaded,) = [media.last_modified for media in objects if "b.jpg" in media.key]
    now = dt.datetime.fromisoformat(uploaded) + dt.timedelta(hours=hours)

    line = rows_of(stack, now=now)["bucket and table"]

    assert line.status is status
    assert line.found.startswith("the table lacks 1 of the 2 objects of the bucket's first page, ")
