"""Anthropic Messages: the body of Claude's InvokeModel, and its answer (contract section 4.2). Pure.

The prompt of a record is the text of `system` and of all messages, in order, joined by newlines; a tool's result counts as
text. The texts of errors that the contract quotes are verbatim; the others imitate the same validator.
"""

from hashlib import sha256
from typing import Annotated, Any, Literal

import msgspec

from quarry_local.bedrock.families import claude_tools
from quarry_local.bedrock.families.answers import SENTENCES, Answer, Answering, Refused, say
from quarry_local.bedrock.families.bodies import Share
from quarry_local.bedrock.families.claude_rules import ClaudeRules
from quarry_local.bedrock.families.images import Shown, check_images
from quarry_local.bedrock.families.tools import call, json_said
from quarry_local.bedrock.models.identity import Model


# Structs of a decoded body hold no cycles, so the collector need not walk them (gc=False).
class _Text(msgspec.Struct, tag_field="type", tag="text", gc=False):
    text: str


class _Image(msgspec.Struct, tag_field="type", tag="image", gc=False):
    source: dict[str, Any]


class _Document(msgspec.Struct, tag_field="type", tag="document", gc=False):
    source: dict[str, Any]


class _ToolUse(msgspec.Struct, tag_field="type", tag="tool_use", gc=False):
    id: str
    name: str
    input: dict[str, Any]


class _ToolResult(msgspec.Struct, tag_field="type", tag="tool_result", gc=False):
    tool_use_id: str
    content: str | list[Any] | None = None


class _Thinking(msgspec.Struct, tag_field="type", tag="thinking", gc=False):
    thinking: str


class _RedactedThinking(msgspec.Struct, tag_field="type", tag="redacted_thinking", gc=False):
    data: str


_Block = _Text | _Image | _Document | _ToolUse | _ToolResult | _Thinking | _RedactedThinking


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant"]
    content: str | list[_Block]


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    anthropic_version: Literal["bedrock-2023-05-31"]
    max_tokens: int
    messages: list[_Message]
    system: str | list[_Text] | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0, le=500)] | None = None
    stop_sequences: list[str] | None = None
    metadata: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    anthropic_beta: list[str] | None = None
    tools: list[Any] | None = None
    tool_choice: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None

    @property
    def plain(self) -> bool:
        """Whether a text answers it: nearly all records."""
        return self.tools is None and self.tool_choice is None and self.output_config is None is self.output_format


_MEDIA_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_LISTED = "'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
_DECODER = msgspec.json.Decoder(_Body)


def answering(model: Model) -> Answering:
    rules = ClaudeRules(model.id)
    name = (model.id or model.pool).removeprefix("anthropic.")
    head = b'{"model":"' + name.encode() + b'","id":"msg_bdrk_'
    decode = _DECODER.decode

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        try:
            body = decode(model_input)
        except (msgspec.MsgspecError, RecursionError):
            raise diagnose(bytes(model_input)) from None
        if body.max_tokens < 1:
            raise Refused(400, "max_tokens: Input should be greater than or equal to 1")
        if not body.messages:
            raise Refused(400, "messages: at least one message is required")
        rules.check(body.max_tokens, body.temperature, body.top_p, body.top_k, body.thinking, body.anthropic_beta or ())
        prompt = _prompt(body)
        if not prompt:
            raise Refused(400, "messages: text content blocks must be non-empty")
        if not body.plain or prompt.endswith("}"):
            return _shaped(body, prompt, head)
        digest = sha256(prompt.encode()).digest()
        digits = digest.hex().encode()
        text = SENTENCES[digest[8]] + digits[:16] + b"]"
        input_tokens = len(prompt) // 4 + 1
        output_tokens = len(text) // 4 + 1
        stop_reason = b"end_turn"
        if output_tokens > body.max_tokens:
            # A record that its limit cuts off is a success (contract section 4.2).
            output_tokens = body.max_tokens
            text = text[: output_tokens * 4]
            stop_reason = b"max_tokens"
        rendered = (
            b'%b%b","type":"message","role":"assistant","content":[{"type":"text","text":"%b"}],'
            b'"stop_reason":"%b","stop_sequence":null,"usage":{"input_tokens":%d,"output_tokens":%d}}'
        ) % (head, digits[20:44], text, stop_reason, input_tokens, output_tokens)
        return Answer(rendered, input_tokens, output_tokens)

    return answer


