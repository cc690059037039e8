"""Planted faults on real processes under a real Prometheus: the right alert fires, and no other.

Time is squeezed ([`prometheus`](prometheus.py)). Each fault has a Prometheus of its own, which begins before the fault is
planted and remembers what fired until well after. docs/alerts.md has the same table; a test compares the two.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from quarry_local.clients import Clients
from quarry_local.policies import SERVICES
from quarry_local.settings import StackSettings
from tests.deploy.prometheus import ROOT, Server, a_server, program, squeezed_s, write_squeezed_rules
from tests.e2e.conftest import a_stack
from tests.e2e.user import CLAUDE, User, until

QUOTA = 3
# The services look as often, measured in squeezed time, as they do in production, or more often.
WAITS = {
    "QUARRY_TICK_EVERY_S": "1",
    "QUARRY_SWEEP_EVERY_S": "2",
    "QUARRY_GAUGES_EVERY_S": "1",
    "QUARRY_RECEIVE_WAIT_S": "1",
}
FIRES_WITHIN_S = 75.0
# Whatever else the fault brings about has the time of the longest `for`, and some.
WATCHED_ON_S = squeezed_s(15 * 60) + 3
SLOW_S_PER_1000 = 200.0  # a job of 100 records takes 20 s
TERMINAL = {"Completed", "PartiallyCompleted", "Failed", "Expired", "Stopped"}


@dataclass(frozen=True)
class Fault:
    alert: str
    said: str
    plant: Callable[[Scene], None]


FAULTS: list[Fault] = []


def fires(alert: str) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """The decorated function plants a fault that must make this alert fire; its docstring stands in docs/alerts.md."""

    def register(plant: Callable[[Scene], None]) -> Callable[[Scene], None]:
        FAULTS.append(Fault(alert, " ".join(plant.__doc__.split()), plant))
        return plant

    return register


class Scene:
    """A stack, the Prometheus that watches it, and what has to be undone after the scene."""

    def __init__(self, user: User, name: str, undo: contextlib.ExitStack) -> None:
        self.user = user
        self.name = name
        self.undo = undo
        self.server: Server

    def run(self, rows: int, per_job: int = 100, **manifest: Any) -> str:
        """Send a manifest; the scene's end waits for the run's."""
        run_id = self.name[:16]  # one run a scene
        self.user.send(
            {
                "s3_uri": self.user.topics(f"inputs/{run_id}.csv", rows),
                "job_name_prefix": "alerts",
                "model_id": CLAUDE,
                "prompt_id": "joke_about_topic",
                "max_records_per_job": per_job,
                "run_id": run_id,
                **manifest,
            }
        )
        assert run_id.isalnum()
        self.undo.callback(self.user.ended, run_id, 60)
        return run_id

    def seen(self, query: str) -> None:
        """Wait until Prometheus has something to say to a query."""
        until(lambda: self.server.query(query), 40, lambda: f"nothing for {query}\n{self.user.ends_of_logs()}")


# ------------------------------------------------------------------ the faults


@fires("QuarrySlotStuck")
def slot(scene: Scene) -> None:
    """Bedrock answers each Create with 500, so a slot is held and no job is known."""
    scene.user.stack.set_faults(server_error_by_operation={"CreateModelInvocationJob": 1.0})
    scene.run(rows=100)


@fires("QuarrySchedulerStalled")
def scheduler(scene: Scene) -> None:
    """The only scheduler is killed while three of six shards wait for a slot."""
    scene.user.stack.set_faults(seconds_per_1000_records=SLOW_S_PER_1000)
    scene.run(rows=600)
    scene.seen('quarry:shards_pending:last6h > 0 and on (env) quarry_shards{state="SUBMITTED"} > 0')
    scene.user.stack.kill("scheduler")
    scene.undo.callback(scene.user.stack.start, "scheduler")


@fires("QuarryTargetDown")
def collector(scene: Scene) -> None:
    """The collector is killed and not started again."""
    scene.user.stack.kill("collector")
    scene.undo.callback(scene.user.stack.start, "collector")


@fires("QuarryDeadLetterQueueNotEmpty")
def dead_letters(scene: Scene) -> None:
    """Messages that are not manifests arrive, one per second."""
    url = scene.user.env["QUARRY_MANIFEST_DLQ_URL"]
    scene.undo.callback(scene.user.sqs.purge_queue, QueueUrl=url)
    for count in range(5):
        scene.user.send(f"not a manifest, no. {count}")
        scene.seen(f'quarry_queue_messages{{queue="manifests",state="dead"}} > {count}')


@fires("QuarryJobEventsMissing")
def events(scene: Scene) -> None:
    """No event of Bedrock arrives; the sweep finds the ends of nine jobs."""
    scene.user.stack.set_faults(events_lost_share=1.0)
    scene.run(rows=900)


@fires("QuarryRowErrorBurn")
def row_errors(scene: Scene) -> None:
    """Three of ten records end with an error of the model that is not transient, in a run of 2,700 rows."""
    scene.user.stack.set_faults(record_error_share=0.3, record_error_code=400)
    scene.run(rows=2_700, per_job=300)


@fires("QuarrySweepStale")
def sweep(scene: Scene) -> None:
    """Bedrock answers each List with 500, so no sweep finishes."""
    scene.user.stack.set_faults(server_error_by_operation={"ListModelInvocationJobs": 1.0})


@fires("QuarrySubmissionThrottled")
def throttled(scene: Scene) -> None:
    """Bedrock throttles each Create."""
    scene.user.stack.set_faults(throttled_by_operation={"CreateModelInvocationJob": 1.0})
    scene.run(rows=300)


@fires("QuarryOnDemandThrottled")
def on_demand_throttled(scene: Scene) -> None:
    """Bedrock throttles each request on demand, and a run has 60 rows."""
    ask_fast(scene)
    scene.user.stack.set_faults(throttled_by_operation={"InvokeModel": 1.0})
    scene.run(rows=60)


@fires("QuarryOnDemandStalled")
def on_demand_stalled(scene: Scene) -> None:
    """Bedrock answers each request on demand with 500, and a run has 60 rows."""
    ask_fast(scene)
    scene.user.stack.set_faults(server_error_by_operation={"InvokeModel": 1.0})
    scene.run(rows=60)


@fires("QuarryOldestShardTooOld")
def oldest_shard(scene: Scene) -> None:
    """Jobs take much longer than planned, so the last shards of a run wait for a day."""
    scene.user.stack.set_faults(seconds_per_1000_records=10 * SLOW_S_PER_1000)
    scene.run(rows=600)


@fires("QuarryRowsUnaccounted")
def account(scene: Scene) -> None:
    """Seven rows are added to the counts of a run in the ledger by hand."""
    scene.user.stack.set_faults(seconds_per_1000_records=10 * SLOW_S_PER_1000)
    run_id = scene.run(rows=100)
    scene.seen('quarry_shards{state="SUBMITTED"} > 0')
    add(scene.user, run_id, 7)
    scene.undo.callback(add, scene.user, run_id, -7)


@fires("QuarryBudgetAlmostSpent")
def budget(scene: Scene) -> None:
    """The budget is a hundredth of a cent, and a run costs more."""
    stack = scene.user.stack
    stack.restart("collector", variables={"QUARRY_BUDGET_DOLLARS": "0.0001"})
    scene.undo.callback(stack.restart, "collector")
    scene.seen("quarry_budget_dollars")
    scene.run(rows=100)


@fires("QuarryMonthBudgetAlmostSpent")
def month(scene: Scene) -> None:
    """The month's budget is set so low that what was spent before has used it up."""
    stack = scene.user.stack
    scene.run(rows=100)
    scene.seen("quarry_month_spent_dollars > 0")
    stack.restart("scheduler", variables={"QUARRY_BUDGET_USD": "0.000002"})
    scene.undo.callback(stack.restart, "scheduler")
    scene.seen("quarry_month_budget_dollars")


