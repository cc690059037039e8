"""Runs under one budget for the calendar month: `capped:N` is `wide:N` with it, and `monthly:0` is small and has all of it.

In `monthly:0` two runs and one on demand do not fit into the month together. One admission comes to nothing, for Bedrock has less room
than we think. Somebody raises the budget, which is not enough either; the month turns while a job runs, and lets the rest go on; the
errors of one run are asked again, and the other is cancelled. What a record is likely to cost is near to what it does:
`max_tokens` is about as long as the answers are.
"""

from __future__ import annotations

import random
from dataclasses import replace

from tests.sim.aws import JobCourse
from tests.sim.money import wide
from tests.sim.scenario import Bedrock, Control, Operator, Scenario, Work, work

# A hundred records come to about 0.06 cents, and are booked at about 0.07 cents with these; a shard on demand at twice that for each.
SHORT = {"inference": {"max_tokens": 8}}
MONTHS_USD = (0.000_2, 0.000_8, 0.000_8, 0.001_5, 0.003, 0.09, 0.16)
RAISED_USD = (None, 10.0)


def monthly() -> Scenario:
    first, second = work("first", 200, all_answered=False), work("second", 200, after_s=10, all_answered=False)
    asked = work("asked", 24, after_s=20, all_answered=False)
    return Scenario(
        "monthly:0",
        tuple(replace(each, shard_rows=100, more=SHORT) for each in (first, second, asked)),
        quota=2,
        bedrock=Bedrock(quota_more=-1),
        course=JobCourse(lasts_s=(70.0, 80.0), error_share=0.4),
        poll_s=30.0,
        month_usd=0.001_4,
        month_ends_s=290.0,
        controls=(
            Control(100, "", "month", budget_usd=0.001_7),
            Control(380, "second", "cancel"),
            Control(20, "first", "retry"),
        ),
        operator=Operator(held_s=400.0, wakes=True),
    )


def capped(seed: int) -> Scenario:
    """A wide swarm in a month with a budget that it may pass; it is raised and lowered, and the month turns, at any moment."""
    chance = random.Random(f"capped {seed}")
    drawn = wide(seed)
    drawn = replace(
        drawn,
        name=f"capped:{seed}",
        work=tuple(_short(each) if chance.random() < 0.8 else each for each in drawn.work),
        month_usd=chance.choice(MONTHS_USD) if chance.random() < 0.9 else None,
        month_ends_s=chance.uniform(10, 900) if chance.random() < 0.6 else None,
        operator=replace(drawn.operator, month_usd=chance.choice(RAISED_USD)),
    )
    controls = drawn.controls
    for _ in range(chance.choice((0, 1, 1, 2))):
        budget = chance.choice((None, 0.000_1, *MONTHS_USD))
        controls += (Control(chance.uniform(0, 600), "", "month", budget_usd=budget),)
    return replace(drawn, controls=controls)


def _short(each: Work) -> Work:
    return replace(each, more={**each.more, **SHORT})
