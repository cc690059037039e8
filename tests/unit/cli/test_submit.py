"""`submit`: what is sent, what is refused here, and the run id."""

from __future__ import annotations

import json

import pytest

from quarry_core.contract.manifest_identity import ORIGIN_ATTRIBUTE


@pytest.fixture
def manifest(quarry, tmp_path):
    path = tmp_path / "manifest.json"

    def write(**changes):
        path.write_text(json.dumps(quarry.world.joke() | changes, indent=3), encoding="utf-8")
        return str(path)

    return write


def sent(quarry):
    return quarry.world.queues["manifests"].bodies


def test_the_printed_id_is_that_of_the_run_which_appears(quarry, manifest):
    result = quarry("submit", manifest())

    run_id = result.stdout.strip()
    assert result.exit_code == 0
    quarry.idle()
    assert quarry.status(run_id)["state"] == "RUNNING"


def test_the_very_text_is_sent(quarry, manifest, tmp_path):
    path = manifest(job_name_prefix="ünïcode")

    quarry("submit", path)

    assert list(sent(quarry)) == [(tmp_path / "manifest.json").read_text(encoding="utf-8")]


def test_the_same_file_sent_twice_makes_two_runs(quarry, manifest):
    first, second = (quarry("submit", manifest()).stdout.strip() for _ in range(2))

    assert first != second


def test_a_manifest_from_standard_input(quarry):
    text = json.dumps(quarry.world.joke())

    result = quarry("submit", "-", given=text)

    assert result.exit_code == 0
    assert list(sent(quarry)) == [text]


def test_json_tells_the_ids_to_a_script(quarry, manifest):
    reported = json.loads(quarry("submit", manifest(), "--json").stdout)

    assert reported["run_id"]
    assert reported["message_id"]
    assert len(reported["origin_id"]) == 32


def test_a_refused_manifest_is_not_sent(quarry, manifest):
    result = quarry("submit", manifest(prompt_ids=1, max_records_total=-1))

    assert result.exit_code == 2
    assert "max_records_total" in result.stderr
    assert "prompt_ids: unknown key; did you mean prompt_id?" in result.stderr
    assert result.stdout == ""
    assert not sent(quarry)


@pytest.mark.parametrize(("text", "why"), [("{", "not JSON"), ("[1]", "not a JSON object but a list")])
def test_text_that_is_no_manifest_is_not_sent(quarry, text, why):
    result = quarry("submit", "-", given=text)

    assert result.exit_code == 2
    assert why in result.stderr
    assert not sent(quarry)


def test_a_manifest_that_is_too_large_is_not_sent(quarry, manifest):
    result = quarry("submit", manifest(prompt_id=None, prompt="x" * 300_000))

    assert result.exit_code == 2
    assert not sent(quarry)


def test_unchecked_a_refused_manifest_becomes_a_failed_run(quarry, manifest):
    run_id = quarry("submit", manifest(nonsense=1), "--no-check").stdout.strip()
    quarry.idle()

    assert quarry.status(run_id)["state"] == "FAILED"


def test_unchecked_text_that_is_no_json_goes_to_the_dead_letter_queue_and_that_is_said(quarry):
    result = quarry("submit", "-", "--no-check", given="not json")
    quarry.idle()

    assert result.exit_code == 2
    assert "dead-letter" in result.stderr
    assert [dead_letter.body for dead_letter in quarry.world.queues["manifests"].dead] == ["not json"]


def test_a_run_id_of_another_manifest_is_refused_here(quarry, manifest):
    quarry("submit", manifest(run_id="mine"))
    quarry.idle()

    result = quarry("submit", manifest(run_id="mine", max_records_total=200))

    assert result.exit_code == 2
    assert "mine belongs to another manifest" in result.stderr
    assert not sent(quarry)


def test_the_same_manifest_under_its_run_id_again_is_told_to_change_nothing(quarry, manifest):
    quarry("submit", manifest(run_id="mine"))
    quarry.idle()

    result = quarry("submit", manifest(run_id="mine"))

    assert result.exit_code == 0
    assert result.stdout.strip() == "mine"
    assert "nothing happens twice" in result.stderr


def test_a_file_that_is_not_there_is_a_usage_error(quarry, tmp_path):
    result = quarry("submit", str(tmp_path / "none.json"))

    assert result.exit_code == 2
    assert "none.json" in result.stderr


def test_the_origin_id_travels_as_an_attribute(quarry, manifest):
    reported = json.loads(quarry("submit", manifest(), "--json").stdout)

    (message,) = quarry.world.queues["manifests"]._take(1)
    assert message.attributes == {ORIGIN_ATTRIBUTE: reported["origin_id"]}


@pytest.mark.parametrize("command", [("submit",), ("plan",), ("preview",), ("run", "--schema")])
def test_the_name_of_a_file_is_obeyed_by_no_terminal(quarry, tmp_path, command):
    name = str(tmp_path / "no\x1b[2J\x07\u202e[/x].json")
    rest = ("rows.csv", "--model", "haiku", "--prompt", "{a}") if command[0] == "run" else ()
    result = quarry(*command, name, *rest)
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
    assert not set("\x1b\x07\u202e") & set(result.stdout + result.stderr)
