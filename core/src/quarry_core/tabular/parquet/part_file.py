"""A part of a result as a Parquet file: how it is written.

Theory of operation. The result's schema is the source's with eight columns of ours behind it, so a part must hold any
type that a Parquet file can be read as. Three things make that true. The compression and the encodings are chosen by
leaf of the file's own tree (`layout.py`). Annotations that pyarrow drops are put into the footer (`footer.py`). A category
column is written with its dictionary, and a row group ends where a dictionary changes (`row_groups.py`). And rows from a few
places are read back from what was written and compared, before anybody publishes it (`proof.py`).

Vectors are encoded here, and not by pyarrow (`vectors.py`): then each row group is put together from what pyarrow has
written of the other columns, and these pages (`assembly.py`).

The preprocessor writes a small part with the same code before anything is paid for: a type that cannot be written is
refused at arrival.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.tabular.parquet.assembly import Assembly, Footer, pages_of
from quarry_core.tabular.parquet.footer import Annotation, annotate
from quarry_core.tabular.parquet.layout import Layout
from quarry_core.tabular.parquet.part_errors import FAULTS, PartUnwritable, reason
from quarry_core.tabular.parquet.row_groups import OF_PARTS, RowGroup, row_groups
from quarry_core.tabular.parquet.vectors import VectorPages


class Watch(Protocol):
    """Looks on while a part is written."""

    def places(self, first: int, rows: int) -> Sequence[tuple[int, int]]:
        """A row group is about to be written, or the footer if it has no rows: which of its rows are to be shown.

        Args:
            first: the row group's first row, counted in the part.
            rows: how many it has.

        Returns:
            The first row and the number of rows of some stretches, counted in the row group.
        """
        ...

    def show(self, first: int, rows: pa.Table) -> None:
        """Rows that stand in the part from `first` on: of a stretch that was asked for, perhaps not all."""
        ...


class Unwatched:
    def places(self, first: int, rows: int) -> Sequence[tuple[int, int]]:
        del first, rows
        return ()

    def show(self, first: int, rows: pa.Table) -> None:
        """Nothing was asked for."""


def write_rows(
    sink: Any,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    compression: str,
    annotations: Sequence[Annotation] = (),
    watch: Watch | None = None,
    row_group: RowGroup = OF_PARTS,
) -> int:
    """Write batches whose last columns are the answer and ours (`quarry_core.contract.results`); the number of rows.

    Memory is one row group, or as much again as the dictionaries of its categories.

    Args:
        sink: a writable file.
        schema: of every batch.
        batches: of any length.
        compression: of all but an embedding's digits, which do not shrink.
        annotations: of leaves of the source, which pyarrow does not write.
        watch: is told of each row group, and at last of the footer.
        row_group: how large row groups are at most.

    Raises:
        PartUnwritable: naming the column, where it is known.
    """
    layout = Layout(schema, compression, {each.leaf for each in annotations})
    looking = watch or Unwatched()
    if layout.vector_path is not None:
        part = AssembledPart(sink, layout, annotations, looking)
        for group in row_groups(batches, row_group):
            part.write(pa.Table.from_batches(group, schema))
        return part.end()
    written = 0
    target = _Ending(sink)
    writer = layout.writer(target)
    try:
        for group in row_groups(batches, row_group):
            table = pa.Table.from_batches(group, schema)
            for start, count in looking.places(written, table.num_rows):
                looking.show(written + start, table.slice(start, count))
            _write(writer, table)
            written += table.num_rows
    except BaseException:
        with suppress(Exception):  # what went wrong is told already
            writer.close()
        raise
    target.hold()
    writer.close()
    looking.places(written, 0)
    sink.write(annotate(target.held(), annotations) if annotations else target.held())
    return written


class AssembledPart:
    """A part whose row groups are put together."""

    def __init__(self, sink: Any, layout: Layout, annotations: Sequence[Annotation], watch: Watch) -> None:
        self.layout = layout
        self.assembly = Assembly(sink, layout.empty)
        self.watch = watch
        self._sink = sink
        self._annotations = annotations
        self._others = [place for place in range(len(layout.schema)) if place != layout.answer]

    def write(self, table: pa.Table) -> None:
        """A row group, with a vector as the answer or without."""
        first = self.assembly.rows
        for start, count in self.watch.places(first, table.num_rows):
            self.watch.show(first + start, table.slice(start, count))
        path = self.layout.vector_path
        columns = self._others if path is not None else list(range(len(self.layout.schema)))
        written = Encoded(self.layout, table.select(columns), columns)
        if path is not None:
            written.add_to(self.assembly, before=self.layout.answer)
            self.add_vectors(path, table.column(self.layout.answer).chunks)
            written.add_to(self.assembly, since=self.layout.answer)
        else:
            written.add_to(self.assembly)
        self.assembly.end_group(table.num_rows)

    def add_vectors(self, path: Sequence[str], columns: Iterable[pa.Array]) -> None:
        """The column chunk of the answer."""
        pages = VectorPages()
        self.assembly.add_unmeasured(
            (piece for column in columns for piece in pages.pages(column)), lambda: pages.about(path)
        )

    def end(self) -> int:
        """Write the footer; the number of rows."""
        self.watch.places(self.assembly.rows, 0)
        ending = self.assembly.ending()
        self._sink.write(annotate(ending, self._annotations) if self._annotations else ending)
        return self.assembly.rows


class Encoded:
    """Some columns of a row group as pyarrow encodes them, in memory.

    Args:
        layout: of the part.
        table: these columns of the row group.
        columns: their places in the part, ascending.
    """

    def __init__(self, layout: Layout, table: pa.Table, columns: Sequence[int]) -> None:
        out = pa.BufferOutputStream()
        writer = layout.writer(out, columns)
        try:
            _write(writer, table)
        finally:
            writer.close()
        self._file = io.BytesIO(out.getvalue())
        self._leaves = layout.leaves_of(columns)
        (group,) = Footer.of(self._file).groups
        self._chunks = group.chunks

    def add_to(self, assembly: Assembly, *, since: int = 0, before: int | None = None) -> None:
        """Those of columns from `since` to `before`."""
        for leaf, chunk in zip(self._leaves, self._chunks, strict=True):
            if leaf.column >= since and (before is None or leaf.column < before):
                assembly.add(chunk, pages_of(self._file, chunk))


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


def _write(writer: pq.ParquetWriter, table: pa.Table) -> None:
    try:
        writer.write_table(table, row_group_size=table.num_rows)
    except FAULTS as error:
        raise PartUnwritable(_first_unwritable(table), reason(error)) from error


def _first_unwritable(table: pa.Table) -> str:
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            pq.write_table(pa.table([column], [name]), io.BytesIO(), use_compliant_nested_type=False)
        except FAULTS:
            return str(name)
    return ""
