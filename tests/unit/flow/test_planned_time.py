"""What a plan says of a run against what then happens, in virtual time and after one run of history."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.unit.flow.timed import Timed
from tests.world.world import SimulatedWorld

# (fixed seconds of a job, seconds of a row)
PACES = {"rows count": (120.0, 5.0), "mixed": (900.0, 2.0), "the job counts": (3_000.0, 0.2)}
OFF_MAX = 0.15


def off(estimated_s, took_s):
    return abs(estimated_s / took_s - 1)


async def planned(world, manifest):
    """The estimate of a dry run."""
    run_id = world.send(manifest | {"dry_run": True})
    await world.idle()
    return world.report(run_id)["estimate"]


def waves_of(world, run_id, slots):
    return -(-len(world.report(run_id)["shards"]) // slots)


@pytest.mark.slow
@pytest.mark.parametrize("pace", PACES)
async def test_after_one_run_the_next_one_ends_when_its_plan_says(pace):
    world = SimulatedWorld(job_quota=4)
    timed = Timed(world, *PACES[pace], jitter=0.1)
    await timed.run(world.joke(rows=2_000, max_records_per_job=200))
    manifest = world.joke(rows=5_500, max_records_per_job=200) | {"job_name_prefix": "next"}

    plan = await planned(world, manifest)
    run_id, totals = await timed.run(manifest)

    assert (plan["shards"], plan["waves"]) == (len(world.report(run_id)["shards"]), waves_of(world, run_id, 4))
    assert plan["input_tokens"] == pytest.approx(totals.input_tokens, rel=0.05)
    assert plan["output_tokens"] == pytest.approx(totals.output_tokens, rel=0.05)
    took_s = timed.took_s(run_id)
    assert off(plan["duration"]["seconds"], took_s) < OFF_MAX
    assert plan["duration"]["low_s"] < plan["duration"]["high_s"]


@pytest.mark.slow
@pytest.mark.parametrize("pace", PACES)
async def test_after_jobs_of_two_sizes_a_third_size_is_told_too(pace):
    world = SimulatedWorld(job_quota=4)
    timed = Timed(world, *PACES[pace], jitter=0.1)
    await timed.run(world.joke(rows=1_600, max_records_per_job=100))
    await timed.run(world.joke(rows=4_800, max_records_per_job=400) | {"job_name_prefix": "larger"})
    manifest = world.joke(rows=6_400, max_records_per_job=800) | {"job_name_prefix": "largest"}

    plan = await planned(world, manifest)
    run_id, _ = await timed.run(manifest)

    assert plan["shard_rows_max"] == 800
    assert off(plan["duration"]["seconds"], timed.took_s(run_id)) < OFF_MAX


async def test_beside_another_run_it_ends_when_its_plan_says():
    world = SimulatedWorld(job_quota=4)
    timed = Timed(world, 900.0, 2.0, jitter=0.1)
    await timed.run(world.joke(rows=2_000, max_records_per_job=200))
    other = world.joke(max_records_per_job=200) | {"s3_uri": world.csv(4_000, "inputs/other.csv")}
    world.send(other | {"job_name_prefix": "other"})
    await world.idle()
    await timed.step()
    manifest = world.joke(rows=1_600, max_records_per_job=200) | {"job_name_prefix": "ours"}

    plan = await planned(world, manifest)
    sent_at = world.clock.now()
    run_id, _ = await timed.run(manifest)

    ends = [job.ended_at for job in world.jobs.all if f"-{run_id}-" in job.name]
    took_s = (max(ends) - sent_at).total_seconds()
    assert plan["ahead_shards"] > 10
    assert off(plan["duration"]["behind_s"], took_s) < OFF_MAX
    assert plan["duration"]["behind_s"] > 1.5 * plan["duration"]["seconds"]


async def test_the_report_of_a_run_has_what_was_expected_beside_what_happened():
    world = SimulatedWorld(job_quota=4)
    timed = Timed(world, 900.0, 2.0, jitter=0.1)
    await timed.run(world.joke(rows=2_000, max_records_per_job=200))
    run_id, _ = await timed.run(world.joke(rows=4_000, max_records_per_job=200) | {"job_name_prefix": "next"})

    report = world.report(run_id)
    took_s = (
        datetime.fromisoformat(report["ended_at"]) - datetime.fromisoformat(report["accepted_at"])
    ).total_seconds()
    assert off(report["estimate"]["duration"]["seconds"], took_s) < OFF_MAX
    assert report["estimate"]["input_tokens"] == pytest.approx(report["llm_tokens"]["input"], rel=0.05)
    assert report["estimate"]["dollars"] == pytest.approx(report["cost"]["dollars"], rel=0.05)
