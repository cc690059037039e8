"""The local stack as `quarry run` uses it: `quarry_cli.client.local_stack` says what it asks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from quarry_cli.errors import QuarryError
from quarry_local import environment, processes
from quarry_local.stack import Stack, StackError


class LocalStack:
    """Args:
    directory: of its state and logs; `QUARRY_LOCAL_DIR` or `.quarry` if None.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._stack = Stack(directory)

    @property
    def directory(self) -> Path:
        return self._stack.directory

    def standing(self) -> Mapping[str, str] | None:
        try:
            running = self._stack.processes()
            if not any(alive for _, alive in running.values()):
                return None
            dead = [name for name, (_, alive) in running.items() if not alive]
            if dead:
                raise QuarryError(
                    f"of the local stack in {self.directory} has died: {', '.join(dead)}; `quarry local up` starts it again"
                )
            return self._stack.env()
        except StackError as error:
            raise QuarryError(str(error)) from error

    def end_on_sigterm(self) -> None:
        processes.interrupt_on_sigterm()

    def up(self) -> Mapping[str, str]:
        try:
            return self._stack.up()
        except StackError as error:
            raise QuarryError(str(error)) from error

    def down(self) -> None:
        try:
            self._stack.down()
        except StackError as error:
            raise QuarryError(str(error)) from error

    def down_later(self) -> None:
        # A notebook's kernel is killed soon after it was asked to end: stopping takes longer than it is given.
        command = [sys.executable, "-m", "quarry_local.commands", "down", "--directory", str(self.directory)]
        plain = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"} | {"TERM": "dumb"}
        processes.spawn("down", command, plain, 0, self._stack.log_path("down"))

    def misleading(self, shell: Mapping[str, str] = os.environ) -> Iterable[str]:
        return environment.misleading(shell, self._stack.env())
