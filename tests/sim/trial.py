"""One trial: the fleet works while things go wrong (safety), then nothing does and all must end (liveness); then it is judged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import structlog

from quarry_core.errors import Throttled
from quarry_core.ports import Item, Job, Key, RuntimeRequest
from quarry_core.telemetry import metrics
from tests.judge.checker import Asked, Evidence, Listed, Verdict, judge
from tests.sim.aws import SimQueue, SimulatedAws
from tests.sim.loop import EPOCH, LoopClock, VirtualLoop
from tests.sim.months import Months
from tests.sim.owners import Owners
from tests.sim.people import People
from tests.sim.processes import SERVICES, At, Fault, Fleet
from tests.sim.scenario import Scenario
from tests.sim.watch import MICROS_IN, MICROS_OUT, Watch
from tests.world.world import BUCKET, CLAUDE

LOOK_EVERY_S = 20.0
FAULTS_S = 3_600.0
LIVENESS_S = 10_800.0
# Longer than the longest patience and three sweeps: what would still come has come.
CALM_S = 400.0
# A job that nobody knows of any more is still to end by itself.
JOBS_END_S = 1_200.0
FINISH_AFTER_S = 100.0
MONTH_S = 31 * 86_400.0  # of the one in which all begins
DEPLOYED_APART_S = 15.0
PRICES = (MICROS_IN, MICROS_OUT)


@dataclass
class Trial:
    """What came of it."""

    line: str
    verdict: Verdict
    injected: list[tuple[int, str, Fault]]
    calls: list[str]
    seen: Counter[str] = field(default_factory=Counter)
    settled_after_s: float = 0.0  # virtual seconds from the last fault to the last run's end
    recorded_after_s: dict[str, float] = field(default_factory=dict)  # by job: from its end until its row told of it
    begun_s: dict[str, float] = field(default_factory=dict)  # by job of ours
    items: dict[tuple[str, str], dict[str, object]] = field(default_factory=dict)  # of the table, at the end
    unreached: dict[At, Fault] = field(default_factory=dict)  # faults of the plan whose calls came too late, or never
    reachable: int = 0  # calls until nothing was to fail any more

    @property
    def right(self) -> bool:
        return self.verdict.right

    @property
    def counts(self) -> bool:
        """A trial whose fault was not reached proves nothing."""
        return bool(self.injected)


def silence() -> None:
    """Log lines cost more than all the rest."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """`silence`, for a while."""
    before = structlog.get_config()
    silence()
    try:
        yield
    finally:
        structlog.configure(**before)


def run(scenario: Scenario) -> Trial:
    """Run a trial in virtual time. The same scenario is the same trial."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_Run(scenario, loop).all())
    finally:
        for task in sorted(loop.tasks, key=hash):
            task.cancel()
        loop.run_until_complete(asyncio.gather(*sorted(loop.tasks, key=hash), return_exceptions=True))
        loop.close()


