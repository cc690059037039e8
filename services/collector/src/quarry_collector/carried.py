"""A shard of a retry: the outcomes of the version before, and which of them are to be asked again. Blocking.

Theory of operation. The part of the version before tells all there is to know of its rows: what Quarry says of a row stands in
the columns to the right. So the outcome of a carried shard is those columns, but of rows that were chosen and could not be
rendered, which have that as their newest error; and its account follows from the part and from what was chosen, whoever makes
it. LLM tokens were paid by the version before: the account has none. Where nothing goes again the part is the same, and is
copied.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_collector.parts import READ_BYTES, READ_ROWS, Identity, publish
from quarry_collector.settle import (
    EXAMPLE_CHARS_MAX,
    EXAMPLES_MAX,
    ErrorCode,
    Example,
    NotConserved,
    Settlement,
    check_conservation,
)
from quarry_core.contract.names import part_key, record_id
from quarry_core.contract.results import outcome_schema
from quarry_core.contract.versions import RetryOf
from quarry_core.ledger.rows import Shard
from quarry_core.ports import ObjectRef, Objects, Upload

COUNTS = ("rows", "ok", "errors", "input-tokens", "output-tokens")
_SAID = ("error_code", "error_message")
Unsent = Mapping[int, tuple[str, str]]


class Carried:
    """The outcome of a carried shard (`parts.Outcome`).

    Args:
        objects: the bucket.
        of: of what the run is a retry.
        shard: as it stands in the retry.
        answer_column: `response` or `embedding`.
        prefix: of the columns of ours in a part.
        fields: the columns of the run's output schema.
        unsent: rows that were chosen and could not be rendered: code and message.

    Raises:
        Missing: the part of the version before is gone.
        NotConserved: other rows are chosen than stand to be asked again.
    """

    def __init__(
        self,
        objects: Objects,
        of: RetryOf,
        shard: Shard,
        answer_column: str,
        prefix: str,
        fields: Sequence[pa.Field],
        unsent: Unsent,
    ) -> None:
        self._objects = objects
        self._of = of
        self._shard = shard
        self._prefix = prefix
        self._unsent = unsent
        self._ref = _pinned(objects, of, shard)
        self.answer_column = answer_column
        self.schema = outcome_schema(answer_column, fields)
        self.settlement = self._account()

    @property
    def unchanged(self) -> bool:
        """Whether the part is that of the version before."""
        return not self._unsent and not self.settlement.again

    def batches(self) -> Iterator[pa.RecordBatch]:
        first = 0
        for batch in self._read(self.schema.names):
            columns = list(batch.columns)
            here = {row - first: said for row, said in self._unsent.items() if first <= row < first + batch.num_rows}
            if here:
                columns = self._said_anew(columns, here)
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)
            first += batch.num_rows

    def errors(self, codes: Collection[str]) -> Iterator[tuple[int, str, str]]:
        """Which rows go again is decided: there is nobody to ask this."""
        del codes
        return iter(())

    def _said_anew(self, columns: list[pa.Array], here: Unsent) -> list[pa.Array]:
        anew: dict[str, Mapping[int, str]] = {
            "status": {row: "skipped" if code == ErrorCode.SKIPPED else "error" for row, (code, _) in here.items()},
            "error_code": {row: code for row, (code, _) in here.items()},
            "error_message": {row: message for row, (_, message) in here.items()},
        }
        for name, values in anew.items():
            at = self.schema.get_field_index(name)
            said = [values.get(row, value) for row, value in enumerate(columns[at].to_pylist())]
            columns[at] = pa.array(said, pa.string())
        return columns

    def _account(self) -> Settlement:
        rows = ok = again = 0
        counts: tuple[dict[str, int], dict[str, int]] = ({}, {})
        examples: tuple[dict[str, tuple[Example, ...]], dict[str, tuple[Example, ...]]] = ({}, {})
        for batch in self._read(_SAID):
            for row, (code, said) in enumerate(zip(*(c.to_pylist() for c in batch.columns), strict=True), rows):
                if code is None:
                    ok += 1
                    continue
                goes = bool(self._shard.sendable) and row not in self._unsent and self._of.chooses(code, said)
                name, message = self._unsent.get(row, (code, said or ""))
                again += goes
                counts[goes][name] = counts[goes].get(name, 0) + 1
                some = examples[goes].get(name, ())
                if len(some) < EXAMPLES_MAX:
                    found = Example(record_id(self._shard.shard, row), message[:EXAMPLE_CHARS_MAX])
                    examples[goes][name] = (*some, found)
            rows += batch.num_rows
        if again != self._shard.sendable:
            raise NotConserved(
                f"{again} rows of shard {self._shard.shard} are chosen, and {self._shard.sendable} stand to be asked again"
            )
        account = Settlement(
            rows=rows, ok=ok, errors=counts[0], examples=examples[0], again=counts[1], again_examples=examples[1]
        )
        check_conservation(account, self._shard.rows)
        return account

    def _read(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        wanted = [self._prefix + name for name in names]
        with closing(self._objects.random_access(self._ref)) as source:
            file = pq.ParquetFile(source, pre_buffer=False, buffer_size=READ_BYTES)
            for group in range(file.num_row_groups):  # nested categories are not read across them
                for batch in file.iter_batches(
                    batch_size=READ_ROWS, row_groups=[group], columns=wanted, use_threads=False
                ):
                    yield batch.select(wanted)


def copy_part(objects: Objects, of: RetryOf, shard: Shard, identity: Identity) -> None:
    """Publish the part of the version before as this one's, once. Raises Missing, Conflict."""
    ref = _pinned(objects, of, shard)
    before = objects.head(ref).metadata

    def write(upload: Upload) -> None:
        with closing(objects.stream(ref)) as source:
            shutil.copyfileobj(source, upload, READ_BYTES)

    counts = {name: before[name] for name in COUNTS}
    publish(objects, part_key(identity.run_id, identity.shard), identity.metadata("part"), counts, write)


def _pinned(objects: Objects, of: RetryOf, shard: Shard) -> ObjectRef:
    key = part_key(of.base, shard.shard)
    info = objects.head(ObjectRef(key))
    return ObjectRef(key, etag=info.etag, size_bytes=info.size_bytes)
