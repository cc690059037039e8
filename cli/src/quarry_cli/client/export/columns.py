"""The columns of a table that an export writes: names and types that the target takes, and the checked cast to them. Pure.

Names and types are fixed once, from the schema that all parts share, before the first row is written: never by what the
first part happens to hold. A column of an existing table keeps the type that it has there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from quarry_cli.client.export.asked import Change
from quarry_cli.client.export.types import Leaf, NoType, fits, is_text, same_kind, table_type
from quarry_cli.client.results.values import plain_values
from quarry_cli.errors import NotWritten
from quarry_core.tabular.recast import NotHeld, recast

NAMES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What a target takes.

    Attributes:
        target: as people write it.
        leaf: see `types.Leaf`.
        name: a name that the target takes, for any; an empty one stays empty.
        one_case: two names that differ only in case are one name there.
        vectors: a column of vectors has their length in its type.
        keeps_schema: a table that is replaced keeps its columns, for the target cannot change both at once.
    """

    target: str
    leaf: Leaf
    name: Callable[[str], str]
    one_case: bool = True
    vectors: bool = True
    keeps_schema: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the results, and what it is in the table."""

    own: pa.Field
    table: pa.Field


@dataclass(frozen=True, slots=True)
class Columns:
    """All columns of a table, in its order, and behind them the run's."""

    columns: tuple[Column, ...]
    run_column: str
    target: str

    @property
    def schema(self) -> pa.Schema:
        """Of the table. Nothing is `not null`: some readers refuse to add to such a column."""
        return pa.schema([*(each.table for each in self.columns), pa.field(self.run_column, pa.string())])

    @property
    def changes(self) -> list[Change]:
        return [
            Change(
                column=each.own.name, type=str(each.own.type), became=each.table.name, became_type=str(each.table.type)
            )
            for each in self.columns
            if each.own.name != each.table.name or not same_kind(each.own.type, each.table.type)
        ]

    def named(self, own: str) -> str:
        """What a column of the results is called in the table."""
        [found] = [str(each.table.name) for each in self.columns if each.own.name == own]
        return found

    def batch(self, rows: pa.RecordBatch, run_id: str) -> pa.RecordBatch:
        """Rows of a part as the table takes them. Raises NotWritten naming the column, both types and the remedy."""
        arrays = [self._cast(each, rows.column(rows.schema.get_field_index(each.own.name))) for each in self.columns]
        return pa.RecordBatch.from_arrays([*arrays, pa.repeat(pa.scalar(run_id), rows.num_rows)], schema=self.schema)

    def _cast(self, column: Column, array: pa.Array) -> pa.Array:
        kind = column.table.type
        try:
            return checked(array, kind)
        except NotHeld as error:
            raise NotWritten(
                f"{self.target}: column {column.own.name!r} is {column.own.type}, and the table's {column.table.name!r} is "
                f"{kind}: a value does not fit ({error}). Cast the column in the source, leave it out (`columns` in the "
                "manifest), or export to another table"
            ) from error


def columns_of(
    schema: pa.Schema, rules: Rules, run_column: str, *, vector: str | None = None, length: int | None = None
) -> Columns:
    """The columns of a new table.

    Args:
        schema: of the parts.
        rules: the target's.
        run_column: the name of the column that is added.
        vector: the column of vectors, if there is one.
        length: of the vectors; None if no row has one, and then the column is a list of any length.

    Raises:
        NotWritten: naming a column that has no type there.
    """
    if run_column.casefold() in {name.casefold() for name in schema.names}:
        raise NotWritten(
            f"the results have a column {run_column!r} of their own: give the column that tells runs apart another name "
            "(--run-column)"
        )
    kinds = [_type(field, rules, vector, length) for field in schema]
    names = table_names([_wanted(field) for field in schema], rules, [run_column])
    return Columns(
        tuple(Column(field, pa.field(name, kind)) for field, name, kind in zip(schema, names, kinds, strict=True)),
        run_column,
        rules.target,
    )


def table_names(names: Sequence[str], rules: Rules, taken: Sequence[str] = ()) -> list[str]:
    """Names that the target takes and tells apart. A function of all names: the same results have the same table."""

    def key(name: str) -> str:
        return name.casefold() if rules.one_case else name

    # Names that stay as they are go first, so that no other takes theirs.
    given: dict[int, str] = {}
    used = {key(name) for name in taken}
    for at, name in enumerate(names):
        if name and rules.name(name) == name and key(name) not in used:
            given[at] = name
            used.add(key(name))
    for at, name in enumerate(names):
        if at in given:
            continue
        stem = rules.name(name) or "column"
        tries = (stem if number == 1 else f"{stem}_{number}" for number in range(1, NAMES_MAX))
        given[at] = next(each for each in tries if key(each) not in used)
        used.add(key(given[at]))
    return [given[at] for at in range(len(names))]