class _Run:
    def __init__(self, scenario: Scenario, loop: VirtualLoop) -> None:
        self.scenario = scenario
        self.loop = loop
        seed = f"{scenario.name} world"
        bedrock = scenario.bedrock
        self.ahead_s = 0.0 if scenario.month_ends_s is None else MONTH_S - scenario.month_ends_s
        self.aws = SimulatedAws(
            clock=LoopClock(loop, seed, ahead_s=self.ahead_s),  # type: ignore[arg-type]
            queue=SimQueue,
            job_quota=scenario.quota,
            repeats_max=4,
            repeat_pauses_s=(30.0,),
            visibility_timeout_s=scenario.visibility_s,
            receive_wait_s=20,
            tick_every_s=scenario.tick_every_s,
            gauges_every_s=max(30.0, scenario.tick_every_s),
            sweep_every_s=scenario.sweep_every_s,
            finish_after_s=FINISH_AFTER_S,
            list_settle_s=120.0,
            wake_after_slices_s=180.0,
            wake_after_ended_s=120.0,
            retry_after_max_s=60,
            on_demand_concurrency=scenario.on_demand_concurrency,
            **_given(
                worker_deaths_max=scenario.deaths_max,
                on_demand_requests_per_minute=scenario.asked_per_minute,
                budget_usd=scenario.month_usd,
            ),
        )
        jobs = self.aws.jobs
        more = bedrock.quota_more
        jobs.set_quota(None if more is None else max(1, scenario.quota + more) + bedrock.foreign)
        jobs.token_memory_s, jobs.refuse_used_names = bedrock.token_memory_s, bedrock.refuse_used_names
        jobs.list_lag_s = bedrock.list_lag_s
        self.aws.live(scenario.course, scenario.bus, seed)
        self._throttle(random.Random(f"{seed} runtime"))
        self.watch = Watch(scenario.quota)
        self.people = People(self.aws, scenario, self.watch, LOOK_EVERY_S, self._deploy)
        self.aws.table.watchers.append(self.watch.changed)
        self.owners = Owners(self._who, loop.time, FINISH_AFTER_S)
        self.aws.table.watchers.append(self.owners.changed)
        self.months = Months(lambda: getattr(self._who(), "budget_usd", None))
        self.aws.table.watchers.append(self.months.changed)
        self.budgets_usd = [scenario.month_usd]  # of the month, as they were deployed
        self.recorded_after_s: dict[str, float] = {}
        self.aws.table.watchers.append(self._note_end)
        for queue in self.aws.queues.values():
            queue.patience_s = scenario.poll_s
        self.aws.table.after += [self.watch.done, self.months.done]
        self.fleet = Fleet(
            self.aws,
            loop,
            seed=seed,
            plan=dict(scenario.plan),
            replicas=scenario.replicas,
            stall_s=scenario.stall_s,
            restart_s=scenario.restart_s,
            skew_s=scenario.skew_s,
            stepped=scenario.stepped or "stall" in scenario.plan.values(),
            ahead_s=self.ahead_s,
        )

    def _who(self) -> object:
        """The process that acts just now; None: the world itself."""
        return getattr(asyncio.current_task(self.loop), "owner", None)

    async def _deploy(self, month_usd: float | None) -> None:
        self.budgets_usd.append(month_usd)
        await self.fleet.deploy(DEPLOYED_APART_S, budget_usd=month_usd)

    def _throttle(self, chance: random.Random) -> None:
        throttled = self.scenario.throttled_share

        def fate(request: RuntimeRequest, number: int) -> Exception | None:
            return Throttled("as drawn") if throttled and chance.random() < throttled else None

        self.aws.runtime.fate = fate

    def _note_end(self, key: Key, before: Item | None, after: Item | None) -> None:
        if before and after and (before.get("state"), after.get("state")) == ("SUBMITTED", "ENDED"):
            job = next(job for job in self.aws.jobs.all if job.arn == after["arn"])
            if job.ended_at is not None:
                ended_s = (job.ended_at - EPOCH).total_seconds() - self.ahead_s
                self.recorded_after_s[job.name] = self.loop.time() - ended_s

    # ------------------------------------------------------------------ its course

    async def all(self) -> Trial:
        before = _metrics()
        for number in range(self.scenario.bedrock.foreign):
            self.aws.jobs.add_foreign(f"foreign-{number}", CLAUDE)
        if self.scenario.bedrock.full_for_s:
            self._fill(self.scenario.bedrock.full_for_s)
        self.fleet.start()
        for each in self.scenario.work:
            self.loop.call_later(each.after_s, self._send, each)
        for body in self.scenario.poison:
            self.aws.queues["manifests"].put(body, {})
        if self.scenario.denied_after_s is not None:
            self.loop.call_later(self.scenario.denied_after_s, self._deny, frozenset({CLAUDE}))
        if self.scenario.denied_until_s is not None:
            self.loop.call_later(self.scenario.denied_until_s, self._deny, frozenset())
        if self.scenario.rolling:
            self.loop.create_task(self._roll())
        self.people.come(self.loop.create_task)
        wrong = await self._until_over(FAULTS_S + self.scenario.bedrock.full_for_s)
        calm_at_s = self.loop.time()
        self.fleet.calm()
        self.aws.calm()
        wrong = wrong and await self._until_over(LIVENESS_S)
        settled_s = self.loop.time() - calm_at_s
        await asyncio.sleep(CALM_S)
        for _ in range(int(JOBS_END_S / LOOK_EVERY_S)):
            if not [job for job in self.aws.active if job.name.endswith("-test")]:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        self.fleet.close()
        verdict = judge(self._evidence())
        for words in (*self.watch.broken, *self.owners.broken, *self.months.broken):
            verdict.say(words)
        if wrong:
            verdict.say(f"after {LIVENESS_S:.0f} s without a fault: {self.watch.states}")
        seen = self._seen(before)
        return Trial(
            self.scenario.line,
            verdict,
            self.fleet.calls.injected,
            self.fleet.calls.names,
            seen,
            settled_s,
            self.recorded_after_s,
            {job.name: job.begun_s for job in map(_listed, self.aws.jobs.all) if job.name.endswith("-test")},
            self.aws.table.items,
            self.fleet.calls.unreached,
            self.fleet.calls.until_calm,
        )

    async def _until_over(self, most_s: float) -> bool:
        """Wait until all is over; whether it is not."""
        end_s = self.loop.time() + most_s
        while not self._over():
            if self.loop.time() >= end_s:
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return False

    def _over(self) -> bool:
        wanted = {each.asked.run_id for each in self.scenario.work}
        dead = len(self.aws.queues["manifests"].dead)
        there = wanted <= set(self.watch.states) and not self.people.waiting
        return there and self.watch.all_over and dead >= len(self.scenario.poison)

    def _send(self, each: object) -> None:
        run_id, count = each.asked.run_id, len(each.asked.values)  # type: ignore[attr-defined]
        values = each.asked.values or [f"{run_id} topic {row}" for row in range(count or 300)]  # type: ignore[attr-defined]
        key = f"inputs/{run_id}.csv"
        self.aws.objects.plant(key, "\n".join(["topic", *values, ""]).encode())
        manifest = {
            "s3_uri": f"s3://{BUCKET}/{key}",
            "job_name_prefix": "sim",
            "model_id": CLAUDE,
            "prompt_id": "joke_about_topic",
            "run_id": run_id,
            "max_records_per_job": each.shard_rows,  # type: ignore[attr-defined]
            "class": each.admission_class,  # type: ignore[attr-defined]
            "weight": each.weight,  # type: ignore[attr-defined]
            **each.more,  # type: ignore[attr-defined]
        }
        self.aws.send(manifest | ({"dry_run": True} if each.asked.dry_run else {}))  # type: ignore[attr-defined]

    def _fill(self, seconds: float) -> None:
        """Others take all of Bedrock's quota, for so long."""
        quota = self.scenario.quota + (self.scenario.bedrock.quota_more or 0) + self.scenario.bedrock.foreign
        for number in range(quota - self.scenario.bedrock.foreign):
            arn = self.aws.jobs.add_foreign(f"full-{number}", CLAUDE)
            self.loop.call_later(seconds, self.aws.jobs.finish, arn)

    def _deny(self, models: frozenset[str]) -> None:
        self.aws.jobs.refused_models = models

    async def _roll(self) -> None:
        for service in SERVICES:
            for replica in range(self.scenario.replicas):
                await asyncio.sleep(60)
                self.fleet.restart(service, replica)

    # ------------------------------------------------------------------ what is left of it

    def _evidence(self) -> Evidence:
        home = self.aws.objects._buckets[BUCKET].versions
        return Evidence(
            asked=[replace(each, cancelled=each.run_id in self.watch.cancelled) for each in self._asked()],
            objects={key: [None if one.deleted else one.body for one in found] for key, found in home.items()},
            items=[{"pk": pk, "sk": sk, **item} for (pk, sk), item in self.aws.table.items.items()],
            dead={name: [message.body for message in queue.dead] for name, queue in self.aws.queues.items()},
            jobs=[_listed(job) for job in self.aws.jobs.all],
            quota=self.scenario.quota,
            env="test",
            poison=self.scenario.poison,
            prompts=[_prompt(request.body) for request in self.aws.runtime.answered],
            asked_twice_max=self.fleet.calls.lost_answers,
            month_usd=None if None in self.budgets_usd else max(self.budgets_usd),  # type: ignore[type-var]  # it has none
            micros_of_a_million=PRICES,
        )

    def _asked(self) -> list[Asked]:
        """The manifests, and the retries of some of them."""
        sent = {each.asked.run_id: each.asked for each in self.scenario.work}
        again = [
            replace(sent[of], run_id=run_id, retry_of=of, all_answered=False)
            for run_id, of in self.people.retries.items()
        ]
        return [*sent.values(), *again]

    def _seen(self, before: Counter[str]) -> Counter[str]:
        """What this trial got to: proof that it was there."""
        seen = Counter({name: count for name, count in (_metrics() - before).items() if count})
        seen["crash"] = self.fleet.crashes
        for action, count in self.people.done.items():
            seen[f"control {action}"] += count
        seen["slot contended"] = self.watch.full_while_waiting
        seen["class first"] = self.watch.classes_preceded
        seen["weights differ"] = self.watch.weights_differed
        seen["month turned"] = int(self.months.months > 1)
        seen["redelivered"] = sum(queue.redelivered for queue in self.aws.queues.values())
        seen["write refused"] = self.aws.table.refused
        seen["joiner raced"] = self.aws.objects.stood
        seen["another stood"] = self.aws.objects.conflicts
        for _, name, fault in self.fleet.calls.injected:
            seen[f"fault {fault}"] += 1
            seen[f"at {name.partition('.')[0]}"] += 1
        seen["recovered"] = int(bool(seen["redelivered"] or any(name.startswith("swept") for name in seen)))
        return seen


def _given(**settings: object) -> dict[str, object]:
    return {name: value for name, value in settings.items() if value is not None}


def _listed(job: Job) -> Listed:
    begun = (job.submitted_at - EPOCH).total_seconds() if job.submitted_at else 0.0
    ended = (job.ended_at - EPOCH).total_seconds() if job.ended_at else None
    return Listed(job.name, job.arn, job.status, begun, ended, job.processed_records or 0)


def _prompt(body: bytes) -> str:
    return str(json.loads(body)["messages"][0]["content"][0]["text"])


def _metrics() -> Counter[str]:
    """What the services count of themselves, that tells where a trial has been."""
    found = Counter[str]()
    for word, label, metric in (
        ("swept", "kind", metrics.SWEEP_CORRECTIONS),
        ("create", "outcome", metrics.JOBS_SUBMITTED),
        ("asked twice", "", metrics.ON_DEMAND_ASKED_TWICE),
    ):
        for sample in (each for family in metric.collect() for each in family.samples if each.name.endswith("_total")):
            found[f"{word} {sample.labels.get(label, '')}".strip()] += int(sample.value)
    return found
