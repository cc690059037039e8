"""`verify`: finds nothing where nothing is wrong, and names each thing that was doctored."""

from __future__ import annotations

import asyncio
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.names import part_key, plan_key, report_key, results_prefix, rows_key, success_key

SMALL = {"max_records_per_job": 100}


def verified(quarry, run_id: str, code: int = 0, *options: str) -> dict:
    result = quarry("verify", run_id, "--json", *options)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def told(found: dict) -> str:
    return "\n".join(f"{each['where']}: {each['what']}" for each in found["differences"])


def rewrite(quarry, key: str, change) -> None:
    """Put another Parquet file in the place of one, with the metadata of that."""
    objects = quarry.world.objects
    stored = objects._buckets["world"].versions[key][-1]
    body = io.BytesIO()
    pq.write_table(change(pq.read_table(io.BytesIO(objects.bodies[key]))), body)
    objects.plant(key, body.getvalue(), metadata=dict(stored.metadata))


def cell(name: str, row: int, value: object):
    def change(table: pa.Table) -> pa.Table:
        values = table[name].to_pylist()
        values[row] = value
        field = table.schema.field(name)
        return table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))

    return change


@pytest.mark.parametrize("parquet", [True, False], ids=["parquet", "csv"])
def test_a_run_that_went_well_differs_nowhere(quarry, parquet):
    changes = dict(SMALL)
    if parquet:
        table = pa.table({"topic": [f"topic {row}" for row in range(500)], "n": pa.array(range(500), pa.int16())})
        changes["s3_uri"] = quarry.world.parquet(table, row_group_size=70)
    quarry.world.bedrock.error_share = 0.1
    run_id = quarry.ended(500, **changes)

    found = verified(quarry, run_id)

    assert (found["found"], found["differences"], found["unchecked"]) == (0, [], [])
    assert (found["rows"], found["compared"], found["parts"]) == (500, 500, 5)
    assert found["ok"] + found["error"] == 500
    assert found["errors"]["MODEL_ERROR"] == found["error"] > 0
    assert "0 differences" in quarry("verify", run_id, "--no-source").stdout


def test_of_a_run_whose_records_went_again_all_attempts_are_counted(quarry):
    quarry.world.bedrock.throttled_share, quarry.world.bedrock.refused_share = 0.5, 0.05
    run_id = quarry.ended(400, **SMALL)

    found = verified(quarry, run_id)

    assert (found["found"], found["differences"], found["unchecked"]) == (0, [], [])
    assert found["rows"] == 400
    view = quarry.status(run_id)
    assert (view["round"] > 1, view["retried"] > 100) == (True, True)
    assert f"round {view['round']}: {view['retried']:,} records asked again" in quarry("status", run_id).stdout
    key = report_key(run_id)
    report = json.loads(quarry.world.objects.bodies[key])
    report["llm_tokens"]["output"] += 1
    quarry.world.objects.plant(key, json.dumps(report).encode())
    assert "output tokens" in told(verified(quarry, run_id, 1))


@pytest.mark.parametrize(
    ("what", "doctor"),
    [
        ("it lists it, and it is missing|lists it, and it is missing", lambda q, r: q.world.objects.delete(part_key(r, "00002"))),
        ("_SUCCESS: it is missing", lambda q, r: q.world.objects.delete(success_key(r))),
        ("_report.json: it is missing", lambda q, r: q.world.objects.delete(report_key(r))),
        ("none of theirs", lambda q, r: q.world.objects.plant(results_prefix(r) + "x.parquet", b"x")),
        ("does not list it", lambda q, r: q.world.objects.plant(part_key(r, "00009"), b"x")),
        ("rows ok", lambda q, r: rewrite(q, part_key(r, "00000"), lambda t: t.slice(0, 99))),
        ("do not bear their record ids", lambda q, r: rewrite(q, part_key(r, "00000"), cell("record_id", 7, "00000000006"))),
        ("both an answer and an error", lambda q, r: rewrite(q, part_key(r, "00000"), cell("error_code", 7, "MISSING"))),
        ("a status that is none", lambda q, r: rewrite(q, part_key(r, "00000"), cell("status", 7, "fine"))),
        ("column 'topic' differs from the source", lambda q, r: rewrite(q, part_key(r, "00004"), cell("topic", 99, "x"))),
        ("input tokens", lambda q, r: rewrite(q, part_key(r, "00000"), cell("input_tokens", 0, 10_000))),
        ("it lacks the columns status", lambda q, r: rewrite(q, part_key(r, "00000"), lambda t: t.drop_columns(["status"]))),
        ("cannot be read", lambda q, r: q.world.objects.plant(part_key(r, "00000"), b"PAR1 no PAR1")),
        ("its metadata says run", lambda q, r: q.world.objects.plant(part_key(r, "00000"), q.world.objects.bodies[part_key(r, "00000")])),
        ("it is not JSON", lambda q, r: q.world.objects.plant(report_key(r), b"{")),
        ("not a report of this kind", lambda q, r: q.world.objects.plant(report_key(r), b'{"rows": []}')),
        ("it is not a plan", lambda q, r: q.world.objects.plant(plan_key(r), b"{}")),
    ],
)  # fmt: skip
def test_what_was_doctored_is_named(quarry, what, doctor):
    run_id = quarry.ended(300, **SMALL)
    doctor(quarry, run_id)

    found = verified(quarry, run_id, 1)

    assert any(part in told(found) for part in what.split("|")), told(found)
    assert found["found"] == len(found["differences"]) > 0
    assert quarry("verify", run_id).exit_code == 1


