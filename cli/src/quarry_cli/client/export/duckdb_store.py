"""A table in a DuckDB file. One transaction writes it, reads it back and commits, so a file never holds half a run.

Types are DuckDB's own for Arrow's, vectors are `FLOAT[n]`, which its distance functions ask for. The file is opened by one
process at a time: whoever has it open for writing makes an export wait for nothing and fail with DuckDB's own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from quarry_cli.client.export.asked import Mode
from quarry_cli.client.export.columns import Columns, Rules
from quarry_cli.client.export.store import not_installed
from quarry_cli.client.export.types import common_leaf
from quarry_cli.errors import NotWritten

MEMORY_MIB_MAX = 1_024
READ_ROWS = 4_096
NAME = "DuckDB"


def leaf(kind: pa.DataType) -> pa.DataType | None:
    """DuckDB knows UUIDs and JSON; times of the day, and times with a zone, from microseconds on."""
    if isinstance(kind, pa.BaseExtensionType):
        return kind if kind.extension_name in ("arrow.uuid", "arrow.json") else None
    if pa.types.is_time32(kind):
        return pa.time64("us")
    if pa.types.is_timestamp(kind) and kind.tz is not None and kind.unit in ("s", "ms"):
        return pa.timestamp("us", "UTC")
    return common_leaf(kind)


RULES = Rules(target=NAME, leaf=leaf, name=lambda name: name.replace("\0", ""))


class DuckdbStore:
    """`place` is the path of the file, which is made if it is not there; `table` may have a schema, `main.jokes`."""

    rules = RULES

    def __init__(self, place: str, table: str) -> None:
        try:
            import duckdb  # noqa: PLC0415 an extra
        except ImportError as error:
            raise not_installed("duckdb", "duckdb") from error
        self._error = duckdb.Error
        self._schema, _, self._table = table.rpartition(".")
        self._name = ".".join(_quoted(part) for part in (self._schema, self._table) if part)
        if not self._table:
            raise NotWritten(f"{NAME}: {table!r} is no name of a table")
        if place != ":memory:" and not Path(place).absolute().parent.is_dir():
            raise NotWritten(f"{NAME}: {Path(place).absolute().parent} is not a directory: make it first")
        try:
            self._connection: Any = duckdb.connect(place, config={"memory_limit": f"{MEMORY_MIB_MAX}MiB"})
            self._do("SET TimeZone = 'UTC'")
            self._do("BEGIN")
        except duckdb.Error as error:
            raise NotWritten(f"{NAME}: {place} cannot be opened for writing: {error}") from error

    def schema(self) -> pa.Schema | None:
        found = self._do(
            "SELECT table_type FROM information_schema.tables WHERE table_catalog = current_database() AND "
            "table_schema = coalesce(nullif(?, ''), current_schema()) AND lower(table_name) = lower(?)",
            [self._schema, self._table],
        )
        if not found:
            return None
        if found[0][0] != "BASE TABLE":
            raise NotWritten(
                f"{NAME}: {self._name} is a {found[0][0].lower()}, not a table: give another name (--table)"
            )
        return self._connection.sql(f"FROM {self._name} LIMIT 0").to_arrow_table().schema

    def rows(self, run_column: str, run_id: str) -> tuple[int, int]:
        column = _quoted(run_column)
        [found] = self._do(
            f"SELECT count(*) FILTER (WHERE {column} = ?), count(*) FROM {self._name}",  # noqa: S608 quoted
            [run_id],
        )
        return int(found[0]), int(found[1])

    def write(self, batches: Iterator[pa.RecordBatch], columns: Columns, mode: Mode, run_id: str) -> None:  # noqa: ARG002 as the port has it
        schema = columns.schema
        incoming = pa.RecordBatchReader.from_batches(schema, batches)
        names = ", ".join(_quoted(name) for name in schema.names)
        try:
            if mode == "replace":
                self._do(f"DROP TABLE IF EXISTS {self._name}")
            self._connection.register("quarry_incoming", incoming)
            if mode == "append":
                self._do(f"INSERT INTO {self._name} ({names}) SELECT {names} FROM quarry_incoming")  # noqa: S608 quoted
            else:
                self._do(f"CREATE TABLE {self._name} AS SELECT {names} FROM quarry_incoming")  # noqa: S608 quoted
            self._connection.unregister("quarry_incoming")
        except self._error as error:
            raise NotWritten(f"{NAME}: the rows were not written: {error}") from error

    def read(
        self, run_column: str, run_id: str, names: Sequence[str], records: tuple[str, Sequence[str]] | None = None
    ) -> Iterator[pa.RecordBatch]:
        wanted = ", ".join(_quoted(name) for name in names)
        query = f"SELECT {wanted} FROM {self._name} WHERE {_quoted(run_column)} = ?"  # noqa: S608 quoted
        parameters: list[Any] = [run_id]
        if records is not None:
            query += f" AND {_quoted(records[0])} IN (SELECT unnest(?))"
            parameters.append(list(records[1]))
        yield from self._connection.sql(query, params=parameters).to_arrow_reader(READ_ROWS)

    def confirm(self) -> None:
        try:
            self._do("COMMIT")
        except self._error as error:
            raise NotWritten(f"{NAME}: the rows were not written: {error}") from error

    def undo(self) -> None:
        self._do("ROLLBACK")

    def close(self) -> None:
        self._connection.close()

    def _do(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of an answer: DuckDB 2 does nothing else on a connection until an answer has been read to its end."""
        rows: list[tuple[Any, ...]] = self._connection.execute(query, list(parameters)).fetchall()
        return rows


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
