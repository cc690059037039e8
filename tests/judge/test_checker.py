"""The checker, on results that were doctored: it must say of each what is wrong, and of the untouched one nothing."""

from __future__ import annotations

import ast
import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.judge.checker import FIGURES, Evidence, Listed, judge
from tests.sim import trial
from tests.sim.lines import read
from tests.sim.loop import VirtualLoop

PART, OTHER_PART = "results/asked/part-00000.parquet", "results/job/part-00000.parquet"


@pytest.fixture(scope="module")
def left() -> Evidence:
    """What a run of 45 rows on demand, one of a job, a dry run and a poison message leave, if nothing goes wrong."""
    return left_of("asked:0")


@pytest.fixture(scope="module")
def retried() -> Evidence:
    """What a run leaves of which half of the records went again, in three rounds."""
    return left_of("rounds:0")


@pytest.fixture(scope="module")
def versions() -> Evidence:
    """What a run leaves of which many records have an error, and the retry that asked these again."""
    return left_of("held:0")


@pytest.fixture(scope="module")
def months() -> Evidence:
    """What runs leave that did not fit into the budget of a month, when it has turned."""
    return left_of("monthly:0")


def left_of(line: str) -> Evidence:
    loop = VirtualLoop()
    with trial.silent():
        run = trial._Run(read(line), loop)
        loop.run_until_complete(run.all())
    evidence = run._evidence()
    for task in list(loop.tasks):
        task.cancel()
    loop.run_until_complete(trial.asyncio.sleep(0))
    loop.close()
    return evidence


def part_with(evidence: Evidence, key: str, change) -> Evidence:
    rows = pq.read_table(io.BytesIO(evidence.objects[key][-1]))
    body = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(change(rows.to_pylist()), rows.schema), body)
    return with_object(evidence, key, body.getvalue())


def with_object(evidence: Evidence, key: str, *versions: bytes | None) -> Evidence:
    return replace(evidence, objects={**evidence.objects, key: list(versions)})


def with_item(evidence: Evidence, key: tuple[str, str], **changes) -> Evidence:
    items = [{**item, **changes} if (item["pk"], item["sk"]) == key else dict(item) for item in evidence.items]
    if key not in {(item["pk"], item["sk"]) for item in items}:
        items.append({"pk": key[0], "sk": key[1], **changes})
    return replace(evidence, items=items)


def with_report(evidence: Evidence, **changes) -> Evidence:
    report = json.loads(evidence.objects["results/job/_report.json"][-1])
    return with_object(evidence, "results/job/_report.json", json.dumps(report | changes).encode())


def job_again(evidence: Evidence, **changes) -> Evidence:
    (job,) = evidence.jobs
    return replace(evidence, jobs=[job, replace(job, arn="another", **changes)])


def swapped(rows):
    rows[0]["response"], rows[1]["response"] = rows[1]["response"], rows[0]["response"]
    return rows


