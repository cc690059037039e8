"""What the answers of several families have in common: content in blocks, and a text with its counts. Pure.

Claude's own form and Converse both answer in a list of blocks, which differ in how a block says what it is. A message that
calls tools is answered by its blocks: the text beside a call alone would not tell what was called. So is one without text,
but with blocks of other kinds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from quarry_core.models import loose
from quarry_core.models.family import Answer, EmptyAnswer, UnreadableOutput

TOOL_CALL = "tool_use"  # the stop reason of a message that calls tools


class Blocks(NamedTuple):
    """Content as it was read.

    Attributes:
        texts: a block's text, which may be empty; None for a block of another kind.
        as_json: the blocks as JSON, where text alone does not say what was answered.
    """

    texts: list[str | None]
    as_json: str | None


class Texts(NamedTuple):
    """What many outputs say, by columns: each has as many elements as there are outputs. A text may be empty or None."""

    texts: list[str | None]
    stop_reasons: list[str | None]
    input_tokens: list[int | None]
    output_tokens: list[int | None]

    def of(self, places: Sequence[int]) -> Texts:
        """The same of some of the outputs."""
        return Texts(
            [self.texts[place] for place in places],
            [self.stop_reasons[place] for place in places],
            [self.input_tokens[place] for place in places],
            [self.output_tokens[place] for place in places],
        )


@runtime_checkable
class ReadsMany(Protocol):
    """A reader of answers (`family.AnswerReader`) that also reads many at once, without an object for each."""

    def texts(self, outputs: Sequence[Any]) -> Texts | None:
        """What `answer` reads of each, or None where they have to be read one by one.

        Where a text is empty or None, `answer` raises EmptyAnswer.
        """
        ...


def output_members(found: object) -> loose.Members:
    """The members of a `modelOutput`. Raises UnreadableOutput."""
    if not isinstance(found, dict):
        raise UnreadableOutput("modelOutput is not an object")
    return found


def blocks_of(content: object) -> list[object]:
    """The blocks of a message but for nulls; content may also be one text, or one block. Raises UnreadableOutput."""
    if not isinstance(content, list | dict | str | None):
        raise UnreadableOutput("the content of the message is not a list of blocks")
    return [block for block in (content if isinstance(content, list) else [content]) if block is not None]


def read_blocks(
    content: object, *, thinks: Callable[[object], bool], text_of: Callable[[object], str | None], calls: bool
) -> Blocks:
    """Read a message's content, whatever it is.

    Args:
        thinks: whether a block is the model's thinking, which is no part of the answer.
        text_of: a block's text, which may be empty; None for a block of another kind.
        calls: whether the message stopped to call tools.

    Raises:
        UnreadableOutput: it is no content.
    """
    said = [block for block in blocks_of(content) if not thinks(block)]
    texts = [text_of(block) for block in said]
    shown = [block for block, text in zip(said, texts, strict=True) if text is None or text.strip()]
    others = None in texts and (calls or len(shown) == texts.count(None))
    return Blocks(texts, json_text(shown) if others else None)


def json_text(found: object) -> str:
    """The JSON of what is shown as an answer: calls of tools, and blocks without text."""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def text_answer(
    text: str,
    stop_reason: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    *,
    place: str = "",
) -> Answer:
    """An answer of text.

    Args:
        place: where there is no text, if it is empty, with a space before it.

    Raises:
        EmptyAnswer: there is none.
    """
    if not text:
        raise EmptyAnswer(
            f"the model gave no text{place} (stop reason: {stop_reason or 'none'})",
            stop_reason=stop_reason,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
        )
    return Answer(text=text, stop_reason=stop_reason, input_tokens=input_tokens, output_tokens=output_tokens)
