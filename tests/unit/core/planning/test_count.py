"""Looking at a source: what it is, how many rows it has, where they begin; and what is refused, with its remedy."""

from __future__ import annotations

import io
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.prompts import parse_template
from quarry_core.contract.run import Source
from quarry_core.errors import Missing
from quarry_core.models import family_of
from quarry_core.planning import count_csv
from quarry_core.planning.count_csv import OFFSET_EVERY_BYTES, OFFSET_EVERY_ROWS
from quarry_core.planning.count_file import (
    count_gaps,
    inspect,
    sample,
)
from quarry_core.planning.plan_source import copied_rows_max
from quarry_core.ports import ObjectRef
from quarry_core.rendering.encode import Encoder
from quarry_core.tabular.counted import Count, DatasetCount
from quarry_core.tabular.rows import SourceError, read_rows
from tests.examples import examples
from tests.world.objects import FakeObjects

CSV = Source(format="csv", bucket="b", key="in/data.csv", size_bytes=1, etag="e")


def asking(template: str, **options) -> Encoder:
    return Encoder(family_of("anthropic.claude-3-haiku-20240307-v1:0"), parse_template(template), **options)


def values_of(batches, column):
    return [value for batch in batches for value in batch[column].to_pylist()]


def planted(body: bytes, key="in/data.csv"):
    objects = FakeObjects()
    return objects, objects.plant(key, body)


def counted(body: bytes) -> Count:
    objects, ref = planted(body)
    return inspect(objects, ref, "csv")


def parquet(table: pa.Table, **options) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def test_a_csv_count_tells_rows_columns_and_where_rows_begin():
    count = counted(b"id,text\n" + b"".join(b"%d,x\n" % n for n in range(10_000)))
    assert (count.rows, count.columns) == (10_000, ("id", "text"))
    assert [row for row, _ in count.offsets] == [0, OFFSET_EVERY_ROWS, 2 * OFFSET_EVERY_ROWS]
    assert count.offsets[0] == (0, 8)
    assert Count.model_validate_json(count.model_dump_json()) == count


def test_long_rows_are_noted_by_bytes():
    count = counted(b"a\n" + (b"x" * 99_999 + b"\n") * 100)
    noted = [byte for _, byte in count.offsets]
    assert len(noted) == 10
    assert all(b - a < OFFSET_EVERY_BYTES + 100_000 for a, b in pairwise(noted))


@given(st.lists(st.text(alphabet='a",\n\r é', max_size=12), min_size=1, max_size=40), st.integers(1, 9))
@examples(300)
def test_offsets_noted_anywhere_and_blocks_of_any_size_give_the_same_rows(texts, block_bytes):
    data = ("h,i\r\n" + "".join('"' + text.replace('"', '""') + '",1\r\n\n' for text in texts)).encode()
    objects, ref = planted(data)
    with pytest.MonkeyPatch.context() as small:
        small.setattr(count_csv, "BLOCK_BYTES", block_bytes)
        small.setattr(count_csv, "OFFSET_EVERY_ROWS", 3)
        small.setattr(count_csv, "OFFSET_EVERY_BYTES", 20)
        count = inspect(objects, ref, "csv")
    assert count.rows == len(texts)
    for first in range(count.rows):
        read = [
            text
            for batch in read_rows(objects, ref, count, first, count.rows - first)
            for text in batch["h"].to_pylist()
        ]
        assert read == texts[first:]  # fmt: skip


@pytest.mark.parametrize("header", ['"a b","c,d","e\nf"', "\ufeffa b,é,1"])
def test_column_names_are_those_of_the_header(header):
    count = counted((header + "\n1,2,3\n").encode())
    assert len(count.columns) == 3
    assert count.columns[0] == "a b"
    assert count.schema == pa.schema([(name, pa.string()) for name in count.columns])


def test_empty_lines_are_no_rows_and_the_last_line_end_may_lack():
    assert counted(b"\n\r\na\n\n1\n\n2").rows == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is empty"),
        (b"\n\r\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"a,b,a\n1,2,3\n", "several columns are named 'a'"),
        (b"a,,b\n1,2,3\n", "column 2 of 3 has no name"),
        (b"a, \n1,2\n", "column 2 of 2 has no name"),
        (b'a,b\n1,2\n3,"x\n4,5\n', r"data row 2 \(byte 8\) opens a quote that is never closed"),
        (b'a,"b\n1,2\n', "the header opens a quote"),
        (b"a,\xff\n1,2\n", "the header is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PAR1", "is Parquet"),
    ],
)
def test_a_csv_file_that_cannot_be_used_is_refused_with_its_remedy(body, message):
    with pytest.raises(SourceError, match=message):
        counted(body)


@pytest.mark.parametrize("begin", [b'"', b""])
def test_a_row_of_absurd_length_is_refused_before_it_fills_the_memory(monkeypatch, begin):
    monkeypatch.setattr(count_csv, "RECORD_BYTES_MAX", 2 << 20)
    with pytest.raises(SourceError, match=r"data row 1 \(byte 2\) is over"):
        counted(b"a\n" + begin + b"x" * (4 << 20))


