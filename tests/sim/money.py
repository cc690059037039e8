"""Runs with a canary and a budget, and retries of runs that have ended: what a swarm draws none of.

`wide:N` is `swarm:N` with these, so that the seeds of before stay what they were. `held:0` is the smallest run that has them all: its
canary holds it, then its budget does, and when it has ended its errors are asked again. In `judged:0` it is the other way round.
"""

from __future__ import annotations

import random
from dataclasses import replace

from tests.sim.aws import JobCourse
from tests.sim.scenario import Control, Operator, Scenario, Work, swarm, work

# A first shard is booked at what the plan estimates of it, about 7 cents for a hundred records, and costs far less: with the middle
# one a shard waits for the one before, and with the last one two for the canary.
BUDGETS_USD = (0.000_01, 0.09, 0.16, 10.0)
CANARIES: tuple[object, ...] = (
    True,
    {"rows": 100},
    {"max_cost_usd": 0.000_001},
    {"max_error_share": 0.0},
    {"max_error_share": 0.0, "on_fail": "fail"},
    {"max_cost_usd": 0.000_001, "on_fail": "fail"},
)
HELD_S = (0.0, 30.0, 200.0)


def held() -> Scenario:
    run = work("held", 300, all_answered=False)
    return Scenario(
        "held:0",
        (replace(run, shard_rows=100, more={"canary": {"max_cost_usd": 0.000_001}, "budget_usd": 0.000_01}),),
        quota=2,
        course=JobCourse(error_share=0.6),
        controls=(Control(20.0, "held", "retry"),),
        operator=Operator(held_s=40.0, wakes=True),
    )


def judged() -> Scenario:
    """The budget holds a run before its canary does, and is raised: who is late with letting it go on finds it held again, and who is late
    with judging the canary finds it approved.
    """
    run = work("judged", 300, all_answered=False)
    return Scenario(
        "judged:0",
        (replace(run, shard_rows=100, more={"canary": {"max_cost_usd": 0.000_001}, "budget_usd": 0.000_01}),),
        quota=2,
        replicas=2,
        course=JobCourse(lasts_s=(20.0, 40.0)),
        tick_every_s=20.0,
        visibility_s=30,
        sweep_every_s=30.0,
        controls=(Control(45.0, "judged", "budget", budget_usd=10.0),),
        operator=Operator(held_s=255.0),
    )


def wide(seed: int) -> Scenario:
    """A swarm, in most of which something holds a run, and in many of which an ended one is retried."""
    chance = random.Random(f"wide {seed}")
    drawn = swarm(seed)
    drawn = replace(
        drawn,
        name=f"wide:{seed}",
        work=tuple(_with_money(chance, each) for each in drawn.work),
        operator=Operator(chance.choice(HELD_S), chance.choice((1.0, 1.0, 0.5)), chance.random() < 0.7),
    )
    controls = drawn.controls
    asked = [each.asked.run_id for each in drawn.work if not each.asked.dry_run]
    if chance.random() < 0.4:
        budget = chance.choice((None, *BUDGETS_USD))
        controls += (Control(chance.uniform(0, 400), chance.choice(asked), "budget", budget_usd=budget),)
    if chance.random() < 0.5:
        run_id = chance.choice(asked)
        drawn = _failing(chance, drawn, run_id)
        controls += (Control(chance.uniform(0, 200), run_id, "retry"),)
        if chance.random() < 0.3:
            what = chance.choice(("cancel", "pause"))
            at_s = chance.uniform(100, 1_000)
            controls += (Control(at_s, f"{run_id}-v2", what),)
            if what == "pause":
                controls += (Control(at_s + chance.uniform(1, 300), f"{run_id}-v2", "resume"),)
    return replace(drawn, controls=controls)


def _with_money(chance: random.Random, each: Work) -> Work:
    """A canary in half of the runs, a budget in half."""
    more: dict[str, object] = {}
    if each.asked.dry_run:
        return each
    if chance.random() < 0.5:
        more["canary"] = chance.choice(CANARIES)
    if chance.random() < 0.5:
        more["budget_usd"] = chance.choice(BUDGETS_USD)
    fails = isinstance(more.get("canary"), dict) and "on_fail" in str(more["canary"])
    asked = replace(each.asked, all_answered=False, may_fail=True) if fails else each.asked
    return replace(each, asked=asked, more=more)


def _failing(chance: random.Random, drawn: Scenario, run_id: str) -> Scenario:
    """So many errors that there is something to retry, in most cases."""
    if drawn.course.error_share or chance.random() < 0.3:
        return drawn
    every = tuple(replace(each, asked=replace(each.asked, all_answered=False)) for each in drawn.work)
    return replace(drawn, work=every, course=replace(drawn.course, error_share=chance.choice((0.05, 0.7))))
