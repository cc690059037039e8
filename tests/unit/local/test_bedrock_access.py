"""May Bedrock assume the role, may the role reach the files: judged by policies, for the emulator enforces none."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from quarry_local.bedrock.errors import ApiError
from quarry_local.bedrock.iam.policy import by_identity, by_resource
from quarry_local.bedrock.iam.roles import Roles
from quarry_local.bedrock.jobs.job import Job
from quarry_local.bedrock.jobs.records import Unfit
from quarry_local.bedrock.models.identity import resolve
from tests.conformance.world import SimulatedWorld, questions, refusal

ACCOUNT = "123456789012"
REGION = "us-east-1"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/batch"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d"
OWN = {"StringEquals": {"aws:ResourceAccount": [ACCOUNT]}}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}


def trust(**changes: Any) -> dict[str, Any]:
    """The trust policy of AWS's page (contract section 6)."""
    return document(
        {
            "Principal": {"Service": "bedrock.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": ACCOUNT},
                "ArnEquals": {"aws:SourceArn": f"arn:aws:bedrock:{REGION}:{ACCOUNT}:model-invocation-job/*"},
            },
            **changes,
        }
    )


ACCESS = document(
    {
        "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
        "Resource": ["arn:aws:s3:::data", "arn:aws:s3:::data/*"],
        "Condition": OWN,
    }
)


def fault(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "Operation")


class FakeIam:
    """Roles with their trust policy, inline policies and attached ones."""

    def __init__(self) -> None:
        self.roles: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {}
        self.down: Exception | None = None
        self.asked = 0

    def put(self, arn: str, trusted: Any, inline: Any = None, attached: dict[str, Any] | None = None) -> None:
        self.roles[arn] = (trusted, {} if inline is None else {"access": inline}, attached or {})

    def _role(self, name: str) -> tuple[str, tuple[Any, dict[str, Any], dict[str, Any]]]:
        self.asked += 1
        if self.down:
            raise self.down
        for arn, role in self.roles.items():
            if arn.endswith(f"/{name}"):
                return arn, role
        raise fault("NoSuchEntity")

    def get_role(self, *, RoleName: str) -> Any:  # noqa: N803 - the API's names
        arn, role = self._role(RoleName)
        return {"Role": {"Arn": arn, "AssumeRolePolicyDocument": role[0]}}

    def get_paginator(self, operation: str) -> Any:
        fake = self

        class Pages:
            def paginate(self, *, RoleName: str) -> Any:  # noqa: N803
                _, (_, inline, attached) = fake._role(RoleName)
                if operation == "list_role_policies":
                    return [{"PolicyNames": [name]} for name in inline]
                return [{"AttachedPolicies": [{"PolicyArn": arn} for arn in attached]}]

        return Pages()

    def get_role_policy(self, *, RoleName: str, PolicyName: str) -> Any:  # noqa: N803
        return {"PolicyDocument": self._role(RoleName)[1][1][PolicyName]}

    def get_policy(self, *, PolicyArn: str) -> Any:  # noqa: N803
        return {"Policy": {"DefaultVersionId": "v3", "Arn": PolicyArn}}

    def get_policy_version(self, *, PolicyArn: str, VersionId: str) -> Any:  # noqa: N803
        assert VersionId == "v3"
        for _, _, attached in self.roles.values():
            if attached.get(PolicyArn) is not None:
                return {"PolicyVersion": {"Document": attached[PolicyArn]}}
        raise fault("NoSuchEntity")


class FakeS3:
    """Buckets with their region and policy."""

    def __init__(self) -> None:
        self.buckets: dict[str, tuple[str | None, Any]] = {"data": (None, None)}

    def get_bucket_location(self, *, Bucket: str) -> Any:  # noqa: N803
        if Bucket not in self.buckets:
            raise fault("NoSuchBucket")
        return {"LocationConstraint": self.buckets[Bucket][0]}

    def get_bucket_policy(self, *, Bucket: str) -> Any:  # noqa: N803
        policy = self.buckets[Bucket][1]
        if policy is None:
            raise fault("NoSuchBucketPolicy")
        return {"Policy": policy if isinstance(policy, str) else json.dumps(policy)}


