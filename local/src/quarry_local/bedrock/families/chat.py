"""The chat form that OpenAI began: gpt-oss, Qwen3, DeepSeek, Kimi; Mistral's chat models; Jamba (contract section 4.2).

Pure. OpenAI's form is open: servers of it pass over fields that they do not know, so unknown ones are taken here.
Mistral's and Jamba's lists of parameters are closed on their pages. `tools` may be called and `response_format` is kept
(`chat_tools`). An optional `model` is part of the form, other than with Claude.

gpt-oss thinks aloud: its content begins with `<reasoning>`, which `max_tokens` counts (contract section 12). Asked for JSON
it gives JSON alone here; how live jobs answer then is not known.
"""

from typing import Annotated, Any, Literal

import msgspec

from quarry_local.bedrock.families import chat_tools
from quarry_local.bedrock.families.answers import Answer, Answering, Refused, Said, say
from quarry_local.bedrock.families.bodies import Share, Tokens, malformed, reader, unsupported
from quarry_local.bedrock.families.tools import Call, call, json_said
from quarry_local.bedrock.models.identity import Model

_Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]


class _Part(msgspec.Struct, gc=False):
    type: str
    text: str | None = None
    image_url: dict[str, Any] | str | None = None


class _Message(msgspec.Struct, gc=False):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None


class _OpenAi(msgspec.Struct, gc=False):
    messages: list[_Message]
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: _Temperature | None = None
    top_p: Share | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    tools: Any = None
    tool_choice: Any = None
    response_format: Any = None


class _Mistral(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    messages: list[_Message]
    max_tokens: Tokens | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    stop: str | list[str] | None = None
    random_seed: int | None = None
    safe_prompt: bool | None = None
    stream: bool | None = None
    tools: Any = None
    tool_choice: Any = None
    response_format: Any = None


class _Jamba(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    messages: list[_Message]
    max_tokens: Tokens | None = None
    temperature: _Temperature | None = None
    top_p: Share | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None
    stream: bool | None = None
    tools: Any = None
    tool_choice: Any = None
    documents: Any = None
    response_format: Any = None


def openai(model: Model) -> Answering:
    return _answering(_OpenAi, model)


def mistral(model: Model) -> Answering:
    return _answering(_Mistral, model)


def jamba(model: Model) -> Answering:
    return _answering(_Jamba, model)


def _answering(form: type[_OpenAi | _Mistral | _Jamba], model: Model) -> Answering:
    read = reader(form)
    name = (model.id or model.pool).encode()
    thinks_aloud = name.startswith(b"openai.gpt-oss")

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        body = read(model_input)
        if body.stream:
            raise unsupported("Streaming")
        tokens_max = body.max_tokens
        if tokens_max is None and isinstance(body, _OpenAi):
            tokens_max = body.max_completion_tokens
        prompt = _prompt(body.messages)
        tools = chat_tools.tools_of(body.tools) if body.tools else []
        choice = chat_tools.choice_of(body.tool_choice, tools)
        schema = chat_tools.format_of(body.response_format)
        called = call(tools, choice, prompt, tokens_max, answered=body.messages[-1].role == "tool")
        if called is not None:
            message = (
                b'null,"tool_calls":[{"id":"call_%b","type":"function","function":{"name":"%b","arguments":%b}}]'
                % (
                    called.digits[20:44],
                    called.name.encode(),
                    msgspec.json.encode(called.input.decode()),
                )
            )
            return _completed(name, called, message, b"length" if called.cut else b"tool_calls")
        said = json_said(schema, prompt, tokens_max)
        if said is None:
            said = _thought(prompt, tokens_max) if thinks_aloud else say(prompt, tokens_max)
        text = msgspec.json.encode(said.text.decode("utf-8", "ignore"))
        return _completed(name, said, text, b"length" if said.cut else b"stop")

    return answer


def _thought(prompt: str, tokens_max: int | None) -> Said:
    said = say(prompt)
    text = b"<reasoning>The user asks for an answer, and this is one.</reasoning>" + said.text
    output_tokens = len(text) // 4 + 1
    cut = tokens_max is not None and output_tokens > tokens_max
    if cut and tokens_max is not None:
        output_tokens = tokens_max
        text = text[: output_tokens * 4]
    return said._replace(text=text, output_tokens=output_tokens, cut=cut)


def _completed(name: bytes, said: Said | Call, content: bytes, finish_reason: bytes) -> Answer:
    # `created` is a moment, and answers have none: they repeat.
    rendered = (
        b'{"id":"chatcmpl-%b","object":"chat.completion","created":0,"model":"%b","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":%b},"finish_reason":"%b"}],'
        b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}'
    ) % (
        said.digits[20:44],
        name,
        content,
        finish_reason,
        said.input_tokens,
        said.output_tokens,
        said.input_tokens + said.output_tokens,
    )
    return Answer(rendered, said.input_tokens, said.output_tokens)


def _prompt(messages: list[_Message]) -> str:
    if not messages:
        raise malformed("#/messages: expected minimum item count: 1, found: 0")
    texts: list[str] = []
    for number, message in enumerate(messages):
        at = f"#/messages/{number}/content"
        if isinstance(message.content, str):
            texts.append(message.content)
        elif message.content is not None:
            for place, part in enumerate(message.content):
                if part.type == "text" and part.text is not None:
                    texts.append(part.text)
                elif part.type != "image_url" or part.image_url is None:
                    raise malformed(f"{at}/{place}: the part is neither text nor image_url")
        elif message.role != "assistant":
            raise malformed(f"{at}: expected type: str, found: null")
    if not any(message.role == "user" for message in messages):
        raise Refused(400, "messages: at least one message of the user is required")
    return "\n".join(texts)
