"""Bringing a program up behind a loopback port, and waiting until it says that it is ready.

In two halves, so that several can warm up at once: `begin` starts it, `finish` waits for it. A port that somebody else
took between our looking and its binding is the one failure that is tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quarry_local import loopback, processes
from quarry_local.processes import Running

PORT_TRIES_MAX = 3
GIVE_UP_GRACE_S = 2.0
TAIL_LINES = 25


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, given its port: the whole command, the whole environment; and where it says that it is ready."""

    name: str
    command: Callable[[int], Sequence[str]]
    environment: Callable[[int], Mapping[str, str]]
    ready_path: str
    log: Path


class NotReady(Exception):
    """A program ended, or did not become ready in time; the message holds the end of its log.

    Attributes:
        name: which program.
    """

    def __init__(self, name: str, what: str, log: Path) -> None:
        end = processes.tail(log, TAIL_LINES)
        super().__init__("\n".join([f"{name} {what}; its log ({log}) ends:", *end] if end else [f"{name} {what}"]))
        self.name = name


def begin(program: Program, port: int | None = None) -> Running:
    """Start a program on a port (a free one if None) and return at once.

    Raises:
        NotReady: it cannot even be started.
    """
    chosen = port or loopback.free_port()
    try:
        return processes.spawn(program.name, program.command(chosen), program.environment(chosen), chosen, program.log)
    except OSError as error:
        raise NotReady(program.name, f"cannot be started: {error}", program.log) from error


def finish(program: Program, begun: Running, within_s: float, again: Callable[[Running], None]) -> Running:
    """Wait until a begun program is ready.

    Args:
        program: what was begun.
        begun: as `begin` returned it.
        within_s: how long one start may take.
        again: told of the new process, if the port was taken and it had to be begun anew.

    Raises:
        NotReady: it ended or stayed silent; it is no longer running.
    """
    for tries_left in reversed(range(PORT_TRIES_MAX)):
        reached = loopback.until(lambda: not processes.alive(begun) or _answers(begun, program.ready_path), within_s)  # noqa: B023 - called at once
        if reached and processes.alive(begun):
            return begun
        ended = not processes.alive(begun)
        processes.stop([begun], GIVE_UP_GRACE_S)
        taken = "in use" in "\n".join(processes.tail(program.log, TAIL_LINES)).lower()
        if not (ended and taken and tries_left):
            what = "ended before it was ready" if ended else f"was not ready within {within_s:g} s"
            raise NotReady(program.name, what, program.log)
        begun = begin(program)
        again(begun)
    raise AssertionError  # the last try returned or raised


def _answers(begun: Running, path: str) -> bool:
    """Whether a living program says that it is ready. Asked twice: one answer may be of a stranger that holds the port."""
    return loopback.ready(begun.port, path) and processes.alive(begun) and loopback.ready(begun.port, path)
