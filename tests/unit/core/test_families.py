"""What each family sends and reads: bodies, parameters in neutral and own words, and answers of every form."""

import json

import msgspec
import pytest

from quarry_core.models import EmptyAnswer, Turn, check_inference, check_ready, family_of, joined, reader_of
from quarry_core.models.family import UnreadableOutput
from quarry_local.bedrock.families.registry import answering
from quarry_local.bedrock.models.catalogue import entries
from quarry_local.bedrock.models.identity import Model

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
OPUS = "anthropic.claude-opus-5"
NOVA = "amazon.nova-lite-v1:0"
NOVA_2 = "amazon.nova-2-lite-v1:0"
LLAMA = "meta.llama3-1-8b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2407-v1:0"
GPT_OSS = "openai.gpt-oss-20b-1:0"
KIMI = "moonshotai.kimi-k2.5"
JAMBA = "ai21.jamba-1-5-mini-v1:0"
UNKNOWN = "somebody.new-model-v1:0"
CHAT = (NOVA, NOVA_2, LLAMA, MISTRAL, GPT_OSS, KIMI, JAMBA, UNKNOWN)


def body(model_id: str, inference: dict | None = None, **more: object) -> dict:
    check_inference(model_id, inference or {})
    return family_of(model_id).body("hi", system=more.pop("system", None), inference=inference or {}, **more)


def read(model_id: str, output: object, sent_by: str | None = None):
    reader = reader_of(model_id, sent_by)
    data = json.dumps(output).encode()
    try:
        found = msgspec.json.decode(data, type=reader.output_type)
    except msgspec.MsgspecError:
        found = reader.output_type.loosely(json.loads(data))
    return reader.answer(found)


def conversed(*content: dict, stop_reason: str = "end_turn") -> dict:
    usage = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
    message = {"role": "assistant", "content": list(content)}
    return {"output": {"message": message}, "stopReason": stop_reason, "usage": usage}


# --------------------------------------------------------------------------- all of the catalogue


def test_every_model_that_the_simulated_bedrock_knows_has_a_family_or_a_reason():
    families = {model_id: family_of(model_id).name for model_id in entries()}

    assert {families[model_id] for model_id in entries() if model_id.startswith("cohere.command")} == {"converse"}
    assert families["amazon.nova-2-multimodal-embeddings-v1:0"] == "nova-multimodal-embeddings"
    assert families["deepseek.v3.2"] == "open-weights-reasoning"
    assert families["zai.glm-5"] == families["minimax.minimax-m2"] == families[KIMI] == "open-weights"


@pytest.mark.parametrize("model_id", entries())
def test_every_model_of_the_simulated_bedrock_answers_to_what_its_family_sends(model_id):
    entry, family = entries()[model_id], family_of(model_id)
    answer = answering(Model(model_id, "", entry.family, id=model_id), family.invocation)
    system, turns = ("be brief", [Turn("user", "a"), Turn("assistant", "b")]) if family.kind == "text" else (None, [])

    sent = family.body("hello", system=system, inference={}, turns=turns)
    said = answer(msgspec.json.encode(sent))
    found = read(model_id, json.loads(said.body))

    assert (found.text is None) == (family.kind == "embedding")
    assert found.text is None or (found.stop_reason == "end_turn" and found.input_tokens == said.input_tokens)


# --------------------------------------------------------------------------- bodies


@pytest.mark.parametrize("model_id", CHAT)
def test_every_model_that_chats_is_asked_in_one_form(model_id):
    neutral = {"max_tokens": 7, "temperature": 0.5, "top_p": 0.25, "stop": "END"}
    turns = [Turn("user", "2+2"), Turn("assistant", "4")]

    assert body(model_id, neutral, system="be brief", turns=turns) == {
        "inferenceConfig": {"maxTokens": 7, "temperature": 0.5, "topP": 0.25, "stopSequences": ["END"]},
        "system": [{"text": "be brief"}],
        "messages": [
            {"role": "user", "content": [{"text": "2+2"}]},
            {"role": "assistant", "content": [{"text": "4"}]},
            {"role": "user", "content": [{"text": "hi"}]},
        ],
    }


