"""Every type that users' tools write, into a table and back through the target's reader."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_cli.client.export.asked import Export, Target
from quarry_cli.client.export.columns import Rules, checked, columns_of, fitted, table_names
from quarry_cli.client.export.duckdb_store import RULES as DUCKDB
from quarry_cli.client.export.exporting import export
from quarry_cli.client.export.rows import RunRows
from quarry_cli.client.export.tally import Tally
from quarry_cli.client.export.targets import opened
from quarry_cli.errors import NotExported, NotWritten
from quarry_core.contract.names import part_key
from quarry_core.contract.results import outcome_schema
from quarry_core.tabular.recast import NotHeld
from tests.unit.writers.files import PYARROW, ROWS, all_files
from tests.world.objects import FakeObjects

# `make test-floors` has none of them: they ask for a younger pyarrow than the client does.
for library in ("lancedb", "pyiceberg"):
    pytest.importorskip(library)

# A struct with two fields of one name has no place in a table.
FILES = {name: make for name, make in all_files().items() if "int128" not in name and name != "pyarrow-twice_in_struct"}
LATER = {"duckdb-variant": (22, 0), "polars-lists": (26, 0)}
TARGETS: list[Target] = ["duckdb", "lancedb", "iceberg"]


def with_outcomes(table: pa.Table) -> pa.Table:
    """A part: a source's columns, and ours."""
    rows = table.num_rows
    ours = {
        "response": [f"answer {row}" for row in range(rows)],
        "record_id": [f"00000{row:06d}" for row in range(rows)],
        "status": ["ok"] * rows,
        "error_code": [None] * rows,
        "error_message": [None] * rows,
        "stop_reason": ["end_turn"] * rows,
        "input_tokens": list(range(rows)),
        "output_tokens": [None, *range(1, rows)],
    }
    for field in outcome_schema("response"):
        table = table.append_column(field, pa.array(ours[field.name], field.type))
    return table


def all_columns(writer: str) -> pa.Table:
    """What a writer's files hold, side by side, for a target is opened once for all of them."""
    columns = {}
    for name, make in FILES.items():
        if name.startswith(writer + "-") and LATER.get(name, (0, 0)) <= PYARROW:
            table = pq.read_table(io.BytesIO(make()))
            columns |= {f"{name}.{each}": table[each] for each in table.column_names}
    return pa.table(columns)


def run_of(table: pa.Table) -> RunRows:
    """A run of two parts."""
    objects, part, schema = FakeObjects(), with_outcomes(table), None
    for shard, rows in (("00000", part.slice(0, 70)), ("00002", part.slice(70))):
        out = io.BytesIO()
        pq.write_table(rows, out, row_group_size=50)
        objects.plant(part_key("run", shard), out.getvalue())
        schema = pq.read_schema(io.BytesIO(out.getvalue()))
    return RunRows(objects, "run", "", list(objects.list("results/run/")), schema, part.num_rows)


