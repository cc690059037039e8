"""What the preprocessor does with a message: manifests arrive on one queue, its own doorbells on another."""

from __future__ import annotations

from quarry_core.bells import heed
from quarry_core.loop import Consumer
from quarry_core.messages import Doorbell
from quarry_core.ports import Message
from quarry_core.service import Parts, World, consumer_limits
from quarry_core.verdicts import Poison, Verdict
from quarry_preprocessor.arrive import Arrivals
from quarry_preprocessor.count import Counting
from quarry_preprocessor.slices import Slices

QUEUES = ("manifests", "slices", "scheduler", "collector")
MANIFESTS_AT_ONCE = 4


class Preprocessor:
    def __init__(self, world: World) -> None:
        self.arrivals = Arrivals(world)
        self.counting = Counting(world)
        self.slices = Slices(world)

    async def on_bell(self, message: Message) -> Verdict:
        """`count`: count and plan a run. `slice`: write one."""
        return await heed(message, self._answer)

    async def _answer(self, bell: Doorbell) -> Verdict:
        match bell.kind:
            case "count":
                return await self.counting.on_count(bell)
            case "slice" if bell.slice is not None:
                return await self.slices.on_slice(bell)
            case _:
                return Poison(f"kind {bell.kind!r} is not for the preprocessor, or names no slice")


def build(world: World) -> Parts:
    preprocessor = Preprocessor(world)
    settings, clock = world.settings, world.clock
    return Parts(
        consumers=(
            Consumer(
                world.queues["manifests"],
                preprocessor.arrivals.on_manifest,
                consumer_limits(settings, MANIFESTS_AT_ONCE, bells=False),
                clock,
                "arrive",
            ),
            Consumer(
                world.queues["slices"],
                preprocessor.on_bell,
                consumer_limits(settings, settings.slice_concurrency),
                clock,
                "arrive",
            ),
        )
    )
