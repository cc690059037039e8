"""A source of several files, read as one table."""

from __future__ import annotations

import pyarrow as pa
import pytest

from quarry_core.contract.names import counts_key, listing_key
from quarry_core.contract.run import Pins
from quarry_core.errors import Changed
from quarry_core.planning import counting
from quarry_core.planning.counting import count_source, write_count
from quarry_core.tabular.dataset import Dataset, open_dataset
from quarry_core.tabular.errors import SourceError
from tests.unit.core.tabular.planted import RUN, parquet, pinned
from tests.world.objects import FakeObjects


def body_of(form: str, texts: list[str]) -> bytes:
    if form == "csv":
        return "".join(f"{line}\n" for line in ["n,topic", *(f"{text},topic {text}" for text in texts)]).encode()
    return parquet(pa.table({"n": texts, "topic": [f"topic {text}" for text in texts]}), row_group_size=7)


def pins_of(objects: FakeObjects, form: str, sizes: list[int]) -> Pins:
    """Files of so many rows each, which count on from one to the next."""
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    files = {
        f"in/{place:05d}.{form}": body_of(form, [str(start + row) for row in range(rows)])
        for place, (start, rows) in enumerate(zip(starts, sizes, strict=True))
    }
    return pinned(objects, form, files, template="{topic}")


def numbers(dataset: Dataset, first: int, rows: int) -> list[int]:
    return [int(n) for batch in dataset.read(first, rows) for n in batch["n"].to_pylist()]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_any_range_over_the_files_gives_its_rows_in_order(form):
    objects = FakeObjects()
    sizes = [20, 0, 1, 50, 3]
    counted = count_source(objects, RUN, pins_of(objects, form, sizes))
    assert counted.dataset.count.rows == 74
    assert counted.dataset.count.file_rows == tuple(sizes)
    for first in range(0, 75, 3):
        for rows in (0, 1, 2, 22, 74 - first):
            if first + rows <= 74:
                assert numbers(counted.dataset, first, rows) == list(range(first, first + rows))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_what_was_counted_is_read_again_group_by_group(form, monkeypatch):
    monkeypatch.setattr(counting, "GROUP_FILES_MAX", 2)
    objects = FakeObjects()
    pins = pins_of(objects, form, [5, 5, 5, 5, 5])
    write_count(count_source(objects, RUN, pins).dataset, RUN)
    assert sorted(key for key in objects.bodies if "counts" in key) == [counts_key(RUN, group) for group in range(3)]
    assert numbers(open_dataset(objects, RUN, pins.source), 3, 20) == list(range(3, 23))


def test_a_group_that_was_counted_is_not_counted_again(monkeypatch):
    monkeypatch.setattr(counting, "GROUP_FILES_MAX", 2)
    objects = FakeObjects()
    pins = pins_of(objects, "csv", [5, 5, 5])
    inspected = []
    inspect = counting.inspect

    def noted(objects, ref, *arguments):
        inspected.append(ref.key)
        if ref.key == "in/00002.csv" and inspected.count(ref.key) == 1:
            raise OSError("the worker ends here")
        return inspect(objects, ref, *arguments)

    monkeypatch.setattr(counting, "inspect", noted)
    with pytest.raises(OSError, match="ends here"):
        count_source(objects, RUN, pins)
    assert count_source(objects, RUN, pins).dataset.count.rows == 15
    assert inspected == ["in/00000.csv", "in/00001.csv", "in/00002.csv", "in/00002.csv"]


def test_a_list_of_files_that_is_not_the_pinned_one_is_not_read():
    objects = FakeObjects()
    pins = pins_of(objects, "csv", [5, 5])
    objects.plant(listing_key(RUN), b'{"files":[]}')
    with pytest.raises(Changed, match=r"files\.json is not the list"):
        count_source(objects, RUN, pins)


def test_files_without_a_row_among_them_are_refused():
    objects = FakeObjects()
    with pytest.raises(SourceError, match="has a header and no rows"):
        count_source(objects, RUN, pins_of(objects, "csv", [0, 0]))
