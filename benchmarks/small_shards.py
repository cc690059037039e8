"""What many small jobs cost: shards of 100 rows through the whole stack, and the settling of all of them measured apart.

Brings up the local stack, puts a CSV file into the bucket and sends a text manifest with 100 records a job. The collector is
stopped until the last job has ended; then one is started, so that settling has all shards before it and nothing beside it
(`--together`: it runs all the time). The simulated Bedrock answers at once. What a shard takes must not depend on how many
there are. Linux only.

    python benchmarks/small_shards.py [--shards 100 500 2000] [--rows 100] [--together] [--profile FOLDER] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from memory_of_services import cpu_s
from scale import MODEL, NO_DELAYS, OTHERS, QUOTA, RUN, SERVICES, bedrock_client, memory_mb

from quarry_core.contract.names import report_key, success_key
from quarry_local.settings import StackSettings
from quarry_local.stack import Stack

KEY = "inputs/rows.csv"
POLL_S = 0.5
DEADLINE_S = 3_600
REQUESTS, SECONDS = "quarry_aws_requests_total", "quarry_aws_request_duration_seconds_sum"
COLLECTOR = "collector"


class Measured:
    """One stack, asked from outside."""

    def __init__(self, stack: Stack, env: Mapping[str, str]) -> None:
        self.stack = stack
        self.bucket = env["QUARRY_BUCKET"]
        self.queue = env["QUARRY_MANIFEST_QUEUE_URL"]
        self.s3 = stack.clients().client("s3")
        self.bedrock = bedrock_client(env)

    def send(self, shards: int, rows: int) -> None:
        lines = (f"{row},a shy lighthouse keeper of number {row}\n" for row in range(shards * rows))
        self.s3.put_object(Bucket=self.bucket, Key=KEY, Body=("id,topic\n" + "".join(lines)).encode())
        manifest = {
            "run_id": RUN,
            "job_name_prefix": RUN,
            "s3_uri": f"s3://{self.bucket}/{KEY}",
            "max_records_per_job": rows,
            "model_id": MODEL,
            "prompt_id": "joke_about_topic",
            "canary": False,  # else nothing is asked before the first shard is settled
        }
        self.stack.clients().client("sqs").send_message(QueueUrl=self.queue, MessageBody=json.dumps(manifest))

    def ends(self) -> list[datetime]:
        """When each job ended that did."""
        pages = self.bedrock.get_paginator("list_model_invocation_jobs").paginate()
        return [job["endTime"] for page in pages for job in page["invocationJobSummaries"] if "endTime" in job]

    def success(self) -> datetime | None:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=success_key(RUN)).get("Contents", [])
        return found[0]["LastModified"] if found else None

    def report(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.s3.get_object(Bucket=self.bucket, Key=report_key(RUN))["Body"].read())
        return body

    def cpu_s(self) -> dict[str, float]:
        return {name: cpu_s(process.pid) for name, (process, alive) in self.stack.processes().items() if alive}

    def asked(self, name: str) -> dict[str, float]:
        """A service's requests by AWS service, and the seconds that they took together (`dynamodb_s`)."""
        with urllib.request.urlopen(self.stack.metrics_url(name), timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found: Counter[str] = Counter()
        for line in lines:
            series, _, value = line.rpartition(" ")
            metric, _, labels = series.partition("{")
            if metric in (REQUESTS, SECONDS):
                service = labels.partition('service="')[2].partition('"')[0]
                found[service if metric == REQUESTS else f"{service}_s"] += float(value)
        return {key: round(value, 2) for key, value in sorted(found.items())}


def until(holds: Any, what: str) -> Any:
    began = time.monotonic()
    while not (found := holds()):
        if time.monotonic() - began > DEADLINE_S:
            sys.exit(f"{what}: not after {DEADLINE_S} s")
        time.sleep(POLL_S)
    return found


def profiled(stack: Stack, names: Iterable[str], folder: Path | None) -> list[subprocess.Popen[bytes]]:
    """py-spy beside these processes, until they end or it is interrupted; stacks and their counts go to `<name>.folded`."""
    if folder is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    options = ("--format", "raw", "--rate", "50", "--nonblocking")
    return [
        subprocess.Popen(
            [
                "py-spy",
                "record",
                *options,
                "--pid",
                str(stack.process(name).pid),
                "--output",
                folder / f"{name}.folded",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name in names
    ]


def measure(shards: int, rows: int, *, together: bool, profile: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="quarry-small-") as temporary:
        spies: list[subprocess.Popen[bytes]] = []
        stack = Stack(Path(temporary) / "stack", StackSettings(quota=QUOTA, simulator=NO_DELAYS))
        env = stack.up()
        try:
            run = Measured(stack, env)
            if not together:
                stack.stop(COLLECTOR)
            spies = profiled(stack, [name for name in SERVICES if together or name != COLLECTOR], profile)
            before, began = run.cpu_s(), time.time()
            run.send(shards, rows)
            until(lambda: len(run.ends()) >= shards, "the jobs")
            last_s = max(run.ends()).timestamp()
            used = _since(before, run.cpu_s())
            settling_from, settling_before = time.time(), run.cpu_s()
            if not together:
                stack.start(COLLECTOR)
                spies += profiled(stack, [COLLECTOR], profile)
            success_s = until(run.success, "_SUCCESS").timestamp()
            report = run.report()
            whole_s = datetime.fromisoformat(report["ended_at"]).timestamp()
            if report["rows"]["ok"] != shards * rows:
                sys.exit(f"rows are missing: {report['rows']}")
            return {
                "shards": shards,
                "rows": rows,
                "together": together,
                "wall_s": {
                    "until_last_job_ended": round(last_s - began, 1),
                    "settling": round(whole_s - (last_s if together else settling_from), 1),
                    "closing": round(success_s - whole_s, 1),
                },
                "cpu_s_until_last_job_ended": used,
                "cpu_s_settling_and_closing": _since(settling_before, run.cpu_s()),
                "requests": {name: run.asked(name) for name in SERVICES},
                "peak_mb": {
                    name: round(memory_mb(stack.process(name).pid, "VmHWM"), 1) for name in (*SERVICES, *OTHERS)
                },
                "load": [round(one, 1) for one in os.getloadavg()],
            }
        finally:
            for spy in spies:
                spy.send_signal(signal.SIGINT)
                spy.wait(30)
            stack.down()


def _since(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: round(spent - before.get(name, 0.0), 2) for name, spent in after.items()}


def told(found: Mapping[str, Any]) -> Iterator[str]:
    shards, wall = found["shards"], found["wall_s"]
    each = {name: 1000 * seconds / shards for name, seconds in wall.items()}
    yield (
        f"{shards} shards of {found['rows']} rows: {each['until_last_job_ended']:.0f} ms a shard until the last job's end,"
        f" {each['settling']:.0f} to settle, closing {wall['closing']} s; load {found['load'][0]}"
    )
    for phase in ("cpu_s_until_last_job_ended", "cpu_s_settling_and_closing"):
        spent = ", ".join(f"{name} {1000 * seconds / shards:.1f}" for name, seconds in found[phase].items())
        yield f"  CPU ms a shard, {phase[6:].replace('_', ' ')}: {spent}"
    for name, asked in found["requests"].items():
        counts = ", ".join(f"{key} {value / shards:.2f}" for key, value in asked.items() if not key.endswith("_s"))
        yield f"  {name}: requests a shard: {counts}; peak {found['peak_mb'][name]:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[100, 500, 2_000])
    parser.add_argument("--rows", type=int, default=100, help="of a shard")
    parser.add_argument("--together", action="store_true", help="the collector runs from the start")
    parser.add_argument("--profile", type=Path, help="a folder for stacks of each service, by py-spy from the PATH")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="a folder for the figures")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for shards in chosen.shards:
        found = measure(shards, chosen.rows, together=chosen.together, profile=chosen.profile)
        name = f"small-shards-{shards}-{chosen.rows}{'-together' if chosen.together else ''}.json"
        (chosen.out / name).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print("\n".join(told(found)), flush=True)


if __name__ == "__main__":
    main()
