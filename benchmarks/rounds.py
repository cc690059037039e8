"""What rounds come to at 200,000 rows of which 2 % fail for now and 0.5 % for good: jobs, records paid, errors left.

The real services on fakes in one process, in virtual time, so no figure here depends on the machine but the CPU seconds. It fails
if a transient error is left, a job is under the minimum, or more was paid for than the rows and what went again.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections import Counter
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.world.world import SimulatedWorld

STEPS_MAX = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument(
        "--transient", type=float, default=0.02, help="share of records that fail in a job and not in another"
    )
    parser.add_argument("--permanent", type=float, default=0.005, help="share of records that fail in every job")
    parser.add_argument("--rows-per-job", type=int, default=10_000)
    parser.add_argument("--attempts", type=int, default=3)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return asyncio.run(_measure(options))


async def _measure(options: argparse.Namespace) -> int:
    began_s = time.process_time()
    world = SimulatedWorld(job_quota=20)
    world.bedrock.throttled_share, world.bedrock.refused_share = options.transient, options.permanent
    manifest = {"max_records_per_job": options.rows_per_job, "record_errors": {"max_attempts": options.attempts}}
    run_id = world.send(world.joke(rows=options.rows, **manifest))
    rounds: list[str] = []
    for _ in range(STEPS_MAX):
        await world.idle()
        totals = await world.totals(run_id)
        if totals.accepted and totals.accepted != totals.ok + totals.error + totals.again + totals.open:
            print(f"not conserved: {totals}")
            return 1
        if totals.state.terminal:
            break
        for job in world.bedrock.active:
            world.bedrock.end(job)
        world.clock.advance(61)
        await world.scheduler.tick_all()
        await world.scheduler.sweeper.sweep()
    report, result = world.report(run_id), world.result(run_id)
    for shard in report["shards"]:
        how = "on demand" if shard["on_demand"] else "jobs"
        rounds.append(f"round {shard['round']} {how}")
    sizes = [job.total_records or 0 for job in world.jobs.all]
    paid = sum(sizes) + len(world.runtime.asked)
    left = Counter(text.partition(":")[0] for text in result["error_message"].to_pylist() if text)
    topics = result["topic"].to_pylist() == [f"topic number {row}" for row in range(options.rows)]
    own = all(
        answer is None or f" {topic} " in answer
        for topic, answer in zip(result["topic"].to_pylist(), result["response"].to_pylist(), strict=True)
    )
    print(f"rows: {options.rows:,}, {totals.ok:,} answered, {totals.error:,} with an error; {totals.state}")
    print(f"shards: {dict(Counter(rounds))}, of {min(sizes):,} to {max(sizes):,} records a job")
    print(f"errors left by Bedrock's code: {dict(left)}")
    print(
        f"records paid: {paid:,} = {options.rows:,} rows + {totals.retried:,} retried; the report: {report['records']}"
    )
    print(f"CPU: {time.process_time() - began_s:.1f} s, Bedrock's and the tables' fakes included")
    held = {
        "every row once, in order": topics,
        "each answer is its row's own": own,
        "no transient error is left": set(left) <= {"400"},
        "no job is under the minimum of 100": min(sizes) >= 100,
        "paid = rows + retried": paid == options.rows + totals.retried == report["records"]["paid"],
    }
    for what, holds in held.items():
        print(f"{'ok' if holds else 'BROKEN'}: {what}")
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
