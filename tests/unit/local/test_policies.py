"""The services' policies, held against what the services do: whole runs on fakes, with each call judged by its role's
policy as IAM would judge it. Nothing that is done may be denied, and nothing may be granted that is never done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import quarry_collector.handler
import quarry_preprocessor.handler
import quarry_scheduler.handler
from quarry_core.errors import Conflict, Missing, Refused
from quarry_core.loop import Consumer
from quarry_core.names import dead_letter_queue_name, queue_name
from quarry_core.ports import Check, Delete, JobRequest, ObjectRef, Put, Update
from quarry_core.service import consumer_limits
from quarry_core.states import RunState
from quarry_local import policies
from quarry_local.bedrock.policy import by_identity
from quarry_local.policies import SERVICES, Place
from tests.world.house import CLAUDE, House

PLACE = Place("test", "us-east-1", "123456789012")
BUCKET = f"arn:aws:s3:::{PLACE.bucket}"
JOB = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghijkl"
MODEL = f"arn:aws:bedrock:us-east-1::foundation-model/{CLAUDE}"
ITEM_ACTIONS = {Put: "PutItem", Update: "UpdateItem", Delete: "DeleteItem", Check: "ConditionCheckItem"}


@dataclass
class Judge:
    """One service's policy, and what was asked of it."""

    service: str
    policy: Mapping[str, Any] = field(init=False)
    used: set[tuple[str, str]] = field(default_factory=set)  # sid of the statement that allowed it, action
    reached: set[tuple[str, str]] = field(default_factory=set)  # sid, pattern of the resource
    denied: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.policy = policies.service_access(PLACE, self.service)

    def ask(self, action: str, resource: str, **context: str) -> None:
        asked = {name.replace("__", ":"): value for name, value in context.items()}
        for statement in self.policy["Statement"]:
            for pattern in many(statement["Resource"]):
                one = {"Statement": [{**statement, "Resource": pattern}]}
                if by_identity([one], action=action, resource=resource, context=asked).allowed:
                    self.used.add((statement["Sid"], action))
                    self.reached.add((statement["Sid"], pattern))
                    return
        self.denied.append(f"{action} on {resource} with {asked}")
        raise Refused(self.denied[-1], "AccessDenied")

    @property
    def idle(self) -> set[tuple[str, str]]:
        """What is granted and was not made use of: actions and resources, by statement."""
        granted = {
            (statement["Sid"], what)
            for statement in self.policy["Statement"]
            for what in (*many(statement["Action"]), *many(statement["Resource"]))
        }
        return granted - self.used - self.reached


