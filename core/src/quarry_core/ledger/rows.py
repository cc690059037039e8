"""The ledger's items as the code reads them; their keys stand in `ledger/keys.py`. Reads are consistent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from quarry_core.contract.canary import CANARY_SHARD, CanaryState
from quarry_core.contract.run import Pins, Run
from quarry_core.contract.share import CLASSES
from quarry_core.contract.states import Gate, RunState, ShardState
from quarry_core.ledger.limits import Limits
from quarry_core.planning.history import History
from quarry_core.planning.spending import Spent
from quarry_core.ports import Item

# Error rows are counted by code under this and the code: so a transaction can add to one of them.
ERRORS = "errors#"
# Release 0.1.0 wrote it under another name, and a shard may be held over an upgrade.
HEARTBEAT = "heartbeat"
HEARTBEAT_BEFORE = "beat"
# The kind of a shard whose records are asked one by one.
ON_DEMAND = "on_demand"

TEXTS = ("prompt", "inference")  # of the pins, what a person wrote
# Not `pins`, as before: whoever looks for the prompt in there must not take the run for one that has none.
PINNED = "pinned"


def run_item(run: Run) -> Item:
    item: dict[str, Any] = {
        "run_id": run.run_id,
        "manifest_hash": run.manifest_hash,
        "accepted_at": run.accepted_at,
    }
    if run.pins is not None:
        item[PINNED] = run.pins.model_dump_json(exclude_none=True, exclude=set(TEXTS))
        item["text"] = has_text(run)
    if run.refusal:
        item["refusal"] = run.refusal
    if run.sender:
        item["sender"] = run.sender
    return item


def has_text(run: Run) -> bool:
    """Whether the run has a text item."""
    return run.pins is not None and any(getattr(run.pins, name) for name in TEXTS)


def text_item(run: Run) -> Item:
    assert run.pins is not None
    return {"run_id": run.run_id, "text": run.pins.model_dump_json(exclude_none=True, include=set(TEXTS))}


def read_run(item: Item, text: Item | None = None) -> Run:
    """A run; its pins have a prompt and inference parameters if its text item is given.

    In items of the release before they stand among the pins.
    """
    pins = item.get(PINNED) or item.get("pins")
    if pins and text is not None:
        pins = json.dumps({**json.loads(pins), **json.loads(text["text"])})
    return Run(
        run_id=item["run_id"],
        manifest_hash=item["manifest_hash"],
        accepted_at=item["accepted_at"],
        pins=Pins.model_validate_json(pins) if pins else None,
        refusal=item.get("refusal", ""),
        sender=item.get("sender", ""),
    )


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


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a run's dataset: the run `made_by` makes it of the rows of `base`. `at`: ISO 8601 in UTC; `by`: an ARN."""

    run_id: str
    number: int
    made_by: str
    base: str
    at: str
    by: str = ""


def read_version(item: Item) -> Version:
    return Version(**{name: item[name] for name in Version.__slots__ if name in item})


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
class Slice:
    """A stretch of whole shards that one worker writes."""

    run_id: str
    number: int
    state: str  # OPEN or DONE
    version: int
    first_shard: int
    shards: int


def read_slice(item: Item) -> Slice:
    return Slice(**{name: item[name] for name in Slice.__slots__})


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job, for people: no decision reads it."""

    run_id: str
    shard: str
    attempt: int
    name: str
    arn: str
    status: str
    rank: int = 0
    message: str = ""
    submitted_at: str = ""
    ended_at: str = ""
    total_records: int | None = None
    processed_records: int | None = None
    success_records: int | None = None
    error_records: int | None = None


def read_job(item: Item) -> JobRow:
    return JobRow(**{name: item[name] for name in JobRow.__slots__ if name in item})


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
class Month:
    """What all shards came to that were booked in a month (`yyyy-mm`, UTC), in millionths of a dollar.

    Attributes:
        spent_micros: of settled shards; `on_demand_micros` of these at the prices on demand.
        booked_micros: likely cost of all shards that were booked; `unbooked_micros` of these for the settled ones.
        projected_micros: spent + booked - unbooked, always: what an admission adds to, on a premise.
        budget_micros: the budget that a scheduler went by last; for people, no decision reads it.
    """

    month: str
    spent_micros: int = 0
    on_demand_micros: int = 0
    booked_micros: int = 0
    unbooked_micros: int = 0
    projected_micros: int = 0
    budget_micros: int | None = None


def read_month(item: Item) -> Month:
    return Month(**{name: item[name] for name in Month.__slots__ if name in item})


@dataclass(frozen=True, slots=True)
class LimitChange:
    """An operator's change of a pool's configured limit. `None`: QUARRY_JOB_QUOTA holds. `at` is ISO 8601 in UTC."""

    pool: str
    before: int | None
    after: int | None
    by: str
    at: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what. `at` is ISO 8601 in UTC; `by` is an ARN, or the id under which SQS knows who sent a manifest.

    `run_id` and `subject` (a pool, a model) are what it was done to; either may be empty.
    """

    at: str
    action: str
    by: str
    run_id: str = ""
    subject: str = ""
    what: str = ""


def read_audit_entry(item: Item) -> AuditEntry:
    return AuditEntry(
        item["at"],
        item["action"],
        item["by"],
        item.get("run_id", ""),
        item.get("subject", ""),
        item.get("what", ""),
    )


def read_limit_change(item: Item) -> LimitChange:
    return LimitChange(
        item["pool"], item.get("before"), item.get("after"), item["by"], item["at"], item.get("reason", "")
    )


@dataclass(frozen=True, slots=True)
class RefusedModel:
    """A model of which Bedrock creates no job: since when it is known, in its words. `at` is ISO 8601 in UTC.

    It counts until `expires_at` (seconds since the epoch), or until somebody makes it forgotten.
    """

    region: str
    model_id: str
    at: str
    message: str
    run_id: str
    expires_at: int
    forgotten_at: str = ""
    forgotten_by: str = ""

    def counts(self, now_s: float) -> bool:
        """Whether a run of the model is refused. DynamoDB deletes what has expired some time later."""
        return not self.forgotten_at and now_s < self.expires_at


def read_refused_model(item: Item) -> RefusedModel:
    return RefusedModel(**{name: item[name] for name in RefusedModel.__slots__ if name in item})


def read_history(item: Item) -> History:
    return History(**{each.name: item[each.name] for each in fields(History) if each.name in item})


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


@dataclass(frozen=True, slots=True)
class FailureRow:
    """How often a step failed at one thing of a run: `count` times in a row in the same way, `total` times in any.

    `token` is of the last failure that was counted, so that a write whose reply was lost is known again.
    """

    run_id: str
    step: str
    subject: str
    fingerprint: str
    count: int
    total: int
    sentence: str
    token: str
    first_at: str
    last_at: str


def read_failure(item: Item) -> FailureRow:
    return FailureRow(**{name: item[name] for name in FailureRow.__slots__})


# A message's work on a piece stands under this and the message's id, in the form of `pieces.Entry`.
BEGUN = "begun_"


@dataclass(frozen=True, slots=True)
class BegunRow:
    """A piece of work that may take its process down, and what each message's worker has said of it."""

    run_id: str
    step: str
    subject: str
    version: int
    begun: Mapping[str, str]  # by message id


def read_begun(item: Item) -> BegunRow:
    begun = {name.removeprefix(BEGUN): value for name, value in item.items() if name.startswith(BEGUN)}
    return BegunRow(item["run_id"], item["step"], item["subject"], item["version"], begun)
