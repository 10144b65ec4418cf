"""Tables as other people make them: a run uses them whole, or refuses before it writes anything."""

from collections.abc import Iterator

import pytest
from conftest import AnyD1, FakeTime, Stack
from objects import NoBucket, Objects, execute, fill, numbered, run
from tables import DOCUMENTED_TABLE

from b2d1.d1.database import Database
from b2d1.errors import D1Error
from b2d1.migrate import migrations
from b2d1.verify.verification import verify

OBJECTS = numbered(50)
CHUNKS = migrations.shipped()[1].sql
BARE = "id INTEGER PRIMARY KEY, media_uid TEXT UNIQUE, b2_key TEXT, b2_file_id TEXT, size INTEGER, etag TEXT"


@pytest.fixture
def stack(d1: AnyD1, fake_time: FakeTime) -> Iterator[Stack]:
    """Provide a database without a table."""
    return Stack(NoBucket(), d1, fake_time)  # type: ignore[arg-type,return-value]


def kinds(stack: Stack) -> set[str]:
    return {statement.split()[0] for statement in stack.d1.statements}


def check_that_all_goes_in(stack: Stack) -> None:
    """Run a sync, and compare the table with the objects."""
    report, _ = run(stack, Objects(OBJECTS))

    database = Database(stack.settings.d1, stack.time.retrying())  # type: ignore[arg-type]
    assert report.inserted == 50
    assert verify(Objects(OBJECTS), database).matching == 50


@pytest.mark.parametrize(
    "ddl",
    [
        pytest.param(
            "CREATE TABLE Media_Assets (ID INTEGER PRIMARY KEY, Media_UID TEXT NOT NULL UNIQUE, B2_Key TEXT, "
            "B2_File_Id TEXT, Size INTEGER, ETag TEXT)",
            id="names in another case",
        ),
        pytest.param(
            f"{DOCUMENTED_TABLE} CREATE TABLE log (key TEXT); CREATE TRIGGER logs AFTER INSERT "
            "ON media_assets BEGIN INSERT INTO log VALUES (new.b2_key); END;",
            id="a trigger that writes to another table",
        ),
        pytest.param(
            f"{DOCUMENTED_TABLE} CREATE TRIGGER keeps BEFORE DELETE ON media_assets "
            "BEGIN SELECT RAISE(ABORT, 'no'); END;",
            id="a trigger on DELETE",
        ),
        pytest.param(
            f"{DOCUMENTED_TABLE} CREATE TRIGGER keeps BEFORE UPDATE OF size ON media_assets "
            "BEGIN SELECT RAISE(ABORT, 'no'); END;",
            id="a trigger on UPDATE",
        ),
        pytest.param(f"CREATE TABLE media_assets ({BARE}, CHECK (size >= 0))", id="a check"),
        pytest.param(f"CREATE TABLE media_assets ({BARE}, title TEXT NOT NULL DEFAULT '')", id="a default"),
        pytest.param(f"CREATE TABLE media_assets ({BARE}, k TEXT AS (lower(b2_key)))", id="generated"),
        pytest.param(f"CREATE TABLE media_assets ({BARE}) STRICT", id="strict"),
        pytest.param(
            BARE.join(["CREATE TABLE media_assets (", ")"]).replace("b2_key TEXT", "b2_key VARCHAR(1024)"),
            id="other names of types",
        ),
    ],
)
def test_a_table_of_another_form_is_used(stack: Stack, ddl: str) -> None:
    execute(stack.d1, ddl)

    check_that_all_goes_in(stack)


