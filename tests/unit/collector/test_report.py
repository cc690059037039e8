import json
from dataclasses import replace

import pytest

from quarry_collector.report import SUCCESS, RunFacts, ShardEnd, build_report, state_of
from quarry_collector.settle import Example, NotConserved, Seen, Settlement
from quarry_core.contract.states import RunState
from quarry_core.models.prices import table

RUN = RunFacts(
    run_id="r1",
    model_id="amazon.titan-embed-text-v2:0",
    model="amazon.titan-embed-text-v2:0",
    source_uri="s3://data/in.parquet",
    bucket="quarry-dev",
    accepted_at="2026-11-20T08:00:00Z",
    ended_at="2026-11-20T17:00:00Z",
    source_rows=12,
    planned_rows=10,
    state=RunState.SUCCEEDED_WITH_ERRORS,
)


def shard(number, ok, errors=None, **more):
    errors = errors or {}
    rows = ok + sum(errors.values())
    examples = {code: (Example(f"{number}000000", "äöü"),) for code in errors}
    account = Settlement(rows=rows, ok=ok, errors=errors, input_tokens=10, output_tokens=1, examples=examples, **more)
    return ShardEnd(number, rows, 1, "Completed", "", account)


def reported(run, shards):
    return json.loads(build_report(run, shards))


@pytest.mark.parametrize(
    ("ok", "error", "state"),
    [
        (5, 0, RunState.SUCCEEDED),
        (1, 4, RunState.SUCCEEDED_WITH_ERRORS),
        (0, 5, RunState.FAILED),
        (0, 0, RunState.FAILED),
    ],
)
@pytest.mark.promise("H1")
def test_a_run_ends_by_its_rows(ok, error, state):
    assert state_of(ok, error) == state


@pytest.mark.promise("H1")
def test_the_report_tells_rows_errors_tokens_parts_and_what_nobody_expected():
    seen = Seen(lines=9, duplicated=1, unexpected=2, corrupt=1, unexpected_ids=("x",), corrupt_heads=("?",))

    report = reported(RUN, [shard("00002", 4, {"MISSING": 2}), shard("00000", 4, seen=seen)])

    assert report["state"] == "SUCCEEDED_WITH_ERRORS"
    assert report["rows"] == {
        "source": 12,
        "planned": 10,
        "left_out": 2,
        "accepted": 10,
        "ok": 8,
        "error": 2,
        "unread": 0,
    }
    assert report["errors"] == {
        "MISSING": {"rows": 2, "examples": [{"record_id": "00002000000", "message": "äöü"}]},
    }
    assert report["llm_tokens"] == {"input": 20, "output": 2}
    assert report["cost"] == {"dollars": 2e-7, "prices_as_of": table().as_of}
    assert report["results_uri"] == "s3://quarry-dev/results/r1/"
    assert report["parts"] == [
        {"uri": "s3://quarry-dev/results/r1/part-00000.parquet", "rows": 4},
        {"uri": "s3://quarry-dev/results/r1/part-00002.parquet", "rows": 6},
    ]
    assert report["unexpected"] == {
        "duplicated_lines": 1,
        "foreign_lines": 2,
        "foreign_ids": ["x"],
        "corrupt_lines": 1,
        "corrupt_heads": ["?"],
    }
    assert [each["status"] for each in report["shards"]] == ["Completed", "Completed"]


def test_a_model_without_a_price_has_a_cost_that_is_not_known():
    report = reported(replace(RUN, model="anthropic.claude-of-next-year-v1:0"), [shard("00000", 10)])
    assert report["cost"]["dollars"] is None


@pytest.mark.promise("S4")
def test_the_same_facts_give_the_same_bytes_in_whatever_order_they_come():
    one, two = shard("00000", 6), shard("00002", 3, {"MISSING": 1})

    assert build_report(RUN, [one, two]) == build_report(RUN, [two, one])
    assert build_report(RUN, [one, two]).endswith(b"}\n")


@pytest.mark.promise("S3")
@pytest.mark.parametrize(
    "shards",
    [
        [],
        [shard("00000", 9)],
        [shard("00000", 11)],
        [shard("00000", 5), shard("00000", 5)],
        [ShardEnd("00000", 10, 1, "Completed", "", Settlement(rows=10, ok=9))],
        [ShardEnd("00000", 10, 1, "Completed", "", Settlement(rows=9, ok=9))],
    ],
)
def test_rows_that_do_not_add_up_are_never_reported(shards):
    with pytest.raises(NotConserved):
        build_report(RUN, shards)


def test_a_run_whose_source_broke_keeps_what_was_paid_for_and_tells_what_was_never_read():
    run = replace(RUN, state=RunState.FAILED, reason="the source was replaced", broken=True)

    report = reported(run, [shard("00000", 6)])

    assert (report["state"], report["reason"]) == ("FAILED", "the source was replaced")
    assert (report["rows"]["planned"], report["rows"]["ok"], report["rows"]["unread"]) == (10, 6, 4)
    assert len(report["parts"]) == 1
    assert SUCCESS == b""
