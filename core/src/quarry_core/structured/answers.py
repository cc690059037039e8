"""From what a model said to the columns of its row: found in the text, validated, converted. For the services.

A row's values travel between the two halves as JSON: `payload` makes it of an answer's text as the answer comes, in
whatever order, and `arrays` makes columns of it in row order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from quarry_core.structured.arrow import Columns
from quarry_core.structured.read import ANSWER_BYTES_MAX, NoObject, objects_in, whole_object
from quarry_core.structured.schema import OutputSchema
from quarry_core.structured.validate import compiled, pointer, reasons
from quarry_core.structured.values import Unfit

# Why an answer stopped that was cut off, in the words of the families.
CUT = ("max_tokens", "length", "MAX_TOKENS", "model_context_window_exceeded")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Any]).decode


class InvalidOutput(ValueError):
    """An answer that does not fit the schema; the text says where and why."""


class Answers:
    """The answers of one run.

    Args:
        schema: the user's.

    Raises:
        SchemaError: it cannot be compiled.
    """

    def __init__(self, schema: OutputSchema) -> None:
        self._validator = compiled(schema)
        self._columns = Columns(schema)

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        """One for each property."""
        return self._columns.fields

    def payload(self, text: str, stop_reason: str | None) -> bytes:
        """The values of a row.

        Args:
            text: what the model said, or the input of the tool that it called.
            stop_reason: why it stopped, for the message.

        Raises:
            InvalidOutput: there is no object in it, or none that is valid.
        """
        return _encode(self._values(text, stop_reason))

    def _values(self, text: str, stop_reason: str | None) -> list[Any]:
        # A text has at least as many bytes as characters.
        if len(text) > ANSWER_BYTES_MAX:
            raise InvalidOutput(f"the answer has {len(text)} characters; at most {ANSWER_BYTES_MAX} are read")
        found = whole_object(text)
        if found is None or not self._validator.is_valid(found):
            found = self._among(text, stop_reason)
        try:
            return self._columns.values(found)
        except Unfit as error:
            raise InvalidOutput(f"{pointer(error.path)}: {error}") from None

    def _among(self, text: str, stop_reason: str | None) -> dict[str, Any]:
        try:
            candidates = objects_in(text)
        except NoObject as error:
            if stop_reason in CUT:
                raise InvalidOutput(f"{error}; it was cut off ({stop_reason}): raise max_tokens") from None
            raise InvalidOutput(str(error)) from None
        for found in candidates:
            if self._validator.is_valid(found):
                return found
        raise InvalidOutput(reasons(self._validator, candidates[0]))

    def arrays(self, payloads: Iterable[bytes | None]) -> Sequence[pa.Array]:
        """The columns of rows; None is a row without an answer that fits."""
        return self._columns.arrays([None if payload is None else _decode(payload) for payload in payloads])
