"""What can be known when a manifest is submitted is told then; what cannot be known holds nobody up."""

from __future__ import annotations

import gzip
import io
import json
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from quarry_cli.client.manifest_queue import wrong_queue
from quarry_cli.client.submission import checking
from quarry_cli.errors import NotSubmitted
from quarry_core.contract.names import prompt_key
from quarry_core.errors import Missing, Refused, Unknown, raise_for
from tests.unit.cli.an_account import CLAUDE
from tests.world.objects import FakeObjects
from tests.world.world import TITAN

MODELS = {
    "modelSummaries": [
        {"modelId": CLAUDE, "modelName": "Claude 3 Haiku"},
        {"modelId": TITAN, "modelName": "Titan Text Embeddings V2"},
        {"modelId": "anthropic.claude-sonnet-5", "modelName": "Claude Sonnet 5"},
        {"modelId": f"{CLAUDE}:48k", "modelName": "Claude 3 Haiku"},
    ]
}
PROFILES = {"inferenceProfileSummaries": [{"inferenceProfileId": f"us.{CLAUDE}"}]}
QUOTAS = {"Quotas": [{"QuotaName": "Records per batch inference job for Claude 3 Haiku", "Value": 1.0}]}
DENIED = Refused("AccessDenied: not you", "AccessDenied")


class Bedrock:
    """Answers what a manifest's model is held against, or raises what stands in its place."""

    def __init__(self):
        self.answers = {
            "list_foundation_models": MODELS,
            "list_inference_profiles": PROFILES,
            "list_aws_default_service_quotas": QUOTAS,
        }
        self.asked = []

    async def __call__(self, service, operation, parameters):
        self.asked.append(operation)
        answer = self.answers[operation]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def bedrock(quarry):
    found = Bedrock()
    quarry.connections |= {"ask": found, "region": "us-east-1", "env": "test"}
    return found


@pytest.fixture
def refused(quarry, bedrock):
    """The sentence with which a manifest is not sent."""

    def submit(**changes):
        manifest = quarry.world.joke() | changes
        with pytest.raises(NotSubmitted) as error:
            quarry.client.submit(manifest)
        assert not quarry.world.queues["manifests"].bodies
        return str(error.value)

    return submit


def parquet(quarry, table, key="inputs/rows.parquet", bucket=""):
    body = io.BytesIO()
    pq.write_table(table, body)
    quarry.world.objects.plant(key, body.getvalue(), bucket)
    return f"s3://{bucket or 'world'}/{key}"


# --------------------------------------------------------------------------- the source


def test_a_healthy_manifest_is_sent_and_everything_was_checked(quarry, bedrock):
    sent = quarry.client.submit(quarry.world.joke())

    assert sent.unchecked == []
    assert bedrock.asked == ["list_foundation_models"]
    quarry.idle()
    assert quarry.status(sent.run_id)["state"] == "RUNNING"


class NoBucket(FakeObjects):
    """S3 where the environment's own bucket is not there."""

    def read(self, ref, start_byte=0, end_byte=None):
        raise_for(ClientError({"Error": {"Code": "NoSuchBucket", "Message": "no"}}, "GetObject"), "reading")


def test_a_bucket_of_the_environment_that_is_missing_is_no_missing_prompt(quarry, refused, monkeypatch):
    monkeypatch.setenv("QUARRY_BUCKET", "nope-nope")
    quarry.connections |= {"glance": NoBucket}

    reported = refused()

    assert "QUARRY_BUCKET is 'nope-nope', but there is no such bucket" in reported
    assert "prompt_id" not in reported


def test_a_bucket_that_is_missing_is_told_from_an_object_that_is(refused):
    assert "there is no bucket no-bucket" in refused(s3_uri="s3://no-bucket/a.csv")
    assert "the bucket world has no such object; did you mean s3://world/inputs/topics.csv?" in refused(
        s3_uri="s3://world/input/topics.csv"
    )


