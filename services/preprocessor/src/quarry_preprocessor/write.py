"""Writing one shard: its input for Bedrock, its rows where the source is not Parquet, and what could not be sent.

Theory of operation. One pass over the shard's rows, batch by batch, with memory for one batch and the upload parts in
flight. All objects are write-once and a function of the pins and the plan, so that a second worker, or a second life
of the same one, finds its own bytes standing. The rows go first and the input last: who finds the input finds the
rest. A shard that passes the byte limit on the way is given up unpublished; the caller splits it.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.contract.names import input_key, rows_key, shard_id, unsent_key
from quarry_core.contract.run import Pins
from quarry_core.errors import Missing
from quarry_core.planning.plan import ShardRange
from quarry_core.planning.plan_source import CHUNK_BYTES, ROW_GROUP_BYTES
from quarry_core.ports import ObjectRef, Objects, Upload
from quarry_core.rendering.images import ImageEncoder
from quarry_core.rendering.row_encoder import RowEncoder, Unsent
from quarry_core.service.publishing import ALWAYS, Wanted
from quarry_core.tabular.dataset import Dataset
from quarry_core.tabular.reader import RowReader
from quarry_core.tabular.upload_sink import UploadSink

ROW_GROUP_ROWS_MAX = 8_192
# At level 1, as the parts, which take the columns of the copy over as they are.
COPY_COMPRESSION: Literal["snappy", "lz4", "zstd"] = "zstd"
BLOCK_BYTES = 1 << 20


class ShardTooLarge(Exception):
    """The shard's input passes the byte limit; nothing of it was published."""


