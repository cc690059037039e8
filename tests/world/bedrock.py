"""What Bedrock does with a job, in memory: reads its input, answers, writes its output, tells the bus.

Its own words and code, in the smallest form that a test needs; the simulator in `quarry_local` is the faithful one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from quarry_core.contract.names import parse_s3_uri
from quarry_core.ports import Job, ObjectRef
from tests.world.jobs import FakeJobs
from tests.world.objects import FakeObjects
from tests.world.queue import FakeQueue


@dataclass
class FakeBedrock:
    """Ends jobs as the test asks.

    error_share: of the records, how many end with an error of their own.
    missing_share: of the records, how many have no line.
    throttled_share: of the records, how many are answered 429; another job may answer them, as may one the others.
    refused_share: of the records, how many are answered 400 in every job.
    events_lost_share, events_doubled_share: what the bus does to an event.
    answerer: what a model says to a body, by the job's invocation type; else it repeats the prompt.
    """

    jobs: FakeJobs
    objects: FakeObjects
    events: FakeQueue
    error_share: float = 0.0
    missing_share: float = 0.0
    throttled_share: float = 0.0
    refused_share: float = 0.0
    events_lost_share: float = 0.0
    events_doubled_share: float = 0.0
    seed: int = 0
    answerer: Callable[[dict, str | None], dict] | None = None

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def active(self) -> list[Job]:
        return list(self.jobs.running)

    def begin(self, job: Job) -> None:
        self.jobs.move(job.arn, "InProgress")
        self.tell(job, "InProgress")

    def end(self, job: Job, status: str = "Completed", *, message: str = "", output: bool = True) -> None:
        """Do the work, write what came of it, and end the job."""
        good = bad = 0
        if output:
            good, bad = self._write_output(job)
        self.jobs.finish(job.arn, status, message=message, success=good, errors=bad)
        self.tell(job, status, message)

    def end_all(self, status: str = "Completed") -> int:
        ended = self.active
        for job in ended:
            self.end(job, status)
        return len(ended)

    def tell(self, job: Job, status: str, message: str = "") -> None:
        if self._random.random() < self.events_lost_share:
            return
        body = event(job, status, message)
        self.events.put(body)
        if self._random.random() < self.events_doubled_share:
            self.events.put(body)

    def _write_output(self, job: Job) -> tuple[int, int]:
        bucket, key = parse_s3_uri(job.input_uri)
        lines, good, bad = [], 0, 0
        request = self.jobs.request_of(job.arn)
        answering = self.answerer or answered
        for text in self.objects.read(ObjectRef(key, bucket)).splitlines():
            record = json.loads(text)
            chance = random.Random(f"{self.seed} {job.name} {record['recordId']}").random()
            if chance < self.missing_share:
                continue
            line = {"recordId": record["recordId"], "modelInput": record["modelInput"]}
            always = random.Random(f"{self.seed} {record['recordId']}").random() < self.refused_share
            if always or chance < self.missing_share + self.error_share:
                lines.append(line | {"error": {"errorCode": 400, "errorMessage": "bad request"}})
                bad += 1
            elif chance < self.missing_share + self.error_share + self.throttled_share:
                lines.append(line | {"error": {"errorCode": 429, "errorMessage": "Too many requests"}})
                bad += 1
            else:
                lines.append(line | {"modelOutput": answering(record["modelInput"], request.invocation_type)})
                good += 1
        self._random.shuffle(lines)
        out_bucket, prefix = parse_s3_uri(job.output_uri)
        folder = f"{prefix.rstrip('/')}/{job.arn.rpartition('/')[2]}/"
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self.objects.plant(folder, b"", out_bucket)
        self.objects.plant(folder + key.rpartition("/")[2] + ".out", body, out_bucket)
        summary = {"totalRecordCount": good + bad, "successRecordCount": good, "errorRecordCount": bad}
        self.objects.plant(folder + "manifest.json.out", json.dumps(summary).encode(), out_bucket)
        return good, bad


def answer(body: dict) -> dict:
    """In the family's form, and a function of the input."""
    if "inputText" in body:
        size = body.get("dimensions", 1024)
        first = (sum(body["inputText"].encode()) % 97) / 97
        vector = [first, *[0.0] * (size - 2), (1 - first**2) ** 0.5]
        return {"embedding": vector, "inputTextTokenCount": len(body["inputText"]) // 4}
    prompt = next(block["text"] for block in body["messages"][0]["content"] if "text" in block)
    return {
        "role": "assistant",
        "content": [{"type": "text", "text": f"answer to: {prompt}"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": len(prompt) // 4, "output_tokens": 7},
    }


def answered(body: dict, invocation_type: str | None) -> dict:
    """In the form of the job's invocation type."""
    if invocation_type != "Converse":
        return answer(body)
    prompt = next(block["text"] for block in body["messages"][0]["content"] if "text" in block)
    message = {"role": "assistant", "content": [{"text": f"answer to: {prompt}"}]}
    usage = {"inputTokens": len(prompt) // 4, "outputTokens": 7, "totalTokens": len(prompt) // 4 + 7}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": usage}


def event(job: Job, status: str, message: str = "") -> str:
    return json.dumps(
        {
            "version": "0",
            "detail-type": "Batch Inference Job State Change",
            "source": "aws.bedrock",
            "resources": [job.arn],
            "detail": {
                "version": "0.0",
                "batchJobName": job.name,
                "batchJobArn": job.arn,
                "batchModelId": job.model_id,
                "status": status,
                "failureMessage": message,
            },
        }
    )
