"""Who interrupts the tests, by Ctrl-C or SIGTERM, leaves no emulator and no stack behind: also where `-n` asks for several processes.

One process alone is interrupted where it is, and its fixtures take down what they made. Of several, xdist ends each within
seconds of its own interruption, too soon for a stack. So here the controller passes the interruption on, and waits until
each process has taken down what it made. How it knows: a process holds the lock of a file, whose name is its pid, from its
start to its end. Ctrl-C reaches all processes of a terminal: they leave it to the controller, unless that is gone.
"""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from quarry_local import processes

LOCKS = "quarry_locks"
WITHIN_S = 60.0
POLL_S = 0.05


class Controller:
    """What the process that runs no tests itself does about those that do."""

    def __init__(self, config: pytest.Config) -> None:
        self._locks = tempfile.TemporaryDirectory(prefix="quarry-tests-")
        config.add_cleanup(self._locks.cleanup)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[LOCKS] = self._locks.name

    def pytest_keyboard_interrupt(self) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the impatient must not leave a half behind
        for lock in self._held():
            os.kill(int(lock.name), signal.SIGTERM)
        until = time.monotonic() + WITHIN_S
        while self._held() and time.monotonic() < until:
            time.sleep(POLL_S)
        signal.signal(signal.SIGINT, before)

    def _held(self) -> list[Path]:
        return [lock for lock in Path(self._locks.name).iterdir() if _is_held(lock)]


def _is_held(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _hold_lock(config: pytest.Config, locks: str) -> None:
    file = Path(locks, str(os.getpid())).open("w")  # noqa: SIM115 - open as long as the process runs tests
    fcntl.flock(file, fcntl.LOCK_EX)
    config.add_cleanup(file.close)
    controller = os.getppid()

    def interrupt_if_alone(number: int, frame: FrameType | None) -> None:
        if os.getppid() != controller:
            signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt_if_alone)


def pytest_configure(config: pytest.Config) -> None:
    processes.interrupt_on_sigterm()
    if locks := getattr(config, "workerinput", {}).get(LOCKS):
        _hold_lock(config, locks)
    elif config.getoption("numprocesses", None):
        config.pluginmanager.register(Controller(config))


def pytest_runtest_setup() -> None:
    # A test whose event loop handled signals put the default back.
    processes.interrupt_on_sigterm()
