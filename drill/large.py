"""A large load killed -9 at five requests, one run after the other: python -m drill.large [NUMBER].

After each kill the table holds whole rounds and nothing else; the run after the last one completes it.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from werkzeug.wrappers import Response

from bench.bucket import SyntheticBucket
from bench.list_server import ListServer
from drill.runs import KILLED, migrate, run_and_kill
from sandbox.cloudflare import CloudflareD1
from sandbox.forwarder import FOR_EVER, Call, Deed, Forwarder
from sandbox.wrangler import LocalDatabase, Wrangler

DATABASE = LocalDatabase("lgfc_lite", "b2d15a4d-b0c5-4d1f-8a70-6c8e6f1d2a39")
B2 = {"B2_KEY_ID": "made-up", "B2_APP_KEY": "made-up", "B2_BUCKET": "bench", "B2_REGION": "us-west-004"}
STAGE, PUBLISH = "INSERT INTO media_ingest_chunks", r"INSERT INTO media_assets .*media_ingest_chunks c"
# At which request a run is killed, after how many like it, and whether that one takes effect first.
KILLS: tuple[tuple[str, str, int, bool], ...] = (
    ("asking what is missing", "SELECT value FROM json_each", 2, True),
    ("staging the fourth chunk", STAGE, 3, True),
    ("publishing the second round, before it took effect", PUBLISH, 1, False),
    ("publishing the second round, after it took effect", PUBLISH, 1, True),
    ("checking a round, the first of that run", r"SELECT \(SELECT coalesce\(sum", 0, False),
)


class Rounds:
    """Passes requests on, and counts the rows of the rounds published, by what was staged for them."""

    def __init__(self) -> None:
        self.rows = 0
        self._staged: dict[tuple[str, int], int] = {}

    def pass_on(self, call: Call) -> Response:
        """Pass a request on."""
        if re.search(STAGE, call.text):
            run_id, number, payload = _params(call)
            self._staged[run_id, int(number)] = len(json.loads(payload))
        answer = call.pass_on()
        if re.search(PUBLISH, call.text) and json.loads(answer.data)["result"][0]["meta"]["changes"]:
            run_id, first, last, *_ = _params(call)
            self.rows += sum(self._staged[run_id, number] for number in range(int(first), int(last) + 1))
        return answer


def _params(call: Call) -> list[str]:
    params: list[str] = json.loads(call.text.partition("\n")[2])["params"]
    return params


def main() -> int:
    """Return the exit code: 1 when something is not as it was to be."""
    parser = argparse.ArgumentParser(prog="python -m drill.large", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("objects", type=int, nargs="?", default=1_000_000, metavar="NUMBER")
    return drill(parser.parse_args().objects)


def drill(objects: int, **settings: str) -> int:
    """Load a bucket of so many objects under these further settings; return the exit code."""
    with (
        tempfile.TemporaryDirectory(prefix="drill-", ignore_cleanup_errors=True) as folder,
        Wrangler(Path(folder), [DATABASE]) as wrangler,
        CloudflareD1(wrangler, DATABASE) as d1,
        ListServer("ascii", objects) as b2,
        Forwarder(d1.url) as front,
    ):
        env = d1.settings() | B2 | {"B2_ENDPOINT": b2.url, "TMPDIR": folder} | settings
        migrate(env)
        env |= {"CLOUDFLARE_API_BASE_URL": front.url}
        return load(SyntheticBucket("ascii", objects), env, d1, front)


def load(bucket: SyntheticBucket, env: dict[str, str], d1: CloudflareD1, front: Forwarder) -> int:
    """Load the bucket, killed five times; print what each run left, and return the exit code."""
    complaints: list[str] = []
    rows = 0
    for title, pattern, skip, acts in KILLS:
        began, rounds = time.monotonic(), Rounds()

        def cue(kill: Deed) -> None:
            def at_last(call: Call) -> Response:
                if acts:  # noqa: B023 - the run ends before the loop goes on
                    rounds.pass_on(call)  # noqa: B023
                return kill(call)

            front.behave()
            front.on(pattern, at_last, skip=skip)  # noqa: B023
            front.on("", rounds.pass_on, times=FOR_EVER)  # noqa: B023

        if run_and_kill(env, cue, acts=False).exit_code != KILLED:
            complaints.append(f"{title}: the run was not killed")
        rows += rounds.rows
        complaints += [f"{title}: {fault}" for fault in _faults(bucket, rows, d1)]
        print(f"killed {title}: {rows:,} rows are in, {time.monotonic() - began:.0f} s", flush=True)
    front.behave()
    for due in (bucket.objects - rows, 0):
        command = [str(Path(sys.executable).with_name("b2d1")), "sync", "--json"]
        done = subprocess.run(command, env=os.environ | env, stdout=subprocess.PIPE, check=True)
        report = json.loads(done.stdout)
        told = {name: report[name] for name in ("new", "inserted", "missing_after", "confirmed")}
        print(
            f"not killed: {told}, rounds {report['rounds']}, d1_requests {report['d1_requests']}", flush=True
        )
        if told != {"new": due, "inserted": due, "missing_after": 0, "confirmed": True}:
            complaints.append(f"the last run: {told}, and {due:,} were due")
    complaints += _faults(bucket, bucket.objects, d1)
    print("\n".join(complaints) or "whole rounds only, and all rows in")
    return int(bool(complaints))


def _faults(bucket: SyntheticBucket, rows: int, d1: CloudflareD1) -> list[str]:
    """Compare the table with the first so many objects of the bucket, which are put in in their order."""
    ((count, last),) = d1.connect().execute("SELECT count(*), max(b2_key) FROM media_assets").fetchall()
    wanted = rows, bucket.key(rows - 1) if rows else None
    return [] if (count, last) == wanted else [f"{count:,} rows up to {last}, not {wanted}"]


if __name__ == "__main__":
    sys.exit(main())
