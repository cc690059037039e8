"""Is the simulation any good? Bugs are planted, one at a time, and each must be caught.

Every premise of every move of the ledger is dropped in its turn; and some larger bugs of the kind that people write are
planted, the ten of the first prototype among them. A premise that never failed alone in any trial cannot be missed in any:
the others of its transaction, named in the output, stand for it. It is counted as `implied`, and planted together with
all other premises of its move. What is planted and not caught is printed, with the reason where one is known (`ESCAPES`).
`python -m tests.sim bugs [NAME ...]`; what was done of a version is kept in `build/sim` and not done again.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import quarry_scheduler.create
from quarry_collector.shards import Shards
from quarry_core.ledger import moves
from quarry_core.ledger.keys import pool_key
from quarry_core.ledger.limits import Limits
from quarry_core.ledger.moves import slots
from quarry_core.planning.spending import Cost
from quarry_core.ports import Cond, Update
from quarry_core.service.consumer import Consumer
from quarry_scheduler.checkpoints import Records
from quarry_scheduler.create import JobCreator
from quarry_scheduler.sweeper import Sweeper
from quarry_scheduler.take_over import TakeOver
from quarry_scheduler.tracking import JobTracker
from tests.sim import campaign, lines, scenario
from tests.sim.planting import LATER, LATER_AT, planted
from tests.sim.premises import ALL, ANY, Noted, Premise, dropped, read_premise
from tests.sim.processes import FAULTS
from tests.sim.protocol import Broken, Size, explore

SEEDS = 120
TRIALS_MAX = 120  # for a larger bug
DECISIVE_MAX = 32  # for a premise: only trials in which it stood alone in the way
# Of the transactions of a run: how many at most, and each which of them is struck.
MOVES = {
    "crowd:0": (130, 3),
    "asked:0": (70, 1),
    "plain:0": (70, 1),
    "shares:0": (160, 2),
    "overtaken:0": (40, 1),
    "withdrawn:0": (40, 1),
    "ondemand:0": (60, 2),
    "rounds:0": (110, 2),
    "monthly:0": (170, 2),
    "limited:0": (130, 3),
    "judged:0": (40, 1),
}
CALLS = (
    *("jobs.create", "jobs.find", "jobs.get", "jobs.active", "jobs.stop", "runtime.ask"),
    *("objects.put_once", "objects.commit", "objects.delete", "objects.read"),
    *("queue.ack", "queue.ack_all", "queue.send", "bus.put"),
)
SCORE_MIN = 0.95
FELL_OVER = re.compile(r"\b(TypeError|AttributeError|NameError)\b")
# Moves that the protocol in the small makes.
IN_THE_SMALL = frozenset(
    {
        *("admit", "enlist", "end", "end_plainly", "open_pool", "refuse", "refuse_waiting", "repeat", "return_slot"),
        *("settle", "submit", "take_over"),
    }
)


# --------------------------------------------------------------------------- bugs that people write


def _limit_too_high() -> contextlib.AbstractContextManager[None]:
    """The limit is one more than was configured."""
    stack = contextlib.ExitStack()
    opens, limit = moves.open_pool, moves.limit_pool

    def more(limits: Limits) -> Limits:
        return replace(limits, configured=limits.configured + 1)

    stack.enter_context(planted(moves, "open_pool", lambda pool, limits: opens(pool, more(limits))))
    stack.enter_context(planted(moves, "limit_pool", lambda pool, limits: limit(pool, more(limits))))
    return stack


def _another_token() -> contextlib.AbstractContextManager[None]:
    """Each Create has a client token of its own, and no job is looked for before."""
    stack, numbers = contextlib.ExitStack(), itertools.count()
    stack.enter_context(planted(quarry_scheduler.create, "client_token", lambda name: f"{next(numbers):032x}"))
    stack.enter_context(planted(quarry_scheduler.create, "may_adopt", lambda job, request: False))
    return stack


def _returns_the_unknown() -> contextlib.AbstractContextManager[None]:
    """A slot is returned when nobody knows what came of Create."""
    known = JobCreator._create

    async def create(self: JobCreator, shard: Any, request: Any, **how: Any) -> str:
        outcome = await known(self, shard, request, **how)
        if outcome == "unknown":
            await self._world.ledger.apply(moves.return_slot(shard))
        return outcome

    return planted(JobCreator, "_create", create)


def _returns_what_it_took_over() -> contextlib.AbstractContextManager[None]:
    """Whoever is told "not now" returns the slot, though another's Create may be on its way."""
    known = JobCreator._create

    async def create(self: JobCreator, shard: Any, request: Any, **how: Any) -> str:
        return await known(self, shard, request, **{**how, "fresh": True})

    return planted(JobCreator, "_create", create)


