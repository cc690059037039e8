"""`runs` and `schema`."""

from __future__ import annotations

import json

from quarry_core.manifest import Manifest


def test_open_runs_come_first_then_ended_ones_the_newest_first(quarry):
    first = quarry.ended()
    quarry.house.clock.advance(60)
    second = quarry.ended(job_name_prefix="second")
    quarry.house.clock.advance(60)
    older = quarry.house.send(quarry.house.joke(job_name_prefix="older"))
    quarry.quiet()
    quarry.house.clock.advance(60)
    newer = quarry.house.send(quarry.house.joke(job_name_prefix="newer"))
    quarry.quiet()

    runs = json.loads(quarry("runs", "--json").stdout)

    assert [run["run_id"] for run in runs] == [newer, older, second, first]
    assert [run["state"] for run in runs] == ["RUNNING", "RUNNING", "SUCCEEDED", "SUCCEEDED"]
    assert runs[3]["ok"] == 300
    assert runs[0]["ended_at"] is None


def test_runs_that_ended_last_month_are_still_listed_and_older_ones_are_not(quarry):
    quarry.ended()
    quarry.house.clock.advance(31 * 86_400)  # February
    second = quarry.ended()
    quarry.house.clock.advance(28 * 86_400)  # March

    runs = json.loads(quarry("runs", "--json").stdout)

    assert [run["run_id"] for run in runs] == [second]


def test_the_month_before_january_is_december(quarry):
    run_id = quarry.ended()  # January 2026
    quarry.house.clock.advance(364 * 86_400)  # December
    december = quarry.ended()
    quarry.house.clock.advance(10 * 86_400)  # January 2027

    runs = json.loads(quarry("runs", "--json").stdout)

    assert [run["run_id"] for run in runs] == [december]
    assert run_id != december


def test_no_more_runs_than_asked_for(quarry):
    for number in range(3):
        quarry.ended(job_name_prefix=f"n{number}")

    assert len(json.loads(quarry("runs", "--limit", "2", "--json").stdout)) == 2


def test_people_see_a_table(quarry):
    run_id = quarry.ended()

    result = quarry("runs")

    assert run_id in result.stdout
    assert "SUCCEEDED" in result.stdout
    assert "2026-01-01" in result.stdout


def test_where_there_is_no_run_that_is_said(quarry):
    result = quarry("runs")

    assert result.exit_code == 0
    assert "no run is open" in result.stderr
    assert quarry("runs", "--json").stdout.strip() == "[]"


def test_the_schema_names_every_field_and_needs_no_environment(quarry):
    schema = json.loads(quarry("schema").stdout)

    assert set(schema["properties"]) == set(Manifest.model_fields)
    assert quarry.connections == 0
