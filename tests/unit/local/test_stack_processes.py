"""Detached processes and the waiting for them: `quarry_local.processes`, `quarry_local.launch`."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from quarry_local import launch, loopback, processes
from quarry_local.launch import NotReady, Program

STUB = Path(__file__).with_name("stub_service.py")
# A parent that starts a child of its own and tells its pid.
PARENT = "import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE); print(c.pid, flush=True); c.wait()"


@pytest.fixture
def run(tmp_path):
    """Starts stubs, and leaves none behind whatever a test does."""
    begun = []

    def start(*command, name="stub", port=0):
        process = processes.spawn(name, [sys.executable, *command], dict(os.environ), port, tmp_path / f"{name}.log")
        begun.append(process)
        return process

    yield start
    for process in begun:
        processes.kill(process)


@pytest.fixture
def program(tmp_path):
    def make(**variables):
        return Program(
            "stub",
            lambda port: [sys.executable, str(STUB), "--port", str(port)],
            lambda _: {**os.environ, **variables},
            "/readyz",
            tmp_path / "stub.log",
        )

    return make


def not_again(process: processes.Running) -> None:
    pytest.fail(f"begun anew: {process}")


def first_line(log: Path) -> str:
    assert loopback.until(lambda: bool(processes.tail(log, 1)), 10)
    return processes.tail(log, 1)[0]


def test_a_process_is_known_by_its_pid_and_its_start(run):
    process = run("-c", "import signal; signal.pause()")

    assert processes.alive(process)
    assert not processes.alive(dataclasses.replace(process, started="another start"))
    assert not processes.alive(dataclasses.replace(process, started=""))


def test_a_recycled_pid_is_never_signalled(run):
    stranger = run("-c", "import signal; signal.pause()")
    stale = dataclasses.replace(stranger, started="what once had this pid")

    assert processes.stop([stale], grace_s=0) == []
    processes.kill(stale)

    assert processes.alive(stranger)


def test_a_dead_child_that_nobody_waited_for_does_not_count_as_alive(run):
    process = run("-c", "pass")

    assert loopback.until(lambda: not processes.alive(process), 10)
    assert not Path(f"/proc/{process.pid}").exists()  # dead-lettered, not a zombie


def test_stopping_takes_what_the_process_started_with_it(run, tmp_path):
    parent = run("-c", PARENT)
    child = int(first_line(tmp_path / "stub.log"))
    assert processes.started_at(child)

    processes.stop([parent], grace_s=10)

    assert loopback.until(lambda: processes.started_at(child) is None, 10)


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace_and_named(run, tmp_path):
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    stubborn = run("-c", ignore, name="stubborn")
    polite = run("-c", "import signal; signal.pause()", name="polite")
    assert first_line(tmp_path / "stubborn.log") == "deaf"

    assert processes.stop([stubborn, polite], grace_s=0.2) == ["stubborn"]

    assert not processes.alive(stubborn)
    assert not processes.alive(polite)
    assert processes.stop([stubborn, polite], grace_s=0) == []


def test_a_process_is_in_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(run):
    process = run("-c", "import signal; signal.pause()")

    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    assert processes.send(process, signal.SIGTERM)


def test_the_tail_of_a_log_is_its_last_lines_and_of_no_log_nothing(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {n} {'x' * 100}\n" for n in range(5_000)))

    assert [line.split()[1] for line in processes.tail(log, 2)] == ["4998", "4999"]
    assert processes.tail(tmp_path / "none.log", 2) == []


def test_a_program_is_ready_when_it_says_so_itself(program):
    begun = launch.begin(program())
    try:
        assert launch.finish(program(), begun, 10, again=not_again) == begun
        assert loopback.ready(begun.port, "/readyz")
    finally:
        processes.kill(begun)


def test_a_program_that_ends_at_once_is_reported_with_the_end_of_its_log(program):
    failing = program(STUB_FAILS="no such table: ledger")

    with pytest.raises(NotReady, match=r"(?s)stub ended before it was ready.*no such table: ledger") as caught:
        launch.finish(failing, launch.begin(failing), 10, again=not_again)

    assert caught.value.name == "stub"


def test_a_program_that_never_becomes_ready_is_stopped(program):
    silent = program(STUB_SILENT="1")
    begun = launch.begin(silent)

    with pytest.raises(NotReady, match=r"was not ready within 0\.5 s"):
        launch.finish(silent, begun, 0.5, again=not_again)

    assert not processes.alive(begun)


def test_a_program_that_wavers_is_waited_for(program):
    wavering = program(STUB_WAVERS="1")
    begun = launch.begin(wavering)
    try:
        assert launch.finish(wavering, begun, 10, again=not_again) == begun
    finally:
        processes.kill(begun)


def test_a_program_that_is_not_there_is_reported_as_such(tmp_path):
    absent = Program("stub", lambda _: [str(tmp_path / "absent")], lambda _: {}, "/", tmp_path / "stub.log")

    with pytest.raises(NotReady, match="stub cannot be started"):
        launch.begin(absent)


def test_a_port_that_a_stranger_took_is_given_up_for_another(program):
    again: list[processes.Running] = []
    with socket.socket() as stranger:
        stranger.bind((loopback.LOOPBACK, 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        begun = launch.begin(program(), taken)
        stranger.settimeout(0)

        finished = launch.finish(program(), begun, 10, again=again.append)

    try:
        assert finished.port != taken
        assert again == [finished]
        assert loopback.ready(finished.port, "/readyz")
    finally:
        processes.kill(finished)
