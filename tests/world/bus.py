"""The event bus as a list."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.world.faults import Faults


@dataclass(frozen=True, slots=True)
class Event:
    source: str
    detail_type: str
    detail: Mapping[str, Any]


class FakeBus:
    def __init__(self, env: str = "test", faults: Faults | None = None) -> None:
        self.events: list[Event] = []
        self._source = f"quarry.{env}"
        self._faults = faults or Faults()

    def for_worker(self, faults: Faults) -> FakeBus:
        """The same bus, as another worker reaches it."""
        seen = copy.copy(self)
        seen._faults = faults
        return seen

    async def put(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        async with self._faults.call("bus.put", detail_type, detail):
            # Through JSON, as on the wire: what cannot be told is found here too.
            self.events.append(Event(self._source, detail_type, json.loads(json.dumps(detail))))
