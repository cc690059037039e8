"""What is refused on arrival: every object becomes a FAILED run with a sentence, everything else a dead-letter message."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quarry_core.contract.json_text import NotAnObject, parse_object
from quarry_core.contract.manifest import FIELDS
from quarry_core.contract.manifest_identity import run_id_of
from quarry_core.contract.manifest_reading import REFUSAL_BYTES_MAX
from quarry_core.contract.names import manifest_key, prompt_key
from quarry_core.contract.states import RunState
from quarry_core.text import visible
from tests.examples import examples
from tests.unit.flow.acts import enlist
from tests.world.world import SimulatedWorld

ANYTHING = st.text(st.characters(codec=None, categories=None), max_size=8)
# A message is UTF-8; only JSON can spell half a surrogate pair in it.
SENT = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | ANYTHING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANYTHING, inner, max_size=3),
    max_leaves=6,
)
MANIFESTS = st.dictionaries(st.sampled_from(sorted(FIELDS)) | ANYTHING, VALUES, max_size=5)
OTHERS = "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"


async def refused(world, manifest, **attributes):
    """The sentence of the FAILED run that a manifest becomes."""
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    message_id = world.queues["manifests"].put(text, attributes)
    run_id = run_id_of(parse_object(text), attributes.get("quarry_origin_id", message_id))
    await world.idle()
    totals = await world.totals(run_id)
    assert totals.state is RunState.FAILED, totals
    assert not world.queues["manifests"].dead
    assert len(totals.message.encode()) <= REFUSAL_BYTES_MAX
    assert visible(totals.message) == totals.message
    # What was sent is kept, and can be read.
    assert json.loads(world.objects.bodies[manifest_key(run_id)]) == parse_object(text)
    return totals.message


@pytest.mark.promise("L6", "L2")
@given(MANIFESTS.map(json.dumps) | SENT | VALUES.map(json.dumps))
@example('\ufeff{"tags": null}')
@example('{"a":' * 499 + "1" + "}" * 499)
@example(json.dumps({f"k{number}": None for number in range(20_000)}))
@example(json.dumps({"x" * 191_000: 1, "\ud83d": "\ud83d"}))
@examples(60)
def test_any_text_becomes_a_failed_run_or_a_dead_letter_message_with_a_sentence(text):
    world = SimulatedWorld()

    async def through():
        try:
            parse_object(text)
        except NotAnObject:
            world.queues["manifests"].put(text or " ")
            await world.idle()
            [dead_letter] = world.queues["manifests"].dead
            assert dead_letter.attributes["quarry_reason"].startswith("the manifest is ")
            assert world.table.items == {}
        else:
            assert await refused(world, text)

    asyncio.run(through())


@pytest.mark.promise("L6")
async def test_a_key_that_stands_twice_is_refused_for_a_parser_would_keep_the_last_unasked():
    world = SimulatedWorld()
    text = json.dumps(world.joke())[:-1] + ', "max_num_jobs": 1, "tags": {"a": "1", "a": "2"}, "max_num_job\\u0073": 5}'

    message = await refused(world, text)

    assert message == (
        "max_num_jobs: the key appears twice in its object: keep one; "
        "tags.a: the key appears twice in its object: keep one"
    )


@pytest.mark.promise("L6")
async def test_a_number_beyond_every_float_is_refused_by_name():
    world = SimulatedWorld()

    message = await refused(world, world.joke(inference={"temperature": 10**400}))

    assert message.startswith("inference: temperature must be a number from 0 to 1")


@pytest.mark.promise("L6")
async def test_an_envelope_becomes_a_failed_run_under_its_messages_id():
    world = SimulatedWorld()
    wrapped = {"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:1:t", "Message": json.dumps(world.joke())}

    assert (await refused(world, wrapped)).startswith("the message is wrapped by SNS")
    assert "encoded twice" in await refused(world, json.dumps(json.dumps(world.joke())))


async def test_a_manifest_with_a_byte_order_mark_and_nulls_is_a_run_like_any_other():
    world = SimulatedWorld()
    text = "\ufeff" + json.dumps(world.joke(rows=100, tags=None, inference=None, vpc=None, run_id="marked"))
    world.queues["manifests"].put(text)

    assert (await world.run("marked")).state is RunState.SUCCEEDED


@pytest.mark.parametrize(
    "key", ["rows/r/00000.parquet", "outcomes/r/00000-1.parquet", "plans/r.csv", "batch-input/r/x.csv", "prompts/p.csv"]
)
async def test_a_source_among_quarrys_own_files_is_refused(key):
    world = SimulatedWorld()
    world.objects.plant(key, b"topic\n1\n")

    reported = await refused(world, world.joke(s3_uri=f"s3://world/{key}"))

    assert f"s3_uri: s3://world/{key} is one of Quarry's own working files" in reported
    for other in (f"s3://some-access-point-s3alias/{key}", f"s3://world/./{key}", f"s3://world/mine/..//{key}"):
        assert "own working files" in await refused(world, world.joke(s3_uri=other))


async def test_an_earlier_result_is_a_source_like_any_other():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100))
    await world.run(run_id)
    [part] = [key for key in world.objects.bodies if key.startswith(f"results/{run_id}/part-")]

    reported = await refused(world, world.joke(s3_uri=f"s3://world/{part}"))

    assert "the result has columns of its own" in reported, "it was read, and judged by its columns"


async def test_the_same_folder_names_in_another_bucket_are_nobodys_business():
    world = SimulatedWorld()
    world.objects.plant("rows/mine.csv", b"topic\n" + b"x\n" * 100, bucket="another-bucket")

    run_id = await enlist(world, world.joke(s3_uri="s3://another-bucket/rows/mine.csv"))

    assert (await world.run(run_id)).state is RunState.SUCCEEDED


async def test_a_bucket_of_another_owner_than_the_manifest_says_is_not_read():
    world = SimulatedWorld()
    world.objects.plant("a.csv", b"topic\n" + b"x\n" * 100, bucket="taken-over")
    world.objects.owners["taken-over"] = "999999999999"
    manifest = world.joke(s3_uri="s3://taken-over/a.csv", input_bucket_owner="123456789012")

    reported = await refused(world, manifest)

    assert "does account 123456789012 own the bucket (input_bucket_owner)?" in reported
    run_id = await enlist(world, manifest | {"input_bucket_owner": "999999999999"})
    assert (await world.run(run_id)).state is RunState.SUCCEEDED


async def test_a_bucket_that_changes_hands_after_it_was_accepted_is_not_read_either():
    world = SimulatedWorld()
    world.objects.plant("a.csv", b"topic\n" + b"x\n" * 100, bucket="sold")
    run_id = world.send(world.joke(s3_uri="s3://sold/a.csv", input_bucket_owner="123456789012"))
    await world.consumers[0].run_once()
    world.objects.owners["sold"] = "999999999999"

    totals = await world.run(run_id)

    assert totals.state is RunState.FAILED
    assert "s3://sold/a.csv cannot be read" in totals.message


async def test_where_the_setting_says_so_a_foreign_bucket_needs_its_owner():
    world = SimulatedWorld(input_bucket_owner_required=True)
    world.objects.plant("a.csv", b"topic\n" + b"x\n" * 100, bucket="another-bucket")

    reported = await refused(world, world.joke(s3_uri="s3://another-bucket/a.csv"))

    assert "input_bucket_owner: this environment requires it for buckets other than world" in reported
    assert await enlist(world, world.joke(rows=100))
    given_owner = world.joke(s3_uri="s3://another-bucket/a.csv", input_bucket_owner="123456789012")
    assert await enlist(world, given_owner)


async def test_a_bucket_that_is_missing_is_told_from_an_object_that_is():
    world = SimulatedWorld()

    bucket = await refused(world, world.joke(s3_uri="s3://no-such-bucket/inputs/topics.csv"))
    key = await refused(world, world.joke(s3_uri="s3://world/inputs/topic.csv"))

    assert (
        "there is no bucket no-such-bucket: did you mean the environment's own bucket? It has an object of that key"
        in bucket
    )
    assert "the bucket world has no such object; did you mean s3://world/inputs/topics.csv?" in key


async def test_an_arn_of_another_region_is_refused():
    world = SimulatedWorld()

    reported = await refused(
        world, world.joke(model_id=OTHERS, output_kms_key="arn:aws:kms:eu-west-1:123456789012:alias/mine")
    )

    assert "model_id: the ARN is of the region eu-west-1, and this environment is in us-east-1" in reported
    assert "output_kms_key: the ARN is of the region eu-west-1" in reported


async def test_a_prompt_of_the_store_with_half_a_surrogate_pair_is_refused_with_its_place():
    world = SimulatedWorld()
    # YAML knows no pairs: each escape is a character, and half of one is none.
    world.objects.plant(prompt_key("cut"), rb'template: "Say \ud83d\ude00 {topic}"')

    reported = await refused(world, world.joke(prompt_id="cut"))

    assert "prompt 'cut': " in reported
    assert "invalid Unicode character escape code" in reported
    assert "line 1, column 18" in reported


async def test_a_prompt_too_large_for_the_table_is_refused_by_its_size():
    world = SimulatedWorld()
    world.objects.plant(prompt_key("large"), ("template: '" + "\\" * 190_000 + "{topic}'").encode())

    assert "prompt: prompt and parameters take 38" in await refused(world, world.joke(prompt_id="large"))


@pytest.mark.promise("L6")
async def test_what_is_no_event_of_bedrocks_is_in_the_dead_letter_messages_with_its_reason():
    world = SimulatedWorld()
    world.queues["events"].put(json.dumps(world.joke()))
    world.queues["events"].put(json.dumps({"source": "aws.bedrock", "detail-type": "Guardrail changed", "detail": {}}))
    await world.idle()

    [dead_letter] = world.queues["events"].dead
    assert dead_letter.attributes["quarry_reason"] == (
        "it is a manifest: send it to the manifest queue (QUARRY_MANIFEST_QUEUE_URL)"
    )
    assert not world.queues["events"].bodies
