"""What a canary's answers say of the whole run, and whether that is within its limits. Pure.

Theory of operation. Shares are told with the interval in which they lie with 95 percent, as far as chance goes (Wilson): a
share is held against its limit as it was counted, not at an end of the interval. The run's input tokens follow from what
the model counted for the canary, times how much longer the run's records are than the canary's: so a canary of short rows does
not make the run look short. What a record is longer by is text, for all that stands around it is alike in each. Its output tokens follow from the mean alone. The intervals of tokens, dollars
and time are of chance too: rows at the beginning of a sorted dataset may answer unlike the others, and no interval tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from quarry_core.contract.canary import Canary
from quarry_core.models.money import DOLLARS_DIGITS, dollars_apart
from quarry_core.models.prices import Price
from quarry_core.planning.costs import Range
from quarry_core.planning.estimate import Duration, Estimate, duration_of
from quarry_core.planning.history import History, job_time

INVALID_OUTPUT = "INVALID_OUTPUT"
SKIPPED = "SKIPPED"
# Beside chance, for what the first rows do not show of the rest. An assumption: it was not measured.
MODEL_SHARE = 0.02
_Z = 1.96


@dataclass(frozen=True, slots=True)
class Answers:
    """What a canary's records came to.

    Attributes:
        rows: of the shard; `sent` of them stood in its input file, of `input_bytes` bytes.
        errors: rows with an error by code, also those that are to be asked again.
        answered: records with an answer; `truncated` of these were cut off.
        counted: records of which the model counted the tokens.
        input_tokens, output_tokens: what it counted; `input_squares` and `output_squares` are the sums of their squares.
    """

    rows: int
    sent: int
    input_bytes: int
    errors: Mapping[str, int]
    answered: int = 0
    truncated: int = 0
    counted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_squares: float = 0.0
    output_squares: float = 0.0


class Share(BaseModel):
    """A share of records, 0 to 1, and between which it lies with 95 percent."""

    model_config = ConfigDict(frozen=True)

    share: float
    low: float
    high: float


class Judgement(BaseModel):
    """What a canary came to.

    Attributes:
        rows: of the canary; `answered` of them have an answer.
        errors: its rows with an error, by code.
        error, truncated, invalid_output: shares of its rows; `truncated` of its answers.
        input_tokens, output_tokens: LLM tokens of the whole run, as the canary projects them; None: the model counted none.
        dollars: likewise, US dollars; None where the model has no price.
        left: how long the rest takes, in seconds; None where no job of the model is known to have completed.
        exceeded: what exceeds which limit, a sentence each; empty: the run goes on.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    answered: int
    errors: Mapping[str, int]
    error: Share
    truncated: Share
    invalid_output: Share
    input_tokens: Range | None
    output_tokens: Range | None
    dollars: Range | None
    left: Duration | None
    judged_at: str
    exceeded: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """One sentence; empty if nothing is exceeded."""
        return f"the canary exceeds its limits: {'; '.join(self.exceeded)}" if self.exceeded else ""


def judge(
    answers: Answers,
    limits: Canary,
    *,
    estimate: Estimate | None,
    price: Price | None,
    records: int,
    shards_left: Sequence[int],
    slots: int,
    history: History,
    judged_at: str,
) -> Judgement:
    """Judge a canary.

    Args:
        answers: what its records came to.
        limits: what it must not exceed.
        estimate: of the run, when it was planned.
        price: of the model.
        records: of the whole run, as far as they can be sent.
        shards_left: rows of each shard but the canary.
        slots: jobs that may be active at once.
        history: of the pool's jobs, the canary's included.
        judged_at: now, ISO 8601 in UTC.
    """
    failed = sum(rows for code, rows in answers.errors.items() if code != SKIPPED)
    rows = answers.rows - answers.errors.get(SKIPPED, 0)
    error, truncated = share_of(failed, rows), share_of(answers.truncated, answers.answered)
    tokens_in, tokens_out = _tokens(answers, estimate, records)
    dollars = None
    if price is not None and tokens_in is not None and tokens_out is not None:
        dollars = _dollars(price, tokens_in, tokens_out)
    time = job_time(history)
    return Judgement(
        rows=answers.rows,
        answered=answers.answered,
        errors=dict(answers.errors),
        error=error,
        truncated=truncated,
        invalid_output=share_of(answers.errors.get(INVALID_OUTPUT, 0), rows),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        dollars=dollars,
        left=duration_of(shards_left, max(1, slots), time) if time is not None and shards_left else None,
        judged_at=judged_at,
        exceeded=tuple(_exceeded(answers, limits, failed, error, truncated, dollars)),
    )


