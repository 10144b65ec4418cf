"""The scene of a drill: a bucket, a database on Cloudflare's own engine, a snapshot in S3, all on loopback.

A forwarder stands before each of them. Runs go through these; whoever sets up or looks goes past them.
"""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

import boto3

from drill.bucket import COLUMNS, OBJECTS, ROWS_PER_PUBLISH, STORED_ROWS, Row
from drill.runs import migrate
from drill.steps import Server, Start
from sandbox.b2 import EmbeddedB2
from sandbox.cloudflare import CloudflareD1
from sandbox.forwarder import Forwarder

AWS_KEY, AWS_SECRET, REGION = "AKIADRILL", "made-up-secret", "eu-west-1"
BUCKET, KEY = "snapshots", "inventory.json"
FORMER_SNAPSHOT = b'{"objects":[]}\n'

# Their columns as a JSON array of arrays: 100 parameters would not do.
STORE = f"""\
INSERT INTO media_assets ({", ".join(COLUMNS)})
SELECT {", ".join(f"json_extract(value, '$[{place}]')" for place in range(len(COLUMNS)))}
FROM json_each(?1)"""


class Scene:
    """All that a run needs, from `__enter__` to `__exit__`; `fronts` are the forwarders before the servers.

    `env` holds the settings of a run, those for AWS too: the process has them in its environment meanwhile.
    """

    def __init__(self, database: CloudflareD1) -> None:
        self.fronts: dict[Server, Forwarder] = {}
        self.env: dict[str, str] = {}
        self._database = database
        self._snapshots = EmbeddedB2(
            bucket=BUCKET, region=REGION, key_id=AWS_KEY, app_key=AWS_SECRET, fill=False
        )
        self._stack = contextlib.ExitStack()
        self._s3: Any = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drill-")))
            bucket = stack.enter_context(EmbeddedB2(fill=False))
            for key, content in OBJECTS:
                bucket.put(key, content)
            stack.enter_context(self._database)
            stack.enter_context(self._snapshots)
            urls: dict[Server, str] = {"B2": bucket.url, "D1": self._database.url, "S3": self._snapshots.url}
            self.fronts = {server: stack.enter_context(Forwarder(url)) for server, url in urls.items()}
            self.env = bucket.settings() | self._database.settings()
            self.env |= {
                "B2_ENDPOINT": self.fronts["B2"].url,
                "CLOUDFLARE_API_BASE_URL": self.fronts["D1"].url,
                "SNAPSHOT_URI": f"s3://{BUCKET}/{KEY}",
                "ROWS_PER_PUBLISH": str(ROWS_PER_PUBLISH),
                "AWS_ENDPOINT_URL_S3": self.fronts["S3"].url,
                "AWS_ACCESS_KEY_ID": AWS_KEY,
                "AWS_SECRET_ACCESS_KEY": AWS_SECRET,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "TMPDIR": str(folder),  # where the files of a run that is killed are left
            }
            others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            stack.enter_context(mock.patch.dict(os.environ, others | self.env, clear=True))
            self._s3 = boto3.client("s3", endpoint_url=urls["S3"])
            stack.callback(self._s3.close)
            migrate(self.env)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def reset(self, start: Start) -> None:
        """Let everything be as a cell begins: the table, the snapshot, and forwarders that behave."""
        self.behave()
        connection = self._database.connect()
        for table in ("media_assets", "media_ingest_chunks"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute(STORE, [json.dumps(STORED_ROWS[start])])
        self._snapshots.remove_all()
        self._snapshots.put(KEY, FORMER_SNAPSHOT)

    def behave(self) -> None:
        """Let the forwarders do no more than to forward."""
        for front in self.fronts.values():
            front.behave()

    def rows(self) -> list[Row]:
        """Read the table in the order in which its rows went in."""
        return self._read(f"SELECT {', '.join(COLUMNS)} FROM media_assets ORDER BY id")

    def staged(self, run_id: str) -> int:
        """Count the chunks that a run, whose id may have a suffix there, has left in the database."""
        ((count,),) = self._read(
            "SELECT count(*) FROM media_ingest_chunks WHERE instr(run_id, ?1) = 1", run_id
        )
        return int(count)

    def snapshot(self) -> bytes:
        """Read the snapshot."""
        content: bytes = self._s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
        return content

    def _read(self, sql: str, *params: str) -> list[Row]:
        return self._database.connect().execute(sql, params).fetchall()
