"""The first rows of a result as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from rich import box
from rich.table import Table
from rich.text import Text

from quarry_cli.client.results.values import plain_values
from quarry_cli.screen.wording import plain
from quarry_core.contract.results import OUR_COLUMNS

SOURCE_COLUMNS_SHOWN = 4
CELL_CHARS_MAX = 160
NUMBERS_SHOWN = 4


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
