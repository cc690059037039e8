"""Bedrock's batch jobs (contract sections 1.1 to 1.5).

`create` is sent once: whoever asks again decides that himself, with the same client token. Everything else may be
called twice. Statuses are passed on as Bedrock spells them, also those that nobody knew when this was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quarry_core.aws.calls import Calls
from quarry_core.contract.job_request import check_job_name, check_request
from quarry_core.errors import Conflict, Missing, Refused, Unknown
from quarry_core.ports import Job, JobRequest

# In the order of a job's life: see `active`.
ACTIVE_STATUSES = ("Submitted", "Validating", "Scheduled", "InProgress", "Stopping")
LIST_RESULTS_MAX = 1_000
LIST_PAGES_MAX = 100
_BAD_REQUEST = 400


class BedrockJobs:
    """The batch jobs of one account in one region."""

    def __init__(self, aws: Calls) -> None:
        self._aws = aws

    async def create(self, request: JobRequest) -> str:
        try:
            check_request(request)
        except ValueError as error:
            raise Refused(f"creating {request.name}: {error}") from error
        doing = f"creating {request.name}"
        try:
            answer = await self._aws.call(
                "bedrock", "create_model_invocation_job", wire_request(request), doing=doing, once=True
            )
        except Missing as missing:
            # Not the job but what it names: model, role, bucket. An answer like any other no.
            raise Refused(str(missing), "NotFound") from missing
        return str(answer["jobArn"])

    async def get(self, arn: str) -> Job:
        request = {"jobIdentifier": arn}
        return read_job(await self._aws.call("bedrock", "get_model_invocation_job", request, doing=f"reading {arn}"))

    async def find(self, name: str) -> Sequence[Job]:
        check_job_name(name)
        # The filter is "contains": a-1 also finds a-10.
        return [job for job in await self._list({"nameContains": name}) if job.name == name]

    async def active(self) -> Sequence[Job]:
        # One status per call, so a job may move while we list. Jobs move forward only and we go in the same order:
        # what leaves a status before we come to it is met again in a later one, or has ended.
        found: dict[str, Job] = {}
        for status in ACTIVE_STATUSES:
            for job in await self._list({"statusEquals": status}):
                found[job.arn] = job
        return list(found.values())

    async def stop(self, arn: str) -> None:
        try:
            await self._aws.call(
                "bedrock", "stop_model_invocation_job", {"jobIdentifier": arn}, doing=f"stopping {arn}"
            )
        except (Refused, Conflict) as refusal:
            # What a job that has ended answers is not documented; any 400 means "read the job again" (section 1.5).
            answer = getattr(refusal.__cause__, "response", {})
            if answer.get("ResponseMetadata", {}).get("HTTPStatusCode") != _BAD_REQUEST:
                raise

    async def _list(self, query: Mapping[str, Any]) -> list[Job]:
        request: dict[str, Any] = {**query, "maxResults": LIST_RESULTS_MAX}
        found: list[Job] = []
        for _ in range(LIST_PAGES_MAX):
            answer = await self._aws.call("bedrock", "list_model_invocation_jobs", request, doing=f"listing {query}")
            found += [read_job(summary) for summary in answer.get("invocationJobSummaries", [])]
            if not answer.get("nextToken"):
                return found
            request["nextToken"] = answer["nextToken"]
        # Half a list would read as "there is no such job".
        raise Unknown(f"listing {query}: more than {LIST_PAGES_MAX} pages")


def wire_request(request: JobRequest) -> dict[str, Any]:
    """The body of Create. The key sits inside the output's S3 configuration, not beside it."""
    output: dict[str, Any] = {"s3Uri": request.output_uri}
    if request.output_kms_key is not None:
        output["s3EncryptionKeyId"] = request.output_kms_key
    wire: dict[str, Any] = {
        "jobName": request.name,
        "clientRequestToken": request.client_token,
        "roleArn": request.role_arn,
        "modelId": request.model_id,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": request.input_uri, "s3InputFormat": "JSONL"}},
        "outputDataConfig": {"s3OutputDataConfig": output},
        "timeoutDurationInHours": request.timeout_hours,
    }
    if request.tags:
        wire["tags"] = [{"key": key, "value": value} for key, value in request.tags.items()]
    if request.subnet_ids or request.security_group_ids:
        wire["vpcConfig"] = {
            "subnetIds": list(request.subnet_ids),
            "securityGroupIds": list(request.security_group_ids),
        }
    if request.invocation_type is not None:
        wire["modelInvocationType"] = request.invocation_type
    return wire


def read_job(wire: Mapping[str, Any]) -> Job:
    """A job from Get or from a List summary: the same members (section 1.4)."""
    return Job(
        arn=wire["jobArn"],
        name=wire.get("jobName", ""),
        status=wire.get("status", ""),
        model_id=wire.get("modelId", ""),
        input_uri=wire.get("inputDataConfig", {}).get("s3InputDataConfig", {}).get("s3Uri", ""),
        output_uri=wire.get("outputDataConfig", {}).get("s3OutputDataConfig", {}).get("s3Uri", ""),
        client_token=wire.get("clientRequestToken"),
        role_arn=wire.get("roleArn", ""),
        message=wire.get("message", ""),
        submitted_at=wire.get("submitTime"),
        ended_at=wire.get("endTime"),
        total_records=wire.get("totalRecordCount"),
        processed_records=wire.get("processedRecordCount"),
        success_records=wire.get("successRecordCount"),
        error_records=wire.get("errorRecordCount"),
    )
