"""Programs without the second that their imports take: forked from a process that has imported them already.

`python -m tests.warm FD MODULE ...` imports the modules and waits. For each request it forks a process that goes on as
`python -m MODULE`, `python -c CODE` or `python SCRIPT` would, with an environment, a directory and an output of its own.
Each is a process like any other: it is killed, waited for and measured like one, and its father is whoever asked. That a
program starts by itself is shown where it is started by itself: most stacks of `tests/e2e` do.

What a module reads of its environment while it is imported, it reads of the warm process's. Linux only: elsewhere
`spawn` starts programs the usual way.
"""

from __future__ import annotations

import array
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from quarry_local import processes
from quarry_local.processes import Running

ROOT = Path(__file__).resolve().parents[1]
REQUEST_BYTES_MAX = 1 << 17
PR_SET_CHILD_SUBREAPER = 36
ADOPTED = b"adopted"
SPAWN = processes.spawn  # `spawn` may stand in its place
LINUX = sys.platform == "linux"


# --------------------------------------------------------------------------- inside the warm process


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork until nobody asks any more; the request, in the process that is to do what it asks."""
    while True:
        text, files = _received(requests)
        if not text:
            return None
        between = os.fork()
        if between == 0:
            if os.fork():
                os._exit(0)  # the child is an orphan now, and goes to whoever asked
            os.setsid()
            requests.send(str(os.getpid()).encode())
            requests.close()
            request: dict[str, Any] = json.loads(text)
            for target, file in enumerate(files):
                os.dup2(file, target)
                os.close(file)
            return request
        os.waitpid(between, 0)
        requests.send(ADOPTED)
        for file in files:
            os.close(file)


def _received(requests: socket.socket) -> tuple[bytes, list[int]]:
    text, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES_MAX, 3)
    return text, files


def _become(request: dict[str, Any]) -> None:
    """Go on as the program that was asked for."""
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for name, number in (("stdout", 1), ("stderr", 2)):
        setattr(sys, name, io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8", write_through=True))
    match request["arguments"]:
        case ["-m", module, *rest]:
            sys.argv = [module, *rest]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", code, *rest]:
            sys.argv = ["-c", *rest]
            main = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(code, "<string>", "exec"), main.__dict__)
        case [script, *rest]:
            sys.argv = [script, *rest]
            sys.path.insert(0, str(Path(script).parent))
            runpy.run_path(script, run_name="__main__")


def main() -> None:
    number, *modules = sys.argv[1:]
    for module in modules:
        importlib.import_module(module)
    if "botocore.session" in sys.modules:
        importlib.import_module("tests.aws_kept").read()
    gc.collect()
    gc.freeze()
    request = _serve(socket.socket(fileno=int(number)))
    if request is not None:
        _become(request)


# --------------------------------------------------------------------------- who asks


class Warm:
    """A warm process. `with Warm([...]) as warm`: it ends with the block; what it has started stays."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = modules

    def __enter__(self) -> Self:
        _adopt_orphans()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), *self._modules],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._requests = ours
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.close()
        self._process.wait()

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], out: IO[Any], error: IO[Any], directory: Path
    ) -> int:
        """Start what `python ARGUMENTS` would; its pid. It is a child of this process."""
        request = {"arguments": list(arguments), "environment": dict(environment), "directory": str(directory)}
        with Path(os.devnull).open("rb") as nothing:
            files = array.array("i", [nothing.fileno(), out.fileno(), error.fileno()])
            self._requests.sendmsg([json.dumps(request).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
            [pid] = {self._requests.recv(64), self._requests.recv(64)} - {ADOPTED}
            return int(pid)

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run`: what a program said, when it is done. The limit of its time is the test's own."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
            pid = self.start(arguments, os.environ if env is None else env, out, error, ROOT)
            try:
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            except BaseException:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise
            said = [file.seek(0) or file.read().decode() for file in (out, error)]
        if check and code:
            raise AssertionError(f"{arguments}: {code}\n{''.join(said)}")
        return subprocess.CompletedProcess(arguments, code, *said)

    def spawn(self, name: str, command: Sequence[str], environment: Mapping[str, str], port: int, log: Path) -> Running:
        """As `quarry_local.processes.spawn`, for what is Python's."""
        if command[0] != sys.executable:
            return SPAWN(name, command, environment, port, log)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            pid = self.start(command[1:], environment, file, file, Path.cwd())
        return Running(name, pid, processes.started_at(pid) or "", port)


def _adopt_orphans() -> None:
    """What the warm process starts becomes a child of this process: it can be waited for."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become a reaper")


if __name__ == "__main__":
    main()
