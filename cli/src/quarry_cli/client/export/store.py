"""What an export needs of a target: one implementation for each, over the target's own library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from quarry_cli.client.export.asked import Mode
from quarry_cli.client.export.columns import Columns, Rules
from quarry_cli.errors import NotConfigured


class Store(Protocol):
    """One table that may exist. Blocking.

    Every method may raise `NotWritten`, with what is wrong and what to do.
    """

    rules: Rules

    def schema(self) -> pa.Schema | None:
        """As the target's own reader gives it; None if there is no such table."""
        ...

    def rows(self, run_column: str, run_id: str) -> tuple[int, int]:
        """How many rows of the run the table has, and of all runs."""
        ...

    def write(self, batches: Iterator[pa.RecordBatch], columns: Columns, mode: Mode, run_id: str) -> None:
        """Write them all, so that readers see all of them or none, as far as the target allows. `append` finds the table."""
        ...

    def read(
        self, run_column: str, run_id: str, names: Sequence[str], records: tuple[str, Sequence[str]] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of the run through the target's own reader.

        Args:
            names: the columns.
            records: the column of record ids, and those that are wanted; all if None.
        """
        ...

    def confirm(self) -> None:
        """What was written has been read back and is right."""
        ...

    def undo(self) -> None:
        """What was written is wrong, or broke off: let the table be as it was."""
        ...

    def close(self) -> None: ...


def not_installed(extra: str, package: str) -> NotConfigured:
    """For a target whose library is an extra."""
    return NotConfigured(
        f"{package} is not installed: run  pip install './cli[{extra}]'  in the checkout, or put [{extra}] behind the name "
        "of Quarry's wheel (docs/install.md)"
    )
