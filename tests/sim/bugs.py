"""Is the simulation any good? Bugs are planted, one at a time, and each must be caught.

Every premise of every move of the ledger is dropped in its turn, as the moves' own writes name them; and a few larger
bugs of the kind that people write. What is not caught is printed, with the reason where one is known (`ESCAPES`).
`python -m tests.sim bugs [NAME ...]`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import quarry_scheduler.create
from quarry_collector.shards import Shards
from quarry_core.ledger import moves
from quarry_core.ports import Cond, Delete, Put, Update, Write
from quarry_core.service.consumer import Consumer
from quarry_core.settings import Settings
from quarry_scheduler.checkpoints import Records
from quarry_scheduler.create import JobCreator
from quarry_scheduler.sweeper import Sweeper
from quarry_scheduler.tick import Ticker
from quarry_scheduler.tracking import JobTracker
from tests.sim import campaign
from tests.sim.protocol import Broken, Size, explore
from tests.world import table

SEEDS = 60
NOT_MOVES = frozenset({"list_pool", "open_history", "seen_in"})
SCORE_MIN = 0.95


class Blind(Put):
    """A write that does not look whether something stands there."""


class BlindDelete(Delete):
    """A deletion of what may be gone."""


def _premise_holds(write: Write, item: Any, known: Callable[..., bool]) -> bool:
    return isinstance(write, (Blind, BlindDelete)) or known(write, item)


# --------------------------------------------------------------------------- premises, one by one


@dataclass(frozen=True, order=True)
class Premise:
    """One premise of a move: on which kind of item, and what it says."""

    move: str
    item: str
    what: str

    @property
    def name(self) -> str:
        return f"{self.move}: {self.item} {self.what}"


def premises_of(name: str, writes: Sequence[Write]) -> Iterator[Premise]:
    for write in writes:
        item = write.key[1].partition("#")[0]
        if isinstance(write, Put):
            yield Premise(name, item, "is not there")
            continue
        if isinstance(write, Delete) and not write.when:
            yield Premise(name, item, "is there")
        for cond in write.when:
            yield Premise(name, item, _said(cond))


def _said(cond: Cond) -> str:
    attribute = "virtual_time" if cond.attribute.startswith("virtual_time") else cond.attribute
    attribute = "begun" if attribute.startswith("begun_") else attribute
    return f"{attribute} {cond.op}"


def without(premise: Premise, writes: Sequence[Write]) -> list[Write]:
    """The same writes, but for this premise."""
    kept: list[Write] = []
    for write in writes:
        if write.key[1].partition("#")[0] != premise.item:
            kept.append(write)
        elif isinstance(write, Put):
            kept.append(Blind(write.key, write.item) if premise.what == "is not there" else write)
        elif premise.what == "is there" and isinstance(write, Delete):
            kept.append(BlindDelete(write.key))
        elif isinstance(write, (Update, Delete)):
            when = tuple(cond for cond in write.when if _said(cond) != premise.what)
            kept.append(replace(write, when=when or (Cond("pk", "exists"),)))
    return kept


_seen: set[Premise] = set()


@contextmanager
def _wrapped(change: Callable[[str, list[Write]], list[Write]]) -> Iterator[None]:
    """Every move's writes go through `change`."""
    known = {name: getattr(moves, name) for name in moves.__all__ if inspect.isfunction(getattr(moves, name))}
    holds = table._premise_holds

    def wrap(name: str, move: Callable[..., list[Write]]) -> Callable[..., list[Write]]:
        @functools.wraps(move)
        def wrapped(*args: Any, **options: Any) -> list[Write]:
            return change(name, move(*args, **options))

        return wrapped

    try:
        for name, move in known.items():
            if name not in NOT_MOVES:
                setattr(moves, name, wrap(name, move))
        table._premise_holds = lambda write, item: _premise_holds(write, item, holds)
        yield
    finally:
        for name, move in known.items():
            setattr(moves, name, move)
        table._premise_holds = holds


@contextmanager
def dropped(premise: Premise) -> Iterator[None]:
    with _wrapped(lambda name, writes: without(premise, writes) if name == premise.move else writes):
        yield


