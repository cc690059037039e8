"""Rows of a dataset, range after range, each row group decoded once.

Theory of operation. Parquet offers no way to a row by its number, so whoever begins in the middle of a row group decodes what
lies before and drops it: twenty ranges of one row group, each read by itself, cost ten times as much as one pass. A worker
reads its shards in order, so the reader stays open between two ranges, and goes on where it is. Other formats are
entered at noted bytes, and are left again: to stay open there would be to ask S3 for more than a range.

The rows are those of `Dataset.read`, in the same batches, whatever was read before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from itertools import accumulate, chain, repeat
from typing import cast

import pyarrow as pa

from quarry_core.tabular.counted import Count
from quarry_core.tabular.dataset import Dataset

_Batches = Generator[pa.RecordBatch, None, None]


class RowReader:
    """Reads ranges of a dataset; belongs to one worker. An error, or a range that is not read to its end, closes it.

    Args:
        dataset: that is read.
        columns: of it, or all.
    """

    def __init__(self, dataset: Dataset, columns: Sequence[str] | None = None) -> None:
        self.dataset = dataset
        self._columns = columns
        self._batches: _Batches | None = None
        self._rest: pa.RecordBatch | None = None
        self._at = 0

    def read(self, first: int, rows: int) -> Iterator[pa.RecordBatch]:
        """Rows [first, first + rows) in order. Raises as `Dataset.read`."""
        if self.dataset.count.format != "parquet":
            yield from self.dataset.read(first, rows, self._columns)
            return
        batches, rest, at = self._batches, self._rest, self._at
        self._batches = self._rest = None  # of this range alone, until it has come to its end
        if batches is None or not self._goes_on(at, first):
            if batches is not None:
                batches.close()
            batches, rest, at = (
                cast("_Batches", self.dataset.read(first, self._left(first, rows), self._columns)),
                None,
                first,
            )
        until = first + rows
        try:
            while at < until:
                batch = next(batches) if rest is None else rest
                rest = None
                behind = at + batch.num_rows
                if behind > until:
                    rest = batch.slice(until - at)
                begin = max(first - at, 0)
                if behind > first:
                    yield batch.slice(begin, min(behind, until) - at - begin)
                at = min(behind, until)
        except BaseException:
            batches.close()
            raise
        if until < self.dataset.count.rows:
            self._batches, self._rest, self._at = batches, rest, at
        else:
            batches.close()

    def close(self) -> None:
        """Give up what is open; the next range opens it again."""
        if self._batches is not None:
            self._batches.close()
        self._batches = self._rest = None

    def _left(self, first: int, rows: int) -> int:
        """Checked as `Dataset.read` does, and then all rows from the first on."""
        left = self.dataset.count.rows - first
        return left if 0 <= rows <= left else rows

    def _goes_on(self, at: int, first: int) -> bool:
        """Whether to go on from row `at` costs no more than to begin at `first` anew."""
        if at == first:
            return True
        if at > first or self.dataset.count.selection is not None or first >= self.dataset.count.rows:
            return False
        return at >= first - rows_before(self.dataset, first)


def rows_before(dataset: Dataset, row: int) -> int:
    """How many rows are decoded and dropped by who begins at a row: those before it in its row group.

    Of a dataset without a choice of rows. 0 for formats that are entered anywhere.
    """
    ((file, first, _),) = dataset.stretches(row, 1)
    place = dataset.count.first_of(file) + first
    return place - group_begin(dataset.count_of(file), place)


def group_begin(count: Count, row: int) -> int:
    """The first row of the row group in which a row of the file stands; of a file that has none, the row."""
    sizes = chain.from_iterable(repeat(rows, times) for rows, times in count.row_groups)
    begins = [0, *accumulate(sizes)]
    return row if len(begins) == 1 else begins[bisect_right(begins, row) - 1]
