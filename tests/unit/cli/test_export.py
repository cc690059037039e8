"""`export` to DuckDB: what is written is what is read back, a run is there once, and what does not fit is refused."""

from __future__ import annotations

import json
from itertools import permutations
from typing import get_args

import duckdb
import pyarrow as pa
import pytest

from quarry_cli.client.export import tally
from quarry_cli.client.export.asked import Export, Target
from quarry_cli.client.export.duckdb_store import DuckdbStore
from quarry_cli.client.export.exporting import export
from quarry_cli.client.export.targets import TARGETS
from quarry_cli.errors import NotExported, NotWritten
from tests.world.world import TITAN


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "rows.duckdb")


def exported(quarry, run_id, file, *options, code=0, table="jokes"):
    result = quarry("export", run_id, "--to", "duckdb", "--at", file, "--table", table, "--json", *options)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if not code else result.stderr + result.stdout


def ask(file, query):
    with duckdb.connect(file, read_only=True) as connection:
        return connection.execute(query).fetchall()


def embedded(quarry, rows):
    """A run of vectors."""
    uri = quarry.world.csv(rows, "inputs/texts.csv", columns=("input_text",))
    return quarry.ended(rows, model_id=TITAN, prompt_id=None, s3_uri=uri)


def test_every_row_is_in_the_table_with_its_run(quarry, file):
    quarry.world.bedrock.error_share = 0.1
    run_id = quarry.ended(300, max_records_per_job=100)

    done = exported(quarry, run_id, file)

    assert (done["rows"], done["left_out"], done["table_rows"], done["already"]) == (300, 0, 300, False)
    assert done["compared"] == 100
    table = quarry.client.table(run_id)
    assert ask(file, "SELECT record_id, response, topic FROM jokes ORDER BY 1") == [
        (each["record_id"], each["response"], each["topic"]) for each in table.to_pylist()
    ]
    assert ask(file, "SELECT DISTINCT quarry_run_id FROM jokes") == [(run_id,)]


def test_rows_without_an_answer_can_be_left_out(quarry, file):
    quarry.world.bedrock.error_share = 0.2
    run_id = quarry.ended(200)
    errors = quarry.status(run_id)["rows"]["error"]

    done = exported(quarry, run_id, file, "--answered-only")

    assert (done["rows"], done["left_out"]) == (200 - errors, errors)
    assert errors > 0
    assert ask(file, "SELECT count(*) FROM jokes WHERE status <> 'ok'") == [(0,)]


@pytest.mark.parametrize("mode", ["create", "append"])
def test_a_run_is_never_in_a_table_twice(quarry, file, mode):
    run_id = quarry.ended(150)
    exported(quarry, run_id, file)

    again = exported(quarry, run_id, file, "--mode", mode)

    assert (again["already"], again["rows"], again["table_rows"]) == (True, 150, 150)
    result = quarry("export", run_id, "--to", "duckdb", "--at", file, "--table", "jokes")
    assert "150 rows of run" in result.stdout
    assert "already" in result.stdout


def test_runs_are_added_to_one_table_and_replaced(quarry, file):
    one, two = quarry.ended(120), quarry.ended(130, job_name_prefix="other")
    exported(quarry, one, file)

    assert "exists" in exported(quarry, two, file, code=2)
    assert exported(quarry, two, file, "--mode", "append")["table_rows"] == 250
    assert exported(quarry, two, file, "--mode", "replace")["table_rows"] == 130
    assert ask(file, "SELECT DISTINCT quarry_run_id FROM jokes") == [(two,)]


def test_rows_that_somebody_changed_are_not_taken_for_the_run(quarry, file):
    run_id = quarry.ended(100)
    exported(quarry, run_id, file)
    with duckdb.connect(file) as connection:
        connection.execute("UPDATE jokes SET output_tokens = output_tokens + 1 WHERE record_id LIKE '%7'")

    said = exported(quarry, run_id, file, "--mode", "append", code=1)

    assert "column 'output_tokens' has other values" in said
    assert "quarry_run_id" in said


def test_a_table_of_somebody_elses_is_refused_by_name(quarry, file):
    run_id = quarry.ended(100)
    with duckdb.connect(file) as connection:
        connection.execute("CREATE TABLE jokes (a INTEGER); CREATE VIEW seen AS SELECT 1 a")

    assert "no column 'quarry_run_id'" in exported(quarry, run_id, file, "--mode", "append", code=2)
    assert "make one with --mode create" in exported(quarry, run_id, file, "--mode", "append", code=2, table="none")
    assert "is a view" in exported(quarry, run_id, file, code=2, table="seen")
    assert ask(file, "SELECT count(*) FROM jokes") == [(0,)]


def test_a_column_of_another_type_is_refused_before_anything_is_written(quarry, file):
    whole = pa.table({"topic": [f"t{row}" for row in range(100)], "n": pa.array(range(100), pa.int64())})
    broken = whole.set_column(1, "n", pa.array([row + 0.5 for row in range(100)], pa.float64()))
    one = quarry.ended(100, s3_uri=quarry.world.parquet(whole))
    two = quarry.ended(100, s3_uri=quarry.world.parquet(broken, "inputs/two.parquet"), job_name_prefix="two")
    exported(quarry, one, file)

    said = exported(quarry, two, file, "--mode", "append", code=2)

    assert "column 'n' is double in the results, and int64 in the table" in said
    assert ask(file, "SELECT count(*), sum(n) FROM jokes") == [(100, 4950)]


