"""The rows of a run, part by part as they stand in the bucket, in memory a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from quarry_cli.client.results.parts import batches_of, open_part
from quarry_cli.client.results.result_parts import fewest_parts_of
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.errors import NoResults
from quarry_core.ports import ObjectInfo, ObjectRef, Objects

BATCH_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class RunRows:
    """The joined rows of an ended run. Every call reads them anew, at the ETags that were listed.

    Attributes:
        prefix: of the columns that Quarry added.
        total: rows of all parts, about.
        answered_only: leave out rows without an answer.
        dataset: the first run of which this one makes a version, or itself.
        versions: the runs that make the other versions of that dataset.
    """

    objects: Objects
    run_id: str
    prefix: str
    parts: Sequence[ObjectInfo]
    schema: pa.Schema
    total: int
    answered_only: bool = False
    dataset: str = ""
    versions: tuple[str, ...] = ()

    def named(self, name: str) -> str:
        """A column of ours as it is called in this run."""
        return f"{self.prefix}{name}"

    @property
    def vector(self) -> str | None:
        """The column of vectors; None in a run of answers."""
        name = self.named("embedding")
        return name if name in self.schema.names else None

    def length(self) -> int | None:
        """Of the first vector; None if no row has one. Raises Unreadable."""
        name = self.vector
        if name is None:
            return None
        for batch in self._batches([name]):
            lengths = pc.list_value_length(batch.column(0)).drop_null()
            if len(lengths):
                found: int = lengths[0].as_py()
                return found
        return None

    def batches(self, tell: Callable[[int, int], None] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows that are wanted. `tell` is called with the number of parts that were read, and of all. Raises Unreadable."""
        status = self.named("status")
        for batch in self._batches(None, tell):
            wanted = batch.filter(pc.equal(batch.column(status), "ok")) if self.answered_only else batch
            if wanted.num_rows:
                yield wanted

    def _batches(
        self, columns: Sequence[str] | None, tell: Callable[[int, int], None] | None = None
    ) -> Iterator[pa.RecordBatch]:
        for done, info in enumerate(self.parts):
            if tell:
                tell(done, len(self.parts))
            ref = ObjectRef(info.key, etag=info.etag)
            with closing(self.objects.random_access(ref)) as source, open_part(source) as part:
                yield from batches_of(part, BATCH_ROWS, columns)


def rows_of(objects: Objects, view: RunView, *, answered_only: bool) -> RunRows:
    """Raises NoResults if there is no part, Unreadable."""
    parts = fewest_parts_of(objects, view)
    if not parts:
        raise NoResults(f"run {view.run_id} has no result parts")
    first = ObjectRef(parts[0].key, etag=parts[0].etag)
    with closing(objects.random_access(first)) as source, open_part(source) as part:
        schema = part.schema_arrow
    return RunRows(
        objects,
        view.run_id,
        view.result_prefix,
        parts,
        schema,
        view.rows.enlisted,
        answered_only,
        view.of,
        tuple(each.run_id for each in view.versions if each.run_id != view.run_id),
    )
