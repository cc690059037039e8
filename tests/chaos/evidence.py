"""What is left when all is over, as anybody with access to the account finds it: S3, the table, the DLQs, Bedrock's List.

Read by boto3 alone and straight from AWS, not through the proxy. It shares no code with the product.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from tests.judge.checker import Asked, Evidence, Listed

_read = TypeDeserializer().deserialize
RECEIVE_MAX = 10
EMPTY_RECEIVES = 2


def items(dynamodb: Any, table: str) -> list[dict[str, Any]]:
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [{name: _read(value) for name, value in item.items()} for page in pages for item in page["Items"]]


def objects(s3: Any, bucket: str) -> dict[str, list[bytes | None]]:
    """All versions of all objects, oldest first; a deletion is None."""
    found: defaultdict[str, list[tuple[datetime, bytes | None]]] = defaultdict(list)
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in page.get("Versions", ()):
            asked = {"Bucket": bucket, "Key": version["Key"]}
            if version.get("VersionId") not in (None, "null"):
                asked["VersionId"] = version["VersionId"]
            found[version["Key"]].append((version["LastModified"], s3.get_object(**asked)["Body"].read()))
        for marker in page.get("DeleteMarkers", ()):
            found[marker["Key"]].append((marker["LastModified"], None))
    return {key: [body for _, body in sorted(bodies, key=lambda each: each[0])] for key, bodies in found.items()}


def dead(sqs: Any, urls: Mapping[str, str]) -> dict[str, list[str]]:
    """The bodies of all dead-letter messages, by queue."""
    return {name: list(_bodies(sqs, url)) for name, url in urls.items()}


def _bodies(sqs: Any, url: str) -> Iterator[str]:
    empty, known = 0, set()
    while empty < EMPTY_RECEIVES:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=RECEIVE_MAX, VisibilityTimeout=120)
        fresh = [message for message in answer.get("Messages", ()) if message["MessageId"] not in known]
        empty = 0 if fresh else empty + 1
        known.update(message["MessageId"] for message in fresh)
        yield from (message["Body"] for message in fresh)


def jobs(bedrock: Any) -> list[Listed]:
    pages = bedrock.get_paginator("list_model_invocation_jobs").paginate(maxResults=100)
    return [_listed(job) for page in pages for job in page["invocationJobSummaries"]]


def _listed(job: Mapping[str, Any]) -> Listed:
    ended = job.get("endTime")
    return Listed(
        job["jobName"],
        job["jobArn"],
        job["status"],
        job["submitTime"].timestamp(),
        ended.timestamp() if ended is not None else None,
        int(job.get("processedRecordCount", job["status"] == "Completed")),
    )


def gathered(clients: Any, bedrock: Any, where: Mapping[str, str], asked: Sequence[Asked], quota: int) -> Evidence:
    """Everything. `where`: `bucket`, `table`, `env`, and by queue the URL of its dead-letter queue as `dlq <name>`."""
    dlqs = {name.removeprefix("dlq "): url for name, url in where.items() if name.startswith("dlq ")}
    return Evidence(
        asked=asked,
        objects=objects(clients.client("s3"), where["bucket"]),
        items=items(clients.client("dynamodb"), where["table"]),
        dead=dead(clients.client("sqs"), dlqs),
        jobs=jobs(bedrock),
        quota=quota,
        env=where["env"],
    )


def log_lines(path: Any) -> Iterator[dict[str, Any]]:
    """The lines of a service's log that are JSON."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict):
                yield said
