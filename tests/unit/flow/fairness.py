"""Several runs that share one pool, through the real services: who is admitted when.

`python -m tests.unit.flow.fairness` plays the sizes that the promise is made for, which take minutes; the tests play
smaller ones.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from dataclasses import dataclass, field

import structlog

from quarry_core.contract.names import parse_job_name
from quarry_core.contract.states import RunState
from quarry_core.ports import Job
from tests.world.world import CLAUDE, SimulatedWorld

SHARD_ROWS = 100
STEPS_BEFORE = 12  # jobs that end between two arrivals


@dataclass(frozen=True, slots=True)
class Asked:
    """One run: its id, its number of shards, and the rest of its manifest."""

    run_id: str
    shards: int
    weight: int = 1
    admission_class: str = "normal"


def run_of(job: Job) -> str:
    """The run whose job it is."""
    named = parse_job_name(job.name, "test")
    assert named is not None, job.name
    return named.run_id


@dataclass
class Played:
    """What came of it. `order` holds the run of each Create; `since` where in it each run arrived."""

    order: list[str] = field(default_factory=list)
    since: dict[str, int] = field(default_factory=dict)
    peak: int = 0  # of our active jobs
    states: dict[str, RunState] = field(default_factory=dict)

    def after_arrival(self, run_id: str) -> int:
        """The number of admissions of whatever run after this one's arrival, up to its own last one."""
        return len(self.order) - self.order[::-1].index(run_id) - self.since[run_id]

    def longest_wait(self, run_id: str) -> int:
        """The most admissions of others between its arrival, or one of its own, and its next one."""
        longest = waited = 0
        left = self.order.count(run_id)
        for each in self.order[self.since[run_id] :]:
            if not left:
                break
            if each == run_id:
                longest, waited, left = max(longest, waited), 0, left - 1
            else:
                waited += 1
        return longest


async def play(asked: list[Asked], *, quota: int, foreign: int) -> Played:
    """The runs arrive one after the other, each while those before it are at work; then all go on to their ends.

    Args:
        quota: our limit, which is the account's; this Bedrock takes any number, so that keeping to it is our doing.
        foreign: jobs of others, which never end.
    """
    world = SimulatedWorld(job_quota=quota)
    for number in range(foreign):
        world.jobs.add_foreign(f"theirs-{number}", CLAUDE)
    found = Played()

    def created(job: Job) -> None:
        ours = [each for each in world.bedrock.active if each.name.endswith("-test")]
        found.peak = max(found.peak, len(ours))
        found.order.append(run_of(job))

    world.jobs.watch(created)
    for each in asked:
        found.since[each.run_id] = len(found.order)
        manifest = world.joke(
            rows=each.shards * SHARD_ROWS,
            s3_uri=world.csv(each.shards * SHARD_ROWS, f"inputs/{each.run_id}.csv"),
            run_id=each.run_id,
            max_records_per_job=SHARD_ROWS,
            weight=each.weight,
        )
        world.send(manifest | {"class": each.admission_class})
        await world.idle()
        totals = await world.totals(each.run_id)
        assert totals.shards_enlisted == each.shards, totals
        for _ in range(STEPS_BEFORE):
            await _one_ends(world)
    steps = 4 * sum(each.shards for each in asked)
    for _ in range(steps):
        if not await _one_ends(world):
            break
    for each in asked:
        found.states[each.run_id] = (await world.totals(each.run_id)).state
    return found


async def _one_ends(world: SimulatedWorld) -> bool:
    """The job of ours that began first ends, and whoever is woken works. False: there is none left."""
    ours = [job for job in world.bedrock.active if job.name.endswith("-test")]
    if not ours:
        await world.scheduler.tick_all()
        await world.idle()
        return any(job.name.endswith("-test") for job in world.bedrock.active)
    world.bedrock.end(ours[0])
    await world.idle()
    world.clock.advance(30)
    return True


PROMISED = [Asked("big", 2_000), Asked("mid", 60), Asked("small", 3, weight=4)]


def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = asyncio.run(play(PROMISED, quota=20, foreign=2))
    print(f"admissions: {dict(Counter(found.order))}; ends: { {run: str(end) for run, end in found.states.items()} }")
    print(f"most of our jobs at once: {found.peak} of 20, beside 2 of others")
    for each in PROMISED:
        print(
            f"{each.run_id}: {each.shards} shards, weight {each.weight}; last one at admission"
            f" {found.after_arrival(each.run_id)} after its arrival; at most {found.longest_wait(each.run_id)} of"
            " others before its next one"
        )
    right = found.peak <= 18 and found.after_arrival("small") <= 6 and found.longest_wait("mid") <= 8
    print("fairness:", "kept" if right else "BROKEN")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
