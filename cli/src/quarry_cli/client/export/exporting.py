"""Exporting a run into a table that others read: cast here and checked, written once, read back by the target's reader.

A run is never in a table twice: each row says of which run it is, and a run whose rows are there already is held against
what the table has, and not written again. So an export may be repeated, by hand or by a scheduler, whatever became of it
before. Memory is a batch of rows, and what the target's own library needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pyarrow as pa

from quarry_cli.client.connections import Connections
from quarry_cli.client.export.asked import Export, Exported
from quarry_cli.client.export.columns import Columns, columns_of, fitted
from quarry_cli.client.export.rows import RunRows, rows_of
from quarry_cli.client.export.s3_vectors import export_vectors
from quarry_cli.client.export.store import Store
from quarry_cli.client.export.tally import Tally, differences, number_columns, row_differences, schema_differences
from quarry_cli.client.export.targets import opened
from quarry_cli.client.results.readable import readable
from quarry_cli.client.session import Session
from quarry_cli.errors import NotConfigured, NotExported, NotWritten

# Called with the number of parts that were read, and of all.
Tell = Callable[[int, int], None]


def export_run(session: Session, run_id: str, asked: Export, tell: Tell | None = None) -> Exported:
    """Write an ended run that is found to wherever it was asked to be. Blocking.

    Raises:
        NoSuchRun, NotEnded, NoResults.
        NotConfigured: the target's library is not installed, or S3 Vectors cannot be asked here.
        NotWritten, NotExported, Unreadable: as `export` does.
    """
    view, objects = readable(session, run_id, version=asked.version)
    rows = rows_of(objects, view, answered_only=asked.answered_only)
    if asked.target != "s3-vectors":
        return export(rows, asked, opened(asked), tell)

    async def put(connections: Connections) -> Exported:
        ask = connections.ask
        if ask is None:
            raise NotConfigured("S3 Vectors cannot be asked in this environment")
        loop = asyncio.get_running_loop()

        def call(operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
            asked_for = ask("s3vectors", operation, parameters)
            return asyncio.run_coroutine_threadsafe(asked_for, loop).result()

        return await asyncio.to_thread(export_vectors, rows, asked, call, tell)

    return session.do(put)


def export(rows: RunRows, asked: Export, target: Store, tell: Tell | None = None) -> Exported:
    """Write a run's rows into a table, and prove that they are there. Closes the store.

    Raises:
        NotWritten: the table exists or does not, a column does not fit, or the target refuses; nothing was written.
        NotExported: what is read back differs; it was taken back.
        Unreadable: a part.
    """
    with closing(target) as store:
        there = store.schema()
        if there is None and asked.mode == "append":
            raise NotWritten(f"{store.rules.target}: there is no table {asked.table}: make one with --mode create")
        columns = columns_of(rows.schema, store.rules, asked.run_column, vector=rows.vector, length=rows.length())
        held = 0
        if there is not None and asked.mode == "replace" and store.rules.keeps_schema:
            columns = fitted(columns, there, replaceable=False)
        if there is not None and asked.mode != "replace":
            held, in_all = _held(store, there, asked, rows.run_id)
            if asked.mode == "create" and (not held or held != in_all):
                raise NotWritten(
                    f"{store.rules.target}: table {asked.table} exists: add to it (--mode append), replace it (--mode "
                    "replace), or give another name"
                )
            if not held:
                _no_other_version(store, there, asked, rows)
            columns = fitted(columns, there, replaceable=not store.rules.keeps_schema)
        tally = Tally(columns.named(rows.named("record_id")), number_columns(columns.schema), total=rows.total)
        left_out = _LeftOut()
        if held:
            for _ in _written(rows, columns, tally, left_out, tell):
                pass
        else:
            coming = _Coming(_written(rows, columns, tally, left_out, tell))
            try:
                store.write(coming, columns, asked.mode, rows.run_id)
            except BaseException:
                store.undo()
                if coming.failed is not None:
                    raise coming.failed from None
                raise
        if tell:
            tell(len(rows.parts), len(rows.parts))
        found = _differences(store, columns, tally, rows.run_id)
        if found and held:
            raise NotExported(
                f"{store.rules.target}: table {asked.table} has rows of run {rows.run_id} already, and they differ: {found[0]}. "
                f"Delete the rows whose {asked.run_column} is {rows.run_id!r}, or replace the table (--mode replace)"
            )
        if found:
            store.undo()
            raise NotExported(f"{store.rules.target}: {found[0]}; the export was taken back")
        in_table = store.rows(asked.run_column, rows.run_id)[1]
        store.confirm()
        return Exported(
            run_id=rows.run_id,
            target=asked.target,
            place=asked.place,
            table=asked.table,
            mode=asked.mode,
            rows=tally.rows,
            left_out=left_out.rows,
            compared=len(tally.samples),
            already=bool(held),
            table_rows=in_table,
            changes=columns.changes,
        )


class _LeftOut:
    rows = 0


class _Coming(Iterator[pa.RecordBatch]):
    """Rows on their way into a target, which may say what went wrong here in words of its own: the error is kept."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self.failed: BaseException | None = None

    def __next__(self) -> pa.RecordBatch:
        try:
            return next(self._batches)
        except StopIteration:
            raise
        except BaseException as error:
            self.failed = error
            raise


def _held(store: Store, there: pa.Schema, asked: Export, run_id: str) -> tuple[int, int]:
    """Rows of the run in the table, and of all. A table of somebody else's has no column that tells runs apart."""
    if asked.run_column not in there.names:
        return 0, 1
    return store.rows(asked.run_column, run_id)


def _no_other_version(store: Store, there: pa.Schema, asked: Export, rows: RunRows) -> None:
    """Rows of an older version of the dataset would stand beside the same rows of this one. Raises NotWritten."""
    if asked.run_column not in there.names:
        return
    for other in rows.versions:
        if store.rows(asked.run_column, other)[0]:
            raise NotWritten(
                f"{store.rules.target}: table {asked.table} has rows of {other}, another version of the same dataset: delete the "
                f"rows whose {asked.run_column} is {other!r}, or replace the table (--mode replace)"
            )


def _written(
    rows: RunRows, columns: Columns, tally: Tally, left_out: _LeftOut, tell: Tell | None
) -> Iterator[pa.RecordBatch]:
    """The rows as the table takes them, counted as they go by."""
    for batch in rows.batches(tell):
        ready = columns.batch(batch, rows.run_id)
        tally.add(ready)
        yield ready
    left_out.rows = max(0, rows.total - tally.rows)


def _differences(store: Store, columns: Columns, tally: Tally, run_id: str) -> list[str]:
    """Read back through the target's own reader: schema, count and sums of all rows, some rows whole."""
    schema = store.schema()
    if schema is None:
        return ["there is no table when it is read back"]
    if found := schema_differences(columns.schema, schema):
        return found
    again = Tally(tally.record_id, tally.numbers)
    for batch in store.read(columns.run_column, run_id, tally.columns):
        again.add(batch, sample=False)
    if found := differences(tally, again):
        return found
    sampled = tally.sampled()
    if not sampled:
        return []
    rows = store.read(columns.run_column, run_id, columns.schema.names, (tally.record_id, sampled))
    return row_differences(tally, rows)
