"""What an invocation asks for: the daily schedule, or an operator's test event."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from b2d1 import setting_values
from b2d1.errors import UsageError
from b2d1.strict_json import read_whole

HINT = (
    'Send {}, or any of {"dry_run": true, "prefix": "photos/", "verbose": true, "adopt": true}; '
    "events/ has examples. Nothing was done."
)

# A rule's event and a schedule's: the latter has `detail` as a text, "{}".
# https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-scheduled.html
# https://github.com/aws/aws-lambda-dotnet/issues/1864
SCHEDULERS = {"aws.events", "aws.scheduler"}
# Names that AWS gives its own services: aws.s3, aws:sqs.
_SERVICE = re.compile(r"aws[.:][a-z0-9]{1,40}")


class Asked(NamedTuple):
    """What this run is to do otherwise than the settings say; a prefix of None is the configured one."""

    dry_run: bool = False
    prefix: str | None = None
    verbose: bool = False
    adopt: bool = False


def read_event(event: Any) -> Asked:
    """Read an EventBridge scheduled event or a manual one; anything else is a UsageError."""
    if not isinstance(event, Mapping):
        raise UsageError(f"the event is not a JSON object but {_kind(event)}", hint=HINT)
    # One that was given a field of ours is no schedule: a dry run must not become a real one.
    if _is_schedule(event) and set(event).isdisjoint(Asked._fields) and _detail_asks_nothing(event):
        return Asked()
    if unknown := sorted(set(event) - set(Asked._fields)):
        names = ", ".join(json.dumps(name)[:60] for name in unknown[:5])
        raise UsageError(f"the event has what is not known here: {names}{_likeness(event)}", hint=HINT)
    for name in ("dry_run", "verbose", "adopt"):
        if not isinstance(event.get(name, False), bool):
            raise UsageError(f"{name} in the event is {_kind(event[name])}, not true or false", hint=HINT)
    if "prefix" in event and not isinstance(event["prefix"], str):
        raise UsageError(f"prefix in the event is {_kind(event['prefix'])}, not a text", hint=HINT)
    try:
        asked = Asked(**event)
        if asked.prefix is not None:
            setting_values.prefix(asked.prefix)
    except ValueError as error:  # UnicodeEncodeError, of half a surrogate pair, is one
        raise UsageError(f"prefix in the event cannot be one: {_reason(error)}", hint=HINT) from None
    return asked


def _is_schedule(event: Mapping[str, Any]) -> bool:
    source = event.get("source")
    return isinstance(source, str) and source in SCHEDULERS and event.get("detail-type") == "Scheduled Event"


def _detail_asks_nothing(event: Mapping[str, Any]) -> bool:
    """Return True if no field of ours is in `detail`, which is an object or the text of one."""
    detail = event.get("detail")
    if isinstance(detail, str):
        try:
            detail = read_whole(detail)
        except ValueError:
            return True
    return not isinstance(detail, Mapping) or set(detail).isdisjoint(Asked._fields)


def _likeness(event: Mapping[str, Any]) -> str:
    """Say which kind of AWS event this looks like; "" if like none."""
    looks = next((kind for is_like, kind in KINDS if is_like(event)), "")
    if not looks:
        return ""
    records = event.get("Records")
    first = records[0] if isinstance(records, list) and records and isinstance(records[0], Mapping) else event
    names = [first.get(name) for name in ("eventSource", "EventSource", "source")]
    service = next((name for name in names if isinstance(name, str) and _SERVICE.fullmatch(name)), "")
    return f" (it looks like {looks}{f' from {service}' if service else ''})"


# https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html shows an event of each service.
KINDS: tuple[tuple[Callable[[Mapping[str, Any]], bool], str], ...] = (
    (_is_schedule, "a scheduled event with a field of b2d1's in it"),
    (lambda event: "detail-type" in event, "an EventBridge event"),
    (lambda event: "Records" in event or "eventSource" in event, "a record"),
    (lambda event: "requestPayload" in event, "the record of an earlier invocation: a destination sent it"),
    (lambda event: "requestContext" in event, "an HTTP request: the function has no use for a URL"),
)


def _kind(value: Any) -> str:
    kinds = {bool: "a boolean", str: "a text", type(None): "null", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")


def _reason(error: ValueError) -> str:
    return "it is not valid UTF-8" if isinstance(error, UnicodeEncodeError) else f"it {error}"
