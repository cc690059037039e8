"""The pins of the runs at work. They never change, so they are read once.

A prompt and an output schema may take an item's 400 KB, so what is kept is bounded in bytes too, as JSON has them. Of text that is about
what memory holds; of many small values it is some times as much, which `PINS_BYTES_MAX` leaves room for.
"""

from __future__ import annotations

from collections import OrderedDict

from quarry_core.contract.run import Pins
from quarry_core.errors import Missing
from quarry_core.ledger.ledger import Ledger

PINS_MAX = 2_000
PINS_BYTES_MAX = 16 << 20


class PinsCache:
    """Keeps the pins that were asked for last; the latest always.

    Attributes:
        bytes: of what is kept, as JSON.
    """

    def __init__(self, ledger: Ledger, *, bytes_max: int = PINS_BYTES_MAX) -> None:
        self._ledger = ledger
        self._bytes_max = bytes_max
        self._pins: OrderedDict[str, tuple[Pins, int]] = OrderedDict()
        self.bytes = 0

    async def of(self, run_id: str) -> Pins:
        """The pins of an accepted run. Raises Missing."""
        if run_id in self._pins:
            self._pins.move_to_end(run_id)
            return self._pins[run_id][0]
        run = await self._ledger.run(run_id)
        if run is None or run.pins is None:
            raise Missing(f"run {run_id} has no pins in the ledger")
        self._keep(run_id, run.pins)
        return run.pins

    def _keep(self, run_id: str, pins: Pins) -> None:
        size = len(pins.model_dump_json(exclude_none=True).encode())
        # Another may have read it meanwhile.
        self.bytes += size - self._pins.pop(run_id, (pins, 0))[1]
        self._pins[run_id] = pins, size
        while len(self._pins) > 1 and (len(self._pins) > PINS_MAX or self.bytes > self._bytes_max):
            _, (_, freed) = self._pins.popitem(last=False)
            self.bytes -= freed
