"""A shard's records and the checkpoints of their answers: the blocking half of asking on demand.

Checkpoints are written once, in a row of numbers. Each bears who wrote it. Two that ask one shard at once (one was taken for
lost, and comes back) never write over each other: who finds another's checkpoint under its number takes the next one, and
the collector keeps the first line of a record.

Call these in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import msgspec

from quarry_core.contract.names import input_key, on_demand_key, on_demand_prefix
from quarry_core.contract.on_demand import Record, answered_ids, read_record
from quarry_core.errors import Conflict
from quarry_core.ledger.rows import Shard
from quarry_core.ports import ObjectRef, Objects

BLOCK_BYTES = 1 << 20
TIER = "tier"
# A shard has at most a million rows, twenty in a checkpoint; the rest are others' numbers.
CHECKPOINTS_MAX = 99_999


@dataclass(slots=True)
class Answered:
    """What the checkpoints of a shard's attempt tell: whose answers stand, and by which service tier they came."""

    ids: set[str] = field(default_factory=set)
    checkpoints: int = 0
    tier: str | None = None  # empty for the default one; None: there is none yet


def read_answered(objects: Objects, shard: Shard) -> Answered:
    """Read all checkpoints of an attempt."""
    found = Answered()
    for info in objects.list(on_demand_prefix(shard.run_id, shard.shard, shard.attempt)):
        found.ids.update(answered_ids(objects.read(ObjectRef(info.key))))
        found.checkpoints += 1
        if found.tier is None:
            found.tier = objects.head(ObjectRef(info.key)).metadata.get(TIER, "")
    return found


def write_checkpoint(objects: Objects, shard: Shard, number: int, lines: list[bytes], by: str, tier: str) -> int:
    """Write answers once, under this number or the next free one; the number after it."""
    identity = {
        "kind": "answers",
        "run": shard.run_id,
        "shard": shard.shard,
        "attempt": str(shard.attempt),
        "by": by,
        TIER: tier,
    }
    while number <= CHECKPOINTS_MAX:
        upload = objects.create(on_demand_key(shard.run_id, shard.shard, shard.attempt, number), identity)
        try:
            for line in lines:
                upload.write(line)
            upload.commit()
        except Conflict:
            number += 1
            continue
        finally:
            upload.abort()
        return number + 1
    raise ValueError(f"shard {shard.shard} of run {shard.run_id} has more than {CHECKPOINTS_MAX} checkpoints")


class Records:
    """The records of a shard's input that are still to be asked, read forward; close it."""

    def __init__(self, objects: Objects, shard: Shard, answered: set[str]) -> None:
        self._stream = objects.stream(ObjectRef(input_key(shard.run_id, shard.shard)))
        self._lines = _lines(self._stream)
        self._answered = answered

    def next(self) -> Record | None:
        """The next record; None after the last."""
        for line in self._lines:
            record = read_record(line)
            if record.record_id not in self._answered:
                # The raw body is a view into its block, which would be kept whole.
                return Record(record.record_id, msgspec.Raw(bytes(record.model_input)))
        return None

    def close(self) -> None:
        self._stream.close()


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    begun = b""
    while block := stream.read(BLOCK_BYTES):
        *whole, begun = (begun + block).split(b"\n")
        yield from (line for line in whole if line)
    if begun:
        yield begun
