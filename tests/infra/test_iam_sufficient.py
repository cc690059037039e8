"""The policies suffice: whole runs with IAM enforced, each service under its role, and nobody is refused anything.

The environment is as Terraform applied it, nothing taken away: the gateway before the emulator says that calls come by TLS,
so the denials of plain HTTP stand too. The simulated Bedrock takes its role for each job after it judged the role's trust
and the scheduler's right to pass it, and reads and writes the files under that role's keys, which the emulator judges.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from quarry_cli.client.diagnosis.logs import groups_of, insights_lines
from quarry_core.clock import SystemClock
from quarry_core.contract import names
from quarry_core.contract.messages import Wakeup
from quarry_local import demo, resources
from quarry_local.policies import SERVICES
from tests.infra import working
from tests.infra.applied import BEDROCK, CLAUDE, OPERATOR, PROFILE, TITAN, Applied
from tests.infra.probes import MISJUDGED

# The demo's two runs, smaller, one over a folder, one by a profile that Bedrock's role must be allowed to invoke, one of too
# few rows for a job, and one without a source.
ROWS = {"text": 300, "embed": 150, "folder": 200, "profile": 100, "few": 12, "absent": 0, "cancelled": 300}
UNFINISHED = {"absent", "cancelled"}
# What `quarry retry` makes of the run that was cancelled.
RETRIED = "cancelled-v2"
ROWS[RETRIED] = ROWS["cancelled"]
SUCCEEDING = sorted(ROWS.keys() - UNFINISHED)
PROMPT = "joke_about_topic"
# A model that CountTokens knows; nothing is sent to it.
COUNTED = "anthropic.claude-3-5-haiku-20241022-v1:0"
NO = ("AccessDenied", "not authorized", "Forbidden", "(403)")


@dataclass
class Played:
    """What came of the runs. `refusals` and `calls` are by the caller's name."""

    operator: working.Operator
    views: dict[str, Any]
    logs: dict[str, str]
    refusals: list[tuple[str, str]]
    calls: dict[str, int]
    said: dict[str, str]


@pytest.fixture(scope="module")
def played(world, tmp_path_factory) -> Played:
    home = tmp_path_factory.mktemp("working")
    gateways = (world.gateway, world.bedrock_gateway, world.bedrock_proxy)
    before = [len(proxy.refusals) for proxy in gateways]
    calls = [dict(proxy.calls) for proxy in gateways]
    with working.services(world, home) as logs:
        operator = working.Operator(world, home)
        views = {run_id: operator.ended(run_id) for run_id in _submit(operator, world.place.bucket)}
        operator.quarry("retry", "cancelled", "--all", "--yes")
        views[RETRIED] = operator.ended(RETRIED)
        said = {
            "runs": operator.quarry("runs"),
            "dead-letter messages": operator.quarry("dlq", "list"),
            **_moved(operator, world),
            "estimate": _estimated(operator, json.loads((home / "text.json").read_text())),
            "doctor": operator.quarry("doctor", "--model", PROFILE, codes=(0, 1)),
        }
        said["compact"] = operator.quarry("compact", "text", "--json")
        for run_id in SUCCEEDING:
            said[run_id] = operator.quarry("results", run_id, "-o", str(home / "out" / run_id))
    assert [fault for proxy in gateways for fault in proxy.faults] == []
    refusals = [
        (world.who(key), words)
        for proxy, count in zip(gateways, before, strict=True)
        for key, words in proxy.refusals[count:]
    ]
    made = {
        world.who(key): number - had.get(key, 0)
        for proxy, had in zip(gateways, calls, strict=True)
        for key, number in proxy.calls.items()
        if proxy is not world.bedrock_proxy
    }
    read = {name: path.read_text() for name, path in logs.items()}
    return Played(operator, views, read, refusals, made, said)


