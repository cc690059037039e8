"""Converse: the form in which Bedrock asks every chat model, and its answer (contract section 4.2).

A job of the invocation type Converse has it, whichever family its model is of. Here its answers are read; requests
of this form are made by `openai_chat`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from quarry_core.models import loose
from quarry_core.models.content import TOOL_CALL, Texts, output_members, read_blocks, text_answer
from quarry_core.models.family import Answer, AnswerColumn, Kind, Output, UnreadableOutput


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
        if self.stop_reason == TOOL_CALL:
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
        said = output_members(found)
        stop_reason = loose.text(said.get("stopReason"))
        content = content_of(said)
        blocks = read_blocks(content, thinks=_thinks, text_of=_text_of, calls=stop_reason == TOOL_CALL)
        usage = loose.members(said.get("usage"))
        return _OddConversed(
            output=Said(Message([Block(text) for text in blocks.texts])),
            stop_reason=stop_reason,
            usage=Usage(loose.count(usage.get("inputTokens")), loose.count(usage.get("outputTokens"))),
            blocks_json=blocks.as_json,
        )


class _OddConversed(Conversed, frozen=True, gc=False):
    """An answer with blocks that `Block` does not hold. A type of its own, so that no output can claim the member."""

    blocks_json: str | None = None

    def __post_init__(self) -> None:
        """All is read."""

    @property
    def as_json(self) -> str | None:
        return self.blocks_json


def content_of(said: loose.Members) -> object:
    """What stands where the blocks belong."""
    return loose.members(loose.members(said.get("output")).get("message")).get("content")


def _thinks(block: object) -> bool:
    return "reasoningContent" in loose.members(block)


def _text_of(block: object) -> str | None:
    return block if isinstance(block, str) else loose.text(loose.members(block).get("text"))


_NO_USAGE = Usage()


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
        usage = said.usage or _NO_USAGE
        text = said.as_json or _text_in(said.blocks)
        return text_answer(text, said.stop_reason, usage.input_tokens, usage.output_tokens)

    def texts(self, outputs: Sequence[Any]) -> Texts | None:
        """As `ReadsMany.texts`: what `answer` reads, of messages without blocks of other kinds."""
        if not all(type(each) is Conversed for each in outputs):
            return None
        messages: Sequence[Conversed] = outputs
        usages = [each.usage or _NO_USAGE for each in messages]
        return Texts(
            [_text_in(each.blocks) for each in messages],
            [each.stop_reason for each in messages],
            [usage.input_tokens for usage in usages],
            [usage.output_tokens for usage in usages],
        )


def _text_in(blocks: Sequence[Block]) -> str:
    return "".join(block.text for block in blocks if block.text)