def test_the_nearest_object_of_another_bucket_is_named_too(quarry, refused):
    quarry.world.objects.plant("2026/november.csv", b"topic\n", bucket="other-bucket")

    assert "did you mean s3://other-bucket/2026/november.csv?" in refused(s3_uri="s3://other-bucket/2026/novembre.csv")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_column_that_the_prompt_needs_and_the_source_lacks_is_reported_with_the_nearest(quarry, refused, form):
    uri = quarry.world.csv(200, "inputs/others.csv", ("topics", "id"))
    if form == "parquet":
        uri = parquet(quarry, pa.table({"topics": ["x"] * 200, "id": range(200)}))

    reported = refused(s3_uri=uri)

    assert "the dataset has no column 'topic'; did you mean 'topics'? (it has 'topics', 'id')" in reported


def requests(quarry, records, key="inputs/requests.jsonl"):
    quarry.world.objects.plant(key, "".join(json.dumps(one) + "\n" for one in records).encode())
    return f"s3://world/{key}"


def chat(number, **more):
    body = {"messages": [{"role": "user", "content": f"Question {number}?"}]}
    return {"custom_id": f"r-{number}", "body": body} | more


def test_ready_requests_are_sent_and_were_looked_at(quarry, bedrock):
    uri = requests(quarry, [chat(number) for number in range(100)])
    sent = quarry.client.submit({"job_name_prefix": "ready", "model_id": CLAUDE, "s3_uri": uri})

    assert sent.unchecked == []
    quarry.idle()
    assert quarry.status(sent.run_id)["state"] == "RUNNING"


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        (
            [chat(n % 99) for n in range(100)],
            "data row 100 has the custom_id 'r-0', which inputs/requests.jsonl: data row 1",
        ),
        ([chat(n, custom_id=n) for n in range(100)], "data row 1 has the custom_id 0, which is no text"),
        (
            [chat(n, body={"seed": 1}) for n in range(100)],
            "data row 1: body.messages is not a list of messages: give at",
        ),
        (
            [{"id": n, "text": "x"} for n in range(100)],
            "the first line of inputs/requests.jsonl has the keys id, text, and is neither Bedrock",
        ),
        (
            [{"modelInput": {"messages": []}} for _ in range(100)],
            'modelInput.anthropic_version is not there or another: add "anthropic_version"',
        ),
    ],
    ids=range(5),
)
def test_what_the_count_would_refuse_of_ready_requests_is_reported_before(quarry, refused, records, sentence):
    reported = refused(s3_uri=requests(quarry, records), prompt_id=None)

    assert sentence in reported


def test_an_inline_prompts_columns_and_an_embeddings_are_checked(quarry, refused):
    uri = quarry.world.csv(200)

    assert "no column 'tpic'; did you mean 'topic'?" in refused(prompt_id=None, prompt="Say {tpic}")
    assert "no column 'input_text'" in refused(s3_uri=uri, model_id=TITAN, prompt_id=None)


def test_a_column_of_the_results_own_name_is_reported(quarry, refused):
    uri = parquet(quarry, pa.table({"topic": ["x"] * 200, "response": range(200)}))

    assert "'response'" in refused(s3_uri=uri)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_fewer_rows_than_the_models_minimum_are_reported_where_none_may_be_asked_on_demand(quarry, refused, form):
    uri = quarry.world.csv(99, "inputs/few.csv")
    if form == "parquet":
        uri = parquet(quarry, pa.table({"topic": ["x"] * 99}))

    assert "the dataset has 99 rows: add rows until it has 100" in refused(s3_uri=uri, on_demand_below=0)
    assert "max_records_total leaves 50 rows" in refused(
        s3_uri=quarry.world.csv(200), max_records_total=50, on_demand_below=0
    )


def test_fewer_rows_than_the_models_minimum_are_sent_by_default(quarry):
    sent = quarry.client.submit(quarry.world.joke(rows=40))

    quarry.idle()

    assert quarry.status(sent.run_id)["state"] == "SUCCEEDED"


def test_a_large_csv_is_not_read_to_be_counted(quarry, bedrock, monkeypatch):
    read = []
    objects = quarry.world.objects
    whole = objects.read
    monkeypatch.setattr(objects, "read", lambda ref, *span: read.append((ref.key, *span)) or whole(ref, *span))
    objects.plant("inputs/large.csv", b"topic\n" + (b"y" * 99 + b"\n") * 50_000)
    sent = quarry.client.submit(quarry.world.joke() | {"s3_uri": "s3://world/inputs/large.csv"})

    assert sent.unchecked == []
    assert [span for span in read if span[0] == "inputs/large.csv"] == [("inputs/large.csv", 0, 1 << 20)]


