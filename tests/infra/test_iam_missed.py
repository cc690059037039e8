"""A service that lacks a permission says so in words that name it: one of each, and Bedrock's role.

What can be had by trying again goes on by itself once the permission is back; what was refused to the user stays refused.
"""

from __future__ import annotations

import time

import pytest

from quarry_local import demo, resources
from quarry_local.policies import SERVICES
from tests.infra import working
from tests.infra.applied import BEDROCK, CLAUDE
from tests.infra.probes import grants, without

ROWS = 100
WITHIN_S = 300
# A job that fails for want of a permission is repeated until somebody has seen it, on a slow machine too.
REPEATED = {"QUARRY_REPEATS_MAX": "9"}
PROMPT = "joke_about_topic"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("missed")


@pytest.fixture(scope="module")
def logs(world, home):
    with working.services(world, home, REPEATED) as logs:
        yield logs


@pytest.fixture(scope="module")
def operator(world, home, logs):
    operator = working.Operator(world, home)
    operator.put(f"prompts/{PROMPT}.yaml", (resources.SHIPPED_PROMPTS / f"{PROMPT}.yaml").read_bytes())
    return operator


@pytest.mark.parametrize(
    ("name", "action", "part", "where", "state"),
    [
        ("preprocessor", "s3:GetObject", "/prompts/", "run", "FAILED"),
        ("scheduler", "iam:PassRole", ":role/", "run", "FAILED"),
        ("collector", "s3:GetObject", "/batch-output/", "log", "SUCCEEDED"),
        (BEDROCK, "s3:PutObject", "/batch-output/", "job", "SUCCEEDED"),
    ],
)
def test_what_is_missed_is_named(world, operator, logs, name, action, part, where, state):
    policy = world.policy(name)
    grant = next(one for one in grants(policy) if one.action == action and part in one.resource)
    source = operator.put(f"inputs/{name}.csv", demo.topics(ROWS))
    run_id = f"no{name}"
    text = {"model_id": CLAUDE, "prompt_id": PROMPT, "job_name_prefix": "proof", "s3_uri": source}

    def reported():
        view = operator.status(run_id)
        return {
            "run": view.get("error") or "",
            "job": " ".join(job["message"] or "" for job in view.get("jobs", ())),
            "log": logs[name].read_text() if name in SERVICES else "",
        }[where]

    with world.changed(name, without(policy, grant)):
        operator.submit({**text, "run_id": run_id})
        until = time.monotonic() + WITHIN_S
        while f"not authorized to perform: {action}" not in reported():
            assert time.monotonic() < until, operator.status(run_id)
            time.sleep(working.POLL_S)
    view = operator.ended(run_id)
    assert view["state"] == state, view
    assert view["rows"]["ok"] == (ROWS if state == "SUCCEEDED" else 0)
