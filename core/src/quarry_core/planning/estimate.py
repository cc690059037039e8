"""What a planned run will be: shards, waves, LLM tokens, dollars, and when it may have ended. Pure.

Theory of operation. Shards and waves follow from the plan alone and are exact. Tokens come from a sample of the rows,
corrected by what the model has counted so far; dollars from the tokens and the dated table of prices; times from the jobs
that the model has had here (`history`). What nothing is known of is None, and a note says why: nobody invents an hour.

The end is found by letting the plan's shards take slots as the scheduler would, first alone, then beside what waits in
the pool already: lanes take turns, and a slot in use is half-way through its job, on average.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from quarry_core.models import makes_embeddings
from quarry_core.models.anthropic import MAX_TOKENS_DEFAULT
from quarry_core.models.money import DOLLARS_DIGITS
from quarry_core.models.on_demand import tier_of
from quarry_core.models.prices import on_demand_price_of, price_of, table
from quarry_core.planning.history import NO_HISTORY, History, JobTime, input_factor, job_time, output_mean
from quarry_core.planning.plan import LeftOut, Plan

ESTIMATE_VERSION = 1
# Of jobs that take slots one after the other; what is beyond them is reckoned by the mean.
STEPS_MAX = 200_000
# Under these names families take the most tokens that an answer may have.
_OUTPUT_MAX = ("max_tokens", "maxTokens", "max_completion_tokens", "max_new_tokens", "max_gen_len", "maxTokenCount")

OutputFrom = Literal["history", "max_tokens", "none"]


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a pool has to do already: `in_use` slots, and for each other run the shards that wait."""

    in_use: int = 0
    waiting: tuple[int, ...] = ()

    @property
    def shards(self) -> int:
        return self.in_use + sum(self.waiting)


NOTHING_AHEAD = Ahead()


class TokenEstimate(BaseModel):
    """LLM input tokens of a record, estimated from a sample.

    Attributes:
        tokenizer: by which it was estimated.
        own: whether that is the model's own tokenizer.
        records: how many were looked at.
        mean: tokens of a record, system prompt included.
        spread: the standard deviation between records.
        uncertainty: the standard error of the mean that comes from looking at a sample only, as a share of the mean.
        byte_tokens: tokens of a byte of the texts, the system prompt left out; 0: not known.
    """

    model_config = ConfigDict(frozen=True)

    tokenizer: str
    own: bool
    records: int
    mean: float
    spread: float
    uncertainty: float
    byte_tokens: float = 0.0


class Duration(BaseModel):
    """Seconds from the first job's submission to the last one's end.

    Attributes:
        seconds: if the run had the pool to itself.
        low_s, high_s: between which that lies, as far as the jobs so far can tell.
        behind_s: beside what waits in the pool already.
        fixed_s, row_s: the line by which it was reckoned, fixed_s + row_s x rows for a job.
        jobs: from how many completed jobs the line is known.
    """

    model_config = ConfigDict(frozen=True)

    seconds: int
    low_s: int
    high_s: int
    behind_s: int
    fixed_s: float
    row_s: float
    jobs: int


