"""The manifest's `id_column`: that each row has an id, and one of its own. One pass over that column of the rows taken."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from quarry_core.planning.unique_ids import TooManyIds, UniqueIds
from quarry_core.tabular.arrow_types import is_string_view
from quarry_core.tabular.dataset import Dataset
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.json_column import is_json
from quarry_core.tabular.recast import recast
from quarry_core.text import shown_name

_TEXTS = (pa.types.is_string, pa.types.is_large_string, is_string_view)


def check_ids(dataset: Dataset, column: str) -> None:
    """Refuse rows without an id, and two with the same; an empty `column` asks for nothing. Blocking.

    Raises:
        SourceError: naming the id, both rows and their files.
        PortError: as `Dataset.read`.
    """
    if not column:
        return
    field = dataset.schema.field(column)
    _check_type(field)
    row = 0
    with UniqueIds() as seen:
        try:
            for batch in dataset.read(0, dataset.count.rows, [column]):
                texts = _texts(batch.column(0))
                missing = pc.index(pc.or_kleene(texts.is_null(), pc.equal(texts, "")), True).as_py()
                if missing >= 0:
                    raise SourceError(
                        f"id_column: {_place(dataset, row + missing)} has no value in the column {shown_name(column)!r}; "
                        "give each row an id, or leave such rows out with where"
                    )
                seen.add(texts)
                row += batch.num_rows
            found = seen.repeated()
        except TooManyIds as error:
            raise SourceError(f"id_column: {error}") from error
    if found is not None:
        (batch,) = dataset.read(found.again, 1, [column])
        value = shown_name(str(_texts(batch.column(0))[0]))
        raise SourceError(
            f"id_column: {_place(dataset, found.again)} has the id {value!r} in the column {shown_name(column)!r}, which "
            f"{_place(dataset, found.first)} has too; give each row an id of its own"
        )


def _check_type(field: pa.Field) -> None:
    kind = field.type
    while pa.types.is_dictionary(kind):
        kind = kind.value_type
    named = pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale <= 0)
    uuid = isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.uuid"
    if is_json(field) or not (named or uuid or any(of(kind) for of in _TEXTS)):
        shown = "JSON of several kinds" if is_json(field) else str(kind)
        raise SourceError(
            f"id_column: the column {shown_name(field.name)!r} is {shown}; ids are texts, whole numbers or UUIDs: name "
            "another column, or cast it to text"
        )


def _texts(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if isinstance(column.type, pa.BaseExtensionType):
        return pa.array([None if one is None else one.hex() for one in column.storage.to_pylist()], pa.string())
    return recast(column, pa.string()) if is_string_view(column.type) else column.cast(pa.string())


def _place(dataset: Dataset, row: int) -> str:
    file, number = dataset.locate(row)
    return f"{dataset.listing.files[file].key}: data row {number + 1}"
