"""What a manifest may say, and how a wrong one is answered."""

from __future__ import annotations

import pytest

from quarry_core.contract.csv_dialect import Csv
from quarry_core.contract.manifest import ManifestError
from quarry_core.contract.manifest_identity import run_id_of
from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.contract.manifest_schema import manifest_schema

JOKE = {
    "s3_uri": "s3://batch-inference-bucket-123456789012/inputs/jokes/topics.csv",
    "job_name_prefix": "test-joke-job1",
    "model_id": "anthropic.claude-3-haiku-20240307-v1:0",
    "prompt_id": "joke_about_topic",
}
EMBEDDING = {
    "s3_uri": "s3://batch-inference-bucket-123456789012/inputs/embeddings/embedding_input.csv",
    "job_name_prefix": "test-embeddings-job1",
    "model_id": "amazon.titan-embed-text-v2:0",
    "prompt_id": None,
}


HUB = {"s3_uri": None, "dataset_id": "w601sxs/simpleCoT"}


@pytest.mark.parametrize("data", [JOKE, EMBEDDING])
def test_the_manifests_of_old_are_taken_letter_for_letter(data):
    assert read_manifest(data).model_id == data["model_id"]


def test_a_manifest_may_carry_a_null_for_a_key_that_it_does_not_use():
    assert read_manifest(JOKE | {"dataset_id": None, "split": None})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s3_uri": None}, "s3_uri: no source is named"),
        ({"dataset_id": "w601sxs/simpleCoT"}, "two sources"),
        ({"split": "train"}, "split: it belongs to dataset_id, which is not given; leave it out"),
        ({"config": "en"}, "config: it belongs to dataset_id"),
        ({"revision": "main"}, "revision: it belongs to dataset_id"),
        (HUB | {"input_bucket_owner": "123456789012"}, "input_bucket_owner: it belongs to s3_uri"),
        (HUB | {"dataset_id": "https://huggingface.co/datasets/o/n/tree/main"}, "give the dataset's name alone, 'o/n'"),
        (HUB | {"dataset_id": "hf://datasets/o/n@main/x.csv"}, "give the dataset's name alone, 'o/n'"),
        (HUB | {"dataset_id": "o/n/x"}, "is not the name of a dataset: give OWNER/NAME"),
        (HUB | {"dataset_id": "../n"}, "is not the name of a dataset"),
        (HUB | {"dataset_id": "o/" + "n" * 97}, "is not the name of a dataset"),
        (HUB | {"dataset_id": "o/n.git"}, "is not the name of a dataset"),
        (HUB | {"dataset_id": ["o/n"]}, "dataset_id: must be text"),
        (HUB | {"split": "train[:1.5%]"}, "split: 'train[:1.5%]' is no split of a dataset: a slice is train[:100]"),
        (HUB | {"split": ""}, "split: names no split"),
        (HUB | {"revision": " main"}, "revision: ' main' is no revision: give a branch, a tag"),
        (HUB | {"revision": "a" * 251}, "revision: "),
        (HUB | {"config": ""}, "config: '' is no config of a dataset"),
        (HUB | {"config": "a\x00"}, "config: holds the control character"),
        (HUB | {"format": "parquet", "csv": {"delimiter": ";"}}, "csv: format is parquet, which needs no dialect"),
        ({"max_record_per_job": 100}, "max_record_per_job: unknown key; did you mean max_records_per_job?"),
        ({"max_records_per_job": 0}, "max_records_per_job"),
        ({"max_records_per_job": "100"}, "max_records_per_job"),
        ({"max_num_jobs": True}, "max_num_jobs"),
        ({"prompt_id": None}, "exactly one of prompt_id and prompt"),
        ({"prompt": "Say {topic}"}, "exactly one of prompt_id and prompt"),
        ({"prompt_id": None, "prompt": "Say {topic"}, "prompt"),
        ({"prompt_id": "../etc"}, "prompt_id"),
        ({"model_id": "cohere.rerank-v3-5:0"}, "model_id"),
        ({"model_id": "amazon.titan-embed-text-v2:0"}, "leave prompt_id and prompt null"),
        ({"s3_uri": "s3://bucket/folder/**.csv"}, "must have slashes around it: write **/*.csv"),
        ({"format": "orc"}, "format: must be 'csv', 'parquet'"),
        ({"partition_types": {"year": "integer"}}, "partition_types.year: must be 'string', 'int',"),
        ({"s3_uri": "https://bucket/key.csv"}, "s3://bucket/key"),
        ({"timeout_hours": 169}, "timeout_hours"),
        ({"tags": {"k": "\n\u0007"}}, "tags"),
        ({"output_kms_key": "not a key"}, "output_kms_key"),
        ({"vpc": {"subnet_ids": []}}, "vpc"),
        ({"run_id": "Not-This"}, "run_id"),
        ({"inference": {"max_token": 5}}, "max_tokens"),
        ({"deadline": "tomorrow"}, "deadlines are not yet supported"),
        ({"job_name_prefix": ""}, "job_name_prefix"),
        ({"csv": {"delimeter": ";"}}, 'csv: unknown key "delimeter"; did you mean delimiter?'),
        ({"csv": {"delimiter": "tab"}}, 'csv.delimiter: "tab" is not one of ",", ";", "\\t", "|"; did you mean "\\t"?'),
        ({"csv": {"delimiter": ":"}}, "csv.delimiter"),
        ({"csv": {"escape": "\\"}}, 'did you mean "backslash"?'),
        ({"csv": {"encoding": "UTF8"}}, 'csv.encoding: "UTF8" is not one of'),
        ({"csv": {"encoding": "windows-1252"}}, 'did you mean "cp1252"?'),
        ({"csv": {"encoding": 8}}, "csv.encoding: 8 is not one of"),
        ({"csv": {"header": False}}, "csv.header: for a file without a header give its columns' names"),
        ({"csv": {"header": "topic"}}, "csv.header: give true, or the list of the columns' names"),
        ({"csv": {"header": []}}, "csv.header: there are no columns"),
        ({"csv": {"header": ["topic", "topic"]}}, "csv.header: several columns are named 'topic'"),
        ({"csv": {"header": ["\ud800"]}}, "csv.header.0: character 1 is half of a surrogate pair"),
        ({"csv": {"header": [f"column {n}" for n in range(8_001)]}}, "csv.header: there are 8001 columns"),
        ({"csv": {"header": ["x" * 4_000 + str(n) for n in range(20)]}}, "give the file a header"),
        ({"csv": ";"}, "csv"),
        ({"csv": {"delimiter": ";"}, "s3_uri": "s3://bucket/rows.PARQUET"}, "csv: s3_uri names a Parquet object"),
    ],
)
def test_a_wrong_manifest_is_answered_with_the_field_and_the_remedy(change, message):
    with pytest.raises(ManifestError) as refused:
        read_manifest(JOKE | change)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_csv_dialect_is_taken_and_null_is_unset():
    csv = read_manifest(
        JOKE | {"csv": {"delimiter": "\t", "header": ["topic"], "escape": None, "encoding": "utf-16"}}
    ).csv
    assert csv == Csv(delimiter="\t", header=("topic",), encoding="utf-16")
    assert read_manifest(JOKE | {"csv": None}).csv is None
    assert Csv.model_validate_json(csv.model_dump_json()) == csv


