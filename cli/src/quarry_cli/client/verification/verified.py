"""What `quarry verify` has counted, and what it has found to differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from quarry_core.contract.states import RunState

DIFFERENCES_MAX = 200


class Difference(msgspec.Struct, frozen=True):
    """Two things that should agree and do not: where, and what each says."""

    where: str
    what: str


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted. Rows unless said otherwise.

    Attributes:
        compact_parts: into so many the parts were compacted; their rows were compared, and are counted once.
        compared: whose columns of the source were compared with the source.
        differences: at most `DIFFERENCES_MAX` of them; `found` is how many there are.
        unchecked: what could not be looked at, a sentence each.
    """

    run_id: str
    state: RunState
    parts: int
    rows: int
    ok: int
    error: int
    errors: dict[str, int]
    compared: int
    found: int
    differences: list[Difference]
    unchecked: list[str]
    compact_parts: int = 0


@dataclass(slots=True)
class Counted:
    """What was counted of one part."""

    rows: int = 0
    ok: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def error(self) -> int:
        return self.errors.total()


class Findings:
    def __init__(self) -> None:
        self.found = 0
        self.differences: list[Difference] = []
        self.unchecked: list[str] = []

    def differ(self, where: str, what: str) -> None:
        self.found += 1
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(Difference(where, what))

    def compare(self, where: str, what: str, said: object, counted: object) -> None:
        if said != counted:
            self.differ(where, f"it says {shown(said)} {what}; counted are {shown(counted)}")

    def not_checked(self, what: str) -> None:
        if what not in self.unchecked:
            self.unchecked.append(what)


def add_up(shards: Iterable[Counted]) -> Counted:
    total = Counted()
    for each in shards:
        total.rows += each.rows
        total.ok += each.ok
        total.errors.update(each.errors)
        total.input_tokens += each.input_tokens
        total.output_tokens += each.output_tokens
    return total


def shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else repr(value)[:200]
