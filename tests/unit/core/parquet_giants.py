"""Small Parquet files that unpack to much, and a process that does with one what the preprocessor does.

`write NAME PATH` makes one; `prepare PATH` counts it, samples it, looks for gaps and renders
every row, and prints the outcome and the process's peak memory as JSON.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.contract.prompts import parse_template
from quarry_core.models import family_of
from quarry_core.planning.count_file import count_gaps, inspect, sample
from quarry_core.ports import ObjectRef
from quarry_core.rendering.encode import Encoder
from quarry_core.rendering.row_encoder import estimate_record_bytes
from quarry_core.tabular.rows import SourceError, read_rows


def text(length: int, number: int = 0) -> str:
    return chr(97 + number % 26) * length


def levels(rows: int, *texts: str) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.arange(rows, dtype=np.int32) % len(texts)), pa.array(texts))


def lists(values: pa.Array, *lengths: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)), values)


PLAIN: dict[str, Any] = {"use_dictionary": False}
# What is read, in small batches, and what it takes otherwise.
READ: dict[str, tuple[Callable[[], pa.Array], dict[str, Any]]] = {
    "one text in a dictionary, hundreds of times": (lambda: levels(240, text(1_600_000)), {}),
    "a category of giants": (lambda: levels(240, text(1_600_000)), {"store_schema": True}),
    "a list of giants": (lambda: lists(levels(220, text(1_600_000)), *[2] * 110), {}),
    "texts that share a beginning": (
        lambda: pa.array([text(1_600_000)] * 240),
        {**PLAIN, "column_encoding": {"t": "DELTA_BYTE_ARRAY"}},
    ),
    "giants one after the other": (
        lambda: pa.array([text(1_000_000, n) for n in range(300)]),
        {**PLAIN, "write_batch_size": 1},
    ),
    "giants among small ones": (
        lambda: pa.array(["a"] * 20_000 + [text(1_000_000)] * 300 + ["b"] * 20_000),
        {**PLAIN, "write_batch_size": 8},
    ),
    "masks of ones": (lambda: lists(pa.array(np.ones(4096 * 3_000, np.int8)), *[4096] * 3_000), {}),
    "control characters": (lambda: pa.array(["a", "\x01" * 24_000_000] * 3), {**PLAIN, "write_batch_size": 1}),
}
# What is refused, and what is said.
REFUSED: dict[str, tuple[Callable[[], pa.Array], dict[str, Any], str]] = {
    "a row of 40 MB": (
        lambda: pa.array(["a", text(40_000_000), "b"] * 3),
        {**PLAIN, "write_batch_size": 1},
        "39 MiB, most of it in column 't', and Quarry reads rows of 32 MiB",
    ),
    "a page of 500 MB": (
        lambda: pa.array([text(1_000_000, n) for n in range(500)]),
        PLAIN,
        "row group 0: the pages of 1 columns that must be open at once have 476 MiB",
    ),
    "a dictionary of 180 MB": (
        lambda: pa.array([text(300_000, n) + str(n) for n in range(600)]),
        {"dictionary_pagesize_limit": 1 << 30},
        "row group 0: the pages of 1 columns that must be open at once",
    ),
    "a list of ten million": (
        lambda: lists(pa.array(np.ones(20_000_004, np.int64)), 10_000_000, 2, 10_000_000, 2),
        {},
        "row group 0: a single row has up to 191 MiB, most of it in column 't.list.element'",
    ),
    "one long list among many": (
        lambda: lists(pa.array(np.ones(7_000_000, np.int64)), *[10] * 200_000, 5_000_000),
        {},
        "row group 0: a single row has up to 96 MiB, most of it in column 't.list.element'",
    ),
}


def write(name: str, path: Path) -> None:
    make, options = (*READ[name],) if name in READ else REFUSED[name][:2]
    pq.write_table(pa.table({"t": make()}), path, **{"compression": "zstd", "store_schema": False, **options})


class LocalObjects:
    """The reading half of the port over local files: the key is the path."""

    def random_access(self, ref: Any) -> io.FileIO:
        return io.FileIO(ref.key)


def prepare(path: Path) -> dict[str, Any]:
    """Count, sample, look for gaps and render, as the preprocessor does."""
    objects: Any = LocalObjects()
    ref = ObjectRef(str(path))
    try:
        count = inspect(objects, ref, "parquet")
        asking = Encoder(family_of("anthropic.claude-3-haiku-20240307-v1:0"), parse_template("{t}"))
        estimate_record_bytes(asking, sample(objects, ref, count))
        gaps = count_gaps(objects, ref, count, asking)
        rows = records = 0
        for batch in read_rows(objects, ref, count, 0, count.rows):
            rows += batch.num_rows
            records += asking.encode(batch, "00000", 0).records
    except SourceError as error:
        return {"refused": str(error)}
    return {"rows": rows, "counted": count.rows, "gaps": gaps, "unsent": rows - records}


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1000


def main() -> None:
    act, *reported = sys.argv[1:]
    if act == "write":
        write(reported[0], Path(reported[1]))
    else:
        print(json.dumps({**prepare(Path(reported[0])), "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
