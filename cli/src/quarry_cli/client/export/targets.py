"""The targets: what each calls its place and its table, what only it can be told, and who opens it.

Another target is a store in a module of its own, its word in `Target`, and its entry in `TARGETS`. Its library is imported
when it is asked for, for each is an extra; to know the words costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quarry_cli.client.export.asked import Export, Target

if TYPE_CHECKING:
    from quarry_cli.client.export.store import Store


def _duckdb(asked: Export) -> Store:
    from quarry_cli.client.export.duckdb_store import DuckdbStore  # noqa: PLC0415 its only user

    return DuckdbStore(asked.place, asked.table)


def _lancedb(asked: Export) -> Store:
    from quarry_cli.client.export.lancedb_store import LancedbStore  # noqa: PLC0415 its only user

    return LancedbStore(asked.place, asked.table)


def _iceberg(asked: Export) -> Store:
    from quarry_cli.client.export.iceberg_store import IcebergStore  # noqa: PLC0415 its only user

    return IcebergStore(asked.place, asked.table, asked.properties)


def _no_table(_: Export) -> Store:
    raise AssertionError("an index of S3 Vectors is no table: see `s3_vectors`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is said of a target.

    Attributes:
        place: what `Export.place` is, as the command's help says it.
        table: what `Export.table` is, where that is no bare name.
        options: of the command, that no other target takes.
        alone: why another target does not take them.
        store: the table of an export. Raises NotConfigured if its library is not installed, NotWritten if it cannot be
            opened.
    """

    place: str
    table: str = ""
    options: tuple[str, ...] = ()
    alone: str = ""
    store: Callable[[Export], Store]


TARGETS: Mapping[Target, Kind] = {
    "duckdb": Kind(place="DuckDB: the database file", store=_duckdb),
    "lancedb": Kind(place="LanceDB: its URI", store=_lancedb),
    "iceberg": Kind(
        place="Iceberg: the catalog",
        table="of Iceberg with its namespace",
        options=("--property",),
        alone="only Iceberg has a catalog",
        store=_iceberg,
    ),
    "s3-vectors": Kind(
        place="S3 Vectors: the vector bucket",
        table="of S3 Vectors the index",
        options=("--distance", "--metadata", "--not-filterable"),
        alone="only for --to s3-vectors",
        store=_no_table,
    ),
}


def opened(asked: Export) -> Store:
    """The table of an export. Raises NotConfigured if its library is not installed, NotWritten if it cannot be opened."""
    return TARGETS[asked.target].store(asked)
