"""One schema over all files, whatever each of them calls its types; and what no schema holds, refused by name."""

from __future__ import annotations

import datetime as dt
import io
import itertools
from decimal import Decimal

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.tabular.align import Aligner
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.unify import Unified, Unifier


def unify(*schemas: pa.Schema, columns=None) -> Unified:
    unifier = Unifier(columns)
    for place, schema in enumerate(schemas):
        unifier.add(schema, f"part-{place}")
    return unifier.unified()


def together(*kinds: pa.DataType) -> pa.DataType:
    return unify(*(pa.schema([("x", kind)]) for kind in kinds)).schema.field("x").type


def values(target: pa.Schema, *tables: pa.Table) -> list[dict]:
    rows = []
    for place, table in enumerate(tables):
        aligner = Aligner(table.schema, target, f"part-{place}")
        for batch in table.select(aligner.columns).to_batches():
            rows += aligner.align(batch, 0).to_pylist()
    return rows


# --------------------------------------------------------------------------- one schema


def test_a_single_schema_comes_out_as_it_went_in():
    plain = pa.schema(
        [
            pa.field(
                "a", pa.dictionary(pa.int8(), pa.large_string()), nullable=False, metadata={"PARQUET:field_id": "7"}
            ),
            pa.field("b", pa.large_list(pa.field("element", pa.int8(), nullable=False))),
            pa.field("c", pa.timestamp("ns", "Europe/Berlin")),
        ],
        metadata={"pandas": "{}", "org.apache.spark.sql.parquet.row.metadata": "{}"},
    )
    for files in (1, 3):
        found = unify(*[plain] * files)
        assert found.schema.equals(plain, check_metadata=True)
        assert found.notes == ()


def test_files_that_differ_in_nothing_but_what_writers_say_of_them_keep_what_they_say_alike():
    one = pa.schema([("a", pa.int32())], metadata={"pandas": '{"stop": 10}', "owner": "ada"})
    two = pa.schema([("a", pa.int32())], metadata={"pandas": '{"stop": 20}', "owner": "ada"})
    assert unify(one, two).schema.metadata == {b"owner": b"ada"}


def test_what_describes_one_files_columns_is_left_out_when_another_has_more():
    spark = b"org.apache.spark.sql.parquet.row.metadata"
    one = pa.schema([("a", pa.int32())], metadata={spark: b"{}", b"owner": b"ada"})
    two = pa.schema([("a", pa.int32()), ("b", pa.int32())], metadata={spark: b"{}", b"owner": b"ada"})
    assert unify(one, two).schema.metadata == {b"owner": b"ada"}


def test_a_fields_metadata_is_kept_where_all_files_say_the_same():
    one = pa.field("a", pa.int32(), metadata={"unit": "kg", "PARQUET:field_id": "1"})
    two = pa.field("a", pa.int32(), metadata={"unit": "kg", "PARQUET:field_id": "2"})
    assert unify(pa.schema([one]), pa.schema([two])).schema.field("a").metadata == {b"unit": b"kg"}


def test_half_of_what_tells_an_extension_type_is_not_kept():
    def named(metadata: str) -> pa.Schema:
        names = {"ARROW:extension:name": "geo.point", "ARROW:extension:metadata": metadata, "unit": "m"}
        return pa.schema([pa.field("a", pa.binary(), metadata=names)])

    assert unify(named("crs=1"), named("crs=2")).schema.field("a").metadata == {b"unit": b"m"}


# --------------------------------------------------------------------------- columns


def test_columns_are_matched_by_name_in_the_order_in_which_they_first_appear():
    one = pa.schema([("b", pa.int32()), ("a", pa.string())])
    two = pa.schema([("a", pa.string()), ("c", pa.bool_()), ("b", pa.int32())])
    assert unify(one, two).schema.names == ["b", "a", "c"]


def test_a_column_added_midway_is_null_before_and_the_report_says_where():
    old, new = (
        pa.schema([pa.field("a", pa.int32(), nullable=False)]),
        pa.schema([pa.field("a", pa.int32(), nullable=False), pa.field("b", pa.string(), nullable=False)]),
    )
    found = unify(old, old, new, old)
    assert found.notes == ("column 'b' is missing in 3 of 4 files (first in part-0); it is null there",)
    assert not found.schema.field("a").nullable
    assert found.schema.field("b").nullable
    assert values(found.schema, pa.table({"a": [1]}, old), pa.table({"a": [2], "b": ["x"]}, new)) == [
        {"a": 1, "b": None},
        {"a": 2, "b": "x"},
    ]


