"""Every type that users' tools write, into a table and back through the target's reader."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_cli.client.export.asked import Export
from quarry_cli.client.export.columns import Rules, checked, columns_of, fitted, table_names
from quarry_cli.client.export.duckdb_store import RULES as DUCKDB
from quarry_cli.client.export.exporting import export
from quarry_cli.client.export.rows import RunRows
from quarry_cli.client.export.targets import opened
from quarry_cli.errors import NotWritten
from quarry_core.contract.names import part_key
from quarry_core.contract.results import outcome_schema
from quarry_core.tabular.recast import NotHeld
from tests.unit.writers.files import PYARROW, ROWS, all_files
from tests.world.objects import FakeObjects

# A struct with two fields of one name has no place in a table.
FILES = {name: make for name, make in all_files().items() if "int128" not in name and name != "pyarrow-twice_in_struct"}
LATER = {"duckdb-variant": (22, 0), "polars-lists": (26, 0)}
TARGETS = ["duckdb"]


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


WRITERS = sorted({name.partition("-")[0] for name in FILES})


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("writer", WRITERS)
def test_all_types_of_a_writer_read_back_as_they_were_written(writer, target, tmp_path):
    rows = run_of(all_columns(writer))

    asked = Export(target=target, place=str(tmp_path / "here"), table="t")
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
