"""The schema of the chart's `config` block allows what the services' settings allow, and what Terraform fills in.

Terraform's own tests compare the output `helm_values` with `helm_values.json`; here the file meets the schema. Which keys
there are, which are needed and what their strings look like is all that the block has, so no validator is needed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from quarry_core.contract import names
from quarry_core.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "deploy" / "helm" / "quarry" / "values.schema.json").read_text())
CONFIG = SCHEMA["definitions"]["config"]
FILLED = json.loads((ROOT / "terraform" / "modules" / "pipeline" / "tests" / "helm_values.json").read_text())


def faults(value: Any, schema: dict[str, Any], at: str = "config") -> list[str]:
    """What the schema's objects and patterns say against a value."""
    if "$ref" in schema:
        return faults(value, SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[-1]], at)
    if schema["type"] == "string":
        return [] if re.search(schema["pattern"], value) else [f"{at}: {value}"]
    if schema["type"] == "integer":
        return [] if schema["minimum"] <= value <= schema["maximum"] else [f"{at}: {value}"]
    if schema["type"] == "boolean":
        return [] if isinstance(value, bool) else [f"{at}: {value}"]
    assert schema["additionalProperties"] is False
    known, wanted = schema["properties"], schema["required"]
    found = [f"{at}.{key}: missing" for key in wanted if key not in value]
    found += [f"{at}.{key}: unknown" for key in value if key not in known]
    return found + [each for key in value if key in known for each in faults(value[key], known[key], f"{at}.{key}")]


def test_what_terraform_gives_is_what_the_chart_takes():
    assert faults(FILLED, CONFIG) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"env": "dev-1"}, "config.env: dev-1"),
        ({"jobQuota": 0}, "config.jobQuota: 0"),
        ({"colour": "red"}, "config.colour: unknown"),
        ({"bedrockRoleArn": "dev-quarry-bedrock"}, "config.bedrockRoleArn: dev-quarry-bedrock"),
        ({"queues": {**FILLED["queues"], "slices": {"url": ""}}}, "config.queues.slices.dlqUrl: missing"),
    ],
)
def test_what_is_wrong_is_refused(change, fault):
    assert fault in faults({**FILLED, **change}, CONFIG)


def test_the_schema_has_the_services_queues_and_limits():
    assert list(CONFIG["properties"]["queues"]["properties"]) == list(names.QUEUES)
    fields = Settings.model_json_schema()["properties"]
    env, quota = CONFIG["properties"]["env"], CONFIG["properties"]["jobQuota"]
    assert env["pattern"] == fields["env"]["pattern"]
    assert (quota["minimum"], quota["maximum"]) == (fields["job_quota"]["minimum"], fields["job_quota"]["maximum"])
