"""How fast sources are counted and read, and in how much memory: `python benchmarks/read_rows.py`.

Each line is one step in a process of its own over the same generated data (1.56 KB a row in three text columns, a
third of it not plain English), from a local file behind the `Objects` port: MB/s of CPU time, CPU seconds, and peak
memory. `--rows` sets the size; the tests' memory guard takes its data and its steps from here.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.planning.count_file import inspect
from quarry_core.ports import ObjectRef
from quarry_core.tabular.rows import read_rows

STEPS = ("nothing", "count plain", "count quoted", "read plain", "read quoted", "read parquet")
WORDS = ("the", "quick", "model", "answers", "data", "naïve", "größer", "数据", "модель", "of", "row")


class LocalObjects:
    """The reading half of the port over local files: the key is the path."""

    def stream(self, ref: Any, start_byte: int = 0, end_byte: int | None = None) -> io.FileIO:  # noqa: ARG002
        opened = io.FileIO(ref.key)
        opened.seek(start_byte)
        return opened

    def random_access(self, ref: Any) -> io.FileIO:
        return io.FileIO(ref.key)


def text(source: random.Random, chars: int, *, quoted: bool) -> str:
    words = source.choices(WORDS, k=chars // 6)
    if not quoted:
        return " ".join(words)
    words[len(words) // 2] = '""so,""\n'
    return '"' + " ".join(words) + '"'


def generate(folder: Path, rows: int) -> None:
    """Write `plain.csv`, `quoted.csv` and `data.parquet`, streaming, with the same rows over and over."""
    source = random.Random(7)
    block_rows = 2_000
    for name, quoted in (("plain", False), ("quoted", True)):
        lines = [
            ",".join((str(n), text(source, 400, quoted=quoted), text(source, 1_100, quoted=quoted)))
            for n in range(block_rows)
        ]
        block = ("\n".join(lines) + "\n").encode()
        with (folder / f"{name}.csv").open("wb") as out:
            out.write(b"id,question,context\n")
            for _ in range(rows // block_rows):
                out.write(block)
    columns = {
        "id": [str(n) for n in range(block_rows)],
        "question": [text(source, 400, quoted=False) for _ in range(block_rows)],
        "context": [text(source, 1_100, quoted=False) for _ in range(block_rows)],
    }
    table = pa.table(columns)
    # Uncompressed: rows that repeat would otherwise vanish, and with them whatever a reader wrongly keeps.
    # One row group, as most writers make of so few rows: a reader must be flat inside of one, too.
    whole = pa.concat_tables([table] * (rows // block_rows))
    pq.write_table(whole, folder / "data.parquet", row_group_size=rows, use_dictionary=False, compression="none")


def step(name: str, folder: Path) -> dict[str, float]:
    """Do one step in this process and measure it."""
    objects: Any = LocalObjects()
    done, rows, cpu_s = 0, 0, 0.0
    if name != "nothing":
        verb, what = name.split()
        form: Any = "parquet" if what == "parquet" else "csv"
        path = folder / ("data.parquet" if form == "parquet" else f"{what}.csv")
        ref, done = ObjectRef(str(path)), path.stat().st_size
        if verb == "read":
            count = inspect(objects, ref, form)
            begun = time.process_time()
            rows = sum(batch.num_rows for batch in read_rows(objects, ref, count, 0, count.rows))
            assert rows == count.rows
        else:
            begun = time.process_time()
            rows = inspect(objects, ref, form).rows
        cpu_s = time.process_time() - begun
    return {"bytes": done, "rows": rows, "cpu_s": cpu_s, "peak_kb": peak_kb()}


def peak_kb() -> int:
    """The process's peak resident memory, as Linux tells it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def apart(name: str, folder: Path, pool: str | None = None) -> dict[str, float]:
    """One step in a process of its own, with Arrow's default allocator or the one named."""
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
    chosen = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": pool} if pool else None
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=chosen)
    reported: dict[str, float] = json.loads(ran.stdout)
    return reported


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pool", choices=("mimalloc", "jemalloc", "system"), help="Arrow's allocator")
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.step:
        print(json.dumps(step(given.step, given.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), given.rows)
        print(f"{'step':14} {'MB':>6} {'MB/s CPU':>9} {'CPU s':>6} {'us/row':>7} {'peak MB':>8}")
        for name in STEPS:
            reported = apart(name, Path(folder), given.pool)
            size_mb, cpu_s, rows = reported["bytes"] / 1e6, reported["cpu_s"], reported["rows"]
            speed = f"{size_mb / cpu_s:9.0f} {cpu_s:6.2f} {cpu_s / rows * 1e6:7.2f}" if rows else " " * 24
            print(f"{name:14} {size_mb:6.0f} {speed} {reported['peak_kb'] / 1e3:8.0f}")


if __name__ == "__main__":
    main()
