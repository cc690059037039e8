"""Carrying one shard of an ended run over into a retry: which of its rows go again, and what they ask. Blocking.

Theory of operation. The part of the version before says of each row what it came to. The rows that the retry chooses are read
from the source and rendered once more, with the pins of then: so they ask what they asked, byte for byte, and a row that could
not be rendered, for want of an image say, may be now. Their lines stand as a round's do (`again/`), and the retry goes on as
a run that has just had its first round. What is written is write-once; who finds the lines standing takes these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.contract.names import again_key, part_key, rows_key, unsent_key
from quarry_core.contract.run import Pins
from quarry_core.contract.versions import RetryOf
from quarry_core.errors import Missing
from quarry_core.ledger.rows import Shard
from quarry_core.ports import ObjectRef, Objects
from quarry_core.rendering.images import ImageEncoder
from quarry_core.rendering.row_encoder import RowEncoder
from quarry_core.tabular.reader import RowReader
from quarry_preprocessor.write import BLOCK_BYTES, Written, unsent_before, unsent_line

READ_ROWS = 8_192
ATTEMPT = 1


@dataclass(frozen=True, slots=True)
class ShardCarrier:
    """Carries the shards of one retry over.

    Attributes:
        run_id: of the retry; `plan` is its plan's SHA-256.
        reader: of the source, as it was counted for the first run.
    """

    objects: Objects
    run_id: str
    plan: str
    pins: Pins
    reader: RowReader
    encoder: RowEncoder

    @property
    def _of(self) -> RetryOf:
        assert self.pins.retry is not None
        return self.pins.retry

    def carry(self, shard: Shard) -> Written:
        """Write the lines of a shard's rows that go again.

        Args:
            shard: as it stands in the version before.

        Raises:
            SourceError, Changed: the source cannot be read as it was accepted.
            Missing: so; or the shard's part or the copy of its rows is gone.
            Conflict: something else stands under one of its names.
        """
        chosen = self._chosen(shard)
        if not chosen:
            return Written()
        self._check_copy(shard)
        key, identity = again_key(self.run_id, shard.shard, ATTEMPT), self._identity(shard)
        before = unsent_before(self.objects, self.run_id, shard.shard)
        if self._stands(key, identity):
            return self._standing(key)
        encoder = self.encoder
        if isinstance(encoder, ImageEncoder):
            encoder = encoder.without(before)  # an image may have come since: what is written of it holds
        upload = self.objects.create(key, {"kind": "again", **identity})
        try:
            written = Written()
            for first, batch in self._rows(shard, chosen):
                for encoded in encoder.encode_bounded(batch, shard.shard, first):
                    upload.write(encoded.data)
                    written.input_bytes += len(encoded.data)
                    written.sendable += encoded.records
                    written.unsent += encoded.unsent
            if written.unsent:
                body = b"".join(map(unsent_line, written.unsent))
                self.objects.put_once(unsent_key(self.run_id, shard.shard), body, {"kind": "unsent", **identity})
            if written.sendable and not upload.commit():
                return self._standing(key)
        finally:
            upload.abort()
        return written

    def _chosen(self, shard: Shard) -> list[int]:
        """The rows of the shard that go again, in order."""
        if shard.ok == shard.rows:
            return []
        key, prefix = part_key(self._of.base, shard.shard), self.pins.result_prefix
        names = [prefix + name for name in ("error_code", "error_message")]
        chosen: list[int] = []
        at = 0
        with closing(self.objects.random_access(ObjectRef(key))) as body:
            part = pq.ParquetFile(body, pre_buffer=False, buffer_size=BLOCK_BYTES)
            for batch in part.iter_batches(batch_size=READ_ROWS, columns=names, use_threads=False):
                found = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
                chosen += [at + row for row, (code, text) in enumerate(found) if self._of.chooses(code, text)]
                at += batch.num_rows
        if at != shard.rows:
            raise Missing(f"{key} has {at} rows, and shard {shard.shard} has {shard.rows}")
        return chosen

    def _check_copy(self, shard: Shard) -> None:
        """The new part is joined from the copy of the rows: without it, nothing is to be paid for."""
        if self.pins.source.copied or self.reader.dataset.count.copied:
            self.objects.head(ObjectRef(rows_key(self._of.root, shard.shard)))

    def _rows(self, shard: Shard, chosen: Sequence[int]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The chosen rows in stretches that follow each other, each with the place of its first in the shard."""
        at, last = chosen[0], chosen[-1]
        left = 0
        for batch in self.reader.read(shard.first_row + at, last - at + 1):
            stop = at + batch.num_rows
            while left < len(chosen) and chosen[left] < stop:
                first = left
                while left + 1 < len(chosen) and chosen[left + 1] == chosen[left] + 1 and chosen[left + 1] < stop:
                    left += 1
                left += 1
                yield chosen[first], batch.slice(chosen[first] - at, left - first)
            at = stop

    def _identity(self, shard: Shard) -> dict[str, str]:
        return {"run": self.run_id, "shard": shard.shard, "attempt": str(ATTEMPT), "plan": self.plan}

    def _stands(self, key: str, identity: dict[str, str]) -> bool:
        try:
            standing = self.objects.head(ObjectRef(key))
        except Missing:
            return False
        return identity.items() <= standing.metadata.items()

    def _standing(self, key: str) -> Written:
        written = Written()
        with closing(self.objects.stream(ObjectRef(key))) as body:
            while block := body.read(BLOCK_BYTES):
                written.input_bytes += len(block)
                written.sendable += block.count(b"\n")
        return written
