"""The plan: how many shards a run has, how long each is, and which worker's slice they belong to. Pure.

Theory of operation. Jobs run in waves over the pool's slots, and a job takes a fixed time and a time per row. The
fewest jobs that hold all rows make the fewest waves, but leave the last wave half empty; so the number of shards is
raised to fill it, and the same rows take less time in as many waves. A last wave that cannot be filled (the shards
would fall under the model's minimum, or `max_num_jobs` forbids it) gets what remains after full-sized shards.
So a plan is never slower than one of full shards and a tail, whatever a job and a row cost.

A plan says where every row goes: `rows_available = rows_planned + rows left out`, the shards cover the planned rows
in order without a gap, and no job is under the minimum or over the model's maximum: what would be is asked on demand. It is kept small, as lengths of
stretches of shards, for a run may have 49,999 of them; `shard_at` and `slice_at` give the rest. The same arguments
give the same plan, so it does not matter which worker's plan was written first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from quarry_core.contract.canary import CANARY_ABOVE_SHARDS, CANARY_ROWS, Canary
from quarry_core.contract.names import ROW_MAX
from quarry_core.models import ModelLimits
from quarry_core.models.limits import too_few

SHARDS_MAX = 49_999
# Bytes are estimated from a sample, so a shard is planned to fill no more than this much of what a file may hold.
FILE_FILL = 0.9
# A slice is what one worker writes before it asks for more, and what is lost of its work at worst.
SLICE_ROWS_MAX = 200_000
SLICE_BYTES_MAX = 1_000_000_000
SLICE_SHARDS_MAX = 64
# So that a small run too keeps several workers busy.
SLICES_MIN = 8


class PlanError(ValueError):
    """No plan can be made; the text names the field and the remedy. `code` is the error's word in the ledger."""

    code = "NO_PLAN"


class TooFewRows(PlanError):
    """Fewer rows than the smallest job takes."""

    code = "TOO_FEW_ROWS"


class RecordsTooLarge(PlanError):
    """The smallest job would be larger than a job's file may be."""

    code = "RECORDS_TOO_LARGE"


class TooManyShards(PlanError):
    """More shards than a run can number."""

    code = "TOO_MANY_SHARDS"


class HalfTooLarge(PlanError):
    """A shard that was halved already is still over the byte limit, or its halves would be too short."""

    code = "HALF_TOO_LARGE"


class BadLimit(PlanError):
    """A limit in the manifest contradicts the model's."""

    code = "BAD_LIMIT"


class ShardRange(NamedTuple):
    """One shard: its number, and its stretch of the run's rows."""

    number: int
    first_row: int
    rows: int


class Slice(NamedTuple):
    """One worker's stretch of whole shards: `shards` of them from the index `first_shard` on (see `shard_at`)."""

    number: int
    first_shard: int
    shards: int
    first_row: int
    rows: int


class LeftOut(BaseModel):
    """Rows of the dataset that the run does not take, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(ge=1)
    why: str


class Stretch(BaseModel):
    """`shards` consecutive shards that share `rows` evenly: the longer ones come first, and are longer by one row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shards: int = Field(ge=1)
    rows: int = Field(ge=1)


