"""The rows of a result, read from the bucket by ranges, without a download."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import pyarrow as pa

from quarry_cli.client.results.parts import batches_of, open_part, tables_of
from quarry_cli.client.results.readable import readable
from quarry_cli.client.results.result_parts import fewest_parts_of, parts_of
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.client.session import Session
from quarry_cli.errors import NoResults, Unaccounted
from quarry_core.ports import ObjectRef, Objects


def first_rows(objects: Objects, run_id: str, most: int) -> pa.Table | None:
    """The first rows of the parts that stand, in row order; None if there is no part. Raises Unreadable."""
    found: list[pa.RecordBatch] = []
    left = most
    for info in parts_of(objects, run_id):
        with closing(objects.random_access(ObjectRef(info.key, etag=info.etag))) as source, open_part(source) as part:
            for batch in batches_of(part, left):
                found.append(batch.slice(0, left))
                left -= found[-1].num_rows
                if left <= 0:
                    return pa.Table.from_batches(found)
    return pa.Table.from_batches(found) if found else None


def all_rows(objects: Objects, view: RunView, columns: Sequence[str] | None) -> pa.Table | None:
    """All rows of the parts that stand, in row order; None if there is no part. Raises Unreadable."""
    tables: list[pa.Table] = []
    for info in fewest_parts_of(objects, view):
        with closing(objects.random_access(ObjectRef(info.key, etag=info.etag))) as source, open_part(source) as part:
            tables += tables_of(part, columns)
    return pa.concat_tables(tables) if tables else None


def head_of_run(
    session: Session, run_id: str, most: int, *, partial: bool = False, version: int | None = None
) -> pa.Table:
    """The first rows of a run that is found. Blocking. Raises NoSuchRun, NotEnded, NoResults, Unreadable."""
    view, objects = readable(session, run_id, partial=partial, version=version)
    return _there(view, first_rows(objects, view.run_id, most))


def table_of_run(
    session: Session,
    run_id: str,
    *,
    columns: Sequence[str] | None = None,
    partial: bool = False,
    version: int | None = None,
) -> pa.Table:
    """All rows of a run that is found, counted. Blocking. Raises NoSuchRun, NotEnded, NoResults, Unreadable, Unaccounted."""
    view, objects = readable(session, run_id, partial=partial, version=version)
    rows = _there(view, all_rows(objects, view, columns))
    if view.state.terminal and rows.num_rows != view.rows.enlisted:
        raise Unaccounted(f"{rows.num_rows:,} rows were read, but there should be {view.rows.enlisted:,}")
    return rows


def _there(view: RunView, rows: pa.Table | None) -> pa.Table:
    if rows is None:
        raise NoResults(f"run {view.run_id} has no result parts yet")
    return rows
