"""What many small parts cost readers, and what merging them costs: `python benchmarks/compact.py`.

A result of `--parts` parts, as the collector writes them, on this disk; the same merged as `quarry compact` does, into row
groups of several sizes. Each reading is a process of its own: all columns, and one column, by pyarrow, polars and DuckDB.
Medians of `--times` readings. Merging is measured with its proof, and with the peak memory of its process.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from quarry_cli.client.results.compact.grouping import AIM_MIB, MIB, groups_of
from quarry_core.contract.results import outcome_schema, result_schema
from quarry_core.tabular.memory import choose_arrow_allocator
from quarry_core.tabular.parquet import merging
from quarry_core.tabular.parquet.part_file import write_rows
from quarry_core.tabular.parquet.row_groups import RowGroup

WORDS = [f"word{number:04d}" for number in range(2_000)]


def generate(folder: Path, parts: int, rows: int) -> None:
    """Parts of texts of about 400 bytes and answers of about as many."""
    words = random.Random(1)
    source = pa.schema([pa.field("id", pa.int64()), pa.field("text", pa.string()), pa.field("lang", pa.string())])
    ours = outcome_schema("response")
    schema = result_schema(source, "response")
    folder.mkdir()
    for part in range(parts):
        columns: dict[str, Any] = {
            "id": range(part * rows, (part + 1) * rows),
            "text": [" ".join(words.choices(WORDS, k=45)) for _ in range(rows)],
            "lang": [words.choice(("de", "en", "fr")) for _ in range(rows)],
            "response": [" ".join(words.choices(WORDS, k=45)) for _ in range(rows)],
            "record_id": [f"{2 * part:05d}{row:06d}" for row in range(rows)],
            "status": ["ok"] * rows,
            "stop_reason": ["end_turn"] * rows,
            "input_tokens": [words.randrange(100, 140) for _ in range(rows)],
            "output_tokens": [words.randrange(90, 130) for _ in range(rows)],
        }
        arrays = [pa.array(columns.get(each.name, [None] * rows), each.type) for each in (*source, *ours)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        with (folder / f"part-{2 * part:05d}.parquet").open("wb") as file:
            write_rows(file, schema, [batch], compression="zstd")


def merge(folder: Path, into: Path, row_group: RowGroup) -> dict[str, Any]:
    choose_arrow_allocator()
    merging.MERGED_ROW_GROUP = row_group
    parts = sorted(folder.iterdir())
    into.mkdir()
    begun, cpu = time.perf_counter(), time.process_time()
    for number, group in enumerate(groups_of([part.stat().st_size for part in parts], AIM_MIB * MIB)):
        with (into / f"part-{number:05d}.parquet").open("w+b") as file:
            merging.merge_parts([parts[each] for each in group], file)
    return {
        "seconds": time.perf_counter() - begun,
        "cpu_s": time.process_time() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def read(reader: str, folder: Path, columns: list[str] | None) -> dict[str, Any]:
    """One reading. Modules are imported before the clock starts."""
    pattern = f"{folder}/*.parquet"
    if reader == "pyarrow":
        import pyarrow.dataset as ds  # noqa: PLC0415 only the reader that is measured

        def work() -> int:
            return int(ds.dataset(folder, format="parquet").to_table(columns=columns).num_rows)
    elif reader == "polars":
        import polars as pl  # noqa: PLC0415 likewise

        def work() -> int:
            return int(pl.read_parquet(pattern, columns=columns).height)
    else:
        import duckdb  # noqa: PLC0415 likewise

        wanted = ", ".join(f"max({name})" for name in columns or ("id", "text", "lang", "response", "output_tokens"))

        def work() -> int:
            found = duckdb.connect().execute(f"select count(*), {wanted} from '{pattern}'").fetchall()
            return int(found[0][0])

    return _timed(work)


def _timed(work: Callable[[], int]) -> dict[str, Any]:
    begun, cpu = time.perf_counter(), time.process_time()
    rows = work()
    return {"rows": rows, "seconds": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu}


def apart(*words: str) -> dict[str, Any]:
    """One measurement in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=2_000)
    parser.add_argument("--rows", type=int, default=200, help="of each part")
    parser.add_argument("--row-group-rows", type=int, nargs="*", default=[8_192, 65_536])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--step", nargs=3, metavar=("KIND", "FOLDER", "MORE"))
    asked = parser.parse_args()
    if asked.step:
        kind, folder, more = asked.step
        if kind == "merge":
            into, rows = more.rsplit(",", 1)
            print(json.dumps(merge(Path(folder), Path(into), RowGroup(int(rows), 512 * int(rows)))))
        else:
            print(json.dumps(read(kind, Path(folder), None if more == "all" else [more])))
        return
    with tempfile.TemporaryDirectory() as home:
        folders = {f"{asked.parts} parts": Path(home) / "parts"}
        generate(folders[f"{asked.parts} parts"], asked.parts, asked.rows)
        for rows in asked.row_group_rows:
            into = Path(home) / f"merged-{rows}"
            made = apart("--step", "merge", str(Path(home) / "parts"), f"{into},{rows}")
            name = f"merged, row groups of {rows:,}"
            folders[name] = into
            print(f"{name}: {made['seconds']:.1f} s, {made['cpu_s']:.1f} CPU s, peak {made['peak_mib']:.0f} MiB")
        for name, folder in folders.items():
            files = list(folder.iterdir())
            size = sum(file.stat().st_size for file in files)
            print(f"{name}: {len(files)} files, {size / MIB:.1f} MiB")
        print(f"{'reader':8} {'columns':14}", *(f"{name:>28}" for name in folders))
        for reader in ("pyarrow", "polars", "duckdb"):
            for columns in ("all", "output_tokens"):
                cells = []
                for folder in folders.values():
                    found = [apart("--step", reader, str(folder), columns) for _ in range(asked.times)]
                    assert all(each["rows"] == asked.parts * asked.rows for each in found), found
                    seconds = statistics.median(each["seconds"] for each in found)
                    cpu = statistics.median(each["cpu_s"] for each in found)
                    cells.append(f"{seconds:9.2f} s {cpu:9.2f} CPU s")
                print(f"{reader:8} {columns:14}", *(f"{cell:>28}" for cell in cells))


if __name__ == "__main__":
    main()
