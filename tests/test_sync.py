"""The whole job against the embedded bucket and database."""

import dataclasses
import hashlib
import json
import logging
import math
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from conftest import AnyD1, FakeTime, Stack
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from objects import ROWS, Objects, as_row, execute, fill, numbered, run
from pytest_httpserver import HTTPServer
from scripted_d1 import answer, script
from werkzeug.wrappers import Response

from b2d1.b2.bucket import Bucket
from b2d1.d1.database import Database
from b2d1.errors import B2D1Error, B2Error, D1Error, GuardRefusal
from b2d1.listing.listing import Listing
from b2d1.media import MediaObject, media_uid
from b2d1.sync import plan_sql
from b2d1.sync.plan import CHUNK_ROWS
from b2d1.sync.steps import Job, sync
from b2d1.table.media_assets import UIDS_PER_REQUEST
from b2d1.table.schema import CREATE_TABLE
from sandbox.b2 import EmbeddedB2
from sandbox.forwarder import Forwarder


def quoted_etag(body: bytes) -> str:
    """Compute the ETag that S3 gives an object, quotes included."""
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def row_of(key: str, body: bytes) -> tuple[Any, ...]:
    """Work out an object's row from nothing but what the table promises."""
    etag = quoted_etag(body)
    uid = "b2_" + hashlib.sha256(f"{etag}:{key}".encode()).hexdigest()[:40]
    return uid, key, etag, len(body), etag


def words(d1: AnyD1) -> set[str]:
    """Tell the first words of all statements sent."""
    return {text.split()[0] for text in d1.statements}


@pytest.fixture
def bare(b2: EmbeddedB2, d1: AnyD1, fake_time: FakeTime) -> Stack:
    """Provide both servers, and a database without any table."""
    return Stack(b2, d1, fake_time)


@pytest.fixture
def forwarder(stack: Stack) -> Iterator[Forwarder]:
    """Put a forwarder between the stack and its database."""
    with Forwarder(stack.d1.url) as forwarder:
        stack.extra["CLOUDFLARE_API_BASE_URL"] = forwarder.url
        yield forwarder


FIRST_OR_KNOWN = [pytest.param(0, id="a first run"), pytest.param(1, id="a known bucket")]


