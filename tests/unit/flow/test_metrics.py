"""Every metric that is registered moves while runs go their way, and no label says what it may not say.

The list is that of `quarry_core.telemetry.metrics`, without exceptions: whoever declares a metric shows here what moves it.
"""

from __future__ import annotations

import asyncio
import errno
import re
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

import quarry_scheduler.handler
from quarry_collector.settle import ErrorCode
from quarry_core.aws.queue import SqsQueue
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import QUEUES
from quarry_core.contract.states import JOB_TERMINAL, RunState, ShardState
from quarry_core.errors import Throttled
from quarry_core.ledger.keys import pool_key, shard_key, totals_key
from quarry_core.ports import BatchLoad
from quarry_core.service.consumer import Consumer
from quarry_core.service.failures import EXHAUSTED_ERRNOS, Step
from quarry_core.service.process import EVENT_TARGET, announce, consumer_limits, with_gauges
from quarry_core.service.verdicts import DONE
from quarry_core.telemetry import metrics
from tests.unit.core.scripted import Answer, scripted, set_credentials
from tests.unit.flow.acts import CLAUDE_POOL, another_scheduler, enlist, step
from tests.unit.flow.planted_steps import PLANTS, ending_of
from tests.world.queue import FakeQueue
from tests.world.world import CLAUDE, SimulatedWorld

METRICS = {
    reported.name: metric
    for metric in vars(metrics).values()
    if isinstance(metric, Counter | Gauge | Histogram)
    for reported in metric.describe()
}
NEW_MODEL = "anthropic.claude-of-next-year-v1:0"
SERVICES = ("preprocessor", "scheduler", "collector")
# Labels whose values no sentence can list, and what they look like. All others must be named in the metric's sentence.
OPEN_LABELS = {
    "pool": r"[a-z0-9-]+#[a-zA-Z0-9.:/_-]+",
    "model": r"[a-zA-Z0-9.:/_-]+",
    "operation": r"[a-z0-9_]+",
    "version": r"\d+\.\d+\.\d+",
    "queue": "|".join((*QUEUES, EVENT_TARGET)),
}
NEVER = re.compile(r"arn:|s3:|-dlq|\.jsonl|\.csv|[0-9]{11}|run#|/[0-9]{5}")


class Seen:
    """What the metrics showed at each look."""

    def __init__(self):
        self.samples = [self._sample()]

    def look(self):
        self.samples.append(self._sample())

    @staticmethod
    def _sample():
        return {
            name: {
                (sample.name, tuple(sorted(sample.labels.items()))): sample.value
                for family in metric.collect()
                for sample in family.samples
            }
            for name, metric in METRICS.items()
        }

    @property
    def still(self):
        """Metrics that have shown the same at every look."""
        return sorted(name for name in METRICS if all(look[name] == self.samples[0][name] for look in self.samples))

    def labels(self):
        """(metric, label, value) of every sample that has moved; what other tests left does not change."""
        first = self.samples[0]
        return {
            (name, label, value)
            for look in self.samples[1:]
            for name, samples in look.items()
            for key, shown in samples.items()
            if first[name].get(key) != shown
            for label, value in key[1]
        }


async def whole_runs(world, seen):
    """Runs with all that can befall them, and a look after each of it."""
    world.bedrock.error_share = world.bedrock.missing_share = 0.1
    first = world.send(world.joke(rows=600, max_records_per_job=100))
    new = world.send(world.joke(rows=100, model_id=NEW_MODEL))
    world.queues["manifests"].put("no JSON")
    world.jobs.refuse_once(Throttled("not now"))
    world.jobs.add_foreign("elsewhere", CLAUDE)
    await world.idle()
    await step(world, lambda _: None)
    seen.look()
    for job in world.bedrock.active:
        world.bedrock.begin(job)
        world.jobs.finish(job.arn, "InProgress", success=10)
    await step(world, lambda _: None)
    seen.look()
    world.bedrock.events_lost_share = 1.0  # now the sweep must find each end
    for _ in range(40):
        await step(world)
        seen.look()
        if all([(await world.totals(run_id)).state.terminal for run_id in (first, new)]):
            return
    raise AssertionError("the runs are not at their end")


async def a_process_begins(world, seen):
    """What a service shows before it has done anything: its version, its budget, its queues, its polls."""
    for service in SERVICES:
        announce(service, world.settings)
    dead_letters = FakeQueue(EVENT_TARGET, world.clock)
    dead_letters.put("undelivered")
    parts = quarry_scheduler.handler.build(replace(world.process_world(), undelivered=dead_letters))
    [*_, gauges] = with_gauges(parts, world.settings).timers
    await gauges.work()
    stop = asyncio.Event()

    async def last(_):
        seen.look()  # while a message is being handled
        stop.set()
        return DONE

    world.queues["slices"].put(Wakeup(step="count", run_id="nobody").body())
    await Consumer(world.queues["slices"], last, consumer_limits(world.settings, 1), world.clock, "arrive").run(stop)
    seen.look()


async def a_slot_without_a_job(world, seen):
    world.jobs.lose_reply_once()
    world.jobs.list_lag_s = 10_000
    run_id = await enlist(world, world.joke(rows=100))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    await world.scheduler.sweeper.sweep()
    seen.look()
    return run_id


async def records_asked_on_demand(seen):
    world = SimulatedWorld()
    run_id = await enlist(world, world.joke(rows=50))
    world.table.items[shard_key(run_id, "00000")]["in_doubt"] = 3  # one that asked them was lost
    await another_scheduler(world).sweeper.sweep()
    seen.look()
    await world.idle()
    seen.look()


