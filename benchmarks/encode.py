"""What encoding costs: CPU seconds of the encoder beside those of one object per row, on the same rows in one run.

    python benchmarks/encode.py [--rows 50000] [--row-bytes 1000]

Three rows of ten are not plain English; every row has line breaks and quotation marks. Each way reads the same Arrow
batches and makes the same bytes; the best of three passes counts. Ratios and CPU seconds are the figures to trust.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pyarrow as pa
from beside.work import ENGLISH, OTHER

from quarry_core.contract.names import record_id
from quarry_core.contract.prompts import parse_template
from quarry_core.models import family_of
from quarry_core.rendering.encode import Encoder

Way = Callable[[Sequence[pa.RecordBatch]], Iterator[bytes]]
SHARD = "00000"
BATCH_ROWS = 1_024
PASSES = 3

FAMILY = family_of("anthropic.claude-3-haiku-20240307-v1:0")
TEMPLATE = parse_template("Read this and answer in one sentence:\n\n{text}\n\nNow answer.")
INFERENCE = {"max_tokens": 512, "temperature": 0.5}


def rows_of(count: int, row_bytes: int) -> list[str]:
    chance = random.Random(7)
    rows = []
    for row in range(count):
        words = chance.choices(OTHER if row % 10 < 3 else ENGLISH, k=row_bytes // 5)
        words[9::25] = [word + ".\n" for word in words[9::25]]
        words[19::50] = [f'"{word}"' for word in words[19::50]]
        rows.append(" ".join(words)[:row_bytes])
    return rows


def object_per_row(batches: Sequence[pa.RecordBatch], dump: Callable[[object], bytes]) -> Iterator[bytes]:
    row = 0
    for batch in batches:
        lines = []
        for text in batch.column("text").to_pylist():
            body = FAMILY.body(TEMPLATE.render({"text": text}), system=None, inference=INFERENCE)
            lines.append(dump({"recordId": record_id(SHARD, row), "modelInput": body}) + b"\n")
            row += 1
        yield b"".join(lines)


def once_per_line(batches: Sequence[pa.RecordBatch], encoder: Encoder) -> Iterator[bytes]:
    row = 0
    for batch in batches:
        yield encoder.encode(batch, SHARD, row).data
        row += batch.num_rows


def cpu_seconds(way: Way, batches: Sequence[pa.RecordBatch]) -> float:
    best = float("inf")
    for _ in range(PASSES):
        began = time.process_time()
        for _ in way(batches):
            pass
        best = min(best, time.process_time() - began)
    return best


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rows", type=int, default=50_000)
    options.add_argument("--row-bytes", type=int, default=1_000)
    asked = options.parse_args()

    table = pa.table({"text": rows_of(asked.rows, asked.row_bytes)})
    batches = table.to_batches(max_chunksize=BATCH_ROWS)
    encoder = Encoder(FAMILY, TEMPLATE, inference=INFERENCE)
    ways: dict[str, Way] = {
        "json, an object per row": lambda some: object_per_row(some, _json),
        "msgspec, an object per row": lambda some: object_per_row(some, msgspec.json.encode),
        "Encoder": lambda some: once_per_line(some, encoder),
    }
    data = {b"".join(way(batches[:20])) for way in ways.values()}
    assert len(data) == 1, "all ways write the same bytes"

    seconds = {name: cpu_seconds(way, batches) for name, way in ways.items()}
    line_bytes = len(data.pop()) / sum(batch.num_rows for batch in batches[:20])
    print(f"{asked.rows} rows, {table.nbytes / asked.rows:.0f} bytes of text a row, {line_bytes:.0f} bytes a line")
    for name, cpu in seconds.items():
        print(
            f"{name:28} {cpu:6.3f} CPU s  {asked.rows / cpu:9,.0f} rows/s  {cpu / seconds['Encoder']:5.2f} x the encoder"
        )


def _json(line: object) -> bytes:
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()


if __name__ == "__main__":
    main()
