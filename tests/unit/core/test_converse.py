"""Answers in Converse's form, whichever family the model is of; and the names by which a run's pins know a form."""

from __future__ import annotations

import io
import json

import msgspec
import pytest

from quarry_collector.decode import read_lines
from quarry_core.models import CONVERSE, EmptyAnswer, UnsupportedModel, check_converses, check_ready, reader_named

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
CALL = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "x"}}}


def output(*blocks: object, stop: object = "end_turn", usage: object = None) -> dict:
    return {
        "output": {"message": {"role": "assistant", "content": list(blocks)}},
        "stopReason": stop,
        "usage": usage or {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10},
        "metrics": {"latencyMs": 9},
    }


def read(found: object):
    """As the collector reads it, out of a line of a job's output."""
    line = json.dumps({"recordId": "00000000000", "modelInput": {}, "modelOutput": found}).encode() + b"\n"
    (only,) = read_lines(io.BytesIO(line), CONVERSE.output_type)
    return CONVERSE.answer(only.model_output)


def test_the_answer_is_the_text_of_all_blocks_with_what_was_counted():
    found = read(output({"text": "Because"}, {"text": " it is."}))

    assert (found.text, found.stop_reason, found.input_tokens, found.output_tokens) == (
        "Because it is.",
        "end_turn",
        7,
        3,
    )


def test_reasoning_is_no_part_of_the_answer():
    assert read(output(THOUGHT, {"text": "Because."})).text == "Because."


def test_a_message_that_stops_to_call_tools_is_answered_by_its_blocks():
    found = read(output(THOUGHT, {"text": "I look."}, CALL, stop="tool_use"))

    assert json.loads(found.text) == [{"text": "I look."}, CALL]
    assert found.stop_reason == "tool_use"


def test_blocks_of_kinds_still_unknown_are_the_answer_where_there_is_no_text():
    new = {"citationsContent": {"content": [{"text": "x"}]}}

    assert json.loads(read(output(new)).text) == [new]
    assert read(output(new, {"text": "so"})).text == "so"


@pytest.mark.parametrize("blocks", [[], [{"text": ""}], [THOUGHT], [None]])
def test_an_answer_with_nothing_in_it_is_empty_and_was_paid_for(blocks):
    with pytest.raises(EmptyAnswer, match=r"the model gave no text \(stop reason: max_tokens\)") as error:
        read(output(*blocks, stop="max_tokens"))
    assert (error.value.input_tokens, error.value.output_tokens) == (7, 3)


def test_what_is_odd_beside_an_answer_never_costs_it():
    odd = output({"text": "yes"}, {"text": 8}, stop=3, usage={"inputTokens": "7", "outputTokens": 2.5})

    found = read(odd)

    assert (found.text, found.stop_reason, found.input_tokens, found.output_tokens) == ("yes", None, None, None)
    assert read({"output": {"message": {"content": "yes"}}}).text == "yes"


def test_a_run_names_its_form_of_answers():
    assert reader_named("converse") is CONVERSE
    assert reader_named("anthropic").answer_column == "response"
    assert reader_named("titan-text-embeddings-v2").answer_column == "embedding"
    with pytest.raises(UnsupportedModel, match="accepted for the family 'nova-9', which this release does not know"):
        reader_named("nova-9")


def test_a_model_that_makes_embeddings_does_not_converse():
    check_converses("us.amazon.nova-pro-v1:0")
    check_converses("meta.llama3-3-70b-instruct-v1:0")
    for model_id in ("amazon.titan-embed-text-v2:0", "cohere.embed-english-v3"):
        with pytest.raises(UnsupportedModel, match="makes embeddings, and does not converse"):
            check_converses(model_id)


READY = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize(
    ("model_id", "change", "sentence"),
    [
        (CLAUDE, {"anthropic_version": None}, 'add "anthropic_version": "bedrock-2023-05-31"'),
        (CLAUDE, {"anthropic_version": "2023-06-01"}, "anthropic_version is not there or another"),
        (CLAUDE, {"max_tokens": None}, "max_tokens is not there"),
        (CLAUDE, {"messages": None}, "messages is not there"),
        (CLAUDE, {"model": "claude"}, "model is refused by every Claude model in a batch: leave it out"),
        (CLAUDE, {"stream": False}, "stream is refused by every Claude model"),
        (CLAUDE, {"temperature": 2}, "temperature must be a number from 0 to 1, not 2"),
        (CLAUDE, {"max_tokens": 9_000}, "max_tokens is 9000, and .* writes at most 4096 tokens"),
        (
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            {"temperature": 0.5, "top_p": 0.5},
            "refuses temperature and top_p together",
        ),
        (CLAUDE, {"inferenceConfig": {"maxTokens": 9}}, "inferenceConfig belongs to Converse"),
        ("amazon.titan-embed-text-v2:0", {}, "inputText is not a text"),
    ],
)
def test_what_every_model_of_a_family_refuses_is_known_before_it_is_sent(model_id, change, sentence):
    body = {name: value for name, value in {**READY, **change}.items() if value is not None}

    with pytest.raises(ValueError, match=sentence):
        check_ready(model_id, body)


def test_a_ready_body_may_offer_tools_and_think():
    check_ready(CLAUDE, {**READY, "tools": [{"name": "f", "input_schema": {}}], "system": "Be brief."})
    check_ready("amazon.titan-embed-text-v2:0", {"inputText": "x"})


def test_outputs_of_this_form_decode_in_one_pass():
    decoded = msgspec.json.decode(json.dumps(output({"text": "yes"})).encode(), type=CONVERSE.output_type)

    assert CONVERSE.answer(decoded).text == "yes"
