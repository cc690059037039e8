"""One file's batches as the dataset's: columns by name, checked casts, nulls for what the file lacks. Pure.

The dataset's schema comes from `unify`. A value that its column's type does not hold is refused with its row, never
rounded; a worker that meets one has met a file that nobody looked at, for a count reads what `uncertain` names.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.partition_values import partition_scalar
from quarry_core.tabular.recast import NotHeld, may_refuse, recast

_SHOWN_CHARS_MAX = 80


class Aligner:
    """For the batches of one file.

    Args:
        own: the file's schema.
        target: the dataset's, or those of its columns that are wanted.
        file: its key, for messages.
        values: of the partitions that the file's key names, by column; None is null.

    Attributes:
        columns: what has to be read of the file, in the file's order.
        uncertain: those of them of which only the values tell whether they can be read as the dataset's.
        constants: the dataset's columns that a folder's name gives a value for all of the file's rows.
        nulls: the dataset's columns that are null in all of the file's rows.

    Raises:
        SourceError: a partition's value is not of its column's type.
    """

    def __init__(
        self, own: pa.Schema, target: pa.Schema, file: str, values: Mapping[str, str | None] | None = None
    ) -> None:
        self._file = file
        self._target = target
        wanted = frozenset(target.names)  # once: a schema lists its names anew each time it is asked
        self._constants = {
            name: partition_scalar(text, target.field(name).type, name, file)
            for name, text in (values or {}).items()
            if name in wanted
        }
        kinds = {field.name: field.type for field in own}
        self.columns = tuple(name for name in own.names if name in wanted)
        self.uncertain = tuple(
            name for name in self.columns if name in self._constants or may_refuse(kinds[name], target.field(name).type)
        )
        self.constants = tuple(name for name, value in self._constants.items() if value.is_valid)
        self.nulls = tuple(
            name
            for name in target.names
            if (name not in self._constants and name not in kinds)
            or (name in self._constants and name not in self.constants)
        )
        self._plain = self.columns == tuple(target.names) and not self._constants and own.equals(target)

    def align(self, batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        """A batch of `columns`, whose first row is the file's row `first_row`, as the dataset's.

        Raises:
            SourceError: a value is not held by its column's type, or not what the folder says.
        """
        if self._plain:
            return pa.RecordBatch.from_arrays(batch.columns, schema=self._target)
        own = dict(zip(batch.schema.names, batch.columns, strict=True))
        return self._batch(own, batch.num_rows, first_row)

    def align_none(self, rows: int) -> pa.RecordBatch:
        """So many rows of a file of which nothing has to be read."""
        return self._batch({}, rows, 0)

    def _batch(self, own: Mapping[str, pa.Array], rows: int, first_row: int) -> pa.RecordBatch:
        if not len(self._target):
            return pa.record_batch([pa.nulls(rows)], ["none"]).select([])  # which knows how many rows it has
        columns = [self._column(field, own.get(field.name), rows, first_row) for field in self._target]
        return pa.RecordBatch.from_arrays(columns, schema=self._target)

    def _column(self, field: pa.Field, array: pa.Array | None, rows: int, first_row: int) -> pa.Array:
        constant = self._constants.get(field.name)
        if constant is not None:
            if array is not None:
                self._check_constant(field.name, array, constant, first_row)
            return pa.repeat(constant, rows) if constant.is_valid else pa.nulls(rows, field.type)
        if array is None:
            return pa.nulls(rows, field.type)
        try:
            return recast(array, field.type)
        except NotHeld as error:
            row, why = _first_not_held(array, field.type, str(error))
            raise SourceError(
                f"{self._file}: column {field.name!r}, data row {first_row + row + 1}: {_shown(array[row])} is {why}; "
                f"over all files the column is {field.type}: cast it to text in all files, or correct the value"
            ) from error

    def _check_constant(self, name: str, array: pa.Array, constant: pa.Scalar, first_row: int) -> None:
        """The file has the column too: it must say what the folder says, in every row."""
        same = _says(array, constant)
        if pc.all(same, min_count=0).as_py():
            return
        row = same.index(pa.scalar(False)).as_py()
        folder = constant.as_py() if constant.is_valid else None
        raise SourceError(
            f"{self._file}: column {name!r} is {_shown(array[row])} in data row {first_row + row + 1}, and the folder "
            f"says {folder!r}; rename the column or the folder"
        )


def _says(array: pa.Array, constant: pa.Scalar) -> pa.Array:
    """Row by row, whether the values are what a folder's name says: as text, or read as what the column is."""
    if not constant.is_valid:
        return array.is_null()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    value = constant
    if pa.types.is_string(constant.type) and not pa.types.is_string(array.type):
        try:
            value = constant.cast(array.type)  # 01 in the folder is 1 in a column of numbers
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return pa.repeat(pa.scalar(False), len(array))
    try:
        return pc.fill_null(pc.equal(array, value), False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.repeat(pa.scalar(False), len(array))


def _first_not_held(array: pa.Array, kind: pa.DataType, why: str) -> tuple[int, str]:
    for row in range(len(array)):
        try:
            recast(array.slice(row, 1), kind)
        except NotHeld as error:
            return row, str(error)
    return 0, why


def _shown(value: pa.Scalar) -> str:
    """A value for a message."""
    try:
        text = repr(value.as_py())
    except (ValueError, OverflowError):  # a time that Python does not have; as a number of its units
        text = str(getattr(value, "value", "a value"))
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 1] + "…"
