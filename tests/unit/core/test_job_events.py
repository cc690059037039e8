"""What is no event of Bedrock's says why, so that it can be put right; Bedrock's others are no concern."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.messages import NotAMessage, read_job_event, read_wakeup
from quarry_core.text import visible

DETAIL = {"batchJobName": "n", "batchJobArn": "arn", "status": "Completed"}
EVENT = {"source": "aws.bedrock", "detail-type": "Batch Inference Job State Change", "detail": DETAIL}
MANIFEST = {"job_name_prefix": "t", "model_id": "m", "s3_uri": "s3://b/k.csv"}


def test_an_event_is_read_with_a_byte_order_mark_too():
    event = read_job_event("\ufeff" + json.dumps(EVENT))

    assert event is not None
    assert (event.name, event.status, event.message) == ("n", "Completed", "")


@pytest.mark.parametrize("kind", ["Model Customization Job State Change", "AWS API Call via CloudTrail"])
def test_an_event_of_bedrock_of_another_kind_is_none_of_our_business(kind):
    assert read_job_event(json.dumps(EVENT | {"detail-type": kind})) is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (MANIFEST, "it is a manifest: send it to the manifest queue"),
        (DETAIL, "the rule's target must have no input path"),
        ({"Type": "Notification", "TopicArn": "t", "Message": json.dumps(EVENT)}, "raw message delivery"),
        (EVENT | {"source": "my.app"}, "not an event of aws.bedrock but 'Batch Inference Job State Change' of my.app"),
        ({"detail-type": "Object Created", "source": "aws.s3", "detail": {}}, "'Object Created' of aws.s3"),
        ({"source": "aws.bedrock"}, "not an event of aws.bedrock"),
        ({"v": 2, "step": "admit"}, "to the wrong queue"),
        ({"some": 1, "thing": 2}, "not an EventBridge event: some, thing"),
        ({}, "not an EventBridge event: empty"),
        (EVENT | {"detail": None}, "detail: not an object"),
        (EVENT | {"detail": {"batchJobName": 1}}, "batchJobName, batchJobArn or status is missing"),
        (EVENT | {"detail": DETAIL | {"batchJobArn": "\ud83d"}}, "detail.batchJobArn: character 1 is half"),
        ([1], "not a JSON object but a list"),
        (json.dumps(EVENT), "encoded twice"),
        ({"\x1b[2J": 1}, "\\x1b[2J"),
    ],
)
@pytest.mark.promise("L6")
def test_what_is_no_event_of_bedrocks_says_what_it_is(body, why):
    with pytest.raises(NotAMessage) as refused:
        read_job_event(json.dumps(body))
    assert why in str(refused.value)
    assert visible(str(refused.value)) == str(refused.value)


@given(
    st.dictionaries(
        st.sampled_from(["source", "detail-type", "detail", "TopicArn", "v", "kind", "batchJobArn"])
        | st.text(max_size=3),
        st.none()
        | st.text(max_size=4)
        | st.integers()
        | st.just("aws.bedrock")
        | st.dictionaries(st.text(), st.none()),
    )
)
def test_any_object_is_an_event_or_a_sentence(data):
    with contextlib.suppress(NotAMessage):
        read_job_event(json.dumps(data))


@pytest.mark.promise("L6")
def test_a_manifest_on_any_other_queue_is_reported_where_it_belongs():
    with pytest.raises(NotAMessage, match="it is a manifest: send it to the manifest queue"):
        read_wakeup(json.dumps(MANIFEST))


def test_a_message_of_bedrocks_is_kept_bounded():
    event = read_job_event(json.dumps(EVENT | {"detail": DETAIL | {"failureMessage": "x\n" * 100_000}}))

    assert event is not None
    assert len(event.message.encode()) < 10_000
    assert "\n" not in event.message
