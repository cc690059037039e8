"""Which process runs which tests, where `-n` asks for several.

A stack of real processes waits most of the time, a unit test never does. So one half of the processes begins with the
tests of stacks, the other half with all else; whoever has none of its kind left takes from the other kind. Tests of one
file stay in one process, in their random order, for they share what their module's fixtures made. Directories in
`tests/e2e` go further: the files of one share a stack. The longest of these units come first, then files that hold slow
tests, so that no process is left alone with one at the end.

The controller knows of a test its id alone: that is why the kind is read off the path, and the order is given by the
processes that collect.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

STACKS = "tests/e2e/"
# What takes a minute or more, the longest first (the report's durations say).
LONGEST = (
    "tests/e2e/faults",
    "tests/e2e/calm",
    "tests/e2e/test_kill.py",
    "tests/e2e/test_rolling.py",
)


# Folders whose entries are collected one by one.
SPLIT = (Path("tests"), Path("tests/unit"), Path("tests/unit/core"))


def unit_of(nodeid: str) -> str:
    """What a test is never torn apart from: its file, or the directory whose files share a stack."""
    path = nodeid.partition("::")[0]
    directory, _, _ = path.removeprefix(STACKS).rpartition("/")
    return STACKS + directory if path.startswith(STACKS) and directory else path


def begins_with_stacks(worker: str) -> bool:
    """Every other process, the first one included: `gw0`, `gw2`, ..."""
    return int(worker.removeprefix("gw")) % 2 == 0


def rotated(places: Sequence[str], process: int, processes: int) -> list[str]:
    """The places in their order, from another one on for each process."""
    first = process * len(places) // processes
    return [*places[first:], *places[:first]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Each process begins to collect elsewhere: what one of them has compiled, the others only read."""
    config = session.config
    if worker := getattr(config, "workerinput", None):
        gc.disable()  # nearly all that is made now stays; conftest.py enables it again
        folders = [config.rootpath / each for each in SPLIT]
        if sorted(config.args) == sorted({each.parts[0] for each in SPLIT}):
            found = {each for folder in folders for each in folder.iterdir()} - set(folders)
            places = sorted(
                str(each)
                for each in found
                if (each.is_dir() and each.name != "__pycache__") or each.name.startswith("test_")
            )
            config.args = rotated(places, int(worker["workerid"].removeprefix("gw")), worker["workercount"])


@pytest.hookimpl(trylast=True)  # when the order is random already
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    first = {unit_of(item.nodeid): index for index, item in reversed(list(enumerate(items)))}
    slow = {unit_of(item.nodeid) for item in items if item.get_closest_marker("slow")}
    several = hasattr(config, "workerinput")
    turns = {unit: turn for turn, unit in enumerate(LONGEST)}

    def place(item: pytest.Item) -> tuple[int, int]:
        unit = unit_of(item.nodeid)
        turn = turns.get(unit, len(turns) + (unit not in slow)) if several else 0
        return turn, first[unit]

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "load":
        return None  # somebody chose another way
    from xdist.scheduler import LoadScopeScheduling  # only where the plugin is there

    class Halves(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

        def _assign_work_unit(self, node: Any) -> None:
            stacks = begins_with_stacks(node.gateway.id)
            for unit in self.workqueue:
                if unit.startswith(STACKS) is stacks:
                    self.workqueue.move_to_end(unit, last=False)
                    break
            super()._assign_work_unit(node)

    config.option.loadscopereorder = False  # the processes have put them in order
    return Halves(config, log)
