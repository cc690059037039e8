"""What is kept of a line of the output: its bytes in the spool, and what Bedrock counted. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np

from quarry_collector.columns import Numbers
from quarry_collector.decode import Corrupt, Line, RecordError
from quarry_collector.settle import ErrorCode
from quarry_collector.shorten import STAND_IN
from quarry_core.models import Answer, EmptyAnswer
from quarry_core.models.content import ReadsMany
from quarry_core.service.failures import exhausted
from quarry_core.structured.answers import Answers, InvalidOutput

ERROR_MESSAGE_CHARS_MAX = 2_048
TOKENS_MAX = 1_000_000_000  # of one record; what claims more is not believed
_NO_OUTPUT = Answer()
_TAKEN = [STAND_IN]


class Reader(Protocol):
    """What is needed of a model family: see `quarry_core.models.Family`."""

    def answer(self, output: Any) -> Answer: ...


class Kept(msgspec.Struct, frozen=True, gc=False):
    """One record's outcome. `code`: of an error; None for an answer. `paid`: what was counted, for an answer or an empty one."""

    payload: bytes
    code: ErrorCode | None = None
    paid: Answer | None = None


Placed = tuple[Line[Any] | Corrupt, bytes | None]  # a line, and the vector that was taken out of it


class Good(NamedTuple):
    """Good answers by columns, each with as many elements; and the lines that are no good answers, or may not be."""

    ids: list[str]
    payloads: list[bytes]
    stop_reasons: list[str | None]
    input_tokens: list[int | None]
    output_tokens: list[int | None]
    others: list[Placed]


class Payloads:
    """From lines to what is kept of them.

    Args:
        family: reads the answers.
        answer_column: `response` or `embedding`.
        answers: what makes columns of the answers, in a run with an output schema.
        own_codes: codes of errors that Quarry itself wrote into the output: they are the rows' own.
    """

    def __init__(
        self, family: Reader, answer_column: str, answers: Answers | None, own_codes: frozenset[str] = frozenset()
    ) -> None:
        self.answer = family.answer
        plain = answers is None and answer_column == "response"
        self._many = family if plain and isinstance(family, ReadsMany) else None
        self._answers = answers
        self._own_codes = own_codes
        self.of = self._structured if answers is not None else _text if answer_column == "response" else _vector

    def good(self, lines: Sequence[Line[Any] | Corrupt], vectors: Sequence[bytes | None] | None) -> Good:
        """The good answers among these lines; one that `keep` would find no answer in is not among them."""
        if self._many is not None:
            found = self._texts(lines, self._many)
            if found is not None:
                return found
        good = Good([], [], [], [], [], [])
        answer, payload_of = self.answer, self.of
        for line, vector in zip(lines, vectors or [None] * len(lines), strict=True):
            if isinstance(line, Corrupt) or line.model_output is None:
                good.others.append((line, vector))
                continue
            try:
                read = answer(line.model_output)
                payload = payload_of(read, vector)
            except Exception:  # it is read once more, by who knows what becomes of it
                good.others.append((line, vector))
                continue
            good.ids.append(line.record_id)
            good.payloads.append(payload)
            good.stop_reasons.append(read.stop_reason)
            good.input_tokens.append(read.input_tokens)
            good.output_tokens.append(read.output_tokens)
        return good

    @staticmethod
    def _texts(lines: Sequence[Line[Any] | Corrupt], family: ReadsMany) -> Good | None:
        """As `good`, of texts, without an object for each."""
        answered = [line for line in lines if isinstance(line, Line) and line.model_output is not None]
        try:
            said = family.texts([line.model_output for line in answered])
        except Exception:  # as above
            return None
        if said is None:
            return None
        others: list[Placed] = []
        if len(answered) < len(lines) or not all(said.texts):
            kept = [place for place, text in enumerate(said.texts) if text]
            good = {id(answered[place]) for place in kept}
            others = [(line, None) for line in lines if id(line) not in good]
            answered = [answered[place] for place in kept]
            said = said.of(kept)
        texts = [text.encode("utf-8", "replace") for text in said.texts if text]
        ids = [line.record_id for line in answered]
        return Good(ids, texts, said.stop_reasons, said.input_tokens, said.output_tokens, others)

    def keep(self, line: Line[Any] | Corrupt, vector: bytes | None) -> Kept:
        """Whatever the line is; only what the process itself has run out of is raised."""
        if isinstance(line, Corrupt):
            return Kept(message(line.reason), ErrorCode.CORRUPT_ANSWER)
        answer = _NO_OUTPUT
        paid: Answer | None = None
        try:
            if line.model_output is not None:
                answer = self.answer(line.model_output)
            paid = answer
            return Kept(self.of(answer, vector), None, answer)
        except EmptyAnswer as error:
            code, text = ErrorCode.EMPTY_ANSWER, str(error)
            # Not the error itself: its traceback leads back to here, and of such a circle a `Kept` would be never freed.
            paid = paid or _counts(error)
        except InvalidOutput as error:
            return Kept(_message_and_text(str(error), answer), ErrorCode.INVALID_OUTPUT, answer)
        except Exception as error:  # whatever an adapter stumbles over is this record's, never its neighbours'
            if exhausted(error):
                raise  # a full disk says nothing of the answer
            code, text = ErrorCode.CORRUPT_ANSWER, f"{type(error).__name__}: {error}"
        if line.error is not None:
            # An answer beside it would have been taken: it was paid for.
            code, text = ErrorCode.MODEL_ERROR, _bedrocks(line.error)
            if line.error.error_code in self._own_codes:
                code, text = ErrorCode(str(line.error.error_code)), line.error.error_message
        return Kept(message(text), code, paid)

    def _structured(self, answer: Answer, vector: bytes | None) -> bytes:
        """What is kept of an answer, as of `of`. Raises EmptyAnswer, InvalidOutput."""
        del vector
        assert self._answers is not None
        if not answer.text:
            raise EmptyAnswer("the model gave no text")
        return self._answers.payload(answer.text, answer.stop_reason)


