"""The protocol of ledger and jobs in the small, exhaustively: every interleaving of two schedulers, a sweep and collectors.

Breadth first over all states that can be reached. The moves are the product's own (`quarry_core.ledger.moves`), judged
by the table of `tests.world`; what the actors read and when they act is modelled here: each acts on rows that it read
some steps ago, however much others have moved since. Faults are steps too, and each state has a budget of them: a
scheduler dies (what it knew is gone), Create's reply or an admission's reply is lost, Bedrock answers "not now" or (where
`refusals` says so) "no", a job ends without output. A stall needs no fault: anybody may be slow. Only one thing is taken to
have a bound, as promise S2 takes it: no Create that was on its way at a take-over is so still after `late_create_max_s`.

In every state the promises S1, S2, S5 and S7 must hold; from every state the end must be reachable (L1, L4).
"""

from __future__ import annotations

import struct
from array import array
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from quarry_core.contract.states import Gate, RunState, ShardState
from quarry_core.ledger import moves
from quarry_core.ledger.limits import Limits
from quarry_core.ledger.rows import JobRow, Lane, Pool, Shard, Totals, read_lane, read_pool, read_shard
from quarry_core.ports import Key, Write
from tests.sim.watch import SHARD_MOVES
from tests.world import table

T = TypeVar("T")
RUN, POOL = "r", "region#model"
POOL_KEY, LANE_KEY, TOTALS_KEY = (f"pool#{POOL}", "quota"), (f"pool#{POOL}", f"lane#{RUN}"), (f"run#{RUN}", "totals")
ROWS = 100
ATTEMPTS_MAX = 2
Items = dict[Key, dict[str, Any]]
Job = tuple[str, int]  # shard, attempt
Local = tuple[Any, ...]
IDLE: Local = ("idle",)


class Broken(AssertionError):
    """A promise does not hold in a state that can be reached."""


@dataclass(frozen=True)
class Size:
    shards: int = 2
    quota: int = 1
    schedulers: int = 2
    collectors: int = 2
    faults: int = 1
    refusals: bool = False


@dataclass(frozen=True)
class State:
    """tid: the table. jobs: name -> active, ok or empty. locals: what each actor knows, schedulers first."""

    tid: int
    jobs: tuple[tuple[Job, str], ...]
    locals: tuple[Local, ...]
    restarts: tuple[int, ...]
    faults: int


