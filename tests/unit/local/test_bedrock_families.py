"""The families of the simulated Bedrock: which bodies each takes, and the form of its answers (contract section 4.2)."""

import base64
import contextlib
import json
from typing import Any

import botocore.session
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_local.bedrock.families.answers import Answering, Refused, prompt_digest
from quarry_local.bedrock.families.registry import answering
from quarry_local.bedrock.models.catalogue import entries
from quarry_local.bedrock.models.identity import Model

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="  # one pixel
IMAGE = {"image": {"format": "png", "source": {"bytes": PNG}}}
IN_S3 = {"s3Location": {"uri": "s3://bucket/in/clip.mp4"}}


def of(model_id: str, invocation_type: str = "InvokeModel") -> Answering:
    model = Model(model_id, f"arn:{model_id}", entries()[model_id].family, id=model_id)
    return answering(model, invocation_type)


CLAUDE = of("anthropic.claude-3-haiku-20240307-v1:0")
CONVERSE = of("anthropic.claude-3-haiku-20240307-v1:0", "Converse")
NOVA = of("amazon.nova-lite-v1:0")
NOVA_EMBEDDINGS = of("amazon.nova-2-multimodal-embeddings-v1:0")
TITAN_G1 = of("amazon.titan-embed-text-v1")
TITAN_MULTIMODAL = of("amazon.titan-embed-image-v1:0")
LLAMA = of("meta.llama3-1-8b-instruct-v1:0")
MISTRAL = of("mistral.mistral-small-2402-v1:0")
MISTRAL_CHAT = of("mistral.mistral-large-2407-v1:0")
GPT_OSS = of("openai.gpt-oss-20b-1:0")
JAMBA = of("ai21.jamba-1-5-mini-v1:0")
EMBED_V3 = of("cohere.embed-english-v3")
EMBED_V4 = of("cohere.embed-v4:0")
COMMAND = of("cohere.command-r-v1:0")

WHY = "Why is the sea salt?"
BLOCKS = {"messages": [{"role": "user", "content": [{"text": WHY}]}]}
CHAT = {"messages": [{"role": "user", "content": WHY}]}
CLAUDE_BODY = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 200, **CHAT}


def single(**params: Any) -> dict[str, Any]:
    return {
        "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_INDEX", **params},
    }


TEXT = {"text": {"truncationMode": "END", "value": WHY}}

# Who, a least body, where the text of the answer is, where its tokens are.
TALKING: dict[str, tuple[Answering, dict[str, Any], str, tuple[str, str] | None]] = {
    "claude": (CLAUDE, CLAUDE_BODY, "content.0.text", ("usage.input_tokens", "usage.output_tokens")),
    "converse": (
        CONVERSE,
        BLOCKS,
        "output.message.content.0.text",
        ("usage.inputTokens", "usage.outputTokens"),
    ),
    "nova": (NOVA, BLOCKS, "output.message.content.0.text", ("usage.inputTokens", "usage.outputTokens")),
    "llama": (LLAMA, {"prompt": WHY}, "generation", ("prompt_token_count", "generation_token_count")),
    "mistral": (MISTRAL, {"prompt": WHY}, "outputs.0.text", None),
    "mistral chat": (
        MISTRAL_CHAT,
        CHAT,
        "choices.0.message.content",
        ("usage.prompt_tokens", "usage.completion_tokens"),
    ),
    "gpt-oss": (GPT_OSS, CHAT, "choices.0.message.content", ("usage.prompt_tokens", "usage.completion_tokens")),
    "jamba": (JAMBA, CHAT, "choices.0.message.content", ("usage.prompt_tokens", "usage.completion_tokens")),
    "command": (COMMAND, {"message": WHY}, "text", None),
}
EMBEDDING: dict[str, tuple[Answering, dict[str, Any], str, int]] = {
    "titan g1": (TITAN_G1, {"inputText": WHY}, "embedding", 1536),
    "titan multimodal": (TITAN_MULTIMODAL, {"inputText": WHY}, "embedding", 1024),
    "titan multimodal, short": (
        TITAN_MULTIMODAL,
        {"inputText": WHY, "inputImage": PNG, "embeddingConfig": {"outputEmbeddingLength": 384}},
        "embedding",
        384,
    ),
    "nova": (NOVA_EMBEDDINGS, single(**TEXT), "embeddings.0.embedding", 3072),
    "nova, short": (NOVA_EMBEDDINGS, single(embeddingDimension=256, **TEXT), "embeddings.0.embedding", 256),
    "nova, video": (
        NOVA_EMBEDDINGS,
        single(video={"format": "mp4", "source": IN_S3, "embeddingMode": "AUDIO_VIDEO_COMBINED"}),
        "embeddings.0.embedding",
        3072,
    ),
    "cohere v3": (EMBED_V3, {"texts": [WHY], "input_type": "search_query"}, "embeddings.0", 1024),
    "cohere v4": (
        EMBED_V4,
        {"texts": [WHY], "input_type": "search_query", "embedding_types": ["float"]},
        "embeddings.float.0",
        1536,
    ),
    "cohere v4, mixed": (
        EMBED_V4,
        {
            "inputs": [{"content": [{"type": "text", "text": WHY}, {"type": "image_url", "image_url": {"url": "d"}}]}],
            "input_type": "image",
            "output_dimension": 256,
        },
        "embeddings.0",
        256,
    ),
}