class Estimate(BaseModel):
    """What `quarry plan --json` prints, and what stands at `plans/<run_id>/estimate.json`.

    Attributes:
        rows_source, rows_planned: rows of the source, and those that the plan takes.
        rows_unsent: planned rows that perhaps cannot be sent, and will end as error rows.
        shards: jobs, at most `slots` of them at once, in `waves`.
        shard_rows_max: rows of the longest shard.
        input_bytes: of all shards' input files together.
        input_tokens: LLM tokens of all records; `tokens` is the estimate for one of them, before `input_factor`.
        input_factor: what the model has counted for each token estimated; from `factor_records` records.
        output_tokens: likewise; `output_from` says whether by history, or the most that max_tokens allows.
        canary_rows: of the first shard, if it is asked alone before the others.
        on_demand_rows: rows that are asked on demand, for which `dollars` counts its price.
        dollars: by the table of prices of `prices_as_of`; None where the model is not in it.
        duration: None while the model has no history here.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    version: int = ESTIMATE_VERSION
    model_id: str
    source_uri: str
    rows_source: int
    rows_planned: int
    rows_left_out: tuple[LeftOut, ...] = ()
    rows_unsent: int = 0
    shards: int
    shard_rows_max: int
    slots: int
    waves: int
    input_bytes: int
    tokens: TokenEstimate | None = None
    input_tokens: int | None = None
    input_factor: float = 1.0
    factor_records: int = 0
    output_tokens: int | None = None
    output_from: OutputFrom = "none"
    dollars: float | None = None
    prices_as_of: str = ""
    on_demand_rows: int = 0
    canary_rows: int = 0
    duration: Duration | None = None
    ahead_shards: int = 0
    notes: tuple[str, ...] = ()

    @property
    def record_nanodollars(self) -> int:
        """What a record is estimated to cost at batch prices, in billionths of a dollar; 0 where nothing is known."""
        records, price = self.rows_planned - self.rows_unsent, price_of(self.model_id)
        if price is None or records < 1 or self.input_tokens is None or self.output_tokens is None:
            return 0
        return round(price.dollars(self.input_tokens, self.output_tokens) * 1_000_000_000 / records)

    @property
    def record_millitokens(self) -> int:
        """Input tokens of a record before any correction, in thousandths: what history compares counts with."""
        return round(self.tokens.mean * 1_000) if self.tokens else 0


def estimate_run(
    *,
    plan: Plan,
    model_id: str,
    source_uri: str,
    inference: Mapping[str, Any],
    tokens: TokenEstimate | None,
    unsent: int,
    slots: int,
    history: History = NO_HISTORY,
    ahead: Ahead = NOTHING_AHEAD,
    on_demand_below: int = 0,
    canary: bool = False,
    notes: Sequence[str] = (),
) -> Estimate:
    """Put together what is known of a planned run.

    Args:
        plan: the plan.
        model_id, source_uri: for people, and for prices.
        inference: its parameters, which may bound an answer's tokens.
        tokens: the estimate for one record; None where the records' texts are not known.
        unsent: rows of the source that cannot be sent.
        slots: jobs that may be active at once.
        history: of the pool.
        ahead: what the pool has to do already.
        on_demand_below: a run of fewer rows is asked on demand.
        canary: the first shard is asked alone.
        notes: more that is to be said.
    """
    shards = [length for stretch in plan.stretches for length in _lengths(stretch.shards, stretch.rows)]
    unsent = min(unsent, plan.rows_planned)
    sent = plan.rows_planned - unsent
    factor = input_factor(history)
    said = [*plan.notes, *notes]
    input_tokens = None if tokens is None else round(tokens.mean * factor * sent)
    if tokens is not None:
        said += _token_notes(tokens, history)
    output_tokens, output_from = _output(model_id, inference, history, sent)
    if output_from == "max_tokens" and output_tokens is not None:
        said.append(
            "no answer of this model has been counted here yet: output tokens, and with them the cost, are the most"
            " that max_tokens allows"
        )
    few = plan.rows_planned < on_demand_below
    price = on_demand_price_of(model_id, tier_of(model_id)) if few else price_of(model_id)
    dollars = None
    if price is None:
        said.append(f"the table of prices has no {model_id}: no cost is estimated")
    elif input_tokens is not None and output_tokens is not None:
        dollars = round(price.dollars(input_tokens, output_tokens), DOLLARS_DIGITS)
    time = job_time(history)
    duration = None if time is None or few else duration_of(shards, slots, time, ahead, canary=canary)
    said += () if few else _time_notes(time, shards)
    return Estimate(
        model_id=model_id,
        source_uri=source_uri,
        rows_source=plan.rows_available,
        rows_planned=plan.rows_planned,
        rows_left_out=plan.rows_left_out,
        rows_unsent=unsent,
        shards=len(shards),
        shard_rows_max=max(shards),
        slots=slots,
        waves=waves_of(shards, slots, canary=canary),
        input_bytes=round(plan.record_bytes * sent),
        tokens=tokens,
        input_tokens=input_tokens,
        input_factor=round(factor, 4),
        factor_records=history.records,
        output_tokens=output_tokens,
        output_from=output_from,
        dollars=dollars,
        prices_as_of=table().as_of,
        on_demand_rows=plan.rows_planned if few else 0,
        canary_rows=shards[0] if canary else 0,
        duration=duration,
        ahead_shards=ahead.shards,
        notes=tuple(said),
    )


def _lengths(shards: int, rows: int) -> list[int]:
    each, longer = divmod(rows, shards)
    return [each + 1] * longer + [each] * (shards - longer)


# --------------------------------------------------------------------------- tokens


def _token_notes(tokens: TokenEstimate, history: History) -> Iterable[str]:
    if history.records < 1:
        whose = "the model's own tokenizer" if tokens.own else f"the nearest published tokenizer, {tokens.tokenizer}"
        yield f"input tokens are estimated by {whose}; the first results of this model here will correct them"
    if tokens.uncertainty > _UNCERTAIN:
        yield (
            f"the rows looked at differ much: their mean, and with it the input tokens, is sure to"
            f" {2 * tokens.uncertainty:.0%} only"
        )


_UNCERTAIN = 0.04


def _output(
    model_id: str, inference: Mapping[str, Any], history: History, records: int
) -> tuple[int | None, OutputFrom]:
    if makes_embeddings(model_id):
        return 0, "none"
    most = next((inference[name] for name in _OUTPUT_MAX if isinstance(inference.get(name), int)), MAX_TOKENS_DEFAULT)
    mean = output_mean(history)
    if mean is None:
        return most * records, "max_tokens"
    return round(min(mean, most) * records), "history"


# --------------------------------------------------------------------------- time


def _time_notes(time: JobTime | None, shards: Sequence[int]) -> Iterable[str]:
    if time is None:
        yield "no job of this model has completed here yet: how long one takes is not known"
        return
    far = max(abs(rows / time.rows_mean - 1) for rows in (shards[0], shards[-1]))
    if not time.split_known and far > _FAR:
        yield (
            f"all jobs of this model so far had about {time.rows_mean:,.0f} rows: for others the time is a guess"
            " between the two that are shown"
        )


_FAR = 0.1


def waves_of(shards: Sequence[int], slots: int, *, canary: bool = False) -> int:
    """How often all slots are filled; the canary is a wave of its own."""
    return canary + -(-(len(shards) - canary) // slots)


def duration_of(
    shards: Sequence[int], slots: int, time: JobTime, ahead: Ahead = NOTHING_AHEAD, *, canary: bool = False
) -> Duration:
    """How long shards of so many rows each take, in `slots`; the canary ends before the others begin."""
    first, others = (shards[:1], shards[1:]) if canary else ((), shards)

    def ended(line: JobTime, ahead: Ahead = NOTHING_AHEAD) -> float:
        return sum(map(line.seconds, first)) + finish_s(others, slots, line, ahead)

    alone = ended(time)
    lines = [time]
    if not time.split_known:
        # What is known is the mean alone: all of it may be fixed, or none.
        mean = time.seconds(time.rows_mean)
        lines += [replace(time, fixed_s=mean, row_s=0.0), replace(time, fixed_s=0.0, row_s=mean / time.rows_mean)]
    ends = [ended(line) for line in lines]
    waves = waves_of(shards, slots, canary=canary)
    # The jobs of a slot follow each other, so what they are off the line evens out in part.
    off = time.spread_s * waves**0.5
    return Duration(
        seconds=round(alone),
        low_s=max(0, round(min(ends) - off)),
        high_s=round(max(ends) + off),
        behind_s=round(ended(time, ahead)) if ahead.shards else round(alone),
        fixed_s=round(time.fixed_s, 1),
        row_s=round(time.row_s, 6),
        jobs=time.jobs,
    )


def finish_s(shards: Sequence[int], slots: int, time: JobTime, ahead: Ahead = NOTHING_AHEAD) -> float:
    """When the last of a run's jobs ends, in seconds from now.

    Args:
        shards: rows of each, in order.
        slots: jobs that may be active at once.
        time: how long a job takes.
        ahead: what the pool has to do already; its jobs are taken to be as long as those so far.
    """
    mean_s = time.seconds(time.rows_mean)
    busy = min(ahead.in_use, slots)
    turns = len(shards) * (len(ahead.waiting) + 1)
    if turns > STEPS_MAX:
        others = busy / 2 + sum(min(waiting, len(shards)) for waiting in ahead.waiting)
        return (others * mean_s + sum(map(time.seconds, shards))) / slots
    free = [mean_s * (place + 0.5) / busy for place in range(busy)] + [0.0] * (slots - busy)
    heapq.heapify(free)
    lanes = deque([waiting for waiting in ahead.waiting if waiting])
    last = 0.0
    for rows in shards:
        for _ in range(len(lanes)):
            heapq.heappush(free, heapq.heappop(free) + mean_s)
            left = lanes.popleft() - 1
            if left:
                lanes.append(left)
        end = heapq.heappop(free) + time.seconds(rows)
        heapq.heappush(free, end)
        last = max(last, end)
    return last
