"""The annotations of a Parquet footer, read and put into another."""

from __future__ import annotations

import contextlib
import io

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.tabular.parquet.footer import Annotation, NotAFooter, annotate, leaves_of
from tests.unit.writers.files import all_files

FILES = all_files()


def test_kinds_have_one_spelling_whichever_way_they_are_annotated():
    body = io.BytesIO()
    columns = {
        "text": pa.array(["x"]),
        "small": pa.array([1], pa.uint8()),
        "price": pa.array([1]).cast(pa.decimal128(21, 2)),
        "when": pa.array([1], pa.timestamp("us", "UTC")),
        "naive": pa.array([1], pa.timestamp("ms")),
        "list": pa.array([[1.5]]),
        "fixed": pa.array([b"ab"], pa.binary(2)),
    }
    pq.write_table(pa.table(columns), body)

    assert [(leaf.column, leaf.kind) for leaf in leaves_of(body)] == [
        ("text", "STRING"),
        ("small", "UINT8"),
        ("price", "DECIMAL(21, 2)"),
        ("when", "TIMESTAMP us utc"),
        ("naive", "TIMESTAMP ms local"),
        ("list", "DOUBLE"),
        ("fixed", "FIXED(2)"),
    ]


def test_what_arrow_does_not_see_is_seen():
    kinds = {name: leaves_of(io.BytesIO(FILES[f"duckdb-{name}"]())) for name in ("interval", "timetz", "variant")}

    assert kinds["interval"][2].kind == "INTERVAL"
    assert kinds["timetz"][2].kind == "TIME us utc"
    assert kinds["variant"][2].group == "VARIANT"


def test_an_annotation_changes_the_type_and_no_value(tmp_path):
    body = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2], "span": pa.array([bytes(8) + b"\x01\0\0\0", None], pa.binary(12))}), body)
    interval = leaves_of(io.BytesIO(FILES["duckdb-interval"]()))[2].annotation(1)

    (tmp_path / "x.parquet").write_bytes(annotate(body.getvalue(), [interval]))

    assert pq.read_table(tmp_path / "x.parquet").equals(pq.read_table(io.BytesIO(body.getvalue())))
    with duckdb.connect() as connection:
        found = connection.execute(f"select typeof(span), span::varchar from '{tmp_path}/x.parquet'").fetchall()
    assert found == [("INTERVAL", "00:00:00.001"), ("INTERVAL", None)]


@pytest.mark.parametrize("name", FILES)
def test_leaves_are_those_that_pyarrow_counts(name):
    body = FILES[name]()
    try:
        tree = pq.read_metadata(io.BytesIO(body)).schema
    except pa.ArrowNotImplementedError:
        return

    assert [leaf.column for leaf in leaves_of(io.BytesIO(body))] == [
        tree.column(place).path.split(".")[0] if "." not in leaf.column else leaf.column
        for place, leaf in zip(range(len(tree)), leaves_of(io.BytesIO(body)), strict=True)
    ]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_footer_are_refused_whatever_they_are(junk):
    with pytest.raises(NotAFooter):
        leaves_of(io.BytesIO(b"PAR1" + junk))


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_footer_with_a_wrong_byte_is_read_or_refused(place, byte):
    body = io.BytesIO()
    pq.write_table(pa.table({"a": [1], "b": [[1]]}), body)
    bent = bytearray(body.getvalue())
    length = int.from_bytes(bent[-8:-4], "little")
    bent[len(bent) - 8 - length + place % length] = byte

    with contextlib.suppress(NotAFooter):
        leaves_of(io.BytesIO(bytes(bent)))


def test_an_annotation_of_a_leaf_that_is_not_there_is_a_fault_of_ours():
    body = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), body)

    with pytest.raises(IndexError):
        annotate(body.getvalue(), [Annotation(leaf=1, converted=21)])
