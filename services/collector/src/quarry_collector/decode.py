"""From the bytes of a job's output to typed lines: fast where they are good, total where they are not.

Theory of operation. The output is read forward in blocks of 1 MB that end at a newline. The echoed input is cut out of
each line where that is long (contract section 4.3), the numbers of a vector are taken apart (`shorten.py`), and what is
left of a block is decoded by one call. A block that does not decode so is decoded otherwise, with the echoes or without, and
if that fails too, it is gone through line by line; a line that msgspec refuses is read by `odd.py`, which asks nothing of
what stands beside the answer. What
that refuses too comes out as `Corrupt`. No input raises, and none but a broken stream ends the reading: a bad line never
costs its neighbours (promise S9), and an odd value never costs the answer beside it, for it was paid for.

Memory is one block, or one line where a line is longer, and lines are bounded. Record ids are only read here, never
trusted: see `spool.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Generic, TypeVar

import msgspec

from quarry_collector import odd
from quarry_collector.shorten import Vectors, takes_vectors, without_echoes
from quarry_core.models import Output

BLOCK_BYTES = 1 << 20
# Passing over a shorter line's echo costs the decoder less than cutting it out (measured from 700 bytes to 10 KB).
ECHO_LINE_BYTES_MIN = 4_096
# Above what one record can be: 25 MB is the largest payload of one model call.
LINE_BYTES_MAX = 32 << 20
HEAD_CHARS_MAX = 200
ENDS_BYTES = 4_096  # of a line too long to keep: this much from either end is searched for the record id
EMPTY_ANSWERS = "the line has neither modelOutput nor error"
# msgspec's errors and UnicodeDecodeError are ValueErrors; nesting without end is a RecursionError.
UNREADABLE = (ValueError, RecursionError)

Read = TypeVar("Read", bound=Output)

# In a JSON string a quotation mark is escaped, so what a model or a user wrote cannot look like this.
_RECORD_ID = re.compile(rb'"recordId"\s*:\s*"([0-9A-Za-z]{1,64})"')


class RecordError(msgspec.Struct, frozen=True, gc=False):
    """Bedrock's error for one record. The code is a number in the guide and a string in samples (contract 4.3)."""

    error_code: int | str | None
    error_message: str

    @classmethod
    def of(cls, found: Any) -> RecordError:
        """The code and the reason, whatever form they came in; members that are not known stand in for no reason."""
        if not isinstance(found, dict):
            return cls(None, odd.as_text(found))
        code, message = found.get("errorCode"), found.get("errorMessage")
        if message is None:
            others = {name: value for name, value in found.items() if name not in {"errorCode", "errorMessage"}}
            message = others or ""
        return cls(code if isinstance(code, int | None) else odd.as_text(code), odd.as_text(message))


class Line(msgspec.Struct, Generic[Read], frozen=True, gc=False, rename="camel"):
    """One line for one record: the model's output as the family's type, or else an error."""

    record_id: str
    model_output: Read | None = None
    error_found: Any = msgspec.field(default=None, name="error")

    @property
    def error(self) -> RecordError | None:
        return None if self.error_found is None else RecordError.of(self.error_found)


@dataclass(frozen=True, slots=True)
class Corrupt:
    """A line that cannot be read: its beginning, why, and the record's id where just one can be made out."""

    head: str
    reason: str
    record_id: str | None = None


@dataclass(frozen=True, slots=True)
class Block(Generic[Read]):
    """Lines that were decoded together.

    Attributes:
        lines: in the order in which Bedrock wrote them.
        vectors: of each line the numbers that were taken out of it as little-endian float32, for which its output has
            `STAND_IN`; or None, and the output is whole. No vectors at all: likewise.
    """

    lines: list[Line[Read] | Corrupt]
    vectors: list[bytes | None] | None = None


def read_lines(
    stream: BinaryIO,
    output_type: type[Read],
    *,
    block_bytes: int = BLOCK_BYTES,
    line_bytes_max: int = LINE_BYTES_MAX,
) -> Iterator[Line[Read] | Corrupt]:
    """The lines of `read_blocks`, one by one, with whole outputs."""
    for block in read_blocks(stream, output_type, block_bytes=block_bytes, line_bytes_max=line_bytes_max):
        yield from block.lines


def read_blocks(
    stream: BinaryIO,
    output_type: type[Read],
    *,
    vectors: bool = False,
    block_bytes: int = BLOCK_BYTES,
    line_bytes_max: int = LINE_BYTES_MAX,
) -> Iterator[Block[Read]]:
    """Read a job's output, in the order in which Bedrock wrote it. Blank lines are nothing.

    Args:
        stream: the output object; read forward once.
        output_type: the family's type of `modelOutput`.
        vectors: whether vectors are taken out of their lines.
        block_bytes: how much is read and decoded at once.
        line_bytes_max: a longer line is passed over and comes out as `Corrupt`.
    """
    wire = _Wire(output_type, vectors=vectors and takes_vectors())
    for block in _blocks(stream, block_bytes, line_bytes_max):
        yield Block([block]) if isinstance(block, Corrupt) else wire.decode(block)