def test_a_file_that_is_no_parquet_or_has_no_header_is_reported(quarry, refused):
    quarry.world.objects.plant("inputs/bad.parquet", b"nothing of the kind")
    quarry.world.objects.plant("inputs/zip.csv", b"PK\x03\x04" + b"x" * 100)

    assert "s3_uri: inputs/bad.parquet is not a readable Parquet file" in refused(
        s3_uri="s3://world/inputs/bad.parquet"
    )
    assert "s3_uri: inputs/zip.csv is a zip archive" in refused(s3_uri="s3://world/inputs/zip.csv")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "inputs/x.csv is empty; give a source with a header and at least one row"),
        (b"topic", "inputs/x.csv has a header and no rows"),
        (b"topic\n", "the dataset has 0 rows"),
    ],
)
def test_a_file_without_rows_is_reported(quarry, refused, body, message):
    quarry.world.objects.plant("inputs/x.csv", body)

    assert message in refused(s3_uri="s3://world/inputs/x.csv")


EMPTY = {
    ".gz": gzip.compress(b""),
    ".zst": pa.Codec("zstd").compress(b"", asbytes=True),
}


@pytest.mark.parametrize("packed", EMPTY)
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_file_that_unpacks_to_nothing_is_empty_to_whoever_looks(quarry, refused, ending, packed):
    key = f"inputs/x{ending}{packed}"
    quarry.world.objects.plant(key, EMPTY[packed])

    assert f"{key} is empty (it unpacks to 0 bytes); give a source" in refused(s3_uri=f"s3://world/{key}")
    run_id = quarry.world.send(quarry.world.joke() | {"s3_uri": f"s3://world/{key}"})
    quarry.idle()
    assert f"{key} is empty (it unpacks to 0 bytes); give a source" in quarry.status(run_id)["error"]


def test_a_file_that_does_not_unpack_is_damaged_and_not_empty(quarry, refused):
    quarry.world.objects.plant("inputs/x.csv.gz", EMPTY[".gz"][:-3])

    assert "inputs/x.csv.gz is cut short" in refused(s3_uri="s3://world/inputs/x.csv.gz")


def test_of_several_files_one_may_unpack_to_nothing(quarry, bedrock):
    quarry.world.objects.plant("inputs/f/1.csv.gz", EMPTY[".gz"])
    rows = "\n".join(["topic", *(f"topic {row}" for row in range(200))])
    quarry.world.objects.plant("inputs/f/2.csv.gz", gzip.compress(rows.encode()))

    sent = quarry.client.submit(quarry.world.joke() | {"s3_uri": "s3://world/inputs/f/"})

    quarry.finish(sent.run_id)
    assert quarry.status(sent.run_id)["rows"]["ok"] == 200


# --------------------------------------------------------------------------- several files


def test_a_folder_is_listed_and_its_first_and_last_file_are_looked_at(quarry, bedrock, monkeypatch):
    for number in range(5):
        quarry.world.csv(200, f"inputs/f/{number}.csv")
    objects, read, listed = quarry.world.objects, [], []
    whole, listing = objects.read, objects.list
    monkeypatch.setattr(objects, "read", lambda ref, *span: read.append(ref.key) or whole(ref, *span))
    monkeypatch.setattr(objects, "list", lambda *asked: listed.append(asked[0]) or listing(*asked))

    sent = quarry.client.submit(quarry.world.joke() | {"s3_uri": "s3://world/inputs/f/"})

    assert sent.unchecked == []
    assert listed == ["inputs/f/"]
    assert [key for key in read if key.startswith("inputs/")] == ["inputs/f/0.csv", "inputs/f/4.csv"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://world/inputs/f/", "s3://world/inputs/f/2.csv is empty (0 bytes)"),
        ("s3://world/inputs/*.parquet", "matches no object"),
        ("s3://world/inputs/g/", "is a Delta table"),
        (["s3://world/inputs/f/1.csv", "s3://world/inputs/f/1.*"], "its rows would be taken twice"),
        ("s3://world/", "takes in Quarry's own working files"),
    ],
)
def test_a_source_of_several_files_is_refused_with_the_sentence_of_the_run(quarry, refused, uri, message):
    quarry.world.csv(200, "inputs/f/1.csv")
    quarry.world.objects.plant("inputs/f/2.csv", b"")
    parquet(quarry, pa.table({"topic": ["x"] * 200}), "inputs/g/1.parquet")
    quarry.world.objects.plant("inputs/g/_delta_log/0.json", b"{}")

    assert message in refused(s3_uri=uri)


