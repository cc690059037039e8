"""What holds at every moment, watched in the table and with Bedrock while a simulation runs.

It knows the ledger's items by their keys and words alone and shares no code with what writes them. Each change of an
item is looked at when it is made, the sums when its transaction is done.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

SHARD_MOVES = {
    (None, "PENDING"),
    (None, "ENDED"),
    ("PENDING", "ADMITTED"),
    ("PENDING", "ENDED"),
    ("PENDING", "INVOKING"),
    ("INVOKING", "PENDING"),
    ("INVOKING", "ENDED"),
    ("ADMITTED", "SUBMITTED"),
    ("ADMITTED", "PENDING"),
    ("ADMITTED", "ENDED"),
    ("SUBMITTED", "ENDED"),
    ("ENDED", "PENDING"),
    ("ENDED", "SETTLED"),
}
RUN_MOVES = {
    (None, "ACCEPTED"),
    ("ACCEPTED", "PLANNING"),
    ("ACCEPTED", "FAILED"),
    ("PLANNING", "FAILED"),
    ("PLANNING", "RUNNING"),
    ("ACCEPTED", "CLOSING"),
    ("PLANNING", "CLOSING"),
    ("RUNNING", "CLOSING"),
    ("CLOSING", "RUNNING"),
    ("CLOSING", "SUCCEEDED"),
    ("CLOSING", "SUCCEEDED_WITH_ERRORS"),
    ("CLOSING", "FAILED"),
    ("CLOSING", "CANCELLED"),
}
TERMINAL = {"SUCCEEDED", "SUCCEEDED_WITH_ERRORS", "FAILED", "CANCELLED"}
HOLDING = {"ADMITTED", "SUBMITTED"}
CLASSES = ("high", "normal", "low")
CANARY = "00000"
# What the command and a retry note of a run after its end.
NOTED_LATER = frozenset({"version", "last_version", "newest"})
# Of the model that is asked here, in millionths of a dollar for a million LLM tokens in a batch; on demand it is twice that.
MICROS_IN, MICROS_OUT = 125_000, 625_000
# What is settled between a look and the write may have cost a little more than it was booked at.
MONEY_MORE_MICROS = 1_000
Key = tuple[str, str]


class Watch:
    """`broken`: each promise that did not hold at some moment, in words. `contended`: moments at which a pool was full."""

    def __init__(self, quota: int) -> None:
        self.quota = quota
        self.broken: list[str] = []
        self.states: dict[str, str] = {}  # of runs
        self.cancelled: set[str] = set()  # runs
        self.gates: dict[str, str] = {}  # of lanes, by run
        self._paused: set[str] = set()  # runs
        self.held: dict[str, str] = {}  # runs that are held, and of which kind that is
        self._canaries: dict[str, str] = {}  # where the canary of a run is
        self._money = Money()
        self._shares: dict[str, tuple[str, int]] = {}  # class and weight of lanes, by run
        self.moves = Counter[str]()
        self.full_while_waiting = 0
        self.classes_preceded = 0  # admissions while a run of a lower class waited
        self.weights_differed = 0  # admissions while a run of the same class and another weight waited
        self._pools: dict[str, Mapping[str, Any]] = {}
        self._rows: dict[str, dict[str, str]] = defaultdict(dict)  # by pool: holder -> state, of rows that hold a slot
        self._waiting: dict[str, int] = {}
        self._pending: dict[str, set[str]] = defaultdict(set)
        self._todo: dict[str, set[str]] = defaultdict(set)
        self._ended: dict[str, set[str]] = defaultdict(set)
        self._wait: dict[str, set[str]] = defaultdict(set)
        self._touched: set[str] = set()
        self._touched_runs: set[str] = set()

    @property
    def all_over(self) -> bool:
        return all(state in TERMINAL for state in self.states.values())

    # ------------------------------------------------------------------ each item

    def changed(self, key: Key, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
        pk, sk = key
        if before is not None and after is not None and "version" in before:
            self._not_back(f"the version of {pk} {sk}", before["version"] + 1, after["version"])
        if pk.startswith("run#"):
            run_id = pk.removeprefix("run#")
            kind, _, rest = sk.partition("#")
            match kind:
                case "totals":
                    self._totals(run_id, before, after)
                case "shard":
                    self._shard(run_id, before, after)
                case "todo":
                    _member(self._todo[run_id], rest, after)
                case "wait":
                    _member(self._wait[run_id], rest.partition("#")[2], after)
                case "slice":
                    if before is not None and before["state"] != "OPEN":
                        self._break(f"slice {rest} of {run_id} was changed after it was done")
                case "begun":
                    self._begun(f"{run_id} {rest}", before or {}, after or {})
                case "job":
                    self._job(f"{run_id} {rest}", before, after)
            self._touched_runs.add(run_id)
        elif pk.startswith("pool#") and sk == "quota":
            pool = pk.removeprefix("pool#")
            self._touched.add(pool)
            if after is None:
                self._pools.pop(pool, None)
            else:
                self._pools[pool] = after
                if before is not None and before["in_use"] < after["in_use"] > after["admit_limit"]:
                    self._break(f"{after['in_use']} slots of {pool} are taken, {after['admit_limit']} were to be had")
                if after.get("set_to", after["configured"]) != after["configured"]:
                    self._break(f"{pool} is set to {after['set_to']}, and goes by {after['configured']}")
                for name in after if before is not None else ():
                    if name.startswith("virtual_time"):
                        self._not_back(f"{name} of {pool}", before[name], after[name])
        elif pk.startswith("pool#") and sk.startswith("lane#"):
            run_id = sk.removeprefix("lane#")
            self._touched_runs.add(run_id)
            if after is None:
                self._waiting.pop(run_id, None)
            else:
                self._waiting[run_id] = after["waiting"]
                if before is not None and after["waiting"] < before["waiting"] and after["gate"] == "open":
                    self._not_back(f"the tag of lane {run_id}", before["tag"] + 1, after["tag"])
                if before is not None and before["gate"] == "refused" != after["gate"]:
                    self._break(f"the gate of lane {run_id} is {after['gate']} after it was refused")
                self.gates[run_id] = after["gate"]
                self._shares[run_id] = after["class"], after["weight"]

    def _totals(self, run_id: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
        if after is None:
            self._break(f"the totals of {run_id} are gone")
            return
        old, new = before and before["state"], after["state"]
        if old != new and (old, new) not in RUN_MOVES:
            self._break(f"run {run_id} moved from {old} to {new}")
        if before is not None and before.get("end_state") and new not in TERMINAL:
            self._break(f"the end of run {run_id} was decided twice")
        if old == new == "CLOSING" and before is not None and before["closing_at"] != after["closing_at"]:
            self._break(f"run {run_id} ends at {before['closing_at']}, and then at {after['closing_at']}")
        if old in TERMINAL and before is not None:
            if _lasting(before) != _lasting(after):
                self._break(f"run {run_id} was changed after its end")
            elif all(before.get(name) == after.get(name) for name in NOTED_LATER - {"version"}):
                self._break(f"run {run_id} has ended twice")
        open_ = new == "RUNNING" and not (after.get("cancelled_at") or after.get("fault"))
        self._holds(run_id, before or {}, after, open_=open_)
        self.held = {name: kind for name, kind in self.held.items() if name != run_id}
        if open_ and after.get("held_at"):
            self.held[run_id] = str(after["held_kind"])
        self._canaries[run_id] = str(after.get("canary", "")) if open_ else ""
        self._money.run(run_id, after)
        self.states[run_id] = new
        self._paused = self._paused | {run_id} if after.get("paused_at") else self._paused - {run_id}
        if after.get("cancelled_at"):
            self.cancelled.add(run_id)
        parts = after["ok"] + after["error"] + after["again"] + after["open"]
        if after["accepted"] != parts or min(after["open"], after["ok"], after["error"], after["again"]) < 0:
            self._break(f"run {run_id}: accepted {after['accepted']}, in its parts {parts}")

    def _holds(self, run_id: str, before: Mapping[str, Any], after: Mapping[str, Any], *, open_: bool) -> None:
        """Held is what goes on, and what a canary holds goes on because somebody wants it."""
        if after.get("held_at") and after["held_at"] != before.get("held_at") and not open_:
            self._break(f"run {run_id} is held, and is {after['state']}, cancelled or broken")
        was, is_ = before.get("canary") or "waiting", after.get("canary") or "waiting"
        if was not in ("waiting", is_) and (was, is_) != ("exceeded", "approved"):
            self._break(f"the canary of run {run_id} was {was}, and is {is_}")
        released = before.get("held_kind") == "canary" and not after.get("held_at")
        if released and open_ and after.get("canary") != "approved":
            self._break(f"run {run_id} goes on after its canary held it, and nobody wanted it")

    def _job(self, name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
        if before is None or after is None:
            return
        if before["arn"] != after["arn"]:
            self._break(f"job {name} has become another")
        self._not_back(f"the status of job {name}", before["rank"], after["rank"])

    def _begun(self, piece: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """While a message's mark stands it knows of the latest delivery, and forgets no death."""
        for name in (name for name in before if name.startswith("begun_") and name in after):
            (was_received, _, deaths), (received, _, more) = before[name].split("/"), after[name].split("/")
            self._not_back(f"the delivery that began {piece}", int(was_received), int(received))
            self._not_back(f"the number of deaths in {piece}", int(deaths), int(more))

    def _not_back(self, what: str, before: int, after: int) -> None:
        if after < before:
            self._break(f"{what} goes back from {before} to {after}")

    def _shard(self, run_id: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
        if after is None:
            self._break(f"a shard of {run_id} is gone")
            return
        name, pool = after["shard"], after["pool"]
        old, new = before and before["state"], after["state"]
        if old != new:
            self.moves[f"{old}->{new}"] += 1
            if (old, new) not in SHARD_MOVES:
                self._break(f"shard {run_id}/{name} moved from {old} to {new}")
        if before is not None:
            if old == "SETTLED" and new == "SETTLED":
                self._break(f"shard {run_id}/{name} was changed after it was settled")
            grew = after["attempt"] - before["attempt"]
            if grew != ((old, new) == ("ENDED", "PENDING")):
                self._break(f"shard {run_id}/{name} went from attempt {before['attempt']} to {after['attempt']}")
            if old == "SUBMITTED" and new == "ENDED" and before.get("arn") != after.get("arn"):
                self._break(f"shard {run_id}/{name} ended with another job")
            self._rows[pool].pop(f"{run_id}/{name}/{before['attempt']}", None)
        gate = self.gates.get(run_id)
        if (old, new) == ("PENDING", "ADMITTED") and gate != "open" and not (gate == "canary" and name == CANARY):
            self._break(f"shard {run_id}/{name} was admitted through a gate that is {gate}")
        if old == "PENDING" and new in ("ADMITTED", "INVOKING"):
            if run_id in self.held:
                self._break(f"shard {run_id}/{name} is {new}, and its run is held for its {self.held[run_id]}")
            if self._canaries.get(run_id) == "waiting" and name != CANARY:
                self._break(f"shard {run_id}/{name} is {new} before the canary of its run was judged")
        self._money.shard(run_id, name, after)
        if old == "PENDING" and new in ("ADMITTED", "INVOKING") and (words := self._money.over(run_id)):
            self._break(f"shard {run_id}/{name} is {new}, {words}")
        if (old, new) == ("PENDING", "ADMITTED"):
            self._before_others(run_id)
        if new in HOLDING:
            self._rows[pool][f"{run_id}/{name}/{after['attempt']}"] = new
        self._touched.add(pool)
        asked = after.get("kind") == "on_demand"
        _member(self._pending[run_id], name, after if new == "PENDING" and not asked else None)
        _member(self._ended[run_id], name, after if new == "ENDED" else None)

    def _before_others(self, run_id: str) -> None:
        """Who waits in other lanes while one is admitted from."""
        mine, weight = self._shares[run_id]
        for other, (theirs, its_weight) in self._shares.items():
            if other != run_id and self._waiting.get(other) and self.gates.get(other) == "open":
                self.classes_preceded += CLASSES.index(mine) < CLASSES.index(theirs)
                self.weights_differed += mine == theirs and weight != its_weight

    # ------------------------------------------------------------------ each transaction

    def done(self) -> None:
        for pool in self._touched:
            held = self._rows[pool]
            item = self._pools.get(pool)
            if item is None:
                if held:
                    self._break(f"pool {pool} is gone while {sorted(held)} hold slots")
                continue
            holders = item.get("holders", set())
            if set(held) != set(holders) or item["in_use"] != len(holders):
                self._break(f"{pool}: {item['in_use']} in use, holders {sorted(holders)}, rows {sorted(held)}")
            if item["in_use"] > self.quota:
                self._break(f"{pool}: {item['in_use']} slots of {self.quota} are taken")
            if item["in_use"] >= item["admit_limit"] and any(self._pending.values()):
                self.full_while_waiting += 1
        for run_id in self._touched_runs:
            if run_id in self._paused and self.gates.get(run_id) == "open":
                self._break(f"run {run_id} is paused, and its gate is open")
            if self._wait[run_id] != self._pending[run_id]:
                self._break(
                    f"{run_id}: wait markers {sorted(self._wait[run_id])}, {sorted(self._pending[run_id])} wait"
                )
            if self._todo[run_id] != self._ended[run_id]:
                self._break(f"{run_id}: todo markers {sorted(self._todo[run_id])}, {sorted(self._ended[run_id])} ended")
            if run_id in self._waiting and self._waiting[run_id] != len(self._pending[run_id]):
                self._break(f"{run_id}: lane has {self._waiting[run_id]} waiting, {sorted(self._pending[run_id])} wait")
        self._touched.clear()
        self._touched_runs.clear()

    def _break(self, words: str) -> None:
        if len(self.broken) < 20:
            self.broken.append(words)


def _lasting(totals: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in totals.items() if name not in NOTED_LATER}


class Money:
    """What each run may spend, has spent at least, and is likely to spend by shards that are asked. In millionths of a dollar."""

    def __init__(self) -> None:
        self._budgets: dict[str, int | None] = {}
        self._spent: dict[str, float] = {}
        self._booked: dict[str, dict[str, int]] = defaultdict(dict)

    def run(self, run_id: str, totals: Mapping[str, Any]) -> None:
        self._budgets[run_id] = totals.get("budget_micros")
        tokens = MICROS_IN * totals.get("input_tokens", 0) + MICROS_OUT * totals.get("output_tokens", 0)
        self._spent[run_id] = tokens / 1_000_000

    def shard(self, run_id: str, name: str, shard: Mapping[str, Any]) -> None:
        if shard["state"] in ("ADMITTED", "SUBMITTED", "INVOKING", "ENDED"):
            self._booked[run_id][name] = shard.get("booked_micros", 0)
        else:
            self._booked[run_id].pop(name, None)

    def over(self, run_id: str) -> str:
        """What is wrong with what a run may have cost when all that is asked of it has ended."""
        budget, booked = self._budgets.get(run_id), sum(self._booked[run_id].values())
        if budget is None or self._spent[run_id] + booked <= budget + MONEY_MORE_MICROS:
            return ""
        return f"and its run has {self._spent[run_id]:.0f} millionths of a dollar spent and {booked} booked of {budget}"


def _member(members: set[str], name: str, item: object) -> None:
    if item is None:
        members.discard(name)
    else:
        members.add(name)
