"""An AWS that says what the test wrote down: a server on loopback that answers request after request from a script.

Against it the adapters run on their real clients, so what the SDK itself does (sending again, reading errors) is part
of what is tested.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import botocore
from botocore.loaders import create_loader

from quarry_core.aws.calls import Calls, Observe
from quarry_core.aws.client import Aws
from quarry_core.aws.threaded import ThreadedAws
from tests.world.clock import FakeClock


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: Any


MODELS = create_loader()
# The request is read, and the connection is cut: done or not, nobody knows.
CUT = "cut"
# The head of an answer comes, its body does not.
CUT_IN_BODY = "cut in body"
Line = Answer | str
# An older botocore, which the command may meet, has no place to measure an answer.
MEASURES_ANSWERS = tuple(int(part) for part in botocore.__version__.split(".")) >= (1, 35, 60)


def wrong(code: str, status: int = 400, message: str = "as the test says", **more: Any) -> Answer:
    """An error as the JSON protocols tell it."""
    return Answer({"__type": code, "message": message, **more}, status, (("x-amzn-ErrorType", code),))


class Scripted:
    """`requests` is what was asked, `clock` the adapters' time; the last line of the script is repeated."""

    def __init__(self, script: Iterable[Line] | Callable[[Request], Line]) -> None:
        self.requests: list[Request] = []
        self.clock = FakeClock()
        self._answer = script if callable(script) else self._from_lines(list(script))

    def _from_lines(self, lines: list[Line]) -> Callable[[Request], Line]:
        def reported() -> Iterator[Line]:
            yield from lines
            while True:
                yield lines[-1]

        story = reported()
        return lambda _: next(story)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(first.split()[1], headers, json.loads(raw) if raw else None)
        self.requests.append(request)
        line = self._answer(request)
        if line == CUT:
            return False
        answer = line if isinstance(line, Answer) else Answer()
        body = json.dumps(answer.body).encode()
        length = len(body) + (1000 if line == CUT_IN_BODY else 0)
        head = [f"HTTP/1.1 {answer.status} Told", f"content-length: {length}", "content-type: application/json"]
        head += [f"{name}: {value}" for name, value in answer.headers]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        return line != CUT_IN_BODY


@asynccontextmanager
async def scripted(
    service: str,
    script: Iterable[Line] | Callable[[Request], Line],
    observe: Observe | None = None,
    kind: type[Aws | ThreadedAws] = Aws,
) -> AsyncIterator[tuple[Calls, Scripted]]:
    """Calls to an AWS whose `service` follows the script, on a fake clock. Needs the fixture `credentials`."""
    reported = Scripted(script)
    server = await asyncio.start_server(reported.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, kind(reported.clock, "us-east-1", {service: url}, observe) as aws:
        # AWS's service models are most of the cost of a client: read once for all tests.
        if isinstance(aws, Aws):
            aws._session.register_component("data_loader", MODELS)
        yield aws, reported


def set_credentials(monkeypatch: Any) -> None:
    """Keys that open nothing, and none of the developer's configuration."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # The SDK's own pauses between attempts are real time.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
