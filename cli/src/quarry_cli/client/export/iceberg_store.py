"""An Iceberg table of any catalog that pyiceberg knows. All parts are one snapshot, which bears the run's id.

Written as format 2, which all readers have. A wrong snapshot is rolled back to the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from quarry_cli.client.export.asked import Mode
from quarry_cli.client.export.columns import Columns, Rules
from quarry_cli.client.export.store import not_installed
from quarry_cli.client.export.types import common_leaf
from quarry_cli.errors import NotWritten

NAME = "Iceberg"
# pyiceberg collects as much, uncompressed, before it writes a file; its own default is 512 MiB.
FILE_BYTES = 128 * 2**20
RUN_PROPERTY = "quarry.run-id"
_INT64_DIGITS = 20


def leaf(kind: pa.DataType) -> pa.DataType | None:
    """Iceberg has no unsigned numbers, no nanoseconds before format 3, and only UTC."""
    is_ = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return kind if kind.extension_name == "arrow.uuid" else None
    if is_.is_uint64(kind):
        return pa.decimal128(_INT64_DIGITS, 0)
    if is_.is_uint32(kind):
        return pa.int64()
    if is_.is_integer(kind) and kind.bit_width < 32:
        return pa.int32()
    if is_.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz is not None else None)
    if is_.is_time(kind):
        return pa.time64("us")
    return common_leaf(kind)


# A name with a dot would be a field of a struct: pyiceberg finds fields by their path.
RULES = Rules(
    target=NAME, leaf=leaf, name=lambda name: name.replace(".", "_").replace("\0", ""), vectors=False, keeps_schema=True
)


class IcebergStore:
    """`place` is a catalog's name, of which pyiceberg's file and variables tell more, and `properties` the rest."""

    rules = RULES

    def __init__(self, place: str, table: str, properties: Mapping[str, str]) -> None:
        try:
            from pyiceberg.catalog import load_catalog  # noqa: PLC0415 an extra
            from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError  # noqa: PLC0415 likewise
        except ImportError as error:
            raise not_installed("iceberg", "pyiceberg") from error
        if "." not in table:
            raise NotWritten(f"{NAME}: {table!r} has no namespace: write it as in docs.jokes")
        self._name = table
        self._made = False
        try:
            self._catalog: Any = load_catalog(place, **properties)
            try:
                self._table: Any = self._catalog.load_table(table)
            except (NoSuchTableError, NoSuchNamespaceError):
                self._table = None
        except Exception as error:  # each catalog has errors of its own
            raise NotWritten(
                f"{NAME}: catalog {place!r} cannot be used: {type(error).__name__}: {error}. It is named in pyiceberg's "
                "configuration, or by --property type=… and uri=…"
            ) from error
        snapshot = self._table.current_snapshot() if self._table is not None else None
        self._before = snapshot.snapshot_id if snapshot is not None else None

    def schema(self) -> pa.Schema | None:
        if self._table is None:
            return None
        return self._table.scan(limit=0).to_arrow_batch_reader().schema

    def rows(self, run_column: str, run_id: str) -> tuple[int, int]:
        return self._table.scan(row_filter=self._of_run(run_column, run_id)).count(), self._table.scan().count()

    def write(self, batches: Iterator[pa.RecordBatch], columns: Columns, mode: Mode, run_id: str) -> None:
        incoming = pa.RecordBatchReader.from_batches(columns.schema, batches)
        stamp = {RUN_PROPERTY: run_id}
        try:
            if self._table is None:
                self._catalog.create_namespace_if_not_exists(self._name.rpartition(".")[0])
                made = {"format-version": "2", "write.target-file-size-bytes": str(FILE_BYTES)}
                self._table = self._catalog.create_table(self._name, schema=columns.schema, properties=made)
                self._made = True
            if mode == "replace" and not self._made:
                self._table.overwrite(incoming, snapshot_properties=stamp)
            else:
                self._table.append(incoming, snapshot_properties=stamp)
        except NotImplementedError as error:
            raise NotWritten(f"{NAME}: pyiceberg writes no stream of rows into this table: {error}") from error
        except Exception as error:  # each catalog and store has errors of its own
            raise NotWritten(f"{NAME}: the rows were not written: {type(error).__name__}: {error}") from error

    def read(
        self, run_column: str, run_id: str, names: Sequence[str], records: tuple[str, Sequence[str]] | None = None
    ) -> Iterator[pa.RecordBatch]:
        wanted = self._of_run(run_column, run_id)
        if records is not None:
            terms = _expressions()
            wanted = terms.And(wanted, terms.In(records[0], set(records[1])))
        yield from self._table.scan(row_filter=wanted, selected_fields=tuple(names)).to_arrow_batch_reader()

    def confirm(self) -> None:
        """The snapshot stands already."""

    def undo(self) -> None:
        if self._made:
            self._catalog.drop_table(self._name)
            return
        if self._table is None:
            return
        self._table.refresh()
        now = self._table.current_snapshot()
        if now is None or now.snapshot_id == self._before:
            return
        if self._before is None:
            self._table.delete()
        else:
            self._table.manage_snapshots().rollback_to_snapshot(self._before).commit()

    def close(self) -> None:
        close = getattr(self._catalog, "close", None)
        if close is not None:
            close()

    def _of_run(self, column: str, run_id: str) -> Any:
        return _expressions().EqualTo(column, run_id)


def _expressions() -> Any:
    from pyiceberg import expressions  # noqa: PLC0415 an extra

    return expressions
