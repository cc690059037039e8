"""Parts whose source's columns are those of the rows' copy, compressed as they are there.

Theory of operation. The preprocessor's copy of a shard's rows has the shard's rows and no others, in the columns that come back, as
pyarrow has written them. A part has the same columns, so their chunks are taken over as they stand: not decompressed, decoded, encoded and
compressed again, which is most of what a part of texts costs. Ours are written beside them, row group by row group as the
copy has them.

That holds for flat columns which the copy describes by the same bytes as the part would. Any other copy is read. So is a row
group beside which our columns would take too much memory; it becomes several.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, BinaryIO

import pyarrow as pa

from quarry_core.tabular.parquet.assembly import CODEC, VALUES, Footer, Unfit, pages_of
from quarry_core.tabular.parquet.beside import RowStream, side_by_side
from quarry_core.tabular.parquet.footer import Annotation
from quarry_core.tabular.parquet.layout import Layout
from quarry_core.tabular.parquet.part_errors import PartDiffers
from quarry_core.tabular.parquet.part_file import AssembledPart, Encoded, Watch
from quarry_core.tabular.parquet.row_groups import row_groups
from quarry_core.tabular.parquet.rows import ParquetSource

# Of our columns beside one row group of the copy, vectors apart, which are not held.
OWN_BYTES_MAX = 16 << 20
_NOT_COMPRESSED = 0


class CopiedRows:
    """The rows of a shard, copied: batches to iterate over, and column chunks. Good for as long as its file is open.

    Args:
        file: the copy.
        key: its object's, for messages.

    Raises:
        SourceError: it cannot be read.
    """

    def __init__(self, file: BinaryIO, key: str) -> None:
        self.file = file
        self.source = ParquetSource(file, key)
        self.rows = self.source.rows
        try:
            self.footer: Footer | None = Footer.of(file)
        except Unfit:
            self.footer = None  # pyarrow may read it all the same

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.source.read(0, self.rows)

    def fits(self, layout: Layout) -> bool:
        """Whether its column chunks may stand in a part as they are."""
        schema, footer = self.source.schema, self.footer
        columns = range(len(schema))
        leaves = layout.leaves_of(columns)
        if footer is None or len(schema) > layout.answer or [leaf.column for leaf in leaves] != list(columns):
            return False
        if any(leaf.nested or leaf.category for leaf in leaves):
            return False
        if any(not schema.field(place).equals(layout.schema.field(place)) for place in columns):
            return False
        part = Footer.of(io.BytesIO(layout.empty))
        if footer.elements()[1:] != part.elements()[1 : len(schema) + 1]:
            return False
        return all(
            len(group.chunks) == len(schema) and chunk.number(VALUES) == group.rows and chunk.number(CODEC)
            for group in footer.groups
            for chunk in group.chunks
        )


def write_beside_copies(
    sink: Any,
    layout: Layout,
    copied: CopiedRows,
    outcomes: Iterable[pa.RecordBatch],
    *,
    annotations: Sequence[Annotation] = (),
    watch: Watch,
) -> int:
    """Write a part of which the copy has the source's columns; the number of rows.

    Args:
        sink: a writable file.
        layout: of the part.
        copied: a copy that fits it.
        outcomes: the other columns, in batches of any length.
        annotations: of leaves of the source, which pyarrow does not write.
        watch: is told of each row group, and at last of the footer.

    Raises:
        PartUnwritable: a column of ours cannot be written.
        PartDiffers: there are fewer outcomes than rows; or the copy is not what its footer says.
    """
    part = _Part(AssembledPart(sink, layout, annotations, watch), copied, outcomes)
    assert copied.footer is not None
    for number, group in enumerate(copied.footer.groups):
        if layout.vector_path is not None and part.first_of_ours == layout.answer:
            part.write_vectors(number, group.rows, layout.vector_path)
        else:
            part.write(number, group.rows)
    return part.assembled.end()


class _Part:
    def __init__(self, assembled: AssembledPart, copied: CopiedRows, outcomes: Iterable[pa.RecordBatch]) -> None:
        self.assembled = assembled
        self.first_of_ours = len(copied.source.schema)
        self._copied = copied
        self._layout = assembled.layout
        self._ours = list(range(self.first_of_ours, len(self._layout.schema)))
        schema = pa.schema([self._layout.schema.field(place) for place in self._ours])
        # With the names that they have in the part.
        self._outcomes = RowStream(pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in outcomes)

    def write(self, number: int, rows: int) -> None:
        """A row group of the copy, with our columns beside it."""
        held: list[pa.RecordBatch] = []
        size_bytes = found = 0
        for batch in self._outcomes.some(rows):
            held.append(batch)
            size_bytes, found = size_bytes + batch.nbytes, found + batch.num_rows
            if size_bytes > OWN_BYTES_MAX:
                break
        if found < rows:
            self._write_anew(number, rows, held, rows - found)
            return
        ours = pa.Table.from_batches(held)
        places = self.assembled.watch.places(self.assembled.assembly.rows, rows)
        encoded = Encoded(self._layout, ours, self._ours)
        self._copy(number)
        encoded.add_to(self.assembled.assembly)
        for start, count in places:
            self._show(number, start, ours.slice(start, count))
        self.assembled.assembly.end_group(rows)

    def write_vectors(self, number: int, rows: int, path: Sequence[str]) -> None:
        """As `write`, of vectors, which pass by."""
        places = self.assembled.watch.places(self.assembled.assembly.rows, rows)
        self._copy(number)
        others: list[pa.RecordBatch] = []
        ends: list[pa.RecordBatch] = []

        def passing() -> Iterator[pa.Array]:
            for batch in self._outcomes.some(rows):
                others.append(batch.select(batch.schema.names[1:]))
                ends[1:] = [batch]
                if len(others) == 1:
                    ends[:] = [batch, batch]
                yield batch.column(0)

        self.assembled.add_vectors(path, passing())
        if sum(batch.num_rows for batch in others) < rows:
            raise PartDiffers("", "there are fewer outcomes than rows of the source")
        Encoded(self._layout, pa.Table.from_batches(others), self._ours[1:]).add_to(self.assembled.assembly)
        for start, count in places:
            batch = ends[start > 0]
            few = min(count, batch.num_rows)
            begin = 0 if not start else batch.num_rows - few
            self._show(number, start + count - few if start else 0, pa.Table.from_batches([batch.slice(begin, few)]))
        self.assembled.assembly.end_group(rows)

    def _copy(self, number: int) -> None:
        assert self._copied.footer is not None
        for chunk in self._copied.footer.groups[number].chunks:
            self.assembled.assembly.add(chunk, pages_of(self._copied.file, chunk))

    def _show(self, number: int, start: int, ours: pa.Table) -> None:
        """Rows of a row group that is being written, as the copy and the outcomes have them."""
        read = self._copied.source.read_group(number, start, start + ours.num_rows)
        source = pa.Table.from_batches(list(read), self._copied.source.schema)
        shown = pa.Table.from_arrays([*source.columns, *ours.columns], schema=self._layout.schema)
        self.assembled.watch.show(self.assembled.assembly.rows + start, shown)

    def _write_anew(self, number: int, rows: int, held: list[pa.RecordBatch], left: int) -> None:
        """A row group of the copy as several."""
        before = self.assembled.assembly.rows
        source = RowStream(self._copied.source.read_group(number, 0, rows))
        ours = RowStream(chain(held, self._outcomes.some(left)))
        for group in row_groups(side_by_side(self._layout.schema, source, ours)):
            self.assembled.write(pa.Table.from_batches(group, self._layout.schema))
        if self.assembled.assembly.rows - before < rows:
            raise PartDiffers("", "there are fewer outcomes than rows of the source")
