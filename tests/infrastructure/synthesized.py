"""Synthesized stacks, as plain dictionaries with their references resolved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk

import app as cdk_app
from driftgauge.config import MonitorConfig, MonitorSet, parse_monitor
from stacks.deployment import Deployment

ROOT = Path(__file__).resolve().parents[2]
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "123456789012",
    "AWS::URLSuffix": "amazonaws.com",
}

Properties = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One resource of a template, references resolved."""

    room: str
    logical_id: str
    kind: str
    properties: Properties
    attributes: Properties


class Synthesized:
    """The templates of one deployment."""

    def __init__(self, app: cdk.App) -> None:
        self.app = app
        self.stacks = {stack.id: stack for stack in app.synth().stacks}
        self.templates: dict[str, Any] = {room: s.template for room, s in self.stacks.items()}
        self._rooms = {stack.stack_name: room for room, stack in self.stacks.items()}
        self._resources = list(self._read())

    def _read(self) -> Iterator[Resource]:
        for room, template in self.templates.items():
            for logical_id, resource in template["Resources"].items():
                yield Resource(
                    room=room,
                    logical_id=logical_id,
                    kind=resource["Type"],
                    properties=self.resolve(resource.get("Properties", {})),
                    attributes={k: v for k, v in resource.items() if k != "Properties"},
                )

    def resolve(self, value: Any) -> Any:
        """Replace references: a resource is ``<logical id>``, its attribute ``<id.attribute>``."""
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "Ref" in value:
            return PSEUDO.get(value["Ref"], f"<{value['Ref']}>")
        if "Fn::GetAtt" in value:
            return f"<{'.'.join(value['Fn::GetAtt'])}>"
        if "Fn::Join" in value:
            delimiter, parts = value["Fn::Join"]
            return delimiter.join(str(self.resolve(part)) for part in parts)
        if "Fn::GetStackOutput" in value:
            source = value["Fn::GetStackOutput"]
            outputs = self.templates[self._rooms[source["StackName"]]]["Outputs"]
            return self.resolve(outputs[source["OutputName"]]["Value"])
        return {key: self.resolve(item) for key, item in value.items()}

    def all(self, kind: str, *, room: str | None = None) -> list[Resource]:
        """Return the resources of one type, such as ``AWS::SQS::Queue``."""
        return [r for r in self._resources if r.kind == kind and room in (None, r.room)]

    def one(self, kind: str, **properties: Any) -> Resource:
        """Return the only resource of a type that has these properties."""
        found = [
            resource
            for resource in self.all(kind)
            if all(resource.properties.get(key) == value for key, value in properties.items())
        ]
        assert len(found) == 1, f"{kind} {properties}: {[one.logical_id for one in found]}"
        return found[0]

    def alarm(self, name: str) -> Properties:
        """Return the properties of the metric alarm with a name."""
        return self.one("AWS::CloudWatch::Alarm", AlarmName=name).properties

    def function(self, verb: str) -> Resource:
        """Return the function of one verb."""
        return self.one("AWS::Lambda::Function", Handler=f"lambdas.{verb}.handler")

    def logical_id(self, kind: str, path: str) -> str:
        """Return the logical id of the only resource of a type whose id starts so."""
        found = [r.logical_id for r in self.all(kind) if r.logical_id.startswith(path)]
        assert len(found) == 1, f"{kind} {path}: {found}"
        return found[0]

    def statements(self, role: str) -> list[Properties]:
        """Return the policy statements of a role, by its logical id."""
        return [
            statement
            for policy in self.all("AWS::IAM::Policy")
            if f"<{role}>" in policy.properties["Roles"]
            for statement in policy.properties["PolicyDocument"]["Statement"]
        ]


def monitor(name: str = "churn", **settings: Any) -> MonitorConfig:
    """Return a monitor as its YAML file would give it."""
    document = {"name": name, "endpoint": {"name": name}, **settings}
    return parse_monitor(document, f"{name}.yaml")


RETRAINED: dict[str, Any] = {
    "prediction": "score",
    "label": "label",
    "retraining": {"enabled": True},
}


def new_app() -> cdk.App:
    """Return an app with the flags of cdk.json, which bundles nothing."""
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    return cdk.App(context={**context, "aws:cdk:bundling-stacks": []})


def synthesize(*monitors: MonitorConfig, deployment: str = "driftgauge") -> Synthesized:
    """Synthesize a deployment."""
    app = new_app()
    cdk_app.compose(app, Deployment(name=deployment, monitors=MonitorSet(monitors=monitors)))
    return Synthesized(app)


OWN_TRAINER = "arn:aws:lambda:eu-west-1:123456789012:function:our-trainer"
SAGEMAKER: dict[str, Any] = {
    "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/churn:latest",
    "role_arn": "arn:aws:iam::123456789012:role/churn-training",
    "hyperparameters": {"eta": "0.1"},
}
