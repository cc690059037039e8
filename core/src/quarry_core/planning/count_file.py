"""Looking at one file of a source: its schema, its number of rows, and where in it a sample is taken.

Owns nothing and writes nothing; the same pinned object gives the same `Count`, so any worker may do it again. A
Parquet file tells its rows in its footer; a CSV or JSONL file is read once, in blocks of 1 MiB, and notes on the way
where rows begin, so that a worker can start in the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise

import pyarrow as pa

from quarry_core.contract.csv_dialect import Csv
from quarry_core.errors import NoRanges
from quarry_core.planning.count_csv import count_csv
from quarry_core.planning.count_jsonl import count_jsonl
from quarry_core.planning.count_parquet import count_parquet, parquet_sample, spread
from quarry_core.ports import ObjectRef, Objects
from quarry_core.rendering.row_encoder import RowEncoder
from quarry_core.tabular.rows import Count, SourceFormat, read_rows
from quarry_core.tabular.spool import Body, SpoolPlace, keep, open_body

SAMPLE_ROWS = 200
SAMPLE_PLACES = 8


def inspect(
    objects: Objects,
    ref: ObjectRef,
    form: SourceFormat,
    csv: Csv | None = None,
    needed: Collection[str] = (),
    place: SpoolPlace | None = None,
    used: Collection[str] | None = None,
) -> Count:
    """Count a file's rows and read its schema, in one pass with flat memory.

    Args:
        objects: the port that reads it.
        ref: the file, pinned.
        form: its format.
        csv: what the manifest says of a CSV file's form.
        needed: the columns that the prompt needs.
        place: where a compressed file goes unpacked, and one that gives no ranges as it is; None: nowhere, so that its
            rows cannot be read after this.
        used: the columns of a Parquet file that anything is done with; None: all.

    Raises:
        SourceError: it is not of its format, or its columns cannot be told apart.
        Conflict: another object stands at `place`.
        PortError: as `Objects.stream` and `Objects.random_access` do.
    """
    if form == "parquet":
        try:
            return count_parquet(objects, ref, needed, used)
        except NoRanges:
            if place is None:
                raise
        kept = keep(objects, ref, place)
        counted = count_parquet(objects, ObjectRef(kept.key, etag=kept.etag, size_bytes=kept.size_bytes), needed, used)
        return counted.model_copy(update={"spool": kept})
    if form == "csv":
        return count_text(objects, ref, place, lambda body: count_csv(body, ref.key, csv, may_be_empty=body.packed))
    return count_text(objects, ref, place, lambda body: count_jsonl(body, ref.key, needed))


def count_text(objects: Objects, ref: ObjectRef, place: SpoolPlace | None, count: Callable[[Body], Count]) -> Count:
    """Count a file of text, unpacked on the way if it is compressed. Arguments and errors are those of `inspect`."""
    with open_body(objects, ref, place) as body:
        counted = count(body)
        spool = body.publish(objects, place) if place is not None else None
    return counted if spool is None else counted.model_copy(update={"spool": spool})


def count_gaps(objects: Objects, ref: ObjectRef, count: Count, encoder: RowEncoder) -> int:
    """As `unsent_rows`, of a file whose columns are those of the dataset."""
    return unsent_rows(lambda first, rows: read_rows(objects, ref, count, first, rows, encoder.columns), count, encoder)


def unsent_rows(
    read: Callable[[int, int], Iterator[pa.RecordBatch]], count: Count, encoder: RowEncoder, whole: Collection[str] = ()
) -> int:
    """How many rows of a file the encoder will leave out, by the encoder itself.

    The plan makes shards that can do without them. What need not be read for that is not: CSV, whose cells are all
    text, and JSONL of which each row was seen to have a value, but for stretches in which a record could be too large;
    a Parquet file whose footer proves that each value can be sent; ready requests, each of which was judged by the count.
    Else the columns of the prompt are read.

    Args:
        read: gives rows of the file, by first row and number.
        count: what was counted of the file.
        encoder: of the run.
        whole: columns that have a value in every row, whatever the file says.

    Raises:
        SourceError: the file cannot be read to its end.
        PortError: as `Objects.stream` and `Objects.random_access` do.
    """
    if count.gaps is not None:
        return count.gaps
    if count.format != "parquet" and set(encoder.columns) <= {*_without_gaps(count), *whole}:
        unsent = 0
        for (row, byte), (next_row, next_byte) in pairwise([*count.offsets, (count.rows, count.size_bytes)]):
            # A byte of another encoding is up to three of UTF-8.
            text_bytes = (next_byte - byte) * (1 if count.dialect.encoding == "utf-8" else 3)
            if encoder.could_be_too_large(text_bytes):
                unsent += sum(map(encoder.count_unsent, read(row, next_row - row)))
        return unsent
    if set(encoder.columns) <= {*count.whole, *whole}:
        return 0
    return sum(map(encoder.count_unsent, read(0, count.rows)))


def _without_gaps(count: Count) -> tuple[str, ...]:
    return count.columns if count.format == "csv" else count.whole


# --------------------------------------------------------------------------- sampling


def sample(
    objects: Objects,
    ref: ObjectRef,
    count: Count,
    rows: int = SAMPLE_ROWS,
    places: int = SAMPLE_PLACES,
    schema: pa.Schema | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """About `rows` rows from up to `places` places spread over the source, in order; all of them if it has no more.

    A place is a noted offset (CSV, JSONL) or the beginning of a row group (Parquet), so that nothing is decoded to be
    dropped. A Parquet file with few row groups is therefore sampled at few places. The batches stay apart: their
    dictionaries may differ, and together they may be large. `schema`, `columns` and errors are
    those of `read_rows`.
    """
    if count.rows <= rows:
        return read_rows(objects, ref, count, 0, count.rows, columns, schema)
    if count.format == "parquet":
        return parquet_sample(objects, ref, rows, places, columns)
    return _noted_places(objects, ref, count, rows, places, schema, columns)


def _noted_places(
    objects: Objects,
    ref: ObjectRef,
    count: Count,
    rows: int,
    places: int,
    schema: pa.Schema | None,
    columns: Sequence[str] | None,
) -> Iterator[pa.RecordBatch]:
    chosen = spread(len(count.offsets), places)
    each = -(-rows // len(chosen))
    begins = [count.offsets[place][0] for place in chosen]
    for begin, end in pairwise([*begins, count.rows]):
        yield from read_rows(objects, ref, count, begin, min(each, end - begin), columns, schema)
