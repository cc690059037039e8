"""What the services' roles are granted passes the network's endpoints, and nothing of another account does."""

from __future__ import annotations

import json
import re

import pytest

from quarry_local.bedrock.iam.policy import by_resource
from tests.infra import overrides
from tests.infra.policies import rendered
from tests.infra.probes import grants

DIRECTORY = "envs/prod"
STRANGER = "111122223333"
ENDPOINT = re.compile(r'aws_vpc_endpoint\.(?:interface\["(?P<interface>[a-z.-]+)"\]|(?P<gateway>s3|dynamodb))\.policy$')
# The endpoints that a service of AWS is called by.
CALLED_BY = {"ecr": ("ecr.api", "ecr.dkr"), "iam": ()}
# The actions of a service that another endpoint than the service's own is called for.
ACTIONS_CALLED_BY = {"bedrock:InvokeModel": ("bedrock-runtime",)}
ROLES = re.compile(r'aws_iam_role_policy\.(?:access\["(?:preprocessor|scheduler|collector)"\]|execution)\.policy$')


@pytest.fixture(scope="module")
def documents(checks):
    return dict(rendered(checks[DIRECTORY].plan))


@pytest.fixture(scope="module")
def endpoints(documents):
    found = {
        match["interface"] or match["gateway"]: doc
        for name, doc in documents.items()
        if (match := ENDPOINT.search(name))
    }
    assert set(found) == {
        "bedrock",
        "bedrock-runtime",
        "ecr.api",
        "ecr.dkr",
        "events",
        "logs",
        "sqs",
        "sts",
        "s3",
        "dynamodb",
    }
    return found


def called_by(grant):
    return ACTIONS_CALLED_BY.get(grant.action) or CALLED_BY.get(grant.service, (grant.service,))


def passes(policy, grant, account):
    reported = {"aws:PrincipalAccount": account}
    asked = {"principals": {f"arn:aws:iam::{account}:role/any"}, "action": grant.action, "resource": grant.resource}
    return by_resource(policy, **asked, context=reported).allowed


def test_what_a_service_is_granted_passes(documents, endpoints):
    wanted = [grant for name, document in documents.items() if ROLES.search(name) for grant in grants(document)]
    assert len({grant.service for grant in wanted}) > 5
    stopped = [
        f"{endpoint}: {grant}"
        for grant in wanted
        for endpoint in called_by(grant)
        if endpoint in endpoints and not passes(endpoints[endpoint], grant, overrides.ACCOUNT)
    ]
    assert not stopped, "\n".join(stopped)


def test_what_passes_an_interface_is_for_principals_of_the_account(endpoints):
    """But for a call that bears a token and no principal, which takes a role of the environment alone."""
    open_to_strangers = {
        f"{name}: {grant.action} on {grant.resource}"
        for name, policy in endpoints.items()
        if name not in {"s3", "dynamodb"}
        for grant in grants(policy)
        if passes(policy, grant, STRANGER)
    }
    role = f"arn:aws:iam::{overrides.ACCOUNT}:role/prod-quarry-*"
    assert open_to_strangers == {f"sts: sts:AssumeRoleWithWebIdentity on {role}"}


def test_nothing_passes_that_writes_elsewhere(endpoints):
    """An image is not pushed, a queue of another environment is not sent to, another role is not taken."""
    every = json.dumps(endpoints)
    assert not re.search(
        r"ecr:(Put|Upload|Complete|Initiate)|sts:AssumeRole\"|\"\w+:\*\"|sqs:(Create|Purge|Set)", every
    )
