"""The simulated Bedrock alone: CPU and peak memory of many records on a directory store.

Starts the simulator with `--store` and no waits, writes the input files of a run of claude
records (one file a job), creates all jobs, waits for the last, counts the output lines, and reads VmHWM and CPU time of
the process from /proc (Linux only). 2.2 million records need about 5 GB of disk.

    python benchmarks/simulator.py [--rows 220000] [--records-per-job 50000] [--jobs-at-once 20]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
from botocore.config import Config

LIMIT_MB = 512
DEADLINE_S = 3_600
PROMPT_CHARS = 900
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
WORDS = ("granite", "marble", "slate", "flint", "chalk", "gneiss", "basalt", "quartz", "schist", "shale")


def write_input(path: Path, first: int, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for number in range(first, first + count):
            words = " ".join(WORDS[(number * 7 + place * place) % len(WORDS)] for place in range(PROMPT_CHARS // 6))
            body = {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 200,
                "messages": [{"role": "user", "content": f"{number} {words}"[:PROMPT_CHARS]}],
            }
            file.write(json.dumps({"recordId": f"{number:011d}", "modelInput": body}) + "\n")


def figures(pid: int) -> tuple[float, float]:
    """Peak memory in MB of 1,000,000 bytes, and CPU seconds."""
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return peak * 1024 / 1e6, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(store: Path, rows: int, per_job: int, at_once: int) -> int:
    starts = range(0, rows, per_job)
    for number, first in enumerate(starts):
        write_input(store / "bucket" / "in" / f"{number:05d}.jsonl", first, min(per_job, rows - first))
    command = [
        sys.executable,
        "-m",
        "quarry_local.bedrock",
        f"--store={store}",
        f"--quota={at_once}",
        "--quota-mode=queue",
    ]
    pace = ["--submitted-s=0", "--validating-s=0", "--queue-s=0", "--starting-s=0", "--seconds-per-1000-records=0"]
    with subprocess.Popen([*command, *pace, "--records-min=1"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = json.loads(process.stdout.readline())["url"]
            client = boto3.client(
                "bedrock",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(read_timeout=60, retries={"mode": "standard", "total_max_attempts": 1}),
            )
            idle_mb, idle_s = figures(process.pid)
            began = time.monotonic()
            for number in range(len(starts)):
                client.create_model_invocation_job(
                    jobName=f"benchmark-{number}",
                    roleArn="arn:aws:iam::123456789012:role/benchmark",
                    modelId=MODEL,
                    inputDataConfig={"s3InputDataConfig": {"s3Uri": f"s3://bucket/in/{number:05d}.jsonl"}},
                    outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}},
                )
            while len(
                client.list_model_invocation_jobs(statusEquals="Completed", maxResults=1000)["invocationJobSummaries"]
            ) < len(starts):
                assert time.monotonic() - began < DEADLINE_S, "not done in time"
                time.sleep(0.5)
            wall_s = time.monotonic() - began
            peak_mb, cpu_s = figures(process.pid)
            client.close()
        finally:
            process.terminate()
    lines = 0
    for path in (store / "bucket" / "out").rglob("*.jsonl.out"):
        with path.open("rb") as file:
            lines += sum(1 for _ in file)
    assert lines == rows, f"{lines} lines of {rows}"
    print(f"{rows:,} records in {len(starts)} jobs, {at_once} at once: {lines:,} lines")
    print(f"CPU {cpu_s - idle_s:.1f} s, {(cpu_s - idle_s) / rows * 1e6:.1f} us a record; wall {wall_s:.1f} s")
    print(f"peak memory {peak_mb:.0f} MB (idle {idle_mb:.0f}), limit {LIMIT_MB}")
    return 0 if peak_mb < LIMIT_MB else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=220_000)
    parser.add_argument("--records-per-job", type=int, default=50_000)
    parser.add_argument("--jobs-at-once", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        return run(Path(directory), asked.rows, asked.records_per_job, asked.jobs_at_once)


if __name__ == "__main__":
    sys.exit(main())