def _counts(empty: EmptyAnswer) -> Answer:
    return Answer(stop_reason=empty.stop_reason, input_tokens=empty.input_tokens, output_tokens=empty.output_tokens)


def _text(answer: Answer, vector: bytes | None) -> bytes:
    del vector
    if not answer.text:
        raise EmptyAnswer("the model gave no text")
    return answer.text.encode("utf-8", "replace")


def _vector(answer: Answer, vector: bytes | None) -> bytes:
    if vector is not None and answer.embedding == _TAKEN:
        return vector
    if not answer.embedding:
        raise EmptyAnswer("the model gave no embedding")
    # In this form a value beyond float32 is an error; it would become infinite, and spoil every distance.
    return struct.pack(f"<{len(answer.embedding)}f", *answer.embedding)


def message(text: str) -> bytes:
    return text[:ERROR_MESSAGE_CHARS_MAX].encode("utf-8", "replace")


def _message_and_text(reason: str, answer: Answer) -> bytes:
    kept = message(reason)
    return struct.pack("<I", len(kept)) + kept + (answer.text or "").encode("utf-8", "replace")


def split(payload: bytes) -> tuple[bytes, bytes]:
    """The message and the text of an answer that does not fit."""
    end = 4 + int.from_bytes(payload[:4], "little")
    return payload[4:end], payload[end:]


def tokens(count: int | None, unknown: int) -> int:
    """What was counted, where it can be believed."""
    return count if count is not None and 0 <= count <= TOKENS_MAX else unknown


def all_tokens(counts: list[int | None], unknown: int) -> Numbers:
    """As `tokens`, of many."""
    try:
        numbers = np.array([unknown if count is None else count for count in counts], np.int64)
    except (OverflowError, TypeError):
        numbers = np.array([tokens(count, unknown) for count in counts], np.int64)
    numbers[(numbers < 0) | (numbers > TOKENS_MAX)] = unknown
    return numbers


def _bedrocks(error: RecordError) -> str:
    return f"{'no code' if error.error_code is None else error.error_code}: {error.error_message}"
