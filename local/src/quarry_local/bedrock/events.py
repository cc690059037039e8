"""The events of a job, and what may happen to them on their way: lost, doubled, overtaken. Pure.

Which events suffer is drawn from the seed, the job's name and the status, so a run repeats. An overtaken event is held
until the job's next one has gone ahead of it; the last event of a job has no next one and is never held.
"""

import json
import uuid
from dataclasses import dataclass, field
from hashlib import blake2b

from quarry_local.bedrock.jobs import TERMINAL, Job, Status
from quarry_local.bedrock.settings import LiveSettings
from quarry_local.bedrock.views import java_locale, whole_seconds


@dataclass(frozen=True, slots=True)
class Event:
    job_arn: str
    job_name: str
    status: Status
    at: float
    envelope: str
    """The whole EventBridge event, JSON."""


def event_of(job: Job, *, account: str, region: str, at: float) -> Event:
    """The event of the job's present status (contract section 3)."""
    envelope = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Batch Inference Job State Change",
        "source": "aws.bedrock",
        "account": account,
        "time": whole_seconds(at),
        "region": region,
        "resources": [job.arn],
        "detail": {
            "version": "0.0",
            "accountId": account,
            "batchJobName": job.name,
            "batchJobArn": job.arn,
            "batchModelId": job.model.arn,
            "status": job.status.value,
            "failureMessage": job.message or "",
            "creationTime": java_locale(job.submit_time),
        },
    }
    return Event(job.arn, job.name, job.status, at, json.dumps(envelope))


@dataclass(slots=True)
class EventFigures:
    produced: int = 0
    delivered: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    unmatched: int = 0
    dead_lettered: int = 0
    undeliverable: int = 0


@dataclass(slots=True)
class Disorder:
    seed: int
    figures: EventFigures
    _held: dict[str, Event] = field(default_factory=dict)

    def offer(self, event: Event, live: LiveSettings) -> list[Event]:
        """What is to be delivered now that this event has come, in this order."""
        last = event.status in TERMINAL
        overtaken = self._held.pop(event.job_arn, None)
        going: list[Event] = []
        if self._draw("lost", event) < live.events_lost_share:
            self.figures.lost += 1
        elif not last and overtaken is None and self._draw("reordered", event) < live.events_reordered_share:
            self.figures.reordered += 1
            self._held[event.job_arn] = event
            return []
        else:
            going.append(event)
            if self._draw("doubled", event) < live.events_doubled_share:
                self.figures.doubled += 1
                going.append(event)
        if overtaken is not None:
            going.append(overtaken)
        return going

    def _draw(self, fault: str, event: Event) -> float:
        key = f"{self.seed}/{fault}/{event.job_name}/{event.status}".encode()
        return int.from_bytes(blake2b(key, digest_size=8).digest(), "big") / 2**64
