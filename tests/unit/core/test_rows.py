"""Reading a range of a source's rows: exactly those rows, exactly their types, or an error that names the place."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.csv_dialect import Csv
from quarry_core.errors import Changed, Missing
from quarry_core.planning import count_csv
from quarry_core.planning.count_file import inspect
from quarry_core.ports import ObjectRef
from quarry_core.tabular.csv import rows as rows_of_csv
from quarry_core.tabular.rows import BATCH_ROWS_MAX, Count, SourceError, read_parquet, read_rows
from tests.examples import examples
from tests.world.objects import FakeObjects

CELLS = st.text(alphabet='"ab,\n\r é\ufeff', max_size=6)


def written(rows, quote='""') -> bytes:
    """RFC 4180, quoting only what must be; `quote` is how one is written inside."""

    def cell(text):
        return '"' + text.replace('"', quote) + '"' if set(text) & set('",\r\n') or text == "" else text

    return "".join(",".join(map(cell, row)) + "\r\n" for row in rows).encode()


def csv_source(data: bytes):
    objects = FakeObjects()
    ref = objects.plant("in/data.csv", data)
    return objects, ref, inspect(objects, ref, "csv")


def parquet_source(table: pa.Table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    objects = FakeObjects()
    ref = objects.plant("in/data.parquet", sink.getvalue())
    return objects, ref, inspect(objects, ref, "parquet")


def table_of(batches, schema) -> pa.Table:
    return pa.Table.from_batches(list(batches), schema)


# --------------------------------------------------------------------------- CSV


@pytest.mark.promise("S3")
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30), st.data())
@examples(300)
def test_any_range_of_a_csv_file_gives_those_cells(rows, draw):
    objects, ref, count = csv_source(b"x,y\r\n" + written(rows))
    first = draw.draw(st.integers(0, len(rows)))
    last = draw.draw(st.integers(first, len(rows)))
    read = table_of(read_rows(objects, ref, count, first, last - first), count.schema)
    assert list(zip(*read.to_pydict().values(), strict=True)) == rows[first:last]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_of_every_kind_and_a_byte_order_mark_change_nothing(line_end, last, mark):
    lines = ["a,b", "1,é", "", '2,"x""y"', "", "3,z"]
    text = mark + line_end.join(lines) + (line_end if last else "")
    objects, ref, count = csv_source(text.encode())
    read = table_of(read_rows(objects, ref, count, 0, 3), count.schema)
    assert read.to_pydict() == {"a": ["1", "2", "3"], "b": ["é", 'x"y', "z"]}


def test_every_csv_value_is_text_and_none_is_null():
    objects, ref, count = csv_source(b'a,b,c\nNA,null,""\nNaN,,1.50\n')
    batch = next(read_rows(objects, ref, count, 0, 2))
    assert batch.schema == pa.schema([(name, pa.string()) for name in "abc"])
    assert batch.to_pydict() == {"a": ["NA", "NaN"], "b": ["null", ""], "c": ["", "1.50"]}


def test_batches_are_small_and_complete():
    objects, ref, count = csv_source(b"n\n" + b"".join(b"%d\n" % n for n in range(10_000)))
    batches = list(read_rows(objects, ref, count, 4_000, 5_000))
    assert max(batch.num_rows for batch in batches) == BATCH_ROWS_MAX
    assert [int(n) for batch in batches for n in batch["n"].to_pylist()] == list(range(4_000, 9_000))


def test_a_row_longer_than_a_block_is_read():
    long = "x" * 3_000_000
    objects, ref, count = csv_source(f'a,b\n1,{long}\n2,"{long}\n"\n3,z\n'.encode())
    read = table_of(read_rows(objects, ref, count, 1, 2), count.schema)
    assert read.to_pydict() == {"a": ["2", "3"], "b": [long + "\n", "z"]}


def test_a_whole_csv_file_reads_as_pyarrow_reads_it():
    rows = [(f"id{n}", f'"{n}" é,\n' * (n % 7), "\ufeff" * (n % 2) + "x" * (n % 900)) for n in range(12_000)]
    data = written([("id", "text", "more"), *rows])
    objects, ref, count = csv_source(data)
    expected = pacsv.read_csv(
        io.BytesIO(data),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(("id", "text", "more"), pa.string())),
    )
    assert len(count.offsets) > 4
    assert table_of(read_rows(objects, ref, count, 0, count.rows), count.schema) == expected
    for row, _ in count.offsets:
        read = table_of(read_rows(objects, ref, count, row, min(3, count.rows - row)), count.schema)
        assert read == expected.slice(row, 3)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"only", "has 1 fields, the header has 2"),
        (b"1,2,3", "has 3 fields, the header has 2"),
        (b"1,\xff", "is not UTF-8"),
        (b'1,"x\ny",3', "has 3 fields, the header has 2"),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 5_000])
def test_a_row_that_cannot_be_parsed_is_named_with_its_remedy(bad, message, before):
    with pytest.raises(SourceError, match=rf"data row {before + 1} \(byte {5 + 10 * before}\) {message}"):
        csv_source(b"a,b\n\n" + b'"1\n","2"\n\n' * before + bad + b"\n3,4\n")


@pytest.mark.promise("S3")
@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=8, max_size=60),
    st.integers(0, 59),
    st.integers(1, 3),
    st.sampled_from(["utf-8", "utf-16"]),
    st.sampled_from(["double", "backslash"]),
    st.sampled_from([4, 64]),
)
@examples(100)
def test_a_few_rows_of_a_block_are_those_of_the_whole_block(rows, first, taken, encoding, escape, at_once):
    text = written([("x", "y"), *rows], '""' if escape == "double" else '\\"').decode()
    objects = FakeObjects()
    ref = objects.plant("in/data.csv", text.encode(encoding))
    count = inspect(objects, ref, "csv", Csv(encoding=encoding, escape=escape))
    first = min(first, count.rows - 1)
    taken = min(taken, count.rows - first)
    whole = table_of(read_rows(objects, ref, count, 0, count.rows), count.schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_of_csv, "FEW_BYTES", at_once)
        few = table_of(read_rows(objects, ref, count, first, taken), count.schema)
    assert few.equals(whole.slice(first, taken))


@pytest.mark.promise("S3")
@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30),
    st.integers(0, 29),
    st.integers(1, 30),
    st.integers(1, 5),
    st.sampled_from([1, 30, 90, 1 << 20]),
)
@examples(100)
def test_rows_are_the_same_however_many_notes_are_parsed_together(rows, first, taken, noted_every, together_bytes):
    objects = FakeObjects()
    ref = objects.plant("in/data.csv", written([("x", "y"), *rows]))
    first = min(first, len(rows) - 1)
    taken = min(taken, len(rows) - first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(count_csv, "OFFSET_EVERY_ROWS", noted_every)
        patch.setattr(rows_of_csv, "BLOCK_BYTES_MAX", together_bytes)
        count = inspect(objects, ref, "csv")
        found = table_of(read_rows(objects, ref, count, first, taken), count.schema)
    assert len(count.offsets) == -(-len(rows) // noted_every)
    assert [(row["x"], row["y"]) for row in found.to_pylist()] == rows[first : first + taken]


def test_a_few_rows_of_a_file_that_is_not_the_counted_one_are_an_error():
    objects, _, count = csv_source(b"a\n" + b"1\n" * 20)
    objects.plant("in/data.csv", b"a\n" + b"1\n\n" * 10)
    with pytest.raises(SourceError, match="20 were counted"):
        list(read_rows(objects, ObjectRef("in/data.csv"), count, 18, 2))
    objects.plant("in/data.csv", b"a\n" + b'1"\n' * 20)
    with pytest.raises(SourceError, match="20 were counted"):
        list(read_rows(objects, ObjectRef("in/data.csv"), count, 2, 2))


def test_a_file_that_is_not_the_counted_one_is_an_error_not_other_rows():
    objects, ref, count = csv_source(b"a\n" + b"1\n" * 10)
    objects.plant("in/data.csv", b"a\n" + b"1\n\n" * 10)
    with pytest.raises(SourceError, match="10 were counted"):
        list(read_rows(objects, ObjectRef("in/data.csv"), count, 0, 10))
    objects.plant("in/data.csv", b"a\n1\n")
    with pytest.raises(SourceError, match="10 were counted"):
        list(read_rows(objects, ObjectRef("in/data.csv"), count, 0, 10))
    with pytest.raises(Changed):
        list(read_rows(objects, ObjectRef("in/data.csv", etag=ref.etag), count, 0, 10))


# --------------------------------------------------------------------------- Parquet

RICH = pa.table(
    {
        "int": pa.array([1, None, 3] * 1_000, pa.int64()),
        "small": pa.array([1, 2, None] * 1_000, pa.uint8()),
        "decimal": pa.array([Decimal("1.50"), None, Decimal("-2.25")] * 1_000, pa.decimal128(10, 2)),
        "when": pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None, None] * 1_000, pa.timestamp("us", "Europe/Berlin")),
        "nanos": pa.array([1, 2, 3] * 1_000, pa.timestamp("ns")),
        "day": pa.array([dt.date(2024, 1, 1), None, None] * 1_000, pa.date32()),
        "list": pa.array([["a", None], [], None] * 1_000, pa.list_(pa.string())),
        "struct": pa.array([{"x": 1, "y": "z"}, None, {"x": None, "y": ""}] * 1_000),
        "map": pa.array([[("k", 1)], [], None] * 1_000, pa.map_(pa.string(), pa.int32())),
        "nothing": pa.nulls(3_000),
        "category": pa.array(["a", "b", None] * 1_000).dictionary_encode(),
        "large": pa.array(["x", "", None] * 1_000, pa.large_string()),
        "binary": pa.array([b"\x00", b"", None] * 1_000, pa.binary()),
        "fixed": pa.array([b"ab", b"cd", None] * 1_000, pa.binary(2)),
        "vector": pa.array([[1.0, 2.0], None, [3.0, 4.0]] * 1_000, pa.list_(pa.float32(), 2)),
        "seconds": pa.array([1, 2, None] * 1_000, pa.duration("s")),
        "half": pa.array([1.5, None, 2.0] * 1_000, pa.float16()),
    }
).replace_schema_metadata({"owner": "someone", "pandas": json.dumps({"index_columns": []})})  # fmt: skip
RICH = RICH.cast(RICH.schema.set(0, RICH.schema.field(0).with_metadata({"unit": "m"})))


def through_parquet(table: pa.Table) -> pa.Table:
    """As any reader sees it: Parquet itself renames what is inside lists and maps."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return pq.read_table(sink)


