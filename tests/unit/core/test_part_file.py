"""How a part is written, and that a part which does not hold what was put in is found out."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.results import outcome_schema, result_schema
from quarry_core.tabular.parquet import part_file
from quarry_core.tabular.parquet.part_errors import PartDiffers, PartUnwritable
from quarry_core.tabular.parquet.part_file import write_rows
from quarry_core.tabular.parquet.proof import Proof

ORDERED = pa.DictionaryArray.from_arrays(
    pa.array([1, 0, None, 2], pa.int8()), ["low", "medium", "high", "huge"], ordered=True
)


def batch_of(**columns):
    """A batch of these columns with ours behind them."""
    source = pa.RecordBatch.from_pydict(columns)
    ours = [pa.array(["x"] * len(source)).cast(each.type) if each.type == pa.string() else pa.nulls(len(source), each.type) for each in outcome_schema("response")]  # fmt: skip
    return pa.RecordBatch.from_arrays([*source.columns, *ours], schema=result_schema(source.schema, "response"))


def part_of(*batches, annotations=()):
    body = io.BytesIO()
    proof = Proof(sum(len(batch) for batch in batches))
    write_rows(body, batches[0].schema, batches, compression="zstd", annotations=annotations, watch=proof)
    return io.BytesIO(body.getvalue()), proof


def proven(*batches):
    body, proof = part_of(*batches)
    proof.check(io.BytesIO(body.getvalue()), batches[0].schema)
    return pq.ParquetFile(body)


def test_categories_keep_their_order_and_those_that_no_row_has():
    part = proven(batch_of(level=ORDERED), batch_of(level=ORDERED.take(pa.array([0]))))

    level = part.read().column("level")
    assert level.type == ORDERED.type
    assert part.num_row_groups == 1
    assert level.chunk(0).dictionary.equals(ORDERED.dictionary)


def test_a_row_group_ends_where_a_dictionary_changes_at_any_depth():
    batches = []
    for group in range(5):
        levels = pa.array([f"level {group} {number}" for number in range(100)])
        flat = pa.DictionaryArray.from_arrays(pa.array([99, 0], pa.int8()), levels)
        nested = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), flat)
        batches.append(batch_of(nested=pa.StructArray.from_arrays([nested], ["inner"])))

    part = proven(*batches)

    assert part.num_row_groups == 5
    groups = [part.read_row_group(group) for group in range(5)]
    assert pa.concat_tables(groups).column("nested").to_pylist() == [
        row for batch in batches for row in batch["nested"].to_pylist()
    ]


def test_a_large_dictionary_is_not_repeated_in_every_small_row_group():
    levels = pa.array([f"{number:0100d}" for number in range(100_000)])
    batches = [
        batch_of(a=pa.DictionaryArray.from_arrays(pa.array(range(start, start + 1_000), pa.int32()), levels))
        for start in range(0, 20_000, 1_000)
    ]

    part = proven(*batches)

    assert part.num_row_groups == 1


def test_copies_of_a_dictionary_in_small_batches_are_not_held_at_once():
    levels = pa.array(["z" * (256 << 10)])
    taken = []

    def batches():
        for _ in range(200):
            taken.append(pa.total_allocated_bytes() - before)
            copied = pa.array(levels.to_pylist())  # as each batch of a Parquet reader has it
            indices = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int8()), copied)
            yield batch_of(item=pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), indices))

    before = 0
    schema = next(batches()).schema
    taken.clear()
    before = pa.total_allocated_bytes()

    body = io.BytesIO()
    assert write_rows(body, schema, batches(), compression="zstd") == 200

    part = pq.ParquetFile(body)
    assert part.num_row_groups == 1
    assert part.read(columns=["item"])["item"].to_pylist() == [levels.to_pylist() * 2] * 200
    assert max(taken) < 20 * levels.nbytes


def test_a_type_that_parquet_has_not_is_unwritable_by_name():
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])

    with pytest.raises(PartUnwritable, match="column 'u': ") as raised:
        part_of(batch_of(fine=pa.array([1, 2]), u=union))

    assert raised.value.column == "u"


def test_a_value_that_parquet_cannot_hold_is_unwritable_by_name():
    nulls_in_dictionary = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(["a", None]))

    with pytest.raises(PartUnwritable, match="column 'd': "):
        part_of(batch_of(fine=pa.array([1, 2]), d=nulls_in_dictionary))


def without_dictionaries(monkeypatch):
    """The bug of a writer that categories lose their order by."""
    writer = pq.ParquetWriter
    monkeypatch.setattr(part_file.pq, "ParquetWriter", lambda *given, **options: writer(*given, **{**options, "use_dictionary": False}))  # fmt: skip


def test_a_writer_that_loses_the_order_of_categories_is_found_out(monkeypatch):
    without_dictionaries(monkeypatch)
    body, proof = part_of(batch_of(fine=pa.array([1, 2, 3, 4]), level=ORDERED))

    with pytest.raises(PartDiffers, match="column 'level'"):
        proof.check(body, batch_of(fine=pa.array([1]), level=ORDERED[:1]).schema)


@pytest.mark.parametrize(
    ("bent", "column"),
    [
        (lambda batch: batch.set_column(0, batch.schema.field(0), batch.column(0).take(pa.array([1, 0, 2, 3]))), "a"),
        (lambda batch: batch.set_column(1, batch.schema.field(1), pa.array([0.0, 1, 2, 3])), "b"),
        (lambda batch: batch.slice(1), ""),
    ],
    ids=["rows swapped", "minus zero", "a row too few"],
)
def test_a_part_that_holds_something_else_is_found_out(bent, column):
    batch = batch_of(a=pa.array([1, 2, 3, 4]), b=pa.array([-0.0, 1, 2, 3]))
    _, proof = part_of(batch)
    body, _ = part_of(bent(batch))

    with pytest.raises(PartDiffers) as raised:
        proof.check(body, batch.schema)

    assert raised.value.column == column


def test_another_type_or_a_lost_unit_of_a_column_is_found_out():
    batch = batch_of(a=pa.array([1, 2]))
    body, proof = part_of(batch)

    with pytest.raises(PartDiffers, match="column 'a'"):
        proof.check(body, batch_of(a=pa.array([1, 2], pa.int32())).schema)


def test_a_part_that_is_cut_or_changed_on_its_way_is_found_out():
    batch = batch_of(a=pa.array(range(1_000)))
    body, proof = part_of(batch)
    damaged = bytearray(body.getvalue())
    damaged[100:200] = bytes(100)

    with pytest.raises(PartDiffers):
        proof.check(io.BytesIO(bytes(damaged)), batch.schema)
    with pytest.raises(PartDiffers):
        proof.check(io.BytesIO(body.getvalue()[:-9]), batch.schema)


def test_nan_is_nan_and_rows_of_all_row_groups_are_looked_at():
    nans = [batch_of(a=pa.array([float("nan"), 1.0] * 500), b=pa.array([b"x" * 9_000] * 1_000)) for _ in range(5)]

    part = proven(*nans)

    assert part.num_row_groups == 5


def test_no_rows_are_a_part_too():
    assert proven(batch_of(a=pa.array([], pa.list_(pa.int64())))).metadata.num_rows == 0
