"""What a model family is to Quarry: a body for each text on the way in, an answer from each output on the way out.

An adapter holds no state, reads nothing and may be called from any thread. To add a family: write its adapter beside
`anthropic.py`, name it in `registry.py`, and give `tests/unit/core/test_models.py` one real output to read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

Kind = Literal["text", "embedding"]
AnswerColumn = Literal["response", "embedding"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one record: a text or an embedding, and what Bedrock counted, where it counted."""

    text: str | None = None
    embedding: list[float] | None = None
    stop_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


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


class Family(Protocol):
    """One model family's adapter.

    Attributes:
        name: the family's word in pins, metrics and messages.
        version: the adapter's version, pinned into a run; raised when `body` writes, or `answer` reads, otherwise.
        kind: whether records are prompts or texts to embed.
        answer_column: the column that the answers make in the result.
        output_type: `modelOutput` as msgspec is to decode it; what is not declared there is skipped.
    """

    name: str
    version: str
    kind: Kind
    answer_column: AnswerColumn
    output_type: type[msgspec.Struct]

    def body(self, text: str, *, system: str | None, inference: Mapping[str, Any]) -> dict[str, Any]:
        """The `modelInput` of one record (contract section 4.2). `inference` has passed `check_inference`.

        Raises:
            ValueError: `system` is given to a family that knows none.
        """
        ...

    def check_inference(self, inference: Mapping[str, Any]) -> None:
        """Refuse what the family does not take.

        Raises:
            ValueError: names the key, and the nearest known one or the range.
        """
        ...

    def answer(self, output: Any) -> Answer:
        """Read one `output_type`.

        Raises:
            EmptyAnswer: there is nothing in it.
        """
        ...