class TestCompareAndInsert:
    """What the bucket has and the table lacks gets in, once."""

    def test_the_report_tells_all_there_is(self, stack: Stack) -> None:
        """A first run reports every figure, each as the servers count it themselves."""
        bodies = {"photos/a.jpg": b"a", "photos/b.jpg": b"bb", "photos/写真 🎞.jpg": b"ccc"}
        for key, body in bodies.items():
            stack.b2.put(key, body)

        report = stack.sync()

        assert stack.rows(ROWS) == [row_of(key, body) for key, body in bodies.items()]
        told = report.as_dict()
        assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", told.pop("run_id"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told.pop("started_at"))
        assert told.pop("duration_ms") >= 0
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{8}){2}-[0-9a-f]{32}", told.pop("bookmark"))
        assert re.fullmatch(r"[0-9a-f]{64}", told.pop("listing_sha256"))
        assert told.pop("rows_read") > 0
        assert told == {
            "bucket": "b2d1-sandbox",
            "prefix": "",
            "list_mode": "objects",
            "key_order": "utf-8",
            "database_name": "lgfc_lite",
            "database_id": "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39",
            "dry_run": False,
            "discovered": 3,
            "known": 0,
            "new": 3,
            "inserted": 3,
            "confirmed": True,
            "deferred": 0,
            "unidentified": 0,
            "excluded": 0,
            "rounds": 1,
            "checked": 3,
            "missing_after": 0,
            "list_requests": len(stack.b2.requests),
            "d1_requests": len(stack.d1.requests),
            "rows_written": 10,  # the row, its two index entries, and the counter of the ids once
            "changed_db": True,
            "shrunk_by": 0,
            "snapshot": None,
        }
        assert report.shortfall() is None

    def test_a_second_run_with_nothing_new_sends_nothing_but_select(self, stack: Stack) -> None:
        """Nothing new, nothing written: every statement of the second run is a SELECT."""
        stack.b2.put("photos/a.jpg", b"a")
        stack.b2.put("photos/b.jpg", b"b")

        first = stack.sync()
        stack.d1.statements.clear()
        stack.d1.requests.clear()
        second = stack.sync()

        assert (first.new, first.inserted, first.missing_after) == (2, 2, 0)
        assert (second.new, second.known, second.rows_written, second.changed_db) == (0, 2, 0, False)
        assert [text.split()[0] for text in stack.d1.statements] == ["SELECT"] * len(stack.d1.statements)
        assert stack.d1.statements
        assert (second.rounds, second.inserted, second.missing_after, second.bookmark) == (0, 0, 0, None)
        assert not [path for path in stack.d1.requests if "time_travel" in path]

    def test_only_what_changed_is_inserted(self, stack: Stack) -> None:
        """New content at a key is a second row beside the first; what is gone from the bucket stays."""
        for key in ("a", "b", "c"):
            stack.b2.put(key, b"1")
        stack.sync()
        stack.b2.put("b", b"22")
        stack.b2.hide("c")
        report = stack.sync()
        assert (report.discovered, report.known, report.new, report.inserted) == (2, 1, 1, 1)
        assert stack.rows(ROWS) == [row_of(key, b"1") for key in "abc"] + [row_of("b", b"22")]

    @pytest.mark.parametrize("rows", FIRST_OR_KNOWN)
    @pytest.mark.parametrize("dry_run", [False, True])
    @pytest.mark.parametrize(
        ("prefix", "message"),
        [
            pytest.param("", "not one object was listed", id="no prefix"),
            pytest.param("fotos/", "not one object was listed whose key begins with 'fotos/'", id="a prefix"),
        ],
    )
    def test_an_empty_listing_is_refused(
        self, stack: Stack, tmp_path: Path, *, rows: int, dry_run: bool, prefix: str, message: str
    ) -> None:
        """Where nothing is listed nothing is written, neither row nor snapshot, and the prefix is named."""
        if rows:
            fill(stack.d1, [row_of("a", b"1")])
        stack.extra |= {"SNAPSHOT_URI": str(tmp_path / "kept.json"), "B2_PREFIX": prefix}
        (tmp_path / "kept.json").write_text("as it was")

        with pytest.raises(GuardRefusal) as refusal:
            stack.sync(dry_run=dry_run)

        assert (str(refusal.value), refusal.value.exit_code) == (message, 5)
        assert refusal.value.hint == (
            "The usual cause is the prefix (B2_PREFIX, --prefix, the event's), or another bucket. "
            "If it is to be empty: run with --adopt."
        )
        assert ((tmp_path / "kept.json").read_text(), words(stack.d1)) == ("as it was", {"SELECT"})
        assert len(stack.rows()) == rows

    @pytest.mark.parametrize("rows", FIRST_OR_KNOWN)
    def test_an_emptied_bucket_is_no_change(
        self, stack: Stack, caplog: pytest.LogCaptureFixture, rows: int
    ) -> None:
        """A bucket known to be empty takes nothing from the table, gives it nothing, and is remarked upon."""
        known = [row_of("a", b"1")][:rows]
        if known:
            fill(stack.d1, known)
        report = stack.sync(adopt=True)
        cause = "The usual cause is the prefix (B2_PREFIX, --prefix, the event's), or another bucket."
        assert caplog.messages == [f"not one object was listed. {cause}"]
        assert (report.discovered, report.known, report.new, words(stack.d1)) == (0, 0, 0, {"SELECT"})
        assert stack.rows(ROWS) == known

    @pytest.mark.parametrize("name", ["kept.json", "kept.json.gz"])
    def test_a_bucket_that_has_shrunk_is_told_and_loses_no_row(
        self, stack: Stack, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
    ) -> None:
        """Under half of the last snapshot's objects is a warning, once; every row stays."""
        job = {"snapshot_uri": str(tmp_path / name)}
        first, _ = run(stack, Objects(numbered(250)), **job)
        second, _ = run(stack, Objects(numbered(17)), **job)
        third, _ = run(stack, Objects(numbered(17)), **job)

        assert [report.shrunk_by for report in (first, second, third)] == [0, 233, 0]
        assert [report.snapshot and report.snapshot.objects_before for report in (first, second, third)] == [
            *(None, 250, 17)
        ]
        said = (
            "the last snapshot has 250 objects, this listing 17: are the prefix and B2_EXCLUDE right? "
            "Every row stays"
        )
        assert caplog.messages == [said]
        assert (len(stack.rows()), second.rows_written, second.snapshot and second.snapshot.changed) == (
            *(250, 0, True),
        )

    def test_without_a_snapshot_nobody_knows_what_there_was(
        self, stack: Stack, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Rows of objects that left the bucket stay, so their number says nothing of what is gone."""
        run(stack, Objects(numbered(250)))

        assert (run(stack, Objects(numbered(1)))[0].shrunk_by, caplog.messages) == (0, [])

    def test_all_rows_or_none(self, stack: Stack) -> None:
        """An insert that fails in its middle leaves no row behind, and is not tried again."""
        execute(
            stack.d1,
            "DROP TABLE media_assets;"
            + CREATE_TABLE.replace("size INTEGER NOT NULL", "size INTEGER CHECK (size < 3)"),
        )
        for key, body in (("a", b"1"), ("b", b"333"), ("c", b"1")):
            stack.b2.put(key, body)
        with pytest.raises(D1Error, match=r"inserting: .*CHECK constraint failed") as failure:
            stack.sync()
        assert failure.value.exit_code == 4
        assert stack.rows() == []
        assert len([text for text in stack.d1.statements if text.startswith("INSERT")]) == 1

    def test_the_first_line_of_the_log_names_the_database_by_its_id(
        self, stack: Stack, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whoever reads the log knows which database a run wrote to."""
        stack.b2.put("a", b"1")
        with caplog.at_level(logging.INFO, "b2d1"):
            report = stack.sync()
        lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
        assert lines[0] == f"run {report.run_id}: database {report.database_id} (lgfc_lite)"

    @pytest.mark.parametrize(
        ("ddl", "message"),
        [
            pytest.param("DROP TABLE media_assets", "there is no table media_assets", id="no table"),
            pytest.param(
                f"DROP TABLE media_assets; CREATE TABLE media_assets ({ROWS})",
                "no unique index",
                id="no unique index",
            ),
        ],
    )
    def test_an_unfit_table_stops_the_run_before_the_listing(
        self, stack: Stack, ddl: str, message: str
    ) -> None:
        """A table that is not as needed is exit 4, before anything is listed, asked or written."""
        stack.b2.put("a", b"1")
        execute(stack.d1, ddl)
        with pytest.raises(D1Error, match=message) as failure:
            stack.sync()
        assert (failure.value.exit_code, len(stack.d1.statements), stack.b2.requests) == (4, 1, [])


@pytest.fixture(scope="module")
def shared(module_d1: AnyD1) -> Iterator[tuple[Stack, Bucket]]:
    """Provide one stack, and one client of its bucket, for many examples."""
    with EmbeddedB2(fill=False) as b2:
        stack = Stack(b2, module_d1, FakeTime())
        stack.migrate()
        yield stack, Bucket(stack.settings.b2, stack.time.retrying())  # type: ignore[arg-type]


# What B2 takes as a name: up to 1,024 bytes of UTF-8, no code below 32, no 127.
WORDS = r"""
    ' " \ % + & < > ; # ? / // .. ./ %2F %00 &amp; <Key> ]]> -- '); {"a":1} [1] null NULL 🎞 写真 é
"""
AWKWARD = [*WORDS.split(), *"\u0301\ufeff\u2028\u0085\uffff\U0010ffff ", "  ", "BEGIN TRANSACTION"]
b2_keys = (
    st.lists(
        st.sampled_from(AWKWARD)
        | st.text(
            st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]), max_size=30
        ),
        min_size=1,
        max_size=12,
    )
    .map("".join)
    .filter(lambda key: 1 <= len(key.encode()) <= 1024)
)