def test_a_column_that_the_first_and_the_last_of_many_files_lack_may_still_come(quarry, bedrock):
    for number in range(3):
        quarry.world.csv(200, f"inputs/f/{number}.csv", ("topic" if number == 1 else "other", "id"))

    sent = quarry.client.submit(quarry.world.joke() | {"s3_uri": "s3://world/inputs/f/"})

    [sentence] = sent.unchecked
    assert "of the first and the last file, the dataset has no column 'topic'" in sentence


def test_a_column_that_both_of_two_files_lack_is_missing(quarry, refused):
    for number in range(2):
        quarry.world.csv(200, f"inputs/f/{number}.csv", ("other", "id"))

    assert "the dataset has no column 'topic'" in refused(s3_uri="s3://world/inputs/f/")


def test_a_column_of_folders_is_a_column(quarry, bedrock):
    for name in ("a", "b"):
        quarry.world.csv(200, f"inputs/f/kind={name}/1.csv")
    manifest = quarry.world.joke(prompt_id=None, prompt="{topic} {kind}", s3_uri="s3://world/inputs/f/")

    assert quarry.client.submit(manifest).unchecked == []


def test_a_listing_that_is_long_holds_nobody_up(quarry, bedrock, monkeypatch):
    monkeypatch.setattr(checking, "KEYS_LISTED_MAX", 2)
    for number in range(3):
        quarry.world.csv(200, f"inputs/f/{number}.csv")

    [sentence] = quarry.client.submit(quarry.world.joke() | {"s3_uri": "s3://world/inputs/f/"}).unchecked

    assert "of the keys that begin like s3://world/inputs/f/ only the first 2 were looked at" in sentence


def test_a_folder_that_may_not_be_listed_is_said_and_stops_nobody(quarry, bedrock, monkeypatch):
    def denied(*asked):
        raise DENIED
        yield

    monkeypatch.setattr(quarry.world.objects, "list", denied)

    [sentence] = quarry.client.submit(quarry.world.joke() | {"s3_uri": "s3://world/inputs/f/"}).unchecked

    assert "s3://world/inputs/f/ cannot be listed" in sentence


def test_the_manifests_dialect_is_the_one_that_is_looked_at(quarry, bedrock):
    quarry.world.objects.plant("inputs/semi.csv", b"a;topic\n" + b"1;x\n" * 200)
    manifest = quarry.world.joke() | {"s3_uri": "s3://world/inputs/semi.csv", "csv": {"delimiter": ";"}}

    assert quarry.client.submit(manifest).run_id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s3_uri": "s3://world/inputs/topics.cvs"}, "did you mean .csv?"),
        ({"s3_uri": "s3://world/rows/r/00000.parquet"}, "is one of Quarry's own working files"),
        ({"tags": {"aws:x": "y"}}, "does not begin with aws:"),
        (
            {"model_id": f"arn:aws:bedrock:eu-west-1::foundation-model/{CLAUDE}"},
            "the ARN is of the region eu-west-1, and this environment is in us-east-1",
        ),
        ({"prompt": "\ud83d"}, "prompt: character 1 is half of a surrogate pair"),
        ({"prompt_id": "joke_abuot_topic"}, "did you mean joke_about_topic?"),
        ({"max_records_per_job": Path("x")}, "the manifest cannot be written as JSON: Object of type PosixPath"),
    ],
)
def test_what_the_services_would_refuse_is_refused_before_it_is_sent(refused, change, message):
    assert message in refused(**change)


def test_where_the_environment_wants_owners_the_command_asks_for_them_too(quarry, refused):
    quarry.connections["owner_required"] = True
    quarry.world.objects.plant("a.csv", b"topic\n" + b"x\n" * 100, bucket="other-bucket")

    assert "input_bucket_owner: this environment requires it" in refused(s3_uri="s3://other-bucket/a.csv")