class Protocol:
    def __init__(
        self,
        size: Size,
        *,
        keeps_taken: bool = True,
        takes_over: bool = True,
        keeps_unknown: bool = True,
        waits_for_late: bool = True,
    ) -> None:
        """What the schedulers do; to see that each of these is needed, it can be left out.

        keeps_taken: who has taken over an admission keeps its slot when Bedrock says "not now".
        takes_over: another's admission is taken over.
        keeps_unknown: a slot is kept while nobody knows what came of Create.
        waits_for_late: a refusal ends no row that was taken over, while a Create from before may still be on its way.
        """
        self.waits_for_late = waits_for_late
        self.keeps_unknown = keeps_unknown
        self.takes_over = takes_over
        self.size = size
        self.keeps_taken = keeps_taken
        self._tables: list[Items] = []
        self._ids: dict[str, int] = {}
        self._steps: dict[tuple[Any, ...], int | None] = {}
        self._judged: set[tuple[int, int]] = set()
        self._rows: dict[Hashable, Any] = {}
        self.names = [f"{2 * number:05d}" for number in range(size.shards)]
        self.actors = [f"S{n}" for n in range(size.schedulers)] + ["W"] + [f"C{n}" for n in range(size.collectors)]

    # ------------------------------------------------------------------ the table

    def _id(self, items: Items) -> int:
        plain = {
            key: {name: 0 if name == "version" else value for name, value in item.items()}
            for key, item in items.items()
        }
        text = repr(
            sorted((key, sorted((k, repr(_sorted(v))) for k, v in item.items())) for key, item in plain.items())
        )
        if text not in self._ids:
            self._ids[text] = len(self._tables)
            self._tables.append(plain)
        return self._ids[text]

    def _do(self, tid: int, writes: Sequence[Write]) -> int | None:
        """The table after a transaction; None: it was refused."""
        items = self._tables[tid]
        if not all(table._premise_holds(write, items.get(write.key)) for write in writes):
            return None
        after = dict(items)
        for write in writes:
            changed = table._changed(write, items.get(write.key))
            if changed is None:
                after.pop(write.key, None)
            else:
                after[write.key] = changed
        return self._id(after)

    def do(self, tid: int, move: Callable[[], Sequence[Write]], *key: Any) -> int | None:
        """`_do`, remembered: `key` says what the move is made of."""
        at = (tid, *key)
        if at not in self._steps:
            self._steps[at] = self._do(tid, move())
        after = self._steps[at]
        if after is not None and (tid, after) not in self._judged:
            self._judge(tid, after)
            self._judged.add((tid, after))
        return after

    def shard(self, tid: int, name: str) -> Shard:
        return self._once((tid, name), lambda: read_shard(self._tables[tid][f"run#{RUN}", f"shard#{name}"]))

    def pool(self, tid: int) -> Pool:
        return self._once((tid, POOL_KEY), lambda: read_pool(self._tables[tid][POOL_KEY]))

    def lane(self, tid: int) -> Lane:
        return self._once((tid, LANE_KEY), lambda: read_lane(self._tables[tid][LANE_KEY]))

    def _once(self, key: Hashable, read: Callable[[], T]) -> T:
        """Tables are few, and are looked at millions of times."""
        if key not in self._rows:
            self._rows[key] = read()
        row: T = self._rows[key]
        return row

    # ------------------------------------------------------------------ what must hold

    def _judge(self, before: int, after: int) -> None:
        old, new = self._tables[before], self._tables[after]
        held, waiting, ended = set(), set(), set()
        for key, item in new.items():
            if not key[1].startswith("shard#"):
                continue
            name, state = item["shard"], str(item["state"])
            was = old.get(key)
            if was is not None and was != item:
                if (str(was["state"]), state) not in SHARD_MOVES and was["state"] != state:
                    raise Broken(f"S5: shard {name} moved from {was['state']} to {state}")
                if (item["attempt"] - was["attempt"]) != ((str(was["state"]), state) == ("ENDED", "PENDING")):
                    raise Broken(f"S5: shard {name} went from attempt {was['attempt']} to {item['attempt']}")
                if str(was["state"]) == "SETTLED":
                    raise Broken(f"S5: shard {name} was changed after it was settled")
                if str(was["state"]) == state == "SUBMITTED":
                    raise Broken(f"S5: shard {name} was submitted twice")
            if state in ("ADMITTED", "SUBMITTED"):
                held.add(f"{RUN}/{name}/{item['attempt']}")
            if state == "PENDING":
                waiting.add((name, item["attempt"]))
            if state == "ENDED":
                ended.add((name, item["attempt"]))
        pool, lane, totals = new[POOL_KEY], new[LANE_KEY], new[TOTALS_KEY]
        holders = pool.get("holders", set())
        if holders != held or pool["in_use"] != len(held):
            raise Broken(f"S7: {pool['in_use']} in use by {sorted(holders)}, rows {sorted(held)}")
        if pool["in_use"] > self.size.quota:
            raise Broken(f"S1: {pool['in_use']} slots of {self.size.quota}")
        for kind, wanted in (("wait#", waiting), ("todo#", ended)):
            marked = {(item["shard"], item["attempt"]) for key, item in new.items() if key[1].startswith(kind)}
            if marked != wanted:
                raise Broken(f"S7: markers {kind} {sorted(marked)}, rows {sorted(wanted)}")
        if lane["waiting"] != len(waiting):
            raise Broken(f"S7: the lane says {lane['waiting']} wait, {len(waiting)} do")
        if totals["accepted"] != totals["ok"] + totals["error"] + totals["open"] or totals["open"] < 0:
            raise Broken(f"S3: {totals}")

    def check(self, state: State) -> None:
        """What must hold of the table together with Bedrock."""
        active = 0
        for (name, attempt), status in state.jobs:
            if status != "active":
                continue
            active += 1
            row = self._tables[state.tid][f"run#{RUN}", f"shard#{name}"]
            if row["attempt"] != attempt or row["state"] not in ("ADMITTED", "SUBMITTED"):
                raise Broken(
                    f"S1: job {name}/{attempt} runs without a slot, its row is {row['state']}/{row['attempt']}"
                )
        if active > self.size.quota:
            raise Broken(f"S1: {active} jobs at a quota of {self.size.quota}")

    def over(self, state: State) -> bool:
        items = self._tables[state.tid]
        return all(items[f"run#{RUN}", f"shard#{name}"]["state"] == "SETTLED" for name in self.names)

    # ------------------------------------------------------------------ the steps

    def first(self) -> State:
        empty: Items = {}
        writes: list[Write] = []
        for each in (
            moves.open_pool(POOL, Limits(self.size.quota)),
            moves.begin_running(
                Totals(RUN, RunState.PLANNING, 1), POOL, 0, ROWS * self.size.shards, ROWS * self.size.shards, "plan"
            )[1:],
        ):
            writes += each
        for write in writes:
            changed = table._changed(write, None)
            assert changed is not None
            empty[write.key] = changed
        total = ROWS * self.size.shards
        empty[TOTALS_KEY] = {"run_id": RUN, "state": "RUNNING", "version": 1, "accepted": total, "open": total}
        empty[TOTALS_KEY] |= dict.fromkeys(("ok", "error", "again", "enlisted", "shards_enlisted", "repeats"), 0)
        empty[f"run#{RUN}", "slice#00000"] = {"state": "OPEN", "version": 1}
        tid = self._id(empty)
        for number, name in enumerate(self.names):
            row = Shard(RUN, name, ShardState.PENDING, 1, 1, POOL, number * ROWS, ROWS, ROWS, 1)
            after = self._do(tid, moves.enlist(row, 0))
            assert after is not None
            assert self._do(after, moves.enlist(row, 0)) is None, "a shard is enlisted twice"
            tid = after
        idle: tuple[Local, ...] = (IDLE,) * len(self.actors)
        return State(tid, (), idle, (0,) * self.size.schedulers, self.size.faults)

    def steps(self, state: State) -> Iterator[State]:
        jobs = dict(state.jobs)
        for at, actor in enumerate(self.actors):
            local = state.locals[at]
            match actor[0]:
                case "S":
                    found = self._scheduler(state, at, local, jobs)
                case "W":
                    found = self._sweep(state, at, local, jobs)
                case _:
                    found = self._collector(state, at, local, jobs)
            yield from found
        for job, status in state.jobs:
            if status == "active":
                yield replace(state, jobs=_with(state.jobs, job, "ok"))
                if state.faults and job[1] < ATTEMPTS_MAX:
                    yield replace(state, jobs=_with(state.jobs, job, "empty"), faults=state.faults - 1)

    def _scheduler(self, state: State, at: int, local: Local, jobs: Mapping[Job, str]) -> Iterator[State]:
        tid, me = state.tid, f"S{at}.{state.restarts[at]}"

        def go(local: Local = IDLE, *, after: int | None = tid, **changes: Any) -> State:
            return replace(state, tid=tid if after is None else after, locals=_at(state.locals, at, local), **changes)

        fault = state.faults - 1
        if state.faults and local != IDLE:
            restarts = tuple(life + (n == at) for n, life in enumerate(state.restarts))
            yield go(restarts=restarts, faults=fault)
        match local:
            case ("idle",):
                yield from self._look(tid, me, go)
            case ("pool", time, tag):
                name = next((name for name in self.names if self.shard(tid, name).state is ShardState.PENDING), None)
                yield go() if name is None else go(("admit", time, tag, name, self.shard(tid, name).attempt))
            case ("admit", time, tag, name, attempt):
                after = self.admit(tid, time, tag, name, attempt, me)
                if after is None:
                    yield go()
                else:
                    yield go(("finish", name, attempt, True), after=after)
                    if state.faults:  # its reply is lost; the next look knows its own admission
                        yield go(after=after, faults=fault)
            case ("finish", name, attempt, fresh):
                row = self.shard(tid, name)
                if (row.state, row.attempt, row.heartbeat) != (ShardState.ADMITTED, attempt, me):
                    yield go()
                else:
                    yield go(("submit" if (name, attempt) in jobs else "create", name, attempt, fresh))
            case ("create", name, attempt, fresh):
                job = (name, attempt)
                made = state.jobs if job in jobs else _with(state.jobs, job, "active")  # the token is remembered
                yield go(("submit", name, attempt, fresh), jobs=made)
                if state.faults:
                    # The reply is lost.
                    yield go(IDLE if self.keeps_unknown else ("return", name, attempt), jobs=made, faults=fault)
                    # Who has taken over does not know what was sent before: it keeps the slot.
                    if job not in jobs:
                        yield go(("return", name, attempt) if fresh or not self.keeps_taken else IDLE, faults=fault)
                    if job not in jobs and self.size.refusals:
                        waits = self.waits_for_late and not fresh and self._late(state, at, job)
                        yield go(IDLE if waits else ("refuse", name, attempt), faults=fault)
            case ("submit", name, attempt, _):
                yield go(after=self.submit(tid, name, attempt))
            case ("return", name, attempt):
                row = self.row(name, attempt, ShardState.ADMITTED, heartbeat=me)
                yield go(after=self.do(tid, lambda: moves.return_slot(row), "return", name, attempt, me))
            case ("refuse", name, attempt):
                row = self.row(name, attempt, ShardState.ADMITTED, heartbeat=me)
                yield go(after=self.do(tid, lambda: moves.refuse(row, "no"), "refuse", name, attempt, me))

    def _late(self, state: State, at: int, job: Job) -> bool:
        """Whether another's Create of this job is on its way."""
        others = (local for number, local in enumerate(state.locals) if number != at)
        return any(local[0] == "create" and local[1:3] == job for local in others)

    def _look(self, tid: int, me: str, go: Callable[..., State]) -> Iterator[State]:
        """Finish what is admitted before admitting more; another's admission is taken over, for it may be dead."""
        for name in self.names:
            row = self.shard(tid, name)
            if row.state is not ShardState.ADMITTED:
                continue
            if row.heartbeat == me:
                yield go(("finish", name, row.attempt, False))
                return
            if not self.takes_over:
                continue
            after = self.do(tid, lambda row=row: moves.take_over(row, me), "take", name, row.attempt, row.heartbeat, me)
            yield go(("finish", name, row.attempt, False), after=after)
        pool, lane = self.pool(tid), self.lane(tid)
        if pool.free > 0 and lane.gate is Gate.OPEN and lane.waiting > 0:
            yield go(("pool", pool.virtual_time[lane.admission_class], lane.tag))
        if lane.gate is Gate.REFUSED:
            for name in self.names:
                row = self.shard(tid, name)
                if row.state is ShardState.PENDING:
                    tell = self.row(name, row.attempt, ShardState.PENDING)
                    key = ("tell", name, row.attempt)
                    yield go(after=self.do(tid, lambda tell=tell: moves.refuse_waiting(lane, tell), *key))

    def _sweep(self, state: State, at: int, local: Local, jobs: Mapping[Job, str]) -> Iterator[State]:
        tid = state.tid
        if local == IDLE:
            for name in self.names:
                row = self.shard(tid, name)
                status = jobs.get((name, row.attempt))
                if row.state is ShardState.ADMITTED and status is not None:
                    yield replace(state, locals=_at(state.locals, at, ("adopt", name, row.attempt)))
                if row.state is ShardState.SUBMITTED and status in ("ok", "empty"):
                    yield replace(state, locals=_at(state.locals, at, ("end", name, row.attempt)))
            return
        what, name, attempt = local
        if what == "adopt":
            after = self.submit(tid, name, attempt)
        else:
            row = self.row(name, attempt, ShardState.SUBMITTED)
            after = self.do(tid, lambda: moves.end(row, _job(row, "Completed")), "end", name, attempt)
        yield replace(state, tid=tid if after is None else after, locals=_at(state.locals, at, IDLE))

    def _collector(self, state: State, at: int, local: Local, jobs: Mapping[Job, str]) -> Iterator[State]:
        tid = state.tid
        if local == IDLE:
            for name in self.names:
                row = self.shard(tid, name)
                if row.state is ShardState.ENDED:
                    yield replace(state, locals=_at(state.locals, at, ("ended", name, row.attempt)))
            return
        _, name, attempt = local
        row = self.row(name, attempt, ShardState.ENDED)
        if jobs.get((name, attempt)) == "empty" and attempt < ATTEMPTS_MAX:
            after = self.do(tid, lambda: moves.repeat(row, 0), "repeat", name, attempt)
        else:
            after = self.do(tid, lambda: moves.settle(row, ROWS, 0, 1), "settle", name, attempt)
        yield replace(state, tid=tid if after is None else after, locals=_at(state.locals, at, IDLE))

    # ------------------------------------------------------------------ moves, on rows as they were read

    def row(self, name: str, attempt: int, state: ShardState, *, heartbeat: str = "") -> Shard:
        number = self.names.index(name)
        return Shard(RUN, name, state, attempt, 0, POOL, number * ROWS, ROWS, ROWS, 1, heartbeat=heartbeat)

    def admit(self, tid: int, time: int, tag: int, name: str, attempt: int, me: str) -> int | None:
        def move() -> Sequence[Write]:
            pool, lane = self.pool(tid), self.lane(tid)
            seen = replace(pool, virtual_time={**pool.virtual_time, lane.admission_class: time})
            row = self.row(name, attempt, ShardState.PENDING)
            return moves.admit(seen, replace(lane, tag=tag), row, me)

        return self.do(tid, move, "admit", time, tag, name, attempt, me)

    def submit(self, tid: int, name: str, attempt: int) -> int | None:
        row = self.row(name, attempt, ShardState.ADMITTED)
        return self.do(tid, lambda: moves.submit(row, _job(row)), "submit", name, attempt)