def _ends_what_it_took_over() -> contextlib.AbstractContextManager[None]:
    """Whoever is told "no", or sees that its run is cancelled, ends the row, though another's Create may be on its way."""
    return planted(TakeOver, "anothers", lambda self, shard, memory: False)


def _believes_events() -> contextlib.AbstractContextManager[None]:
    """A job has ended when an event says so."""
    known = JobTracker._observe

    async def observe(self: JobTracker, shard: Any, arn: str, status: str, source: str, reported: Any) -> Any:
        if source == "event" and status == "Completed":
            job = await self._get(arn)
            if job is not None:
                return await self._end(shard, replace(job, status=status), source)
        return await known(self, shard, arn, status, source, reported)

    return planted(JobTracker, "_observe", observe)


def _no_sweep() -> contextlib.AbstractContextManager[None]:
    async def sweep(self: Sweeper) -> dict[str, int]:
        return {}

    return planted(Sweeper, "_sweep", sweep)


def _no_take_over() -> contextlib.AbstractContextManager[None]:
    """An admission belongs to who made it, for ever."""

    async def take_over(self: TakeOver, shard: Any, memory: Any) -> None:
        return None

    return planted(TakeOver, "take_over", take_over)


def _acks_first() -> contextlib.AbstractContextManager[None]:
    known = Consumer._work

    async def work(self: Consumer, message: Any, *how: Any) -> None:
        await self.queue.ack(message)
        await known(self, message, *how)

    return planted(Consumer, "_work", work)


def _settles_before_the_outcome() -> contextlib.AbstractContextManager[None]:
    """The row says settled before anything is written."""
    known = Shards._settle

    async def settle(self: Shards, salvage: Any, shard: Any, *rest: Any) -> str:
        await self._world.ledger.apply(moves.settle(shard, shard.rows, 0, 1, cost=Cost(0, shard.month)))
        return await known(self, salvage, shard, *rest)

    return planted(Shards, "_settle", settle)


def _asks_again() -> contextlib.AbstractContextManager[None]:
    """What a checkpoint tells is asked all the same."""
    known = Records.__init__

    def init(self: Records, objects: Any, shard: Any, answered: set[str]) -> None:
        known(self, objects, shard, set())

    return planted(Records, "__init__", init)


def _token_forgotten() -> contextlib.AbstractContextManager[None]:
    """None of the facts holds on which S2 rests, where that was not to be expected."""
    stack = contextlib.ExitStack()
    known = lines.read

    def read(text: str) -> Any:
        found = known(text)
        forgetful = replace(found.bedrock, token_memory_s=5.0, refuse_used_names=False, list_lag_s=900.0)
        return replace(found, bedrock=forgetful, bus=replace(found.bus, lost=1.0))

    stack.enter_context(planted(campaign, "read", read))
    stack.enter_context(planted(scenario.Bedrock, "pays_once", True))
    return stack


def _releases_any_holder() -> contextlib.AbstractContextManager[None]:
    """A slot is returned without saying whose it was."""

    def release(shard: Any) -> Update:
        return Update(pool_key(shard.pool), when=(Cond("in_use", "exists"),), add={"in_use": -1})

    return planted(slots, "release", release)


def _writes_over_the_finished() -> contextlib.AbstractContextManager[None]:
    """A row is moved whatever state it is in."""
    items = ("shard", "quota", "todo", "wait", "job")
    return dropped(*(Premise(move, item, ANY) for move in ("end", "settle", "repeat") for item in items))


