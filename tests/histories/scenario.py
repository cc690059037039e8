"""The scenario of every history: eight manifests, three services, and a cut at each point where an upgrade may come.

Theory of operation. The real services are driven one consumer at a time, and processes die at chosen writes. Before
each cut the world is checked against what the cut's name says, or the recording fails. What Bedrock does (which models
it refuses, which jobs and records fail) is a rule that a replay follows too, so the runs come to the same end from
every cut. Clock, ids and randomness are the fakes' own: the same code records the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from quarry_core.contract.messages import VERSION, Wakeup
from quarry_core.contract.names import outcome_key, report_key
from quarry_core.contract.states import RunState, ShardState
from quarry_core.ports import Delete, Job, Put, Update, Write
from tests.world.faults import Crash, Faults
from tests.world.world import BUCKET, CLAUDE, TITAN, SimulatedWorld

REFUSED_MODEL = "anthropic.claude-3-sonnet-20240229-v1:0"
HAIKU = "anthropic.claude-3-5-haiku-20241022-v1:0"
FOREIGN_JOB = (
    "nightly-report-00000-1-prod"  # of another environment, which has a share of its own: only a refusal tells of it
)
STEPS_MAX = 60
STEP_S = 61.0
# A message in the hands of a dead process comes back.
VISIBLE_AGAIN_S = 31.0
# Recorded with the history: a replay runs in this environment, whatever the defaults of its day are.
SETTINGS: Mapping[str, Any] = {
    "env": "test",
    "region": "us-east-1",
    "table": "ledger",
    "bucket": BUCKET,
    "bedrock_role_arn": "arn:aws:iam::123456789012:role/test-quarry-bedrock",
    "job_quota": 3,
    "on_demand_queue_url": "",
    "repeat_pauses_s": [60.0],
    "shard_bytes_max": 40_000,
}
BEDROCK: Mapping[str, Any] = {
    "quota": 3,  # a foreign job takes one, so the pool learns a limit below the configured one
    "foreign_jobs": [FOREIGN_JOB],
    "refused_models": [REFUSED_MODEL],
    "failed_jobs": [r"jokes-.*-00002-1-test"],  # these end Failed, without a line of output
    "error_share": 0.04,
    "missing_share": 0.03,
    "list_lag_s": 30.0,  # how long List does not show a new job
    "seed": 7,
}

NETWORK = {"subnet_ids": ["subnet-0123456789abcdef0"], "security_group_ids": ["sg-0123456789abcdef0"]}
# As the schedule of the environment sends it, in this version of messages.
SWEEP = json.dumps({"v": VERSION, "step": "sweep"}, separators=(",", ":"))

Save = Callable[[str, str], None]
Fits = Callable[[Sequence[Write]], bool]


def end_job(world: SimulatedWorld, job: Job, rules: Mapping[str, Any]) -> None:
    """Bedrock ends a job, by the rules of a history."""
    if any(re.fullmatch(pattern, job.name) for pattern in rules["failed_jobs"]):
        world.bedrock.end(job, "Failed", message="Internal server error", output=False)
    else:
        world.bedrock.end(job)


def ours(world: SimulatedWorld, rules: Mapping[str, Any]) -> list[Job]:
    """The active jobs that Quarry created."""
    return [job for job in world.bedrock.active if job.name not in rules["foreign_jobs"]]


async def step(world: SimulatedWorld, rules: Mapping[str, Any], *, jobs: int = 1_000) -> None:
    """All services work, at most `jobs` of the active jobs end, time passes, the scheduler ticks and sweeps."""
    await world.idle()
    for job in ours(world, rules)[:jobs]:
        end_job(world, job, rules)
    await world.idle()
    world.clock.advance(STEP_S)
    await world.scheduler.tick_all()
    await world.scheduler.sweeper.sweep()


async def to_the_end(world: SimulatedWorld, rules: Mapping[str, Any]) -> bool:
    """Steps until no run is open and every queue is empty; False if that does not come about."""
    for _ in range(STEPS_MAX):
        await step(world, rules)
        if not await world.ledger.open_runs() and not any(queue.bodies for queue in world.queues.values()):
            return True
    return False


# --------------------------------------------------------------------------- what is sent


def send_everything(world: SimulatedWorld) -> dict[str, str]:
    """Plant the sources, send the manifests and two messages that nobody can use; run ids by job name prefix."""
    world.jobs.add_foreign(FOREIGN_JOB, CLAUDE)
    claude = {"model_id": CLAUDE, "prompt_id": "joke_about_topic"}
    long = "very " * 60
    numbers = pa.array(range(220), pa.int64())
    texts = pa.array([None if row % 40 == 3 else f"review {row}: good" for row in range(220)])
    few = pa.array([None if row % 20 == 3 else f"word {row}" for row in range(101)])
    csv = {
        "jokes": [f"topic {row}" for row in range(400)],
        "halves": [f"half {row}" for row in range(200)],
        "broken": [f"topic {row}" if row < 100 else f"{long}{row}" for row in range(200)],
        "refused": [f"topic {row}" for row in range(200)],
    }
    parquet = {
        "reviews": pa.table({"number": numbers, "text": texts}),
        "vectors": pa.table({"input_text": [f"text {row}" for row in range(200)]}),
        "few": pa.table({"topic": few}),
    }
    sources = {name: _csv(world, name, rows) for name, rows in csv.items()}
    sources |= {name: world.parquet(table, f"inputs/{name}.parquet") for name, table in parquet.items()}
    prompt = {"template": "{text} ({number})", "system": "One word."}
    manifests: dict[str, dict[str, Any]] = {
        # First, and in a pool of its own: its first shard has a job before the second one breaks it, whoever works when.
        "broken": {**claude, "model_id": HAIKU, "max_records_per_job": 100, "run_id": "broken1"},
        "jokes": {**claude, "max_records_per_job": 100, "tags": {"team": "fun"}},
        "reviews": {
            "model_id": CLAUDE,
            "prompt": prompt,
            "inference": {"max_tokens": 64},
            "max_records_per_job": 110,
            "run_id": "reviews-1",
            "result_prefix": "q_",
        },
        "vectors": {
            "model_id": TITAN,
            "inference": {"dimensions": 256},
            "max_records_per_job": 100,
            "run_id": "vectors1",
        },
        "halves": {
            **claude,
            "max_records_per_job": 200,
            "max_num_jobs": 1,
            "csv": {"delimiter": ","},
            "run_id": "halves1",
        },
        "refused": {**claude, "model_id": REFUSED_MODEL, "max_records_per_job": 100, "run_id": "refused1"},
        "few": {**claude, "run_id": "few1", "vpc": NETWORK, "output_kms_key": "alias/results", "timeout_hours": 48},
        "wrong": {**claude, "run_id": "wrong1", "budget": 3},
    }
    run_ids = {}
    for name, manifest in manifests.items():
        whole = {"job_name_prefix": name, "s3_uri": sources.get(name, sources["jokes"]), **manifest}
        run_ids[name] = world.send(whole, **({"sender": "a scheduler"} if name == "jokes" else {}))
    world.send("no manifest")
    world.queues["collector"].put(Wakeup(step="admit", run_id="jokes").body())
    return run_ids


def _csv(world: SimulatedWorld, name: str, rows: Sequence[str]) -> str:
    key = f"inputs/{name}.csv"
    world.objects.plant(key, "".join(f"{row}\n" for row in ["topic", *rows]).encode())
    return f"s3://{BUCKET}/{key}"


# --------------------------------------------------------------------------- the story


class CrashAfter(Faults):
    """The process dies right after a transaction that `fits`."""

    def __init__(self, fits: Fits) -> None:
        super().__init__()
        self._fits = fits

    def after(self, number: int, name: str, args: tuple[Any, ...] = ()) -> None:
        super().after(number, name, args)
        if name == "table.transact" and self._fits(args[0]):
            self._crash(number, name, "crash_after")


async def play(world: SimulatedWorld, save: Save) -> dict[str, str]:
    """Run the scenario from the first manifest to the last end, and `save` each cut; run ids by job name prefix."""
    run_ids = send_everything(world)
    player = _Player(world, save, run_ids)
    await player.write_shards()
    await player.submit_jobs()
    await player.settle_shards()
    await player.close_runs()
    return run_ids


class _Player:
    def __init__(self, world: SimulatedWorld, save: Save, run_ids: Mapping[str, str]) -> None:
        self._world = world
        self._save = save
        self._run_ids = run_ids

    async def write_shards(self) -> None:
        world, of, save = self._world, self._run_ids.__getitem__, self._save
        save("manifests-waiting", "Eight manifests are queued, and a message that is none; nothing has been read.")

        await self._handle("manifests")
        accepted = set(self._run_ids) - {"wrong"}
        assert {await self._state(name) for name in accepted} == {RunState.ACCEPTED}
        save("accepted", "Seven runs are accepted, one is refused, one message is dead; wake-ups to count are queued.")

        await self._handle("slices", most=len(accepted))
        assert {await self._state(name) for name in accepted} == {RunState.RUNNING}
        assert await self._shards("jokes") == []
        save("counted", "All runs are planned, no slice is written; wake-ups to write them are queued.")

        await self._handle("slices", most=1)
        await self._handle("scheduler")
        await self._handle("slices", most=1)
        assert (await world.totals(of("broken"))).fault
        assert await self._shards("broken") == [ShardState.SUBMITTED]
        save("broken", "One run broke in the middle of its source, while the job of its first shard runs.")

        await self._handle("slices", most=2)
        await self._dies("preprocessor", _puts(of("jokes"), "begun#slice#00002"), partial(self._handle, "slices"))
        assert await self._shards("jokes") == [ShardState.PENDING] * 2
        save(
            "slices-half-written",
            "Two of four slices are written; a worker died in the third, its message is in flight.",
        )

        world.clock.advance(VISIBLE_AGAIN_S)
        await self._dies("preprocessor", _puts(of("halves"), "shard#00000"), partial(self._handle, "slices"))
        assert await self._shards("halves") == [ShardState.PENDING]
        save("shard-half-written", "A shard over the size limit is split; the worker died between its halves.")

        world.clock.advance(VISIBLE_AGAIN_S)
        await self._handle("slices")
        assert len(await self._shards("halves")) == 2
        assert await self._shards("few") == [ShardState.ENDED]
        assert len(await world.ledger.pools()) == 1
        save("shards-waiting", "All shards are written and wait for slots; one is too small for a job.")

    async def submit_jobs(self) -> None:
        world, save = self._world, self._save
        await self._dies("scheduler", _adds("quota", "in_use"), partial(self._handle, "scheduler"))
        assert (await self._all_shards()).count(ShardState.ADMITTED) == 1
        assert [job.model_id.rpartition("/")[2] for job in ours(world, BEDROCK)] == [HAIKU]
        save("admitted", "A shard holds a slot; the scheduler died before it created the job.")

        world.clock.advance(VISIBLE_AGAIN_S)
        world.jobs.lose_reply_once()
        await self._handle("scheduler")
        assert (await self._all_shards()).count(ShardState.ADMITTED) == 2
        assert {job.name for job in ours(world, BEDROCK)} - await self._known_jobs()
        assert await self._shards("refused") == [ShardState.ENDED] * 2
        save("reply-lost", "Bedrock created a job, and the reply was lost; it refused a model; other jobs run.")

        for _ in range(4):
            world.clock.advance(world.settings.finish_after_s + 1)
            await world.scheduler.tick_all()
        for job in ours(world, BEDROCK)[:2]:
            world.bedrock.begin(job)
        await self._handle("events")
        states = await self._all_shards()
        # Taken over from the scheduler that died: Bedrock has no room for it, and its slot is kept.
        assert states.count(ShardState.ADMITTED) == 1
        assert {ShardState.PENDING, ShardState.SUBMITTED} <= set(states)
        world.queues["scheduler"].put(SWEEP)
        learned = [pool.learned for name in await world.ledger.pools() if (pool := await world.ledger.pool(name))]
        assert 2 in learned
        save("jobs-running", "Jobs run; other shards wait for slots, whose number the pool has learned.")

        for job in ours(world, BEDROCK):
            if job.name.startswith(("reviews", "vectors")):
                end_job(world, job, BEDROCK)
        assert len(world.queues["events"].bodies) == 3
        assert (await self._all_shards()).count(ShardState.ENDED) == (await self._ended_without_jobs())
        save("events-unread", "Three jobs have ended; their events are queued and unread.")

    async def settle_shards(self) -> None:
        world, of, save = self._world, self._run_ids.__getitem__, self._save
        await self._handle("events")
        assert (await self._all_shards()).count(ShardState.ENDED) == (await self._ended_without_jobs()) + 3
        assert ShardState.SETTLED not in await self._all_shards()
        save("shards-ended", "The events are read and the next jobs run; wake-ups to settle are queued.")

        in_the_way = outcome_key(of("reviews"), "00000", 1)
        world.objects.plant(in_the_way, b"put here by mistake")
        await self._dies("collector", _deletes(of("vectors"), "todo#"), partial(self._handle, "collector"))
        world.objects.delete(in_the_way)
        assert await world.ledger.failure(of("reviews"), "settle", "00000")
        assert sorted(await self._shards("vectors")) == [ShardState.ENDED, ShardState.SETTLED]
        assert not [key for key in world.objects.bodies if key.startswith(f"results/{of('vectors')}/")]
        save("settled-half", "A shard is settled without its part, for the worker died; another failed to settle once.")

    async def close_runs(self) -> None:
        world, of, save = self._world, self._run_ids.__getitem__, self._save
        world.clock.advance(VISIBLE_AGAIN_S)
        await self._dies("collector", _sets(of("vectors"), "totals", "closing_at"), self._steps)
        assert await self._state("vectors") is RunState.CLOSING
        save("closing-begun", "A run whose shards are all settled is closing; the worker died right after that write.")

        world.clock.advance(VISIBLE_AGAIN_S)
        for _ in range(STEPS_MAX):
            if await world.ledger.repeats(of("jokes"), 1):
                break
            await step(world, BEDROCK, jobs=1)
        (repeat,) = await world.ledger.repeats(of("jokes"), 1)
        assert repeat.attempt == 2
        save("repeat-waiting", "A job failed without output; its shard waits for the pause before the next attempt.")

        world.clock.advance(VISIBLE_AGAIN_S)
        await self._dies("collector", _sets(of("jokes"), "totals", "end_state"), self._steps)
        totals = await world.totals(of("jokes"))
        assert totals.state is RunState.CLOSING
        assert totals.end_state
        assert report_key(of("jokes")) not in world.objects.bodies
        save("closing-decided", "The end of a run is decided, and nothing of it is written yet.")

        assert await to_the_end(world, BEDROCK)
        save("ended", "All runs have ended.")

    # ----------------------------------------------------------------- driving the services

    async def _handle(self, queue: str, most: int = 1_000) -> None:
        for _ in range(most):
            consumer = next(each for each in self._world.consumers if each.queue.name == queue)
            if not (await consumer.run_once()).handled:
                return

    async def _steps(self) -> None:
        for _ in range(STEPS_MAX):
            await step(self._world, BEDROCK, jobs=1)

    async def _dies(self, service: str, fits: Fits, work: Callable[[], Awaitable[None]]) -> None:
        """A process dies at a write in the middle of the work; a fresh one replaces it."""
        self._world.start({service: CrashAfter(fits)})
        try:
            await work()
        except Crash:
            self._world.start()
            return
        raise AssertionError(f"the {service} never made the write after which it should die")

    async def _state(self, name: str) -> RunState:
        return (await self._world.totals(self._run_ids[name])).state

    async def _shards(self, name: str) -> list[ShardState]:
        return [shard.state async for shard in self._world.ledger.shards(self._run_ids[name])]

    async def _all_shards(self) -> list[ShardState]:
        return [state for name in self._run_ids for state in await self._shards(name)]

    async def _known_jobs(self) -> set[str]:
        ledger = self._world.ledger
        return {job.name for run_id in self._run_ids.values() async for job in ledger.jobs(run_id)}

    async def _ended_without_jobs(self) -> int:
        """Shards that end without a job: two were refused, one is too small."""
        return sum([len(await self._shards(name)) for name in ("refused", "few")])


def _puts(run_id: str, sk: str) -> Fits:
    return lambda writes: any(isinstance(write, Put) and _is(write, run_id, sk) for write in writes)


def _deletes(run_id: str, sk: str) -> Fits:
    return lambda writes: any(isinstance(write, Delete) and _is(write, run_id, sk) for write in writes)


def _sets(run_id: str, sk: str, name: str) -> Fits:
    return lambda writes: any(
        isinstance(each, Update) and _is(each, run_id, sk) and name in each.set for each in writes
    )


def _adds(sk: str, name: str) -> Fits:
    return lambda writes: any(isinstance(each, Update) and each.key[1] == sk and name in each.add for each in writes)


def _is(write: Write, run_id: str, sk: str) -> bool:
    return write.key[0] == f"run#{run_id}" and write.key[1].startswith(sk)
