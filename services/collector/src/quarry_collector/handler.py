"""What the collector does with a message: settle a shard, or close a run."""

from __future__ import annotations

from functools import partial

from quarry_collector.datasets import Datasets
from quarry_collector.notices import Notices
from quarry_collector.runs import Runs
from quarry_collector.shards import Shards
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import ON_DEMAND_QUEUE
from quarry_core.contract.notices import read_notice
from quarry_core.ports import Message
from quarry_core.service.consumer import Consumer
from quarry_core.service.failures import Step
from quarry_core.service.pieces import Piece
from quarry_core.service.process import Parts, World, consumer_limits
from quarry_core.service.steps import Steps
from quarry_core.service.verdicts import Poison, Verdict
from quarry_core.service.wakeups import handle_wakeup
from quarry_core.tabular.parquet.pages import allow_pages

SETTLED_AHEAD_MAX = 10  # messages
QUEUES = ("collector", "scheduler", ON_DEMAND_QUEUE)


class Collector:
    def __init__(self, world: World) -> None:
        self.steps = Steps(world)
        datasets = Datasets(world.objects)
        self.shards = Shards(world, self.steps, datasets)
        self.runs = Runs(world, self.steps, datasets)
        self.notices = Notices(world)

    async def on_wakeup(self, message: Message) -> Verdict:
        """`settle`: settle a shard. `close`: close a run."""
        notice = read_notice(message.body)
        if notice is not None:
            return await self.notices.on_notice(message, notice)
        return await handle_wakeup(message, self._answer)

    async def _answer(self, wakeup: Wakeup) -> Verdict:
        match wakeup.step:
            case "settle" if wakeup.shard is not None:
                return await self.steps.answer(
                    Piece(Step.SETTLE, wakeup.run_id, wakeup.shard),
                    partial(self.shards.on_settle, wakeup),
                    partial(self.shards.give_up, wakeup),
                )
            case "close":
                return await self.steps.answer(
                    Piece(Step.CLOSE, wakeup.run_id),
                    partial(self.runs.on_close, wakeup),
                    partial(self.runs.give_up, wakeup),
                )
            case _:
                return Poison(f"step {wakeup.step!r} is not for the collector, or names no shard")


def build(world: World) -> Parts:
    collector = Collector(world)
    allow_pages(world.settings.parquet_pages_bytes_max)
    limits = consumer_limits(world.settings, world.settings.settle_concurrency, ahead=SETTLED_AHEAD_MAX)
    return Parts(
        consumers=(Consumer(world.queues["collector"], collector.on_wakeup, limits, world.clock, "settle"),),
        stopping=(collector.steps.pieces.withdraw,),
    )
