"""What all families of embeddings have in common: one text in, one vector out, no prompt and no Converse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from quarry_core.models import loose
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
from quarry_core.models.inference import Rule, check_against, plainly

_NEVER = {
    "inputText": "it is the dataset's column input_text",
    "texts": "they are the dataset's column input_text",
    "model": "it is the manifest's model_id",
    "modelId": "it is the manifest's model_id",
    "max_tokens": "an embedding has no length but its dimensions",
}


def whole_vector(places: Iterable[object]) -> list[float] | None:
    """The first vector in one of its places, or None if all are empty.

    Raises:
        UnreadableOutput: there is something, and no list of finite numbers: one element that is no number would shift all
            the others.
    """
    found = list(places)
    vector = next(filter(None, map(loose.numbers, found)), None)
    if vector is None and any(found):
        raise UnreadableOutput("the embedding is not a list of finite numbers")
    return vector


class Embeddings:
    """An adapter without its record and its answer. Bedrock asks models of embeddings by InvokeModel only."""

    name: str
    version: str
    kind: Kind = "embedding"
    answer_column: AnswerColumn = "embedding"
    output_type: type[Output]
    invocation: Invocation = "InvokeModel"
    rules: Mapping[str, Rule]
    never: Mapping[str, str] = {}
    aliases: Mapping[str, str] = {}
    text_member: str = ""
    """Where a record's text stands, for those who write records themselves."""

    @property
    def invoked(self) -> AnswerReader:
        return self

    def record(self, text: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """One record's `modelInput`; the parameters are by the words of `rules`."""
        raise NotImplementedError

    def answer(self, output: Any) -> Answer:
        """As `AnswerReader.answer`."""
        raise NotImplementedError

    def body(
        self, text: str, *, system: str | None, inference: Mapping[str, Any], turns: Sequence[Turn] = ()
    ) -> dict[str, Any]:
        """One record's `modelInput`. Raises ValueError if there is a `system`, or turns: an embedding has none."""
        if system is not None or turns:
            raise ValueError("system: an embedding model takes only a text, without a prompt")
        return self.record(text, plainly(inference, self.aliases))

    def check_inference(self, inference: Mapping[str, Any], model: str = "", *, whole: bool = True) -> None:
        del whole
        check_against(self.rules, {**_NEVER, **self.never}, inference, self.name, self.aliases)
        if model:
            self.check_model(plainly(inference, self.aliases), model)

    def check_model(self, given: Mapping[str, Any], model: str) -> None:
        """Refuse parameters that one model of the family does not take; by the words of `rules`. Raises ValueError."""

    def carriers(self, model: str) -> Mapping[OutputMode, Carrier]:
        """None: a vector is no JSON."""
        del model
        return {}

    def images(self, model: str) -> ImageContent | None:
        """None: what is embedded here is text."""
        del model
        return None

    def own_form(self, body: dict[str, Any]) -> dict[str, Any]:
        return body

    def check_body(self, body: Mapping[str, Any], model: str = "") -> None:
        """The one member that each record needs."""
        del model
        if not isinstance(body.get(self.text_member), str):
            raise ValueError(  # noqa: TRY004 - one class for all refusals
                f'{self.text_member} is not a text: give each record its text, as "{self.text_member}": "…"'
            )
