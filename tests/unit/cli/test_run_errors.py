"""What went wrong in a run: by code with examples and remedies, in the logs, and as JSON for scripts."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from quarry_cli.client.diagnosis.errors import REMEDIES
from quarry_cli.client.diagnosis.logs import groups_of, insights_lines, line_of, local_lines, query_of, span_of
from quarry_cli.commands import completing
from quarry_cli.commands import logs as logs_command
from quarry_cli.errors import NotConfigured
from quarry_cli.main import app
from quarry_collector.settle import ErrorCode
from quarry_core.errors import Refused
from tests.unit.cli.test_run import services


def broken(quarry) -> str:
    """A run of 200 rows, of which each tenth has no topic."""
    table = pa.table({"topic": [None if row % 10 == 0 else f"t {row}" for row in range(200)]})
    run_id = quarry.world.send(quarry.world.joke() | {"s3_uri": quarry.world.parquet(table)})
    quarry.finish(run_id)
    return run_id


def test_every_code_has_a_remedy_and_no_other_has():
    assert set(REMEDIES) == {str(code) for code in ErrorCode}


def test_errors_stand_by_code_with_examples_and_what_to_do(quarry):
    result = quarry("errors", broken(quarry))

    assert result.exit_code == 0
    assert "NULL_INPUT: 20 of 200 rows" in result.stdout
    assert f"do: {REMEDIES['NULL_INPUT']}" in result.stdout
    assert result.stdout.count("'topic'") == 3


def test_more_examples_than_the_report_has_come_from_the_parts(quarry):
    run_id = broken(quarry)

    found = json.loads(quarry("errors", run_id, "--examples", "7", "--json").stdout)

    [code] = found["codes"]
    assert (code["code"], code["rows"], len(code["examples"])) == ("NULL_INPUT", 20, 7)
    assert [each["record_id"] for each in code["examples"][:2]] == ["00000000000", "00000000010"]
    assert found["error_rows"] == 20


def test_one_code_alone_and_no_examples(quarry):
    run_id = broken(quarry)

    assert "no row has the error MODEL_ERROR" in quarry("errors", run_id, "--code", "model_error").stdout
    assert "'topic'" not in quarry("errors", run_id, "--examples", "0").stdout


def test_a_run_without_errors_and_one_that_is_not_there(quarry):
    assert "no row has an error" in quarry("errors", quarry.ended(100)).stdout
    missing = quarry("errors", "nothing")
    assert missing.exit_code == 1


def test_a_message_with_terminal_codes_is_shown_without_them(quarry):
    quarry.world.bedrock.answerer = lambda _body, _kind: {"content": [{"type": "text", "text": ""}], "usage": {}}
    run_id = quarry.ended(120)
    from quarry_core.contract.names import report_key

    key = report_key(run_id)
    report = json.loads(quarry.world.objects.bodies[key])
    report["errors"]["EMPTY_ANSWER"]["examples"][0]["message"] = "\x1b[2J<script>[bold]"
    quarry.world.objects.delete(key)
    quarry.world.objects.plant(key, json.dumps(report).encode())

    shown = quarry("errors", run_id).stdout

    assert "\x1b" not in shown
    assert "<script>[bold]" in shown


# --------------------------------------------------------------------------- logs

LINE = {
    "event": "settled",
    "run_id": "abc",
    "shard": "00002",
    "service": "collector",
    "level": "info",
    "timestamp": "2",
}


def test_lines_of_a_local_stack_are_those_of_the_run_in_their_order(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    early = LINE | {"timestamp": "1", "service": "scheduler", "event": "created"}
    foreign = LINE | {"run_id": "abcd"}
    by_name = {"event": "job", "timestamp": "3", "name": "jokes-abc-00000-1"}
    (logs / "collector.log").write_text("\n".join([json.dumps(LINE), "no json abc", json.dumps(foreign), '[1, "abc"]']))
    (logs / "scheduler.log").write_text("\n".join([json.dumps(by_name), json.dumps(early)]))

    lines = local_lines(tmp_path, "abc", 10)

    assert [(line.service, line.event) for line in lines] == [
        ("scheduler", "created"),
        ("collector", "settled"),
        ("scheduler", "job"),
    ]
    assert lines[1].fields == {"run_id": "abc", "shard": "00002"}
    assert [line.event for line in local_lines(tmp_path, "abc", 1)] == ["job"]


def test_the_command_reads_the_local_stacks_files(quarry, tmp_path, monkeypatch):
    run_id = quarry.ended(100)
    (tmp_path / "logs").mkdir()
    hostile = LINE | {"run_id": run_id, "why": "\x1b[2J"}
    (tmp_path / "logs" / "collector.log").write_text(json.dumps(hostile) + "\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(logs_command, "local_stack", type("Stack", (), {"directory": tmp_path}))

    result = quarry("logs", run_id)

    assert result.exit_code == 0, result.stderr
    assert "collector info settled" in result.stdout
    assert "\x1b" not in result.stdout
    assert json.loads(quarry("logs", run_id, "--json").stdout)["lines"][0]["event"] == "settled"


def test_where_insights_may_not_be_asked_the_query_is_printed(quarry, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    run_id = quarry.ended(100)

    async def ask(service, operation, parameters):
        raise Refused("AccessDenied: logs:StartQuery")

    quarry.connections |= {"ask": ask, "env": "prod"}
    monkeypatch.setenv("QUARRY_ENV", "prod")
    result = quarry("logs", run_id)

    assert result.exit_code == 0
    assert "logs:StartQuery" in result.stderr
    assert "/ecs/prod-quarry-scheduler" in result.stderr
    assert result.stdout.strip() == query_of(run_id, 200)


class Clock:
    def __init__(self):
        self.slept = 0.0

    def monotonic(self):
        return self.slept

    async def sleep(self, seconds):
        self.slept += seconds


async def test_insights_is_asked_over_the_services_groups_until_it_has_answered():
    asked = []
    answers = [
        {"status": "Running"},
        {"status": "Complete", "results": [[{"field": "@message", "value": json.dumps(LINE)}]]},
    ]

    async def ask(service, operation, parameters):
        asked.append((service, operation, parameters))
        return {"queryId": "q"} if operation == "start_query" else answers.pop(0)

    lines = await insights_lines(ask, Clock(), "prod", "abc", 10, (1, 2))

    assert [line.event for line in lines] == ["settled"]
    assert asked[0][2]["logGroupNames"] == groups_of("prod")
    assert (asked[0][2]["startTime"], asked[0][2]["endTime"]) == (1, 2)


async def test_an_insights_that_never_answers_is_given_up():
    async def ask(service, operation, parameters):
        return {"queryId": "q", "status": "Running"}

    with pytest.raises(TimeoutError):
        await insights_lines(ask, Clock(), "prod", "abc", 10, (1, 2))


def test_what_is_no_run_id_gets_into_no_query():
    with pytest.raises(NotConfigured):
        query_of('a" | delete', 1)


def test_the_span_is_the_runs_own_with_some_time_around():
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)

    begun, ended = span_of("2026-11-30T10:00:00+00:00", "2026-11-30T10:30:00+00:00", now)

    assert (ended - begun) == (10 + 30 + 60) * 60
    assert span_of("2026-11-30T11:00:00+00:00", None, now)[1] == int(now.timestamp()) + 600


@pytest.mark.parametrize("text", ["", "{", "1", '{"run_id": "other"}', '{"event": "x"}'])
def test_a_line_that_is_not_about_the_run_is_none(text):
    assert line_of(text, "abc", "s") is None


# --------------------------------------------------------------------------- sharing


def test_links_for_a_while_are_printed_for_each_part_and_the_report(quarry):
    run_id = quarry.ended(300, max_records_per_job=100)
    quarry.connections |= {"presign": lambda: lambda key, for_s: f"https://s3/{key}?for={for_s}"}

    result = quarry("results", run_id, "--share", "24h")
    shared = json.loads(quarry("results", run_id, "--share", "1d", "--json").stdout)

    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("for=86400") == 5
    assert "whoever has a link may download until" in result.stderr
    assert [link["name"] for link in shared["links"]][-2:] == ["report.html", "report.json"]


@pytest.mark.parametrize("time", ["8d", "0h", "1w", "-1h", "999999999999h"])
def test_a_time_that_no_link_can_have_is_refused(quarry, time):
    result = quarry("results", quarry.ended(100), "--share", time)

    assert result.exit_code == 2
    assert "--share" in result.stderr


def test_a_run_that_goes_on_is_not_shared(quarry):
    run_id = quarry.world.send(quarry.world.joke(300))
    quarry.idle()
    quarry.connections |= {"presign": lambda: lambda key, for_s: key}

    assert quarry("results", run_id, "--share", "1h").exit_code == 1


def test_links_are_signed_by_version_4(monkeypatch):
    from quarry_core.aws.access import Access
    from quarry_core.aws.s3.objects import s3_client

    access = Access({"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"})
    url = s3_client("us-east-1", access=access).generate_presigned_url(
        "get_object", Params={"Bucket": "b", "Key": "k"}, ExpiresIn=60
    )

    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
    assert "X-Amz-Expires=60" in url


# --------------------------------------------------------------------------- scripts and shells

# The page is for people, and `schema` prints nothing but JSON.
PRINTS_NO_JSON_OR_ONLY = {"schema", "ui"}


def test_every_command_prints_json_for_scripts():
    lacking = [
        command.callback.__name__
        for group in (app, *(each.typer_instance for each in app.registered_groups))
        for command in group.registered_commands
        if "as_json" not in command.callback.__signature__.parameters
    ]
    assert set(lacking) <= PRINTS_NO_JSON_OR_ONLY


def test_watch_and_results_end_with_json(quarry, tmp_path):
    run_id = quarry.ended(100)

    watched = json.loads(quarry("watch", run_id, "--json").stdout)
    brought = json.loads(quarry("results", run_id, "-o", str(tmp_path / "out"), "--json").stdout)

    assert watched["state"] == "SUCCEEDED"
    assert (brought["rows"], brought["faults"]) == (100, [])


def test_errors_of_every_command_have_one_shape(quarry, tmp_path):
    for args in (
        ("status", "nothing", "--json"),
        ("errors", "nothing", "--json"),
        ("results", "nothing", "-o", str(tmp_path / "o"), "--json"),
    ):
        result = quarry(*args)
        reported = json.loads(result.stdout)
        assert set(reported) == {"error"}, args
        assert set(reported["error"]) == {"code", "message", "exit_code"}
        assert reported["error"]["exit_code"] == result.exit_code == 1


@pytest.mark.parametrize(
    "args", [("runs", "--json", "--limit", "x"), ("results", "abc", "--json"), ("runs", "--jso", "--json")]
)
def test_a_wrong_usage_has_the_same_shape(quarry, args):
    result = quarry(*args)

    reported = json.loads(result.stdout)["error"]
    assert (result.exit_code, reported["code"], reported["exit_code"]) == (2, "UsageError", 2)
    assert result.stderr


class Context:
    def __init__(self, connect):
        self.obj = connect
        self.params: dict[str, str] = {}


def test_a_shell_completes_run_ids_and_never_fails(quarry):
    run_id = quarry.ended(100)

    assert completing.run_ids(Context(quarry.connect), run_id[:3])[0][0] == run_id
    assert completing.run_ids(Context(quarry.connect), "zzzz") == []
    assert completing.run_ids(Context(lambda: 1 / 0), "") == []


def test_a_shell_completes_models_and_profiles(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    assert ("haiku", "anthropic.claude-haiku-4-5-20251001-v1:0") in completing.models("hai")
    assert completing.environments("lo") == ["local"]


def test_a_run_that_is_followed_from_one_call_has_its_errors_too(quarry, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("topic,n\n" + "".join(f"{'' if row % 10 == 0 else f't {row}'},{row}\n" for row in range(150)))
    called = services(quarry)("run", str(path), "-m", "haiku-3", "--prompt", "A joke about {topic}", "--json", "--yes")

    assert called.exit_code in (0, 3)
    assert json.loads(called.stdout)["rows"]["accepted"] == 150
