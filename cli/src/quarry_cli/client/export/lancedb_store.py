"""A LanceDB table. Each write is one version: readers see the one before until it is whole, and a wrong one is taken back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from quarry_cli.client.export.asked import Mode
from quarry_cli.client.export.columns import Columns, Rules
from quarry_cli.client.export.store import not_installed
from quarry_cli.client.export.types import common_leaf
from quarry_cli.errors import NotWritten

READ_ROWS = 4_096
NAME = "LanceDB"
_TABLE = re.compile(r"[A-Za-z0-9_.-]{1,255}")


def leaf(kind: pa.DataType) -> pa.DataType | None:
    """Lance keeps Arrow's own types; JSON is text."""
    if isinstance(kind, pa.BaseExtensionType):
        return kind if kind.extension_name == "arrow.uuid" else None
    return common_leaf(kind)


RULES = Rules(target=NAME, leaf=leaf, name=lambda name: name.replace(".", "_").replace("\0", ""))


class LancedbStore:
    """`place` is the database's URI: a directory, or `s3://…` with AWS's usual credentials."""

    rules = RULES

    def __init__(self, place: str, table: str) -> None:
        try:
            import lancedb  # noqa: PLC0415 an extra
        except ImportError as error:
            raise not_installed("lancedb", "lancedb") from error
        if not _TABLE.fullmatch(table):
            raise NotWritten(f"{NAME}: {table!r} is no name of a table: use letters, digits, _, - and .")
        self._name = table
        try:
            self._database: Any = lancedb.connect(place)
            self._table: Any = self._found()
        except (RuntimeError, ValueError, OSError) as error:
            raise NotWritten(f"{NAME}: {place} cannot be opened: {error}") from error
        self._version = self._table.version if self._table is not None else None

    def _found(self) -> Any:
        try:
            return self._database.open_table(self._name)
        except (FileNotFoundError, ValueError) as error:
            if "not found" in str(error).lower():
                return None
            raise

    def schema(self) -> pa.Schema | None:
        return None if self._table is None else self._table.schema

    def rows(self, run_column: str, run_id: str) -> tuple[int, int]:
        return self._table.count_rows(_of_run(run_column, run_id)), self._table.count_rows()

    def write(self, batches: Iterator[pa.RecordBatch], columns: Columns, mode: Mode, run_id: str) -> None:  # noqa: ARG002 as the port has it
        # LanceDB takes a null in a column called `embedding` for a bad vector, and refuses it. Told to make bad ones null, it
        # leaves null as it is; a vector that it made null, say of NaN, is found when the vectors are read back.
        incoming = pa.RecordBatchReader.from_batches(columns.schema, batches)
        try:
            if mode == "append":
                self._table.add(incoming, on_bad_vectors="null")
            else:
                how = "overwrite" if mode == "replace" else "create"
                self._table = self._database.create_table(
                    self._name, data=incoming, schema=columns.schema, mode=how, on_bad_vectors="null"
                )
        except (RuntimeError, ValueError, OSError, pa.ArrowException) as error:
            raise NotWritten(f"{NAME}: the rows were not written: {error}") from error

    def read(
        self, run_column: str, run_id: str, names: Sequence[str], records: tuple[str, Sequence[str]] | None = None
    ) -> Iterator[pa.RecordBatch]:
        wanted = _of_run(run_column, run_id)
        if records is not None:
            column, ids = records
            wanted += f" AND `{column}` IN ({', '.join(_text(each) for each in ids)})"
        query = self._table.search().where(wanted).select(list(names)).limit(self._table.count_rows() + 1)
        yield from query.to_batches(READ_ROWS)

    def confirm(self) -> None:
        """The version stands already."""

    def undo(self) -> None:
        if self._version is not None:
            table = self._database.open_table(self._name)
            if table.version != self._version:
                table.restore(self._version)
        else:
            self._database.drop_table(self._name, ignore_missing=True)

    def close(self) -> None:
        """Nothing is kept open."""


def _of_run(column: str, run_id: str) -> str:
    return f"`{column}` = {_text(run_id)}"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
