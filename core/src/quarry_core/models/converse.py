"""Converse: the form in which Bedrock asks every chat model, and its answer (contract section 4.2).

A job of the invocation type Converse has it, whichever family its model is of. Here its answers are read; requests
of this form are made by `openai_chat`.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from quarry_core.models import loose
from quarry_core.models.family import Answer, AnswerColumn, EmptyAnswer, Kind, Output, UnreadableOutput

_CALL = "tool_use"


class Block(msgspec.Struct, frozen=True, gc=False):
    """One block of content; what belongs to kinds other than text is not read here."""

    text: str | None = None


class Message(msgspec.Struct, frozen=True, gc=False):
    content: list[Block] | None = None


class Said(msgspec.Struct, frozen=True, gc=False):
    message: Message | None = None


class Usage(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    input_tokens: int | None = None
    output_tokens: int | None = None


class Conversed(Output, frozen=True, gc=False, rename="camel"):
    """`modelOutput`, as far as it is read."""

    output: Said | None = None
    stop_reason: str | None = None
    usage: Usage | None = None

    def __post_init__(self) -> None:
        """Let `loosely` read what stopped to call tools, and what says nothing and is not empty either."""
        if self.stop_reason == _CALL:
            raise UnreadableOutput("the message calls tools")
        others = False
        for block in self.blocks:
            if block.text and not block.text.isspace():
                return
            others = others or block.text is None
        if others:
            raise UnreadableOutput("the blocks of the message hold no text")

    @property
    def blocks(self) -> list[Block]:
        """The blocks of the answer."""
        message = self.output.message if self.output is not None else None
        return (message.content if message is not None else None) or []

    @property
    def as_json(self) -> str | None:
        """The blocks as JSON, where text alone does not say what was answered."""
        return None

    @classmethod
    def loosely(cls, found: object) -> Conversed:
        """As `Output.loosely`. Content may also be one text, or one block."""
        if not isinstance(found, dict):
            raise UnreadableOutput("modelOutput is not an object")
        content = loose.members(loose.members(found.get("output")).get("message")).get("content")
        if not isinstance(content, list | dict | str | None):
            raise UnreadableOutput("the content of the message is not a list of blocks")
        said = [block for block in (content if isinstance(content, list) else [content]) if _says(block)]
        texts = [_text_of(block) for block in said]
        stop_reason = loose.text(found.get("stopReason"))
        shown = [block for block, text in zip(said, texts, strict=True) if text is None or text.strip()]
        others = None in texts and (stop_reason == _CALL or len(shown) == texts.count(None))
        usage = loose.members(found.get("usage"))
        return _OddConversed(
            output=Said(Message([Block(text) for text in texts])),
            stop_reason=stop_reason,
            usage=Usage(loose.count(usage.get("inputTokens")), loose.count(usage.get("outputTokens"))),
            blocks_json=json.dumps(shown, ensure_ascii=False, separators=(",", ":")) if others else None,
        )


class _OddConversed(Conversed, frozen=True, gc=False):
    """An answer with blocks that `Block` does not hold. A type of its own, so that no output can claim the member."""

    blocks_json: str | None = None

    def __post_init__(self) -> None:
        """All is read."""

    @property
    def as_json(self) -> str | None:
        return self.blocks_json


def _says(block: object) -> bool:
    """False for what is null, and for the model's thinking."""
    return block is not None and "reasoningContent" not in loose.members(block)


def _text_of(block: object) -> str | None:
    return block if isinstance(block, str) else loose.text(loose.members(block).get("text"))


class Converse:
    """The adapter."""

    name: str = "converse"
    version: str = "1"
    kind: Kind = "text"
    answer_column: AnswerColumn = "response"
    output_type: type[Output] = Conversed

    def answer(self, output: Any) -> Answer:
        """The text blocks, joined as they stand; reasoning is not part of the answer.

        A message that stopped to call tools is answered by its blocks, as the JSON list that they stand in: the
        text beside a call alone would not tell what was called. So is one without text, but with blocks of other kinds.
        """
        said: Conversed = output
        usage = said.usage or Usage()
        text = said.as_json or "".join(block.text for block in said.blocks if block.text)
        if not text:
            raise EmptyAnswer(
                f"the model gave no text (stop reason: {said.stop_reason or 'none'})",
                stop_reason=said.stop_reason,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
            )
        return Answer(
            text=text,
            stop_reason=said.stop_reason,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
        )
