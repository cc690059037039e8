"""A run's state and counters: the one item of a run that its moves change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quarry_core.contract.canary import CANARY_SHARD, CanaryState
from quarry_core.contract.states import Gate, RunState
from quarry_core.planning.spending import Spent
from quarry_core.ports import Item

# Error rows are counted by code under this and the code: so a transaction can add to one of them.
ERRORS = "errors#"


@dataclass(frozen=True, slots=True)
class Totals:
    """A run's state and counters, in rows unless said otherwise. `accepted = ok + error + again + open`, always."""

    run_id: str
    state: RunState
    version: int
    round: int = 1
    accepted: int = 0
    open: int = 0
    ok: int = 0
    error: int = 0
    again: int = 0
    enlisted: int = 0
    shards_enlisted: int = 0
    shards_settled: int = 0
    shards_on_demand: int = 0  # of those enlisted
    repeats: int = 0
    retried: int = 0  # records that were asked again, each as often as it was
    # Of this round, which opens some retry shards at a time: how many there are, and how many are open.
    round_shards: int = 0
    round_opened: int = 0
    rows_source: int = 0
    plan: str = ""
    message: str = ""
    code: str = ""  # of a FAILED run: `failures.RunCode`, and the step at which it failed
    step: str = ""
    fault: str = ""
    fault_code: str = ""
    fault_step: str = ""
    end_state: str = ""  # decided once, while CLOSING: what then is written everywhere
    end_message: str = ""
    end_code: str = ""
    end_step: str = ""
    started_at: str = ""
    closing_at: str = ""
    ended_at: str = ""
    # Who asked for it is an ARN, or empty where that could not be known.
    cancelled_at: str = ""
    cancelled_by: str = ""
    paused_at: str = ""
    paused_by: str = ""
    # Of a run with a canary: where that is. A held run is RUNNING, and waits for the reason to go away.
    canary: str = ""
    held_at: str = ""
    held_kind: str = ""
    held_reason: str = ""
    approved_at: str = ""
    approved_by: str = ""
    # In millionths of a dollar: what its settled shards cost, by the prices of the day; `on_demand_micros` of these at the
    # prices on demand. None: an earlier release accepted it, which kept the LLM tokens alone.
    spent_micros: int | None = None
    on_demand_micros: int = 0
    # In millionths of a dollar. The budget is None where it has none. What was booked of shards that are settled.
    budget_micros: int | None = None
    unbooked_micros: int = 0
    # The plan's estimate of a record's cost at batch prices, in billionths of a dollar. 0: it made none.
    record_nanodollars: int = 0
    erasing_at: str = ""
    erased_at: str = ""
    erased_by: str = ""
    # Of the settled shards. None: none is settled yet, or they were settled by a version that did not count them.
    input_tokens: int | None = None
    output_tokens: int | None = None
    # Of these, what was asked on demand in the default service tier, which costs more than batch.
    on_demand_input_tokens: int = 0
    on_demand_output_tokens: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)  # error rows by code
    text_days: int = 0  # days that the text item stays after the run's end; 0: there is none
    # The plan's estimate of a record's LLM input tokens, in thousandths. 0: it made none, or an earlier release planned it.
    record_millitokens: int = 0
    # Set by `quarry set` before there is a lane, which opens with them in place of the manifest's.
    lane_class: str = ""
    lane_weight: int = 0
    # Of its dataset: the last version that was asked for (0: none but its own), and the run that made the newest one.
    last_version: int = 0
    newest: str = ""
    # Its results stand once more in so many larger parts: since when (ISO 8601 in UTC), and by whom (an ARN).
    compact_parts: int = 0
    compact_at: str = ""
    compact_by: str = ""

    @property
    def why_cancelled(self) -> str:
        """A sentence for people; empty if the run is not cancelled."""
        return cancelled_sentence(self.cancelled_at, self.cancelled_by) if self.cancelled_at else ""

    @property
    def held(self) -> bool:
        """Nothing more of it is admitted until it is approved."""
        return bool(self.held_at) and self.state is RunState.RUNNING and not (self.cancelled_at or self.fault)

    @property
    def spent(self) -> Spent:
        """What its settled shards came to."""
        return Spent(
            self.ok + self.errors.get("INVALID_OUTPUT", 0) + self.errors.get("EMPTY_ANSWER", 0),
            self.input_tokens or 0,
            self.output_tokens or 0,
            self.on_demand_input_tokens,
            self.on_demand_output_tokens,
        )

    @property
    def gate(self) -> Gate:
        """The gate of its lane, where Bedrock does not refuse it."""
        if self.paused_at:
            return Gate.PAUSED
        if self.held_at:
            return Gate.HELD
        return Gate.CANARY if self.canary == CanaryState.WAITING else Gate.OPEN

    def waits(self, shard: str) -> bool:
        """Whether a shard that is asked on demand is not to be begun now."""
        return self.gate is not Gate.OPEN and not (self.gate is Gate.CANARY and shard == CANARY_SHARD)

    @property
    def whole(self) -> bool:
        """Every row that was enlisted has its outcome, and no further row will be enlisted."""
        if self.state is not RunState.RUNNING:
            return False
        return self.open == 0 or (bool(self.fault) and self.enlisted == self.ok + self.error + self.again)

    @property
    def opening(self) -> bool:
        """Some retry shards of the round are not open yet."""
        return self.state is RunState.RUNNING and self.round_opened < self.round_shards

    @property
    def rounds_over(self) -> bool:
        """No record is asked again any more: every outcome that stands is final."""
        return self.again == 0 and (self.state is RunState.CLOSING or self.state.terminal)


def cancelled_sentence(at: str, who: str) -> str:
    """What people read of a cancelled run, and of its rows that were not answered."""
    return f"the run was cancelled{f' by {who}' if who else ''} at {at}"


def read_totals(item: Item) -> Totals:
    names = Totals.__slots__
    known = {name: item[name] for name in names if name in item}
    errors = {name.removeprefix(ERRORS): item[name] for name in item if name.startswith(ERRORS)}
    return Totals(**{**known, "state": RunState(item["state"]), "errors": errors})
