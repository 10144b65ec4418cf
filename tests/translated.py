"""The template as CloudFormation gets it: translated by SAM's own translator, its functions worked out."""

import functools
import json
import re
import subprocess
from collections.abc import Mapping
from typing import Any

from conftest import ROOT

SAM = ROOT / ".venv" / "sam" / "bin"
# Run by SAM's own Python, whose packages are not ours. `sam deploy` would write the code's place there.
TRANSLATE = """
import json, sys
from pathlib import Path

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

template = yaml_parse(Path(sys.argv[1]).read_text())
template["Resources"]["SyncFunction"]["Properties"]["CodeUri"] = "s3://packages/function.zip"
session = boto3.Session(region_name="eu-central-1")
translator = Translator({}, Parser(), boto_session=session)
print(json.dumps(translator.translate(sam_template=template, parameter_values={}), default=str))
"""
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::NoValue": None,
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "prod",
}


@functools.cache
def translate() -> dict[str, Any]:
    """Translate template.yaml."""
    command = [SAM / "python", "-c", TRANSLATE, ROOT / "template.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    translated: dict[str, Any] = json.loads(done.stdout)
    return translated


class Stack:
    """A stack named `prod`: its resources by their logical names, every function in them worked out.

    A resource's own name is taken to be its logical one.
    """

    def __init__(self, template: Mapping[str, Any], **parameters: str) -> None:
        given = {
            name: str(parameter.get("Default", "")) for name, parameter in template["Parameters"].items()
        }
        assert set(parameters) <= set(given)
        self._values: dict[str, Any] = PSEUDO | given | parameters
        self._conditions = {name: self._value(each) for name, each in template["Conditions"].items()}
        self.resources = {
            name: self._value(resource)
            for name, resource in template["Resources"].items()
            if "Condition" not in resource or self._conditions[resource["Condition"]]
        }
        self.outputs = self._value(template["Outputs"])

    def of_type(self, kind: str) -> dict[str, Any]:
        """Return the properties of each resource of a type."""
        return {
            name: resource["Properties"]
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def the(self, kind: str) -> Any:
        """Return the properties of the only resource of a type."""
        (properties,) = self.of_type(kind).values()
        return properties

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            worked_out = {
                "Ref": self._ref,
                "Fn::Sub": lambda text: re.sub(r"\$\{([^}]+)\}", lambda found: self._named(found[1]), text),
                "Fn::GetAtt": ".".join,
                "Fn::If": lambda parts: self._value(parts[1 if self._conditions[parts[0]] else 2]),
                "Fn::Equals": lambda parts: self._value(parts[0]) == self._value(parts[1]),
                "Fn::Not": lambda parts: not self._value(parts[0]),
            }
            if name in worked_out:
                return worked_out[name](argument)  # type: ignore[operator]
            assert not name.startswith("Fn::")
        values = {name: self._value(each) for name, each in value.items()}
        return {name: each for name, each in values.items() if each is not None}

    def _ref(self, name: str) -> Any:
        return self._values.get(name, name)

    def _named(self, name: str) -> str:
        return str(self._ref(name))