class Case:
    """A role and a bucket that are right, to be spoiled one way at a time."""

    def __init__(self, **settings: Any) -> None:
        self.iam, self.s3 = FakeIam(), FakeS3()
        self.iam.put(ROLE, trust(), ACCESS)
        self.now = 0.0
        chosen = {"check_role": True, "check_access": True, "check_profiles": True, "caller_role": None, **settings}
        self.roles = Roles(self.iam, self.s3, region=REGION, account=ACCOUNT, monotonic=lambda: self.now, **chosen)

    def create(self, role: str = ROLE) -> None:
        self.roles.check_create({"roleArn": role})

    def refused(self, role: str = ROLE) -> ApiError:
        with pytest.raises(ApiError) as error:
            self.create(role)
        return error.value

    def run(self, *, model: str = HAIKU, source: Any = "s3://data/in/a.jsonl", target: Any = "s3://data/out/") -> None:
        request = {
            "roleArn": ROLE,
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": source} if isinstance(source, str) else source},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": target} if isinstance(target, str) else target},
        }
        found = resolve(model, region=REGION, account=ACCOUNT)
        self.roles.check_job(Job("abcdefghijkl", "arn:job", request, found, submit_time=0))

    def unfit(self, **job: Any) -> str:
        with pytest.raises(Unfit) as wrong:
            self.run(**job)
        return str(wrong.value)


def test_the_role_of_awss_own_page_passes():
    case = Case()
    case.create()
    case.run()
    case.run(source="s3://data/in/", target="s3://data")


