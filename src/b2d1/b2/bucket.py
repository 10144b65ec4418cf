"""One page of a bucket, from B2's S3-compatible API.

The client is boto3's, the page reader ours (`page_xml`), joined at an event that botocore emits before it
parses an answer. Retrying is `retry.py`'s alone: botocore would sleep on a clock of its own, ignore
Retry-After and know no deadline.
"""

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, cast

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from b2d1.b2.answer import READ_TIMEOUT, BoundedSession
from b2d1.b2.client import b2_client
from b2d1.b2.errors import interpret_b2_error, interpret_b2_silence
from b2d1.b2.page import media_objects
from b2d1.b2.page_xml import no_listing, root_name, split_page
from b2d1.b2.throttle import Throttle
from b2d1.errors import B2Error
from b2d1.media import MediaObject
from b2d1.retry import Retrying, retry_after_seconds
from b2d1.settings import B2Settings

OPERATION = {"objects": "ListObjectsV2", "versions": "ListObjectVersions"}
AFTER = {"objects": "StartAfter", "versions": "KeyMarker"}
# 15 times faster than one at 100 ms a page; more of them only cost more (docs/design.md).
WORKERS = 16

# botocore's parser lets these out, unnamed, over a field that is no number, stands twice or is nested deeply.
UNREADABLE = (ResponseParserError, ValueError, TypeError, AttributeError, LookupError, RecursionError)

# Where in the bucket a page begins, and what it is to hold, as the request's own parameters; empty at the
# bucket's beginning.
Cursor = Mapping[str, str | int]


class Page(NamedTuple):
    """A page's objects, the keys of those without an identity, and where the next page begins.

    `keys` are the keys of every object and old version on the page, in the host's order, each once; `rows`
    counts hide markers too. `next` is None on the last page. `folders` are the common prefixes, if the cursor
    asked for them.
    """

    objects: list[MediaObject]
    unidentified: list[str]
    keys: list[str]
    rows: int
    next: Cursor | None
    folders: Sequence[str] = ()