RICH = through_parquet(RICH)


@pytest.mark.parametrize("group_rows", [500, 1_500, 10_000])
@pytest.mark.parametrize(("first", "rows"), [(0, 3_000), (0, 1), (499, 2), (1_499, 1_024), (2_999, 1), (700, 2_000)])
def test_a_range_of_a_parquet_file_comes_back_equal_by_schema_and_value(group_rows, first, rows):
    objects, ref, count = parquet_source(RICH, row_group_size=group_rows)
    batches = list(read_rows(objects, ref, count, first, rows))
    assert max(batch.num_rows for batch in batches) <= BATCH_ROWS_MAX
    assert all(batch.schema.equals(RICH.schema, check_metadata=True) for batch in batches)
    assert table_of(batches, RICH.schema) == RICH.slice(first, rows)


def test_the_counted_schema_is_exact_and_survives_json():
    _, _, count = parquet_source(RICH)
    again = Count.model_validate_json(count.model_dump_json())
    assert again == count
    assert again.schema == RICH.schema
    nameless = RICH.schema.remove(RICH.schema.get_field_index("map"))  # whose inner names Arrow never compares
    assert again.schema.remove(RICH.schema.get_field_index("map")).equals(nameless, check_metadata=True)
    assert (again.rows, again.columns) == (3_000, tuple(RICH.column_names))


