"""What the stack remembers between commands: one JSON file, replaced whole, and a lock for who may change it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quarry_local.processes import Running
from quarry_local.settings import StackSettings

VERSION = 1


@dataclass(frozen=True, slots=True)
class State:
    settings: StackSettings
    processes: dict[str, Running] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def load(path: Path) -> State | None:
    """Read the state; None if there is none.

    Raises:
        ValueError: the file is of another version, or not ours.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        data: Any = json.loads(text)
        if data["version"] != VERSION:
            raise ValueError(f"{path} has version {data['version']}, but this program reads version {VERSION}")
        settings = {**data["settings"], "launch": {k: tuple(v) for k, v in data["settings"]["launch"].items()}}
        return State(
            StackSettings(**settings),
            {name: Running(**process) for name, process in data["processes"].items()},
            data["environment"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a state file of the local stack: {error!r}") from error


def save(path: Path, state: State) -> None:
    """Replace the state in one step: a reader sees the old one or the new one."""
    body = {
        "version": VERSION,
        # asdict copies by type, and the settings' mappings need only be mappings.
        "settings": {f.name: _plain(getattr(state.settings, f.name)) for f in dataclasses.fields(state.settings)},
        "processes": {name: dataclasses.asdict(process) for name, process in state.processes.items()},
        "environment": state.environment,
    }
    new = path.with_suffix(".new")
    new.write_text(json.dumps(body, indent=1), encoding="utf-8")
    new.replace(path)


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "items") else value


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock; a second program waits. The directory is made, and kept out of version control."""
    directory.mkdir(parents=True, exist_ok=True)
    ignore = directory / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