class Plan(BaseModel):
    """What `plans/<run_id>.json` holds. `model_dump_json` of equal plans is equal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows_available: int
    rows_planned: int
    rows_left_out: tuple[LeftOut, ...] = ()
    records_per_job_max: int
    record_bytes: float
    stretches: tuple[Stretch, ...]
    shards_per_slice: int = Field(ge=1)
    notes: tuple[str, ...] = ()

    @property
    def shard_count(self) -> int:
        return sum(stretch.shards for stretch in self.stretches)

    @property
    def slice_count(self) -> int:
        return -(-self.shard_count // self.shards_per_slice)

    def shard_at(self, index: int) -> ShardRange:
        """The shard with an index from 0 to `shard_count - 1`; its number is twice that. Raises IndexError."""
        if not 0 <= index < self.shard_count:
            raise IndexError(f"shard index {index} is outside 0 to {self.shard_count - 1}")
        first_row, rest = 0, index
        for stretch in self.stretches:
            rows, longer = divmod(stretch.rows, stretch.shards)
            if rest < stretch.shards:
                return ShardRange(2 * index, first_row + rest * rows + min(rest, longer), rows + (rest < longer))
            first_row += stretch.rows
            rest -= stretch.shards
        raise AssertionError("the stretches hold shard_count shards")

    def shards(self) -> Iterator[ShardRange]:
        """All planned shards, in order."""
        return map(self.shard_at, range(self.shard_count))

    def slice_at(self, number: int) -> Slice:
        """The slice with a number from 0 to `slice_count - 1`. Raises IndexError."""
        if not 0 <= number < self.slice_count:
            raise IndexError(f"slice {number} is outside 0 to {self.slice_count - 1}")
        first_shard = number * self.shards_per_slice
        shards = min(self.shards_per_slice, self.shard_count - first_shard)
        first, last = self.shard_at(first_shard), self.shard_at(first_shard + shards - 1)
        return Slice(number, first_shard, shards, first.first_row, last.first_row + last.rows - first.first_row)


def plan_shards(
    rows_available: int,
    record_bytes: float,
    limits: ModelLimits,
    slots: int,
    max_records_per_job: int | None = None,
    max_num_jobs: int | None = None,
    max_records_total: int | None = None,
    gaps: int = 0,
    on_demand_below: int = 0,
    canary: Canary | None = None,
    canary_above_shards: int = CANARY_ABOVE_SHARDS,
) -> Plan:
    """Plan a run.

    Args:
        rows_available: rows of all sources together.
        record_bytes: an estimate of the mean length of a line of the job's input, newline included.
        limits: the model's, see `quarry_core.models.limits_of`.
        slots: jobs that may be active at once; only the shards' number depends on it.
        max_records_per_job: the manifest's, or the environment's, wish; None is the model's own maximum.
        max_num_jobs: as many shards at most; what does not fit is left out.
        max_records_total: as many rows at most; the rest is left out.
        gaps: rows that perhaps cannot be sent. As far as the other bounds allow, a shard is long enough to stay at
            the minimum even if all of them lie in it: one row without a value must not cost its neighbours.
        on_demand_below: a run of fewer rows is one shard, which is asked on demand, and rows that would make a job below
            the minimum are a shard of that kind too; 0: neither is allowed.
        canary: the first shard is to be as long as this says, if there are more shards than `canary_above_shards`.

    Raises:
        TooFewRows, RecordsTooLarge, TooManyShards, BadLimit: see there.
        ValueError: an argument that no manifest can cause.
    """
    plan = partial(
        _plan_shards,
        record_bytes=record_bytes,
        limits=limits,
        slots=slots,
        max_records_per_job=max_records_per_job,
        gaps=gaps,
        on_demand_below=on_demand_below,
    )
    whole = plan(rows_available, max_num_jobs=max_num_jobs, max_records_total=max_records_total)
    if not has_canary(whole, canary, canary_above_shards):
        return whole
    assert canary is not None
    rows = max(canary.rows or CANARY_ROWS, limits.records_min + (0 if canary.rows else gaps))
    rest = whole.rows_planned - rows
    if rows >= whole.shard_at(0).rows or rest < max(limits.records_min, on_demand_below) or max_num_jobs == 1:
        return whole
    others = plan(rest, max_num_jobs=max_num_jobs and max_num_jobs - 1, max_records_total=None)
    if others.rows_left_out or others.shard_count + 1 <= canary_above_shards or others.shard_count >= SHARDS_MAX:
        return whole
    stretches = (Stretch(shards=1, rows=rows), *others.stretches)
    return whole.model_copy(
        update={"stretches": stretches, "shards_per_slice": _shards_per_slice(stretches, record_bytes)}
    )


def has_canary(plan: Plan, canary: Canary | None, above_shards: int) -> bool:
    """Whether the plan's first shard is asked alone before the others."""
    return canary is not None and plan.shard_count > max(1, above_shards)


