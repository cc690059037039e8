"""The ledger's premises, one by one: which there are, which were ever what stood in the way, and how to drop one.

A transaction is refused if any of its premises fails. One that never fails alone could be dropped without a trace in the
trials that were watched, since others of the same transaction fail with it; where it did fail alone, a trial without it
goes another way. So a premise is hunted in exactly those trials in which it was `decisive`.
"""

from __future__ import annotations

import functools
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from quarry_core.ledger import moves
from quarry_core.ports import Cond, Delete, Key, Put, Update, Write
from tests.world import table

NOT_MOVES = frozenset({"list_pool", "open_history", "seen_in"})
# As a premise's item and what it says: all of them.
ALL, ANY = "everything", "whatever it is"


class Blind(Put):
    """A write that does not look whether something stands there."""


class BlindDelete(Delete):
    """A deletion of what may be gone."""


def _premise_holds(write: Write, item: Any, known: Callable[..., bool]) -> bool:
    return isinstance(write, (Blind, BlindDelete)) or known(write, item)


@dataclass(frozen=True, order=True)
class Premise:
    """One premise of a move: on which kind of item, and what it says. `ANY`: all that it says of that item, or of `ALL`."""

    move: str
    item: str
    what: str

    @property
    def name(self) -> str:
        return f"{self.move}: {self.item} {self.what}"


def read_premise(name: str) -> Premise:
    move, _, rest = name.partition(": ")
    item, _, what = rest.partition(" ")
    return Premise(move, item, what)


def kind(key: Key) -> str:
    """What an item is, whosever it is."""
    owner, _, _ = key[0].partition("#")
    return key[1].partition("#")[0] if owner in ("run", "pool") else owner


def premises_of(name: str, write: Write) -> Iterator[tuple[Premise, Write]]:
    """Each with a write that has no other."""
    item = kind(write.key)
    if isinstance(write, Put):
        yield Premise(name, item, "is not there"), write
        return
    if isinstance(write, Delete) and not write.when:
        yield Premise(name, item, "is there"), write
    for cond in write.when:
        yield Premise(name, item, _said(cond)), replace(write, when=(cond,))


def _said(cond: Cond) -> str:
    attribute = "virtual_time" if cond.attribute.startswith("virtual_time") else cond.attribute
    attribute = "begun" if attribute.startswith("begun_") else attribute
    return f"{attribute} {cond.op}"


def without(premise: Premise, writes: Sequence[Write]) -> list[Write]:
    """The same writes, but for this premise."""
    kept: list[Write] = []
    for write in writes:
        if premise.item not in (kind(write.key), ALL):
            kept.append(write)
        elif isinstance(write, Put):
            dropped_put = premise.what in ("is not there", ANY)
            kept.append(Blind(write.key, write.item) if dropped_put else write)
        elif isinstance(write, Delete) and (premise.what == ANY or (premise.what == "is there" and not write.when)):
            kept.append(BlindDelete(write.key))
        else:
            when = tuple(cond for cond in write.when if premise.what not in (_said(cond), ANY))
            kept.append(replace(write, when=when or (Cond("pk", "exists"),)))
    return kept


def _is_move(made: Any) -> bool:
    """What gives writes; the ledger's package offers limits, and a function or two about rows, beside them."""
    return inspect.isfunction(made) and inspect.signature(made).return_annotation == "list[Write]"


@contextmanager
def _wrapped(change: Callable[[str, list[Write]], list[Write]]) -> Iterator[None]:
    """Every move's writes go through `change`."""
    known = {name: getattr(moves, name) for name in moves.__all__ if _is_move(getattr(moves, name))}
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
def dropped(*premises: Premise) -> Iterator[None]:
    def change(name: str, writes: list[Write]) -> list[Write]:
        for premise in premises:
            writes = without(premise, writes) if name == premise.move else writes
        return writes

    with _wrapped(change):
        yield


Signature = tuple[tuple[str, Key, tuple[Cond, ...], tuple[str, ...]], ...]


def _signature(writes: Sequence[Write]) -> Signature:
    return tuple(
        (type(write).__name__, write.key, () if isinstance(write, Put) else write.when, _changes(write))
        for write in writes
    )


def _changes(write: Write) -> tuple[str, ...]:
    """The attributes that it writes: two moves may ask the same of an item, and do other things to it."""
    return tuple(sorted((*write.set, *write.add, *write.remove))) if isinstance(write, Update) else ()


class Noted:
    """What trials made of the premises.

    made: all that there were. decisive: those that failed alone. failed: those that failed, with which others each time.
    """

    def __init__(self) -> None:
        self.made: set[Premise] = set()
        self.decisive: set[Premise] = set()
        self.failed: defaultdict[Premise, set[Premise]] = defaultdict(set)
        self._moves: dict[
            Signature, str
        ] = {}  # the ledger sends copies of what a move wrote: known by what they ask and touch

    @contextmanager
    def noting(self) -> Iterator[None]:
        known = table.FakeTable._refuse

        def refuse(self_: table.FakeTable, writes: Sequence[Write], key: Key) -> NoReturn:
            self._refused(self_, writes)
            known(self_, writes, key)

        table.FakeTable._refuse = refuse  # type: ignore[method-assign]
        try:
            with _wrapped(self._made):
                yield
        finally:
            table.FakeTable._refuse = known  # type: ignore[method-assign]
            self._moves.clear()

    def _made(self, name: str, writes: list[Write]) -> list[Write]:
        self._moves[_signature(writes)] = name
        self.made.update(premise for write in writes for premise, _ in premises_of(name, write))
        return writes

    def _refused(self, at: table.FakeTable, writes: Sequence[Write]) -> None:
        name = self._moves.get(_signature(writes))
        if name is None:
            return  # no move's
        failing = {
            premise
            for write in writes
            for premise, one in premises_of(name, write)
            if not table._premise_holds(one, at.items.get(write.key))
        }
        if len(failing) == 1:
            self.decisive |= failing
        for premise in failing:
            self.failed[premise] |= failing - {premise}