@dataclass(frozen=True)
class Explored:
    states: int
    steps: int
    tables: int


def explore(size: Size, *, states_max: int = 5_000_000, **left_out: bool) -> Explored:
    """All states. Raises Broken, naming the promise; or if some state has no way to the end."""
    protocol, packing = Protocol(size, **left_out), Packing(size)
    known = {packing.pack(protocol.first()): 0}
    ways_from, ways_to = array("I"), array("I")
    ends: list[int] = []
    queue = deque(known)
    while queue:
        packed = queue.popleft()
        state, here = packing.unpack(packed), known[packed]
        protocol.check(state)
        if protocol.over(state):
            ends.append(here)
        for after in protocol.steps(state):
            each = packing.pack(after)
            if each not in known:
                if len(known) >= states_max:
                    raise Broken(f"more than {states_max} states")
                known[each] = len(known)
                queue.append(each)
            ways_from.append(here)
            ways_to.append(known[each])
    reached = _reaching(ends, len(known), ways_from, ways_to)
    if reached != len(known):
        raise Broken(f"L1: from {len(known) - reached} of {len(known)} states the end cannot be reached")
    return Explored(len(known), len(ways_to), len(protocol._tables))


def _reaching(ends: Sequence[int], states: int, ways_from: array[int], ways_to: array[int]) -> int:
    """From how many states a way leads to one of `ends`."""
    starts = array("I", bytes(4 * (states + 1)))  # where in `sources` those of a state begin
    for to in ways_to:
        starts[to + 1] += 1
    for state in range(states):
        starts[state + 1] += starts[state]
    sources, free = array("I", bytes(4 * len(ways_to))), array("I", starts)
    for source, to in zip(ways_from, ways_to, strict=True):
        sources[free[to]] = source
        free[to] += 1
    reached, left = bytearray(states), list(ends)
    for end in ends:
        reached[end] = 1
    while left:
        state = left.pop()
        for source in sources[starts[state] : starts[state + 1]]:
            if not reached[source]:
                reached[source] = 1
                left.append(source)
    return sum(reached)


