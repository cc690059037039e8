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


# ------------------------------------------------------------------ the environment's tags


def tagged(quarry, tmp_path, job_tags: str, *, command: str = "submit", policy: str = "", **changes):
    quarry.connections |= {"region": "us-east-1", "job_tags": job_tags, "policy": policy}
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(quarry.world.joke() | changes))
    return quarry(command, str(file))


@pytest.mark.parametrize("command", ["submit", "plan"])
def test_a_manifest_that_gives_a_tag_of_the_environments_another_value_is_not_sent(quarry, tmp_path, command):
    result = tagged(quarry, tmp_path, "team=search", command=command, tags={"team": "ads"})

    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert "tags: team is ads, and every job here has team = search: leave it out (QUARRY_JOB_TAGS)" in said
    assert quarry.world.queues["manifests"].bodies == ()


@pytest.mark.parametrize("command", ["submit", "plan"])
def test_a_tag_that_the_environment_gives_is_one_that_the_policy_may_require(quarry, tmp_path, command):
    policy = "version: 1\ntags_required: [team]"

    assert tagged(quarry, tmp_path, "team=search", command=command, policy=policy).exit_code == 0
    assert tagged(quarry, tmp_path, "", command=command, policy=policy).exit_code == 2


def test_with_tags_that_cannot_be_read_nothing_is_sent(quarry, tmp_path):
    result = tagged(quarry, tmp_path, "team")

    assert result.exit_code == 2
    assert "QUARRY_JOB_TAGS: team is no tag" in result.stderr
    assert quarry.world.queues["manifests"].bodies == ()
