"""The columns of a result: the source's own, then the answer, then what Quarry says of the row.

The preprocessor refuses on arrival a source whose columns would collide with these, and the collector writes them; so
they are named here. The result's schema is a function of the source's: equal sources give equal parts, whatever the
answers were. A prefix, which the manifest may give, goes before the name of every column of ours.

With an output schema its properties are columns, in their own order, and the answer column behind them holds the text of
those answers that do not fit (`quarry_core.structured`).

DuckDB, Spark and Athena do not tell `Status` from `status`, and give the source's column to whoever asks for ours. So
names collide when they are equal with their case folded. Two columns of the source that differ only by case are left
as they are: they are read from the part as they are read from the source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from quarry_core.contract.result_names import ANSWER_COLUMNS, RESULT_COLUMNS, ColumnTaken, our_names, reported

# The answer and the columns behind it, at the right end of every part; those of an output schema stand before them.
OUR_COLUMNS = 1 + len(RESULT_COLUMNS)
TAKEN_NAMES_MAX = 10
# Metadata in which a writer says the file's columns once more: Avro's readers believe it, and would not see ours.
SCHEMAS_OF_OTHERS = frozenset({b"parquet.avro.schema", b"avro.schema", b"iceberg.schema"})
# Spark believes its own too. It also tells types that the file does not, as intervals, so it is kept and completed.
SPARK_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"


def answer_type(answer_column: str) -> pa.DataType:
    """Text for `response`, a list of float32 for `embedding`: of any length, so that a part of errors has its type."""
    match answer_column:
        case "response":
            return pa.string()
        case "embedding":
            return pa.list_(pa.field("element", pa.float32()))
        case _:
            raise ValueError(f"{answer_column!r} is not an answer column; known are {', '.join(ANSWER_COLUMNS)}")


def outcome_schema(answer_column: str, fields: Sequence[pa.Field] = ()) -> pa.Schema:
    """The answer and the seven columns after it. Tokens are LLM tokens; nulls mean that the model did not tell.

    Args:
        answer_column: `response` or `embedding`.
        fields: the columns of an output schema, which come first.
    """
    return pa.schema(
        [
            *fields,
            pa.field(answer_column, answer_type(answer_column)),
            pa.field("record_id", pa.string(), nullable=False),
            pa.field("status", pa.string(), nullable=False),
            pa.field("error_code", pa.string()),
            pa.field("error_message", pa.string()),
            pa.field("stop_reason", pa.string()),
            pa.field("input_tokens", pa.int64()),
            pa.field("output_tokens", pa.int64()),
        ]
    )


def check_columns(source: pa.Schema, answer_column: str, prefix: str = "", fields: Sequence[str] = ()) -> None:
    """Refuse a source that cannot be joined with its results.

    Args:
        source: its schema.
        answer_column: `response` or `embedding`.
        prefix: goes before the name of every column of ours.
        fields: the names of an output schema's columns.

    Raises:
        ColumnTaken: naming the columns and the remedy.
    """
    names = list(source.names)
    remedy = f"set result_prefix to {'quarry_' if prefix != 'quarry_' else 'q_'!r} in the manifest"
    ours = {name.casefold(): name for name in our_names(answer_column, prefix)}
    taken = [name for name in names if name.casefold() in ours]
    if taken:
        raise ColumnTaken(
            f"the result has columns of its own named {_listed(taken, ours)}, and so does the source: {remedy}, "
            f"or rename them in the source, for example to {'source_' + taken[0]!r}"
        )
    properties = {(prefix + name).casefold(): name for name in fields}
    taken = [name for name in names if name.casefold() in properties]
    if taken:
        first = properties[taken[0].casefold()]
        behind = f" behind result_prefix {prefix!r}" if prefix else ""
        raise ColumnTaken(
            f"output_schema: its properties become columns of the result{behind}, and the source has columns named"
            f" {_listed(taken, {name: prefix + own for name, own in properties.items()})} already: rename them in the schema, for"
            f" example to {'answer_' + first!r}, or {remedy}"
        )
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        listed = ", ".join(repr(name) for name in twice[:TAKEN_NAMES_MAX])
        raise ColumnTaken(f"the source has more than one column named {listed}: give each column a name of its own")


def _listed(taken: Sequence[str], ours: Mapping[str, str]) -> str:
    shown = ", ".join(reported(name, ours[name.casefold()]) for name in taken[:TAKEN_NAMES_MAX])
    return f"{shown} and {len(taken) - TAKEN_NAMES_MAX} more" if len(taken) > TAKEN_NAMES_MAX else shown


def result_schema(
    source: pa.Schema, answer_column: str, prefix: str = "", fields: Sequence[pa.Field] = ()
) -> pa.Schema:
    """The source's fields and metadata as they are, then those of `outcome_schema`. Raises ColumnTaken.

    Of the metadata, schemas that other readers believe instead of the file are completed with our columns or left out.
    """
    check_columns(source, answer_column, prefix, [each.name for each in fields])
    ours = [each.with_name(prefix + each.name) for each in outcome_schema(answer_column, fields)]
    kept = {key: value for key, value in (source.metadata or {}).items() if key not in SCHEMAS_OF_OTHERS}
    if SPARK_SCHEMA in kept:
        completed = _completed(kept.pop(SPARK_SCHEMA), ours)
        kept |= {SPARK_SCHEMA: completed} if completed else {}
    return pa.schema([*source, *ours], metadata=kept or None)


def _completed(schema: bytes, ours: Sequence[pa.Field]) -> bytes | None:
    """Spark's schema with our columns; None if it is none, and then Spark takes the file's."""
    try:
        reported = json.loads(schema)
        fields = [
            {"name": each.name, "type": _spark_type(each.type), "nullable": True, "metadata": {}} for each in ours
        ]
        return json.dumps({**reported, "fields": [*reported["fields"], *fields]}).encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _spark_type(kind: pa.DataType) -> Any:
    """Spark's name for a type of ours, as `StructType.json` writes it."""
    is_ = pa.types
    if is_.is_list(kind):
        return {"type": "array", "elementType": _spark_type(kind.value_type), "containsNull": True}
    if is_.is_struct(kind):
        fields = [
            {"name": each.name, "type": _spark_type(each.type), "nullable": True, "metadata": {}}
            for each in map(kind.field, range(kind.num_fields))
        ]
        return {"type": "struct", "fields": fields}
    if is_.is_map(kind):
        value = _spark_type(kind.item_type)
        return {"type": "map", "keyType": "string", "valueType": value, "valueContainsNull": True}
    if is_.is_decimal(kind) or is_.is_uint64(kind):
        return f"decimal({getattr(kind, 'precision', 20)},0)"
    for is_one, name in _SPARK_NAMES:
        if is_one(kind):
            return name
    return "string"


_SPARK_NAMES = (
    (pa.types.is_integer, "long"),
    (pa.types.is_float32, "float"),
    (pa.types.is_float64, "double"),
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_timestamp, "timestamp"),
    (pa.types.is_date, "date"),
)
