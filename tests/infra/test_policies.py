"""Every policy that an environment or example would make is known at plan time and names only what IAM knows."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.infra import policies, terraform
from tests.infra.summary import SUMMARY

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-infra" / "bin" / "python"
LINT_S = 120
ROOTS = terraform.roots()
# What parliament finds and is wrong about: (issue, a word of the detail) and why.
KNOWN_FALSE = {
    ("RESOURCE_MISMATCH", "bedrock:CreateModelInvocationJob"): (
        "its table asks for a custom model in every statement; AWS checks the action on the job, the foundation model"
        " or the inference profile, whichever the request names"
    ),
    ("MISMATCHED_TYPE_BUT_USABLE", "StringNotEquals requires a value of type String but given Arn"): (
        "the key that S3 is asked to encrypt with is told as an ARN, and AWS's own examples compare it as a string"
    ),
    ("MISMATCHED_TYPE", "ArnEquals requires a value of type Arn but given String"): (
        "the tag that Bedrock puts on a network interface is an ARN, and AWS's page compares it as one"
    ),
    ("MISMATCHED_TYPE_BUT_USABLE", "StringEquals requires a value of type String but given Arn"): (
        "AWS's page compares ec2:Subnet as a string"
    ),
    ("RESOURCE_MISMATCH", "kms:CreateAlias"): "an alias is made, moved and deleted by leave of its key as well",
    ("INVALID_ARN", ":iam::aws:policy/"): "it does not know that the policies which AWS manages are owned by `aws`",
}


def lint(documents: dict[str, Any]) -> dict[str, list[list[str]]]:
    answer = subprocess.run(
        [PYTHON, "-W", "ignore", Path(__file__).with_name("lint.py")],
        input=json.dumps({name: policies.lintable(name, document) for name, document in documents.items()}),
        capture_output=True,
        text=True,
        timeout=LINT_S,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    said: dict[str, list[list[str]]] = json.loads(answer.stdout)
    return said


def is_known_false(issue: str, detail: str) -> bool:
    return any(issue == known and word in detail for known, word in KNOWN_FALSE)


@pytest.mark.parametrize("directory", ROOTS)
def test_every_policy_is_known_at_plan_time_and_without_a_finding(checks, directory):
    plan = checks[directory].plan
    assert plan, f"{directory} could not be planned"
    assert not policies.unknown(plan)
    documents = dict(policies.rendered(plan))
    assert documents, f"{directory} makes no policy"
    SUMMARY.policies += len(documents)
    found = lint(documents)
    told = [
        f"{name}: {issue} {detail}"
        for name, findings in found.items()
        for issue, detail in findings
        if not is_known_false(issue, detail)
    ]
    assert not told, "\n".join(told)


def statement(**fields: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Sid": "One", "Effect": "Allow", **fields}]}


@pytest.mark.parametrize(
    ("issue", "document"),
    [
        ("UNKNOWN_ACTION", statement(Action="s3:GetObjekt", Resource="arn:aws:s3:::b/*")),
        (
            "UNKNOWN_CONDITION_FOR_ACTION",
            statement(
                Action="sqs:SendMessage",
                Resource="arn:aws:sqs:us-east-1:111122223333:q",
                Condition={"StringEquals": {"s3:prefix": "x"}},
            ),
        ),
        ("RESOURCE_STAR", statement(Action="iam:PassRole", Resource="*")),
        ("RESOURCE_MISMATCH", statement(Action="s3:GetObject", Resource="arn:aws:s3:::bucket-alone")),
    ],
)
def test_the_linter_finds(issue, document):
    assert issue in {found[0] for found in lint({"it": document})["it"]}


def test_the_linter_takes_the_trust_policy_of_a_role():
    trust = statement(Action="sts:AssumeRole", Principal={"Service": "bedrock.amazonaws.com"})
    assert lint({"aws_iam_role.r.assume_role_policy": trust}) == {}


def test_the_known_false_finding_is_still_made():
    """Where the linter has learned better, the exception goes."""
    jobs = "arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/*"
    create = statement(Action="bedrock:CreateModelInvocationJob", Resource=[jobs])
    assert [issue for issue, detail in lint({"it": create})["it"] if is_known_false(issue, detail)]
