"""The plan: which rows go where, and that no plan of full shards is faster."""

import heapq
import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from quarry_core.models import ModelLimits
from quarry_core.planning.plan import (
    FILE_FILL,
    SHARDS_MAX,
    BadLimit,
    HalfTooLarge,
    Plan,
    PlanError,
    RecordsTooLarge,
    ShardRange,
    TooFewRows,
    TooManyShards,
    plan_shards,
    split_in_halves,
)

LIMITS = ModelLimits()
KB = 1_000.0


def sizes(plan: Plan) -> list[int]:
    return [shard.rows for shard in plan.shards()]


def makespan(rows_per_job: list[int], slots: int, a: float, b: float) -> float:
    """When the last job ends if each takes a + b * rows, and each slot takes the next job when it is free."""
    free = [0.0] * min(slots, len(rows_per_job))
    for rows in rows_per_job:
        heapq.heapreplace(free, free[0] + a + b * rows)
    return max(free)


# --------------------------------------------------------------------------- examples


def test_the_seeds_run_fills_its_last_wave_and_ends_a_quarter_earlier():
    plan = plan_shards(2_200_000, KB, LIMITS, slots=20)
    assert plan.shard_count == 60
    assert set(sizes(plan)) == {36_666, 36_667}
    hours_per_row = 9 / 50_000
    assert makespan(sizes(plan), 20, 0, hours_per_row) <= 20.5
    assert makespan([50_000] * 44, 20, 0, hours_per_row) == pytest.approx(27)


def test_a_number_of_shards_that_fills_its_waves_stays_as_it_is():
    plan = plan_shards(12_000, KB, LIMITS, slots=3, max_records_per_job=1_000)
    assert sizes(plan) == [1_000] * 12


def test_a_single_wave_uses_every_slot_while_shards_stay_at_the_minimum():
    assert sizes(plan_shards(10_000, KB, LIMITS, slots=20)) == [500] * 20
    assert sizes(plan_shards(1_000, KB, LIMITS, slots=20)) == [100] * 10
    assert sizes(plan_shards(199, KB, LIMITS, slots=20)) == [199]


def test_a_tail_under_the_minimum_is_merged():
    plan = plan_shards(2_050, KB, LIMITS, slots=1, max_records_per_job=1_000)
    assert sizes(plan) == [684, 683, 683]


def test_a_last_wave_that_max_num_jobs_leaves_open_takes_what_full_shards_leave():
    plan = plan_shards(101_000, KB, LIMITS, slots=2, max_num_jobs=3)
    assert sizes(plan) == [50_000, 50_000, 1_000]


def test_a_short_last_wave_of_several_shards_borrows_from_those_before_it():
    plan = plan_shards(2_530, KB, LIMITS, slots=20, max_records_per_job=120)
    assert sizes(plan) == [117] * 10 + [116] * 10 + [100] * 2


def test_max_num_jobs_cuts_the_dataset_and_says_so():
    plan = plan_shards(10_000, KB, LIMITS, slots=20, max_records_per_job=1_000, max_num_jobs=3)
    assert sizes(plan) == [1_000] * 3
    (left_out,) = plan.rows_left_out
    assert left_out.rows == 7_000
    assert "max_num_jobs is 3" in left_out.why


def test_max_records_total_cuts_the_dataset_and_says_so():
    plan = plan_shards(10_000, KB, LIMITS, slots=20, max_num_jobs=1, max_records_total=100)
    assert sizes(plan) == [100]
    (left_out,) = plan.rows_left_out
    assert (left_out.rows, left_out.why) == (9_900, "max_records_total is 100")


def test_large_records_make_shards_that_fit_into_a_file():
    plan = plan_shards(50_000, 50_000.0, LIMITS, slots=1)
    assert max(sizes(plan)) * 50_000 <= FILE_FILL * LIMITS.file_bytes_max
    assert plan.shard_count == math.ceil(50_000 / 18_000)
    assert any("a job's file holds 18000" in note for note in plan.notes)