def share_of(count: int, of: int) -> Share:
    """A share with its Wilson interval; of nothing it is 0, and may be anything."""
    if of < 1:
        return Share(share=0.0, low=0.0, high=1.0)
    share = count / of
    middle = (share + _Z**2 / (2 * of)) / (1 + _Z**2 / of)
    off = _Z * math.sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2)) / (1 + _Z**2 / of)
    return Share(
        share=round(share, 6),
        low=round(max(0.0, min(middle - off, share)), 6),
        high=round(min(1.0, max(middle + off, share)), 6),
    )


def _exceeded(
    answers: Answers, limits: Canary, failed: int, error: Share, truncated: Share, dollars: Range | None
) -> list[str]:
    found = []
    if error.share > limits.max_error_share:
        commonest = sorted(
            ((rows, code) for code, rows in answers.errors.items() if code != SKIPPED),
            key=lambda each: (-each[0], each[1]),
        )
        codes = ", ".join(f"{code} {rows:,}" for rows, code in commonest[:3])
        found.append(
            f"{failed:,} of {answers.rows:,} rows have an error ({codes}), {_percent(error)}, and"
            f" canary.max_error_share allows {limits.max_error_share:.0%}"
        )
    if truncated.share > limits.max_truncated_share:
        found.append(
            f"{answers.truncated:,} of {answers.answered:,} answers are cut off at max_tokens, {_percent(truncated)}, and"
            f" canary.max_truncated_share allows {limits.max_truncated_share:.0%}"
        )
    if limits.max_cost_usd is not None and dollars is not None and (dollars.likely or 0) > limits.max_cost_usd:
        likely, low, high, most = dollars_apart(dollars.likely or 0, dollars.low, dollars.high, limits.max_cost_usd)
        found.append(f"the run would cost about {likely} ({low} to {high}), and canary.max_cost_usd allows {most}")
    return found


def _percent(share: Share) -> str:
    return f"{share.share:.1%} ({share.low:.1%} to {share.high:.1%})"


def _tokens(answers: Answers, estimate: Estimate | None, records: int) -> tuple[Range | None, Range | None]:
    if not answers.counted or not answers.sent:
        return None, None
    # Records with an error cost nothing, and of the run's as many are taken to have one.
    paid = records * answers.counted / answers.sent
    longer, unsure = 1.0, 0.0
    if estimate is not None and estimate.input_bytes and answers.input_bytes:
        longer = _longer(estimate, estimate.input_bytes / max(1, records), answers.input_bytes / answers.sent)
        unsure = 2 * estimate.tokens.uncertainty if estimate.tokens else 0.0
    mean_in = answers.input_tokens / answers.counted
    mean_out = answers.output_tokens / answers.counted
    return (
        _range(mean_in * longer * paid, _off(answers.counted, mean_in, answers.input_squares) + unsure + MODEL_SHARE),
        _range(mean_out * paid, _off(answers.counted, mean_out, answers.output_squares) + MODEL_SHARE),
    )


def _longer(estimate: Estimate, of_run: float, of_canary: float) -> float:
    """How many times the LLM tokens of a canary's record one of the run has.

    Args:
        of_run, of_canary: bytes of a record, all that stands around its text included.
    """
    tokens = estimate.tokens
    if tokens is not None and tokens.byte_tokens:
        canary = tokens.mean - tokens.byte_tokens * (of_run - of_canary)
        if canary > tokens.mean * _SHORTEST:
            return tokens.mean / canary
    return of_run / of_canary  # as of images, whose bytes are no text


# A canary whose records are taken to have so few of the tokens of the run's tells nothing by its bytes.
_SHORTEST = 0.02


def _off(count: int, mean: float, squares: float) -> float:
    """Half of the interval of a mean, as a share of it."""
    variance = max(0.0, squares / count - mean * mean)
    return _Z * math.sqrt(variance / count) / mean if mean else 0.0


def _range(likely: float, off: float) -> Range:
    off = min(off, 1.0)
    return Range(low=round(likely * (1 - off)), likely=round(likely), high=round(likely * (1 + off)))


def _dollars(price: Price, tokens_in: Range, tokens_out: Range) -> Range:
    def of(inside: float | None, outside: float | None) -> float:
        return round(((inside or 0) * price.input + (outside or 0) * price.output) / 1_000_000, DOLLARS_DIGITS)

    return Range(
        low=of(tokens_in.low, tokens_out.low),
        likely=of(tokens_in.likely, tokens_out.likely),
        high=of(tokens_in.high, tokens_out.high),
    )
