"""Reading the answers of a structured run: the text, or the input of the tool that it asked for. Pure.

A model that was to call our tool answers in a block, and its text is beside the answer; one that was to write JSON
answers in its text. Both places are read whichever way was asked, for a model may take the other. Reasoning that a model
writes into its text is left in: what stands before the JSON counts for nothing. A form that is not known here is read
as ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from quarry_core.models import anthropic, converse, loose
from quarry_core.models.anthropic import Usage as MessageUsage
from quarry_core.models.content import blocks_of, output_members, text_answer
from quarry_core.models.converse import Usage as ConverseUsage
from quarry_core.models.family import Answer, AnswerColumn, AnswerReader, Kind, Output
from quarry_core.structured.ways import NAME

_EMPTY = msgspec.Raw(b"")


class Block(msgspec.Struct, frozen=True, gc=False):
    """A block of a Claude message."""

    type: str = ""
    text: str | None = None
    name: str | None = None
    input: msgspec.Raw = _EMPTY


class Message(Output, frozen=True, gc=False):
    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: MessageUsage | None = None

    @classmethod
    def loosely(cls, found: object) -> Message:
        output = output_members(found)
        blocks = [
            Block(
                loose.text(block.get("type")) or "",
                loose.text(block.get("text")),
                loose.text(block.get("name")),
                _raw(block.get("input")),
            )
            for block in _blocks(output.get("content"))
        ]
        usage = loose.members(output.get("usage"))
        counted = MessageUsage(loose.count(usage.get("input_tokens")), loose.count(usage.get("output_tokens")))
        return cls(blocks, loose.text(output.get("stop_reason")), counted)


class ToolUse(msgspec.Struct, frozen=True, gc=False):
    name: str | None = None
    input: msgspec.Raw = _EMPTY


class SaidBlock(msgspec.Struct, frozen=True, gc=False, rename={"tool_use": "toolUse"}):
    """A block of Converse."""

    text: str | None = None
    tool_use: ToolUse | None = None


class SaidMessage(msgspec.Struct, frozen=True, gc=False):
    content: list[SaidBlock] | None = None


class Said(msgspec.Struct, frozen=True, gc=False):
    message: SaidMessage | None = None


class Conversed(Output, frozen=True, gc=False, rename="camel"):
    output: Said | None = None
    stop_reason: str | None = None
    usage: ConverseUsage | None = None

    @classmethod
    def loosely(cls, found: object) -> Conversed:
        output = output_members(found)
        blocks = []
        for block in _blocks(converse.content_of(output)):
            called = loose.members(block.get("toolUse"))
            tool = ToolUse(loose.text(called.get("name")), _raw(called.get("input"))) if called else None
            blocks.append(SaidBlock(loose.text(block.get("text")), tool))
        usage = loose.members(output.get("usage"))
        counted = ConverseUsage(loose.count(usage.get("inputTokens")), loose.count(usage.get("outputTokens")))
        return cls(Said(SaidMessage(blocks)), loose.text(output.get("stopReason")), counted)


class StructuredReader:
    """Reads what `read` reads, and the input of our tool where it was called.

    Args:
        reader: the family's own.
        output_type: what is read of `modelOutput`.
        parts: texts, inputs of our tool, stop reason, and counts of tokens.
    """

    kind: Kind = "text"
    answer_column: AnswerColumn = "response"

    def __init__(self, reader: AnswerReader, output_type: type[Output], parts: Callable[[Any], _Parts]) -> None:
        self.name = reader.name
        self.version = reader.version
        self.output_type = output_type
        self._parts = parts

    def answer(self, output: Any) -> Answer:
        """The tool's input as JSON if the tool was called, else the text. Raises EmptyAnswer."""
        return text_answer(*self._parts(output))


_Parts = tuple[str, str | None, int | None, int | None]


def structured_reader(reader: AnswerReader) -> AnswerReader:
    """What reads the answers of a structured run of this family."""
    form = _FORMS.get(reader.output_type)
    return reader if form is None else StructuredReader(reader, *form)


def _of_message(message: Message) -> _Parts:
    usage = message.usage or MessageUsage()
    blocks = message.content or ()
    called = next((_text(block.input) for block in blocks if block.type == "tool_use" and block.name == NAME), "")
    text = called or "".join(block.text for block in blocks if block.type == "text" and block.text)
    return text, message.stop_reason, usage.input_tokens, usage.output_tokens


def _of_converse(said: Conversed) -> _Parts:
    usage = said.usage or ConverseUsage()
    message = said.output.message if said.output is not None else None
    blocks = (message.content if message is not None else None) or ()
    called = (_text(one.tool_use.input) for one in blocks if one.tool_use is not None and one.tool_use.name == NAME)
    text = next(called, "") or "".join(block.text for block in blocks if block.text)
    return text, said.stop_reason, usage.input_tokens, usage.output_tokens


_FORMS: Mapping[type[Output], tuple[type[Output], Callable[[Any], _Parts]]] = {
    anthropic.Message: (Message, _of_message),
    converse.Conversed: (Conversed, _of_converse),
}


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode("utf-8", "replace")


def _raw(value: object) -> msgspec.Raw:
    return _EMPTY if value is None else msgspec.Raw(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _blocks(content: object) -> list[dict[str, Any]]:
    """The blocks of a message; a bare text is one of text."""
    blocks = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks_of(content)]
    return [block for block in blocks if isinstance(block, dict)]
