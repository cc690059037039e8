"""The services' policies, held against what the services do: whole runs on fakes, with each call judged by its role's
policy as IAM would judge it. Nothing that is done may be denied, and nothing may be granted that is never done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pytest

import quarry_collector.handler
import quarry_preprocessor.handler
import quarry_scheduler.handler
from quarry_core.contract.names import dead_letter_queue_name, on_demand_key, queue_name, rows_key
from quarry_core.contract.on_demand import answer_line
from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import Conflict, Missing, Refused, Unknown
from quarry_core.ledger.keys import listed_pool_key, shard_key
from quarry_core.ports import Delete, JobRequest, ObjectRef, Put, RuntimeRequest, Update
from quarry_core.service.consumer import Consumer
from quarry_core.service.process import consumer_limits, with_gauges
from quarry_local import policies
from quarry_local.bedrock.iam.policy import by_identity
from quarry_local.policies import SERVICES, Place
from tests.unit.flow.test_retry import retry
from tests.world.world import CLAUDE, SimulatedWorld

PLACE = Place("test", "us-east-1", "123456789012")
BUCKET = f"arn:aws:s3:::{PLACE.bucket}"
JOB = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghijkl"
MODEL = f"arn:aws:bedrock:us-east-1::foundation-model/{CLAUDE}"
PROFILE = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{CLAUDE}"
APPLICATION = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"
BUILDS = {
    "preprocessor": quarry_preprocessor.handler.build,
    "scheduler": quarry_scheduler.handler.build,
    "collector": quarry_collector.handler.build,
}
ITEM_ACTIONS = {Put: "PutItem", Update: "UpdateItem", Delete: "DeleteItem"}


@dataclass
class Judge:
    """One service's policy, and what was asked of it."""

    service: str
    policy: Mapping[str, Any] = field(init=False)
    used: set[tuple[str, str]] = field(default_factory=set)  # sid of the statement that allowed it, action
    reached: set[tuple[str, str]] = field(default_factory=set)  # sid, pattern of the resource
    denied: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)  # what is to go wrong once, see `trouble`

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

    def trouble(self, what: str) -> bool:
        """Whether this call is to fail: the first one of each kind that was ordered."""
        found = next((one for one in self.troubles if what.startswith(one)), None)
        if found is not None:
            self.troubles.remove(found)
        return found is not None

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
        if any(self._judge.trouble(f"write {write.key[1]}") for write in writes):
            raise Unknown("the reply was lost, and the writes before it")
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

    async def ack_all(self, messages: Any) -> None:
        self._ask("DeleteMessage")  # deleting several is the same action
        await self._queue.ack_all(messages)

    async def extend(self, message: Any, visibility_s: int) -> None:
        self._ask("ChangeMessageVisibility")
        await self._queue.extend(message, visibility_s)

    async def dead_letter(self, message: Any, reason: str, step: str) -> None:
        self._ask("SendMessage", dead_letter_queue_name)
        await self._queue.dead_letter(message, reason, step)

    async def backlog(self) -> Any:
        self._ask("GetQueueAttributes")
        return await self._queue.backlog()

    async def depth(self) -> Any:
        for make in (queue_name, dead_letter_queue_name):
            self._ask("GetQueueAttributes", make)
        return await self._queue.depth()


class JudgedDeadLetters:
    """The one queue that has no other for its dead-letter messages."""

    name = "event_target"

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    async def depth(self) -> Any:
        self._judge.ask("sqs:GetQueueAttributes", PLACE.queue_arn(PLACE.event_target_dlq))
        return {}


