"""The deployed stack, as SAM translates template.yaml: what is promised, and that it fits the package."""

import json
import os
import re
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import conftest
import pytest
from conftest import ROOT, FakeTime
from function_log import FunctionLog
from pytest_httpserver import HTTPServer
from test_package import files
from translated import SAM, Stack, translate
from werkzeug import Request, Response

from emulator.lambda_emulator import Invocation, LambdaEmulator
from sandbox.b2 import EmbeddedB2
from sandbox.d1 import EmbeddedD1

pytestmark = pytest.mark.slow

ROLE_KEY, ROLE_SECRET = "AKIAROLE", "role-secret"


def stack(**parameters: str) -> Stack:
    """Return the stack; by default somebody hears of trouble, and nothing else is chosen."""
    return Stack(translate(), **({"AlarmEmail": "me@example.org"} | parameters))


def function(**parameters: str) -> dict[str, Any]:
    """Return the function's properties."""
    properties: dict[str, Any] = stack(**parameters).the("AWS::Lambda::Function")
    return properties


@pytest.fixture
def sam(tmp_path: Path) -> dict[str, str]:
    """Provide an environment in which SAM asks nobody anything."""
    home = tmp_path / "home"
    (home / ".aws-sam").mkdir(parents=True)
    # Else it would look for a newer version of itself.
    (home / ".aws-sam" / "metadata.json").write_text(json.dumps({"lastVersionCheck": time.time()}))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAKE"))}
    kept["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{kept['PATH']}"
    return kept | {"HOME": str(home), "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-central-1"}


def run(env: dict[str, str], *command: str | Path) -> str:
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_cfn_lint_has_nothing_to_say(sam: dict[str, str]) -> None:
    """The template breaks no rule that CloudFormation or cfn-lint knows."""
    assert run(sam, SAM / "cfn-lint", "template.yaml") == ""


def test_sam_finds_the_template_valid(sam: dict[str, str]) -> None:
    """`sam validate`, with the lint that samconfig.toml asks for, accepts it."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))["default"]

    assert config["validate"]["parameters"] == {"lint": True}
    assert "is a valid SAM Template" in run(sam, SAM / "sam", "validate")


def test_sam_builds_the_package(sam: dict[str, str], package: Path, tmp_path: Path) -> None:
    """`sam build` makes the very package that `make build` makes, here and not in a copy of this folder."""
    built = tmp_path / "built" / "build"

    said = run(sam, SAM / "sam", "build", "--build-dir", built, "--cache-dir", tmp_path / "cache")

    assert "Build Succeeded" in said
    # No CopySource before it.
    assert re.findall(r"Running CustomMakeBuilder:(\w+)", said) == ["MakeBuild"]
    assert files(built / "SyncFunction") == files(package)
    template = (built / "template.yaml").read_text("utf-8")
    assert re.findall(r"^ +CodeUri: (.*)$", template, re.MULTILINE) == ["SyncFunction"]


@pytest.mark.parametrize(
    ("config", "deployed"),
    [
        pytest.param("", "deploy --guided", id="the first time"),
        pytest.param('stack_name = "b2d1"\n', "deploy", id="later"),
    ],
)
def test_deploying_asks_the_first_time_only(
    sam: dict[str, str], tmp_path: Path, config: str, deployed: str
) -> None:
    """`make deploy` builds first, and leaves out the questions once samconfig.toml knows the stack's name."""
    for name in ("Makefile", "samconfig.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    with (tmp_path / "samconfig.toml").open("a", encoding="utf-8") as file:
        file.write(config)
    recorder = tmp_path / "sam"
    recorder.write_text('#!/bin/sh\necho "$@" "$SAM_CLI_TELEMETRY"\n')
    recorder.chmod(0o755)
    for stamp in (".venv/ready", ".venv/wheels/ready", ".venv/sam/ready"):
        (tmp_path / stamp).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / stamp).touch()
    (tmp_path / "requirements").mkdir()
    for needed in (
        "requirements/dev.txt",
        "requirements/lambda.txt",
        "requirements/sam.txt",
        "pyproject.toml",
    ):
        (tmp_path / needed).touch()
        os.utime(tmp_path / needed, (0, 0))

    done = subprocess.run(
        ["make", "--silent", "-C", tmp_path, "deploy", f"SAM={recorder}"],
        env=sam,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == ["build 0", f"{deployed} 0"]


def test_the_function_is_as_promised() -> None:
    """Runtime, architecture, memory, time, disk and log: the numbers that docs and alarms rely on."""
    assert function() == {
        "Code": {"S3Bucket": "packages", "S3Key": "function.zip"},
        "Description": "Inserts into D1 what the B2 bucket lists and D1 lacks",
        "Handler": "handler.app.handler",
        "Runtime": "python3.13",
        "Architectures": ["arm64"],
        "MemorySize": 1024,
        "Timeout": 900,
        "EphemeralStorage": {"Size": 2048},
        "Role": "SyncRole.Arn",
        "LoggingConfig": {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "LogGroup": "SyncLogs"},
        "Environment": {
            "Variables": {
                "B2D1_SECRET_ID": "b2d1",
                "SNAPSHOT_URI": "s3://SnapshotBucket/inventory.json.gz",
                "MAX_NEW_PER_RUN": "",
                # Only so that `sam local invoke --env-vars` can set them: empty counts as none.
                **dict.fromkeys(
                    (
                        *("B2_KEY_ID", "B2_APP_KEY", "B2_ENDPOINT", "B2_BUCKET", "B2_REGION"),
                        *("B2_PREFIX", "B2_EXCLUDE", "B2_LIST_MODE"),
                        *("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_BASE_URL"),
                        *("D1_DATABASE_NAME", "D1_DATABASE_ID"),
                    ),
                    "",
                ),
                "POWERTOOLS_SERVICE_NAME": "prod",
            }
        },
        "Tags": [{"Key": "lambda:createdBy", "Value": "SAM"}],
    }


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        pytest.param({"Architecture": "x86_64"}, {"Architectures": ["x86_64"]}, id="x86_64"),
        pytest.param(
            {"ReservedConcurrency": "1"}, {"ReservedConcurrentExecutions": "1"}, id="reserved concurrency"
        ),
    ],
)
def test_the_function_follows_the_parameters(parameters: dict[str, str], found: dict[str, Any]) -> None:
    """What the defaults leave out, a parameter brings in."""
    assert function(**parameters) == function() | found


