"""A pool, the lanes of the runs that wait for its slots, and the changes of its limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quarry_core.contract.share import CLASSES
from quarry_core.contract.states import Gate
from quarry_core.ledger.limits import Limits
from quarry_core.ports import Item


@dataclass(frozen=True, slots=True)
class Pool:
    """A quota and who holds it. `in_use == len(holders)`, always."""

    pool: str
    configured: int
    admit_limit: int
    in_use: int
    holders: frozenset[str]
    virtual_time: Mapping[str, int]
    learned: int | None = None
    foreign: int = 0
    siblings: int = 0
    service_quota: int | None = None
    # By an operator, in place of QUARRY_JOB_QUOTA: how many, by whom, and when (ISO 8601 in UTC).
    set_to: int | None = None
    set_by: str = ""
    set_at: str = ""

    @property
    def limits(self) -> Limits:
        """What `admit_limit` was made from."""
        return Limits(self.configured, self.service_quota, self.foreign, self.siblings, self.learned)

    @property
    def free(self) -> int:
        return max(0, self.admit_limit - self.in_use)


def read_pool(item: Item) -> Pool:
    return Pool(
        pool=item["pool"],
        configured=item["configured"],
        admit_limit=item["admit_limit"],
        in_use=item["in_use"],
        holders=frozenset(item.get("holders", ())),
        virtual_time={name: item.get(f"virtual_time_{name}", 0) for name in CLASSES},
        learned=item.get("learned"),
        foreign=item.get("foreign", 0),
        siblings=item.get("siblings", 0),
        service_quota=item.get("service_quota"),
        set_to=item.get("set_to"),
        set_by=item.get("set_by", ""),
        set_at=item.get("set_at", ""),
    )


@dataclass(frozen=True, slots=True)
class Lane:
    """A run's place in a pool's admission."""

    pool: str
    run_id: str
    admission_class: str
    weight: int
    tag: int
    gate: Gate
    waiting: int
    message: str = ""
    broken: bool = False  # refused by ourselves, since the run is broken or cancelled; not by Bedrock
    cancelled: bool = False
    # Likely cost of its shards that are admitted or were, each once, in millionths of a dollar; None: nothing was ever booked.
    booked_micros: int | None = None

    @property
    def booked(self) -> int:
        """`booked_micros`, as a sum."""
        return self.booked_micros or 0


def read_lane(item: Item) -> Lane:
    return Lane(
        pool=item["pool"],
        run_id=item["run_id"],
        admission_class=item["class"],
        weight=item["weight"],
        tag=item["tag"],
        gate=Gate(item["gate"]),
        waiting=item["waiting"],
        message=item.get("message", ""),
        broken=item.get("broken", False),
        cancelled=item.get("cancelled", False),
        booked_micros=item.get("booked_micros"),
    )


@dataclass(frozen=True, slots=True)
class LimitChange:
    """An operator's change of a pool's configured limit. `None`: QUARRY_JOB_QUOTA holds. `at` is ISO 8601 in UTC."""

    pool: str
    before: int | None
    after: int | None
    by: str
    at: str
    reason: str = ""


def read_limit_change(item: Item) -> LimitChange:
    return LimitChange(
        item["pool"], item.get("before"), item.get("after"), item["by"], item["at"], item.get("reason", "")
    )