class JudgedObjects:
    """`quarry_core.aws.s3.objects`: HEAD is s3:GetObject too; without s3:ListBucket nothing can be seen to be missing."""

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
        if self._judge.trouble(f"look {ref.key}"):
            raise Missing("another writer was not done yet")
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

    def list(self, prefix: str, bucket: str = "", owner: str | None = None) -> Any:
        self._judge.ask("s3:ListBucket", BUCKET, s3__prefix=prefix)
        return self._objects.list(prefix, bucket, owner)

    def delete(self, key: str) -> None:
        self._ask("DeleteObject", key)
        if self._judge.trouble(f"delete {key}"):
            raise Unknown("the reply was lost")
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
        self._tags: dict[str, Mapping[str, str]] = {}  # by the job's name, which a second job has too

    async def create(self, request: JobRequest) -> str:
        for resource in (JOB, *asked_for(request.model_id)):
            self._judge.ask("bedrock:CreateModelInvocationJob", resource)
        self._judge.ask("iam:PassRole", request.role_arn, iam__PassedToService="bedrock.amazonaws.com")
        if request.tags:
            asked = {f"aws:RequestTag/{key}": value for key, value in request.tags.items()}
            self._judge.ask("bedrock:TagResource", JOB, **asked)
        arn: str = await self._jobs.create(request)
        self._tags[request.name] = request.tags
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
        job = await self._jobs.get(arn)
        tags = {f"aws:ResourceTag/{key}": value for key, value in self._tags.get(job.name, {}).items()}
        self._judge.ask("bedrock:StopModelInvocationJob", JOB, **tags)
        await self._jobs.stop(arn)


def asked_for(model_id: str) -> tuple[str, ...]:
    """What IAM compares: a profile, and its model with it, or a model."""
    if model_id == APPLICATION:
        return APPLICATION, MODEL
    return (PROFILE, MODEL) if model_id.startswith("us.") else (MODEL,)


class JudgedQuotas:
    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    async def jobs_at_once(self) -> Mapping[str, int]:
        for action in (
            "servicequotas:ListServiceQuotas",
            "servicequotas:ListAWSDefaultServiceQuotas",
            "bedrock:ListFoundationModels",
        ):
            self._judge.ask(action, "*")
        return {}


class JudgedProfiles:
    def __init__(self, profiles: Any, judge: Judge) -> None:
        self._profiles, self._judge = profiles, judge

    async def get(self, arn: str) -> Any:
        self._judge.ask("bedrock:GetInferenceProfile", arn)
        return await self._profiles.get(arn)


class JudgedRuntime:
    """InvokeModel and Converse are one action."""

    def __init__(self, runtime: Any, judge: Judge) -> None:
        self._runtime, self._judge = runtime, judge

    async def ask(self, request: RuntimeRequest) -> bytes:
        for resource in asked_for(request.model_id):
            self._judge.ask("bedrock:InvokeModel", resource)
        answer: bytes = await self._runtime.ask(request)
        return answer


