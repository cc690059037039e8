"""The rows of a Parquet object, by row range, in batches that are bounded before they are decoded.

Promises: exactly the rows asked for or an error, in order, at most `BATCH_ROWS_MAX` in a batch and about
`BATCH_BYTES_MAX` decoded bytes, however little the file has; a file of which a single row, or the pages that must be
open for it, would take more is refused by column and row group. How that is known before decoding says
`parquet_pages`.

INT96, the timestamps of Spark, Hive and Impala, are read in microseconds: Arrow's own choice, nanoseconds, wraps
around outside of the years 1677 to 2262 without a word. `check_int96` refuses what microseconds do not hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.ports import ObjectRef, Objects
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.parquet.chunks import Damaged, Leaf, encrypted_leaves
from quarry_core.tabular.parquet.pages import (
    BATCH_BYTES_MAX,
    MIB,
    ROW_BYTES_MAX,
    Chunk,
    ListsUnknown,
    PageWatch,
    TooMuch,
    Unbounded,
    count_lists,
)
from quarry_core.tabular.row_bytes import BATCH_ROWS_MAX, hides, indices_fit, pieces, row_bytes

# Of all columns together; each has a share, and at least the least.
BUFFERS_BYTES = 64 * MIB
BUFFER_BYTES_MAX = MIB
BUFFER_BYTES_MIN = 16 * 1024
FOOTER_BYTES_MAX = 16 * MIB
INT96_UNIT = "us"

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 0}


class ParquetSource:
    """An open Parquet object.

    Attributes:
        key: the object's, for messages.
        schema: the Arrow schema of all batches.
        rows: of the whole file.
        groups: the rows of each row group.
        size_bytes: of the object.
    """

    def __init__(self, source: Any, key: str, int96_unit: str = INT96_UNIT) -> None:
        self.key = key
        self._source = source
        self.size_bytes = source.seek(0, 2)
        self._footer_bytes = _check_ending(source, key, self.size_bytes)
        self._watch = PageWatch(source)
        self._metadata: pq.FileMetaData | None = None
        self._file = self._open(int96_unit, 1)
        self._metadata = self._file.metadata
        try:
            self.schema: pa.Schema = self._file.schema_arrow
            self.columns = list(self.schema.names)
            self._leaves = _leaves_of(self._file.schema)
        except (UnicodeDecodeError, pa.ArrowException) as error:
            raise SourceError(f"{key}: its columns have names that are not UTF-8; rename them") from error
        self.groups = [self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups)]
        self.rows = int(self._metadata.num_rows)
        if min(self.groups, default=0) < 0 or sum(self.groups) != self.rows:
            raise SourceError(
                f"{key}: its footer gives {self.rows} rows, its row groups {self.groups[:9]}; write it again"
            )
        self._file = self._open(int96_unit, self.leaf_count)

    def _open(self, int96_unit: str, leaves: int) -> pq.ParquetFile:
        try:
            # pyarrow's own pre-buffering keeps all that was read: 1,983 MB against 104 MB at 2.2 M rows.
            return pq.ParquetFile(
                self._watch,
                metadata=self._metadata,
                pre_buffer=False,
                buffer_size=min(max(BUFFERS_BYTES // max(leaves, 1), BUFFER_BYTES_MIN), BUFFER_BYTES_MAX),
                coerce_int96_timestamp_unit=int96_unit,
                page_checksum_verification=True,
            )
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise SourceError(_unreadable(self.key, error)) from error

    def check_footer(self, columns: Collection[str] | None = None) -> None:
        """Refuse a footer of which pyarrow must not be asked for these columns, or for any; whoever counts does this first.

        Where only others are encrypted, a row of each of these is decoded: pyarrow's word on a file that says it is
        encrypted in part is not to be asked before, of statistics least of all.

        Raises:
            SourceError: columns are encrypted, cannot be decoded, or the footer contradicts itself.
        """
        self._source.seek(self.size_bytes - 8 - self._footer_bytes)
        footer = self._source.read(self._footer_bytes)
        try:
            hidden = encrypted_leaves(footer, self._leaves)
        except Damaged as error:
            raise SourceError(f"{self.key}: its footer is damaged ({error}); write the file again") from error
        used = self.columns if columns is None else [column for column in self.columns if column in columns]
        asked_for = [path for path in hidden if any(_is_under(path, column) for column in used)]
        if asked_for:
            named = ", ".join(repr(path) for path in asked_for[:10])
            raise SourceError(
                f"{self.key}: encrypted columns: {named}; Quarry has no keys: write them unencrypted, or leave them out "
                "with `columns`"
            )
        if hidden and self.rows:
            group = next(number for number, rows in enumerate(self.groups) if rows)
            for column in used:
                next(self.read_group(group, 0, 1, [column]))

    # ----------------------------------------------------------------------- reading

    def read(self, first: int, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Rows [first, first + rows), of these columns or all. Raises SourceError."""
        until, at = first + rows, 0
        if until > self.rows:
            raise SourceError(f"{self.key} has {self.rows} rows; rows up to {until} were asked for")
        for group, group_rows in enumerate(self.groups):
            behind = at + group_rows
            if at < until and behind > first:
                yield from self.read_group(group, max(first - at, 0), min(until, behind) - at, columns)
            at = behind

    def read_group(
        self, group: int, begin: int, end: int, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows [begin, end) of one row group, of these columns or all. Raises SourceError."""
        chunks = self.chunks(group, columns)
        hiding = any(hides(part.type) for part in self.schema)
        for batch in self._decoded(group, chunks, begin, end, columns):
            if hiding or batch.nbytes > BATCH_BYTES_MAX:
                yield from self._cut(batch, group)
            else:
                yield batch

    def chunks(self, group: int, columns: Sequence[str] | None = None) -> list[Chunk]:
        """What the footer tells of a row group's leaves, of these columns or all."""
        assert self._metadata is not None
        reported = self._metadata.row_group(group)
        chunks = []
        for place, leaf in enumerate(self._leaves):
            if columns is not None and not any(_is_under(leaf.path, column) for column in columns):
                continue
            chunk = reported.column(place)
            if not leaf.repetition_max and chunk.num_values != reported.num_rows:
                raise SourceError(
                    f"{self.key}: row group {group} has {reported.num_rows} rows, and its column {leaf.path!r} has "
                    f"{chunk.num_values} values; write the file again"
                )
            begins = [at for at in (chunk.dictionary_page_offset, chunk.data_page_offset) if at]
            chunks.append(
                Chunk(
                    path=leaf.path,
                    start=min(begins, default=0),
                    rows=reported.num_rows,
                    values=chunk.num_values,
                    width=leaf.width,
                    repeats=leaf.repetition_max,
                    codec=chunk.compression,
                )
            )
        return chunks

    def _decoded(
        self, group: int, chunks: Sequence[Chunk], begin: int, end: int, columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        reported = self._file.metadata.row_group(group)
        row_bytes_mean = reported.total_byte_size / max(reported.num_rows, 1)
        rows = int(min(max(BATCH_BYTES_MAX / 2 / max(row_bytes_mean, 1), 1), BATCH_ROWS_MAX))
        at = begin
        while at < end:
            try:
                for batch in self._attempt(group, chunks, rows, at, end, columns):
                    yield batch
                    at += batch.num_rows
            except (pa.ArrowException, OSError, TooMuch, ListsUnknown, Unbounded) as error:
                match self._watch.verdict:
                    case TooMuch() as fewer:
                        rows = fewer.rows
                    case ListsUnknown() as unknown:
                        with self._bounds(group):
                            unknown.chunk.lists = count_lists(self._source, unknown.chunk)
                    case Unbounded() as why:
                        raise SourceError(f"{self.key}: row group {group}: {why}") from error
                    case None:
                        raise SourceError(
                            f"{self.key}: row group {group}{self._where(group, columns)} cannot be decoded ({error}); "
                            "write the file again, and if that does not help, cast the column or leave it out"
                        ) from error

    @contextmanager
    def _bounds(self, group: int) -> Iterator[None]:
        try:
            yield
        except Unbounded as why:
            raise SourceError(f"{self.key}: row group {group}: {why}") from why

    def _attempt(
        self, group: int, chunks: Sequence[Chunk], rows: int, begin: int, end: int, columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        """Rows [begin, end) of a row group, so many at once; what lies before is decoded and dropped.

        Parquet offers no way to a row by its number.
        """
        self._watch.expect(chunks, rows)
        batches = self._file.iter_batches(
            batch_size=rows, row_groups=[group], columns=None if columns is None else list(columns), use_threads=False
        )
        at = 0
        while at < end:
            batch = next(batches, None)
            if batch is None:
                raise pa.ArrowInvalid(f"it ends after {at} of {end} rows")
            behind = at + batch.num_rows
            if behind > begin:
                skip = max(begin - at, 0)
                yield batch.slice(skip, min(end, behind) - at - skip)
            at = behind

    def _cut(self, batch: pa.RecordBatch, group: int) -> Iterator[pa.RecordBatch]:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if not indices_fit(column):
                raise SourceError(
                    f"{self.key}: row group {group}, column {name!r} cannot be decoded (an index has no level in its "
                    "dictionary); write the file again"
                )
        for start, stop in pieces(batch.columns, BATCH_BYTES_MAX):
            if stop - start == 1:
                sizes = [int(row_bytes(column.slice(start, 1))[0]) for column in batch.columns]
                if sum(sizes) > ROW_BYTES_MAX:
                    largest = batch.schema.names[int(np.argmax(sizes))]
                    raise SourceError(
                        f"{self.key}: row group {group}: a row has {sum(sizes) // MIB + 1} MiB, most of it in column "
                        f"{largest!r}, and Quarry reads rows of {ROW_BYTES_MAX // MIB} MiB at most; shorten its values"
                    )
            yield batch.slice(start, stop - start)

    def _where(self, group: int, columns: Sequence[str] | None) -> str:
        """Which column of a row group it is that cannot be decoded, found by decoding each alone."""
        for column in columns if columns is not None else self.columns:
            try:
                for _ in self._attempt(group, self.chunks(group, [column]), 64, 0, self.groups[group], [column]):
                    pass
            except (pa.ArrowException, OSError, TooMuch, ListsUnknown, Unbounded):
                if self._watch.verdict is None:
                    return f", column {column!r},"
        self._watch.verdict = None
        return ""

    # ----------------------------------------------------------------------- the footer

    @property
    def leaf_count(self) -> int:
        """Columns, counting the fields of structs."""
        return len(self._leaves)

    def leaves_under(self, columns: Collection[str] | None) -> int:
        """How many of them these columns have, or all."""
        if columns is None:
            return self.leaf_count
        return sum(any(_is_under(leaf.path, column) for column in columns) for leaf in self._leaves)

    def leaves(self) -> Iterator[tuple[str, pq.ColumnSchema]]:
        """Each leaf of the file's own schema, after the top-level column it belongs to."""
        for place, leaf in enumerate(self._leaves):
            column = next((column for column in self.columns if _is_under(leaf.path, column)), None)
            if column is not None:
                yield column, self._file.schema.column(place)

    @property
    def metadata_keys(self) -> frozenset[bytes]:
        """What the footer has beside the columns."""
        assert self._metadata is not None
        return frozenset(self._metadata.metadata or {})

    def statistics(self, column: str) -> Iterator[pq.Statistics | None]:
        """A flat column's statistics, row group by row group; None where there are none."""
        assert self._metadata is not None
        place = next((place for place, leaf in enumerate(self._leaves) if leaf.path == column), None)
        for group, rows in enumerate(self.groups):
            if rows:
                yield None if place is None else self._metadata.row_group(group).column(place).statistics

    def int96_columns(self, columns: Collection[str] | None = None) -> list[str]:
        """The top-level columns in which there is an INT96, of these or all."""
        found = {column for column, leaf in self.leaves() if leaf.physical_type == "INT96"}
        return [column for column in self.columns if column in found and (columns is None or column in columns)]


@contextmanager
def open_parquet(objects: Objects, ref: ObjectRef) -> Iterator[ParquetSource]:
    """A Parquet object, which keeps nothing of what it has read.

    Raises:
        SourceError: it is not Parquet, is encrypted or damaged, or is larger in some way than can be read.
        PortError: as `Objects.random_access` does.
    """
    with objects.random_access(ref) as source:
        yield ParquetSource(source, ref.key)


def read_parquet(
    objects: Objects, ref: ObjectRef, first: int, rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows [first, first + rows) of a Parquet object, with its exact Arrow schema, or of these columns only.

    Row groups outside the range are not read. Inside one, the rows before `first` are decoded and dropped: Parquet
    offers no way to a row by its number.

    Raises:
        SourceError: the file cannot be decoded, or has fewer rows.
        PortError: as `Objects.random_access` does.
    """
    with open_parquet(objects, ref) as file:
        yield from file.read(first, rows, columns)


# --------------------------------------------------------------------------- INT96


def check_int96(objects: Objects, ref: ObjectRef, columns: Collection[str] | None = None) -> None:
    """Read all INT96 columns, or those of these, and refuse values that microseconds do not hold.

    The same days and nanoseconds are read in three units, which overflow and round differently: a value is exact if it
    is the same in all.

    Raises:
        SourceError: naming column, row group and remedy.
    """
    with objects.random_access(ref) as source:
        files = [ParquetSource(source, ref.key, unit) for unit in (INT96_UNIT, "ns", "s")]
        for column in files[0].int96_columns(columns):
            for group, rows in enumerate(files[0].groups):
                at = 0
                for batches in zip(*(file.read_group(group, 0, rows, [column]) for file in files), strict=True):
                    wrong = _inexact(*(batch.column(column) for batch in batches))
                    if wrong:
                        raise SourceError(
                            f"{ref.key}: column {column!r} has INT96 timestamps {wrong} (row group {group}, among its "
                            f"rows {at + 1} to {at + batches[0].num_rows})"
                        )
                    at += batches[0].num_rows


def _inexact(micros: pa.Array, nanos: pa.Array, seconds: pa.Array) -> str | None:
    """What is wrong with INT96 values, and what to do; other types are the same in all three, and are passed."""
    kind = micros.type
    if kind == nanos.type:
        return None
    if pa.types.is_struct(kind):
        parts = zip(micros.flatten(), nanos.flatten(), seconds.flatten(), strict=True)
        return next((wrong for part in parts if (wrong := _inexact(*part))), None)
    if pa.types.is_map(kind):
        return _inexact(micros.keys, nanos.keys, seconds.keys) or _inexact(micros.items, nanos.items, seconds.items)
    if not pa.types.is_timestamp(kind):
        return _inexact(micros.flatten(), nanos.flatten(), seconds.flatten())
    us, ns, s = (_numbers(one) for one in (micros, nanos, seconds))
    if (us // 1_000_000 != s).any():
        return "outside the range of microseconds: cast it to a string"
    if (us * 1_000 != ns).any():  # wraps around as the nanoseconds do
        return "finer than microseconds: cast it to TIMESTAMP(NANOS), or round it"
    return None


def _numbers(column: pa.Array) -> np.ndarray[Any, Any]:
    numbers: np.ndarray[Any, Any] = column.drop_null().cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers


# --------------------------------------------------------------------------- opening


def _leaves_of(schema: pq.ParquetSchema) -> list[Leaf]:
    return [
        Leaf(
            leaf.path,
            leaf.physical_type,
            _WIDTHS.get(leaf.physical_type, leaf.length or 0),
            leaf.max_definition_level,
            leaf.max_repetition_level,
        )
        for leaf in map(schema.column, range(len(schema)))
    ]


def _is_under(path: str, column: str) -> bool:
    """Whether a leaf belongs to a top-level column."""
    return path == column or path.startswith(column + ".")


def _check_ending(source: Any, key: str, size_bytes: int) -> int:
    """The footer's length, before it is read."""
    source.seek(max(size_bytes - 8, 0))
    ending = source.read(8)
    if ending[4:] == b"PARE":
        raise SourceError(f"{key} is encrypted, and Quarry has no keys; write it unencrypted")
    if ending[4:] != b"PAR1":
        source.seek(0)  # a request, which a sound file is spared
        if source.read(4) == b"PAR1":
            raise SourceError(f"{key} is cut short: a Parquet file ends in PAR1; write or upload it again")
    footer_bytes = int.from_bytes(ending[:4], "little")
    if ending[4:] == b"PAR1" and footer_bytes > FOOTER_BYTES_MAX:
        raise SourceError(
            f"{key} has a footer of {footer_bytes // MIB} MiB, and Quarry reads {FOOTER_BYTES_MAX // MIB} MiB at most; "
            "write it with fewer row groups or fewer columns"
        )
    return footer_bytes


def _unreadable(key: str, error: Exception) -> str:
    if "more than 64 bits" in str(error):
        return (
            f"{key} has a column of 128-bit integers (polars writes Int128 and UInt128 so), which Arrow does not know; "
            "cast it to Decimal(38, 0), Int64 or String"
        )
    if isinstance(error, UnicodeDecodeError):
        return f"{key}: its columns have names that are not UTF-8; rename them"
    return f"{key} is not a readable Parquet file ({error}); write it again"