def all_premises(lines: Sequence[str]) -> list[Premise]:
    """Those of all moves that these trials make."""
    found: set[Premise] = set()

    def note(name: str, writes: list[Write]) -> list[Write]:
        found.update(premises_of(name, writes))
        return writes

    with _wrapped(note):
        for line in lines:
            campaign.one(line)
    return sorted(found)


# --------------------------------------------------------------------------- bugs that people write


@contextmanager
def _set(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _limit_too_high() -> contextlib.AbstractContextManager[None]:
    """The limit is one more than was configured."""
    stack = contextlib.ExitStack()
    opens, limits = moves.open_pool, moves.limit_pool
    stack.enter_context(_set(moves, "open_pool", lambda pool, configured: opens(pool, configured + 1)))
    stack.enter_context(_set(moves, "limit_pool", lambda pool, configured, *rest: limits(pool, configured + 1, *rest)))
    return stack


def _another_token() -> contextlib.AbstractContextManager[None]:
    """Each Create has a client token of its own, and no job is looked for before."""
    stack, numbers = contextlib.ExitStack(), itertools.count()
    stack.enter_context(_set(quarry_scheduler.create, "client_token", lambda name: f"{next(numbers):032x}"))
    stack.enter_context(_set(quarry_scheduler.create, "may_adopt", lambda job, request: False))
    return stack


def _returns_the_unknown() -> contextlib.AbstractContextManager[None]:
    """A slot is returned when nobody knows what came of Create."""
    known = JobCreator._create

    async def create(self: JobCreator, shard: Any, request: Any, *, fresh: bool) -> str:
        outcome = await known(self, shard, request, fresh=fresh)
        if outcome == "unknown":
            await self._world.ledger.apply(moves.return_slot(shard))
        return outcome

    return _set(JobCreator, "_create", create)


def _returns_what_it_took_over() -> contextlib.AbstractContextManager[None]:
    """Whoever is told "not now" returns the slot, though another's Create may be on its way."""
    known = JobCreator._create

    async def create(self: JobCreator, shard: Any, request: Any, *, fresh: bool) -> str:
        return await known(self, shard, request, fresh=True)

    return _set(JobCreator, "_create", create)


def _believes_events() -> contextlib.AbstractContextManager[None]:
    """A job has ended when an event says so."""
    known = JobTracker._observe

    async def observe(self: JobTracker, shard: Any, arn: str, status: str, source: str, reported: Any) -> Any:
        if source == "event" and status == "Completed":
            job = await self._get(arn)
            if job is not None:
                return await self._end(shard, replace(job, status=status), source)
        return await known(self, shard, arn, status, source, reported)

    return _set(JobTracker, "_observe", observe)


def _no_sweep() -> contextlib.AbstractContextManager[None]:
    async def sweep(self: Sweeper) -> dict[str, int]:
        return {}

    return _set(Sweeper, "_sweep", sweep)


def _no_take_over() -> contextlib.AbstractContextManager[None]:
    """An admission belongs to who made it, for ever."""

    async def take_over(self: Ticker, shard: Any, memory: Any) -> None:
        return None

    return _set(Ticker, "_take_over", take_over)


def _acks_first() -> contextlib.AbstractContextManager[None]:
    known = Consumer._work

    async def work(self: Consumer, message: Any) -> None:
        await self.queue.ack(message)
        await known(self, message)

    return _set(Consumer, "_work", work)


def _settles_before_the_outcome() -> contextlib.AbstractContextManager[None]:
    """The row says settled before anything is written."""
    known = Shards._settle

    async def settle(self: Shards, salvage: Any, shard: Any, record_millitokens: int) -> str:
        await self._world.ledger.apply(moves.settle(shard, shard.rows, 0, 1))
        return await known(self, salvage, shard, record_millitokens)

    return _set(Shards, "_settle", settle)


def _asks_again() -> contextlib.AbstractContextManager[None]:
    """What a checkpoint tells is asked all the same."""
    known = Records.__init__

    def init(self: Records, objects: Any, shard: Any, answered: set[str]) -> None:
        known(self, objects, shard, set())

    return _set(Records, "__init__", init)


def _sure_at_once() -> contextlib.AbstractContextManager[None]:
    """After a lost reply Create is asked again at once, with a token of its own."""
    stack, numbers = contextlib.ExitStack(), itertools.count()
    stack.enter_context(_set(quarry_scheduler.create, "client_token", lambda name: f"{next(numbers):032x}"))
    stack.enter_context(_set(quarry_scheduler.create, "may_adopt", lambda job, request: job.name == request.name))
    stack.enter_context(_set(Settings, "list_settle_s", 0.0))
    return stack


BUGS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "the limit is one too high": _limit_too_high,
    "each Create has another token, and looks for no job": _another_token,
    "a lost reply is believed to have made nothing": _returns_the_unknown,
    "who took over returns the slot": _returns_what_it_took_over,
    "an event is believed": _believes_events,
    "there is no sweep": _no_sweep,
    "nobody takes over": _no_take_over,
    "acked before it is done": _acks_first,
    "settled before the outcome is written": _settles_before_the_outcome,
    "checkpoints are not read": _asks_again,
}
# Bugs that the protocol in the small is told of: it is a model of the services, and does not run them.
MODELLED: dict[str, dict[str, bool]] = {
    "who took over returns the slot": {"keeps_taken": False},
    "nobody takes over": {"takes_over": False},
}
# Why a bug cannot be seen, by the beginning of its name.
ESCAPES: dict[str, str] = {}


