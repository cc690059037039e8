"""What models that chat answer to InvokeModel, each in its own form, read by one reader (contract section 4.2).

Ready requests in Bedrock's form are asked so. The forms have no member in common that means two things, so the answer
is told by what is there: `choices` (OpenAI's form: gpt-oss, Qwen, DeepSeek, Kimi, Mistral's chat models, Jamba),
`generation` (Llama), `outputs` (Mistral's older models), `text` (Cohere Command), or Converse's own `output` (Nova).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from quarry_core.models import loose
from quarry_core.models.content import json_text, output_members, text_answer
from quarry_core.models.converse import Converse, Conversed
from quarry_core.models.family import Answer, AnswerColumn, Kind, Output, UnreadableOutput
from quarry_core.models.reasoning import without_reasoning


class _Message(msgspec.Struct, frozen=True, gc=False):
    content: str | None = None
    tool_calls: list[Any] | None = None


class _Choice(msgspec.Struct, frozen=True, gc=False):
    message: _Message | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct, frozen=True, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Invoked(Output, frozen=True, gc=False):
    """`modelOutput` of the two commonest forms, as far as it is read; `loosely` reads them all."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    generation: str | None = None
    stop_reason: str | None = None
    prompt_token_count: int | None = None
    generation_token_count: int | None = None

    def __post_init__(self) -> None:
        """Let `loosely` read what calls tools, and what has another form or no text."""
        message = self.choices[0].message if self.choices else None
        text = message.content if message is not None and not message.tool_calls else self.generation
        if not text:
            raise UnreadableOutput("there is no text in the answer's place")

    @property
    def said(self) -> _Said:
        """What was said, whichever form it has."""
        if self.choices:
            choice, usage = self.choices[0], self.usage or _Usage()
            text = choice.message.content if choice.message is not None else None
            return _Said(text or "", choice.finish_reason, usage.prompt_tokens, usage.completion_tokens)
        return _Said(self.generation or "", self.stop_reason, self.prompt_token_count, self.generation_token_count)

    @classmethod
    def loosely(cls, found: object) -> Invoked:
        """As `Output.loosely`."""
        output = output_members(found)
        for member, read in _FORMS.items():
            if member in output:
                return _Read(found=read(output))
        raise UnreadableOutput(f"modelOutput has none of {', '.join(_FORMS)}: it is of no form that is known")


class _Said(NamedTuple):
    text: str
    stop_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Read(Invoked, frozen=True, gc=False):
    """An answer that `loosely` read. A type of its own, so that no output can claim to be one."""

    found: _Said = _Said("")

    def __post_init__(self) -> None:
        """All is read."""

    @property
    def said(self) -> _Said:
        return self.found


def _conversed(found: loose.Members) -> _Said:
    said = Conversed.loosely(found)
    usage = said.usage
    text = said.as_json or "".join(block.text for block in said.blocks if block.text)
    return _Said(text, said.stop_reason, usage.input_tokens if usage else None, usage.output_tokens if usage else None)


def _chosen(found: loose.Members) -> _Said:
    choices = found["choices"]
    first = loose.members(choices[0]) if isinstance(choices, list) and choices else {}
    message = loose.members(first.get("message"))
    content, calls = message.get("content"), message.get("tool_calls")
    if isinstance(content, list):
        content = "".join(text for part in content if (text := loose.text(loose.members(part).get("text"))) is not None)
    if not isinstance(content, str | None):
        raise UnreadableOutput("the content of the message is no text")
    text = content or ""
    if calls:  # the text beside a call alone would not tell what was called
        text = json_text(calls)
    usage = loose.members(found.get("usage"))
    return _Said(
        text,
        loose.text(first.get("finish_reason")),
        loose.count(usage.get("prompt_tokens")),
        loose.count(usage.get("completion_tokens")),
    )


def _generated(found: loose.Members) -> _Said:
    return _Said(
        _text(found["generation"], "generation"),
        loose.text(found.get("stop_reason")),
        loose.count(found.get("prompt_token_count")),
        loose.count(found.get("generation_token_count")),
    )


def _put_out(found: loose.Members) -> _Said:
    outputs = found["outputs"]
    first = loose.members(outputs[0]) if isinstance(outputs, list) and outputs else {}
    return _Said(_text(first.get("text"), "outputs"), loose.text(first.get("stop_reason")))


def _told(found: loose.Members) -> _Said:
    return _Said(_text(found["text"], "text"), loose.text(found.get("finish_reason")))


def _text(found: object, member: str) -> str:
    if not isinstance(found, str | None):
        raise UnreadableOutput(f"{member} is no text")
    return found or ""


_FORMS = {"output": _conversed, "choices": _chosen, "generation": _generated, "outputs": _put_out, "text": _told}


class ReadInvoked:
    """The reader."""

    name: str = "invoke-model"
    version: str = "1"
    kind: Kind = Converse.kind
    answer_column: AnswerColumn = Converse.answer_column
    output_type: type[Output] = Invoked

    def answer(self, output: Any) -> Answer:
        """The text; calls of tools, where there are some, as the JSON list that they stand in."""
        invoked: Invoked = output
        said = invoked.said
        return text_answer(without_reasoning(said.text), said.stop_reason, said.input_tokens, said.output_tokens)


INVOKED = ReadInvoked()