def test_a_column_that_ends_is_null_behind():
    found = unify(pa.schema([("a", pa.int8()), ("b", pa.int8())]), pa.schema([("b", pa.int8())]))
    assert found.notes == ("column 'a' is missing in 1 of 2 files (first in part-1); it is null there",)


def test_names_that_differ_only_by_case_are_refused_naming_both_files():
    with pytest.raises(SourceError) as refused:
        unify(pa.schema([("Text", pa.string())]), pa.schema([("text", pa.string())]))
    assert str(refused.value) == (
        "column 'Text' of part-0 and column 'text' of part-1 differ only in upper and lower case; give the column one "
        "name in all files"
    )


def test_names_that_differ_only_by_case_in_one_file_are_two_columns_in_any_order_of_the_files():
    both, one = pa.schema([("Text", pa.string()), ("text", pa.int8())]), pa.schema([("text", pa.int8())])
    for files in itertools.permutations([both, one, both]):
        assert set(unify(*files).schema.names) == {"Text", "text"}


def test_files_without_rows_take_no_part():
    unifier = Unifier()
    unifier.add(pa.schema([("a", pa.string()), ("ghost", pa.int8())]), "part-0", rows=0)
    unifier.add(pa.schema([("a", pa.int32())]), "part-1", rows=3)
    assert unifier.unified().schema == pa.schema([("a", pa.int32())])


def test_files_that_all_have_no_rows_are_refused():
    unifier = Unifier()
    unifier.add(pa.schema([("a", pa.string())]), "part-0", rows=0)
    with pytest.raises(SourceError, match="no file has a row"):
        unifier.unified()


def test_columns_that_were_not_chosen_cannot_clash():
    one = pa.schema([("a", pa.int32()), ("mixed", pa.int32())])
    two = pa.schema([("mixed", pa.string()), ("a", pa.int32())])
    assert unify(one, two, columns=["a"]).schema == pa.schema([("a", pa.int32())])


def test_notes_are_few_whatever_the_number_of_columns():
    wide = pa.schema([(f"c{n}", pa.int8()) for n in range(50)])
    notes = unify(wide, pa.schema([("c0", pa.int8())])).notes
    assert len(notes) == 21
    assert notes[-1] == "29 more columns differ between the files"


# --------------------------------------------------------------------------- types

