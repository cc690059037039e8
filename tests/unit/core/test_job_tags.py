"""The environment's tags: read strictly, and held against a manifest's."""

from __future__ import annotations

import pytest

from quarry_core.contract.job_request import USER_TAGS_MAX, check_tags, job_tags
from quarry_core.contract.job_tags import JobTagsError, joined_tags, read_job_tags, tag_faults

TEAM = {"team": "search"}


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", {}),
        (" , ", {}),
        ("team=search", TEAM),
        (" team = search , cost-center=4711,", {"team": "search", "cost-center": "4711"}),
        # As Terraform's pipeline writes it (terraform/modules/pipeline/tests/outputs.tftest.hcl).
        (
            "cost-center=4711,empty=,owner/mail=a=b@c,team=search",
            {"team": "search", "cost-center": "4711", "owner/mail": "a=b@c", "empty": ""},
        ),
    ],
)
def test_tags_are_read(text, tags):
    assert read_job_tags(text) == tags


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("team", "team is no tag; write key=value"),
        ("team=a,search", "search is no tag"),
        ("team=a,Team=b", "team and Team are one key"),
        ("team=a,team=a", "team and team are one key"),
        ("=a", "a key is empty"),
        ("quarry-env=prod", "'quarry-env' is reserved"),
        ("Quarry-Anything=prod", "is reserved"),
        ("AWS:team=a", "is reserved by AWS"),
        ("team=a;b", "tags.'team'"),
        ("team=é", "tags.'team'"),
        (f"{'k' * 129}=a", "at most 128"),
        (f"team={'v' * 257}", "at most 256"),
        (",".join(f"k{number}=v" for number in range(49)), "there are 49; give at most 48"),
    ],
)
def test_what_cannot_be_a_tag_of_a_job_is_refused_by_the_settings_name(text, why):
    with pytest.raises(JobTagsError) as refused:
        read_job_tags(text)
    assert str(refused.value).startswith("QUARRY_JOB_TAGS: ")
    assert why in str(refused.value)


def test_a_manifest_adds_tags_and_may_repeat_the_environments():
    assert tag_faults({}, TEAM) == []
    assert tag_faults({"project": "jokes", "team": "search"}, TEAM) == []
    assert joined_tags({"project": "jokes", "team": "search"}, TEAM) == {"team": "search", "project": "jokes"}


@pytest.mark.parametrize("tags", [{"team": "ads"}, {"Team": "ads"}, {"TEAM": "search"}, {"team": ""}])
def test_a_manifest_gives_none_of_the_environments_keys_another_value(tags):
    [fault] = tag_faults(tags, TEAM)
    [key] = tags
    assert fault.startswith(f"tags: {key} is ")
    assert "every job here has team = search: leave it out (QUARRY_JOB_TAGS)" in fault


def test_together_they_are_as_many_as_a_job_takes_beside_quarrys_own():
    theirs = {f"e{number}": "v" for number in range(20)}
    fit = {f"m{number}": "v" for number in range(USER_TAGS_MAX - 20)}
    check_tags(job_tags("test", "run", joined_tags(fit, theirs)))
    assert tag_faults(fit, theirs) == []
    assert tag_faults(fit | {"e0": "v"}, theirs) == [], "one that both have counts once"
    assert tag_faults(fit | {"one": "more"}, theirs) == [
        "tags: there are 29, and every job here has 20 of its environment: give at most 28 more (QUARRY_JOB_TAGS)"
    ]
