"""The embedded AWS: ministack, run from an environment of its own, on a loopback port of its own.

It pins a botocore that aiobotocore cannot share, hence the second virtual environment (`.venv-local-aws` in the
checkout, or the interpreter that `QUARRY_LOCAL_AWS_PYTHON` names). Everything it holds is in memory: stopping it forgets
all, objects too. It is given an environment of a few variables and no Docker socket, so that it opens no port but its
gateway, keeps no file outside the directory of the stack, and touches no container of the developer's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from quarry_local import launch, loopback, processes
from quarry_local.clients import Clients
from quarry_local.launch import Program

NAME = "emulator"
HEALTH = "/_ministack/health"
REQUIREMENTS = Path("requirements", "local-aws.txt")
PYTHON_VARIABLE = "QUARRY_LOCAL_AWS_PYTHON"
READY_WITHIN_S = 60.0
STOP_GRACE_S = 10.0


class EmulatorUnavailable(Exception):
    """The emulator cannot be had here; the message says why, and what would help."""


def python() -> Path:
    """The interpreter that has ministack; its environment is made from the hashed requirements if it is missing.

    Raises:
        EmulatorUnavailable: there is no checkout to make it from, or it could not be made.
    """
    if named := os.environ.get(PYTHON_VARIABLE):
        if not Path(named).is_file():
            raise EmulatorUnavailable(f"{PYTHON_VARIABLE} names {named}, which does not exist")
        return Path(named)
    root = _checkout()
    home = root / ".venv-local-aws"
    interpreter = home / "bin" / "python"
    pin = _pin(root / REQUIREMENTS)
    if _installed(interpreter) == pin:
        return interpreter
    home.mkdir(exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _installed(interpreter) != pin:  # another `up` may have made it while we waited
            _make(home, interpreter, root / REQUIREMENTS)
    return interpreter


def _checkout() -> Path:
    here = (*Path(__file__).resolve().parents, Path.cwd(), *Path.cwd().parents)
    for directory in here:
        if (directory / REQUIREMENTS).is_file():
            return directory
    raise EmulatorUnavailable(
        f"no {REQUIREMENTS} here or above: run from a checkout, or set {PYTHON_VARIABLE} (docs/install.md)"
    )


def _pin(requirements: Path) -> str:
    for line in requirements.read_text(encoding="utf-8").splitlines():
        name, _, rest = line.partition("==")
        if name == "ministack":
            return rest.split()[0]
    raise EmulatorUnavailable(f"{requirements} does not pin ministack")


def _installed(interpreter: Path) -> str | None:
    if not interpreter.is_file():
        return None
    code = "from importlib.metadata import version; print(version('ministack'))"
    # The interpreter is the one of our own environment.
    answer = subprocess.run(  # noqa: S603
        [interpreter, "-c", code], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or None


def _make(home: Path, interpreter: Path, requirements: Path) -> None:
    for step in (
        [sys.executable, "-m", "venv", str(home)],
        [str(interpreter), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(requirements)],
    ):
        # Our own interpreters, with fixed arguments.
        answer = subprocess.run(  # noqa: S603
            step, capture_output=True, text=True, check=False
        )
        if answer.returncode:
            raise EmulatorUnavailable(f"{' '.join(step)} failed:\n{answer.stderr.strip()[-2000:]}")


def program(home: Path, log: Path) -> Program:
    """How to run the emulator: everything that it is told. `home` takes its temporary files.

    Raises:
        EmulatorUnavailable: as `python`.
    """
    interpreter = str(python())
    home.mkdir(parents=True, exist_ok=True)

    def environment(port: int) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "TMPDIR": str(home),
            "GATEWAY_PORT": str(port),
            "BIND_HOST": loopback.LOOPBACK,  # its default is every interface
            "MINISTACK_HOST": loopback.LOOPBACK,  # what queue URLs begin with
            "IOT_MTLS_ENABLED": "0",  # else it listens on 8883 too
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": f"unix://{home}/no-docker.sock",
            "LOG_LEVEL": "WARNING",
            "PYTHONUNBUFFERED": "1",
        }

    return Program(NAME, lambda _: (interpreter, "-m", "ministack"), environment, HEALTH, log)


@contextlib.contextmanager
def running(home: Path, region: str = "us-east-1") -> Iterator[Clients]:
    """An emulator for the length of a `with` block, for tests and small scripts; SIGTERM ends the block too.

    Args:
        home: a directory for its log and temporary files.
        region: what its clients say.

    Raises:
        EmulatorUnavailable: as `python`.
        NotReady: it did not answer in time.
    """
    what = program(home, home / f"{NAME}.log")
    processes.interrupt_on_sigterm()
    process = begun = launch.begin(what)
    try:
        process = launch.finish(what, begun, READY_WITHIN_S, again=lambda _: None)
        yield Clients(f"http://{loopback.LOOPBACK}:{process.port}", region)
    finally:
        processes.stop([process], STOP_GRACE_S)
