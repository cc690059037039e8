"""What cannot be run is refused in words that say what to change, and nothing behind it has to wait."""

from __future__ import annotations

import pytest

from tests.e2e.user import CLAUDE, until


@pytest.fixture(scope="module")
def source(calm):
    return calm.topics("inputs/refusals.csv", 120)


@pytest.fixture(scope="module", autouse=True)
def _no_dead_letters_are_left(calm):
    """Other files of this stack find it healthy."""
    yield
    calm.sqs.purge_queue(QueueUrl=calm.env["QUARRY_MANIFEST_DLQ_URL"])


@pytest.fixture
def refused(calm, source):
    """Sends a manifest made of a good one and changes; gives the status of the run that it came to."""

    def send(**changes):
        manifest = good(source) | changes
        run_id = calm.send({key: value for key, value in manifest.items() if value is not None})
        calm.ended(run_id)
        reported = calm.status(run_id)
        assert calm.jobs(run_id) == []
        return reported

    return send


def good(source):
    return {"s3_uri": source, "job_name_prefix": "refusal", "model_id": CLAUDE, "prompt_id": "joke_about_topic"}


def test_a_dataset_that_the_hub_has_not_is_refused_by_its_name(refused):
    reported = refused(s3_uri=None, dataset_id="squad", split="train")

    assert reported["state"] == "FAILED"
    assert "dataset_id" in reported["error"]
    assert "has no dataset squad" in reported["error"]


def test_fewer_rows_than_a_batch_job_takes_are_refused_where_none_may_be_asked_on_demand(calm, refused):
    reported = refused(s3_uri=calm.topics("inputs/few.csv", 99), on_demand_below=0)

    assert reported["state"] == "FAILED"
    assert "99 rows" in reported["error"]
    assert "add rows until it has 100" in reported["error"]


def test_a_column_that_the_template_needs_and_the_source_lacks_is_named_with_the_nearest(refused):
    reported = refused(prompt_id=None, prompt="Tell me a joke about {topics}.")

    assert reported["state"] == "FAILED"
    assert "topics" in reported["error"]
    assert "did you mean" in reported["error"]
    assert "topic" in reported["error"].replace("topics", "")


def test_an_unknown_prompt_is_named_with_the_nearest(refused):
    reported = refused(prompt_id="joke_about_topics")

    assert reported["state"] == "FAILED"
    assert "'joke_about_topics'" in reported["error"]
    assert "did you mean joke_about_topic?" in reported["error"]


def test_two_sources_are_one_too_many(refused):
    reported = refused(dataset_id="squad")

    assert reported["state"] == "FAILED"
    assert "two sources" in reported["error"]
    assert "s3_uri" in reported["error"]
    assert "dataset_id" in reported["error"]


def test_no_source_is_one_too_few(refused):
    reported = refused(s3_uri=None)

    assert reported["state"] == "FAILED"
    assert "no source" in reported["error"]
    assert "s3_uri" in reported["error"]


def test_a_misspelled_key_is_named_with_the_nearest(refused):
    reported = refused(max_record_per_job=100)

    assert reported["state"] == "FAILED"
    assert "max_record_per_job: unknown key" in reported["error"]
    assert "did you mean max_records_per_job?" in reported["error"]


@pytest.mark.promise("L6")
def test_text_that_is_no_json_lies_in_the_dead_letter_queue_with_the_reason(calm):
    text = '{"s3_uri": "s3://bucket/half'

    message_id = calm.send(text)

    def dead_lettered():
        return [
            dead_letter
            for dead_letter in calm.dead_letters()
            if dead_letter["MessageAttributes"]["quarry_origin_id"]["StringValue"] == message_id
        ]

    [dead_letter] = until(dead_lettered, 30, calm.ends_of_logs)
    assert dead_letter["Body"] == text
    assert "not JSON" in dead_letter["MessageAttributes"]["quarry_reason"]["StringValue"]


@pytest.mark.promise("S9", "L6")
def test_behind_all_that_is_refused_the_next_manifest_runs(calm, source):
    changes = [
        {"s3_uri": "", "dataset_id": "squad"},
        {"prompt_id": "no_such_prompt"},
        {"prompt_id": None, "prompt": "About {nobody}"},
        {"dataset_id": "squad"},
        {"s3_uri": ""},
        {"modle_id": CLAUDE},
        {"s3_uri": calm.topics("inputs/fewer.csv", 3), "on_demand_below": 0},
        {"s3_uri": f"s3://{calm.bucket}/inputs/there-is-none.csv"},
    ]
    dead = calm.dead()["manifests"]
    bad = [calm.send(good(source) | change) for change in changes]
    calm.send("no JSON")
    calm.send("[]")

    run_id = calm.send(good(source))

    assert calm.ended(run_id)["state"] == "SUCCEEDED"
    assert [calm.ended(each)["state"] for each in bad] == ["FAILED"] * len(bad)
    assert len(calm.jobs(run_id)) == 1
    until(lambda: calm.dead()["manifests"] == dead + 2, 30, calm.ends_of_logs)


def test_status_tells_in_json_what_is_documented(calm, source):
    run_id = calm.send(good(source))
    calm.ended(run_id)

    reported = calm.status(run_id)

    assert reported["run_id"] == run_id
    assert reported["state"] == "SUCCEEDED"
    assert reported["error"] is None
    assert {name: reported["rows"][name] for name in ("accepted", "ok", "error", "open")} == {
        "accepted": 120,
        "ok": 120,
        "error": 0,
        "open": 0,
    }
    assert {state: count for state, count in reported["shards"].items() if count} == {"SETTLED": 1}
    [job] = reported["jobs"]
    [seen] = calm.jobs(run_id)
    assert (job["name"], job["arn"], job["status"], job["attempt"]) == (seen["name"], seen["arn"], "Completed", 1)
    assert reported["results_uri"] == f"s3://{calm.bucket}/results/{run_id}/"
