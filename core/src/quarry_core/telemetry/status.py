"""/metrics, /healthz and /readyz: a server on the service's own event loop.

Theory of operation. It answers GET and HEAD, one request a connection, and nothing else. Whoever connects is not
trusted: a request has `request_s` to arrive whole and `request_bytes_max` to be told in, an answer has `answer_s` to be
taken, and at most `connections_max` are open; the one that has waited longest for its request makes room for a new one,
so that no number of idle connections keeps a probe out. A loop that does not turn answers nothing, which is what a
liveness probe asks about. The page of metrics is made in a thread, once for all who ask meanwhile.

Why not aiohttp, which is installed with aiobotocore: its server has no limit on how long a request's head may take to
arrive and none on connections, which are all that matters here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

log = structlog.get_logger()
METRICS, HEALTHY, READY = "/metrics", "/healthz", "/readyz"
HEAD_END = b"\r\n\r\n"
PLAIN = "text/plain; charset=utf-8"
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Health:
    """Alive while the event loop turns; ready from the first successful poll of every queue until the drain, unless a
    consumer has stopped.
    """

    def __init__(self, stalled_after_s: float = 60.0) -> None:
        self._stalled_after_s = stalled_after_s
        self._last_turn = time.monotonic()
        self.ready = False
        self.why = ""  # not ready, where there is more to say

    def turn(self) -> None:
        self._last_turn = time.monotonic()

    @property
    def alive(self) -> bool:
        return time.monotonic() - self._last_turn < self._stalled_after_s


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may take up."""

    request_s: float = 5.0
    answer_s: float = 10.0
    connections_max: int = 64
    request_bytes_max: int = 16_384


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    body: bytes
    content_type: str = PLAIN


def metrics_page(accept: str) -> Answer:
    """All metrics, in the format that the client prefers."""
    try:
        encode, content_type = choose_encoder(accept)
        return Answer(200, encode(REGISTRY), content_type)
    except (TypeError, ValueError):  # it compares a version that is none with numbers
        encode, content_type = choose_encoder("")
        return Answer(200, encode(REGISTRY), content_type)


class StatusServer:
    """Start it on a running loop, and stop it there."""

    def __init__(
        self,
        host: str,
        port: int,
        health: Health,
        *,
        bounds: Bounds | None = None,
        page: Callable[[str], Answer] = metrics_page,
    ) -> None:
        self._host = host
        self.port = port
        self._health = health
        self._bounds = bounds or Bounds()
        self._page = page
        self._server: asyncio.Server | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._pages: dict[str, asyncio.Future[Answer]] = {}  # being made, by the Accept header
        self._open: dict[asyncio.Task[None], bool] = {}  # oldest first; whether its request has arrived

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    async def start(self) -> None:
        """Listen. Raises OSError where host and port cannot be bound."""
        self._server = await asyncio.start_server(
            self._connected, self._host, self.port, limit=self._bounds.request_bytes_max
        )
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close at once, whoever is connected."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)

    # ----------------------------------------------------------------- connections

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= self._bounds.connections_max:
            waiting = (task for task, arrived in self._open.items() if not arrived)
            oldest = next(waiting, next(iter(self._open)))
            oldest.cancel()
            del self._open[oldest]
        task = asyncio.create_task(self._serve(reader, writer))
        self._open[task] = False
        task.add_done_callback(lambda done: self._open.pop(done, None))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                answer, body = await self._answer_to(reader)
                async with asyncio.timeout(self._bounds.answer_s):
                    writer.write(_head(answer) + (answer.body if body else b""))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        finally:
            writer.transport.abort()  # nothing more, where it is closed already

    async def _answer_to(self, reader: asyncio.StreamReader) -> tuple[Answer, bool]:
        """The answer, and whether its body is asked for."""
        try:
            async with asyncio.timeout(self._bounds.request_s):
                head = await reader.readuntil(HEAD_END)
        except asyncio.LimitOverrunError:
            return Answer(431, f"at most {self._bounds.request_bytes_max} bytes of request\n".encode()), True
        task = asyncio.current_task()
        if task in self._open:
            self._open[task] = True
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return Answer(400, b"not a request of HTTP/1\n"), True
        if words[0] not in ("GET", "HEAD"):
            return Answer(405, b"only GET and HEAD\n"), True
        accept = ",".join(line.partition(":")[2].strip() for line in lines if line.lower().startswith("accept:"))
        return await self._answer(words[1].partition("?")[0], accept), words[0] == "GET"

    # ----------------------------------------------------------------- answers

    async def _answer(self, path: str, accept: str) -> Answer:
        if path == METRICS:
            return await self._metrics(accept)
        if path == HEALTHY:
            return _reported("alive", holds=self._health.alive)
        if path == READY:
            return _reported("ready", holds=self._health.ready and self._health.alive, why=self._health.why)
        return Answer(404, f"this server has {METRICS}, {HEALTHY} and {READY}\n".encode())

    async def _metrics(self, accept: str) -> Answer:
        making = self._pages.get(accept)
        if making is None:
            making = asyncio.get_running_loop().run_in_executor(self._thread, self._page, accept)
            self._pages[accept] = making
            making.add_done_callback(lambda _: self._pages.pop(accept, None))
        try:
            return await asyncio.shield(making)
        except Exception as error:  # a bug in a figure is not the end of the probes
            log.exception("metrics_not_shown")
            return Answer(500, f"the metrics cannot be shown: {type(error).__name__}\n".encode())


def _reported(what: str, *, holds: bool, why: str = "") -> Answer:
    if holds:
        return Answer(200, f"{what}\n".encode())
    return Answer(503, f"not {what}{f': {why}' if why else ''}\n".encode())


def _head(answer: Answer) -> bytes:
    lines = (
        f"HTTP/1.1 {answer.code} {REASONS[answer.code]}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "\r\n".join(lines).encode("latin-1") + HEAD_END
