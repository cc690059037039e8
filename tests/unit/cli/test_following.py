"""`watch` and `submit --wait`: to the end, and line by line where there is no terminal."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from quarry_cli.client.api import Client
from quarry_cli.client.runs.following import SILENCES_MAX, follow
from quarry_cli.errors import NoSuchRun, NotConfigured, StillRunning
from quarry_cli.screen.lines import Lines
from quarry_cli.screen.live import Screen, is_screen
from quarry_core.errors import Refused, Throttled
from tests.world.faults import Faults


def end_all(quarry, status="Completed"):
    async def step():
        quarry.world.bedrock.end_all(status)
        await quarry.world.idle()

    return step


def by_the_services(quarry, waves=6, status="Completed"):
    """At each wait of the command the services work, and all jobs that run come to their end."""
    return [quarry.world.idle, *(end_all(quarry, status) for _ in range(waves))]


def test_a_run_is_watched_to_its_success(quarry):
    run_id = quarry.world.send(quarry.world.joke(600, max_records_per_job=100))
    quarry.idle()
    quarry.steps = by_the_services(quarry)

    result = quarry("watch", run_id)

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "SUCCEEDED: 600 of 600 rows" in lines[-1]
    assert f"results in s3://world/results/{run_id}/" in lines[-1]
    assert any("300 of 600 rows" in line for line in lines)
    assert sum("Completed" in line for line in lines) == 6


def test_without_a_terminal_each_change_is_one_plain_line(quarry):
    run_id = quarry.world.send(quarry.world.joke(600, max_records_per_job=100))
    quarry.idle()

    async def nothing():
        """A look at which nothing has changed."""

    quarry.steps = [nothing, nothing, *by_the_services(quarry), nothing]

    lines = quarry("watch", run_id).stdout.splitlines()

    assert not re.search(r"[\x00-\x08\x0b-\x1f]", "\n".join(lines))
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    reported = [line[9:] for line in lines]
    assert len(reported) == len(set(reported))


def test_a_run_with_errors_in_some_rows_ends_with_exit_code_3(quarry):
    run_id = quarry.world.send(quarry.world.joke(600, max_records_per_job=100))
    quarry.idle()
    job = quarry.world.bedrock.active[0]
    quarry.world.bedrock.end(job, "Stopped", output=False)
    quarry.steps = by_the_services(quarry)

    result = quarry("watch", run_id)

    assert result.exit_code == 3
    assert "SUCCEEDED_WITH_ERRORS: 600 of 600 rows, 100 with an error" in result.stdout


def test_a_failed_run_ends_with_exit_code_1_and_its_reason(quarry):
    run_id = quarry.world.send(quarry.world.joke(model_id="amazon.titan-embed-text-v2:0"))
    quarry.idle()

    result = quarry("watch", run_id)

    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert "prompt_id" in result.stdout


def test_a_run_that_no_preprocessor_has_seen_yet_is_waited_for(quarry):
    run_id = quarry.world.send(quarry.world.joke(300))
    quarry.steps = by_the_services(quarry)

    result = quarry("watch", run_id)

    assert result.exit_code == 0, result.output
    assert f"no run {run_id} yet: waiting for a preprocessor" in result.stdout
    assert "SUCCEEDED: 300 of 300 rows" in result.stdout


def test_the_beginning_of_an_id_finds_its_run_when_that_arrives(quarry):
    run_id = quarry.world.send(quarry.world.joke(300))
    quarry.steps = by_the_services(quarry)

    result = quarry("watch", run_id[:6])

    assert result.exit_code == 0, result.output
    assert f"no run {run_id[:6]} yet" in result.stdout
    assert "SUCCEEDED: 300 of 300 rows" in result.stdout


def test_a_run_with_an_id_of_its_own_that_only_begins_so_is_named_and_not_followed(quarry):
    quarry.world.send(quarry.world.joke(300, run_id="2026-11-30-reviews"))
    quarry.idle()

    result = quarry("watch", "2026-11-30", "--timeout", "5")

    assert result.exit_code == 4
    assert "no run 2026-11-30 yet, but 2026-11-30-reviews begins with this: if you mean that one" in result.stdout
    assert "RUNNING" not in result.stdout


def test_a_run_that_never_comes_is_waited_for_no_longer_than_asked(quarry):
    result = quarry("watch", "nosuchrun", "--timeout", "90", "--every", "30")

    assert result.exit_code == 4
    assert "still no run nosuchrun: is the id right" in result.stdout
    assert "there is still no run nosuchrun after 90 s" in result.stderr
    assert "it goes on" not in result.stderr


def test_the_lines_tell_elapsed_time_pace_tokens_and_dollars(quarry):
    run_id = quarry.world.send(quarry.world.joke(600, max_records_per_job=100))
    quarry.idle()
    quarry.steps = by_the_services(quarry)

    lines = quarry("watch", run_id, "--every", "30").stdout.splitlines()

    moving = re.compile(
        r"RUNNING: .*; \d[\d hmins]+, [\d,.]+ rows/min; tokens: [\d,]+ in, [\d,]+ out, about \$0\.\d{4}"
    )
    assert any(moving.search(line) for line in lines)
    assert re.search(r"tokens: [\d,]+ in, [\d,]+ out, about \$", lines[-1])


def test_ctrl_c_ends_the_watching_and_says_that_the_run_goes_on(quarry):
    run_id = quarry.world.send(quarry.world.joke(300))
    quarry.idle()

    async def ctrl_c():
        raise KeyboardInterrupt

    quarry.steps = [ctrl_c]

    result = quarry("watch", run_id)

    assert result.exit_code == 130
    assert f"the run continues: quarry watch {run_id}" in result.stderr
    assert quarry.status(run_id)["state"] == "RUNNING"


def test_submit_and_wait_follows_from_the_queue_to_the_end(quarry, tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(quarry.world.joke(300)))
    quarry.steps = by_the_services(quarry)

    result = quarry("submit", str(path), "--wait")

    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [run["run_id"] for run in json.loads(quarry("runs", "--json").stdout)]
    assert "to receive its manifest" in result.stderr
    assert "SUCCEEDED: 300 of 300 rows" in result.stderr


def test_submit_wait_and_json_prints_one_json_object_and_nothing_else(quarry, tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(quarry.world.joke(300)))
    quarry.steps = by_the_services(quarry)

    view = json.loads(quarry("submit", str(path), "--wait", "--json").stdout)

    assert view["state"] == "SUCCEEDED"
    assert view["rows"]["ok"] == 300


def test_time_that_runs_out_is_exit_code_4_and_the_run_goes_on(quarry):
    run_id = quarry.world.send(quarry.world.joke(300))
    quarry.idle()

    result = quarry("watch", run_id, "--timeout", "7", "--every", "2")

    assert result.exit_code == 4
    assert "it continues" in result.stderr
    assert quarry.waited == [2, 2, 2, 1]


def test_a_run_nobody_takes_is_waited_for_with_a_hint(quarry, tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(quarry.world.joke(300)))

    result = quarry("submit", str(path), "--wait", "--timeout", "100")

    assert result.exit_code == 4
    assert "is a preprocessor running?" in result.stderr


class _Seen:
    def __init__(self):
        self.views = []
        self.notes = []

    def show(self, view):
        self.views.append(view)

    def note(self, text):
        self.notes.append(text)


def with_faults(quarry, faults):
    quarry.world.table = quarry.world.table.for_worker(faults)


def test_an_answer_that_fails_to_come_does_not_end_the_watching(quarry):
    run_id = quarry.ended()
    with_faults(quarry, Faults({1: "refuse", 2: "lose_reply"}))
    seen = _Seen()

    view = quarry.client.follow(run_id, seen)

    assert view.rows.ok == 300
    assert len(seen.notes) == 2
    assert "no answer from AWS" in seen.notes[0]


async def test_silences_between_answers_may_be_as_many_as_they_like(quarry):
    reads = 0

    async def read():
        nonlocal reads
        reads += 1
        if reads % 2:
            raise Throttled("slower")

    with pytest.raises(StillRunning):
        await follow(read, quarry.world.clock, _Seen(), "r", every_s=1, timeout_s=3 * SILENCES_MAX)
    assert reads > 2 * SILENCES_MAX


def test_a_silence_that_lasts_ends_it_with_exit_code_5(quarry):
    run_id = quarry.ended()
    with_faults(quarry, Faults(dict.fromkeys(range(1, SILENCES_MAX + 1), "lose_reply")))

    result = quarry("watch", run_id)

    assert result.exit_code == 5
    assert "Unknown" in result.stderr


def test_a_refusal_of_aws_ends_it_at_once(quarry):
    class Closed:
        async def get(self, key):
            raise Refused("reading: AccessDeniedException: not for you", "AccessDeniedException")

    quarry.world.table = Closed()

    result = quarry("watch", "r")

    assert result.exit_code == 5
    assert "not for you" in result.stderr
    assert quarry.waited == []


def test_waiting_in_python_raises_what_it_means(quarry):
    with pytest.raises(StillRunning):
        quarry.client.wait("none", timeout_s=4)
    with pytest.raises(NoSuchRun):
        quarry.client.status("none")


def test_looking_at_a_large_run_reads_no_more_than_at_a_small_one(quarry):
    small = quarry.world.send(quarry.world.joke(300, max_records_per_job=100))
    large = quarry.world.send(quarry.world.joke(25_000, max_records_per_job=100, job_name_prefix="large"))
    quarry.idle()
    calls = {}
    for run_id in (small, large):
        faults = Faults()
        world, quarry.world.table = quarry.world, quarry.world.table.for_worker(faults)
        with pytest.raises(StillRunning):
            quarry.client.follow(run_id, _Seen(), timeout_s=0)
        calls[run_id] = len(faults.calls)
        assert world is quarry.world

    assert quarry.status(large)["shards"]["PENDING"] > 200
    assert calls[large] <= calls[small] + 1


def test_a_large_run_shows_the_jobs_that_are_running(quarry):
    run_id = quarry.world.send(quarry.world.joke(25_000, max_records_per_job=100))
    quarry.idle()
    quarry.world.bedrock.end_all()
    quarry.idle()
    seen = _Seen()

    with pytest.raises(StillRunning):
        quarry.client.follow(run_id, seen, timeout_s=0)

    active = {job.name for job in quarry.world.bedrock.active}
    assert {job.name for job in seen.views[0].jobs} == active
    assert len(quarry.client.status(run_id).jobs) == len(active) + 3


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_run_is_drawn_in_place(quarry):
    run_id = quarry.ended()
    terminal = _Terminal()
    console = Console(
        file=terminal, force_terminal=True, width=120, height=40, legacy_windows=False, _environ={"TERM": "xterm"}
    )

    assert is_screen(console)
    with Screen(console) as screen:
        screen.note("no answer [yet]")
        screen.show(quarry.client.status(run_id))

    assert "\x1b" in terminal.getvalue()
    assert "SUCCEEDED" in terminal.getvalue()
    assert "no answer [yet]" in terminal.getvalue()


def test_a_pipe_is_no_screen_even_if_colours_are_forced():
    assert not is_screen(Console(file=io.StringIO(), force_terminal=True))


def test_lines_say_a_note_once_until_something_else_is_seen(quarry):
    said: list[str] = []
    lines = Lines(said.append, quarry.world.clock)

    lines.note("waiting")
    lines.note("waiting")
    lines.show(quarry.client.status(quarry.ended()))
    lines.note("waiting")

    assert [line.endswith("waiting") for line in said].count(True) == 2


def test_the_client_by_default_connects_as_the_variables_say(monkeypatch):
    for name in ("QUARRY_TABLE", "QUARRY_BUCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QUARRY_REGION", "us-east-1")

    with pytest.raises(NotConfigured, match="QUARRY_TABLE and QUARRY_BUCKET are not set"):
        Client().status("r")