def test_a_value_that_a_narrower_column_does_not_hold_takes_all_back(quarry, file):
    small = pa.table({"topic": ["t"] * 100, "n": pa.array(range(100), pa.int8())})
    large = pa.table({"topic": ["t"] * 100, "n": pa.array([100] * 99 + [1_000], pa.int32())})
    one = quarry.ended(100, s3_uri=quarry.world.parquet(small))
    two = quarry.ended(100, s3_uri=quarry.world.parquet(large, "inputs/two.parquet"), job_name_prefix="two")
    exported(quarry, one, file)

    said = exported(quarry, two, file, "--mode", "append", code=2)

    assert "column 'n' is int32, and the table's 'n' is int8: a value does not fit" in said
    assert ask(file, "SELECT count(*) FROM jokes") == [(100,)]


def test_vectors_have_their_length_in_the_type_and_null_stays_null(quarry, file):
    quarry.world.bedrock.error_share = 0.3
    run_id = embedded(quarry, 120)

    exported(quarry, run_id, file)

    [(kind,)] = ask(file, "SELECT DISTINCT typeof(embedding) FROM jokes")
    assert kind.startswith("FLOAT[")
    assert kind != "FLOAT[]"
    missing = quarry.status(run_id)["rows"]["error"]
    assert ask(file, "SELECT count(*) FROM jokes WHERE embedding IS NULL") == [(missing,)]
    assert ask(file, "SELECT count(*) FROM jokes WHERE array_distance(embedding, embedding) = 0") == [(120 - missing,)]


def test_a_run_without_any_vector_has_a_list_of_any_length(quarry, file):
    quarry.world.bedrock.error_share = 1.0
    run_id = embedded(quarry, 100)

    exported(quarry, run_id, file)

    assert ask(file, "SELECT DISTINCT typeof(embedding) FROM jokes") == [("FLOAT[]",)]


def test_a_run_that_goes_on_and_a_column_that_is_taken_are_refused(quarry, file):
    run_id = quarry.world.send(quarry.world.joke(300, max_records_per_job=100))
    quarry.idle()
    exported(quarry, run_id, file, code=1)
    quarry.finish(run_id)

    assert "--run-column" in exported(quarry, run_id, file, "--run-column", "Topic", code=2)


def test_every_target_is_described():
    assert tuple(TARGETS) == get_args(Target)


@pytest.mark.parametrize(
    ("target", "option"),
    [(to, option) for to, other in permutations(TARGETS, 2) for option in TARGETS[other].options],
)
def test_an_option_of_another_target_is_refused_by_name(quarry, target, option):
    value = {"--property": "key=value", "--distance": "cosine"}.get(option, "topic")

    result = quarry("export", "some-run", "--to", target, "--at", "there", "--table", "jokes", option, value)

    assert result.exit_code == 2
    assert option in result.stderr
    assert "only" in result.stderr


class Rounding(DuckdbStore):
    """A target that rounds one column behind our back."""

    def confirm(self):
        raise AssertionError("confirmed what is wrong")

    def write(self, batches, columns, mode, run_id):
        super().write(batches, columns, mode, run_id)
        self._do("UPDATE jokes SET output_tokens = 2 * output_tokens WHERE record_id LIKE '%50'")


def test_what_reads_back_otherwise_is_taken_back(quarry, file):
    from quarry_cli.client.export.rows import rows_of

    run_id = quarry.ended(100)
    rows = rows_of(quarry.world.objects, quarry.client.status(run_id), answered_only=False)
    asked = Export(target="duckdb", place=file, table="jokes")

    with pytest.raises(NotExported, match="'output_tokens' has other values"):
        export(rows, asked, Rounding(file, "jokes"))

    assert ask(file, "SELECT count(*) FROM duckdb_tables()") == [(0,)]


def test_a_value_that_no_sum_covers_is_found_among_the_rows_that_are_compared():
    rows = pa.RecordBatch.from_pydict({"record_id": ["00000000000", "00000000001"], "text": ["a", "b"]})
    written = tally.Tally("record_id", [])
    written.add(rows)

    assert tally.row_differences(written, [rows]) == []
    other = pa.RecordBatch.from_pydict({"record_id": ["00000000000", "00000000001"], "text": ["a", "c"]})
    assert "column 'text' of record 00000000001" in tally.row_differences(written, [other])[0]
    assert "is not there" in tally.row_differences(written, [rows.slice(0, 1)])[0]
    assert "twice" in tally.row_differences(written, [rows, rows])[0]


def test_the_file_cannot_be_made_where_there_is_no_directory(quarry, tmp_path):
    with pytest.raises(NotWritten, match="is not a directory"):
        DuckdbStore(str(tmp_path / "no" / "rows.duckdb"), "jokes")


def test_two_versions_of_a_dataset_are_never_in_one_table(quarry, file):
    async def wake(queue, wakeup):
        quarry.world.queues[queue].put(wakeup.body())
        return True

    quarry.connections["wake"] = wake
    quarry.world.bedrock.throttled_share = 0.5
    run_id = quarry.ended(200, record_errors={"max_attempts": 1})
    quarry.world.bedrock.throttled_share = 0.0
    exported(quarry, run_id, file)
    retry = json.loads(quarry("retry", run_id, "--yes", "--json").stdout)["run_id"]
    quarry.finish(retry)

    said = exported(quarry, run_id, file, "--mode", "append", code=2)

    assert f"has rows of {run_id}, another version of the same dataset" in said
    assert exported(quarry, run_id, file, "--version", "1", "--mode", "append")["already"] is True
    newest = exported(quarry, run_id, file, "--mode", "replace")
    assert (newest["run_id"], newest["table_rows"]) == (retry, 200)
    assert ask(file, "SELECT count(*) FROM jokes WHERE status = 'ok'") == [(quarry.status(retry)["rows"]["ok"],)]
