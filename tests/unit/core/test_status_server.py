"""The status port: probes are answered whoever else is connected, and nobody who is keeps the process from its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import time

import pytest

from quarry_core.telemetry import metrics
from quarry_core.telemetry.status import Answer, Bounds, Health, StatusServer

HOST = "127.0.0.1"
SHORT = Bounds(request_s=0.2, answer_s=0.2)
# Far more than any of this takes: what hangs fails.
SOON_S = 10.0


@contextlib.asynccontextmanager
async def serving(bounds=None, **options):
    health = Health()
    server = StatusServer(HOST, 0, health, bounds=bounds, **options)
    await server.start()
    try:
        yield server, health
    finally:
        async with asyncio.timeout(SOON_S):
            await server.stop()
        assert server.connections == 0


async def connected(server):
    return await asyncio.open_connection(HOST, server.port)


async def sent(server, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, and read the answer to its end."""
    async with asyncio.timeout(SOON_S):
        reader, writer = await connected(server)
        writer.write(request)
        whole = await reader.read()
        writer.close()
    head, _, body = whole.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split(" ")[1]), dict(line.split(": ", 1) for line in lines), body


async def asked(server, path, method="GET", headers=""):
    return await sent(server, f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())


async def probe_s(server) -> float:
    """How long a liveness probe takes, in seconds."""
    began_s = time.perf_counter()
    assert (await asked(server, "/healthz"))[0] == 200
    return time.perf_counter() - began_s


async def until(holds):
    async with asyncio.timeout(SOON_S):
        while not holds():
            await asyncio.sleep(0.005)


async def test_the_three_addresses_say_how_the_service_is():
    async with serving() as (server, health):
        assert (await asked(server, "/healthz"))[::2] == (200, b"alive\n")
        assert (await asked(server, "/readyz"))[::2] == (503, b"not ready\n")
        health.ready = True
        assert (await asked(server, "/readyz?verbose=1"))[::2] == (200, b"ready\n")
        code, headers, body = await asked(server, "/metrics")
        assert (code, headers["Content-Length"]) == (200, str(len(body)))
        assert f"# TYPE {metrics.BUILD_INFO._name} gauge".encode() in body
        assert (await asked(server, "/"))[::2] == (404, b"this server has /metrics, /healthz and /readyz\n")
        assert (await asked(server, "/healthz", "HEAD"))[::2] == (200, b"")
        assert (await asked(server, "/healthz", "POST"))[0] == 405


async def test_a_loop_that_has_stood_still_is_not_alive_and_not_ready():
    async with serving() as (server, health):
        health.ready = True
        health._last_turn -= 61
        assert [(await asked(server, path))[0] for path in ("/healthz", "/readyz")] == [503, 503]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text; version=one.of.mine", ""),
        ("\x00;;;,,,", "text/plain"),
    ],
)
async def test_metrics_come_in_the_format_that_is_asked_for(accept, content_type):
    async with serving() as (server, _):
        code, headers, _ = await asked(server, "/metrics", headers=f"Accept: {accept}\r\n")
        assert code == 200
        assert headers["Content-Type"].startswith(content_type)


@pytest.mark.parametrize("idle", [1, 200, 500])
async def test_idle_connections_keep_no_probe_waiting_and_are_bounded(idle):
    async with serving() as (server, _):
        open_now = [await connected(server) for _ in range(idle)]
        assert await probe_s(server) < 2
        assert server.connections <= Bounds().connections_max
        for _, writer in open_now:
            writer.close()


async def test_while_idle_connections_keep_coming_every_probe_is_answered():
    async with serving() as (server, _):
        writers = []

        async def come():
            while True:
                writers.append((await connected(server))[1])

        coming = asyncio.create_task(come())
        assert max([await probe_s(server) for _ in range(20)]) < 2
        coming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await coming
        assert len(writers) > 20
        for writer in writers:
            writer.close()


async def test_an_idle_connection_is_closed_when_its_time_is_over():
    async with serving(SHORT) as (server, _):
        reader, writer = await connected(server)
        async with asyncio.timeout(SOON_S):
            assert await reader.read() == b""
        assert server.connections == 0
        writer.close()


async def test_a_request_that_comes_byte_by_byte_has_no_more_time_than_one_that_does_not():
    async with serving(SHORT) as (server, _):
        reader, writer = await connected(server)
        end = asyncio.create_task(reader.read())
        began_s, reported = time.perf_counter(), 0
        while not end.done():
            assert time.perf_counter() - began_s < SOON_S
            with contextlib.suppress(OSError):
                writer.write(b"GET /healthz HTTP/1.1\r\nX: y"[reported : reported + 1] or b"z")
                reported += 1
            await asyncio.sleep(0.005)
        assert reported > 3
        assert await probe_s(server) < 2
        writer.close()


async def test_half_a_request_and_no_more_is_closed_without_an_answer():
    async with serving() as (server, _):
        reader, writer = await connected(server)
        writer.write(b"GET /healthz HT")
        writer.write_eof()
        async with asyncio.timeout(SOON_S):
            assert await reader.read() == b""
        await until(lambda: server.connections == 0)
        writer.close()


