"""What a second plan would change on the embedded AWS alone: a short list, each with the reason.

A drift is known by the type of the resource and the attribute that the plan sees differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Drift:
    """One attribute of one type of resource."""

    kind: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.attribute}"


_ALARM = (
    "actions_enabled",
    "alarm_actions",
    "alarm_description",
    "dimensions",
    "ok_actions",
    "period",
    "statistic",
    "treat_missing_data",
)
ALLOWED: Mapping[Drift, str] = {
    **{
        Drift("aws_cloudwatch_metric_alarm", attribute): (
            "the emulator keeps it and tells it in CBOR, but not in the XML that the provider reads"
        )
        for attribute in _ALARM
    },
    Drift("aws_cloudtrail", "tags_all"): "the emulator forgets the tags that a trail is made with",
    Drift("aws_ecs_service", "availability_zone_rebalancing"): "the emulator does not know this attribute of a service",
    **{
        Drift("aws_vpc_endpoint", attribute): "the emulator forgets with which of these an endpoint is made"
        for attribute in ("policy", "private_dns_enabled", "security_group_ids")
    },
}


def seen(plan: Mapping[str, Any]) -> Iterator[tuple[Drift, str]]:
    """Every attribute that a plan would change: (drift, `address.attribute: before -> after`)."""
    for resource in plan["resource_changes"]:
        change = resource["change"]
        if set(change["actions"]) <= {"no-op", "read"}:
            continue
        before, after = change["before"] or {}, change["after"] or {}
        unknown = change.get("after_unknown") or {}
        for attribute in sorted({*before, *after, *unknown}):
            if attribute in unknown and unknown[attribute] is True:
                reported = "known after apply"
            elif before.get(attribute) == after.get(attribute):
                continue
            else:
                reported = repr(after.get(attribute))
            words = f"{before.get(attribute)!r} -> {reported} ({', '.join(change['actions'])})"
            yield Drift(resource["type"], attribute), f"{resource['address']}.{attribute}: {words}"
