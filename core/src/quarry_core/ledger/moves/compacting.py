"""The move by which the compacted parts of an ended run become what readers take.

The parts of the shards stay, and so does everything else: readers are told of a second form of the same rows.
"""

from __future__ import annotations

from quarry_core.ledger.keys import totals_key
from quarry_core.ledger.moves.control import By
from quarry_core.ledger.moves.premise import equal
from quarry_core.ledger.rows import Totals
from quarry_core.ports import Cond, Update, Write


def publish_compact(totals: Totals, by: By, parts: int) -> list[Write]:
    """All compacted parts of an ended run stand; once, and never of a run that is being erased."""
    assert totals.state.terminal
    return [
        Update(
            totals_key(totals.run_id),
            when=(equal("state", totals.state), Cond("erasing_at", "absent"), Cond("compact_at", "absent")),
            set={"compact_parts": parts, "compact_at": by.at, "compact_by": by.who},
            add={"version": 1},
        )
    ]
