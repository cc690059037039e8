"""The frame that the three services share: one process, its queues, its timers, its end.

Theory of operation. `open_world` is the only place where the real AWS, clock and threads are put behind the ports.
A service is a function from that world to its parts: consumers, timers, what to do at the start. `serve` runs them
until SIGTERM or SIGINT, then drains. Should a part die of something nobody foresaw, the whole process ends with an
error, so that its supervisor starts a fresh one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from pydantic import ValidationError

from quarry_core import __version__
from quarry_core.aws.batch_metrics import CloudWatchBatchMetrics
from quarry_core.aws.bus import EventBus
from quarry_core.aws.client import Aws
from quarry_core.aws.jobs import BedrockJobs
from quarry_core.aws.profiles import BedrockProfiles
from quarry_core.aws.queue import SqsQueue
from quarry_core.aws.quotas import ServiceQuotas
from quarry_core.aws.runtime import BedrockRuntime
from quarry_core.aws.s3.objects import S3Objects
from quarry_core.aws.table import DynamoTable
from quarry_core.clock import SystemClock, ThreadOffload
from quarry_core.contract.job_tags import read_job_tags
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import ON_DEMAND_QUEUE, QUEUES
from quarry_core.contract.notices import read_keys
from quarry_core.contract.policy import read_policy
from quarry_core.errors import PortError
from quarry_core.ledger.ledger import Ledger
from quarry_core.ports import (
    BatchMetrics,
    Bus,
    Clock,
    Jobs,
    Objects,
    Offload,
    Profiles,
    Queue,
    Quotas,
    Runtime,
    Table,
    Webhook,
)
from quarry_core.service.consumer import Consumer, Limits, every
from quarry_core.service.webhook import HttpsWebhook
from quarry_core.settings import Settings, faults_of
from quarry_core.sources.hub.objects import HubObjects
from quarry_core.sources.reading import SourceObjects
from quarry_core.telemetry import logs, metrics
from quarry_core.telemetry.spans import NO_TRACES, Traces
from quarry_core.telemetry.status import Health, StatusServer
from quarry_core.telemetry.traces import open_traces, wanted

log = structlog.get_logger()
TURN_EVERY_S = 1.0
JITTER = 0.1
EVENT_TARGET = "event_target"
NOTIFIER = "collector"  # the service that sends notices, and has the key
WAKEUP_TRIES_MAX = 5
# As many as may be settled at once: each waits for S3 in a thread.
THREADS_MAX = 8
# A worker holds two upload parts of each object in the making; at 8 MiB an object may still have 80 GB.
UPLOAD_PART_BYTES = 8 << 20
# What an environment of the release before does not have; without it nothing is asked on demand.
OPTIONAL_QUEUES = frozenset({ON_DEMAND_QUEUE})


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside, behind its ports."""

    settings: Settings
    clock: Clock
    offload: Offload
    table: Table
    objects: Objects
    jobs: Jobs
    profiles: Profiles
    runtime: Runtime
    bus: Bus
    queues: Mapping[str, Queue]
    undelivered: Queue | None = None  # what EventBridge could not deliver; nobody reads it, it is counted
    traces: Traces = NO_TRACES
    quotas: Quotas | None = None  # None: nobody to ask
    batch_metrics: BatchMetrics | None = None  # None: they are not read
    webhook: Webhook | None = None  # None: nobody wants to hear

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.table)

    async def wake(self, queue: str, wakeup: Wakeup) -> None:
        """Send a wake-up: it only says "look", so one too many is harmless and a lost one is the sweep's business.

        Its group is its run: so a run of 2,000 shards delays no other run's wake-ups.
        """
        await self.queues[queue].send(wakeup.body(), group=wakeup.run_id)


