"""An event says what a run is to do, or is refused as a whole."""

import json
from pathlib import Path
from typing import Any

import pytest

from b2d1.errors import UsageError
from handler.event import HINT, Asked, read_event

EVENTS = Path(__file__).parents[1] / "events"
SCHEDULED = json.loads((EVENTS / "scheduled.json").read_text("utf-8"))
# As EventBridge Scheduler sends it: https://github.com/aws/aws-lambda-dotnet/issues/1864
SCHEDULER = SCHEDULED | {
    "source": "aws.scheduler",
    "resources": ["arn:aws:scheduler:us-east-1:123456789012:schedule/default/b2d1"],
    "detail": "{}",
}
SCHEDULED_FIELDS = 'the event has what is not known here: "account", "detail", "detail-type", "id", "region"'
WITH_OURS = f"{SCHEDULED_FIELDS} (it looks like a scheduled event with a field of b2d1's in it"


@pytest.mark.parametrize(
    ("event", "asked"),
    [
        pytest.param({}, Asked(), id="nothing"),
        pytest.param(SCHEDULED, Asked(), id="scheduled"),
        pytest.param(SCHEDULED | {"later": "field"}, Asked(), id="scheduled, with a field more"),
        pytest.param(SCHEDULER, Asked(), id="EventBridge Scheduler"),
        pytest.param(SCHEDULER | {"detail": {}}, Asked(), id="EventBridge Scheduler, an object"),
        pytest.param(SCHEDULER | {"detail": '{"a": 1}'}, Asked(), id="EventBridge Scheduler, other detail"),
        pytest.param(SCHEDULED | {"detail": "{}"}, Asked(), id="scheduled, a text"),
        pytest.param(SCHEDULED | {"detail": "[" * 100_000}, Asked(), id="scheduled, no JSON in the text"),
        pytest.param({"dry_run": True}, Asked(dry_run=True), id="dry run"),
        pytest.param({"dry_run": False}, Asked(), id="no dry run"),
        pytest.param({"verbose": True}, Asked(verbose=True), id="verbose"),
        pytest.param({"adopt": True}, Asked(adopt=True), id="adopt"),
        pytest.param({"prefix": "photos/"}, Asked(prefix="photos/"), id="prefix"),
        pytest.param({"prefix": ""}, Asked(prefix=""), id="the whole bucket"),
        pytest.param({"prefix": " é\n"}, Asked(prefix=" é\n"), id="a prefix is taken as it is"),
        pytest.param({"prefix": "é" * 512}, Asked(prefix="é" * 512), id="a prefix of 1,024 bytes"),
        pytest.param(
            {"dry_run": True, "prefix": "a", "verbose": True, "adopt": True},
            Asked(dry_run=True, prefix="a", verbose=True, adopt=True),
            id="all at once",
        ),
    ],
)
def test_an_event_is_read(event: Any, asked: Asked) -> None:
    """A scheduled event is an ordinary run; a manual one may say what is to be otherwise."""
    assert read_event(event) == asked


