"""The two objects that a settled shard leaves: its outcome, then its part of the result. Both are written once.

Theory of operation. The outcome is the answer column and what Quarry says of each row, in row order; the part is the
same columns to the right of the source's own. So the join is putting two streams of equal length beside each other,
and a part can be made again from the source and the outcome by anyone. If an outcome of the same shard, attempt and
plan stands already, somebody settled it before: theirs is the truth (promise S4), and what the caller goes on with
must be read back from it, which `Written.created` tells.

Everything streams: memory is one row group. The account of the shard (`Settlement`) stands in the outcome's Parquet
footer, and its counts also in the metadata of both objects, where one HEAD request reads them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from quarry_collector.settle import NotConserved, Settlement, check_conservation
from quarry_core.contract.names import outcome_key, part_key
from quarry_core.contract.result_names import ANSWER_COLUMNS
from quarry_core.contract.results import result_schema
from quarry_core.errors import Conflict, Missing
from quarry_core.ports import ObjectRef, Objects, Upload
from quarry_core.tabular.parquet.beside import RowStream, side_by_side
from quarry_core.tabular.parquet.copied import CopiedRows, write_beside_copies
from quarry_core.tabular.parquet.footer import Annotation
from quarry_core.tabular.parquet.layout import Layout
from quarry_core.tabular.parquet.part_file import write_rows
from quarry_core.tabular.parquet.proof import Proof
from quarry_core.tabular.upload_sink import UploadSink

READ_ROWS = 1_024
READ_BYTES = 1 << 20
COMPRESSION = "zstd"  # of a part, but for columns that are taken over from a copy of the rows
SETTLEMENT_KEY = b"quarry.settlement"


class Outcome(Protocol):
    """A settled shard's outcomes in row order, from the spool or read back."""

    settlement: Settlement
    answer_column: str
    schema: pa.Schema

    def batches(self) -> Iterator[pa.RecordBatch]: ...

    def errors(self, codes: Collection[str]) -> Iterator[tuple[int, str, str]]:
        """The rows with one of these error codes, in order: row, code and message."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """What an outcome and a part are of; `plan` is the plan's SHA-256. Two objects of one identity are the same."""

    run_id: str
    shard: str
    attempt: int
    plan: str

    def metadata(self, kind: str) -> dict[str, str]:
        return {
            "kind": kind,
            "run": self.run_id,
            "shard": self.shard,
            "attempt": str(self.attempt),
            "plan": self.plan,
        }


@dataclass(frozen=True, slots=True)
class Written:
    """`created` is False where the object stood already; `settlement` is that of the object that stands."""

    key: str
    created: bool
    settlement: Settlement


def write_outcome(objects: Objects, identity: Identity, outcome: Outcome) -> Written:
    """Write `outcomes/<run>/<shard>-<attempt>.parquet` once.

    Raises:
        Conflict: an object of another identity stands there.
        NotConserved: the outcome has not as many rows as its account says.
    """
    account = outcome.settlement
    schema = outcome.schema.with_metadata({SETTLEMENT_KEY: msgspec.json.encode(account)})
    key = outcome_key(identity.run_id, identity.shard, identity.attempt)

    def write(upload: Upload) -> None:
        check_conservation(account, write_rows(UploadSink(upload), schema, outcome.batches(), compression="lz4"))

    created = publish(objects, key, identity.metadata("outcome"), _counts(account), write)
    if created:
        return Written(key, created, account)
    return Written(key, created, read_outcome(objects, identity).settlement)


def read_outcome(objects: Objects, identity: Identity) -> StoredOutcome:
    """Open an outcome that stands: its account at once, its rows as they are asked for. Raises Missing, Conflict."""
    key = outcome_key(identity.run_id, identity.shard, identity.attempt)
    info = objects.head(ObjectRef(key))
    expected = identity.metadata("outcome")
    if not expected.items() <= dict(info.metadata).items():
        raise Conflict(f"{key} is not the outcome of {expected}: its metadata is {dict(info.metadata)}")
    return StoredOutcome(objects, ObjectRef(key, etag=info.etag, version_id=info.version_id))


