"""A service that notes what it does with messages: `python -m tests.e2e.watched <service>`.

The product's code is unchanged: a thin proxy stands before each queue. One file a process in `QUARRY_WATCH_DIR`, one JSON
line an event, times by the machine's monotonic clock, which all processes share. SQS itself does not tell who holds a
message, nor until when.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quarry_core.ports import Message
from quarry_core.service import process
from quarry_core.service.process import World
from quarry_local.settings import LOCAL_WAITS

DIRECTORY = "QUARRY_WATCH_DIR"
# The queues' own, and the heartbeat's: who hides a message for less gives it away.
VISIBILITY_S = int(LOCAL_WAITS["QUARRY_VISIBILITY_TIMEOUT_S"])


# --------------------------------------------------------------------------- inside the service


def _note(**what: object) -> None:
    with (Path(os.environ[DIRECTORY]) / f"{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps({"at": time.monotonic(), **what}) + "\n")


class _Queue:
    """Passes on whatever it does not know to the port behind it."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def receive(self, most: int, wait_s: int) -> Sequence[Message]:
        messages: Sequence[Message] = await self._port.receive(most, wait_s)
        for message in messages:
            _note(queue=self._port.name, did="receive", id=message.id, hidden_s=VISIBILITY_S)
        return messages

    async def extend(self, message: Message, visibility_s: int) -> None:
        await self._port.extend(message, visibility_s)
        _note(queue=self._port.name, did="extend", id=message.id, hidden_s=visibility_s)

    async def ack(self, message: Message) -> None:
        await self._port.ack(message)
        _note(queue=self._port.name, did="ack", id=message.id, hidden_s=0)

    async def ack_all(self, messages: Sequence[Message]) -> None:
        await self._port.ack_all(messages)
        for message in messages:
            _note(queue=self._port.name, did="ack", id=message.id, hidden_s=0)


def _watched(world: World) -> World:
    queues: Any = {name: _Queue(queue) for name, queue in world.queues.items()}
    return dataclasses.replace(world, queues=queues)


def main(name: str) -> int:
    module = importlib.import_module(f"quarry_{name}.handler")
    code = process.main(name, module.build, module.QUEUES, wrap=_watched)
    _note(did="exit", code=code)
    return code


# --------------------------------------------------------------------------- what the test reads


@dataclass
class Process:
    """What one process did: by (queue, message id), until when the message is hidden; acked ones are left out.

    `hands` says of each received message from when to when somebody here worked on it.
    """

    exited_at: float | None = None
    exit_code: int | None = None
    hidden_until: dict[tuple[str, str], float] = field(default_factory=dict)
    hands: list[tuple[float, float]] = field(default_factory=list)
    handed_back: int = 0

    def in_hand(self, at: float) -> int:
        """Messages that were being worked on at a time."""
        return sum(begun <= at < ended for begun, ended in self.hands)


def read(directory: Path, pid: int | None = None) -> dict[int, Process]:
    """By pid: every process that has noted something, or the one that is asked for."""
    paths = directory.glob("*.jsonl") if pid is None else [directory / f"{pid}.jsonl"]
    return {int(path.stem): _read(list(_events(path))) for path in paths}


def _events(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return  # nothing yet
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):  # else it is being written
            yield json.loads(line)


def _read(events: Sequence[dict[str, Any]]) -> Process:
    process, begun = Process(), {}
    for event in events:
        at, did = event["at"], event["did"]
        if did == "exit":
            process.exited_at, process.exit_code = at, event["code"]
            continue
        key = event["queue"], event["id"]
        process.hidden_until[key] = at + event["hidden_s"]
        process.handed_back += did == "extend" and event["hidden_s"] == 0
        if did == "receive":
            begun[key] = at
        elif did == "ack":
            del process.hidden_until[key]
            process.hands.append((begun.pop(key), at))
        elif key in begun and event["hidden_s"] < VISIBILITY_S:  # not a heartbeat: returned, or handed back
            process.hands.append((begun.pop(key), at))
    process.hands += [(at, float("inf")) for at in begun.values()]
    return process


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
