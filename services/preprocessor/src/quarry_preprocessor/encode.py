"""Rows to the lines that Bedrock reads: Arrow columns in, JSONL out.

Theory of operation. All lines of a run differ in the record id and in the values of the placeholders only. So the
body is built once, with a mark in each placeholder's place, encoded once and cut at the marks; what lies between are
constant bytes. Per value there is one JSON encoding, whose quotation marks are cut off, and per few dozen rows one
join. The bytes are those of encoding a whole object for each row. The text of a row is never searched for marks or
placeholders, so it cannot be mistaken for either.

A row without a value where the prompt needs one is not sent, nor is one that is too large: it keeps its place in the
shard and its record id, is told in `unsent`, and its neighbours are sent (promise S9). Never is "nan" or "None" put
into a prompt. An encoder holds no state between calls and may be shared by threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec
import pyarrow as pa

from quarry_core.models import Family
from quarry_core.names import ROW_MAX, SHARD_PATTERN
from quarry_core.prompts import EMBEDDING_COLUMN, Placeholder, Template, columns_of
from quarry_preprocessor.text import NotEncodable, as_text, check_encodable

__all__ = [
    "EMBEDDING_COLUMN",
    "RECORD_BYTES_MAX",
    "Encoded",
    "Encoder",
    "NotEncodable",
    "Unsent",
    "UnsentCode",
    "check_encodable",
    "estimate_record_bytes",
]

T = TypeVar("T")
# The largest body of one model call.
RECORD_BYTES_MAX = 25_000_000
# Rows are encoded and joined in blocks of about so many bytes, which stay in the processor's cache and are not given
# fresh pages each time: whole batches of 1,024 rows cost up to 60 % more, depending on the state of the heap.
BLOCK_BYTES = 128_000

UnsentCode = Literal["NULL_INPUT", "TOO_LARGE"]
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Unsent:
    """A row that is not sent. `row` counts in the shard, as record ids do."""

    row: int
    code: UnsentCode
    message: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """The lines of a batch: `records + len(unsent)` is the batch's number of rows."""

    data: bytes
    records: int
    unsent: tuple[Unsent, ...] = ()


class Encoder:
    """Encodes the rows of one run.

    Args:
        family: the model family's adapter.
        template: what a text family is asked; None for an embedding family, which reads the column `input_text`.
        system: the system prompt, for text families.
        inference: parameters that have passed `family.check_inference`.
        record_bytes_max: a longer line is not sent.

    Raises:
        ValueError: the template, or its absence, does not fit the family.
    """

    def __init__(
        self,
        family: Family,
        template: Template | None,
        system: str | None = None,
        inference: Mapping[str, Any] | None = None,
        record_bytes_max: int = RECORD_BYTES_MAX,
    ) -> None:
        if (family.kind == "text") != (template is not None):
            need = "needs a template" if family.kind == "text" else f"reads the column {EMBEDDING_COLUMN}: no template"
            raise ValueError(f"the family {family.name} {need}")
        shape = template or Template((Placeholder(EMBEDDING_COLUMN),))
        self.columns = columns_of(shape)
        self._placeholders = shape.placeholders
        self._record_bytes_max = record_bytes_max
        self._constants = _constants(family, shape, system, inference or {})

    @property
    def frame_bytes(self) -> int:
        """The length of a line whose placeholders are empty, newline included."""
        return len(_HEAD) + 11 + sum(map(len, self._constants))

    def encode(self, batch: pa.RecordBatch, shard: str, first_row: int) -> Encoded:
        """Encode a batch whose columns have passed `check_encodable`.

        Args:
            batch: rows of the dataset; other columns may be among them.
            shard: the shard's five digits.
            first_row: which row of the shard the batch's first row is.

        Raises:
            ValueError: the rows have no record ids: no shard's digits, or more rows than six digits count.
        """
        if SHARD_PATTERN.fullmatch(shard) is None or first_row < 0 or first_row + batch.num_rows > ROW_MAX + 1:
            raise ValueError(
                f"rows {first_row} to {first_row + batch.num_rows - 1} of shard {shard!r} have no record ids"
            )
        texts = {column: as_text(batch.column(column)) for column in self.columns}
        head = _HEAD + shard.encode()
        pieces: list[bytes] = []
        unsent: list[Unsent] = []
        records = 0
        for start, stop in _blocks(batch.num_rows, texts.values(), self.frame_bytes):
            rows: Sequence[int] = range(first_row + start, first_row + stop)
            values, whole = _values({column: text.slice(start, stop - start) for column, text in texts.items()})
            if not whole:
                rows, values = _without_gaps(rows, values, unsent)
            encoded = {column: [_encode(value)[1:-1] for value in values[column]] for column in self.columns}
            lines = self._lines(head, rows, encoded)
            if len(lines) > self._record_bytes_max:
                rows, encoded = self._without_giants(rows, encoded, unsent)
                lines = self._lines(head, rows, encoded)
            pieces.append(lines)
            records += len(rows)
        unsent.sort(key=lambda one: one.row)
        return Encoded(b"".join(pieces), records, tuple(unsent))

    def _lines(self, head: bytes, rows: Sequence[int], encoded: Mapping[str, list[bytes]]) -> bytes:
        """Interleave ids, constants and values: id c0 v0 c1 v1 … ck, for each row."""
        width = 2 * len(self._constants)
        line: list[bytes] = [b""] * width
        line[1::2] = self._constants
        parts = line * len(rows)
        parts[0::width] = [b"%b%06d" % (head, row) for row in rows]
        for place, column in enumerate(self._placeholders):
            parts[2 * place + 2 :: width] = encoded[column]
        return b"".join(parts)

    def _without_giants(
        self, rows: Sequence[int], encoded: Mapping[str, list[bytes]], unsent: list[Unsent]
    ) -> tuple[list[int], dict[str, list[bytes]]]:
        """Take out, and tell, rows whose line is over the limit."""
        kept = []
        for index, row in enumerate(rows):
            line_bytes = self.frame_bytes + sum(len(encoded[column][index]) for column in self._placeholders)
            if line_bytes <= self._record_bytes_max:
                kept.append(index)
            else:
                message = f"the record has {line_bytes} bytes, and Bedrock takes {self._record_bytes_max} at most"
                unsent.append(Unsent(row, "TOO_LARGE", message))
        return _picked(rows, encoded, kept)


