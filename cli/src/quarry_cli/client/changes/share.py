"""Changing a run's admission class and weight: one conditional write, decided again if something moved in between."""

from __future__ import annotations

import msgspec

from quarry_cli.client.caller import audit, caller
from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.search import find_run, no_such_run
from quarry_cli.errors import BadSetting, RunEnded
from quarry_core.contract.share import CLASSES, WEIGHT_MAX
from quarry_core.contract.states import RunState
from quarry_core.errors import Stale
from quarry_core.ledger import moves

TRIES_MAX = 20


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A run's share of its pool, now and before."""

    run_id: str
    admission_class: str = msgspec.field(name="class")
    weight: int
    class_before: str
    weight_before: int


def check(admission_class: str | None, weight: int | None) -> None:
    """Raises BadSetting."""
    if admission_class is None and weight is None:
        raise BadSetting("nothing to set: give class=high, normal or low, or weight=1 to 100, or both")
    if admission_class is not None and admission_class not in CLASSES:
        raise BadSetting(f"class: {admission_class!r} is none of {', '.join(CLASSES)}")
    if weight is not None and (isinstance(weight, bool) or not 1 <= weight <= WEIGHT_MAX):
        raise BadSetting(f"weight: {weight} is not a whole number from 1 to {WEIGHT_MAX}")


async def set_share(connections: Connections, text: str, admission_class: str | None, weight: int | None) -> Share:
    """Set what is given, and leave the rest. The next admission goes by it.

    Args:
        text: the run's id, or its beginning.

    Raises:
        BadSetting, NoSuchRun, SeveralRuns.
        RunEnded: the run takes no more slots.
    """
    check(admission_class, weight)
    run_id = await find_run(connections, text)
    ledger = connections.ledger
    for _ in range(TRIES_MAX):
        run, totals = await ledger.run(run_id), await ledger.totals(run_id)
        if run is None or totals is None:
            raise await no_such_run(connections, run_id)
        if run.pins is None or totals.state.terminal or totals.state is RunState.CLOSING:
            raise RunEnded(f"run {run_id} is {totals.state}: it takes no more slots, so there is nothing to change")
        pins = run.pins
        lane = await ledger.lane(pins.pool, run_id)
        if lane is not None:
            before = lane.admission_class, lane.weight
            after = admission_class or before[0], weight or before[1]
            writes = moves.set_share(lane, await ledger.pool(pins.pool), *after)
        elif totals.state in (RunState.ACCEPTED, RunState.PLANNING):
            before = totals.lane_class or pins.admission_class, totals.lane_weight or pins.weight
            after = admission_class or before[0], weight or before[1]
            writes = moves.set_share_early(totals, *after)
        else:
            continue  # its lane came or went between the two reads
        try:
            if after != before:
                what = f"class {before[0]} -> {after[0]}, weight {before[1]} -> {after[1]}"
                at = connections.clock.now().isoformat()
                kept = audit(connections, "set", await caller(connections), at, run_id=run_id, what=what)
                await ledger.apply([*writes, *kept])
        except Stale:
            continue
        return Share(
            run_id=run_id,
            admission_class=after[0],
            weight=after[1],
            class_before=before[0],
            weight_before=before[1],
        )
    raise BadSetting(f"run {run_id} is being admitted too fast to be changed: {TRIES_MAX} tries; run the command again")