def _frees_before_asking() -> contextlib.AbstractContextManager[None]:
    """A job that Bedrock says is under way is taken for ended."""
    known = JobTracker._get

    async def get(self: JobTracker, arn: str) -> Any:
        job = await known(self, arn)
        return replace(job, status="Completed") if job is not None and job.status == "InProgress" else job

    return planted(JobTracker, "_get", get)


def _admits_again() -> contextlib.AbstractContextManager[None]:
    """A scheduler whose admission was not answered does not know it as its own."""
    known = moves.admit

    def admit(pool: Any, lane: Any, shard: Any, heartbeat: str, *booking: Any) -> Any:
        return known(pool, lane, shard, f"{heartbeat}'", *booking)

    stack = contextlib.ExitStack()
    stack.enter_context(planted(moves, "admit", admit))
    stack.enter_context(_no_take_over())
    return stack


BUGS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "the limit is one too high": _limit_too_high,
    "each Create has another token, and looks for no job": _another_token,
    "a lost reply is believed to have made nothing": _returns_the_unknown,
    "who took over returns the slot": _returns_what_it_took_over,
    "who took over ends the row": _ends_what_it_took_over,
    "an event is believed": _believes_events,
    "there is no sweep": _no_sweep,
    "nobody takes over": _no_take_over,
    "acked before it is done": _acks_first,
    "settled before the outcome is written": _settles_before_the_outcome,
    "checkpoints are not read": _asks_again,
    "Bedrock forgets tokens after five seconds, lists jobs late, and tells of none": _token_forgotten,
    "whoever holds it, a slot is returned": _releases_any_holder,
    "a finished row is written over": _writes_over_the_finished,
    "a slot is freed before Bedrock is asked": _frees_before_asking,
    "an admission that was not answered is not known again": _admits_again,
    **LATER,
}
# Where a bug is looked for first: what its authors thought of.
AT: dict[str, tuple[str, ...]] = {
    "there is no sweep": ("unheard:0",),
    "Bedrock forgets tokens after five seconds, lists jobs late, and tells of none": (
        "plain:0 plan=jobs.create#1:lose_reply",
    ),
    "who took over ends the row": ("late:0", "denied:0"),
    "each Create has another token, and looks for no job": ("plain:0 plan=jobs.create#1:lose_reply",),
    "a lost reply is believed to have made nothing": tuple(
        f"crowd:0 plan=jobs.create#{n}:lose_reply" for n in (1, 2, 3)
    ),
    "checkpoints are not read": tuple(f"asked:0 plan=runtime.ask#{n}:crash_after" for n in (22, 24, 28, 32, 40)),
    **LATER_AT,
}
# Bugs that the protocol in the small is told of: it is a model of the services, and does not run them.
MODELLED: dict[str, dict[str, bool]] = {
    "who took over returns the slot": {"keeps_taken": False},
    "who took over ends the row": {"waits_for_late": False},
    "nobody takes over": {"takes_over": False},
    "a lost reply is believed to have made nothing": {"keeps_unknown": False},
}
# Why a bug is not caught, by the beginning of its name.
ESCAPES: dict[str, str] = {
    "limit_pool: quota admit_limit eq": (
        "where the same is configured, a late limit differs only in what others take and in Bedrock's last refusal: it stands until"
        " the next sweep, and Bedrock itself refuses what is beyond its quota"
    ),
    "tell_budget": "only people read what it writes, admissions go by the setting; the next sweep writes it anew",
}


# --------------------------------------------------------------------------- where to look


def directed() -> list[str]:
    """Trials with one fault where it hurts: a pause or a lost reply at each move, everything at calls that cost."""
    lines = [
        f"{base} plan=table.transact#{number}:{fault}"
        for base, (most, each) in MOVES.items()
        for number in range(1, most + 1, each)
        for fault in ("stall", "lose_reply")
    ]
    lines += [
        f"{base} plan={call}#{number}:{fault}"
        for base in ("asked:0", "plain:0")
        for call in CALLS
        for number in (1, 4)
        for fault in FAULTS
    ]
    # Whoever asks on demand pauses, and finds when it wakes that others have gone on.
    lines += [f"ondemand:0 plan=runtime.ask#{number}:stall" for number in range(1, 60, 3)]
    return [*lines, *_behind(), "late:0", "denied:0"]


