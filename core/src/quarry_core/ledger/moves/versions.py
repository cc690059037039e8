"""The moves by which the error rows of an ended run are asked again, in a run of their own.

Theory of operation. The retry is accepted like any run, in one transaction with its number among the versions of the dataset:
the number is written once, so of two that are asked for at once one is accepted. Its shards are those of the version before.
Each is carried over: it comes to be at its end, for its rows have outcomes already, and settling tells which of them go again
in the next round. The first run names the newest version once that stands whole, in the write that ends the retry.
"""

from __future__ import annotations

from dataclasses import replace

from quarry_core.contract.run import Run
from quarry_core.contract.states import RunState, ShardState
from quarry_core.ledger.keys import shard_key, slice_key, totals_key, version_key
from quarry_core.ledger.moves.control import By
from quarry_core.ledger.moves.premise import as_read, equal
from quarry_core.ledger.moves.runs import accept
from quarry_core.ledger.moves.shards import new_item
from quarry_core.ledger.moves.writes import CARRIED, todo
from quarry_core.ledger.rows import Shard, Totals
from quarry_core.ports import Cond, Put, Update, Write


def begin_version(first: Totals, retry: Run, by: By, text_days: int) -> list[Write]:
    """(none) -> ACCEPTED of a retry, as the next version of a dataset.

    Args:
        first: the run whose dataset it is, as read. It has ended, and is not being erased.
        retry: its pins say of what it is a retry.
        by: who asked for it, and when.
        text_days: days that its prompt and inference parameters stay after its end.
    """
    assert retry.pins is not None
    assert retry.pins.retry is not None
    assert first.state.terminal
    of = retry.pins.retry
    return [
        *accept(retry, text_days),
        Put(
            version_key(first.run_id, of.version),
            {
                "run_id": first.run_id,
                "number": of.version,
                "made_by": retry.run_id,
                "base": of.base,
                "at": by.at,
                "by": by.who,
            },
        ),
        Update(
            totals_key(first.run_id),
            when=(
                equal("state", first.state),
                Cond("erasing_at", "absent"),
                as_read("last_version", first.last_version),
                as_read("newest", first.newest),
            ),
            set={"last_version": of.version},
            add={"version": 1},
        ),
    ]


def carry(shard: Shard, slice_number: int) -> list[Write]:
    """(none) -> ENDED: a shard of a retry. Its rows have outcomes already; `sendable` of them are to be asked again.

    Of a cancelled run too: its rows are in the result all the same, and nothing is asked.
    """
    ended = replace(shard, state=ShardState.ENDED)
    return [
        Put(shard_key(shard.run_id, shard.shard), new_item(ended) | {"ended_status": CARRIED}),
        Update(
            totals_key(shard.run_id),
            when=(equal("state", RunState.RUNNING), Cond("fault", "absent")),
            add={"enlisted": shard.rows, "shards_enlisted": 1, "version": 1},
        ),
        Update(slice_key(shard.run_id, slice_number), when=(equal("state", "OPEN"),), add={"version": 1}),
        todo(ended),
    ]


def publish_version(first_run_id: str, retry_run_id: str) -> list[Write]:
    """With the end of a retry: from now on its results are the newest version of the dataset.

    The first run cannot be erased meanwhile: that waits for the end of its retries.
    """
    return [
        Update(
            totals_key(first_run_id),
            when=(Cond("state", "exists"),),
            set={"newest": retry_run_id},
            add={"version": 1},
        )
    ]