def test_a_part_written_from_the_batches_is_equal_by_schema_and_value():
    objects, ref, count = parquet_source(RICH, row_group_size=700)
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, count.schema) as part:
        for batch in read_rows(objects, ref, count, 100, 2_500):
            part.write_batch(batch)
    again = pq.read_table(sink)
    assert again.schema.equals(RICH.schema, check_metadata=True)
    assert again == RICH.slice(100, 2_500)


def test_row_groups_outside_the_range_are_not_read():
    table = pa.table({"text": [f"{n:0200}" for n in range(20_000)]})
    objects, ref, count = parquet_source(table, row_group_size=1_000, compression="none", use_dictionary=False)
    read_bytes = 0
    honest = objects.read

    def counting(ref, start_byte=0, length_bytes=None):
        nonlocal read_bytes
        piece = honest(ref, start_byte, length_bytes)
        read_bytes += len(piece)
        return piece

    objects.read = counting
    assert table_of(read_rows(objects, ref, count, 9_000, 1_000), count.schema) == table.slice(9_000, 1_000)
    assert read_bytes < count.size_bytes // 10


def test_a_parquet_file_with_fewer_rows_than_asked_for_is_an_error():
    objects, ref, _ = parquet_source(pa.table({"a": [1, 2, 3]}))
    with pytest.raises(SourceError, match="has 3 rows"):
        list(read_parquet(objects, ref, 0, 4))


def test_a_damaged_parquet_file_is_a_source_error():
    objects, _, count = parquet_source(pa.table({"a": list(range(9_999))}), compression="zstd", use_dictionary=False)
    body = bytearray(objects.bodies["in/data.parquet"])
    body[40:4_000] = bytes(3_960)
    objects.plant("in/data.parquet", bytes(body))
    with pytest.raises(SourceError, match="row group 0"):
        list(read_rows(objects, ObjectRef("in/data.parquet"), count, 0, 9_999))


# --------------------------------------------------------------------------- both


@pytest.mark.parametrize("source", [lambda: csv_source(b"a\n1\n2\n"), lambda: parquet_source(pa.table({"a": [1, 2]}))])
def test_a_range_outside_the_count_is_refused_and_an_empty_one_is_empty(source):
    objects, ref, count = source()
    for first, rows in [(0, 3), (3, 0), (-1, 1), (1, -1)]:
        with pytest.raises(ValueError, match="not within"):
            read_rows(objects, ref, count, first, rows)
    assert list(read_rows(objects, ref, count, 2, 0)) == []


@pytest.mark.parametrize("source", [lambda: csv_source(b"a\n1\n2\n"), lambda: parquet_source(pa.table({"a": [1, 2]}))])
def test_a_source_that_was_replaced_or_deleted_is_reported_as_such(source):
    objects, ref, count = source()
    objects.plant(ref.key, b"other")
    with pytest.raises(Changed):
        list(read_rows(objects, ObjectRef(ref.key, etag=ref.etag), count, 0, 2))
    objects.delete(ref.key)
    with pytest.raises(Missing):
        list(read_rows(objects, ObjectRef(ref.key, etag=ref.etag), count, 0, 2))
    assert len(table_of(read_rows(objects, ref, count, 0, 2), count.schema)) == 2  # the pinned version still stands
