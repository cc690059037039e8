"""A proxy between the services and AWS that loses replies: it forwards a request, reads all of its answer, and hangs up.

Theory of operation. Bytes go through as they came: the heads of requests and answers are read to know where a body ends,
never written anew. So an answer to HEAD keeps the Content-Length of what it does not carry, and nothing is decoded or
encoded again. Two things alone are changed: `Expect: 100-continue` is answered here, and not forwarded.

What is lost is drawn for each request, after its answer is here in full: the server has done it, and the client will
never know. A share of requests is hung up on before they are forwarded. One answer waits in memory, of at most
`HELD_BYTES_MAX`; what is larger passes through.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from dataclasses import dataclass
from typing import NoReturn, Self

HEAD_BYTES_MAX = 64 * 1024
HELD_BYTES_MAX = 64 << 20
PIECE_BYTES = 64 * 1024
BODILESS = frozenset({b"204", b"304"})
START_S = 10.0


class _Over(Exception):
    """One of the two has hung up."""


@dataclass
class Losses:
    """Shares of all requests; may be changed while the proxy works.

    replies: done, and the answer lost. requests: hung up on before they are forwarded.
    """

    replies: float = 0.0
    requests: float = 0.0


class LossyProxy:
    """Listens on 127.0.0.1 in a thread of its own. `seen` counts what became of requests.

    Args:
        upstream: the port on 127.0.0.1 to which it forwards.
        losses: what it loses.
        seed: of what is drawn.
    """

    def __init__(self, upstream: int, losses: Losses, seed: int = 0) -> None:
        self.losses = losses
        self.seen = Counter[str]()
        self.port = 0
        self._upstream = upstream
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._clients: set[asyncio.Task[None]] = set()  # the loop itself holds them weakly
        self._thread = threading.Thread(target=self._run, name="lossy-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(START_S):
            raise TimeoutError(f"the proxy does not listen after {START_S:g} s")
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._client, "127.0.0.1", 0, limit=HEAD_BYTES_MAX))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, with one to the server behind it."""
        behind: asyncio.StreamWriter | None = None
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            answers, behind = await asyncio.open_connection("127.0.0.1", self._upstream, limit=HEAD_BYTES_MAX)
            while await self._exchange(reader, writer, answers, behind):
                pass
        except (_Over, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._clients.discard(task)
            for each in (writer, behind):
                if each is not None:
                    each.close()

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        behind: asyncio.StreamWriter,
    ) -> bool:
        """One request and its answer; whether the connection stays."""
        head = await _head(reader)
        fate = self._fate()
        if fate == "request lost":
            self.seen[fate] += 1
            return False
        if _header(head, b"expect") is not None:
            head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:"))
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
        behind.write(head)
        await _body(reader, head, behind)
        await behind.drain()
        answer = await _head(answers)
        while answer.split(b" ", 2)[1] == b"100":
            answer = await _head(answers)
        held = _Held(writer)
        held.write(answer)
        if not head.startswith(b"HEAD ") and answer.split(b" ", 2)[1][:3] not in BODILESS:
            await _body(answers, answer, held, until_closed=True)
        if fate == "reply lost" and not held.sent:
            self.seen[fate] += 1
            return False
        await held.send()
        self.seen["passed"] += 1
        closing = any((_header(each, b"connection") or b"").lower() == b"close" for each in (head, answer))
        return not closing and not held.ended_by_close

    def _fate(self) -> str:
        drawn = self._chance.random()
        if drawn < self.losses.requests:
            return "request lost"
        return "reply lost" if drawn < self.losses.requests + self.losses.replies else ""


class _Held:
    """An answer that is kept until it is whole, unless it is too large for that."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._pieces: list[bytes] = []
        self._bytes = 0
        self.sent = False
        self.ended_by_close = False

    def write(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._bytes += len(piece)

    async def drain(self) -> None:
        if self._bytes > HELD_BYTES_MAX:
            await self.send()

    async def send(self) -> None:
        self.sent = True
        self._writer.write(b"".join(self._pieces))
        self._pieces, self._bytes = [], 0
        await self._writer.drain()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise _Over from error


def _header(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return None


async def _body(
    reader: asyncio.StreamReader,
    head: bytes,
    to: asyncio.StreamWriter | _Held,
    *,
    until_closed: bool = False,
) -> None:
    """Pass a body on, as its head says where it ends. `until_closed`: an answer that says nothing ends with its connection."""
    if (_header(head, b"transfer-encoding") or b"").lower().endswith(b"chunked"):
        await _chunks(reader, to)
    elif (length := _header(head, b"content-length")) is not None:
        await _exactly(reader, int(length), to)
    elif until_closed:
        while piece := await reader.read(PIECE_BYTES):
            to.write(piece)
            await to.drain()
        if isinstance(to, _Held):
            to.ended_by_close = True


async def _exactly(reader: asyncio.StreamReader, left: int, to: asyncio.StreamWriter | _Held) -> None:
    while left:
        piece = await reader.read(min(left, PIECE_BYTES))
        if not piece:
            _hung_up()
        left -= len(piece)
        to.write(piece)
        await to.drain()


async def _chunks(reader: asyncio.StreamReader, to: asyncio.StreamWriter | _Held) -> None:
    while True:
        size = await reader.readline()
        to.write(size)
        bytes_ = int(size.split(b";")[0], 16)
        await _exactly(reader, bytes_, to)
        if not bytes_:
            while (line := await reader.readline()) != b"\r\n":  # trailers
                if not line:
                    _hung_up()
                to.write(line)
            to.write(line)
            return
        to.write(await reader.readexactly(2))


def _hung_up() -> NoReturn:
    raise _Over