def fitted(columns: Columns, there: pa.Schema, *, replaceable: bool = True) -> Columns:
    """The columns as an existing table has them. Raises NotWritten naming what does not fit, and the remedy.

    Args:
        columns: as a new table would have them.
        there: the table's own.
        replaceable: whether `--mode replace` would give the table other columns.
    """
    wanted = {each.table.name: each for each in columns.columns}
    remedy = "export to another table, or " + (
        "replace this one (--mode replace)" if replaceable else "drop this one first"
    )
    if columns.run_column not in there.names:
        raise NotWritten(
            f"{columns.target}: the table has no column {columns.run_column!r}, by which runs are told apart: {remedy}"
        )
    missing = [name for name in wanted if name not in there.names]
    if missing:
        raise NotWritten(
            f"{columns.target}: the table has no column {missing[0]!r}, and the results have one: {remedy}"
        )
    more = [name for name in there.names if name not in wanted and name != columns.run_column]
    if more:
        raise NotWritten(f"{columns.target}: the table has a column {more[0]!r}, and the results have none: {remedy}")
    found = []
    for name in there.names:
        if name == columns.run_column:
            continue
        column, kind = wanted[name], there.field(name).type
        if not fits(column.table.type, kind):
            raise NotWritten(
                f"{columns.target}: column {name!r} is {column.own.type} in the results, and {kind} in the table: {remedy}"
            )
        # What is only written down otherwise stays as we write it.
        kept = column.table.type if same_kind(column.table.type, kind) and not _of_size(kind) else kind
        found.append(replace(column, table=pa.field(name, kept)))
    return replace(columns, columns=tuple(found))


def checked(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """The same values as another type. Raises NotHeld."""
    own = array.type
    if own == kind:
        return array
    if _of_size(kind):
        return vectors(array, kind)
    if is_text(kind) and not is_text(own) and not pa.types.is_dictionary(own) and not pa.types.is_null(own):
        return pa.array(plain_values(array), pa.string())
    if isinstance(own, pa.BaseExtensionType) and own.extension_name == "arrow.uuid" and pa.types.is_string(kind):
        return pa.array(plain_values(array), pa.string())
    try:
        found = recast(array, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise NotHeld(str(error)) from error
    narrower = pa.types.is_floating(own) and pa.types.is_floating(kind) and own.bit_width > kind.bit_width
    # Arrow's safe cast of floats is not: it rounds.
    if narrower and pc.any(pc.and_(pc.not_equal(found.cast(own), array), pc.invert(pc.is_nan(array)))).as_py():
        raise NotHeld(f"{kind} would round it")
    return found


def vectors(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Lists of floats as vectors of one length; null stays null. Raises NotHeld."""
    size = kind.list_size
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_field))
    lengths = pc.list_value_length(array)
    odd = pc.not_equal(lengths, size)
    if pc.any(odd).as_py():
        other = lengths.filter(odd)[0].as_py()
        raise NotHeld(f"a vector of {other:,} numbers, and others have {size:,}")
    values = checked(array.flatten(), kind.value_type)
    if values.null_count:
        raise NotHeld("a vector with a number that is null")
    whole = pa.FixedSizeListArray.from_arrays(values, type=kind)
    if not array.null_count:
        return whole
    there = pc.is_valid(array)
    places = pc.subtract(pc.cumulative_sum(there.cast(pa.int64())), 1)
    return whole.take(pc.if_else(there, places, pa.scalar(None, pa.int64())))


def _of_size(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))


def _type(field: pa.Field, rules: Rules, vector: str | None, length: int | None) -> pa.DataType:
    if rules.vectors and field.name == vector and length:
        return pa.list_(pa.field("element", pa.float32()), length)
    try:
        return table_type(field.type, rules.leaf)
    except NoType as error:
        raise NotWritten(
            f"{rules.target} has no type for column {field.name!r}, which is {field.type} ({error}): cast it to text in the "
            "source, or leave it out (`columns` in the manifest)"
        ) from error


def _wanted(field: pa.Field) -> str:
    """A number that was a duration says in its name what it counts."""
    return f"{field.name}_{field.type.unit}" if pa.types.is_duration(field.type) else field.name