def test_a_wish_above_the_models_maximum_is_lowered_and_noted():
    plan = plan_shards(100_000, KB, LIMITS, slots=1, max_records_per_job=80_000)
    assert sizes(plan) == [50_000, 50_000]
    assert any("max_records_per_job is 80000" in note and "50000 at most" in note for note in plan.notes)


def test_the_minimum_wins_over_max_records_per_job_and_the_plan_says_so():
    plan = plan_shards(250, KB, LIMITS, slots=5, max_records_per_job=120)
    assert sizes(plan) == [125, 125]
    assert any("up to 125 records instead of 120" in note for note in plan.notes)
    assert plan.rows_left_out == ()


def test_rows_that_fit_no_job_of_the_model_are_left_out_and_reported():
    plan = plan_shards(199, KB, ModelLimits(records_min=100, records_max=100), slots=5)
    assert sizes(plan) == [100]
    (left_out,) = plan.rows_left_out
    assert left_out.rows == 99
    assert "minimum of 100" in left_out.why


# --------------------------------------------------------------------------- refusals


def test_too_few_rows_are_refused_where_none_may_be_asked_on_demand_and_the_sentence_says_why():
    with pytest.raises(
        TooFewRows, match=r"the dataset has 99 rows.*100 records.*on demand only if on_demand_below is not 0"
    ):
        plan_shards(99, KB, LIMITS, slots=20)
    with pytest.raises(TooFewRows):
        plan_shards(0, KB, LIMITS, slots=20)


def test_too_small_a_total_is_blamed_on_the_field():
    with pytest.raises(TooFewRows, match="max_records_total leaves 50 rows: give at least 100"):
        plan_shards(5_000, KB, LIMITS, slots=20, max_records_total=50)


def test_max_records_per_job_under_the_minimum_is_refused_with_the_remedy():
    with pytest.raises(BadLimit, match=r"max_records_per_job is 99.*give at least 100, or leave it out"):
        plan_shards(5_000, KB, LIMITS, slots=20, max_records_per_job=99)


@pytest.mark.parametrize("field", ["max_records_per_job", "max_num_jobs", "max_records_total"])
def test_a_limit_of_nothing_is_refused_by_name(field):
    with pytest.raises(BadLimit, match=f"{field} is 0"):
        plan_shards(5_000, KB, LIMITS, slots=20, **{field: 0})


def test_records_of_which_the_smallest_job_cannot_hold_enough_are_refused():
    with pytest.raises(RecordsTooLarge, match=r"10000000 bytes.*smallest job, 100 records"):
        plan_shards(5_000, 10_000_000.0, LIMITS, slots=20)


def test_more_shards_than_can_be_numbered_are_refused():
    with pytest.raises(TooManyShards, match="raise max_records_per_job"):
        plan_shards(SHARDS_MAX * 100 + 1, KB, LIMITS, slots=20, max_records_per_job=100)
    assert plan_shards(SHARDS_MAX * 100, KB, LIMITS, slots=20, max_records_per_job=100).shard_count == SHARDS_MAX


@pytest.mark.parametrize(
    ("rows", "record_bytes", "slots"), [(-1, KB, 1), (1_000, 0.0, 1), (1_000, math.nan, 1), (1_000, KB, 0)]
)
def test_arguments_that_no_manifest_can_cause_are_an_error_in_the_program(rows, record_bytes, slots):
    with pytest.raises(ValueError, match="cannot be planned") as caught:
        plan_shards(rows, record_bytes, LIMITS, slots)
    assert not isinstance(caught.value, PlanError)


def test_every_refusal_has_a_word_of_its_own():
    refusals = [TooFewRows, RecordsTooLarge, TooManyShards, HalfTooLarge, BadLimit]
    assert len({refusal.code for refusal in refusals}) == len(refusals)


# --------------------------------------------------------------------------- properties