U = pa.timestamp("us")
TYPES = [
    ((pa.int8(), pa.int32()), pa.int32()),
    ((pa.int64(), pa.int16()), pa.int64()),
    ((pa.uint8(), pa.uint64()), pa.uint64()),
    ((pa.uint8(), pa.int8()), pa.int16()),
    ((pa.uint32(), pa.int8()), pa.int64()),
    ((pa.uint64(), pa.int8()), pa.decimal128(20, 0)),
    ((pa.int8(), pa.float32()), pa.float64()),
    ((pa.int64(), pa.float64()), pa.float64()),
    ((pa.uint64(), pa.int64(), pa.float16()), pa.float64()),
    ((pa.float16(), pa.float32()), pa.float32()),
    ((pa.decimal128(5, 2), pa.decimal128(5, 0)), pa.decimal128(7, 2)),
    ((pa.decimal128(5, 2), pa.int64()), pa.decimal128(21, 2)),
    ((pa.decimal128(5, 2), pa.decimal256(60, 1)), pa.decimal256(61, 2)),
    ((pa.decimal128(5, -2), pa.decimal128(3, 1)), pa.decimal128(8, 1)),
    ((pa.string(), pa.large_string(), pa.string_view()), pa.string()),
    ((pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(4)), pa.binary()),
    ((pa.binary(3), pa.binary(4)), pa.binary()),
    ((pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.string())), pa.string()),
    ((pa.dictionary(pa.int8(), pa.string()), pa.large_string()), pa.string()),
    ((pa.null(), pa.int32()), pa.int32()),
    ((pa.null(), pa.dictionary(pa.int8(), pa.string())), pa.dictionary(pa.int8(), pa.string())),
    ((pa.null(), pa.null()), pa.null()),
    ((pa.date32(), pa.date64()), pa.date32()),
    ((pa.time32("s"), pa.time64("us")), pa.time64("us")),
    ((pa.time32("s"), pa.time32("ms")), pa.time32("ms")),
    ((pa.duration("s"), pa.duration("ns")), pa.duration("ns")),
    ((pa.timestamp("ms"), pa.timestamp("ns")), pa.timestamp("ns")),
    ((pa.timestamp("s", "UTC"), pa.timestamp("us", "UTC")), pa.timestamp("us", "UTC")),
    ((pa.timestamp("us", "+00:00"), pa.timestamp("us", "UTC")), pa.timestamp("us", "UTC")),
    ((pa.timestamp("us", "Europe/Berlin"), pa.timestamp("us", "UTC")), pa.timestamp("us", "UTC")),
    ((pa.timestamp("us", "Asia/Tokyo"), pa.timestamp("ms", "Asia/Tokyo")), pa.timestamp("us", "Asia/Tokyo")),
    ((pa.list_(pa.int8()), pa.large_list(pa.int32())), pa.list_(pa.int32())),
    ((pa.list_(pa.float32(), 3), pa.list_view(pa.float64())), pa.list_(pa.float64())),
    ((pa.map_(pa.string(), pa.int8()), pa.map_(pa.large_string(), pa.int16())), pa.map_(pa.string(), pa.int16())),
    (
        (pa.struct([("a", pa.int8())]), pa.struct([("b", pa.string()), ("a", pa.int16())])),
        pa.struct([("a", pa.int16()), ("b", pa.string())]),
    ),
    (
        (
            pa.list_(pa.struct([("a", pa.list_(pa.null()))])),
            pa.list_(pa.struct([("a", pa.list_(pa.struct([("x", pa.int8())])))])),
        ),
        pa.list_(pa.struct([("a", pa.list_(pa.struct([("x", pa.int8())])))])),
    ),
    ((pa.json_(), pa.string()), pa.string()),
]


@pytest.mark.parametrize(("kinds", "expected"), TYPES, ids=str)
def test_the_narrowest_type_that_holds_all_in_any_order(kinds, expected):
    for order in itertools.permutations(kinds):
        assert together(*order, order[0]).equals(expected) or _same_fields(together(*order), expected)


def _same_fields(one: pa.DataType, other: pa.DataType) -> bool:
    return pa.types.is_struct(one) and {(f.name, f.type) for f in one} == {(f.name, f.type) for f in other}


CLASHES = [
    (pa.int32(), pa.string()),
    (pa.bool_(), pa.int8()),
    (pa.string(), pa.binary()),
    (pa.date32(), U),
    (pa.date32(), pa.string()),
    (pa.decimal128(5, 2), pa.float64()),
    (pa.decimal128(38, 0), pa.decimal128(38, 10)),
    (pa.list_(pa.int8()), pa.int8()),
    (pa.list_(pa.int8()), pa.list_(pa.string())),
    (pa.struct([("a", pa.int8())]), pa.map_(pa.string(), pa.int8())),
    (pa.struct([("a", pa.int8())]), pa.struct([("a", pa.bool_())])),
    (pa.uuid(), pa.binary(16)),
    (pa.uuid(), pa.string()),
    (pa.duration("s"), pa.int64()),
    (pa.time32("s"), U),
]


@pytest.mark.parametrize("pair", CLASHES, ids=str)
def test_what_no_type_holds_is_refused_naming_both_files_in_any_order(pair):
    for one, other in (pair, reversed(pair)):
        with pytest.raises(SourceError) as refused:
            together(one, one, other)
        assert "column 'x" in str(refused.value)
        assert "in part-0 and " in str(refused.value)
        assert " in part-2, and no type holds both" in str(refused.value)
        assert "cast it to one type in all files, or leave it out with `columns`" in str(refused.value)


def test_a_refusal_says_which_field_inside_a_column_it_is():
    with pytest.raises(SourceError, match=r"column 'x\.a\[\]' is int8 in part-0 and string in part-1, and no type"):
        together(pa.struct([("a", pa.list_(pa.int8()))]), pa.struct([("a", pa.list_(pa.string()))]))