@pytest.mark.parametrize("model_id", CHAT)
def test_a_limit_of_tokens_is_always_set(model_id):
    assert body(model_id)["inferenceConfig"] == {"maxTokens": 1024}


@pytest.mark.parametrize(
    ("model_id", "own", "sent"),
    [
        (CLAUDE, {"stop": ["a"]}, {"stop_sequences": ["a"]}),
        (CLAUDE, {"stop_sequences": ["a"]}, {"stop_sequences": ["a"]}),
        (OPUS, {"effort": "xhigh"}, {"output_config": {"effort": "xhigh"}}),
        (OPUS, {"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}),
        (NOVA, {"maxTokens": 5, "topP": 1}, {"inferenceConfig": {"maxTokens": 5, "topP": 1}}),
        (NOVA, {"max_new_tokens": 5}, {"inferenceConfig": {"maxTokens": 5}}),
        (NOVA, {"topK": 3}, {"additionalModelRequestFields": {"inferenceConfig": {"topK": 3}}}),
        (
            NOVA_2,
            {"effort": "low"},
            {"additionalModelRequestFields": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}},
        ),
        (LLAMA, {"max_gen_len": 5}, {"inferenceConfig": {"maxTokens": 5}}),
        (GPT_OSS, {"max_completion_tokens": 5}, {"inferenceConfig": {"maxTokens": 5}}),
        (GPT_OSS, {"effort": "low"}, {"additionalModelRequestFields": {"reasoning_effort": "low"}}),
        (GPT_OSS, {"reasoning_effort": "low"}, {"additionalModelRequestFields": {"reasoning_effort": "low"}}),
        ("openai.gpt-6-sol", {"effort": "max"}, {"additionalModelRequestFields": {"reasoning": {"effort": "max"}}}),
        (UNKNOWN, {"additionalModelRequestFields": {"x": [1]}}, {"additionalModelRequestFields": {"x": [1]}}),
    ],
)
def test_neutral_words_and_the_familys_own_are_sent_in_its_form(model_id, own, sent):
    found = body(model_id, own)
    assert {key: found[key] for key in sent} == sent


def test_high_effort_leaves_novas_limit_of_tokens_unset():
    assert "inferenceConfig" not in body(NOVA_2, {"effort": "high"})


def test_the_manifests_words_win_over_the_prompts_though_they_are_others():
    assert joined(NOVA, {"maxTokens": 1, "topP": 0.5}, {"max_tokens": 2}) == {"topP": 0.5, "max_tokens": 2}


@pytest.mark.parametrize(
    ("model_id", "inference", "sentence"),
    [
        (NOVA, {"max_tokens": 1, "maxTokens": 2}, "max_tokens and maxTokens are one parameter: give one of them"),
        (CLAUDE, {"stop": "a", "stop_sequences": ["a"]}, "stop and stop_sequences are one parameter"),
        (NOVA, {"temperature": 1.5}, "temperature must be a number from 0 to 1, not 1.5"),
        (NOVA, {"maxtokens": 1}, r"'maxtokens' is not a parameter of nova; did you mean \w+\?"),
        (NOVA, {"effort": "low"}, "nova-lite-v1:0 does not reason, Nova 2 does: leave effort out"),
        (
            NOVA_2,
            {"effort": "high", "maxTokens": 9},
            "Nova refuses maxTokens beside the effort high: leave maxTokens out",
        ),
        (NOVA_2, {"effort": "max"}, 'effort must be one of low, medium, high, not "max"'),
        (KIMI, {"effort": "low"}, "effort cannot be set here: no field for it is known of open-weights"),
        (UNKNOWN, {"effort": "low"}, "if the model has one, give it in additionalModelRequestFields"),
        (LLAMA, {"max_tokens": 9000}, "max_tokens must be a whole number from 1 to 8192"),
        (GPT_OSS, {"additionalModelRequestFields": {}}, "must be an object that is not empty"),
        (
            GPT_OSS,
            {"effort": "low", "additionalModelRequestFields": {"reasoning_effort": "high"}},
            "additionalModelRequestFields.reasoning_effort is set by another parameter too: give one of them",
        ),
        ("openai.gpt-6-sol", {"temperature": 1}, "openai.gpt-6-sol does not accept temperature"),
        (CLAUDE, {"effort": "low"}, f"{CLAUDE} does not know effort"),
        ("anthropic.claude-sonnet-4-6", {"effort": "xhigh"}, "does not know the effort xhigh .*: set effort to high"),
        ("anthropic.claude-opus-4-5-20251101-v1:0", {"effort": "max"}, "does not know the effort max"),
        (OPUS, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "takes no budget for thinking"),
        (
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            {"thinking": {"type": "adaptive"}},
            "does not decide itself how long it thinks",
        ),
        (NOVA, {"toolConfig": {}}, "batch inference refuses tools in requests by Converse"),
        ("cohere.embed-english-v3", {"dimensions": 256}, "makes vectors of 1,024 numbers and of no other length"),
        ("amazon.titan-embed-text-v1", {"dimensions": 256}, "G1 makes vectors of 1,536 numbers"),
        ("amazon.titan-embed-image-v1:0", {"dimensions": 512}, "dimensions must be one of 256, 384, 1024, not 512"),
        ("cohere.embed-v4:0", {"input_type": "x"}, "input_type must be one of search_document, search_query"),
        (
            "amazon.nova-2-multimodal-embeddings-v1:0",
            {"max_tokens": 5},
            "an embedding has no length but its dimensions",
        ),
    ],
)
def test_a_wrong_parameter_is_refused_by_name_with_the_remedy(model_id, inference, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_inference(model_id, inference)


# --------------------------------------------------------------------------- answers


def test_reasoning_in_a_block_or_in_the_text_is_no_part_of_the_answer():
    block = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    assert read(NOVA_2, conversed(block, {"text": "4"})).text == "4"
    assert read(GPT_OSS, conversed({"text": "<reasoning>2+2\nis</reasoning>\n4"})).text == "4"
    assert read(GPT_OSS, conversed({"text": "4 <reasoning>"})).text == "4 <reasoning>"


@pytest.mark.parametrize("text", ["<reasoning>well, 2", "<reasoning>all of it</reasoning>  "])
def test_an_answer_that_is_reasoning_alone_is_empty_and_its_tokens_are_kept(text):
    with pytest.raises(EmptyAnswer, match="no text behind its reasoning") as empty:
        read(GPT_OSS, conversed({"text": text}, stop_reason="max_tokens"))
    assert (empty.value.input_tokens, empty.value.output_tokens) == (3, 4)


@pytest.mark.parametrize("stop_reason", ["max_tokens", "model_context_window_exceeded", "content_filtered", "new"])
def test_why_the_model_stopped_stands_beside_its_answer(stop_reason):
    assert read(LLAMA, conversed({"text": "4"}, stop_reason=stop_reason)).stop_reason == stop_reason


def test_a_refusal_without_a_text_is_an_empty_answer_that_says_so():
    with pytest.raises(EmptyAnswer, match="stop reason: guardrail_intervened"):
        read(NOVA, conversed(stop_reason="guardrail_intervened"))
    with pytest.raises(EmptyAnswer, match="stop reason: refusal"):
        read(CLAUDE, {"content": [], "stop_reason": "refusal", "usage": {}})


def test_blocks_of_tools_are_answered_as_they_stand():
    call = {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}}
    assert json.loads(read(NOVA, conversed(call, stop_reason="tool_use"), "InvokeModel").text) == [call]


@pytest.mark.parametrize(
    ("output", "text", "stop_reason", "tokens"),
    [
        (
            {
                "choices": [{"message": {"content": "<reasoning>hm</reasoning>4"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 4},
            },
            "4",
            "stop",
            (3, 4),
        ),
        ({"choices": [{"message": {"content": [{"type": "text", "text": "4"}]}}]}, "4", None, (None, None)),
        ({"choices": [{"message": {"content": "4"}}], "usage": {"prompt_tokens": "3"}}, "4", None, (None, None)),
        (
            {"choices": [{"message": {"content": None, "tool_calls": [{"id": "t"}]}, "finish_reason": "tool_calls"}]},
            '[{"id":"t"}]',
            "tool_calls",
            (None, None),
        ),
        (
            {"generation": "4", "stop_reason": "length", "prompt_token_count": 3, "generation_token_count": 4},
            "4",
            "length",
            (3, 4),
        ),
        ({"outputs": [{"text": "4", "stop_reason": "stop"}]}, "4", "stop", (None, None)),
        ({"text": "4", "finish_reason": "COMPLETE"}, "4", "COMPLETE", (None, None)),
        (conversed({"text": "4"}), "4", "end_turn", (3, 4)),
    ],
)
def test_what_models_answer_to_invoke_model_is_read_by_its_form(output, text, stop_reason, tokens):
    answer = read(LLAMA, output, "InvokeModel")
    assert (answer.text, answer.stop_reason, (answer.input_tokens, answer.output_tokens)) == (text, stop_reason, tokens)


@pytest.mark.parametrize(
    "output", [{}, [], {"choices": {}}, {"generation": 7}, {"outputs": "x"}, {"choices": [{"message": {"content": 7}}]}]
)
def test_an_answer_of_no_known_form_is_unreadable_or_empty_and_nothing_else(output):
    with pytest.raises((UnreadableOutput, EmptyAnswer)):
        read(LLAMA, output, "InvokeModel")


@pytest.mark.parametrize(
    ("model_id", "output"),
    [
        ("amazon.nova-2-multimodal-embeddings-v1:0", {"embeddings": [{"embeddingType": "TEXT", "embedding": [1, 2]}]}),
        ("cohere.embed-english-v3", {"embeddings": [[1, 2]], "response_type": "embeddings_floats"}),
        ("cohere.embed-v4:0", {"embeddings": {"float": [[1, 2]]}}),
        ("cohere.embed-v4:0", {"embeddings": {"float": [[1, 2]], "int8": "odd"}}),
        ("amazon.titan-embed-image-v1:0", {"embedding": [1, 2], "inputTextTokenCount": "odd", "message": None}),
        ("amazon.titan-embed-text-v1", {"embedding": [1, 2], "inputTextTokenCount": 3}),
    ],
)
def test_vectors_are_found_where_each_family_puts_them(model_id, output):
    assert read(model_id, output).embedding == [1.0, 2.0]


@pytest.mark.parametrize("model_id", ["amazon.nova-2-multimodal-embeddings-v1:0", "cohere.embed-v4:0"])
@pytest.mark.parametrize("output", [{}, {"embeddings": []}, {"embeddings": "x"}, {"embeddings": [[1, "x"]]}, []])
def test_a_vector_that_is_not_there_or_broken_is_never_another(model_id, output):
    with pytest.raises((UnreadableOutput, EmptyAnswer)):
        read(model_id, output)


# --------------------------------------------------------------------------- ready requests


@pytest.mark.parametrize(
    ("model_id", "sent", "sentence"),
    [
        (LLAMA, {"messages": [], "inferenceConfig": {}}, "inferenceConfig belongs to Converse"),
        (LLAMA, {"input": "x"}, "neither messages nor prompt is there"),
        (GPT_OSS, {"anthropic_version": "x", "messages": []}, "anthropic_version belongs to Claude's form"),
        (NOVA, {"prompt": "x"}, "messages is not there"),
        ("cohere.embed-v4:0", {"texts": ["a", "b"], "input_type": "clustering"}, "not a list of one text"),
        ("cohere.embed-v4:0", {"texts": ["a"]}, "input_type is not there"),
        ("amazon.nova-2-multimodal-embeddings-v1:0", {"inputText": "a"}, "singleEmbeddingParams is not there"),
        ("amazon.titan-embed-image-v1:0", {}, "inputText is not a text"),
    ],
)
def test_a_request_of_another_form_is_refused_with_the_remedy(model_id, sent, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_ready(model_id, sent)
