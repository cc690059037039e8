"""What many files cost against one: `python benchmarks/many_files.py`.

The same rows (a number, and a text with its length) as 1, 10, 100 and 1,000 Parquet files in the embedded AWS. Each
line is a process of its own that counts the source and writes all its shards, as the preprocessor does: requests to S3 a
file, CPU seconds, peak memory. The least that is possible of a file: one GET of its end to count it (the footer), one of
the column that the prompt needs, to find the values that cannot be sent, and both again to write the shards.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.aws.s3.objects import S3Objects
from quarry_core.contract.listing import Listing, SourceFile, digest_of
from quarry_core.contract.names import listing_key
from quarry_core.contract.prompts import Prompt
from quarry_core.contract.run import Pins, Source
from quarry_core.planning.counting import count_source
from quarry_core.planning.plan import ShardRange
from quarry_core.rendering.encoders import encoder_of
from quarry_core.tabular.memory import choose_arrow_allocator
from quarry_local import emulator
from quarry_local.clients import Clients
from quarry_preprocessor.write import ShardWriter

BUCKET = "many-files"
SHARD_ROWS = 10_000
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"


def generate(client: Any, files: int, rows: int) -> None:
    each = rows // files
    for file in range(files):
        numbers = range(file * each, (file + 1) * each)
        table = pa.table({"n": list(numbers), "topic": [f"topic {n} " + "words " * (n % 40) for n in numbers]})
        body = io.BytesIO()
        pq.write_table(table, body, row_group_size=50_000)
        client.put_object(Bucket=BUCKET, Key=f"in/{files}/{file:05d}.parquet", Body=body.getvalue())


def step(files: int, endpoint: str) -> dict[str, Any]:
    """Count the files and write their shards in this process, and measure it."""
    choose_arrow_allocator()
    client = client_of(endpoint)
    asked: Counter[str] = Counter()
    objects = S3Objects(BUCKET, client=client, observe=lambda _service, operation, *_: asked.update([operation]))
    run = f"run{files}"
    begun = time.process_time()
    found = [
        SourceFile(key=each.key, size_bytes=each.size_bytes, etag=each.etag) for each in objects.list(f"in/{files}/")
    ]
    listing = Listing(files=tuple(found)).to_json()
    objects.put_once(listing_key(run), listing, {"run": run})
    source = Source(
        format="parquet",
        bucket=BUCKET,
        key=f"in/{files}/",
        size_bytes=sum(each.size_bytes for each in found),
        files=len(found),
        listing=digest_of(listing),
    )
    pins = Pins(
        job_name_prefix="many",
        model_id=MODEL,
        pool="pool",
        family="anthropic",
        family_version="1",
        source=source,
        prompt=Prompt(template="{topic}"),
        timeout_hours=24,
    )
    dataset = count_source(objects, run, pins).dataset
    counted = asked.copy()
    writer = ShardWriter(objects, run, "plan", pins, dataset, encoder_of(pins), 100, 1 << 30)
    for number, first in enumerate(range(0, dataset.count.rows, SHARD_ROWS)):
        writer.write(ShardRange(2 * number, first, min(SHARD_ROWS, dataset.count.rows - first)))
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    reads = {"get_object", "head_object"}
    return {
        "count": sum(number for name, number in counted.items() if name in reads),
        "write": sum(number for name, number in (asked - counted).items() if name in reads),
        "lists": asked["list_objects_v2"],
        "heads": asked["head_object"],
        "cpu_s": time.process_time() - begun,
        "peak_mb": peak_kb / 1e3,
    }


def client_of(endpoint: str) -> Any:
    return Clients(endpoint, "us-east-1").client("s3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--files", type=int, nargs="*", default=[1, 10, 100, 1_000])
    parser.add_argument("--step", type=int)
    parser.add_argument("--endpoint", default="")
    given = parser.parse_args()
    if given.step:
        print(json.dumps(step(given.step, given.endpoint)))
        return
    with tempfile.TemporaryDirectory() as folder, emulator.running(Path(folder)) as clients:
        endpoint = clients.endpoint_url
        client = client_of(endpoint)
        client.create_bucket(Bucket=BUCKET)
        print(f"{'files':>6} {'GETs to count':>14} {'a file':>7} {'GETs to write':>14} {'a file':>7} {'lists':>6}"
              f" {'heads':>6} {'CPU s':>6} {'peak MB':>8}")  # fmt: skip
        for files in given.files:
            generate(client, files, given.rows)
            command = [sys.executable, __file__, "--step", str(files), "--endpoint", endpoint]
            ran = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(ran.stdout)
            print(
                f"{files:6} {found['count']:14} {found['count'] / files:7.2f} {found['write']:14} "
                f"{found['write'] / files:7.2f} {found['lists']:6} {found['heads']:6} {found['cpu_s']:6.1f} {found['peak_mb']:8.0f}"
            )


if __name__ == "__main__":
    main()