def ask(answer: Answering, body: Any) -> Any:
    return json.loads(answer(json.dumps(body).encode()).body)


def at(answer: Any, path: str) -> Any:
    for step in path.split("."):
        answer = answer[int(step) if step.isdigit() else step]
    return answer


def refusal(answer: Answering, body: Any) -> str:
    with pytest.raises(Refused) as refused:
        answer(json.dumps(body).encode())
    assert refused.value.code == 400
    return refused.value.message


@pytest.mark.parametrize("who", TALKING)
def test_the_answer_has_its_familys_form_and_carries_the_prompts_digest(who):
    answer, body, text, usage = TALKING[who]
    said = answer(json.dumps(body).encode())
    assert prompt_digest(WHY) in at(json.loads(said.body), text)
    assert said.input_tokens == len(WHY) // 4 + 1
    assert said.output_tokens > 5
    if usage:
        assert tuple(at(json.loads(said.body), path) for path in usage) == (said.input_tokens, said.output_tokens)
    else:
        assert "usage" not in json.loads(said.body)


LIMITS: dict[str, tuple[dict[str, Any], str, str]] = {
    "converse": ({"inferenceConfig": {"maxTokens": 3}}, "stopReason", "max_tokens"),
    "nova": ({"inferenceConfig": {"max_new_tokens": 3}}, "stopReason", "max_tokens"),
    "llama": ({"max_gen_len": 3}, "stop_reason", "length"),
    "mistral": ({"max_tokens": 3}, "outputs.0.stop_reason", "length"),
    "mistral chat": ({"max_tokens": 3}, "choices.0.finish_reason", "length"),
    "gpt-oss": ({"max_completion_tokens": 3}, "choices.0.finish_reason", "length"),
    "jamba": ({"max_tokens": 3}, "choices.0.finish_reason", "length"),
    "command": ({"max_tokens": 3}, "finish_reason", "MAX_TOKENS"),
}


@pytest.mark.parametrize("who", LIMITS)
def test_an_answer_that_its_limit_cuts_is_a_success_that_says_so(who):
    answer, body, text, _ = TALKING[who]
    more, reason, cut = LIMITS[who]
    assert at(ask(answer, body), reason) != cut
    assert at(ask(answer, {**body, **more}), reason) == cut
    assert len(at(ask(answer, {**body, **more}), text)) == 12


