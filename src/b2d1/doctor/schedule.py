"""Whether the stack's daily rule is on: EventBridge is asked, where AWS credentials allow."""

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from b2d1.doctor.finding import Check, Found, not_checked, ok, warn
from b2d1.middlebox import untrusted_certificate

SCHEDULE = "schedule"
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 10.0
# As CloudFormation names the rule of template.yaml: the stack, SAM's name for it, and some letters.
RULE = "SyncFunctionDaily"
TURN_ON = "Turn it on: .venv/sam/bin/sam deploy --parameter-overrides ScheduleState=ENABLED"


def schedule_check(stack: str, ca_bundle: str | None = None) -> Check:
    """Make the check of the rule of a stack; `ca_bundle` is whom EventBridge's certificate must be from."""
    return Check(SCHEDULE, lambda: _look(stack, ca_bundle))


def _look(stack: str, ca_bundle: str | None) -> Found:
    try:
        session = boto3.session.Session()
        # An instance's own role is not asked for: where there is none, that alone takes seconds.
        session._session.get_component("credential_provider").remove("iam-role")  # noqa: SLF001
        if session.get_credentials() is None:
            return not_checked(
                "there are no AWS credentials here; a schedule at GitHub is on its page Actions"
            )
        if session.region_name is None:
            return not_checked("AWS credentials are here, but no region: set AWS_REGION to the stack's")
        config = Config(
            retries={"total_max_attempts": 2}, connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT
        )
        client = session.client("events", config=config, verify=ca_bundle)
        rules = client.list_rules(NamePrefix=f"{stack}-{RULE}")["Rules"]
        found = [(rule["Name"], rule["State"], rule.get("ScheduleExpression")) for rule in rules]
    except ClientError as failure:
        code = failure.response.get("Error", {}).get("Code")
        return not_checked(f"EventBridge answered {code}; these AWS credentials need events:ListRules")
    # OSError: a program that is to give the credentials, and is not there.
    except (BotoCoreError, ValueError, OSError) as failure:
        untrusted = untrusted_certificate(failure, "EventBridge", "the region, and AWS_ENDPOINT_URL")
        return not_checked(f"EventBridge could not be asked: {' '.join(untrusted or [str(failure)])}")
    except (ResponseParserError, LookupError, TypeError, AttributeError):
        return not_checked("the answer is not EventBridge's")
    if not found:
        return not_checked(f"no stack {stack} with a rule in {session.region_name}: --stack names another")
    name, state, when = found[0]
    told = f"{name} in {session.region_name} is {state}, {when}"
    return ok(told) if state == "ENABLED" else warn(told, TURN_ON)
