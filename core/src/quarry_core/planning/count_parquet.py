"""Looking at a Parquet source: what its footer tells, what its types hide, and which columns it proves to be whole.

Owns nothing and writes nothing. Footers are believed as far as a lie costs only the liar: statistics that deny nulls
make a plan whose shards may fall under the minimum; sizes are watched while reading (`quarry_core.tabular.parquet.pages`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.planning.column_names import checked_names
from quarry_core.ports import ObjectRef, Objects
from quarry_core.rendering.text import certain_range
from quarry_core.tabular.arrow_types import is_binary_view
from quarry_core.tabular.counted import Count, schema_text
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.parquet.rows import ParquetSource, check_int96, open_parquet

# Each has a page open at a time: 2,000 take about 200 MB, 5,000 twice as much.
LEAVES_MAX = 2_000
_ARROW_SCHEMA = b"ARROW:schema"


def count_parquet(
    objects: Objects, ref: ObjectRef, needed: Collection[str] = (), used: Collection[str] | None = None
) -> Count:
    """Count the rows of a Parquet object by its footer, and read its schema.

    Args:
        objects: the port that reads it.
        ref: the file, pinned.
        needed: the columns of which the footer may prove that each value can be sent.
        used: the columns that anything is done with; None: all. What the others are is no matter.

    Raises:
        SourceError: it is not Parquet, encrypted, damaged, or its columns cannot be told apart or read exactly.
        PortError: as `Objects.random_access` does.
    """
    with open_parquet(objects, ref) as file:
        leaves = file.leaves_under(used)
        if leaves > LEAVES_MAX:
            raise SourceError(
                f"{ref.key} has {leaves} columns, counting the fields of structs, and Quarry reads {LEAVES_MAX} of a "
                "Parquet file; name those that the prompt and the result need in `columns`"
            )
        file.check_footer(used)
        columns = checked_names(file.schema.names, ref.key)
        int96 = file.int96_columns(used)
        counted = Count(
            format="parquet",
            rows=file.rows,
            columns=columns,
            size_bytes=file.size_bytes,
            schema_ipc=schema_text(file.schema),
            row_groups=tuple((rows, len(list(alike))) for rows, alike in groupby(file.groups) if rows),
            no_text=_no_text(file),
            whole=tuple(column for column in columns if column in needed and _proves_whole(file, column)),
        )
    if int96:
        check_int96(objects, ref, used)
    return counted


def _no_text(file: ParquetSource) -> dict[str, str]:
    """Columns of a type that Arrow does not know and reads as another one, whose text would be wrong."""
    reported: dict[str, str] = {}
    for column, leaf in file.leaves():
        logical = json.loads(leaf.logical_type.to_json())
        # Arrow itself wrote all times as if in UTC for years; where it wrote, its own schema tells.
        if logical.get("Type") == "Time" and logical.get("isAdjustedToUTC") and _ARROW_SCHEMA not in file.metadata_keys:
            reported[column] = "is TIME WITH TIME ZONE, whose zone no reader recovers: cast it to TIME or to text"
        elif logical.get("Type") == "Interval" or leaf.converted_type == "INTERVAL":
            reported[column] = "is an INTERVAL, which has no text: cast it to text"
    for part in file.schema:
        if _holds_variant(part.type):
            reported[part.name] = "is a VARIANT, which has no text: cast it to text"
    return reported


def _holds_variant(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return kind.extension_name == "parquet.variant" or _holds_variant(kind.storage_type)
    if pa.types.is_struct(kind):
        kinds = {part.name: part.type for part in kind}
        if {"metadata", "value"} <= set(kinds) <= {"metadata", "value", "typed_value"}:
            return all(_is_bytes(kinds[name]) for name in ("metadata", "value"))
    return any(_holds_variant(kind.field(place).type) for place in range(kind.num_fields))


def _is_bytes(kind: pa.DataType) -> bool:
    return any(is_bytes(kind) for is_bytes in (pa.types.is_binary, pa.types.is_large_binary, is_binary_view))


def _proves_whole(file: ParquetSource, column: str) -> bool:
    """Whether the footer proves that each row has a value in this column that can be sent.

    It cannot for text, whose bytes may be no UTF-8, for floats, whose statistics leave NaN out, and for nested columns.
    """
    kind = file.schema.field(column).type
    exact = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
    ranged = pa.types.is_temporal(kind) and not pa.types.is_duration(kind)
    if not exact and not ranged:
        return False
    for statistics in file.statistics(column):
        if statistics is None or not statistics.has_null_count or statistics.null_count:
            return False
        if ranged and not (statistics.has_min_max and _in_range(kind, statistics)):
            return False
    return True


def _in_range(kind: pa.DataType, statistics: pq.Statistics) -> bool:
    low, high = certain_range(kind)
    least, most = statistics.min_raw, statistics.max_raw
    return isinstance(least, int) and isinstance(most, int) and low <= least and most <= high


def parquet_sample(
    objects: Objects, ref: ObjectRef, rows: int, places: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """About `rows` rows from the beginnings of up to `places` row groups."""
    with open_parquet(objects, ref) as file:
        groups = [group for group, size in enumerate(file.groups) if size]
        chosen = [groups[place] for place in spread(len(groups), places)]
        each = -(-rows // len(chosen))
        for group in chosen:
            yield from file.read_group(group, 0, min(each, file.groups[group]), columns)


def spread(things: int, most: int) -> list[int]:
    """Up to `most` indexes of `things`, evenly."""
    taken = min(things, most)
    return [place * things // taken for place in range(taken)]
