"""Anthropic's Messages form, in which every Claude model on Bedrock is asked (contract section 4.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from quarry_core.models import loose
from quarry_core.models.family import Answer, AnswerColumn, EmptyAnswer, Kind, Output, UnreadableOutput
from quarry_core.models.inference import Number, Rule, Texts, Thinking, Whole, check_against

ANTHROPIC_VERSION = "bedrock-2023-05-31"
MAX_TOKENS_DEFAULT = 1_024

# Ranges: AWS's page on the parameters of Claude's Messages API. What one model generates at most is the model's own.
_RULES: Mapping[str, Rule] = {
    "max_tokens": Whole(1, 1_000_000),
    "temperature": Number(0, 1),
    "top_p": Number(0, 1),
    "top_k": Whole(0, 500),
    "stop_sequences": Texts(8_191),
    # The least budget: AWS's page on extended thinking. What it may be beside others: `claude_rules`.
    "thinking": Thinking(1_024),
}
_NO_TOOLS = "batch inference does not support tool calling"
_NEVER = {
    "system": "it is the prompt's own field `system`",
    "messages": "they are made from the prompt's template",
    "anthropic_version": "Quarry sets it",
    "model": "it is the manifest's model_id",
    "modelId": "it is the manifest's model_id",
    "stream": "batch inference does not stream",
    "tools": _NO_TOOLS,
    "tool_choice": _NO_TOOLS,
}


_THINKING = ("thinking", "redacted_thinking")
_NO_CALLS = ("text", *_THINKING)


class Block(msgspec.Struct, frozen=True, gc=False):
    """One block of content; what belongs to kinds other than text is not read here."""

    type: str = ""
    text: str | None = None


class Usage(msgspec.Struct, frozen=True, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None


class Message(Output, frozen=True, gc=False):
    """`modelOutput`, as far as it is read."""

    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: Usage | None = None

    def __post_init__(self) -> None:
        """Let `loosely` read what says nothing and is not empty either: its other blocks are the answer."""
        calls = False
        for block in self.content or ():
            if block.type == "text" and block.text and not block.text.isspace():
                return
            calls = calls or block.type not in _NO_CALLS
        if calls:
            raise UnreadableOutput("the blocks of the message hold no text")

    @property
    def others(self) -> str | None:
        """The blocks that are neither text nor thinking (calls of tools, and kinds still unknown), as JSON."""
        return None

    @classmethod
    def loosely(cls, found: object) -> Message:
        """As `Output.loosely`. Content may also be one text, or one block."""
        if not isinstance(found, dict):
            raise UnreadableOutput("modelOutput is not an object")
        content = found.get("content")
        if not isinstance(content, list | dict | str | None):
            raise UnreadableOutput("the content of the message is not a list of blocks")
        blocks, others = _sorted(content if isinstance(content, list) else [content])
        usage = loose.members(found.get("usage"))
        return _OddMessage(
            content=blocks,
            stop_reason=loose.text(found.get("stop_reason")),
            usage=Usage(loose.count(usage.get("input_tokens")), loose.count(usage.get("output_tokens"))),
            other_blocks=json.dumps(others, ensure_ascii=False, separators=(",", ":")) if others else None,
        )


class _OddMessage(Message, frozen=True, gc=False):
    """A message with blocks that `Block` does not hold. A type of its own, so that no output can claim the member."""

    other_blocks: str | None = None

    def __post_init__(self) -> None:
        """All is read."""

    @property
    def others(self) -> str | None:
        return self.other_blocks


def _sorted(content: list[Any]) -> tuple[list[Block], list[Any]]:
    """The texts, and all other blocks but thinking, each in their order; what is null is nothing."""
    blocks: list[Block] = []
    others: list[Any] = []
    for block in content:
        kind = loose.members(block).get("type")
        if isinstance(block, str):
            blocks.append(Block("text", block))
        elif kind == "text" and isinstance(block.get("text"), str | None):
            blocks.append(Block("text", block.get("text")))
        elif block is not None and kind not in _THINKING:
            others.append(block)
    return blocks, others


class Anthropic:
    """The adapter: one user message per record."""

    name: str = "anthropic"
    version: str = "2"
    kind: Kind = "text"
    answer_column: AnswerColumn = "response"
    output_type: type[Output] = Message

    def body(self, text: str, *, system: str | None, inference: Mapping[str, Any]) -> dict[str, Any]:
        """One record's `modelInput`. Both `anthropic_version` and `max_tokens` are required by the model."""
        body: dict[str, Any] = {
            "anthropic_version": ANTHROPIC_VERSION,
            "max_tokens": inference.get("max_tokens", MAX_TOKENS_DEFAULT),
        }
        # In one order, whatever order the manifest had: the same run must write the same bytes.
        body.update((key, inference[key]) for key in sorted(inference) if key != "max_tokens")
        if system is not None:
            body["system"] = system
        body["messages"] = [{"role": "user", "content": [{"type": "text", "text": text}]}]
        return body

    def check_inference(self, inference: Mapping[str, Any]) -> None:
        check_against(_RULES, _NEVER, inference, self.name)

    def answer(self, output: Any) -> Answer:
        """The text blocks, joined as they stand; a thinking block is not part of the answer.

        A message whose text is blank, and that calls tools or has blocks of kinds still unknown, is answered by those,
        as the JSON list that they stand in.
        """
        message: Message = output
        usage = message.usage or Usage()
        text = "".join(block.text for block in message.content or () if block.type == "text" and block.text)
        text = (not text.strip() and message.others) or text
        if not text:
            raise EmptyAnswer(
                f"the model gave no text (stop reason: {message.stop_reason or 'none'})",
                stop_reason=message.stop_reason,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
            )
        return Answer(
            text=text,
            stop_reason=message.stop_reason,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
        )
