"""A counted source as one table: the rows of one or several files by row range, with one schema.

Theory of operation. The count has noted how many rows each file has, so a row range is a stretch of files, and only
these are opened. Each batch is brought into the dataset's schema on the way. Files are pinned; the same range gives the
same rows, however often, in whichever process.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from operator import itemgetter
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from quarry_core.contract.listing import Listing, SourceFile, digest_of, ref_of
from quarry_core.contract.names import chosen_key, count_key, counts_key, listing_key, offsets_key
from quarry_core.contract.run import Source
from quarry_core.errors import Changed, Missing
from quarry_core.ports import ObjectRef, Objects
from quarry_core.tabular.align import Aligner
from quarry_core.tabular.choosing import Chooser, kept
from quarry_core.tabular.counted import Count, DatasetCount
from quarry_core.tabular.row_bytes import BATCH_ROWS_MAX
from quarry_core.tabular.rows import read_rows

T = TypeVar("T")
Marks = tuple[tuple[int, int], ...]
COUNTS = TypeAdapter(tuple[Count, ...])
MARKS = TypeAdapter(tuple[Marks, ...])
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
        marks_of: of the file of a number, where rows are chosen: (row, how many are taken before it), ascending.
    """

    objects: Objects
    source: Source
    listing: Listing
    count: DatasetCount
    count_of: Callable[[int], Count]
    marks_of: Callable[[int], Marks] = lambda _: ()
    _begins: list[int] = field(init=False)
    _source_begins: list[int] = field(init=False)
    _chooser: Chooser | None = field(init=False, default=None)
    _asked: tuple[pa.Field, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        selection = self.count.selection
        self._begins = [0, *accumulate(self.count.file_rows)]
        self._source_begins = self._begins
        if selection is not None:
            self._source_begins = [0, *accumulate(selection.file_rows)]
            self._chooser = Chooser(selection)
            self._asked = tuple(selection.schema)

    @property
    def copied(self) -> bool:
        """Whether the rows of each shard are kept in the bucket, for the join."""
        return self.source.copied or self.count.copied

    @property
    def schema(self) -> pa.Schema:
        """Of every batch."""
        return self.count.schema

    @property
    def result_schema(self) -> pa.Schema:
        """Of the columns that come back."""
        fields = [field for field in self.schema if field.name not in self.count.sent_only]
        return pa.schema(fields, self.schema.metadata)

    def source_rows(self, file: int) -> int:
        """The rows of a file, whether taken or not."""
        return (self.count.file_rows if self.count.selection is None else self.count.selection.file_rows)[file]

    def ref(self, file: int) -> ObjectRef:
        """The pinned object that holds the rows of file number `file`."""
        spool = self.count_of(file).spool
        if spool is not None:
            return ObjectRef(spool.key, etag=spool.etag)
        return ref_of(self.listing.files[file], self.source.bucket, self.source.bucket_owner)

    def is_cut(self, file: int) -> bool:
        """Whether some of a file's rows are not in the slice that the dataset is."""
        return self.source_rows(file) != self.count_of(file).rows

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

    def locate(self, row: int) -> tuple[int, int]:
        """The file of one of the rows, and which row of the file it is. Raises as `read`."""
        ((file, first, _),) = self.stretches(row, 1)
        skipped = self.count.first_of(file)
        if self._chooser is None:
            return file, skipped + first
        marks = self.marks_of(file)
        place = bisect_right(marks, first, key=itemgetter(1)) - 1
        at, before = marks[place]
        key, begins = self.listing.files[file].key, self._source_begins[file]
        for batch in self.whole(file, at, self.source_rows(file) - at, self._asked):
            taken = np.flatnonzero(self._chooser.taken(batch, begins + at, key, skipped + at))
            if first < before + len(taken):
                return file, skipped + at + int(taken[first - before])
            at, before = at + batch.num_rows, before + len(taken)
        raise AssertionError("the marks count rows that are not there")

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
        """Rows [first, first + rows) of those that are taken of one file. Raises as `read`."""
        if self._chooser is None:
            yield from self.whole(file, first, rows, self._fields(columns))
            return
        marks = self.marks_of(file)
        place = bisect_right(marks, first, key=itemgetter(1)) - 1
        begin, taken = marks[place]
        after = next((row for row, before in marks[place + 1 :] if before >= first + rows), None)
        end = self.source_rows(file) if after is None else after
        for batch in self.taken_between(file, begin, end - begin, columns):
            few = batch.slice(max(first - taken, 0), max(first + rows - max(taken, first), 0))
            taken += batch.num_rows
            if few.num_rows:
                yield few
            if taken >= first + rows:
                return

    def taken_between(
        self, file: int, first: int, rows: int, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Of the rows [first, first + rows) of one file, counted before the choice, those that are taken. Raises as `read`."""
        fields = self._fields(columns)
        if self._chooser is None:
            yield from self.whole(file, first, rows, fields)
            return
        wanted = {each.name for each in fields}
        asked = [each for each in self._asked if each.name not in wanted]
        key, begins = self.listing.files[file].key, self._source_begins[file]
        for batch in self.whole(file, first, rows, [*fields, *asked]):
            taken = self._chooser.taken(batch, begins + first, key, self.count.first_of(file) + first)
            first += batch.num_rows
            for few in kept(batch, taken):
                yield few.select([field.name for field in fields])

    def whole(self, file: int, first: int, rows: int, fields: Sequence[pa.Field]) -> Iterator[pa.RecordBatch]:
        """All rows [first, first + rows) of one file, whether taken or not, of any fields over all files. Raises as `read`.

        Where the dataset is a slice, a file begins with the slice's first row of it.
        """
        first += self.count.first_of(file)
        aligner = self._aligner(file, fields)
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
            self.own_schema(file, fields),
        )
        for batch in batches:
            yield aligner.align(batch, first)
            first += batch.num_rows

    def aligner(self, file: int, columns: Sequence[str] | None = None) -> Aligner:
        """What brings a file's batches into the dataset's schema, of these columns or all. Raises SourceError."""
        return self._aligner(file, self._fields(columns))

    def uncertain(self, file: int, fields: Iterable[pa.Field]) -> list[pa.Field]:
        """The fields of which only a file's values tell whether they can be read so. Raises SourceError."""
        wanted = list(fields)
        names = self._aligner(file, wanted).uncertain
        return [each for each in wanted if each.name in names]

    def _aligner(self, file: int, fields: Sequence[pa.Field]) -> Aligner:
        pinned = self.listing.files[file]
        values = dict(zip(self.listing.partitions, pinned.values, strict=True))
        return Aligner(self.own_schema(file, fields), pa.schema(fields, self.schema.metadata), pinned.key, values)

    def _fields(self, columns: Sequence[str] | None) -> list[pa.Field]:
        wanted = None if columns is None else set(columns)
        return [field for field in self.schema if wanted is None or field.name in wanted]

    def own_schema(self, file: int, fields: Iterable[pa.Field] | None = None) -> pa.Schema:
        """Of what is read of a file, before it is brought into the dataset's schema, or to these fields of it."""
        counted = self.count_of(file)
        if not counted.is_jsonl:
            return counted.schema
        # JSON has no types of its own: what all files hold of a column decides.
        over_all = {each.name: each for each in (self.schema if fields is None else fields)}
        known = over_all.keys() - set(self.listing.partitions)
        return pa.schema([over_all[each.name] if each.name in known else each for each in counted.schema])


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
    counts: Grouped[Count] = Grouped(objects, partial(counts_key, run_id), COUNTS, count.groups)
    marks: Grouped[Marks] = Grouped(objects, partial(chosen_key, run_id), MARKS, count.groups)
    return Dataset(objects, source, listing, count, counts, marks)


class Grouped(Generic[T]):
    """What was noted of each file, read group by group as it is asked for. Not for several threads at once.

    Args:
        key: of the object that tells of a group.
        form: of its content: a tuple, one thing for each file.
        groups: how many files each group has.
    """

    def __init__(
        self, objects: Objects, key: Callable[[int], str], form: TypeAdapter[tuple[T, ...]], groups: Sequence[int]
    ) -> None:
        self._objects = objects
        self._key = key
        self._form = form
        self._begins = [0, *accumulate(groups)]
        self._kept: dict[int, tuple[T, ...]] = {}

    def __call__(self, file: int) -> T:
        group = bisect_right(self._begins, file) - 1
        if group not in self._kept:
            while len(self._kept) >= GROUPS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[group] = self._form.validate_json(self._objects.read(ObjectRef(self._key(group))))
        return self._kept[group][file - self._begins[group]]
