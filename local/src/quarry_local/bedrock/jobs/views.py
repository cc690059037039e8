"""A job as Get and List show it, which is not as Create was told (contract section 1.3). Pure."""

from datetime import UTC, datetime
from typing import Any

from quarry_local.bedrock.jobs.job import Counts, Job

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def iso(at: float) -> str:
    """ISO 8601 with milliseconds, as in bodies (contract section 1.1)."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def whole_seconds(at: float) -> str:
    """ISO 8601 without fractions, as EventBridge writes the time of an event."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def java_locale(at: float) -> str:
    """A date as an event's `creationTime` has it; not to be parsed (contract section 3)."""
    moment = datetime.fromtimestamp(at, UTC)
    clock = f"{moment.hour % 12 or 12}:{moment:%M:%S} {'AM' if moment.hour < 12 else 'PM'}"
    return f"{_MONTHS[moment.month - 1]} {moment.day}, {moment.year}, {clock}"


def job_view(job: Job, counts: Counts, account: str) -> dict[str, Any]:
    """The members of Get and of List's summaries; no tokens and no tags."""
    request = job.request
    view = {
        "jobArn": job.arn,
        "jobName": job.name,
        "modelId": job.model.arn,
        "clientRequestToken": request.get("clientRequestToken"),
        "roleArn": request["roleArn"],
        "status": job.status.value,
        "message": job.message,
        "submitTime": iso(job.submit_time),
        "lastModifiedTime": iso(job.entered_at),
        "endTime": None if job.end_time is None else iso(job.end_time),
        "inputDataConfig": _owned(request["inputDataConfig"], account),
        "outputDataConfig": _owned(request["outputDataConfig"], account),
        "vpcConfig": request.get("vpcConfig"),
        "timeoutDurationInHours": job.timeout_hours,
        "jobExpirationTime": iso(job.deadline),
        "modelInvocationType": job.invocation_type,
        "totalRecordCount": counts.total,
        "processedRecordCount": counts.processed,
        "successRecordCount": counts.success,
        "errorRecordCount": counts.error,
    }
    return {name: value for name, value in view.items() if value is not None}


def _owned(config: dict[str, Any], account: str) -> dict[str, Any]:
    """The bucket's owner is filled in, the input's format is not echoed."""
    return {
        kind: {name: value for name, value in ({"s3BucketOwner": account} | s3).items() if name != "s3InputFormat"}
        for kind, s3 in config.items()
    }
