"""A part of a result, read by the pyarrow that is installed, which may be older than the one that wrote it.

Not whole, and not across row groups: there pyarrow does not read nested categories. And in the caller's thread alone: threads
of pyarrow that still hold bytes of a Python file when the process ends abort it, though all was read and right.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_cli.errors import Unreadable


@contextlib.contextmanager
def open_part(source: BinaryIO) -> Iterator[pq.ParquetFile]:
    """Raises Unreadable where this pyarrow does not know what the file is made of."""
    with read_by_this_pyarrow():
        file = pq.ParquetFile(source, pre_buffer=False)
    with file:
        yield file


def batches_of(part: pq.ParquetFile, rows_max: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a part, `rows_max` at a time. Raises Unreadable as `open_part` does."""
    wanted = list(columns) if columns is not None else None
    for group in range(part.num_row_groups):
        with read_by_this_pyarrow():
            batches: Iterator[Any] = part.iter_batches(
                batch_size=rows_max, row_groups=[group], columns=wanted, use_threads=False
            )
        while True:
            with read_by_this_pyarrow():
                batch = next(batches, None)
            if batch is None:
                break
            yield batch


def tables_of(part: pq.ParquetFile, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    """The row groups of a part, each as a table. Raises Unreadable as `open_part` does."""
    wanted = list(columns) if columns is not None else None
    for group in range(part.num_row_groups):
        with read_by_this_pyarrow():
            table = part.read_row_group(group, columns=wanted, use_threads=False)
        yield table


@contextlib.contextmanager
def read_by_this_pyarrow() -> Iterator[None]:
    """Raises Unreadable where pyarrow cannot read what it is given."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the format's
        raise Unreadable(
            f"pyarrow {pa.__version__} cannot read this result ({error}): upgrade pyarrow (docs/install.md says which "
            "columns need which)"
        ) from error
