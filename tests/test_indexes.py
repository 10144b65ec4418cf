"""Which indexes of the table are redundant: as SQLite itself describes them."""

import contextlib
import sqlite3

import pytest

from b2d1.doctor.indexes import READ_INDEXES, indexes_from, redundant

TABLE = "CREATE TABLE media_assets (id INTEGER PRIMARY KEY, media_uid TEXT UNIQUE, b2_key TEXT, size INT)"
AUTO = "sqlite_autoindex_media_assets_1"
OURS = "idx_media_assets_b2_key"


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        pytest.param(["INDEX idx_media_assets_b2_key ON _ (b2_key)"], {}, id="ours"),
        pytest.param(["UNIQUE INDEX a ON _ (media_uid)"], {"a": AUTO}, id="the original's"),
        pytest.param(["INDEX a ON _ (media_uid)"], {"a": AUTO}, id="not unique, beside a unique one"),
        pytest.param(["UNIQUE INDEX a ON _ (b2_key)"], {}, id="unique, and nothing else is"),
        pytest.param(
            ["INDEX a ON _ (b2_key)", "INDEX idx_media_assets_b2_key ON _ (b2_key)"],
            {"a": OURS},
            id="as ours",
        ),
        pytest.param(
            ["INDEX zz ON _ (b2_key)", "INDEX idx_media_assets_b2_key ON _ (b2_key)"],
            {"zz": OURS},
            id="as ours, by whatever name",
        ),
        pytest.param(
            ["INDEX a ON _ (size)", "INDEX b ON _ (size)", "INDEX c ON _ (size)"],
            {"a": "c", "b": "c"},
            id="three alike",
        ),
        pytest.param(
            ["INDEX a ON _ (b2_key)", "INDEX b ON _ (b2_key, size)"],
            {"a": "b"},
            id="the beginning of another",
        ),
        pytest.param(
            ["INDEX a ON _ (size)", "INDEX b ON _ (size, b2_key)", "INDEX c ON _ (size, b2_key, id)"],
            {"a": "c", "b": "c"},
            id="the beginning of a beginning",
        ),
        pytest.param(["INDEX a ON _ (size)", "INDEX b ON _ (b2_key, size)"], {}, id="not the beginning"),
        pytest.param(
            ["UNIQUE INDEX a ON _ (b2_key)", "UNIQUE INDEX b ON _ (b2_key, size)"],
            {},
            id="unique over less",
        ),
        pytest.param(["INDEX a ON _ (media_uid DESC)"], {}, id="the other direction"),
        pytest.param(["INDEX a ON _ (media_uid COLLATE NOCASE)"], {}, id="another collation"),
        pytest.param(["INDEX a ON _ (media_uid) WHERE size > 1"], {}, id="partial"),
        pytest.param(
            ["INDEX a ON _ (size)", "INDEX b ON _ (size) WHERE size > 1"], {}, id="beside a partial one"
        ),
        pytest.param(["INDEX a ON _ (lower(b2_key))", "INDEX b ON _ (upper(b2_key))"], {}, id="expressions"),
    ],
)
def test_what_another_index_serves_is_redundant(statements: list[str], expected: dict[str, str]) -> None:
    """An index is redundant when one that stays has its key at the beginning of its own, and is as unique."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(TABLE)
        for statement in statements:
            connection.execute("CREATE " + statement.replace("_ (", "media_assets (", 1))
        found = redundant(indexes_from(connection.execute(READ_INDEXES).fetchall()))
        # What is said to be redundant can be dropped.
        for index in found:
            connection.execute(f"DROP INDEX {index.name}")

    assert {index.name: other.name for index, other in found.items()} == expected
