"""`python -m tests.sim quick | deep | bugs | one LINE`: the simulation's campaigns (`make sim`, `make sim-deep`).

quick: single faults, pairs and seeds, a fair sample of each, for `--seconds`.
deep: all of them, for at most `--hours`; what was done is in `build/sim/` by commit, and is not done again.
bugs: each planted bug, and whether a campaign finds it.
one: one trial, with all that is wrong with it.

The exit code is 0 if every promise held, everything that should happen now and then did, and (bugs) enough were caught.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.sim import campaign
from tests.sim.protocol import Explored, Size, explore
from tests.sim.tally import Tally
from tests.sim.trial import silence

ROOT = Path(__file__).resolve().parents[2]
DEEP_SEEDS = 5_000
BASES = ("plain:0", "asked:0", "held:0", "monthly:0")
# Three shards; then two faults in one exploration, and both together for one scheduler. Minutes of one core.
SMALL = (
    Size(shards=3, collectors=1, faults=1),
    Size(shards=2, collectors=1, faults=2),
    Size(shards=3, schedulers=1, collectors=2, faults=2),
)
STATES_MAX = 20_000_000
LATER = "not explored yet"
SLOW_FACTOR_MAX = 4
MORE_SEEDS = 8
# Of the time, in a quick campaign.
SHARES = {"single faults": 0.45, "crash pairs": 0.15, "seeds": 0.4}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("campaign", choices=("quick", "deep", "bugs", "one"))
    parser.add_argument("line", nargs="*", help="of `one`: what a failing trial printed; of `bugs`: which ones")
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    silence()
    match asked.campaign:
        case "quick":
            return quick(asked.seconds, asked.workers)
        case "deep":
            return deep(asked.hours, asked.workers)
        case "bugs":
            from tests.sim import bugs

            return bugs.main(asked.line, asked.workers, _folder(), _version())
        case _:
            return one(" ".join(asked.line))


def quick(seconds: float, workers: int) -> int:
    """A sample of each campaign, in so many seconds."""
    parts: dict[str, Tally] = {}
    with campaign.workers(workers) as pool:
        began = now = time.monotonic()
        for name, share in SHARES.items():
            now += seconds * share
            parts[name] = campaign.play(pool, campaign.spread(_lines(name, seeds=100_000)), until=now)
        # On a slow or busy machine the sample may be too small for what happens only now and then.
        more = iter(f"{'capped' if seed % 2 else 'wide'}:{seed}" for seed in range(100_000, 110_000))
        while sum(parts.values(), Tally()).never and time.monotonic() < began + SLOW_FACTOR_MAX * seconds:
            parts["seeds"] += campaign.play(pool, list(itertools.islice(more, MORE_SEEDS)))
    return report(parts)


def deep(hours: float, workers: int) -> int:
    """Everything, resumed where it was left."""
    log, until = _folder() / f"{_version()}.jsonl", time.monotonic() + hours * 3600
    parts: dict[str, Tally] = {}
    whole = True
    with campaign.workers(workers) as pool:
        for name in SHARES:
            lines = campaign.spread(_lines(name, seeds=DEEP_SEEDS))
            parts[name] = campaign.play(pool, lines, until=until, log=log)
            done = parts[name].trials + parts[name].idle
            whole = whole and done == len(lines)
            print(f"{name}: {done} of {len(lines)}")
        for size, explored in small(pool, log.with_suffix(".small.jsonl"), until).items():
            print(f"in the small, {size}: {explored}")
            whole = whole and explored != LATER
    if not whole:
        print(f"not whole yet: the same command goes on where it stopped, by {log.relative_to(ROOT)}")
    return report(parts)


def _folder() -> Path:
    folder = ROOT / "build" / "sim"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _version() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _lines(name: str, *, seeds: int) -> list[str]:
    match name:
        case "single faults":
            return [line for base in BASES for line in campaign.singles(base)]
        case "crash pairs":
            return campaign.pairs(BASES[0])
        case _:
            return campaign.seeds(seeds)


def small(pool: campaign.Workers, log: Path, until: float) -> dict[str, str]:
    """The protocol in the small at the sizes that take minutes, each once a version."""
    known = dict(json.loads(line) for line in log.read_text().splitlines()) if log.exists() else {}
    for size in SMALL:
        if str(size) not in known and time.monotonic() < until:
            explored: Explored = pool.submit(explore, size, states_max=STATES_MAX).result()
            known[str(size)] = f"{explored.states:,} states, {explored.steps:,} steps"
            with log.open("a") as file:
                file.write(json.dumps([str(size), known[str(size)]]) + "\n")
    return {str(size): known.get(str(size), LATER) for size in SMALL}


def report(parts: dict[str, Tally]) -> int:
    """Print what came of it; the last line is that of all."""
    total = sum(parts.values(), Tally())
    for name, tally in parts.items():
        print(f"{name}: {tally.line}")
    for note in total.notes:
        print(note)
    if total.never:
        print(f"never happened, so the campaign proves little: {', '.join(total.never)}")
    for outcome, again in zip(total.broken, campaign.write_down(total.broken), strict=True):
        print(f"{again}  # {'; '.join(outcome.why)[:300]}")
    print(total.line)
    return 1 if total.broken or total.never else 0


def one(line: str) -> int:
    outcome = campaign.one(line)
    for why in outcome.why:
        print(why)
    print(dict(sorted(outcome.seen.items())))
    tally = Tally()
    tally.add(outcome)
    print(tally.line)
    return 0 if outcome.held else 1


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # a set of words has the same order in each process, or a seed is none
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.sim", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    sys.exit(main(sys.argv[1:]))
