"""Vectors that we encode ourselves are read by everybody as what they are."""

import io

import duckdb
import fastparquet
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.results import outcome_schema, result_schema
from quarry_core.tabular.arrow_equal import same_values
from quarry_core.tabular.parquet import vectors
from quarry_core.tabular.parquet.part_errors import PartDiffers
from quarry_core.tabular.parquet.part_file import write_rows
from quarry_core.tabular.parquet.proof import Proof

VECTOR = pa.list_(pa.field("element", pa.float32()))
FLOATS = st.one_of(st.none(), st.floats(width=32))
ROWS = st.lists(st.one_of(st.none(), st.lists(FLOATS, max_size=5)), min_size=1, max_size=40)


def batch_of(embedding):
    source = pa.RecordBatch.from_pydict({"text": [f"row {row}" for row in range(len(embedding))]})
    ours = outcome_schema("embedding")
    others = [
        pa.array([f"{each.name} {row % 3}" for row in range(len(embedding))])
        if each.type == pa.string()
        else pa.array(range(len(embedding)), each.type)
        for each in list(ours)[1:]
    ]
    return pa.RecordBatch.from_arrays(
        [*source.columns, embedding, *others], schema=result_schema(source.schema, "embedding")
    )


def part_of(*batches, compression="zstd"):
    body, proof = io.BytesIO(), Proof(sum(len(each) for each in batches))
    write_rows(body, batches[0].schema, batches, compression=compression, watch=proof)
    proof.check(io.BytesIO(body.getvalue()), batches[0].schema)
    return body.getvalue()


def same(one, other):
    return same_values(one.combine_chunks(), other.combine_chunks())


@given(rows=ROWS, begin=st.integers(0, 5), page_numbers=st.integers(1, 20))
def test_any_lists_come_back_as_they_were_with_all_columns_beside_them(rows, begin, page_numbers):
    column = pa.array([[9.0, 9.0]] * begin + rows, VECTOR)[begin:]  # one that begins within its buffers
    batch = batch_of(column)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "PAGE_BYTES", 4 * page_numbers)
        body = part_of(batch)

    part = pq.ParquetFile(io.BytesIO(body), page_checksum_verification=True)
    assert part.schema_arrow.equals(batch.schema, check_metadata=True)
    found = part.read()
    for name in batch.schema.names:
        assert same(found.column(name), pa.chunked_array([batch.column(name)])), name
    levels = sum(max(len(row or ()), 1) for row in rows)
    about = part.metadata.row_group(0).column(1)
    assert (about.num_values, about.path_in_schema) == (levels, "embedding.list.element")


def embeddings(rows, dimensions):
    """Of one length, but for a row without any here and there."""
    numbers = np.random.default_rng(3).standard_normal((rows, dimensions)).astype(np.float32)
    return pa.array([None if row % 101 == 7 else numbers[row] for row in range(rows)], VECTOR)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A part of several row groups and pages, and what is in it."""
    column = embeddings(3_000, 1_024)
    batches = [batch_of(column[start : start + 1_000]) for start in range(0, 3_000, 1_000)]
    path = tmp_path_factory.mktemp("part") / "part.parquet"
    path.write_bytes(part_of(*batches))
    return path, pa.Table.from_batches(batches)


def test_pyarrow_reads_it_by_groups_by_pages_and_by_columns(large):
    path, rows = large
    part = pq.ParquetFile(path)

    assert part.num_row_groups == 2
    assert part.read().equals(rows)
    assert pa.Table.from_batches(part.iter_batches(batch_size=77)).equals(rows)
    assert pq.read_table(path, columns=["embedding", "output_tokens"]).equals(
        rows.select(["embedding", "output_tokens"])
    )
    assert pq.read_table(path, filters=[("output_tokens", ">", 990)]).num_rows == 27


def test_polars_duckdb_and_fastparquet_read_it(large):
    path, rows = large
    wanted = rows.column("embedding").to_pylist()

    assert pl.read_parquet(path)["embedding"].to_list() == wanted
    assert pl.scan_parquet(path).select("record_id", "embedding").slice(1_500, 2).collect()["embedding"].to_list() == wanted[1_500:1_502]  # fmt: skip
    found = duckdb.sql(f"select embedding, record_id from read_parquet('{path}')").to_arrow_table()
    assert found.column("embedding").to_pylist() == wanted
    assert found.column("record_id").to_pylist() == rows.column("record_id").to_pylist()
    frame = fastparquet.ParquetFile(io.BytesIO(path.read_bytes())).to_pandas()
    assert [None if each is None else list(each) for each in frame["embedding"]] == wanted
    assert list(frame["record_id"]) == rows.column("record_id").to_pylist()


def test_numbers_are_not_compressed_and_everything_else_is(large):
    path, _ = large
    group = pq.read_metadata(path).row_group(0)
    codecs = {group.column(place).path_in_schema: group.column(place).compression for place in range(group.num_columns)}

    assert codecs.pop("embedding.list.element") == "UNCOMPRESSED"
    assert set(codecs.values()) == {"ZSTD"}
    assert group.column(1).total_compressed_size < 4 * group.column(1).num_values * 1.01


def test_a_page_that_holds_something_else_is_found_out(monkeypatch):
    batch = batch_of(embeddings(50, 8))
    proof = Proof(50)
    run = vectors._run
    monkeypatch.setattr(vectors, "_run", lambda count, level: run(count, 2 if level == vectors.NUMBER else level))
    body = io.BytesIO()
    write_rows(body, batch.schema, [batch], compression="zstd", watch=proof)

    with pytest.raises(PartDiffers, match=r"embedding|cannot be read back"):
        proof.check(body, batch.schema)
