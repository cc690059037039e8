"""A counted source as one table: the rows of one or several files by row range, with one schema.

Theory of operation. The count has noted how many rows each file has, so a row range is a stretch of files, and only
these are opened. Each batch is brought into the dataset's schema on the way. Files are pinned; the same range gives the
same rows, however often, in whichever process.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import pyarrow as pa
from pydantic import TypeAdapter

from quarry_core.contract.listing import Listing, SourceFile, digest_of, ref_of
from quarry_core.contract.names import count_key, counts_key, listing_key, offsets_key
from quarry_core.contract.run import Source
from quarry_core.errors import Changed, Missing
from quarry_core.ports import ObjectRef, Objects
from quarry_core.tabular.align import Aligner
from quarry_core.tabular.counted import Count, DatasetCount
from quarry_core.tabular.row_bytes import BATCH_ROWS_MAX
from quarry_core.tabular.rows import read_rows

COUNTS = TypeAdapter(tuple[Count, ...])
# Of the groups that were read last; a group has the offsets of about 1 GiB of text.
GROUPS_KEPT = 2


@dataclass(slots=True)
class Dataset:
    """A source that was counted.

    Attributes:
        objects: the port that reads it.
        source: as it was pinned.
        listing: its files, in the order of their rows.
        count: of all files together.
        count_of: what was counted of the file of a number.
    """

    objects: Objects
    source: Source
    listing: Listing
    count: DatasetCount
    count_of: Callable[[int], Count]
    _begins: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._begins = [0, *accumulate(self.count.file_rows)]

    @property
    def schema(self) -> pa.Schema:
        """Of every batch."""
        return self.count.schema

    def ref(self, file: int) -> ObjectRef:
        """The pinned object that holds the rows of file number `file`."""
        spool = self.count_of(file).spool
        if spool is not None:
            return ObjectRef(spool.key, etag=spool.etag)
        return ref_of(self.listing.files[file], self.source.bucket, self.source.bucket_owner)

    def begin(self, file: int) -> int:
        """Which row of the dataset the file's first is."""
        return self._begins[file]

    def stretches(self, first: int, rows: int) -> Iterator[tuple[int, int, int]]:
        """The files of the rows [first, first + rows), as (file, first row in the file, rows).

        Raises:
            ValueError: the range is not within the count.
        """
        if first < 0 or rows < 0 or first + rows > self.count.rows:
            raise ValueError(
                f"rows {first} to {first + rows} are not within the {self.count.rows} of {self.source.uri}"
            )
        file, until = bisect_right(self._begins, first) - 1, first + rows
        while first < until:
            taken = min(until, self._begins[file + 1]) - first
            if taken:
                yield file, first - self._begins[file], taken
            first += taken
            file += 1

    def read(self, first: int, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Rows [first, first + rows) in order, of these columns or all.

        Raises:
            ValueError: the range is not within the count.
            SourceError: a row cannot be parsed, or a value does not fit the dataset's schema.
            PortError: as `Objects.stream` and `Objects.random_access` do.
        """
        for file, begin, taken in self.stretches(first, rows):
            yield from self.read_file(file, begin, taken, columns)

    def read_file(
        self, file: int, first: int, rows: int, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows [first, first + rows) of one file, counted in the file. Raises as `read`."""
        aligner = self.aligner(file, columns)
        if not aligner.columns:
            yield from _nothing_read(aligner, first, rows)
            return
        batches = read_rows(
            self.objects,
            self.ref(file),
            self.count_of(file),
            first,
            rows,
            aligner.columns,
            self.own_schema(file),
        )
        for batch in batches:
            yield aligner.align(batch, first)
            first += batch.num_rows

    def aligner(self, file: int, columns: Sequence[str] | None = None) -> Aligner:
        """What brings a file's batches into the dataset's schema, of these columns or all. Raises SourceError."""
        pinned = self.listing.files[file]
        values = dict(zip(self.listing.partitions, pinned.values, strict=True))
        target = self.schema
        if columns is not None:
            wanted = set(columns)
            target = pa.schema([each for each in target if each.name in wanted], target.metadata)
        return Aligner(self.own_schema(file), target, pinned.key, values)

    def own_schema(self, file: int) -> pa.Schema:
        """Of what is read of a file, before it is brought into the dataset's schema."""
        counted = self.count_of(file)
        if not counted.is_jsonl:
            return counted.schema
        # JSON has no types of its own: what all files hold of a column decides.
        over_all = self.schema
        known = set(over_all.names) - set(self.listing.partitions)
        return pa.schema([over_all.field(each.name) if each.name in known else each for each in counted.schema])


def _nothing_read(aligner: Aligner, first: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Rows of a file that has none of the columns that are wanted."""
    for at in range(first, first + rows, BATCH_ROWS_MAX):
        yield aligner.align_none(min(BATCH_ROWS_MAX, first + rows - at))


def files_of(objects: Objects, run_id: str, source: Source) -> Listing:
    """The files of a pinned source.

    Raises:
        Changed: the list that stands is not the one that was pinned.
        PortError: as `Objects.read`.
    """
    if not source.listing:
        file = SourceFile(key=source.key, size_bytes=source.size_bytes, etag=source.etag, version_id=source.version_id)
        return Listing(files=(file,))
    body = objects.read(ObjectRef(listing_key(run_id)))
    if digest_of(body) != source.listing:
        raise Changed(f"{listing_key(run_id)} is not the list that was pinned")
    return Listing.model_validate_json(body)


def open_dataset(objects: Objects, run_id: str, source: Source) -> Dataset:
    """The dataset of a run that was counted.

    Raises:
        Missing: it was not.
        Changed: as `files_of`.
    """
    listing = files_of(objects, run_id, source)
    try:
        count = DatasetCount.model_validate_json(objects.read(ObjectRef(count_key(run_id))))
    except Missing:
        # Release 0.1.0 knew sources of one object.
        only = Count.model_validate_json(objects.read(ObjectRef(offsets_key(run_id, 0))))
        return Dataset(objects, source, listing, DatasetCount.of_one(only), lambda _: only)
    return Dataset(objects, source, listing, count, Counts(objects, run_id, count.groups))


class Counts:
    """What was counted of each file, read group by group as it is asked for. Not for several threads at once."""

    def __init__(self, objects: Objects, run_id: str, groups: Sequence[int]) -> None:
        self._objects = objects
        self._run_id = run_id
        self._begins = [0, *accumulate(groups)]
        self._kept: dict[int, tuple[Count, ...]] = {}

    def __call__(self, file: int) -> Count:
        group = bisect_right(self._begins, file) - 1
        if group not in self._kept:
            while len(self._kept) >= GROUPS_KEPT:
                del self._kept[next(iter(self._kept))]
            body = self._objects.read(ObjectRef(counts_key(self._run_id, group)))
            self._kept[group] = COUNTS.validate_json(body)
        return self._kept[group][file - self._begins[group]]
