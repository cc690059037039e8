"""A service that dies at a named point: `python -m tests.e2e.failpoints <service>`.

The product's code is unchanged: the failure enters at the ports. A thin proxy stands before a port and, when the call
that the point names has been done, sends this very process the signal. Each point is where a crash leaves the most
behind: something is done already, and nobody has been told.

Environment: `QUARRY_FAILPOINT`, a name out of `POINTS`; `QUARRY_FAILPOINT_MARKER`, a path, made by the one process that
dies: who finds it survives; `QUARRY_FAILPOINT_SIGNAL`, by default SIGKILL.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

from quarry_core.contract.states import ShardState
from quarry_core.ports import JobRequest, ObjectRef, Put, Update, Upload, Write
from quarry_core.service import process
from quarry_core.service.process import World

Strike = Callable[[], None]


def strike_once() -> None:
    """Signal this process, unless one was signalled before."""
    try:
        os.close(os.open(os.environ["QUARRY_FAILPOINT_MARKER"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.Signals[os.environ.get("QUARRY_FAILPOINT_SIGNAL", "SIGKILL")])


class _Before:
    """Passes on whatever it does not know to the port behind it."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


# --------------------------------------------------------------------------- what strikes


class _Jobs(_Before):
    """Strikes when a job was created."""

    def __init__(self, port: Any, strike: Strike) -> None:
        super().__init__(port)
        self._strike = strike

    async def create(self, request: JobRequest) -> str:
        arn: str = await self._port.create(request)
        self._strike()
        return arn


class _Table(_Before):
    """Strikes when a transaction was done that holds a write of this kind."""

    def __init__(self, port: Any, is_it: Callable[[Write], bool], strike: Strike) -> None:
        super().__init__(port)
        self._is_it = is_it
        self._strike = strike

    async def transact(self, writes: Sequence[Write]) -> None:
        await self._port.transact(writes)
        if any(self._is_it(write) for write in writes):
            self._strike()


class _Objects(_Before):
    """Strikes at an object by its key: behind its `nth` write, or behind its publication."""

    def __init__(self, port: Any, is_it: Callable[[str], bool], strike: Strike, nth_write: int | None) -> None:
        super().__init__(port)
        self._is_it = is_it
        self._strike = strike
        self._nth_write = nth_write

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
        created: bool = self._port.put_once(key, body, metadata)
        if self._is_it(key):
            self._strike()
        return created

    def create(self, key: str, metadata: Mapping[str, str]) -> Upload:
        upload: Upload = self._port.create(key, metadata)
        return _Upload(upload, self._strike, self._nth_write) if self._is_it(key) else upload


class _Reading(_Before):
    """Strikes when an object has begun to be read, by its key."""

    def __init__(self, port: Any, is_it: Callable[[str], bool], strike: Strike) -> None:
        super().__init__(port)
        self._is_it = is_it
        self._strike = strike

    def stream(self, ref: ObjectRef, start_byte: int = 0) -> BinaryIO:
        stream: BinaryIO = self._port.stream(ref, start_byte)
        if self._is_it(ref.key):
            self._strike()
        return stream


class _Upload(_Before):
    def __init__(self, port: Any, strike: Strike, nth_write: int | None) -> None:
        super().__init__(port)
        self._strike = strike
        self._nth_write = nth_write
        self._writes = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        written: int = self._port.write(data)
        self._writes += 1
        if self._writes == self._nth_write:
            self._strike()
        return written

    def commit(self) -> bool:
        created: bool = self._port.commit()
        if self._nth_write is None:
            self._strike()
        return created

    def abort(self) -> None:
        self._port.abort()


# --------------------------------------------------------------------------- the points


def _moves_to(state: ShardState) -> Callable[[Write], bool]:
    return lambda write: isinstance(write, Update) and write.set.get("state") == state


def _puts(prefix: str) -> Callable[[Write], bool]:
    return lambda write: isinstance(write, Put) and write.key[1].startswith(prefix)


def _at_table(is_it: Callable[[Write], bool]) -> process.Wrap:
    return lambda world: dataclasses.replace(world, table=_Table(world.table, is_it, strike_once))


def _at_objects(key: str, *, nth_write: int | None = None) -> process.Wrap:
    def wrap(world: World) -> World:
        is_it = re.compile(key).search
        objects: Any = _Objects(world.objects, lambda each: bool(is_it(each)), strike_once, nth_write)
        return dataclasses.replace(world, objects=objects)

    return wrap


def _at_reading(key: str) -> process.Wrap:
    def wrap(world: World) -> World:
        is_it = re.compile(key).search
        objects: Any = _Reading(world.objects, lambda each: bool(is_it(each)), strike_once)
        return dataclasses.replace(world, objects=objects)

    return wrap


POINTS: dict[str, dict[str, process.Wrap]] = {
    "preprocessor": {
        # Only the message knows of the run yet: whoever acked before the work was done has lost it here.
        "mid_accept": _at_objects("^plans/[^/]+/manifest.json$"),
        "after_accept": _at_table(_puts("run")),
        "mid_upload": _at_objects("^batch-input/", nth_write=2),
        "after_enlist": _at_table(_puts("shard#")),
    },
    "scheduler": {
        "after_create": lambda world: dataclasses.replace(world, jobs=_Jobs(world.jobs, strike_once)),
        "after_submit_write": _at_table(_moves_to(ShardState.SUBMITTED)),
    },
    "collector": {
        "mid_settle": _at_reading("^batch-output/"),
        "after_settle_write": _at_table(_moves_to(ShardState.SETTLED)),
        "mid_part_upload": _at_objects("^results/.*/part-", nth_write=2),
        "mid_close": _at_objects("^results/.*/_report.json$"),
    },
}


def main(name: str) -> int:
    module = importlib.import_module(f"quarry_{name}.handler")
    wrap = POINTS[name][os.environ["QUARRY_FAILPOINT"]]
    return process.main(name, module.build, module.QUEUES, wrap=wrap)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
