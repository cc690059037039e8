"""What is ended from outside leaves nothing running behind it."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quarry_local import loopback, processes

WITHIN_S = 60
XDIST_GRACE_S = 5


def descendants_of(pid):
    """The processes that this one started, and those that they started, by pid and the moment of their beginning."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parents[int(status.parent.name)] = int(status.read_text(errors="replace").rpartition(")")[2].split()[1])
    found, new = set(), {pid}
    while new := {child for child, parent in parents.items() if parent in new}:
        found |= new
    return {child: started for child in found if (started := processes.started_at(child))}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("several", "end"),
    [
        ((), lambda tests: tests.send_signal(signal.SIGTERM)),
        (("-n", "2"), lambda tests: tests.send_signal(signal.SIGTERM)),
        # As a terminal does: all of its processes get it.
        (("-n", "2"), lambda tests: os.killpg(tests.pid, signal.SIGINT)),
    ],
    ids=["SIGTERM", "SIGTERM to several", "Ctrl-C to several"],
)
def test_tests_that_are_ended_by_a_signal_leave_no_process_behind(aws, tmp_path, several, end):
    stands = tmp_path / "stands"
    session = str(Path(__file__).with_name("held_session.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *several, session]
    drain_s = XDIST_GRACE_S + 2 if several else 0
    variables = {
        **os.environ,
        "HELD_SESSION_STANDS": str(stands),
        "HELD_SESSION_DRAIN_S": str(drain_s),
        "PYTEST_ADDOPTS": "",
    }
    children = {}
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=variables, start_new_session=True) as tests,
    ):
        try:
            assert loopback.until(lambda: stands.exists() or tests.poll() is not None, WITHIN_S)
            children = descendants_of(tests.pid)
            # The emulator, a stack of four, and the one of several processes that runs the tests; the other may be gone.
            assert len(children) - 5 in ((1, 2) if several else (0,)), (tmp_path / "log").read_text()
            end(tests)
            code = tests.wait(WITHIN_S)
        finally:
            tests.kill()
            left = [pid for pid, started in children.items() if processes.started_at(pid) == started]
            for pid in left:
                os.kill(pid, signal.SIGKILL)

    assert (code, left) == (pytest.ExitCode.INTERRUPTED, []), (tmp_path / "log").read_text()


def test_what_handles_sigterm_already_keeps_doing_so():
    ours = signal.getsignal(signal.SIGTERM)
    assert ours not in (signal.SIG_DFL, None)
    assert not processes.interrupt_on_sigterm()
    assert signal.getsignal(signal.SIGTERM) is ours
