"""Why a part may not be published."""

from __future__ import annotations

import pyarrow as pa

REASON_CHARS_MAX = 300
# What a type or a value makes of pyarrow; not what a disk or a lack of memory does.
FAULTS = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, pa.ArrowKeyError, pa.ArrowIndexError)


class PartError(Exception):
    """A part that may not be published. It fails again the same way, however often it is tried.

    Attributes:
        column: the column at fault; empty if it is none.
        reason: what is wrong with it.
    """

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"column {column!r}: {reason}" if column else reason)
        self.column = column
        self.reason = reason


class PartUnwritable(PartError):
    """A type or a value cannot be written as Parquet."""


class PartDiffers(PartError):
    """What was written does not read back as what was put in."""


def reason(error: Exception) -> str:
    return str(error)[:REASON_CHARS_MAX]