@dataclass(frozen=True, slots=True)
class Timer:
    what: str
    every_s: float
    jitter: float
    work: Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service is made of."""

    consumers: Sequence[Consumer]
    timers: Sequence[Timer] = ()
    counted: Sequence[Queue] = ()  # dead-letter queues that are none of a consumer's own
    stopping: Sequence[Callable[[], Awaitable[None]]] = ()  # done as soon as the process is told to stop


Build = Callable[[World], Parts]
Wrap = Callable[[World], World]


def consumer_limits(settings: Settings, concurrency: int, *, wakeups: bool = True, ahead: int = 0) -> Limits:
    """How a consumer works; `wake-ups` where the sweep would send again what is given up, `ahead` where work is short."""
    return Limits(
        ahead=ahead,
        wakeup_tries_max=WAKEUP_TRIES_MAX if wakeups else None,
        concurrency=concurrency,
        visibility_timeout_s=settings.visibility_timeout_s,
        receive_wait_s=settings.receive_wait_s,
        retry_after_max_s=settings.retry_after_max_s,
        drain_s=settings.drain_s,
        alike_max=settings.alike_failures_max,
    )


@contextlib.asynccontextmanager
async def open_world(settings: Settings, queues: Sequence[str] = QUEUES) -> AsyncIterator[World]:
    """Connect the ports to AWS, as the environment's standard variables say."""
    clock = SystemClock()
    async with Aws(clock, settings.region, observe=metrics.observe_aws) as aws:
        offload = ThreadOffload(workers_max=THREADS_MAX)
        hub = HubObjects(
            settings.hf_endpoint, settings.hf_token.get_secret_value().strip(), observe=metrics.observe_aws
        )
        try:
            yield World(
                settings=settings,
                clock=clock,
                offload=offload,
                table=DynamoTable(aws, settings.table),
                objects=SourceObjects(
                    S3Objects(
                        settings.bucket,
                        region=settings.region,
                        upload_part_bytes=UPLOAD_PART_BYTES,
                        observe=metrics.observe_aws,
                    ),
                    hub,
                ),
                jobs=BedrockJobs(aws),
                profiles=BedrockProfiles(aws),
                runtime=BedrockRuntime(aws),
                bus=EventBus(aws, settings.env),
                quotas=ServiceQuotas(aws) if settings.read_quotas else None,
                batch_metrics=CloudWatchBatchMetrics(aws) if settings.read_batch_metrics else None,
                webhook=HttpsWebhook(
                    settings.webhook_url, private=settings.webhook_private, observe=metrics.observe_aws
                )
                if settings.webhook_url
                else None,
                queues={
                    name: SqsQueue(aws, name, *settings.queue_urls(name))
                    for name in queues
                    if name not in OPTIONAL_QUEUES or settings.has_queue(name)
                },
                undelivered=SqsQueue(aws, EVENT_TARGET, settings.event_target_dlq_url)
                if settings.event_target_dlq_url
                else None,
            )
        finally:
            offload.close()
            hub.close()


def main(service: str, build: Build, queues: Sequence[str], wrap: Wrap = lambda world: world) -> int:
    """Run a service until it is told to stop; its exit code.

    Args:
        service: its name, in logs and metrics.
        build: makes the service's parts.
        queues: the queues that it reads or sends to.
        wrap: puts something between the service and its world; chaos tests do.
    """
    try:
        settings = Settings()  # its fields come from the environment
        for name in queues:
            if name not in OPTIONAL_QUEUES:
                settings.queue_urls(name)
        wanted(settings)
        read_policy(settings.policy)
        read_job_tags(settings.job_tags)
        if service == NOTIFIER and settings.webhook_url:
            read_keys(settings.webhook_key.get_secret_value())
    except ValueError as error:  # a ValidationError is one too
        faults = faults_of(error) if isinstance(error, ValidationError) else [str(error)]
        for fault in faults:
            print(f"{service}: {fault}", file=sys.stderr)  # noqa: T201 logs need settings
        print(f"{service}: `terraform output` or `quarry local env` prints the values", file=sys.stderr)  # noqa: T201 likewise
        return 2
    logs.set_up_logs(service, settings.log_level)
    announce(service, settings)
    return asyncio.run(_serve(service, settings, build, queues, wrap))


