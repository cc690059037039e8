"""What a cut holds: from the fakes to plain data, and back.

What is written uses DynamoDB's types, SQS's attributes and Bedrock's fields, and never a class or field of Quarry's, so
that later code can read it whatever it calls these things.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from quarry_core.ports import Job, JobRequest, Message
from tests.histories.form import Cut, History, Identity, Line, digest, identity_of, typed, untyped
from tests.world.bedrock import FakeBedrock
from tests.world.bus import Event
from tests.world.objects import Version
from tests.world.world import SimulatedWorld

# --------------------------------------------------------------------------- out


def snapshot(world: SimulatedWorld, name: str, about: str, bodies: dict[str, bytes]) -> Cut:
    """Everything as it is now; the bodies of objects are added to `bodies`, by SHA-256."""
    lines: dict[Identity, Line] = {}
    for line in _lines(world, bodies):
        lines[identity_of(line)] = line
    return Cut(name, about, world.clock.now().isoformat(), lines)


def _lines(world: SimulatedWorld, bodies: dict[str, bytes]) -> Iterator[Line]:
    for key in sorted(world.table.items):
        yield {"item": {name: typed(value) for name, value in sorted(world.table.items[key].items())}}
    for name, queue in world.queues.items():
        for message, hidden_s in queue.waiting:
            yield {"message": {**_message(name, message), "hidden_s": hidden_s}}
        for message in queue.dead:
            yield {"dead": _message(name, message)}
    for job, request in zip(world.jobs.all, world.jobs.requests, strict=True):
        yield {"job": _job(job, request)}
    for bucket, objects in world.objects.standing.items():
        for key, version in objects.items():
            bodies[digest(version.body)] = version.body
            yield {
                "object": {
                    "bucket": bucket,
                    "key": key,
                    "version": version.id,
                    "etag": version.etag,
                    "bytes": len(version.body),
                    "sha256": digest(version.body),
                    "metadata": dict(version.metadata),
                }
            }
    for number, event in enumerate(world.bus.events):
        yield {
            "event": {"number": number, "source": event.source, "type": event.detail_type, "detail": dict(event.detail)}
        }


def _message(queue: str, message: Message) -> dict[str, Any]:
    return {
        "queue": queue,
        "id": message.id,
        "body": message.body,
        "attributes": dict(message.attributes),
        "received": message.receive_count,
        "sent_at_ms": message.sent_at_ms,
    }


def _job(job: Job, request: JobRequest) -> dict[str, Any]:
    job_fields = {
        "jobArn": job.arn,
        "jobName": job.name,
        "modelId": job.model_id,
        "clientRequestToken": job.client_token,
        "roleArn": job.role_arn,
        "status": job.status,
        "message": job.message,
        "submitTime": job.submitted_at and job.submitted_at.isoformat(),
        "endTime": job.ended_at and job.ended_at.isoformat(),
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": job.input_uri}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": job.output_uri}},
        "totalRecordCount": job.total_records,
        "processedRecordCount": job.processed_records,
        "successRecordCount": job.success_records,
        "errorRecordCount": job.error_records,
    }
    created = {
        "modelId": request.model_id,
        "timeoutDurationInHours": request.timeout_hours,
        "tags": [{"key": key, "value": value} for key, value in request.tags.items()],
    }
    return {name: value for name, value in job_fields.items() if value not in (None, "")} | {"created_with": created}


# --------------------------------------------------------------------------- in


def world_of(history: History, cut: Cut) -> SimulatedWorld:
    """The world as it was recorded, with fresh processes of today's services."""
    about = history.about
    # An environment that was made before there was a queue for it asks nothing on demand.
    world = SimulatedWorld(**{"on_demand_queue_url": ""} | settings_of(about["settings"]))
    world.clock.advance((datetime.fromisoformat(cut.now) - world.clock.now()).total_seconds())
    world.clock.reseed(f"{about['release']} {cut.name}")  # so that no token of the recording comes again
    world.bedrock = bedrock_of(about["bedrock"], world)
    world.table.restore({name: untyped(value) for name, value in item.items()} for item in cut.of("item"))
    for name, queue in world.queues.items():
        queue.restore(
            [(_read_message(each), each["hidden_s"]) for each in cut.of("message") if each["queue"] == name],
            [_read_message(each) for each in cut.of("dead") if each["queue"] == name],
        )
    world.jobs.restore([_read_job(each) for each in cut.of("job")])
    world.objects.restore(_read_objects(history, cut))
    world.bus.events[:] = [Event(each["source"], each["type"], each["detail"]) for each in cut.of("event")]
    world.start()
    return world


def settings_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as `SimulatedWorld` takes them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in about.items()}


def bedrock_of(rules: Mapping[str, Any], world: SimulatedWorld) -> FakeBedrock:
    """Bedrock as it behaves in a history, recorded or replayed."""
    world.jobs.set_quota(rules["quota"])
    world.jobs.list_lag_s = rules["list_lag_s"]
    world.jobs.refused_models = frozenset(rules["refused_models"])
    return FakeBedrock(
        world.jobs,
        world.objects,
        world.queues["events"],
        error_share=rules["error_share"],
        missing_share=rules["missing_share"],
        seed=rules["seed"],
    )


def _read_message(line: Mapping[str, Any]) -> Message:
    return Message(line["id"], line["body"], "", line["attributes"], line["received"], line["sent_at_ms"])


def _read_job(line: Mapping[str, Any]) -> tuple[Job, JobRequest]:
    created = line["created_with"]
    input_uri = line["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
    output_uri = line["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]
    job = Job(
        arn=line["jobArn"],
        name=line["jobName"],
        status=line["status"],
        model_id=line["modelId"],
        input_uri=input_uri,
        output_uri=output_uri,
        client_token=line.get("clientRequestToken"),
        role_arn=line.get("roleArn", ""),
        message=line.get("message", ""),
        submitted_at=_time(line.get("submitTime")),
        ended_at=_time(line.get("endTime")),
        total_records=line.get("totalRecordCount"),
        processed_records=line.get("processedRecordCount"),
        success_records=line.get("successRecordCount"),
        error_records=line.get("errorRecordCount"),
    )
    request = JobRequest(
        name=line["jobName"],
        client_token=line.get("clientRequestToken") or "",
        role_arn=line.get("roleArn", ""),
        model_id=created["modelId"],
        input_uri=input_uri,
        output_uri=output_uri,
        timeout_hours=created["timeoutDurationInHours"],
        tags={each["key"]: each["value"] for each in created["tags"]},
    )
    return job, request


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _read_objects(history: History, cut: Cut) -> dict[str, dict[str, Version]]:
    found: dict[str, dict[str, Version]] = {}
    for each in cut.of("object"):
        version = Version(each["version"], history.bodies[each["sha256"]], each["metadata"])
        assert version.etag == each["etag"]
        found.setdefault(each["bucket"], {})[each["key"]] = version
    return found