@st.composite
def requests(draw):
    records_min = draw(st.sampled_from([1, 50, 100]))
    limits = ModelLimits(records_min=records_min, records_max=draw(st.integers(records_min, 20 * records_min + 50)))
    cap = draw(st.none() | st.integers(records_min, limits.records_max + 200))
    return {
        "rows_available": draw(st.integers(0, 60 * limits.records_max)),
        # Sometimes the file's bytes bound the shard, and not its records.
        "record_bytes": draw(st.floats(100, FILE_FILL * limits.file_bytes_max / records_min)),
        "limits": limits,
        "slots": draw(st.integers(1, 25)),
        "max_records_per_job": cap,
        "max_num_jobs": draw(st.none() | st.integers(1, 80)),
        "max_records_total": draw(st.none() | st.integers(1, 40 * limits.records_max)),
    }


def planned(request) -> Plan:
    try:
        return plan_shards(**request)
    except TooFewRows:
        taken = min(request["rows_available"], request["max_records_total"] or request["rows_available"])
        assert taken < request["limits"].records_min
        assume(False)
        raise


def ceiling(request):
    limits = request["limits"]
    return min(limits.records_max, int(FILE_FILL * limits.file_bytes_max / request["record_bytes"]))


@pytest.mark.promise("S3")
@given(requests())
def test_every_row_is_planned_once_in_order_or_reported_as_left_out(request):
    plan = planned(request)
    row = 0
    for index, shard in enumerate(plan.shards()):
        assert shard == (2 * index, row, shard.rows)
        row += shard.rows
    assert row == plan.rows_planned
    assert plan.rows_planned + sum(left_out.rows for left_out in plan.rows_left_out) == request["rows_available"]


@given(requests())
def test_no_shard_is_under_the_minimum_or_over_the_models_maximum(request):
    plan = planned(request)
    assert min(sizes(plan)) >= request["limits"].records_min
    assert max(sizes(plan)) <= ceiling(request)
    if request["max_num_jobs"]:
        assert plan.shard_count <= request["max_num_jobs"]
    if request["max_records_per_job"] and max(sizes(plan)) > request["max_records_per_job"]:
        assert any("instead of" in note for note in plan.notes)
        assert plan.rows_planned < 2 * request["limits"].records_min * plan.shard_count


