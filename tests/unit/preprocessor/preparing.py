"""Prepare one adversarial CSV file in a process of its own and print its peak memory: `main`, with CASE and FOLDER in `sys.argv`.

What a preprocessor does to a run, in one process and without a world: the count, the sample, the plan's estimate, and
one shard of all rows, written to files.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from quarry_core.contract.column_names import COLUMNS_MAX
from quarry_core.contract.csv_dialect import Csv
from quarry_core.contract.prompts import Prompt
from quarry_core.contract.run import Pins, Source
from quarry_core.errors import Missing
from quarry_core.models import family_of
from quarry_core.planning.counting import count_source
from quarry_core.planning.plan import ShardRange
from quarry_core.rendering.encoders import encoder_of
from quarry_core.tabular.memory import choose_arrow_allocator, keep_freed_memory
from quarry_core.tabular.rows import SourceError
from quarry_preprocessor.write import ShardTooLarge, ShardWriter

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
SHARD_BYTES_MAX = 150_000_000
MB = 1_000_000


class Files:
    """The port over a folder: objects are files, and what is written once is a file, too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: dict[str, bytes] = {}

    def stream(self, ref: Any, start_byte: int = 0, end_byte: int | None = None) -> io.FileIO:
        opened = io.FileIO(self.folder / ref.key)
        opened.seek(start_byte)
        return opened

    def random_access(self, ref: Any) -> io.FileIO:
        return io.FileIO(self.folder / ref.key)

    def create(self, key: str, metadata: Any) -> FileUpload:
        return FileUpload()

    def read(self, ref: Any, start_byte: int = 0, length_bytes: int | None = None) -> bytes:
        if ref.key not in self.written:
            raise Missing(ref.key)
        return self.written[ref.key]

    def put_once(self, key: str, body: bytes, metadata: Any) -> bool:
        self.written[key] = body
        return True


class FileUpload:
    """Counts what is written: the memory of an upload is the adapter's, and bounded there."""

    def __init__(self) -> None:
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self.size_bytes += len(data)
        return len(data)

    def commit(self) -> bool:
        return True

    def abort(self) -> None:
        pass


def many_columns(columns: int, rows: int, cell: bytes) -> Iterator[bytes]:
    yield b",".join(b"c%d" % number for number in range(columns)) + b"\n"
    row = b",".join([cell] * columns) + b"\n"
    for _ in range(rows):
        yield row


def long_cells(rows: int, cell: bytes, encoding: str = "utf-8") -> Iterator[bytes]:
    yield "c0,c1\n".encode(encoding)
    for row in range(rows):
        yield f"{row},".encode(encoding) + cell + "\n".encode(encoding)


def mixed_cells(rows: int, cell: bytes) -> Iterator[bytes]:
    """Every tenth row is a giant among dwarfs."""
    yield b"c0,c1\n"
    for row in range(rows):
        yield b"%d,%b\n" % (row, cell if row % 10 == 0 else b"x")


EMOJI = "😀".encode()
CASES: dict[str, tuple[Callable[[], Iterator[bytes]], str, Csv | None]] = {
    "200,000 columns": (lambda: many_columns(200_000, 4, b"x"), "{c0}", None),
    "as many columns as may be": (lambda: many_columns(COLUMNS_MAX, 500, b"abc"), "{c0}", None),
    "rows of 24 MB in UTF-16": (
        lambda: long_cells(3, ("😀" + "x" * (12 * MB)).encode("utf-16-le"), "utf-16-le"),
        "{c1}",
        Csv(encoding="utf-16"),
    ),
    "rows over the model's limit": (lambda: long_cells(3, EMOJI + b"x" * (30 * MB)), "{c1}", None),
    "rows over the file's limit": (lambda: long_cells(3, b"x" * (40 * MB)), "{c1}", None),
    "control characters": (lambda: long_cells(3, b"\x01" * (24 * MB)), "{c1}", None),
    "giants among dwarfs": (lambda: mixed_cells(80, b"x" * (20 * MB)), "{c1}", None),
    "a template times a cell": (lambda: long_cells(40, b"x" * 100_000), "{c1}" * 200, None),
    "a template times a giant": (lambda: long_cells(3, b"x" * (20 * MB)), "{c1}" * 200, None),
}


def write_case(case: str, path: Path) -> None:
    with path.open("wb") as out:
        out.writelines(CASES[case][0]())


def prepare(case: str, folder: Path) -> dict[str, Any]:
    _, template, csv = CASES[case]
    objects: Any = Files(folder)
    size_bytes = (folder / "data.csv").stat().st_size
    pins = Pins(
        job_name_prefix="memory",
        model_id=MODEL,
        pool="pool",
        family=family_of(MODEL).name,
        family_version="1",
        source=Source(format="csv", bucket="", key="data.csv", size_bytes=size_bytes, etag="e"),
        prompt=Prompt(template=template),
        timeout_hours=24,
        csv=csv,
    )
    try:
        dataset = count_source(objects, "run", pins).dataset
    except SourceError as error:
        return {"refused": str(error)}
    writer = ShardWriter(objects, "run", "plan", pins, dataset, encoder_of(pins), 1, SHARD_BYTES_MAX)
    try:
        written = writer.write(ShardRange(number=0, first_row=0, rows=dataset.count.rows))
    except ShardTooLarge as error:
        return {"too_large": str(error)}
    return {"sendable": written.sendable, "unsent": sorted({one.code for one in written.unsent})}


def peak_mb() -> float:
    """The process's peak resident memory, as Linux tells it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1e3


def main() -> None:
    keep_freed_memory()
    choose_arrow_allocator()  # as the services do
    reported = prepare(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.write(json.dumps({**reported, "peak_mb": peak_mb()}))
