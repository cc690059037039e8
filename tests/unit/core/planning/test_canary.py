"""What a canary's answers say of the whole run: its shares, its tokens and its dollars."""

from __future__ import annotations

import pytest

from quarry_core.contract.canary import Canary
from quarry_core.models.prices import Price
from quarry_core.planning.canary import Answers, Judgement, judge
from quarry_core.planning.estimate import Estimate, TokenEstimate
from quarry_core.planning.history import NO_HISTORY

ROWS = 10_000
AROUND_BYTES = 150  # of a record, beside its text


def judged(*, run_text: int, canary_text: int, byte_tokens: float = 0.25, system: float = 0.0) -> Judgement:
    """Of a run whose records have so many bytes of text on average, and a canary of others; a byte is a quarter of a token."""
    mean = system + run_text * 0.25
    tokens = TokenEstimate(
        tokenizer="claude2", own=False, records=4_096, mean=mean, spread=1, uncertainty=0, byte_tokens=byte_tokens
    )
    estimate = Estimate(
        model_id="m",
        source_uri="s3://b/k",
        rows_source=ROWS,
        rows_planned=ROWS,
        shards=10,
        shard_rows_max=1_000,
        slots=3,
        waves=4,
        input_bytes=ROWS * (AROUND_BYTES + run_text),
        tokens=tokens,
        input_tokens=round(mean * ROWS),
    )
    each = round(system + canary_text * 0.25)
    answers = Answers(
        rows=1_000,
        sent=1_000,
        input_bytes=1_000 * (AROUND_BYTES + canary_text),
        errors={},
        answered=1_000,
        counted=1_000,
        input_tokens=1_000 * each,
        output_tokens=1_000 * 20,
        input_squares=1_000.0 * each**2,
        output_squares=1_000.0 * 20**2,
    )
    return judge(
        answers,
        Canary(),
        estimate=estimate,
        price=Price(1.0, 5.0),
        records=ROWS,
        shards_left=(1_000,) * 9,
        slots=3,
        history=NO_HISTORY,
        judged_at="2026-01-01T00:00:00+00:00",
    )


@pytest.mark.parametrize(("run_text", "canary_text"), [(400, 400), (400, 200), (200, 400), (1_200, 80)])
@pytest.mark.parametrize("system", [0.0, 300.0])
def test_a_canary_of_other_lengths_makes_the_run_look_neither_short_nor_long(run_text, canary_text, system):
    found = judged(run_text=run_text, canary_text=canary_text, system=system)
    actual = ROWS * (system + run_text * 0.25)
    assert found.input_tokens.likely == pytest.approx(actual, rel=0.01)
    assert found.output_tokens.likely == ROWS * 20
    assert found.dollars.likely == pytest.approx((actual + ROWS * 20 * 5) / 1_000_000, rel=0.01)
    assert found.dollars.low < found.dollars.likely < found.dollars.high


def test_what_is_no_text_goes_by_its_bytes():
    found = judged(run_text=400, canary_text=200, byte_tokens=0.0)
    assert found.input_tokens.likely == round(ROWS * 50 * (AROUND_BYTES + 400) / (AROUND_BYTES + 200))


def test_bytes_that_leave_a_canary_no_tokens_are_not_believed():
    found = judged(run_text=1_200, canary_text=80, byte_tokens=0.3)
    assert found.input_tokens.likely == round(ROWS * 20 * (AROUND_BYTES + 1_200) / (AROUND_BYTES + 80))
