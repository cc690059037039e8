"""What do policies say of an action on a resource? Pure, and honest about what it cannot tell.

Three answers. A condition on something that is not known here (`aws:SourceVpc`, a session's tags), a policy variable,
or an operator that is not understood makes a statement hold *perhaps*, so that what a doctor calls a fault is one.
Permissions boundaries, sessions and organisations are not known: IAM's own simulation is, where it may be asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

Document = Mapping[str, Any]


class Holds(IntEnum):
    """How sure it is. In this order, so that `min` is "and", `max` is "or"."""

    NO = 0
    PERHAPS = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class Act:
    """One action on one resource, and what is known of the request.

    `resource` is None for a trust policy, whose statements name none. Of `context`, a key with None is known to be
    absent; a key that is not there is not known.
    """

    action: str
    resource: str | None
    context: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    allow: Holds = Holds.NO
    deny: Holds = Holds.NO

    @property
    def allowed(self) -> bool:
        """Allowed for all that is known: a denial that perhaps holds does not count."""
        return self.allow is Holds.YES and self.deny is not Holds.YES

    @property
    def refused(self) -> bool:
        """Surely not allowed."""
        return self.allow is Holds.NO or self.deny is Holds.YES

    def either(self, other: Verdict) -> Verdict:
        """Two policies of one account: one that allows is enough, one that denies too."""
        return Verdict(max(self.allow, other.allow), max(self.deny, other.deny))


def by_identity(documents: Iterable[Document], act: Act) -> Verdict:
    """What an identity's policies say of an act."""
    return _judged((statement for document in documents for statement in many(document.get("Statement"))), act)


def by_resource(document: Document | None, principals: Collection[str], act: Act) -> Verdict:
    """What a resource's policy (or a role's trust) says of someone who goes by any of `principals`."""
    statements = many(document.get("Statement")) if document else []
    return _judged((one for one in statements if _names(one, principals)), act)


def many(value: Any) -> list[Any]:
    """IAM lets one thing stand for a list of one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _judged(statements: Iterable[Document], act: Act) -> Verdict:
    allow = deny = Holds.NO
    for statement in statements:
        holds = min(_about(statement, act), _conditions(statement, act.context))
        if statement.get("Effect") == "Allow":
            allow = max(allow, holds)
        else:
            deny = max(deny, holds)
    return Verdict(allow, deny)


def _names(statement: Document, principals: Collection[str]) -> bool:
    if "NotPrincipal" in statement:
        return not _among(statement["NotPrincipal"], principals)
    return _among(statement.get("Principal"), principals)


def _among(named: Any, principals: Collection[str]) -> bool:
    if named == "*":
        return True
    if not isinstance(named, dict):
        return False
    words = {*many(named.get("Service")), *many(named.get("AWS"))}
    return "*" in many(named.get("AWS")) or not words.isdisjoint(principals)


def _about(statement: Document, act: Act) -> Holds:
    if "NotAction" in statement:
        action = _not(_like_any(statement["NotAction"], act.action, fold=True))
    else:
        action = _like_any(statement.get("Action"), act.action, fold=True)
    if act.resource is None:
        return action
    if "NotResource" in statement:
        return min(action, _not(_like_any(statement["NotResource"], act.resource)))
    return min(action, _like_any(statement.get("Resource"), act.resource))


def _conditions(statement: Document, context: Mapping[str, str | None]) -> Holds:
    known = {key.lower(): value for key, value in context.items()}
    holds = Holds.YES
    for operator, keys in (statement.get("Condition") or {}).items():
        for key, wanted in keys.items():
            holds = min(holds, _condition(operator, key.lower(), wanted, known))
    return holds


def _condition(operator: str, key: str, wanted: Any, known: Mapping[str, str | None]) -> Holds:
    name = operator.removesuffix("IfExists")
    if key not in known:
        return Holds.PERHAPS
    value = known[key]
    if name == "Null":
        return _sure((value is None) is (str(wanted).lower() == "true"))
    if value is None and operator.endswith("IfExists"):
        return Holds.YES
    if name not in _OPERATORS:
        return Holds.PERHAPS
    negated, compare = _OPERATORS[name]
    if value is None:
        return _sure(negated)
    found = max((compare(str(pattern), value) for pattern in many(wanted)), default=Holds.NO)
    return _not(found) if negated else found


def _like_any(patterns: Any, value: str, *, fold: bool = False) -> Holds:
    if fold:
        return max((_like(str(one).lower(), value.lower()) for one in many(patterns)), default=Holds.NO)
    return max((_like(str(one), value) for one in many(patterns)), default=Holds.NO)


def _like(pattern: str, value: str) -> Holds:
    if "${" in pattern:
        return Holds.PERHAPS
    translated = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return _sure(re.fullmatch(translated, value, re.DOTALL) is not None)


def _equal(pattern: str, value: str) -> Holds:
    return Holds.PERHAPS if "${" in pattern else _sure(pattern == value)


def _same_word(pattern: str, value: str) -> Holds:
    return _equal(pattern.lower(), value.lower())


def _sure(truth: bool) -> Holds:
    return Holds.YES if truth else Holds.NO


def _not(holds: Holds) -> Holds:
    return Holds(Holds.YES - holds)


Compare = Callable[[str, str], Holds]

# ArnEquals and ArnLike are one operator in IAM.
_OPERATORS: Mapping[str, tuple[bool, Compare]] = {
    "ArnEquals": (False, _like),
    "ArnLike": (False, _like),
    "ArnNotEquals": (True, _like),
    "ArnNotLike": (True, _like),
    "StringEquals": (False, _equal),
    "StringNotEquals": (True, _equal),
    "StringEqualsIgnoreCase": (False, _same_word),
    "StringNotEqualsIgnoreCase": (True, _same_word),
    "StringLike": (False, _like),
    "StringNotLike": (True, _like),
    "Bool": (False, _same_word),
}
