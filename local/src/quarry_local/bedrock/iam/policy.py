"""May this principal act on this resource, by these policies? Pure.

As much of IAM as the policies of queues, buckets and roles use: service and AWS principals, wildcards in actions and
resources, their negations, and the condition operators below. What is not understood never allows and always denies,
so an error here shows. Boundaries, sessions, organisations and policy variables are not known.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple


class Verdict(NamedTuple):
    """What policies say. A denial wins over whatever else allows."""

    allowed: bool
    denied: bool


def allows(policy: str | None, *, service: str, action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Whether the policy (JSON; None when there is none) lets `service` do `action` on `resource`."""
    if not policy:
        return False
    verdict = by_resource(json.loads(policy), principals={service}, action=action, resource=resource, context=context)
    return verdict.allowed and not verdict.denied


def by_resource(
    policy: Mapping[str, Any],
    *,
    principals: Collection[str],
    action: str,
    resource: str | None,
    context: Mapping[str, str],
) -> Verdict:
    """What a resource's policy says of someone who goes by any of `principals`.

    `resource` is None for a trust policy, whose statements name none.
    """
    statements = [
        statement
        for statement in _many(policy.get("Statement"))
        if _names_principal(statement, principals) and _is_about(statement, action, resource)
    ]
    return _judge(statements, context)


def by_identity(
    policies: Iterable[Mapping[str, Any]], *, action: str, resource: str, context: Mapping[str, str]
) -> Verdict:
    """What the policies of an identity say of it."""
    statements = [
        statement
        for policy in policies
        for statement in _many(policy.get("Statement"))
        if _is_about(statement, action, resource)
    ]
    return _judge(statements, context)


def _judge(statements: list[dict[str, Any]], context: Mapping[str, str]) -> Verdict:
    lowered = {key.lower(): value for key, value in context.items()}
    return Verdict(
        any(one.get("Effect") == "Allow" and _holds(one, lowered, unknown=False) for one in statements),
        any(one.get("Effect") == "Deny" and _holds(one, lowered, unknown=True) for one in statements),
    )


def _is_about(statement: dict[str, Any], action: str, resource: str | None) -> bool:
    if "NotAction" in statement:
        acts = not any(_like(str(one).lower(), action.lower()) for one in _many(statement["NotAction"]))
    else:
        acts = any(_like(str(one).lower(), action.lower()) for one in _many(statement.get("Action")))
    if not acts or resource is None:
        return acts
    if "NotResource" in statement:
        return not any(_like(str(one), resource) for one in _many(statement["NotResource"]))
    return any(_like(str(one), resource) for one in _many(statement.get("Resource")))


def _names_principal(statement: dict[str, Any], principals: Collection[str]) -> bool:
    if "NotPrincipal" in statement:
        return not _among(statement["NotPrincipal"], principals)
    return _among(statement.get("Principal"), principals)


def _among(principal: Any, principals: Collection[str]) -> bool:
    if principal == "*":
        return True
    if not isinstance(principal, dict):
        return False
    named = {*_many(principal.get("Service")), *_many(principal.get("AWS"))}
    return "*" in _many(principal.get("AWS")) or not named.isdisjoint(principals)


def _holds(statement: dict[str, Any], context: Mapping[str, str], *, unknown: bool) -> bool:
    """Whether all conditions hold; `unknown` is the answer to an operator that is not understood."""
    for operator, conditions in statement.get("Condition", {}).items():
        name = operator.removesuffix("IfExists")
        for key, wanted in conditions.items():
            value = context.get(key.lower())
            if value is None and operator.endswith("IfExists"):
                continue
            if name == "Null":
                if (value is None) is not (str(wanted).lower() == "true"):
                    return False
                continue
            if name not in _OPERATORS:
                if not unknown:
                    return False
                continue
            negated, compare = _OPERATORS[name]
            matched = value is not None and any(compare(str(pattern), value) for pattern in _many(wanted))
            if matched is negated:
                return False
    return True


def _like(pattern: str, value: str) -> bool:
    translated = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(translated, value, re.DOTALL) is not None


def _equal(pattern: str, value: str) -> bool:
    return pattern == value


def _same_word(pattern: str, value: str) -> bool:
    return pattern.lower() == value.lower()


# ArnEquals and ArnLike are one operator in IAM.
_OPERATORS = {
    "ArnEquals": (False, _like),
    "ArnLike": (False, _like),
    "ArnNotEquals": (True, _like),
    "ArnNotLike": (True, _like),
    "StringEquals": (False, _equal),
    "StringNotEquals": (True, _equal),
    "StringEqualsIgnoreCase": (False, _same_word),
    "StringLike": (False, _like),
    "StringNotLike": (True, _like),
    "Bool": (False, _same_word),
}


def _many(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