POOL = ("pool#us-east-1#anthropic.claude-3-haiku-20240307-v1:0", "quota")
DOCTORED = {
    "a row is missing": (lambda e: part_with(e, PART, lambda rows: rows[:-1]), "lost", 1),
    "a part is missing": (lambda e: with_object(e, OTHER_PART, None), "lost", 110),
    "a run is missing": (
        lambda e: replace(e, items=[item for item in e.items if item["pk"] != "run#job"]),
        "lost",
        110,
    ),
    "a row is there twice": (lambda e: part_with(e, PART, lambda rows: [*rows, rows[0]]), "duplicated", 2),
    "a row is nobody's": (
        lambda e: part_with(e, PART, lambda rows: [*rows, {**rows[0], "topic": "x", "record_id": "00000000099"}]),
        "unexpected",
        2,
    ),
    "answers are swapped": (lambda e: part_with(e, PART, swapped), "unexpected", 2),
    "a job was worked on twice": (lambda e: job_again(e, begun_s=e.jobs[0].ended_s), "paid_twice", 1),
    "two jobs at once": (lambda e: job_again(e, name="sim-job-00002-1-test"), "over_quota", 1),
    "a record was asked twice": (lambda e: replace(e, prompts=[*e.prompts, e.prompts[0]]), "paid_twice", 1),
    "a wake-up is dead": (
        lambda e: replace(e, dead={**e.dead, "collector": ['{"v":2,"step":"settle"}']}),
        "healthy_in_dlq",
        1,
    ),
    "a slot is held": (lambda e: with_item(e, POOL, in_use=1, holders={"job/00000/1"}), "leaked", 1),
    "a slot is counted by nobody": (lambda e: with_item(e, POOL, in_use=1), "leaked", 1),
    "a marker is left": (lambda e: with_item(e, ("run#job", "todo#00000"), run_id="job"), "leaked", 1),
    "an input is left": (lambda e: with_object(e, "batch-input/job/00000.jsonl", b"{}"), "leaked", 1),
    "a job is still active": (
        lambda e: replace(e, jobs=[replace(e.jobs[0], status="InProgress", ended_s=None)]),
        "leaked",
        1,
    ),
}
WRONG = {
    "a run is not over": (lambda e: with_item(e, ("run#job", "totals"), state="CLOSING"), "job is CLOSING"),
    "the table miscounts": (lambda e: with_item(e, ("run#job", "totals"), ok=109, error=1), "the table says"),
    "the report miscounts": (
        lambda e: with_report(e, rows={"accepted": 110, "ok": 109, "error": 1}),
        "the report says",
    ),
    "the report tells another end": (lambda e: with_report(e, state="FAILED"), "the report says FAILED"),
    "the report is missing": (lambda e: with_object(e, "results/job/_report.json", None), "has no report"),
    "the marker is missing": (lambda e: with_object(e, "results/job/_SUCCESS", None), "its marker is missing"),
    "rows are out of order": (lambda e: part_with(e, PART, lambda rows: rows[::-1]), "not in the order"),
    "a part was written over": (
        lambda e: with_object(e, PART, b"other bytes", e.objects[PART][-1]),
        "published more than once",
    ),
    "a part cannot be read": (lambda e: with_object(e, PART, b"PAR1"), "cannot be read"),
    "poison is gone": (lambda e: replace(e, dead={}), "poison lies in no dead-letter queue"),
}


def first_again(evidence: Evidence) -> dict:
    """A row of the first shard whose record went again, as its first outcome told it."""
    first = pq.read_table(io.BytesIO(evidence.objects["outcomes/rounds/00000-1.parquet"][-1])).to_pylist()
    return next(row for row in first if row["status"] == "error")


def with_first_outcome(rows, evidence):
    first = first_again(evidence)
    return [row | first if row["record_id"] == first["record_id"] else row for row in rows]


def without_another_attempt(evidence: Evidence) -> Evidence:
    """As if the first record that went again had not: its error stands, and another attempt would have fixed it."""
    record = first_again(evidence)["record_id"]
    for number in ("00003", "00004"):
        key = f"outcomes/rounds/{number}-1.parquet"
        evidence = part_with(evidence, key, lambda rows: [row for row in rows if row["record_id"] != record])
    return part_with(evidence, ROUNDS_PART, lambda rows: with_first_outcome(rows, evidence))


def asked_more_often(evidence: Evidence) -> Evidence:
    more = {
        f"outcomes/rounds/{number}-1.parquet": evidence.objects["outcomes/rounds/00003-1.parquet"]
        for number in ("00010", "00011")
    }
    return replace(evidence, objects={**evidence.objects, **more})


ROUNDS_PART = "results/rounds/part-00000.parquet"
WRONG_ROUNDS = {
    "a row shows an earlier outcome": (
        lambda e: part_with(e, ROUNDS_PART, lambda rows: with_first_outcome(rows, e)),
        "its last outcome is",
    ),
    "a transient error was left": (without_another_attempt, "was asked 1 times"),
    "records were asked too often": (asked_more_often, "asked too often"),
    "what goes again was written over": (
        lambda e: with_object(e, "again/rounds/00000-1.jsonl", b"other", e.objects["again/rounds/00000-1.jsonl"][-1]),
        "published more than once",
    ),
}


@pytest.mark.parametrize("what", WRONG_ROUNDS)
def test_a_doctored_retry_is_told(retried, what):
    doctor, words = WRONG_ROUNDS[what]
    verdict = judge(doctor(retried))
    assert any(words in why for why in verdict.why), verdict.why
    assert not verdict.right


VERSION_PART = "results/held-v2/part-00000.parquet"


def changed(rows, **changes):
    """The first row with an answer, with these values."""
    first = next(row for row in rows if row["status"] == "ok")
    return [row | changes if row is first else row for row in rows]


def asked_once_more(evidence: Evidence) -> Evidence:
    """A record that had its answer is among those that the retry asks."""
    rows = pq.read_table(io.BytesIO(evidence.objects["results/held/part-00000.parquet"][-1])).to_pylist()
    record = next(row["record_id"] for row in rows if row["status"] == "ok")
    (key,) = (key for key in evidence.objects if key.startswith("batch-input/held-v2/"))
    body, gone = evidence.objects[key]
    return with_object(evidence, key, body + json.dumps({"recordId": record, "modelInput": {}}).encode(), gone)


