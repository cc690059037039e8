"""One stack whose Bedrock gets the faults that a test asks for, and is without any again after it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from quarry_local.clients import Clients
from quarry_local.settings import StackSettings
from tests.e2e.conftest import a_stack
from tests.e2e.user import User, until

QUOTA = 4
TERMINAL = {"Completed", "PartiallyCompleted", "Failed", "Expired", "Stopped"}


@pytest.fixture(scope="package")
def user(tmp_path_factory, warm) -> Iterator[User]:
    with a_stack(
        tmp_path_factory.mktemp("faults"),
        StackSettings(env="faults", quota=QUOTA, overrides={"QUARRY_REFUSED_MODEL_DAYS": "0"}),
        warm,
    ) as user:
        yield user


@pytest.fixture
def bedrock(user):
    client = Clients(user.env["AWS_ENDPOINT_URL_BEDROCK"], "us-east-1").client("bedrock")
    yield client
    client.close()


@pytest.fixture(autouse=True)
def _calm_again(user, bedrock):
    """No test meets what another has left: neither faults nor jobs, foreign or of a test that failed."""
    yield
    user.stack.clear_faults()

    def active():
        return [job for job in user.stack.simulator_stats()["jobs"] if job["status"] not in TERMINAL]

    for job in active():
        # It may end by itself meanwhile.
        with contextlib.suppress(bedrock.exceptions.ValidationException):
            bedrock.stop_model_invocation_job(jobIdentifier=job["arn"])
    until(lambda: not active(), 20, lambda: f"still active: {active()}")
