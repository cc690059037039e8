"""The plan counts what the encoder leaves out, by one definition: whatever a column holds, however it is written."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.prompts import parse_template
from quarry_core.models import family_of
from quarry_core.planning.count_file import count_gaps, inspect
from quarry_core.rendering.encode import Encoder
from quarry_core.tabular.rows import read_rows
from tests.examples import examples
from tests.unit.core.rendering.columns import COLUMNS
from tests.world.objects import FakeObjects

# Types that Parquet returns as they are: the others are rendered in test_text.
STORED = [column for column in COLUMNS if column.type != pa.null() and column.type != pa.date64()]


def encoder(*columns: str, **options) -> Encoder:
    template = parse_template(" ".join("{" + column + "}" for column in columns))
    return Encoder(family_of("anthropic.claude-3-haiku-20240307-v1:0"), template, **options)


def source(table: pa.Table, **options):
    body = io.BytesIO()
    pq.write_table(table, body, **options)
    objects = FakeObjects()
    ref = objects.plant("in/d.parquet", body.getvalue())
    return objects, ref, inspect(objects, ref, "parquet", needed=table.column_names)


def left_out(objects, ref, count, asking) -> int:
    return sum(len(asking.encode(batch, "00000", 0).unsent) for batch in read_rows(objects, ref, count, 0, count.rows))


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 20))
    columns = {}
    for name in ("a", "b"):
        column = draw(st.sampled_from(STORED))
        places = draw(st.lists(st.integers(0, len(column) - 1), min_size=rows, max_size=rows))
        columns[name] = pa.concat_arrays([column.slice(place, 1) for place in places])  # views have no `take`
    return pa.table(columns)


@pytest.mark.promise("S9")
@given(tables(), st.booleans(), st.booleans(), st.sampled_from([1, 7, 100]), st.sampled_from([250, 25_000_000]))
@examples(60)
def test_the_plan_counts_exactly_what_the_encoder_leaves_out(table, reported, dictionary, group_rows, record_bytes_max):
    objects, ref, count = source(
        table, write_statistics=reported, use_dictionary=dictionary, row_group_size=group_rows, store_schema=True
    )
    for columns in (["a"], ["b"], ["a", "b"]):
        asking = encoder(*columns, record_bytes_max=record_bytes_max)
        assert count_gaps(objects, ref, count, asking) == left_out(objects, ref, count, asking)


@pytest.mark.promise("S9")
@pytest.mark.parametrize("column", STORED, ids=lambda one: str(one.type))
def test_every_type_is_counted_as_it_is_left_out(column):
    objects, ref, count = source(pa.table({"a": column}))
    asking = encoder("a")
    assert count_gaps(objects, ref, count, asking) == left_out(objects, ref, count, asking)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, 3], pa.int16()),
        pa.array([True, False, True]),
        pa.array([0, 1, 2], pa.timestamp("us")),
        pa.array([0, 1, 2], pa.timestamp("ns", "UTC")),
        pa.array([0, 1, 2], pa.int32()).view(pa.date32()),
        pa.array([0, 1, 2], pa.int64()).view(pa.time64("us")),
        pa.array([1, 2, 3]).cast(pa.decimal128(30, 2)),
    ],
    ids=lambda one: str(one.type),
)
def test_what_the_footer_proves_is_not_read(column):
    objects, ref, count = source(pa.table({"a": column}))
    body = bytearray(objects.bodies["in/d.parquet"])
    body[4:40] = bytes(36)  # the pages; the footer stays
    objects.plant("in/d.parquet", bytes(body))
    assert count_gaps(objects, type(ref)("in/d.parquet"), count, encoder("a")) == 0


@pytest.mark.parametrize(
    ("column", "gaps"),
    [
        (pa.array([0, 2**62], pa.timestamp("us")), 1),
        (pa.array([0, 3_000_000], pa.int32()).view(pa.date32()), 1),
        (pa.array([0, None]), 1),
        (pa.array([0.5, float("nan")]), 1),
        (pa.array(["x" * 30_000_000, "y"]), 1),
        (pa.array(["\x01" * 5_000_000, "\x01" * 1_000_000]), 1),
    ],
    ids=["timestamp", "date", "null", "nan", "giant", "escaped"],
)
def test_a_footer_that_does_not_prove_it_makes_the_column_be_read(column, gaps):
    objects, ref, count = source(pa.table({"a": column}))
    assert count_gaps(objects, ref, count, encoder("a")) == gaps


def test_a_csv_record_that_is_too_large_is_counted_too():
    objects = FakeObjects()
    rows = [b"short,x\n"] * 9_000
    rows[5_000] = b"y" * 26_000_000 + b",x\n"
    ref = objects.plant("in/d.csv", b"a,b\n" + b"".join(rows))
    count = inspect(objects, ref, "csv")
    assert count_gaps(objects, ref, count, encoder("a")) == 1
    assert count_gaps(objects, ref, count, encoder("b")) == 0
