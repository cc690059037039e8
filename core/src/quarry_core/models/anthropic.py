"""Anthropic's Messages form, in which every Claude model on Bedrock is asked (contract section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from quarry_core.images.header import ImageFormat
from quarry_core.images.limits import ImageLimits
from quarry_core.models import loose
from quarry_core.models.claude_rules import calls_tools, check_claude, follows_schemas
from quarry_core.models.content import TOOL_CALL, Texts, output_members, read_blocks, text_answer
from quarry_core.models.family import (
    Answer,
    AnswerColumn,
    AnswerReader,
    Carrier,
    ImageContent,
    Invocation,
    Kind,
    Output,
    OutputMode,
    Turn,
    UnreadableOutput,
)
from quarry_core.models.inference import Number, Rule, Stops, Thinking, Whole, Word, as_list, check_against, plainly

ANTHROPIC_VERSION = "bedrock-2023-05-31"
MAX_TOKENS_DEFAULT = 1_024

# Ranges: AWS's page on the parameters of Claude's Messages API. What one model generates at most is the model's own.
_RULES: Mapping[str, Rule] = {
    "max_tokens": Whole(1, 1_000_000),
    "temperature": Number(0, 1),
    "top_p": Number(0, 1),
    "top_k": Whole(0, 500),
    "stop": Stops(8_191),
    # `output_config.effort`; which models know it, and how much of it: `claude_rules`.
    "effort": Word(("low", "medium", "high", "xhigh", "max")),
    # The least budget: AWS's page on extended thinking. What it may be beside others: `claude_rules`.
    "thinking": Thinking(1_024),
}
# Of a body that somebody else wrote: what is looked at, and what of that by the model.
_IN_BODIES = ("max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "thinking")
_OF_MODELS = ("max_tokens", "temperature", "top_p", "top_k", "thinking")
_NO_TOOLS = "batch inference does not support tool calling"
_NEVER = {
    "system": "it is the prompt's own field `system`",
    "messages": "they are made from the prompt's template, and examples are its own field `messages`",
    "anthropic_version": "Quarry sets it",
    "model": "it is the manifest's model_id",
    "modelId": "it is the manifest's model_id",
    "stream": "batch inference does not stream",
    "tools": _NO_TOOLS,
    "tool_choice": _NO_TOOLS,
}


ALIASES: Mapping[str, str] = {"stop_sequences": "stop"}
# Anthropic's guide to vision; the size of a request is Bedrock's.
_IMAGES = ImageLimits(request_bytes_max=20_000_000, tokens_sure=True)
_NO_IMAGES = ("anthropic.claude-v", "anthropic.claude-instant")
_THINKING = ("thinking", "redacted_thinking")
_NO_OTHERS = ("text", *_THINKING)


class Block(msgspec.Struct, frozen=True, gc=False):
    """One block of content; what belongs to kinds other than text is not read here."""

    type: str = ""
    text: str | None = None


class Usage(msgspec.Struct, frozen=True, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None


_NO_USAGE = Usage()


class Message(Output, frozen=True, gc=False):
    """`modelOutput`, as far as it is read."""

    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: Usage | None = None

    def __post_init__(self) -> None:
        """Let `loosely` read what stopped to call tools, and what says nothing and is not empty either."""
        if self.stop_reason == TOOL_CALL:
            raise UnreadableOutput("the message calls tools")
        others = False
        for block in self.content or ():
            if block.type == "text" and block.text and not block.text.isspace():
                return
            others = others or block.type not in _NO_OTHERS
        if others:
            raise UnreadableOutput("the blocks of the message hold no text")

    @property
    def as_json(self) -> str | None:
        """The blocks as JSON, where text alone does not say what was answered."""
        return None

    @classmethod
    def loosely(cls, found: object) -> Message:
        """As `Output.loosely`. Content may also be one text, or one block."""
        message = output_members(found)
        stop_reason = loose.text(message.get("stop_reason"))
        blocks = read_blocks(message.get("content"), thinks=_thinks, text_of=_text_of, calls=stop_reason == TOOL_CALL)
        usage = loose.members(message.get("usage"))
        return _OddMessage(
            content=[Block("text", text) for text in blocks.texts if text is not None],
            stop_reason=stop_reason,
            usage=Usage(loose.count(usage.get("input_tokens")), loose.count(usage.get("output_tokens"))),
            blocks_json=blocks.as_json,
        )


class _OddMessage(Message, frozen=True, gc=False):
    """A message with blocks that `Block` does not hold. A type of its own, so that no output can claim the member."""

    blocks_json: str | None = None

    def __post_init__(self) -> None:
        """All is read."""

    @property
    def as_json(self) -> str | None:
        return self.blocks_json


def _thinks(block: object) -> bool:
    return loose.members(block).get("type") in _THINKING


def _text_of(block: object) -> str | None:
    """The text of a block of text, which may be empty; None for a block of another kind."""
    if isinstance(block, str):
        return block
    found = loose.members(block)
    text = found.get("text")
    return (text or "") if found.get("type") == "text" and isinstance(text, str | None) else None


def _block(kind: ImageFormat, data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": f"image/{kind}", "data": data}}


class Anthropic:
    """The adapter: one user message per record, behind those of the prompt's examples."""

    name: str = "anthropic"
    version: str = "3"
    kind: Kind = "text"
    answer_column: AnswerColumn = "response"
    output_type: type[Output] = Message
    invocation: Invocation = "InvokeModel"
    rules: Mapping[str, Rule] = _RULES
    aliases: Mapping[str, str] = ALIASES

    @property
    def invoked(self) -> AnswerReader:
        return self

    def body(
        self, text: str, *, system: str | None, inference: Mapping[str, Any], turns: Sequence[Turn] = ()
    ) -> dict[str, Any]:
        """One record's `modelInput`. Both `anthropic_version` and `max_tokens` are required by the model."""
        given = plainly(inference, self.aliases)
        sent = {key: value for key, value in given.items() if key not in {"max_tokens", "stop", "effort"}}
        if "stop" in given:
            sent["stop_sequences"] = as_list(given["stop"])
        if "effort" in given:
            sent["output_config"] = {"effort": given["effort"]}
        body: dict[str, Any] = {
            "anthropic_version": ANTHROPIC_VERSION,
            "max_tokens": given.get("max_tokens", MAX_TOKENS_DEFAULT),
        }
        # In one order, whatever order the manifest had: the same run must write the same bytes.
        body.update((key, sent[key]) for key in sorted(sent))
        if system is not None:
            body["system"] = system
        said = [*turns, Turn("user", text)]
        body["messages"] = [{"role": turn.role, "content": [{"type": "text", "text": turn.text}]} for turn in said]
        return body

    def check_inference(self, inference: Mapping[str, Any], model: str = "", *, whole: bool = True) -> None:
        check_against(_RULES, _NEVER, inference, self.name, self.aliases)
        if model:
            check_claude(model, plainly(inference, self.aliases), MAX_TOKENS_DEFAULT if whole else None)

    def carriers(self, model: str) -> Mapping[OutputMode, Carrier]:
        """`output_config.format` from 4.5 on, a forced tool before, words for those that know neither."""
        ways: dict[OutputMode, Carrier] = {}
        if follows_schemas(model):
            ways["native"] = "output_config"
        if calls_tools(model):
            ways["tool"] = "tools"
        return {**ways, "instruction": "prompt"}

    def images(self, model: str) -> ImageContent | None:
        """All since Claude 3."""
        return None if model.startswith(_NO_IMAGES) else ImageContent(_IMAGES, _block)

    def own_form(self, body: dict[str, Any]) -> dict[str, Any]:
        return body

    def check_body(self, body: Mapping[str, Any], model: str = "") -> None:
        """What each Claude model fails a record for (contract sections 4.2 and 7)."""
        if "inferenceConfig" in body:
            raise ValueError(
                "inferenceConfig belongs to Converse, and the requests are sent by InvokeModel: write the model's own form"
            )
        if body.get("anthropic_version") != ANTHROPIC_VERSION:
            raise ValueError(
                f'anthropic_version is not there or another: add "anthropic_version": "{ANTHROPIC_VERSION}"'
            )
        for field, remedy in (("max_tokens", 'add "max_tokens": 1024'), ("messages", 'add "messages": […]')):
            if field not in body:
                raise ValueError(f"{field} is not there: {remedy}")
        for field in ("model", "modelId", "stream"):
            if field in body:
                raise ValueError(f"{field} is refused by every Claude model in a batch: leave it out")
        if isinstance(body.get("stop_sequences"), str):
            raise ValueError("stop_sequences must be a list of strings")  # noqa: TRY004 - one class for all refusals
        # 10.0 is whole to whoever reads it there.
        given = {field: loose.whole(body[field]) for field in _IN_BODIES if field in body}
        self.check_inference(given)
        if model:
            check_claude(model, {field: body[field] for field in _OF_MODELS if field in body}, None)

    def answer(self, output: Any) -> Answer:
        """The text blocks, joined as they stand; a thinking block is not part of the answer.

        A message that stopped to call tools is answered by its blocks, as the JSON list that they stand in: the
        text beside a call alone would not tell what was called. So is one without text, but with blocks of other kinds.
        """
        message: Message = output
        usage = message.usage or _NO_USAGE
        text = message.as_json or _text_in(message.content or ())
        return text_answer(text, message.stop_reason, usage.input_tokens, usage.output_tokens)

    def texts(self, outputs: Sequence[Any]) -> Texts | None:
        """As `ReadsMany.texts`: what `answer` reads, of messages without blocks of other kinds."""
        if not all(type(each) is Message for each in outputs):
            return None
        messages: Sequence[Message] = outputs
        contents = [message.content or () for message in messages]
        usages = [message.usage or _NO_USAGE for message in messages]
        return Texts(
            [
                blocks[0].text if len(blocks) == 1 and blocks[0].type == "text" else _text_in(blocks)  # nearly always
                for blocks in contents
            ],
            [message.stop_reason for message in messages],
            [usage.input_tokens for usage in usages],
            [usage.output_tokens for usage in usages],
        )


def _text_in(blocks: Sequence[Block]) -> str:
    return "".join(block.text for block in blocks if block.type == "text" and block.text)