WRONG_VERSIONS = {
    "an answer has changed": (
        lambda e: part_with(e, VERSION_PART, lambda rows: changed(rows, output_tokens=1, response="held topic 0")),
        "was {",
    ),
    "a record has another row": (
        lambda e: part_with(e, VERSION_PART, lambda rows: changed(rows, topic="held topic 299")),
        "in held it is of",
    ),
    "an answer was paid for again": (asked_once_more, "asks records that held has answers to"),
    "the version is not named": (
        lambda e: with_item(e, ("run#held", "totals"), newest=""),
        "is not the newest version of held",
    ),
    "a version that is not whole is named": (
        lambda e: with_object(e, VERSION_PART, None),
        "is the newest version of held, and is not whole",
    ),
}


@pytest.mark.parametrize("what", WRONG_VERSIONS)
def test_a_doctored_version_is_told(versions, what):
    doctor, words = WRONG_VERSIONS[what]
    verdict = judge(doctor(versions))
    assert any(words in why for why in verdict.why), verdict.why
    assert not verdict.right


def month_with(evidence: Evidence, **more: int) -> Evidence:
    """January with so many millionths of a dollar more."""
    january = next(item for item in evidence.items if item["pk"] == "months" and item["sk"] == "2026-01")
    return with_item(evidence, ("months", "2026-01"), **{name: january[name] + many for name, many in more.items()})


FIRST = ("run#first", "shard#00000")
WRONG_MONTHS = {
    "a month has spent too little": (
        lambda e: month_with(e, spent_micros=-1, projected_micros=-1),
        "the months have spent",
    ),
    "a month is booked too often": (lambda e: month_with(e, booked_micros=1, projected_micros=1), "month 2026-01 says"),
    "something is still booked": (
        lambda e: month_with(e, unbooked_micros=-641, projected_micros=641),
        "are still booked",
    ),
    "what is projected is not the sum": (lambda e: month_with(e, projected_micros=1), "month 2026-01 says"),
    "a shard is booked in a month that is gone": (
        lambda e: replace(e, items=[item for item in e.items if item["sk"] != "2026-02"]),
        "shards are booked in ['2026-02'], which the table does not have",
    ),
    "a shard cost more than its rows": (lambda e: with_item(e, FIRST, spent_micros=999), "first/00000-1 cost 999"),
    "the month has spent more than its budget": (lambda e: replace(e, month_usd=0.000_5), "and may 500"),
}


@pytest.mark.parametrize("what", WRONG_MONTHS)
def test_a_doctored_month_is_told(months, what):
    doctor, words = WRONG_MONTHS[what]
    verdict = judge(doctor(months))
    assert any(words in why for why in verdict.why), verdict.why
    assert not verdict.right


def test_of_an_untouched_result_nothing_is_said(left, retried, versions, months):
    assert any(key.startswith("again/rounds/") for key in retried.objects)
    assert any(asked.retry_of for asked in versions.asked)
    assert sum(item["pk"] == "months" for item in months.items) == 2
    for evidence in (left, retried, versions, months):
        verdict = judge(evidence)
        assert verdict.right, verdict.why
        assert verdict.why == []


@pytest.mark.parametrize("what", DOCTORED)
def test_a_doctored_result_is_counted(left, what):
    doctor, figure, count = DOCTORED[what]
    verdict = judge(doctor(left))
    assert verdict.figures[figure] == count, verdict.why
    assert not verdict.right


@pytest.mark.parametrize("what", WRONG)
def test_a_doctored_account_is_told(left, what):
    doctor, words = WRONG[what]
    verdict = judge(doctor(left))
    assert any(words in why for why in verdict.why), verdict.why
    assert not verdict.right


def test_every_figure_can_be_other_than_zero():
    assert {figure for _, figure, _ in DOCTORED.values()} == set(FIGURES)


def test_one_that_ends_when_another_begins_is_not_one_too_many(left):
    first = Listed("sim-job-00000-1-test", "a", "Completed", 0, 10, 1)
    second = Listed("sim-job-00002-1-test", "b", "Completed", 10, 20, 1)
    assert judge(replace(left, jobs=[first, second])).figures["over_quota"] == 0


def test_the_checker_shares_no_code_with_the_product():
    tree = ast.parse((Path(__file__).parent / "checker.py").read_text())
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert names <= {"__future__", "io", "json", "re", "collections", "dataclasses", "pyarrow"}
