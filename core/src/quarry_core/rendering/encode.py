"""Rows to the lines that Bedrock reads: Arrow columns in, JSONL out.

Theory of operation. All lines of a run differ in the record id and in the values of the placeholders only. So the
body is built once, with a mark in each placeholder's place, encoded once and cut at the marks; what lies between are
constant bytes. The values of a block of rows are made lines together (`blocks`), or, where a row is very long, each by
itself. The bytes are those of encoding a whole object for each row. The text of a row is never searched for marks or
placeholders, so it cannot be mistaken for either.

A row without a value where the prompt needs one is not sent, nor is one that is too large: it keeps its place in the
shard and its record id, is told in `unsent`, and its neighbours are sent (promise S9). Never is "nan" or "None" put
into a prompt. An encoder holds no state between calls and may be shared by threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quarry_core.contract.prompts import EMBEDDING_COLUMN, NullPolicy, Placeholder, Template
from quarry_core.models import Family, Turn
from quarry_core.models.family import Role
from quarry_core.rendering.blocks import SLOTS_MAX, Blocks
from quarry_core.rendering.row_encoder import (
    HEAD_BYTES,
    LINES_BYTES_MAX,
    RECORD_BYTES_MAX,
    ROW_DIGITS,
    Encoded,
    Unsent,
    UnsentCode,
    line_head,
)
from quarry_core.rendering.text import (
    Fault,
    Rendered,
    field_as_json,
    field_as_text,
    is_text,
)
from quarry_core.tabular.row_bytes import pieces

# Rows are made lines in blocks of at most so many bytes, of one batch all alike: smaller ones stay in the processor's cache,
# larger ones need fewer calls (measured from 64 KB to 2 MB).
BLOCK_BYTES = 500_000
# A longer value is made JSON in slices: as a Python string it takes up to four times its bytes.
SLICE_BYTES = 1 << 20
# So much of a batch, decoded, is turned into text at once; JSON of numbers is up to five times as long.
PIECE_BYTES_MAX = 4 << 20
VALUE_BYTES_MIN = 8
# The texts of a block whose lines are made together: twice a block's, for one row may be longer than what is left.
TOGETHER_BYTES_MAX = 2 * BLOCK_BYTES
# A control character becomes six bytes in JSON.
ESCAPED_BYTES_MAX = 6

_CODES: dict[Fault, UnsentCode] = {
    Fault.NULL: "NULL_INPUT",
    Fault.NAN: "NULL_INPUT",
    Fault.INFINITE: "NULL_INPUT",
    Fault.NOT_UTF8: "BAD_VALUE",
    Fault.OUT_OF_RANGE: "BAD_VALUE",
    Fault.SAME_KEYS: "BAD_VALUE",
    Fault.TOO_LONG: "TOO_LARGE",
}
# For want of a value: a default may stand in its place.
_NO_VALUE = (Fault.NULL, Fault.NAN, Fault.INFINITE)
_NO_POLICIES: Mapping[str, NullPolicy] = {}
_encode = msgspec.json.Encoder().encode
Attach = Callable[[dict[str, Any]], dict[str, Any]]


def as_it_is(body: dict[str, Any]) -> dict[str, Any]:
    """Puts nothing to a body."""
    return body


# What stands in each placeholder, for a piece of a batch.
Values = Mapping[Placeholder, Rendered]


class Encoder:
    """Encodes the rows of one run.

    Args:
        family: the model family's adapter.
        template: what a text family is asked; None for an embedding family, which reads the column `input_text`.
        system: the system prompt, for text families.
        inference: parameters that have passed `family.check_inference`.
        record_bytes_max: a longer line is not sent.
        turns: messages before the template's, by who says them.
        nulls: what becomes of rows without a value, by column; they are errors otherwise.
        attach: what is put to the body of each record besides: what asks for JSON.
        sound: whether all texts of the rows are known to be UTF-8 (`DatasetCount.sound`), so that none is looked at again.

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
        *,
        turns: Sequence[tuple[Role, Template]] = (),
        nulls: Mapping[str, NullPolicy] = _NO_POLICIES,
        attach: Attach = as_it_is,
        sound: bool = False,
    ) -> None:
        if (family.kind == "text") != (template is not None):
            need = "needs a template" if family.kind == "text" else f"reads the column {EMBEDDING_COLUMN}: no template"
            raise ValueError(f"the family {family.name} {need}")
        shape = template or Template((Placeholder(EMBEDDING_COLUMN),))
        whole = [*(each for _, each in turns), shape]
        self._placeholders = tuple(slot for each in whole for slot in each.slots)
        self.columns = tuple(dict.fromkeys(slot.column for slot in self._placeholders))
        self._times = Counter(self._placeholders)
        self._nulls = nulls
        self._record_bytes_max = record_bytes_max
        self._sound = sound
        self._spoken = _spoken(whole)
        self._constants = _constants(family, turns, shape, system, inference or {}, attach)
        self._blocks_maker = Blocks(self._constants) if 1 < len(self._constants) <= SLOTS_MAX + 1 else None

    def constant_count(self, part: bytes) -> int:
        """How often something stands in what all lines have in common."""
        return sum(each.count(part) for each in self._constants)

    @property
    def frame_bytes(self) -> int:
        """The length of a line whose placeholders are empty, newline included."""
        return HEAD_BYTES + ROW_DIGITS + sum(map(len, self._constants))

    def encode(self, batch: pa.RecordBatch, shard: str, first_row: int) -> Encoded:
        """Encode a batch whose columns have passed `check_encodable`.

        Args:
            batch: rows of the dataset; other columns may be among them.
            shard: the shard's five digits.
            first_row: which row of the shard the batch's first row is.

        Raises:
            ValueError: the rows have no record ids: no shard's digits, or more rows than six digits count.
        """
        parts = list(self.encode_bounded(batch, shard, first_row))
        return Encoded(
            b"".join(part.data for part in parts),
            sum(part.records for part in parts),
            tuple(one for part in parts for one in part.unsent),
        )

    def encode_bounded(self, batch: pa.RecordBatch, shard: str, first_row: int) -> Iterator[Encoded]:
        """As `encode`, in stretches of about `LINES_BYTES_MAX` bytes, or of one record that is longer."""
        head = line_head(shard, first_row, batch.num_rows)
        lines: list[bytes | bytearray] = []
        unsent: list[Unsent] = []
        records = size_bytes = 0
        for block_records, block in self._blocks(batch, head, first_row, unsent):
            if size_bytes and size_bytes + len(block) > LINES_BYTES_MAX:
                yield Encoded(lines[0] if len(lines) == 1 else b"".join(lines), records, ())
                lines, records, size_bytes = [], 0, 0
            lines.append(block)
            records, size_bytes = records + block_records, size_bytes + len(block)
        unsent.sort(key=lambda one: one.row)
        yield Encoded(lines[0] if len(lines) == 1 else b"".join(lines), records, tuple(unsent))

    def texts(self, batch: pa.RecordBatch) -> Iterator[str]:
        """What each record says to the model: the prompt with its values, and no JSON. Rows that are not sent have none."""
        for start, stop, rendered in self._rendered(batch):
            sent = np.ones(stop - start, np.bool_)
            size_bytes = np.zeros(stop - start, np.int64)
            for slot, times in self._times.items():
                texts = rendered[slot].texts
                sent &= texts.is_valid().to_numpy(zero_copy_only=False)
                size_bytes += _lengths(texts) * times
            rows = pa.array(np.flatnonzero(sent & (size_bytes <= self._record_bytes_max)))
            found = {slot: one.texts.take(rows).to_pylist() for slot, one in rendered.items()}
            parts = (repeat(part, len(rows)) if isinstance(part, str) else found[part] for part in self._spoken)
            yield from map("".join, zip(*parts, strict=True))

    def could_be_too_large(self, text_bytes: int) -> bool:
        """Whether a row of so many bytes of text, in all columns, may make a line over the limit."""
        times = max(self._times.values(), default=0)
        return self.frame_bytes + text_bytes * times * ESCAPED_BYTES_MAX > self._record_bytes_max

    def count_unsent(self, batch: pa.RecordBatch) -> int:
        """How many rows of a batch `encode` would leave out, without encoding it where no row can be too large."""
        unsent = 0
        for start, stop, rendered in self._rendered(batch):
            longest = {slot: pc.max(pc.binary_length(one.texts)).as_py() or 0 for slot, one in rendered.items()}
            line_bytes = sum(longest[slot] * times for slot, times in self._times.items())
            if line_bytes * ESCAPED_BYTES_MAX + self.frame_bytes > self._record_bytes_max:
                sent = self._piece(line_head("00000", 0, 0), range(start, stop), rendered, [])
                unsent += stop - start - sum(records for records, _ in sent)
            elif any(one.texts.null_count for one in rendered.values()):
                valid = [one.texts.is_valid().to_numpy(zero_copy_only=False) for one in rendered.values()]
                unsent += stop - start - int(np.logical_and.reduce(valid).sum())
        return unsent

    def _blocks(
        self, batch: pa.RecordBatch, head: bytes, first_row: int, unsent: list[Unsent]
    ) -> Iterator[tuple[int, bytes | bytearray]]:
        for start, stop, rendered in self._rendered(batch):
            yield from self._piece(head, range(first_row + start, first_row + stop), rendered, unsent)

    def _rendered(self, batch: pa.RecordBatch) -> Iterator[tuple[int, int, Values]]:
        """What stands in each placeholder, piece by piece: the rows [start, stop) of each."""
        if not self.columns:
            yield 0, batch.num_rows, {}
            return
        columns = {column: batch.column(column) for column in self.columns}
        for start, stop in pieces(list(columns.values()), PIECE_BYTES_MAX, VALUE_BYTES_MIN):
            yield (
                start,
                stop,
                {
                    slot: self._text(slot, batch.schema.field(slot.column), columns[slot.column][start:stop])
                    for slot in self._times
                },
            )

    def _text(self, slot: Placeholder, field: pa.Field, values: pa.Array) -> Rendered:
        """What stands in a placeholder; null where the row is not sent."""
        if self._sound and not slot.as_json and is_text(field):
            rendered = Rendered(values)
        else:
            rendered = field_as_json(field, values) if slot.as_json else field_as_text(field, values)
        default = "" if self._nulls.get(slot.column) == "empty" else slot.default
        if default is None or not rendered.texts.null_count:
            return rendered
        kept = {row: fault for row, fault in rendered.faults.items() if fault not in _NO_VALUE}
        filled = rendered.texts.fill_null(default)
        if kept:
            bad = np.zeros(len(filled), bool)
            bad[list(kept)] = True
            filled = pc.if_else(pa.array(bad), None, filled)
        return Rendered(filled, kept)

    def _piece(
        self, head: bytes, rows: range, rendered: Values, unsent: list[Unsent]
    ) -> Iterator[tuple[int, bytes | bytearray]]:
        """The lines of a piece, block by block, and how many there are in each; rows that are not sent are told."""
        for start, stop in self._cut(len(rows), rendered):
            values = {slot: one.texts.slice(start, stop - start) for slot, one in rendered.items()}
            kept: Sequence[int] = rows[start:stop]
            if any(text.null_count for text in values.values()):
                places = _without_gaps(rows, start, stop, rendered, self._nulls, unsent)
                kept = [rows[place] for place in places]
                values = {slot: one.texts.take(pa.array(places, pa.int64())) for slot, one in rendered.items()}
            together = self._together(head, kept, values)
            if together is not None:
                yield len(kept), together
                continue
            if len(kept) == 1 and self._is_giant(kept[0], values, unsent):
                continue
            encoded = {slot: _json_texts(values[slot]) for slot in values}
            block = self._lines(head, kept, encoded)
            if len(block) > self._record_bytes_max:
                kept, encoded = self._without_giants(kept, encoded, unsent)
                block = self._lines(head, kept, encoded)
            yield len(kept), block

    def _together(self, head: bytes, rows: Sequence[int], values: Mapping[Placeholder, pa.Array]) -> bytearray | None:
        """The lines of a block whose rows are short, made together; None where it has to be seen which are too large."""
        if not rows or self._blocks_maker is None:
            return None
        texts = [values[slot] for slot in self._placeholders]
        if sum(one.nbytes for one in values.values()) > TOGETHER_BYTES_MAX:
            return None
        block = self._blocks_maker.lines(head, rows, texts)
        return block if block is None or len(block) <= self._record_bytes_max else None

    def _cut(self, rows: int, rendered: Values) -> Iterator[tuple[int, int]]:
        """Stretches of rows whose lines have about `BLOCK_BYTES`, or of one row, told before a line is made."""
        line_bytes = np.full(rows, self.frame_bytes, np.int64)
        for slot, times in self._times.items():
            line_bytes += _lengths(rendered[slot].texts) * times
        ends = np.cumsum(line_bytes)
        size_bytes = int(ends[-1]) if rows else 0
        each = size_bytes // max(-(-size_bytes // BLOCK_BYTES), 1) + 1
        start = 0
        while start < rows:
            begun = int(ends[start - 1]) if start else 0
            stop = max(int(np.searchsorted(ends, begun + each, side="right")), start + 1)
            yield start, stop
            start = stop

    def _is_giant(self, row: int, values: Mapping[Placeholder, pa.Array], unsent: list[Unsent]) -> bool:
        """Whether a row is too large: told by its length, before a line is made that is many times as long."""
        texts = {slot: _buffer_of(values[slot]) for slot in self._times}
        bytes_min = self.frame_bytes + sum(texts[slot].size * times for slot, times in self._times.items())
        if bytes_min * ESCAPED_BYTES_MAX <= self._record_bytes_max:
            return False
        line_bytes = self.frame_bytes + sum(_escaped_bytes(texts[slot]) * n for slot, n in self._times.items())
        if line_bytes <= self._record_bytes_max:
            return False
        unsent.append(self._too_large(row, line_bytes))
        return True

    def _too_large(self, row: int, line_bytes: int) -> Unsent:
        message = f"the record has {line_bytes} bytes, and Bedrock takes {self._record_bytes_max} at most"
        return Unsent(row, "TOO_LARGE", message)

    def _lines(self, head: bytes, rows: Sequence[int], encoded: Mapping[Placeholder, list[bytes]]) -> bytes:
        """Interleave ids, constants and values: id c0 v0 c1 v1 … ck, for each row."""
        width = 2 * len(self._constants)
        line: list[bytes] = [b""] * width
        line[1::2] = self._constants
        parts = line * len(rows)
        parts[0::width] = [b"%b%06d" % (head, row) for row in rows]
        for place, slot in enumerate(self._placeholders):
            parts[2 * place + 2 :: width] = encoded[slot]
        return b"".join(parts)

    def _without_giants(
        self, rows: Sequence[int], encoded: Mapping[Placeholder, list[bytes]], unsent: list[Unsent]
    ) -> tuple[list[int], dict[Placeholder, list[bytes]]]:
        """Take out, and tell, rows whose line is over the limit."""
        kept = []
        for index, row in enumerate(rows):
            line_bytes = self.frame_bytes + sum(len(encoded[slot][index]) for slot in self._placeholders)
            if line_bytes <= self._record_bytes_max:
                kept.append(index)
            else:
                unsent.append(self._too_large(row, line_bytes))
        return [rows[index] for index in kept], {
            slot: [values[index] for index in kept] for slot, values in encoded.items()
        }


