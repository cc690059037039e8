"""What an export is asked for, and what it came to. Apart from who does it, so that knowing the words costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

Target = Literal["duckdb", "lancedb", "iceberg", "s3-vectors"]
Mode = Literal["create", "append", "replace"]
Distance = Literal["cosine", "euclidean"]
RUN_COLUMN = "quarry_run_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One export.

    Attributes:
        target: what kind of table.
        place: DuckDB's file, LanceDB's URI, the name of Iceberg's catalog as pyiceberg knows it, the vector bucket.
        table: its name; with its namespace for Iceberg (`docs.jokes`); an index of S3 Vectors.
        mode: `create` refuses a table that exists, `append` one that does not, `replace` takes its place.
        answered_only: leave out rows without an answer.
        version: of the run's dataset; None takes the newest.
        run_column: the column that is added to tell runs apart, for record ids are the same in every run.
        properties: of Iceberg's catalog, beside what pyiceberg's own file and variables say.
        distance: of a new index.
        metadata: the columns that are kept beside a vector; None takes the source's.
        not_filterable: those of them by which nobody filters, so that they may be long. Fixed when the index is made.
    """

    target: Target
    place: str
    table: str
    mode: Mode = "create"
    answered_only: bool = False
    version: int | None = None
    run_column: str = RUN_COLUMN
    properties: Mapping[str, str] = field(default_factory=dict)
    distance: Distance = "cosine"
    metadata: tuple[str, ...] | None = None
    not_filterable: tuple[str, ...] = ()


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
