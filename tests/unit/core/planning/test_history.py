"""What a pool's past jobs tell of the next ones."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from quarry_core.planning.history import (
    JOB_MS_MAX,
    JOBS_ENOUGH,
    OVERHEAD_S,
    RECORDS_ENOUGH,
    History,
    input_factor,
    job_time,
    of_job,
    of_settled,
    output_mean,
    recent,
    week_of,
)

AT = datetime(2026, 11, 30, tzinfo=UTC)


def jobs(sizes, fixed_s=900.0, row_s=0.5, jitter=0.0, seed=1):
    chance, found = random.Random(seed), History()
    for rows in sizes:
        seconds = (fixed_s + row_s * rows) * (1 + chance.uniform(-jitter, jitter))
        job = of_job(rows, AT, AT + timedelta(seconds=seconds))
        assert job is not None
        found += job
    return found


def test_jobs_of_different_sizes_tell_the_fixed_time_from_that_of_a_row():
    time = job_time(jobs([5_000, 50_000] * 10))

    assert time is not None
    assert time.split_known
    assert time.fixed_s == pytest.approx(900, rel=0.02)
    assert time.row_s == pytest.approx(0.5, rel=0.01)
    assert time.seconds(20_000) == pytest.approx(10_900, rel=0.01)


def test_jitter_moves_the_line_little_and_is_told_as_spread():
    time = job_time(jobs([random.Random(3).randint(5_000, 50_000) for _ in range(30)], jitter=0.05))

    assert time is not None
    assert time.seconds(40_000) == pytest.approx(20_900, rel=0.05)
    assert 100 < time.spread_s < 1_000


@pytest.mark.parametrize("sizes", [[1_000], [1_000] * 7, [3_333, 3_333, 3_334]])
def test_jobs_of_one_size_tell_their_own_time_and_that_the_parts_are_not_known(sizes):
    time = job_time(jobs(sizes, jitter=0.05))

    assert time is not None
    assert not time.split_known
    assert time.seconds(sizes[0]) == pytest.approx(900 + 0.5 * sizes[0], rel=0.06)
    assert 0 <= time.fixed_s <= OVERHEAD_S * 1.2
    assert time.row_s >= 0


@pytest.mark.parametrize(("fixed_s", "row_s"), [(0.0, 0.5), (3_600.0, 0.0)])
def test_neither_part_is_ever_negative(fixed_s, row_s):
    for seed in range(20):
        time = job_time(jobs([900, 1_000, 1_200], fixed_s, row_s, jitter=0.3, seed=seed))
        assert time is not None
        assert time.fixed_s >= -1e-6
        assert time.row_s >= 0


def test_without_a_job_nothing_is_said():
    assert job_time(History()) is None
    assert input_factor(History()) == 1.0
    assert output_mean(History()) is None


@pytest.mark.parametrize(
    ("rows", "begin", "end"),
    [
        (100, None, AT),
        (100, AT, None),
        (100, AT, AT),
        (100, AT, AT - timedelta(seconds=1)),
        (100, AT, AT + timedelta(milliseconds=JOB_MS_MAX + 1)),
        (0, AT, AT + timedelta(seconds=1)),
    ],
)
def test_a_job_whose_times_are_unknown_or_impossible_adds_nothing(rows, begin, end):
    assert of_job(rows, begin, end) is None


@pytest.mark.parametrize("numbers", [(0, 100, 10, 1), (10, 0, 10, 1), (10, 100, 0, 1)])
def test_a_shard_of_which_nothing_was_estimated_or_counted_adds_nothing(numbers):
    assert of_settled(*numbers) is None


def test_counts_correct_estimates():
    history = of_settled(1_000, 50_000, 60_000, 7_000)

    assert history is not None
    assert input_factor(history) == pytest.approx(1.2)
    assert output_mean(history) == 7


def test_newer_weeks_are_enough_where_they_have_enough_and_times_and_tokens_are_judged_apart():
    new = History(jobs=JOBS_ENOUGH, rows=1, ms=1, records=1, output_tokens=1)
    old = History(jobs=1, rows=100, ms=100, records=RECORDS_ENOUGH, output_tokens=2)
    older = History(jobs=1, rows=100, ms=100, records=1, output_tokens=100)

    found = recent([new, old, older])

    assert (found.jobs, found.rows) == (JOBS_ENOUGH, 1)
    assert (found.records, found.output_tokens) == (RECORDS_ENOUGH + 1, 3)


def test_the_names_of_weeks_are_in_the_order_of_time():
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(900)]
    weeks = [week_of(day) for day in days]
    assert weeks == sorted(weeks)
    assert week_of(AT) == "2026-W49"


def test_sums_fit_into_the_numbers_of_dynamodb():
    job = of_job(999_999, AT, AT + timedelta(milliseconds=JOB_MS_MAX))
    assert job is not None
    assert max(len(str(10**9 * job.ms_squared)), len(str(10**9 * job.rows_ms))) < 38
