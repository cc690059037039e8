"""The events of a job, and what may happen to them on their way: lost, doubled, overtaken, late, early, foreign. Pure.

Which events suffer is drawn from the seed, the job's name and the status, so a run repeats. An overtaken event is held
until the job's next one has gone ahead of it; the last event of a job has no next one and is never held.
"""

import json
import uuid
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from quarry_local.bedrock.faults.plan import Faults, befalls
from quarry_local.bedrock.jobs.job import TERMINAL, Job, Status
from quarry_local.bedrock.jobs.views import java_locale, whole_seconds


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
        "id": _event_id(job.arn, job.status, at),
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


def _event_id(*of: object) -> str:
    """A UUID that follows from what the event tells, so that a run repeats; a job's ARN makes it unique."""
    return str(uuid.UUID(bytes=blake2b("/".join(map(str, of)).encode(), digest_size=16).digest(), version=4))


def foreign_event(event: Event) -> Event:
    """The same change of status of a job that is nobody's here; its name ends like the job's, so that rules let it in."""
    envelope = json.loads(event.envelope)
    digits = blake2b(event.job_arn.encode(), digest_size=6).hexdigest()
    name = "-".join(["foreign", digits, *event.job_name.split("-")[-3:]])[:63]
    arn = f"{event.job_arn.rpartition('/')[0]}/{digits}"
    envelope["id"] = _event_id(arn, event.status, event.at)
    envelope["resources"] = [arn]
    envelope["detail"] |= {"batchJobName": name, "batchJobArn": arn}
    return replace(event, job_arn=arn, job_name=name, envelope=json.dumps(envelope))


@dataclass(slots=True)
class EventFigures:
    produced: int = 0
    delivered: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    late: int = 0
    early: int = 0
    foreign: int = 0
    unmatched: int = 0
    dead_lettered: int = 0
    undeliverable: int = 0


@dataclass(slots=True)
class Disorder:
    seed: int
    figures: EventFigures
    _held: dict[str, Event] = field(default_factory=dict)

    def lateness_s(self, event: Event, faults: Faults) -> float:
        """How much later than others this event comes."""
        if not self._befalls("late", event, faults.events_late_share):
            return 0.0
        self.figures.late += 1
        return faults.events_late_s

    def comes_early(self, event: Event, faults: Faults) -> bool:
        """Whether Create's answer waits for this event, the job's first one."""
        return self._befalls("early", event, faults.events_early_share)

    def offer(self, event: Event, live: Faults) -> list[Event]:
        """What is to be delivered now that this event has come, in this order."""
        last = event.status in TERMINAL
        overtaken = self._held.pop(event.job_arn, None)
        going: list[Event] = []
        if self._befalls("lost", event, live.events_lost_share):
            self.figures.lost += 1
        elif not last and overtaken is None and self._befalls("reordered", event, live.events_reordered_share):
            self.figures.reordered += 1
            self._held[event.job_arn] = event
            return []
        else:
            going.append(event)
            if self._befalls("doubled", event, live.events_doubled_share):
                self.figures.doubled += 1
                going.append(event)
        if overtaken is not None:
            going.append(overtaken)
        if self._befalls("foreign", event, live.events_foreign_share):
            self.figures.foreign += 1
            going.append(foreign_event(event))
        return going

    def _befalls(self, fault: str, event: Event, share: float) -> bool:
        return befalls(self.seed, fault, f"{event.job_name}/{event.status}", share)
