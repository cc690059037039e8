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
# What bedrock:InvokeModel may be granted on instead of a foundation model; the reference lists each as if all were needed.
INSTEAD_OF_A_FOUNDATION_MODEL = (
    "application-inference-profile",
    "async-invoke",
    "bedrock-marketplace-model-endpoint",
    "custom-model-deployment",
    "default-prompt-router",
    "imported-model",
    "inference-profile",
    "project",
    "prompt-router",
    "provisioned-model",
    "system-tool",
)
# What the reference does not know: (issue, a word of the detail) and why.
KNOWN_FALSE = {
    **{
        ("RESOURCE_MISSING", f"bedrock:InvokeModel needs a {kind} "): "it is one of several that may be invoked"
        for kind in INSTEAD_OF_A_FOUNDATION_MODEL
    },
    ("RESOURCE_MISSING", "bedrock:CreateModelInvocationJob needs a custom-model"): (
        "it asks for a custom model and a foundation model; AWS checks the action on the job and on the model or the"
        " inference profile that the request names"
    ),
    ("RESOURCE_MISMATCH", "inference-profile/*"): "it knows no inference profile for bedrock:CreateModelInvocationJob",
    ("MISMATCHED_TYPE", "Tag/BedrockModelInvocationJobArn is of type String"): (
        "the tag that Bedrock puts on a network interface is an ARN, and AWS's page compares it as one"
    ),
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
    reported = [
        f"{name}: {issue} {detail}"
        for name, findings in found.items()
        for issue, detail in findings
        if not is_known_false(issue, detail)
    ]
    assert not reported, "\n".join(reported)


QUEUE, BUCKET = "arn:aws:sqs:us-east-1:111122223333:q", "arn:aws:s3:::bucket-alone"
JOBS = "arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/*"
MODEL = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
PROFILES = "arn:aws:bedrock:us-east-1:111122223333:inference-profile/*"


def statement(**fields: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Sid": "One", "Effect": "Allow", **fields}]}


def sending(operator: str, key: str, value: Any) -> dict[str, Any]:
    return statement(Action="sqs:SendMessage", Resource=QUEUE, Condition={operator: {key: value}})


def trusting_a_cluster(key: str) -> dict[str, Any]:
    return statement(
        Action="sts:AssumeRoleWithWebIdentity",
        Resource=policies.ROLE_ARN,
        Principal={"Federated": "arn:aws:iam::111122223333:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/A"},
        Condition={"StringEquals": {key: "sts.amazonaws.com"}},
    )


FAULTY: dict[str, tuple[str, dict[str, Any]]] = {
    "a service that there is not": ("UNKNOWN_SERVICE", statement(Action="s4:GetObject", Resource="*")),
    "an action that there is not": ("UNKNOWN_ACTION", statement(Action="s3:GetObjekt", Resource=f"{BUCKET}/*")),
    "an action of another service": ("UNKNOWN_ACTION", statement(Action="sqs:PutObject", Resource=QUEUE)),
    "a pattern that matches no action": ("UNKNOWN_ACTION", statement(Action="sqs:Sent*", Resource=QUEUE)),
    "an action that is denied and not known": (
        "UNKNOWN_ACTION",
        statement(Effect="Deny", Action=["s3:PutObject", "s3:PutObjects"], Resource=f"{BUCKET}/*"),
    ),
    "a bucket for an object": ("RESOURCE_MISMATCH", statement(Action="s3:GetObject", Resource=BUCKET)),
    "an object for a bucket": ("RESOURCE_MISMATCH", statement(Action="s3:ListBucket", Resource=f"{BUCKET}/*")),
    "a resource of another service": ("RESOURCE_MISMATCH", statement(Action="sqs:SendMessage", Resource=BUCKET)),
    "an account where there is none": (
        "RESOURCE_MISMATCH",
        statement(Action="s3:GetObject", Resource="arn:aws:s3::111122223333:b/*"),
    ),
    "a resource of no action beside one of some": (
        "RESOURCE_MISMATCH",
        statement(Action="s3:GetObject", Resource=[f"{BUCKET}/*", BUCKET]),
    ),
    "an action about no resource beside one about some": (
        "RESOURCE_MISMATCH",
        statement(Action=["s3:GetObject", "s3:ListBucket"], Resource=f"{BUCKET}/*"),
    ),
    "a resource where only all can be named": (
        "RESOURCE_MISMATCH",
        statement(Action="bedrock:ListModelInvocationJobs", Resource=JOBS),
    ),
    "a deny that denies nothing": (
        "RESOURCE_MISMATCH",
        statement(Effect="Deny", Action="s3:PutObject", Resource=BUCKET, Principal="*"),
    ),
    "a type of resource that the action needs as well": (
        "RESOURCE_MISSING",
        statement(Action="kms:CreateAlias", Resource="arn:aws:kms:us-east-1:111122223333:alias/a"),
    ),
    "everything": ("RESOURCE_STAR", statement(Action="iam:PassRole", Resource="*")),
    "every role there is": ("RESOURCE_STAR", statement(Action="iam:PassRole", Resource="arn:aws:iam::*:role/*")),
    "no ARN": ("INVALID_ARN", statement(Action="sqs:SendMessage", Resource="sqs:us-east-1:q")),
    "no region": (
        "INVALID_ARN",
        statement(Action="sqs:SendMessage", Resource="arn:aws:sqs:virginia:111122223333:q"),
    ),
    "a key of another service": ("UNKNOWN_CONDITION", sending("StringEquals", "s3:prefix", "x")),
    "a key of another action": (
        "UNKNOWN_CONDITION",
        statement(Action="s3:GetObject", Resource=f"{BUCKET}/*", Condition={"StringLike": {"s3:prefix": "x/*"}}),
    ),
    "a key that there is not": ("UNKNOWN_CONDITION", sending("Bool", "aws:SecureTransports", "true")),
    "a key that one of two actions lacks": (
        "UNKNOWN_CONDITION",
        statement(
            Action=["s3:GetObject", "s3:ListBucket"],
            Resource=[BUCKET, f"{BUCKET}/*"],
            Condition={"StringLike": {"s3:prefix": "x/*"}},
        ),
    ),
    "a key of another cluster": (
        "UNKNOWN_CONDITION",
        trusting_a_cluster(key="oidc.eks.us-east-1.amazonaws.com/id/B:aud"),
    ),
    "a tag of a request that makes none": ("UNKNOWN_CONDITION", sending("StringEquals", "aws:RequestTag/env", "x")),
    "an operator that there is not": ("UNKNOWN_OPERATOR", sending("StringEqual", "aws:SourceAccount", "1")),
    "a text compared as a number": ("MISMATCHED_TYPE", sending("NumericEquals", "aws:SourceAccount", "1")),
    "a text compared as an ARN": ("MISMATCHED_TYPE", sending("ArnEquals", "aws:SourceAccount", QUEUE)),
    "no ARN where one is compared": ("MISMATCHED_TYPE", sending("ArnLike", "aws:SourceArn", "bucket-alone")),
    "neither true nor false": ("MISMATCHED_TYPE", sending("Bool", "aws:SecureTransport", "yes")),
    "no address": ("MISMATCHED_TYPE", sending("IpAddress", "aws:SourceIp", "10.0.0.0/33")),
    "no answer to whether a key is there": ("MISMATCHED_TYPE", sending("Null", "aws:SourceArn", "maybe")),
    "no kind of principal": (
        "UNKNOWN_PRINCIPAL",
        statement(Action="sqs:SendMessage", Resource=QUEUE, Principal={"Role": "*"}),
    ),
    "no service": (
        "UNKNOWN_PRINCIPAL",
        statement(Action="sqs:SendMessage", Resource=QUEUE, Principal={"Service": "events.amazonaws"}),
    ),
    "no principal of an account": (
        "UNKNOWN_PRINCIPAL",
        statement(Action="sqs:SendMessage", Resource=QUEUE, Principal={"AWS": "arn:aws:iam::1:role/r"}),
    ),
    "an element that there is not": ("MALFORMED", statement(Action="sqs:SendMessage", Resources=QUEUE)),
    "neither allowed nor denied": ("MALFORMED", statement(Effect="Permit", Action="sqs:SendMessage", Resource=QUEUE)),
    "an old version": ("VERSION", {**statement(Action="sqs:SendMessage", Resource=QUEUE), "Version": "2008-10-17"}),
    "two statements of one name": (
        "DUPLICATE_SID",
        {"Version": "2012-10-17", "Statement": statement(Action="sqs:SendMessage", Resource=QUEUE)["Statement"] * 2},
    ),
}
SOUND: dict[str, dict[str, Any]] = {
    "exact names": statement(Action=["sqs:SendMessage", "sqs:ReceiveMessage"], Resource=QUEUE),
    "patterns": statement(Action="s3:Get*", Resource=[BUCKET, f"{BUCKET}/*"]),
    "another case": statement(Action="SQS:sendmessage", Resource=QUEUE),
    "all where only all can be named": statement(Action="bedrock:ListModelInvocationJobs", Resource="*"),
    "a model's id with a colon": statement(Action="bedrock:GetFoundationModel", Resource=MODEL),
    "a key with an open part": statement(
        Action="kms:Decrypt",
        Resource="arn:aws:kms:us-east-1:111122223333:key/k",
        Condition={"StringEquals": {"kms:EncryptionContext:aws:logs:arn": "x", "kms:ViaService": "s3.amazonaws.com"}},
    ),
    "a key of the resource": sending("StringEquals", "aws:ResourceTag/env", "dev"),
    "keys that any request has": sending("ForAnyValue:StringLikeIfExists", "aws:PrincipalOrgPaths", "o-1/*"),
    "an ARN compared as a text": sending("StringNotEquals", "aws:SourceArn", "arn:aws:events:us-east-1:1:rule/r"),
    "a variable": statement(Action="s3:GetObject", Resource="arn:aws:s3:::b/${aws:PrincipalTag/team}/*"),
    "types in two statements": {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "kms:CreateAlias", "Resource": f"arn:aws:kms:us-east-1:111122223333:{one}"}
            for one in ("alias/a", "key/k")
        ],
    },
    "a role's trust in a cluster": trusting_a_cluster(key="oidc.eks.us-east-1.amazonaws.com/id/A:aud"),
}