@pytest.mark.parametrize("size", [20_000, 2_000_000])
async def test_a_head_that_is_too_large_is_refused(size):
    async with serving() as (server, _):
        reader, writer = await connected(server)
        writer.write(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * size)
        async with asyncio.timeout(SOON_S):
            # With more of it on the wire than was read, the answer may be lost in the reset.
            with contextlib.suppress(OSError):
                assert (await reader.read())[:12] in (b"HTTP/1.1 431", b"")
        await until(lambda: server.connections == 0)
        assert await probe_s(server) < 2
        writer.close()


@pytest.mark.parametrize(
    "request_", [b"\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / FTP/1.0\r\n\r\n"]
)
async def test_what_is_no_request_is_reported_so(request_):
    async with serving() as (server, _):
        assert (await sent(server, request_))[0] == 400


async def test_who_takes_no_answer_is_let_go():
    async with serving(SHORT, page=lambda _: Answer(200, b"x" * 50_000_000)) as (server, _):
        _, writer = await connected(server)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")  # and nothing is read
        await until(lambda: server.connections == 1)
        await until(lambda: server.connections == 0)
        assert await probe_s(server) < 2
        writer.close()


async def test_metrics_are_made_beside_the_loop_and_once_for_all_who_wait():
    made, may_go = [], threading.Event()

    def page(accept):
        made.append(threading.current_thread().name)
        assert may_go.wait(SOON_S)
        return Answer(200, b"figures\n")

    async with serving(page=page) as (server, _):
        scrapes = [asyncio.create_task(asked(server, "/metrics")) for _ in range(20)]
        await until(lambda: server.connections == 20 and made)
        assert await probe_s(server) < 2, "the loop waits for the page"
        await until(lambda: all(server._open.values()))
        may_go.set()
        assert {(code, body) for code, _, body in await asyncio.gather(*scrapes)} == {(200, b"figures\n")}
        assert made == ["metrics_0"]


async def test_a_figure_that_cannot_be_shown_is_an_error_and_not_the_end():
    def page(accept):
        raise ZeroDivisionError

    async with serving(page=page) as (server, _):
        assert (await asked(server, "/metrics"))[::2] == (500, b"the metrics cannot be shown: ZeroDivisionError\n")
        assert await probe_s(server) < 2


async def test_a_server_stops_at_once_whoever_is_connected():
    async with serving() as (server, _):
        readers = [await connected(server) for _ in range(30)]
        readers[0][1].write(b"GET /hea")
        began_s = time.perf_counter()
        await server.stop()
        assert time.perf_counter() - began_s < 2
        for reader, writer in readers:
            with contextlib.suppress(OSError):
                assert await reader.read() == b""
            writer.close()


async def test_a_port_that_is_taken_is_an_error_at_the_start():
    async with serving() as (server, _):
        with pytest.raises(OSError, match="address already in use"):
            await StatusServer(HOST, server.port, Health()).start()


ENVIRONMENT = {
    "QUARRY_ENV": "test",
    "QUARRY_REGION": "us-east-1",
    "QUARRY_TABLE": "ledger",
    "QUARRY_BUCKET": "bucket",
    "QUARRY_BEDROCK_ROLE_ARN": "arn:aws:iam::123456789012:role/bedrock",
    "QUARRY_METRICS_HOST": HOST,
    "QUARRY_METRICS_PORT": "0",
    "QUARRY_RECEIVE_WAIT_S": "0",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",  # where nobody listens
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    **{
        f"QUARRY_{name}_QUEUE_URL": f"http://127.0.0.1:9/1/{name.lower()}"
        for name in ("MANIFEST", "SLICES", "SCHEDULER", "EVENTS", "COLLECTOR")
    },
}


@contextlib.asynccontextmanager
async def a_service(**environment):
    """A real scheduler, whose AWS does not answer: the process and, once it has started, its port."""
    known = {"PATH": os.environ["PATH"], **ENVIRONMENT, **environment}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "quarry_scheduler", env=known, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            assert process.stdout is not None
            while line := await process.stdout.readline():
                reported = json.loads(line)
                if reported["event"] in ("started", "status_not_served"):
                    break
        yield process, reported
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_a_service_with_idle_connections_answers_probes_and_ends_when_it_is_told_to():
    async with a_service() as (process, reported):
        port = reported["metrics_port"]
        idle = [await asyncio.open_connection(HOST, port) for _ in range(100)]
        idle[0][1].write(b"GET /healthz HTTP/1.1\r\n")
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(SOON_S):
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert process.stdout is not None
            await process.stdout.read()
            assert await process.wait() == 0
        for _, each in idle:
            each.close()
        writer.close()


async def test_a_service_whose_port_is_taken_says_which_settings_to_change():
    async with serving() as (server, _), a_service(QUARRY_METRICS_PORT=str(server.port)) as (process, reported):
        assert reported["event"] == "status_not_served"
        assert "in use" in reported["why"]
        assert "QUARRY_METRICS_PORT" in reported["why"]
        async with asyncio.timeout(30):
            assert await process.wait() == 2
