"""A shard, and the marker that says that it waits or has ended."""

from __future__ import annotations

from dataclasses import dataclass

from quarry_core.contract.states import ShardState
from quarry_core.ports import Item

# Release 0.1.0 wrote it under another name, and a shard may be held over an upgrade.
HEARTBEAT = "heartbeat"
HEARTBEAT_BEFORE = "beat"
# The kind of a shard whose records are asked one by one.
ON_DEMAND = "on_demand"


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard row. `rows` = rows of the source in it; `sendable` of them stand in its input file."""

    run_id: str
    shard: str
    state: ShardState
    attempt: int
    version: int
    pool: str
    first_row: int
    rows: int
    sendable: int
    bytes: int
    half: bool = False
    arn: str = ""
    heartbeat: str = ""
    heartbeat_attribute: str = HEARTBEAT  # under which name the row holds it
    ended_status: str = ""
    message: str = ""
    error_code: str = ""  # what its rows get, where Quarry ended it and not Bedrock
    round: int = 1  # above 1: a retry shard, whose `rows` are records of earlier shards
    ok: int = 0
    error: int = 0
    again: int = 0  # of a settled shard: records with an error that are to be asked again
    # Of a settled shard of which every row has its answer: no outcome was written, and this is its account.
    without_outcome: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    kind: str = ""  # ON_DEMAND; empty for a job
    # Of a shard that is asked on demand: how many records may be in the hands of who asks it and in no checkpoint, how
    # many may have been asked twice since others before were lost, and the service tier that answered.
    in_doubt: int = 0
    asked_twice: int = 0
    tier: str = ""
    booked_micros: int = 0  # at what it was admitted, in millionths of a dollar
    month: str = ""  # `yyyy-mm`, UTC: to which it was booked, and its cost counts
    # Of a settled shard, in millionths of a dollar. None: it is not settled, or an earlier release settled it.
    spent_micros: int | None = None

    @property
    def holder(self) -> str:
        return f"{self.run_id}/{self.shard}/{self.attempt}"

    @property
    def on_demand(self) -> bool:
        return self.kind == ON_DEMAND

    @property
    def retries(self) -> bool:
        """Whether it asks records of earlier shards again: it has no rows and no part of its own."""
        return self.round > 1


def read_shard(item: Item) -> Shard:
    known = {name: item[name] for name in Shard.__slots__ if name in item}
    if HEARTBEAT_BEFORE in item and HEARTBEAT not in item:
        known |= {"heartbeat": item[HEARTBEAT_BEFORE], "heartbeat_attribute": HEARTBEAT_BEFORE}
    return Shard(**{**known, "state": ShardState(item["state"])})


@dataclass(frozen=True, slots=True)
class Waiting:
    """A marker: this shard is PENDING, or ENDED.

    A repeat is PENDING for at least `pause_ms`, as a scheduler that looks measures it (no premise). Rows of the release
    before have `not_before` instead, ISO in UTC by the writer's clock.
    """

    run_id: str
    shard: str
    attempt: int
    pause_ms: int = 0
    not_before: str = ""

    @property
    def holder(self) -> str:
        return f"{self.run_id}/{self.shard}/{self.attempt}"


def read_waiting(item: Item) -> Waiting:
    return Waiting(
        item["run_id"], item["shard"], item["attempt"], int(item.get("pause_ms", 0)), item.get("not_before", "")
    )
