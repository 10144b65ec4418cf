"""One page of a bucket, from B2's S3-compatible API.

The client is boto3's, the page reader ours (`b2_xml`), joined at an event that botocore emits before it
parses an answer. Retrying is `retry.py`'s alone: botocore would sleep on a clock of its own, ignore
Retry-After and know no deadline.
"""

import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import boto3.session
import botocore.session
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError

from b2d1 import __version__
from b2d1.b2_errors import interpret_b2_error, interpret_b2_silence
from b2d1.b2_page import media_objects
from b2d1.b2_xml import no_listing, root_name, split_page
from b2d1.errors import B2Error
from b2d1.media import MediaObject
from b2d1.retry import Retrying, retry_after_seconds
from b2d1.settings import B2Settings

OPERATION = {"objects": "ListObjectsV2", "versions": "ListObjectVersions"}
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0

# botocore's parser lets these out, unnamed, over a field that is no number, stands twice or is nested deeply.
UNREADABLE = (ResponseParserError, ValueError, TypeError, AttributeError, LookupError, RecursionError)

# Where in the bucket a page begins, as the request's own parameters; empty at the bucket's beginning.
Cursor = Mapping[str, str]


class Page(NamedTuple):
    """A page's objects, the keys of those without an identity, and where the next page begins.

    `rows` counts what the page listed of any kind, old versions and hide markers too; `next` is None on
    the last page.
    """

    objects: list[MediaObject]
    unidentified: list[str]
    rows: int
    next: Cursor | None


class Bucket:
    """A bucket that can be listed; `requests` counts every request made."""

    def __init__(self, settings: B2Settings, retrying: Retrying | None = None) -> None:
        self.settings = settings
        self.requests = 0
        self._retrying = retrying or Retrying()
        self._client = _client(settings)
        operation = OPERATION[settings.list_mode]
        events = self._client.meta.events
        # The star puts our handler before botocore's own search for an error under HTTP 200, which would
        # otherwise parse the whole page first.
        events.register(f"before-parse.*.{operation}", self._take_rows)
        events.register(f"before-call.s3.{operation}", self._bound_request)

    def page(self, cursor: Cursor) -> Page:
        """List the page at the cursor; raises B2Error."""
        return self._retrying.call(lambda: self._page(cursor))

    def _page(self, cursor: Cursor) -> Page:
        try:
            return _read_page(self._answer(cursor), cursor, self.settings)
        except B2Error as error:
            error.doing = f"listing bucket {self.settings.bucket}"
            raise

    def _answer(self, cursor: Cursor) -> dict[str, Any]:
        settings, self.requests = self.settings, self.requests + 1
        versions = settings.list_mode == "versions"
        list_page: Any = self._client.list_object_versions if versions else self._client.list_objects_v2
        try:
            # boto3 itself asks for url-encoded keys, unless the caller names an EncodingType; then it would
            # not decode the markers (https://github.com/boto/boto3/issues/3621).
            answer: dict[str, Any] = list_page(Bucket=settings.bucket, Prefix=settings.prefix, **cursor)
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
        )

    def _hide_secrets(self, told: object) -> str:
        return self.settings.key_id.hide_in(self.settings.app_key.hide_in(str(told)))


def _read_page(answer: dict[str, Any], cursor: Cursor, settings: B2Settings) -> Page:
    if "Rows" not in answer or "IsTruncated" not in answer:
        raise no_listing("it is empty")
    rows, mode = answer["Rows"], settings.list_mode
    url_encoded = answer.get("EncodingType") == "url"
    continued_key = cursor.get("KeyMarker")
    objects, unidentified = media_objects(rows, mode, url_encoded=url_encoded, continued_key=continued_key)
    count = len(rows.objects["Key"]) + len(rows.markers["Key"])
    told = answer.get("KeyCount", count)
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
    return Page(objects, unidentified, count, following)


def _client(settings: B2Settings) -> Any:
    # Neither what lies in ~/.aws nor an AWS_* variable of this process may change how B2 is spoken to.
    unset = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    unset |= dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    unset |= dict.fromkeys(("s3", "proxies_config"), (None, None, None, None))
    session = botocore.session.Session(session_vars=unset)
    models = Loader([Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    session.register_component("data_loader", models)
    return boto3.session.Session(botocore_session=session).client(
        "s3",
        region_name=settings.region,
        endpoint_url=settings.endpoint,
        aws_access_key_id=settings.key_id.reveal(),
        aws_secret_access_key=settings.app_key.reveal(),
        verify=True,  # or botocore would take REQUESTS_CA_BUNDLE
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            max_pool_connections=settings.list_workers or 16,
            proxies={},
            # B2 refused the checksum headers that boto3 sends since 1.36.
            # https://github.com/jschneier/django-storages/issues/1498
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent=f"b2d1/{__version__} Botocore/{botocore.__version__}",
        ),
    )
