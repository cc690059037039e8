"""Peak memory and CPU of each service process over a whole run, at two sizes: memory must not follow the data.

Brings up the local stack, puts a CSV file of rows of 1 KB into the bucket, sends a text manifest with 50,000 records a
job, waits for the end, and reads VmHWM and CPU time of each process from /proc (Linux only). The emulator keeps
objects in memory: a million rows need about 18 GB.

    python benchmarks/memory_of_services.py [--rows 200000 1000000] [--quota 4] [--embedding]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from quarry_local.clients import Clients
from quarry_local.settings import StackSettings
from quarry_local.stack import Stack

SERVICES = ("preprocessor", "scheduler", "collector")
OTHERS = ("bedrock", "emulator")
ROW_BYTES = 1_000
RECORDS_PER_JOB = 50_000
DEADLINE_S = 1_800
LIMIT_MB, TARGET_MB, GROWTH_MAX = 400, 256, 0.10
WORDS = ("granite", "marble", "slate", "flint", "chalk", "gneiss", "basalt", "quartz", "schist", "shale")


def row(number: int) -> str:
    """One line of ROW_BYTES bytes; no two are equal."""
    head, tail = f'{number},"', f'{number}",{number % 97}\n'
    words = " ".join(WORDS[(number * 7 + place * place) % len(WORDS)] for place in range(ROW_BYTES // 6))
    return head + words[: ROW_BYTES - len(head) - len(tail)] + tail


def put_csv(s3: object, bucket: str, key: str, rows: int, column: str) -> int:
    """Upload in parts, so that this process stays small."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]  # type: ignore[attr-defined]
    parts, total, buffer = [], 0, [f"id,{column},group\n"]
    for start in range(0, rows, 10_000):
        buffer += [row(number) for number in range(start, min(start + 10_000, rows))]
        body = "".join(buffer).encode()
        total += len(body)
        buffer = []
        part = s3.upload_part(  # type: ignore[attr-defined]
            Bucket=bucket, Key=key, UploadId=upload, PartNumber=len(parts) + 1, Body=body
        )
        parts.append({"PartNumber": len(parts) + 1, "ETag": part["ETag"]})
    s3.complete_multipart_upload(  # type: ignore[attr-defined]
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    return total


def children(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += children(int(child))
    return found


def peak_mb(pid: int) -> float:
    """VmHWM of a process and its children together, in MB of 1,000,000 bytes."""
    total = 0
    for each in children(pid):
        for line in Path(f"/proc/{each}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1]) * 1024
    return total / 1e6


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(rows: int, quota: int, *, embedding: bool) -> dict[str, tuple[float, float]]:
    with tempfile.TemporaryDirectory() as folder:
        simulator = {"seconds_per_1000_records": "0.02"}
        stack = Stack(Path(folder), StackSettings(quota=quota, simulator=simulator))
        env = stack.up()
        try:
            clients = stack.clients()
            s3 = clients.client("s3")
            size = put_csv(s3, env["QUARRY_BUCKET"], "inputs/rows.csv", rows, "input_text" if embedding else "topic")
            idle = {name: peak_mb(stack.process(name).pid) for name in SERVICES}
            began = time.monotonic()
            send(clients, env, embedding=embedding)
            end = wait(s3, env["QUARRY_BUCKET"])
            took_s = time.monotonic() - began
            measured = {
                name: (peak_mb(stack.process(name).pid), cpu_s(stack.process(name).pid)) for name in SERVICES + OTHERS
            }
            stats = stack.simulator_stats()
            print(
                f"{rows} rows, {size / 1e6:.0f} MB of CSV, {took_s:.0f} s, rows ok {end['rows']['ok']},"
                f" error {end['rows']['error']}, peaks of active jobs {json.dumps(peaks(stats))}"
            )
            for name, (peak, cpu) in measured.items():
                start = f" (idle {idle[name]:.0f})" if name in idle else ""
                print(f"  {name:<13} VmHWM {peak:7.0f} MB{start}   CPU {cpu:7.1f} s")
            if end["rows"]["ok"] != rows:
                sys.exit("rows are missing")
            return measured
        finally:
            stack.down()


def peaks(stats: object) -> object:
    pools = stats.get("pools", {}) if isinstance(stats, dict) else {}
    return {name: pool.get("peak_active", pool.get("peak")) for name, pool in pools.items()} if pools else {}


def send(clients: Clients, env: dict[str, str], *, embedding: bool) -> None:
    manifest = {
        "run_id": "memory",
        "job_name_prefix": "memory",
        "s3_uri": f"s3://{env['QUARRY_BUCKET']}/inputs/rows.csv",
        "max_records_per_job": RECORDS_PER_JOB,
    }
    manifest |= (
        {"model_id": "amazon.titan-embed-text-v2:0"}
        if embedding
        else {"model_id": "anthropic.claude-3-haiku-20240307-v1:0", "prompt_id": "joke_about_topic"}
    )
    clients.client("sqs").send_message(QueueUrl=env["QUARRY_MANIFEST_QUEUE_URL"], MessageBody=json.dumps(manifest))


def wait(s3: object, bucket: str) -> dict[str, dict[str, int]]:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        found = s3.list_objects_v2(Bucket=bucket, Prefix="results/memory/_report.json")  # type: ignore[attr-defined]
        if found.get("KeyCount"):
            body = s3.get_object(Bucket=bucket, Key="results/memory/_report.json")["Body"].read()  # type: ignore[attr-defined]
            report: dict[str, dict[str, int]] = json.loads(body)
            return report
        time.sleep(1)
    sys.exit(f"no end after {DEADLINE_S} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--quota", type=int, default=4)
    parser.add_argument("--embedding", action="store_true")
    chosen = parser.parse_args()
    measured = [measure(rows, chosen.quota, embedding=chosen.embedding) for rows in chosen.rows]
    bad = False
    for name in SERVICES:
        first, last = measured[0][name][0], measured[-1][name][0]
        growth = last / first - 1
        verdict = "ok" if last < LIMIT_MB and growth < GROWTH_MAX else "TOO MUCH"
        bad = bad or verdict != "ok"
        target = "reached" if last <= TARGET_MB else "missed"
        print(
            f"{name:<13} {first:.0f} -> {last:.0f} MB ({growth:+.1%}):"
            f" limit of {LIMIT_MB} MB and {GROWTH_MAX:.0%} {verdict}, target of {TARGET_MB} MB {target}"
        )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