@given(requests())
def test_there_are_as_few_waves_as_can_be_and_the_last_is_full_or_cannot_be(request):
    plan = planned(request)
    most = min(ceiling(request), request["max_records_per_job"] or ceiling(request))
    assume(max(sizes(plan)) <= most)
    slots, count = request["slots"], plan.shard_count
    waves = math.ceil(math.ceil(plan.rows_planned / most) / slots)
    assert math.ceil(count / slots) == waves
    if count % slots:
        at_most = min(plan.rows_planned // request["limits"].records_min, request["max_num_jobs"] or SHARDS_MAX)
        assert at_most < waves * slots
    if count % slots == 0 or waves == 1:
        assert max(sizes(plan)) - min(sizes(plan)) <= 1


@given(requests(), st.floats(0, 1_000), st.floats(0, 10))
@example(
    {
        "rows_available": 380,
        "record_bytes": KB,
        "limits": ModelLimits(records_max=140),
        "slots": 2,
        "max_records_per_job": None,
        "max_num_jobs": None,
        "max_records_total": None,
    },
    0.0,
    1.0,
)
def test_no_plan_is_slower_than_full_shards_and_a_tail(request, a, b):
    plan = planned(request)
    most = min(ceiling(request), request["max_records_per_job"] or ceiling(request))
    full, tail = divmod(plan.rows_planned, most)
    fixed = [most] * full + [tail] * (tail > 0)
    # Bedrock would take no job under the minimum, so a plan with one is none.
    assume(min(fixed) >= request["limits"].records_min)
    slots = request["slots"]
    assert makespan(sizes(plan), slots, a, b) <= makespan(fixed, slots, a, b) * (1 + 1e-9) + 1e-9


@given(requests())
def test_slices_cut_the_shards_whole_and_in_order(request):
    plan = planned(request)
    shards = row = 0
    for number in range(plan.slice_count):
        piece = plan.slice_at(number)
        assert piece == (number, shards, piece.shards, row, piece.rows)
        assert piece.rows == sum(plan.shard_at(shards + index).rows for index in range(piece.shards))
        assert piece.shards >= 1
        shards, row = shards + piece.shards, row + piece.rows
    assert (shards, row) == (plan.shard_count, plan.rows_planned)


@given(requests())
def test_a_plan_comes_back_from_json_as_it_was_and_is_made_the_same_again(request):
    plan = planned(request)
    text = plan.model_dump_json()
    assert Plan.model_validate_json(text) == plan
    assert planned(request).model_dump_json() == text
    assert len(text) < 2_000


# --------------------------------------------------------------------------- compact plans, slices, halves


def test_the_largest_plan_is_small_and_its_shards_are_found_at_once():
    plan = plan_shards(SHARDS_MAX * 50_000, KB, LIMITS, slots=20)
    assert plan.shard_count == SHARDS_MAX
    assert len(plan.model_dump_json()) < 1_000
    last = plan.shard_at(SHARDS_MAX - 1)
    assert last == (2 * (SHARDS_MAX - 1), plan.rows_planned - last.rows, last.rows)


@pytest.mark.parametrize("index", [-1, 60])
def test_a_shard_or_slice_that_is_not_planned_is_an_index_error(index):
    plan = plan_shards(2_200_000, KB, LIMITS, slots=20)
    with pytest.raises(IndexError):
        plan.shard_at(index)
    with pytest.raises(IndexError):
        plan.slice_at(index)


def test_slices_of_full_shards_hold_four_and_small_runs_still_feed_several_workers():
    assert plan_shards(4_000_000, KB, LIMITS, slots=20).shards_per_slice == 4
    assert plan_shards(2_200_000, KB, LIMITS, slots=20).slice_count == 12
    assert plan_shards(12_000, KB, LIMITS, slots=3, max_records_per_job=1_000).slice_count == 12
    assert plan_shards(40_000_000, KB, LIMITS, slots=20, max_records_per_job=1_000).shards_per_slice == 64


def test_a_slice_of_large_records_is_one_shard():
    plan = plan_shards(1_000_000, 80_000.0, LIMITS, slots=1)
    assert plan.shards_per_slice == 1


@given(st.integers(0, 49_998), st.integers(0, 10**9), st.integers(200, 50_000))
def test_halves_are_even_and_the_second_has_the_next_odd_number(index, first_row, rows):
    first, second = split_in_halves(ShardRange(2 * index, first_row, rows), records_min=100)
    assert (first.number, second.number) == (2 * index, 2 * index + 1)
    assert (first.first_row, second.first_row) == (first_row, first_row + first.rows)
    assert first.rows + second.rows == rows
    assert 0 <= first.rows - second.rows <= 1


def test_a_half_is_not_halved_again():
    with pytest.raises(HalfTooLarge, match=r"shard 00013 .* already half of a shard"):
        split_in_halves(ShardRange(13, 5_000, 1_000), records_min=100)


def test_a_shard_whose_halves_would_be_under_the_minimum_is_not_halved():
    with pytest.raises(HalfTooLarge, match="minimum of 100"):
        split_in_halves(ShardRange(12, 5_000, 199), records_min=100)
    assert split_in_halves(ShardRange(12, 5_000, 200), records_min=100)[1].rows == 100


@pytest.mark.promise("S9")
@given(
    rows=st.integers(100, 200_000),
    gaps=st.integers(0, 5_000),
    slots=st.integers(1, 30),
    wish=st.none() | st.integers(100, 50_000),
)
def test_rows_that_may_not_be_sendable_leave_no_shard_too_short_where_that_can_be_had(rows, gaps, slots, wish):
    with_gaps = plan_shards(rows, 500.0, LIMITS, slots, max_records_per_job=wish, gaps=gaps)
    shortest = min(shard.rows for shard in with_gaps.shards())
    most = min(wish or LIMITS.records_max, LIMITS.records_max)
    fewest = -(-rows // most)
    assert sum(shard.rows for shard in with_gaps.shards()) == with_gaps.rows_planned
    assert shortest >= LIMITS.records_min
    if rows // fewest >= LIMITS.records_min + gaps:
        assert shortest - gaps >= LIMITS.records_min
