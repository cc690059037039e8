"""Which records go again, and in which retry shards. Pure.

Theory of operation. A round is a function of what the shards before it left: settling splits each account into errors that
stand and errors whose records go again (`split`), and copies the lines of those; closing pools the copies of all shards of
the round, in the order of their numbers, and cuts the pool evenly (`plan_round`). So whoever closes plans the same round,
and the plan that was written first is everybody's. A round takes all or nothing: either each of its records is in a job at
or above the model's minimum, or all are asked on demand, or their errors stand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import msgspec

from quarry_collector.settle import EXAMPLE_CHARS_MAX, EXAMPLES_MAX, ErrorCode, Example, Settlement
from quarry_core.contract.names import SHARD_MAX, shard_id
from quarry_core.contract.record_errors import RecordRetries, goes_again
from quarry_core.contract.states import JobStatus
from quarry_core.ledger.rows import Shard
from quarry_core.models import ModelLimits
from quarry_core.planning.plan import FILE_FILL
from quarry_core.planning.rounds import Piece, RetryShard, RoundPlan, way_of


@dataclass(frozen=True, slots=True)
class Lines:
    """One shard's copy: the length of each line, newline included, in their order."""

    shard: str
    attempt: int
    lengths: Sequence[int]


def codes_of(retries: RecordRetries, shard: Shard) -> frozenset[str]:
    """The error codes of an ended shard whose records go again."""
    if shard.error_code:
        return frozenset()  # Quarry ended it: its run is broken
    codes = retries.after(shard.round)
    # A stopped job was stopped by somebody, who meant it.
    return codes - {ErrorCode.NOT_PROCESSED} if shard.ended_status == JobStatus.STOPPED else codes


def split(
    account: Settlement,
    errors: Iterable[tuple[int, str, str]],
    codes: Collection[str],
    record_id: Callable[[int], str],
) -> tuple[Settlement, list[int]]:
    """An account whose errors that go again are told apart, and the rows of these in order.

    Args:
        account: of the shard, with all its errors.
        errors: each row with one of `codes`, in order: row, code and message.
        codes: what goes again.
        record_id: of a row.
    """
    rows: list[int] = []
    counts: dict[bool, dict[str, int]] = {True: {}, False: {}}
    examples: dict[bool, dict[str, tuple[Example, ...]]] = {True: {}, False: {}}
    for row, code, message in errors:
        again = goes_again(code, message, codes)
        counts[again][code] = counts[again].get(code, 0) + 1
        some = examples[again].get(code, ())
        if len(some) < EXAMPLES_MAX:
            examples[again][code] = (*some, Example(record_id(row), message[:EXAMPLE_CHARS_MAX]))
        if again:
            rows.append(row)
    stand = {code: count for code, count in account.errors.items() if code not in codes}
    reported = {code: some for code, some in account.examples.items() if code not in codes}
    changed = msgspec.structs.replace(
        account,
        errors=stand | counts[False],
        examples=reported | examples[False],
        again=counts[True],
        again_examples=examples[True],
    )
    return changed, rows


def plan_round(
    number: int,
    copies: Sequence[Lines],
    first_shard: int,
    limits: ModelLimits,
    records_max: int | None,
    on_demand_below: int,
) -> RoundPlan | None:
    """Pool the copies and cut them into retry shards; None if their records cannot be asked again.

    Args:
        number: of the round.
        copies: of all shards of the round before, in the order of their numbers.
        first_shard: the first number that no shard of the run has.
        limits: the model's.
        records_max: the manifest's wish for the most records of a job; the minimum wins over it.
        on_demand_below: fewer records are asked on demand; 0: that is not allowed.
    """
    lengths = [length for copy in copies for length in copy.lengths]
    records = len(lengths)
    way = way_of(records, limits.records_min, on_demand_below)
    if way is None or (way == "on_demand" and first_shard > SHARD_MAX):
        return None
    if way == "on_demand":
        return _round(number, copies, first_shard, [records], on_demand=True)
    most = min(limits.records_max, records_max or limits.records_max)
    bytes_max = int(FILE_FILL * min(limits.file_bytes_max, limits.job_bytes_max))
    ends = [0, *accumulate(lengths)]
    most_shards = min(records // limits.records_min, SHARD_MAX + 1 - first_shard)
    fewest = max(-(-records // most), -(-ends[-1] // bytes_max))
    for shards in range(min(fewest, records // limits.records_min), most_shards + 1):
        cuts = [records * index // shards for index in range(shards + 1)]
        stretches = list(pairwise(cuts))
        sizes = [stop - start for start, stop in stretches]
        if max(sizes) <= limits.records_max and all(ends[stop] - ends[start] <= bytes_max for start, stop in stretches):
            return _round(number, copies, first_shard, sizes, on_demand=False)
    return None


def _round(
    number: int, copies: Sequence[Lines], first_shard: int, sizes: Sequence[int], *, on_demand: bool
) -> RoundPlan:
    shards: list[RetryShard] = []
    left = iter(copies)
    copy, line, start_byte = next(left), 0, 0
    for index, size in enumerate(sizes):
        pieces: list[Piece] = []
        missing = size
        while missing:
            if line == len(copy.lengths):
                copy, line, start_byte = next(left), 0, 0
                continue
            taken = min(missing, len(copy.lengths) - line)
            length = sum(copy.lengths[line : line + taken])
            pieces.append(
                Piece(shard=copy.shard, attempt=copy.attempt, start_byte=start_byte, bytes=length, records=taken)
            )
            line, start_byte, missing = line + taken, start_byte + length, missing - taken
        shards.append(
            RetryShard(
                shard=shard_id(first_shard + index),
                records=size,
                bytes=sum(piece.bytes for piece in pieces),
                on_demand=on_demand,
                pieces=tuple(pieces),
            )
        )
    return RoundPlan(round=number, records=sum(sizes), shards=tuple(shards))
