"""The runs that a process works for, as they were accepted. That never changes, so each is read once."""

from __future__ import annotations

from collections import OrderedDict

from quarry_core.contract.run import Run
from quarry_core.ledger.ledger import Ledger

# A run's pins may hold 256 KiB, its prompt among them.
RUNS_MAX = 32


class AcceptedRuns:
    """Of one process. It keeps the runs that were asked for last, `RUNS_MAX` of them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._runs: OrderedDict[str, Run] = OrderedDict()

    async def of(self, run_id: str) -> Run | None:
        """The run; None if there is none. One without pins, which was refused, is read each time."""
        known = self._runs.get(run_id)
        if known is None:
            known = await self._ledger.run(run_id)
            if known is None or known.pins is None:
                return known
            self._runs[run_id] = known
            if len(self._runs) > RUNS_MAX:
                self._runs.popitem(last=False)
        self._runs.move_to_end(run_id)
        return known