def test_times_with_a_zone_and_without_are_refused():
    with pytest.raises(SourceError) as refused:
        together(U, pa.timestamp("us", "UTC"))
    assert str(refused.value) == (
        "column 'x' has a time zone in part-1 (timestamp[us, tz=UTC]) and none in part-0 (timestamp[us]); write it "
        "with a zone in all files or in none"
    )


def test_fields_that_differ_only_by_case_are_refused():
    with pytest.raises(SourceError, match=r"fields .A. and .a. .* differ only in upper and lower case"):
        together(pa.struct([("A", pa.int8())]), pa.struct([("a", pa.int8())]))


def test_a_struct_with_two_fields_of_one_name_is_left_alone_or_refused():
    twice = pa.struct([pa.field("a", pa.int8()), pa.field("a", pa.int8())])
    assert together(twice, twice) == twice
    with pytest.raises(SourceError, match="two fields named 'a'"):
        together(twice, pa.struct([pa.field("a", pa.int8())]))


def test_what_was_widened_is_told():
    one, two = pa.schema([("x", pa.int64())]), pa.schema([("x", pa.float64())])
    assert unify(one, two).notes == ("column 'x' is read as double: it is int64 in part-0, double in part-1",)
    text, large = pa.schema([("x", pa.string())]), pa.schema([("x", pa.large_string())])
    assert unify(text, large).notes == ()


KINDS = st.recursive(
    st.sampled_from([pa.int8(), pa.uint64(), pa.int64(), pa.float32(), pa.decimal128(9, 2), pa.string(), pa.null(), U]),
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(lambda parts: pa.struct(list(parts.items()))),
    ),
    max_leaves=5,
)


@given(st.lists(KINDS, min_size=1, max_size=5))
def test_neither_the_type_nor_the_refusal_depends_on_the_order_of_the_files(kinds):
    def outcome(order) -> object:
        try:
            found = together(*order)
        except SourceError:
            return "refused"
        return _sorted(found)

    first = outcome(kinds)
    assert all(outcome(order) == first for order in itertools.islice(itertools.permutations(kinds), 24))


def _sorted(kind: pa.DataType) -> object:
    if pa.types.is_struct(kind):
        return ("struct", tuple(sorted((part.name, _sorted(part.type)) for part in kind)))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return ("list", _sorted(kind.value_type))
    return str(kind)


# --------------------------------------------------------------------------- writers


def test_files_of_four_writers_become_one_table_by_value(tmp_path):
    """A text, a number, a category, a list and a time, as each writer's own types have them."""
    when = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    rows = {"id": [1, 2], "text": ["a", None], "kind": ["x", "y"], "tags": [["p"], []], "when": [when, when]}
    files = []

    body = io.BytesIO()
    pq.write_table(pa.table(rows), body)
    files.append(body)

    body = io.BytesIO()
    pl.DataFrame(rows, schema_overrides={"id": pl.Int32, "kind": pl.Categorical}).write_parquet(body)
    files.append(body)

    body = io.BytesIO()
    frame = pd.DataFrame(rows).astype({"id": "uint8", "kind": "category"})
    frame.to_parquet(body, engine="pyarrow")
    files.append(body)

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        connection.register("rows", pa.table(rows))
        connection.execute(
            f"COPY (SELECT id::TINYINT AS id, text, kind, tags, \"when\" FROM rows) TO '{tmp_path}/d' (FORMAT parquet)"
        )
    files.append(io.BytesIO((tmp_path / "d").read_bytes()))

    tables = [pq.read_table(body) for body in files]
    found = unify(*(table.schema for table in tables))
    assert [str(kind) for kind in found.schema.types[:3]] == ["int64", "string", "string"]
    assert values(found.schema, *tables) == pa.table(rows).to_pylist() * 4


def test_decimals_and_whole_numbers_meet_by_value():
    tables = [
        pa.table({"x": pa.array([2**64 - 1], pa.uint64())}),
        pa.table({"x": pa.array([-5], pa.int64())}),
        pa.table({"x": pa.array([Decimal("1.25")], pa.decimal128(5, 2))}),
    ]
    found = unify(*(table.schema for table in tables))
    assert found.schema.field("x").type == pa.decimal128(22, 2)
    assert [row["x"] for row in values(found.schema, *tables)] == [2**64 - 1, -5, Decimal("1.25")]
