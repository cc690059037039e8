"""The door to AWS: limits on every call, errors in Quarry's words, and a look at each call."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from quarry_core.aws.client import ATTEMPTS_MAX, CONNECT_TIMEOUT_S, READ_TIMEOUTS_S, USER_AGENT, Aws
from quarry_core.errors import Missing, Refused, Throttled, Unknown
from tests.unit.core.scripted import CUT, CUT_IN_BODY, Answer, scripted, set_credentials, wrong
from tests.world.clock import FakeClock

ITEM = {"TableName": "table", "Key": {"pk": {"S": "p"}}}


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    set_credentials(monkeypatch)


async def read(aws, *, once=False):
    return await aws.call("dynamodb", "get_item", ITEM, doing="reading", once=once)


@pytest.mark.parametrize("script", [[wrong("ThrottlingException")], [CUT], [wrong("InternalServerError", 500)]])
async def test_attempts_are_counted_and_one_is_one(script):
    for once, attempts in ((False, ATTEMPTS_MAX), (True, 1)):
        async with scripted("dynamodb", script) as (aws, reported):
            with pytest.raises((Throttled, Unknown)):
                await read(aws, once=once)
        assert len(reported.requests) == attempts


async def test_a_passing_fault_is_not_seen():
    async with scripted("dynamodb", [CUT, wrong("ThrottlingException"), Answer({"Item": {}})]) as (aws, _):
        assert (await read(aws))["Item"] == {}


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (wrong("ThrottlingException"), Throttled),
        (wrong("ResourceNotFoundException"), Missing),
        (wrong("ValidationException"), Refused),
        (wrong("InternalServerError", 500), Unknown),
        (Answer("no JSON object", 503), Unknown),
        (CUT, Unknown),
        (CUT_IN_BODY, Unknown),
    ],
    ids=str,
)
async def test_every_failure_is_one_of_ours_and_is_observed(line, kind):
    seen = []
    async with scripted("dynamodb", [line], lambda *call: seen.append(call)) as (aws, _):
        with pytest.raises(kind, match="reading"):
            await read(aws, once=True)
    assert seen == [("dynamodb", "get_item", kind.__name__.lower(), 0.0)]


async def test_nobody_at_the_other_end_is_unknown():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: who calls is turned away
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        await unknown_at(url)


async def unknown_at(url):
    async with Aws(FakeClock(), "us-east-1", {"dynamodb": url}) as aws:
        with pytest.raises(Unknown):
            await read(aws, once=True)


async def test_parameters_are_checked_before_anything_is_sent():
    async with scripted("dynamodb", [Answer()]) as (aws, reported):
        with pytest.raises(Refused):
            await aws.call("dynamodb", "get_item", {"TableName": "table"}, doing="reading")
    assert reported.requests == []


@asynccontextmanager
async def silent():
    """A server that takes every request and answers none: its URL, and an event that is set by a request."""
    asked, over = asyncio.Event(), asyncio.Event()

    async def listen(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
        over.set()


async def test_a_cancelled_call_is_observed_as_aborted():
    seen = []
    async with (
        silent() as (url, asked),
        Aws(FakeClock(), "us-east-1", {"dynamodb": url}, lambda *call: seen.append(call[2])) as aws,
    ):
        task = asyncio.create_task(read(aws, once=True))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen == ["aborted"]


async def test_a_read_that_never_ends_is_ended(monkeypatch):
    monkeypatch.setattr("quarry_core.aws.client.READ_TIMEOUTS_S", {"dynamodb": 0.05})
    async with silent() as (url, _), Aws(FakeClock(), "us-east-1", {"dynamodb": url}) as aws:
        with pytest.raises(Unknown, match="ReadTimeout"):
            await read(aws, once=True)


async def test_a_call_that_hangs_elsewhere_is_ended_by_its_deadline(monkeypatch):
    async def no_connection_is_free(*_):
        await asyncio.Event().wait()

    monkeypatch.setattr("quarry_core.aws.client.READ_TIMEOUTS_S", {"dynamodb": 0.05})
    monkeypatch.setattr("quarry_core.aws.client.CONNECT_TIMEOUT_S", 0.05)
    monkeypatch.setattr(Aws, "_client", no_connection_is_free)
    async with Aws(FakeClock(), "us-east-1") as aws:
        with pytest.raises(Unknown, match="TimeoutError"):
            await read(aws, once=True)


@pytest.mark.parametrize("service", sorted(READ_TIMEOUTS_S))
async def test_limits_are_explicit(service):
    async with Aws(FakeClock(), "us-east-1") as aws:
        from quarry_core.aws.client import _Connection

        for attempts in (1, ATTEMPTS_MAX):
            client = await aws._client(_Connection(service, attempts))
            config = client.meta.config
            assert config.connect_timeout == CONNECT_TIMEOUT_S
            assert config.read_timeout == READ_TIMEOUTS_S[service]
            assert config.retries == {"mode": "standard", "total_max_attempts": attempts}
            assert config.parameter_validation
            assert _Connection(service, attempts).deadline_s >= attempts * (
                CONNECT_TIMEOUT_S + READ_TIMEOUTS_S[service]
            )


def test_a_long_poll_fits_into_the_read_timeout():
    assert READ_TIMEOUTS_S["sqs"] > 20


async def test_we_say_who_we_are_and_make_each_client_once():
    async with scripted("dynamodb", [Answer()]) as (aws, reported):
        await asyncio.gather(*(read(aws) for _ in range(5)))
        assert len(aws._clients) == 1
    assert all(USER_AGENT in request.headers["user-agent"] for request in reported.requests)
    assert USER_AGENT == "quarry/0.1.0"
