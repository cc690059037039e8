"""The names of a result's own columns, which no column of the source and no property of an output schema may have. Pure.

What they are is said in `results`; here is what can be judged of names alone, and without Arrow.
"""

from __future__ import annotations

from collections.abc import Sequence

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


class ColumnTaken(ValueError):
    """The source has columns of names that the result needs, or one name twice; the text says what to rename."""


def our_names(answer_column: str, prefix: str = "", fields: Sequence[str] = ()) -> list[str]:
    """The names of our columns in a part, in order; `fields` are those of an output schema."""
    return [prefix + name for name in (*fields, answer_column, *RESULT_COLUMNS)]


def check_fields(names: Sequence[str], answer_column: str = "response") -> None:
    """Refuse an output schema whose columns would have names that the result needs; a prefix goes before both.

    Raises:
        ColumnTaken: naming the property and the remedy.
    """
    ours = {name.casefold(): name for name in our_names(answer_column)}
    for name in names:
        if name.casefold() in ours:
            raise ColumnTaken(
                f"properties/{name}: the result has a column of its own named {reported(name, ours[name.casefold()])}:"
                f" rename the property, for example to {'answer_' + name!r}"
            )


def reported(name: str, ours: str) -> str:
    """A column of the source, or a property, and ours that it collides with."""
    return (
        repr(name)
        if name == ours
        else f"{ours!r} ({name!r}, apart from upper and lower case, which DuckDB and Spark ignore)"
    )
