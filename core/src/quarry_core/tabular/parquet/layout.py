"""How a part is encoded: compression, dictionaries and statistics by leaf of the file's own tree, which an empty file tells for
every type.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.contract.results import OUR_COLUMNS
from quarry_core.tabular.parquet.part_errors import FAULTS, PartUnwritable, reason

# Of our columns, counted from the answer: status, error_code, error_message, stop_reason.
_FEW_VALUES = range(2, 6)
VECTOR = pa.list_(pa.field("element", pa.float32()))


@dataclass(frozen=True, slots=True)
class Leaf:
    path: str
    column: int
    category: bool
    nested: bool
    floating: bool


class Layout:
    """How the columns of a part are encoded.

    Args:
        schema: of the part, whose last columns are the answer and ours (`quarry_core.contract.results`).
        compression: of all but an embedding's digits, which do not shrink.
        annotated: leaves of the source whose annotations pyarrow does not write.

    Attributes:
        answer: the place of the answer column.
        leaves: of the file's own tree.
        empty: a file of this schema without rows.

    Raises:
        PartUnwritable: naming the column.
    """

    def __init__(self, schema: pa.Schema, compression: str, annotated: Collection[int] = ()) -> None:
        try:
            self.leaves, self.empty = _leaves(schema)
        except FAULTS as error:
            column = next((each.name for each in schema if not _has_tree(each)), "")
            raise PartUnwritable(column, reason(error)) from error
        self.schema = schema
        self.answer = len(schema) - OUR_COLUMNS
        self._compression = compression
        self._annotated = annotated

    @property
    def vector_path(self) -> tuple[str, str, str] | None:
        """The names on the way to the numbers of the answer, if that is a vector."""
        answer = self.schema.field(self.answer)
        return (answer.name, "list", "element") if answer.type.equals(VECTOR) and answer.nullable else None

    def leaves_of(self, columns: Collection[int]) -> list[Leaf]:
        return [leaf for leaf in self.leaves if leaf.column in columns]

    def writer(self, sink: Any, columns: Sequence[int] | None = None) -> pq.ParquetWriter:
        """Of a file of all columns; or of these, whose column chunks are taken out of it."""
        taken = range(len(self.schema)) if columns is None else columns
        schema = self.schema if columns is None else pa.schema([self.schema.field(place) for place in columns])
        numbered = [(number, leaf) for number, leaf in enumerate(self.leaves) if leaf.column in taken]
        return pq.ParquetWriter(
            sink,
            schema,
            # The digits of an embedding do not shrink, and trying costs more than writing.
            compression={
                leaf.path: "none" if leaf.column == self.answer and leaf.nested else self._compression
                for _, leaf in numbered
            },
            # Our columns of few distinct values, and categories, whose levels only a dictionary keeps. Texts gain nothing.
            # Nested values other than numbers of a vector: fastparquet misreads those that have none.
            use_dictionary=[
                leaf.path
                for _, leaf in numbered
                if leaf.category or leaf.column - self.answer in _FEW_VALUES or (leaf.nested and not leaf.floating)
            ],
            # An order that pyarrow gives to bytes need not be that of what they mean.
            write_statistics=[
                leaf.path for number, leaf in numbered if leaf.column != self.answer and number not in self._annotated
            ],
            # Keeps the names of list items as the source has them; our own list is named as the format asks.
            use_compliant_nested_type=False,
            store_schema=columns is None,
        )


def _leaves(schema: pa.Schema) -> tuple[list[Leaf], bytes]:
    """The columns of the file's own tree, and a file of it. Raises one of FAULTS for a type that has no place in one."""
    empty = io.BytesIO()
    with pq.ParquetWriter(empty, schema, use_compliant_nested_type=False):
        pass  # not `schema.empty_table`, which knows no extension types inside others
    tree = pq.read_metadata(empty).schema
    kinds = [(place, kind) for place, each in enumerate(schema) for kind in leaf_types(each.type)]
    assert len(kinds) == len(tree), f"{len(tree)} leaves in the file, {len(kinds)} in the schema"
    leaves = [
        Leaf(
            path=tree.column(number).path,
            column=column,
            category=pa.types.is_dictionary(kind),
            floating=pa.types.is_floating(kind),
            nested=pa.types.is_nested(_storage(schema.field(column).type)),
        )
        for number, (column, kind) in enumerate(kinds)
    ]
    return leaves, empty.getvalue()


def _has_tree(column: pa.Field) -> bool:
    try:
        _leaves(pa.schema([column]))
    except FAULTS:
        return False
    return True


def leaf_types(kind: pa.DataType) -> Iterator[pa.DataType]:
    """The types of the leaves of a column of this type."""
    kind = _storage(kind)
    if pa.types.is_nested(kind):
        for place in range(kind.num_fields):
            yield from leaf_types(kind.field(place).type)
    else:
        yield kind


def _storage(kind: pa.DataType) -> pa.DataType:
    return _storage(kind.storage_type) if isinstance(kind, pa.BaseExtensionType) else kind
