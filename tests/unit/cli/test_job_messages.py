"""What Bedrock says of a job that failed, or ended in part: it reaches the report, `status` and `status --json`, each sentence once."""

from __future__ import annotations

import asyncio
import io

import msgspec
import pytest
from rich.console import Console

from quarry_cli.screen.live import card
from tests.unit.flow.acts import play


def ended_so(quarry, said):
    """A run whose jobs end as `said` says of their names: status and message; the others complete."""
    run_id = quarry.world.send(quarry.world.joke(500, max_records_per_job=100, record_errors={"max_attempts": 1}))

    def end(job):
        status, message = next((end for part, end in said.items() if part in job.name), ("Completed", ""))
        quarry.world.bedrock.missing_share = 0.0 if status == "Completed" else 0.5
        quarry.world.bedrock.end(job, status, message=message)

    asyncio.run(play(quarry.world, run_id, end))
    return run_id


@pytest.mark.promise("S10")
@pytest.mark.parametrize("status", ["Failed", "PartiallyCompleted", "Stopped", "Expired"])
def test_a_jobs_message_is_told_wherever_its_run_is_told_of(quarry, status):
    words = f"Bedrock's own words for {status}"
    run_id = ended_so(quarry, {"-00002-": (status, words), "-00006-": (status, words), "-00004-": (status, "others")})

    report = quarry.world.report(run_id)
    assert report["job_messages"] == [
        {"status": status, "message": words, "shards": 2, "example": "00002"},
        {"status": status, "message": "others", "shards": 1, "example": "00004"},
    ]
    assert [each["message"] for each in report["shards"]] == ["", words, "others", words, ""]
    view = quarry.status(run_id)
    assert [(each["status"], each["message"]) for each in view["job_messages"]] == [(status, words), (status, "others")]
    jobs = view["job_messages"][0]["jobs"]
    assert jobs == sum(job["message"] == words for job in view["jobs"]) >= 2
    assert f"{jobs} jobs {status}: {words}" in quarry("status", run_id).stdout


def test_a_run_whose_jobs_all_completed_has_nothing_to_tell(quarry):
    run_id = ended_so(quarry, {})
    assert quarry.world.report(run_id)["job_messages"] == quarry.status(run_id)["job_messages"] == []
    assert "jobs Completed" not in quarry("status", run_id).stdout


def test_a_message_is_made_plain_for_a_terminal_and_many_are_counted(quarry):
    shards = ("-00000-", "-00002-", "-00004-", "-00006-", "-00008-")
    run_id = ended_so(quarry, {part: ("Failed", f"[red]no {part}\x1b[2J") for part in shards})
    shown = quarry("status", run_id).stdout
    assert "\x1b[2J" not in shown
    assert "Failed: [red]no -00000-" in shown
    assert "and 2 other messages of jobs" in shown


def test_nothing_of_a_job_or_its_model_is_obeyed_by_a_terminal(quarry):
    run_id = ended_so(quarry, {"-00000-": ("Failed", "no")})
    view = quarry.client.status(run_id)
    taken = "\x1b]0;taken\x07[red]x[/red][/no]\u202e"
    jobs = [msgspec.structs.replace(job, status=f"Odd{taken}", name=f"a{taken}", message=taken) for job in view.jobs]
    shown = io.StringIO()

    Console(file=shown, width=400).print(card(msgspec.structs.replace(view, jobs=jobs, model_id=f"m{taken}")))

    assert not set("\x1b\x07\u202e") & set(shown.getvalue())
    assert "Odd\N{REPLACEMENT CHARACTER}]0;taken\N{REPLACEMENT CHARACTER}[red]x[/red][/no]" in shown.getvalue()