def _behind() -> list[str]:
    """Who comes late finds another in the middle of the same work, not only that it was done."""
    # Two have closed the run; then, with the mark of one that died, one begins it late.
    lines = [f"handed:0 plan=bus.put#1:stall,objects.list#{number}:stall" for number in (2, 3)]
    lines += [
        f"handed:0 plan=bus.put#1:crash_after,objects.list#3:stall,table.transact#{number}:stall"
        for number in range(24, 34)
    ]
    # One leaves the work late, while another that has begun it pauses.
    lines += [
        f"handed:0 plan=bus.put#1:refuse,objects.list#3:stall,table.transact#{number}:stall" for number in range(24, 31)
    ]
    # Who asked has died, and a sweep that has seen it pauses until another asks.
    lines += [f"ondemand:0 plan=runtime.ask#10:crash_before,table.transact#{number}:stall" for number in range(18, 38)]
    # Who asked is late with the end, and another that was to ask on pauses with it too.
    return lines + [
        f"ondemand:0 plan=table.transact#42:stall,table.transact#{number}:stall" for number in range(44, 54)
    ]


@dataclass
class Found:
    """What watching the premises came to. `at`: the trials in which a premise failed alone; `failed_at`: or with others."""

    made: set[str] = field(default_factory=set)
    at: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    failed_at: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    beside: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def _note(line: str) -> tuple[str, list[str], list[str], dict[str, list[str]]]:
    noted = Noted()
    with noted.noting():
        campaign.one(line)
    beside = {premise.name: [other.name for other in others] for premise, others in noted.failed.items()}
    return line, [each.name for each in noted.made], [each.name for each in noted.decisive], beside


def watched(play: Callable[..., Any], lines: Sequence[str], log: Path) -> Found:
    """Watch the premises in all these trials."""
    known = {entry[0]: entry for entry in _entries(log)}
    with log.open("a") as file:
        for entry in play(_note, [line for line in lines if line not in known]):
            known[entry[0]] = entry
            file.write(json.dumps(entry) + "\n")
            file.flush()
    found = Found()
    for line in lines:
        _, made, decisive, beside = known[line]
        found.made.update(made)
        for name in decisive:
            found.at[name].append(line)
        for name, others in beside.items():
            found.beside[name].update(others)
            found.failed_at[name].append(line)
    return found


def _entries(log: Path) -> list[Any]:
    if not log.exists():
        return []
    found = []
    for text in log.read_text().splitlines():
        with contextlib.suppress(ValueError):  # it was being written when the hunt was stopped
            found.append(json.loads(text))
    return found


# --------------------------------------------------------------------------- the hunt


def _plant(name: str) -> contextlib.AbstractContextManager[None]:
    return BUGS[name]() if name in BUGS else dropped(read_premise(name))


def hunt(asked: tuple[str, list[str]]) -> tuple[str, str, int, float]:
    """Name, by what it was caught (empty: it was not), after how many trials, CPU seconds."""
    name, lines = asked
    began = time.process_time()
    with _plant(name):
        for number, line in enumerate(lines, 1):
            outcome = campaign.one(line)
            if not outcome.held:
                check_planted(name, outcome.why)
                return name, f"{line}: {outcome.why[0] if outcome.why else ''}", number, time.process_time() - began
        by = _in_the_small(name)
    return name, by, len(lines), time.process_time() - began


def check_planted(name: str, why: Sequence[str]) -> None:
    """A larger bug that falls over the code in which it is planted is none, and is caught by nobody. Raises AssertionError."""
    if name in BUGS and (words := next((each for each in why if FELL_OVER.search(each)), "")):
        raise AssertionError(f"the bug {name!r} does not fit into the code any more: {words}")


def _in_the_small(name: str) -> str:
    if name in BUGS and name not in MODELLED:
        return ""
    if name not in BUGS and read_premise(name).move not in IN_THE_SMALL:
        return ""
    options = MODELLED.get(name, {})
    try:
        explore(Size(collectors=2, faults=0), **options)
        explore(Size(schedulers=1, collectors=1, faults=1), **options)
        explore(Size(schedulers=1, collectors=1, faults=1, refusals=True), **options)
        explore(Size(collectors=1, faults=1, refusals=True), states_max=20_000, **options)
    except Broken as error:
        return "" if str(error).startswith("more than") else f"protocol: {error}"
    except Exception as error:  # the model falls over what the product would never read
        return f"protocol: {type(error).__name__}"
    return ""