def _plan_shards(
    rows_available: int,
    record_bytes: float,
    limits: ModelLimits,
    slots: int,
    max_records_per_job: int | None,
    max_num_jobs: int | None,
    max_records_total: int | None,
    gaps: int,
    on_demand_below: int,
) -> Plan:
    _check(rows_available, record_bytes, limits, slots, max_records_per_job, max_num_jobs, max_records_total)
    few = 0 < min(rows_available, max_records_total or rows_available) < on_demand_below
    ceiling = ROW_MAX + 1 if few else _ceiling(record_bytes, limits)
    most = min(ceiling, max_records_per_job or ceiling)
    notes: list[str] = []
    if max_records_per_job is not None and max_records_per_job > ceiling:
        notes.append(f"max_records_per_job is {max_records_per_job}, and the model's jobs hold {ceiling} at most")
    if ceiling < limits.records_max and not few:
        notes.append(f"records of about {record_bytes:.0f} bytes: a job's file holds {ceiling} of them")

    rows, left_out = rows_available, list[LeftOut]()
    if max_records_total is not None and max_records_total < rows:
        left_out.append(LeftOut(rows=rows - max_records_total, why=f"max_records_total is {max_records_total}"))
        rows = max_records_total
    if few:
        notes = ["there are few rows: they are asked on demand, record by record, without a job"]
        return _plan(rows_available, rows, left_out, most, record_bytes, (Stretch(shards=1, rows=rows),), notes)
    if rows < limits.records_min:
        raise TooFewRows(too_few(rows, rows_available, limits))
    if max_num_jobs is not None and rows > max_num_jobs * most:
        why = f"max_num_jobs is {max_num_jobs}, and a job holds {most} records at most"
        left_out.append(LeftOut(rows=rows - max_num_jobs * most, why=why))
        rows = max_num_jobs * most

    jobs_max = min(SHARDS_MAX, max_num_jobs or SHARDS_MAX)
    fewest, at_most = -(-rows // most), min(jobs_max, rows // limits.records_min)
    safely = max(fewest, rows // (limits.records_min + gaps))
    if fewest <= safely < at_most:
        at_most = safely
    if fewest > SHARDS_MAX:
        raise TooManyShards(
            f"{rows} rows in jobs of {most} records are {fewest} shards, and a run has {SHARDS_MAX} at most:"
            " raise max_records_per_job, or give max_records_total and send the rest as another run"
        )
    if fewest <= at_most:
        stretches = _stretches(rows, most, fewest, at_most, slots, min(limits.records_min + gaps, rows // at_most))
    else:
        # No number of jobs fits both bounds: the minimum wins over the wish, and the ceiling over the last few rows.
        rows_planned = min(rows, at_most * ceiling)
        stretches = (Stretch(shards=at_most, rows=rows_planned),)
        if 0 < rows - rows_planned < limits.records_min and on_demand_below and at_most < SHARDS_MAX:
            stretches = (*stretches, Stretch(shards=1, rows=rows - rows_planned))
            notes.append(f"the last {rows - rows_planned} rows are too few for a job: they are asked on demand")
        elif rows_planned < rows:
            why = (
                f"the last {rows - rows_planned} rows would make a job below the model's minimum of"
                f" {limits.records_min}"
            )
            left_out.append(LeftOut(rows=rows - rows_planned, why=why))
            rows = rows_planned
        if -(-rows // at_most) > most:
            notes.append(
                f"jobs hold up to {-(-rows // at_most)} records instead of {most} (max_records_per_job),"
                f" since none may be below the model's minimum of {limits.records_min}"
            )
    return _plan(rows_available, rows, left_out, most, record_bytes, stretches, notes)


def _plan(
    rows_available: int,
    rows: int,
    left_out: list[LeftOut],
    most: int,
    record_bytes: float,
    stretches: tuple[Stretch, ...],
    notes: list[str],
) -> Plan:
    return Plan(
        rows_available=rows_available,
        rows_planned=rows,
        rows_left_out=tuple(left_out),
        records_per_job_max=most,
        record_bytes=record_bytes,
        stretches=stretches,
        shards_per_slice=_shards_per_slice(stretches, record_bytes),
        notes=tuple(notes),
    )


def split_in_halves(shard: ShardRange, records_min: int) -> tuple[ShardRange, ShardRange]:
    """Two even halves of a shard that came out larger than a job's file may be; the second has the next odd number.

    Raises:
        HalfTooLarge: the shard is a half already, or its halves would be under the model's minimum.
    """
    where = (
        f"shard {shard.number:05d} ({shard.rows} rows from row {shard.first_row}) is larger than a job's file may be"
    )
    if shard.number % 2:
        raise HalfTooLarge(f"{where}, and is already half of a shard: give a smaller max_records_per_job")
    second = shard.rows // 2
    if second < records_min:
        raise HalfTooLarge(
            f"{where}, and half of it is below the model's minimum of {records_min} records: shorten the prompt or"
            " the rows"
        )
    first = shard.rows - second
    return (
        ShardRange(shard.number, shard.first_row, first),
        ShardRange(shard.number + 1, shard.first_row + first, second),
    )


def _check(
    rows_available: int,
    record_bytes: float,
    limits: ModelLimits,
    slots: int,
    max_records_per_job: int | None,
    max_num_jobs: int | None,
    max_records_total: int | None,
) -> None:
    if rows_available < 0 or slots < 1 or not (math.isfinite(record_bytes) and record_bytes > 0):
        raise ValueError(f"{rows_available} rows of {record_bytes} bytes on {slots} slots cannot be planned")
    limits_given = {
        "max_records_per_job": max_records_per_job,
        "max_num_jobs": max_num_jobs,
        "max_records_total": max_records_total,
    }
    for field, value in limits_given.items():
        if value is not None and value < 1:
            raise BadLimit(f"{field} is {value}: give at least 1, or leave it out")
    if max_records_per_job is not None and max_records_per_job < limits.records_min:
        raise BadLimit(
            f"max_records_per_job is {max_records_per_job}, and the model's smallest job has {limits.records_min}"
            " records:"
            f" give at least {limits.records_min}, or leave it out"
        )


def _ceiling(record_bytes: float, limits: ModelLimits) -> int:
    """The most records that a job of this model can hold: a hard bound, unlike the manifest's wish."""
    by_bytes = int(FILE_FILL * min(limits.file_bytes_max, limits.job_bytes_max) / record_bytes)
    if by_bytes < limits.records_min:
        raise RecordsTooLarge(
            f"records of about {record_bytes:.0f} bytes: the model's smallest job, {limits.records_min} records,"
            " would be"
            f" larger than a file of {limits.file_bytes_max} bytes: shorten the prompt or the rows"
        )
    return min(by_bytes, limits.records_max, ROW_MAX + 1)


def _stretches(rows: int, most: int, fewest: int, at_most: int, slots: int, records_min: int) -> tuple[Stretch, ...]:
    """Divide `rows` among `fewest` to `at_most` shards of `records_min` to `most` rows."""
    waves = -(-fewest // slots)
    if waves == 1 or waves * slots <= at_most:
        return (Stretch(shards=min(waves * slots, at_most), rows=rows),)
    # The last wave cannot be filled. A row costs least in a full wave, so those before it take all they can hold, and
    # the last one shares the rest among as many shards as may be.
    front = (waves - 1) * slots
    rest = max(rows - front * most, (fewest - front) * records_min)
    shards = min(at_most - front, rest // records_min)
    return (Stretch(shards=front, rows=rows - rest), Stretch(shards=shards, rows=rest))


def _shards_per_slice(stretches: tuple[Stretch, ...], record_bytes: float) -> int:
    shards = sum(stretch.shards for stretch in stretches)
    longest = max(-(-stretch.rows // stretch.shards) for stretch in stretches)
    return max(
        1,
        min(
            SLICE_ROWS_MAX // longest,
            int(SLICE_BYTES_MAX / (longest * record_bytes)),
            SLICE_SHARDS_MAX,
            shards // SLICES_MIN,
        ),
    )