def test_it_runs_every_day_at_06_17_utc() -> None:
    """One rule, on unless it is told otherwise, and nothing but this rule may invoke the function."""
    assert stack().the("AWS::Events::Rule") == {
        "Description": "Every day at 06:17 UTC",
        "ScheduleExpression": "cron(17 6 * * ? *)",
        "State": "ENABLED",
        "Targets": [{"Arn": "SyncFunction.Arn", "Id": "SyncFunctionDailyLambdaTarget"}],
    }
    assert stack().the("AWS::Lambda::Permission") == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": "SyncFunction",
        "Principal": "events.amazonaws.com",
        "SourceArn": "SyncFunctionDaily.Arn",
    }
    paused = stack(ScheduleState="DISABLED")
    assert paused.the("AWS::Events::Rule")["State"] == "DISABLED"
    assert paused.of_type("AWS::CloudWatch::Alarm")["NoDailyRunAlarm"]["ActionsEnabled"] is False


def test_a_failed_event_is_tried_once_more_and_then_told() -> None:
    """One retry, no event older than three hours, and what fails for good goes to the topic."""
    assert stack().the("AWS::Lambda::EventInvokeConfig") == {
        "FunctionName": "SyncFunction",
        "Qualifier": "$LATEST",
        "MaximumRetryAttempts": 1,
        "MaximumEventAgeInSeconds": 10800,
        "DestinationConfig": {"OnFailure": {"Destination": "TroubleTopic"}},
    }


def test_the_topic_is_mailed_where_someone_is_to_hear_of_it() -> None:
    """With an address there is a subscription; without one there is none."""
    assert stack().the("AWS::SNS::Subscription") == {
        "TopicArn": "TroubleTopic",
        "Protocol": "email",
        "Endpoint": "me@example.org",
    }
    assert stack(AlarmEmail="").of_type("AWS::SNS::Subscription") == {}


MORE, MOST, LESS = "GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold"
OF_FUNCTION, OF_RUNS = {"FunctionName": "SyncFunction"}, {"service": "prod"}