def main(names: Sequence[str], workers: int, folder: Path, version: str) -> int:
    """Plant all, or those of these names; the score."""
    trials = directed()
    seeds = campaign.seeds(SEEDS)
    done = {entry[0]: entry for entry in _entries(folder / f"{version}.bugs.jsonl")}
    with campaign.workers(workers) as pool, (folder / f"{version}.bugs.jsonl").open("a") as file:

        def play(work: Callable[..., Any], things: Sequence[Any]) -> Iterator[Any]:
            return pool.map(work, things)

        found = watched(play, [*trials, *seeds], folder / f"{version}.premises.jsonl")
        alone = sorted(name for name in found.made if found.at[name])
        beside = sorted(name for name in found.made if not found.at[name])
        # In the small all orders are tried, so there a premise may stand alone that never did in these trials.
        small = [name for name in beside if read_premise(name).move in IN_THE_SMALL]
        # A move that was never refused could ask for anything in these trials.
        moves_refused = {read_premise(name).move for name in found.failed_at}
        whole = [Premise(move, ALL, ANY).name for move in sorted(moves_refused)]
        wanted = list(names) or [*BUGS, *alone, *small, *whole]
        mixed = campaign.spread(trials)[: TRIALS_MAX // 2] + seeds[: TRIALS_MAX // 2]
        hunts = [(name, _lines(name, found, mixed)) for name in wanted if name not in done]
        for entry in play(hunt, hunts):
            done[entry[0]] = list(entry)
            file.write(json.dumps(entry) + "\n")
            file.flush()
            print(*_told(entry), flush=True)
    # Not planted: what others of the same move ask too, in every order that was tried.
    implied = [name for name in beside if name not in done or not done[name][1]]
    for name in implied:
        print(
            f"implied {name}: failed beside {', '.join(sorted(found.beside[name])) or 'nothing, for it never failed'}"
        )
    entries = [done[name] for name in wanted if name not in implied]
    caught = sum(bool(by) for _, by, _, _ in entries)
    missed = [name for name, by, _, _ in entries if not by]
    explained = {name: _reason(name) for name in missed if _reason(name)}
    for name in missed:
        print(f"escaped {name}: {explained.get(name, 'nobody knows why')}")
    print(
        f"planted={len(entries)} caught={caught} escaped={len(missed)} explained={len(explained)}"
        f" score={caught / len(entries):.1%} implied={len(implied)}"
    )
    return 0 if caught / len(entries) >= SCORE_MIN and len(explained) == len(missed) else 1


def _lines(name: str, found: Found, mixed: list[str]) -> list[str]:
    """Where to look for a bug: for a dropped premise only where it made a difference, otherwise everywhere."""
    if name in BUGS:
        return [*AT.get(name, ()), "plain:0", "asked:0", "crowd:0", *mixed]
    premise = read_premise(name)
    if premise.what != ANY:
        return _sample(found.at[name])
    return _sample(
        [*dict.fromkeys(line for other, lines in found.failed_at.items() if _is_of(other, premise) for line in lines)]
    )


def _sample(lines: list[str]) -> list[str]:
    """Those in which most pause first: premises guard against who comes late, above all where another is at work then."""
    return sorted(campaign.spread(lines), key=lambda line: -line.count("stall"))[:DECISIVE_MAX]


def _is_of(name: str, premise: Premise) -> bool:
    other = read_premise(name)
    return other.move == premise.move and premise.item in (other.item, ALL)


def _told(entry: Sequence[Any]) -> tuple[str, ...]:
    name, by, trials, seconds = entry
    return ("caught " if by else "ESCAPED", name, f"({trials} trials, {seconds:.0f} s)", by[:160])


def _reason(name: str) -> str:
    return next((reason for start, reason in ESCAPES.items() if name.startswith(start)), "")