def _shaped(body: _Body, prompt: str, head: bytes) -> Answer:
    """The answer to a record that offers tools or asks for JSON."""
    tools = claude_tools.tools_of(body.tools or [])
    choice = claude_tools.choice_of(body.tool_choice, tools)
    if body.thinking is not None and body.thinking.get("type") == "enabled" and choice not in ("auto", "none"):
        raise Refused(400, "Thinking may not be enabled when tool_choice forces tool use.")
    schema = claude_tools.format_of(body.output_config, body.output_format)
    last = body.messages[-1].content
    answered = isinstance(last, list) and any(isinstance(block, _ToolResult) for block in last)
    called = call(tools, choice, prompt, body.max_tokens, answered=answered)
    if called is not None:
        stop = b"max_tokens" if called.cut else b"tool_use"
        block = b'{"type":"tool_use","id":"toolu_bdrk_%b","name":"%b","input":%b}' % (
            called.digits[20:44],
            called.name.encode(),
            called.input,
        )
        return _rendered(head, called.digits, block, stop, called.input_tokens, called.output_tokens)
    said = json_said(schema, prompt, body.max_tokens) or say(prompt, body.max_tokens)
    block = b'{"type":"text","text":%b}' % msgspec.json.encode(said.text.decode("utf-8", "ignore"))
    stop = b"max_tokens" if said.cut else b"end_turn"
    return _rendered(head, said.digits, block, stop, said.input_tokens, said.output_tokens)


def _rendered(head: bytes, digits: bytes, block: bytes, stop: bytes, input_tokens: int, output_tokens: int) -> Answer:
    rendered = (
        b'%b%b","type":"message","role":"assistant","content":[%b],'
        b'"stop_reason":"%b","stop_sequence":null,"usage":{"input_tokens":%d,"output_tokens":%d}}'
    ) % (head, digits[20:44], block, stop, input_tokens, output_tokens)
    return Answer(rendered, input_tokens, output_tokens)


def _prompt(body: _Body) -> str:
    messages = body.messages
    if len(messages) == 1 and body.system is None:
        # By far the most records: nothing to join.
        content = messages[0].content
        if isinstance(content, str):
            return content
        if len(content) == 1 and isinstance(content[0], _Text):
            return content[0].text
    texts: list[str] = []
    if body.system is not None:
        texts.extend([body.system] if isinstance(body.system, str) else [block.text for block in body.system])
    images: list[Shown] = []
    for number, message in enumerate(messages):
        if isinstance(message.content, str):
            texts.append(message.content)
        else:
            for place, block in enumerate(message.content):
                texts.extend(_texts(block))
                if isinstance(block, _Image):
                    images.append(_shown(block, f"messages.{number}.content.{place}.image.source"))
    if images:
        check_images(images)
    return "\n".join(texts)


def _shown(block: _Image, at: str) -> Shown:
    """An image of which Bedrock takes base64 alone: neither URLs nor files."""
    kind, media_type, data = (block.source.get(name) for name in ("type", "media_type", "data"))
    if kind != "base64":
        raise Refused(
            400, f"{at}: Input tag '{kind}' found using 'type' does not match any of the expected tags: 'base64'"
        )
    if media_type not in _MEDIA_TYPES:
        raise Refused(400, f"{at}.base64.media_type: Input should be {_LISTED}")
    if not isinstance(data, str):
        raise Refused(400, f"{at}.base64.data: Field required")
    return Shown(f"{at}.base64", str(media_type).removeprefix("image/"), data)


def _texts(block: _Block) -> list[str]:
    if isinstance(block, _Text):
        return [block.text]
    if not isinstance(block, _ToolResult) or block.content is None:
        return []
    if isinstance(block.content, str):
        return [block.content]
    return [part["text"] for part in block.content if isinstance(part, dict) and isinstance(part.get("text"), str)]


def diagnose(model_input: bytes) -> Refused:
    """Why a body is not a Messages request, in the validator's words."""
    try:
        body = msgspec.json.decode(model_input)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Refused(400, "The request body is not valid JSON")
    if not isinstance(body, dict):
        return Refused(400, "Input should be a valid dictionary")
    for field in ("anthropic_version", "max_tokens", "messages"):
        if field not in body:
            return Refused(400, f"{field}: Field required")
    if body["anthropic_version"] != "bedrock-2023-05-31":
        return Refused(400, "anthropic_version: Input should be 'bedrock-2023-05-31'")
    for field in body:
        if field not in _Body.__struct_fields__:
            return Refused(400, f"{field}: Extra inputs are not permitted")
    try:
        msgspec.convert(body, _Body)
    except msgspec.ValidationError as wrong:
        why, _, at = str(wrong).partition(" - at `$")
        where = at.strip("`").strip(".").replace("[", ".").replace("]", "")
        return Refused(400, f"{where or 'body'}: {why}")
    return Refused(400, "The request body is not valid")
