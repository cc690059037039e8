"""Detached processes: started in a session of their own, found again by another program, stopped for certain.

Owns nothing but what a `Running` says: a pid, *and when that pid started*. A pid alone is not a name: the kernel gives
it to somebody else one day. Every signal is sent only after both agree, so a stale record never harms a stranger.
`stop` may be called twice, and by a program that did not start the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

POLL_S = 0.05
LOG_TAIL_BYTES_MAX = 64 * 1024
KILL_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """A process by its two names: `pid`, and `started`, the kernel's own mark of its beginning."""

    name: str
    pid: int
    started: str
    port: int


def spawn(name: str, command: Sequence[str], environment: Mapping[str, str], port: int, log: Path) -> Running:
    """Start a process that outlives this one, its output appended to `log`. It does not wait for readiness.

    The environment is given whole: nothing is inherited.

    Raises:
        OSError: the program cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # posix_spawn rather than Popen: nobody keeps an object whose destructor would complain that the process is still running.
    pid = os.posix_spawn(
        command[0],
        list(command),
        dict(environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.fspath(log), flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return Running(name, pid, started_at(pid) or "", port)


def started_at(pid: int) -> str | None:
    """When the process began, as the system says it; None if there is none, or only its remains (dead-lettered if ours)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _started_at_by_ps(pid)
    except ProcessLookupError:
        return None
    # The name in parentheses may itself hold spaces and parentheses: fields count from behind the last one.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        _dead_letter(pid)
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{fields[19]}"


def _started_at_by_ps(pid: int) -> str | None:
    """The same where there is no /proc (macOS)."""
    # Fixed program, and the only argument is a number.
    answer = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = answer.stdout.strip().partition(" ")
    if not state or state.startswith("Z"):
        _dead_letter(pid)
        return None
    return started.strip()


def _dead_letter(pid: int) -> None:
    """Wait for a dead child of ours; another program's children are not ours to wait for."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def alive(process: Running) -> bool:
    return bool(process.started) and started_at(process.pid) == process.started


def send(process: Running, number: signal.Signals) -> bool:
    """Signal the process and what it started. False if it is gone: nothing was sent."""
    if not alive(process):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    return True


def stop(processes: Iterable[Running], grace_s: float) -> list[str]:
    """SIGTERM to all at once; SIGKILL to those that still live after `grace_s`. Harmless when they are gone.

    Returns:
        The names of those that had to be killed.
    """
    left = [process for process in processes if send(process, signal.SIGTERM)]
    left = _wait_gone(left, grace_s)
    killed = [process.name for process in left if send(process, signal.SIGKILL)]
    _wait_gone(left, KILL_WAIT_S)
    return killed


def interrupt_on_sigterm() -> bool:
    """Let SIGTERM interrupt this program as Ctrl-C does, so that it stops what it started; the next one changes nothing.

    Returns:
        False if this is not the main thread, or somebody handles SIGTERM already: nothing was changed.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return False

    def interrupt(number: int, _frame: object) -> NoReturn:
        # Stopping takes a moment, and whoever is impatient must not interrupt that.
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    return True


def kill(process: Running) -> None:
    """SIGKILL, and wait until the process is gone. Harmless when it is."""
    send(process, signal.SIGKILL)
    _wait_gone([process], KILL_WAIT_S)


def _wait_gone(processes: list[Running], within_s: float) -> list[Running]:
    until = time.monotonic() + within_s
    while (left := [process for process in processes if alive(process)]) and time.monotonic() < until:
        time.sleep(POLL_S)
    return left


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log, of at most its last 64 KiB; none if it does not exist."""
    try:
        with log.open("rb") as file:
            return last_lines(file, lines)
    except FileNotFoundError:
        return []


def last_lines(log: BinaryIO, lines: int) -> list[str]:
    """The same of an open log, which is left where reading ended: what is written later is read from there."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES_MAX))
    read = log.read().decode("utf-8", "replace").splitlines()
    return read[-lines:] if lines else []
