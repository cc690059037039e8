"""The columns of a result: the source's own, then the answer, then what Quarry says of the row.

The preprocessor refuses on arrival a source whose columns would collide with these, and the collector writes them; so
they are named here. The result's schema is a function of the source's: equal sources give equal parts, whatever the
answers were.
"""

from __future__ import annotations

import pyarrow as pa

ANSWER_COLUMNS = ("response", "embedding")
RESULT_COLUMNS = (
    "record_id",
    "status",
    "error_code",
    "error_message",
    "stop_reason",
    "input_tokens",
    "output_tokens",
)
TAKEN_NAMES_MAX = 10


class ColumnTaken(ValueError):
    """The source has columns of names that the result needs, or one name twice; the text says what to rename."""


def answer_type(answer_column: str) -> pa.DataType:
    """Text for `response`, a list of float32 for `embedding`: of any length, so that a part of errors has its type."""
    match answer_column:
        case "response":
            return pa.string()
        case "embedding":
            return pa.list_(pa.field("element", pa.float32()))
        case _:
            raise ValueError(f"{answer_column!r} is not an answer column; known are {', '.join(ANSWER_COLUMNS)}")


def outcome_schema(answer_column: str) -> pa.Schema:
    """The answer and the seven columns after it. Tokens are LLM tokens; nulls mean that the model did not tell."""
    return pa.schema(
        [
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


def check_columns(source: pa.Schema, answer_column: str) -> None:
    """Refuse a source that cannot be joined with its results.

    Raises:
        ColumnTaken: naming the columns and the remedy.
    """
    names = list(source.names)
    ours = {answer_column, *RESULT_COLUMNS}
    taken = [name for name in names if name in ours]
    if taken:
        listed = ", ".join(repr(name) for name in taken[:TAKEN_NAMES_MAX])
        raise ColumnTaken(
            f"the result has columns of its own named {listed}, and so has the source: "
            f"rename them in the source, for example to {'source_' + taken[0]!r}"
        )
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        listed = ", ".join(repr(name) for name in twice[:TAKEN_NAMES_MAX])
        raise ColumnTaken(f"the source has more than one column named {listed}: give each column a name of its own")


def result_schema(source: pa.Schema, answer_column: str) -> pa.Schema:
    """The source's fields and metadata as they are, then those of `outcome_schema`. Raises ColumnTaken."""
    check_columns(source, answer_column)
    return pa.schema([*source, *outcome_schema(answer_column)], metadata=source.metadata)