def many(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


class JudgedTable:
    def __init__(self, table: Any, judge: Judge) -> None:
        self._table, self._judge = table, judge

    def _ask(self, action: str) -> None:
        self._judge.ask(f"dynamodb:{action}", PLACE.table_arn)

    async def get(self, key: Any) -> Any:
        self._ask("GetItem")
        return await self._table.get(key)

    async def get_many(self, keys: Any) -> Any:
        if keys:
            self._ask("BatchGetItem")
        return await self._table.get_many(keys)

    async def query(self, *arguments: Any, **options: Any) -> Any:
        self._ask("Query")
        return await self._table.query(*arguments, **options)

    async def transact(self, writes: Any) -> None:
        for write in writes:
            self._ask(ITEM_ACTIONS[type(write)])
        await self._table.transact(writes)


class JudgedQueue:
    """`quarry_core.aws.queue`: each method is one action on one queue."""

    def __init__(self, queue: Any, judge: Judge) -> None:
        self._queue, self._judge, self.name = queue, judge, queue.name

    def _ask(self, action: str, make: Any = queue_name) -> None:
        self._judge.ask(f"sqs:{action}", PLACE.queue_arn(make(PLACE.env, self.name)))

    async def receive(self, most: int, wait_s: int) -> Any:
        self._ask("ReceiveMessage")
        return await self._queue.receive(most, wait_s)

    async def send(self, *arguments: Any, **options: Any) -> Any:
        self._ask("SendMessage")
        return await self._queue.send(*arguments, **options)

    async def ack(self, message: Any) -> None:
        self._ask("DeleteMessage")
        await self._queue.ack(message)

    async def extend(self, message: Any, visibility_s: int) -> None:
        self._ask("ChangeMessageVisibility")
        await self._queue.extend(message, visibility_s)

    async def bury(self, message: Any, reason: str, step: str) -> None:
        self._ask("SendMessage", dead_letter_queue_name)
        await self._queue.bury(message, reason, step)


class JudgedObjects:
    """`quarry_core.objects`: HEAD is s3:GetObject too; without s3:ListBucket nothing can be seen to be missing."""

    def __init__(self, objects: Any, judge: Judge) -> None:
        self._objects, self._judge = objects, judge

    def _ask(self, action: str, key: str) -> None:
        self._judge.ask(f"s3:{action}", f"{BUCKET}/{key}")

    def _read(self, method: str, ref: ObjectRef, *arguments: Any) -> Any:
        self._ask("GetObject", ref.key)
        try:
            standing = self._objects.head(ObjectRef(ref.key, ref.bucket))
        except Missing:
            self._judge.ask("s3:ListBucket", BUCKET)
            standing = None
        if ref.version_id and (standing is None or standing.etag != ref.etag):
            self._ask("GetObjectVersion", ref.key)
        return getattr(self._objects, method)(ref, *arguments)

    def head(self, ref: ObjectRef) -> Any:
        return self._read("head", ref)

    def read(self, ref: ObjectRef, *arguments: Any) -> Any:
        return self._read("read", ref, *arguments)

    def stream(self, ref: ObjectRef, *arguments: Any) -> Any:
        return self._read("stream", ref, *arguments)

    def random_access(self, ref: ObjectRef) -> Any:
        return self._read("random_access", ref)

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
        self._ask("PutObject", key)
        return self.published(key, lambda: self._objects.put_once(key, body, metadata))

    def create(self, key: str, metadata: Mapping[str, str]) -> Any:
        self._ask("PutObject", key)
        return JudgedUpload(self, key, self._objects.create(key, metadata), self._judge)

    def published(self, key: str, publish: Any) -> bool:
        """What stands already is looked at, whoever wrote it."""
        try:
            created: bool = publish()
        except Conflict:
            self._ask("GetObject", key)
            raise
        if not created:
            self._ask("GetObject", key)
        return created

    def list(self, prefix: str) -> Any:
        self._judge.ask("s3:ListBucket", BUCKET, s3__prefix=prefix)
        return self._objects.list(prefix)

    def delete(self, key: str) -> None:
        self._ask("DeleteObject", key)
        self._objects.delete(key)


class JudgedUpload:
    def __init__(self, objects: JudgedObjects, key: str, upload: Any, judge: Judge) -> None:
        self._objects, self._key, self._upload, self._judge = objects, key, upload, judge
        self._over = False

    def write(self, data: Any) -> Any:
        return self._upload.write(data)

    def commit(self) -> bool:
        created = self._objects.published(self._key, self._upload.commit)
        if not created:
            self.abort()
        self._over = True
        return created

    def abort(self) -> None:
        if not self._over:  # of a large one there are upload parts to take back
            self._judge.ask("s3:AbortMultipartUpload", f"{BUCKET}/{self._key}")
        self._over = True
        self._upload.abort()


class JudgedJobs:
    def __init__(self, jobs: Any, judge: Judge) -> None:
        self._jobs, self._judge = jobs, judge

    async def create(self, request: JobRequest) -> str:
        for resource in (JOB, MODEL):
            self._judge.ask("bedrock:CreateModelInvocationJob", resource)
        self._judge.ask("iam:PassRole", request.role_arn, iam__PassedToService="bedrock.amazonaws.com")
        if request.tags:
            self._judge.ask("bedrock:TagResource", JOB)
        arn: str = await self._jobs.create(request)
        return arn

    async def get(self, arn: str) -> Any:
        self._judge.ask("bedrock:GetModelInvocationJob", JOB)
        return await self._jobs.get(arn)

    async def find(self, name: str) -> Any:
        self._judge.ask("bedrock:ListModelInvocationJobs", "*")
        return await self._jobs.find(name)

    async def active(self) -> Any:
        self._judge.ask("bedrock:ListModelInvocationJobs", "*")
        return await self._jobs.active()

    async def stop(self, arn: str) -> None:
        self._judge.ask("bedrock:StopModelInvocationJob", JOB)
        await self._jobs.stop(arn)


class JudgedBus:
    def __init__(self, bus: Any, judge: Judge) -> None:
        self._bus, self._judge = bus, judge

    async def put(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        bus = "arn:aws:events:us-east-1:123456789012:event-bus/default"
        self._judge.ask("events:PutEvents", bus, events__source="quarry.test")
        await self._bus.put(detail_type, detail)


class JudgedHouse(House):
    """The house with each service under its own role. What is denied fails the test, whoever catches it."""

    def __init__(self, **changes: Any) -> None:
        self.judges = {service: Judge(service) for service in SERVICES}
        super().__init__(**changes)

    def judged(self, service: str) -> Any:
        judge, world = self.judges[service], self.world()
        return replace(
            world,
            table=JudgedTable(world.table, judge),
            objects=JudgedObjects(world.objects, judge),
            jobs=JudgedJobs(world.jobs, judge),
            bus=JudgedBus(world.bus, judge),
            queues={name: JudgedQueue(queue, judge) for name, queue in world.queues.items()},
        )

    def start(self, faults: Any = None) -> None:
        super().start(faults)
        worlds = {service: self.judged(service) for service in SERVICES}
        self.scheduler = quarry_scheduler.handler.Scheduler(worlds["scheduler"])
        limits = consumer_limits(self.settings, 10)
        queues = worlds["scheduler"].queues
        self.consumers = [
            *quarry_preprocessor.handler.build(worlds["preprocessor"]).consumers,
            *quarry_collector.handler.build(worlds["collector"]).consumers,
            Consumer(queues["scheduler"], self.scheduler.on_bell, limits, self.clock, "scheduler"),
            Consumer(queues["events"], self.scheduler.on_event, limits, self.clock, "events"),
        ]


def lines(house: JudgedHouse) -> list[str]:
    return [f"{service}: {line}" for service, judge in house.judges.items() for line in judge.denied]


async def test_a_run_from_text_needs_nothing_that_is_not_granted():
    house = JudgedHouse()
    run_id = house.send(house.joke(rows=600, max_records_per_job=100, tags={"team": "research"}))

    totals = await house.run(run_id)

    assert lines(house) == []
    assert totals.state is RunState.SUCCEEDED