@given(bodies=st.dictionaries(b2_keys, st.binary(max_size=8), min_size=1, max_size=12))
@examples(max_examples=examples().max_examples // 4)
def test_any_key_arrives_as_it_was_uploaded(shared: tuple[Stack, Bucket], bodies: dict[str, bytes]) -> None:
    """Through listing, comparison, plan, insert and back, each key is what it was, to the byte."""
    stack, bucket = shared
    stack.b2.remove_all()
    execute(stack.d1, "DELETE FROM media_assets")
    for key, body in bodies.items():
        stack.b2.put(key, body)

    first, second = (run(stack, Listing(bucket))[0] for _ in range(2))

    in_order = sorted(bodies.items(), key=lambda item: item[0].encode())
    assert stack.rows(ROWS) == [row_of(key, body) for key, body in in_order]
    assert (first.new, first.inserted, second.known, second.new) == (*[len(bodies)] * 3, 0)


class TestDryRun:
    """A dry run is the plan, printed."""

    def test_its_sql_makes_the_rows_of_the_real_run(self, stack: Stack) -> None:
        """It sends nothing but SELECT, and SQLite makes of its SQL the very rows that the run then writes."""
        keys = ["it's", 'a"b', "写真 🎞", "BEGIN TRANSACTION; --", "a;b", "SAVEPOINT", "\\"]
        for number, key in enumerate(keys):
            stack.b2.put(key, bytes(number))
        fill(stack.d1, [row_of(keys[0], b"")])
        printed: list[str] = []
        database = stack.database()
        job = Job.of(stack.settings, dry_run=True)

        dry = sync(stack.listing(), database, job, stack.time.retrying(), write_sql=printed.append)

        assert words(stack.d1) == {"SELECT"}
        assert (dry.dry_run, dry.new, dry.inserted, dry.missing_after, dry.rounds) == (True, 6, 0, None, 0)
        assert (dry.rows_written, dry.changed_db, dry.bookmark) == (0, False, None)
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute(CREATE_TABLE)
            connection.executescript("\n".join(printed))
            simulated = connection.execute(f"SELECT {ROWS} FROM media_assets ORDER BY id").fetchall()
        assert stack.sync().inserted == 6
        assert stack.rows(ROWS)[1:] == simulated

    def test_nothing_new_prints_a_statement_without_effect(self, stack: Stack) -> None:
        """A dry run with nothing to do prints a SELECT, so that wrangler can execute the file."""
        stack.b2.put("a", b"1")
        stack.sync()
        assert run(
            stack, Objects([MediaObject("a", 1, "", quoted_etag(b"1"), quoted_etag(b"1"))]), dry_run=True
        )[1] == [plan_sql.NOTHING]

    def test_it_is_refused_what_a_run_would_be_refused(self, stack: Stack) -> None:
        """A guard refuses a dry run too: its SQL would do the same harm."""
        fill(stack.d1, [row_of("other", b"1")])
        stack.b2.put("a", b"1")
        with pytest.raises(GuardRefusal):
            stack.sync(dry_run=True)


class TestBounds:
    """How much a run writes."""

    def test_what_is_too_much_for_a_run_waits_for_the_next(self, stack: Stack) -> None:
        """With MAX_NEW_PER_RUN each run inserts so many, in order, and counts the rest as deferred."""
        for number in range(12):
            stack.b2.put(f"k{number:02}", b"x")
        stack.extra["MAX_NEW_PER_RUN"] = "5"
        figures = []
        for _ in range(4):
            report = stack.sync()
            figures.append((report.known, report.new, report.inserted, report.deferred, report.missing_after))
            assert [row[0] for row in stack.rows()] == [
                f"k{number:02}" for number in range(report.known + report.inserted)
            ]
        assert figures == [(0, 12, 5, 7, 0), (5, 7, 5, 2, 0), (10, 2, 2, 0, 0), (12, 0, 0, 0, 0)]

    def test_one_chunk_of_rows_goes_in(self, stack: Stack) -> None:
        """As many rows as one statement takes are inserted, and proven."""
        report, _ = run(stack, Objects(numbered(CHUNK_ROWS)))
        assert (report.new, report.inserted, report.missing_after) == (5000, 5000, 0)
        assert stack.rows(ROWS) == [as_row(media) for media in numbered(CHUNK_ROWS)]

    @pytest.mark.parametrize(
        "objects",
        [
            pytest.param(numbered(CHUNK_ROWS + 1), id="rows"),
            pytest.param(numbered(1000, width=1000), id="bytes"),
        ],
    )
    def test_more_than_one_statement_takes_goes_in_all_the_same(
        self, stack: Stack, objects: list[MediaObject]
    ) -> None:
        """More new rows than go in at once make the rows that the dry run's SQL makes, and one round."""
        report, printed = run(stack, Objects(objects), dry_run=True)
        assert (report.new, stack.rows(), words(stack.d1)) == (len(objects), [], {"SELECT"})
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute(CREATE_TABLE)
            connection.executescript("\n".join(printed))
            simulated = connection.execute(f"SELECT {ROWS} FROM media_assets ORDER BY id").fetchall()
        report, printed = run(stack, Objects(objects))
        assert (report.inserted, report.rounds, report.missing_after, printed) == (len(objects), 1, 0, [])
        assert stack.rows(ROWS) == simulated == [as_row(media) for media in objects]

    @pytest.mark.parametrize("batch", [1000, 50_000])
    def test_the_requests_are_as_few_as_promised(self, stack: Stack, batch: int) -> None:
        """For n objects D1 is asked once per 20,000, in texts under 1 MB, and ten times more at the most."""
        objects = numbered(45_000)
        fill(stack.d1, [as_row(media) for media in objects[: 45_000 - 3000]])
        with Forwarder(stack.d1.url) as forwarder:
            stack.extra["CLOUDFLARE_API_BASE_URL"] = forwarder.url
            report, _ = run(stack, Objects(objects, batch))
        questions = [text for text in forwarder.requests if "SELECT value FROM json_each" in text]
        sizes = [len(json.loads(json.loads(text.partition("\n")[2])["params"][0])) for text in questions]
        assert sizes == [UIDS_PER_REQUEST, UIDS_PER_REQUEST, 5000]
        assert max(map(len, forwarder.requests)) < 1_000_000
        planned = sum(len(json.dumps(as_row(media))) for media in objects[-3000:])
        assert report.inserted == 3000
        assert report.d1_requests == len(forwarder.requests)
        assert report.d1_requests <= math.ceil(45_000 / 20_000) + math.ceil(planned / 900_000) + 3 + 10


ORIGINAL = f"""
    {CREATE_TABLE}
    CREATE UNIQUE INDEX IF NOT EXISTS idx_media_assets_media_uid ON media_assets (media_uid);
    CREATE INDEX IF NOT EXISTS idx_media_assets_ingested_at ON media_assets (ingested_at);
    CREATE TABLE d1_migrations (
      id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE,
      applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
    );
    INSERT INTO d1_migrations (name) VALUES ('0010_media_assets.sql');
"""
BODIES = {f"photos/{number}.jpg": b"%d" % number for number in range(20)}


class TestOriginalsDatabase:
    """A database that the original script filled."""

    @pytest.fixture
    def original(self, bare: Stack) -> Stack:
        """Provide a bucket, and a table that holds its objects by the original's rules."""
        execute(bare.d1, ORIGINAL)
        for key, body in BODIES.items():
            bare.b2.put(key, body)
        fill(bare.d1, [row_of(key, body) for key, body in BODIES.items()])
        return bare

    def bare_rows(self, keys: Sequence[str], *, stored: str = "bare") -> list[tuple[Any, ...]]:
        """Make rows as the original's other writer made them: the uid of an ETag without its quotes."""
        rows = []
        for key in keys:
            _, _, etag, size, _ = row_of(key, BODIES[key])
            bare = etag.strip('"')
            rows.append((media_uid(bare, key), key, bare, size, bare if stored == "bare" else etag))
        return rows

    @pytest.mark.parametrize("migrated", [False, True])
    def test_nothing_in_it_is_new(self, original: Stack, migrated: bool) -> None:
        """Every row is found again on the first run, with the later migration or without it."""
        if migrated:
            original.migrate()
        before = original.rows("*")
        original.d1.statements.clear()
        report = original.sync()
        assert (report.known, report.new, report.rows_written, words(original.d1)) == (20, 0, 0, {"SELECT"})
        assert original.rows("*") == before

    def test_new_objects_go_in_beside_the_old(self, original: Stack) -> None:
        """What is new to such a database is inserted, with its old indexes in place."""
        original.b2.put("photos/new.jpg", b"new")
        report = original.sync()
        assert (report.known, report.new, report.inserted) == (20, 1, 1)
        assert original.rows(ROWS)[-1] == row_of("photos/new.jpg", b"new")

    @pytest.mark.parametrize("stored", ["bare", "quoted"])
    def test_objects_of_the_other_identity_are_refused(self, original: Stack, stored: str) -> None:
        """Objects that are there under the uid of a bare ETag are exit 5, and nothing is written."""
        keys = list(BODIES)
        execute(original.d1, "DELETE FROM media_assets WHERE id > 15")
        fill(original.d1, self.bare_rows(keys[15:], stored=stored))
        original.b2.put("photos/new.jpg", b"new")
        before = original.rows("*")
        original.d1.statements.clear()
        with pytest.raises(GuardRefusal, match=r"^5 new rows are objects") as refusal:
            original.sync()
        assert (refusal.value.exit_code, words(original.d1)) == (5, {"SELECT"})
        assert "B2_LIST_MODE" in refusal.value.hint
        assert original.rows("*") == before

    def test_an_old_mixture_is_no_obstacle(self, original: Stack) -> None:
        """Where both identities are in already, nothing new is refused nothing, and a new object goes in."""
        fill(original.d1, self.bare_rows(list(BODIES)))
        report = original.sync()
        assert (report.known, report.new) == (20, 0)
        original.b2.put("photos/new.jpg", b"new")
        assert original.sync().inserted == 1

    def test_a_mixture_beyond_the_bound_is_refused_in_its_turn(self, original: Stack) -> None:
        """Only what a run is to insert is judged: what is deferred is refused when it is due."""
        keys = list(BODIES)
        execute(original.d1, "DELETE FROM media_assets WHERE b2_key = 'photos/9.jpg'")
        fill(original.d1, self.bare_rows(["photos/9.jpg"]))
        original.b2.put("a", b"first in order")
        original.extra["MAX_NEW_PER_RUN"] = "1"
        assert (original.sync().inserted, len(keys)) == (1, 20)
        with pytest.raises(GuardRefusal):
            original.sync()


class TestVersions:
    """List mode `versions`: B2's own file ids."""

    @pytest.fixture
    def versions(self, stack: Stack) -> Stack:
        """Provide a stack in list mode versions."""
        stack.extra["B2_LIST_MODE"] = "versions"
        return stack

    def test_the_file_id_is_b2s_own(self, versions: Stack) -> None:
        """Rows hold the 4_z id of the latest version, and a uid made of it; hidden files are left out."""
        versions.b2.put("a", b"old")
        versions.b2.put("a", b"1")
        versions.b2.put("b", b"2")
        versions.b2.hide("b")
        report = versions.sync()
        ((uid, key, file_id, size, etag),) = versions.rows(ROWS)
        assert (report.list_mode, report.discovered, key, size, etag) == (
            "versions",
            1,
            "a",
            1,
            quoted_etag(b"1"),
        )
        assert file_id.startswith("4_z")
        assert uid == "b2_" + hashlib.sha256(f"{file_id}:a".encode()).hexdigest()[:40]
        assert versions.sync().new == 0

    def test_the_same_content_uploaded_again_is_a_new_row(self, versions: Stack) -> None:
        """Another upload has another file id: a second row, and no second identity."""
        versions.b2.put("a", b"1")
        versions.sync()
        versions.b2.put("a", b"1")
        report = versions.sync()
        assert (report.new, report.inserted, len(versions.rows())) == (1, 1, 2)

    @pytest.mark.parametrize(("first", "then"), [("objects", "versions"), ("versions", "objects")])
    def test_the_mode_cannot_change_under_a_table(self, stack: Stack, first: str, then: str) -> None:
        """A table that was filled in one mode refuses the other, and the hint names the right one."""
        stack.b2.put("a", b"1")
        stack.b2.put("b", b"2")
        stack.extra["B2_LIST_MODE"] = first
        stack.sync()
        stack.extra["B2_LIST_MODE"] = then
        before = stack.rows("*")
        with pytest.raises(GuardRefusal, match=r"^2 new rows") as refusal:
            stack.sync(adopt=True)
        assert refusal.value.hint.startswith(f"The table was filled with B2_LIST_MODE={first}")
        assert stack.rows("*") == before


class TestBucketGuard:
    """One database per bucket."""

    def test_another_buckets_table_is_refused_unless_adopted(self, stack: Stack) -> None:
        """A listing that shares no key with the table is exit 5, until the run says adopt."""
        fill(stack.d1, [row_of("other", b"1")])
        stack.b2.put("a", b"1")
        with pytest.raises(GuardRefusal) as refusal:
            stack.sync()
        assert (refusal.value.exit_code, words(stack.d1)) == (5, {"SELECT"})
        assert len(stack.rows()) == 1
        assert stack.sync(adopt=True).inserted == 1
        assert stack.sync().new == 0

    def test_one_key_in_common_is_enough(self, stack: Stack) -> None:
        """New content at a key that the table knows makes it the same bucket."""
        fill(stack.d1, [row_of("a", b"old")])
        stack.b2.put("a", b"new")
        stack.b2.put("b", b"1")
        assert stack.sync().inserted == 2

    def test_a_shared_key_beyond_the_bound_counts_too(self, stack: Stack) -> None:
        """The whole listing is compared, also what is deferred to a later run."""
        fill(stack.d1, [row_of("z", b"old")])
        stack.b2.put("a", b"1")
        stack.b2.put("z", b"new")
        stack.extra["MAX_NEW_PER_RUN"] = "1"
        assert stack.sync().inserted == 1


def page(*contents: str, token: str | None = None, truncated: bool | None = None) -> Response:
    """Write a page of a listing as B2 does."""
    more = "true" if (token is not None if truncated is None else truncated) else "false"
    following = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
    return Response(
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>bucket</Name><Prefix></Prefix><KeyCount>{len(contents)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<EncodingType>url</EncodingType><IsTruncated>{more}</IsTruncated>{following}{''.join(contents)}"
        "</ListBucketResult>",
        content_type="application/xml",
    )


def content(key: str, etag: str | None = "e") -> str:
    tag = "" if etag is None else f"<ETag>&quot;{etag}&quot;</ETag>"
    return (
        f"<Contents><Key>{key}</Key><LastModified>2024-03-09T14:00:00.000Z</LastModified>{tag}"
        "<Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def scripted_bucket(stack: Stack, server: HTTPServer, *pages: Response) -> None:
    """Let a scripted B2 answer instead of the embedded one."""
    script(server, *pages)
    stack.extra["B2_ENDPOINT"] = server.url_for("").rstrip("/")


FORBIDDEN = Response("<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", 403)


class TestListing:
    """What comes of the listing's own failures."""

    @pytest.mark.parametrize(
        "second",
        [
            pytest.param(FORBIDDEN, id="refused"),
            pytest.param(Response("busy", 503), id="busy for ever"),
            pytest.param(Response("<html>", 200), id="page"),
            pytest.param(Response("", 200), id="nothing"),
            pytest.param(page(content("b"), truncated=True), id="no token"),
            pytest.param(page(content("b")), id="a key left out"),
            pytest.param(page(content("b"), token="t"), id="the same token again"),
        ],
    )
    def test_a_listing_that_breaks_off_writes_nothing(
        self, stack: Stack, httpserver: HTTPServer, tmp_path: Path, second: Response
    ) -> None:
        """A listing that is not proven whole is exit 3: no row is written and the snapshot stays."""
        kept = tmp_path / "snapshot.json"
        kept.write_text("as it was")
        stack.extra["SNAPSHOT_URI"] = str(kept)
        scripted_bucket(stack, httpserver, page(content("a"), token="t"), second)
        with pytest.raises(B2Error) as failure:
            stack.sync()
        assert (failure.value.exit_code, stack.rows(), words(stack.d1)) == (3, [], {"SELECT"})
        assert (kept.read_text(), list(tmp_path.glob("*snapshot*"))) == ("as it was", [kept])

    def test_an_object_without_identity_is_left_out_and_the_run_falls_short(
        self, stack: Stack, httpserver: HTTPServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The others go in, the one is named and counted, exit 3, and the snapshot would be a lie."""
        kept = tmp_path / "snapshot.json"
        pages = page(content("a"), content("b", etag=None), content("c"))
        scripted_bucket(stack, httpserver, pages)
        report = stack.sync(snapshot_uri=str(kept))
        assert (report.discovered, report.known, report.new, report.inserted, report.unidentified) == (
            3,
            0,
            2,
            2,
            1,
        )
        assert [row[0] for row in stack.rows()] == ["a", "c"]
        assert "'b' has no ETag" in caplog.text
        shortfall = report.shortfall()
        assert isinstance(shortfall, B2Error)
        assert (shortfall.exit_code, str(shortfall).count("1 object has no identity")) == (3, 1)
        assert (report.snapshot, kept.exists()) == (None, False)
        again = stack.sync(snapshot_uri=str(kept))
        assert (again.known, again.new, again.unidentified, kept.exists()) == (2, 0, 1, False)

    def test_nothing_but_objects_without_identity_is_their_own_error(
        self, stack: Stack, httpserver: HTTPServer
    ) -> None:
        """Where no object has an identity that is what is told, not that the bucket is another's."""
        fill(stack.d1, [row_of("a", b"1")])
        scripted_bucket(stack, httpserver, page(content("a", etag=None)))
        shortfall = stack.sync().shortfall()
        assert str(shortfall).startswith("listing bucket ")
        assert "1 object has no identity" in str(shortfall)

    def test_objects_without_identity_do_not_defeat_the_bucket_guard(
        self, stack: Stack, httpserver: HTTPServer
    ) -> None:
        """One object without identity does not make another bucket's listing look partly known."""
        fill(stack.d1, [row_of("other", b"1")])
        scripted_bucket(stack, httpserver, page(content("a"), content("b", etag=None)))
        with pytest.raises(GuardRefusal):
            stack.sync()


class TestSnapshot:
    """When the inventory is kept, and when it is left alone."""

    @pytest.fixture
    def kept(self, stack: Stack, tmp_path: Path) -> Path:
        """Provide a bucket of two objects, and the place where its inventory is kept."""
        stack.b2.put("photos/a", b"1")
        stack.b2.put("videos/b", b"2")
        stack.extra["SNAPSHOT_URI"] = str(tmp_path / "snapshot.json")
        return tmp_path / "snapshot.json"

    def test_a_verified_run_writes_it(self, stack: Stack, kept: Path) -> None:
        """After the rows are in, the whole bucket's inventory is at its place, its digest reported."""
        report = stack.sync()
        assert [entry["key"] for entry in json.loads(kept.read_text())["objects"]] == ["photos/a", "videos/b"]
        assert dataclasses.asdict(report)["snapshot"] == {
            "uri": str(kept),
            "sha256": hashlib.sha256(kept.read_bytes()).hexdigest(),
            "changed": True,
            "objects_before": None,
        }
        assert report.listing_sha256 == hashlib.sha256(kept.read_bytes()).hexdigest()

    def test_an_unchanged_one_is_not_touched(self, stack: Stack, kept: Path) -> None:
        """When the bucket did not change, the file is not written anew, not even with the same bytes."""
        stack.sync()
        before = kept.stat()
        report = stack.sync()
        assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
        assert report.snapshot
        assert report.snapshot.changed is False

    def test_it_is_of_the_bucket_also_when_rows_are_deferred(self, stack: Stack, kept: Path) -> None:
        """The inventory tells what the bucket holds, not what the table does."""
        stack.extra["MAX_NEW_PER_RUN"] = "1"
        assert stack.sync().deferred == 1
        assert len(json.loads(kept.read_text())["objects"]) == 2

    @pytest.mark.parametrize(
        ("job", "written"),
        [
            pytest.param({"prefix": "photos/"}, False, id="another prefix"),
            pytest.param({"prefix": ""}, True, id="the configured prefix, named"),
            pytest.param({"dry_run": True}, False, id="dry run"),
        ],
    )
    def test_only_a_run_at_the_configured_scope_writes_it(
        self, stack: Stack, kept: Path, job: dict[str, Any], written: bool
    ) -> None:
        """Another prefix and a dry run leave it alone."""
        kept.write_text("as it was")
        report = stack.sync(**job)
        assert (kept.read_text() != "as it was", report.snapshot is not None) == (written, written)

    @pytest.mark.parametrize("job", [{"prefix": "photos/"}, {"dry_run": True}], ids=repr)
    def test_a_place_named_for_the_run_is_written_all_the_same(
        self, stack: Stack, kept: Path, tmp_path: Path, job: dict[str, Any]
    ) -> None:
        """Where the run itself names a place, that one is written, and the configured one is not."""
        named = tmp_path / "named.json"
        report = stack.sync(snapshot_uri=str(named), **job)
        assert report.snapshot
        assert (report.snapshot.uri, named.exists(), kept.exists()) == (str(named), True, False)

    def test_dry_run_in_the_settings_counts_too(self, stack: Stack, kept: Path) -> None:
        """DRY_RUN=1 writes neither rows nor snapshot."""
        stack.extra["DRY_RUN"] = "1"
        assert stack.sync().dry_run is True
        assert (stack.rows(), kept.exists()) == ([], False)

    @pytest.mark.parametrize("fault", ["insert", "proof", "guard"])
    def test_a_run_that_fails_leaves_it_alone(
        self, stack: Stack, forwarder: Forwarder, kept: Path, fault: str
    ) -> None:
        """Without rows that are in and proven there is no new snapshot."""
        kept.write_text("as it was")
        if fault == "insert":
            forwarder.fail("before", "INSERT", times=99, status=500)
        elif fault == "proof":
            forwarder.fail(
                "before", "SELECT count(*)", times=10_000, status=200, body=json.dumps(answer([[1]]))
            )
        else:
            fill(stack.d1, [row_of("other", b"1")])
        with pytest.raises(B2D1Error):
            stack.sync()
        assert kept.read_text() == "as it was"

    def test_a_snapshot_that_cannot_be_kept_says_that_the_rows_are_in(self, stack: Stack, kept: Path) -> None:
        """The rows are in before the snapshot is tried, and its error says so."""
        stack.extra["SNAPSHOT_URI"] = str(kept.parent)
        with pytest.raises(B2D1Error, match=r"\(the rows are in: 2 inserted, verified\)") as failure:
            stack.sync()
        assert (failure.value.exit_code, len(stack.rows())) == (1, 2)

    def test_the_bookmark_is_that_of_before_the_write(self, stack: Stack) -> None:
        """The report names the point to go back to if this run is to be undone."""
        before = stack.database().bookmark()
        stack.b2.put("c", b"3")
        report = stack.sync()
        assert (report.bookmark, stack.database().bookmark() != before) == (before, True)

    def test_rows_that_cannot_be_proven_are_said_to_be_in(self, stack: Stack, forwarder: Forwarder) -> None:
        """When D1 goes away after the insert, the error tells what it had confirmed."""
        stack.b2.put("c", b"3")
        forwarder.fail("before", "SELECT count(*) FROM json_each", times=99, status=500)
        told = r"\(D1 confirmed \d+ rows inserted; 0 are proven to be in, by 0 rounds\)"
        with pytest.raises(B2D1Error, match=told) as failure:
            stack.sync()
        assert failure.value.exit_code == 4
        assert "c" in [key for key, *_ in stack.rows()]

    def test_a_dry_run_whose_snapshot_cannot_be_kept_claims_no_rows(self, stack: Stack, kept: Path) -> None:
        """A dry run writes no row, and so its error speaks of none."""
        with pytest.raises(B2D1Error) as failure:
            stack.sync(dry_run=True, snapshot_uri=str(kept.parent))
        assert ("rows" in str(failure.value), stack.rows()) == (False, [])


class TestLostAnswers:
    """A network that drops answers loses no row and doubles none."""

    @pytest.mark.parametrize(
        ("when", "status", "inserted"),
        [("after", None, 0), ("after", 504, 0), ("before", None, 1), ("before", 500, 1)],
    )
    def test_an_insert_is_repeated_until_it_is_known(
        self, stack: Stack, forwarder: Forwarder, *, when: Any, status: int | None, inserted: int
    ) -> None:
        """Whether the insert or only its answer was lost, the row is in once, and the doubt reported."""
        stack.b2.put("a", b"1")
        forwarder.fail(when, "INSERT INTO media_assets", status=status)
        report = stack.sync()
        assert (report.new, report.inserted, report.confirmed, report.missing_after) == (
            1,
            inserted,
            False,
            0,
        )
        assert stack.rows(ROWS) == [row_of("a", b"1")]

    def test_a_mere_refusal_leaves_no_doubt(self, stack: Stack, forwarder: Forwarder) -> None:
        """An insert that had to wait for the rate limit is confirmed."""
        stack.b2.put("a", b"1")
        forwarder.fail("before", "INSERT INTO media_assets", status=429, headers={"Retry-After": "3"})
        report = stack.sync()
        assert (report.inserted, report.confirmed, stack.time.pauses) == (1, True, [3.0])

    @pytest.mark.parametrize("number", range(9))
    def test_any_one_answer_may_be_lost(self, stack: Stack, forwarder: Forwarder, number: int) -> None:
        """Whichever of the run's requests loses its answer, the outcome is the same."""
        stack.b2.put("a", b"1")
        forwarder.fail("after", skip=number)
        report = stack.sync()
        assert (report.new, report.missing_after, report.d1_requests) == (1, 0, len(forwarder.requests))
        assert stack.rows(ROWS) == [row_of("a", b"1")]
        assert len(forwarder.requests) == 10

    def test_rows_that_cannot_be_read_back_fail_the_run(self, stack: Stack, forwarder: Forwarder) -> None:
        """An insert that reports success, and whose rows are not there, is exit 4 and not a success."""
        stack.b2.put("a", b"1")
        forwarder.fail("before", "INSERT INTO media_assets", status=200, body=json.dumps(answer(changes=1)))
        with pytest.raises(D1Error, match="1 of the rows inserted cannot be read back") as failure:
            stack.sync()
        assert failure.value.exit_code == 4

    def test_a_bookmark_that_cannot_be_read_is_a_warning(
        self, stack: Stack, forwarder: Forwarder, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Without a bookmark the run goes on, and says so."""
        stack.b2.put("a", b"1")
        forwarder.fail("before", "time_travel", times=99, status=500)
        report = stack.sync()
        assert (report.inserted, report.bookmark) == (1, None)
        assert "the run goes on without one" in caplog.text

    def test_a_bookmark_does_not_cost_the_run_its_time(self, stack: Stack, forwarder: Forwarder) -> None:
        """With a minute left and no bookmark to be had, the rows still get in."""
        stack.b2.put("a", b"1")
        forwarder.fail("before", "time_travel", times=99, status=503)
        settings = stack.settings
        database = Database(settings.d1, stack.time.retrying(60))  # type: ignore[arg-type]
        report = sync(stack.listing(), database, Job.of(settings), stack.time.retrying(60))
        assert (report.inserted, stack.time.now <= 1060) == (1, True)

    def test_a_database_that_stays_away_ends_inside_the_deadline(
        self, stack: Stack, forwarder: Forwarder
    ) -> None:
        """With 20 seconds left and a database that is always busy, the run ends in time."""
        stack.b2.put("a", b"1")
        forwarder.fail("before", times=10_000, status=503, headers={"Retry-After": "6"})
        settings = stack.settings
        database = Database(settings.d1, stack.time.retrying(20))  # type: ignore[arg-type]
        with pytest.raises(D1Error, match="gave up"):
            sync(stack.listing(), database, Job.of(settings), stack.time.retrying(20))
        assert (stack.time.now <= 1020, stack.rows()) == (True, [])
