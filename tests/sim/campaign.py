"""Campaigns: every single fault at every call, every pair of crashes among the first calls, and seeds.

A campaign is a list of scenarios' lines, so it can be cut short, spread over processes, and taken up again. A trial that
breaks a promise is written down as a regression: its line, and what it broke.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from tests.sim import trial
from tests.sim.lines import moved, read
from tests.sim.processes import FAULTS
from tests.sim.scenario import PAIR_FAULTS, Scenario
from tests.sim.tally import Outcome, Tally

T = TypeVar("T")
REGRESSIONS = Path(__file__).with_name("regressions")
PAIR_CALLS = 80
COLLECT_EVERY = 50
# What a trial leaves in memory, some hundreds of kilobytes, goes with its process.
TRIALS_PER_PROCESS = 1_000
# Trials that are handed out at once: no more than what is thrown away when time is over.
AHEAD = 8


def singles(base: str) -> list[str]:
    """Every fault at every call that a run without any makes until all is over."""
    calls = trial.run(read(base)).reachable
    return [f"{base} plan={number}:{fault}" for number in range(1, calls + 1) for fault in FAULTS]


def pairs(base: str) -> list[str]:
    """Every two crashes at two of the first calls."""
    return [
        f"{base} plan={first}:{one},{second}:{other}"
        for first in range(1, PAIR_CALLS + 1)
        for second in range(first + 1, PAIR_CALLS + 1)
        for one in PAIR_FAULTS
        for other in PAIR_FAULTS
    ]


def seeds(count: int) -> list[str]:
    """Half as swarms were drawn before there were canaries, budgets and retries, which the others draw too; half as many more in a month
    with a budget.
    """
    before = [f"{'wide' if seed % 2 else 'swarm'}:{seed}" for seed in range(count)]
    return [*before, *(f"capped:{seed}" for seed in range(count // 2))]


def spread(lines: Sequence[str]) -> list[str]:
    """The same lines in an order of which any beginning is a fair sample; always the same one."""
    mixed = list(lines)
    random.Random("spread").shuffle(mixed)
    return mixed


def outcome_and_calls(line: str) -> tuple[Outcome, list[str]]:
    """What came of a trial, and its calls.

    A seed draws its faults before anybody knows how many calls there will be. Where all of it held, and faults were not reached,
    it is played once more with these at calls that are.
    """
    scenario = read(line)
    outcome, done = _played(line, scenario)
    if done is not None and outcome.held and done.unreached and line == scenario.name:
        outcome, done = _played(line, moved(scenario, done.unreached, done.calls[: done.reachable]))
    return outcome, done.calls if done is not None else []


def _played(line: str, scenario: Scenario) -> tuple[Outcome, trial.Trial | None]:
    try:
        done = trial.run(scenario)
    except Exception as error:  # a harness that breaks is a broken trial, and must be seen
        words = f"{type(error).__name__}: {error}"
        return Outcome(line, 1, scenario.bedrock.pays_once, {}, (words,), 1, {}, 0.0), None
    verdict = done.verdict
    return (
        Outcome(
            line,
            len(done.injected),
            scenario.bedrock.pays_once,
            {name: count for name, count in verdict.figures.items() if count},
            tuple(verdict.why),
            verdict.wrong,
            {name: count for name, count in done.seen.items() if count},
            done.settled_after_s,
        ),
        done,
    )


def one(line: str) -> Outcome:
    return outcome_and_calls(line)[0]


def _begin_worker() -> None:
    trial.silence()
    gc.disable()


_done = 0


def _one(line: str) -> Outcome:
    global _done  # noqa: PLW0603 a worker's own
    _done += 1
    if _done % COLLECT_EVERY == 0:
        gc.collect()
    return one(line)


class Workers:
    """So many processes for trials; fresh ones take the place of those that have done `TRIALS_PER_PROCESS` each, on average.

    `max_tasks_per_child` is not used for that: in Python 3.11 to 3.14 a pool with it may stop for ever when more tasks wait than it has
    processes (python/cpython#115634), as `make sim-bugs` did after a thousand.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._stack = ExitStack()
        self._pool = self._fresh()
        self._submitted = 0

    def _fresh(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")
        return self._stack.enter_context(ProcessPoolExecutor(self._count, spawn, _begin_worker))

    def submit(self, work: Callable[..., T], *what: object, **how: object) -> Future[T]:
        if self._submitted == TRIALS_PER_PROCESS * self._count:
            self._pool.shutdown(wait=False)  # once they have done what they have
            self._pool, self._submitted = self._fresh(), 0
        self._submitted += 1
        return self._pool.submit(work, *what, **how)

    def map(self, work: Callable[..., T], things: Iterable[object]) -> Iterator[T]:
        """In the order of the things, a few of which are handed out at once."""
        waiting: deque[Future[T]] = deque()
        for thing in things:
            waiting.append(self.submit(work, thing))
            if len(waiting) >= AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def close(self) -> None:
        self._stack.close()


@contextmanager
def workers(count: int) -> Iterator[Workers]:
    with closing(Workers(count)) as pool:
        for ready in [pool.submit(os.getpid) for _ in range(count)]:
            ready.result()
        yield pool


def play(pool: Workers, lines: Iterable[str], *, until: float | None = None, log: Path | None = None) -> Tally:
    """Run trials until all are done, or until a moment of `time.monotonic`; what `log` holds already is not run again."""
    tally, known = Tally(), _read(log)
    wanted = list(lines)
    for line in wanted:
        if line in known:
            tally.add(known[line])
    left = iter([line for line in wanted if line not in known])
    with log.open("a") if log is not None else nullcontext() as file:
        running: set[Future[Outcome]] = set()
        while True:
            while len(running) < AHEAD and (until is None or time.monotonic() < until):
                line = next(left, None)
                if line is None:
                    break
                running.add(pool.submit(_one, line))
            if not running:
                return tally
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for each in finished:
                outcome = each.result()
                tally.add(outcome)
                if file is not None:
                    file.write(json.dumps(asdict(outcome)) + "\n")
                    file.flush()


def _read(log: Path | None) -> dict[str, Outcome]:
    if log is None or not log.exists():
        return {}
    found = {}
    for text in log.read_text().splitlines():
        try:
            data = json.loads(text)
        except ValueError:
            continue  # it was being written when the campaign was stopped
        found[data["line"]] = Outcome(**{**data, "why": tuple(data["why"])})
    return found


def write_down(broken: Sequence[Outcome]) -> list[str]:
    """Make a regression file of each; the lines that reproduce them."""
    REGRESSIONS.mkdir(exist_ok=True)
    for outcome in broken:
        name = outcome.line.replace(" plan=none", "").replace(" plan=", "-").replace(":", "-").replace(",", "-")
        path = REGRESSIONS / f"{name[:80]}.txt"
        path.write_text("\n".join([outcome.line, *(f"# {why}" for why in outcome.why), ""]))
    return [f'python -m tests.sim one "{each.line}"' for each in broken]
