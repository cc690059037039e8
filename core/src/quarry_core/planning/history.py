"""What this environment has seen of a model: how long its jobs took, and how many LLM tokens it counted. Pure.

Theory of operation. The ledger keeps sums, one row for each pool and week, and adds to them in the very transactions in
which a job ends and a shard is settled: so each counts once, however often anybody tries. A reader takes the newest weeks
until there is enough to go by. So what was true half a year ago counts only where nothing newer is known, and no sum is
ever read to be written again.

A job takes a fixed time and a time for each of its rows, T = a + b x rows: by least squares, from five sums. Jobs of one
size alone do not tell a from b; for them a is taken as `OVERHEAD_S`, and how wrong that may be is said.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime

# A week of jobs is enough to go by if there are so many; else older weeks are added.
JOBS_ENOUGH = 40
RECORDS_ENOUGH = 20_000
WEEKS_MAX = 26
# What a job is taken to cost whatever is in it, at most half of what it took, until sizes differ enough to tell.
OVERHEAD_S = 600.0
# Sizes tell a from b when they spread as two jobs would that are a tenth off the mean.
_SIZES_WEIGHT = 2
_SIZES_SPREAD = 0.1
JOB_MS_MAX = 8 * 86_400_000  # Bedrock ends a job after seven days


@dataclass(frozen=True, slots=True)
class History:
    """Sums over a pool's completed jobs and settled shards. All are whole numbers, as the ledger adds them.

    Attributes:
        jobs: completed jobs; `rows` and `ms` are their records and milliseconds from submission to end.
        rows_squared: the sum of rows x rows over jobs; likewise `ms_squared` and `rows_ms`.
        records: answered records whose input tokens were counted by the model and estimated by the plan.
        estimated_millitokens: what the plan estimated for these records, in thousandths of an LLM token.
        input_tokens: what was counted for them; likewise `output_tokens`.
    """

    jobs: int = 0
    rows: int = 0
    ms: int = 0
    rows_squared: int = 0
    ms_squared: int = 0
    rows_ms: int = 0
    records: int = 0
    estimated_millitokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: History) -> History:
        return History(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


NO_HISTORY = History()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a move adds to the history of a pool, and to which week's."""

    week: str
    history: History


def week_of(moment: datetime) -> str:
    """The week that a row of history is of, such as 2026-W48: string order is time order."""
    year, week, _ = moment.isocalendar()
    return f"{year}-W{week:02d}"


def of_job(rows: int, submitted_at: datetime | None, ended_at: datetime | None) -> History | None:
    """What a completed job adds; None if Bedrock did not tell its times, or they cannot be."""
    if submitted_at is None or ended_at is None or rows < 1:
        return None
    ms = round((ended_at - submitted_at).total_seconds() * 1_000)
    if not 0 < ms <= JOB_MS_MAX:
        return None
    return History(jobs=1, rows=rows, ms=ms, rows_squared=rows * rows, ms_squared=ms * ms, rows_ms=rows * ms)


def of_settled(records: int, record_millitokens: int, input_tokens: int, output_tokens: int) -> History | None:
    """What a settled shard adds; None if nothing was estimated or counted.

    Args:
        records: those that the model counted tokens of.
        record_millitokens: the plan's estimate for one of them.
        input_tokens, output_tokens: what the model counted.
    """
    if records < 1 or record_millitokens < 1 or input_tokens < 1:
        return None
    return History(
        records=records,
        estimated_millitokens=records * record_millitokens,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
    )


def recent(weeks: Iterable[History]) -> History:
    """The sums to go by, from those of weeks, the newest first."""
    times, tokens = History(), History()
    for week in weeks:
        if times.jobs < JOBS_ENOUGH:
            times += week
        if tokens.records < RECORDS_ENOUGH:
            tokens += week
    return History(
        *(getattr(times, each.name) for each in fields(History)[:6]),
        *(getattr(tokens, each.name) for each in fields(History)[6:]),
    )


# --------------------------------------------------------------------------- what follows from it


@dataclass(frozen=True, slots=True)
class JobTime:
    """How long a job of a model takes, in seconds: `fixed_s + row_s x rows`.

    Attributes:
        jobs: from how many completed jobs this is known.
        rows_mean: their mean number of rows.
        spread_s: how far their times lie from the line, as a standard deviation.
        split_known: whether their sizes differ enough to tell the two parts apart.
    """

    fixed_s: float
    row_s: float
    jobs: int
    rows_mean: float
    spread_s: float
    split_known: bool

    def seconds(self, rows: float) -> float:
        return self.fixed_s + self.row_s * rows


def job_time(history: History) -> JobTime | None:
    """The line through a history's jobs; None if there are none."""
    count = history.jobs
    if count < 1 or history.rows < 1:
        return None
    rows, seconds = history.rows / count, history.ms / count / 1_000
    # In whole numbers first: these are differences of large, nearly equal sums.
    rows_off = (count * history.rows_squared - history.rows**2) / count
    both_off = (count * history.rows_ms - history.rows * history.ms) / count / 1_000
    times_off = (count * history.ms_squared - history.ms**2) / count / 1_000_000
    assumed = (seconds - min(OVERHEAD_S, seconds / 2)) / rows
    weight = _SIZES_WEIGHT * (_SIZES_SPREAD * rows) ** 2
    slope = (both_off + weight * assumed) / (rows_off + weight)
    slope = min(max(slope, 0.0), seconds / rows)
    left = max(0.0, times_off - 2 * slope * both_off + slope**2 * rows_off)
    return JobTime(
        fixed_s=seconds - slope * rows,
        row_s=slope,
        jobs=count,
        rows_mean=rows,
        spread_s=math.sqrt(left / count),
        split_known=rows_off > weight,
    )


def input_factor(history: History) -> float:
    """By how much a model counts more input tokens than were estimated; 1 where nothing is known."""
    if history.records < 1 or history.estimated_millitokens < 1:
        return 1.0
    return history.input_tokens * 1_000 / history.estimated_millitokens


def output_mean(history: History) -> float | None:
    """LLM output tokens of an answer, on average."""
    return history.output_tokens / history.records if history.records else None