@pytest.mark.parametrize(
    ("name", "namespace", "dimensions", "metric", "numbers", "missing"),
    [
        ("ErrorsAlarm", "AWS/Lambda", OF_FUNCTION, "Errors", ("Sum", 3600, 2, MOST, 1), "notBreaching"),
        (
            *("DroppedEventsAlarm", "AWS/Lambda", OF_FUNCTION, "AsyncEventsDropped"),
            *(("Sum", 3600, 2, MOST, 1), "notBreaching"),
        ),
        (
            "SlowAlarm",
            "AWS/Lambda",
            OF_FUNCTION,
            "Duration",
            ("Maximum", 3600, 2, MORE, 720_000),
            "notBreaching",
        ),
        ("NoDailyRunAlarm", "b2d1", OF_RUNS, "DailyRunSucceeded", ("Sum", 3600, 26, LESS, 1), "breaching"),
        ("DeferredAlarm", "b2d1", OF_RUNS, "deferred", ("Maximum", 3600, 1, MORE, 0), "notBreaching"),
        ("UnidentifiedAlarm", "b2d1", OF_RUNS, "unidentified", ("Maximum", 3600, 1, MORE, 0), "notBreaching"),
        ("ShrunkAlarm", "b2d1", OF_RUNS, "shrunk_by", ("Maximum", 3600, 1, MORE, 0), "notBreaching"),
    ],
)
def test_the_alarms_have_their_numbers(
    *,
    name: str,
    namespace: str,
    dimensions: dict[str, str],
    metric: str,
    numbers: tuple[Any, ...],
    missing: str,
) -> None:
    """Each alarm watches its metric, over its time, and tells the topic."""
    alarm = stack().of_type("AWS::CloudWatch::Alarm")[name]

    assert (alarm["Namespace"], alarm["MetricName"]) == (namespace, metric)
    assert {each["Name"]: each["Value"] for each in alarm["Dimensions"]} == dimensions
    parts = ("Statistic", "Period", "EvaluationPeriods", "ComparisonOperator", "Threshold")
    assert tuple(alarm[part] for part in parts) == numbers
    assert (alarm["TreatMissingData"], alarm["AlarmActions"]) == (missing, ["TroubleTopic"])
    assert alarm.get("ActionsEnabled", True) is True


def test_an_alarm_of_lambdas_own_looks_back_far_enough() -> None:
    """A point dated back to the start of the longest run is still within what its alarm looks at."""
    alarms = [
        each for each in stack().of_type("AWS::CloudWatch::Alarm").values() if each["Namespace"] != "b2d1"
    ]

    assert len(alarms) == 3
    assert [alarm["DatapointsToAlarm"] for alarm in alarms] == [1, 1, 1]
    assert min(alarm["Period"] for alarm in alarms) > 2 * function()["Timeout"]


def test_there_are_no_other_alarms_than_these() -> None:
    """Seven alarms; a slow run is one that took over four fifths of the function's time."""
    alarms = stack().of_type("AWS::CloudWatch::Alarm")

    assert len(alarms) == 7
    assert alarms["SlowAlarm"]["Threshold"] == function()["Timeout"] * 1000 * 0.8


def test_every_alarm_names_a_section_of_the_operations_manual() -> None:
    """Whoever gets the mail finds what to do: each alarm's description names a section that is there."""
    manual = (ROOT / "docs" / "operations.md").read_text("utf-8")
    sections = set(re.findall(r"^#+ (.*)$", manual, re.MULTILINE))
    named = {
        name: re.findall(r"docs/operations\.md, '([^']+)'", alarm["AlarmDescription"])
        for name, alarm in stack().of_type("AWS::CloudWatch::Alarm").items()
    }

    assert {name: len(found) for name, found in named.items()} == dict.fromkeys(named, 1)
    assert [found[0] for found in named.values() if found[0] not in sections] == []


def test_logs_are_kept_for_a_while() -> None:
    """The log group is the stack's own, with an end to what it keeps."""
    assert stack().the("AWS::Logs::LogGroup") == {
        "LogGroupName": "/aws/lambda/prod-sync",
        "RetentionInDays": "90",
    }


