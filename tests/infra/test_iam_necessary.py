"""Each action of each policy is needed: taken out, and nothing else, the call that needs it is refused.

The policies are read as they were applied, so a new statement is held to this by itself; an action without a probe fails.
Taken out is one action on one resource at a time: what is granted on two queues is needed on both. The emulator judges the
calls; those of Bedrock the proxy before the simulated one, and what Bedrock's role needs for a profile the simulator itself.
"""

from __future__ import annotations

import re

import pytest

from quarry_local.bedrock.iam.policy import by_identity
from quarry_local.policies import SERVICES
from tests.infra.applied import BEDROCK, OPERATOR
from tests.infra.probes import MISJUDGED, PROBES, Asking, grants, without
from tests.infra.summary import SUMMARY

CALLERS = [*SERVICES, BEDROCK, OPERATOR]
# What can be taken away without harm here, and why it stays; by caller, action and a pattern of the resource.
KEPT: dict[tuple[str, str, str], str] = {
    (name, action, r"arn:aws:bedrock:us-west-1::foundation-model/.*"): (
        "which regions of its geography a profile leads to differs by model, and grows; the simulated one leads to three"
    )
    for name, action in (
        ("scheduler", "bedrock:CreateModelInvocationJob"),
        ("scheduler", "bedrock:InvokeModel"),
        (BEDROCK, "bedrock:InvokeModel"),
    )
}


def kept(name, grant):
    keys = [key for key in KEPT if key[:2] == (name, grant.action) and re.fullmatch(key[2], grant.resource)]
    return keys[0] if keys else None


@pytest.fixture(scope="module", autouse=True)
def clean(world):
    """Nothing that a probe sent is left for the services."""
    yield
    sqs = world.root.client("sqs")
    for url in sqs.list_queues(QueueNamePrefix=f"{world.place.env}-quarry-")["QueueUrls"]:
        sqs.purge_queue(QueueUrl=url)


@pytest.mark.parametrize("name", CALLERS)
def test_no_action_can_be_taken_away_without_harm(world, name):
    asking, policy = Asking(world, world.callers[name]), world.policy(name)
    found, faults, seen = grants(policy), [], set()
    for grant in found:
        if grant.action not in PROBES:
            faults.append(f"no probe: {grant}")
        elif grant.action in MISJUDGED:
            faults += _by_document(policy, grant)
        else:
            if asking.denied(grant):
                faults.append(f"denied with the whole policy: {grant}")
            with world.changed(name, without(policy, grant)):
                missed = asking.denied(grant)
            if reason := kept(name, grant):
                seen.add(reason)
                if missed:
                    faults.append(f"missed after all, take it off the list: {grant}")
            elif not missed:
                faults.append(f"not missed: {grant}")
    faults += [f"no longer granted, take it off the list: {key}" for key in KEPT if key[0] == name and key not in seen]
    assert not faults, "\n".join(faults)
    assert found
    SUMMARY.grants += len(found)
    SUMMARY.notes.add(f"judged by the document alone, the emulator is wrong there: {', '.join(sorted(MISJUDGED))}")


def _by_document(policy, grant):
    asked = {"action": grant.action, "resource": grant.resource, "context": {}}
    if not by_identity([policy], **asked).allowed:
        return [f"not granted: {grant}"]
    if by_identity([without(policy, grant)], **asked).allowed:
        return [f"granted twice: {grant}"]
    return []


def test_what_the_emulator_misjudges_it_still_misjudges(world):
    asking, found = Asking(world, world.callers[OPERATOR]), grants(world.policy(OPERATOR))
    right = [str(grant) for grant in found if grant.action in MISJUDGED and not asking.denied(grant)]
    assert not right, f"judged rightly now, take them off the list: {right}"
    assert set(MISJUDGED) <= {grant.action for grant in found}
