"""A part of a result as a Parquet file: how it is written, and the proof that it holds what was put in.

Theory of operation. The result's schema is the source's with eight columns of ours behind it, so a part must hold any
type that a Parquet file can be read as. Three things make that true. The compression and the encodings are chosen by
leaf of the file's own tree, which an empty file tells for every type. Annotations that pyarrow drops are put into the
footer (`quarry_core.tabular.parquet.footer`). A category column is written with its
dictionary, and a row group ends where a dictionary changes: so the categories, their order and the width of the index
come back as they were, whatever the source's row groups were (a row group has one dictionary). And rows from a few
places are read back from what was written and compared, before anybody publishes it.

The preprocessor writes a small part with the same code before anything is paid for: a type that cannot be written is
refused at arrival.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.contract.results import OUR_COLUMNS
from quarry_core.tabular.arrow_equal import same_values
from quarry_core.tabular.parquet.footer import Annotation, annotate

ROW_GROUP_ROWS_MAX = 8_192
ROW_GROUP_BYTES_MAX = 8 << 20
PROVEN_PLACES = 4
PROVEN_ROWS_PER_PLACE = 64
REASON_CHARS_MAX = 300
# Of our columns, counted from the answer: status, error_code, error_message, stop_reason.
_FEW_VALUES = range(2, 6)
# What a type or a value makes of pyarrow; not what a disk or a lack of memory does.
_FAULTS = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, pa.ArrowKeyError, pa.ArrowIndexError)


class PartError(Exception):
    """A part that may not be published. It fails again the same way, however often it is tried.

    Attributes:
        column: the column at fault; empty if it is none.
        reason: what is wrong with it.
    """

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"column {column!r}: {reason}" if column else reason)
        self.column = column
        self.reason = reason


class PartUnwritable(PartError):
    """A type or a value cannot be written as Parquet."""


class PartDiffers(PartError):
    """What was written does not read back as what was put in."""


def write_rows(
    sink: Any,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    compression: str,
    annotations: Sequence[Annotation] = (),
    about_to_write: Callable[[int, int], None] = lambda _first, _rows: None,
) -> int:
    """Write batches whose last columns are the answer and ours (`quarry_core.contract.results`); the number of rows.

    Memory is one row group: at most 8,192 rows and 8 MiB, or as much again as the dictionaries of its categories.

    Args:
        sink: a writable file.
        schema: of every batch.
        batches: of any length.
        compression: of all but an embedding's digits, which do not shrink.
        annotations: of leaves of the source, which pyarrow does not write.
        about_to_write: told of each row group before it is written, by its first row and its number of rows, and at last
            of the footer, by the number of all rows and none.

    Raises:
        PartUnwritable: naming the column, where it is known.
    """
    written = 0
    target = _Ending(sink)
    writer = _open(target, schema, compression, {each.leaf for each in annotations})
    try:
        for group in _row_groups(batches):
            table = pa.Table.from_batches(group, schema)
            about_to_write(written, table.num_rows)
            try:
                writer.write_table(table, row_group_size=table.num_rows)
            except _FAULTS as error:
                raise PartUnwritable(_first_unwritable(table), _reason(error)) from error
            written += table.num_rows
    except BaseException:
        with suppress(Exception):  # what went wrong is told already
            writer.close()
        raise
    target.hold()
    writer.close()
    about_to_write(written, 0)
    sink.write(annotate(target.held(), annotations) if annotations else target.held())
    return written


class _Ending:
    """A sink that can hold back what is written last: the footer."""

    closed = False

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._held: list[bytes] | None = None

    def write(self, data: Any) -> int:
        if self._held is None:
            return int(self._sink.write(data))
        self._held.append(bytes(data))
        return len(self._held[-1])

    def hold(self) -> None:
        self._held = []

    def held(self) -> bytes:
        return b"".join(self._held or ())

    def tell(self) -> int:
        return int(self._sink.tell()) + len(self.held())

    def flush(self) -> None:
        """What is held stays held; the rest is the sink's own business."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def _open(sink: Any, schema: pa.Schema, compression: str, annotated: Collection[int]) -> pq.ParquetWriter:
    try:
        leaves = list(_leaves(schema))
    except _FAULTS as error:
        column = next((each.name for each in schema if not _has_tree(each)), "")
        raise PartUnwritable(column, _reason(error)) from error
    answer = len(schema) - OUR_COLUMNS
    return pq.ParquetWriter(
        sink,
        schema,
        # The digits of an embedding do not shrink, and trying costs more than writing.
        compression={leaf.path: "none" if leaf.column == answer and leaf.nested else compression for leaf in leaves},
        # Our columns of few distinct values, and categories, whose levels only a dictionary keeps. Texts gain nothing.
        # Nested values other than numbers of a vector: fastparquet misreads those that have none.
        use_dictionary=[
            leaf.path
            for leaf in leaves
            if leaf.category or leaf.column - answer in _FEW_VALUES or (leaf.nested and not leaf.floating)
        ],
        # An order that pyarrow gives to bytes need not be that of what they mean.
        write_statistics=[
            leaf.path for number, leaf in enumerate(leaves) if leaf.column != answer and number not in annotated
        ],
        # Keeps the names of list items as the source has them; our own list is named as the format asks.
        use_compliant_nested_type=False,
    )


