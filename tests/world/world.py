"""The whole of Quarry in one process, on fakes: three services, one Bedrock, virtual time.

The services are the real ones, from their composition root inwards. `run` lets everybody have turns until nothing
moves any more; nobody sleeps.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

import quarry_collector.handler
import quarry_preprocessor.handler
import quarry_scheduler.handler
from quarry_core.contract.manifest_identity import run_id_of
from quarry_core.contract.names import QUEUES, part_key, prompt_key, report_key, results_prefix
from quarry_core.ledger.ledger import Ledger
from quarry_core.ledger.rows import Totals
from quarry_core.ports import BatchMetrics, Clock, Offload
from quarry_core.service.consumer import Consumer
from quarry_core.service.process import World
from quarry_core.settings import Settings
from quarry_core.sources.hub.objects import HubObjects
from quarry_core.sources.reading import SourceObjects
from tests.world.bedrock import FakeBedrock
from tests.world.bus import FakeBus
from tests.world.clock import Environment, FakeClock
from tests.world.faults import Faults
from tests.world.jobs import FakeJobs
from tests.world.objects import FakeObjects
from tests.world.offload import InlineOffload
from tests.world.profiles import FakeProfiles
from tests.world.queue import FakeQueue
from tests.world.runtime import FakeRuntime
from tests.world.table import FakeTable
from tests.world.webhook import FakeWebhook

BUCKET = "world"
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
JOKE = "template: Tell me a joke about {topic} in less than 50 words.\n"
TURNS_MAX = 400


def settings(**changes: object) -> Settings:
    known = {
        "env": "test",
        "region": "us-east-1",
        "table": "ledger",
        "bucket": BUCKET,
        "bedrock_role_arn": "arn:aws:iam::123456789012:role/test-quarry-bedrock",
        "job_quota": 3,
        "repeat_pauses_s": (60.0,),
        "on_demand_queue_url": "https://queue/on-demand",
        # Nobody waits for a rate: what is asked is answered in one turn.
        "on_demand_requests_per_minute": 100_000,
        "on_demand_tokens_per_minute": 1_000_000_000,
    }
    return Settings.model_validate(known | changes)


class SimulatedWorld:
    def __init__(
        self,
        *,
        quota: int | None = None,
        jobs: FakeJobs | None = None,
        hub: HubObjects | None = None,
        clock: FakeClock | None = None,
        queue: type[FakeQueue] = FakeQueue,
        batch_metrics: BatchMetrics | None = None,
        **changes: object,
    ) -> None:
        self.settings = settings(**changes)
        self.clock = clock or FakeClock()
        self.table = FakeTable()
        self.objects = FakeObjects(BUCKET)
        self.hub = hub
        self.queues = {name: queue(name, self.clock) for name in QUEUES}
        # Not our own limit: a Bedrock that refused what is beyond it would hide that we go beyond it.
        self.jobs = jobs or FakeJobs(self.clock, quota=quota)
        self.profiles = FakeProfiles()
        self.runtime = FakeRuntime()
        self.bus = FakeBus("test")
        self.webhook = FakeWebhook()
        self.batch_metrics = batch_metrics
        self.bedrock = FakeBedrock(self.jobs, self.objects, self.queues["events"])
        self.ledger = Ledger(self.table)
        self.objects.plant(prompt_key("joke_about_topic"), JOKE.encode())
        self.start()

    # ------------------------------------------------------------------ the services

    def process_world(
        self, faults: Faults | None = None, *, clock: Clock | None = None, offload: Offload | None = None
    ) -> World:
        """What one worker sees; with `faults`, what it sees of it."""
        table, jobs, runtime, bus, queues = self.table, self.jobs, self.runtime, self.bus, dict(self.queues)
        objects = self.objects
        if faults is not None:
            table, jobs, bus = table.for_worker(faults), jobs.for_worker(faults), bus.for_worker(faults)
            runtime, objects = runtime.for_worker(faults), objects.for_worker(faults)
            queues = {name: queue.for_worker(faults) for name, queue in queues.items()}
        return World(
            settings=self.settings,
            # What sleeps in a service is a heartbeat: it is not to move the time while others work.
            clock=clock or Environment(self.clock),
            offload=offload or InlineOffload(),
            table=table,
            objects=objects if self.hub is None else SourceObjects(objects, self.hub),
            jobs=jobs,
            profiles=self.profiles,
            runtime=runtime,
            bus=bus,
            queues=queues,
            webhook=self.webhook if self.settings.webhook_url else None,
            batch_metrics=self.batch_metrics,
        )

    def start(self, faults: dict[str, Faults] | None = None) -> None:
        """Fresh processes of all three services: whatever they remembered is gone."""
        chosen = faults or {}
        self.scheduler = quarry_scheduler.handler.Scheduler(self.process_world(chosen.get("scheduler")))
        self.consumers: list[Consumer] = []
        for name, module in (
            ("preprocessor", quarry_preprocessor.handler),
            ("scheduler", quarry_scheduler.handler),
            ("collector", quarry_collector.handler),
        ):
            if name == "scheduler":
                continue
            self.consumers += module.build(self.process_world(chosen.get(name))).consumers
        limits = quarry_scheduler.handler.consumer_limits(self.settings, 10)
        for queue, handle in (
            ("on-demand", self.scheduler.on_demand.on_wakeup),
            ("scheduler", self.scheduler.on_wakeup),
            ("events", self.scheduler.on_event),
        ):
            self.consumers.append(Consumer(self.queues[queue], handle, limits, Environment(self.clock), queue))

    async def turn(self) -> int:
        """Everybody receives once; how many messages were handled."""
        return sum([(await consumer.run_once()).handled for consumer in self.consumers])

    async def idle(self) -> None:
        """Turns until no queue has anything to say now."""
        for _ in range(TURNS_MAX):
            if not await self.turn():
                return
        raise AssertionError(f"not idle after {TURNS_MAX} turns")

    async def run(self, run_id: str, *, sweep: bool = True) -> Totals:
        """Let jobs begin and end, time pass and sweeps run until the run is at its end."""
        for _ in range(TURNS_MAX):
            await self.idle()
            totals = await self.totals(run_id)
            if totals.state.terminal:
                return totals
            for job in self.bedrock.active:
                self.bedrock.end(job)
            await self.idle()
            self.clock.advance(61)
            await self.scheduler.tick_all()
            if sweep:
                await self.scheduler.sweeper.sweep()
        raise AssertionError(f"run {run_id} is not at its end: {await self.totals(run_id)}")

    # ------------------------------------------------------------------ the user

    def csv(self, rows: int, key: str = "inputs/topics.csv", columns: Sequence[str] = ("topic",)) -> str:
        """Put a CSV file into the bucket; its URI."""
        lines = [",".join(columns)]
        lines += [",".join(f"{column} number {row}" for column in columns) for row in range(rows)]
        self.objects.plant(key, ("\n".join(lines) + "\n").encode())
        return f"s3://{BUCKET}/{key}"

    def parquet(self, table: pa.Table, key: str = "inputs/rows.parquet", **options: object) -> str:
        body = io.BytesIO()
        pq.write_table(table, body, **options)
        self.objects.plant(key, body.getvalue())
        return f"s3://{BUCKET}/{key}"

    def send(self, manifest: dict | str, *, sender: str = "", **attributes: str) -> str:
        """Drop a manifest on the queue; its run id, if it is a JSON object."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        message_id = self.queues["manifests"].put(text, attributes, sender=sender)
        data = json.loads(text) if not isinstance(manifest, str) else None
        return run_id_of(data, attributes.get("quarry_origin_id", message_id)) if data is not None else ""

    def joke(self, rows: int = 300, **changes: object) -> dict:
        """A text manifest over a fresh CSV file; it has no canary unless `canary` says so, None being the default one."""
        return {
            "canary": False,
            "s3_uri": self.csv(rows),
            "job_name_prefix": "jokes",
            "model_id": CLAUDE,
            "prompt_id": "joke_about_topic",
        } | changes

    # ------------------------------------------------------------------ what came of it

    async def totals(self, run_id: str) -> Totals:
        totals = await self.ledger.totals(run_id)
        assert totals is not None, f"no run {run_id}"
        return totals

    def result(self, run_id: str) -> pa.Table:
        """All parts, in the order of their names."""
        keys = sorted(key for key in self.objects.bodies if key.startswith(results_prefix(run_id) + "part-"))
        return pa.concat_tables([pq.read_table(io.BytesIO(self.objects.bodies[key])) for key in keys])

    def part(self, run_id: str, shard: str) -> pa.Table:
        return pq.read_table(io.BytesIO(self.objects.bodies[part_key(run_id, shard)]))

    def report(self, run_id: str) -> dict:
        return json.loads(self.objects.bodies[report_key(run_id)])
