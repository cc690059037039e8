"""What chaos reads of AWS is what the checker judges: doctored or not, it must see it."""

from __future__ import annotations

import io
import json
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from tests.chaos import evidence
from tests.chaos.__main__ import SOMETIMES, report
from tests.judge.checker import Verdict


class _Pages:
    def __init__(self, *pages) -> None:
        self._pages = pages

    def paginate(self, **_):
        return self._pages


def at(second: int) -> datetime:
    return datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)


def test_all_versions_of_an_object_are_read_oldest_first_and_a_deletion_is_none():
    bodies = {"new": b"second", "old": b"first"}
    s3 = SimpleNamespace(
        get_paginator=lambda _: _Pages(
            {
                "Versions": [
                    {"Key": "results/a", "VersionId": "new", "LastModified": at(2)},
                    {"Key": "results/a", "VersionId": "old", "LastModified": at(1)},
                ],
                "DeleteMarkers": [{"Key": "results/a", "LastModified": at(3)}],
            }
        ),
        get_object=lambda **asked: {"Body": io.BytesIO(bodies[asked["VersionId"]])},
    )
    assert evidence.objects(s3, "bucket") == {"results/a": [b"first", b"second", None]}


def test_every_dead_letter_message_is_read_once():
    batches = [[{"MessageId": "1", "Body": "one"}], [], [{"MessageId": "1", "Body": "one"}]]
    sqs = SimpleNamespace(receive_message=lambda **_: {"Messages": batches.pop(0)} if batches else {})
    assert evidence.dead(sqs, {"manifests": "url"}) == {"manifests": ["one"]}


@pytest.mark.parametrize(
    ("more", "ended_s", "processed"),
    [
        ({"status": "Completed", "endTime": at(9)}, at(9).timestamp(), 1),
        ({"status": "Failed", "endTime": at(9)}, at(9).timestamp(), 0),
        ({"status": "InProgress", "processedRecordCount": 7}, None, 7),
    ],
)
def test_a_job_is_taken_as_list_shows_it(more, ended_s, processed):
    summary = {"jobName": "n", "jobArn": "a", "submitTime": at(1), **more}
    bedrock = SimpleNamespace(get_paginator=lambda _: _Pages({"invocationJobSummaries": [summary]}))
    (job,) = evidence.jobs(bedrock)
    assert (job.name, job.begun_s, job.ended_s, job.processed) == ("n", at(1).timestamp(), ended_s, processed)


def test_lines_of_a_log_that_are_no_json_are_left_out(tmp_path):
    log = tmp_path / "scheduler.1.log"
    log.write_text("\n".join([json.dumps({"event": "swept"}), "Traceback", "3", ""]))
    assert [said["event"] for said in evidence.log_lines(log)] == ["swept"]


@pytest.mark.parametrize(
    ("short", "seen", "wrong", "code"),
    [
        (False, SOMETIMES, "", 0),
        (False, {}, "", 1),
        (True, {}, "", 0),
        (True, SOMETIMES, "a run is not over", 1),
    ],
)
def test_a_short_campaign_need_not_have_met_everything_and_must_be_right(short, seen, wrong, code, capsys):
    chaos = SimpleNamespace(seen=lambda: Counter(dict.fromkeys(seen, 1)), struck=Counter(), settled_s=0.0, asked=[])
    verdict = Verdict()
    if wrong:
        verdict.say(wrong)
    assert report(chaos, verdict, short=short) == code
    assert wrong in capsys.readouterr().out
