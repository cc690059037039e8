"""The pins of the runs at work. They never change, so they are read once."""

from __future__ import annotations

from collections import OrderedDict

from quarry_core.contract.run import Pins
from quarry_core.errors import Missing
from quarry_core.ledger.ledger import Ledger

PINS_MAX = 2_000


class PinsCache:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._pins: OrderedDict[str, Pins] = OrderedDict()

    async def of(self, run_id: str) -> Pins:
        """The pins of an accepted run. Raises Missing."""
        known = self._pins.get(run_id)
        if known is None:
            run = await self._ledger.run(run_id)
            if run is None or run.pins is None:
                raise Missing(f"run {run_id} has no pins in the ledger")
            known = self._pins[run_id] = run.pins
            while len(self._pins) > PINS_MAX:
                self._pins.popitem(last=False)
        return known