class Bucket:
    """A bucket that can be listed, by several threads at once: `workers` at the most."""

    def __init__(self, settings: B2Settings, retrying: Retrying | None = None) -> None:
        self.settings = settings
        self.workers = settings.list_workers or WORKERS
        self._throttle = Throttle(self.workers)
        self._halted = threading.Event()
        self._retrying = dataclasses.replace(retrying or Retrying(), halted=self._halted)
        self._client = b2_client(settings)
        operation = OPERATION[settings.list_mode]
        events = self._client.meta.events
        # The star puts our handler before botocore's own search for an error under HTTP 200, which would
        # otherwise parse the whole page first.
        events.register(f"before-parse.*.{operation}", self._take_rows)
        events.register(f"before-call.s3.{operation}", self._bound_request)
        self._session = BoundedSession(self._retrying.deadline, self.workers, settings.ca_bundle)
        events.register(f"before-send.s3.{operation}", self._session.send)

    @property
    def requests(self) -> int:
        """Count every request made so far."""
        return self._throttle.requests

    def page(self, cursor: Cursor) -> Page:
        """List the page at the cursor; raises B2Error."""
        return self._retrying.call(lambda: self._page(cursor))

    def after(self, key: str) -> Cursor:
        """Make the cursor of the page that begins after a key; "" is before all keys."""
        return {AFTER[self.settings.list_mode]: key} if key else {}

    @property
    def halted(self) -> bool:
        """Tell whether nothing is asked any more."""
        return self._halted.is_set()

    def halt(self) -> None:
        """End every request and every wait of other threads; none is begun any more."""
        self._halted.set()
        self._session.cut()

    def _page(self, cursor: Cursor) -> Page:
        try:
            with self._throttle.request():
                if self.halted:
                    raise B2Error("it was stopped")
                return _read_page(self._answer(cursor), cursor, self.settings)
        except B2Error as error:
            error.doing = f"listing bucket {self.settings.bucket}"
            raise

    def _answer(self, cursor: Cursor) -> dict[str, Any]:
        settings = self.settings
        versions = settings.list_mode == "versions"
        list_page: Any = self._client.list_object_versions if versions else self._client.list_objects_v2
        try:
            # boto3 itself asks for url-encoded keys, unless the caller names an EncodingType; then it would
            # not decode the markers (https://github.com/boto/boto3/issues/3621).
            whole = {"Bucket": settings.bucket, "Prefix": settings.prefix}
            answer: dict[str, Any] = list_page(**(whole | dict(cursor)))
        except ClientError as failure:
            # Not from the failure: it repeats what B2 said, with whatever secret B2 may have repeated.
            raise self._interpret(failure) from None
        except (BotoCoreError, *UNREADABLE) as failure:
            raise interpret_b2_silence(failure, settings) from failure
        return answer

    def _take_rows(
        self, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
    ) -> None:
        """Take the rows out of an answer before botocore parses it; they return beside its own reading."""
        body = response_dict["body"]
        if response_dict["status_code"] == HTTPStatus.OK and root_name(body) != "Error":
            response_dict["body"], rows = split_page(body, self.settings.list_mode)
            customized_response_dict["Rows"] = rows

    def _bound_request(self, context: dict[str, Any], **_: object) -> None:
        context["read_timeout"] = self._retrying.deadline.timeout(READ_TIMEOUT)
        # To botocore this request was redirected once already, and once is all that it allows. Else it would
        # ask for the bucket's region and sign for that one, whatever B2_REGION says.
        context.setdefault("s3_redirect", {})["redirected"] = True

    def _interpret(self, failure: ClientError) -> B2Error:
        answer: Any = failure.response
        about, told = answer.get("ResponseMetadata", {}), answer.get("Error", {})
        return interpret_b2_error(
            status=about.get("HTTPStatusCode", 0),
            code=self._hide_secrets(told.get("Code") or ""),
            message=self._hide_secrets(told.get("Message") or ""),
            retry_after=retry_after_seconds(about.get("HTTPHeaders", {}).get("retry-after")),
            settings=self.settings,
            headers=about.get("HTTPHeaders"),
        )

    def _hide_secrets(self, told: object) -> str:
        return self.settings.key_id.hide_in(self.settings.app_key.hide_in(str(told)))


def _read_page(answer: dict[str, Any], cursor: Cursor, settings: B2Settings) -> Page:
    if "Rows" not in answer or "IsTruncated" not in answer:
        raise no_listing("it is empty")
    rows, mode = answer["Rows"], settings.list_mode
    url_encoded = answer.get("EncodingType") == "url"
    # Only a page that continues the versions of a key may show old versions without the latest one.
    continued_key = cast("str | None", cursor.get("KeyMarker") if "VersionIdMarker" in cursor else None)
    objects, unidentified, keys = media_objects(
        rows, mode, url_encoded=url_encoded, continued_key=continued_key
    )
    folders = _folders(answer) if "Delimiter" in cursor else []
    count = len(rows.objects["Key"]) + len(rows.markers["Key"])
    told = answer.get("KeyCount", count + len(folders)) - len(folders)
    if told != count:
        raise no_listing(f"it holds {count:,} objects and counts {told:,}")
    following = None
    if answer["IsTruncated"]:
        if mode == "versions":
            names = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
        else:
            names = {"ContinuationToken": "NextContinuationToken"}
        following = {name: answer[its_next] for name, its_next in names.items() if answer.get(its_next)}
        if next(iter(names)) not in following:
            raise no_listing("it says that more follows, and not where")
    return Page(objects, unidentified, keys, count, following, folders)


def _folders(answer: dict[str, Any]) -> list[str]:
    return [str(folder.get("Prefix", "")) for folder in answer.get("CommonPrefixes") or []]
