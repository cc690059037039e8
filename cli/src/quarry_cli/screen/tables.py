"""Tables that fit: ids and numbers stay whole, and where a terminal is narrow the least needed columns go first.

Every cell is put into `Text` after `plain`, so that no markup and no control character in it is obeyed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from quarry_cli.screen.wording import plain

GAP_CHARS = 3
FOLDED_CHARS_MIN = 24


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its cells.

    Attributes:
        keep: how long it stays where there is no room; those of the lowest number go first.
        folds: its cells may be broken into several lines; all others stay whole.
        styles: of each cell, or none.
    """

    title: str
    cells: Sequence[str]
    keep: int = 9
    folds: bool = False
    justify: Literal["left", "right"] = "left"
    styles: Sequence[str] = ()

    @property
    def chars(self) -> int:
        """What it needs: all of its widest cell, or of a column that folds at most `FOLDED_CHARS_MIN`."""
        widest = max(cell_len(cell) for cell in (self.title, *self.cells))
        return min(widest, FOLDED_CHARS_MIN) if self.folds else widest


def fit(columns: Sequence[Column], width_chars: int) -> Table:
    """A table of those columns for which there is room; one that is kept longest stays, whatever its width."""
    columns = [_plain(column) for column in columns]
    while sum(column.chars + GAP_CHARS for column in columns) > width_chars:
        least = min(column.keep for column in columns)
        if least == max(column.keep for column in columns):
            break
        columns = [column for column in columns if column.keep != least]
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(
            column.title,
            justify=column.justify,
            no_wrap=not column.folds,
            overflow="fold",
            min_width=None if column.folds else column.chars,
        )
    for row in range(len(columns[0].cells)):
        table.add_row(
            *(Text(column.cells[row], style=column.styles[row] if column.styles else "") for column in columns)
        )
    return table


def _plain(column: Column) -> Column:
    return Column(
        column.title, [plain(cell) for cell in column.cells], column.keep, column.folds, column.justify, column.styles
    )
