"""Calls to AWS, the services' and the command's: limits on each, errors in Quarry's words, an observer."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager

import botocore.session
import pytest

from quarry_core.aws.calls import ATTEMPTS_MAX, CONNECT_TIMEOUT_S, READ_TIMEOUTS_S, USER_AGENT, Limits
from quarry_core.aws.client import Aws
from quarry_core.aws.threaded import THREADS_MAX, ThreadedAws
from quarry_core.errors import Missing, Refused, Throttled, Unknown, Unsupported
from tests.unit.core.scripted import CUT, CUT_IN_BODY, MEASURES_ANSWERS, Answer, scripted, set_credentials, wrong
from tests.world.clock import FakeClock

ITEM = {"TableName": "table", "Key": {"pk": {"S": "p"}}}


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    set_credentials(monkeypatch)


@pytest.fixture(params=[Aws, ThreadedAws], ids=["services", "command"])
def kind(request):
    return request.param


async def read(aws, *, once=False):
    return await aws.call("dynamodb", "get_item", ITEM, doing="reading", once=once)


@pytest.mark.parametrize("script", [[wrong("ThrottlingException")], [CUT], [wrong("InternalServerError", 500)]])
async def test_attempts_are_counted_and_one_is_one(kind, script):
    for once, attempts in ((False, ATTEMPTS_MAX), (True, 1)):
        async with scripted("dynamodb", script, kind=kind) as (aws, reported):
            with pytest.raises((Throttled, Unknown)):
                await read(aws, once=once)
        assert len(reported.requests) == attempts


async def test_a_passing_fault_is_not_seen(kind):
    script = [CUT, wrong("ThrottlingException"), Answer({"Item": {}})]
    async with scripted("dynamodb", script, kind=kind) as (aws, _):
        assert (await read(aws))["Item"] == {}


@pytest.mark.parametrize(
    ("line", "meaning"),
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
async def test_every_failure_is_one_of_ours_and_is_observed(kind, line, meaning):
    if kind is ThreadedAws and line == CUT_IN_BODY and not MEASURES_ANSWERS:
        pytest.skip("this botocore has no place to measure an answer")
    seen = []
    async with scripted("dynamodb", [line], lambda *call: seen.append(call), kind) as (aws, _):
        with pytest.raises(meaning, match="reading"):
            await read(aws, once=True)
    assert seen == [("dynamodb", "get_item", meaning.__name__.lower(), 0.0)]


async def test_nobody_at_the_other_end_is_unknown(kind):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: who calls is turned away
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        await unknown_at(kind, url)


async def unknown_at(kind, url):
    async with kind(FakeClock(), "us-east-1", {"dynamodb": url}) as aws:
        with pytest.raises(Unknown):
            await read(aws, once=True)


async def test_parameters_are_checked_before_anything_is_sent(kind):
    async with scripted("dynamodb", [Answer()], kind=kind) as (aws, reported):
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


async def test_a_cancelled_call_is_observed_as_aborted(kind):
    seen = []
    async with (
        silent() as (url, asked),
        kind(FakeClock(), "us-east-1", {"dynamodb": url}, lambda *call: seen.append(call[2])) as aws,
    ):
        task = asyncio.create_task(read(aws, once=True))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen == ["aborted"]


async def test_a_read_that_never_ends_is_ended(kind, monkeypatch):
    monkeypatch.setattr("quarry_core.aws.calls.READ_TIMEOUTS_S", {"dynamodb": 0.05})
    async with silent() as (url, _), kind(FakeClock(), "us-east-1", {"dynamodb": url}) as aws:
        with pytest.raises(Unknown, match="ReadTimeout"):
            await read(aws, once=True)


async def test_a_call_that_hangs_elsewhere_is_ended_by_its_deadline(kind, monkeypatch):
    over = threading.Event()

    async def no_connection_is_free(*_):
        await asyncio.Event().wait()

    def no_thread_goes_on(*_):
        over.wait()

    monkeypatch.setattr("quarry_core.aws.calls.READ_TIMEOUTS_S", {"dynamodb": 0.05})
    monkeypatch.setattr("quarry_core.aws.calls.CONNECT_TIMEOUT_S", 0.05)
    monkeypatch.setattr(kind, "_client", no_connection_is_free if kind is Aws else no_thread_goes_on)
    async with kind(FakeClock(), "us-east-1") as aws:
        with pytest.raises(Unknown, match="TimeoutError"):
            await read(aws, once=True)
    over.set()


@pytest.mark.parametrize("service", sorted(READ_TIMEOUTS_S))
async def test_limits_are_explicit(kind, service):
    if service not in botocore.session.Session().get_available_services():
        pytest.skip(f"this botocore is older than {service}")
    async with kind(FakeClock(), "us-east-1") as aws:
        for attempts in (1, ATTEMPTS_MAX):
            making = aws._client(Limits(service, attempts))
            client = await making if kind is Aws else making
            config = client.meta.config
            assert config.connect_timeout == CONNECT_TIMEOUT_S
            assert config.read_timeout == READ_TIMEOUTS_S[service]
            assert config.retries == {"mode": "standard", "total_max_attempts": attempts}
            assert config.parameter_validation
            assert Limits(service, attempts).deadline_s >= attempts * (CONNECT_TIMEOUT_S + READ_TIMEOUTS_S[service])


def test_a_long_poll_fits_into_the_read_timeout():
    assert READ_TIMEOUTS_S["sqs"] > 20


async def test_we_say_who_we_are_and_make_each_client_once(kind):
    async with scripted("dynamodb", [Answer()], kind=kind) as (aws, reported):
        await asyncio.gather(*(read(aws) for _ in range(5)))
        assert len(aws._clients) == 1
    assert all(USER_AGENT in request.headers["user-agent"] for request in reported.requests)
    assert USER_AGENT == "quarry/0.2.0"


# --------------------------------------------------------------------------- the command's alone


async def test_what_an_older_boto3_does_not_know_is_refused_and_says_what_to_do():
    async with ThreadedAws(FakeClock(), "us-east-1") as aws:
        with pytest.raises(Unsupported, match="does not know bedrock list_unheard_of_things: upgrade boto3") as refused:
            await aws.call("bedrock", "list_unheard_of_things", {}, doing="looking")
    assert not refused.value.denied


async def test_so_many_calls_are_under_way_at_once_and_no_more(monkeypatch):
    busy, most, lock = 0, 0, threading.Lock()
    full, go_on = threading.Event(), threading.Event()

    class Client:
        def get_item(self, **_):
            nonlocal busy, most
            with lock:
                busy += 1
                most = max(most, busy)
                if busy == THREADS_MAX:
                    full.set()
            go_on.wait()
            with lock:
                busy -= 1
            return {}

    monkeypatch.setattr(ThreadedAws, "_client", lambda *_: Client())
    async with ThreadedAws(FakeClock(), "us-east-1") as aws:
        calls = [asyncio.create_task(read(aws)) for _ in range(2 * THREADS_MAX)]
        await asyncio.to_thread(full.wait)
        go_on.set()
        assert await asyncio.gather(*calls) == [{}] * 2 * THREADS_MAX
    assert most == THREADS_MAX


def test_who_gives_up_waits_for_no_answer():
    """The loop ends though the call goes on: Ctrl-C must not wait for a timeout."""
    with socket.create_server(("127.0.0.1", 0)) as listening:  # accepts connections and never answers
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"

        async def give_up():
            async with ThreadedAws(FakeClock(), "us-east-1", {"dynamodb": url}) as aws:
                task = asyncio.create_task(read(aws, once=True))
                asked, _ = await asyncio.to_thread(listening.accept)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                return asked

        asked = asyncio.run(give_up())
        left = [thread for thread in threading.enumerate() if thread.name == "quarry-aws"]
        asked.close()
    assert [thread.daemon for thread in left] == [True]
    for thread in left:
        thread.join()