@dataclass(frozen=True, slots=True)
class _Leaf:
    path: str
    column: int
    category: bool
    nested: bool
    floating: bool


def _leaves(schema: pa.Schema) -> Iterator[_Leaf]:
    """The columns of the file's own tree. Raises one of `_FAULTS` for a type that has no place in one."""
    empty = io.BytesIO()
    with pq.ParquetWriter(empty, schema, use_compliant_nested_type=False):
        pass  # not `schema.empty_table`, which knows no extension types inside others
    tree = pq.read_metadata(empty).schema
    kinds = [(place, kind) for place, each in enumerate(schema) for kind in _leaf_types(each.type)]
    assert len(kinds) == len(tree), f"{len(tree)} leaves in the file, {len(kinds)} in the schema"
    for number, (column, kind) in enumerate(kinds):
        yield _Leaf(
            path=tree.column(number).path,
            column=column,
            category=pa.types.is_dictionary(kind),
            floating=pa.types.is_floating(kind),
            nested=pa.types.is_nested(_storage(schema.field(column).type)),
        )


def _has_tree(column: pa.Field) -> bool:
    try:
        list(_leaves(pa.schema([column])))
    except _FAULTS:
        return False
    return True


def _storage(kind: pa.DataType) -> pa.DataType:
    return _storage(kind.storage_type) if isinstance(kind, pa.BaseExtensionType) else kind


def _leaf_types(kind: pa.DataType) -> Iterator[pa.DataType]:
    kind = _storage(kind)
    if pa.types.is_nested(kind):
        for place in range(kind.num_fields):
            yield from _leaf_types(kind.field(place).type)
    else:
        yield kind


def _first_unwritable(table: pa.Table) -> str:
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            pq.write_table(pa.table([column], [name]), io.BytesIO(), use_compliant_nested_type=False)
        except _FAULTS:
            return str(name)
    return ""


def _reason(error: Exception) -> str:
    return str(error)[:REASON_CHARS_MAX]


