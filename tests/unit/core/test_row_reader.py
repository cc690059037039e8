"""Reading a dataset range after range: the same rows as one by one, each row group decoded once."""

from __future__ import annotations

import pyarrow as pa
import pytest

from quarry_core.planning.counting import count_source
from quarry_core.tabular.reader import RowReader, rows_before
from tests.unit.core.tabular.planted import RUN, parquet, pinned
from tests.world.objects import FakeObjects

ROWS = 5_000
RANGES = [(0, 700), (700, 324), (1_024, 1), (1_025, 2_975), (4_000, 1_000)]


class CountingObjects(FakeObjects):
    """Counts the files that are opened."""

    opened = 0

    def random_access(self, ref):
        self.opened += 1
        return super().random_access(ref)


def dataset_of(form: str = "parquet", group: int = ROWS):
    objects = CountingObjects()
    texts = [f"row {n}" for n in range(ROWS)]
    if form == "csv":
        body = "".join(f"{line}\n" for line in ["topic", *texts]).encode()
    else:
        body = parquet(pa.table({"topic": texts}), row_group_size=group)
    dataset = count_source(objects, RUN, pinned(objects, form, {f"in/0.{form}": body}, template="{topic}")).dataset
    objects.opened = 0
    return objects, dataset


def rows_of(batches) -> list[str]:
    return [text for batch in batches for text in batch["topic"].to_pylist()]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_ranges_that_follow_each_other_have_the_rows_and_batches_of_ranges_read_alone(form):
    _, dataset = dataset_of(form)
    reader = RowReader(dataset)
    for first, rows in RANGES:
        found, alone = list(reader.read(first, rows)), list(dataset.read(first, rows))
        assert rows_of(found) == rows_of(alone) == [f"row {n}" for n in range(first, first + rows)]
        assert [batch.num_rows for batch in found] == [batch.num_rows for batch in alone]


def test_a_row_group_is_opened_once_for_all_its_ranges():
    objects, dataset = dataset_of()
    reader = RowReader(dataset)
    for first, rows in RANGES:
        assert len(rows_of(reader.read(first, rows))) == rows
    assert objects.opened == 1


def test_a_range_further_on_in_the_row_group_goes_on_and_one_before_begins_anew():
    objects, dataset = dataset_of()
    reader = RowReader(dataset)
    assert rows_of(reader.read(100, 50))[0] == "row 100"
    assert rows_of(reader.read(3_000, 10)) == [f"row {n}" for n in range(3_000, 3_010)]
    assert objects.opened == 1
    assert rows_of(reader.read(200, 10)) == [f"row {n}" for n in range(200, 210)]
    assert objects.opened == 2


def test_a_range_in_a_later_row_group_is_entered_there():
    objects, dataset = dataset_of(group=500)
    reader = RowReader(dataset)
    list(reader.read(0, 10))
    assert rows_of(reader.read(4_500, 3)) == ["row 4500", "row 4501", "row 4502"]
    assert objects.opened == 2


def test_a_range_that_is_not_read_to_its_end_does_not_shift_the_next():
    _, dataset = dataset_of()
    reader = RowReader(dataset)
    batches = reader.read(0, 3_000)
    next(batches)
    batches.close()
    assert rows_of(reader.read(3_000, 2)) == ["row 3000", "row 3001"]


def test_what_is_not_there_is_refused():
    _, dataset = dataset_of()
    with pytest.raises(ValueError, match="not within"):
        list(RowReader(dataset).read(ROWS - 1, 2))


def test_rows_before_a_row_are_those_of_its_row_group():
    _, dataset = dataset_of(group=2_000)
    assert [rows_before(dataset, row) for row in (0, 1_999, 2_000, 4_500)] == [0, 1_999, 0, 500]
    assert rows_before(dataset_of("csv")[1], 4_500) == 0