@pytest.fixture(scope="module")
def said() -> dict[str, list[list[str]]]:
    """What is found in all that stands above, asked at once."""
    found = lint({**{name: document for name, (_, document) in FAULTY.items()}, **SOUND})
    return {name: found.get(name, []) for name in (*FAULTY, *SOUND)}


@pytest.mark.parametrize("name", FAULTY)
def test_the_linter_finds(said, name):
    assert {issue for issue, _ in said[name]} == {FAULTY[name][0]}


@pytest.mark.parametrize("name", SOUND)
def test_the_linter_finds_nothing_in(said, name):
    assert said[name] == []


def test_the_linter_takes_the_trust_policy_of_a_role():
    trust = statement(Action="sts:AssumeRole", Principal={"Service": "bedrock.amazonaws.com"})
    assert lint({"aws_iam_role.r.assume_role_policy": trust}) == {}


@pytest.mark.parametrize(
    ("known", "document"),
    list(
        zip(
            KNOWN_FALSE,
            [
                *(statement(Action="bedrock:InvokeModel", Resource=MODEL) for _ in INSTEAD_OF_A_FOUNDATION_MODEL),
                statement(Action="bedrock:CreateModelInvocationJob", Resource=[JOBS, MODEL]),
                statement(Action="bedrock:CreateModelInvocationJob", Resource=[JOBS, MODEL, PROFILES]),
                statement(
                    Action="ec2:DeleteNetworkInterface",
                    Resource="arn:aws:ec2:us-east-1:111122223333:network-interface/*",
                    Condition={"ArnEquals": {"ec2:ResourceTag/BedrockModelInvocationJobArn": JOBS}},
                ),
            ],
            strict=True,
        )
    ),
)
def test_a_finding_that_is_known_to_be_false_is_still_made(known, document):
    """Where the reference was corrected, the exception goes."""
    issue, word = known
    found = lint({"it": document})["it"]
    assert [detail for said, detail in found if said == issue and word in detail]
    assert all(is_known_false(*each) for each in found)
