"""Somebody who uses a stack: has its variables, boto3 and the `quarry` command, and nothing of its inside.

Every wait is a poll with a deadline; one that passes says what stood there and how the services' logs end.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from boto3.dynamodb.types import TypeDeserializer

from quarry_core.contract.manifest_identity import run_id_of
from quarry_core.contract.names import QUEUES, queue_url_variable
from quarry_local.policies import SERVICES
from quarry_local.stack import Stack
from tests.warm import Warm

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
CLAUDE_POOL = f"us-east-1#{CLAUDE}"
ENDED = ("SUCCEEDED", "SUCCEEDED_WITH_ERRORS", "FAILED", "CANCELLED")
Done = subprocess.CompletedProcess[str]
# What the script that pip makes of an entry point does.
RUN = "import sys; from quarry_cli.main import app; sys.argv[0] = 'quarry'; sys.exit(app())"
QUARRY = Path(sys.executable).with_name("quarry")
POLL_S = 0.2
COMMAND_S = 60
LINE_END_CHARS = 250
_read = TypeDeserializer().deserialize


def until(true: Callable[[], Any], within_s: float, otherwise: Callable[[], str]) -> Any:
    """Ask until the answer is true, and give it; after `within_s` fail with the words of `otherwise`."""
    end = time.monotonic() + within_s
    while not (answer := true()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within_s:g} s: {otherwise()}")
        time.sleep(POLL_S)
    return answer


class User:
    def __init__(self, stack: Stack, warm: Warm | None = None) -> None:
        self.stack = stack
        self._warm = warm
        self.env = stack.env()
        clients = stack.clients()
        self.s3 = clients.client("s3")
        self.sqs = clients.client("sqs")
        self._dynamodb = clients.client("dynamodb")
        self.bucket = self.env["QUARRY_BUCKET"]

    # ------------------------------------------------------------------ what a user does

    def put(self, key: str, body: bytes) -> str:
        """Put an object into the bucket; its URI."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def csv(self, key: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(rows)
        return self.put(key, text.getvalue().encode())

    def topics(self, key: str, rows: int) -> str:
        """A CSV file with the one column `topic`."""
        return self.csv(key, ["topic"], ([f"topic number {row}"] for row in range(rows)))

    def send(self, manifest: Mapping[str, Any] | str) -> str:
        """Drop a manifest on the queue as any SQS client does; its run id, or the message id of text without one."""
        body = manifest if isinstance(manifest, str) else json.dumps(manifest)
        message_id = str(
            self.sqs.send_message(QueueUrl=self.env["QUARRY_MANIFEST_QUEUE_URL"], MessageBody=body)["MessageId"]
        )
        return message_id if isinstance(manifest, str) else run_id_of(manifest, message_id)

    def quarry(self, *arguments: str, exit_code: int | None = 0, plainly: bool = False) -> Done:
        """Run the command in the stack's environment; None takes any exit code. `plainly`: as a shell starts it."""
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **self.env}
        if self._warm and not plainly:
            done = self._warm.run("-c", RUN, *arguments, env=env, check=False)
        else:
            done = subprocess.run(
                [QUARRY, *arguments], env=env, capture_output=True, text=True, timeout=COMMAND_S, check=False
            )
        said = f"quarry {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert exit_code in (None, done.returncode), said
        return done

    # ------------------------------------------------------------------ what came of it

    def item(self, pk: str, sk: str) -> dict[str, Any]:
        """An item of the ledger; empty if there is none."""
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        answer = self._dynamodb.get_item(TableName=self.env["QUARRY_TABLE"], Key=key, ConsistentRead=True)
        return {name: _read(value) for name, value in answer.get("Item", {}).items()}

    def items(self, pk: str, prefix: str) -> list[dict[str, Any]]:
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self.env["QUARRY_TABLE"],
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
            ExpressionAttributeValues={":pk": {"S": pk}, ":prefix": {"S": prefix}},
        )
        return [{name: _read(value) for name, value in item.items()} for page in pages for item in page["Items"]]

    def totals(self, run_id: str) -> dict[str, Any]:
        return self.item(f"run#{run_id}", "totals")

    def ended(self, run_id: str, within_s: float = 60) -> dict[str, Any]:
        """Wait until the run is at its end; its totals."""
        until(
            lambda: self.totals(run_id).get("state") in ENDED,
            within_s,
            lambda: f"{run_id} is at {self.totals(run_id)}\n{self.ends_of_logs()}",
        )
        return self.totals(run_id)

    def status(self, run_id: str) -> dict[str, Any]:
        """What `quarry status RUN --json` says."""
        said: dict[str, Any] = json.loads(self.quarry("status", run_id, "--json").stdout)
        return said

    def part_keys(self, run_id: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"results/{run_id}/part-")
        return sorted(found["Key"] for page in pages for found in page.get("Contents", ()))

    def result(self, run_id: str) -> pa.Table:
        """The parts, one behind the other in the order of their names."""
        return pa.concat_tables([pq.read_table(io.BytesIO(self.get(key))) for key in self.part_keys(run_id)])

    def report(self, run_id: str) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.get(f"results/{run_id}/_report.json"))
        return report

    def get(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def jobs(self, run_id: str) -> list[dict[str, Any]]:
        """The simulated Bedrock's jobs of a run, oldest first."""
        return [job for job in self.stack.simulator_stats()["jobs"] if f"-{run_id}-" in job["name"]]

    def dead_letters(self, queue: str = "manifests") -> list[dict[str, Any]]:
        """What lies in a dead-letter queue, with attributes; it stays there."""
        url, found = self.env[_dead_letter_variable(queue)], []
        while messages := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=5
        ).get("Messages"):
            found += messages
        for message in found:
            self.sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return found

    def dead(self) -> dict[str, int]:
        """How many messages each dead-letter queue holds."""
        return {name: self.depth(self.env[_dead_letter_variable(name)])[0] for name in QUEUES}

    def depth(self, url: str) -> tuple[int, int]:
        """Messages of a queue: visible, in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        reported = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return int(reported[names[0]]), int(reported[names[1]])

    def ends_of_logs(self) -> str:
        return "\n".join("\n".join([f"-- {name}", *map(_cut, self.stack.logs(name, 10))]) for name in SERVICES)


def _cut(line: str) -> str:
    """A traceback's beginning and end."""
    return line if len(line) < 2 * LINE_END_CHARS else f"{line[:LINE_END_CHARS]} … {line[-LINE_END_CHARS:]}"


def _dead_letter_variable(queue: str) -> str:
    return queue_url_variable(queue).replace("_QUEUE_URL", "_DLQ_URL")
