"""The spans of three real processes, sent over HTTP: one trace for each shard, whole before its collector has ended."""

from __future__ import annotations

import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from quarry_core.telemetry.spans import root_span_id, trace_id
from quarry_local.settings import StackSettings
from tests.e2e.user import CLAUDE

ROWS = 600
SHARDS = ("00000", "00002", "00004", "00006", "00008", "00010")
STEPS_OF = {
    "quarry-preprocessor": {"write"},
    "quarry-scheduler": {"admit", "create", "job"},
    "quarry-collector": {"settle", "part", "shard"},
}


class Collector(ThreadingHTTPServer):
    """Takes spans; each with the name of the service that sent it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receive)
        self.received: list = []


class Receive(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
            [service] = [each.value.string_value for each in sent.resource.attributes if each.key == "service.name"]
            self.server.received += [(service, span) for scope in sent.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture(scope="module")
def collector():
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_three_processes_tell_one_trace_for_each_shard(collector, stack_of):
    address = f"http://127.0.0.1:{collector.server_port}"
    overrides = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "600000"}
    user = stack_of(StackSettings(env="traces", quota=2, overrides=overrides))
    run_id = user.send(
        {
            "s3_uri": user.topics("inputs/traces.csv", ROWS),
            "job_name_prefix": "traces",
            "model_id": CLAUDE,
            "prompt_id": "joke_about_topic",
            "max_records_per_job": 100,
        }
    )
    user.ended(run_id, within_s=90)
    user.stack.down()  # nothing was due yet, so what arrives is what a process sends at its end

    traces = defaultdict(list)
    for service, span in collector.received:
        traces[int.from_bytes(span.trace_id, "big")].append((service, span))
    assert set(traces) == {trace_id(run_id, shard) for shard in SHARDS}
    for shard in SHARDS:
        reported = traces[trace_id(run_id, shard)]
        assert {service: {span.name for by, span in reported if by == service} for service in STEPS_OF} == STEPS_OF
        [root] = [span for _, span in reported if span.name == "shard"]
        assert int.from_bytes(root.span_id, "big") == root_span_id(run_id, shard)
        assert {span.parent_span_id for _, span in reported if span is not root} == {root.span_id}
        [job] = [span for _, span in reported if span.name == "job"]
        assert root.start_time_unix_nano < job.start_time_unix_nano < job.end_time_unix_nano < root.end_time_unix_nano
