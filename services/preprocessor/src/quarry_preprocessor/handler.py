"""What the preprocessor does with a message: manifests arrive on one queue, its own doorbells on another."""

from __future__ import annotations

import structlog

from quarry_core.loop import Consumer
from quarry_core.messages import NotAMessage, UnknownVersion, read_doorbell
from quarry_core.ports import Message
from quarry_core.service import Parts, World, consumer_limits
from quarry_core.verdicts import Poison, Retry, Verdict
from quarry_preprocessor.arrive import Arrivals
from quarry_preprocessor.count import Counting
from quarry_preprocessor.slices import Slices

QUEUES = ("manifests", "slices", "scheduler", "collector")
MANIFESTS_AT_ONCE = 4
UNKNOWN_VERSION_RETRY_S = 60.0


class Preprocessor:
    def __init__(self, world: World) -> None:
        self.arrivals = Arrivals(world)
        self.counting = Counting(world)
        self.slices = Slices(world)

    async def on_bell(self, message: Message) -> Verdict:
        """`count`: count and plan a run. `slice`: write one."""
        try:
            bell = read_doorbell(message.body)
        except UnknownVersion as error:
            return Retry(UNKNOWN_VERSION_RETRY_S, str(error))
        except NotAMessage as error:
            return Poison(str(error))
        with structlog.contextvars.bound_contextvars(**bell.about()):
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
