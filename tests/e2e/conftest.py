"""Stacks of real processes. The files of a directory in here share one; each other file has its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest

from quarry_local import processes
from quarry_local.emulator import EmulatorUnavailable
from quarry_local.settings import StackSettings
from quarry_local.stack import Stack, StackError
from tests.e2e.user import User
from tests.warm import LINUX, Warm

# All that is started here again and again.
PROGRAMS = (
    "quarry_preprocessor.handler",
    "quarry_scheduler.handler",
    "quarry_collector.handler",
    "quarry_local.bedrock.server",
    "quarry_cli.main",
    "quarry_cli.aws.connections",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e/" in item.path.as_posix():
            item.add_marker(pytest.mark.emulator)


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm | None]:
    """What starts programs that have begun elsewhere already; None where there is none."""
    if not LINUX:
        yield None
        return
    with Warm(PROGRAMS) as warm:
        yield warm


@contextlib.contextmanager
def a_stack(directory, settings: StackSettings, warm: Warm | None = None, *, plainly: bool = False) -> Iterator[User]:
    """A stack that is up, and of which nothing is left behind.

    Args:
        directory: of the stack.
        settings: of the stack.
        warm: starts its processes and the user's commands, if there is one.
        plainly: its processes are started as everybody starts them.
    """
    with pytest.MonkeyPatch.context() as patch:
        if warm and not plainly:
            patch.setattr(processes, "spawn", warm.spawn)
        with _standing(Stack(directory, settings)) as stack:
            yield User(stack, warm)


@contextlib.contextmanager
def _standing(stack: Stack) -> Iterator[Stack]:
    try:
        stack.up()
    except StackError as error:
        if not isinstance(error.__cause__, EmulatorUnavailable):
            raise
        if os.environ.get("QUARRY_TEST_MUST_RUN") == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    try:
        yield stack
    finally:
        stack.down()
    assert stack.processes() == {}


@pytest.fixture(scope="module")
def stack_of(tmp_path_factory, warm) -> Iterator[Callable[..., User]]:
    """Makes stacks that live as long as the module's tests; takes the further arguments of `a_stack`."""
    with contextlib.ExitStack() as stacks:
        yield lambda settings, **how: stacks.enter_context(
            a_stack(tmp_path_factory.mktemp(settings.env), settings, warm, **how)
        )