class StoredOutcome:
    """An outcome read back from the bucket (`Outcome`)."""

    def __init__(self, objects: Objects, ref: ObjectRef) -> None:
        self._objects = objects
        self._ref = ref
        with closing(objects.random_access(ref)) as source:
            schema = pq.read_schema(source)
        self.settlement = msgspec.json.decode(schema.metadata[SETTLEMENT_KEY], type=Settlement)
        self.schema = schema.remove_metadata()
        self.answer_column = next(name for name in ANSWER_COLUMNS if name in schema.names)

    def batches(self) -> Iterator[pa.RecordBatch]:
        with closing(self._objects.random_access(self._ref)) as source:
            # pyarrow's own default keeps what it has read.
            file = pq.ParquetFile(source, pre_buffer=False, buffer_size=READ_BYTES)
            for batch in file.iter_batches(batch_size=READ_ROWS, use_threads=False):
                yield batch.replace_schema_metadata(None)

    def errors(self, codes: Collection[str]) -> Iterator[tuple[int, str, str]]:
        first = 0
        for batch in self.some(("error_code", "error_message")):
            found = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            yield from ((row, code, text or "") for row, (code, text) in enumerate(found, first) if code in codes)
            first += batch.num_rows

    def some(self, names: Sequence[str], beginning: str = "") -> Iterator[pa.RecordBatch]:
        """Some columns; with `beginning` only of row groups that may hold record ids which begin so."""
        with closing(self._objects.random_access(self._ref)) as source:
            file = pq.ParquetFile(source, pre_buffer=False, buffer_size=READ_BYTES)
            groups = [index for index in range(file.num_row_groups) if _may_hold(file, index, beginning)]
            if not groups:
                return
            for batch in file.iter_batches(
                batch_size=READ_ROWS, row_groups=groups, columns=list(names), use_threads=False
            ):
                yield batch.replace_schema_metadata(None).select(list(names))


def _may_hold(file: pq.ParquetFile, group: int, beginning: str) -> bool:
    """Whether a row group may hold a record id that begins so, by its statistics."""
    if not beginning:
        return True
    about = file.metadata.row_group(group).column(file.schema_arrow.names.index("record_id")).statistics
    if about is None or not about.has_min_max:
        return True
    return bool(about.min[: len(beginning)] <= beginning <= about.max[: len(beginning)])


def write_part(
    objects: Objects,
    identity: Identity,
    source_schema: pa.Schema,
    rows: Iterable[pa.RecordBatch],
    outcome: Outcome,
    *,
    prefix: str = "",
    annotations: Sequence[Annotation] = (),
    fields: Sequence[pa.Field] = (),
) -> Written:
    """Write `results/<run>/part-<shard>.parquet` once: the source's columns, then the outcome's, in row order.

    The row groups of a few places and the footer go to a temporary file too, out of which rows are read back and compared
    with the source's before the part is published.

    Args:
        objects: the bucket.
        identity: what the part is of.
        source_schema: the source's schema; the part's begins with it, metadata included.
        rows: the shard's rows of the source, in batches of any length; or copied, and then the copy's column chunks are taken
            over where they can be.
        outcome: the shard's outcome, with as many rows.
        prefix: goes before the names of the outcome's columns.
        annotations: of the source's columns, which pyarrow does not write by itself.
        fields: the columns of the run's output schema, with which the outcome's begin.

    Raises:
        ColumnTaken: the source has a column of a name that the result needs.
        Conflict: an object of another identity stands there.
        NotConserved: source and outcome have not the same number of rows.
        PartUnwritable, PartDiffers: naming a column that cannot be written, or does not read back as it was.
    """
    schema = result_schema(source_schema, outcome.answer_column, prefix, fields)
    key = part_key(identity.run_id, identity.shard)
    account = outcome.settlement

    def write(upload: Upload) -> None:
        with tempfile.TemporaryFile() as copy:
            watch = _Watch(Proof(account.rows), UploadSink(upload, copy))
            check_conservation(account, write_joined(watch))
            copy.seek(0)
            watch.proof.check(copy, schema)

    def write_joined(watch: _Watch) -> int:
        if isinstance(rows, CopiedRows):
            layout = Layout(schema, COMPRESSION, {each.leaf for each in annotations})
            if rows.rows == account.rows and rows.fits(layout):
                return write_beside_copies(
                    watch.sink, layout, rows, outcome.batches(), annotations=annotations, watch=watch
                )
        batches = _beside(schema, rows, outcome.batches())
        return write_rows(watch.sink, schema, batches, compression=COMPRESSION, annotations=annotations, watch=watch)

    created = publish(objects, key, identity.metadata("part"), _counts(account), write)
    return Written(key, created, account)