@pytest.mark.parametrize(
    ("event", "said"),
    [
        pytest.param(None, "the event is not a JSON object but null", id="null"),
        pytest.param([], "the event is not a JSON object but a list", id="list"),
        pytest.param("{}", "the event is not a JSON object but a text", id="text"),
        pytest.param(1.5, "the event is not a JSON object but a number", id="number"),
        pytest.param(True, "the event is not a JSON object but a boolean", id="boolean"),
        pytest.param(
            {"key1": "value1", "key2": "value2", "key3": "value3"},
            'the event has what is not known here: "key1", "key2", "key3"',
            id="the console's test event",
        ),
        pytest.param(
            {"dry-run": True}, 'the event has what is not known here: "dry-run"', id="a misspelt field"
        ),
        pytest.param(
            {"dry_run": True, "Prefix": "a"},
            'the event has what is not known here: "Prefix"',
            id="one of two is known",
        ),
        pytest.param(
            {"x" * 100: 1, 'a"\n': 2},
            r'the event has what is not known here: "a\"\n", "' + "x" * 59,
            id="names are quoted and cut",
        ),
        pytest.param(
            {str(number): 1 for number in range(9)},
            'the event has what is not known here: "0", "1", "2", "3", "4"',
            id="not too many names",
        ),
        pytest.param(
            {"source": "aws.events"}, 'the event has what is not known here: "source"', id="half scheduled"
        ),
        pytest.param(
            SCHEDULED | {"source": "aws.s3"},
            f"{SCHEDULED_FIELDS} (it looks like an EventBridge event from aws.s3)",
            id="another service's event",
        ),
        pytest.param(
            SCHEDULED | {"source": "a secret\n"},
            f"{SCHEDULED_FIELDS} (it looks like an EventBridge event)",
            id="an event of unknown source",
        ),
        pytest.param(
            SCHEDULED | {"source": ["aws.scheduler"]},
            f"{SCHEDULED_FIELDS} (it looks like an EventBridge event)",
            id="a list of sources",
        ),
        pytest.param(
            SCHEDULED | {"dry_run": True},
            f"{WITH_OURS} from aws.events)",
            id="a scheduled event made a dry run",
        ),
        pytest.param(
            SCHEDULER | {"dry_run": True},
            f"{WITH_OURS} from aws.scheduler)",
            id="a schedule made a dry run",
        ),
        pytest.param(
            SCHEDULER | {"detail": '{"dry_run": true}'},
            f"{WITH_OURS} from aws.scheduler)",
            id="a dry run in the detail",
        ),
        pytest.param(
            SCHEDULED | {"detail": {"prefix": "photos/"}},
            f"{WITH_OURS} from aws.events)",
            id="a prefix in the detail",
        ),
        pytest.param(
            {"Records": [{"eventSource": "aws:s3", "s3": {}}]},
            'the event has what is not known here: "Records" (it looks like a record from aws:s3)',
            id="S3",
        ),
        pytest.param(
            {"Records": [{"EventSource": "aws:sns", "Sns": {}}]},
            'the event has what is not known here: "Records" (it looks like a record from aws:sns)',
            id="SNS",
        ),
        pytest.param(
            {"Records": ["eventSource"]},
            'the event has what is not known here: "Records" (it looks like a record)',
            id="records of no form",
        ),
        pytest.param(
            {"version": "2.0", "rawPath": "/", "requestContext": {"http": {"method": "GET"}}},
            'the event has what is not known here: "rawPath", "requestContext", "version" '
            "(it looks like an HTTP request: the function has no use for a URL)",
            id="a function URL",
        ),
        pytest.param(
            {"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": {}},
            'the event has what is not known here: "requestContext", "requestPayload" '
            "(it looks like the record of an earlier invocation: a destination sent it)",
            id="a destination",
        ),
        pytest.param({"dry_run": 1}, "dry_run in the event is a number, not true or false", id="dry_run 1"),
        pytest.param(
            {"dry_run": "false"}, "dry_run in the event is a text, not true or false", id="dry_run as a text"
        ),
        pytest.param({"verbose": None}, "verbose in the event is null, not true or false", id="verbose null"),
        pytest.param({"adopt": {}}, "adopt in the event is an object, not true or false", id="adopt {}"),
        pytest.param({"prefix": None}, "prefix in the event is null, not a text", id="prefix null"),
        pytest.param({"prefix": ["a"]}, "prefix in the event is a list, not a text", id="prefix a list"),
        pytest.param(
            {"prefix": "é" * 512 + "x"},
            "prefix in the event cannot be one: it is not the beginning of a key (at most 1,024 bytes)",
            id="prefix too long",
        ),
        pytest.param(
            {"prefix": "a\0"},
            "prefix in the event cannot be one: it is not the beginning of a key (at most 1,024 bytes)",
            id="prefix with NUL",
        ),
        pytest.param(
            {"prefix": "\ud800"},
            "prefix in the event cannot be one: it is not valid UTF-8",
            id="prefix with half a surrogate pair",
        ),
    ],
)
def test_anything_else_is_refused(event: Any, said: str) -> None:
    """What is unknown, or of another type, is named, with what can be sent instead; no value is repeated."""
    with pytest.raises(UsageError) as refused:
        read_event(event)

    assert (str(refused.value), refused.value.hint, refused.value.exit_code) == (said, HINT, 2)


def test_the_hint_is_an_event() -> None:
    """What the hint proposes is accepted, and all that can be asked for."""
    proposed = json.loads(HINT[HINT.index(" any of ") + 8 : HINT.index("};") + 1])

    assert read_event(proposed)._asdict() == proposed
    assert read_event(proposed) == Asked(dry_run=True, prefix="photos/", verbose=True, adopt=True)


@pytest.mark.parametrize(
    ("file", "asked"),
    [
        ("scheduled", Asked()),
        ("manual", Asked()),
        ("dry-run", Asked(dry_run=True)),
        ("prefix", Asked(prefix="photos/")),
    ],
)
def test_the_shipped_events_are_what_their_names_say(file: str, asked: Asked) -> None:
    """Each file of events/ asks for what it is named after."""
    assert read_event(json.loads((EVENTS / f"{file}.json").read_text("utf-8"))) == asked
    assert len(list(EVENTS.iterdir())) == 4
