"""The manifest's `where`, answered for batches of rows as SQL does it: true, false or unknown. Pure.

Of a null nothing is known, so `note <> 'x'` takes no row without a note, and `not` changes nothing about that; a row is
taken only if the answer is true. `and` and `or` are answered from the left, and what stands further right is asked only
of rows whose answer still depends on it: so `stars <> 'N/A' and stars >= 4` may read stars as numbers.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quarry_core.contract.where import And, Compare, Condition, In, IsNull, Not, Or, Value, columns_of_where
from quarry_core.tabular.arrow_types import is_binary_view, is_string_view
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.json_column import is_json
from quarry_core.tabular.recast import recast
from quarry_core.tabular.where_values import ColumnAsk, Mismatch, NotANumber, among, comparing, looks_into_text
from quarry_core.text import shown_name

Rows = np.ndarray[Any, np.dtype[np.int64]]
Ask = Callable[[pa.RecordBatch, Rows], pa.Array]
COLUMNS_SHOWN_MAX = 20


class Filter:
    """A condition on the columns of a schema.

    Attributes:
        columns: what it reads.

    Raises:
        SourceError: a column is not there, or cannot be compared so; the text says what to write.
    """

    def __init__(self, condition: Condition, schema: pa.Schema) -> None:
        self._schema = schema
        self.columns = columns_of_where(condition)
        self._ask, _ = self._asking(condition)

    def taken(self, batch: pa.RecordBatch, file: str, first_row: int) -> pa.Array:
        """For each row whether it is taken. `batch` has `columns`, and begins at row `first_row` of `file`.

        Raises:
            SourceError: a text is asked as a number, and is none; the text names column and row.
        """
        asked = pa.record_batch([_plain(batch.column(name)) for name in self.columns], names=list(self.columns))
        try:
            answer = self._ask(asked, np.arange(first_row, first_row + batch.num_rows))
        except _Refused as refused:
            raise SourceError(f"{file}: {refused}") from refused
        return pc.fill_null(answer, False)

    # ----------------------------------------------------------------------- compiling

    def _asking(self, condition: Condition) -> tuple[Ask, bool]:
        """What answers a condition, and whether it may refuse a row."""
        match condition:
            case IsNull(column):
                self._field(column)
                return lambda batch, _: batch.column(column).is_null(), False
            case Compare(column, op, value):
                field = self._comparable(column)
                compare = _known(column, lambda: comparing(field.type, op, value))
                return _comparing(column, compare), looks_into_text(field.type, value)
            case In(column, values):
                return self._in(column, values)
            case Not(inner):
                ask, risky = self._asking(inner)
                return lambda batch, rows: pc.invert(ask(batch, rows)), risky
            case And(parts):
                return self._joined([self._asking(part) for part in parts], decided=False)
            case Or(parts):
                return self._joined([self._asking(part) for part in parts], decided=True)

    def _in(self, column: str, values: Sequence[Value]) -> tuple[Ask, bool]:
        field = self._comparable(column)
        compare = _known(column, lambda: among(field.type, values))
        return _comparing(column, compare), looks_into_text(field.type, values[0])

    def _joined(self, parts: Sequence[tuple[Ask, bool]], *, decided: bool) -> tuple[Ask, bool]:
        join = pc.or_kleene if decided else pc.and_kleene

        def ask(batch: pa.RecordBatch, rows: Rows) -> pa.Array:
            answer = parts[0][0](batch, rows)
            for part, risky in parts[1:]:
                open_rows = pc.fill_null(pc.not_equal(answer, decided), True) if risky else None
                if open_rows is None or pc.all(open_rows, min_count=0).as_py():
                    answer = join(answer, part(batch, rows))
                    continue
                places = np.flatnonzero(open_rows.to_numpy(zero_copy_only=False))
                few = part(batch.take(pa.array(places)), rows[places])
                spread = pc.replace_with_mask(pa.array([decided] * len(rows), pa.bool_()), open_rows, few)
                answer = join(answer, spread)
            return answer

        return ask, any(risky for _, risky in parts)

    def _field(self, column: str) -> pa.Field:
        if column in self._schema.names:
            return self._schema.field(column)
        near = difflib.get_close_matches(column, self._schema.names, n=1, cutoff=0.6)
        same = [name for name in self._schema.names if name.casefold() == column.casefold()]
        hint = next(iter([*same, *near]), None)
        guess = f"; did you mean {shown_name(hint)}?" if hint is not None else ""
        listed = ", ".join(shown_name(name) for name in self._schema.names[:COLUMNS_SHOWN_MAX])
        raise SourceError(f"where: there is no column {shown_name(column)!r}{guess} The source has: {listed}")

    def _comparable(self, column: str) -> pa.Field:
        field = self._field(column)
        if is_json(field):
            raise SourceError(
                f"where: column {column!r} holds JSON of several kinds, of which only `is null` can be asked; put what "
                "is asked for into a column of its own"
            )
        return field


def _known(column: str, make: Callable[[], ColumnAsk]) -> ColumnAsk:
    try:
        return make()
    except Mismatch as error:
        raise SourceError(f"where: column {column!r} {error}") from error


def _plain(array: pa.Array) -> pa.Array:
    """A column of which rows can be taken out: Arrow cannot of every type, and of most only null is asked."""
    kind = array.type
    if is_string_view(kind):
        return recast(array, pa.string())
    if pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType) or is_binary_view(kind):
        return pc.if_else(array.is_valid(), True, None)
    return array


class _Refused(ValueError):
    """A row that cannot be asked."""


def _comparing(column: str, compare: ColumnAsk) -> Ask:
    def ask(batch: pa.RecordBatch, rows: Rows) -> pa.Array:
        try:
            return compare(batch.column(column))
        except NotANumber as error:
            raise _Refused(
                f"column {column!r}, data row {int(rows[error.row]) + 1}: {error}, and where asks for one; compare it as "
                f"text (in single quotes), or leave such rows out before: {column} <> '…' and …"
            ) from error

    return ask
