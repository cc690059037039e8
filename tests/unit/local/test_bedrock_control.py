"""The control plane over HTTP beyond the first form: discovery, Converse jobs, further families, limits of one model."""

import pytest

from quarry_local.bedrock.families.answers import prompt_digest
from tests.conformance.world import HAIKU, TITAN, SimulatedWorld, lines_of, refusal

SCOUT = "us.meta.llama4-scout-17b-instruct-v1:0"
EMBED = "cohere.embed-english-v3"


@pytest.fixture
def world(aws):
    made = SimulatedWorld(aws)
    yield made
    made.close()


def converse(prompt: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": [{"text": prompt}]}], "inferenceConfig": {"maxTokens": 200}}


def test_a_converse_job_answers_any_chat_model_in_one_form(world):
    lines = [{"recordId": f"r{n}", "modelInput": converse(f"Why {n}?")} for n in range(100)]
    lines[7]["modelInput"] = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": []}
    job = world.run(lines, model="mistral.mistral-large-2407-v1:0", modelInvocationType="Converse")
    assert (job["status"], job["modelInvocationType"]) == ("Completed", "Converse")
    assert (job["successRecordCount"], job["errorRecordCount"]) == (99, 1)
    by_id = {line["recordId"]: line for line in world.results(job)}
    for number in range(100):
        line = by_id[f"r{number}"]
        if number == 7:
            assert line["error"]["errorCode"] == 400
            assert "modelOutput" not in line
            continue
        output = line["modelOutput"]
        assert prompt_digest(f"Why {number}?") in output["output"]["message"]["content"][0]["text"]
    used = [line["modelOutput"]["usage"] for line in by_id.values() if "modelOutput" in line]
    summary = world.summary(job)
    assert summary["inputTokenCount"] == sum(one["inputTokens"] for one in used)
    assert summary["outputTokenCount"] == sum(one["outputTokens"] for one in used)


def test_a_body_for_invoke_model_fails_every_record_of_a_converse_job_which_completes(world):
    job = world.run(lines_of({"inputText": "x"}), model=TITAN, modelInvocationType="Converse")
    assert job["status"] == "Completed"
    assert (job["successRecordCount"], job["errorRecordCount"]) == (0, 100)


def test_a_model_has_its_own_least_number_of_records(world):
    body = {"prompt": "Why?", "max_gen_len": 100}
    assert world.run(lines_of(body, 50), model=SCOUT)["status"] == "Completed"
    failed = world.run(lines_of(body, 49), model=SCOUT)
    arn = failed["jobArn"]
    assert failed["message"] == f"Batch job {arn} contains less records (49) than the required minimum of: 50"
    world.change(records_min=3)
    assert world.run(lines_of(body, 3), model=SCOUT)["status"] == "Completed"


def test_a_model_that_batch_refuses_can_be_switched_on(world):
    lines = lines_of({"texts": ["a", "b"], "input_type": "search_document"})
    create = world.bedrock.create_model_invocation_job
    assert refusal(create, **world.request(world.put(lines), model=EMBED)) == (
        "ValidationException",
        400,
        "Batch inference is not supported for the requested model",
    )
    world.change(batch_models={EMBED: "cohere-embed"})
    job = world.run(lines, model=EMBED)
    assert job["successRecordCount"] == 100
    assert len(world.results(job)[0]["modelOutput"]["embeddings"]) == 2


def test_custom_models_have_a_pool_of_three(world):
    world.change(starting_s=3600)
    account = world.role.split(":")[4]
    arn = f"arn:aws:bedrock:us-east-1:{account}:custom-model/{TITAN}/abcdefghijk{{}}"
    uri = world.put(lines_of({"inputText": "x"}))
    for number in range(3):
        world.create(uri, model=arn.format(number))
    reported = refusal(world.bedrock.create_model_invocation_job, **world.request(uri, model=arn.format(3)))
    assert reported[:2] == ("ServiceQuotaExceededException", 400)
    world.create(uri, model=TITAN)


def test_models_and_profiles_are_discovered_as_clients_do(world):
    listed = world.bedrock.list_foundation_models(byProvider="Anthropic")["modelSummaries"]
    assert HAIKU in {model["modelId"] for model in listed}
    for identifier in (HAIKU, f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"):
        found = world.bedrock.get_foundation_model(modelIdentifier=identifier)["modelDetails"]
        assert found["modelId"] == HAIKU
    pages = world.bedrock.get_paginator("list_inference_profiles").paginate(PaginationConfig={"PageSize": 10})
    profiles = [profile for page in pages for profile in page["inferenceProfileSummaries"]]
    chosen = next(profile for profile in profiles if profile["inferenceProfileId"] == f"us.{HAIKU}")
    found = world.bedrock.get_inference_profile(inferenceProfileIdentifier=chosen["inferenceProfileArn"])
    assert found["models"] == chosen["models"]
    assert found["createdAt"] == chosen["createdAt"]
    arn = world.create(world.put(lines_of({})), model=chosen["inferenceProfileArn"])
    assert world.get(arn)["modelId"] == chosen["inferenceProfileArn"]


def test_application_profiles_are_found_and_taken_as_what_they_were_made_of(world):
    account = world.role.split(":")[4]
    world.change(application_profiles={"team1": HAIKU, "team2": f"us.{HAIKU}"})
    arns = [f"arn:aws:bedrock:us-east-1:{account}:application-inference-profile/team{number}" for number in (1, 2)]
    listed = world.bedrock.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]
    assert [each["inferenceProfileArn"] for each in listed] == arns
    assert [(each["type"], each["status"]) for each in listed] == [("APPLICATION", "ACTIVE")] * 2
    found = [world.bedrock.get_inference_profile(inferenceProfileIdentifier=arn)["models"] for arn in arns]
    assert [len(models) for models in found] == [1, 3]
    assert {each["modelArn"].rpartition("/")[2] for models in found for each in models} == {HAIKU}
    job = world.create(world.put(lines_of({})), model=arns[1])
    assert world.get(job)["modelId"] == arns[1]
    unknown = arns[0].replace("team1", "team3")
    assert refusal(world.bedrock.get_inference_profile, inferenceProfileIdentifier=unknown)[1] == 404
    assert refusal(world.bedrock.create_model_invocation_job, **world.request("s3://b/k/", model=unknown))[1] == 400


def test_access_to_a_model_is_reported(world):
    def reported(model_id):
        answer = world.bedrock.get_foundation_model_availability(modelId=model_id)
        assert (answer["modelId"], answer["authorizationStatus"], answer["regionAvailability"]) == (
            model_id,
            "AUTHORIZED",
            "AVAILABLE",
        )
        return answer["agreementAvailability"]["status"], answer["entitlementAvailability"]

    assert reported(HAIKU) == ("AVAILABLE", "AVAILABLE")
    world.change(models_without_access=[HAIKU])
    assert reported(HAIKU) == ("NOT_AVAILABLE", "NOT_AVAILABLE")
    assert reported(TITAN) == ("AVAILABLE", "AVAILABLE")


def test_discovery_refuses_what_the_model_refuses(world):
    bedrock = world.bedrock
    for call, request, code, status in (
        (bedrock.list_foundation_models, {"byProvider": "a_b"}, "ValidationException", 400),
        (bedrock.list_foundation_models, {"byOutputModality": "SMELL"}, "ValidationException", 400),
        (bedrock.get_foundation_model, {"modelIdentifier": "no id"}, "ValidationException", 400),
        (bedrock.get_foundation_model, {"modelIdentifier": "acme.chat-v1:0"}, "ResourceNotFoundException", 404),
        (bedrock.get_foundation_model_availability, {"modelId": "no id"}, "ValidationException", 400),
        (bedrock.get_foundation_model_availability, {"modelId": "acme.chat-v1:0"}, "ResourceNotFoundException", 404),
        (bedrock.list_inference_profiles, {"maxResults": 1001}, "ValidationException", 400),
        (bedrock.list_inference_profiles, {"nextToken": "nonsense"}, "ValidationException", 400),
        (bedrock.get_inference_profile, {"inferenceProfileIdentifier": "a b"}, "ValidationException", 400),
        (bedrock.get_inference_profile, {"inferenceProfileIdentifier": "us.x"}, "ResourceNotFoundException", 404),
    ):
        assert refusal(call, **request)[:2] == (code, status), request


def test_too_many_tags_are_refused_with_the_resources_name_and_reserved_ones_at_all(world):
    arn = world.create(world.put(lines_of({})))
    many = [{"key": f"k{n}", "value": ""} for n in range(51)]
    reply = world.send("TagResource", {"resourceARN": arn, "tags": many})
    assert (reply.status, reply.error) == (400, "TooManyTagsException")
    assert reply.body["resourceName"] == arn
    reserved = [{"key": "aws:job", "value": ""}]
    assert refusal(world.bedrock.tag_resource, resourceARN=arn, tags=reserved)[0] == "ValidationException"
    create = world.bedrock.create_model_invocation_job
    assert refusal(create, **world.request(tags=reserved))[0] == "ValidationException"
    assert world.bedrock.list_tags_for_resource(resourceARN=arn)["tags"] == []
