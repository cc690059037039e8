"""The conditions of a statement: operators, keys that requests have, values of the keys' types."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lint_reference import Action, Reference

ARN = re.compile(r"arn:[^:]*:[^:]*:[^:]*:[^:]*:.+")
SLOT = re.compile(r"\$\{[^}]*\}|<[^>]*>")  # what a key of the reference leaves open
# How an operator compares, by the beginning of its name without ForAllValues, ForAnyValue and IfExists.
OPERATORS = {
    **dict.fromkeys(("StringEquals", "StringNotEquals", "StringLike", "StringNotLike"), "String"),
    **dict.fromkeys(("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"), "String"),
    **dict.fromkeys(("NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals"), "Numeric"),
    **dict.fromkeys(("NumericGreaterThan", "NumericGreaterThanEquals"), "Numeric"),
    **dict.fromkeys(("DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals"), "Date"),
    **dict.fromkeys(("DateGreaterThan", "DateGreaterThanEquals"), "Date"),
    **dict.fromkeys(("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"), "ARN"),
    **dict.fromkeys(("IpAddress", "NotIpAddress"), "IPAddress"),
    "Bool": "Bool",
    "BinaryEquals": "Binary",
    "Null": "Null",
}
# The keys that any request may have, which the reference does not repeat for each action (AWS's page "AWS global condition
# context keys"). Tags are no such keys: the reference says which actions know aws:RequestTag, aws:ResourceTag and aws:TagKeys.
GLOBAL = {
    "aws:CalledVia": "String",
    "aws:CalledViaFirst": "String",
    "aws:CalledViaLast": "String",
    "aws:CurrentTime": "Date",
    "aws:EpochTime": "Date",
    "aws:FederatedProvider": "String",
    "aws:MultiFactorAuthAge": "Numeric",
    "aws:MultiFactorAuthPresent": "Bool",
    "aws:PrincipalAccount": "String",
    "aws:PrincipalArn": "ARN",
    "aws:PrincipalIsAWSService": "Bool",
    "aws:PrincipalOrgID": "String",
    "aws:PrincipalOrgPaths": "String",
    "aws:PrincipalServiceName": "String",
    "aws:PrincipalServiceNamesList": "String",
    "aws:PrincipalTag/${TagKey}": "String",
    "aws:PrincipalType": "String",
    "aws:RequestedRegion": "String",
    "aws:ResourceAccount": "String",
    "aws:ResourceOrgID": "String",
    "aws:ResourceOrgPaths": "String",
    "aws:SecureTransport": "Bool",
    "aws:SourceAccount": "String",
    "aws:SourceArn": "ARN",
    "aws:SourceIdentity": "String",
    "aws:SourceIp": "IPAddress",
    "aws:SourceOrgID": "String",
    "aws:SourceOrgPaths": "String",
    "aws:SourceVpc": "String",
    "aws:SourceVpcArn": "ARN",
    "aws:SourceVpce": "String",
    "aws:TokenIssueTime": "Date",
    "aws:UserAgent": "String",
    "aws:ViaAWSService": "Bool",
    "aws:VpcSourceIp": "IPAddress",
    "aws:referer": "String",
    "aws:userid": "String",
    "aws:username": "String",
}
# What makes a value of a type of its text, or raises ValueError. A date may be seconds since 1970.
READERS: dict[str, Callable[[str], object]] = {
    "Numeric": float,
    "Date": lambda text: float(text) if text.isdigit() else dt.datetime.fromisoformat(text),
    "IPAddress": lambda text: ipaddress.ip_network(text, strict=False),
}
# What a token tells of its bearer and its audience, as IAM names it.
CLAIMS = ("amr", "aud", "sub")

Finding = tuple[str, str]


def claims(principal: object) -> dict[str, str]:
    """The keys that a token of the issuers brings whom a role trusts: a cluster's own issuer is in no reference."""
    federated = many(principal.get("Federated", [])) if isinstance(principal, Mapping) else []
    issuers = [each.partition(":oidc-provider/")[2] for each in federated if ":oidc-provider/" in each]
    return {f"{issuer}:{claim}": "String" for issuer in issuers for claim in CLAIMS}


def condition(
    operator: str,
    block: Mapping[str, Any],
    actions: list[Action],
    resources: list[str],
    general: Mapping[str, str],
    reference: Reference,
) -> Iterator[Finding]:
    plain = re.sub(r"^(ForAllValues|ForAnyValue):", "", operator)
    plain = plain if plain == "Null" else re.sub(r"IfExists$", "", plain)
    compared = OPERATORS.get(plain)
    if compared is None:
        yield "UNKNOWN_OPERATOR", operator
        return
    for key, value in block.items():
        values = [str(each).lower() if isinstance(each, bool) else str(each) for each in many(value)]
        any_request = _type_of(key, general)
        kinds = {any_request} if any_request else set()
        for action in actions if any_request is None else []:
            kind = _type_of(key, reference.keys(action, resources))
            if kind is None:
                yield "UNKNOWN_CONDITION", f"no request of {action} has {key}"
            else:
                kinds.add(kind)
        if compared == "Null":
            if set(values) - {"true", "false"}:
                yield "MISMATCHED_TYPE", f"Null compares with true or false, not with {', '.join(values)}"
            continue
        for kind in sorted(kind.removeprefix("ArrayOf") for kind in kinds if kind):
            # An ARN is a text too, and AWS's own examples compare it as one.
            if compared != kind and (compared, kind) != ("String", "ARN"):
                yield "MISMATCHED_TYPE", f"{operator} compares as {compared}, but {key} is of type {kind}"
            yield from (
                ("MISMATCHED_TYPE", f"{key} is of type {kind}, and never {each}")
                for each in values
                if "${" not in each and not _is_of(kind, each, pattern="Like" in operator or compared == "ARN")
            )


def _type_of(key: str, known: Mapping[str, str]) -> str | None:
    """The type of a key, among others such as `s3:ExistingObjectTag/<key>` that leave a part open."""
    for name, kind in known.items():
        pattern = ".+".join(re.escape(part) for part in SLOT.split(name))
        if re.fullmatch(pattern, key, re.IGNORECASE):
            return kind
    return None


def _is_of(kind: str, value: str, *, pattern: bool) -> bool:
    if kind == "ARN":
        return value == "*" or bool(ARN.fullmatch(value)) or (pattern and value.startswith("arn:"))
    if kind == "Bool":
        return value in {"true", "false"}
    if (read := READERS.get(kind)) is None:
        return True
    try:
        read(value)
    except ValueError:
        return False
    return True


def many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
