"""What the services log: lines that say what they are about, and never what is in a prompt, an answer or a secret."""

from __future__ import annotations

import contextlib
import io
import json

import pyarrow as pa
import pytest
import structlog

from quarry_core.contract.names import prompt_key
from quarry_core.errors import Refused, Throttled
from quarry_core.service.consumer import Consumer
from quarry_core.service.process import consumer_limits
from quarry_core.telemetry import logs
from tests.unit.flow.acts import another_scheduler, play
from tests.world.faults import Faults
from tests.world.world import CLAUDE, SimulatedWorld

SAID = "the-words-of-a-stranger"
SECRET = "wJalrXUtnFEMIquarrySECRETkey"
# Lines of one message, of a tick of a pool, and of a sweep: the last two are of no message.
OF_A_SHARD = {
    "admitted",
    "create",
    "create_unknown",
    "adopted",
    "job_ended",
    "taken_over",
    "settled",
    "repeat",
    "part_not_written",
    "job_forgotten",
    "stopping_second_job",
}


@pytest.fixture
def lines(monkeypatch):
    """The log as it is printed, every level; each line as an object."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    paper = io.StringIO()
    logs.set_up_logs("test", "DEBUG")
    # On paper of this test's own, and for this test only.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(paper), cache_logger_on_first_use=False)
    return lambda: [json.loads(line) for line in paper.getvalue().splitlines()]


def said(lines):
    return [line for line in lines if SAID in json.dumps(line) or SECRET in json.dumps(line)]


async def a_run_with_every_ending(world):
    """Answers, error rows, a repeat, a part of a job; the prompt, the rows and the answers have the words in them."""
    world.bedrock.error_share = world.bedrock.missing_share = 0.1
    table = pa.table({"topic": [None if row == 7 else f"{SAID} {row}" for row in range(600)]})
    manifest = world.joke(max_records_per_job=200) | {"s3_uri": world.parquet(table)}
    del manifest["prompt_id"]
    manifest["prompt"] = {"template": f"{SAID}: {{topic}}", "system": SAID}
    run_id = world.send(manifest)
    endings = iter([("Failed", False), ("PartiallyCompleted", True), ("Stopped", True)])

    def end(job):
        status, output = next(endings, ("Completed", True))
        world.bedrock.end(job, status, message="Internal error", output=output)

    world.jobs.refuse_once(Throttled("not now"))
    await play(world, run_id, end)
    return run_id


async def test_no_line_carries_what_was_asked_or_answered(lines):
    world = SimulatedWorld()
    run_id = await a_run_with_every_ending(world)

    seen = lines()
    assert SAID in "".join(str(each) for each in world.result(run_id)["response"].to_pylist())
    assert {"accepted", "planned", "admitted", "create", "job_ended", "repeat", "settled", "run_ended"} <= {
        line["event"] for line in seen
    }
    assert said(seen) == []


async def test_counts_are_numbers_also_in_a_field_that_elsewhere_is_a_sentence(lines):
    world = SimulatedWorld()
    run_id = await a_run_with_every_ending(world)

    (ended,) = [each for each in lines() if each["event"] == "run_ended"]
    statuses = world.result(run_id)["status"].to_pylist()
    assert (ended["ok"], ended["error"]) == (statuses.count("ok"), statuses.count("error"))


@pytest.mark.parametrize(
    "broken",
    [
        {"prompt": {"template": SAID, "sytem": SAID}},
        {"prompt": {"template": f"{SAID} {{{{ {{topic"}},
        {"prompt": f"{SAID}: {{no_such_column}}"},
        {"prompt": [SAID]},
        {"prompt": f"as JSON {{{SAID}}}: {{topic}}"},
        {"prompt": f"as JSON {{ {SAID}: {{topic}}"},
        {"prompt": f'as JSON {{"{SAID}": {{topic}}}}'},
        {"prompt": f"as JSON {{topic!r}} {{{SAID}:>9}}"},
        {"prompt": f"{SAID} without a placeholder"},
        {"prompt": f"it's {{topic}} }} {SAID}"},
        {"prompt": {"template": "{topic}", SAID: "unknown"}},
        {"prompt": {"template": "{topic}", "inference": {SAID: 1}}},
        {"prompt": {"template": "{topic}", "system": SAID * 20_000}},
        {"prompt": "{topic}", SAID: SAID},
        {"prompt": "{topic}", "inference": {"stop_sequences": [SAID, 7]}},
        {"prompt": "{topic}", "inference": {"temperature": SAID}},
        {"prompt_id": SAID + " / " + SAID},
        {"prompt": "{topic}", "max_num_jobs": SAID},
        {"prompt": f"{SAID}: {{topic}}", "inference": {"max_tokens": "many"}},
    ],
)
async def test_no_refusal_of_a_manifest_repeats_its_prompt(lines, broken):
    world = SimulatedWorld()
    manifest = world.joke(rows=100)
    del manifest["prompt_id"]
    manifest |= broken
    world.send(manifest)
    await world.idle()

    seen = lines()
    assert "refused" in {line["event"] for line in seen}
    assert said(seen) == []


@pytest.mark.parametrize(
    "prompt_file",
    [
        f"template: '{SAID} {{{{topic}}'",
        f"template: {SAID}: {{topic}}: [",
        f"{SAID}: 1\ntemplate: '{{topic}}'",
        f"- {SAID}",
        f"template: '{{topic}}'\ninference: {{ {SAID}: {SAID} }}",
        f"template: '{{topic}}'\nversion: [ {SAID} ]",
        f"&a {SAID}: *{SAID}",
    ],
)
async def test_no_refusal_of_a_prompt_file_repeats_it(lines, prompt_file):
    world = SimulatedWorld()
    world.objects.plant(prompt_key("asked"), prompt_file.encode())
    world.send(world.joke(rows=100, prompt_id="asked"))
    await world.idle()

    seen = lines()
    assert "refused" in {line["event"] for line in seen}
    assert said(seen) == []


@pytest.mark.parametrize("cells", [f"{SAID}\n", f'topic\n"{SAID}\n', f"topic\n{SAID},{SAID}\n", f'topic\n"a"{SAID}\n'])
async def test_no_refusal_of_a_file_repeats_its_rows(lines, cells):
    world = SimulatedWorld()
    world.objects.plant("inputs/rows.csv", (cells + "\n".join(["x"] * 200)).encode())
    world.send(world.joke(rows=1) | {"s3_uri": f"s3://{world.settings.bucket}/inputs/rows.csv"})
    await world.idle()

    seen = lines()
    assert "refused" in {line["event"] for line in seen}
    assert said(seen) == []


async def test_what_bedrock_says_of_a_job_is_not_in_the_log(lines):
    world = SimulatedWorld(repeats_max=1)
    run_id = world.send(world.joke(rows=100))
    await play(
        world, run_id, lambda job: world.bedrock.end(job, "Failed", message=f"Bad line: {SAID} {SAID}", output=False)
    )

    seen = lines()
    assert {"job_ended", "repeat", "run_ended"} <= {line["event"] for line in seen}
    assert SAID in (await world.totals(run_id)).message, "who asks for the run is told"
    assert said(seen) == []


def a_bug(*_, **__):
    try:
        {}[SAID]
    except KeyError as error:
        raise ValueError(f"cannot use {SAID}") from error


@pytest.mark.parametrize(
    "place",
    [
        "quarry_preprocessor.arrive.run_id_of",
        "quarry_preprocessor.slices.sending_encoder_of",
        "quarry_collector.salvage.read_blocks",
        "quarry_collector.shards.Salvage.part",
        "quarry_collector.runs.build_report",
        "quarry_scheduler.tracking._row",
        "quarry_scheduler.create.job_row",
        "quarry_scheduler.gauges.figures",
    ],
)
async def test_of_a_bug_a_line_says_where_it_is_and_nothing_that_it_was_about(lines, monkeypatch, place):
    monkeypatch.setattr(place, a_bug)
    world = SimulatedWorld()
    world.send(world.joke(rows=100, run_id="r1"))
    for _ in range(12):
        with contextlib.suppress(AssertionError, ValueError):
            await world.idle()
        world.bedrock.end_all()
        world.clock.advance(400)
        with contextlib.suppress(ValueError):
            await world.scheduler.tick_all()
            await world.scheduler.sweeper.sweep()

    seen = lines()
    reported = [line["exception"] for line in seen if "exception" in line]
    assert said(seen) == []
    assert reported
    for each in reported:
        assert "ValueError at " in each
        assert "test_logs.py" in each
        assert "because of KeyError at " in each


async def test_what_cannot_be_read_is_dead_lettered_without_a_word_of_it(lines):
    world = SimulatedWorld()
    for queue in world.queues.values():
        queue.put(f"{SAID}, and no JSON")
        queue.put(json.dumps({"v": 2, "step": SAID}))
    await world.idle()

    seen = lines()
    assert "dead_lettered" in {line["event"] for line in seen}
    assert said(seen) == []


async def test_no_line_tells_of_a_broken_row_what_is_in_it(lines):
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=300, max_records_per_job=100))
    world.objects.plant("inputs/topics.csv", f'topic,note\n"{SAID},{SAID}\n{SAID}\n'.encode())
    await world.idle()
    world.objects.plant("inputs/topics.csv", f'topic\n{SAID},{SAID}\n"{SAID}'.encode())
    world.send(world.joke(rows=1) | {"s3_uri": f"s3://{world.settings.bucket}/inputs/topics.csv"})
    world.objects.plant("inputs/topics.csv", f'topic\n{SAID},{SAID}\n"{SAID}'.encode())
    await world.idle()

    seen = lines()
    assert (await world.totals(run_id)).state.terminal
    assert "refused" in {line["event"] for line in seen}
    assert said(seen) == []


async def test_every_line_says_what_it_is_about(lines):
    world = SimulatedWorld()
    await a_run_with_every_ending(world)
    world.jobs.refuse_once(Refused("creating: AccessDeniedException: no"))
    await play(world, world.send(world.joke(rows=100)))

    for line in lines():
        assert {"event", "level", "timestamp", "service", "step"} <= line.keys(), line
        assert line["step"] in ("arrive", "admit", "submit", "settle", "sweep", "scheduler", "events", "on-demand"), (
            line
        )
        if line["event"] in OF_A_SHARD:
            assert {"run_id", "shard", "attempt"} <= line.keys(), line
        if line["step"] not in ("admit", "sweep"):
            assert {"run_id", "message_id"} <= line.keys(), line


async def test_what_becomes_of_a_message_is_reported_with_its_run_and_its_shard(lines):
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100))
    await world.idle()
    world.bedrock.end_all()
    another = another_scheduler(world, Faults({1: "refuse"}))
    events = world.queues["events"]
    await Consumer(events, another.on_event, consumer_limits(world.settings, 1), world.clock, "submit").run_once()

    [line] = [line for line in lines() if line["event"] == "returned"]
    assert (line["run_id"], line["shard"], line["attempt"]) == (run_id, "00000", 1)
    assert line["message_id"].startswith("events-")


async def test_a_line_of_the_next_message_has_nothing_of_the_one_before(lines):
    world = SimulatedWorld()
    world.send(world.joke(rows=100, model_id=CLAUDE))
    world.queues["manifests"].put("no JSON")
    await world.consumers[0].run_once()

    accepted, dead_lettered = lines()
    assert (accepted["event"], dead_lettered["event"]) == ("accepted", "dead_lettered")
    assert "run_id" not in dead_lettered
    assert dead_lettered["message_id"] != accepted["message_id"]


def test_a_right_that_is_missing_is_named_however_long_iams_sentence_is():
    arn = "arn:aws:sts::123456789012:assumed-role/prod-quarry-collector/" + "s" * 60
    key = "s3://prod-quarry-123456789012/batch-output/" + "r" * 60
    why = f'Refused: read {key}: AccessDenied: User: {arn} is not authorized to perform: s3:GetObject on resource: "x"'

    reported = logs.our_words(why)

    assert reported.endswith("not authorized to perform: s3:GetObject")
    assert len(reported) < logs.SENTENCE_CHARS_MAX + 100
