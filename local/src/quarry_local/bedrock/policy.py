"""May this service principal act on this resource, by the resource's policy? Pure.

As much of IAM as queue policies for EventBridge use: service and AWS principals, wildcards in actions and resources, and
the condition operators below. What is not understood never allows and always denies, so an error here shows.
"""

import json
import re
from collections.abc import Mapping
from typing import Any


def allows(policy: str | None, *, service: str, action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Whether the policy (JSON; None when there is none) lets `service` do `action` on `resource`."""
    if not policy:
        return False
    statements = [
        statement
        for statement in _many(json.loads(policy).get("Statement"))
        if _is_about(statement, service, action, resource)
    ]
    lowered = {key.lower(): value for key, value in context.items()}
    denied = any(
        statement.get("Effect") == "Deny" and _holds(statement, lowered, unknown=True) for statement in statements
    )
    allowed = any(
        statement.get("Effect") == "Allow" and _holds(statement, lowered, unknown=False) for statement in statements
    )
    return allowed and not denied


def _is_about(statement: dict[str, Any], service: str, action: str, resource: str) -> bool:
    return (
        _names_principal(statement.get("Principal"), service)
        and any(_like(pattern.lower(), action.lower()) for pattern in _many(statement.get("Action")))
        and any(_like(pattern, resource) for pattern in _many(statement.get("Resource")))
    )


def _names_principal(principal: Any, service: str) -> bool:
    if principal == "*":
        return True
    if not isinstance(principal, dict):
        return False
    return service in _many(principal.get("Service")) or "*" in _many(principal.get("AWS"))


def _holds(statement: dict[str, Any], context: Mapping[str, str], *, unknown: bool) -> bool:
    """Whether all conditions hold; `unknown` is the answer to an operator that is not understood."""
    for operator, conditions in statement.get("Condition", {}).items():
        name = operator.removesuffix("IfExists")
        for key, wanted in conditions.items():
            value = context.get(key.lower())
            if value is None and operator.endswith("IfExists"):
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