def _submit(operator: working.Operator, bucket: str) -> list[str]:
    prompt = resources.SHIPPED_PROMPTS / f"{PROMPT}.yaml"
    operator.put(f"prompts/{PROMPT}.yaml", prompt.read_bytes())
    topics = operator.put("inputs/topics.csv", demo.topics(ROWS["text"]))
    fewer = operator.put("inputs/fewer.csv", demo.topics(ROWS["profile"]))
    few = operator.put("inputs/few.csv", demo.topics(ROWS["few"]))
    texts = operator.put("inputs/texts.csv", demo.texts(ROWS["embed"]))
    for name in ("1", "2"):
        operator.put(f"inputs/folder/{name}.csv", demo.topics(ROWS["folder"] // 2))
    absent = f"s3://{bucket}/inputs/absent.csv"
    text = {"prompt_id": PROMPT, "model_id": CLAUDE, "job_name_prefix": "proof"}
    return [
        operator.submit(
            {**text, "run_id": "text", "s3_uri": topics, "max_records_per_job": 100, "tags": {"team": "a"}}
        ),
        operator.submit({**text, "run_id": "embed", "s3_uri": texts, "model_id": TITAN, "prompt_id": None}),
        operator.submit({**text, "run_id": "folder", "s3_uri": f"s3://{bucket}/inputs/folder/"}),
        operator.submit({**text, "run_id": "profile", "s3_uri": fewer, "model_id": PROFILE}),
        operator.submit({**text, "run_id": "few", "s3_uri": few, "model_id": PROFILE}),
        operator.submit({**text, "run_id": "absent", "s3_uri": absent}, check=False),
        # Held for its budget from the start, so that it does not end before it is paused, however slow this machine is.
        _controlled(operator, {**text, "run_id": "cancelled", "s3_uri": topics, "budget_usd": 0.000_001}),
    ]


def _moved(operator: working.Operator, world: Applied) -> dict[str, str]:
    """Dead-letter messages that are harmless are moved back and deleted, which is written down."""
    sqs = world.root.client("sqs")
    for queue in ("slices", "events"):
        url = f"{world.gateway.url}/{world.place.account}/{names.dead_letter_queue_name(world.place.env, queue)}"
        sqs.send_message(QueueUrl=url, MessageBody=Wakeup(step="count", run_id="text").body())
    said = {
        "redriven": operator.quarry("dlq", "redrive", "slices", "--yes"),
        "purged": operator.quarry("dlq", "purge", "events", "--yes"),
    }
    return {**said, "audit": operator.quarry("audit", "text", "--json")}


def _estimated(operator: working.Operator, manifest: dict[str, Any]) -> str:
    file = operator.home / "counted.json"
    file.write_text(json.dumps(manifest | {"run_id": "counted", "model_id": COUNTED}))
    return operator.quarry("estimate", str(file), "--count-tokens", "5")


def _controlled(operator: working.Operator, manifest: dict[str, Any]) -> str:
    """A run that is paused, resumed and cancelled as soon as it is planned, so that all its rows can be asked again."""
    run_id = operator.submit(manifest)
    while not operator.status(run_id).get("held"):
        time.sleep(working.POLL_S)
    for verb in ("pause", "resume", "cancel"):
        operator.quarry(verb, run_id)
    return run_id


@pytest.mark.parametrize("run_id", SUCCEEDING)
def test_a_run_succeeds_row_for_row(played, run_id):
    view, rows = played.views[run_id], ROWS[run_id]
    assert (view["state"], view["error"]) == ("SUCCEEDED", None)
    assert (view["rows"]["accepted"], view["rows"]["ok"], view["rows"]["error"]) == (rows, rows, 0)
    parts = sorted((played.operator.home / "out" / run_id).glob("**/*.parquet"))
    assert sum(pq.read_metadata(part).num_rows for part in parts) == rows


def test_parts_are_merged_under_the_operators_policy(played):
    merged = json.loads(played.said["compact"])
    assert (merged["parts"], merged["rows"]) == (1, ROWS["text"])
    assert merged["before"] > 1


def test_a_source_that_is_not_there_is_told_from_one_that_may_not_be_read(played):
    """What s3:ListBucket is granted for."""
    assert played.views["absent"]["state"] == "FAILED"
    assert "does not exist" in played.views["absent"]["error"]


def test_a_run_is_paused_resumed_and_cancelled_under_the_operators_policy(played):
    view = played.views["cancelled"]
    assert view["state"] == "CANCELLED"
    assert view["cancelled_by"].endswith(f":user/{played.operator.name}")


def test_a_run_is_retried_under_the_operators_policy(played):
    assert (played.views["cancelled"]["rows"]["error"], played.views[RETRIED]["rows"]["ok"]) == (300, 300)
    assert [version["newest"] for version in played.views[RETRIED]["versions"]] == [False, True]


def test_dead_letter_messages_are_moved_and_deleted_under_the_operators_policy_and_it_is_known_who_did(played):
    assert "1 moved back" in played.said["redriven"]
    assert "1 deleted" in played.said["purged"]
    entries = {each["action"]: each for each in json.loads(played.said["audit"])["entries"]}
    for action, queue in (("redrive", "slices"), ("purge", "events")):
        assert entries[action]["subject"] == f"{queue}-dlq"
        assert entries[action]["by"].endswith(f":user/{played.operator.name}")


def test_messages_are_deleted_together_by_who_may_delete_them_and_by_nobody_else(world):
    sqs, batch = world.callers[OPERATOR].client("sqs"), [{"Id": "0", "ReceiptHandle": "made-up"}]
    url = f"{world.gateway.url}/{world.place.account}"
    dead = f"{url}/{names.dead_letter_queue_name(world.place.env, 'slices')}"
    assert sqs.delete_message_batch(QueueUrl=dead, Entries=batch)["ResponseMetadata"]["HTTPStatusCode"] == 200
    with pytest.raises(ClientError, match="not authorized to perform: sqs:DeleteMessage on"):
        sqs.delete_message_batch(QueueUrl=f"{url}/{names.queue_name(world.place.env, 'slices')}", Entries=batch)


def test_an_operator_estimates_by_counted_tokens(played):
    assert "counted by Bedrock on a sample" in played.said["estimate"]


async def test_an_operator_asks_insights_for_a_runs_log(world):
    """As `quarry logs` asks; on a stack of this machine it reads files."""
    for group in groups_of(world.place.env):
        world.root.client("logs").create_log_group(logGroupName=group)
    operator, root = world.callers[OPERATOR], world.root

    async def ask(service, operation, parameters):
        if operation == "start_query":
            # The emulator knows which group a query is about where there is one, and by its name; of several it sees none.
            one = {name: value for name, value in parameters.items() if name != "logGroupNames"}
            for group in parameters["logGroupNames"]:
                operator.client(service).start_query(logGroupName=group, **one)
        return getattr(root.client(service), operation)(**parameters)  # of an answer it sees no group either: MISJUDGED

    refused = len(world.gateway.refusals)
    assert await insights_lines(ask, SystemClock(), world.place.env, "0" * 12, 10, (0, 1)) == []
    assert world.gateway.refusals[refused:] == []


def test_nobody_is_refused_anything(played):
    """But for what the emulator misjudges: two calls of doctor's, by the operator."""
    wrong = [
        f"{name}: {words}"
        for name, words in played.refusals
        if not (name == OPERATOR and any(f"perform: {action} " in words for action in MISJUDGED))
    ]
    assert not wrong, "\n".join(wrong)
    for name in ROWS.keys() - UNFINISHED:
        assert "nothing is missing" in played.said[name]


@pytest.mark.parametrize("service", SERVICES)
def test_no_log_tells_of_a_refusal(played, service):
    lines = played.logs[service].splitlines()
    assert lines
    assert [line for line in lines if any(word in line for word in NO)] == []


def test_everybody_works_in_their_own_name(played):
    """No service has the key of another, or of root; root's calls are those of the simulated Bedrock's own service."""
    assert {name for name, number in played.calls.items() if number > 0} == {*SERVICES, BEDROCK, OPERATOR, "test"}
    assert min(played.calls[name] for name in (*SERVICES, BEDROCK, OPERATOR)) > 5


def test_doctor_finds_the_environment_sound_under_the_operators_policy(played):
    reported = [
        line.split(None, 2) for line in played.said["doctor"].splitlines() if line.startswith(("ok", "FAIL", "unknown"))
    ]
    unknown = {check: words for verdict, check, words in reported if verdict == "unknown"}
    unsure = {check: words for check, words in unknown.items() if not any(action in words for action in MISJUDGED)}
    assert ", 0 failed," in played.said["doctor"]
    assert {"bucket", "trust", "s3-access", "pass-role", "queues", "sweep"} <= {
        check for verdict, check, _ in reported if verdict == "ok"
    }
    assert not any("not allowed to read it" in words for words in unsure.values()), unsure