TRIGGER = f"{DOCUMENTED_TABLE} CREATE TRIGGER {{}} ON media_assets BEGIN {{}}; END;"


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        pytest.param("", "there is no table media_assets", id="no table"),
        pytest.param(
            f"{DOCUMENTED_TABLE} ALTER TABLE media_assets RENAME TO photos; "
            "CREATE VIEW media_assets AS SELECT * FROM photos",
            "media_assets is a view, of photos",
            id="a view",
        ),
        pytest.param(
            TRIGGER.format("drops BEFORE INSERT", "SELECT RAISE(IGNORE) WHERE new.size % 5 = 0"),
            "trigger drops of table media_assets can drop, change or refuse new rows",
            id="a trigger that drops rows",
        ),
        pytest.param(
            TRIGGER.format("tidies AFTER INSERT", "DELETE FROM media_assets WHERE size % 5 = 0"),
            "trigger tidies of table media_assets can drop, change or refuse new rows",
            id="a trigger that deletes rows",
        ),
        pytest.param(
            TRIGGER.format("'up ''per' AFTER INSERT", 'UPDATE "Media_Assets" SET b2_key = upper(b2_key)'),
            "trigger up 'per of table media_assets can drop, change or refuse new rows",
            id="a trigger that changes rows",
        ),
        pytest.param(
            TRIGGER.format("doubles AFTER INSERT", "REPLACE INTO media_assets (media_uid) VALUES (1)"),
            "trigger doubles of table media_assets can drop, change or refuse new rows",
            id="a trigger that inserts rows",
        ),
        pytest.param(
            f"CREATE TABLE media_assets ({BARE}, title TEXT NOT NULL)",
            "table media_assets: column title must have a value, and b2d1 knows none",
            id="a column that must have a value",
        ),
        pytest.param(
            f"CREATE TABLE media_assets ({BARE.replace('b2_key TEXT', 'b2_key STRING')})",
            "table media_assets: column b2_key of type STRING does not keep a value as it is",
            id="a type that changes keys",
        ),
        pytest.param(
            f"CREATE TABLE media_assets ({BARE.replace('etag TEXT', 'etag TEXT AS (b2_file_id)')})",
            "table media_assets: column etag is generated",
            id="a generated column of ours",
        ),
        pytest.param(
            f"CREATE TABLE Media_Assets ({BARE.replace('media_uid TEXT UNIQUE', 'Media_UID TEXT')})",
            "column media_uid of table media_assets has no unique index of its own",
            id="no unique index, in another case",
        ),
        pytest.param(
            f"CREATE TABLE media_assets ({BARE.replace('UNIQUE', 'COLLATE NOCASE UNIQUE')})",
            "column media_uid of table media_assets has no unique index of its own",
            id="a collation that joins uids",
        ),
        pytest.param(
            "CREATE TABLE media_assets (id INTEGER PRIMARY KEY, url TEXT)",
            "table media_assets has no column media_uid, b2_key, b2_file_id, size, etag",
            id="another table",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_and_the_advice_works(
    stack: Stack, ddl: str, message: str
) -> None:
    """Nothing is written; after the statements of the hint all rows go in."""
    if ddl:
        execute(stack.d1, ddl)
    stack.d1.statements.clear()

    with pytest.raises(D1Error) as refused:
        run(stack, Objects(OBJECTS))

    assert refused.value.message == message
    assert kinds(stack) == {"SELECT"}

    advice = [line for line in refused.value.hint.split("\n")[1:] if not line.startswith("Duplicates")]
    execute(stack.d1, "\n".join(line for line in advice if "HAVING" not in line))
    check_that_all_goes_in(stack)


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        pytest.param(
            "CREATE TABLE a (k TEXT); CREATE TABLE b (k TEXT); "
            "CREATE VIEW media_assets AS SELECT a.k FROM a JOIN b ON a.k = b.k",
            "media_assets is a view, of a, b",
            id="a view of two tables",
        ),
        pytest.param(
            "CREATE VIRTUAL TABLE media_assets USING fts5(media_uid, b2_key, b2_file_id, size, etag)",
            "media_assets is a virtual table",
            id="a virtual table",
        ),
    ],
)
def test_what_is_no_table_is_named(stack: Stack, ddl: str, message: str) -> None:
    execute(stack.d1, ddl)

    with pytest.raises(D1Error) as refused:
        run(stack, Objects(OBJECTS))

    assert refused.value.message == message
    assert "run b2d1 migrate" in refused.value.hint


def test_rows_that_are_there_stay_as_they_are(stack: Stack) -> None:
    """A refused run leaves the rows of a table with a trigger alone: never 40 of 50."""
    execute(stack.d1, TRIGGER.format("drops BEFORE INSERT", "SELECT RAISE(IGNORE) WHERE new.size % 5 = 0"))
    fill(stack.d1, [("b2_1", "k", '"e"', 1, '"e"')])

    with pytest.raises(D1Error):
        run(stack, Objects(OBJECTS))

    assert stack.rows("b2_key") == [("k",)]