@pytest.mark.parametrize("who", EMBEDDING)
def test_an_embedding_has_length_one_its_dimensions_and_repeats(who):
    answer, body, path, dimensions = EMBEDDING[who]
    vector = np.array(at(ask(answer, body), path))
    assert vector.shape == (dimensions,)
    assert abs(np.linalg.norm(vector) - 1) < 1e-6
    assert ask(answer, body) == ask(answer, body)
    assert ask(answer, body) != ask(answer, json.loads(json.dumps(body).replace(WHY, "Why?").replace("clip", "clap")))


def test_both_spellings_of_novas_parameters_are_taken():
    new = {"maxTokens": 5, "temperature": 0.5, "topP": 0.9, "topK": 20, "stopSequences": ["x"]}
    old = {"max_new_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": 20}
    assert ask(NOVA, {**BLOCKS, "inferenceConfig": new}) == ask(NOVA, {**BLOCKS, "inferenceConfig": old})


def test_system_and_all_texts_are_the_prompt_and_media_are_passed_over():
    turns = [
        {"role": "user", "content": [{"text": "a"}, IMAGE, {"cachePoint": {"type": "default"}}]},
        {"role": "assistant", "content": [{"text": "b"}]},
        {"role": "user", "content": [{"video": {"format": "mp4", "source": IN_S3}}, {"text": "c"}]},
    ]
    for answer in (CONVERSE, NOVA):
        said = ask(answer, {"system": [{"text": "s"}], "messages": turns})
        assert prompt_digest("s\na\nb\nc") in said["output"]["message"]["content"][0]["text"]
    parts = [{"type": "text", "text": "c"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": parts}]
    assert prompt_digest("s\nc") in ask(GPT_OSS, {"messages": chat})["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("answer", "body", "said"),
    [
        (CLAUDE, {**CLAUDE_BODY, "modelId": "x"}, "modelId: Extra inputs are not permitted"),
        (CLAUDE, {**CLAUDE_BODY, "messages": [{"role": "user", "content": ""}]}, "messages: text content blocks must"),
        (CLAUDE, {**CLAUDE_BODY, "temperature": 1.5}, "temperature: "),
        (CLAUDE, {**CLAUDE_BODY, "top_k": 501}, "top_k: "),
        (CLAUDE, BLOCKS, "anthropic_version: Field required"),
        (CONVERSE, CLAUDE_BODY, "Malformed input request: #"),
        (CONVERSE, {}, "Malformed input request: #: required key [messages] not found"),
        (CONVERSE, {**BLOCKS, "modelId": "x"}, "Malformed input request: #: extraneous key [modelId] is not"),
        (CONVERSE, {"messages": []}, "Malformed input request: #/messages: expected minimum item count"),
        (CONVERSE, {"messages": [{"role": "user", "content": []}]}, "Malformed input request: #/messages/0/content:"),
        (CONVERSE, {"messages": [{"role": "user", "content": [{"text": ""}]}]}, "Malformed input request: #/messages"),
        (
            CONVERSE,
            {"messages": [{"role": "user", "content": [{}]}]},
            "Malformed input request: #/messages/0/content/0",
        ),
        (CONVERSE, {"messages": [{"role": "user", "content": [{"text": "a", **IMAGE}]}]}, "Malformed input request: #"),
        (CONVERSE, {"messages": [{"role": "assistant", "content": [{"text": "a"}]}]}, "A conversation must start with"),
        (CONVERSE, {"messages": [{"role": "user", "content": [{"toolResult": {}}]}]}, "Tool use is not supported"),
        (CONVERSE, {**BLOCKS, "toolConfig": {"tools": []}}, "Tool use is not supported in batch inference"),
        (CONVERSE, {**BLOCKS, "inferenceConfig": {"maxTokens": 0}}, "Malformed input request: #/inferenceConfig/max"),
        (CONVERSE, {**BLOCKS, "inferenceConfig": {"temperature": 2}}, "Malformed input request: #/inferenceConfig/t"),
        (CONVERSE, {**BLOCKS, "inferenceConfig": {"max_tokens": 1}}, "Malformed input request: #/inferenceConfig: ex"),
        (NOVA, CHAT, "Malformed input request: #/messages/0/content: expected type: array, found: str"),
        (NOVA, {**BLOCKS, "max_tokens": 5}, "Malformed input request: #: extraneous key [max_tokens]"),
        (NOVA, {**BLOCKS, "inferenceConfig": {"topK": 200}}, "Malformed input request: #/inferenceConfig/topK: the"),
        (TITAN_MULTIMODAL, {}, "Malformed input request: #: at least one of"),
        (TITAN_MULTIMODAL, {"inputImage": "no base64!"}, "Malformed input request: #/inputImage: the value is not"),
        (TITAN_MULTIMODAL, {"inputText": "x" * 1100}, "400 Bad Request: Too many input tokens."),
        (
            TITAN_MULTIMODAL,
            {"inputText": "x", "embeddingConfig": {"outputEmbeddingLength": 512}},
            "Malformed input request: #/embeddingConfig/outputEmbeddingLength: 512 is not a valid enum value",
        ),
        (TITAN_G1, {"inputText": "x", "dimensions": 256}, "Malformed input request: #: extraneous key [dimensions]"),
        (NOVA_EMBEDDINGS, {"taskType": "SINGLE_EMBEDDING"}, "Malformed input request: #: required key [singleEmb"),
        (NOVA_EMBEDDINGS, single(), "Malformed input request: #/singleEmbeddingParams: exactly one of"),
        (NOVA_EMBEDDINGS, single(**TEXT, embeddingDimension=512), "Malformed input request: #/singleEmbeddingParams/"),
        (NOVA_EMBEDDINGS, single(**TEXT, image=IMAGE["image"]), "Malformed input request: #/singleEmbeddingParams: ex"),
        (NOVA_EMBEDDINGS, single(text={"truncationMode": "END"}), "Malformed input request: #/singleEmbeddingParams/t"),
        (LLAMA, {}, "Malformed input request: #: required key [prompt] not found"),
        (LLAMA, {"prompt": ""}, "Malformed input request: #/prompt: expected minLength"),
        (LLAMA, {**CHAT, "parameters": {"max_new_tokens": 5}}, "Malformed input request: #"),
        (
            LLAMA,
            {"prompt": "x", "max_gen_len": 9000},
            "Malformed input request: #/max_gen_len: the value is not <= 8192",
        ),
        (LLAMA, {"prompt": "x", "top_p": 1.1}, "Malformed input request: #/top_p"),
        (LLAMA, {"prompt": "x", "images": ["?"]}, "Malformed input request: #/images/0"),
        (MISTRAL, CHAT, "Malformed input request: #"),
        (MISTRAL, {"prompt": "x", "stop": ["a"] * 11}, "Malformed input request: #/stop"),
        (MISTRAL_CHAT, {"prompt": "x"}, "Malformed input request: #"),
        (MISTRAL_CHAT, {**CHAT, "temperature": 1.5}, "Malformed input request: #/temperature"),
        (GPT_OSS, {"messages": []}, "Malformed input request: #/messages"),
        (GPT_OSS, {"messages": [{"role": "system", "content": "s"}]}, "messages: at least one message of the user"),
        (GPT_OSS, {"messages": [{"role": "robot", "content": "s"}]}, "Malformed input request: #/messages/0/role"),
        (GPT_OSS, {"messages": [{"role": "user"}]}, "Malformed input request: #/messages/0/content"),
        (GPT_OSS, {"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "Malformed input request: #/mess"),
        (GPT_OSS, {**CHAT, "temperature": 2.5}, "Malformed input request: #/temperature"),
        (GPT_OSS, {**CHAT, "stream": True}, "Streaming is not supported in batch inference"),
        (JAMBA, {**CHAT, "top_k": 5}, "Malformed input request: #: extraneous key [top_k] is not permitted"),
        (EMBED_V3, {"texts": ["x"]}, "Malformed input request: #: required key [input_type] not found"),
        (EMBED_V3, {"texts": ["x"] * 97, "input_type": "clustering"}, "Malformed input request: #/texts"),
        (EMBED_V3, {"input_type": "clustering"}, "Malformed input request: #: exactly one of [texts, images]"),
        (EMBED_V3, {"texts": ["x"], "input_type": "x"}, "Malformed input request: #/input_type: 'x' is not a valid"),
        (EMBED_V4, {"texts": ["x"], "images": ["x"], "input_type": "image"}, "Malformed input request: #: exactly"),
        (EMBED_V4, {"texts": ["x"], "input_type": "image", "output_dimension": 300}, "Malformed input request: #/out"),
        (COMMAND, {"message": ""}, "Malformed input request: #/message"),
        (COMMAND, {"message": "x", "p": 0}, "Malformed input request: #/p"),
    ],
)
def test_a_body_of_another_form_fails_with_the_place_named(answer, body, said):
    assert refusal(answer, body).startswith(said)


def test_what_openais_form_leaves_open_is_passed_over():
    assert ask(GPT_OSS, {**CHAT, "model": "openai.gpt-oss-20b-1:0", "reasoning_effort": "low", "seed": 1})
    assert ask(GPT_OSS, {**CHAT, "response_format": {"type": "text"}, "tools": []})


def test_an_embedding_model_does_not_converse():
    answer = of("amazon.titan-embed-text-v2:0", "Converse")
    assert "chat model" in refusal(answer, BLOCKS)


def test_cohere_gives_every_type_that_is_asked_for():
    kinds = ["float", "int8", "uint8", "binary", "ubinary"]
    answer = ask(EMBED_V4, {"texts": ["a", "b"], "input_type": "search_document", "embedding_types": kinds})
    assert answer["response_type"] == "embeddings_by_type"
    assert answer["texts"] == ["a", "b"]
    numbers = np.array(answer["embeddings"]["float"])
    assert numbers.shape == (2, 1536)
    assert np.array_equal(np.sign(answer["embeddings"]["int8"]) > 0, np.array(answer["embeddings"]["uint8"]) > 128)
    ubinary = np.array(answer["embeddings"]["ubinary"], dtype=np.uint8)
    assert np.array_equal(np.unpackbits(ubinary, axis=1), numbers > 0)
    assert np.array_equal(np.array(answer["embeddings"]["binary"]) + 128, ubinary)


EVERYBODY = [one[0] for one in (*TALKING.values(), *EMBEDDING.values())]
WORDS = ["messages", "role", "content", "text", "image", "source", "bytes", "prompt", "inputText", "texts", "message"]


@given(st.binary(max_size=30))
def test_no_bytes_can_do_worse_than_be_refused(body):
    for answer in EVERYBODY:
        with contextlib.suppress(Refused):
            json.loads(answer(body).body)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text("u\ud800", max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
        max_leaves=10,
    )
)
def test_no_json_can_do_worse_than_be_refused(body):
    for answer in EVERYBODY:
        with contextlib.suppress(Refused):
            json.loads(answer(json.dumps(body).encode()).body)
    for least in (one[1] for one in TALKING.values()):
        for name in least:
            for answer in EVERYBODY:
                with contextlib.suppress(Refused):
                    answer(msgspec.json.encode({**least, name: None}))


def test_a_converse_record_may_have_every_member_of_the_operation_but_the_model_and_no_other():
    members = botocore.session.Session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape
    values: dict[str, Any] = {
        "system": [{"text": "Be short."}],
        "inferenceConfig": {"maxTokens": 200, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
        "guardrailConfig": {"guardrailIdentifier": "a", "guardrailVersion": "1"},
        "additionalModelRequestFields": {"top_k": 5},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
        "promptVariables": {"topic": {"text": "the sea"}},
        "requestMetadata": {"run": "r1"},
        "performanceConfig": {"latency": "standard"},
        "serviceTier": {"type": "flex"},
        "outputConfig": {},
    }
    refused: dict[str, Any] = {"toolConfig": {"tools": []}}
    assert {"modelId", "messages", *values, *refused} == set(members.members)
    for name, value in values.items():
        prompt = f"Be short.\n{WHY}" if name == "system" else WHY
        said = CONVERSE(json.dumps({**BLOCKS, name: value}).encode())
        assert prompt_digest(prompt).encode() in said.body, name
    for name, value in {**refused, "modelId": "any", "more": 1}.items():
        with pytest.raises(Refused):
            CONVERSE(json.dumps({**BLOCKS, name: value}).encode())
    tier = members.members["serviceTier"].members["type"]
    for kind in tier.enum:
        CONVERSE(json.dumps({**BLOCKS, "serviceTier": {"type": kind}}).encode())
    for wrong in ({}, {"type": "best"}):
        with pytest.raises(Refused, match="serviceTier"):
            CONVERSE(json.dumps({**BLOCKS, "serviceTier": wrong}).encode())


# --------------------------------------------------------------------------- images


JPEG_BEGINNING = base64.b64encode(b"\xff\xd8\xff\xe0").decode()


def of_nova(data: str, kind: str = "png") -> dict:
    content = [{"image": {"format": kind, "source": {"bytes": data}}}, {"text": WHY}]
    return {"messages": [{"role": "user", "content": content}]}


def of_claude(data: object, media_type: str = "image/png", **source: object) -> dict:
    image = {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data, **source}}
    message = {"role": "user", "content": [image, {"type": "text", "text": WHY}]}
    return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99, "messages": [message]}


def wide_png(width: int) -> str:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4, "big") + (9).to_bytes(4, "big")
    return base64.b64encode(head).decode()


@pytest.mark.parametrize(
    ("data", "claimed", "why"),
    [
        (base64.b64encode(b"<svg/>").decode(), "png", "Could not process image"),
        (
            JPEG_BEGINNING,
            "png",
            "was specified using the image/png media type, but the image appears to be a image/jpeg",
        ),
        ("A" * 5_242_884, "png", "image exceeds 5 MB maximum: 5242884 bytes > 5242880 bytes"),
        (wide_png(8_001), "png", "dimensions exceed max allowed size: 8000 pixels"),
    ],
)
def test_an_image_that_is_none_or_another_or_too_large_fails_its_record(data, claimed, why):
    for answer, body in (
        (of("amazon.nova-lite-v1:0"), of_nova(data, claimed)),
        (of("anthropic.claude-3-haiku-20240307-v1:0"), of_claude(data, f"image/{claimed}")),
    ):
        with pytest.raises(Refused) as caught:
            answer(json.dumps(body).encode())
        assert caught.value.code == 400
        assert why in caught.value.message


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            of_claude(PNG, "image/bmp"),
            "media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
        ),
        (of_claude(PNG, type="url"), "Input tag 'url' found using 'type' does not match"),
        (of_claude(None), "base64.data: Field required"),
        (of_claude("%%%"), "invalid base64 data"),
    ],
)
def test_claude_takes_images_as_base64_of_four_types_only(body, why):
    with pytest.raises(Refused) as caught:
        of("anthropic.claude-3-haiku-20240307-v1:0")(json.dumps(body).encode())
    assert why in caught.value.message


def test_converse_takes_twenty_images_a_message_and_none_for_a_model_of_texts():
    content = [{"image": {"format": "png", "source": {"bytes": PNG}}}] * 20
    body = {"messages": [{"role": "user", "content": [*content, {"text": WHY}]}]}
    assert of("amazon.nova-lite-v1:0")(json.dumps(body).encode()).input_tokens
    body["messages"][0]["content"] = [*content, content[0], {"text": WHY}]
    with pytest.raises(Refused, match="too many images"):
        of("amazon.nova-lite-v1:0")(json.dumps(body).encode())
    blind = of("qwen.qwen3-32b-v1:0", "Converse")
    with pytest.raises(Refused, match="doesn't support the image field"):
        blind(json.dumps(of_nova(PNG)).encode())