def test_parameters_of_a_stored_prompt_are_judged_with_the_manifests(quarry, refused):
    quarry.world.objects.plant(prompt_key("hot"), b"template: '{topic}'\ninference: {max_tokens: 9000}\n")

    assert "max_tokens is 9000" in refused(prompt_id="hot")


# --------------------------------------------------------------------------- the model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "anthropic.claude-3-haiku-20240370-v1:0",
            f"there is no model anthropic.claude-3-haiku-20240370-v1:0 in us-east-1; did you mean {CLAUDE}?",
        ),
        (f"eu.{CLAUDE}", f"there is no inference profile eu.{CLAUDE} in us-east-1; did you mean us.{CLAUDE}?"),
        (CLAUDE.replace("anthropic", "antropic"), "does it begin with anthropic.claude?"),
        (CLAUDE.replace("anthropic", "antropic"), f"; did you mean model_id {CLAUDE}?"),
        ("anthropic.claude-sonnet-5", "batch inference does not support anthropic.claude-sonnet-5 in us-east-1"),
        (f"us.{CLAUDE.replace('haiku', 'haikoo')}", f"did you mean us.{CLAUDE}?"),
    ],
)
def test_a_model_that_is_not_there_or_takes_no_batch_is_reported_with_the_nearest(refused, model, message):
    assert message in refused(model_id=model)


@pytest.mark.parametrize(
    "model", [CLAUDE, f"{CLAUDE}:48k", f"us.{CLAUDE}", f"arn:aws:bedrock:us-east-1::foundation-model/{CLAUDE}"]
)
def test_a_model_that_is_there_by_any_of_its_names_passes(quarry, bedrock, model):
    assert quarry.client.submit(quarry.world.joke() | {"model_id": model}).unchecked == []


def test_an_unsupported_model_is_no_reason_to_name_another_that_is_not_supported(refused, bedrock):
    rerank = {"modelId": "cohere.rerank-v3-5:0", "modelName": "Rerank 3.5"}
    bedrock.answers["list_foundation_models"] = {"modelSummaries": [*MODELS["modelSummaries"], rerank]}

    reported = refused(model_id="cohere.rerank-v3-6:0")

    assert "ranks texts, and does not answer" in reported
    assert "did you mean" not in reported


def test_a_quota_that_names_the_model_has_the_last_word_on_batch(quarry, bedrock):
    bedrock.answers["list_aws_default_service_quotas"] = {
        "Quotas": [{"QuotaName": "Records per batch inference job for Claude Sonnet 5", "Value": 1.0}]
    }

    assert quarry.client.submit(quarry.world.joke() | {"model_id": "anthropic.claude-sonnet-5"}).run_id


# --------------------------------------------------------------------------- what cannot be known


@pytest.mark.parametrize("answer", [DENIED, Unknown("the reply was lost")])
def test_a_model_that_may_not_be_looked_up_is_said_and_sent(quarry, bedrock, answer):
    bedrock.answers["list_foundation_models"] = answer

    sent = quarry.client.submit(quarry.world.joke() | {"model_id": "anthropic.claude-3-nonsense"})

    assert sent.unchecked == [f"the model: {answer}"]
    assert sent.run_id


def test_a_source_that_may_not_be_looked_at_is_said_and_sent(quarry, bedrock, tmp_path):
    quarry.world.objects.plant("a.csv", b"topic\n" + b"x\n" * 100, bucket="theirs")
    quarry.world.objects.owners["theirs"] = "999999999999"
    manifest = quarry.world.joke() | {"s3_uri": "s3://theirs/a.csv", "input_bucket_owner": "123456789012"}
    (tmp_path / "m.json").write_text(json.dumps(manifest))

    result = quarry("submit", str(tmp_path / "m.json"))

    assert result.exit_code == 0
    assert "not checked: s3_uri: s3://theirs/a.csv cannot be read" in result.stderr
    assert len(quarry.world.queues["manifests"].bodies) == 1


def test_what_takes_too_long_is_given_up_and_sent(quarry, monkeypatch):
    monkeypatch.setattr(checking.check, "__defaults__", (0.01,))
    over = threading.Event()
    monkeypatch.setattr(quarry.world.objects, "head", lambda ref: over.wait(30))

    sent = quarry.client.submit(quarry.world.joke())

    over.set()
    assert sent.unchecked == ["the source and the prompt: no answer within 0 s"]
    assert sent.run_id