def test_the_snapshots_are_protected() -> None:
    """Versioned, encrypted, private, over TLS only, kept when the stack goes; old versions end in 90 days."""
    bucket = stack().resources["SnapshotBucket"]

    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert bucket["Properties"] == {
        "VersioningConfiguration": {"Status": "Enabled"},
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            ]
        },
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "Id": "OldInventories",
                    "Status": "Enabled",
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                }
            ]
        },
    }
    policy = stack().the("AWS::S3::BucketPolicy")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (policy["Bucket"], statement.pop("Sid")) == ("SnapshotBucket", "OnlyOverTls")
    assert statement == {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["SnapshotBucket.Arn", "SnapshotBucket.Arn/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


class Deployed(NamedTuple):
    """What invocations of the package left, in the environment that the template gives it."""

    done: Invocation
    failed: Invocation
    calls: set[str]

    @property
    def logs(self) -> list[FunctionLog]:
        """Return the logs of both."""
        return [FunctionLog.read(invocation.lines) for invocation in (self.done, self.failed)]


@pytest.fixture(scope="module")
def deployed(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """Invoke the package as deployed: settings from a secret, a snapshot in S3, the rest as the template."""
    parameters = {"ApplicationLogLevel": "AWS_LAMBDA_LOG_LEVEL", "LogFormat": "AWS_LAMBDA_LOG_FORMAT"}
    template = function()
    variables = template["Environment"]["Variables"]
    variables |= {name: template["LoggingConfig"][part] for part, name in parameters.items()}
    bucket, _, _ = variables["SNAPSHOT_URI"].removeprefix("s3://").partition("/")
    calls: list[str] = []
    with (
        EmbeddedB2() as b2,
        EmbeddedD1(tmp_path_factory.mktemp("d1") / "d1.sqlite3") as d1,
        EmbeddedB2(
            bucket=bucket, region="eu-central-1", key_id=ROLE_KEY, app_key=ROLE_SECRET, fill=False
        ) as s3,
        HTTPServer() as secrets_manager,
    ):
        world = conftest.Stack(b2, d1, FakeTime())
        world.migrate()

        def secret(request: Request) -> Response:
            calls.append(request.headers["X-Amz-Target"])
            assert request.get_json(force=True) == {"SecretId": "b2d1"}
            body = {"ARN": "arn", "Name": "b2d1", "SecretString": json.dumps(world.env)}
            return Response(json.dumps(body), content_type="application/x-amz-json-1.1")

        secrets_manager.expect_request("/", method="POST").respond_with_handler(secret)
        reach = {
            "AWS_ACCESS_KEY_ID": ROLE_KEY,
            "AWS_SECRET_ACCESS_KEY": ROLE_SECRET,
            "AWS_ENDPOINT_URL_S3": s3.url,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets_manager.url_for("").rstrip("/"),
        }
        with LambdaEmulator(package, variables | reach, timeout=function()["Timeout"]) as emulator:
            done = emulator.invoke(json.loads((ROOT / "events" / "scheduled.json").read_text("utf-8")))
            failed = emulator.invoke({"key1": "x"})
        calls += [request.replace(bucket, "BUCKET") for request in s3.requests]
    return Deployed(done, failed, set(calls))


def test_the_package_runs_in_the_templates_environment(deployed: Deployed) -> None:
    """The secret is found, everything is new, and the snapshot lies where the outputs say."""
    report = deployed.done.answer

    assert (report["inserted"], report["missing_after"]) == (report["discovered"], 0)
    assert report["snapshot"]["uri"] == stack().outputs["SnapshotUri"]["Value"]
    assert [log.outcome for log in deployed.logs] == [{"RunSucceeded", "DailyRunSucceeded"}, {"RunFailed"}]


def test_alarms_and_dashboard_watch_what_the_package_emits(deployed: Deployed) -> None:
    """Each metric of ours that is watched is emitted: the same name, namespace and dimensions."""
    emitted = {
        (emf.namespace, name, *emf.dimensions.items())
        for log in deployed.logs
        for emf in log.emf
        for name in emf.metrics
    }
    alarms = {
        (
            alarm["Namespace"],
            alarm["MetricName"],
            *((each["Name"], each["Value"]) for each in alarm["Dimensions"]),
        )
        for alarm in stack().of_type("AWS::CloudWatch::Alarm").values()
    }
    shown = {(metric[0], metric[1], (metric[2], metric[3])) for metric in dashboard_metrics()}

    assert {each for each in alarms | shown if each[0] == "b2d1"} - emitted == set()
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    of_function = ("FunctionName", "SyncFunction")
    names = ("Errors", "AsyncEventsDropped", "Duration")
    assert {each for each in alarms | shown if each[0] != "b2d1"} == {
        ("AWS/Lambda", name, of_function) for name in names
    }


def widgets() -> list[dict[str, Any]]:
    body: dict[str, Any] = json.loads(stack().the("AWS::CloudWatch::Dashboard")["DashboardBody"])
    assert (body["start"], body["periodOverride"]) == ("-P1M", "inherit")
    found: list[dict[str, Any]] = body["widgets"]
    return found


def dashboard_metrics() -> list[list[str]]:
    return [
        metric
        for widget in widgets()
        if widget["type"] == "metric"
        for metric in widget["properties"]["metrics"]
    ]


def test_the_dashboard_shows_the_last_month_at_a_glance() -> None:
    """Objects, new ones, runs and failures, duration, D1's rows, every alarm, and the last log lines."""
    shown = {metric[1] for metric in dashboard_metrics()}
    alarms = [widget["properties"]["alarms"] for widget in widgets() if widget["type"] == "alarm"]
    logs = [widget["properties"]["query"] for widget in widgets() if widget["type"] == "log"]

    assert shown == {
        *("discovered", "inserted", "deferred", "unidentified", "DailyRunSucceeded", "RunFailed", "Errors"),
        *("Duration", "rows_read", "rows_written", "shrunk_by"),
    }
    assert alarms == [[f"{name}.Arn" for name in stack().of_type("AWS::CloudWatch::Alarm")]]
    assert [query.partition(" | ")[0] for query in logs] == ["SOURCE 'SyncLogs'"]
    # On the grid of 24 columns nothing lies over anything else.
    taken = [
        (column, row)
        for widget in widgets()
        for column in range(widget["x"], widget["x"] + widget["width"])
        for row in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert (len(set(taken)), max(column for column, _ in taken)) == (len(taken), 23)


def test_the_saved_queries_ask_for_fields_that_the_log_has(deployed: Deployed) -> None:
    """Each field that a query or the dashboard names is in a line that the package wrote."""
    records = [record for log in deployed.logs for record in log.records]
    known = {name for record in records for name in record}
    known |= {f"report.{name}" for record in records for name in record.get("report", {})}
    # Lambda's own records: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html
    known |= {"type", "record.status"}
    queries = [query["QueryString"] for query in stack().of_type("AWS::Logs::QueryDefinition").values()]
    queries += [widget["properties"]["query"] for widget in widgets() if widget["type"] == "log"]

    fields = {
        field
        for query in queries
        for listed in re.findall(r"\bfields ([^|]+)", query)
        for field in re.split(r",\s*", listed.strip())
    }
    filtered = {
        field for query in queries for field in re.findall(r"\| filter \(?(?:ispresent\()?([\w.]+)", query)
    }
    assert len(queries) == 4
    assert (fields | filtered) - known == {"@timestamp"}
    assert 'filter message = "run finished"' in queries[0]
    assert "run finished" in [record["message"] for record in records]


# What each request needs, and what Lambda does in the role's name:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html (without ListBucket: 403, not 404),
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html,
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
NEEDS = {
    "secretsmanager.GetSecretValue": {
        (
            "secretsmanager:GetSecretValue",
            "arn:aws:secretsmanager:eu-central-1:123456789012:secret:b2d1-??????",
        )
    },
    "HEAD /BUCKET/inventory.json.gz": {
        ("s3:GetObject", "SnapshotBucket.Arn/inventory.json.gz"),
        ("s3:ListBucket", "SnapshotBucket.Arn"),
    },
    "PUT /BUCKET/inventory.json.gz": {("s3:PutObject", "SnapshotBucket.Arn/inventory.json.gz")},
}
LAMBDAS_OWN = {
    ("logs:CreateLogStream", "SyncLogs.Arn"),
    ("logs:PutLogEvents", "SyncLogs.Arn"),
    ("sns:Publish", "TroubleTopic"),
}


def test_the_role_allows_the_calls_that_a_run_makes_and_no_other(deployed: Deployed) -> None:
    """Each permission belongs to a call that was made, on the one thing that it was made on."""
    role = stack().the("AWS::IAM::Role")
    needed = LAMBDAS_OWN.union(*(NEEDS[call] for call in deployed.calls))
    allowed = [
        (action, statement["Resource"])
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]

    assert sorted(allowed) == sorted(needed)
    assert set(role) == {"AssumeRolePolicyDocument", "Policies"}
    (assumed,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert (assumed["Principal"], assumed["Action"]) == (
        {"Service": "lambda.amazonaws.com"},
        "sts:AssumeRole",
    )


def test_nothing_else_is_in_the_stack() -> None:
    """No resource but those that stand here; in particular none that costs by the hour."""
    kinds = sorted(resource["Type"] for resource in stack().resources.values())

    assert kinds == sorted(
        [
            *("AWS::Lambda::Function", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Permission"),
            *("AWS::Events::Rule", "AWS::IAM::Role", "AWS::Logs::LogGroup", "AWS::S3::Bucket"),
            *("AWS::S3::BucketPolicy", "AWS::SNS::Topic", "AWS::SNS::Subscription"),
            *(["AWS::CloudWatch::Alarm"] * 7),
            "AWS::CloudWatch::Dashboard",
            *(["AWS::Logs::QueryDefinition"] * 3),
        ]
    )
