"""The embedded AWS for every suite that needs one, and why a test is skipped where there is none.

One emulator a session, started when the first test asks for it. Tests do not share what they make in it: each takes an
environment name of its own (`fresh_env`), or a whole environment (`resources`). `QUARRY_TEST_AWS=localstack` puts
LocalStack in Docker in the emulator's place, for the same tests. `QUARRY_TEST_MUST_RUN=1` fails what would be skipped.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import settings

from quarry_local import emulator, environment, localstack
from quarry_local import resources as local_resources
from quarry_local.clients import Clients
from quarry_local.resources import Resources
from tests import balance, interruption
from tests.aws_kept import KeptClients
from tests.examples import drawn

# How long an example takes says how busy the machine is; a whole test has its own limit.
settings.register_profile("quarry", deadline=None, max_examples=drawn(100))
settings.load_profile("quarry")

LANE = os.environ.get("QUARRY_TEST_AWS", "ministack")
MUST_RUN = os.environ.get("QUARRY_TEST_MUST_RUN") == "1"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Aws:
    """The AWS of this session. `kind` is `ministack` or `localstack`, for what the two do differently."""

    kind: str
    clients: Clients

    @property
    def endpoint_url(self) -> str:
        return self.clients.endpoint_url

    @property
    def region(self) -> str:
        return self.clients.region

    def client(self, service: str, **config):
        return self.clients.client(service, **config)

    def variables(self) -> dict[str, str]:
        """What an AWS client needs in its environment to reach this AWS."""
        return environment.for_aws(self.endpoint_url, self.region, os.environ)


def _do_without(reason: str):
    if MUST_RUN:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.nodeid)  # the processes of a run collect in orders of their own
    for item in items:
        if "aws" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.emulator)


def pytest_configure(config):
    for plugin in (balance, interruption):
        config.pluginmanager.register(plugin)


def pytest_collection_finish():
    # Thousands of tests, and all that they import, stay until the end: they are not looked through again and again.
    gc.collect()
    gc.freeze()
    # A test's own garbage is small: to look for it after each 700 objects, as Python does, takes an eighth of a core.
    gc.set_threshold(20_000, 50, 100)
    gc.enable()  # tests.balance disables it while tests are collected


def pytest_runtest_setup(item):
    if item.get_closest_marker("docker") is None:
        return
    if LANE != "localstack":
        _do_without("needs LocalStack in Docker: make test-docker")
    if reason := localstack.why_not():
        _do_without(reason)


@pytest.fixture(scope="session")
def _aws_or_reason(tmp_path_factory) -> Iterator[Aws | str]:
    """Asked once a session: a reason is not looked for again by each test."""
    with contextlib.ExitStack() as stack:
        try:
            if LANE == "localstack":
                clients = stack.enter_context(localstack.running())
            else:
                clients = stack.enter_context(emulator.running(tmp_path_factory.mktemp("emulator")))
        except (emulator.EmulatorUnavailable, localstack.DockerUnavailable) as error:
            yield str(error)
        else:
            yield Aws(LANE, KeptClients(clients.endpoint_url, clients.region))


@pytest.fixture
def aws(_aws_or_reason) -> Aws:
    """The session's AWS. What a test makes in it must bear a name of its own."""
    if isinstance(_aws_or_reason, str):
        _do_without(_aws_or_reason)
    assert isinstance(_aws_or_reason, Aws)
    return _aws_or_reason


@pytest.fixture
def fresh_env() -> str:
    """An environment name that no other test of this session has."""
    return f"t{next(_numbers)}"


@pytest.fixture
def resources(aws, fresh_env) -> Iterator[Resources]:
    """A whole environment in the session's AWS; its objects are deleted afterwards, for they stay in memory."""
    made = local_resources.create(aws.clients, fresh_env)
    yield made
    empty_bucket(aws, made.place.bucket)


@pytest.fixture
def aws_environment(aws, resources, monkeypatch) -> dict[str, str]:
    """This process's environment as that of a service of `resources`: for adapters that find AWS by themselves."""
    for name in list(os.environ):
        if name.startswith(environment.FOREIGN_PREFIXES):
            monkeypatch.delenv(name)
    variables = {**aws.variables(), **resources.environment()}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    return variables


def empty_bucket(aws: Aws, bucket: str) -> None:
    """Delete every version of every object."""
    s3 = aws.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
