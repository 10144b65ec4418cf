"""Cloudflare's own D1 engine behind the paths that production has.

What wrangler serves of D1's REST API lacks the account's path, the token, the list of databases, `/query` and
the bookmark; they are added here. And it differs from production; this is put right, and nothing else:

- An error of SQL comes as HTTP 500, code 10001: here, as in production, 400 and 7500. A malformed body comes
  as 400, code 10001: here 400 and 7400.
- Several statements in one `sql` are one statement to it, with one answer: production takes them apart,
  answers each, and refuses params with them.

Left as it is: `params` must be strings, as Cloudflare's own description of the API has it.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sandbox.account import MALFORMED, REFUSED, Account, Database, Failure
from sandbox.engine_client import Connection, EngineClient
from sandbox.statements import split
from sandbox.wrangler import NAMESAKE, LocalDatabase, Wrangler


class CloudflareD1(Account):
    """Serve a database of a running Wrangler, by default its first, as production would.

    Keyword arguments are those of Account: its names and ids are seen, not those that wrangler has.
    """

    def __init__(
        self, wrangler: Wrangler, database: LocalDatabase | None = None, **account: str | int
    ) -> None:
        super().__init__(**account)  # type: ignore[arg-type]
        both = (NAMESAKE, database or wrangler.databases[0])
        self._clients = [EngineClient(f"{wrangler.url}/{each.id}/raw") for each in both]

    def open(self) -> Sequence[Database]:
        return [EngineDatabase(client, self.statements) for client in self._clients]

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def connect(self) -> Connection:
        """Give access to the engine itself, past the API; the caller closes it."""
        return Connection(self._clients[-1])


class EngineDatabase:
    """One database of the engine."""

    def __init__(self, client: EngineClient, statements: list[str]) -> None:
        self._client = client
        self._statements = statements

    def raw(self, body: bytes) -> bytes:
        """Pass the body on to the engine as it is, and the engine's answer back as it is."""
        status, content = self._client.post(self._taken_apart(body))
        if status == 200:
            return content
        message = json.loads(content)["errors"][0]["message"]
        raise Failure(*(REFUSED if status == 500 else MALFORMED), message)

    def query(self, body: bytes) -> list[object]:
        """Answer what `/raw` answers, with each row as an object."""
        results: list[dict[str, Any]] = json.loads(self.raw(body))["result"]
        for result in results:
            columns, rows = result["results"]["columns"], result["results"]["rows"]
            result["results"] = [dict(zip(columns, row, strict=True)) for row in rows]
        return list(results)

    def bookmark(self) -> str:
        """Name the state of the database by the number of writes it had, from here or through `connect`."""
        writes = f"{self._client.writes:08x}"
        return f"00000000-{writes}-{'0' * 8}-{sha256(writes.encode()).hexdigest()[:32]}"

    def _taken_apart(self, body: bytes) -> bytes:
        """Note the statements of a body; return it with them apart, or as it is where there is but one."""
        try:
            query = json.loads(body)
        except ValueError:
            return body
        if not isinstance(query, dict):
            return body
        batch = query.get("batch") or [query]
        sqls = (
            [item.get("sql") for item in batch if isinstance(item, dict)] if isinstance(batch, list) else []
        )
        texts = [split(sql) for sql in sqls if isinstance(sql, str)]
        if query.get("params") and len(texts) == 1 < len(texts[0]):
            raise Failure(
                *MALFORMED, "The request is malformed: params with multiple statements is not supported"
            )
        self._statements += [text for each in texts for text in each]
        if "batch" in query or len(texts) != 1 or texts[0] in ([], [query["sql"].strip()]):
            return body
        return json.dumps({"batch": [query | {"sql": text} for text in texts[0]]}).encode()
