"""The ledger's table in memory, with DynamoDB's rules as the contract suite finds them.

All writes of a transaction are judged against the table as it stands, then applied to copies, then put in place
together. Items go in and come out as copies.
"""

from __future__ import annotations

import bisect
import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from quarry_core.errors import Refused, Stale
from quarry_core.ports import Cond, Delete, Item, Key, Put, Update, Write
from tests.world.faults import Faults

WRITES_MAX = 100
KEYS_MAX = 500
ITEM_BYTES_MAX = 400 * 1024
OPS = frozenset({"eq", "ne", "lt", "ge", "absent", "exists", "contains", "lacks"})
COMPARISONS = frozenset({"eq", "ne", "lt", "ge"})
# Told of every change as (key, item before, item after), both as they stand in the table: look, do not touch.
Watcher = Callable[[Key, Item | None, Item | None], None]


class FakeTable:
    def __init__(self, faults: Faults | None = None) -> None:
        self.items: dict[Key, dict[str, Any]] = {}
        self._refused: list[Key] = []
        self.watchers: list[Watcher] = []
        self.after: list[Callable[[], None]] = []  # called when a transaction was done
        self._sort_keys: defaultdict[str, list[str]] = defaultdict(list)
        self._faults = faults or Faults()

    def for_worker(self, faults: Faults) -> FakeTable:
        """The same table, as another worker reaches it."""
        seen = copy.copy(self)
        seen._faults = faults
        return seen

    def restore(self, items: Iterable[Item]) -> None:
        """These items and no others, as when a backup is put in the table's place. No watcher is told."""
        self.items.clear()
        self._sort_keys.clear()
        for item in items:
            pk, sk = item["pk"], item["sk"]
            self.items[pk, sk] = _copied(item)
            bisect.insort(self._sort_keys[pk], sk)

    @property
    def refused(self) -> int:
        """How many transactions met another state than their premise."""
        return len(self._refused)

    async def get(self, key: Key) -> Item | None:
        async with self._faults.call("table.get", key):
            _check_key(key)
            found = self.items.get(key)
            return None if found is None else _copied(found)

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Item]:
        if len(keys) > KEYS_MAX:
            raise ValueError(f"{len(keys)} keys at once; at most {KEYS_MAX}")
        async with self._faults.call("table.get_many", keys):
            for key in keys:
                _check_key(key)
            return {key: _copied(self.items[key]) for key in keys if key in self.items}

    async def query(
        self, pk: str, prefix: str = "", *, most: int, after: str | None = None, backwards: bool = False
    ) -> Sequence[Item]:
        if most < 1:
            raise ValueError(f"at most {most} items make no query")
        async with self._faults.call("table.query", pk, prefix):
            known = self._sort_keys[pk]
            low = bisect.bisect_left(known, prefix)
            # `known` is sorted, so its keys that begin with the prefix stand together.
            high = bisect.bisect_right(known, prefix, lo=low, key=lambda sort_key: sort_key[: len(prefix)])
            if after is not None and backwards:
                high = min(high, bisect.bisect_left(known, after))
            elif after is not None:
                low = max(low, bisect.bisect_right(known, after))
            chosen = known[max(low, high - most) : high][::-1] if backwards else known[low : min(high, low + most)]
            return [_copied(self.items[pk, sk]) for sk in chosen]

    async def transact(self, writes: Sequence[Write]) -> None:
        _check_form(writes)
        async with self._faults.call("table.transact", writes):
            for write in writes:
                _check_key(write.key)
                if not _premise_holds(write, self.items.get(write.key)):
                    self._refuse(writes, write.key)
            changes = [(write.key, _changed(write, self.items.get(write.key))) for write in writes]
            for key, item in changes:
                self._place(key, item)
            for look in self.after:
                look()

    def _refuse(self, writes: Sequence[Write], key: Key) -> NoReturn:
        """A transaction met another state than its premise, which `key` was the first to show."""
        self._refused.append(key)
        raise Stale(f"the premise on {'/'.join(key)} did not hold")

    def _place(self, key: Key, item: dict[str, Any] | None) -> None:
        before = self.items.get(key)
        if item is before:
            return
        if item is None:
            del self.items[key]
            known = self._sort_keys[key[0]]
            del known[bisect.bisect_left(known, key[1])]
        else:
            self.items[key] = item
            if before is None:
                bisect.insort(self._sort_keys[key[0]], key[1])
        for watcher in self.watchers:
            watcher(key, before, item)