# --------------------------------------------------------------------------- the constant bytes


def _constants(
    family: Family,
    turns: Sequence[tuple[Role, Template]],
    template: Template,
    system: str | None,
    inference: Mapping[str, Any],
    attach: Attach,
) -> tuple[bytes, ...]:
    """What stands before, between and behind the values of a line, from the closing quotation mark of the id on."""

    def line_end(mark: str) -> bytes:
        before = [Turn(role, mark.join(each.literals)) for role, each in turns]
        body = family.body(mark.join(template.literals), system=system, inference=inference, turns=before)
        return b'","modelInput":' + _encode(attach(body)) + b"}\n"

    # The mark must not stand in the constants themselves. It cannot overlap with itself or with what surrounds it:
    # its first letter stands nowhere else in it.
    plain = line_end("")
    mark = next(mark for number in range(len(plain)) if (mark := f"<{number}>").encode() not in plain)
    constants = tuple(line_end(mark).split(mark.encode()))
    if len(constants) != 1 + sum(len(each.slots) for each in (*(each for _, each in turns), template)):
        raise ValueError(f"the family {family.name} does not put the text into the body exactly once")
    return constants


def _spoken(said: Sequence[Template]) -> tuple[str | Placeholder, ...]:
    """What the templates say, one below the other."""
    parts: list[str | Placeholder] = [""]
    for place, template in enumerate(said):
        parts += ["\n" if place else "", *template.parts]
    return tuple(parts)


