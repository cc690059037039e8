"""The command judges by the environment's policy before it sends."""

from __future__ import annotations

import json

import pytest

from tests.world.world import CLAUDE


def submitted(quarry, tmp_path, policy: str):
    quarry.connections |= {"region": "us-east-1", "policy": policy}
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(quarry.world.joke()))
    return quarry("submit", str(file))


def test_what_is_not_allowed_is_not_sent(quarry, tmp_path):
    result = submitted(quarry, tmp_path, "version: 1\nmodels: ['amazon.*']\nprompts: ['poem_*']")

    assert result.exit_code == 2
    assert f"model_id: {CLAUDE} is not allowed here; allowed are amazon.* (QUARRY_POLICY)" in result.stderr
    assert "prompt_id: joke_about_topic is not allowed here" in result.stderr
    assert quarry.world.queues["manifests"].bodies == ()


def test_what_is_allowed_is_sent(quarry, tmp_path):
    assert submitted(quarry, tmp_path, "version: 1\nmodels: ['anthropic.*']").exit_code == 0
    assert len(quarry.world.queues["manifests"].bodies) == 1


@pytest.mark.parametrize("policy", ["version: 1\nmodell: [x]", "nothing"])
def test_with_a_policy_that_cannot_be_read_nothing_is_sent(quarry, tmp_path, policy):
    result = submitted(quarry, tmp_path, policy)

    assert result.exit_code == 2
    assert "QUARRY_POLICY" in result.stderr
    assert quarry.world.queues["manifests"].bodies == ()