def _check_form(writes: Sequence[Write]) -> None:
    """What the adapter refuses before anything is sent."""
    if not 1 <= len(writes) <= WRITES_MAX:
        raise ValueError(f"a transaction of {len(writes)} writes")
    if len({write.key for write in writes}) != len(writes):
        raise ValueError("two writes on one item in one transaction")
    for write in writes:
        match write:
            case Put():
                pk, sk = write.key
                if write.item.get("pk", pk) != pk or write.item.get("sk", sk) != sk:
                    raise ValueError(f"put of {write.key}: the item's own key is another")
                _copied(write.item)
            case Update():
                touched = [*write.set, *write.add, *write.insert, *write.discard, *write.remove]
                if not write.when:
                    raise ValueError(f"update of {write.key} without a premise")
                if not touched or len(set(touched)) != len(touched) or {"pk", "sk"} & set(touched):
                    raise ValueError(f"update of {write.key} touches nothing, something twice, or its key")
                _copied(write.set)
        for cond in () if isinstance(write, Put) else write.when:
            if cond.op not in OPS or (cond.other is not None and cond.op not in COMPARISONS):
                raise ValueError(f"{cond} is no premise")


def _check_key(key: Key) -> None:
    if not all(key):
        raise Refused(f"{key}: an empty string is no key", "ValidationException", malformed=True)


def _premise_holds(write: Write, item: Item | None) -> bool:
    match write:
        case Put():
            return item is None
        case Update() | Delete():
            return item is not None and all(_holds(cond, item) for cond in write.when)


def _holds(cond: Cond, item: Item) -> bool:
    left = _kinded(item, cond.attribute)
    match cond.op:
        case "absent":
            return left is None
        case "exists":
            return left is not None
        case "contains":
            return _contains(left, cond.value)
        case "lacks":
            return not _contains(left, cond.value)
    right = _kinded({"": cond.value}, "") if cond.other is None else _kinded(item, cond.other)
    if left is None or right is None:
        return cond.op == "ne"
    match cond.op:
        case "eq":
            return left == right
        case "ne":
            return left != right
    if left[0] != right[0] or left[0] not in {"N", "S"}:
        return False
    return bool(left[1] < right[1] if cond.op == "lt" else left[1] >= right[1])


def _contains(left: tuple[str, Any] | None, value: Any) -> bool:
    match left:
        case ("SS" | "S", held) if isinstance(value, str):
            return value in held
        case ("L", held):
            return _kind(value) in held
        case _:
            return False


def _kinded(item: Item, attribute: str) -> tuple[str, Any] | None:
    return _kind(item[attribute]) if attribute in item else None


def _kind(value: Any) -> tuple[str, Any]:
    """A value with its DynamoDB type, so that True is not 1."""
    match value:
        case None:
            return "NULL", None
        case bool():
            return "BOOL", value
        case int():
            return "N", value
        case str():
            return "S", value
        case set() | frozenset():
            if not all(isinstance(member, str) for member in value):
                raise TypeError(f"{value!r} is not a set of strings")
            return "SS", set(value)
        case list() | tuple():
            return "L", [_kind(one) for one in value]
        case dict():
            return "M", {name: _kind(one) for name, one in value.items()}
        case _:
            raise TypeError(f"a table has no place for {type(value).__name__}")


def _changed(write: Write, item: dict[str, Any] | None) -> dict[str, Any] | None:
    match write:
        case Delete():
            return None
        case Put():
            new = {**_copied(write.item), "pk": write.key[0], "sk": write.key[1]}
        case Update():
            new = _updated(write, item or {})
    if _size_bytes(new) > ITEM_BYTES_MAX:
        raise Refused(f"{write.key}: the item is too large", "ValidationException", malformed=True)
    return new


def _updated(write: Update, item: Item) -> dict[str, Any]:
    new = _copied(item)
    new.update(_copied(write.set))
    for name, number in write.add.items():
        held = new.get(name, 0)
        if isinstance(held, bool) or not isinstance(held, int):
            raise Refused(f"{write.key}: {name} is no number", "ValidationError", malformed=True)
        new[name] = held + number
    for changes, put in ((write.insert, True), (write.discard, False)):
        for name, member in changes.items():
            members = new.get(name, set())
            if not isinstance(members, set):
                raise Refused(f"{write.key}: {name} is no string set", "ValidationError", malformed=True)
            new[name] = members | {member} if put else members - {member}
            if not new[name]:
                del new[name]  # DynamoDB knows no empty set
    for name in write.remove:
        new.pop(name, None)
    return new


def _copied(item: Item) -> dict[str, Any]:
    return {name: _copied_value(value) for name, value in item.items()}


def _copied_value(value: Any) -> Any:
    match value:
        case str():
            return value if type(value) is str else str.__str__(value)  # an enumeration's word loses its class
        case None | bool() | int():
            return value
        case dict():
            return {name: _copied_value(one) for name, one in value.items()}
        case list() | tuple():
            return [_copied_value(one) for one in value]
        case set() | frozenset():
            if not value:
                raise ValueError("an empty set has no place in a table")
            return set(_kind(value)[1])
        case _:
            raise TypeError(f"a table has no place for {type(value).__name__}")


def _size_bytes(value: Any) -> int:
    match value:
        case str():
            return len(value) if value.isascii() else len(value.encode())
        case dict():
            return sum(_size_bytes(name) + _size_bytes(one) for name, one in value.items())
        case list() | set():
            return sum(_size_bytes(one) for one in value)
        case _:
            return 8