class _Wire(Generic[Read]):
    """The decoder for one family's lines."""

    def __init__(self, output_type: type[Read], *, vectors: bool) -> None:
        self._output_type = output_type
        line_type: Any = Line[output_type]  # type: ignore[valid-type]  # a type made at run time, as msgspec means it
        self._decoder = msgspec.json.Decoder(line_type)
        self._vectors = Vectors() if vectors else None

    def decode(self, block: bytes) -> Block[Read]:
        if self._vectors is None and block.find(b"\n", 0, ECHO_LINE_BYTES_MIN) >= 0:
            with suppress(*UNREADABLE):
                return Block(self._checked(self._decoder.decode_lines(block)))
        try:
            if self._vectors is None:
                return Block(self._checked(self._decoder.decode_lines(b"\n".join(without_echoes(block)))))
            short, vectors = self._vectors.take(block)
            lines = self._decoder.decode_lines(b"\n".join(short))
            if len(lines) == len(short):  # or newlines were lost, and nobody knows which vector is whose
                return Block(self._checked(lines), vectors)
        except UNREADABLE:
            pass
        return Block(self._as_it_stands(block))

    def _checked(self, lines: list[Line[Read]]) -> list[Line[Read] | Corrupt]:
        return [
            line
            if line.model_output is not None or line.error_found is not None
            else _corrupt(line.record_id.encode(), EMPTY_ANSWERS, line.record_id)
            for line in lines
        ]

    def _as_it_stands(self, block: bytes) -> list[Line[Read] | Corrupt]:
        try:
            return self._checked(self._decoder.decode_lines(block))
        except UNREADABLE:
            found: list[Line[Read] | Corrupt] = []
            for raw in block.split(b"\n"):
                if raw and not raw.isspace():
                    found.extend(self._one(raw))
            return found

    def _one(self, raw: bytes) -> Iterator[Line[Read] | Corrupt]:
        try:
            # A lost newline leaves two whole records on one line, and both were paid for.
            lines = self._decoder.decode_lines(raw)
        except UNREADABLE:
            yield from self._loosely(raw)
            return
        for line in lines:
            yield line if _has_content(line) else _corrupt(raw, EMPTY_ANSWERS, line.record_id)

    def _loosely(self, raw: bytes) -> Iterator[Line[Read] | Corrupt]:
        for found in odd.objects(raw):
            if isinstance(found, odd.Rest):
                yield _corrupt(found.raw, found.reason)
            else:
                yield self._line(raw, found)

    def _line(self, raw: bytes, found: dict[str, Any]) -> Line[Read] | Corrupt:
        record_id, error = found.get("recordId"), found.get("error")
        if not isinstance(record_id, str):
            return _corrupt(raw, "the line has no recordId that is a string")
        output, reason = None, EMPTY_ANSWERS
        if found.get("modelOutput") is not None:
            try:
                output = self._output_type.loosely(found["modelOutput"])
            except UNREADABLE as unread:
                reason = str(unread)
        line = Line(record_id, output, error)
        return line if _has_content(line) else _corrupt(raw, reason, record_id)


def _has_content(line: Line[Any]) -> bool:
    return line.model_output is not None or line.error_found is not None


def _corrupt(raw: bytes, reason: str, record_id: str | None = None) -> Corrupt:
    head = raw[: HEAD_CHARS_MAX * 4].decode("utf-8", "replace")[:HEAD_CHARS_MAX]
    return Corrupt(head, reason[:HEAD_CHARS_MAX], record_id if record_id is not None else _id_in(raw))


def _id_in(raw: bytes) -> str | None:
    """The one record id that the bytes name; two lines run into one name two, and then neither is believed."""
    found = set(_RECORD_ID.findall(raw))
    return found.pop().decode("ascii") if len(found) == 1 else None


def _blocks(stream: BinaryIO, block_bytes: int, line_bytes_max: int) -> Iterator[bytes | Corrupt]:
    """Cut the stream at newlines: whole lines, about as many as a block has, or one that is too long."""
    begun = _Begun(line_bytes_max)
    while chunk := stream.read(block_bytes):
        first = chunk.find(b"\n") + 1
        if not first:
            begun.add(chunk)
            continue
        begun.add(chunk[:first])
        line = begun.end()
        if isinstance(line, Corrupt):
            yield line
            line = b""
        last = chunk.rfind(b"\n") + 1
        if block := b"".join((line, memoryview(chunk)[first:last])):
            yield block
        begun.add(chunk[last:])
    if line := begun.end():
        yield line


class _Begun:
    """A line of which the end is not read yet. Of one that is too long only both ends are kept."""

    def __init__(self, line_bytes_max: int) -> None:
        self._bytes_max = line_bytes_max
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._head = b""
        self._tail = b""

    def add(self, piece: bytes) -> None:
        self._bytes += len(piece)
        self._pieces.append(piece)
        if self._bytes > self._bytes_max:
            for each in self._pieces:
                self._head = (self._head + each[:ENDS_BYTES])[:ENDS_BYTES]
                self._tail = (self._tail + each[-ENDS_BYTES:])[-ENDS_BYTES:]
            self._pieces.clear()

    def end(self) -> bytes | Corrupt:
        line: bytes | Corrupt = b"".join(self._pieces)
        if self._bytes > self._bytes_max:
            reason = f"a line of {self._bytes} bytes is too long to read"
            line = _corrupt(self._head, reason, _id_in(self._head + b"\n" + self._tail))
        self._pieces, self._bytes, self._head, self._tail = [], 0, b"", b""
        return line