@dataclass(slots=True)
class Written:
    """What stands of a shard: `sendable` records in its input, `input_bytes` long; the others are `unsent`."""

    sendable: int = 0
    input_bytes: int = 0
    unsent: list[Unsent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ShardWriter:
    """Writes the shards of one run. Blocking; call it in a thread."""

    objects: Objects
    run_id: str
    plan: str
    pins: Pins
    dataset: Dataset
    encoder: RowEncoder
    sendable_min: int  # with fewer records the shard is not sent
    shard_bytes_max: int
    reader: RowReader | None = None  # of the dataset; None: one for each shard

    def write(self, shard: ShardRange, wanted: Wanted = ALWAYS) -> Written:
        """Write one shard, as long as it is wanted.

        Raises:
            GivenUp: it is not any more; its input was not published.
            ShardTooLarge: it passes `shard_bytes_max`.
            SourceError, Changed, Missing: the source cannot be read as it was accepted.
            Conflict: something else stands under one of its names.
        """
        name, identity = shard_id(shard.number), self._identity(shard)
        encoder = self.encoder
        if isinstance(encoder, ImageEncoder):
            # An image may have come or changed since an earlier life of this work: what that has written holds.
            before = unsent_before(self.objects, self.run_id, name)
            if self._stands(name, identity):
                return self._standing(name, before)
            encoder = encoder.without(before)
        reader = self.reader or RowReader(self.dataset)
        batches = reader.read(shard.first_row, shard.rows)
        with ExitStack() as undo:
            records = self.objects.create(input_key(self.run_id, name), {"kind": "input", **identity})
            undo.callback(records.abort)
            rows: Upload | None = None
            if self.dataset.copied:
                rows = self.objects.create(rows_key(self.run_id, name), {"kind": "rows", **identity})
                undo.callback(rows.abort)
                copied = _copied(batches, rows, self.dataset.result_schema.names)
                undo.callback(copied.close)
                batches = copied
            written = self._encode(encoder, batches, name, records, wanted)
            if rows is not None:
                rows.commit()
            if written.unsent:
                body = b"".join(unsent_line(unsent) for unsent in written.unsent)
                self.objects.put_once(unsent_key(self.run_id, name), body, {"kind": "unsent", **identity})
            wanted.check()
            if written.sendable >= self.sendable_min and not records.commit() and isinstance(encoder, ImageEncoder):
                return self._standing(name, tuple(written.unsent))
        return written

    def write_rows(self, shard: ShardRange) -> None:
        """Write of a shard that is not to be sent what its part of the result is made of. Raises as `write`."""
        if not self.dataset.copied:
            return
        identity = self._identity(shard)
        reader = self.reader or RowReader(self.dataset)
        with ExitStack() as undo:
            rows = self.objects.create(rows_key(self.run_id, identity["shard"]), {"kind": "rows", **identity})
            undo.callback(rows.abort)
            copied = _copied(reader.read(shard.first_row, shard.rows), rows, self.dataset.result_schema.names)
            undo.callback(copied.close)
            for _ in copied:
                pass
            rows.commit()

    def _identity(self, shard: ShardRange) -> dict[str, str]:
        return {
            "run": self.run_id,
            "shard": shard_id(shard.number),
            "plan": self.plan,
            "first-row": str(shard.first_row),
            "rows": str(shard.rows),
        }

    def _stands(self, shard: str, identity: Mapping[str, str]) -> bool:
        try:
            standing = self.objects.head(ObjectRef(input_key(self.run_id, shard)))
        except Missing:
            return False
        return identity.items() <= standing.metadata.items()

    def _standing(self, shard: str, unsent: Sequence[Unsent]) -> Written:
        """An input that was written before, with the images of then."""
        written = Written(unsent=list(unsent))
        with closing(self.objects.stream(ObjectRef(input_key(self.run_id, shard)))) as body:
            while block := body.read(BLOCK_BYTES):
                written.input_bytes += len(block)
                written.sendable += block.count(b"\n")
        return written

    def _encode(
        self, encoder: RowEncoder, batches: Iterator[pa.RecordBatch], shard: str, records: Upload, wanted: Wanted
    ) -> Written:
        written, row = Written(), 0
        for batch in batches:
            wanted.check()
            for encoded in encoder.encode_bounded(batch, shard, row):
                written.input_bytes += len(encoded.data)
                if written.input_bytes > self.shard_bytes_max:
                    raise ShardTooLarge(f"shard {shard} exceeds {self.shard_bytes_max} bytes after row {row}")
                records.write(encoded.data)
                written.sendable += encoded.records
                written.unsent += encoded.unsent
            row += batch.num_rows
        return written


def unsent_before(objects: Objects, run_id: str, shard: str) -> tuple[Unsent, ...]:
    """What an earlier life of this work has already written of rows that are not sent."""
    try:
        body = objects.read(ObjectRef(unsent_key(run_id, shard)))
    except Missing:
        return ()
    return tuple(msgspec.json.decode(line, type=Unsent) for line in body.splitlines())


def _copied(
    batches: Iterator[pa.RecordBatch], upload: Upload, columns: Sequence[str]
) -> Generator[pa.RecordBatch, None, None]:
    """Pass the batches on, and write these columns to the upload on the way; the file is whole when they end."""
    writer: pq.ParquetWriter | None = None
    group: list[pa.RecordBatch] = []
    rows = size_bytes = 0
    try:
        for batch in batches:
            own = batch.select(columns)
            if writer is None:
                # Text without a dictionary and without statistics, which of long values are long. The parts get these
                # columns as they stand here, and people skip row groups by dates and numbers.
                writer = pq.ParquetWriter(
                    UploadSink(upload),
                    own.schema,
                    compression=COPY_COMPRESSION,
                    use_dictionary=False,
                    write_statistics=[each.name for each in own.schema if pa.types.is_primitive(each.type)],
                )
            group.append(own)
            rows, size_bytes = rows + own.num_rows, size_bytes + own.nbytes
            if rows >= ROW_GROUP_ROWS_MAX or size_bytes >= max(ROW_GROUP_BYTES, own.num_columns * CHUNK_BYTES):
                writer.write_table(pa.Table.from_batches(group))
                group, rows, size_bytes = [], 0, 0
            yield batch
    except BaseException:
        # Closed while its upload is open: a writer that is left open closes itself later, and complains on stderr.
        if writer is not None:
            with suppress(Exception):
                writer.close()
        raise
    if writer is not None:
        if group:
            writer.write_table(pa.Table.from_batches(group))
        writer.close()


def unsent_line(unsent: Unsent) -> bytes:
    return json.dumps({"row": unsent.row, "code": unsent.code, "message": unsent.message}).encode() + b"\n"
