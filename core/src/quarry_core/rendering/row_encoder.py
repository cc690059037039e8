"""What an encoder of rows is, whatever it makes lines of: its limits, what it hands on, what it tells of rows it leaves out.

A row without a line keeps its place in the shard and its record id, and is told in `unsent` (promise S9). There are three
encoders: `encode.Encoder` of prompts, `requests.RequestEncoder` of ready requests, `images.ImageEncoder`, which puts images
into the lines of prompts. `encoders` chooses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import pyarrow as pa

from quarry_core.contract.names import ROW_MAX, SHARD_PATTERN

# The largest body of one model call.
RECORD_BYTES_MAX = 25_000_000
# So much is handed on at once, plus a block: a template multiplies what stands in a row, and a batch has many.
LINES_BYTES_MAX = 4 << 20

# A line begins with its record id: the shard, then the row in it.
_HEAD = b'{"recordId":"'
HEAD_BYTES = len(_HEAD) + 5
ROW_DIGITS = 6

UnsentCode = Literal[
    "NULL_INPUT", "BAD_VALUE", "TOO_LARGE", "SKIPPED", "BAD_IMAGE", "IMAGE_MISSING", "IMAGE_DENIED", "IMAGE_TOO_LARGE"
]


@dataclass(frozen=True, slots=True)
class Unsent:
    """A row that is not sent. `row` counts in the shard, as record ids do."""

    row: int
    code: UnsentCode
    message: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """The lines of a batch: `records + len(unsent)` is the batch's number of rows."""

    data: bytes | bytearray
    records: int
    unsent: tuple[Unsent, ...] = ()


class RowEncoder(Protocol):
    """What makes lines of rows.

    Attributes:
        columns: of the source, that it reads.
    """

    columns: tuple[str, ...]

    @property
    def frame_bytes(self) -> int:
        """The length of a line that says nothing, newline included."""
        ...

    def encode_bounded(self, batch: pa.RecordBatch, shard: str, first_row: int) -> Iterator[Encoded]:
        """The lines of a batch, in stretches of about `LINES_BYTES_MAX` bytes, or of one record that is longer.

        Args:
            batch: rows of the dataset; other columns may be among them.
            shard: the shard's five digits.
            first_row: which row of the shard the batch's first row is.

        Raises:
            ValueError: the rows have no record ids.
        """
        ...

    def texts(self, batch: pa.RecordBatch) -> Iterator[str]:
        """What each record that is sent says to the model, and no JSON."""
        ...

    def could_be_too_large(self, text_bytes: int) -> bool:
        """Whether a row of so many bytes of text, in all columns, may have to be left out, nulls apart."""
        ...

    def count_unsent(self, batch: pa.RecordBatch) -> int:
        """How many rows of a batch are left out."""
        ...


def line_head(shard: str, first_row: int, rows: int) -> bytes:
    """What the lines of some rows of a shard begin with, up to the row in the record id: `HEAD_BYTES` bytes.

    Raises:
        ValueError: the rows have no record ids: no shard's digits, or more rows than six digits count.
    """
    if SHARD_PATTERN.fullmatch(shard) is None or first_row < 0 or first_row + rows > ROW_MAX + 1:
        raise ValueError(f"rows {first_row} to {first_row + rows - 1} of shard {shard!r} have no record ids")
    return _HEAD + shard.encode()


def estimate_record_bytes(encoder: RowEncoder, sample: Iterable[pa.RecordBatch]) -> float:
    """The mean length of a line, newline included, over a sample of rows; an empty line's where none can be sent."""
    line_bytes = records = 0
    for batch in sample:
        for encoded in encoder.encode_bounded(batch, "00000", 0):
            line_bytes += len(encoded.data)
            records += encoded.records
    return line_bytes / records if records else float(encoder.frame_bytes)
