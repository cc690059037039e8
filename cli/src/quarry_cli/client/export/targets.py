"""Which target is opened by whom. A target's library is imported when it is asked for: each is an extra."""

from __future__ import annotations

from quarry_cli.client.export.asked import Export
from quarry_cli.client.export.store import Store


def opened(asked: Export) -> Store:
    """The table of an export. Raises NotConfigured if its library is not installed, NotWritten if it cannot be opened."""
    match asked.target:
        case "duckdb":
            from quarry_cli.client.export.duckdb_store import DuckdbStore  # noqa: PLC0415 its only user

            return DuckdbStore(asked.place, asked.table)
        case "lancedb":
            from quarry_cli.client.export.lancedb_store import LancedbStore  # noqa: PLC0415 its only user

            return LancedbStore(asked.place, asked.table)
        case "iceberg":
            from quarry_cli.client.export.iceberg_store import IcebergStore  # noqa: PLC0415 its only user

            return IcebergStore(asked.place, asked.table, asked.properties)
        case "s3-vectors":
            raise AssertionError("an index of S3 Vectors is no table: see `s3_vectors`")
