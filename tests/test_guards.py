"""What is refused before a write, by real statements, on Cloudflare's engine."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from conftest import AnyD1, FakeTime
from hypothesis import given
from hypothesis import strategies as st
from tables import DOCUMENTED_TABLE, Bench, Row, chunk, row

from b2d1.errors import GuardRefusal
from b2d1.media import FORM_OF_MODE, media_uid
from b2d1.table import guards

VERSION = (
    "4_zaa11bb22cc33dd44ee55ff66_f1a2b3c4d5e6f7a8b_d20240309_m140000_c004_v0402000_t0001_u01709992800000"
)


@pytest.fixture
def table(d1: AnyD1, fake_time: FakeTime) -> Bench:
    """Provide a database with the table as documented."""
    bench = Bench(d1, fake_time)
    bench.execute(DOCUMENTED_TABLE)
    return bench


OR_ANOTHER = "or use another, empty database: set D1_DATABASE_NAME and run b2d1 migrate."
OBJECTS_HINT = "The table was filled with B2_LIST_MODE=objects: set that, " + OR_ANOTHER
VERSIONS_HINT = "The table was filled with B2_LIST_MODE=versions: set that, " + OR_ANOTHER
MAKE_ANEW_HINT = "The new file_ids lack the quotes of an ETag"
NO_MODE_HINT = "No value of B2_LIST_MODE explains them"
CHANGED_HINT = "The table's row has a media_uid that is not the hash of its own columns: somebody changed it."


class TestIdentityGuard:
    """The same content never gets a second identity."""

    @pytest.mark.parametrize(
        ("mode", "stored", "new", "hint"),
        [
            pytest.param(
                "objects", row("k", "e", "e"), row("k", '"e"', '"e"'), NO_MODE_HINT, id="bare uid, bare etag"
            ),
            pytest.param(
                "objects",
                row("k", "e", '"e"'),
                row("k", '"e"', '"e"'),
                NO_MODE_HINT,
                id="bare uid, quoted etag",
            ),
            pytest.param(
                "objects", row("k", '"e"', '"e"'), row("k", "e", "e"), MAKE_ANEW_HINT, id="quoted, now bare"
            ),
            pytest.param(
                "objects",
                ("b2_other", "k", None, 1, "e"),
                row("k", '"e"', '"e"'),
                NO_MODE_HINT,
                id="no file id stored",
            ),
            pytest.param(
                "objects",
                ("b2_other", "k", '"e"', 1, '"e"'),
                row("k", '"e"', '"e"'),
                CHANGED_HINT,
                id="a media_uid that was changed",
            ),
            pytest.param(
                "objects",
                row("k", VERSION, '"e"'),
                row("k", '"e"', '"e"'),
                VERSIONS_HINT,
                id="versions, now objects",
            ),
            pytest.param(
                "versions",
                row("k", '"e"', '"e"'),
                row("k", VERSION, '"e"'),
                OBJECTS_HINT,
                id="objects, now versions",
            ),
            pytest.param(
                "versions",
                row("k", "e", "e"),
                row("k", VERSION, '"e"'),
                OBJECTS_HINT,
                id="bare, now versions",
            ),
            pytest.param(
                "versions",
                ("b2_other", "k", None, 1, '"e"'),
                row("k", VERSION, '"e"'),
                OBJECTS_HINT,
                id="no file id stored, now versions",
            ),
            pytest.param(
                "objects", row("k", '"e"', None), row("k", "e", None), MAKE_ANEW_HINT, id="no etags, now bare"
            ),
            pytest.param(
                "objects", row("k", '"e"', '"e"'), row("k", "e", None), MAKE_ANEW_HINT, id="now bare, no etag"
            ),
            pytest.param(
                "objects",
                row("k", '"e"', '"e"'),
                row("k", "sha1", None),
                MAKE_ANEW_HINT,
                id="now another hash",
            ),
            pytest.param(
                "objects", row("k", '"e"', '"e"'), row("k", "f", "f"), MAKE_ANEW_HINT, id="replaced, now bare"
            ),
            pytest.param(
                "objects",
                row("k", '"e"', '"e"'),
                row("k", VERSION, None),
                OBJECTS_HINT,
                id="a file id alone",
            ),
            pytest.param(
                "versions", row("k", '"e"', '"e"'), row("k", VERSION, '"f"'), OBJECTS_HINT, id="another etag"
            ),
            pytest.param(
                "versions",
                ("b2_other", "k", None, 1, '"e"'),
                row("k", VERSION, None),
                OBJECTS_HINT,
                id="no file id stored, now a B2 file id alone",
            ),
            pytest.param(
                "objects",
                row("k", VERSION, None),
                row("k", '"e"', '"e"'),
                VERSIONS_HINT,
                id="no etag stored",
            ),
        ],
    )
    def test_the_same_content_under_another_uid_is_refused(
        self, table: Bench, mode: Any, stored: Row, new: Row, hint: str
    ) -> None:
        """The same key and etag, quotes aside, under another uid is refused, and the setting named."""
        table.fill(stored)
        with pytest.raises(GuardRefusal) as refusal:
            table.guards().refuse_other_identity([chunk(new)])
        assert (refusal.value.exit_code, refusal.value.hint.startswith(hint)) == (5, True)
        assert str(refusal.value) == (
            "1 new rows are objects that the table has already under another media_uid: "
            f"'k' with b2_file_id {stored[2]}, now {new[2]}"
        )
        assert [text.split()[0] for text in table.d1.statements] == ["SELECT"]

    @pytest.mark.parametrize(
        ("mode", "stored", "new"),
        [
            pytest.param("objects", row("k", '"e"', '"e"'), row("k", '"f"', '"f"'), id="new content"),
            pytest.param("objects", row("k", '"e"', '"e"'), row("K", '"e"', '"e"'), id="another key"),
            pytest.param("objects", row("k", '"e"', '"e"'), row("k ", '"e"', '"e"'), id="a longer key"),
            pytest.param("objects", row("k", '"e"', '"e"'), row("k", '"e"', '"e"'), id="the same uid"),
            pytest.param("objects", row("k", '"e"', '"e"'), row("k", '"E"', '"E"'), id="another letter"),
            pytest.param("objects", row("k", '"e"', None), row("k", '"f"', None), id="no etags"),
            pytest.param("objects", row("k", "e", "e"), row("k", "f", "f"), id="another host's form"),
            pytest.param(
                "versions", row("k", VERSION, '"e"'), row("k", f"{VERSION}1", '"e"'), id="uploaded again"
            ),
            pytest.param("versions", row("k", VERSION, None), row("k", f"{VERSION}1", None), id="no etag"),
            pytest.param(
                "objects", ("b2_x", "k", None, 1, "e"), row("k", '"f"', '"f"'), id="no file id stored"
            ),
        ],
    )
    def test_what_is_not_the_same_is_let_through(
        self, table: Bench, mode: Any, stored: Row, new: Row
    ) -> None:
        """Another key, another content or, with version ids, another upload is no second identity."""
        table.fill(stored)
        table.guards().refuse_other_identity([chunk(new)])

    def test_it_counts_exactly_over_all_chunks(self, table: Bench) -> None:
        """Each new row counts once, however many stored rows stand against it; three examples are given."""
        table.fill(*(row(f"k{number}", "e", "e") for number in range(7)), row("k0", VERSION, "e"))
        new = [row(f"k{number}", '"e"', '"e"') for number in range(5)]
        unrelated = row("other", '"e"', '"e"')
        with pytest.raises(GuardRefusal) as refusal:
            table.guards().refuse_other_identity(
                [chunk(new[0], unrelated), chunk(unrelated), chunk(*new[1:])]
            )
        count, _, examples = str(refusal.value).partition(" new rows are objects ")
        assert (count, [part.split("'")[1] for part in examples.split("; ")]) == ("5", ["k0", "k1", "k2"])

    def test_stored_values_that_are_no_text_are_no_obstacle(self, table: Bench) -> None:
        """A file id that somebody stored as a blob does not keep the refusal from being told."""
        table.execute("INSERT INTO media_assets VALUES (1, 'b2_x', 'k', X'345F7A', 1, 'e', '2024-01-01')")
        with pytest.raises(GuardRefusal, match="1 new rows"):
            table.guards().refuse_other_identity([chunk(row("k", '"e"', '"e"'))])

    def test_a_key_is_shown_without_its_control_characters(self, table: Bench) -> None:
        """A key with a line end or an escape sequence cannot dress up the error."""
        table.fill(row("a\nb\x1b[2J", "e", "e"))
        with pytest.raises(GuardRefusal, match=r"'a\\nb\\x1b\[2J' with") as refusal:
            table.guards().refuse_other_identity([chunk(row("a\nb\x1b[2J", '"e"', '"e"'))])
        assert str(refusal.value).isprintable()


class TestOtherForms:
    """Whether a stored row could be a new one's content under another uid, found without the new ones."""

    @pytest.mark.parametrize(
        ("mode", "stored", "other"),
        [
            pytest.param("objects", row("k", '"e"', '"e"'), False, id="an ETag"),
            pytest.param("objects", row("k", '"e"', "e"), False, id="an ETag stored bare beside it"),
            pytest.param("objects", row("k", "e", "e"), True, id="bare"),
            pytest.param("objects", row("k", "e", '"e"'), True, id="bare beside quotes"),
            pytest.param("objects", row("k", VERSION, '"e"'), True, id="a version id"),
            pytest.param("objects", ("b2_x", "k", None, 1, '"e"'), True, id="no file id"),
            pytest.param("objects", row("k", '"f"', '"e"'), True, id="another ETag"),
            pytest.param("objects", row("k", '"e"', None), False, id="no etag, so nothing to be the same"),
            pytest.param("versions", row("k", VERSION, '"e"'), False, id="versions: a version id"),
            pytest.param("versions", row("k", '"e"', '"e"'), True, id="versions: an ETag"),
            pytest.param("versions", ("b2_x", "k", None, 1, '"e"'), True, id="versions: no file id"),
        ],
    )
    def test_a_row_of_another_form_is_found_among_others(
        self, table: Bench, mode: Any, stored: Row, *, other: bool
    ) -> None:
        """One such row among usual ones is found by one SELECT; usual ones alone are none."""
        usual = [VERSION if mode == "versions" else f'"{number}"' for number in range(9)]
        table.fill(*(row(f"usual{number}", file_id, file_id) for number, file_id in enumerate(usual)))
        form = FORM_OF_MODE[mode]
        assert table.guards().has_other_forms(form) is False
        table.fill(stored)
        table.d1.statements.clear()
        assert table.guards().has_other_forms(form) is other
        assert [text.split()[0] for text in table.d1.statements] == ["SELECT"]

    @given(
        stored=st.tuples(*[st.sampled_from([None, "e", '"e"', '""e""', "f", '"f"', VERSION])] * 2),
        etag=st.sampled_from(["e", '"e"', '""e"']),
        mode=st.sampled_from(["objects", "versions"]),
    )
    def test_where_it_finds_none_the_guard_has_nothing_to_refuse(
        self, stored: tuple[str | None, str | None], etag: str, mode: Any
    ) -> None:
        """What the short look lets pass, the look at every row lets pass too, if the new rows are usual."""
        file_id = f'"{etag.strip(chr(34))}"' if mode == "objects" else VERSION + "0"
        uid = media_uid(str(stored[0]), "k")
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute(DOCUMENTED_TABLE)
            insert = "INSERT INTO media_assets (media_uid, b2_key, b2_file_id, size, etag)"
            connection.execute(f"{insert} VALUES (?, 'k', ?, 1, ?)", (uid, *stored))
            ((other,),) = connection.execute(guards.OTHER_FORM, (FORM_OF_MODE[mode],)).fetchall()
            new = chunk(row("k", file_id, etag))
            refused = connection.execute(guards.OTHER_IDENTITY, (new,)).fetchall()
        assert other or not refused


class TestBucketGuard:
    """A table is one bucket's."""

    def test_a_table_that_shares_no_key_is_refused(self, table: Bench) -> None:
        """Rows of other keys only are another bucket's: exit 5, and the way past is named."""
        table.fill(row("other", "f"))
        with pytest.raises(GuardRefusal) as refusal:
            table.guards().refuse_other_bucket([chunk(row("a", "f")), chunk(row("OTHER", "f"))])
        assert (refusal.value.exit_code, "--adopt" in refusal.value.hint) == (5, True)
        assert "Compare the bucket" in refusal.value.hint

    def test_one_shared_key_is_enough(self, table: Bench) -> None:
        """One key in common, in any chunk, makes it the same bucket, and the rest is not asked about."""
        table.fill(row("other", "f"), row("b", "old"))
        chunks = [chunk(row("a", "f")), chunk(row("b", "new")), chunk(row("c", "f"))]
        table.guards().refuse_other_bucket(chunks)
        assert len(table.d1.statements) == 3

    def test_an_empty_table_is_anybodys(self, table: Bench) -> None:
        """A table without rows takes any bucket."""
        table.guards().refuse_other_bucket([chunk(row("a", "f"))])
