"""The requests of a run, in their order: how each is recognised, and what hangs on it."""

import dataclasses
from typing import Literal

Server = Literal["B2", "D1", "S3"]
# What the table holds when a run begins: some of the objects, or other content of the same keys.
Start = Literal["known", "replaced"]

# The exit code of a run that cannot do without this server.
EXIT_CODE: dict[Server, int] = {"B2": 3, "D1": 4, "S3": 1}
# The new rows make three chunks: two of them are published as one round, the third one is inserted directly.
ROUNDS = 2


@dataclasses.dataclass(frozen=True)
class Step:
    """One request of a run.

    `pattern` is found in requests of this kind only; the first `skip` of them are other steps. `needed` is
    false where a run goes on without it; `staged_then` is true where it would try with less, and so by way of
    staging instead; `silent` tells that a success has no content. `writes` tells whether it changes the
    database, `inserts` whether it publishes a round, `published` how many are in before. A run makes this
    request if it begins as `start` says; if `known`, in any case.
    """

    name: str
    server: Server
    pattern: str
    skip: int = 0
    needed: bool = True
    staged_then: bool = False
    silent: bool = False
    writes: bool = False
    inserts: bool = False
    published: int = 0
    start: Start = "known"

    @property
    def failure(self) -> int:
        """Tell the exit code of a run that gives up here."""
        return EXIT_CODE[self.server] if self.needed else 0


STEPS = (
    Step("resolve", "D1", r"^GET \S+/database\?name="),
    Step("look", "D1", "pragma_table_xinfo"),
    Step("list page 1", "B2", r"^GET (?!\S*start-after=)"),
    Step("list page 2", "B2", r"^GET \S*start-after="),
    Step("ask", "D1", "SELECT value FROM json_each"),
    Step("other forms", "D1", r"SELECT EXISTS \(SELECT 1 FROM media_assets m WHERE"),
    Step("any rows", "D1", r"SELECT EXISTS \(SELECT 1 FROM media_assets\)", start="replaced"),
    Step("shared keys", "D1", r"SELECT EXISTS \(SELECT 1 FROM json_each", start="replaced"),
    Step("bookmark", "D1", r"^GET \S+/time_travel/bookmark", needed=False),
    Step("sweep", "D1", "DELETE FROM media_ingest_chunks WHERE staged_at", needed=False, writes=True),
    Step("stage 1", "D1", "INSERT INTO media_ingest_chunks", writes=True),
    Step("stage 2", "D1", "INSERT INTO media_ingest_chunks", skip=1, writes=True),
    Step("publish", "D1", "INSERT INTO media_assets .*FROM media_ingest_chunks", writes=True, inserts=True),
    Step("check", "D1", r"SELECT \(SELECT coalesce\(sum", published=1),
    Step(
        *("clear", "D1", "DELETE FROM media_ingest_chunks WHERE run_id"),
        needed=False,
        writes=True,
        published=1,
    ),
    Step(
        *("insert", "D1", r"INSERT INTO media_assets .*FROM json_each\(\?1\) v WHERE NOT EXISTS"),
        staged_then=True,
        writes=True,
        inserts=True,
        published=1,
    ),
    Step("prove", "D1", r"SELECT count\(\*\) FROM json_each", published=2),
    Step("snapshot HEAD", "S3", "^HEAD ", silent=True, published=2),
    Step("snapshot PUT", "S3", "^PUT ", silent=True, published=2),
)


def steps(server: Server, start: Start) -> list[Step]:
    """List the requests of a server that a run makes which begins so."""
    return [step for step in STEPS if step.server == server and step.start in {"known", start}]


def before(step: Step) -> Step | None:
    """Find the request that the same server gets just before this one, None when it is the first."""
    same = steps(step.server, step.start)
    place = same.index(step)
    return same[place - 1] if place else None
