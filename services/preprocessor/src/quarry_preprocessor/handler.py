"""What the preprocessor does with a message: manifests arrive on one queue, its own wake-ups on another."""

from __future__ import annotations

from functools import partial

from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import ON_DEMAND_QUEUE
from quarry_core.ports import Message
from quarry_core.service.consumer import Consumer
from quarry_core.service.endings import end_run
from quarry_core.service.failures import Step
from quarry_core.service.pieces import Piece
from quarry_core.service.process import Parts, World, consumer_limits
from quarry_core.service.steps import Steps
from quarry_core.service.verdicts import Poison, Verdict
from quarry_core.service.wakeups import handle_wakeup
from quarry_core.tabular.parquet.pages import allow_pages
from quarry_preprocessor.arrive import Arrivals
from quarry_preprocessor.count import Counting
from quarry_preprocessor.slices import Slices

QUEUES = ("manifests", "slices", "scheduler", "collector", ON_DEMAND_QUEUE)
MANIFESTS_AT_ONCE = 4


class Preprocessor:
    def __init__(self, world: World) -> None:
        self._world = world
        self.steps = Steps(world)
        self.arrivals = Arrivals(world, self.steps)
        self.counting = Counting(world, self.steps.pieces)
        self.slices = Slices(world, self.steps.pieces)

    async def on_wakeup(self, message: Message) -> Verdict:
        """`count`: count and plan a run. `slice`: write one."""
        return await handle_wakeup(message, self._answer)

    async def _answer(self, wakeup: Wakeup) -> Verdict:
        end = partial(end_run, self._world, wakeup.run_id)
        match wakeup.step:
            case "count":
                self.slices.close()
                return await self.steps.answer(
                    Piece(Step.COUNT, wakeup.run_id), partial(self.counting.on_count, wakeup), end
                )
            case "slice" if wakeup.slice is not None:
                piece = Piece(Step.SLICE, wakeup.run_id, f"{wakeup.slice:05d}")
                return await self.steps.answer(piece, partial(self.slices.on_slice, wakeup), end)
            case _:
                return Poison(f"step {wakeup.step!r} is not for the preprocessor, or names no slice")


def build(world: World) -> Parts:
    preprocessor = Preprocessor(world)
    settings, clock = world.settings, world.clock
    allow_pages(settings.parquet_pages_bytes_max)
    return Parts(
        consumers=(
            Consumer(
                world.queues["manifests"],
                preprocessor.arrivals.on_manifest,
                consumer_limits(settings, MANIFESTS_AT_ONCE, wakeups=False),
                clock,
                "arrive",
                renew=preprocessor.arrivals.renew,
            ),
            Consumer(
                world.queues["slices"],
                preprocessor.on_wakeup,
                consumer_limits(settings, settings.slice_concurrency),
                clock,
                "arrive",
            ),
        ),
        stopping=(preprocessor.steps.pieces.withdraw,),
    )
