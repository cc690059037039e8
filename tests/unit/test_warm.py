"""A program that is forked from a warm process is as any other: its own environment, output, end and father."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from quarry_local import processes
from tests.warm import LINUX, Warm

pytestmark = pytest.mark.skipif(not LINUX, reason="forks and adopts as Linux does")


@pytest.fixture(scope="module")
def warm():
    with Warm(["wave"]) as warm:
        yield warm


def test_it_has_imported_before_and_is_a_main_module_of_its_own(warm):
    ran = warm.run("-c", "import sys; print('wave' in sys.modules, __name__, sys.argv)", "a", "b")
    assert ran.stdout == "True __main__ ['-c', 'a', 'b']\n"
    warm.run("-c", "import wave; wave.kept = True")
    assert warm.run("-c", "import wave; print(hasattr(wave, 'kept'))").stdout == "False\n"


def test_its_environment_its_output_and_its_code_are_its_own(warm):
    code = "import os, sys; print(sorted(os.environ)); print('wrong', file=sys.stderr); sys.exit(3)"
    ran = warm.run("-c", code, env={"ONLY": "1"}, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, "['ONLY']\n", "wrong\n")
    with pytest.raises(AssertionError, match=r"(?s)1\n.*ZeroDivisionError"):
        warm.run("-c", "1 / 0")


def test_what_is_to_be_done_at_the_end_is_done(warm):
    code = "import atexit, threading; atexit.register(print, 'last'); threading.Thread(target=print, args=['thread']).start()"
    assert warm.run("-c", code).stdout == "thread\nlast\n"


def test_a_module_and_a_script_are_run_as_python_runs_them(warm, tmp_path):
    assert warm.run("-m", "this").stdout.startswith("The Zen of Python")
    (tmp_path / "beside.py").write_text("word = 'found'")
    script = tmp_path / "script.py"
    script.write_text("import sys, beside\nprint(beside.word, sys.argv[1:], __name__)")
    assert warm.run(str(script), "x").stdout == "found ['x'] __main__\n"


def test_it_is_a_child_of_whoever_asked_and_is_killed_like_one(warm, tmp_path):
    command = [sys.executable, "-c", "import os, signal; print(os.getpgrp()); signal.pause()"]
    running = warm.spawn("sleeper", command, {}, 0, tmp_path / "log")
    try:
        assert processes.alive(running)
        while "\n" not in (said := (tmp_path / "log").read_text()):
            os.sched_yield()
        assert said == f"{running.pid}\n"
    finally:
        os.kill(running.pid, signal.SIGKILL)
    # Only a father may wait.
    assert os.WTERMSIG(os.waitpid(running.pid, 0)[1]) == signal.SIGKILL
    assert not processes.alive(running)


def test_it_outlives_the_warm_process(tmp_path):
    with Warm([]) as warm:
        running = warm.spawn(
            "sleeper", [sys.executable, "-c", "import signal; signal.pause()"], {}, 0, tmp_path / "log"
        )
    assert processes.alive(running)
    processes.kill(running)