def test_all_faults_are_reported_at_once():
    with pytest.raises(ManifestError) as refused:
        read_manifest({"s3_url": "s3://b/k.csv", "max_num_jobs": -1})
    for word in ("s3_url", "s3_uri", "max_num_jobs", "job_name_prefix", "model_id"):
        assert word in str(refused.value)


def test_the_create_fields_are_taken():
    manifest = read_manifest(
        JOKE
        | {
            "timeout_hours": 48,
            "tags": {"team": "search"},
            "output_kms_key": "alias/batch",
            "vpc": {"subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"]},
        }
    )
    assert manifest.timeout_hours == 48
    assert manifest.vpc is not None
    assert manifest.vpc.subnet_ids == ("subnet-1",)


def test_a_run_id_is_the_callers_or_a_hash_of_json_and_origin():
    assert run_id_of(JOKE | {"run_id": "mine1"}, "m1") == "mine1"
    derived = run_id_of(JOKE, "m1")
    assert len(derived) == 12
    assert derived == run_id_of(dict(reversed(JOKE.items())), "m1")
    assert derived != run_id_of(JOKE, "m2")
    assert run_id_of(JOKE | {"run_id": "Not valid"}, "m1") != "Not valid"


def test_the_schema_names_what_works_and_refuses_the_rest():
    schema = manifest_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"job_name_prefix", "model_id"}
    assert schema["anyOf"] == [{"required": ["s3_uri"]}, {"required": ["dataset_id"]}]
    assert "deadline" not in schema["properties"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"run_id": "ABC"}, "run_id: must be 1 to 32 of a-z, 0-9 and hyphens, with no hyphen at either end"),
        ({"run_id": "a" * 33}, "run_id: must be 1 to 32 of a-z"),
        ({"result_prefix": "1a"}, "result_prefix: must be 1 to 32 of A-Z, a-z, 0-9 and _, and not begin with a digit"),
        ({"input_bucket_owner": "12"}, "input_bucket_owner: must be the 12 digits of an account"),
        ({"max_num_jobs": 0}, "max_num_jobs: must be at least 1"),
        ({"max_records_total": 10**10}, "max_records_total: must be at most 1,000,000,000"),
        ({"job_name_prefix": ""}, "job_name_prefix: must not be empty"),
        ({"job_name_prefix": "a" * 64}, "job_name_prefix: must have at most 63 characters"),
        (
            {"prompt_id": None, "prompt": {"template": "{a}", "version": "v" * 65}},
            "prompt.version: must have at most 64",
        ),
    ],
)
def test_what_is_out_of_bounds_is_reported_in_a_persons_words(change, sentence):
    with pytest.raises(ManifestError) as reported:
        read_manifest(JOKE | change)

    assert sentence in str(reported.value)
    assert "tring should" not in str(reported.value)
    assert "nput should" not in str(reported.value)
