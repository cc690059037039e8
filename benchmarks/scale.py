"""Whole runs at several sizes, with one and with two replicas of each service: CPU, memory each second, wall by phase.

Brings up the local stack, puts a Parquet file of rows of 200 to 900 characters into the bucket, sends a text manifest,
and watches until `_SUCCESS` stands (Linux only). The simulated Bedrock answers at once, so what is measured is the rest.
The waits are the local stack's (seconds where production has minutes). Figures go to a JSON file for each run.

    make bench-scale SIZES="200000 1000000 2200000" REPLICAS="1 2"
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.config import Config
from memory_of_services import children, cpu_s

from quarry_core.contract.names import results_prefix
from quarry_local.settings import StackSettings
from quarry_local.stack import Stack

SERVICES = ("preprocessor", "scheduler", "collector")
OTHERS = ("bedrock", "emulator")
RECORDS_PER_JOB = 50_000
QUOTA = 20
FIRST_JOBS = 20
GROUP_ROWS = 50_000
POLL_S = 1.0
DEADLINE_S = 3_600
SEED = 11
DISTINCT = 20_000
RUN = "scale"
KEY = "inputs/rows.parquet"
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
WORDS = (
    "granite",
    "marble",
    "slate",
    "flint",
    "chalk",
    "gneiss",
    "basalt",
    "quartz",
    "schist",
    "naïve",
    "数据",
    "слово",
)
NO_DELAYS: Mapping[str, str] = dict.fromkeys(
    ("submitted_s", "validating_s", "queue_s", "starting_s", "seconds_per_1000_records"), "0"
)
# Issue 13, of 2.2 million rows with one replica each.
TARGETS: Mapping[str, float] = {"cpu_s": 45.0, "success_after_last_job_s": 10.0, "first_jobs_s": 15.0, "peak_mb": 256.0}


def rows_file(rows: int, folder: Path) -> Path:
    """`rows` rows of an id and a text of 200 to 900 characters, in row groups of 50,000."""
    chance = random.Random(SEED)
    made = []
    for _ in range(DISTINCT):
        text = " ".join(chance.choices(WORDS, k=160))
        made.append(text[: chance.randint(200, 900)])
    texts = pa.array(made)
    path = folder / "rows.parquet"
    schema = pa.schema([("id", pa.int64()), ("topic", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, GROUP_ROWS):
            numbers = range(first, min(first + GROUP_ROWS, rows))
            places = pa.array([chance.randrange(DISTINCT) for _ in numbers])
            writer.write_table(pa.table([pa.array(numbers), texts.take(places)], schema=schema))
    return path


def memory_mb(pid: int, field: str) -> float:
    """A field of the process's status and of its children's, added, in MB of 1,000,000 bytes; 0 for one that is gone."""
    total = 0
    for each in _alive(pid):
        for line in Path(f"/proc/{each}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{field}:"):
                total += int(line.split()[1]) * 1024
    return total / 1e6


def _alive(pid: int) -> Iterator[int]:
    try:
        yield from children(pid)
    except (FileNotFoundError, ProcessLookupError):
        return


def bedrock_client(env: Mapping[str, str]) -> Any:
    """A client of the stack's simulated Bedrock."""
    return boto3.client(
        "bedrock",
        endpoint_url=env["AWS_ENDPOINT_URL_BEDROCK"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 3}),
    )


class Watch:
    """What is seen of one run, second by second."""

    def __init__(self, stack: Stack, env: Mapping[str, str], names: list[str]) -> None:
        self._pids = {name: stack.process(name).pid for name in names}
        self._s3 = stack.clients().client("s3")
        self._bucket = env["QUARRY_BUCKET"]
        self._bedrock = bedrock_client(env)
        self.samples: list[dict[str, float]] = []

    def until_success(self, began: float) -> float:
        """When `_SUCCESS` stood, in seconds since `began`. Exits after `DEADLINE_S`."""
        while (now_s := time.time() - began) < DEADLINE_S:
            found = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=f"{results_prefix(RUN)}_SUCCESS")
            if found.get("KeyCount"):
                return float(found["Contents"][0]["LastModified"].timestamp() - began)
            shown = {name: round(memory_mb(pid, "VmRSS"), 1) for name, pid in self._pids.items()}
            self.samples.append({"s": round(now_s, 1), **shown})
            time.sleep(POLL_S)
        sys.exit(f"no end after {DEADLINE_S} s")

    def cpu_s(self) -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in self._pids.items()}

    def peaks_mb(self) -> dict[str, float]:
        return {name: round(memory_mb(pid, "VmHWM"), 1) for name, pid in self._pids.items()}

    def jobs(self) -> list[dict[str, datetime]]:
        """When each job was submitted, and when it ended."""
        pages = self._bedrock.get_paginator("list_model_invocation_jobs").paginate()
        return [job for page in pages for job in page["invocationJobSummaries"]]

    def rows(self) -> dict[str, int]:
        body = self._s3.get_object(Bucket=self._bucket, Key=f"{results_prefix(RUN)}_report.json")["Body"].read()
        found: dict[str, int] = json.loads(body)["rows"]
        return found


