"""What a Parquet footer says of its column chunks, checked before pyarrow is asked for any of it.

pyarrow 26 throws where nothing catches, and the process ends, when it is asked for a column chunk that is encrypted,
of an unknown compression, whose size statistics do not fit, or whose minimum is shorter than the type: one damaged byte of one file
would end the runs of others. Decoding fails as it should; but what is to be known before decoding stands there. So each
footer is walked once, when the source is counted; after that the object is pinned.

Fields and numbers: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from quarry_core.tabular.parquet.thrift_compact import list_head, read_struct, struct_fields

_ROW_GROUPS, _COLUMNS, _ROWS = 4, 1, 3
_META, _CRYPTO, _ENCRYPTED = 3, 8, 9
_TYPE, _CODEC, _VALUES, _STATISTICS, _SIZES = 1, 4, 5, 12, 16
_CODECS = 8
_BYTE_ARRAY = 6
_PHYSICAL = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_MINIMA = (1, 2, 5, 6)  # max, min, max_value, min_value of Statistics


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of the file's schema: `width` is that of its values in bytes, 0 if they vary."""

    path: str
    physical: str
    width: int
    definition_max: int
    repetition_max: int


class Damaged(ValueError):
    """The footer contradicts itself; the text names row group and column."""


def encrypted_leaves(footer: bytes, leaves: Sequence[Leaf]) -> list[str]:
    """Check what a footer says of each column chunk; the paths of the leaves that are encrypted.

    Raises:
        Damaged: it cannot be; pyarrow is not to be asked.
    """
    hidden: dict[str, None] = {}
    try:
        for number, group in enumerate(_row_groups(footer)):
            chunks = group.get(_COLUMNS) or []
            if len(chunks) != len(leaves):
                raise Damaged(f"row group {number} has {len(chunks)} columns, the schema {len(leaves)}")
            for chunk, leaf in zip(chunks, leaves, strict=True):
                if chunk.get(_CRYPTO) is not None or chunk.get(_ENCRYPTED) is not None:
                    hidden[leaf.path] = None
                    continue
                fault = _fault(chunk.get(_META), leaf)
                if fault:
                    raise Damaged(f"row group {number}, column {leaf.path!r}: {fault}")
    except (IndexError, TypeError, AttributeError) as error:
        raise Damaged("its list of row groups cannot be read") from error
    return list(hidden)


def _row_groups(footer: bytes) -> Iterator[dict[int, Any]]:
    for number, kind, begin in struct_fields(footer, 0):
        if number == _ROW_GROUPS and kind == 9:
            count, inner, at = list_head(footer, begin)
            for _ in range(count if inner == 12 else 0):
                group, at = read_struct(footer, at)
                yield group
            return


def _fault(reported: dict[int, Any] | None, leaf: Leaf) -> str | None:
    if not isinstance(reported, dict) or not 0 <= reported.get(_TYPE, -1) < len(_PHYSICAL):
        return "its type is not given"
    if _PHYSICAL[reported[_TYPE]] != leaf.physical:
        return f"it is given as {_PHYSICAL[reported[_TYPE]]}, and the schema says {leaf.physical}"
    if not 0 <= reported.get(_CODEC, -1) < _CODECS:
        return "its compression is unknown"
    if reported.get(_VALUES, -1) < 0:
        return "its number of values is negative"
    statistics = reported.get(_STATISTICS) or {}
    if leaf.width and any(0 < statistics.get(number, 0) < leaf.width for number in _MINIMA):
        return "its statistics are shorter than its values"
    sizes = reported.get(_SIZES) or {}
    if sizes.get(1) is not None and reported[_TYPE] != _BYTE_ARRAY:
        return "its size statistics are those of another type"
    for number, most in ((2, leaf.repetition_max), (3, leaf.definition_max)):
        if sizes.get(number) and len(sizes[number]) != most + 1:
            return "its size statistics have too many levels, or too few"
    return None
