"""Before anything is paid for: a small part is written of the source's very schema, and read back.

What a part cannot hold is refused here, naming the column, and not when the answers are there. The trial also finds
out which annotations of the source pyarrow drops, so that the collector puts them into the parts.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from quarry_core.contract.results import outcome_schema, result_schema
from quarry_core.contract.run import Pins
from quarry_core.models import reader_named
from quarry_core.ports import ObjectRef, Objects
from quarry_core.structured.arrow import fields_of
from quarry_core.tabular.dataset import Dataset
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.parquet.footer import Annotation, Leaf, NotAFooter, leaves_of
from quarry_core.tabular.parquet.lost_annotations import lost_annotations
from quarry_core.tabular.parquet.part_errors import PartError
from quarry_core.tabular.parquet.part_file import write_rows
from quarry_core.tabular.parquet.proof import Proof
from quarry_core.tabular.row_bytes import pieces, row_bytes

TRIAL_ROWS = 64
# Decoded; the first row is tried in any case.
TRIAL_BYTES_MAX = 4 << 20
COLUMNS_NAMED_MAX = 5
SCHEMAS_TRIED_MAX = 16


def try_out(dataset: Dataset, pins: Pins) -> tuple[Annotation, ...]:
    """The annotations that parts of this source need. Blocking.

    Each schema that is found among the files is tried with rows of the first file that has it. A column keeps what all
    files that were tried say of it alike; where a file has it in another type, there is nothing to keep.

    Raises:
        ColumnTaken: a column has a name of ours.
        SourceError: a column cannot come back as it is; the text names it, its type and a cast.
        PortError: as `Objects.random_access` does.
    """
    answer, fields = reader_named(pins.family).answer_column, fields_of(pins.output.text if pins.output else "")
    ours = outcome_schema(answer, fields)
    schema = result_schema(dataset.result_schema, answer, pins.result_prefix, fields)
    known: dict[str, tuple[Annotation, ...]] = {}
    tried: set[bytes] = set()
    for file, rows in enumerate(dataset.count.file_rows):
        # Columns of plain strings can be written whatever is in them.
        if not rows or (tried and dataset.count.format != "parquet"):
            continue
        found = dataset.count_of(file).schema.remove_metadata().serialize().to_pybytes()
        if found in tried or len(tried) == SCHEMAS_TRIED_MAX:
            continue
        tried.add(found)
        for column, lost in _tried(dataset, file, schema, ours).items():
            known[column] = lost if known.get(column, lost) == lost else ()
    return tuple(each for column in schema.names for each in known.get(column, ()))


def _tried(dataset: Dataset, file: int, schema: pa.Schema, ours: pa.Schema) -> dict[str, tuple[Annotation, ...]]:
    """The annotations that each of a file's columns needs."""
    ref = dataset.ref(file)
    of_parquet = dataset.count.format == "parquet"
    try:
        empty = _written(schema, [], ())
        lost = _lost(dataset, file, empty) if of_parquet else {}
        annotations = [each for annotated in lost.values() for each in annotated]
        taken = min(dataset.count.file_rows[file], TRIAL_ROWS) if of_parquet else 0
        names = dataset.result_schema.names if dataset.count.sent_only else None
        rows = _few(dataset.read_file(file, 0, taken, names))
        part = _written(schema, [_answered(batch, schema, ours) for batch in rows], annotations)
        if annotations:
            _check_kept(_lost(dataset, file, part))
    except PartError as error:
        raise SourceError(f"{ref.key}: {_refusal(error, schema)}") from error
    return lost


def _few(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows from the first on that have about as many bytes as a trial may."""
    left = TRIAL_BYTES_MAX
    for batch in batches:
        start, stop = next(pieces(batch.columns, left))
        few = batch.slice(start, stop)
        yield few
        left -= sum(int(row_bytes(column).sum()) for column in few.columns)
        if stop < batch.num_rows or left <= 0:
            return


def name_unreadable(objects: Objects, ref: ObjectRef) -> str:
    """A sentence about the columns of a Parquet file for whose types Arrow has no name; empty if there are none."""
    try:
        with objects.random_access(ref) as source:
            wide = {leaf.column: None for leaf in leaves_of(source) if leaf.kind == "FIXED(16)"}
    except NotAFooter:
        return ""
    if not wide:
        return ""
    named = ", ".join(repr(column) for column in list(wide)[:COLUMNS_NAMED_MAX])
    return f"column {named}: whole numbers of 128 bits cannot be read; cast it to Decimal(38, 0), to 64 bits or to text"


def _written(schema: pa.Schema, batches: Sequence[pa.RecordBatch], annotations: Sequence[Annotation]) -> io.BytesIO:
    """A part with these rows, read back and found to be the same. Raises PartError."""
    part = io.BytesIO()
    proof = Proof(sum(batch.num_rows for batch in batches))
    write_rows(part, schema, batches, compression="zstd", annotations=annotations, watch=proof)
    with io.BytesIO(part.getvalue()) as copy:
        proof.check(copy, schema)
    return part


def _answered(batch: pa.RecordBatch, schema: pa.Schema, ours: pa.Schema) -> pa.RecordBatch:
    trial = [
        pa.nulls(batch.num_rows, each.type) if each.nullable else pa.array(["trial"] * batch.num_rows, each.type)
        for each in ours
    ]
    return pa.RecordBatch.from_arrays([*batch.columns, *trial], schema=schema)


# --------------------------------------------------------------------------- annotations


def _lost(dataset: Dataset, file: int, part: io.BytesIO) -> dict[str, tuple[Annotation, ...]]:
    """By column, the annotations of a file that a part has not. Raises PartError for a column that is stored otherwise.

    What is cast on the way has no annotation of its own any more.
    """
    ref = dataset.ref(file)
    try:
        with dataset.objects.random_access(ref) as body:
            source = leaves_of(body)
    except NotAFooter as error:
        raise SourceError(f"{ref.key} is not a readable Parquet file ({error}); write it again") from error
    written = _by_column(leaves_of(part))
    stored = _by_column(source)
    constants = set(dataset.listing.partitions)
    lost = {}
    coming_back = dataset.result_schema
    for own in dataset.count_of(file).schema:
        place = coming_back.get_field_index(own.name)
        if place >= 0 and own.name not in constants:
            alike = coming_back.field(place).type == own.type
            lost[own.name] = tuple(lost_annotations(stored.get(own.name, []), written[own.name])) if alike else ()
    return lost


def _check_kept(lost: Mapping[str, Sequence[Annotation]]) -> None:
    column = next((column for column, annotations in lost.items() if annotations), None)
    if column is not None:
        raise PartError(column, "its annotation is not kept")


def _by_column(leaves: Sequence[Leaf]) -> dict[str, list[tuple[int, Leaf]]]:
    """The leaves of each column, with their numbers in the file."""
    columns: dict[str, list[tuple[int, Leaf]]] = {}
    for number, leaf in enumerate(leaves):
        columns.setdefault(leaf.column, []).append((number, leaf))
    return columns


def _refusal(error: PartError, schema: pa.Schema) -> str:
    if not error.column:
        return f"a result of this source cannot be written ({error.reason}); write the file again with other types"
    kind = schema.field(error.column).type if schema.names.count(error.column) == 1 else "unknown"
    return (
        f"column {error.column!r} is of a type that a result cannot hold, {kind} ({error.reason}); "
        "cast it, for example to text, or leave it out"
    )
