"""The moves by which an ended run is erased: what was known of it goes, that its id was used stays.

First it is noted that the run is being erased, last that it is: so what a crash interrupts is seen, and goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

from quarry_core.ledger.keys import run_key, totals_key
from quarry_core.ledger.moves.control import By
from quarry_core.ledger.moves.premise import as_read, equal
from quarry_core.ledger.rows import PINNED, Totals
from quarry_core.ports import Cond, Delete, Key, Update, Write

# Of run and totals, what holds words, names or places. Numbers, states and times stay, and the hash of the manifest.
OF_RUN = (PINNED, "pins", "text", "refusal")
OF_TOTALS = ("message", "fault", "end_message", "paused_by", "compact_by")


def begin_erasing(totals: Totals, by: By) -> list[Write]:
    """An ended run is to be erased. From here on nobody reads it any more."""
    assert totals.state.terminal
    return [
        Update(
            totals_key(totals.run_id),
            # Nothing of its dataset is being made: a retry that has begun since was not seen.
            when=(
                equal("state", totals.state),
                Cond("erasing_at", "absent"),
                as_read("last_version", totals.last_version),
            ),
            set={"erasing_at": by.at, "erased_by": by.who},
            add={"version": 1},
        )
    ]


def erase_items(keys: Sequence[Key]) -> list[Write]:
    """Items of a run that is being erased go; at most 100 at once, and neither its run nor its totals."""
    return [Delete(key) for key in keys]


def end_erasing(totals: Totals, manifest_hash: str, at: str) -> list[Write]:
    """Nothing else is left of a run: run and totals become its tombstone. `at`: ISO 8601 in UTC."""
    assert totals.erasing_at
    return [
        Update(
            run_key(totals.run_id),
            when=(equal("manifest_hash", manifest_hash),),
            set={"erased_at": at},
            remove=OF_RUN,
        ),
        Update(
            totals_key(totals.run_id),
            when=(equal("state", totals.state), equal("erasing_at", totals.erasing_at)),
            set={"erased_at": at},
            remove=OF_TOTALS,
            add={"version": 1},
        ),
    ]