def test_unchecked_nothing_is_asked(quarry, bedrock, monkeypatch):
    monkeypatch.setattr(quarry.world.objects, "head", lambda ref: pytest.fail("asked"))

    assert quarry.client.submit(quarry.world.joke() | {"model_id": "anthropic.claude-none"}, check=False).run_id
    assert bedrock.asked == []


def test_unchecked_even_half_a_surrogate_pair_is_sent_and_ends_in_a_run_that_names_it(quarry):
    sent = quarry.client.submit(quarry.world.joke() | {"tags": {"a": "\ud83d"}}, check=False)
    quarry.idle()

    assert "tags.a: character 1 is half of a surrogate pair" in quarry.status(sent.run_id)["error"]


@pytest.mark.parametrize("text", ['{"a": "\ud83d"}', '{"a": "\ufffe"}', '{"a": "\x00"}'])
def test_text_that_no_message_can_carry_is_not_sent_even_unchecked(quarry, text):
    with pytest.raises(NotSubmitted, match=r"character 8 of the manifest is \\(ud83d|ufffe|x00), which no message"):
        quarry.client.submit(text, check=False)


# --------------------------------------------------------------------------- files and queues


def test_a_file_with_a_byte_order_mark_is_a_manifest(quarry, tmp_path):
    (tmp_path / "m.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(quarry.world.joke()).encode())

    result = quarry("submit", str(tmp_path / "m.json"))

    assert result.exit_code == 0
    quarry.idle()
    assert quarry.status(result.stdout.strip())["state"] == "RUNNING"


def test_a_file_in_utf_16_is_reported_what_it_is(quarry, tmp_path):
    (tmp_path / "m.json").write_bytes(json.dumps(quarry.world.joke()).encode("utf-16"))

    result = quarry("submit", str(tmp_path / "m.json"))

    assert result.exit_code == 2
    assert "UTF-16: save it as UTF-8" in result.stderr


def test_text_encoded_twice_is_not_sent_and_unchecked_it_has_a_run(quarry):
    text = json.dumps(json.dumps(quarry.world.joke()))
    with pytest.raises(NotSubmitted, match="encoded twice"):
        quarry.client.submit(text)

    sent = quarry.client.submit(text, check=False)
    quarry.idle()
    assert quarry.status(sent.run_id)["state"] == "FAILED"


URL = "https://sqs.us-east-1.amazonaws.com/123456789012/"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test-quarry-events", "which is Quarry's queue 'events': set it to the URL of test-quarry-manifests"),
        ("prod-quarry-collector", "Quarry's queue 'collector'"),
        ("test-quarry-manifests-dlq", "Quarry's queue 'manifests-dlq'"),
        ("test-quarry-event-target-dlq", "Quarry's queue 'event-target-dlq'"),
        ("prod-quarry-manifests", "the queue of the environment 'prod', but QUARRY_ENV is 'test'"),
        ("my-own-dlq", "a dead-letter queue by its name"),
        ("renamed-events", "the environment's queue 'events'"),
    ],
)
def test_a_queue_that_is_not_the_manifests_is_refused_unless_it_is_meant(quarry, tmp_path, name, message):
    others = {"events": URL + "renamed-events"}
    quarry.connections |= {"manifest_queue_url": URL + name, "env": "test", "other_queue_urls": others}
    (tmp_path / "m.json").write_text(json.dumps(quarry.world.joke()))

    result = quarry("submit", str(tmp_path / "m.json"), "--no-check")

    assert result.exit_code == 2
    assert f"QUARRY_MANIFEST_QUEUE_URL points to {name}, which is" in result.stderr
    assert message in result.stderr
    assert not quarry.world.queues["manifests"].bodies
    assert quarry("submit", str(tmp_path / "m.json"), "--any-queue").exit_code == 0


@pytest.mark.parametrize("name", ["test-quarry-manifests", "llm-jobs", "quarry-manifests.fifo", ""])
def test_the_manifests_queue_and_names_of_ones_own_pass(name):
    assert wrong_queue(URL + name, "test", {"events": URL + "test-quarry-events"}) is None
    assert wrong_queue(URL + name, "", {}) is None


