"""`runs` and `schema`."""

from __future__ import annotations

import json
import re

from quarry_core.contract.manifest import FIELDS


def test_open_runs_come_first_then_ended_ones_the_newest_first(quarry):
    first = quarry.ended()
    quarry.world.clock.advance(60)
    second = quarry.ended(job_name_prefix="second")
    quarry.world.clock.advance(60)
    older = quarry.world.send(quarry.world.joke(job_name_prefix="older"))
    quarry.idle()
    quarry.world.clock.advance(60)
    newer = quarry.world.send(quarry.world.joke(job_name_prefix="newer"))
    quarry.idle()

    runs = json.loads(quarry("runs", "--json").stdout)

    assert [run["run_id"] for run in runs] == [newer, older, second, first]
    assert [run["state"] for run in runs] == ["RUNNING", "RUNNING", "SUCCEEDED", "SUCCEEDED"]
    assert runs[3]["ok"] == 300
    assert runs[0]["ended_at"] is None


def test_runs_that_ended_last_month_are_still_listed_and_older_ones_are_not(quarry):
    quarry.ended()
    quarry.world.clock.advance(31 * 86_400)  # February
    second = quarry.ended()
    quarry.world.clock.advance(28 * 86_400)  # March

    runs = json.loads(quarry("runs", "--json").stdout)

    assert [run["run_id"] for run in runs] == [second]


def test_the_month_before_january_is_december(quarry):
    run_id = quarry.ended()  # January 2026
    quarry.world.clock.advance(364 * 86_400)  # December
    december = quarry.ended()
    quarry.world.clock.advance(10 * 86_400)  # January 2027

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
    assert "jokes" in result.stdout
    assert "anthropic.claude-3-haiku" in result.stdout


def test_each_run_tells_its_name_model_and_age(quarry):
    run_id = quarry.ended(job_name_prefix="nightly")
    quarry.world.clock.advance(7_200)

    (line,) = json.loads(quarry("runs", "--json").stdout)

    assert (line["run_id"], line["name"]) == (run_id, "nightly")
    assert line["model_id"].startswith("anthropic.claude-3-haiku")
    assert line["age_s"] >= 7_200
    assert re.search(r"\d h( \d+ min)?", quarry("runs").stdout)


def test_a_refused_run_is_listed_without_a_name(quarry):
    quarry.world.send({"job_name_prefix": "x"})
    quarry.idle()

    assert json.loads(quarry("runs", "--json").stdout)[0]["name"] is None
    assert "FAILED" in quarry("runs").stdout


def test_runs_are_filtered_by_name_model_and_state_beyond_the_limit(quarry):
    wanted = quarry.ended(job_name_prefix="nightly")
    for number in range(3):
        quarry.world.clock.advance(60)
        quarry.ended(job_name_prefix=f"other{number}")
    quarry.world.send({"job_name_prefix": "bad"})
    quarry.idle()

    def listed(*options):
        return [run["run_id"] for run in json.loads(quarry("runs", "--json", *options).stdout)]

    assert listed("--name", "night", "--limit", "1") == [wanted]
    assert len(listed("--model", "HAIKU", "--state", "succeeded", "--state", "running")) == 4
    assert len(listed("--state", "FAILED")) == 1
    assert listed("--model", "titan") == []
    assert "no run matches" in quarry("runs", "--model", "titan").stderr
    assert quarry("runs", "--state", "nearly").exit_code == 2


def test_the_beginning_of_an_id_is_enough_where_it_fits_one_run_alone(quarry):
    run_id = quarry.ended()
    quarry.ended(run_id="alpha1")
    quarry.ended(run_id="alpha2")

    assert quarry.status(run_id[:6])["run_id"] == run_id
    assert quarry("watch", run_id[:6]).exit_code == 0
    assert quarry.client.table(run_id[:6]).num_rows == 300
    several = quarry("status", "alpha")
    assert several.exit_code == 2
    assert "alpha1, alpha2" in several.stderr.replace("alpha2, alpha1", "alpha1, alpha2")


def test_watching_an_id_that_somebody_chose_never_means_a_longer_one(quarry):
    quarry.ended(run_id="alpha1")

    assert quarry("watch", "alpha", "--timeout", "1").exit_code == 4


def test_an_id_that_is_not_there_is_reported_with_the_nearest(quarry):
    quarry.ended(run_id="alpha1")

    result = quarry("status", "alphx1")

    assert result.exit_code == 1
    assert "the nearest is alpha1" in result.stderr


def test_where_there_is_no_run_that_is_said(quarry):
    result = quarry("runs")

    assert result.exit_code == 0
    assert "no run is open" in result.stderr
    assert quarry("runs", "--json").stdout.strip() == "[]"


def test_the_schema_names_every_field_and_needs_no_environment(quarry):
    schema = json.loads(quarry("schema").stdout)

    assert set(schema["properties"]) == set(FIELDS)
    assert quarry.connects == 0