def part_stands(objects: Objects, identity: Identity) -> bool:
    """Whether the part of this very identity is published, by one HEAD request."""
    try:
        standing = objects.head(ObjectRef(part_key(identity.run_id, identity.shard)))
    except Missing:
        return False
    return identity.metadata("part").items() <= dict(standing.metadata).items()


def counts_of(metadata: Mapping[str, str]) -> Settlement:
    """The counts that an outcome's or a part's metadata tells: an account without examples."""
    return Settlement(
        rows=int(metadata["rows"]),
        ok=int(metadata["ok"]),
        errors=json.loads(metadata["errors"]),
        input_tokens=int(metadata["input-tokens"]),
        output_tokens=int(metadata["output-tokens"]),
        again=json.loads(metadata.get("again", "{}")),
    )


def _counts(account: Settlement) -> dict[str, str]:
    again = {"again": _json(account.again)} if account.again else {}
    return again | {
        "rows": str(account.rows),
        "ok": str(account.ok),
        "errors": _json(account.errors),
        "input-tokens": str(account.input_tokens),
        "output-tokens": str(account.output_tokens),
    }


def _json(counts: Mapping[str, int]) -> str:
    return json.dumps(dict(counts), sort_keys=True, separators=(",", ":"))


def publish(
    objects: Objects,
    key: str,
    identity: Mapping[str, str],
    counts: Mapping[str, str],
    write: Callable[[Upload], None],
) -> bool:
    """Write an object once; False if one of this identity stands already. Raises Conflict: one of another does."""
    upload = objects.create(key, {**identity, **counts})
    try:
        write(upload)
        return upload.commit()
    except Conflict:
        # The identity is what makes two objects the same. The counts may differ, if the one that stands was
        # settled from an output that was still growing: it stands all the same.
        standing = dict(objects.head(ObjectRef(key)).metadata)
        if not identity.items() <= standing.items():
            raise
        return False
    finally:
        upload.abort()


def _beside(
    schema: pa.Schema, rows: Iterable[pa.RecordBatch], outcomes: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """The columns of both streams in batches as both allow, without copying. Raises PartDiffers, NotConserved."""
    left, right = RowStream(rows), RowStream(outcomes)
    yield from side_by_side(schema, left, right)
    if left.ready() or right.ready():
        raise NotConserved(f"there are more {'source rows' if left.ready() else 'outcomes'} than the other has")


@dataclass(frozen=True, slots=True)
class _Watch:
    """Has the rows of the proof kept, and the row groups that it will read copied (`part_file.Watch`)."""

    proof: Proof
    sink: UploadSink

    def places(self, first: int, rows: int) -> Sequence[tuple[int, int]]:
        found = self.proof.places(first, rows)
        self.sink.copying = bool(found) or not rows
        return found

    def show(self, first: int, rows: pa.Table) -> None:
        self.proof.show(first, rows)
