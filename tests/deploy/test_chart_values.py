"""Wrong values are refused before anything is installed, in words that name the key and say what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.deploy.charts import CHART, CONFIG, SERVICES, VARIANTS, Refused, with_config

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def keda(**values: Any) -> dict[str, Any]:
    return {"autoscaling": {"type": "keda", **values}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "at '/config': missing properties 'env', 'region'"),
        ({"config": {**CONFIG, "env": "dev-1"}}, "at '/config/env': 'dev-1' does not match pattern"),
        ({"config": {**CONFIG, "jobQuota": 0}}, "at '/config/jobQuota': minimum: got 0, want 1"),
        ({"config": {**CONFIG, "jobQuota": "20"}}, "at '/config/jobQuota': got string, want integer"),
        ({"config": {**CONFIG, "bucket": {"value": "b"}}}, "at '/config/bucket': got object, want string"),
        ({"config": {**CONFIG, "jobTags": {"team": "a,b=c"}}}, "at '/config/jobTags/team': 'a,b=c' does not match"),
        ({"config": {**CONFIG, "jobTags": {"a=b": "c"}}}, "additional properties 'a=b' not allowed"),
        ({"config": {**CONFIG, "budgetUsd": 0}}, "at '/config/budgetUsd': exclusiveMinimum: got 0, want 0"),
        ({"config": {"value": CONFIG}}, "additional properties 'value' not allowed"),
        (with_config(colour="red"), "additional properties 'colour' not allowed"),
        (with_config(collector={"replica": 2}), "at '/collector': additional properties 'replica' not allowed"),
        (with_config(collector={"replicas": -1}), "at '/collector/replicas': minimum: got -1, want 0"),
        (with_config(defaults={"replicas": "two"}), "at '/defaults/replicas': got string, want integer"),
        (
            with_config(defaults={"autoscaling": {"type": "both"}}),
            "at '/defaults/autoscaling/type': value must be one of 'none', 'keda', 'hpa'",
        ),
        (
            with_config(collector={"autoscaling": {"type": "hpa", "hpa": {"minReplicas": 0}}}),
            "at '/collector/autoscaling/hpa/minReplicas': minimum: got 0, want 1",
        ),
        (
            with_config(defaults={"env": {"QUARRY_SHARD_BYTES_MAX": 950_000_000}}),
            "at '/defaults/env/QUARRY_SHARD_BYTES_MAX': got number, want string",
        ),
        (with_config(defaults={"env": {"log-level": "INFO"}}), "additional properties 'log-level' not allowed"),
        (
            with_config(defaults={"env": {"QUARRY_DRAIN_S": "soon"}}),
            "at '/defaults/env/QUARRY_DRAIN_S': 'soon' does not match pattern",
        ),
        (
            with_config(collector={"resources": {"limits": {"memory": "1 GB"}}}),
            "at '/collector/resources/limits/memory': '1 GB' does not match pattern",
        ),
        (
            with_config(collector={"resources": {"limits": {"ram": "1Gi"}}}),
            "at '/collector/resources/limits': additional properties 'ram' not allowed",
        ),
        (with_config(aws={"identity": "keys"}), "at '/aws/identity': value must be one of 'podIdentity', 'irsa'"),
        (with_config(monitoring={"scrape": True}), "at '/monitoring/scrape': value must be one of 'podMonitor'"),
        (with_config(image={"pullPolicy": "Sometimes"}), "at '/image/pullPolicy': value must be one of"),
        (with_config(image={"tag": 1.2}), "at '/image/tag': got number, want string"),
        (with_config(collector={"image": "quarry-collector"}), "at '/collector/image': 'quarry-collector' does not"),
        (
            with_config(networkPolicy={"monitoringNamespace": ""}),
            "at '/networkPolicy/monitoringNamespace': '' does not",
        ),
    ],
)
def test_the_schema_refuses(helm, values, words):
    with pytest.raises(Refused) as refused:
        helm.objects(values)
    assert "values don't meet the specifications of the schema" in str(refused.value)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"defaults": {"env": {"QUARRY_DRAIN_S": "51"}}},
            "terminationGracePeriodSeconds is 60: it must be at least 10 more than QUARRY_DRAIN_S (51)",
        ),
        (
            {"scheduler": {"terminationGracePeriodSeconds": 30}},
            "scheduler.terminationGracePeriodSeconds is 30: it must be at least 10 more than QUARRY_DRAIN_S (25)",
        ),
        ({"collector": {"env": {"QUARRY_TABLE": "other"}}}, "collector.env: QUARRY_TABLE comes from `config`"),
        ({"collector": {"env": {"QUARRY_METRICS_PORT": "8080"}}}, "collector.env: QUARRY_METRICS_PORT is fixed"),
        ({"defaults": {"env": {"AWS_SECRET_ACCESS_KEY": "x"}}}, "AWS_SECRET_ACCESS_KEY would be readable"),
        ({"preprocessor": {"env": {"HF_TOKEN": "x"}}}, "a token of the Hugging Face Hub from secretEnv"),
        ({"defaults": {"secretEnv": {"HF_TOKEN": {"name": "a", "key": "b"}}}}, "set preprocessor.secretEnv"),
        (
            {"scheduler": {"extraEnv": [{"name": "QUARRY_TABLE", "value": "other"}]}},
            "scheduler.extraEnv: QUARRY_TABLE is given elsewhere",
        ),
        (
            {
                "scheduler": {
                    "env": {"QUARRY_LOG_LEVEL": "INFO"},
                    "extraEnv": [{"name": "QUARRY_LOG_LEVEL", "value": "x"}],
                }
            },
            "scheduler.extraEnv: QUARRY_LOG_LEVEL is given elsewhere",
        ),
        (
            {"defaults": {"extraEnv": [{"name": "QUARRY_METRICS_PORT", "value": "1"}]}},
            "extraEnv: QUARRY_METRICS_PORT is fixed",
        ),
        (
            {"defaults": {"extraEnv": [{"name": "DB_PASSWORD", "value": "x"}]}},
            "extraEnv: DB_PASSWORD would be readable",
        ),
        ({"collector": {"env": {"QUARRY_WEBHOOK_KEY": "x"}}}, "QUARRY_WEBHOOK_KEY would be readable"),
        (
            {"defaults": {"secretEnv": {"QUARRY_WEBHOOK_KEY": {"name": "a", "key": "b"}}}},
            "only the collector signs notices; set collector.secretEnv",
        ),
        ({"defaults": {"env": {"QUARRY_WEBHOOK_URL": "https://h/"}}}, "name the Secret of QUARRY_WEBHOOK_KEY"),
        ({"defaults": {"env": {"AWS_SESSION_TOKEN": "x"}}}, "Credentials come from the service account's role"),
        (
            {"scheduler": keda(keda={"minReplicas": 0})},
            "scheduler.autoscaling.keda.minReplicas is 0, but nothing would wake it to sweep: set aws.sweepSchedule=true",
        ),
        (
            {"collector": keda(maxReplicas=2, keda={"minReplicas": 3})},
            "collector.autoscaling: maxReplicas (2) is less than keda.minReplicas (3)",
        ),
        (
            {"collector": {"autoscaling": {"type": "hpa", "hpa": {"cpuUtilizationPercent": 0}}}},
            "collector.autoscaling.hpa has nothing to scale by",
        ),
        ({"collector": {"serviceAccount": {"create": False}}}, "collector.serviceAccount: with create=false, name"),
        ({"image": {"tag": "latest"}}, "image.tag is latest"),
        ({"collector": {"image": "quarry-collector:latest"}}, "collector.image is latest"),
        ({"scheduler": {"enabled": False}}, "test.serviceAccount is needed because the scheduler"),
    ],
)
def test_what_lies_between_two_values_is_refused_too(helm, values, words):
    with pytest.raises(Refused) as refused:
        helm.objects(with_config(**values))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        {"defaults": {"env": {"QUARRY_DRAIN_S": "50"}}},
        {"defaults": {"env": {"QUARRY_DRAIN_S": "49.5"}}},
        {"scheduler": keda(keda={"minReplicas": 0}), "aws": {"sweepSchedule": True}},
        {"scheduler": {"autoscaling": {"type": "none", "keda": {"minReplicas": 0}}}},
        {"collector": keda(maxReplicas=3, keda={"minReplicas": 3})},
        {"scheduler": {"enabled": False}, "test": {"enabled": False}},
        {"global": {"region": "eu-central-1"}},
        {"defaults": {"resources": {"limits": None}}},
    ],
)
def test_what_is_just_right_is_taken(helm, values):
    assert helm.objects(with_config(**values))


def test_every_object_of_the_schema_is_closed():
    """An open one would take a misspelt key in silence. Open are maps of strings, and what Kubernetes itself writes."""

    def closed(schema: dict[str, Any], at: str) -> list[str]:
        found = []
        if "properties" in schema and schema.get("additionalProperties") is not False:
            found.append(at)
        for key, value in (schema.get("properties", {}) | schema.get("definitions", {})).items():
            found += closed(value, f"{at}/{key}")
        return found

    assert closed(SCHEMA, "") == []


def test_schema_and_values_have_the_same_keys():
    """So that every key has a default that is told, and no default is refused."""

    def keys(schema: dict[str, Any], at: str = "") -> set[str]:
        while "$ref" in schema:
            schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[-1]]
        inside = schema.get("properties", {})
        return {at} | {each for key in inside for each in keys(inside[key], f"{at}/{key}")}

    def present(value: Any, at: str = "") -> set[str]:
        inside = value.items() if isinstance(value, dict) else ()
        return {at} | {each for key, below in inside for each in present(below, f"{at}/{key}")}

    elsewhere = ("/global", "/config/", *(f"/{service}/" for service in SERVICES))
    # Quantities and settings that are not set by default.
    unset = {"/defaults/env/QUARRY_DRAIN_S"}
    secrets = ("HF_TOKEN", "QUARRY_WEBHOOK_KEY")
    unset |= {f"/defaults/secretEnv/{each}{part}" for each in secrets for part in ("", "/name", "/key")}
    unset |= {
        f"{at}/resources/{part}/{what}" for at in ("/defaults", "/page", "/test") for part, what in UNSET_QUANTITIES
    }
    known = {key for key in keys(SCHEMA) if not key.startswith(elsewhere)} - unset
    there = {key for key in present(VALUES) if not key.startswith(elsewhere)}
    assert known == there - {"/monitoring/dashboards/labels/grafana_dashboard"}
    for service in SERVICES:
        assert {each.removeprefix("/" + service) for each in present(VALUES[service])} <= {
            each.removeprefix("/defaults") for each in keys(SCHEMA) if each.startswith("/defaults")
        } | {""}


UNSET_QUANTITIES = (
    ("requests", "ephemeral-storage"),
    ("limits", "ephemeral-storage"),
    ("limits", "cpu"),
)


def test_the_chart_itself_says_which_values_are_its_own(helm):
    """`helm upgrade --reset-then-reuse-values` gives a release the whole of its old values again."""
    merged = {**VALUES, "config": CONFIG}
    assert helm.objects(merged) == helm.objects(VARIANTS["minimal"])
