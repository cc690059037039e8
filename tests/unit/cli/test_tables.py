"""Tables at the widths that people have, and text that a terminal must not obey."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from quarry_cli.aws.models_listing import ModelLine
from quarry_cli.client.runs.search import RunLine
from quarry_cli.commands.models import _table as models_table
from quarry_cli.screen import live, printing, wording
from quarry_cli.screen.tables import Column, fit

HOSTILE = "a\x1b[2Jb\x9b31mc\u202ed\x7fe\nf"


def drawn(table, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(table)
    return console.file.getvalue()


def run_line(**changes) -> RunLine:
    line = {
        "run_id": "0123456789ab",
        "name": "a-rather-long-job-name-prefix",
        "model_id": "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
        "state": "SUCCEEDED_WITH_ERRORS",
        "accepted": 49_999_000,
        "ok": 49_998_000,
        "error": 1_000,
        "accepted_at": "2026-01-01T00:00:00+00:00",
        "started_at": None,
        "ended_at": None,
        "age_s": 93_600,
    }
    return RunLine(**(line | changes))


def test_at_80_columns_ids_and_numbers_of_runs_stay_whole_and_nothing_wraps():
    text = drawn(live.run_table([run_line()], 80), 80)

    for whole in ("0123456789ab", "SUCCEEDED_WITH_ERRORS", "49,999,000", "1,000", "1 d 2 h"):
        assert whole in text
    assert len([line for line in text.splitlines() if line.strip()]) == 3
    assert all(len(line) <= 80 for line in text.splitlines())


def test_where_there_is_room_runs_show_name_and_model_too():
    text = drawn(live.run_table([run_line()], 200), 200)

    assert "a-rather-long-job-name-prefix" in text
    assert "anthropic.claude-3-5-sonnet-20241022-v2:0" in text


def model_line(**changes) -> ModelLine:
    line = {
        "id": "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
        "name": "Claude 3.5 Sonnet v2",
        "provider": "Anthropic",
        "kind": "profile",
        "family": "anthropic",
        "batch": "yes",
        "why": "a quota named for its batch jobs stands in this region, and another sentence that is rather long",
    }
    return ModelLine(**(line | changes))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_model_ids_stay_whole_at_every_width(width):
    text = drawn(models_table([model_line(), model_line(batch="unknown")], width, access=False), width)

    assert text.count("us.anthropic.claude-3-5-sonnet-20241022-v2:0") == 2
    assert "yes" in text
    assert "unknown" in text


def test_a_wide_table_keeps_every_cell_on_its_own_line():
    line = model_line(why="x" * 250)

    assert "x" * 250 in drawn(models_table([line], printing.PIPE_CHARS, access=False), printing.PIPE_CHARS)


def test_cells_and_titles_cannot_command_a_terminal():
    text = drawn(fit([Column("name", [HOSTILE, "[bold]no markup[/]"])], 80), 80)

    assert not set("\x1b\x9b\u202e\x7f") & set(text)
    assert "[bold]no markup[/]" in text


def test_json_escapes_what_a_terminal_obeys_and_reads_back_the_same(capsys):
    printing.print_json({"answer": HOSTILE, "name": "Zo\u00eb \U0001f600"})

    text = capsys.readouterr().out
    assert not set("\x1b\x9b\u202e\x7f") & set(text)
    assert json.loads(text) == {"answer": HOSTILE, "name": "Zo\u00eb \U0001f600"}


def test_an_error_that_repeats_hostile_text_is_one_plain_line(quarry, tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(quarry.world.joke(300) | {HOSTILE: 1}))

    result = quarry("submit", str(path))

    assert result.exit_code == 2
    assert not set("\x1b\x9b\u202e\x7f") & set(result.stderr)
    assert len(result.stderr.splitlines()) == 1


def test_a_status_shows_errors_by_code_tokens_and_dollars(quarry):
    run_id = quarry.ended(600, max_records_per_job=100)

    view = quarry.status(run_id)
    card = quarry("status", run_id).stdout

    assert view["errors"] == {}
    assert view["spent"]["input_tokens"] > 0
    assert view["spent"]["dollars"] > 0
    assert view["elapsed_s"] > 0
    assert view["rows_per_minute"] > 0
    assert f"tokens: {view['spent']['input_tokens']:,} in" in card
    assert "$0.0" in card


def test_error_rows_are_counted_by_code_while_the_run_goes_on(quarry):
    run_id = quarry.world.send(quarry.world.joke(600, max_records_per_job=100))
    quarry.idle()
    quarry.world.bedrock.error_share = 0.5
    for job in quarry.world.bedrock.active[:2]:
        quarry.world.bedrock.end(job, "Completed")
    quarry.world.bedrock.end(quarry.world.bedrock.active[0], "Stopped", output=False)
    quarry.idle()

    view = quarry.status(run_id)

    assert view["state"] == "RUNNING"
    assert set(view["errors"]) == {"MODEL_ERROR", "NOT_PROCESSED"}
    assert view["errors"]["NOT_PROCESSED"] == 100
    assert sum(view["errors"].values()) == view["rows"]["error"]
    assert "NOT_PROCESSED 100" in quarry("status", run_id).stdout


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "$0"), (0.00001, "about $0.000010"), (0.0026, "about $0.0026"), (1234.5, "about $1,234.50")],
)
def test_dollars_are_reported_once_as_an_estimate(amount, text):
    assert wording.dollars(amount) == text
