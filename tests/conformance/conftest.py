"""Conformance: statements of the Bedrock batch contract, held against the simulator through its public loopback.

A test says which statements it holds by `@pytest.mark.conforms("C1.2-job-name")`. An id that `statements.py` does not
know ends the collection; one that no test holds fails `test_the_table.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.statements import STATEMENTS
from tests.conformance.world import SimulatedWorld

KNOWN = {statement.id for statement in STATEMENTS}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        unknown = {each for mark in item.iter_markers("conforms") for each in mark.args} - KNOWN
        if unknown:
            raise pytest.UsageError(f"{item.nodeid} conforms to what statements.py does not state: {sorted(unknown)}")


@pytest.fixture
def open_world(aws: Any) -> Iterator[Callable[..., SimulatedWorld]]:
    """Opens simulators with the settings given; all are closed after the test."""
    opened: list[SimulatedWorld] = []

    def build(**settings: Any) -> SimulatedWorld:
        opened.append(SimulatedWorld(aws, **settings))
        return opened[-1]

    yield build
    for each in opened:
        each.close()


@pytest.fixture(scope="module")
def _calm_world(_aws_or_reason: Any) -> Iterator[SimulatedWorld | None]:
    if isinstance(_aws_or_reason, str):
        yield None
        return
    world = SimulatedWorld(_aws_or_reason, check_role=False, quota=1_000_000)
    yield world
    world.close()


@pytest.fixture
def world(aws: Any, _calm_world: SimulatedWorld) -> SimulatedWorld:
    """One simulator for all tests of a module that change none of its settings; it takes any role and any number."""
    return _calm_world
