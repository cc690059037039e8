"""The state machines, from their tables, and which move writes each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tools.pages.text import Lines, code, listed, table

import quarry_core.ledger.moves
from quarry_core.contract import states


def writers() -> dict[tuple[str, str], list[str]]:
    """(from, to) -> the functions of `moves.py` whose first line says that they make this move."""
    terminal = [state for state in states.RunState if state.terminal]
    found: dict[tuple[str, str], list[str]] = {}
    for name, function in inspect.getmembers(quarry_core.ledger.moves, inspect.isfunction):
        first = (function.__doc__ or "").split("\n")[0]
        for sources, target in re.findall(r"((?:\(none\)|[A-Z_]+)(?: \| [A-Z_]+)*) -> ([A-Z_]+|terminal)", first):
            for source in sources.split(" | "):
                for each in terminal if target == "terminal" else [target]:
                    found.setdefault((source, str(each)), []).append(name)
    return found


def machine(moves: Mapping[tuple[Any, Any], str], terminal: Iterable[str]) -> Lines:
    by = writers()
    rows = []
    diagram = ["```mermaid", "stateDiagram-v2"]
    for (source, target), when in moves.items():
        start = str(source) if source else "(none)"
        written = ", ".join(code(f"moves.{name}") for name in by.get((start, str(target)), []))
        rows.append([code(start), code(target), when, written])
        diagram.append(f"    {source or '[*]'} --> {target}: {when.replace(':', ',')}")
    diagram += [f"    {state} --> [*]" for state in terminal]
    return [*table(("From", "To", "When", "Written by"), rows), "", *diagram, "```"]


def run_machine() -> Lines:
    return machine(states.RUN_MOVES, [str(state) for state in states.RunState if state.terminal])


def shard_machine() -> Lines:
    return machine(states.SHARD_MOVES, [str(states.ShardState.SETTLED)])


def shard_facts() -> Lines:
    rows = [[code(state), "yes" if state.holds_a_slot else "no"] for state in states.ShardState]
    return table(("State", "Holds a slot"), rows)


def job_statuses() -> Lines:
    rows = [[code(status), "yes" if states.job_ended(status) else "no"] for status in states.JobStatus]
    return [*table(("Status", "Ended"), rows), "", f"Gates of a lane: {listed(states.Gate)}."]
