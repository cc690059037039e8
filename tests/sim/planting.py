"""Bugs against what is newer than the first prototype: canaries, budgets of runs and months, retries, and whoever comes late.

`bugs.py` has the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import quarry_collector.next_round
import quarry_preprocessor.count
import quarry_preprocessor.slices
from quarry_core.contract.states import Gate
from quarry_core.contract.versions import RetryOf
from quarry_core.ledger.moves import invoking, shards, slots
from quarry_core.ledger.rows import Totals
from quarry_core.planning.spending import Account
from quarry_core.ports import Update, Write
from quarry_core.service.publishing import Wanted
from quarry_scheduler.budgets import Budgets
from quarry_scheduler.record_calls import RecordCalls


@contextmanager
def planted(owner: Any, name: str, value: Any) -> Iterator[None]:
    """For a while something else is there."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _spends() -> AbstractContextManager[None]:
    """Whatever a shard is likely to cost, it fits into the budget."""
    return planted(Account, "fits", lambda self, likely: True)


def _asks_all_at_once() -> AbstractContextManager[None]:
    """The gate of a run whose canary is not judged yet is open."""
    known = Totals.gate.fget
    assert known is not None

    def gate(self: Totals) -> Gate:
        return Gate.OPEN if known(self) is Gate.CANARY else known(self)

    return planted(Totals, "gate", property(gate))


def _retries_answers() -> AbstractContextManager[None]:
    """A retry asks each row again, whether it has an answer or not."""
    return planted(RetryOf, "chooses", lambda self, code, message: True)


def _goes_on_asking() -> AbstractContextManager[None]:
    """Whoever was paused asks on, until somebody says that another has the shard."""
    return planted(RecordCalls, "_overdue", lambda self, asking: False)


@contextmanager
def _publishes_late() -> Iterator[None]:
    """A thread that nobody waits for any more writes its input all the same, and nobody is told."""

    async def published(offload: Any, work: Callable[[Wanted], Any], on_late: Callable[[], Awaitable[None]]) -> Any:
        return await offload.run(partial(work, Wanted()))

    owners = (quarry_preprocessor.slices, quarry_collector.next_round)
    with planted(owners[0], "published", published), planted(owners[1], "published", published):
        yield


def _forgets_the_month() -> AbstractContextManager[None]:
    """Whatever the month's budget is, nothing is held for it."""
    return planted(Budgets, "_budget", lambda self: None)


@contextmanager
def _books_twice() -> Iterator[None]:
    """What a shard is booked at is added to its month two times."""
    known = slots.booked_in

    def twice(*what: Any) -> list[Write]:
        writes = [write for write in known(*what) if isinstance(write, Update)]
        return [replace(write, add={name: 2 * more for name, more in write.add.items()}) for write in writes]

    with planted(slots, "booked_in", twice), planted(invoking, "booked_in", twice):
        yield


def _keeps_what_came_to_nothing() -> AbstractContextManager[None]:
    """A slot is returned, and the month keeps what was booked with it."""
    return planted(slots, "returned_to", lambda shard: [])


def _keeps_what_was_cancelled() -> AbstractContextManager[None]:
    """A shard that was admitted and then cancelled cost nothing, and its month keeps what it was booked at."""
    known = shards.settled_in
    return planted(shards, "settled_in", lambda shard, cost: known(shard, cost) if cost and cost.micros else [])


def _retries_for_nothing() -> AbstractContextManager[None]:
    """A retry is not taken to cost anything."""
    return planted(quarry_preprocessor.count, "known_nanodollars", lambda *what: 0)


LATER: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "a budget is not looked at": _spends,
    "a canary is not waited for": _asks_all_at_once,
    "a retry asks answered rows too": _retries_answers,
    "who was paused asks on": _goes_on_asking,
    "a thread writes an input that nobody waits for": _publishes_late,
    "the month is not looked at": _forgets_the_month,
    "the month is booked twice": _books_twice,
    "not returned where an admission came to nothing": _keeps_what_came_to_nothing,
    "not returned on a cancelled admission": _keeps_what_was_cancelled,
    "a retry is booked at nothing": _retries_for_nothing,
}
# Where each is looked for first.
LATER_AT: dict[str, tuple[str, ...]] = {
    "a budget is not looked at": ("held:0",),
    "a canary is not waited for": ("held:0",),
    "a retry asks answered rows too": ("held:0",),
    "who was paused asks on": tuple(f"woken:0 plan=runtime.ask#{n}:stall" for n in range(16, 21)),
    "a thread writes an input that nobody waits for": tuple(
        f"rolled:0 plan={at}:stall" for at in ("objects.commit#2", "objects.stream#2", "objects.commit#4")
    ),
    "the month is not looked at": ("monthly:0",),
    "the month is booked twice": ("monthly:0",),
    "not returned where an admission came to nothing": ("monthly:0",),
    "not returned on a cancelled admission": tuple(
        f"monthly:0 plan=jobs.create#{at}" for at in ("5:crash_before", "5:lose_reply", "3:crash_before")
    ),
    "a retry is booked at nothing": ("monthly:0",),
}
