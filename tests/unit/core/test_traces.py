"""Traces: one for each shard, whoever does its steps; nothing in them that may not be told; and off unless wanted."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from quarry_core.contract.messages import Wakeup
from quarry_core.errors import Refused, Stale, Throttled
from quarry_core.telemetry import traces_export
from quarry_core.telemetry.spans import NO_TRACES, Span, root_span_id, trace_id
from quarry_core.telemetry.traces import open_traces, wanted
from quarry_core.telemetry.traces_export import ExportedTraces
from tests.unit.flow.acts import play, shards
from tests.world.clock import EPOCH, FakeClock
from tests.world.world import SimulatedWorld, settings

ROOT = Path(__file__).resolve().parents[3]
SAID = "the-words-of-a-stranger"
STEPS = ["write", "admit", "create", "job", "settle", "part"]
ATTRIBUTES = {
    *("run_id", "shard", "attempt", "attempts", "pool", "job", "status", "outcome", "error.type"),
    *("rows", "sendable", "bytes", "records", "ok", "error"),
}
ENVIRONMENT = {
    "QUARRY_ENV": "test",
    "QUARRY_REGION": "us-east-1",
    "QUARRY_TABLE": "ledger",
    "QUARRY_BUCKET": "world",
    "QUARRY_BEDROCK_ROLE_ARN": "arn:aws:iam::123456789012:role/test",
    "QUARRY_METRICS_HOST": "127.0.0.1",
    "QUARRY_METRICS_PORT": "0",
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
}


class TracedWorld(SimulatedWorld):
    """Each process of a service has traces of its own: they share nothing but where their spans end up."""

    def __init__(self, share=1.0, **changes):
        self.exporter = InMemorySpanExporter()
        self.share = share
        self.opened = []
        super().__init__(**changes)
        self.clock.auto_advance = False  # time is what the test says, not how often the heartbeat runs

    def process_world(self, faults=None):
        traces = ExportedTraces("quarry-test", "test", self.clock, self.share, SimpleSpanProcessor(self.exporter))
        self.opened.append(traces)
        return replace(super().process_world(faults), traces=traces)

    def by_trace(self):
        """Spans by their trace's id, each trace's in the order of their beginnings, the root first."""
        found = defaultdict(list)
        for span in self.exporter.get_finished_spans():
            found[span.context.trace_id].append(span)
        return {key: sorted(spans, key=lambda span: (span.start_time, _place(span))) for key, spans in found.items()}

    def trace(self, run_id, shard):
        return self.by_trace()[trace_id(run_id, shard)]


def _place(span):
    return ["shard", *STEPS].index(span.name)


@pytest.fixture
def world():
    opened = []

    def build(**changes):
        opened.append(TracedWorld(**changes))
        return opened[-1]

    yield build
    for each in opened:
        for traces in each.opened:
            traces.close()


def names(spans):
    return [span.name for span in spans]


async def a_run_with_every_ending(world):
    """A refusal, a throttling, a failed job, one without an end of its own; the prompt and the rows have the words."""
    world.bedrock.error_share = world.bedrock.missing_share = 0.1
    table = pa.table({"topic": [None if row == 7 else f"{SAID} {row}" for row in range(600)]})
    manifest = world.joke(max_records_per_job=200) | {"s3_uri": world.parquet(table)}
    del manifest["prompt_id"]
    manifest["prompt"] = {"template": f"{SAID}: {{topic}}", "system": SAID}
    run_id = world.send(manifest)
    endings = iter([("Failed", False), ("Expired", False), ("PartiallyCompleted", True), ("Stopped", True)])

    def end(job):
        status, output = next(endings, ("Completed", True))
        world.bedrock.end(job, status, message=f"{SAID}: internal error", output=output)

    world.jobs.refuse_once(Throttled(f"{SAID}: not now"))
    await play(world, run_id, end)
    return run_id


# --------------------------------------------------------------------------- one trace for each shard


async def test_each_shard_has_one_trace_with_its_steps_in_order(world):
    world = world()
    run_id = world.send(world.joke(rows=600, max_records_per_job=100))
    await world.run(run_id)
    all_shards = await shards(world, run_id)

    assert len(all_shards) == 6
    assert set(world.by_trace()) == {trace_id(run_id, shard.shard) for shard in all_shards}
    for shard in all_shards:
        root, *steps = world.trace(run_id, shard.shard)
        assert names([root, *steps]) == ["shard", *STEPS]
        assert (root.parent, root.context.span_id) == (None, root_span_id(run_id, shard.shard))
        assert {step.parent.span_id for step in steps} == {root.context.span_id}
        assert len({step.context.span_id for step in steps}) == len(STEPS)
        assert all(root.start_time <= step.start_time <= step.end_time <= root.end_time for step in steps)
        assert all(before.end_time <= after.start_time for before, after in pairwise(steps))
        assert {(step.attributes["run_id"], step.attributes["shard"]) for step in steps} == {(run_id, shard.shard)}
        assert (root.attributes["ok"], root.attributes["rows"]) == (100, 100)
        assert all(span.status.is_ok or span.status.is_unset for span in (root, *steps))


async def test_a_job_takes_the_time_that_bedrock_tells(world):
    world = world()
    run_id = world.send(world.joke(rows=100))
    await world.idle()
    world.clock.advance(5_000)
    [job] = world.bedrock.active
    world.bedrock.end(job)
    world.clock.advance(300)
    await world.run(run_id)

    [reported] = [span for span in world.trace(run_id, "00000") if span.name == "job"]
    assert reported.end_time - reported.start_time == 5_000 * 10**9
    assert reported.start_time == int(EPOCH.timestamp()) * 10**9
    assert (reported.attributes["job"], reported.attributes["status"]) == (job.name, "Completed")


async def test_of_an_expired_job_the_end_that_bedrock_tells_is_not_believed(world):
    world = world()
    run_id = world.send(world.joke(rows=100))
    await world.idle()
    world.bedrock.events_lost_share = 1.0
    [job] = world.bedrock.active
    world.bedrock.end(job, "Expired", output=False)
    world.clock.advance(7_000)
    await world.scheduler.sweeper.sweep()

    [reported] = [span for span in world.trace(run_id, "00000") if span.name == "job"]
    assert reported.end_time - reported.start_time == 7_000 * 10**9
    assert reported.status.description == "Expired"


async def test_a_restart_and_lost_events_stay_in_the_same_trace(world):
    world = world()
    run_id = world.send(world.joke(rows=200, max_records_per_job=100))
    await world.idle()
    world.start()
    world.bedrock.events_lost_share = 1.0
    await world.run(run_id)

    assert len(world.by_trace()) == 2
    for shard in await shards(world, run_id):
        assert set(names(world.trace(run_id, shard.shard))) == {"shard", *STEPS}


async def test_a_second_wakeup_tells_no_second_root(world):
    world = world()
    run_id = world.send(world.joke(rows=200, max_records_per_job=100))
    await world.idle()
    world.bedrock.end(world.bedrock.active[0])
    await world.idle()
    world.queues["collector"].put(Wakeup(step="settle", run_id=run_id, shard="00000").body())
    await world.idle()

    assert names(world.trace(run_id, "00000")) == ["shard", *STEPS]


async def test_a_repeat_is_in_the_trace_of_its_shard_with_the_failure_before_it(world):
    world = world()
    run_id = world.send(world.joke(rows=100))
    first = iter(["Failed"])

    def end(job):
        status = next(first, "Completed")
        world.bedrock.end(job, status, output=status == "Completed")

    await play(world, run_id, end)
    spans = world.trace(run_id, "00000")

    jobs = [span for span in spans if span.name == "job"]
    assert [(job.attributes["attempt"], job.status.description) for job in jobs] == [(1, "Failed"), (2, None)]
    assert [span.attributes["outcome"] for span in spans if span.name == "settle"] == ["repeat", "settled"]
    assert spans[0].attributes["attempts"] == 2


async def test_what_fails_is_reported_as_an_error(world):
    world = world()
    run_id = world.send(world.joke(rows=100))
    world.jobs.refuse_once(Refused(f"creating: AccessDeniedException: {SAID}"))
    await play(world, run_id)

    [create] = [span for span in world.trace(run_id, "00000") if span.name == "create"]
    assert not create.status.is_ok
    assert (create.status.description, create.attributes["error.type"]) == ("refused", "refused")


def test_an_exception_is_reported_by_its_kind_alone():
    exporter = InMemorySpanExporter()
    traces = ExportedTraces("quarry-test", "test", FakeClock(), 1.0, SimpleSpanProcessor(exporter))
    with pytest.raises(ValueError, match=SAID), traces.span("write", "r", "00000"):
        raise ValueError(SAID)
    [span] = exporter.get_finished_spans()
    traces.close()

    assert span.status.description == "ValueError"
    assert SAID not in span.to_json()
    assert span.resource.attributes["service.name"] == "quarry-test"


def test_a_span_that_cannot_be_reported_harms_nobody():
    traces = ExportedTraces("quarry-test", "test", FakeClock(), 1.0, SimpleSpanProcessor(InMemorySpanExporter()))
    without_a_zone = EPOCH.replace(tzinfo=None)
    with structlog.testing.capture_logs() as lines:
        traces.add(Span("job", "r", "00000", without_a_zone, EPOCH, {}))
    traces.close()

    assert [line["event"] for line in lines] == ["span_failed"]


def test_that_another_was_faster_is_no_error():
    exporter = InMemorySpanExporter()
    traces = ExportedTraces("quarry-test", "test", FakeClock(), 1.0, SimpleSpanProcessor(exporter))
    with pytest.raises(Stale), traces.span("admit", "r", "00000"):
        raise Stale("its slot is taken")
    [span] = exporter.get_finished_spans()
    traces.close()

    assert span.attributes["outcome"] == "stale"
    assert span.status.is_unset


async def test_no_span_carries_what_was_asked_or_answered_nor_the_account(world):
    world = world()
    run_id = await a_run_with_every_ending(world)

    reported = [span.to_json() for span in world.exporter.get_finished_spans()]
    assert SAID in "".join(str(each) for each in world.result(run_id)["response"].to_pylist())
    assert {"Failed", "Expired", "throttled"} <= {
        value for span in world.exporter.get_finished_spans() for value in span.attributes.values()
    }
    assert [line for line in reported if SAID in line or "arn:" in line or "s3:" in line] == []
    assert {key for span in world.exporter.get_finished_spans() for key in span.attributes} == ATTRIBUTES
    assert {key for line in reported for key in json.loads(line)["events"]} == set()


async def test_of_a_share_whole_traces_are_kept(world):
    world = world(share=0.5)
    run_id = world.send(world.joke(rows=2_400, max_records_per_job=100))
    await world.run(run_id)

    kept = world.by_trace()
    assert 4 <= len(kept) <= 20  # of 24
    assert {tuple(names(spans)) for spans in kept.values()} == {("shard", *STEPS)}


async def test_of_no_share_nothing_is_kept(world):
    world = world(share=0.0)
    await world.run(world.send(world.joke(rows=100)))
    assert world.by_trace() == {}


# --------------------------------------------------------------------------- ids


def test_ids_are_computed_and_stay_what_they_are():
    # printf '%s' 8k2m4n/00002 | sha256sum
    assert f"{trace_id('8k2m4n', '00002'):032x}" == "6d24a4201f1c10dd5b9343be2f023193"
    assert f"{root_span_id('8k2m4n', '00002'):016x}" == "1c91e2582dd67e7b"
    assert len({trace_id(run, shard) for run in ("a", "b") for shard in ("00000", "00001")}) == 4


def test_two_processes_compute_the_same_ids():
    script = (
        "from quarry_core.telemetry.spans import *; print(trace_id('8k2m4n', '00002'), root_span_id('8k2m4n', '00002'))"
    )
    reported = {python(script, PYTHONHASHSEED=seed).stdout for seed in ("1", "2")}
    assert reported == {f"{trace_id('8k2m4n', '00002')} {root_span_id('8k2m4n', '00002')}\n"}


# --------------------------------------------------------------------------- off, unless wanted


def python(script, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"PATH": os.environ["PATH"], **ENVIRONMENT, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


SERVICES = """
import sys
{before}
import quarry_preprocessor.handler, quarry_scheduler.handler, quarry_collector.handler
from quarry_core.service.process import main
from quarry_core.settings import Settings
from quarry_core.telemetry.traces import wanted
{after}
"""
# As where the extra is not installed: None makes each import of it fail.
NOT_INSTALLED = "sys.modules['opentelemetry'] = None"


@pytest.mark.parametrize(
    "environment",
    [{}, {"QUARRY_TRACES": "0", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}],
)
def test_nothing_of_opentelemetry_is_imported_unless_it_is_wanted(environment):
    after = "print(wanted(Settings()), [name for name in sys.modules if name.startswith('opentelemetry')])"
    assert python(SERVICES.format(before="", after=after), **environment).stdout == "False []\n"


def test_services_import_without_the_extra_and_an_address_for_all_programs_is_not_asked_of_them():
    script = SERVICES.format(before=NOT_INSTALLED, after="print(wanted(Settings()))")
    done = python(script, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_traces_that_are_asked_for_without_the_extra_are_an_error_that_names_it():
    script = SERVICES.format(before=NOT_INSTALLED, after="sys.exit(main('scheduler', None, ()))")
    done = python(script, QUARRY_TRACES="1")
    assert done.returncode == 2
    assert "pip install './core[traces]'" in done.stderr


def test_traces_are_wanted_where_they_are_asked_for_or_have_an_address():
    assert wanted(settings(traces=True))
    assert wanted(settings(otlp_endpoint="http://127.0.0.1:4318"))
    assert not wanted(settings(traces=False, otlp_endpoint="http://127.0.0.1:4318"))
    with open_traces("scheduler", settings(), FakeClock()) as traces:
        assert traces is NO_TRACES


def test_every_service_may_be_installed_with_the_traces_file_beside_its_own():
    def pins(name):
        lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
        return dict(line.split()[0].split("==") for line in lines if "==" in line)

    traces = pins("traces")
    assert "opentelemetry-sdk" in traces
    for service in ("preprocessor", "scheduler", "collector"):
        assert not [name for name in pins(service) if name.startswith("opentelemetry")]
        both = pins(service).keys() & traces.keys()
        assert {name: pins(service)[name] for name in both} == {name: traces[name] for name in both}
        assert {"botocore", "urllib3"} <= both


# --------------------------------------------------------------------------- on the wire


class Received(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    with ThreadingHTTPServer(("127.0.0.1", 0), Received) as server:
        server.received = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_process_sends_its_spans_before_it_ends(collector):
    script = """
    import asyncio, os, signal, sys
    from datetime import UTC, datetime
    from quarry_core.service.process import Parts, main
    from quarry_core.telemetry.spans import Span

    def build(world):
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        world.traces.add(Span("shard", "8k2m4n", "00002", moment, moment, {"rows": 3}))
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
        return Parts(consumers=())

    sys.exit(main("scheduler", build, ()))
    """
    done = python(script, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}")
    assert (done.returncode, done.stderr) == (0, "")

    [(path, request)] = collector.received
    [of_resource] = request.resource_spans
    [span] = of_resource.scope_spans[0].spans
    about = {each.key: each.value.string_value for each in of_resource.resource.attributes}
    assert path == "/v1/traces"
    assert (about["service.name"], about["deployment.environment.name"]) == ("quarry-scheduler", "test")
    assert int.from_bytes(span.trace_id, "big") == trace_id("8k2m4n", "00002")
    assert int.from_bytes(span.span_id, "big") == root_span_id("8k2m4n", "00002")
    assert not span.parent_span_id


def test_a_collector_that_does_not_answer_delays_the_end_by_a_bounded_time(monkeypatch):
    monkeypatch.setattr(traces_export, "CLOSE_MAX_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
        began = time.monotonic()
        with open_traces("scheduler", settings(traces=True), FakeClock()) as traces:
            traces.add(Span("shard", "r", "00000", EPOCH, EPOCH + timedelta(seconds=1), {}))
        assert time.monotonic() - began < 1.5
        [late] = [thread for thread in threading.enumerate() if thread.name == "traces-close"]
        late.join(10)  # what it has to say belongs to this test