@fires("QuarryConsumerStopped")
def bad_release(scene: Scene) -> None:
    """The collector is replaced by a release that fails at each output, and a run has three shards."""
    launch = ("-m", "tests.deploy.bad_release")
    scene.user.stack.restart("collector", launch=launch, variables={"QUARRY_ALIKE_FAILURES_MAX": "3"})
    scene.run(rows=300)
    scene.undo.callback(scene.user.stack.restart, "collector")


@fires("QuarryAuditBreach")
def miscounted(scene: Scene) -> None:
    """A slot that nobody holds is added to a pool's count in the ledger by hand."""
    scene.user.stack.set_faults(seconds_per_1000_records=10 * SLOW_S_PER_1000)
    scene.run(rows=100)
    scene.seen('quarry_shards{state="SUBMITTED"} > 0')
    count_a_slot(scene.user, 1)
    scene.undo.callback(count_a_slot, scene.user, -1)


@fires("QuarryRunHeld")
def held(scene: Scene) -> None:
    """The budget of a run pays for no job, and nobody raises it."""
    run_id = scene.run(rows=300, budget_usd=0.000_001)
    scene.undo.callback(scene.user.quarry, "cancel", run_id)


def ask_fast(scene: Scene) -> None:
    """Many at once, for time is squeezed and pauses between tries are not; often, so that no record is given up."""
    fast = {
        "QUARRY_ON_DEMAND_CONCURRENCY": "30",
        "QUARRY_ON_DEMAND_REQUESTS_PER_MINUTE": "6000",
        "QUARRY_ON_DEMAND_ATTEMPTS_MAX": "20",
    }
    scene.user.stack.restart("scheduler", variables=fast)
    scene.undo.callback(scene.user.stack.restart, "scheduler")


