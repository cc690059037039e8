"""`results`: what is brought, what is proven, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from quarry_cli.client.results.row_account import account
from quarry_cli.client.runs.view.shown import Rows
from quarry_core.contract.names import part_key, report_key
from tests.world.world import TITAN


@pytest.fixture
def run_id(quarry):
    return quarry.ended(300, max_records_per_job=100)


def test_every_row_is_brought_and_accounted_for(quarry, run_id, tmp_path):
    result = quarry("results", run_id, "-o", str(tmp_path / "out"))

    assert result.exit_code == 0, result.output
    assert "rows in = 300  =  300 ok + 0 with an error" in result.stdout
    assert "nothing is missing" in result.stdout
    assert pa.dataset.dataset(tmp_path / "out").to_table().column("topic").to_pylist() == [
        f"topic number {row}" for row in range(300)
    ]
    assert json.loads((tmp_path / "out.quarry" / "report.json").read_text())["rows"]["ok"] == 300


def test_no_trace_of_a_file_in_the_making_is_left(quarry, run_id, tmp_path):
    quarry("results", run_id, "-o", str(tmp_path / "out"), "--format", "csv")

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "out.quarry/download.json",
        "out.quarry/report.json",
        "out/part-00000.csv",
        "out/part-00001.csv",
        "out/part-00002.csv",
    ]


def test_a_second_call_brings_nothing_again(quarry, run_id, tmp_path):
    quarry("results", run_id, "-o", str(tmp_path))
    before = (tmp_path / "part-00002.parquet").stat().st_mtime_ns

    result = quarry("results", run_id, "-o", str(tmp_path))

    assert result.exit_code == 0
    assert ", 0 new\n" in result.stdout
    assert (tmp_path / "part-00002.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["unlink", "cut"])
def test_a_part_that_is_gone_or_cut_short_is_brought_again(quarry, run_id, tmp_path, damage):
    quarry("results", run_id, "-o", str(tmp_path))
    part = tmp_path / "part-00002.parquet"
    part.unlink() if damage == "unlink" else part.write_bytes(part.read_bytes()[:-9])

    result = quarry("results", run_id, "-o", str(tmp_path))

    assert ", 1 new\n" in result.stdout
    assert pq.read_table(part).num_rows == 100


def test_a_part_that_is_another_object_than_the_one_noted_is_brought_again(quarry, run_id, tmp_path):
    quarry("results", run_id, "-o", str(tmp_path / "out"))
    note = tmp_path / "out.quarry" / "download.json"
    noted = json.loads(note.read_text())
    noted["files"]["part-00002.parquet"]["etag"] = "another"
    note.write_text(json.dumps(noted))

    assert ", 1 new\n" in quarry("results", run_id, "-o", str(tmp_path / "out")).stdout


def test_what_the_directory_is_for_is_noted_before_the_first_part_comes(quarry, run_id, tmp_path, monkeypatch):
    stream, noted = quarry.world.objects.stream, []

    def watched(ref, start_byte=0):
        noted.append((tmp_path / "out.quarry" / "download.json").exists())
        return stream(ref, start_byte)

    monkeypatch.setattr(quarry.world.objects, "stream", watched)
    quarry("results", run_id, "-o", str(tmp_path / "out"))

    assert noted == [True] * 3


def test_a_download_that_broke_off_goes_on_where_it_was(quarry, run_id, tmp_path, monkeypatch):
    stream = quarry.world.objects.stream
    broken = part_key(run_id, "00004")

    def breaking(ref, start_byte=0):
        if ref.key == broken:
            raise OSError("the line is cut")
        return stream(ref, start_byte)

    monkeypatch.setattr(quarry.world.objects, "stream", breaking)
    assert quarry("results", run_id, "-o", str(tmp_path)).exit_code == 1
    monkeypatch.undo()

    result = quarry("results", run_id, "-o", str(tmp_path))

    assert result.exit_code == 0
    assert not list(tmp_path.glob(".part*"))


def test_the_directory_of_another_run_or_format_is_refused(quarry, run_id, tmp_path):
    quarry("results", run_id, "-o", str(tmp_path))
    other = quarry.ended(200, job_name_prefix="other")

    for args in ([other], [run_id, "--format", "csv"]):
        result = quarry("results", *args, "-o", str(tmp_path))
        assert result.exit_code == 2
        assert f"holds run {run_id} as parquet" in result.stderr
    assert pa.dataset.dataset(tmp_path).count_rows() == 300


def test_a_directory_with_parts_from_elsewhere_is_refused(quarry, run_id, tmp_path):
    (tmp_path / "part-00000.parquet").write_bytes(b"somebody's")

    result = quarry("results", run_id, "-o", str(tmp_path))

    assert result.exit_code == 2
    assert (tmp_path / "part-00000.parquet").read_bytes() == b"somebody's"


def test_a_run_that_goes_on_is_refused_unless_partial_results_are_wanted(quarry, tmp_path):
    run_id = quarry.world.send(quarry.world.joke(300, max_records_per_job=100))
    quarry.idle()
    quarry.world.bedrock.end(quarry.world.bedrock.active[0])
    quarry.idle()

    refused = quarry("results", run_id, "-o", str(tmp_path))
    taken = quarry("results", run_id, "-o", str(tmp_path), "--partial")

    assert refused.exit_code == 1
    assert "is RUNNING" in refused.stderr
    assert taken.exit_code == 0
    assert "rows so far = 100, 100 of them ok" in taken.stdout


def test_partial_results_are_completed_later_in_the_same_directory(quarry, tmp_path):
    run_id = quarry.world.send(quarry.world.joke(300, max_records_per_job=100))
    quarry.idle()
    quarry.world.bedrock.end(quarry.world.bedrock.active[0])
    quarry.idle()
    quarry("results", run_id, "-o", str(tmp_path), "--partial")
    quarry.finish(run_id)

    result = quarry("results", run_id, "-o", str(tmp_path))

    assert "3 parts" in result.stdout
    assert ", 2 new\n" in result.stdout
    assert result.exit_code == 0


def test_a_refused_run_has_no_results(quarry, tmp_path):
    run_id = quarry.world.send(quarry.world.joke() | {"nonsense": 1})
    quarry.idle()

    result = quarry("results", run_id, "-o", str(tmp_path))

    assert result.exit_code == 1
    assert "failed without results" in result.stderr
    assert "nonsense" in result.stderr


def test_rows_with_errors_are_part_of_the_account(quarry, tmp_path):
    run_id = quarry.world.send(quarry.world.joke(300, max_records_per_job=100))
    quarry.idle()
    quarry.world.bedrock.end(quarry.world.bedrock.active[0], "Stopped", output=False)
    quarry.finish(run_id)

    result = quarry("results", run_id, "-o", str(tmp_path))

    assert result.exit_code == 0
    assert "rows in = 300  =  200 ok + 100 with an error" in result.stdout


@pytest.mark.promise("S3", "H1")
def test_a_part_that_is_missing_in_the_bucket_is_found_out(quarry, run_id, tmp_path):
    quarry.world.objects.delete(part_key(run_id, "00002"))

    result = quarry("results", run_id, "-o", str(tmp_path))

    assert result.exit_code == 1
    assert "the parts have 200 rows, but should have 300" in result.stderr
    assert "nothing is missing" not in result.stdout


@pytest.mark.promise("S3", "H1")
def test_a_part_with_answers_that_the_ledger_does_not_know_is_found_out(quarry, run_id, tmp_path):
    key = part_key(run_id, "00002")
    part = pq.read_table(io.BytesIO(quarry.world.objects.bodies[key]))
    status = ["error", *part.column("status").to_pylist()[1:]]
    body = io.BytesIO()
    pq.write_table(part.set_column(part.schema.get_field_index("status"), "status", pa.array(status)), body)
    quarry.world.objects.plant(key, body.getvalue())

    result = quarry("results", run_id, "-o", str(tmp_path))

    assert result.exit_code == 1
    assert "the parts have 299 rows with an answer, but the ledger has 300" in result.stderr


@pytest.mark.promise("H1")
def test_a_report_that_says_otherwise_or_is_missing_is_found_out(quarry, run_id, tmp_path):
    report = quarry.world.report(run_id)
    report["rows"]["ok"] = 299
    quarry.world.objects.plant(report_key(run_id), json.dumps(report).encode())
    reported_otherwise = quarry("results", run_id, "-o", str(tmp_path))
    quarry.world.objects.delete(report_key(run_id))
    missing = quarry("results", run_id, "-o", str(tmp_path))

    assert reported_otherwise.exit_code == missing.exit_code == 1
    assert "the report says 299 rows ok, but the ledger has 300" in reported_otherwise.stderr
    assert "there is no report" in missing.stderr


def test_rows_that_were_never_read_are_told_apart():
    rows = Rows(
        accepted=100, ok=50, error=50, open=0, again=0, source=100, planned=100, left_out=0, enlisted=60, processed=0
    )
    report = {"rows": {"accepted": 60, "ok": 50, "error": 10, "unread": 40}}

    drawn_up = account(rows, report, parts_rows=60, parts_ok=50)

    assert drawn_up.unread == 40
    assert drawn_up.faults == []
    assert account(rows, report, parts_rows=100, parts_ok=50).faults


def test_a_source_that_breaks_while_it_is_read_leaves_an_account_that_adds_up(quarry, tmp_path):
    run_id = quarry.world.send(quarry.world.joke(5_000, max_records_per_job=100))

    async def until_some_are_read():
        while (totals := await quarry.world.ledger.totals(run_id)) is None or not totals.enlisted:
            await quarry.world.turn()

    asyncio.run(until_some_are_read())
    del quarry.world.objects._buckets["world"].versions["inputs/topics.csv"]
    quarry.finish(run_id)

    result = quarry("results", run_id, "-o", str(tmp_path))

    assert result.exit_code == 0
    assert "rows in = 5,000  =  300 ok + 4,700 with an error" in result.stdout
    assert "4,400 rows with an error are in no part" in result.stdout
    assert "the parts hold 600 rows: as many as were read" in result.stdout
    assert "the run is FAILED" in result.stderr


def test_an_object_that_is_no_part_is_not_brought(quarry, run_id, tmp_path):
    quarry.world.objects.plant(f"results/{run_id}/../../part-00001.parquet", b"x")
    quarry.world.objects.plant(f"results/{run_id}/part-00001.parquet/../../x", b"x")

    result = quarry("results", run_id, "-o", str(tmp_path / "out"))

    assert result.exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.quarry"]


def test_neither_a_directory_nor_a_head_is_a_usage_error(quarry, run_id):
    result = quarry("results", run_id)

    assert result.exit_code == 2
    assert "--head" in result.stderr


# --------------------------------------------------------------------------- formats


def rich_run(quarry):
    """A run over a Parquet source with columns of many types."""
    count = 120
    source = pa.table(
        {
            "topic": [None, "", *(f"t{number}" for number in range(2, count))],
            "number": pa.array([None, 2**60, *range(2, count)], pa.int64()),
            "ratio": pa.array([float("nan"), 0.5, *([1.0] * (count - 2))]),
            "flag": pa.array([True, None] * (count // 2)),
            "when": pa.array([datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)] * count, pa.timestamp("ns", "UTC")),
            "price": pa.array([Decimal("1.50")] * count, pa.decimal128(10, 2)),
            "raw": pa.array([b"\x00\xff"] * count),
            "nested": pa.array([{"a": [1, 2]}] * count),
            "kind": pa.array(["x"] * count).dictionary_encode(),
        }
    )
    manifest = quarry.world.joke() | {
        "s3_uri": quarry.world.parquet(source),
        "prompt_id": None,
        "prompt": "say {number}",
    }
    run_id = quarry.world.send(manifest)
    quarry.finish(run_id)
    return run_id


def test_csv_keeps_nulls_apart_from_empty_texts_and_puts_lists_into_json(quarry, tmp_path):
    run_id = rich_run(quarry)

    result = quarry("results", run_id, "-o", str(tmp_path), "--format", "csv")

    assert result.exit_code == 0, result.output
    text = (tmp_path / "part-00000.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 120
    assert rows[1]["number"] == str(2**60)
    assert json.loads(rows[0]["nested"]) == {"a": [1, 2]}
    assert base64.b64decode(rows[0]["raw"]) == b"\x00\xff"
    assert rows[0]["price"] == "1.50"
    assert rows[0]["kind"] == "x"
    assert rows[0]["when"].startswith("2026-01-02 03:04:05.678901")
    assert text.splitlines()[1].startswith(",")
    assert text.splitlines()[2].startswith('"",')


def test_json_lines_keep_the_types(quarry, tmp_path):
    run_id = rich_run(quarry)

    result = quarry("results", run_id, "-o", str(tmp_path), "--format", "jsonl")

    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "part-00000.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 120
    assert rows[0]["topic"] is None
    assert rows[1]["topic"] == ""
    assert rows[0]["ratio"] is None
    assert rows[1]["number"] == 2**60
    assert rows[0]["nested"] == {"a": [1, 2]}
    assert rows[1]["flag"] is None
    assert rows[5]["response"].startswith("answer to")


def test_embeddings_are_json_lists_in_csv(quarry, tmp_path):
    uri = quarry.world.csv(120, columns=("input_text",))
    run_id = quarry.world.send({"s3_uri": uri, "job_name_prefix": "emb", "model_id": TITAN})
    quarry.finish(run_id)

    quarry("results", run_id, "-o", str(tmp_path), "--format", "csv")

    with (tmp_path / "part-00000.csv").open(encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    exact = quarry.world.result(run_id).column("embedding")[0].as_py()
    assert json.loads(row["embedding"]) == exact


# --------------------------------------------------------------------------- head


def test_the_first_rows_are_shown_without_a_download(quarry, run_id):
    result = quarry("results", run_id, "--head", "120")

    assert result.exit_code == 0
    assert "topic number 0" in result.stdout
    assert "answer to" in result.stdout
    assert "topic number 119" in result.stdout
    assert "topic number 120" not in result.stdout


def test_a_head_shows_control_characters_and_markup_plainly(quarry):
    source = pa.table({"topic": ["[red]\x1b[2J"] * 120})
    run_id = quarry.world.send(quarry.world.joke() | {"s3_uri": quarry.world.parquet(source)})
    quarry.finish(run_id)

    result = quarry("results", run_id, "--head", "2")

    assert "\x1b" not in result.stdout
    assert "[red]" in result.stdout


def test_a_head_of_embeddings_shows_how_long_they_are(quarry):
    uri = quarry.world.csv(120, columns=("input_text",))
    run_id = quarry.world.send({"s3_uri": uri, "job_name_prefix": "emb", "model_id": TITAN})
    quarry.finish(run_id)

    assert "(1024)" in quarry("results", run_id, "--head", "1").stdout
