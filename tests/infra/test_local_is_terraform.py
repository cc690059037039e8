"""What `quarry local up` makes and what Terraform applies are the same, attribute by attribute.

Both are made in one emulator, under two names, and read back by API. Where they may differ stands below with the reason;
a difference that is not listed fails, and so does one that is listed and gone.
"""

from __future__ import annotations

import re

import pytest

from quarry_local import emulator, resources
from quarry_local.policies import Place
from tests.infra import overrides, reading
from tests.infra.terraform import Workspace

ROOT = "examples/minimal"
LOCAL, APPLIED = "local8", "tf8"  # words that nothing else contains: they are taken out of every value
# A pattern for `path: local's value | Terraform's value`, and why that may be.
ALLOWED: dict[str, str] = {
    r".*/tags/.*": "a bill is told apart by tags; nobody pays for an emulator",
    r"(schedule|role) <env>-quarry-sweep.*": (
        "the sweep's schedule wakes a scheduler that was scaled to zero; a local scheduler always runs and wakes itself"
    ),
    r"managed policy <env>-quarry-operator.*": "who sits at the machine is root of the emulator",
    r"(bucket/policy|queue \S+/Policy): Deny .*aws:SecureTransport.*": "the emulator speaks plain HTTP alone",
    r"bucket/policy: Deny .*(server-side-encryption|aws:PrincipalArn).*": (
        "a bucket's denials bind nobody where IAM is not enforced, and the developer, as root, not even where it is"
    ),
    r"role <env>-quarry-(preprocessor|scheduler|collector)/trust: Allow \{(AWS|Service): .*": (
        "who may assume a service's role follows the runtime: the example's is none, the local roles are those of ECS tasks"
    ),
    r"role <env>-quarry-scheduler/policy access: Allow bedrock:(CreateModelInvocationJob|InvokeModel) .*(foundation-model|inference-profile)/.*": (
        "Terraform is told which models are used; on a laptop every simulated model may be tried"
    ),
    r"role <env>-quarry-preprocessor/policy access: Allow bedrock:GetInferenceProfile .*application-inference-profile/.*": (
        "Terraform is told which application profiles are used: the example uses none, on a laptop each may be tried"
    ),
    r"role <env>-quarry-bedrock/policy access: Allow bedrock:InvokeModel .*(foundation-model|inference-profile)/.*": (
        "Bedrock's role follows the profiles that are used: the example uses none, on a laptop each may be tried"
    ),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Path to both values, of everything that differs."""
    home = tmp_path_factory.mktemp("same")
    with emulator.running(home / "emulator", overrides.REGION) as clients:
        resources.create(clients, LOCAL)
        workspace = Workspace(home / "copy", overrides.environment(clients.endpoint_url))
        overrides.put(workspace, ROOT, env=APPLIED)
        workspace.init(ROOT, backend=True)
        workspace(ROOT, "apply", "-auto-approve", "-no-color")
        sides = [reading.read(clients, Place(env, overrides.REGION, overrides.ACCOUNT)) for env in (LOCAL, APPLIED)]
    assert all(len(side) > 100 for side in sides)
    different = reading.differences(*sides)
    return [f"{path}: {local} | {applied}" for path, (local, applied) in different.items()]


def test_they_differ_only_where_they_may(found):
    new = [line for line in found if not any(re.fullmatch(pattern, line, re.DOTALL) for pattern in ALLOWED)]
    assert not new, "local | Terraform:\n" + "\n".join(new)


def test_every_listed_difference_is_still_there(found):
    gone = [pattern for pattern in ALLOWED if not any(re.fullmatch(pattern, line, re.DOTALL) for line in found)]
    assert not gone, f"no longer seen, take them off the list: {gone}"
