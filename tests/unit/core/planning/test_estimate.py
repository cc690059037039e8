"""Shards, waves, tokens, dollars and the end of a run, from a plan and from history."""

from __future__ import annotations

import pytest

from quarry_core.models import limits_of
from quarry_core.planning.estimate import NOTHING_AHEAD, STEPS_MAX, Ahead, TokenEstimate, estimate_run, finish_s
from quarry_core.planning.history import History, JobTime
from quarry_core.planning.plan import plan_shards

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
HUNDRED = JobTime(fixed_s=100, row_s=0, jobs=5, rows_mean=1_000, spread_s=0, split_known=True)
TOKENS = TokenEstimate(tokenizer="claude2", own=False, records=200, mean=300, spread=20, uncertainty=0.01)
FIRST_RESULTS = (
    "input tokens are estimated by the nearest published tokenizer, claude2; the first results of this model here will"
    " correct them"
)
PAST = History(
    jobs=2,
    rows=3_000,
    ms=3_600_000,
    rows_squared=1_000**2 + 2_000**2,
    ms_squared=1_200_000**2 + 2_400_000**2,
    rows_ms=1_000 * 1_200_000 + 2_000 * 2_400_000,
    records=3_000,
    estimated_millitokens=900_000_000,
    input_tokens=990_000,
    output_tokens=150_000,
)


def estimated(rows=4_000, *, model_id=CLAUDE, per_job=1_000, slots=2, history=PAST, **changes):
    plan = plan_shards(
        rows_available=rows,
        record_bytes=500,
        limits=limits_of(model_id),
        slots=slots,
        max_records_per_job=per_job,
        max_records_total=changes.pop("most", None),
    )
    given = {
        "plan": plan,
        "model_id": model_id,
        "source_uri": "s3://b/k.csv",
        "inference": {},
        "tokens": TOKENS,
        "unsent": 0,
        "slots": slots,
        "history": history,
    }
    return estimate_run(**given | changes)


def test_waves_follow_from_shards_and_slots():
    found = estimated(rows=10_000, per_job=1_000, slots=4)
    assert (found.shards, found.waves, found.shard_rows_max) == (12, 3, 834)


def test_tokens_are_corrected_by_what_the_model_counted():
    found = estimated()
    assert found.input_factor == pytest.approx(1.1)
    assert found.input_tokens == 4_000 * 330
    assert (found.output_tokens, found.output_from) == (4_000 * 50, "history")
    assert found.dollars == pytest.approx((4_000 * 330 * 0.125 + 4_000 * 50 * 0.625) / 1e6)
    assert found.notes == ()


def test_without_history_output_is_the_most_that_max_tokens_allows_and_no_time_is_invented():
    found = estimated(history=History(), inference={"max_tokens": 64})
    assert (found.input_tokens, found.output_tokens, found.output_from) == (1_200_000, 256_000, "max_tokens")
    assert found.duration is None
    assert [note.partition(":")[0] for note in found.notes] == [
        FIRST_RESULTS,
        "no answer of this model has been counted here yet",
        "no job of this model has completed here yet",
    ]


def test_an_answer_is_never_expected_to_be_longer_than_max_tokens_allows():
    assert estimated(inference={"max_tokens": 20}).output_tokens == 80_000


def test_an_embedding_has_no_output_tokens():
    found = estimated(model_id=TITAN, history=History())
    assert (found.output_tokens, found.output_from) == (0, "none")
    assert found.dollars == pytest.approx(1_200_000 * 0.01 / 1e6)


def test_a_model_of_no_family_that_converses_is_estimated_too():
    assert estimated(model_id="amazon.nova-lite-v1:0").output_from == "history"


def test_a_model_without_a_price_has_no_cost_and_a_note():
    found = estimated(model_id="anthropic.claude-99-v1:0")
    assert found.dollars is None
    assert "the table of prices has no anthropic.claude-99-v1:0: no cost is estimated" in found.notes


def test_rows_that_cannot_be_sent_cost_nothing():
    found = estimated(unsent=1_000)
    assert (found.rows_unsent, found.input_tokens, found.input_bytes) == (1_000, 3_000 * 330, 3_000 * 500)


def test_rows_left_out_are_told():
    found = estimated(most=2_000)
    assert (found.rows_source, found.rows_planned, found.shards) == (4_000, 2_000, 2)
    assert [(each.rows, each.why) for each in found.rows_left_out] == [(2_000, "max_records_total is 2000")]


def test_the_end_is_that_of_the_waves():
    found = estimated(rows=6_000, per_job=1_000, slots=2)
    assert found.duration is not None
    assert found.duration.seconds == pytest.approx(3 * 1_200, rel=0.03)
    assert found.duration.low_s <= found.duration.seconds <= found.duration.high_s
    assert found.duration.behind_s == found.duration.seconds


def test_jobs_of_one_size_say_for_others_between_what_the_time_lies():
    one_size = History(
        jobs=1, rows=1_000, ms=1_200_000, rows_squared=10**6, ms_squared=1_200_000**2, rows_ms=12 * 10**8
    )
    found = estimated(rows=4_000, per_job=2_000, slots=2, history=one_size)
    assert found.duration is not None
    assert (found.duration.low_s, found.duration.high_s) == (1_200, 2_400)
    assert 1_200 < found.duration.seconds < 2_400
    assert any("had about 1,000 rows" in note for note in found.notes)


@pytest.mark.parametrize(
    ("shards", "slots", "ahead", "expected_s"),
    [
        (1, 4, NOTHING_AHEAD, 100),
        (4, 4, NOTHING_AHEAD, 100),
        (5, 4, NOTHING_AHEAD, 200),
        (12, 4, NOTHING_AHEAD, 300),
        # One slot is half-way through a job.
        (1, 1, Ahead(1), 150),
        # Two lanes take turns: the last of our two shards is the fourth job.
        (2, 1, Ahead(0, (10,)), 400),
        (2, 1, Ahead(0, (1,)), 300),
        (2, 2, Ahead(0, (10, 10)), 300),
    ],
)
def test_shards_take_slots_as_the_scheduler_lets_them(shards, slots, ahead, expected_s):
    assert finish_s([1_000] * shards, slots, HUNDRED, ahead) == expected_s


def test_a_pool_that_is_very_full_is_reckoned_by_its_mean():
    crowded = Ahead(20, (49_999,) * 100)
    found = finish_s([1_000] * 40_000, 20, HUNDRED, crowded)
    assert STEPS_MAX < 40_000 * 101
    assert found == pytest.approx(40_000 * 101 * 100 / 20, rel=0.01)