def estimate_record_bytes(encoder: Encoder, batch: pa.RecordBatch) -> float:
    """The mean length of a line, newline included, over a sample of rows; an empty line's where none can be sent."""
    sample = encoder.encode(batch.slice(0, ROW_MAX + 1), "00000", 0)
    return len(sample.data) / sample.records if sample.records else float(encoder.frame_bytes)


# --------------------------------------------------------------------------- the constant bytes

_HEAD = b'{"recordId":"'


def _constants(
    family: Family, template: Template, system: str | None, inference: Mapping[str, Any]
) -> tuple[bytes, ...]:
    """What stands before, between and behind the values of a line, from the closing quotation mark of the id on."""

    def line_end(mark: str) -> bytes:
        text = mark.join(template.literals)
        return b'","modelInput":' + _encode(family.body(text, system=system, inference=inference)) + b"}\n"

    # The mark must not stand in the constants themselves. It cannot overlap with itself or with what surrounds it:
    # its first letter stands nowhere else in it.
    plain = line_end("")
    mark = next(mark for number in range(len(plain)) if (mark := f"<{number}>").encode() not in plain)
    constants = tuple(line_end(mark).split(mark.encode()))
    if len(constants) != len(template.literals):
        raise ValueError(f"the family {family.name} does not put the text into the body exactly once")
    return constants


# --------------------------------------------------------------------------- values


def _blocks(rows: int, texts: Iterable[pa.Array], frame_bytes: int) -> Iterator[tuple[int, int]]:
    row_bytes = frame_bytes + sum(text.nbytes for text in texts) / max(rows, 1)
    step = max(1, int(BLOCK_BYTES / row_bytes))
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


class _NotText:
    """Stands for a value whose bytes are not UTF-8."""


_NOT_TEXT = _NotText()


def _values(texts: Mapping[str, pa.Array]) -> tuple[dict[str, list[Any]], bool]:
    """The columns as Python strings, and whether every row has all of them."""
    try:
        values = {column: text.to_pylist() for column, text in texts.items()}
    except UnicodeDecodeError:
        # Parquet readers take the writer's word for UTF-8.
        return {
            column: [_decoded(one) for one in text.cast(pa.binary()).to_pylist()] for column, text in texts.items()
        }, False
    return values, not any(text.null_count for text in texts.values())


def _decoded(data: bytes | None) -> str | _NotText | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return _NOT_TEXT


def _without_gaps(
    rows: Sequence[int], values: Mapping[str, list[Any]], unsent: list[Unsent]
) -> tuple[list[int], dict[str, list[Any]]]:
    """Take out, and tell, rows that lack a value."""
    kept = []
    for index, row in enumerate(rows):
        for column, texts in values.items():
            if not isinstance(texts[index], str):
                why = "is null" if texts[index] is None else "is not UTF-8 text"
                unsent.append(Unsent(row, "NULL_INPUT", f"the column {column!r} {why} in this row"))
                break
        else:
            kept.append(index)
    return _picked(rows, values, kept)


def _picked(
    rows: Sequence[int], values: Mapping[str, list[T]], kept: Sequence[int]
) -> tuple[list[int], dict[str, list[T]]]:
    return [rows[index] for index in kept], {
        column: [column_values[index] for index in kept] for column, column_values in values.items()
    }
