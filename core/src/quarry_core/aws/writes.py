"""From the port's writes to DynamoDB's expressions, and from its values to ours. Pure.

Every attribute goes through `#names` (any word may be reserved one day) and every value through `:values`. Conditions
are comparisons, functions, AND and NOT: DynamoDB knows no arithmetic there, though an emulator may accept it. What
DynamoDB would refuse for its form alone raises ValueError here, where the traceback still names the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from quarry_core.ports import Cond, Delete, Key, Put, Update, Write

WRITES_MAX = 100
KEY_ATTRIBUTES: Final = ("pk", "sk")
_COMPARISONS: Final = {"eq": "=", "ne": "<>", "lt": "<", "ge": ">="}

_serializer = TypeSerializer()
_deserializer = TypeDeserializer()


def transaction(writes: Sequence[Write], table: str) -> list[dict[str, Any]]:
    """TransactItems for `writes`, in their order, which is also the order of a cancellation's reasons.

    Raises:
        ValueError: none or more than 100 writes, two on one item, or one that is badly formed.
    """
    if not 1 <= len(writes) <= WRITES_MAX:
        raise ValueError(f"a transaction of {len(writes)} writes: DynamoDB takes 1 to {WRITES_MAX}")
    keys = [write.key for write in writes]
    if len(set(keys)) != len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"two writes on {twice} in one transaction")
    return [_item(write, table) for write in writes]


def wire_key(key: Key) -> dict[str, Any]:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def wire_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with their types.

    Raises:
        TypeError: for what has no place in a table: floats, sets of mixed things, foreign objects.
        ValueError: for an empty set, which DynamoDB does not know (an emulator may take it).
    """
    return {name: _wire_value(value) for name, value in values.items()}


def _wire_value(value: Any) -> Any:
    wire = _serializer.serialize(value)
    _refuse_empty_sets(wire)
    return wire


def _refuse_empty_sets(wire: Mapping[str, Any]) -> None:
    for kind, value in wire.items():
        match kind:
            case "SS" | "NS" | "BS" if not value:
                raise ValueError("an empty set has no place in a table: leave the attribute out")
            case "L":
                for one in value:
                    _refuse_empty_sets(one)
            case "M":
                for one in value.values():
                    _refuse_empty_sets(one)


def read_item(wire: Mapping[str, Any]) -> dict[str, Any]:
    """An item as Python values: whole numbers as int, string sets as set."""
    return {name: _whole(_deserializer.deserialize(value)) for name, value in wire.items()}


def _whole(value: Any) -> Any:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else value
        case list():
            return [_whole(one) for one in value]
        case dict():
            return {name: _whole(one) for name, one in value.items()}
        case _:
            return value


class _Expression:
    """Collects the names and values of one write while its expressions are spelled."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def name(self, attribute: str) -> str:
        for placeholder, known in self.names.items():
            if known == attribute:
                return placeholder
        placeholder = f"#n{len(self.names)}"
        self.names[placeholder] = attribute
        return placeholder

    def value(self, value: Any) -> str:
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = _wire_value(value)
        return placeholder

    def exists(self) -> str:
        return f"attribute_exists({self.name('pk')})"

    def cond(self, cond: Cond) -> str:
        name = self.name(cond.attribute)
        if cond.other is not None and cond.op not in _COMPARISONS:
            raise ValueError(f"{cond}: only a comparison takes another attribute")
        match cond.op:
            case "absent":
                return f"attribute_not_exists({name})"
            case "exists":
                return f"attribute_exists({name})"
            case "contains":
                return f"contains({name}, {self.value(cond.value)})"
            case "lacks":
                return f"NOT contains({name}, {self.value(cond.value)})"
            case op if op in _COMPARISONS:
                right = self.value(cond.value) if cond.other is None else self.name(cond.other)
                return f"{name} {_COMPARISONS[op]} {right}"
            case _:
                raise ValueError(f"{cond}: there is no op {cond.op!r}")

    def all_of(self, conds: Sequence[Cond]) -> str:
        return " AND ".join(self.cond(cond) for cond in conds)

    def parts(self, condition: str) -> dict[str, Any]:
        found: dict[str, Any] = {"ConditionExpression": condition, "ExpressionAttributeNames": self.names}
        if self.values:
            found["ExpressionAttributeValues"] = self.values
        return found


def _item(write: Write, table: str) -> dict[str, Any]:
    match write:
        case Put():
            return {"Put": _put(write, table)}
        case Update():
            return {"Update": _update(write, table)}
        case Delete():
            spelled = _Expression()
            condition = " AND ".join(filter(None, (spelled.exists(), spelled.all_of(write.when))))
            return {"Delete": {"TableName": table, "Key": wire_key(write.key), **spelled.parts(condition)}}


def _put(write: Put, table: str) -> dict[str, Any]:
    for name, word in zip(KEY_ATTRIBUTES, write.key, strict=True):
        if write.item.get(name, word) != word:
            raise ValueError(f"put of {write.key}: the item's own {name} is {write.item[name]!r}")
    spelled = _Expression()
    condition = f"attribute_not_exists({spelled.name('pk')})"
    item = {**wire_item(write.item), **wire_key(write.key)}
    return {"TableName": table, "Item": item, **spelled.parts(condition)}


def _update(write: Update, table: str) -> dict[str, Any]:
    if not write.when:
        raise ValueError(f"update of {write.key} without a premise: there is no unconditional update")
    touched = [*write.set, *write.add, *write.insert, *write.discard, *write.remove]
    if not touched:
        raise ValueError(f"update of {write.key} changes nothing")
    if len(set(touched)) != len(touched):
        raise ValueError(f"update of {write.key} touches an attribute twice: {sorted(touched)}")
    if set(touched) & set(KEY_ATTRIBUTES):
        raise ValueError(f"update of {write.key} would change its key")
    spelled = _Expression()
    condition = " AND ".join((spelled.exists(), spelled.all_of(write.when)))
    clauses = {
        "SET": [f"{spelled.name(name)} = {spelled.value(value)}" for name, value in write.set.items()],
        "ADD": [f"{spelled.name(name)} {spelled.value(number)}" for name, number in write.add.items()]
        + [f"{spelled.name(name)} {spelled.value({member})}" for name, member in write.insert.items()],
        "DELETE": [f"{spelled.name(name)} {spelled.value({member})}" for name, member in write.discard.items()],
        "REMOVE": [spelled.name(name) for name in write.remove],
    }
    change = " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts)
    parts = spelled.parts(condition)
    return {"TableName": table, "Key": wire_key(write.key), "UpdateExpression": change, **parts}
