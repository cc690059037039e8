"""Which rows of a batch are taken: those that the condition is true of, and of these the ones in the sample. Pure.

A function of the selection and the rows alone, so that whoever reads a range again takes the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from quarry_core.contract.where import parse_where
from quarry_core.tabular.counted import Selection
from quarry_core.tabular.row_sample import MIXED_MAX, mixed
from quarry_core.tabular.where import Filter

Mask = np.ndarray[Any, np.dtype[np.bool_]]


class Chooser:
    """Tells of rows whether they are taken.

    Attributes:
        columns: what it reads of the dataset.

    Raises:
        SourceError: as `Filter`.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._filter = Filter(parse_where(selection.where), selection.schema) if selection.where else None
        self.columns = self._filter.columns if self._filter is not None else ()

    def taken(self, batch: pa.RecordBatch, row: int, file: str, file_row: int) -> Mask:
        """For each row of a batch of at least `columns`, whether it is taken.

        Args:
            batch: rows of one file.
            row: which row of all files, slices apart, the first is.
            file: for messages.
            file_row: which row of the file the first is.

        Raises:
            SourceError: the condition cannot be asked of a row.
        """
        taken = self.sampled(row, batch.num_rows)
        if self._filter is not None:
            # Asked of every row: a cell that cannot be asked is found while counting, not by another seed.
            taken &= self._filter.taken(batch, file, file_row).to_numpy(zero_copy_only=False)
        return taken

    def sampled(self, row: int, rows: int) -> Mask:
        """For each of some rows of all files, whether it is in the sample, apart from the condition."""
        below = self._selection.below
        if below is None or below >= MIXED_MAX:
            return np.ones(rows, np.bool_)
        return mixed(np.arange(row, row + rows, dtype=np.uint64), self._selection.seed) < np.uint64(below)


def kept(batch: pa.RecordBatch, taken: Mask) -> Iterator[pa.RecordBatch]:
    """The rows that are taken."""
    if taken.all():
        yield batch
    elif taken.any():
        try:
            yield batch.filter(pa.array(taken))
        except pa.ArrowNotImplementedError:  # of views nothing can be taken out, but stretches can be cut
            edges = np.flatnonzero(np.diff(np.concatenate(([False], taken, [False]))))
            for begin, end in edges.reshape(-1, 2).tolist():
                yield batch.slice(begin, end - begin)
