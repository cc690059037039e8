"""The chart's custom resources against the types of KEDA 2.20.2 and of Prometheus' operator 0.93.1 ([`crd_types`](crd_types.py)).

Kubernetes' schemas do not know them. A field that the type does not have, one that is missing, a value of another type or
beyond a bound of the CRD: each is found.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from tests.deploy.charts import VARIANTS, Manifest, Refused, with_config

GROUPS = ("keda.sh/", "monitoring.coreos.com/")


def custom(objects: list[Manifest]) -> list[Manifest]:
    return [each for each in objects if each["apiVersion"].startswith(GROUPS)]


@pytest.fixture(scope="module")
def every_kind(helm) -> list[Manifest]:
    """One object of each custom kind; nobody changes them."""
    objects = custom([*helm.objects(VARIANTS["keda"]), *helm.objects(VARIANTS["servicemonitor"])])
    return list({each["kind"]: each for each in objects}.values())


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_no_custom_resource_has_a_fault(helm, name):
    assert helm.ask("validate_custom", objects=custom(helm.objects(VARIANTS[name]))) == []


def test_all_kinds_were_seen(every_kind):
    assert {each["kind"] for each in every_kind} == {
        "ScaledObject",
        "TriggerAuthentication",
        "PodMonitor",
        "ServiceMonitor",
        "PrometheusRule",
    }


# Where a fault is put, and what is put there: each by itself is refused.
WRONG: list[tuple[str, str, Any]] = [
    ("ScaledObject", "kind", "ScaledObjekt"),
    ("ScaledObject", "apiVersion", "keda.sh/v2"),
    ("ScaledObject", "metadata.label", {}),
    ("ScaledObject", "spec.minReplicaCount", "one"),
    ("ScaledObject", "spec.minReplicaCount", "1"),
    ("ScaledObject", "spec.maxReplicaCount", 2.5),
    ("ScaledObject", "spec.triggers.0.metadata.queueLength", 4),
    ("ScaledObject", "spec.scaleTargetRef", {}),
    ("ScaledObject", "spec.triggers.0.queueUrl", "x"),
    ("ScaledObject", "spec.cooldownPeriodSeconds", 3),
    # What KEDA 2.20 refuses and 2.19 took.
    ("ScaledObject", "spec.maxReplicaCount", 0),
    ("ScaledObject", "spec.pollingInterval", 0),
    ("ScaledObject", "spec.cooldownPeriod", -1),
    ("ScaledObject", "spec.fallback.failureThreshold", -1),
    ("ScaledObject", "spec.scaleTargetRef.name", ""),
    ("ScaledObject", "spec.triggers", []),
    ("ScaledObject", "spec.triggers.0.authenticationRef.kind", "Secret"),
    ("TriggerAuthentication", "spec.podIdentity.provider", 1),
    ("TriggerAuthentication", "spec.podIdentity.provider", "aws-pod-identity"),
    ("TriggerAuthentication", "spec.podIdentities", []),
    ("PodMonitor", "spec.podMetricsEndpoints.0.interval", "30"),
    ("PodMonitor", "spec.podMetricsEndpoints.0.relabelings.0.sourceLabel", ["x"]),
    ("PodMonitor", "spec.podMetricsEndpoints.0.relabelings.0.action", "copy"),
    ("ServiceMonitor", "spec.endpoints.0.interval", "soon"),
    ("ServiceMonitor", "spec.selectors", {}),
    ("PrometheusRule", "spec.groups.0.interval", "x"),
    ("PrometheusRule", "spec.groups.0.rules.0.annotation", {}),
]


@pytest.mark.parametrize(("kind", "where", "value"), WRONG)
def test_a_wrong_field_would_be_found(helm, every_kind, kind, where, value):
    bent = copy.deepcopy(next(each for each in every_kind if each["kind"] == kind))
    *path, last = [int(part) if re.fullmatch("[0-9]+", part) else part for part in where.split(".")]
    place: Any = bent
    for part in path:
        place = place[part]
    place[last] = value
    assert helm.ask("validate_custom", objects=[bent])


def test_what_keda_2_20_takes_and_2_19_did_not_is_taken(helm, every_kind):
    """So that the types are those of 2.20, and no older ones that refuse for another reason."""
    scaled = copy.deepcopy(next(each for each in every_kind if each["kind"] == "ScaledObject"))
    scaled["spec"]["fallback"]["behavior"] = "scalingModifiers"
    assert helm.ask("validate_custom", objects=[scaled]) == []


def test_fewer_pods_at_most_than_at_least_are_refused_by_the_chart(helm):
    """The one rule of ScaledObject that its CRD says in CEL, which the types do not have."""
    scaling = {"type": "keda", "maxReplicas": 1, "keda": {"minReplicas": 2}}
    with pytest.raises(Refused, match=r"maxReplicas \(1\) is less than keda.minReplicas \(2\)"):
        helm.objects(with_config(collector={"autoscaling": scaling}))
