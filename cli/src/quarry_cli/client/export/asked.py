"""What an export is asked for, and what it came to. Apart from who does it, so that knowing the words costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

Target = Literal["duckdb"]
Mode = Literal["create", "append", "replace"]
RUN_COLUMN = "quarry_run_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One export.

    Attributes:
        target: what kind of table.
        place: DuckDB's file.
        table: its name.
        mode: `create` refuses a table that exists, `append` one that does not, `replace` takes its place.
        answered_only: leave out rows without an answer.
        run_column: the column that is added to tell runs apart, for record ids are the same in every run.
    """

    target: Target
    place: str
    table: str
    mode: Mode = "create"
    answered_only: bool = False
    run_column: str = RUN_COLUMN


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A column that stands otherwise in the table than in the results: its name or its type."""

    column: str
    type: str
    became: str
    became_type: str


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What `quarry export --json` prints.

    Attributes:
        rows: of the run in the table, counted by reading them back.
        left_out: rows of the run that were not wanted, or have no vector where a vector is all that counts.
        compared: so many rows were compared value by value.
        already: the run was in the table before, whole; nothing was written.
        table_rows: of all runs; None where counting takes reading everything.
    """

    run_id: str
    target: Target
    place: str
    table: str
    mode: Mode
    rows: int
    left_out: int
    compared: int
    already: bool
    table_rows: int | None
    changes: list[Change]
