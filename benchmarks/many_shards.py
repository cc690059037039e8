"""What a run asks of AWS as it gets longer: the real handlers under virtual time, with fakes for AWS, in one process.

Counts the requests of each service, the items that they write to the ledger, and CPU, at several numbers of shards of 100
rows. A job ends one minute after it began, and the scheduler sweeps once a minute. What a shard costs must not depend on
how many there are; `docs/scale.md` has the sum for 20,000.

    python benchmarks/many_shards.py [--shards 100 400 1600] [--quota 20] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the fakes stand beside the tests

from tests.world.faults import Faults
from tests.world.world import CLAUDE, SimulatedWorld

ROWS_PER_SHARD = 100
ROUND_S = 61
SERVICES = ("preprocessor", "scheduler", "collector")
KINDS = {"table": "DynamoDB", "objects": "S3", "queue": "SQS", "jobs": "Bedrock", "bus": "EventBridge"}


class Counted(Faults):
    """Counts calls by name, and the items of transactions; injects nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    @property
    def requests(self) -> int:
        return sum(count for name, count in self.counts.items() if "." in name)

    def before(self, name: str, args: tuple[Any, ...] = ()) -> int:
        self.counts[name] += 1
        if name == "table.transact":
            self.counts["items written"] += len(args[0])
        if name == "table.get_many":
            self.counts["items got together"] += len(args[0])
        return 0

    def after(self, number: int, name: str, args: tuple[Any, ...] = ()) -> None:
        """Every call is answered."""


async def simulate(shards: int, quota: int) -> dict[str, Any]:
    counted = {service: Counted() for service in SERVICES}
    world = SimulatedWorld(job_quota=quota)
    world.start(dict(counted))
    uri = world.csv(shards * ROWS_PER_SHARD)
    began = time.process_time()
    manifest = {"s3_uri": uri, "job_name_prefix": "scale", "model_id": CLAUDE, "prompt_id": "joke_about_topic"}
    run_id = world.send({**manifest, "max_records_per_job": ROWS_PER_SHARD, "canary": False})
    rounds, spent_by_fakes, enlisted_s = 0, 0.0, 0.0
    ticks, sweeps, waves = list[int](), list[int](), list[float]()
    while True:
        at = time.process_time()
        while await world.turn():
            pass
        totals = await world.totals(run_id)
        if rounds:
            waves.append(time.process_time() - at)
        else:
            enlisted_s = time.process_time() - at
        if totals.state.terminal:
            break
        if rounds & (rounds - 1) == 0:  # all slots are taken, and the rest waits
            [pool] = await world.scheduler.sweeper.pools()
            ticks.append(await asked(counted["scheduler"], world.scheduler.ticker.tick(pool)))
            sweeps.append(await asked(counted["scheduler"], world.scheduler.sweeper.sweep()))
        at = time.process_time()
        for job in world.bedrock.active:
            world.bedrock.end(job)
        spent_by_fakes += time.process_time() - at
        world.clock.advance(ROUND_S)
        rounds += 1
        await world.scheduler.tick_all()
        await world.scheduler.sweeper.sweep()
    assert totals.ok == shards * ROWS_PER_SHARD, totals
    return {
        "shards": totals.shards_settled,
        "rounds": rounds,
        "cpu_s": round(time.process_time() - began, 2),
        "cpu_s_of_bedrock": round(spent_by_fakes, 2),
        "cpu_ms_a_shard": {
            "until the first wave": round(1000 * enlisted_s / shards, 2),
            **{name: round(1000 * statistics.mean(some) / quota, 2) for name, some in _ends(waves).items()},
        },
        "requests_of_one_tick": _spread(ticks),
        "requests_of_one_sweep": _spread(sweeps),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
        "requests": {service: dict(sorted(each.counts.items())) for service, each in counted.items()},
    }


async def asked(counted: Counted, work: Awaitable[object]) -> int:
    """How many requests a piece of work makes."""
    before = counted.requests
    await work
    return counted.requests - before


def _ends(waves: list[float]) -> dict[str, list[float]]:
    """The first and the last waves of jobs: what they take tells whether a shard costs the same at any length of a run."""
    some = max(1, len(waves) // 10)
    return {"in the first waves": waves[:some], "in the last waves": waves[-some:]}


def _spread(counts: list[int]) -> dict[str, float]:
    return {"median": statistics.median(counts), "most": max(counts)}


def told(found: Mapping[str, Any]) -> str:
    shards = found["shards"]
    lines = [f"{shards} shards, {found['rounds']} rounds, {1000 * found['cpu_s'] / shards:.1f} CPU ms a shard"]
    spent = ", ".join(f"{ms} {name}" for name, ms in found["cpu_ms_a_shard"].items())
    lines.append(f"  CPU ms a shard: {spent}; peak {found['peak_mb']} MB; load {found['load']:.1f}")
    for what in ("tick", "sweep"):
        spread = found[f"requests_of_one_{what}"]
        lines.append(f"  requests of one {what}: {spread['median']:g}, at most {spread['most']}")
    for service, counts in found["requests"].items():
        by_kind = {
            kind: sum(count for name, count in counts.items() if name.startswith(f"{prefix}."))
            for prefix, kind in KINDS.items()
        }
        shown = ", ".join(f"{kind} {count / shards:.2f}" for kind, count in by_kind.items() if count)
        lines.append(
            f"  {service:<13} requests a shard: {shown}; items written {counts.get('items written', 0) / shards:.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[100, 400, 1_600])
    parser.add_argument("--quota", type=int, default=20, help="jobs at once")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="a folder for the figures")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    chosen.out.mkdir(parents=True, exist_ok=True)
    for shards in chosen.shards:
        found = asyncio.run(simulate(shards, chosen.quota)) | {"quota": chosen.quota, "load": os.getloadavg()[0]}
        (chosen.out / f"many-shards-{shards}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(told(found), flush=True)


if __name__ == "__main__":
    main()
