"""What the collector does with a message: settle a shard, or close a run."""

from __future__ import annotations

from functools import partial

from quarry_collector.runs import Runs
from quarry_collector.shards import Shards
from quarry_core.contract.messages import Doorbell
from quarry_core.ports import Message
from quarry_core.service.consumer import Consumer
from quarry_core.service.failures import Step
from quarry_core.service.pieces import Piece
from quarry_core.service.process import Parts, World, consumer_limits
from quarry_core.service.steps import Steps
from quarry_core.service.verdicts import Poison, Verdict
from quarry_core.service.wakeups import heed
from quarry_core.tabular.parquet.pages import allow_pages

QUEUES = ("collector", "scheduler")


class Collector:
    def __init__(self, world: World) -> None:
        self.steps = Steps(world)
        self.shards = Shards(world, self.steps)
        self.runs = Runs(world, self.steps)

    async def on_bell(self, message: Message) -> Verdict:
        """`settle`: settle a shard. `close`: close a run."""
        return await heed(message, self._answer)

    async def _answer(self, bell: Doorbell) -> Verdict:
        match bell.kind:
            case "settle" if bell.shard is not None:
                return await self.steps.answer(
                    Piece(Step.SETTLE, bell.run_id, bell.shard),
                    partial(self.shards.on_settle, bell),
                    partial(self.shards.give_up, bell),
                )
            case "close":
                return await self.steps.answer(
                    Piece(Step.CLOSE, bell.run_id),
                    partial(self.runs.on_close, bell),
                    partial(self.runs.give_up, bell),
                )
            case _:
                return Poison(f"kind {bell.kind!r} is not for the collector, or names no shard")


def build(world: World) -> Parts:
    collector = Collector(world)
    allow_pages(world.settings.parquet_pages_bytes_max)
    limits = consumer_limits(world.settings, world.settings.settle_concurrency)
    return Parts(
        consumers=(Consumer(world.queues["collector"], collector.on_bell, limits, world.clock, "settle"),),
        stopping=(collector.steps.pieces.withdraw,),
    )