def announce(service: str, settings: Settings) -> None:
    """Show what is so from the start: the version, and the budget where there is one."""
    metrics.BUILD_INFO.labels(service, __version__).set(1)
    if settings.budget_dollars is not None:
        metrics.show_budget()
        metrics.BUDGET.set(settings.budget_dollars)


async def _serve(service: str, settings: Settings, build: Build, queues: Sequence[str], wrap: Wrap) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    health = Health()
    status = StatusServer(settings.metrics_host, settings.metrics_port, health)
    try:
        await status.start()
    except OSError as error:
        remedy = "set QUARRY_METRICS_HOST to an address of this host and QUARRY_METRICS_PORT to a free port, or to 0"
        # What stands first is not cut off; the stack's starter looks for "in use".
        cause = os.strerror(error.errno) if error.errno else str(error)
        log.error("status_not_served", why=f"{cause}: {remedy}")  # noqa: TRY400 told whole
        return 2
    try:
        async with open_world(settings, queues) as world:
            with open_traces(service, settings, world.clock) as traces:
                parts = build(wrap(replace(world, traces=traces)))
                log.info("started", metrics_port=status.port)
                return await _run(with_gauges(parts, settings), world.clock, health, stop)
    finally:
        log.info("stopped")
        await status.stop()


def with_gauges(parts: Parts, settings: Settings) -> Parts:
    """The same parts, and a timer that counts what is on their queues."""
    read = [consumer.queue for consumer in parts.consumers]

    async def count() -> None:
        await gauge_queues(read, parts.counted)

    return replace(parts, timers=(*parts.timers, Timer("gauges", settings.gauges_every_s, JITTER, count)))


async def gauge_queues(read: Sequence[Queue], dead: Sequence[Queue]) -> None:
    """Set the depths of queues: two requests for each of `read`, one for each of `dead`, which hold dead-letter messages only.

    A queue that does not answer keeps its last figures, and is told of in the log.
    """
    for queue in (*read, *dead):
        try:
            depth = await queue.depth()
        except PortError as error:
            log.warning("queue_not_counted", queue=queue.name, error=str(error))
            continue
        counts = {"dead": sum(depth.values())} if queue in dead else depth
        for state, messages in counts.items():
            metrics.QUEUE_MESSAGES.labels(queue.name, state).set(messages)


async def _run(parts: Parts, clock: Clock, health: Health, stop: asyncio.Event) -> int:
    tasks = [asyncio.create_task(consumer.run(stop)) for consumer in parts.consumers]
    tasks += [
        asyncio.create_task(every(stop, clock, timer.every_s, timer.jitter, timer.work, timer.what))
        for timer in parts.timers
    ]
    tasks += [asyncio.create_task(_when(stop, work)) for work in parts.stopping]
    turning = asyncio.create_task(_turn(parts, health, stop))
    failed = False
    for finished in asyncio.as_completed(tasks):
        try:
            await finished
        except Exception:  # a part that dies takes the process with it, cleanly, once the others have drained
            log.exception("part_died")
            failed = True
            stop.set()
    turning.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await turning
    return 1 if failed else 0


async def _when(stop: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    await stop.wait()
    await work()


def note_health(health: Health, consumers: Sequence[Consumer], *, draining: bool) -> None:
    """Whether the process is ready, and if not, which of its queues it has stopped to take messages from."""
    stopped = sorted(consumer.queue.name for consumer in consumers if consumer.stopped)
    polled = all(consumer.polled.is_set() for consumer in consumers)
    health.ready = polled and not draining and not stopped
    health.why = f"takes no messages from {', '.join(stopped)}: the last ones all failed alike" if stopped else ""


async def _turn(parts: Parts, health: Health, stop: asyncio.Event) -> None:
    while True:
        health.turn()
        note_health(health, parts.consumers, draining=stop.is_set())
        await asyncio.sleep(TURN_EVERY_S if health.ready else TURN_EVERY_S / 10)
