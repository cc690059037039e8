"""Choosing rows: one pass over the columns that the condition asks for, which notes how many are taken where.

Theory of operation. What is noted is few numbers for each file: at the places where reading may begin, how many rows
are taken before. A range of the rows that are taken is found by them, and told again by `Chooser` row by row; so no list
of rows is kept, whatever their number. Without a condition nothing is read at all: a sample goes by the rows' numbers.

A sample of so many rows is known when the pass is over: then the places below which rows are in it are known, and the
rows are told once more, by their numbers. Of a pass that came to an end what was noted of a group of files stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise

import numpy as np
import pyarrow as pa

from quarry_core.contract.names import chosen_key
from quarry_core.contract.run import Pins
from quarry_core.contract.where import columns_of_where, parse_where
from quarry_core.errors import Missing
from quarry_core.ports import ObjectRef
from quarry_core.tabular.choosing import Chooser, Mask
from quarry_core.tabular.counted import Count, Selection, schema_text
from quarry_core.tabular.dataset import MARKS, Dataset, Grouped, Marks
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.row_sample import Smallest, below_of

# Where a Parquet file may be entered; of text files it is the offsets that are noted anyway.
MARK_EVERY_ROWS = 8_192
# Rows whose places in a sample are told at once.
NUMBERED_ROWS = 1 << 16

Masks = Iterator[tuple[int, Mask]]


def asked_columns(pins: Pins) -> tuple[str, ...]:
    """The columns that choosing rows asks for."""
    return columns_of_where(parse_where(pins.where)) if pins.where else ()


def choose_rows(dataset: Dataset, run_id: str, pins: Pins, fields: pa.Schema) -> Dataset:
    """The dataset of the rows that the manifest takes. Blocking.

    Args:
        dataset: of all rows, counted.
        run_id: for the names of what is noted.
        pins: the condition and the sample.
        fields: of the dataset, those of `asked_columns` among them.

    Raises:
        SourceError: the condition does not fit the columns or a value; no row is taken.
        PortError: as `Dataset.read`.
    """
    sample = pins.sample
    if not pins.where and sample is None:
        return dataset
    selection = Selection(
        where=pins.where,
        schema_ipc=schema_text(pa.schema([each for each in fields if each.name in asked_columns(pins)])),
        seed=sample.seed if sample is not None else 0,
        below=below_of(sample.share) if sample is not None and sample.share is not None else None,
        file_rows=dataset.count.file_rows,
    )
    if sample is not None and sample.rows is not None:
        selection = selection.model_copy(update={"below": _below(dataset, selection, sample.rows)})
    return _chosen(dataset, selection, run_id, pins)


def _below(dataset: Dataset, selection: Selection, rows: int) -> int:
    """Below which place a row is in the sample of so many rows, among those that the condition takes."""
    smallest = Smallest(rows, selection.seed)
    begins = [0, *accumulate(selection.file_rows)]
    chooser = Chooser(selection)
    for file in range(len(selection.file_rows)):
        for first, mask in _masks(dataset, selection, chooser, file, begins[file]):
            smallest.add(np.flatnonzero(mask).astype(np.uint64) + np.uint64(begins[file] + first))
    return smallest.below()


def _chosen(dataset: Dataset, selection: Selection, run_id: str, pins: Pins) -> Dataset:
    objects, groups = dataset.objects, dataset.count.groups
    chooser = Chooser(selection)
    begins = [0, *accumulate(selection.file_rows)]
    file_rows: list[int] = []
    for group, (first, end) in enumerate(pairwise([0, *accumulate(groups)])):
        key = chosen_key(run_id, group)
        try:
            marks = MARKS.validate_json(objects.read(ObjectRef(key)))
        except Missing:
            marks = tuple(_marks(dataset, selection, chooser, file, begins[file]) for file in range(first, end))
            objects.put_once(key, MARKS.dump_json(marks), {"run": run_id})
        file_rows += [each[-1][1] for each in marks]
    taken, all_rows = sum(file_rows), sum(selection.file_rows)
    if not taken:
        field = "where" if pins.where else "sample"
        raise SourceError(f"{field}: none of {all_rows:,} rows is taken; {_remedy(pins)}")
    notes = (*dataset.count.notes, f"{_named(pins)} takes {taken:,} of {all_rows:,} rows")
    count = dataset.count.model_copy(
        update={"rows": taken, "file_rows": tuple(file_rows), "selection": selection, "notes": notes}
    )
    marks_of: Grouped[Marks] = Grouped(objects, partial(chosen_key, run_id), MARKS, groups)
    return replace(dataset, count=count, marks_of=marks_of)


def _remedy(pins: Pins) -> str:
    return "write it wider" if pins.where else "take a larger share, or so many rows"


def _named(pins: Pins) -> str:
    words = [word for word, there in (("where", pins.where), ("sample", pins.sample)) if there]
    return " and ".join(words)


def _marks(dataset: Dataset, selection: Selection, chooser: Chooser, file: int, begins: int) -> Marks:
    """How many rows of a file are taken before each place; the last is the file's end."""
    rows = dataset.source_rows(file)
    places = _places(dataset.count_of(file), rows, dataset.count.first_of(file))
    before = np.zeros(len(places) + 1, np.int64)
    for first, mask in _masks(dataset, selection, chooser, file, begins):
        # In which stretch each row is that is taken.
        stretches = np.searchsorted(places, np.flatnonzero(mask) + first, side="right")
        before += np.bincount(stretches, minlength=len(places) + 1)
    counts = np.concatenate(([0], np.cumsum(before[1:])))
    return tuple((int(place), int(count)) for place, count in zip([*places, rows], counts, strict=True))


def _places(count: Count, rows: int, begins: int = 0) -> Sequence[int]:
    """Where reading a file may begin, the first row among them; of a slice, whose first row of the file is `begins`."""
    if count.offsets:
        return [0, *(row - begins for row, _ in count.offsets if 0 < row - begins < rows)]
    return range(0, max(rows, 1), MARK_EVERY_ROWS)


def _masks(dataset: Dataset, selection: Selection, chooser: Chooser, file: int, begins: int) -> Masks:
    """Which of a file's rows are taken, stretch after stretch, each with its first row in the file."""
    rows = dataset.source_rows(file)
    if not chooser.columns:
        for first in range(0, rows, NUMBERED_ROWS):
            yield first, chooser.sampled(begins + first, min(NUMBERED_ROWS, rows - first))
        return
    key, first = dataset.listing.files[file].key, 0
    for batch in dataset.whole(file, 0, rows, list(selection.schema)):
        yield first, chooser.taken(batch, begins + first, key, dataset.count.first_of(file) + first)
        first += batch.num_rows
