"""Ids that stand twice are found, with both rows, whatever their order, and in flat memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.planning.unique_ids import ROW_BYTES, Repeated, TooManyIds, UniqueIds
from tests.examples import examples


def repeated(*batches: Sequence[str | bytes | None]) -> Repeated | None:
    with UniqueIds() as ids:
        for batch in batches:
            ids.add(pa.array(batch, pa.binary() if any(isinstance(one, bytes) for one in batch) else pa.string()))
        return ids.repeated()


def expected(ids: Sequence[str | None]) -> Repeated | None:
    seen: dict[str, int] = {}
    for row, one in enumerate(ids):
        if one is not None and one in seen:
            return Repeated(seen[one], row)
        if one is not None:
            seen[one] = row
    return None


def test_ids_that_all_differ_are_not_complained_about():
    assert repeated(["a", "b"], ["c", "B"], [" a", "a "]) is None


def test_the_first_repetition_is_named_by_both_rows():
    assert repeated(["a", "b", "c"], ["d", "b", "a"]) == Repeated(first=1, again=4)


def test_an_id_that_stands_three_times_is_named_at_its_second_row():
    assert repeated(["x", "a", "a"], ["a"]) == Repeated(first=1, again=2)


def test_rows_without_an_id_count_and_are_not_compared():
    assert repeated([None, "a", None], [None], ["a"]) == Repeated(first=1, again=4)


def test_text_and_its_bytes_are_the_same_id():
    assert repeated(["é"], ["é".encode()]) == Repeated(first=0, again=1)


@given(ids=st.lists(st.one_of(st.none(), st.sampled_from("abcdefgh")), max_size=30), cut=st.integers(0, 30))
@examples(60)
def test_the_same_is_found_as_by_looking_at_all_at_once(ids, cut):
    assert repeated(ids[:cut], ids[cut:]) == expected(ids)


def test_the_ids_are_kept_on_disk_and_not_in_memory():
    rows = 60_000
    with UniqueIds(waiting_bytes_max=50 * ROW_BYTES) as ids:
        tracemalloc.start()
        for start in range(0, rows, 1_000):
            ids.add(pa.array([f"row-{row}" for row in range(start, start + 1_000)]))
        assert ids.repeated() is None
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak_bytes < rows * ROW_BYTES / 2


def test_a_dataset_of_too_many_ids_is_refused_with_the_number_that_can_be_compared():
    with UniqueIds(bytes_max=100 * ROW_BYTES) as ids:
        ids.add(pa.array([f"row-{row}" for row in range(101)]))
        with pytest.raises(TooManyIds, match="more than 100 ids cannot be compared: send the dataset as several runs"):
            ids.repeated()