def add(user: User, run_id: str, rows: int) -> None:
    _add_to(user, f"run#{run_id}", "totals", "accepted", rows)


def count_a_slot(user: User, slots: int) -> None:
    _add_to(user, f"pool#us-east-1#{CLAUDE}", "quota", "in_use", slots)


def _add_to(user: User, pk: str, sk: str, attribute: str, number: int) -> None:
    client = user.stack.clients().client("dynamodb")
    client.update_item(
        TableName=user.env["QUARRY_TABLE"],
        Key={"pk": {"S": pk}, "sk": {"S": sk}},
        UpdateExpression="ADD #counted :number",
        ConditionExpression="attribute_exists(#counted)",
        ExpressionAttributeNames={"#counted": attribute},
        ExpressionAttributeValues={":number": {"N": str(number)}},
    )


# ------------------------------------------------------------------ the tests


@pytest.fixture(scope="module")
def user(tmp_path_factory) -> Iterator[User]:
    program("prometheus")  # before a stack is brought up for nothing
    settings = StackSettings(env="alerts", quota=QUOTA, overrides=WAITS)
    with a_stack(tmp_path_factory.mktemp("alerts"), settings) as user:
        yield user


@pytest.fixture
def scene(request, user, tmp_path) -> Iterator[Scene]:
    """Begins with a calm stack and a Prometheus that has seen it, and leaves the stack calm."""
    with contextlib.ExitStack() as undo:
        scene = Scene(
            user,
            request.node.name.split("[")[-1]
            .strip("]")
            .lower()
            .removeprefix("quarry")
            .removeprefix("test_")
            .replace("_", ""),
            undo,
        )
        undo.callback(
            stop_jobs, user
        )  # undone in reverse: faults away, jobs stopped, what was killed started, runs ended
        rules = write_squeezed_rules(tmp_path / "rules")
        ports = {service: [user.stack.process(service).port] for service in SERVICES}
        with a_server(tmp_path / "prometheus", ports, "alerts", rules) as scene.server:
            until(lambda: set(scene.server.targets().values()) == {"up"}, 30, lambda: str(scene.server.targets()))
            yield scene
        user.stack.clear_faults()
        stop_jobs(user)


def stop_jobs(user: User) -> None:
    """Stop what runs at the simulated Bedrock: nobody waits for a slow job."""
    client = Clients(user.env["AWS_ENDPOINT_URL_BEDROCK"], "us-east-1").client("bedrock")
    for job in user.stack.simulator_stats()["jobs"]:
        if job["status"] not in TERMINAL:
            with contextlib.suppress(client.exceptions.ConflictException):  # it ended meanwhile
                client.stop_model_invocation_job(jobIdentifier=job["arn"])
    client.close()


def watch_on(server: Server, seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 5, lambda: "time does not pass")
    assert {rule["lastError"] for rule in server.rules() if rule.get("lastError")} == set()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.alert)
def test_a_planted_fault_makes_its_alert_fire_and_no_other(scene, fault):
    assert scene.server.firing() == set()

    fault.plant(scene)

    until(
        lambda: fault.alert in scene.server.firing(),
        FIRES_WITHIN_S,
        lambda: f"{scene.server.fired()} fired; {shown(scene.server)}\n{scene.user.ends_of_logs()}",
    )
    watch_on(scene.server, WATCHED_ON_S)
    assert scene.server.fired() == {fault.alert}


def test_a_run_without_a_fault_makes_none_fire(scene):
    run_id = scene.run(rows=1_800, per_job=300)

    assert scene.user.ended(run_id)["state"] == "SUCCEEDED"
    watch_on(scene.server, WATCHED_ON_S)
    assert scene.server.fired() == set()
    assert scene.server.query('sum(quarry_rows_finished_total{outcome="ok"}) >= 1800')


def shown(server: Server) -> dict[str, Any]:
    """The recorded figures, for a person who has to find out why nothing fired."""
    samples = server.query('{__name__=~"quarry:.+"}')
    return {f"{each['metric']['__name__']} {each['metric'].get('outcome', '')}": each["value"][1] for each in samples}


def test_the_page_tells_of_each_fault_that_is_planted():
    page = (ROOT / "docs" / "alerts.md").read_text()
    rows = re.findall(r"^\| \[(Quarry\w+)\]\(runbook\.md#\w+\) \| [a-z, ]+ \| (.+) \|$", page, re.MULTILINE)

    assert dict(rows) == {fault.alert: fault.said for fault in FAULTS}
    assert len(rows) == len(FAULTS)