# --------------------------------------------------------------------------- the hunt


def _plant(name: str) -> contextlib.AbstractContextManager[None]:
    if name in BUGS:
        return BUGS[name]()
    move, _, rest = name.partition(": ")
    item, _, what = rest.partition(" ")
    return dropped(Premise(move, item, what))


def hunt(name: str) -> tuple[str, str, int, float]:
    """Name, by what it was caught (empty: it was not), after how many trials, CPU seconds."""
    began = time.process_time()
    with _plant(name):
        if name not in BUGS or name in MODELLED:
            options = MODELLED.get(name, {})
            try:
                explore(Size(collectors=2, faults=0), **options)
                explore(Size(schedulers=1, collectors=1, faults=1), **options)
                explore(Size(collectors=1, faults=1), states_max=20_000, **options)
            except Broken as error:
                if not str(error).startswith("more than"):
                    return name, f"protocol: {error}", 0, time.process_time() - began
            except Exception as error:  # the model falls over what the product would never read
                return name, f"protocol: {type(error).__name__}", 0, time.process_time() - began
        lines = ["plain:0", "asked:0", *campaign.seeds(SEEDS)]
        for number, line in enumerate(lines, 1):
            outcome = campaign.one(line)
            if not outcome.held:
                return name, f"{line}: {outcome.why[0] if outcome.why else ''}", number, time.process_time() - began
    return name, "", len(lines), time.process_time() - began


def main(names: Sequence[str], workers: int) -> int:
    """Plant all, or those of these names; the score."""
    wanted = list(names) or [*BUGS, *(premise.name for premise in all_premises(["asked:0", *campaign.seeds(40)]))]
    caught, escaped, explained = 0, [], []
    with campaign.workers(workers) as pool:
        for name, by, trials, seconds in pool.map(hunt, wanted):
            print(f"{'caught ' if by else 'ESCAPED'} {name} ({trials} trials, {seconds:.0f} s) {by[:160]}", flush=True)
            reason = next((reason for start, reason in ESCAPES.items() if name.startswith(start)), "")
            if by:
                caught += 1
            elif reason:
                explained.append(f"{name}: {reason}")
            else:
                escaped.append(name)
    for line in explained:
        print(f"cannot be seen: {line}")
    of = len(wanted)
    print(f"planted={of} caught={caught} explained={len(explained)} escaped={len(escaped)} score={caught / of:.1%}")
    return 0 if (caught + len(explained)) / of >= SCORE_MIN else 1
