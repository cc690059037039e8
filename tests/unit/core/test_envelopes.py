"""Manifests that come wrapped: one sentence that names the envelope and the remedy."""

from __future__ import annotations

import json

import pytest

from quarry_core.contract.envelopes import envelope_of
from quarry_core.contract.json_text import parse_object
from quarry_core.contract.manifest import ManifestError
from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.text import visible

MANIFEST = {
    "job_name_prefix": "t",
    "model_id": "anthropic.claude-3-haiku-20240307-v1:0",
    "s3_uri": "s3://a-bucket/rows.csv",
    "prompt": "Say: {text}",
}
TEXT = json.dumps(MANIFEST)
SNS = {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:000000000000:topic"}
EVENT = {"version": "0", "id": "e", "detail-type": "My Manifest", "source": "my.app", "account": "000000000000"}
S3 = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}}}

WRAPPED = {
    "sns": (SNS | {"Message": TEXT, "Signature": "x"}, ["SNS", "raw message delivery"]),
    "sns confirmation": (
        {"Type": "SubscriptionConfirmation", "TopicArn": "arn:t", "Message": "You have chosen", "SubscribeURL": "u"},
        ["SubscriptionConfirmation", "confirm the subscription"],
    ),
    "s3 by sns": (SNS | {"Message": json.dumps({"Records": [S3]})}, ["S3 event notification", "SNS", "s3_uri"]),
    "eventbridge": (
        EVENT | {"detail": MANIFEST},
        ["EventBridge event ('My Manifest' of my.app)", "input path $.detail,"],
    ),
    "eventbridge, deeper": (EVENT | {"detail": {"job": MANIFEST}}, ["EventBridge", "input path $.detail.job"]),
    "eventbridge, another": (EVENT | {"detail": {"a": 1}}, ["EventBridge", "input transformer"]),
    "s3 by eventbridge": (
        EVENT | {"detail-type": "Object Created", "source": "aws.s3", "detail": {"bucket": {"name": "b"}}},
        ["'Object Created' of aws.s3", "an upload starts no run"],
    ),
    "bedrock's event": (
        EVENT | {"detail-type": "Batch Inference Job State Change", "source": "aws.bedrock", "detail": {}},
        ["the rule's target must be the queue of job events"],
    ),
    "s3 notification": ({"Records": [S3]}, ["S3 event notification", "an upload starts no run", "s3_uri"]),
    "s3 test event": (
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "t", "Bucket": "my-bucket"},
        ["test event", "my-bucket"],
    ),
    "lambda's records": ({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": TEXT}}]}, ["Records (aws:sns)"]),
    "a whole sqs message": ({"MessageId": "m", "ReceiptHandle": "r", "Body": TEXT}, ["only its Body"]),
    "a pipe's sqs record": ({"messageId": "m", "receiptHandle": "r", "body": TEXT}, ["only its Body"]),
    "receive's answer": ({"Messages": [{"MessageId": "m", "Body": TEXT}]}, ["ReceiveMessage", "Body"]),
    "send's parameters": ({"QueueUrl": "q", "MessageBody": TEXT}, ["MessageBody"]),
    "cloud event": ({"specversion": "1.0", "type": "t", "source": "s", "data": MANIFEST}, ["CloudEvent", "data"]),
    "a wake-up": ({"v": 2, "step": "count", "run_id": "r"}, ["wrong queue"]),
    "some wrapper": ({"payload": {"manifest": MANIFEST}}, ["inside payload.manifest"]),
    "some wrapper of text": ({"input": [TEXT]}, ["inside input[0]"]),
    "encoded twice": (TEXT, ["JSON string", "encoded twice"]),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_an_envelope_is_answered_in_one_sentence_with_the_remedy(name):
    wrapped, words = WRAPPED[name]

    with pytest.raises(ManifestError) as refused:
        read_manifest(parse_object(json.dumps(wrapped)))

    reported = str(refused.value)
    assert all(word in reported for word in words), reported
    assert "unknown key" not in reported
    assert ";" not in reported or reported.count(";") == 1


def test_what_names_a_required_field_is_a_manifest_however_odd_the_rest_is():
    assert envelope_of({"s3_uri": "s3://b/k.csv", "TopicArn": "t", "detail-type": "d", "Records": []}) is None
    assert envelope_of({"anything": "else"}) is None
    assert envelope_of({}) is None


@pytest.mark.parametrize(
    "odd",
    [
        {"TopicArn": None, "Message": {"a": []}},
        {"TopicArn": [], "Type": {"not": "text"}},
        {"detail-type": [1], "detail": None},
        {"Records": [None]},
        {"Records": [[]]},
        {"Event": {"s3": 1}},
        {"Messages": [1]},
        {"body": [], "messageId": {}},
        {"detail-type": "\ud83d\x1b[2J", "source": "x" * 100_000},
    ],
)
def test_half_an_envelope_with_odd_values_is_no_exception(odd):
    with pytest.raises(ManifestError) as refused:
        read_manifest(odd)
    assert visible(str(refused.value)) == str(refused.value)
    assert len(str(refused.value)) < 5_000
