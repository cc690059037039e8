"""An Iceberg table of any catalog that pyiceberg knows. All rows are committed at once, in snapshots that bear the run's id.

Written as format 2, which all readers have. What is wrong is rolled back to the snapshot before.
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
# Rows are handed over in tables of so many bytes, uncompressed, each of which becomes a file. pyiceberg takes streams too, but
# works on several files' rows at once, and takes none for a partitioned table.
FILE_BYTES = 64 * 2**20
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
        stamp = {RUN_PROPERTY: run_id}
        try:
            if self._table is None:
                self._catalog.create_namespace_if_not_exists(self._name.rpartition(".")[0])
                made = {"format-version": "2", "write.target-file-size-bytes": str(FILE_BYTES)}
                self._table = self._catalog.create_table(self._name, schema=columns.schema, properties=made)
                self._made = True
            with self._table.transaction() as transaction:
                put = transaction.overwrite if mode == "replace" and not self._made else transaction.append
                for table in _tables(batches, columns.schema):
                    put(table, snapshot_properties=stamp)
                    put = transaction.append
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


def _tables(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Rows in tables of about `FILE_BYTES`; one without rows if there are none."""
    ahead: list[pa.RecordBatch] = []
    size, given = 0, False
    for batch in batches:
        ahead.append(batch)
        size += batch.nbytes
        if size >= FILE_BYTES:
            yield pa.Table.from_batches(ahead, schema=schema)
            ahead, size, given = [], 0, True
    if ahead or not given:
        yield pa.Table.from_batches(ahead, schema=schema)
