"""What is ended from outside leaves nothing running behind it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quarry_local import loopback, processes

WITHIN_S = 60


def children_of(pid):
    """The processes that this one started, by pid and the moment of their beginning."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        child = int(status.parent.name)
        if int(fields[1]) == pid and (started := processes.started_at(child)):
            found[child] = started
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_tests_that_are_ended_by_sigterm_leave_no_process_behind(aws, tmp_path):
    stands = tmp_path / "stands"
    session = str(Path(__file__).with_name("held_session.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", session]
    variables = {**os.environ, "HELD_SESSION_STANDS": str(stands), "PYTEST_ADDOPTS": ""}
    children = {}
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log, env=variables) as tests:
        try:
            assert loopback.until(lambda: stands.exists() or tests.poll() is not None, WITHIN_S)
            children = children_of(tests.pid)
            assert len(children) == 5, (tmp_path / "log").read_text()  # the emulator, and a stack of four
            tests.send_signal(signal.SIGTERM)
            code = tests.wait(WITHIN_S)
        finally:
            tests.kill()
            left = [pid for pid, started in children.items() if processes.started_at(pid) == started]
            for pid in left:
                os.kill(pid, signal.SIGKILL)

    assert (code, left) == (pytest.ExitCode.INTERRUPTED, [])


def test_what_handles_sigterm_already_keeps_doing_so():
    ours = signal.getsignal(signal.SIGTERM)
    assert ours not in (signal.SIG_DFL, None)
    assert not processes.interrupt_on_sigterm()
    assert signal.getsignal(signal.SIGTERM) is ours
