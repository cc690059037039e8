"""Our copy of Create's limits is the service model's, and says so in the words of the manifest."""

from __future__ import annotations

import dataclasses
import re

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract import job_request as ours
from quarry_core.ports import JobRequest

MODEL = botocore.session.get_session().get_service_model("bedrock")
GOOD = JobRequest(
    name="census-r1-00002-1-dev",
    client_token="0123456789abcdef0123456789abcdef",
    role_arn="arn:aws:iam::123456789012:role/quarry",
    model_id="anthropic.claude-3-haiku-20240307-v1:0",
    input_uri="s3://bucket/batch-input/r1/00002.jsonl",
    output_uri="s3://bucket/batch-output/r1/00002-1/",
    timeout_hours=72,
)


@pytest.mark.parametrize(
    ("shape", "pattern", "most"),
    [
        ("ModelInvocationJobName", ours.JOB_NAME_PATTERN, ours.JOB_NAME_CHARS_MAX),
        ("RoleArn", ours.ROLE_ARN_PATTERN, ours.ROLE_ARN_CHARS_MAX),
        ("ModelId", ours.MODEL_ID_PATTERN, ours.MODEL_ID_CHARS_MAX),
        ("S3Uri", ours.S3_URI_PATTERN, ours.S3_URI_CHARS_MAX),
        ("ModelInvocationIdempotencyToken", ours.CLIENT_TOKEN_PATTERN, ours.CLIENT_TOKEN_CHARS_MAX),
        ("KmsKeyId", ours.KMS_KEY_PATTERN, ours.KMS_KEY_CHARS_MAX),
        ("SubnetId", ours.VPC_ID_PATTERN, ours.VPC_ID_CHARS_MAX),
        ("SecurityGroupId", ours.VPC_ID_PATTERN, ours.VPC_ID_CHARS_MAX),
        ("TagKey", ours.TAG_PATTERN, ours.TAG_KEY_CHARS_MAX),
        ("TagValue", ours.TAG_PATTERN, ours.TAG_VALUE_CHARS_MAX),
    ],
)
def test_texts_have_the_limits_of_the_service_model(shape, pattern, most):
    metadata = MODEL.shape_for(shape).metadata
    assert (metadata["pattern"], metadata["max"]) == (pattern, most)
    # An empty text has no match where the model asks for one character; tag keys are asked apart.
    assert metadata.get("min", 0) == 0 or shape == "TagKey" or not re.fullmatch(pattern, "")


def test_numbers_have_the_limits_of_the_service_model():
    def limits(shape):
        metadata = MODEL.shape_for(shape).metadata
        return metadata["min"], metadata["max"]

    hours = limits("ModelInvocationJobTimeoutDurationInHours")
    assert hours == (ours.TIMEOUT_HOURS_MIN, ours.TIMEOUT_HOURS_MAX)
    assert limits("SubnetIds") == (1, ours.SUBNETS_MAX)
    assert limits("SecurityGroupIds") == (1, ours.SECURITY_GROUPS_MAX)
    assert limits("TagList")[1] >= ours.TAGS_MAX
    assert tuple(MODEL.shape_for("ModelInvocationType").enum) == ours.INVOCATION_TYPES


def test_create_has_no_member_that_we_do_not_know():
    members = set(MODEL.operation_model("CreateModelInvocationJob").input_shape.members)
    assert members == {
        "jobName",
        "roleArn",
        "clientRequestToken",
        "modelId",
        "inputDataConfig",
        "outputDataConfig",
        "vpcConfig",
        "timeoutDurationInHours",
        "tags",
        "modelInvocationType",
    }


def accepts(check, *given_values):
    try:
        check(*given_values)
    except ValueError:
        return False
    return True


@given(st.text("aB0-+._ é\n", max_size=12))
def test_names_and_tokens_are_judged_as_by_the_models_own_patterns(text):
    """Ours are rewritten, since the model's take exponential time; short texts are safe with both."""
    assert accepts(ours.check_job_name, text) == bool(re.fullmatch(ours.JOB_NAME_PATTERN, text))
    assert accepts(ours.check_client_token, text) == bool(re.fullmatch(ours.CLIENT_TOKEN_PATTERN, text))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", ["a", "-", "a-", "a.", "a_", "a:", "/a", "a b", ":", "0"])
