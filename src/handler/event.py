"""What an invocation asks for: the daily schedule, or an operator's test event."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from b2d1 import setting_values
from b2d1.errors import UsageError

HINT = (
    'Send {}, or any of {"dry_run": true, "prefix": "photos/", "verbose": true, "adopt": true}; '
    "events/ has examples. Nothing was done."
)


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
    # https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-scheduled.html
    scheduled = event.get("source") == "aws.events" and event.get("detail-type") == "Scheduled Event"
    # One that was given a field of ours is no schedule: a dry run must not become a real one.
    if scheduled and set(event).isdisjoint(Asked._fields):
        return Asked()
    if unknown := sorted(set(event) - set(Asked._fields)):
        names = ", ".join(json.dumps(name)[:60] for name in unknown[:5])
        raise UsageError(f"the event has what is not known here: {names}", hint=HINT)
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


def _kind(value: Any) -> str:
    kinds = {bool: "a boolean", str: "a text", type(None): "null", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")


def _reason(error: ValueError) -> str:
    return "it is not valid UTF-8" if isinstance(error, UnicodeEncodeError) else f"it {error}"
