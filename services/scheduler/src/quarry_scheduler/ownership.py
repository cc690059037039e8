"""Is a job ours? Only Bedrock's own word for it counts, and a name alone proves nothing. Pure.

Anyone in the account may give a job one of our names, and an event on the queue may say anything. So a job that was
read from Bedrock is compared with the request that we would send for its attempt: name, client token, input, output,
role and model. Bedrock returns a model as its ARN, whatever Create was given (contract section 1.3), so the canonical
models are compared. The service model lets Get leave out name and client token; what is left out does not speak
against adopting a job, whose input and output name the attempt, but a job is stopped only when nothing is left out.
"""

from __future__ import annotations

from quarry_core.models import canonical_model
from quarry_core.ports import Job, JobRequest


def differences(job: Job, request: JobRequest) -> list[str]:
    """The fields in which a job differs from what we would have created; those that Bedrock left out do not."""
    pairs = {
        "name": (job.name, request.name),
        "client_token": (job.client_token or "", request.client_token),
        "output_uri": (job.output_uri.rstrip("/"), request.output_uri.rstrip("/")),
        "role_arn": (job.role_arn, request.role_arn),
    }
    found = [field for field, (theirs, ours) in pairs.items() if theirs and theirs != ours]
    # Whether Bedrock returns an application profile as what it was told, or as its model, is not documented.
    ours = {canonical_model(each) for each in (request.model_id, request.base_model) if each}
    if job.model_id and canonical_model(job.model_id) not in ours:
        found.append("model_id")
    if job.input_uri != request.input_uri:  # always returned, and names our bucket, run and shard
        found.append("input_uri")
    return found


def may_adopt(job: Job, request: JobRequest) -> bool:
    """Nothing that Bedrock returned speaks against this job being the one of this attempt."""
    return not differences(job, request)


def may_stop(job: Job, request: JobRequest) -> bool:
    """Every field was returned, and every one is ours: a job of somebody else's is never touched on a guess."""
    returned = (job.name, job.client_token, job.input_uri, job.output_uri, job.role_arn, job.model_id)
    return all(returned) and not differences(job, request)