@pytest.mark.parametrize(
    "wrong",
    [
        trust(Principal={"Service": "ec2.amazonaws.com"}),
        trust(Action="sts:TagSession"),
        trust(Condition={"StringEquals": {"aws:SourceAccount": "999999999999"}}),
        trust(
            Condition={"ArnEquals": {"aws:SourceArn": f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:model-invocation-job/*"}}
        ),
        document(*trust()["Statement"], {**trust()["Statement"][0], "Effect": "Deny"}),
    ],
)
def test_a_role_that_does_not_trust_bedrock_is_refused_as_one_that_is_not_there(wrong):
    case = Case()
    case.iam.put(ROLE, wrong, ACCESS)
    error = case.refused()
    assert (error.code, error.status) == ("ValidationException", 400)
    assert error.message == case.refused(f"arn:aws:iam::{ACCOUNT}:role/none").message.replace("/none", "/batch")


@pytest.mark.parametrize("name", ["a&b", "a<b", "Käse", "a b", "a" * 65])
def test_a_name_that_iam_gives_to_no_role_is_refused_and_iam_is_not_asked_for_it(name):
    case = Case()
    arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
    assert arn in case.refused(arn).message
    assert case.iam.asked == 0


def test_a_role_under_another_path_is_another_role():
    case = Case()
    assert case.refused(f"arn:aws:iam::{ACCOUNT}:role/team/batch").code == "ValidationException"


def test_a_refusal_is_judged_anew_and_a_good_answer_is_kept_for_seconds():
    case = Case()
    case.iam.put(ROLE, trust(Action="sts:TagSession"), ACCESS)
    case.refused()
    case.iam.put(ROLE, trust(), ACCESS)
    case.create()
    asked = case.iam.asked
    case.create()
    assert case.iam.asked == asked
    case.iam.roles.clear()
    case.now = 6
    case.refused()


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:GetObject", "arn:aws:s3:::data/in/a.jsonl"),
        ("s3:ListBucket", "arn:aws:s3:::data"),
        ("s3:PutObject", "arn:aws:s3:::data/out/abcdefghijkl/manifest.json.out"),
    ],
)
def test_each_missing_permission_on_s3_fails_the_job_and_is_named(action, resource):
    case = Case()
    others = [one for one in ACCESS["Statement"][0]["Action"] if one != action]
    case.iam.put(ROLE, trust(), document({**ACCESS["Statement"][0], "Action": others}))
    assert case.unfit().endswith(f"is not authorized to perform: {action} on resource: {resource}")
    case.iam.put(
        ROLE,
        trust(),
        document({"Action": "s3:*", "Resource": "*"}, {"Effect": "Deny", "NotAction": others, "Resource": "*"}),
    )
    assert action in case.unfit()


def test_a_policy_for_another_account_or_prefix_does_not_serve():
    case = Case()
    foreign = {"StringEquals": {"aws:ResourceAccount": ["999999999999"]}}
    case.iam.put(ROLE, trust(), document({**ACCESS["Statement"][0], "Condition": foreign}))
    assert "s3:ListBucket" in case.unfit()
    listing = {"Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringLike": {"s3:prefix": ["in/*"]}}}
    case.iam.put(ROLE, trust(), document(listing, {"Action": "s3:*Object", "Resource": "*"}))
    case.run()
    assert "s3:ListBucket" in case.unfit(source="s3://data/elsewhere/a.jsonl")


def test_attached_policies_count_and_one_that_cannot_be_read_is_not_held_against_the_role():
    case = Case()
    arn = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
    case.iam.put(ROLE, trust(), None, {arn: document({"Action": "s3:*", "Resource": "*"})})
    case.run()
    case.iam.put(ROLE, trust(), None, {arn: document({"Action": "sqs:*", "Resource": "*"})})
    case.now = 6
    assert "not authorized" in case.unfit()
    unreadables: tuple[Any, ...] = (None, {})
    for unreadable in unreadables:
        case.iam.put(ROLE, trust(), None, {arn: unreadable})
        case.now += 6
        case.run()


def test_a_bucket_policy_can_allow_and_deny():
    case = Case()
    case.iam.put(ROLE, trust(), document({"Action": "sqs:*", "Resource": "*"}))
    whole = {"Action": "s3:*", "Resource": ["arn:aws:s3:::data", "arn:aws:s3:::data/*"]}
    case.s3.buckets["data"] = (None, document({**whole, "Principal": {"AWS": ROLE}}))
    case.run()
    case.now = 6
    case.s3.buckets["data"] = (None, document({**whole, "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}))
    assert "not authorized" in case.unfit()
    insecure = {**whole, "Principal": "*", "Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    case.iam.put(ROLE, trust(), ACCESS)
    case.s3.buckets["data"] = (None, document(insecure))
    case.run()
    case.now = 12
    others = {**whole, "Principal": "*", "Effect": "Deny", "Condition": {"ArnNotLike": {"aws:PrincipalArn": "x"}}}
    case.s3.buckets["data"] = (None, document(others))
    assert "not authorized" in case.unfit()


def test_buckets_must_be_there_here_and_ones_own():
    case = Case()
    assert "the bucket nowhere does not exist" in case.unfit(target="s3://nowhere/out/")
    case.s3.buckets["far"] = ("EU", None)
    assert case.unfit(source="s3://far/a.jsonl") == "The bucket far is in eu-west-1; the job is in us-east-1"
    case.run(source={"s3Uri": "s3://data/in/a.jsonl", "s3BucketOwner": ACCOUNT})
    owned = case.unfit(source={"s3Uri": "s3://data/in/a.jsonl", "s3BucketOwner": "999999999999"})
    assert "does not belong to the account 999999999999" in owned


def test_a_key_for_the_output_needs_a_permission():
    case = Case()
    target = {"s3Uri": "s3://data/out/", "s3EncryptionKeyId": KEY}
    assert f"kms:GenerateDataKey on resource: {KEY}" in case.unfit(target=target)
    assert "key/0a1b2c3d" in case.unfit(target={**target, "s3EncryptionKeyId": "0a1b2c3d"})
    case.run(target={**target, "s3EncryptionKeyId": "alias/output"})
    case.iam.put(ROLE, trust(), document(*ACCESS["Statement"], {"Action": "kms:GenerateDataKey", "Resource": KEY}))
    case.now = 6
    case.run(target=target)


def test_a_profile_needs_the_right_to_invoke_it_and_its_model_in_each_region():
    case = Case()
    profile = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/us.{HAIKU}"
    assert f"bedrock:InvokeModel on resource: {profile}" in case.unfit(model=f"us.{HAIKU}")
    here = [profile, f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"]
    case.iam.put(ROLE, trust(), document(*ACCESS["Statement"], {"Action": "bedrock:InvokeModel", "Resource": here}))
    assert "arn:aws:bedrock:us-east-2::foundation-model" in case.unfit(model=f"us.{HAIKU}")
    every = [profile, f"arn:aws:bedrock:*::foundation-model/{HAIKU}"]
    case.iam.put(ROLE, trust(), document(*ACCESS["Statement"], {"Action": "bedrock:InvokeModel", "Resource": every}))
    case.run(model=f"us.{HAIKU}")
    Case(check_profiles=False).run(model=f"us.{HAIKU}")


def test_the_caller_must_be_allowed_to_pass_the_role_to_bedrock():
    case = Case(caller_role="scheduler")
    caller = f"arn:aws:iam::{ACCOUNT}:role/scheduler"
    passing = {
        "Action": "iam:PassRole",
        "Resource": ROLE,
        "Condition": {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}},
    }
    case.iam.put(caller, trust(), document(passing))
    case.create()
    for wrong in (
        {"Resource": f"{ROLE}-2"},
        {"Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}},
    ):
        case.iam.put(caller, trust(), document({**passing, **wrong}))
        case.now += 6
        error = case.refused()
        assert (error.code, error.status) == ("AccessDeniedException", 403)
        assert error.message.endswith(
            f"is not authorized to perform: iam:PassRole on resource: {ROLE} "
            "because no identity-based policy allows the iam:PassRole action"
        )


def test_what_nobody_can_answer_is_no_reason_to_refuse():
    stand_in = Case()
    stand_in.iam.put(ROLE, {})
    stand_in.create()
    stand_in.run()
    for down in (EndpointConnectionError(endpoint_url="http://nowhere"), fault("ServiceFailure")):
        case = Case(caller_role="scheduler")
        case.iam.down = down
        case.create()
        case.run()
    unknown = Case(check_role=False)
    unknown.iam.roles.clear()
    unknown.create()
    unknown.run()


def test_checks_can_be_switched_off():
    case = Case(check_role=False, check_access=False)
    case.iam.put(ROLE, trust(Action="sts:TagSession"), document())
    case.create()
    case.run(target="s3://nowhere/out/")
    assert case.iam.asked == 0


def test_negations_null_and_wildcards_mean_what_they_mean_in_iam():
    def expected(
        statement: dict[str, Any], action: str = "s3:GetObject", resource: str = "arn:aws:s3:::b/k", **context: str
    ) -> bool:
        return by_identity([document(statement)], action=action, resource=resource, context=context).allowed

    assert expected({"NotAction": "s3:Put*", "Resource": "*"})
    assert not expected({"NotAction": "s3:get*", "Resource": "*"})
    assert expected({"Action": "s3:G?tObject", "NotResource": "arn:aws:s3:::c/*"})
    assert not expected({"Action": "*", "NotResource": "arn:aws:s3:::b/*"})
    assert expected({"Action": "*", "Resource": "*", "Condition": {"Null": {"k": "true"}}})
    assert not expected({"Action": "*", "Resource": "*", "Condition": {"Null": {"k": True}}}, k="v")
    one = document({"NotPrincipal": {"AWS": ROLE}, "Action": "*", "Resource": "*"})
    for principals, allowed in (({ROLE}, False), ({"arn:other"}, True)):
        verdict = by_resource(one, principals=principals, action="s3:GetObject", resource="b", context={})
        assert verdict.allowed is allowed


def test_the_role_of_the_local_stack_passes_and_one_without_its_policy_fails_late(aws, resources):
    place = resources.place
    world = SimulatedWorld(aws, check_profiles=False, caller_role=place.role("scheduler"))
    try:
        body = b"".join(json.dumps(line).encode() + b"\n" for line in questions())
        key = "batch-input/run/00001.jsonl"
        world.s3.put_object(Bucket=place.bucket, Key=key, Body=body)
        request = world.request(
            f"s3://{place.bucket}/{key}",
            roleArn=place.role_arn("bedrock"),
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": f"s3://{place.bucket}/batch-output/run/00001-1/"}},
        )
        arn = world.bedrock.create_model_invocation_job(**request)["jobArn"]
        assert world.wait(arn)["status"] == "Completed"
        elsewhere = {"s3OutputDataConfig": {"s3Uri": f"s3://{place.bucket}/results/"}}
        arn = world.bedrock.create_model_invocation_job(**{**request, "outputDataConfig": elsewhere})["jobArn"]
        job = world.wait(arn)
        assert job["status"] == "Failed"
        assert "is not authorized to perform: s3:PutObject" in job["message"]
        assert job["processedRecordCount"] == 0
        # The scheduler may pass the role of Bedrock and no other.
        reported = refusal(
            world.bedrock.create_model_invocation_job, **{**request, "roleArn": place.role_arn("collector")}
        )
        assert reported[:2] == ("AccessDeniedException", 403)
    finally:
        world.close()
