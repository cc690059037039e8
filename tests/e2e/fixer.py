"""Carries out what `quarry doctor` says: adds its statements, runs its commands, sets its settings.

What a person would copy is taken as it is printed: a command that AWS's command line would not understand, or a
statement that does not fix, fails the test that trusts in it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from botocore import xform_name
from botocore.model import Shape

from quarry_local.clients import Clients

SERVICES = {"s3api": "s3"}
ADDED = "added"


class Fixer:
    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.settings: dict[str, str] = {}

    def take(self, fix: Mapping[str, Any]) -> None:
        """Do what one fix says."""
        if fix["kind"] == "command":
            self.run(fix["value"])
        elif fix["kind"] == "setting":
            name, _, value = fix["value"].partition("=")
            self.settings[name] = value
        else:
            self._add(fix["where"], fix["value"])

    def run(self, line: str) -> Any:
        """Run a line of AWS's command line: `aws <service> <operation> --<parameter> <value> ...`."""
        aws, service, operation, *words = shlex.split(line)
        assert aws == "aws"
        client = self._clients.client(SERVICES.get(service, service))
        operations = {xform_name(name, "-"): name for name in client.meta.service_model.operation_names}
        shape = client.meta.service_model.operation_model(operations[operation]).input_shape
        members = {xform_name(name, "-"): name for name in shape.members}
        assert len(words) % 2 == 0, words
        given = {}
        for flag, value in zip(words[::2], words[1::2], strict=True):
            assert flag.startswith("--")
            name = members[flag.removeprefix("--")]
            given[name] = _read(shape.members[name], value)
        return getattr(client, operation.replace("-", "_"))(**given)

    def _add(self, where: str, statements: list[Any]) -> None:
        instead = "in place of" in where
        match = re.match(r"(?P<kind>(trust )?policy of (role|queue|key)) (?P<name>[^\s,]+)", where)
        assert match is not None, where
        kind, name = match["kind"], match["name"]
        iam = self._clients.client("iam")
        if kind == "trust policy of role":
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=_document(statements))
        elif kind == "policy of role":
            policy = "access" if instead else ADDED
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=_document(statements))
        elif kind == "policy of queue":
            sqs = self._clients.client("sqs")
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": _document(statements)})
        else:
            kms = self._clients.client("kms")
            standing = json.loads(kms.get_key_policy(KeyId=name, PolicyName="default")["Policy"])["Statement"]
            kms.put_key_policy(KeyId=name, PolicyName="default", Policy=_document([*standing, *statements]))


def _document(statements: list[Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _read(shape: Shape, value: str) -> Any:
    if shape.type_name in {"structure", "map"}:
        return json.loads(value)
    if shape.type_name == "list":
        return json.loads(value) if value.startswith("[") else [value]
    return int(value) if shape.type_name in {"integer", "long"} else value