def measure(rows: int, replicas: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="quarry-scale-") as temporary:
        folder = Path(temporary)
        path = rows_file(rows, folder)
        stack = Stack(folder / "stack", StackSettings(quota=QUOTA, simulator=NO_DELAYS))
        env = stack.up()
        try:
            further = [f"{service}.{number}" for service in SERVICES for number in range(2, replicas + 1)]
            for name in further:
                stack.start(name)
            watch = Watch(stack, env, [*SERVICES, *further, *OTHERS])
            stack.clients().client("s3").upload_file(str(path), env["QUARRY_BUCKET"], KEY)
            before = watch.cpu_s()
            began = time.time()
            _send(stack, env)
            success_s = watch.until_success(began)
            used = {name: round(spent - before[name], 2) for name, spent in watch.cpu_s().items()}
            jobs, counted = watch.jobs(), watch.rows()
            if counted["ok"] != rows:
                sys.exit(f"rows are missing: {counted}")
            return {
                "rows": rows,
                "replicas": replicas,
                "bytes": path.stat().st_size,
                "jobs": len(jobs),
                "wall_s": _phases(jobs, began, success_s),
                "cpu_s": used,
                "own_cpu_s": round(sum(spent for name, spent in used.items() if name.partition(".")[0] in SERVICES), 2),
                "peak_mb": watch.peaks_mb(),
                "load": [round(one, 1) for one in os.getloadavg()],
                "memory_mb_each_second": watch.samples,
            }
        finally:
            stack.down()


def _send(stack: Stack, env: Mapping[str, str]) -> None:
    manifest = {
        "run_id": RUN,
        "job_name_prefix": RUN,
        "s3_uri": f"s3://{env['QUARRY_BUCKET']}/{KEY}",
        "max_records_per_job": RECORDS_PER_JOB,
        "model_id": MODEL,
        "prompt_id": "joke_about_topic",
        "canary": False,  # its job is waited for before any other
    }
    queue = env["QUARRY_MANIFEST_QUEUE_URL"]
    stack.clients().client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(manifest))


def _phases(jobs: list[dict[str, datetime]], began: float, success_s: float) -> dict[str, float]:
    """In seconds since the manifest was sent."""
    submitted = sorted(job["submitTime"].timestamp() - began for job in jobs)
    ended_s = max(job["endTime"].timestamp() - began for job in jobs)
    phases = {
        "first_job": submitted[0],
        "first_jobs": submitted[min(FIRST_JOBS, len(submitted)) - 1],
        "last_job_submitted": submitted[-1],
        "last_job_ended": ended_s,
        "success": success_s,
        "success_after_last_job": success_s - ended_s,
    }
    return {name: round(seconds, 1) for name, seconds in phases.items()}


def _written(found: Mapping[str, Any]) -> str:
    """As JSON, with a line for each second."""
    samples = ",\n".join(f"  {json.dumps(sample)}" for sample in found["memory_mb_each_second"])
    rest = {name: value for name, value in found.items() if name != "memory_mb_each_second"}
    return f'{json.dumps(rest, indent=1)[:-2]},\n "memory_mb_each_second": [\n{samples}\n ]\n}}\n'


def told(found: Mapping[str, Any]) -> Iterator[str]:
    wall = found["wall_s"]
    yield (
        f"{found['rows']} rows, {found['replicas']} of each service, {found['jobs']} jobs: first job {wall['first_job']} s,"
        f" first {min(FIRST_JOBS, found['jobs'])} jobs {wall['first_jobs']} s, last job's end {wall['last_job_ended']} s,"
        f" _SUCCESS {wall['success']} s ({wall['success_after_last_job']} s after it); load {found['load'][0]}"
    )
    for name, spent in found["cpu_s"].items():
        yield f"  {name:<15} {spent:7.1f} CPU s   peak {found['peak_mb'][name]:7.0f} MB"
    yield f"  own CPU {found['own_cpu_s']} s"


def judged(found: Mapping[str, Any]) -> Iterator[str]:
    """The targets, of the size and the replicas that they are for."""
    own = {name: peak for name, peak in found["peak_mb"].items() if name.partition(".")[0] in SERVICES}
    reached = {
        "cpu_s": found["own_cpu_s"],
        "success_after_last_job_s": found["wall_s"]["success_after_last_job"],
        "first_jobs_s": found["wall_s"]["first_jobs"],
        "peak_mb": max(own.values()),
    }
    for name, value in reached.items():
        yield f"  {name}: {value}, target {TARGETS[name]:g}: {'reached' if value <= TARGETS[name] else 'missed'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[200_000, 1_000_000, 2_200_000], help="rows")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2], help="of each service")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="a folder for the figures")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for rows in chosen.sizes:
        for replicas in chosen.replicas:
            found = measure(rows, replicas)
            path = chosen.out / f"scale-{rows}-{replicas}.json"
            path.write_text(_written(found), encoding="utf-8")
            print("\n".join(told(found)), flush=True)
            if (rows, replicas) == (2_200_000, 1):
                print("\n".join(judged(found)), flush=True)


if __name__ == "__main__":
    main()