# --------------------------------------------------------------------------- row groups


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches of one row group each: of one dictionary a column, and never smaller than the dictionaries they repeat."""
    group: _Group | None = None
    rows = size = 0
    dictionaries: list[pa.Array] = []
    repeated = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        own = list(_dictionaries_of(batch))
        known = group is not None and all(map(same_values, own, dictionaries))
        levels = sum(each.nbytes for each in own)
        own_size = batch.nbytes - levels
        full = rows + batch.num_rows > ROW_GROUP_ROWS_MAX or size + own_size > ROW_GROUP_BYTES_MAX
        if group is not None and (not known or (full and size >= repeated)):
            yield group.batches()
            group, rows, size = None, 0, 0
        if group is None:
            group = _Group(batch.schema, sharing=bool(own))
            dictionaries, repeated = own, levels
        group.add(batch)
        rows += batch.num_rows
        size += own_size
    if group is not None:
        yield group.batches()


class _Group:
    """The batches of a row group. Those with dictionaries are kept as Arrow's stream, which holds each dictionary once.

    Parquet readers give every batch a copy of the dictionary of its own: thousands of them, where rows are few to a batch.
    """

    def __init__(self, schema: pa.Schema, *, sharing: bool) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._sink = pa.BufferOutputStream() if sharing else None
        self._stream = pa.ipc.new_stream(self._sink, schema) if sharing else None

    def add(self, batch: pa.RecordBatch) -> None:
        if self._stream is None:
            self._batches.append(batch)
        else:
            self._stream.write_batch(batch)

    def batches(self) -> list[pa.RecordBatch]:
        """All that were added; nothing can be added any more."""
        if self._stream is None or self._sink is None:
            return self._batches
        self._stream.close()
        return list(pa.ipc.open_stream(self._sink.getvalue()))


def _dictionaries_of(batch: pa.RecordBatch) -> Iterator[pa.Array]:
    for column in batch.columns:
        yield from _dictionaries_in(column)


def _dictionaries_in(array: pa.Array) -> Iterator[pa.Array]:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        yield from _dictionaries_in(array.storage)
    elif pa.types.is_dictionary(kind):
        yield array.dictionary
    elif not any(map(pa.types.is_dictionary, _leaf_types(kind))):
        return
    elif pa.types.is_struct(kind):
        for place in range(kind.num_fields):
            yield from _dictionaries_in(array.field(place))
    elif pa.types.is_map(kind):
        yield from _dictionaries_in(array.keys)
        yield from _dictionaries_in(array.items)
    else:
        yield from _dictionaries_in(array.values)


# --------------------------------------------------------------------------- the proof


@dataclass(slots=True)
class Proof:
    """Rows from a few places of a part, to be found again in it.

    Args:
        rows: of the whole part.
    """

    rows: int
    _kept: list[tuple[int, pa.RecordBatch]] = field(default_factory=list)

    def watch(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches; rows of some are kept."""
        wanted = [place * self.rows // PROVEN_PLACES for place in range(PROVEN_PLACES)]
        wanted.append(max(self.rows - PROVEN_ROWS_PER_PLACE, 0))
        at = 0
        for batch in batches:
            due = [row for row in wanted if row < at + batch.num_rows]
            if due and batch.num_rows:
                wanted = wanted[len(due) :]
                for row in sorted({max(row - at, 0) for row in due}):
                    self._kept.append((at + row, batch.slice(row, PROVEN_ROWS_PER_PLACE)))
            yield batch
            at += batch.num_rows

    def needs(self, first: int, rows: int) -> bool:
        """Whether `check` will read the row group of these rows, which have been watched."""
        return any(first <= row < first + rows for row, _ in self._kept)

    def check(self, file: BinaryIO, schema: pa.Schema) -> None:
        """Read the part back. Raises PartDiffers, naming the first column that is not what it was."""
        try:
            with pq.ParquetFile(file, pre_buffer=False) as part:
                _check_schema(part.schema_arrow, schema)
                if part.metadata.num_rows != self.rows:
                    raise PartDiffers("", f"{self.rows} rows were written, and {part.metadata.num_rows} are there")
                self._check_rows(part)
        except (*_FAULTS, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's fault, not the part's
            raise PartDiffers("", f"it cannot be read back ({_reason(error)})") from error

    def _check_rows(self, part: pq.ParquetFile) -> None:
        begin = 0
        left = self._kept
        for group in range(part.num_row_groups):
            end = begin + part.metadata.row_group(group).num_rows
            here = [(row - begin, batch) for row, batch in left if row < end]
            left = left[len(here) :]
            if here:
                found = _read_group(part, group)
                for row, wanted in here:
                    _check_values(wanted, found.slice(row, wanted.num_rows))
            begin = end


def _read_group(part: pq.ParquetFile, group: int) -> pa.Table:
    try:
        return part.read_row_group(group, use_threads=False)
    except (*_FAULTS, OSError) as error:
        for name in part.schema_arrow.names:
            try:
                part.read_row_group(group, columns=[name], use_threads=False)
            except _FAULTS as fault:
                raise PartDiffers(name, f"it cannot be read back ({_reason(fault)})") from error
        raise


def _check_schema(found: pa.Schema, wanted: pa.Schema) -> None:
    if found.names != wanted.names:
        raise PartDiffers("", f"the columns {wanted.names} were written, and {found.names} are there")
    for one, other in zip(wanted, found, strict=True):
        # Not Arrow's own comparison with metadata: that one minds the inner names of maps, which no message carries.
        if not one.equals(other) or (one.metadata or {}) != (other.metadata or {}):
            raise PartDiffers(one.name, f"{one} was written, and reads back as {other}")
    if (found.metadata or {}) != (wanted.metadata or {}):
        raise PartDiffers("", "the schema's metadata reads back otherwise")


def _check_values(wanted: pa.RecordBatch, found: pa.Table) -> None:
    if found.num_rows != wanted.num_rows:
        raise PartDiffers("", f"{wanted.num_rows} rows were written to a row group, and {found.num_rows} are there")
    for place, name in enumerate(wanted.schema.names):
        at = 0
        for chunk in found.column(place).chunks:
            if not same_values(wanted.column(place).slice(at, len(chunk)), chunk):
                raise PartDiffers(name, f"values of type {chunk.type} read back otherwise than they were written")
            at += len(chunk)
