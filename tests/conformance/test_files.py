"""Section 4.1, 4.3 and 4.4: what a job reads and what it leaves."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.conformance.world import HAIKU, MODEL, TITAN, SimulatedWorld, claude, lines_of, questions

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
WRONG = {"messages": [{"role": "user", "content": "Why?"}], "max_tokens": 10}


def text_of(line):
    return line["modelOutput"]["content"][0]["text"]


@pytest.mark.conforms("C4.3-layout", "C4.3-line", "C4.3-echo", "C4.3-unordered", "C4.1-invoke-body", "C2-completed")
def test_a_jobs_output_lies_in_its_own_folder_and_echoes_its_input(open_world):
    world = open_world()
    lines = questions()
    job = world.run(lines)
    folder = f"out/{job['jobArn'].rsplit('/', 1)[-1]}"
    assert set(world.keys("out/")) == {f"{folder}/data.jsonl.out", f"{folder}/manifest.json.out"}
    results = world.results(job)
    assert all(set(line) == {"recordId", "modelInput", "modelOutput"} for line in results)
    assert {line["recordId"]: line["modelInput"] for line in results} == {
        line["recordId"]: line["modelInput"] for line in lines
    }
    assert [line["recordId"] for line in results] != [line["recordId"] for line in lines]


@pytest.mark.conforms("C4.3-error", "C4.3-line", "C4.3-echo", "C4.3-no-expired-retryable", "C4.1-no-model-inside")
def test_a_record_that_fails_has_an_error_in_place_of_an_output(open_world):
    world = open_world()
    lines = questions()
    lines[3]["modelInput"]["model"] = HAIKU
    lines[4]["modelInput"]["modelId"] = HAIKU
    job = world.run(lines)
    assert job["status"] == "Completed"
    failed = {line["recordId"]: line for line in world.results(job) if "error" in line}
    assert set(failed) == {"r000003", "r000004"}
    for line in failed.values():
        assert set(line) == {"recordId", "modelInput", "error"}
        assert line["modelInput"] == lines[int(line["recordId"][1:])]["modelInput"]
        assert set(line["error"]) == {"errorCode", "errorMessage"}
        assert type(line["error"]["errorCode"]) is int
        assert line["error"]["errorCode"] == 400
        assert "Extra inputs are not permitted" in line["error"]["errorMessage"]


@pytest.mark.conforms("C4.3-encrypted")
def test_outputs_are_encrypted_by_the_jobs_key_and_otherwise_as_the_bucket_says(open_world):
    world = open_world()
    key = world.aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    # Too large for one request: the upload in parts is encrypted too.
    source = world.put([*questions(99), *lines_of(claude("why " * 2_500_000), 1)])
    place = {"s3Uri": f"s3://{world.bucket}/out/"}
    for config, wanted in (({**place, "s3EncryptionKeyId": key}, ("aws:kms", key)), (place, ("AES256", None))):
        job = world.wait(world.create(source, outputDataConfig={"s3OutputDataConfig": config}))
        assert job["status"] == "Completed", job
        keys = world.keys(f"out/{job['jobArn'].rsplit('/', 1)[-1]}/")
        heads = [world.s3.head_object(Bucket=world.bucket, Key=each) for each in keys]
        assert [(head.get("ServerSideEncryption", "AES256"), head.get("SSEKMSKeyId")) for head in heads] == [wanted] * 2
        assert max(head["ContentLength"] for head in heads) > 9_000_000


@pytest.mark.conforms("C4.1-record-id-optional")
def test_a_record_without_an_id_gets_one(open_world):
    world = open_world()
    lines = [{"modelInput": line["modelInput"]} for line in questions()]
    results = world.results(world.run(lines))
    assert len({line["recordId"] for line in results}) == 100
    assert all(isinstance(line["recordId"], str) and line["recordId"] for line in results)


@pytest.mark.conforms("C4.1-record-id-any-text", "C4.1-record-id-twice", "C4.1-extra-members")
def test_a_record_id_is_any_text_and_may_come_twice(open_world):
    world = open_world()
    lines = questions()
    odd = [str(uuid.UUID(int=7)), "template#1", "p00001", "ü 漢/\\\"'", "x" * 500, "", "twice", "twice"]
    for line, record_id in zip(lines, odd, strict=False):
        line["recordId"] = record_id
        line["more"] = {"kept": False}
    job = world.run(lines)
    assert (job["status"], job["successRecordCount"]) == ("Completed", 100)
    results = world.results(job)
    assert sorted(line["recordId"] for line in results) == sorted(line["recordId"] for line in lines)
    assert all("more" not in line for line in results)


@pytest.mark.conforms("C4.1-folder", "C4.3-one-per-input", "C4.1-outputs-not-picked-up", "C4.1-jsonl")
def test_a_folder_means_all_its_jsonl_files_and_nothing_else(open_world):
    world = open_world()
    world.put(questions(60), "in/a.jsonl")
    world.put(questions(50), "in/nested/b.jsonl")
    for key in ("in/a.jsonl.out", "in/manifest.json.out", "in/c.json", "in/d.jsonl.gz", "in/e.txt"):
        world.put(b"not an input", key)
    job = world.wait(world.create(f"s3://{world.bucket}/in/"))
    assert (job["status"], job["totalRecordCount"]) == ("Completed", 110)
    files = world.objects(job)
    outputs = {name: body.count(b"\n") for name, body in files.items() if name.endswith(".jsonl.out")}
    assert sorted(outputs.values()) == [50, 60]
    assert set(files) == {*outputs, "manifest.json.out"}
    assert outputs["a.jsonl.out"] == 60


@pytest.mark.conforms("C4.1-one-model", "C4.1-base64")
def test_the_jobs_model_answers_every_line_and_takes_base64(open_world):
    world = open_world()
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    body = claude("What is this?")
    body["messages"][0]["content"].append(image)
    results = world.results(world.run([*lines_of(body, 1), *questions(99)]))
    assert len({line["modelOutput"]["model"] for line in results}) == 1
    assert next(line for line in results if line["modelInput"] == body)["modelOutput"]["content"]
    embedded = world.run(lines_of({"inputText": "a stone"}), model=TITAN)
    assert all("embedding" in line["modelOutput"] for line in world.results(embedded))


NOVA = "amazon.nova-lite-v1:0"


def shown(uri: str) -> dict[str, object]:
    clip = {"video": {"format": "mp4", "source": {"s3Location": {"uri": uri}}}}
    return {"messages": [{"role": "user", "content": [clip, {"text": "What is this?"}]}]}


@pytest.mark.conforms("C4.1-linked-content")
def test_content_in_s3_lies_in_the_folder_that_is_the_input(open_world):
    world = open_world()
    place = f"s3://{world.bucket}/in"
    inside, outside = f"{place}/clips/a.mp4", [f"{place}-2/a.mp4", f"s3://{world.bucket}/a.mp4", "s3://other/in/a.mp4"]
    file = world.put([*lines_of(shown(inside), 97), *(lines_of(shown(uri), 1)[0] for uri in outside)])
    for folder in (place, f"{place}/"):
        job = world.wait(world.create(folder, model=NOVA))
        assert (job["status"], job["successRecordCount"], job["errorRecordCount"]) == ("Completed", 97, 3)
        for line in world.results(job):
            assert ("error" in line) is (line["modelInput"] != shown(inside))
    job = world.wait(world.create(file, model=NOVA))
    assert (job["status"], job["errorRecordCount"]) == ("Completed", 100)
    # The word alone in a prompt names no place.
    spoken = {"messages": [{"role": "user", "content": [{"text": 'What is "s3Location": {"uri": "s3://b/a"}?'}]}]}
    assert world.run(lines_of(spoken), model=NOVA)["errorRecordCount"] == 0


SCHEMA = {
    "type": "object",
    "properties": {"place": {"type": "string"}},
    "required": ["place"],
    "additionalProperties": False,
}


@pytest.mark.conforms("C4.1-tools-invoke")
def test_a_native_body_with_tools_is_answered_by_a_call(open_world):
    world = open_world()
    tool = {"name": "look", "input_schema": SCHEMA}
    results = world.results(world.run(lines_of(claude("Look.", tools=[tool]))))
    for line in results:
        assert line["modelOutput"]["stop_reason"] == "tool_use"
        (call,) = line["modelOutput"]["content"]
        assert (call["name"], list(call["input"])) == ("look", ["place"])


@pytest.mark.conforms("C4.1-tools-converse")
def test_a_converse_record_with_a_tool_configuration_fails(open_world):
    world = open_world()
    spec = {"toolSpec": {"name": "look", "inputSchema": {"json": SCHEMA}}}
    spoken = {"messages": [{"role": "user", "content": [{"text": "Look."}]}]}
    lines = lines_of({**spoken, "toolConfig": {"tools": [spec]}}, 50) + lines_of(spoken, 50)
    job = world.run(lines, modelInvocationType="Converse")
    assert (job["successRecordCount"], job["errorRecordCount"]) == (50, 50)
    failed = [line for line in world.results(job) if "error" in line]
    assert all("toolConfig" in line["modelInput"] and line["error"]["errorCode"] == 400 for line in failed)


@pytest.mark.conforms("C4.1-structured")
def test_a_structured_output_is_answered_in_both_types_of_job(open_world):
    world = open_world()
    native = claude("Where?", output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    text_format = {"type": "json_schema", "structure": {"jsonSchema": {"schema": json.dumps(SCHEMA)}}}
    spoken = {
        "messages": [{"role": "user", "content": [{"text": "Where?"}]}],
        "outputConfig": {"textFormat": text_format},
    }
    texts = [line["modelOutput"]["content"][0]["text"] for line in world.results(world.run(lines_of(native)))]
    conversed = world.results(world.run(lines_of(spoken), modelInvocationType="Converse"))
    texts += [line["modelOutput"]["output"]["message"]["content"][0]["text"] for line in conversed]
    assert len(texts) == 200
    assert all(list(json.loads(text)) == ["place"] for text in texts)


@pytest.mark.conforms("C4.1-tool-schema")
def test_a_tool_whose_schema_is_none_fails_its_record(open_world):
    world = open_world()
    bad = claude("Look.", tools=[{"name": "look", "input_schema": {"type": "object", "properties": []}}])
    results = world.results(world.run([*lines_of(bad, 1), *questions(99)]))
    assert [set(line) for line in results if "tools" in line["modelInput"]] == [{"recordId", "modelInput", "error"}]


@pytest.mark.conforms("C4.1-no-prompt-cache")
def test_cache_control_changes_nothing(open_world):
    world = open_world()
    cached = claude("Why is it grey?")
    cached["messages"][0]["content"][0]["cache_control"] = {"type": "ephemeral"}
    results = world.results(world.run([*lines_of(cached, 50), *lines_of(claude("Why is it grey?"), 50)]))
    outputs = [line["modelOutput"] for line in results]
    assert len({json.dumps(output) for output in outputs}) == 1
    assert not outputs[0]["usage"].get("cache_read_input_tokens")
    assert not outputs[0]["usage"].get("cache_creation_input_tokens")


@pytest.mark.conforms("C4.1-no-guardrail-field")
def test_a_job_has_no_field_for_a_guardrail():
    members = MODEL.operation_model("CreateModelInvocationJob").input_shape.members
    assert not [name for name in members if "guardrail" in name.lower()]


@pytest.mark.conforms("C4.1-blank-lines")
def test_blank_lines_are_no_records(open_world):
    world = open_world()
    lines = [json.dumps(line).encode() for line in questions()]
    body = b"\r\n".join(lines[:50]) + b"\n\n\n" + b"\n".join(lines[50:])
    job = world.run(body)
    assert (job["status"], job["successRecordCount"]) == ("Completed", 100)


@pytest.mark.conforms("C4.4-summary", "C4.4-processed", "C4.4-tokens-only-there", "C4.2-anthropic")
def test_the_summary_has_the_counts_and_the_sums_of_tokens(open_world):
    world = open_world()
    job = world.run([*questions(90), *lines_of(WRONG, 20)])
    used = [line["modelOutput"]["usage"] for line in world.results(job) if "modelOutput" in line]
    assert world.summary(job) == {
        "totalRecordCount": 110,
        "processedRecordCount": 110,
        "successRecordCount": 90,
        "errorRecordCount": 20,
        "inputTokenCount": sum(each["input_tokens"] for each in used),
        "outputTokenCount": sum(each["output_tokens"] for each in used),
    }
    assert not [name for name in world.get(job["jobArn"]) if name.endswith("TokenCount")]


@pytest.mark.conforms("C4.2-cut-off")
def test_a_record_that_its_limit_cuts_off_is_a_success(open_world):
    world = open_world()
    job = world.run(questions(max_tokens=3))
    assert job["successRecordCount"] == 100
    for line in world.results(job):
        assert line["modelOutput"]["stop_reason"] == "max_tokens"
        assert line["modelOutput"]["usage"]["output_tokens"] == 3


@pytest.mark.conforms("C4.6-other-api")
def test_the_openai_api_is_closed(world: SimulatedWorld):
    for method, path in (("POST", "/openai/v1/batches"), ("GET", "/openai/v1/batches/abc"), ("POST", "/v1/batches")):
        reply = world.raw(method, path, b"{}")
        assert reply.status == 404
        assert reply.error == "UnknownOperationException"