async def rows_that_do_not_add_up(world, seen, run_id):
    world.table.items[totals_key(run_id)]["open"] -= 1
    await another_scheduler(world).sweeper.sweep()
    seen.look()


async def slots_that_are_miscounted(seen):
    world = SimulatedWorld()
    await enlist(world, world.joke(rows=300, max_records_per_job=100))
    await world.scheduler.sweeper.sweep()
    world.table.items[pool_key(CLAUDE_POOL)]["in_use"] += 1
    for _ in range(2):
        await world.scheduler.sweeper.sweep()
    seen.look()


async def what_fails_by_itself(seen):
    await ending_of(PLANTS[0])
    world = SimulatedWorld()

    async def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    world.queues["collector"].put("work")
    await Consumer(
        world.queues["collector"], full, consumer_limits(world.settings, 1), world.clock, "settle"
    ).run_once()
    seen.look()

    async def bug(_):
        raise KeyError("planted")

    limits = consumer_limits(world.settings, world.settings.alike_failures_max)
    for number in range(world.settings.alike_failures_max):
        world.queues["slices"].put(f"work {number}")
    await Consumer(world.queues["slices"], bug, limits, world.clock, "slice").run_once()
    seen.look()


async def what_cloudwatch_publishes(seen):
    class Published:
        async def by_model(self):
            return {CLAUDE: BatchLoad(900.0, None, 6_000.0, 300.0)}

    world = SimulatedWorld(batch_metrics=Published())
    world.send(world.joke(rows=200, max_records_per_job=100))
    await world.idle()
    await world.scheduler.load.read()
    await world.scheduler.sweeper.sweep()
    seen.look()


async def a_canary_is_judged(seen):
    world = SimulatedWorld()
    await world.run(world.send(world.joke(rows=400, max_records_per_job=100, canary=True)))
    seen.look()


async def a_run_is_held(seen):
    world = SimulatedWorld()
    world.send(world.joke(rows=400, max_records_per_job=100, budget_usd=0.000001))
    await world.idle()
    await world.scheduler.sweeper.sweep()
    seen.look()


async def calls_of_aws(seen):
    async with scripted("sqs", [Answer({"Attributes": {}})], observe=metrics.observe_aws) as (aws, _):
        await SqsQueue(aws, "events", "https://sqs/1/events", "https://sqs/1/events-dlq").depth()
    seen.look()


async def a_month_has_a_budget(seen):
    await SimulatedWorld(budget_usd=1_000.0).scheduler.sweeper.sweep()
    seen.look()


@pytest.fixture(scope="module")
def everything_seen():
    return {}


async def look_at_everything(everything_seen, monkeypatch):
    if "seen" not in everything_seen:
        set_credentials(monkeypatch)
        world, seen = SimulatedWorld(job_quota=4, budget_dollars=100.0), Seen()
        await a_process_begins(world, seen)
        await whole_runs(world, seen)
        run_id = await a_slot_without_a_job(world, seen)
        await records_asked_on_demand(seen)
        await rows_that_do_not_add_up(world, seen, run_id)
        await slots_that_are_miscounted(seen)
        await what_fails_by_itself(seen)
        await what_cloudwatch_publishes(seen)
        await a_canary_is_judged(seen)
        await a_month_has_a_budget(seen)
        await a_run_is_held(seen)
        await calls_of_aws(seen)
        everything_seen["seen"] = seen
    return everything_seen["seen"]


async def test_every_registered_metric_moves(everything_seen, monkeypatch):
    seen = await look_at_everything(everything_seen, monkeypatch)
    assert seen.still == []


async def test_labels_say_only_what_the_metrics_sentence_names(everything_seen, monkeypatch):
    seen = await look_at_everything(everything_seen, monkeypatch)

    labels = seen.labels()
    assert len(labels) > 60
    for name, label, value in sorted(labels):
        assert not NEVER.search(value), (name, label, value)
        if label == "le":
            continue
        if label in OPEN_LABELS:
            assert re.fullmatch(OPEN_LABELS[label], value), (name, label, value)
            continue
        [reported] = METRICS[name].describe()
        assert re.search(rf"\b{re.escape(value)}\b", reported.documentation), (name, label, value)


def test_what_the_sentences_list_is_all_that_there_is():
    def listed(name, words):
        [reported] = METRICS[name].describe()
        missing = [word for word in words if not re.search(rf"\b{word}\b", reported.documentation)]
        assert not missing, (name, missing)

    listed("quarry_rows_finished", ["ok", *(code.lower() for code in ErrorCode)])
    listed("quarry_jobs_ended", JOB_TERMINAL)
    listed("quarry_step_failures", Step)
    listed("quarry_exhausted", set(EXHAUSTED_ERRNOS.values()))
    listed("quarry_runs", [state for state in RunState if not state.terminal])
    listed("quarry_shards", ShardState)
    listed("quarry_build_info", SERVICES)


def test_every_metric_of_ours_that_is_scraped_is_declared_in_the_one_file():
    ours = {family.name for family in REGISTRY.collect() if family.name.startswith("quarry_")}
    assert ours <= METRICS.keys()
    where_set = {"quarry_budget_dollars", "quarry_month_budget_dollars"}
    assert METRICS.keys() - ours <= where_set, "which join where a budget is set"


def test_names_are_prefixed_and_in_base_units():
    for name in METRICS:
        assert name.startswith("quarry_")
        assert not re.search(r"_(ms|minutes|hours|kb|mb|age)(_|$)", name)