class JudgedBus:
    def __init__(self, bus: Any, judge: Judge) -> None:
        self._bus, self._judge = bus, judge

    async def put(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        bus = "arn:aws:events:us-east-1:123456789012:event-bus/default"
        self._judge.ask("events:PutEvents", bus, events__source="quarry.test")
        await self._bus.put(detail_type, detail)


class JudgedWorld(SimulatedWorld):
    """The world with each service under its own role. What is denied fails the test, whoever catches it."""

    def __init__(self, **changes: Any) -> None:
        self.judges = {service: Judge(service) for service in SERVICES}
        super().__init__(**changes)

    def judged(self, service: str) -> Any:
        judge, world = self.judges[service], self.process_world()
        return replace(
            world,
            table=JudgedTable(world.table, judge),
            objects=JudgedObjects(world.objects, judge),
            jobs=JudgedJobs(world.jobs, judge),
            profiles=JudgedProfiles(world.profiles, judge),
            runtime=JudgedRuntime(world.runtime, judge),
            quotas=JudgedQuotas(judge),
            bus=JudgedBus(world.bus, judge),
            queues={name: JudgedQueue(queue, judge) for name, queue in world.queues.items()},
            undelivered=JudgedDeadLetters(judge),
        )

    def start(self, faults: Any = None) -> None:
        super().start(faults)
        worlds = {service: self.judged(service) for service in SERVICES}
        self.scheduler = quarry_scheduler.handler.Scheduler(worlds["scheduler"])
        limits, clock = consumer_limits(self.settings, 10), worlds["scheduler"].clock
        queues = worlds["scheduler"].queues
        self.consumers = [
            *quarry_preprocessor.handler.build(worlds["preprocessor"]).consumers,
            *quarry_collector.handler.build(worlds["collector"]).consumers,
            Consumer(queues["scheduler"], self.scheduler.on_wakeup, limits, clock, "scheduler"),
            Consumer(queues["events"], self.scheduler.on_event, limits, clock, "events"),
            Consumer(queues["on-demand"], self.scheduler.on_demand.on_wakeup, limits, clock, "on-demand"),
        ]


async def a_run_from_text(world: JudgedWorld) -> None:
    run_id = world.send(world.joke(rows=600, max_records_per_job=100, tags={"team": "research"}))
    assert (await world.run(run_id)).state is RunState.SUCCEEDED


async def a_source_that_is_overwritten_and_a_job_that_is_repeated(world: JudgedWorld) -> None:
    rows = pa.table({"topic": [f"topic {row}" for row in range(300)]})
    run_id = world.send(world.joke() | {"s3_uri": world.parquet(rows)})
    await world.consumers[0].run_once()
    world.parquet(rows.slice(0, 10))
    await world.idle()
    world.bedrock.end(world.bedrock.active[0], "Failed", message="internal error", output=False)
    assert (await world.run(run_id)).ok == 300


async def manifests_that_are_refused_or_must_wait(world: JudgedWorld) -> None:
    world.send(world.joke(prompt_id="no_such_prompt"))
    await world.idle()
    runs = [world.send(world.joke(rows=100 + number)) for number in range(2)]
    for run_id in runs:
        world.clock.advance(61)
        assert (await world.run(run_id)).state is RunState.SUCCEEDED


async def words_that_nobody_can_read(world: JudgedWorld) -> None:
    for queue in world.queues.values():
        queue.put("no message of ours")
    world.queues["scheduler"].put('{"v":99,"kind":"admit"}')  # of a release to come: it goes back, for a newer process
    await world.idle()
    assert all(queue.dead for queue in world.queues.values())


async def a_shard_that_is_too_short_and_one_that_is_too_long(world: JudgedWorld) -> None:
    rows = pa.table({"topic": [None if row < 60 else f"topic {row}" for row in range(150)]})
    short = world.send(world.joke(on_demand_below=0) | {"s3_uri": world.parquet(rows)})
    assert (await world.run(short)).error == 150
    rows = pa.table({"topic": [f"topic {row}" for row in range(600)]})
    long = world.send(world.joke(max_num_jobs=1) | {"s3_uri": world.parquet(rows)})
    assert (await world.run(long)).shards_enlisted == 2


async def rows_that_are_asked_on_demand(world: JudgedWorld) -> None:
    run_id = world.send(world.joke(rows=50, model_id=f"us.{CLAUDE}"))
    # Another has written the first answers, was taken for lost, and the wake-up for the rest came to nothing.
    others = answer_line("00000000003", b'{"content": [{"type": "text", "text": "x"}]}')
    upload = world.objects.create(on_demand_key(run_id, "00000", 1, 1), {"kind": "another"})
    upload.write(others)
    upload.commit()
    while (shard := await world.ledger.shard(run_id, "00000")) is None:
        await world.consumers[0].run_once()
        await world.consumers[1].run_once()
    world.table.items[shard_key(run_id, shard.shard)] |= {
        "state": ShardState.INVOKING,
        "heartbeat": "of one that was lost",
    }
    assert (await world.run(run_id)).ok == 50


async def runs_by_an_application_profile(world: JudgedWorld) -> None:
    assert world.profiles.make("a1b2c3d4e5f6", CLAUDE) == APPLICATION
    for rows in (100, 40):
        assert (await world.run(world.send(world.joke(rows=rows, model_id=APPLICATION)))).ok == rows


async def sources_of_several_files(world: JudgedWorld) -> None:
    rows = pa.table({"topic": [f"topic {row}" for row in range(100)]})
    for number in range(2):
        world.parquet(rows, f"inputs/folder/{number}.parquet")
    first = world.send(world.joke(result_prefix="first_") | {"s3_uri": "s3://world/inputs/folder/"})
    assert (await world.run(first)).ok == 200
    pattern = f"s3://world/results/{first}/part-*.parquet"
    assert (await world.run(world.send(world.joke(s3_uri=pattern)))).ok == 200


async def replies_that_are_lost(world: JudgedWorld) -> None:
    world.judges["preprocessor"].troubles += ["write shard#"]
    world.judges["collector"].troubles += ["write shard#", "look outcomes/"]
    run_id = world.send(world.joke(rows=100, model_id=f"us.{CLAUDE}"))
    await world.idle()
    world.clock.advance(300)
    await world.idle()
    world.bedrock.end_all()
    await world.idle()  # the outcome stands, and the ledger was not told
    world.judges["collector"].troubles = ["look outcomes/", "look results/", "delete batch-input/"]
    world.clock.advance(300)
    assert (await world.run(run_id)).state is RunState.SUCCEEDED


async def records_that_go_again(world: JudgedWorld) -> None:
    world.bedrock.throttled_share = 0.5
    troubles = world.judges["collector"].troubles
    troubles += ["write shard#00000", "write shard#00005"]  # of settling, and of opening the round
    run_id = world.send(world.joke(rows=300, max_records_per_job=100))
    await world.idle()
    world.bedrock.end_all()
    await world.idle()  # the lines that go again are copied, and the ledger was not told
    troubles.append(f"look again/{run_id}/00000")
    world.clock.advance(300)
    await world.idle()  # the retry shard is written, and the ledger was not told
    troubles.append(f"look batch-input/{run_id}/00005")
    world.clock.advance(300)
    totals = await world.run(run_id)
    assert (totals.state, troubles) == (RunState.SUCCEEDED, [])
    assert totals.round > 2
    assert world.runtime.asked, "the last ones on demand"


async def errors_of_an_ended_run_that_are_asked_again(world: JudgedWorld) -> None:
    world.bedrock.throttled_share = 0.5
    run_id = world.send(world.joke(rows=300, max_records_per_job=100, record_errors={"max_attempts": 1}))
    assert (await world.run(run_id)).errors["MODEL_ERROR"] > 100
    world.bedrock.throttled_share = 0.0
    troubles = world.judges["preprocessor"].troubles
    troubles.append("write shard#00000")  # what is asked of it stands, and the ledger was not told
    assert (await retry(world, run_id)).way == "jobs"
    await world.idle()
    world.clock.advance(300)
    assert (await world.run(f"{run_id}-v2")).state is RunState.SUCCEEDED
    assert troubles == []
    topics = [None if row % 20 == 0 else f"topic {row}" for row in range(200)]
    run_id = world.send(world.joke(rows=1) | {"s3_uri": world.parquet(pa.table({"topic": topics}))})
    assert (await world.run(run_id)).errors == {"NULL_INPUT": 10}
    await retry(world, run_id, every=True)  # and none can be rendered this time either
    assert (await world.run(f"{run_id}-v2")).errors == {"NULL_INPUT": 10}


async def a_part_that_cannot_be_joined(world: JudgedWorld) -> None:
    run_id = world.send(world.joke(rows=100))
    await world.idle()
    world.objects.delete(rows_key(run_id, "00000"))
    assert (await world.run(run_id)).state is RunState.FAILED


async def a_wakeup_that_is_lost_and_a_job_too_many(world: JudgedWorld) -> None:
    run_id = world.send(world.joke(rows=100))
    await world.consumers[0].run_once()
    for message in await world.queues["slices"].receive(10, 0):
        await world.queues["slices"].ack(message)
    for _ in range(30):
        world.clock.advance(61)
        await world.scheduler.limits.read_quotas()
        await world.scheduler.sweeper.sweep()
    await world.idle()
    job = world.bedrock.active[0]
    world.jobs.add_second(job.arn)
    await world.scheduler.sweeper.sweep()
    world.bedrock.end(job)
    for _ in range(3):  # it finds that the job has ended, that the collector is waited for, whether that is behind
        await world.scheduler.sweeper.sweep()
    await world.idle()
    assert (await world.totals(run_id)).state is RunState.SUCCEEDED


async def a_pool_of_a_release_that_listed_none(world: JudgedWorld) -> None:
    run_id = world.send(world.joke(rows=100))
    await world.idle()
    (pool,) = await world.ledger.pools()
    await world.table.transact([Delete(listed_pool_key(pool))])
    world.clock.advance(60)
    await world.scheduler.sweeper.sweep()
    assert await world.ledger.pools() == [pool]
    assert (await world.run(run_id)).state is RunState.SUCCEEDED


async def a_minute_in_which_nothing_comes(world: JudgedWorld) -> None:
    for service, build in BUILDS.items():
        for timer in with_gauges(build(world.judged(service)), world.settings).timers:
            await timer.work()


SCENES = {
    a_run_from_text: {},
    a_source_that_is_overwritten_and_a_job_that_is_repeated: {},
    manifests_that_are_refused_or_must_wait: {"open_runs_max": 1},
    words_that_nobody_can_read: {},
    a_shard_that_is_too_short_and_one_that_is_too_long: {"shard_bytes_max": 100_000},
    sources_of_several_files: {},
    rows_that_are_asked_on_demand: {},
    runs_by_an_application_profile: {},
    replies_that_are_lost: {},
    records_that_go_again: {},
    errors_of_an_ended_run_that_are_asked_again: {},
    a_part_that_cannot_be_joined: {},
    a_wakeup_that_is_lost_and_a_job_too_many: {},
    a_pool_of_a_release_that_listed_none: {},
    a_minute_in_which_nothing_comes: {},
}


PLAYED: dict[str, JudgedWorld] = {}


async def played(scene: Any) -> JudgedWorld:
    """The world in which the scene was played: once, for both tests."""
    if scene.__name__ not in PLAYED:
        world = PLAYED[scene.__name__] = JudgedWorld(**SCENES[scene])
        await scene(world)
    return PLAYED[scene.__name__]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_nothing_that_a_service_does_is_denied(scene):
    world = await played(scene)

    assert {service: judge.denied for service, judge in world.judges.items()} == {service: [] for service in SERVICES}


async def test_nothing_is_granted_that_no_service_ever_does():
    worlds = [await played(scene) for scene in SCENES]

    for service in SERVICES:
        idle = set.intersection(*(world.judges[service].idle for world in worlds))
        assert not idle, f"the {service} never makes use of {sorted(idle)}"


@pytest.mark.parametrize(
    ("action", "tags", "allowed"),
    [
        ("bedrock:StopModelInvocationJob", {"aws:ResourceTag/quarry-env": "dev"}, True),
        ("bedrock:StopModelInvocationJob", {"aws:ResourceTag/quarry-env": "prod"}, False),
        ("bedrock:StopModelInvocationJob", {"aws:ResourceTag/team": "dev"}, False),
        ("bedrock:StopModelInvocationJob", {}, False),
        ("bedrock:TagResource", {"aws:RequestTag/quarry-env": "dev", "aws:RequestTag/team": "a"}, True),
        ("bedrock:TagResource", {"aws:RequestTag/quarry-env": "prod"}, False),
        ("bedrock:TagResource", {"aws:RequestTag/team": "a"}, False),
        ("bedrock:GetModelInvocationJob", {}, True),
    ],
)
def test_the_scheduler_stops_and_tags_jobs_of_its_environment_alone(action, tags, allowed):
    place = Place("dev", "us-east-1", "123456789012")
    job = f"arn:aws:bedrock:{place.region}:{place.account}:model-invocation-job/abcdefabcdef"

    verdict = by_identity([policies.service_access(place, "scheduler")], action=action, resource=job, context=tags)

    assert verdict.allowed is allowed
