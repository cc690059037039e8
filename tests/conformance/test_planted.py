"""Deviations planted into the simulator: each must be found by a check of this suite, so that the checks are no ornament.

A deviation patches the server, which runs in this process, and the check is the very test that holds the statement. A
check that fails for any other reason than what it asserts (`TooLong`, a broken fixture) has found nothing.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote

import pytest

from quarry_local.bedrock.api import checks as sim_checks
from quarry_local.bedrock.api.checks import Checks
from quarry_local.bedrock.errors import ApiError, invalid
from quarry_local.bedrock.jobs import spool as sim_spool
from quarry_local.bedrock.jobs.job import Counts, Job, Status
from quarry_local.bedrock.jobs.register import Register
from quarry_local.bedrock.lifecycle import Lifecycle
from quarry_local.bedrock.server import SimulatedBedrock
from tests.conformance import test_events as events
from tests.conformance import test_files as files
from tests.conformance import test_jobs as jobs
from tests.conformance import test_model as model
from tests.conformance import test_states as states
from tests.conformance import test_wire as wire
from tests.conformance.shapes import cases
from tests.conformance.world import TooLong

Plant = Callable[[pytest.MonkeyPatch], None]
FOUND = (AssertionError, pytest.fail.Exception)


def everywhere(patch: pytest.MonkeyPatch, name: str, change: Callable[[Any], Any]) -> None:
    """Replace a function in every module of the simulator that knows it by this name."""
    known = [module for each, module in list(sys.modules.items()) if each.startswith("quarry_local.bedrock.")]
    holding = [module for module in known if hasattr(module, name)]
    assert holding, name
    for module in holding:
        patch.setattr(module, name, change(getattr(module, name)))


def around(patch: pytest.MonkeyPatch, owner: Any, name: str, change: Callable[..., Any]) -> None:
    """Replace a method by `change(original, *arguments)`."""
    original = getattr(owner, name)

    def changed(*arguments: Any, **named: Any) -> Any:
        return change(original, *arguments, **named)

    patch.setattr(owner, name, changed)


def rewritten(patch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], None]) -> None:
    """Change every line of every output."""

    def upload(original: Any, s3: Any, bucket: str, key: str, bodies: Any, *more: Any) -> None:
        lines = [json.loads(line) for body in bodies for line in body.splitlines()]
        for line in lines:
            change(line)
        original(s3, bucket, key, iter([b"".join(json.dumps(line).encode() + b"\n" for line in lines)]), *more)

    around(patch, sim_spool, "_upload", upload)


def partial_on_record_errors(patch: pytest.MonkeyPatch) -> None:
    def move(original: Any, self: Any, job: Job, to: Status, *more: Any) -> None:
        partial = to is Status.COMPLETED and job.counts.error
        original(self, job, Status.PARTIALLY_COMPLETED if partial else to, *more)

    around(patch, Register, "move", move)


def failed_when_all_records_fail(patch: pytest.MonkeyPatch) -> None:
    def move(original: Any, self: Any, job: Job, to: Status, *more: Any) -> None:
        original(self, job, Status.FAILED if to is Status.COMPLETED and not job.counts.success else to, *more)

    around(patch, Register, "move", move)


def a_name_identifies(patch: pytest.MonkeyPatch) -> None:
    def get(original: Any, self: Any, identifier: str) -> Job:
        named = [job for job in self.all() if job.name == identifier]
        return named[0] if named else cast("Job", original(self, identifier))

    around(patch, Register, "get", get)


def error_code_as_text(patch: pytest.MonkeyPatch) -> None:
    def change(line: dict[str, Any]) -> None:
        if "error" in line:
            line["error"]["errorCode"] = str(line["error"]["errorCode"])

    rewritten(patch, change)


def no_echo(patch: pytest.MonkeyPatch) -> None:
    rewritten(patch, lambda line: line.pop("modelInput"))


def path_not_decoded(patch: pytest.MonkeyPatch) -> None:
    def read(original: Any, self: Any, operation: str, *, path: Any, query: Any, body: bytes) -> Any:
        as_it_came = {name: quote(value, safe="") for name, value in path.items()}
        return original(self, operation, path=as_it_came, query=query, body=body)

    around(patch, Checks, "read", read)


def counts_in_validating(patch: pytest.MonkeyPatch) -> None:
    def counts(original: Any, self: Any, job: Job) -> Counts:
        return Counts(100) if job.status is Status.VALIDATING else original(self, job)

    around(patch, Lifecycle, "counts", counts)


def too_few_refused_at_create(patch: pytest.MonkeyPatch) -> None:
    original = SimulatedBedrock._create

    async def create(self: Any, request: dict[str, Any]) -> dict[str, Any]:
        bucket, _, key = request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"][5:].partition("/")
        body = self._aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        if body.count(b"\n") < 100:
            raise invalid("less records than the required minimum of: 100")
        return await original(self, request)

    patch.setattr(SimulatedBedrock, "_create", create)


def no_maximum(patch: pytest.MonkeyPatch) -> None:
    def bounds(original: Any, shape: Any, size: int, *more: Any) -> bool:
        return bool(original(shape, min(size, shape.metadata.get("max", size)), *more))

    around(patch, sim_checks, "_check_bounds", bounds)


def no_pattern(patch: pytest.MonkeyPatch) -> None:
    class Anything:
        def fullmatch(self, _: str) -> bool:
            return True

    patch.setattr(Checks, "_compiled", lambda *_: Anything())


def event_names_job_arn(patch: pytest.MonkeyPatch) -> None:
    def change(original: Any) -> Any:
        def event_of(*arguments: Any, **named: Any) -> Any:
            event = original(*arguments, **named)
            return dataclasses.replace(event, envelope=event.envelope.replace('"batchJobArn"', '"jobArn"'))

        return event_of

    everywhere(patch, "event_of", change)


def token_forgotten(patch: pytest.MonkeyPatch) -> None:
    def create(original: Any, self: Any, request: dict[str, Any], *more: Any, **named: Any) -> Any:
        self._tokens.clear()
        return original(self, request, *more, **named)

    around(patch, Register, "create", create)


def quota_is_429(patch: pytest.MonkeyPatch) -> None:
    everywhere(
        patch, "quota_exceeded", lambda _: lambda message: ApiError("ServiceQuotaExceededException", 429, message)
    )


def model_as_sent(patch: pytest.MonkeyPatch) -> None:
    def change(original: Any) -> Any:
        return lambda job, *more: original(job, *more) | {"modelId": job.request["modelId"]}

    everywhere(patch, "job_view", change)


def output_in_order(patch: pytest.MonkeyPatch) -> None:
    def bodies(original: Any, self: Any, order: list[int], halted: Any) -> Any:
        return original(self, sorted(order), halted)

    around(patch, sim_spool.Spool, "_bodies", bodies)


def asks(member: str, kind: str) -> Callable[[Any], None]:
    """The check of one member of Create at one limit, with a value that the model gives."""

    def check(open_world: Any) -> None:
        world = open_world(check_role=False)
        for case in cases():
            if (case.operation, case.member, case.kind) == ("CreateModelInvocationJob", member, kind):
                model.check(world, case, case.values.example())
                return
        raise LookupError(member, kind)

    return check


def with_a_world(check: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda open_world: check(open_world(check_role=False))


def with_status(check: Callable[..., None], *arguments: Any) -> Callable[[Any], None]:
    return lambda open_world: check(open_world, *arguments)


PLANTED: dict[str, tuple[Plant, list[Callable[[Any], None]]]] = {
    "PartiallyCompleted on record errors": (
        partial_on_record_errors,
        [states.test_some_wrong_bodies_do_not_make_a_job_partially_completed],
    ),
    "Failed when all records fail": (
        failed_when_all_records_fail,
        [states.test_a_job_of_nothing_but_wrong_bodies_completes],
    ),
    "a job's name is taken as identifier": (a_name_identifies, [with_a_world(jobs.test_a_name_identifies_no_job)]),
    "errorCode as text": (error_code_as_text, [files.test_a_record_that_fails_has_an_error_in_place_of_an_output]),
    "modelInput is not echoed": (no_echo, [files.test_a_jobs_output_lies_in_its_own_folder_and_echoes_its_input]),
    "%2F is not decoded": (path_not_decoded, [with_a_world(wire.test_an_encoded_arn_is_one_segment_of_the_path)]),
    "counts while Validating": (
        counts_in_validating,
        [with_status(jobs.test_all_counts_are_0_before_a_job_is_valid, "Validating", "validating_s")],
    ),
    "too few records refused at Create": (
        too_few_refused_at_create,
        [states.test_too_few_records_are_reported_after_create],
    ),
    "no maximum is enforced": (
        no_maximum,
        [
            asks("timeoutDurationInHours", "over-max"),
            asks("jobName", "over-max"),
            asks("vpcConfig.subnetIds", "over-max"),
        ],
    ),
    "no pattern is enforced": (
        no_pattern,
        [asks("jobName", "off-pattern"), asks("outputDataConfig.s3OutputDataConfig.s3Uri", "off-pattern")],
    ),
    "an event says jobArn": (event_names_job_arn, [events.test_an_event_has_the_documented_form]),
    "a client token is forgotten": (token_forgotten, [with_a_world(wire.test_the_same_client_token_is_the_same_job)]),
    "a full quota is a 429": (quota_is_429, [wire.test_the_declared_errors_have_the_declared_statuses]),
    "modelId as it was sent": (model_as_sent, [with_a_world(jobs.test_get_shows_what_create_was_not_reported)]),
    "output in the input's order": (
        output_in_order,
        [files.test_a_jobs_output_lies_in_its_own_folder_and_echoes_its_input],
    ),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_a_planted_deviation_is_found(open_world, monkeypatch, name):
    plant, found_by = PLANTED[name]
    plant(monkeypatch)
    for check in found_by:
        with pytest.raises(FOUND):
            check(open_world)


def test_ten_deviations_and_more_are_planted():
    assert len(PLANTED) >= 10


def test_a_check_that_only_waited_too_long_has_found_nothing():
    assert not issubclass(TooLong, FOUND)