def asked_of(target: Target, folder: Path) -> Export:
    if target == "iceberg":
        catalog = {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db", "warehouse": folder.as_uri()}
        return Export(target=target, place="here", table="docs.t", properties=catalog)
    return Export(target=target, place=str(folder / "here"), table="t")


# Nanoseconds that are no whole microseconds, and infinity: Iceberg does not take them.
FINER = [
    *("duckdb-timestamps_of_other_units.c", "duckdb-times.b", "duckdb-dates.c", "duckdb-timestamps.c"),
    *("fastparquet-int96_with_nulls.a", "pyarrow-times.d", "pyarrow-times_in_utc.d", "pyarrow-format_1.d"),
    *("pyarrow-timestamps.nsNone", "pyarrow-timestamps.nsUTC", "pyarrow-timestamps.ns+05:30"),
]
WRITERS = sorted({name.partition("-")[0] for name in FILES})


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("writer", WRITERS)
def test_all_types_of_a_writer_read_back_as_they_were_written(writer, target, tmp_path):
    table = all_columns(writer)
    if target == "iceberg":
        table = table.drop_columns([name for name in FINER if name in table.column_names])
    rows = run_of(table)

    asked = asked_of(target, tmp_path)
    done = export(rows, asked, opened(asked))

    assert (done.rows, done.compared) == (ROWS, 60)
    assert len(rows.schema) > 10


def columns(schema: dict, rules: Rules = DUCKDB, **options):
    return columns_of(pa.schema(list(schema.items())), rules, "quarry_run_id", **options)


def test_names_are_told_apart_and_those_that_may_stay_do():
    assert table_names(["a", "A", "a_2", "", "column"], DUCKDB) == ["a", "A_3", "a_2", "column_2", "column"]
    assert table_names(["quarry_run_ID"], DUCKDB, ["quarry_run_id"]) == ["quarry_run_ID_2"]


def test_a_duration_is_a_number_that_says_its_unit():
    found = columns({"took": pa.duration("ms")})

    assert found.schema.field("took_ms").type == pa.int64()
    assert [(each.column, each.became, each.became_type) for each in found.changes] == [("took", "took_ms", "int64")]


def test_a_struct_with_two_fields_of_one_name_is_refused_with_the_column():
    with pytest.raises(NotWritten, match=r"column 's', which is struct.* two fields of one name"):
        columns({"s": pa.struct([("a", pa.int8()), ("A", pa.int8())])})


@pytest.mark.parametrize(
    ("value", "own", "kind"),
    [
        (0.1, pa.float64(), pa.float32()),
        (2**53 + 1, pa.int64(), pa.float64()),
        (300, pa.int64(), pa.uint8()),
        (1_500, pa.timestamp("ns"), pa.timestamp("us")),
        (1, pa.date64(), pa.date32()),
        ([1.0], pa.list_(pa.float32()), pa.list_(pa.float32(), 2)),
        ([1.0, None], pa.list_(pa.float32()), pa.list_(pa.float32(), 2)),
    ],
)
def test_no_cast_changes_a_value(value, own, kind):
    array = pa.array([value], own)

    with pytest.raises(NotHeld):
        checked(array, kind)
    assert checked(pa.array([None], own), kind).to_pylist() == [None]


def test_floats_that_the_narrower_type_holds_stay():
    numbers = pa.array([0.5, None, float("inf")], pa.float64())

    assert checked(numbers, pa.float32()).to_pylist() == [0.5, None, float("inf")]
    assert checked(pa.array([float("nan")]), pa.float32())[0].as_py() != 0


def test_an_append_takes_the_types_and_the_order_of_the_table():
    ours = columns({"a": pa.int64(), "b": pa.string()})
    there = pa.schema([("b", pa.large_string()), ("quarry_run_id", pa.string()), ("a", pa.int32())])

    assert [(each.name, each.type) for each in fitted(ours, there).schema][:2] == [
        ("b", pa.string()),
        ("a", pa.int32()),
    ]
    for other, said in (
        (there.remove(2), "the table has no column 'a'"),
        (there.append(pa.field("c", pa.int8())), "the table has a column 'c'"),
        (there.set(2, pa.field("a", pa.string())), "column 'a' is int64 in the results, and string in the table"),
    ):
        with pytest.raises(NotWritten, match=said):
            fitted(ours, other)


@pytest.mark.parametrize("target", ["lancedb", "iceberg"])
def test_the_three_modes_and_what_is_taken_back(target, tmp_path):
    numbers = pa.table({"n": pa.array(range(ROWS), pa.int32())})
    rows, asked = run_of(numbers), asked_of(target, tmp_path)
    with pytest.raises(NotWritten, match="make one with --mode create"):
        export(rows, replace(asked, mode="append"), opened(asked))

    assert export(rows, asked, opened(asked)).already is False
    assert export(rows, asked, opened(asked)).already is True
    assert export(rows, replace(asked, mode="append"), opened(asked)).table_rows == ROWS
    other = replace(rows, run_id="other")
    with pytest.raises(NotWritten, match="exists: add to it"):
        export(other, asked, opened(asked))
    assert export(other, replace(asked, mode="append"), opened(asked)).table_rows == 2 * ROWS
    assert export(other, replace(asked, mode="replace"), opened(asked)).table_rows == ROWS

    large = run_of(pa.table({"n": pa.array([*range(ROWS - 1), 2**40], pa.int64())}))
    with pytest.raises(NotWritten, match="column 'n' is int64, and the table's 'n' is int32"):
        export(large, replace(asked, mode="append"), opened(asked))
    assert opened(asked).rows("quarry_run_id", "run") == (0, ROWS)


@pytest.mark.parametrize("target", ["lancedb", "iceberg"])
@pytest.mark.parametrize("mode", ["create", "append", "replace"])
def test_what_a_target_returns_otherwise_is_taken_back(target, mode, tmp_path):
    rows, asked = run_of(pa.table({"n": pa.array(range(ROWS), pa.int32())})), asked_of(target, tmp_path)
    if mode != "create":
        export(rows, asked, opened(asked))
    store = opened(asked)
    write = store.write

    def rounding(batches, columns, mode, run_id):
        spoiled = (
            batch.set_column(
                0, batch.schema.field(0), pa.array([n - n % 2 for n in batch.column(0).to_pylist()], pa.int32())
            )
            for batch in batches
        )
        write(spoiled, columns, mode, run_id)

    store.write = rounding
    with pytest.raises(NotExported, match="column 'n' has other values"):
        export(replace(rows, run_id="other"), replace(asked, mode=mode), store)

    again = opened(asked)
    if mode == "create":
        assert again.schema() is None
    else:
        assert again.rows("quarry_run_id", "other") == (0, ROWS)
        assert again.rows("quarry_run_id", "run") == (ROWS, ROWS)


@pytest.mark.parametrize("target", ["lancedb", "iceberg"])
def test_vectors_are_kept_and_null_stays_null(target, tmp_path):
    vectors = pa.array([None if row % 3 else [row, 0.5] for row in range(ROWS)], pa.list_(pa.float32()))
    for values, length in ((vectors, 2), (pa.nulls(ROWS, vectors.type), None)):
        folder = tmp_path / str(length)
        folder.mkdir()
        rows, asked = run_of(pa.table({"embedding": values})), asked_of(target, folder)

        export(rows, asked, opened(asked))

        kind = opened(asked).schema().field("embedding").type
        assert pa.types.is_fixed_size_list(kind) == (target == "lancedb" and length is not None)
        read = opened(asked).read("quarry_run_id", "run", ["record_id", "embedding"])
        found = {each["record_id"]: each["embedding"] for batch in read for each in batch.to_pylist()}
        assert [found[key] for key in sorted(found)] == values.to_pylist()


def test_a_table_that_keeps_its_columns_is_not_replaced_by_others(tmp_path):
    one, two = run_of(pa.table({"n": range(ROWS)})), run_of(pa.table({"m": range(ROWS)}))
    asked = asked_of("iceberg", tmp_path)
    export(one, asked, opened(asked))

    with pytest.raises(NotWritten, match=r"no column 'm', .*drop this one first"):
        export(two, replace(asked, mode="replace"), opened(asked))


def test_a_catalog_that_cannot_be_used_and_names_without_namespace_are_named(tmp_path):
    with pytest.raises(NotWritten, match="has no namespace"):
        opened(Export(target="iceberg", place="here", table="t"))
    with pytest.raises(NotWritten, match=r"catalog 'nowhere' cannot be used: .*--property"):
        opened(Export(target="iceberg", place="nowhere", table="docs.t"))
    with pytest.raises(NotWritten, match="is no name of a table"):
        opened(Export(target="lancedb", place=str(tmp_path), table="a b"))


def test_a_vector_that_the_target_drops_is_found(tmp_path):
    """LanceDB makes null of a vector with NaN."""
    vectors = pa.array([[float("nan") if row == 77 else row, 0.5] for row in range(ROWS)], pa.list_(pa.float32()))
    asked = asked_of("lancedb", tmp_path)

    with pytest.raises(NotExported, match="column 'embedding' has other values"):
        export(run_of(pa.table({"embedding": vectors})), asked, opened(asked))

    assert opened(asked).schema() is None


@pytest.mark.parametrize("other", [[1.0, 3.0], [2.0, 1.0], [1.0], None])
def test_another_vector_has_another_sum(other):
    """Also one whose numbers are swapped, cut or gone."""
    sums = []
    for vector in ([1.0, 2.0], other):
        counted = Tally("record_id", ["v"])
        lists = pa.array([[9.0], vector, []], pa.list_(pa.float32()))
        counted.add(pa.record_batch({"record_id": ["00000000000", "00000000001", "00000000002"], "v": lists}))
        sums.append(counted.sums["v"])

    assert sums[0] != sums[1]


def test_rows_of_several_tables_are_committed_at_once_and_partitions_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("quarry_cli.client.export.iceberg_store.FILE_BYTES", 1)
    rows, asked = run_of(pa.table({"n": [row % 3 for row in range(ROWS)]})), asked_of("iceberg", tmp_path)
    export(rows, asked, opened(asked))
    table = opened(asked)._table
    assert len(table.snapshots()) > 1
    assert {each.summary["quarry.run-id"] for each in table.snapshots()} == {"run"}
    with table.update_spec() as spec:
        spec.add_identity("n")

    done = export(replace(rows, run_id="other"), replace(asked, mode="append"), opened(asked))

    assert done.table_rows == 2 * ROWS
    assert len(opened(asked)._table.scan(row_filter="n = 1").to_arrow()) == 80
    assert export(rows, replace(asked, mode="replace"), opened(asked)).table_rows == ROWS
