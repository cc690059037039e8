"""What the service model states of each member of each request, asked of the simulator over plain HTTP.

Every case of `shapes.cases()` is sent raw. What the model allows is answered, unless a rule that the model does not
know speaks against it (`BEYOND`); what it forbids is a declared ValidationException, whatever boto3 would have said.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conformance.shapes import OPERATIONS, Case, cases, example
from tests.conformance.world import MODEL, SimulatedWorld, accepted, refused

EXAMPLES_MAX = 6
drawn = settings(
    max_examples=EXAMPLES_MAX,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
ALL = cases()
JOBS: dict[str, str] = {}


def a_job(world: SimulatedWorld) -> str:
    """A job of this world, for requests that name one."""
    if world.name not in JOBS:
        JOBS[world.name] = str(accepted(*_sent(world, "CreateModelInvocationJob", world.request()))["jobArn"])
    return JOBS[world.name]


def _sent(world: SimulatedWorld, operation: str, request: dict[str, Any]) -> tuple[Any, str]:
    return world.send(operation, request), operation


def base(world: SimulatedWorld, operation: str) -> dict[str, Any]:
    """A request that is well-formed and names what exists."""
    if operation == "CreateModelInvocationJob":
        return world.request()
    shape = MODEL.operation_model(operation).input_shape
    request = {name: example(shape.members[name]) for name in shape.required_members}
    return {name: a_job(world) if name in {"jobIdentifier", "resourceARN"} else v for name, v in request.items()}


# Rules beside the model: a well-formed value of this member may be answered so.
BEYOND: dict[str, tuple[str, str | tuple[str, ...]]] = {
    "modelId": (
        "ValidationException",
        ("Batch inference is not supported for", "The provided model identifier is invalid."),
    ),
    "jobIdentifier": ("ResourceNotFoundException", ""),
    "resourceARN": ("ResourceNotFoundException", ""),
    "nextToken": ("ValidationException", "nextToken"),
}
TAGS_MAX = 50


def check(world: SimulatedWorld, case: Case, value: Any) -> None:
    """One request with this value, and the answer that the model wants."""
    request = case.put(base(world, case.operation), value)
    reply = world.send(case.operation, request)
    assert reply.status != 500, (case, reply.raw)
    if not case.well_formed:
        if case.kind == "other-type" and reply.error == "SerializationException":
            # Services of this protocol answer so to a value of another type; the model does not declare it.
            assert reply.status == 400
            return
        refused(reply, case.operation, "ValidationException")
        return
    if reply.status != 200:
        if case.member == "tags" and len(value) > TAGS_MAX:
            code = "TooManyTagsException" if case.operation == "TagResource" else "ValidationException"
            refused(reply, case.operation, code)
            return
        assert case.member in BEYOND, (str(case), value, reply.raw)
        code, words = BEYOND[case.member]
        said = refused(reply, case.operation, code)
        assert any(each in said for each in ([words] if isinstance(words, str) else words))
        return
    accepted(reply, case.operation)


@pytest.mark.parametrize("case", [each for each in ALL if each.operation == OPERATIONS[0]], ids=str)
@pytest.mark.conforms(
    "C1.2-required",
    "C1.2-job-name",
    "C1.2-role-arn",
    "C1.2-client-token",
    "C1.2-model-id",
    "C1.2-input-config",
    "C1.2-input-format",
    "C1.2-s3-uri",
    "C1.2-bucket-owner",
    "C1.2-output-config",
    "C1.2-encryption-key",
    "C1.2-vpc",
    "C1.2-timeout",
    "C1.2-tags",
    "C1.2-invocation-type",
    "C1.1-service-checks",
)
def test_create_takes_what_the_model_allows_and_refuses_the_rest(world, case):
    @drawn
    @given(st.data())
    def ask(data: Any) -> None:
        check(world, case, data.draw(case.values))

    ask()


@pytest.mark.parametrize("case", [each for each in ALL if each.operation == "ListModelInvocationJobs"], ids=str)
@pytest.mark.conforms("C1.4-query")
def test_list_takes_what_the_model_allows_and_refuses_the_rest(world, case):
    @drawn
    @given(st.data())
    def ask(data: Any) -> None:
        check(world, case, data.draw(case.values))

    ask()


@pytest.mark.parametrize(
    "case", [each for each in ALL if each.operation in {"GetModelInvocationJob", "StopModelInvocationJob"}], ids=str
)
@pytest.mark.conforms("C1.3-identifier")
def test_a_job_identifier_is_an_arn_or_twelve_characters(world, case):
    @drawn
    @given(st.data())
    def ask(data: Any) -> None:
        check(world, case, data.draw(case.values))

    ask()


@pytest.mark.parametrize("case", [each for each in ALL if "Resource" in each.operation], ids=str)
@pytest.mark.conforms("C1.7-tagging")
def test_tagging_takes_what_the_model_allows_and_refuses_the_rest(world, case):
    @drawn
    @given(st.data())
    def ask(data: Any) -> None:
        check(world, case, data.draw(case.values))

    ask()


@pytest.mark.parametrize("member", MODEL.operation_model("CreateModelInvocationJob").input_shape.members)
@pytest.mark.conforms("C1.1-service-checks")
def test_every_member_of_create_has_cases(member):
    kinds = {case.kind for case in ALL if case.operation == OPERATIONS[0] and case.path[0] == member}
    assert len(kinds) >= 2
