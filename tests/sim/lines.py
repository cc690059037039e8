"""A scenario as a line of text, and read from one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tests.sim import money, monthly, scenario
from tests.sim.processes import FAULTS, At, Fault
from tests.sim.scenario import Scenario, at_text

NAMED = {
    "held": money.held,
    "judged": money.judged,
    "monthly": monthly.monthly,
    "shares": scenario.shares,
    "limited": scenario.limited,
    "ondemand": scenario.ondemand,
    "handed": scenario.handed,
    "rolled": scenario.rolled,
    "woken": scenario.woken,
    "late": scenario.late,
    "overtaken": scenario.overtaken,
    "withdrawn": scenario.withdrawn,
    "denied": scenario.denied,
    "plain": scenario.plain,
    "asked": scenario.asked,
    "crowd": scenario.crowd,
    "unheard": scenario.unheard,
    "full": scenario.full,
    "rounds": scenario.rounds,
}
SEEDED = {"swarm": scenario.swarm, "wide": money.wide, "capped": monthly.capped}


def read(text: str) -> Scenario:
    """A scenario from its line. Raises ValueError."""
    name, *options = text.split()
    kind, _, seed = name.partition(":")
    found = SEEDED[kind](int(seed)) if kind in SEEDED else NAMED[kind]()
    for option in options:
        key, _, value = option.partition("=")
        if key != "plan":
            raise ValueError(f"{key!r} is none of a scenario's options: plan")
        found = replace(found, plan=read_plan(value))
    return found


def moved(drawn: Scenario, unreached: Mapping[At, Fault], calls: Sequence[str]) -> Scenario:
    """The same scenario with those faults at calls that are reached.

    Args:
        drawn: as a seed drew it, with numbers of calls that nobody knew then.
        unreached: of its plan.
        calls: the names of those that it made until all was over.
    """
    chance, known = random.Random(f"{drawn.name} moved"), Counter[str]()
    for name in calls:
        known[name] += 1
        known[name.partition(".")[0]] += 1
    plan = {at: fault for at, fault in drawn.plan.items() if at not in unreached}
    for at, fault in sorted(unreached.items(), key=lambda each: at_text(each[0])):
        name = None if isinstance(at, int) else at[0]
        # A call that is named keeps its name, if there were any; a number becomes another.
        there = [place for place in _places(name, known, len(calls)) if place not in plan]
        if there:
            plan[chance.choice(there)] = fault
    return replace(drawn, plan=plan)


def _places(name: str | None, known: Mapping[str, int], calls: int) -> list[At]:
    count = known[name] if name is not None else 0
    if name is not None and count:
        return [(name, number) for number in range(1, count + 1)]
    return list(range(1, calls + 1))


def read_plan(text: str) -> dict[At, Fault]:
    plan: dict[At, Fault] = {}
    for entry in text.split(",") if text not in ("", "none") else ():
        at, _, fault = entry.partition(":")
        if fault not in FAULTS:
            raise ValueError(f"{fault!r} is no fault; there are {', '.join(FAULTS)}")
        name, nth, number = at.rpartition("#")
        plan[(name, int(number)) if nth else int(number)] = fault
    return plan
