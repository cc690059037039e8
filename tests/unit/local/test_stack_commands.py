"""`quarry local` as a user types it, and the environment of the embedded AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quarry_local import emulator
from quarry_local.commands import app
from quarry_local.settings import StackSettings
from quarry_local.stack import Stack

STUB = (str(Path(__file__).with_name("stub_service.py")),)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("QUARRY_LOCAL_DIR", str(tmp_path / "stack"))
    monkeypatch.setenv("COLUMNS", "200")
    yield lambda *arguments: CliRunner().invoke(app, arguments)
    Stack().down()


@pytest.fixture
def stack(run, aws, fresh_env):
    launch = dict.fromkeys(("bedrock", "preprocessor", "scheduler", "collector"), STUB)
    stack = Stack(None, StackSettings(env=fresh_env, aws_endpoint=aws.endpoint_url, launch=launch))
    stack.up()
    return stack


def test_env_prints_lines_that_a_shell_can_read_and_that_undo_what_misleads(run, stack, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example")
    monkeypatch.setenv("AWS_PROFILE", "the-company-account")

    lines = run("env").stdout

    script = f'{lines}\nprintf "%s|%s|%s" "$QUARRY_BUCKET" "$AWS_ENDPOINT_URL" "$AWS_ENDPOINT_URL_S3$AWS_PROFILE"'
    read = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert read == f"{stack.env()['QUARRY_BUCKET']}|{stack.env()['AWS_ENDPOINT_URL']}|"
    assert all(line.startswith(("export ", "unset ")) for line in lines.splitlines())


def test_status_shows_each_process_with_its_metrics_and_fails_when_one_is_dead(run, stack):
    sound = run("status")
    stack.kill("collector")
    unsound = run("status")

    assert sound.exit_code == 0
    for name in ("preprocessor", "scheduler", "collector"):
        assert stack.metrics_url(name) in sound.stdout
    assert unsound.exit_code == 1
    assert "dead" in unsound.stdout


def test_logs_on_a_terminal_show_one_process_or_all_with_their_names(run, stack):
    one, every, none = run("logs", "scheduler", "--text"), run("logs", "--text"), run("logs", "schduler")

    assert one.stdout == "stub is up\n"
    assert {line.split("|")[0].strip() for line in every.stdout.splitlines()} == {
        "bedrock",
        "preprocessor",
        "scheduler",
        "collector",
    }
    assert none.exit_code == 1
    assert "no log of 'schduler'" in none.stderr


def test_no_control_character_of_a_log_reaches_a_terminal(run, stack):
    with stack.log_path("scheduler").open("a") as file:
        file.write("\tGET /\x1b]0;title\x07\x9b2J\u202e\n")

    for arguments in (["logs", "scheduler", "--text"], ["logs", "--text"]):
        shown = run(*arguments).stdout
        assert "\tGET /\ufffd]0;title\ufffd\ufffd2J\ufffd\n" in shown
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)


def test_every_line_of_the_logs_in_a_pipe_is_json_whatever_a_process_wrote(run, stack):
    odd = ['{"level": "info", "event": "x", "cost": NaN}', "Traceback:", "[1]", "", '"text"', "[" * 5_000]
    with stack.log_path("scheduler").open("a") as file:
        file.writelines(f"{line}\n" for line in odd)

    for arguments in (["logs"], ["logs", "scheduler"], ["logs", "scheduler", "--json"]):
        lines = run(*arguments).stdout.splitlines()
        found = [json.loads(line, parse_constant=pytest.fail) for line in lines]
        of_it = [line for line in found if line["process"] == "scheduler"]
        assert {"process": "scheduler", "level": "info", "event": "x", "cost": "NaN"} in of_it
        assert [line["event"] for line in of_it[2:]] == odd[1:]
        assert of_it[0]["event"] == "stub is up"


def test_an_option_that_is_not_given_stays_as_it_stands(run, stack):
    before = stack.processes()

    again = run("up")

    assert again.exit_code == 0, again.stderr
    assert stack.processes() == before


def test_up_on_another_stack_says_which_setting_differs_and_changes_nothing(run, stack):
    before = stack.processes()

    refused = run("up", "--quota", "7", "--sim", "speed=9", "--set", "QUARRY_TICK_EVERY_S=1", "--no-services")

    assert refused.exit_code == 1
    for said in (
        "quota is 3 here, and asked for is 7",
        "--sim speed is unset here, and asked for is 9",
        "--set QUARRY_TICK_EVERY_S is unset here, and asked for is 1",
        "services is True here, and asked for is False",
        "quarry local down",
    ):
        assert said in refused.stderr
    assert "env is" not in refused.stderr
    assert "--tls" not in refused.stderr
    assert "TLS is off" in run("up", "--tls").stderr
    assert stack.processes() == before
    assert run("up", "--quota", "3").exit_code == 0


def test_the_settings_of_a_stack_that_is_gone_bind_nobody(run, stack):
    for name in stack.processes():
        stack.kill(name)

    assert Stack().settings() == StackSettings()


def test_a_bedrock_api_key_of_the_shell_is_unset(run, stack, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "key")

    assert "unset AWS_BEARER_TOKEN_BEDROCK" in run("env").stdout.splitlines()


def test_logs_go_on_until_they_are_interrupted(run, stack):
    log = stack.log_path("scheduler")
    command = [sys.executable, "-m", "quarry_local.commands", "logs", "scheduler", "--follow", "--text"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as follower:
        try:
            assert follower.stdout is not None
            assert follower.stdout.readline() == "stub is up\n"
            with log.open("a") as file:
                file.write("next\n")
            assert follower.stdout.readline() == "next\n"
        finally:
            follower.terminate()


def test_down_says_so_and_a_second_time_too(run, stack):
    assert run("down").stdout == "down\n"
    assert run("down").stdout == "down\n"
    assert stack.processes() == {}


def test_without_a_stack_the_commands_say_how_to_get_one(run):
    for command in ("env", "status"):
        answer = run(command)
        assert answer.exit_code == 1
        assert "quarry local up" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--set", "QUARRY_TICK_EVRY_S=1"], "did you mean QUARRY_TICK_EVERY_S"),
        (["--set", "QUARRY_TICK_EVERY_S"], "KEY=VALUE"),
        (["--sim", "=1"], "KEY=VALUE"),
        (["--quota", "0"], "greater than or equal to 1"),
    ],
)
def test_an_option_that_would_go_unnoticed_is_refused_before_anything_starts(run, arguments, hint):
    answer = run("up", *arguments)

    assert answer.exit_code == 2
    assert hint in answer.stderr
    assert Stack().processes() == {}


def test_an_environment_name_that_is_none_fails_with_a_sentence_and_leaves_nothing(run):
    answer = run("up", "--env", "Not-One", "--no-services")

    assert answer.exit_code == 1
    assert "must be 1 to 8 lower-case letters and digits" in answer.stderr
    assert Stack().processes() == {}


def test_a_named_interpreter_that_does_not_exist_is_reported_as_such(monkeypatch, tmp_path):
    monkeypatch.setenv(emulator.PYTHON_VARIABLE, str(tmp_path / "none"))

    with pytest.raises(emulator.EmulatorUnavailable, match="does not exist"):
        emulator.python()


def test_a_named_interpreter_is_taken_as_it_is(monkeypatch):
    monkeypatch.setenv(emulator.PYTHON_VARIABLE, sys.executable)

    assert emulator.python() == Path(sys.executable)