class Packing:
    """States as few bytes, for there are millions: jobs and what actors know are numbered as they are met."""

    def __init__(self, size: Size) -> None:
        actors = size.schedulers + 1 + size.collectors
        self._form = struct.Struct(f"<IIB{actors}I{size.schedulers}B")
        self._actors = actors
        self._numbers: dict[Hashable, int] = {}
        self._things: list[Any] = []

    def pack(self, state: State) -> bytes:
        locals_ = [self._number(local) for local in state.locals]
        return self._form.pack(state.tid, self._number(state.jobs), state.faults, *locals_, *state.restarts)

    def unpack(self, packed: bytes) -> State:
        tid, jobs, faults, *rest = self._form.unpack(packed)
        things = self._things
        locals_ = tuple(things[each] for each in rest[: self._actors])
        return State(tid, things[jobs], locals_, tuple(rest[self._actors :]), faults)

    def _number(self, thing: Hashable) -> int:
        number = self._numbers.get(thing)
        if number is None:
            number = self._numbers[thing] = len(self._things)
            self._things.append(thing)
        return number


def _with(jobs: tuple[tuple[Job, str], ...], job: Job, status: str) -> tuple[tuple[Job, str], ...]:
    return tuple(sorted({**dict(jobs), job: status}.items()))


def _at(locals_: tuple[Local, ...], at: int, local: Local) -> tuple[Local, ...]:
    return (*locals_[:at], local, *locals_[at + 1 :])


def _job(row: Shard, status: str = "Submitted") -> JobRow:
    return JobRow(RUN, row.shard, row.attempt, "name", f"arn-{row.shard}-{row.attempt}", status)


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, (set, frozenset)) else value
