"""One pass of admission over one pool: finish what is admitted, then admit while a slot is free.

Theory of operation. The table is the backlog: a tick reads the pool, its lanes and the heads of their waiting markers,
and costs the same with 20 shards waiting or 20,000. Every replica may tick at any time, since each admission repeats
its premise. What is admitted is finished before anything more is admitted, or a crash could fill the pool with rows
that nobody finishes.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import structlog

from quarry_core.contract.canary import CANARY_SHARD
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import ON_DEMAND_QUEUE
from quarry_core.contract.states import Gate, ShardState
from quarry_core.errors import Missing, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Lane, Pool, Shard, Waiting
from quarry_core.service.failures import Kind, Step, StepFailed, Why, kind_of
from quarry_core.service.pieces import Piece
from quarry_core.service.process import World
from quarry_core.service.steps import Steps
from quarry_core.telemetry import metrics
from quarry_scheduler.admit import after_admission, learn_limit, next_lane
from quarry_scheduler.budgets import Budgets
from quarry_scheduler.create import JobCreator
from quarry_scheduler.limits import PoolLimits
from quarry_scheduler.pauses import Pauses
from quarry_scheduler.pins import PinsCache
from quarry_scheduler.shard_endings import ShardEndings
from quarry_scheduler.stopping import JobStopper
from quarry_scheduler.take_over import Memory, TakeOver
from quarry_scheduler.tracking import JobTracker

log = structlog.get_logger()
STALE_MAX = 20
REFUSED_PER_TICK_MAX = 100
PAUSED_MAX = 100
# As many as a lane's turn ever reads, so that the same pauses are remembered: a pool has at most 500 slots.
REPEATS_SEEN_MAX = 500 + PAUSED_MAX
BLAMED_MAX = 50


@dataclass(slots=True)
class Ticked:
    """What one tick did, in shards."""

    finished: int = 0
    admitted: int = 0
    refused: int = 0
    stale: int = 0


class Ticker:
    """Ticks pools: one tick a pool at a time in this process; callers that come meanwhile share the next one."""

    def __init__(
        self,
        world: World,
        pins: PinsCache,
        steps: Steps,
        endings: ShardEndings,
        tracker: JobTracker,
        limits: PoolLimits,
        budgets: Budgets,
    ) -> None:
        self._world = world
        self._limits = limits
        self._pins = pins
        self._budgets = budgets
        self._steps = steps
        self._endings = endings
        self._job_creator = JobCreator(world)
        self._job_stopper = JobStopper(world, tracker)
        self._pauses = Pauses(world.settings)
        self._take_over = TakeOver(world)
        self._memories: dict[str, Memory] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._following: dict[str, asyncio.Task[Ticked]] = {}
        self._pausing: set[str] = set()  # pools to which Bedrock has just said "not now"
        self._blamed: dict[str, set[str]] = {}  # by pool: runs for which its failing ticks were counted
        self.refused_since_sweep: set[str] = set()  # pools whose limit the next sweep must not relax

    async def tick(self, pool: str) -> Ticked:
        """Tick a pool, or join the tick that will begin after the one now running."""
        following = self._following.get(pool)
        if following is None:
            # A context of its own: a tick is of a pool, not of the run whose wake-up was the first to ask for it.
            turn = asyncio.create_task(self._turn(pool), context=contextvars.Context())
            following = self._following[pool] = turn
        return await asyncio.shield(following)

    async def _turn(self, pool: str) -> Ticked:
        async with self._locks.setdefault(pool, asyncio.Lock()):
            # From here on a new caller is not served by what we are about to read.
            self._following.pop(pool, None)
            structlog.contextvars.bind_contextvars(step="admit")
            with metrics.TICK.time():
                try:
                    ticked = await self._tick(pool)
                except StepFailed:
                    raise
                except Exception as error:
                    if kind_of(error) is Kind.DETERMINISTIC and await self._blame(pool, error):
                        raise StepFailed(f"{type(error).__name__}: {error}") from error
                    raise
                for run_id in self._blamed.pop(pool, ()):
                    await self._steps.done(Piece(Step.ADMIT, run_id, "tick"))
                return ticked

    async def _blame(self, name: str, error: Exception) -> bool:
        """A tick failed by itself, and at no one run: it is counted for each that waits, for none is admitted."""
        lanes = [lane for lane in await self._world.ledger.lanes(name) if lane.waiting > 0]

        async def fail() -> None:
            raise error

        self._blamed.setdefault(name, set()).update(lane.run_id for lane in lanes[:BLAMED_MAX])
        for lane in lanes[:BLAMED_MAX]:
            with contextlib.suppress(StepFailed):
                await self._steps.run(
                    Piece(Step.ADMIT, lane.run_id, "tick"), fail, partial(self._give_up_waiting, lane)
                )
        return bool(lanes)

    async def _give_up_waiting(self, lane: Lane, why: Why) -> None:
        await self._endings.end_run(lane.run_id, why)
        now = await self._world.ledger.lane(lane.pool, lane.run_id)
        if now is not None and now.gate is Gate.REFUSED:
            await self._refuse_waiting(now)

    async def _tick(self, name: str) -> Ticked:
        ticked = Ticked()
        lanes = {lane.run_id: lane for lane in await self._world.ledger.lanes(name)}
        for lane in self._budgets.held(name, lanes.values()):
            if await self._budgets.reconsider(lane):
                await self._wake_asked(lane.run_id)
        pool = await self._world.ledger.pool(name)
        if pool is None:
            if not any(lane.waiting for lane in lanes.values()):
                return ticked  # no pool is made for a model that may have been made up
            pool = await self.open_pool(name)
        ticked.finished = await self._finish_admitted(pool, lanes)
        for lane in lanes.values():
            if lane.gate is Gate.REFUSED and lane.waiting > 0:
                ticked.refused += await self._refuse_waiting(lane)
            if lane.broken:
                await self._wake_asked(lane.run_id)
        if ticked.refused >= REFUSED_PER_TICK_MAX:
            await self._wake_admit(lanes)  # the rest is told by the next tick, which is not waited for
        await self._admit(name, ticked)
        pool = await self.open_pool(name)
        metrics.SLOTS_LIMIT.labels(name).set(pool.admit_limit)
        metrics.SLOTS_IN_USE.labels(name).set(pool.in_use)
        return ticked

    async def open_pool(self, name: str) -> Pool:
        """Read the pool; make it, if it does not stand."""
        pool = await self._world.ledger.pool(name)
        if pool is None:
            try:
                await self._world.ledger.apply(moves.open_pool(name, await self._limits.first(name)))
            except Stale:
                log.debug("pool_opened_by_another", pool=name)
            pool = await self._world.ledger.pool(name)
        if pool is None:
            raise Missing(f"pool {name} is not in the ledger")
        return pool

    # ----------------------------------------------------------------- finish

    async def _finish_admitted(self, pool: Pool, lanes: Mapping[str, Lane]) -> int:
        memory = self._memories.setdefault(pool.pool, Memory())
        held = await self._world.ledger.held(pool.holders)
        admitted = [shard for shard in held if shard.state is ShardState.ADMITTED]
        memory.keep(admitted)
        cancelled = {run_id for run_id, lane in lanes.items() if lane.cancelled}
        await self._job_stopper.stop(
            pool.pool, [shard for shard in held if shard.state is ShardState.SUBMITTED and shard.run_id in cancelled]
        )
        finish = []
        for shard in admitted:
            ours = await (
                self._take_over.show(shard, memory)
                if shard.heartbeat in memory.ours
                else self._take_over.take_over(shard, memory)
            )
            if ours is not None:
                finish.append(ours)
        await self._create(finish, memory, lanes)
        return len(finish)

    async def _create(self, shards: list[Shard], memory: Memory, lanes: Mapping[str, Lane]) -> None:
        room = asyncio.Semaphore(self._world.settings.create_concurrency)

        async def one(shard: Shard) -> None:
            async with room:
                fresh = shard.heartbeat in memory.fresh
                memory.fresh.discard(shard.heartbeat)
                anothers = self._take_over.anothers(shard, memory)
                outcome = await self._steps.run(
                    Piece(Step.CREATE, shard.run_id, f"{shard.shard}/{shard.attempt}"),
                    partial(self._finish, shard, lanes.get(shard.run_id), fresh=fresh, anothers=anothers),
                    partial(self._endings.end, shard.run_id, shard.shard, shard.attempt, anothers=anothers),
                )
                if fresh and outcome == "late":
                    memory.fresh.add(shard.heartbeat)
                await self._follow_up(shard, outcome, kept=not fresh)

        results = await asyncio.gather(*(one(shard) for shard in shards), return_exceptions=True)
        for result in results:
            # What failed by itself is counted for its run; it keeps no other one from its turn.
            if isinstance(result, BaseException) and not isinstance(result, StepFailed):
                raise result

    async def _finish(self, shard: Shard, lane: Lane | None, *, fresh: bool, anothers: bool) -> str:
        if lane is not None and lane.broken and not lane.cancelled:
            # Nothing more is submitted of it; but a Create may have been sent before it broke.
            return await self._endings.end_shard(
                shard, moves.NOT_PROCESSED, lane.message, never_sent=fresh, anothers=anothers
            )
        pins = await self._pins.of(shard.run_id)
        return await self._job_creator.finish(shard, pins, fresh=fresh, anothers=anothers)

    async def _follow_up(self, shard: Shard, outcome: str, *, kept: bool) -> None:
        if outcome == "quota":
            self.refused_since_sweep.add(shard.pool)
            await self._lower_limit(shard.pool, kept=kept)
        elif outcome in ("refused", "cancelled"):
            await self._wake_settle(shard.run_id, shard.shard)
        if outcome in ("throttled", "quota"):
            self._pausing.add(shard.pool)

    async def _lower_limit(self, name: str, *, kept: bool) -> None:
        """Bedrock has no room for more than what runs: wait for it, lower `learned`, use no attempt.

        Args:
            name: the pool.
            kept: the refused row keeps its slot, and is among those in use.
        """
        pool = await self.open_pool(name)
        learned = learn_limit(pool.in_use + (not kept))
        try:
            await self._world.ledger.apply(moves.limit_pool(pool, self._limits.lowered(pool, learned)))
            log.warning("limit_learned", pool=name, learned=learned)
        except Stale:
            log.debug("limit_set_by_another", pool=name)

    # ----------------------------------------------------------------- admit

    async def _admit(self, name: str, ticked: Ticked) -> None:
        memory = self._memories.setdefault(name, Memory())
        admitted: list[Shard] = []
        while ticked.stale < STALE_MAX:
            pool = await self.open_pool(name)
            lanes = {lane.run_id: lane for lane in await self._world.ledger.lanes(name)}
            if await self._admit_from(pool, lanes, memory, admitted, ticked):
                break
        ticked.admitted = len(admitted)
        await self._create(admitted, memory, {})

    async def _admit_from(
        self, pool: Pool, lanes: dict[str, Lane], memory: Memory, admitted: list[Shard], ticked: Ticked
    ) -> bool:
        """Admit on one view of the pool. False: somebody else moved it, look again."""
        heads: dict[str, deque[Waiting]] = {}
        if pool.pool in self._pausing:
            # The next tick, not this one, asks Bedrock again.
            self._pausing.discard(pool.pool)
            return True
        while pool.free > 0:
            lane = next_lane(pool, lanes.values())
            if lane is None:
                return True
            try:
                given = await self._steps.run(
                    Piece(Step.ADMIT, lane.run_id),
                    partial(self._admit_one, pool, lane, heads, memory),
                    partial(self._give_up_lane, lane),
                )
            except Stale:
                self._budgets.forget()
                ticked.stale += 1
                return False
            except StepFailed:
                given = None
            if given is None:
                del lanes[
                    lane.run_id
                ]  # what waits there is paused or held, or another tick has it, or it cannot be admitted
                continue
            shard, booked_more = given
            admitted.append(shard)
            pool, lanes[lane.run_id] = after_admission(pool, lane, shard, booked_more)
            log.info("admitted", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, in_use=pool.in_use)
        return True

    async def _admit_one(
        self, pool: Pool, lane: Lane, heads: dict[str, deque[Waiting]], memory: Memory
    ) -> tuple[Shard, int] | None:
        """Give a slot to the next shard of a lane, which is given with what was booked for it in its lane.

        None: none is ready, or fits into the budgets of the run and the month. Raises Stale.
        """
        if lane.run_id not in heads:
            heads[lane.run_id] = await self._ready(lane, pool.free)
        shard = await self._next_shard(heads[lane.run_id])
        if shard is None:
            return None
        booking = await self._budgets.book(lane, shard)
        if booking is None:
            return None
        heartbeat = self._world.clock.token()
        # Remembered before it is written: should the reply be lost, the next tick knows its own admission.
        memory.ours.add(heartbeat)
        memory.fresh.add(heartbeat)
        with self._world.traces.span("admit", shard.run_id, shard.shard, attempt=shard.attempt, pool=shard.pool):
            await self._world.ledger.apply(moves.admit(pool, lane, shard, heartbeat, booking))
        admitted = replace(
            shard,
            state=ShardState.ADMITTED,
            heartbeat=heartbeat,
            version=shard.version + 1,
            booked_micros=booking.likely or shard.booked_micros,
            month=booking.month or shard.month,
        )
        return admitted, admitted.booked_micros - shard.booked_micros

    async def _give_up_lane(self, lane: Lane, why: Why) -> None:
        """The lane is refused with it: the next tick tells what waits in it."""
        await self._endings.end_run(lane.run_id, why)

    async def _ready(self, lane: Lane, free: int) -> deque[Waiting]:
        waiting = await self._world.ledger.waiting(lane.run_id, most=free + PAUSED_MAX)
        if lane.gate is Gate.CANARY:
            waiting = [each for each in waiting if each.shard == CANARY_SHARD]
        return deque(self._pauses.over(lane.run_id, waiting, self._world.clock.monotonic()))

    async def see_repeats(self, run_id: str) -> None:
        """Let the pauses of a run's repeats begin now, also while no slot is free for them."""
        repeats = await self._world.ledger.repeats(run_id, REPEATS_SEEN_MAX)
        self._pauses.over(run_id, repeats, self._world.clock.monotonic())

    def keep_pauses(self, run_ids: Iterable[str]) -> None:
        """Forget the pauses of all runs but these."""
        self._pauses.keep(run_ids)

    async def _next_shard(self, heads: deque[Waiting]) -> Shard | None:
        while heads:
            head = heads.popleft()
            shard = await self._world.ledger.shard(head.run_id, head.shard)
            if shard is not None and shard.state is ShardState.PENDING and shard.attempt == head.attempt:
                return shard
        return None

    async def _refuse_waiting(self, lane: Lane) -> int:
        """End what waits in a refused lane, a bounded number a tick: its rows become error rows with the reason."""
        refused = 0
        for head in (await self._world.ledger.waiting(lane.run_id, most=REFUSED_PER_TICK_MAX))[:REFUSED_PER_TICK_MAX]:
            shard = await self._world.ledger.shard(head.run_id, head.shard)
            if shard is None or shard.state is not ShardState.PENDING:
                continue
            try:
                await self._world.ledger.apply(moves.refuse_waiting(lane, shard))
            except Stale:
                continue
            refused += 1
            await self._wake_settle(shard.run_id, shard.shard)
        return refused

    async def _wake_asked(self, run_id: str) -> None:
        """What waits to be asked on demand is looked at by whoever would ask it: its run broke, or goes on."""
        if ON_DEMAND_QUEUE in self._world.queues:
            for each in await self._world.ledger.invoking(run_id):
                await self._world.wake(ON_DEMAND_QUEUE, Wakeup(step="on_demand", run_id=run_id, shard=each.shard))

    async def _wake_admit(self, lanes: Mapping[str, Lane]) -> None:
        refused = next(lane for lane in lanes.values() if lane.gate is Gate.REFUSED and lane.waiting > 0)
        await self._world.wake("scheduler", Wakeup(step="admit", run_id=refused.run_id))

    async def _wake_settle(self, run_id: str, shard: str) -> None:
        await self._world.wake("collector", Wakeup(step="settle", run_id=run_id, shard=shard))
