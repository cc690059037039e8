"""A shard's outcomes after its rounds: those of the first, and over them what was answered later.

Theory of operation. The records of a shard that went again lie in a few retry shards of each round, in the order of their
ids there as here. So the last word on each row is found by walking all of them side by side, a batch at a time: memory is
a batch of each, however much went again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from quarry_collector.parts import StoredOutcome
from quarry_collector.settle import Settlement, check_conservation
from quarry_core.contract.names import row_of

_COUNTED = ("error_code", "input_tokens", "output_tokens")
_ID = "record_id"


class Overlaid:
    """An outcome (`parts.Outcome`) made of the shard's own and of those of the retry shards that hold records of it.

    Args:
        shard: the shard's five digits.
        own: its outcome.
        rounds: for each round that followed, the outcomes of its retry shards, in the order of their numbers.
    """

    def __init__(self, shard: str, own: StoredOutcome, rounds: Sequence[Sequence[StoredOutcome]]) -> None:
        self._shard = shard
        self._own = own
        self._rounds = rounds
        self.schema = own.schema
        self.answer_column = own.answer_column
        self.settlement = self._account()

    def batches(self) -> Iterator[pa.RecordBatch]:
        return self._merged(self.schema.names)

    def errors(self, codes: Collection[str]) -> Iterator[tuple[int, str, str]]:
        """Nothing goes again of it: there is nobody to ask this."""
        del codes
        return iter(())

    def _account(self) -> Settlement:
        """Recounted: what a row ends with is its last outcome."""
        rows = ok = input_tokens = output_tokens = 0
        errors: dict[str, int] = {}
        for batch in self._merged((_ID, *_COUNTED)):
            rows += batch.num_rows
            for each in pc.value_counts(batch.column("error_code")).to_pylist():
                if each["values"] is None:
                    ok += each["counts"]
                else:
                    errors[each["values"]] = errors.get(each["values"], 0) + each["counts"]
            input_tokens += pc.sum(batch.column("input_tokens")).as_py() or 0
            output_tokens += pc.sum(batch.column("output_tokens")).as_py() or 0
        account = Settlement(rows=rows, ok=ok, errors=errors, input_tokens=input_tokens, output_tokens=output_tokens)
        check_conservation(account, self._own.settlement.rows)
        return account

    def _merged(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        later = [_Rows(self._shard, outcomes, names) for outcomes in self._rounds]
        first = 0
        for own in self._own.some(names):
            merged = own
            for rows in later:
                merged = rows.over(merged, first)
            yield merged
            first += own.num_rows


class _Rows:
    """The rows of one shard in the outcomes of one round's retry shards, to be taken in order."""

    def __init__(self, shard: str, outcomes: Sequence[StoredOutcome], names: Sequence[str]) -> None:
        self._batches = self._found(shard, outcomes, names)
        self._ready: list[tuple[list[int], pa.RecordBatch]] = []

    @staticmethod
    def _found(
        shard: str, outcomes: Sequence[StoredOutcome], names: Sequence[str]
    ) -> Iterator[tuple[list[int], pa.RecordBatch]]:
        for outcome in outcomes:
            for batch in outcome.some(names, shard):
                mine = batch.filter(pc.starts_with(batch.column(_ID), shard))
                rows = [row for record in mine.column(_ID).to_pylist() if (row := row_of(record, shard)) is not None]
                if rows:
                    yield rows, mine

    def over(self, batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
        """The batch of the rows from `first` on, with those of this round in their places."""
        stop = first + batch.num_rows
        while not self._ready or self._ready[-1][0][-1] < stop:
            following = next(self._batches, None)
            if following is None:
                break
            self._ready.append(following)
        if not self._ready:
            return batch
        chosen = list(range(batch.num_rows))
        more: list[pa.RecordBatch] = []
        count = batch.num_rows
        for rows, mine in self._ready:
            for at, row in enumerate(rows):
                if first <= row < stop:
                    chosen[row - first] = count + at
            more.append(mine)
            count += mine.num_rows
        self._ready = [each for each in self._ready if each[0][-1] >= stop]
        table = pa.Table.from_batches([batch, *more]).take(pa.array(chosen, pa.int64()))
        return table.combine_chunks().to_batches()[0] if table.num_rows else batch
