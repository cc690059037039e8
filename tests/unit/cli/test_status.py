"""`status` and the view behind it, over runs that the real services make."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from quarry_cli.client.runs.following import Pace
from quarry_cli.client.runs.reading import RunReader
from quarry_cli.client.runs.view.build import run_view
from quarry_cli.client.runs.view.counts import count_shards
from quarry_cli.screen import wording
from quarry_core.contract.run import Run
from quarry_core.contract.states import Gate, RunState, ShardState
from quarry_core.ledger.rows import JobRow, Lane, Pool, Shard, Totals
from tests.world.clock import EPOCH


def counted(world, run_id: str) -> dict[str, int]:
    """Shards by state, by looking at every one of them."""

    async def look():
        return [shard.state async for shard in world.ledger.shards(run_id)]

    states = asyncio.run(look())
    return {state.value: states.count(state) for state in ShardState if state in states or state != "INVOKING"}


def test_a_running_run_shows_rows_shards_jobs_and_slots(quarry):
    run_id = quarry.world.send(quarry.world.joke(1000, max_records_per_job=100))
    quarry.idle()

    view = quarry.status(run_id)

    assert view["state"] == "RUNNING"
    assert view["error"] is None
    assert view["rows"] == {
        "accepted": 1000,
        "ok": 0,
        "error": 0,
        "open": 1000,
        "again": 0,
        "source": 1000,
        "planned": 1000,
        "left_out": 0,
        "enlisted": 1000,
        "processed": 0,
    }
    assert view["shards"] == {"PENDING": 7, "ADMITTED": 0, "SUBMITTED": 3, "ENDED": 0, "SETTLED": 0}
    assert view["slots"] == {
        "pool": view["slots"]["pool"],
        "limit": 3,
        "in_use": 3,
        "held": 3,
        "class": "normal",
        "weight": 1,
    }
    assert [job["status"] for job in view["jobs"]] == ["Submitted"] * 3
    assert all(job["name"].startswith(f"jokes-{run_id}-") and job["attempt"] == 1 for job in view["jobs"])
    assert [job["arn"] for job in view["jobs"]] == [job.arn for job in quarry.world.jobs.all]
    assert view["results_uri"] == f"s3://world/results/{run_id}/"


def test_shards_are_counted_the_same_as_by_looking_at_every_one_at_every_moment(quarry):
    run_id = quarry.world.send(quarry.world.joke(1000, max_records_per_job=100))
    other = quarry.world.send(quarry.world.joke(500, max_records_per_job=100, job_name_prefix="other"))
    seen: set[str] = set()

    async def compare(connections, each: str) -> None:
        view = await RunReader(connections, each).read(all_jobs=True)
        if view is not None:
            states = [shard.state async for shard in quarry.world.ledger.shards(each)]
            counted = {state.value: states.count(state) for state in ShardState}
            assert view.shards | {"INVOKING": view.shards.get("INVOKING", 0)} == counted
            seen.update(state for state, count in view.shards.items() if count)

    async def turns() -> None:
        async with quarry.connect() as connections:
            for turn in range(100):
                await quarry.world.turn()
                await compare(connections, run_id)
                await compare(connections, other)
                if turn % 5 == 4:
                    quarry.world.bedrock.end_all()

    asyncio.run(turns())

    assert seen >= {"PENDING", "SUBMITTED", "ENDED", "SETTLED"}


def test_rows_of_jobs_that_have_ended_count_as_progress_before_they_are_settled(quarry):
    run_id = quarry.world.send(quarry.world.joke(1000, max_records_per_job=100))
    quarry.idle()
    quarry.world.bedrock.end_all()
    asyncio.run(quarry.world.turn())  # the scheduler has heard of it, the collector not yet

    view = quarry.status(run_id)

    assert view["shards"]["ENDED"] == 3
    assert (view["rows"]["ok"], view["rows"]["processed"]) == (0, 300)


def test_an_ended_run_has_all_its_jobs_and_no_estimate(quarry):
    run_id = quarry.ended(1000, max_records_per_job=100)

    view = quarry.status(run_id)

    assert view["state"] == "SUCCEEDED"
    assert (view["rows"]["ok"], view["rows"]["error"], view["rows"]["open"]) == (1000, 0, 0)
    assert view["shards"]["SETTLED"] == 10
    assert view["shards"] == counted(quarry.world, run_id)
    assert [job["status"] for job in view["jobs"]] == ["Completed"] * 10
    assert view["slots"]["held"] == 0
    assert view["eta_s"] is None
    assert view["ended_at"]


def test_a_refused_manifest_ends_as_a_failed_run_with_its_error(quarry):
    run_id = quarry.world.send(quarry.world.joke() | {"max_record_total": 5})
    quarry.idle()

    view = quarry.status(run_id)

    assert view["state"] == "FAILED"
    assert "max_records_total" in view["error"]
    assert view["jobs"] == []
    assert not any(view["shards"].values())
    assert view["results_uri"] is None
    assert view["slots"] is None


def test_rows_that_the_manifest_leaves_out_are_reported(quarry):
    run_id = quarry.ended(500, max_records_total=300)

    view = quarry.status(run_id)

    assert (view["rows"]["source"], view["rows"]["planned"], view["rows"]["left_out"]) == (500, 300, 200)
    assert "200 of 500 rows of the source are left out" in quarry("status", run_id).stdout


def test_people_see_the_same_as_a_card(quarry):
    run_id = quarry.world.send(quarry.world.joke(1000, max_records_per_job=100))
    quarry.idle()

    result = quarry("status", run_id)

    assert result.exit_code == 0
    for reported in (
        run_id,
        "RUNNING",
        "0 of 1,000 rows",
        "7 PENDING, 3 SUBMITTED",
        "3 of 3 in use",
        f"jokes-{run_id}-",
    ):
        assert reported in result.stdout
    assert "\x1b" not in result.stdout


def test_a_message_with_control_characters_or_markup_is_shown_as_plain_text(quarry):
    run_id = quarry.world.send(quarry.world.joke() | {"[red]\x1b[2J": 1})
    quarry.idle()

    result = quarry("status", run_id)

    assert "\x1b" not in result.stdout
    assert "[red]" in result.stdout


def test_a_run_that_is_not_there_is_reported_with_exit_code_1(quarry):
    result = quarry("status", "nosuchrun")

    assert result.exit_code == 1
    assert "no run 'nosuchrun'" in result.stderr
    assert result.stdout == ""


# --------------------------------------------------------------------------- the view by itself

RUN = Run(run_id="r", manifest_hash="h", accepted_at=EPOCH.isoformat())


def seen(*, after_s: float = 100, jobs=(), pool=None, current=(), shards=None, ended=(), lane=None, paused=0, **totals):
    known: dict[str, Any] = {"run_id": "r", "state": RunState.RUNNING, "version": 1, "started_at": EPOCH.isoformat()}
    return run_view(
        RUN,
        Totals(**(known | totals)),
        shards or {},
        jobs,
        pool,
        "bucket",
        now=EPOCH + timedelta(seconds=after_s),
        current=current,
        ended=ended,
        lane=lane,
        paused=paused,
    )


def job(shard: str, attempt: int, processed: int | None) -> JobRow:
    return JobRow("r", shard, attempt, f"j-{shard}-{attempt}", "arn", "InProgress", processed_records=processed)


def test_what_is_left_takes_as_long_as_the_rows_so_far_say():
    assert seen(accepted=1000, open=750, ok=240, error=10).eta_s == 300


def test_records_in_current_jobs_count_as_progress_and_those_of_earlier_attempts_do_not():
    jobs = [job("00000", 1, 77), job("00000", 2, 150), job("00002", 1, None)]

    view = seen(accepted=1000, open=900, ok=100, jobs=jobs, current={("00000", 2), ("00002", 1)})

    assert view.rows.processed == 150
    assert view.eta_s == 300


def test_progress_is_never_more_than_the_rows_that_are_open():
    view = seen(accepted=1000, open=100, ok=900, jobs=[job("00000", 1, 150)], current={("00000", 1)})

    assert view.rows.processed == 100


@pytest.mark.parametrize(
    "totals",
    [
        {"accepted": 0},
        {"accepted": 1000, "open": 1000},
        {"accepted": 1000, "open": 999, "ok": 1},
        {"accepted": 1000, "ok": 1000},
        {"accepted": 1000, "open": 500, "ok": 500, "state": RunState.CLOSING},
        {"accepted": 1000, "open": 500, "ok": 500, "after_s": 0},
        {"accepted": 1000, "open": 500, "ok": 500, "after_s": -5},
    ],
)
def test_nothing_is_estimated_from_nothing(totals):
    assert seen(**totals).eta_s is None


def test_a_broken_source_is_an_error_while_the_run_goes_on():
    assert seen(fault="the source has changed").error == "the source has changed"


def test_a_shard_that_moved_on_since_the_pool_was_read_is_not_counted_twice():
    totals = Totals("r", RunState.RUNNING, 1, shards_enlisted=3, shards_settled=1)
    held = [
        Shard("r", shard, state, 1, 1, "p", 0, 1, 1, 1)
        for shard, state in (("00000", ShardState.SETTLED), ("00002", ShardState.SUBMITTED))
    ]

    counts = count_shards(totals, None, held)

    assert {state: count for state, count in counts.items() if count} == {"SUBMITTED": 1, "ENDED": 1, "SETTLED": 1}


def test_slots_held_by_this_run_are_told_from_those_of_others():
    pool = Pool("p", 5, 4, 3, frozenset({"r/00000/1", "r2/00000/1", "r/00002/1"}), {})

    slots = seen(pool=pool).slots

    assert (slots.limit, slots.in_use, slots.held) == (4, 3, 2)


def ended_jobs(count, processed=100, ended_s=40.0):
    """Jobs whose shards wait for a collector, the first of them since `ended_s`; and their keys."""
    jobs = [
        replace(
            job(f"{number:05d}", 1, processed),
            status="Completed",
            ended_at=(EPOCH + timedelta(seconds=ended_s)).isoformat(),
        )
        for number in range(count)
    ]
    return jobs, {(each.shard, each.attempt) for each in jobs}


def test_processed_rows_are_counted_beyond_the_page_of_ended_shards_that_is_read():
    jobs, keys = ended_jobs(500)

    view = seen(
        accepted=70_000,
        open=70_000,
        jobs=jobs,
        current=keys,
        ended=keys,
        shards={ShardState.ENDED: 600, ShardState.SUBMITTED: 1},
    )

    assert view.rows.processed == 60_000
    assert view.shards["ENDED"] == 600


def test_what_is_left_is_never_less_than_what_the_collectors_need():
    jobs, keys = ended_jobs(5, ended_s=40)

    all_processed = seen(
        accepted=1000, open=500, ok=500, jobs=jobs, current=keys, ended=keys, shards={ShardState.ENDED: 5}
    )
    most_left = seen(accepted=1000, open=900, ok=100, jobs=jobs, current=keys, ended=keys, shards={ShardState.ENDED: 5})

    assert all_processed.eta_s == 60, "the oldest has waited for 60 s"
    assert most_left.eta_s == 67, "Bedrock needs longer"


def test_of_an_expired_job_no_end_is_believed():
    jobs, keys = ended_jobs(1, ended_s=1)
    expired = [replace(each, status="Expired") for each in jobs]

    view = seen(accepted=200, open=100, ok=100, jobs=expired, current=keys, ended=keys, shards={ShardState.ENDED: 1})

    assert view.eta_s is None


LANE = Lane("us-east-1#m", "r", "normal", 1, 0, Gate.OPEN, 3)
FULL = Pool("us-east-1#m", 3, 3, 3, frozenset({"x/0/1", "x/1/1", "x/2/1"}), {})
FREE = replace(FULL, in_use=2)


@pytest.mark.parametrize(
    ("reported", "totals", "shards", "more"),
    [
        (["a preprocessor, to count and plan the rows"], {"state": RunState.PLANNING}, {}, {}),
        (["a preprocessor: 400 rows to be written"], {"enlisted": 600}, {}, {}),
        (["a slot: 3 shards; all 3 of us-east-1#m are in use"], {}, {"PENDING": 3}, {"pool": FULL}),
        (["a scheduler: 1 shard to be admitted"], {}, {"PENDING": 1}, {"pool": FREE}),
        (
            ["a scheduler: 2 shards to be ended, because the run stops here"],
            {},
            {"PENDING": 2},
            {"lane": replace(LANE, gate=Gate.REFUSED)},
        ),
        (
            ["the end of a pause: 2 shards before another attempt", "a slot: 1 shard; all 3 of us-east-1#m are in use"],
            {},
            {"PENDING": 3},
            {"pool": FULL, "paused": 2},
        ),
        (
            ["a scheduler: 1 shard to become jobs", "Bedrock: 2 jobs", "a collector: 40 shards to be settled"],
            {},
            {"ADMITTED": 1, "SUBMITTED": 2, "ENDED": 40},
            {},
        ),
        (["a collector, to close the run"], {"open": 0, "ok": 1000}, {"SETTLED": 10}, {}),
        (["a collector, to write the last parts and the report"], {"state": RunState.CLOSING}, {}, {}),
        ([], {"state": RunState.SUCCEEDED}, {"SETTLED": 10}, {}),
    ],
)
def test_a_run_says_whom_it_waits_for(reported, totals, shards, more):
    known = {"accepted": 1000, "open": 1000, "enlisted": 1000} | totals
    view = seen(
        shards={ShardState(state): count for state, count in shards.items()}, **({"lane": LANE} | more), **known
    )

    assert view.waits_for == reported
    assert wording.waits_of(view) == (f"waiting for {'; '.join(reported)}" if reported else "")


def test_while_it_is_followed_the_settling_is_estimated_by_what_was_seen():
    pace = Pace()
    keys = ended_jobs(5)[1]

    def at(settled, now_s):
        view = seen(
            accepted=1000,
            open=1000 - settled,
            ok=settled,
            jobs=ended_jobs((1000 - settled) // 100)[0],
            current=keys,
            ended=keys,
            shards={ShardState.ENDED: (1000 - settled) // 100},
        )
        return pace.see(view, now_s).eta_s

    at(500, 0.0)
    assert at(600, 10.0) == 40, "400 rows at 10 rows a second"
    assert at(900, 20.0) == 5, "100 rows at 20 rows a second"