def test_a_hostile_text_takes_no_time(piece):
    for size in (30, 60, 127, 250, 1000, 2040):
        for text in (
            piece * size,
            "a" + piece * size + "\x00",
            "s3://bucket/" + piece * size + "=",
            "arn:aws:bedrock:" + piece * size,
        ):
            cut = text[-2048:]
            for check in (ours.check_job_name, ours.check_client_token, ours.check_role_arn, ours.check_model_id):
                accepts(check, cut)
                accepts(check, cut[:63])
                accepts(check, cut[:256])
            accepts(ours.check_s3_uri, cut[:1024], "s3_uri")
            accepts(ours.check_kms_key, cut)
            accepts(ours.check_tags, {cut[:128]: cut[:256]})


def test_a_good_request_passes():
    ours.check_request(GOOD)
    ours.check_request(
        dataclasses.replace(
            GOOD,
            tags={"cost center": "a/b+c=d@e:f._-", "empty": ""},
            output_kms_key="arn:aws:kms:eu-west-1:123456789012:alias/quarry",
            subnet_ids=("subnet-0a",),
            security_group_ids=("sg-0a",),
            invocation_type="Converse",
        )
    )


@pytest.mark.parametrize(
    "model_id",
    [
        "anthropic.claude-3-haiku-20240307-v1:0",
        "us.anthropic.claude-sonnet-4-6",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456",
        "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-pro-v1:0/abcdefghijkl",
    ],
)
def test_model_ids_that_batch_knows_pass(model_id):
    ours.check_model_id(model_id)


REFUSED = [
    ({"name": ""}, "job_name_prefix"),
    ({"name": "-begins"}, "job_name_prefix"),
    ({"name": "under_score"}, "job_name_prefix"),
    ({"name": "a" * 64}, "job_name_prefix"),
    ({"name": "line\n"}, "job_name_prefix"),
    ({"client_token": "dot.ted"}, "client token"),
    ({"client_token": "ends-"}, "client token"),
    ({"role_arn": "quarry"}, "QUARRY_BEDROCK_ROLE_ARN"),
    ({"role_arn": ""}, "QUARRY_BEDROCK_ROLE_ARN"),
    ({"model_id": ""}, "model_id"),
    ({"model_id": "two words"}, "model_id"),
    ({"model_id": "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl"}, "model_id"),
    ({"model_id": "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl"}, "model_id"),
    ({"input_uri": "s3://bucket/dt=2026-01-01/x.jsonl"}, "s3_uri"),
    ({"input_uri": "s3://bucket/a b"}, "s3_uri"),
    ({"input_uri": "s3://bucket/a//b"}, "s3_uri"),
    ({"input_uri": "s3://Bucket/a"}, "s3_uri"),
    ({"input_uri": "s3://bucket/é"}, "s3_uri"),
    ({"output_uri": "s3://bucket/a+b/"}, "output"),
    ({"output_uri": "s3://bucket/" + "a" * 1020}, "output"),
    ({"timeout_hours": 23}, "timeout_hours"),
    ({"timeout_hours": 169}, "timeout_hours"),
    ({"timeout_hours": True}, "timeout_hours"),
    ({"timeout_hours": 72.0}, "timeout_hours"),
    ({"tags": {"": "v"}}, "tags"),
    ({"tags": {"k" * 129: "v"}}, "tags"),
    ({"tags": {"k": "v" * 257}}, "tags.'k'"),
    ({"tags": {"k&": "v"}}, "tags"),
    ({"tags": {"k": "a\u00a0b"}}, "tags.'k'"),
    ({"tags": {f"k{number}": "v" for number in range(51)}}, "tags"),
    ({"output_kms_key": "my key"}, "output_kms_key"),
    ({"output_kms_key": ""}, "output_kms_key"),
    ({"subnet_ids": ("subnet-1",)}, "vpc.security_group_ids"),
    ({"security_group_ids": ("sg-1",)}, "vpc.subnet_ids"),
    ({"subnet_ids": ("subnet_1",), "security_group_ids": ("sg-1",)}, "vpc.subnet_ids"),
    ({"subnet_ids": ("s",) * 17, "security_group_ids": ("sg-1",)}, "vpc.subnet_ids"),
    ({"subnet_ids": ("s",), "security_group_ids": ("sg",) * 6}, "vpc.security_group_ids"),
    ({"invocation_type": "Chat"}, "model_id"),
]


@pytest.mark.parametrize(
    ("changes", "field"), REFUSED, ids=[f"{field} {number}" for number, (_, field) in enumerate(REFUSED)]
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field_with_a_remedy(changes, field):
    with pytest.raises(ValueError, match=f"^{re.escape(field)}.*: .*; ") as refused:
        ours.check_request(dataclasses.replace(GOOD, **changes))
    assert len(str(refused.value)) < 400
