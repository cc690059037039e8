"""The policies that a plan would make: every document under IAM, SQS, S3, KMS, by the resource's address."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.terraform import resources

ROLE_ARN = "arn:aws:iam::111122223333:role/r"
KEY_ARN = "arn:aws:kms:us-east-1:111122223333:key/k"
# The attribute that holds a policy, where a root's plan must know it: ARNs are built from names.
KNOWN_AT_PLAN = {
    ("aws_iam_role", "assume_role_policy"),
    ("aws_iam_role_policy", "policy"),
    ("aws_iam_policy", "policy"),
    ("aws_sqs_queue", "policy"),
    ("aws_sqs_queue_policy", "policy"),
    ("aws_s3_bucket_policy", "policy"),
    ("aws_kms_key", "policy"),
    ("aws_kms_key_policy", "policy"),
}


def rendered(plan: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every policy document of a plan: (`address.attribute`, document)."""
    for resource in resources(plan["planned_values"]["root_module"]):
        for attribute, value in resource["values"].items():
            document = _document(value)
            if document is not None:
                yield f"{resource['address']}.{attribute}", document


def unknown(plan: Mapping[str, Any]) -> list[str]:
    """The policies that the plan names and cannot tell yet."""
    return sorted(
        f"{change['address']}.{attribute}"
        for change in plan["resource_changes"]
        for attribute in change["change"].get("after_unknown", {})
        if (change["type"], attribute) in KNOWN_AT_PLAN and change["change"]["after_unknown"][attribute] is True
    )


def lintable(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the resource that its statements leave out or mean by `*`.

    A role's trust policy names no resource, and the one that a key's policy may name is `*`, the key: a linter that does
    not know where a policy stands finds fault with both.
    """
    statements = document["Statement"]
    each = statements if isinstance(statements, list) else [statements]
    meant = KEY_ARN if "aws_kms_key" in name else ROLE_ARN
    own = "aws_kms_key" in name or "assume_role_policy" in name
    return {**document, "Statement": [{**one, "Resource": meant} if own else one for one in each]}


def _document(value: object) -> dict[str, Any] | None:
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return None
    try:
        document = json.loads(value)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "Statement" in document else None
