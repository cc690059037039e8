"""Stacks of real processes. The files of a directory in here share one; each other file has its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest

from quarry_local.emulator import EmulatorUnavailable
from quarry_local.settings import StackSettings
from quarry_local.stack import Stack, StackError
from tests.e2e.user import User


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e/" in item.path.as_posix():
            item.add_marker(pytest.mark.emulator)


@contextlib.contextmanager
def a_stack(directory, settings: StackSettings) -> Iterator[User]:
    """A stack that is up, and of which nothing is left behind."""
    stack = Stack(directory, settings)
    try:
        stack.up()
    except StackError as error:
        if not isinstance(error.__cause__, EmulatorUnavailable):
            raise
        if os.environ.get("QUARRY_TEST_MUST_RUN") == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    try:
        yield User(stack)
    finally:
        stack.down()
    assert stack.processes() == {}


@pytest.fixture(scope="module")
def stack_of(tmp_path_factory) -> Iterator[Callable[[StackSettings], User]]:
    """Makes stacks that live as long as the module's tests."""
    with contextlib.ExitStack() as stacks:
        yield lambda settings: stacks.enter_context(a_stack(tmp_path_factory.mktemp(settings.env), settings))
