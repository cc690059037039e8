"""CSV and JSON lines of every type, and cells that no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_cli.client.results.convert import write_csv, write_jsonl
from quarry_cli.client.results.values import duration_text
from quarry_cli.errors import Unreadable
from tests.unit.writers.files import PYARROW, ROWS, all_files

FILES = {name: make for name, make in all_files().items() if "int128" not in name}
# What only a later pyarrow reads; the client is tested with an older one too.
LATER = {"duckdb-variant": (22, 0), "polars-lists": (26, 0)}


def exported(table, write=write_csv, **options):
    body, out = io.BytesIO(), io.BytesIO()
    pq.write_table(table, body)
    write(body, out, **options)
    return out.getvalue().decode()


def cells(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("name", FILES)
def test_every_type_has_a_form_in_csv_and_in_json(name):
    body, as_csv, as_json = FILES[name](), io.BytesIO(), io.BytesIO()
    if LATER.get(name, (0, 0)) > PYARROW:
        for write in (write_csv, write_jsonl):
            with pytest.raises(Unreadable, match=rf"pyarrow {pa.__version__} cannot read .*: upgrade pyarrow"):
                write(io.BytesIO(body), io.BytesIO())
        return

    write_csv(io.BytesIO(body), as_csv)
    write_jsonl(io.BytesIO(body), as_json)

    rows = cells(as_csv.getvalue().decode())
    assert len(rows) == ROWS + 1
    assert len({len(row) for row in rows}) == 1
    assert len([json.loads(line) for line in as_json.getvalue().splitlines()]) == ROWS


def test_what_no_pyarrow_reads_is_no_traceback_of_arrow():
    with pytest.raises(Unreadable, match="cannot read this result"):
        write_csv(io.BytesIO(b"PAR1 and no more"), io.BytesIO())


def test_a_fault_of_the_disk_is_told_as_it_is():
    class Broken(io.BytesIO):
        def read(self, *_):
            raise OSError(5, "Input/output error")

    body = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), body)
    with pytest.raises(OSError, match="Input/output error"):
        write_jsonl(Broken(body.getvalue()), io.BytesIO())


def test_half_floats_keep_their_nulls_and_their_nan():
    halves = pa.array([np.float16(1.5), None, np.float16("nan")], pa.float16())
    assert cells(exported(pa.table({"a": halves})))[1:] == [["1.5"], [], ["nan"]]
    assert exported(pa.table({"a": halves}), write_jsonl).splitlines() == ['{"a":1.5}', '{"a":null}', '{"a":null}']


def test_times_that_python_does_not_know_are_texts():
    nested = pa.array([[{"at": 1_500}]], pa.list_(pa.struct([("at", pa.timestamp("ns"))])))
    table = pa.table(
        {
            "duration": pa.array([1], pa.duration("ns")),
            "time": pa.array([1], pa.time64("ns")),
            "far": pa.array([2**31 - 1], pa.date32()),
            "zone": pa.array([0], pa.timestamp("us", "Mars/Base")),
            "nested": nested,
            "half": pa.array([np.float16(1.5)], pa.float16()),
            "large": pa.array(["é"], pa.large_string()),
        }
    )

    assert cells(exported(table))[1] == [
        "PT0.000000001S",
        "00:00:00.000000001",
        "<value out of range: 2147483647>",
        "1970-01-01 00:00:00.000000Z",
        '[{"at":"1970-01-01 00:00:00.000001500"}]',
        "1.5",
        "é",
    ]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "PT0S"),
        (90_061, "s", "P1DT3661S"),
        (86_400_000, "ms", "P1D"),
        (-1_500, "ms", "-PT1.5S"),
        (1, "us", "PT0.000001S"),
        (-(2**63), "ns", "-P106751DT85636.854775808S"),
    ],
)
def test_a_duration_is_written_as_iso_8601_has_it(value, unit, text):
    assert duration_text(value, unit) == text


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x";"y")', "＝1", "\n=1"]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_with_safe_cells_no_text_begins_a_formula(text):
    table = pa.table(
        {"=name": [text], "category": pa.array([text]).dictionary_encode(), "number": [-1], "fine": ["a=b"]}
    )

    safe, plain = cells(exported(table, safe_cells=True)), cells(exported(table))

    assert safe == [["'=name", "category", "number", "fine"], ["'" + text, "'" + text, "-1", "a=b"]]
    assert plain == [["=name", "category", "number", "fine"], [text, text, "-1", "a=b"]]


def test_what_becomes_a_text_only_in_csv_is_safe_too():
    table = pa.table(
        {"bytes": [b"\xf8\x00"], "negative": pa.array([-1], pa.duration("s")), "null": pa.array([None], pa.string())}
    )

    assert cells(exported(table, safe_cells=True))[1] == ["'+AA=", "'-PT1S", ""]


def test_safe_cells_are_of_csv_and_a_directory_holds_one_kind(quarry, tmp_path):
    run_id = quarry.ended(100)

    wrong = quarry("results", run_id, "-o", str(tmp_path / "out"), "--safe-cells")
    safe = quarry("results", run_id, "-o", str(tmp_path / "out"), "--safe-cells", "--format", "csv")
    other = quarry("results", run_id, "-o", str(tmp_path / "out"), "--format", "csv")

    assert (wrong.exit_code, safe.exit_code, other.exit_code) == (2, 0, 2)
    assert "--format csv" in wrong.stderr
    assert "as csv with safe cells" in other.stderr


def test_a_result_with_a_prefix_is_counted_shown_and_framed(quarry, tmp_path):
    source = pa.table({"text": [f"row {row}" for row in range(100)], "status": ["mine"] * 100})
    manifest = quarry.world.joke() | {"s3_uri": quarry.world.parquet(source), "prompt_id": None, "prompt": "{text}"}
    run_id = quarry.world.send(manifest | {"result_prefix": "quarry_"})
    quarry.finish(run_id)

    brought = quarry("results", run_id, "-o", str(tmp_path / "out"))
    shown = quarry("results", run_id, "--head", "1")
    status = quarry("status", run_id, "--json")

    assert "rows in = 100  =  100 ok + 0 with an error" in brought.stdout
    assert "quarry_status" in shown.stdout.replace("\n", "")
    assert json.loads(status.stdout)["result_prefix"] == "quarry_"


def test_nested_categories_of_many_row_groups_are_shown_and_exported(quarry, tmp_path):
    kinds = pa.array([f"k{row}" for row in range(100)]).dictionary_encode()
    source = pa.table({"text": ["x"] * 100, "kinds": pa.StructArray.from_arrays([kinds], ["kind"])})
    uri = quarry.world.parquet(pa.concat_tables([source, source.take(pa.array(range(99, -1, -1)))]), row_group_size=100)
    run_id = quarry.world.send(quarry.world.joke() | {"s3_uri": uri, "prompt_id": None, "prompt": "{text}"})
    quarry.finish(run_id)

    shown = quarry("results", run_id, "--head", "150")
    brought = quarry("results", run_id, "-o", str(tmp_path / "out"), "--format", "jsonl")

    assert (shown.exit_code, brought.exit_code) == (0, 0)
    assert "'k99'" in shown.stdout


def test_a_head_shows_what_python_has_no_type_for(quarry):
    source = pa.table({"text": ["x"] * 100, "d": pa.array([1] * 100, pa.duration("ns"))})
    manifest = quarry.world.joke() | {"s3_uri": quarry.world.parquet(source), "prompt_id": None, "prompt": "{text}"}
    run_id = quarry.world.send(manifest)
    quarry.finish(run_id)

    assert "PT0.000000001S" in quarry("results", run_id, "--head", "1").stdout
