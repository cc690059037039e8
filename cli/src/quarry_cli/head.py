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
from quarry_cli.values import batches_of, plain_values
from quarry_cli.wording import plain
from quarry_core.ports import ObjectRef, Objects
from quarry_core.results import OUR_COLUMNS

SOURCE_COLUMNS_SHOWN = 4
CELL_CHARS_MAX = 160
NUMBERS_SHOWN = 4


def first_rows(objects: Objects, run_id: str, most: int) -> pa.Table | None:
    """The first rows of the parts that stand, in row order; None if there is no part."""
    found: list[pa.RecordBatch] = []
    left = most
    for info in parts_of(objects, run_id):
        with closing(objects.random_access(ObjectRef(info.key, etag=info.etag))) as source:
            for batch in batches_of(pq.ParquetFile(source), left):
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
    columns = [[value for chunk in rows.column(name).chunks for value in plain_values(chunk)] for name in names]
    for row in zip(*columns, strict=True):
        table.add_row(*map(_cell, row))
    return table


def _shown(names: Sequence[str]) -> list[str]:
    # Ours stand behind the source's, of which one may be called `embedding` where the answers are texts.
    source, (answer, record_id, status, error_code, *_) = names[:-OUR_COLUMNS], names[-OUR_COLUMNS:]
    return [record_id, *source[:SOURCE_COLUMNS_SHOWN], answer, status, error_code]


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