def test_a_parquet_file_tells_its_rows_without_being_read():
    objects, ref = planted(parquet(pa.table({"a": [1, None], "b": ["x", "y"]})), "in/d.parquet")
    count = inspect(objects, ref, "parquet")
    assert (count.rows, count.columns, count.offsets) == (2, ("a", "b"), ())
    assert count.schema == pa.schema([("a", pa.int64()), ("b", pa.string())])


@pytest.mark.parametrize(
    ("form", "body"),
    [("csv", b"a,b\n"), ("csv", b"a,b"), ("parquet", parquet(pa.table({"a": pa.array([], pa.int64())})))],
)
def test_a_file_without_rows_counts_none(form, body):
    objects, ref = planted(body, f"in/d.{form}")
    count = inspect(objects, ref, form)
    assert count.rows == 0
    assert list(read_rows(objects, ref, count, 0, 0)) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not a readable Parquet file"),
        (b"a,b\n1,2\n", "not a readable Parquet file"),
        (parquet(pa.table({})), "no columns"),
        (parquet(pa.table([[1], [2]], names=["a", "a"])), "several columns are named 'a'"),
        (parquet(pa.table({"": [1]})), "has no name"),
    ],
)
def test_a_parquet_file_that_cannot_be_used_is_refused_with_its_remedy(body, message):
    objects, ref = planted(body, "in/d.parquet")
    with pytest.raises(SourceError, match=message):
        inspect(objects, ref, "parquet")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_source_that_does_not_exist_is_missing(form):
    with pytest.raises(Missing):
        inspect(FakeObjects(), ObjectRef("nowhere"), form)


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("csv", b"n\n" + b"".join(b"%d\n" % n for n in range(100_000))),
        ("parquet", parquet(pa.table({"n": list(range(100_000))}), row_group_size=5_000)),
    ],
)
def test_a_sample_is_small_in_order_and_spread_over_the_source(form, body):
    objects, ref = planted(body, f"in/d.{form}")
    taken = [int(n) for n in values_of(sample(objects, ref, inspect(objects, ref, form)), "n")]
    assert len(taken) == 200
    assert taken == sorted(set(taken))
    assert len({n // 10_000 for n in taken}) >= 7


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_small_source_is_its_own_sample(form):
    body = b"n\n1\n2\n" if form == "csv" else parquet(pa.table({"n": pa.array(["1", "2"]).dictionary_encode()}))
    objects, ref = planted(body, f"in/d.{form}")
    assert values_of(sample(objects, ref, inspect(objects, ref, form)), "n") == ["1", "2"]


@pytest.mark.promise("S9")
@pytest.mark.parametrize("reported", [True, False])
def test_rows_that_will_be_left_out_are_counted_whether_or_not_the_footer_tells_them(reported):
    table = pa.table({"a": ["x", None, "y", None], "b": [[1], None, [2, 3], [4]], "c": [None] * 4})
    objects, ref = planted(parquet(table, row_group_size=3, write_statistics=reported), "in/d.parquet")
    count = inspect(objects, ref, "parquet")
    assert count_gaps(objects, ref, count, asking("{a}")) == 2
    assert count_gaps(objects, ref, count, asking("{a} {b}")) == 2
    assert count_gaps(objects, ref, count, asking("{b}")) == 1


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    ("bad", "message"),
    [("one field", "has 1 fields"), ("a,b,c", "has 3 fields"), ('"q",x,y', "has 3 fields"), ("a,\udcff", "not UTF-8")],
)
def test_a_row_that_cannot_be_parsed_is_named_before_anything_is_written(bad, message):
    lines = ["x,y", *(f"{row},text {row}" for row in range(20_000))]
    lines[12_346] = bad  # data row 12,346
    objects = FakeObjects()
    ref = objects.plant("in.csv", "\n".join(lines).encode("utf-8", "surrogateescape"))
    with pytest.raises(SourceError, match=f"data row 12346 .*{message}"):
        inspect(objects, ref, "csv")


def test_a_wide_file_makes_shorter_shards_for_the_footer_of_their_copy():
    def rows_max(columns: int, size_bytes: int) -> int | None:
        names = tuple(f"c{number}" for number in range(columns))
        count = Count(format="csv", rows=100_000, columns=names, size_bytes=size_bytes)
        return copied_rows_max(CSV, DatasetCount.of_one(count))

    assert rows_max(3, 100_000 * 1_000) > 50_000
    assert rows_max(100, 100_000 * 1_000) > 50_000
    assert rows_max(8_000, 100_000 * 32_000) < 5_000
    parquet_count = DatasetCount(format="parquet", rows=1, columns=("a",), size_bytes=1, schema_ipc="", file_rows=(1,))
    assert copied_rows_max(CSV.model_copy(update={"format": "parquet"}), parquet_count) is None


@pytest.mark.parametrize("columns", [8_000, 8_001])
def test_a_file_has_no_more_columns_than_a_service_can_hold(columns):
    body = b",".join(b"c%d" % number for number in range(columns)) + b"\n" + b"," * (columns - 1) + b"\n"
    if columns == 8_000:
        assert len(counted(body).columns) == columns
    else:
        with pytest.raises(SourceError, match="there are 8001 columns, more than 8000"):
            counted(body)
