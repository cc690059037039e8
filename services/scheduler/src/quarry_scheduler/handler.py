"""What the scheduler does with a message: wake-ups start a tick or a sweep, events are hints."""

from __future__ import annotations

from functools import partial

import structlog

from quarry_core.contract.messages import NotAMessage, Wakeup, read_job_event
from quarry_core.contract.names import ON_DEMAND_QUEUE, parse_job_name
from quarry_core.ports import Message
from quarry_core.service.consumer import Consumer
from quarry_core.service.failures import Step, Why
from quarry_core.service.pieces import Piece
from quarry_core.service.process import JITTER, Parts, Timer, World, consumer_limits
from quarry_core.service.steps import Steps
from quarry_core.service.verdicts import DONE, Poison, Verdict
from quarry_core.service.wakeups import handle_wakeup
from quarry_scheduler.batch_load import BatchLoads
from quarry_scheduler.budgets import Budgets
from quarry_scheduler.limits import PoolLimits
from quarry_scheduler.on_demand import OnDemand
from quarry_scheduler.pins import PinsCache
from quarry_scheduler.shard_endings import ShardEndings
from quarry_scheduler.sweeper import Sweeper
from quarry_scheduler.tick import Ticker
from quarry_scheduler.track_step import Tracking
from quarry_scheduler.tracking import JobTracker

log = structlog.get_logger()
QUEUES = ("scheduler", "events", "collector", "slices", ON_DEMAND_QUEUE)
WAKEUPS_AT_ONCE = 10
# Shards that are asked on demand; their records share the process's concurrency.
SHARDS_AT_ONCE = 4


class Scheduler:
    def __init__(self, world: World) -> None:
        self._world = world
        self._pins = PinsCache(world.ledger)
        self._steps = Steps(world)
        self._endings = ShardEndings(world, self._pins)
        self.limits = PoolLimits(world)
        self.load = BatchLoads(world)
        budgets = Budgets(world, self._pins)
        self.tracker = JobTracker(world, self._pins)
        self.ticker = Ticker(world, self._pins, self._steps, self._endings, self.tracker, self.limits, budgets)
        self.tracking = Tracking(world, self.tracker, self._steps, self._endings)
        self.on_demand = OnDemand(world, self._pins, self._steps, budgets)
        self.sweeper = Sweeper(world, self.tracking, self.ticker, self.on_demand, self.limits, self.load, budgets)

    async def on_wakeup(self, message: Message) -> Verdict:
        """`admit`: tick the run's pool. `sweep`: sweep."""
        return await handle_wakeup(message, self._answer)

    async def _answer(self, wakeup: Wakeup) -> Verdict:
        match wakeup.step:
            case "admit":
                pool = await self._steps.run(
                    Piece(Step.ADMIT, wakeup.run_id, "pins"),
                    partial(self._pool_of, wakeup.run_id),
                    partial(self._give_up, wakeup.run_id),
                )
                if pool:
                    await self.ticker.tick(pool)
            case "sweep":
                await self.sweeper.sweep()
            case _:
                return Poison(f"step {wakeup.step!r} is not for the scheduler")
        return DONE

    async def _pool_of(self, run_id: str) -> str:
        return (await self._pins.of(run_id)).pool

    async def _give_up(self, run_id: str, why: Why) -> str:
        await self._endings.end_run(run_id, why)
        marker = await self._world.ledger.open_run(run_id)
        return marker.pool if marker else ""

    async def on_event(self, message: Message) -> Verdict:
        """A job of ours changed its state, perhaps: look, and fill the slot that it may have left."""
        try:
            event = read_job_event(message.body)
        except NotAMessage as error:
            return Poison(str(error))
        if event is None:
            return DONE
        named = parse_job_name(event.name, self._world.settings.env)
        if named is not None:
            structlog.contextvars.bind_contextvars(run_id=named.run_id, shard=named.shard, attempt=named.attempt)
        learned = await self.tracking.job_seen(
            event.name, event.arn, event.status, "event", redelivered=message.receive_count > 1
        )
        if learned.pool:
            await self.ticker.tick(learned.pool)
        return DONE

    async def tick_all(self) -> None:
        for pool in await self.sweeper.pools():
            await self.ticker.tick(pool)


def build(world: World) -> Parts:
    scheduler = Scheduler(world)
    limits = consumer_limits(world.settings, WAKEUPS_AT_ONCE, ahead=WAKEUPS_AT_ONCE)
    consumers = [
        Consumer(world.queues["scheduler"], scheduler.on_wakeup, limits, world.clock, "admit"),
        Consumer(world.queues["events"], scheduler.on_event, limits, world.clock, "submit"),
    ]
    if ON_DEMAND_QUEUE in world.queues:
        limits = consumer_limits(world.settings, SHARDS_AT_ONCE)
        asked = scheduler.on_demand.on_wakeup
        consumers.append(Consumer(world.queues[ON_DEMAND_QUEUE], asked, limits, world.clock, "invoke"))
    return Parts(
        consumers=consumers,
        timers=(
            Timer("tick", world.settings.tick_every_s, JITTER, scheduler.tick_all),
            Timer("quotas", world.settings.sweep_every_s, JITTER, scheduler.limits.read_quotas),
            Timer("batch_metrics", world.settings.batch_metrics_every_s, JITTER, scheduler.load.read),
            Timer("sweep", world.settings.sweep_every_s, JITTER, scheduler.sweeper.sweep),
        ),
        counted=(world.undelivered,) if world.undelivered is not None else (),
        stopping=(scheduler.on_demand.stop,),
    )
