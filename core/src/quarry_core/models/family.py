"""What a model family is to Quarry: a body for each text on the way in, an answer from each output on the way out.

What the model said is the answer; all else in an output is beside it, and never costs it: see `Output.loosely`.

An adapter holds no state, reads nothing and may be called from any thread. To add a family: write its adapter beside
`anthropic.py`, name it in `registry.py`, and give `tests/unit/core/test_models.py` one real output to read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import msgspec

from quarry_core.images.header import ImageFormat
from quarry_core.images.limits import ImageLimits
from quarry_core.models.inference import Rule

Role = Literal["user", "assistant"]
Invocation = Literal["InvokeModel", "Converse"]
Kind = Literal["text", "embedding"]
AnswerColumn = Literal["response", "embedding"]
# How a model is asked for JSON: by a schema that Bedrock enforces, by a tool that it must call, or in words.
OutputMode = Literal["native", "tool", "instruction"]
# In which member of the body: `output_config.format` (Claude), `response_format` (OpenAI's form), Converse's
# `outputConfig.textFormat`; Claude's `tools`, Converse's `toolConfig`, the functions of OpenAI's form; the end of the
# prompt. What stands in them: `structured.ways`.
Carrier = Literal["output_config", "response_format", "text_format", "tools", "tool_config", "functions", "prompt"]

# What a batch refuses in Converse and takes in the model's own form (contract section 4.1): such a record goes by InvokeModel.
BY_INVOKE_MODEL: frozenset[Carrier] = frozenset({"tool_config"})


@dataclass(frozen=True, slots=True)
class Turn:
    """A message that stands before the one that is to be answered: an example of question or answer."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class ImageContent:
    """How a model is shown images.

    Attributes:
        limits: what it takes.
        block: of the content of a message, from an image's format and its base64.
    """

    limits: ImageLimits
    block: Callable[[ImageFormat, str], dict[str, Any]]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a model said to one record: a text or an embedding, and what Bedrock counted, where it counted."""

    text: str | None = None
    embedding: list[float] | None = None
    stop_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class UnreadableOutput(ValueError):
    """There is something in the answer's place, and it is no answer of this family."""


class Output(msgspec.Struct, frozen=True, gc=False):
    """What an adapter reads of `modelOutput`.

    The members that are declared say what a good output looks like, and msgspec decodes those in one pass. An output
    that does not look so is read again by `loosely`.
    """

    @classmethod
    def loosely(cls, found: object) -> Self:
        """The same from any JSON: the answer as it stands, and whatever is odd beside it as unknown.

        Args:
            found: `modelOutput` as the standard library's `json` gives it; NaN, infinities and numbers beyond measure
                are None.

        Raises:
            UnreadableOutput: the answer itself cannot be read, and why.
        """
        raise NotImplementedError


class EmptyAnswer(ValueError):
    """The model answered with nothing in it. It was paid for all the same, so the counts are kept."""

    def __init__(
        self,
        message: str,
        *,
        stop_reason: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> None:
        super().__init__(message)
        self.stop_reason = stop_reason
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens


class AnswerReader(Protocol):
    """How a form of answers is read.

    Attributes:
        name: its word in pins, metrics and messages.
        version: the adapter's version, pinned into a run; raised when what it writes, or what `answer` reads, changes.
        kind: whether records are prompts or texts to embed.
        answer_column: the column that the answers make in the result.
        output_type: what is read of `modelOutput`; what is not declared there is skipped.
    """

    name: str
    version: str
    kind: Kind
    answer_column: AnswerColumn
    output_type: type[Output]

    def answer(self, output: Any) -> Answer:
        """Read one `output_type`.

        Raises:
            EmptyAnswer: there is nothing in it.
        """
        ...


class Family(AnswerReader, Protocol):
    """One model family's adapter: it also writes what the models are asked.

    Attributes:
        invocation: as what Bedrock reads the bodies.
        rules: what each parameter of `inference` may be.
        aliases: other words for parameters of `inference`, and the words that `body` and the checks go by.
        invoked: what reads the answers to InvokeModel where `body` is for Converse; the adapter itself where it is not.
    """

    invocation: Invocation
    rules: Mapping[str, Rule]
    aliases: Mapping[str, str]

    @property
    def invoked(self) -> AnswerReader: ...

    def body(
        self, text: str, *, system: str | None, inference: Mapping[str, Any], turns: Sequence[Turn] = ()
    ) -> dict[str, Any]:
        """The `modelInput` of one record (contract section 4.2), in which all texts stand in the order of a conversation.

        Args:
            text: what is asked, or embedded.
            system: the system prompt.
            inference: has passed `check_inference`.
            turns: what was said before: user and assistant in turn, the user first.

        Raises:
            ValueError: `system` or `turns` are given to a family that knows none.
        """
        ...

    def check_inference(self, inference: Mapping[str, Any], model: str = "", *, whole: bool = True) -> None:
        """Refuse what the family does not take, or not for this model.

        Args:
            inference: parameters; of the manifest alone, or joined with the prompt's.
            model: as `canonical_model` names it, or the base of a custom model; empty: any of the family.
            whole: nothing else will be joined to them, so what is not there has its default.

        Raises:
            ValueError: names the key, and the nearest known one or the range.
        """
        ...

    def carriers(self, model: str) -> Mapping[OutputMode, Carrier]:
        """How a model can be asked for JSON in a batch, the usual way first; nothing for one that gives no text.

        Args:
            model: as `canonical_model` names it, or the base of a custom model.
        """
        ...

    def images(self, model: str) -> ImageContent | None:
        """How a model is shown images; None: it is known to take none, or gives no text.

        The blocks stand in the content of the last message, before its text.

        Args:
            model: as `canonical_model` names it, or the base of a custom model.
        """
        ...

    def own_form(self, body: dict[str, Any]) -> dict[str, Any]:
        """What `body` has written, as InvokeModel takes it: for a carrier of `BY_INVOKE_MODEL`."""
        ...

    def check_body(self, body: Mapping[str, Any], model: str = "") -> None:
        """Refuse a `modelInput` for InvokeModel that somebody else wrote, if the model does; a few cheap looks.

        Raises:
            ValueError: names the field and the remedy.
        """
        ...
