"""The first rows of a result, read from the bucket by ranges: a look without a download."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich import box
from rich.table import Table
from rich.text import Text

from quarry_cli.download import parts_of
from quarry_cli.wording import plain
from quarry_core.ports import ObjectRef, Objects
from quarry_core.results import ANSWER_COLUMNS, RESULT_COLUMNS

SOURCE_COLUMNS_SHOWN = 4
CELL_CHARS_MAX = 160
NUMBERS_SHOWN = 4


def first_rows(objects: Objects, run_id: str, most: int) -> pa.Table | None:
    """The first rows of the parts that stand, in row order; None if there is no part."""
    found: list[pa.RecordBatch] = []
    left = most
    for info in parts_of(objects, run_id):
        with closing(objects.random_access(ObjectRef(info.key, etag=info.etag))) as source:
            batches = pq.ParquetFile(source).iter_batches(batch_size=left)
            for batch in batches:
                found.append(batch.slice(0, left))
                left -= found[-1].num_rows
                if left <= 0:
                    return pa.Table.from_batches(found)
    return pa.Table.from_batches(found) if found else None


def rows_table(rows: pa.Table) -> Table:
    """The source's first columns, the answer, and what is amiss; long cells are cut."""
    names = _shown(rows.column_names)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    for name in names:
        table.add_column(Text(plain(name, 40)), overflow="fold")
    for row in rows.select(names).to_pylist():
        table.add_row(*(_cell(row[name]) for name in names))
    return table


def _shown(names: Sequence[str]) -> list[str]:
    ours = {*ANSWER_COLUMNS, *RESULT_COLUMNS}
    source = [name for name in names if name not in ours][:SOURCE_COLUMNS_SHOWN]
    return [name for name in ("record_id", *source, *ANSWER_COLUMNS, "status", "error_code") if name in names]


def _cell(value: Any) -> Text:
    match value:
        case None:
            return Text("null", style="dim italic")
        case list():
            first = ", ".join(
                f"{number:.4g}" if isinstance(number, float) else str(number) for number in value[:NUMBERS_SHOWN]
            )
            return Text(plain(f"[{first}{', …' if len(value) > NUMBERS_SHOWN else ''}] ({len(value)})", CELL_CHARS_MAX))
        case _:
            return Text(plain(str(value), CELL_CHARS_MAX))