def test_a_report_that_says_something_else_is_told_by_shard_and_by_sum(quarry):
    run_id = quarry.ended(300, **SMALL)
    report = quarry.world.report(run_id)
    report["rows"]["ok"] -= 1
    report["shards"][1]["ok"] -= 1
    report["state"] = "FAILED"
    quarry.world.objects.plant(report_key(run_id), json.dumps(report).encode())

    said = told(verified(quarry, run_id, 1))

    assert "shard 00002: it says 99 ok; counted are 100" in said
    assert "it says 299 rows ok; counted are 300" in said
    assert "'FAILED'" in said


def test_a_ledger_that_says_something_else_is_told(quarry):
    run_id = quarry.ended(300, **SMALL)
    items = quarry.world.table.items
    items[f"run#{run_id}", "totals"] = {**items[f"run#{run_id}", "totals"], "ok": 299}

    assert "the ledger: it says 299 rows ok; counted are 300" in told(verified(quarry, run_id, 1))


def test_what_cannot_be_looked_at_is_told_and_is_no_difference(quarry):
    run_id = quarry.ended(300, **SMALL)
    quarry.world.objects.delete(plan_key(run_id))

    found = verified(quarry, run_id)

    assert found["unchecked"] == ["the plan does not lie in the bucket any more"]
    assert found["compared"] == 0


def test_a_source_that_has_changed_since_is_told_where_there_is_no_copy(quarry):
    table = pa.table({"topic": [f"topic {row}" for row in range(200)]})
    run_id = quarry.ended(200, s3_uri=quarry.world.parquet(table))
    assert not [key for key in quarry.world.objects.bodies if key.startswith("rows/")]
    quarry.world.parquet(pa.table({"topic": ["another"] * 200}))

    found = verified(quarry, run_id, 1 if not _versioned(quarry, run_id) else 0)

    if not _versioned(quarry, run_id):
        assert "is not what it was" in told(found)


def _versioned(quarry, run_id: str) -> bool:
    run = asyncio.run(quarry.world.ledger.run(run_id))
    return run.pins.source.version_id is not None


def test_a_copy_that_was_cut_is_told(quarry):
    run_id = quarry.ended(300, **SMALL)
    rewrite(quarry, rows_key(run_id, "00000"), lambda table: table.slice(0, 50))

    assert "the source ends 50 rows before the part does" in told(verified(quarry, run_id, 1))


def test_runs_without_results_and_runs_that_go_on(quarry):
    refused = quarry.world.send(quarry.world.joke() | {"prompt_id": "none_such"})
    quarry.idle()
    found = verified(quarry, refused)
    assert found["unchecked"] == ["the run was refused before it was planned, and has no report"]
    dry = quarry.ended(300, dry_run=True, job_name_prefix="dry")
    assert verified(quarry, dry)["rows"] == 0
    going = quarry.world.send(quarry.world.joke(job_name_prefix="going"))
    quarry.idle()
    result = quarry("verify", going)
    assert result.exit_code == 1
    assert "it can be verified when it has ended" in result.stderr


def test_a_cancelled_run_is_whole_and_has_no_marker(quarry):
    run_id = quarry.world.send(quarry.world.joke(600, **SMALL))
    quarry.idle()
    assert quarry("cancel", run_id).exit_code == 0
    quarry.finish(run_id)

    found = verified(quarry, run_id)

    assert (found["state"], found["rows"], found["compared"]) == ("CANCELLED", 600, 600)
    assert found["errors"] == {"CANCELLED": found["error"]}
