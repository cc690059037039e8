"""What a scrape of the real services holds: calls of AWS that fakes cannot make, and figures while a run goes its way."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quarry_local.settings import StackSettings
from tests.e2e.user import CLAUDE, TITAN, User

SERVICES = ("preprocessor", "scheduler", "collector")
ROWS = 600
POOL = f"us-east-1#{TITAN}"
WITHIN_S = 30.0


@pytest.fixture(scope="module")
def user(stack_of):
    overrides = {"QUARRY_GAUGES_EVERY_S": "1", "QUARRY_BUDGET_DOLLARS": "12.5"}
    return stack_of(StackSettings(env="metrics", quota=2, overrides=overrides))


class Scrape:
    """All samples of one service at one moment."""

    def __init__(self, user: User, service: str) -> None:
        with urllib.request.urlopen(user.stack.metrics_url(service), timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        self.samples = [sample for family in families for sample in family.samples]

    def of(self, name: str, **labels: str) -> float | None:
        """The sum of the samples of a name that have these labels; None if there are none."""
        found = [
            sample.value
            for sample in self.samples
            if sample.name == f"quarry_{name}" and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None


def until(user: User, service: str, wanted: Callable[[Scrape], bool]) -> Scrape:
    """Scrape a service until it shows what is wanted."""
    end = time.monotonic() + WITHIN_S
    while not wanted(scrape := Scrape(user, service)):
        assert time.monotonic() < end, scrape.samples
        time.sleep(0.2)
    return scrape


@pytest.fixture(scope="module")
def run_id(user) -> str:
    """A run of six shards that has ended."""
    run_id = user.send(
        {
            "s3_uri": user.topics("inputs/metrics.csv", ROWS),
            "job_name_prefix": "metrics",
            "model_id": CLAUDE,
            "prompt_id": "joke_about_topic",
            "max_records_per_job": 100,
            "run_id": "metrics",
        }
    )
    user.ended(run_id, within_s=90)
    return run_id


def test_while_a_run_is_open_the_scheduler_shows_it_and_afterwards_nothing_of_it(user):
    uri = user.csv("inputs/open.csv", ("input_text",), ((f"text {row}",) for row in range(ROWS)))
    manifest = {"s3_uri": uri, "job_name_prefix": "open", "model_id": TITAN, "max_records_per_job": 100}
    run_id = user.send(manifest | {"run_id": "open"})

    scrape = until(user, "scheduler", lambda scrape: bool(scrape.of("rows_open", pool=POOL)))
    assert scrape.of("runs", state="RUNNING") == 1
    assert scrape.of("rows_unaccounted") == 0
    assert 0 < (scrape.of("rows_open", pool=POOL) or 0) <= ROWS

    user.ended(run_id, within_s=90)
    scrape = until(user, "scheduler", lambda scrape: scrape.of("slots_in_use", pool=POOL) is None)
    assert scrape.of("runs") == 0
    assert scrape.of("rows_open", pool=POOL) is None
    assert scrape.of("job_duration_seconds_count", pool=POOL, phase="total") == 6


def test_each_service_tells_of_its_queues_its_calls_and_its_budget(user):
    queues = {
        "preprocessor": ("manifests", "slices"),
        "scheduler": ("scheduler", "events", "on-demand"),
        "collector": ("collector",),
    }
    for service in SERVICES:
        scrape = until(user, service, lambda scrape: scrape.of("queue_messages") is not None)
        for queue in queues[service]:
            assert scrape.of("queue_messages", queue=queue, state="dead") == 0
        assert scrape.of("aws_requests_total", operation="get_queue_attributes", outcome="ok")
        assert scrape.of("budget_dollars") == 12.5
        assert scrape.of("build_info", service=service) == 1
    assert Scrape(user, "scheduler").of("queue_messages", queue="event_target", state="dead") == 0


@pytest.mark.usefixtures("run_id")
def test_calls_of_s3_are_seen(user):
    preprocessor, collector = Scrape(user, "preprocessor"), Scrape(user, "collector")
    assert preprocessor.of("aws_requests_total", service="s3", operation="put_object", outcome="ok")
    assert preprocessor.of("aws_requests_total", service="s3", operation="get_object", outcome="ok")
    assert collector.of("aws_requests_total", service="s3", operation="delete_object", outcome="ok") >= 6
    assert collector.of("aws_request_duration_seconds_count", service="s3", operation="get_object")


def test_tokens_and_cost_are_those_of_the_report(user, run_id):
    reported = user.report(run_id)
    collector = Scrape(user, "collector")
    assert collector.of("tokens_total", model=CLAUDE, direction="input") == reported["llm_tokens"]["input"] > 0
    assert collector.of("tokens_total", model=CLAUDE, direction="output") == reported["llm_tokens"]["output"] > 0
    assert collector.of("cost_dollars_total", model=CLAUDE) == pytest.approx(reported["cost"]["dollars"])