CHOICES = [
    ({"columns": ["id"]}, "columns: the records need 'topic': add what is missing, or leave columns out for all"),
    (
        {"columns": ["topic", "idd"]},
        "columns: the dataset has no column 'idd'; did you mean 'id'? (it has 'topic', 'id')",
    ),
    ({"where": "lang = 'en'"}, "where: the dataset has no column 'lang' (it has 'topic', 'id')"),
    (
        {"where": "topic = en"},
        "where: at character 9 stands en, where a value should be; a text stands in single quotes",
    ),
    ({"where": "topic is true"}, "where: at character 10 stands true, where null should be"),
    ({"id_column": "ID"}, "id_column: the dataset has no column 'ID'; did you mean 'id'?"),
    ({"sample": {"rows": 5, "share": 0.1}}, "sample: needs exactly one of rows and share"),
]


@pytest.mark.parametrize(("choice", "message"), CHOICES, ids=lambda one: "" if isinstance(one, dict) else one[:30])
def test_a_choice_of_rows_and_columns_that_does_not_fit_is_refused_before_it_is_sent(quarry, refused, choice, message):
    uri = quarry.world.csv(200, "inputs/others.csv", ("topic", "id"))

    assert message in refused(s3_uri=uri, **choice)


def test_what_a_condition_asks_of_a_type_is_checked_too(quarry, refused):
    uri = parquet(quarry, pa.table({"topic": ["x"] * 200, "n": range(200)}))

    assert "where: column 'n' is int64; write a number without quotes" in refused(s3_uri=uri, where="n = '5'")


def test_a_choice_that_fits_is_sent(quarry, bedrock):
    uri = parquet(quarry, pa.table({"topic": ["x"] * 300, "n": range(300), "id": range(300)}))
    choice = {"columns": ["topic", "id"], "where": "n < 250", "sample": {"rows": 200}, "id_column": "id"}

    sent = quarry.client.submit(quarry.world.joke() | {"s3_uri": uri} | choice)

    assert sent.unchecked == []
    quarry.idle()
    assert quarry.status(sent.run_id)["state"] == "RUNNING"


# --------------------------------------------------------------------------- application inference profiles

OWN_PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"


def profile_of(*models, status="ACTIVE"):
    arns = [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model}"} for model in models]
    return {"models": arns, "status": status}


def test_the_model_behind_an_application_profile_is_looked_up_and_the_manifest_held_against_it(
    quarry, bedrock, refused
):
    bedrock.answers["get_inference_profile"] = profile_of(CLAUDE)

    assert refused(model_id=OWN_PROFILE, inference={"maxToken": 5}).startswith("inference: 'maxToken'")
    bedrock.asked.clear()
    sent = quarry.client.submit(quarry.world.joke(model_id=OWN_PROFILE))

    assert sent.unchecked == []
    assert bedrock.asked == ["get_inference_profile", "list_foundation_models"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (profile_of(CLAUDE, TITAN), "cannot be used: it routes to several models"),
        (profile_of(CLAUDE, status="CREATING"), "is CREATING, not ACTIVE"),
        (Missing("ResourceNotFoundException"), f"there is no inference profile {OWN_PROFILE}"),
        (profile_of(TITAN), "makes embeddings of the column input_text"),
    ],
)
def test_a_profile_that_cannot_be_used_is_not_sent(bedrock, refused, answer, words):
    bedrock.answers["get_inference_profile"] = answer
    assert words in refused(model_id=OWN_PROFILE)


@pytest.mark.parametrize("answer", [DENIED, Unknown("no answer")])
def test_a_profile_that_may_not_be_seen_is_sent_unchecked_and_judged_by_the_services(quarry, bedrock, answer):
    bedrock.answers["get_inference_profile"] = answer
    quarry.world.profiles.make("a1b2c3d4e5f6", CLAUDE)

    sent = quarry.client.submit(quarry.world.joke(model_id=OWN_PROFILE))

    assert len(sent.unchecked) == 1
    assert sent.unchecked[0].startswith("the model: ")
    quarry.idle()
    assert quarry.status(sent.run_id)["state"] == "RUNNING"