# --------------------------------------------------------------------------- values


def _json_texts(values: pa.Array) -> list[bytes]:
    """Strings without a gap as JSON, without its quotes."""
    if len(values) == 1 and (text := _buffer_of(values)).size > SLICE_BYTES:
        return [b"".join(_encode(piece)[1:-1] for piece in _slices(memoryview(text)))]
    return [_encode(value)[1:-1] for value in values.to_pylist()]


def _slices(text: memoryview) -> Iterator[str]:
    start = 0
    while start < len(text):
        stop = min(start + SLICE_BYTES, len(text))
        while stop < len(text) and text[stop] & 0xC0 == 0x80:  # inside of a character
            stop -= 1
        yield str(text[start:stop], "utf-8")
        start = stop


def _without_gaps(
    rows: range, start: int, stop: int, rendered: Values, nulls: Mapping[str, NullPolicy], unsent: list[Unsent]
) -> list[int]:
    """The places from `start` to `stop` at which every placeholder has a text; the others are told."""
    lacks = {slot: one.texts.slice(start, stop - start).is_null().to_pylist() for slot, one in rendered.items()}
    kept = []
    for place in range(start, stop):
        lacking = [slot for slot in rendered if lacks[slot][place - start]]
        if not lacking:
            kept.append(place)
            continue
        faults = [(slot.column, rendered[slot].fault(place)) for slot in lacking]
        skipped = next((one for one in faults if nulls.get(one[0]) == "skip" and one[1] in _NO_VALUE), None)
        column, fault = skipped or faults[0]
        message = f"the column {column!r} {fault.value} in this row"
        code: UnsentCode = "SKIPPED" if skipped else _CODES[fault]
        unsent.append(Unsent(rows[place], code, message + (", and the prompt skips such rows" if skipped else "")))
    return kept


_ESCAPED_BYTES = np.ones(256, np.uint8)
_ESCAPED_BYTES[:0x20] = 6
_ESCAPED_BYTES[[0x08, 0x09, 0x0A, 0x0C, 0x0D, 0x22, 0x5C]] = 2


def _lengths(texts: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The bytes of each of some strings; 0 of a null."""
    lengths: np.ndarray[Any, np.dtype[np.int64]] = (
        pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    )
    return lengths


def _buffer_of(text: pa.Array) -> pa.Buffer:
    """The bytes of the only value of an array of strings."""
    return text[0].as_buffer()


def _escaped_bytes(text: pa.Buffer) -> int:
    """How long a text is as JSON, without its quotes."""
    return int(_ESCAPED_BYTES[np.frombuffer(text, np.uint8)].sum(dtype=np.int64))
